//! HDR to SDR by one curve: the EETF of ITU-R BT.2390-10, section 5.4, from 1000 cd/m² to the SDR
//! reference white of 203 cd/m² (ITU-R BT.2408), on each of R, G, B; then BT.2020 to BT.709
//! primaries, clipped; then the inverse of the BT.1886 display curve (gamma 2.4).
//!
//! PQ is SMPTE ST 2084; HLG is ITU-R BT.2100 with a display of 1000 cd/m² (system gamma 1.2).

/// An HDR transfer curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HdrTransfer {
    /// SMPTE ST 2084.
    Pq,
    /// ARIB STD-B67.
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
    /// Light 0 to 1 to 8-bit codes.
    code: Vec<u8>,
}

impl ToneMap {
    pub(crate) fn new(transfer: HdrTransfer) -> Self {
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
            code: (0..STEPS).map(|step| (255.0 * at(step).powf(1.0 / 2.4)).round() as u8).collect(),
        }
    }

    /// R'G'B' signals to 8-bit codes.
    pub(crate) fn apply(&self, signal: [f64; 3]) -> [u8; 3] {
        let mut light = signal.map(|value| look_up(&self.linear, value));
        if self.transfer == HdrTransfer::Hlg {
            // The display's system gamma of 1.2 acts on luminance.
            let luminance = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2];
            let gain = luminance.max(1e-6).powf(0.2);
            light = light.map(|value| (value * gain).min(1.0));
        }
        let [red, green, blue] = light.map(|value| look_up(&self.mapped, value.max(0.0).sqrt()));
        // ITU-R BT.2087: BT.2020 primaries to BT.709.
        [
            1.6605 * red - 0.5876 * green - 0.0728 * blue,
            -0.1246 * red + 1.1329 * green - 0.0083 * blue,
            -0.0182 * red - 0.1006 * green + 1.1187 * blue,
        ]
        .map(|value| self.code[index(value)])
    }
}

fn index(value: f64) -> usize {
    (value.clamp(0.0, 1.0) * (STEPS - 1) as f64).round() as usize
}

fn look_up(table: &[f64], value: f64) -> f64 {
    table[index(value)]
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
