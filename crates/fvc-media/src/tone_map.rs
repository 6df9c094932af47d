//! HDR to SDR: the curve that [`HdrTransfer`] documents, as tables.

use std::sync::OnceLock;

/// An HDR transfer curve, and how such pictures become SDR.
///
/// One documented curve for all: the EETF of ITU-R BT.2390-10, section 5.4, from a display of
/// 1000 cd/m² to the SDR reference white of 203 cd/m² (ITU-R BT.2408), on each of R, G, B; then
/// BT.2020 to BT.709 primaries (ITU-R BT.2087), clipped; then the inverse of the BT.1886 display
/// curve (gamma 2.4). Light above 1000 cd/m² is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HdrTransfer {
    /// SMPTE ST 2084 (perceptual quantizer).
    Pq,
    /// ARIB STD-B67 (hybrid log-gamma), shown as ITU-R BT.2100 says on a display of 1000 cd/m²: with
    /// a system gamma of 1.2.
    Hlg,
}

/// Steps of the tables.
const STEPS: usize = 4096;
/// Peak of the picture that is assumed, in cd/m².
const PEAK: f64 = 1000.0;
/// SDR white, in cd/m².
const WHITE: f64 = 203.0;

/// The curve as tables.
pub(crate) struct ToneMap {
    transfer: HdrTransfer,
    /// Signal 0 to 1 to linear light: PQ in units of the peak; HLG scene light 0 to 1.
    linear: Vec<f64>,
    /// Square root of display light 0 to 1 (in units of the peak) to light in units of SDR white.
    mapped: Vec<f64>,
    /// Square root of light 0 to 1 to 8-bit codes; the root because the eye, and so the code, tells
    /// dark lights apart that are less than a step of an even table.
    code: Vec<u8>,
}

impl ToneMap {
    /// The tables of a curve, made at first need.
    pub(crate) fn of(transfer: HdrTransfer) -> &'static Self {
        static PQ: OnceLock<ToneMap> = OnceLock::new();
        static HLG: OnceLock<ToneMap> = OnceLock::new();
        match transfer {
            HdrTransfer::Pq => &PQ,
            HdrTransfer::Hlg => &HLG,
        }
        .get_or_init(|| Self::new(transfer))
    }

    fn new(transfer: HdrTransfer) -> Self {
        let at = |step: usize| step as f64 / (STEPS - 1) as f64;
        Self {
            transfer,
            linear: (0..STEPS)
                .map(|step| match transfer {
                    HdrTransfer::Pq => (pq_to_light(at(step)) / PEAK).min(1.0),
                    HdrTransfer::Hlg => hlg_to_scene(at(step)),
                })
                .collect(),
            mapped: (0..STEPS)
                .map(|step| (eetf(at(step) * at(step) * PEAK) / WHITE).clamp(0.0, 1.0))
                .collect(),
            code: (0..STEPS).map(|step| (255.0 * at(step).powf(2.0 / 2.4)).round() as u8).collect(),
        }
    }

    /// R'G'B' signals of BT.2020 primaries, 0 to 1, of some pixels to 8-bit codes of BT.709, as many. One
    /// step after the other over all of them: roots are taken several at a time.
    pub(crate) fn apply(&self, signals: &mut [[f64; 3]], codes: &mut [u8]) {
        for value in signals.as_flattened_mut() {
            *value = look_up(&self.linear, *value);
        }
        if self.transfer == HdrTransfer::Hlg {
            for light in &mut *signals {
                // The display's system gamma of 1.2 acts on luminance.
                let luminance = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2];
                let gain = luminance.max(1e-6).powf(0.2);
                *light = light.map(|value| (value * gain).min(1.0));
            }
        }
        for value in signals.as_flattened_mut() {
            *value = value.max(0.0).sqrt();
        }
        for value in signals.as_flattened_mut() {
            *value = look_up(&self.mapped, *value);
        }
        for light in &mut *signals {
            let [red, green, blue] = *light;
            // ITU-R BT.2087: BT.2020 primaries to BT.709.
            *light = [
                1.660_491 * red - 0.587_641 * green - 0.072_850 * blue,
                -0.124_550 * red + 1.132_900 * green - 0.008_349 * blue,
                -0.018_151 * red - 0.100_579 * green + 1.118_730 * blue,
            ];
        }
        for value in signals.as_flattened_mut() {
            *value = value.max(0.0).sqrt();
        }
        for (code, &value) in codes.iter_mut().zip(signals.as_flattened()) {
            *code = self.code[nearest(value)];
        }
    }
}

/// The place of a value of 0 to 1 among the steps.
fn position(value: f64) -> f64 {
    value.clamp(0.0, 1.0) * (STEPS - 1) as f64
}

/// The step below a position. (To 32 bits and on from there: to 64 bits without a sign is slow.)
fn below(position: f64) -> usize {
    position as i32 as usize
}

/// The nearest step, halves up. (Written out: on processors without SSE4.1 `round` is a call.)
fn nearest(value: f64) -> usize {
    let position = position(value);
    let below = below(position);
    below + usize::from(position - below as i32 as f64 >= 0.5)
}

/// Linear between the steps: where a saturated colour leaves BT.709, channels cancel out, and what
/// is left must not be the tables' own coarseness.
fn look_up(table: &[f64], value: f64) -> f64 {
    let position = position(value);
    let below = below(position).min(STEPS - 2);
    let share = position - below as i32 as f64;
    table[below] + share * (table[below + 1] - table[below])
}

const M1: f64 = 2610.0 / 16384.0;
const M2: f64 = 2523.0 / 4096.0 * 128.0;
const C1: f64 = 3424.0 / 4096.0;
const C2: f64 = 2413.0 / 4096.0 * 32.0;
const C3: f64 = 2392.0 / 4096.0 * 32.0;

/// ST 2084 signal to cd/m².
fn pq_to_light(signal: f64) -> f64 {
    let power = signal.max(0.0).powf(1.0 / M2);
    10_000.0 * ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1)
}

/// cd/m² to ST 2084 signal.
fn light_to_pq(light: f64) -> f64 {
    let power = (light.max(0.0) / 10_000.0).powf(M1);
    ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
}

/// The inverse OETF of HLG (BT.2100 table 5), scene light 0 to 1.
fn hlg_to_scene(signal: f64) -> f64 {
    let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_73);
    if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / a).exp() + b) / 12.0 }
}

/// BT.2390's EETF: light on a display of 1000 cd/m² to light on one of 203 cd/m². Black is 0 on
/// both; below the knee nothing changes, above it a Hermite spline rolls off to the white.
fn eetf(light: f64) -> f64 {
    let peak = light_to_pq(PEAK);
    let signal = (light_to_pq(light) / peak).clamp(0.0, 1.0);
    let white = light_to_pq(WHITE) / peak;
    let knee = 1.5 * white - 0.5;
    let rolled = if signal < knee {
        signal
    } else {
        let t = (signal - knee) / (1.0 - knee);
        let (t2, t3) = (t * t, t * t * t);
        (2.0 * t3 - 3.0 * t2 + 1.0) * knee
            + (t3 - 2.0 * t2 + t) * (1.0 - knee)
            + (-2.0 * t3 + 3.0 * t2) * white
    };
    pq_to_light(rolled * peak)
}
