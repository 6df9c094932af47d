//! Sine, cosine, exponential, logarithm and the normal quantile from additions, multiplications, divisions and
//! square roots alone, which IEEE 754 rounds alike everywhere; the functions of the system's
//! library differ in the last bits from one machine to the next.

/// Sine and cosine of an angle of at most 45 degrees either way, in degrees; within 2^-52.
pub(crate) fn sin_cos(degrees: f64) -> (f64, f64) {
    let angle = degrees * (std::f64::consts::PI / 180.0);
    let square = angle * angle;
    // Taylor series by Horner; (pi/4)^23 / 23! is below 2^-80.
    let (mut sine, mut cosine) = (1.0, 1.0);
    for step in (1..=11).rev() {
        let even = f64::from(2 * step);
        sine = 1.0 - sine * square / (even * (even + 1.0));
        cosine = 1.0 - cosine * square / (even * (even - 1.0));
    }
    (angle * sine, cosine)
}

/// Natural logarithm of a positive normal number.
fn ln(value: f64) -> f64 {
    let bits = value.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh s, |s| < 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut sum = 0.0;
    for odd in (1..=23).rev().step_by(2) {
        sum = sum * (s * s) + 1.0 / f64::from(odd);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * sum
}

/// Exponential of a number of -30 to 30, within 1e-14 relative.
fn exp(value: f64) -> f64 {
    let halvings = (value / std::f64::consts::LN_2).round();
    let rest = value - halvings * std::f64::consts::LN_2;
    // Taylor series by Horner; 0.35^17 / 17! is below 2^-70.
    let series = (1..=16).rev().fold(1.0, |sum, step| 1.0 + sum * rest / f64::from(step));
    series * f64::from_bits((((halvings as i64) + 1023) as u64) << 52)
}

/// The weights of a Gaussian at the whole numbers of `-radius` to `radius`, adding up to 1.
pub(crate) fn gaussian(sigma: f64, radius: usize) -> Vec<f64> {
    let at = |place: usize| {
        let away = place as f64 - radius as f64;
        exp(-away * away / (2.0 * sigma * sigma))
    };
    let heights: Vec<f64> = (0..=2 * radius).map(at).collect();
    let sum = heights.iter().fold(0.0, |sum, height| sum + height);
    heights.iter().map(|height| height / sum).collect()
}

/// The point below which a standard normal number falls with probability `p`, 0 < p < 1, to 1e-15
/// relative: algorithm AS 241 (Wichura 1988, "The percentage points of the normal distribution"),
/// PPND16.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    const CENTRE: [[f64; 8]; 2] = [
        [
            3.387_132_872_796_366_5,
            133.141_667_891_784_38,
            1_971.590_950_306_551_3,
            13_731.693_765_509_46,
            45_921.953_931_549_87,
            67_265.770_927_008_7,
            33_430.575_583_588_13,
            2_509.080_928_730_122_7,
        ],
        [
            1.0,
            42.313_330_701_600_91,
            687.187_007_492_057_9,
            5_394.196_021_424_751,
            21_213.794_301_586_597,
            39_307.895_800_092_71,
            28_729.085_735_721_943,
            5_226.495_278_852_545,
        ],
    ];
    const NEAR: [[f64; 8]; 2] = [
        [
            1.423_437_110_749_683_5,
            4.630_337_846_156_546,
            5.769_497_221_460_691,
            3.647_848_324_763_204_5,
            1.270_458_252_452_368_4,
            0.241_780_725_177_450_6,
            0.022_723_844_989_269_184,
            7.745_450_142_783_414e-4,
        ],
        [
            1.0,
            2.053_191_626_637_759,
            1.676_384_830_183_803_8,
            0.689_767_334_985_1,
            0.148_103_976_427_480_08,
            0.015_198_666_563_616_457,
            5.475_938_084_995_345e-4,
            1.050_750_071_644_416_9e-9,
        ],
    ];
    const FAR: [[f64; 8]; 2] = [
        [
            6.657_904_643_501_103,
            5.463_784_911_164_114,
            1.784_826_539_917_291_3,
            0.296_560_571_828_504_87,
            0.026_532_189_526_576_124,
            0.001_242_660_947_388_078_4,
            2.711_555_568_743_487_6e-5,
            2.010_334_399_292_288_1e-7,
        ],
        [
            1.0,
            0.599_832_206_555_888,
            0.136_929_880_922_735_8,
            0.014_875_361_290_850_615,
            7.868_691_311_456_133e-4,
            1.846_318_317_510_054_8e-5,
            1.421_511_758_316_446e-7,
            2.044_263_103_389_939_8e-15,
        ],
    ];
    let ratio = |table: [[f64; 8]; 2], at: f64| {
        let [above, below] =
            table.map(|row| row.iter().rev().fold(0.0, |sum, weight| sum * at + weight));
        above / below
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(CENTRE, 0.180_625 - q * q);
    }
    let r = (-ln(if q < 0.0 { p } else { 1.0 - p })).sqrt();
    let size = if r <= 5.0 { ratio(NEAR, r - 1.6) } else { ratio(FAR, r - 5.0) };
    if q < 0.0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::{exp, normal_quantile, sin_cos};

    #[test]
    fn sine_and_cosine_agree_with_the_system_to_the_last_bits() {
        for step in -4500..=4500 {
            let degrees = f64::from(step) / 100.0;
            let (sine, cosine) = sin_cos(degrees);
            let (own_sine, own_cosine) = degrees.to_radians().sin_cos();
            assert!((sine - own_sine).abs() < 3e-16, "sin {degrees}");
            assert!((cosine - own_cosine).abs() < 3e-16, "cos {degrees}");
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
    }

    #[test]
    fn exponentials_agree_with_the_system_to_the_last_bits() {
        for step in -3000..=3000 {
            let value = f64::from(step) / 100.0;
            assert!((exp(value) / value.exp() - 1.0).abs() < 1e-14, "exp {value}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn quantiles_agree_with_the_tables() {
        // Values by scipy.stats.norm.ppf.
        for (p, expected) in [
            (0.5, 0.0),
            (0.6, 0.253_347_103_135_799_7),
            (0.925, 1.439_531_470_938_456_4),
            (0.975, 1.959_963_984_540_054),
            (0.001, -3.090_232_306_167_813),
            (1e-6, -4.753_424_308_822_899),
            (1e-12, -7.034_483_825_301_132),
        ] {
            let found = normal_quantile(p);
            assert!((found - expected).abs() < 1e-12, "{p}: {found}, not {expected}");
        }
    }
}
