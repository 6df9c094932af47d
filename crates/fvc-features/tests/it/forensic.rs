//! Forensic features: what a planted defect does to them, what must not change them.

use std::collections::BTreeMap;

use fvc_features::{FORENSIC, ForensicExtractor};
use fvc_media::Frame;
use serde_json::Value;

use crate::measured::assert_near;
use crate::picture::{Kind, pixels};

/// A number from 0 to 7 that looks drawn.
fn grain(x: usize, y: usize, time: usize) -> u8 {
    let mut mixed = (x as u32)
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add((y as u32).wrapping_mul(0x85EB_CA77))
        .wrapping_add((time as u32).wrapping_mul(0xC2B2_AE3D));
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_mul(0x2C1B_3C6D);
    (mixed >> 29) as u8
}

/// Pictures of one clip, packed RGB.
#[derive(Clone)]
struct Clip {
    width: usize,
    height: usize,
    frames: Vec<Vec<u8>>,
}

impl Clip {
    /// A camera that pans over a still scene by `pace` pixels a frame; every picture has its own grain.
    fn pan(width: usize, height: usize, count: usize, pace: usize) -> Self {
        let wide = width + pace * count;
        let scene = pixels(Kind::Scene, wide as u32, height as u32, 3);
        let frames = (0..count)
            .map(|time| {
                let mut frame = Vec::with_capacity(3 * width * height);
                for y in 0..height {
                    for x in 0..width {
                        let at = 3 * (y * wide + x + pace * time);
                        let grain = grain(x, y, time);
                        frame.extend(scene[at..at + 3].iter().map(|v| v.saturating_add(grain)));
                    }
                }
                frame
            })
            .collect();
        Self { width, height, frames }
    }

    fn values(&self) -> Vec<f64> {
        self.values_at(|at| at as u64)
    }

    fn values_at(&self, index: impl Fn(usize) -> u64) -> Vec<f64> {
        let mut extractor = ForensicExtractor::new();
        self.push(&mut extractor, index);
        extractor.finish()
    }

    fn push(&self, extractor: &mut ForensicExtractor, index: impl Fn(usize) -> u64) {
        for (at, frame) in self.frames.iter().enumerate() {
            let (width, height) = (self.width as u32, self.height as u32);
            extractor.push(&Frame::new(width, height, frame.clone(), index(at), 0.0).unwrap());
        }
    }

    fn measured(&self) -> BTreeMap<&'static str, f64> {
        named(&self.values())
    }

    /// The same with `change` applied to the pixels (red, green, blue) of a rectangle over a span of frames;
    /// it is given the frame as it was, and the place.
    fn with_region(
        &self,
        (left, top, wide, high): (usize, usize, usize, usize),
        span: std::ops::Range<usize>,
        change: impl Fn(&[u8], usize, usize) -> [u8; 3],
    ) -> Self {
        let mut made = self.clone();
        for time in span {
            for y in top..top + high {
                for x in left..left + wide {
                    let pixel = change(&self.frames[time], x, y);
                    let at = 3 * (y * self.width + x);
                    made.frames[time][at..at + 3].copy_from_slice(&pixel);
                }
            }
        }
        made
    }

    /// The frames in another order.
    fn shown(&self, order: impl IntoIterator<Item = usize>) -> Self {
        let frames = order.into_iter().map(|at| self.frames[at].clone()).collect();
        Self { frames, ..*self }
    }

    /// Mean of the square of `reach` pixels around, weighed against the pixel itself.
    fn blur(&self, frame: &[u8], (x, y): (usize, usize), reach: usize, weight: f64) -> [u8; 3] {
        let mut out = [0; 3];
        for (channel, out) in out.iter_mut().enumerate() {
            let value = |x: usize, y: usize| f64::from(frame[3 * (y * self.width + x) + channel]);
            let (mut sum, mut count) = (0.0, 0.0);
            for y in y.saturating_sub(reach)..=(y + reach).min(self.height - 1) {
                for x in x.saturating_sub(reach)..=(x + reach).min(self.width - 1) {
                    sum += value(x, y);
                    count += 1.0;
                }
            }
            *out = (weight * sum / count + (1.0 - weight) * value(x, y) + 0.5) as u8;
        }
        out
    }
}

fn named(values: &[f64]) -> BTreeMap<&'static str, f64> {
    assert_eq!(values.len(), FORENSIC.specs.len());
    FORENSIC.specs.iter().zip(values).map(|(spec, value)| (spec.name, *value)).collect()
}

/// Each of the clips has more (or less, for a negative `sign`) of a feature than the one before it.
fn assert_growing(name: &str, sign: f64, clips: &[Clip]) {
    let values: Vec<f64> = clips.iter().map(|clip| clip.measured()[name]).collect();
    for pair in values.windows(2) {
        assert!(sign * (pair[1] - pair[0]) > 0.0, "{name}: {values:?}");
    }
}

#[test]
fn more_removed_noise_larger_response() {
    let clip = Clip::pan(256, 192, 24, 0);
    let denoised = |weight: f64, span: std::ops::Range<usize>| {
        clip.with_region((96, 64, 64, 64), span, |frame, x, y| clip.blur(frame, (x, y), 1, weight))
    };
    // From the middle of the clip on: a step in time. All through: an area unlike its peers.
    let steps: Vec<Clip> = [0.0, 0.3, 0.8].map(|weight| denoised(weight, 12..24)).into();
    assert_growing("region_step_noise", 1.0, &steps);
    let areas: Vec<Clip> = [0.0, 0.3, 0.8].map(|weight| denoised(weight, 0..24)).into();
    assert_growing("region_low_noise", 1.0, &areas);
}

#[test]
fn more_change_of_a_region_larger_response() {
    let clip = Clip::pan(256, 192, 24, 1);
    let brighter = |levels: u8| {
        clip.with_region((96, 64, 64, 64), 10..24, |frame, x, y| {
            let at = 3 * (y * clip.width + x);
            [0, 1, 2].map(|channel| frame[at + channel].saturating_add(levels))
        })
    };
    let clips: Vec<Clip> = [0, 12, 40].map(brighter).into();
    for name in ["region_onset", "region_residual_onset", "region_step_luma", "region_step_joint"] {
        assert_growing(name, 1.0, &clips);
    }
    // A tint of the region alone is seen in the colours, not in the noise.
    let tinted = |levels: u8| {
        clip.with_region((96, 64, 64, 64), 10..24, |frame, x, y| {
            let at = 3 * (y * clip.width + x);
            [frame[at].saturating_add(levels), frame[at + 1], frame[at + 2]]
        })
    };
    assert_growing("region_step_red", 1.0, &[tinted(0), tinted(8), tinted(30)]);
}

#[test]
fn more_missing_frames_larger_response() {
    let clip = Clip::pan(256, 192, 40, 2);
    let clips: Vec<Clip> =
        [0, 4, 12].map(|run| clip.shown((0..12).chain(12 + run..24 + run))).into();
    for name in ["difference_spike", "jump", "active_spike", "residual_spike"] {
        assert_growing(name, 1.0, &clips);
    }
}

#[test]
fn frames_shown_again_are_found() {
    let clip = Clip::pan(256, 192, 40, 2);
    let plain = clip.shown(0..30).measured();
    let again = clip.shown((0..18).chain(6..18)).measured();
    assert!(again["repetition"] < plain["repetition"] - 1.0, "{again:?}");
    // Other frames put in between: what is around them belongs together.
    let other = Clip::pan(256, 192, 60, 2);
    let put_in = clip.shown(0..24);
    let mut frames = put_in.frames.clone();
    frames.splice(
        10..10,
        other.frames[45..55].iter().map(|frame| frame.iter().map(|value| 255 - value).collect()),
    );
    let put_in = Clip { frames, ..put_in }.measured();
    assert!(put_in["bridge"] < plain["bridge"] - 1.0, "{put_in:?}");
    assert!(put_in["difference_spike_second"] > 1.0);
    assert!(put_in["cut_count"] >= 1.0 && plain["cut_count"] == 0.0);
    // A picture that stands.
    let frozen = clip.shown((0..12).chain([12; 8]).chain(13..24)).measured();
    assert!(frozen["still_run"] > 0.15 && plain["still_run"] == 0.0, "{frozen:?}");
    assert!(frozen["duplicate_share"] > 0.15);
}

#[test]
fn mixtures_of_frames_are_found() {
    let clip = Clip::pan(256, 192, 40, 3);
    let mix = |a: &[u8], b: &[u8]| -> Vec<u8> {
        a.iter().zip(b).map(|(a, b)| u8::midpoint(*a, *b)).collect()
    };
    let mut slow = clip.frames[..12].to_vec();
    for pair in clip.frames[11..20].windows(2) {
        slow.extend([mix(&pair[0], &pair[1]), pair[1].clone()]);
    }
    let slowed = Clip { frames: slow, ..clip }.measured();
    let plain = clip.shown(0..28).measured();
    assert!(slowed["mixture_low"] > plain["mixture_low"], "{slowed:?} {plain:?}");
    assert!(slowed["sharpness_unrest"] > plain["sharpness_unrest"]);
}

#[test]
fn grids_and_enlargement_are_found() {
    let still = |pixels: Vec<u8>| Clip { width: 256, height: 192, frames: vec![pixels; 4] };
    let scene = pixels(Kind::Scene, 256, 192, 3);
    // Blocks with a level of their own, on the grid and off it.
    let blocky = |phase: usize, strength: u8| {
        let mut pixels = scene.clone();
        for (at, value) in pixels.iter_mut().enumerate() {
            let (x, y) = (at / 3 % 256 + 8 - phase, at / 768 + 8 - phase);
            *value = value.saturating_add((grain(x / 8, y / 8, 9) * strength) / 2);
        }
        still(pixels)
    };
    assert_growing("grid_8", 1.0, &[blocky(0, 0), blocky(0, 4), blocky(0, 12)]);
    assert_growing("grid_8_elsewhere", 1.0, &[blocky(3, 0), blocky(3, 4), blocky(3, 12)]);
    // Enlarged by 4/3, linearly, both ways.
    let mut enlarged = vec![0; scene.len()];
    for y in 0..192 {
        for x in 0..256 {
            let (fx, fy) = (x * 3 % 4, y * 3 % 4);
            for channel in 0..3 {
                let value = |x: usize, y: usize| usize::from(scene[3 * (y * 256 + x) + channel]);
                let (x0, y0) = (x * 3 / 4, y * 3 / 4);
                let above = value(x0, y0) * (4 - fx) + value(x0 + 1, y0) * fx;
                let below = value(x0, y0 + 1) * (4 - fx) + value(x0 + 1, y0 + 1) * fx;
                enlarged[3 * (y * 256 + x) + channel] =
                    ((above * (4 - fy) + below * fy + 8) / 16) as u8;
            }
        }
    }
    // At 4/3 the period is four pixels, a harmonic of the blocks': what tells is its absence elsewhere and
    // the residue's correlation.
    let (plain, enlarged) = (still(scene.clone()).measured(), still(enlarged).measured());
    assert!(enlarged["noise_correlation"] > plain["noise_correlation"] + 0.1, "{enlarged:?}");
    assert!(enlarged["spectrum_high_band"] < plain["spectrum_high_band"] - 0.5);
    assert!(enlarged["dct_high_band"] < plain["dct_high_band"] - 0.5);
    // By 5/4 there is a peak of its own.
    let mut fifths = vec![0; scene.len()];
    for y in 0..192 {
        for x in 0..256 {
            let (x0, fx) = (x * 4 / 5, x * 4 % 5);
            for channel in 0..3 {
                let value = |x: usize| usize::from(scene[3 * (y * 256 + x) + channel]);
                fifths[3 * (y * 256 + x) + channel] =
                    ((value(x0) * (5 - fx) + value(x0 + 1) * fx + 2) / 5) as u8;
            }
        }
    }
    let fifths = still(fifths).measured();
    assert!(fifths["resampling_peak"] > plain["resampling_peak"] + 0.5, "{fifths:?}");
}

#[test]
fn a_gap_between_windows_is_no_jump() {
    let clip = Clip::pan(256, 192, 60, 2);
    let windows = Clip { frames: [&clip.frames[..16], &clip.frames[40..56]].concat(), ..clip };
    let index = |at: usize| if at < 16 { at as u64 } else { at as u64 + 24 };
    let apart = named(&windows.values_at(index));
    let joined = windows.measured();
    assert!(joined["difference_spike"] > apart["difference_spike"] + 1.0);
    assert!(apart["jump"] < 0.5 && apart["region_onset"] < joined["region_onset"]);
}

#[test]
fn a_little_less_light_changes_little() {
    let clip = Clip::pan(256, 192, 24, 2);
    let mut darker = clip.clone();
    for frame in &mut darker.frames {
        for value in frame {
            *value = (f64::from(*value) * 0.8 + 0.5) as u8;
        }
    }
    let (light, dark) = (clip.measured(), darker.measured());
    for (name, value) in &light {
        // Rounding is noise of its own, and first digits and gaps are of absolute levels.
        let absolute = ["dct_first_digits", "dct_gaps", "noise_by_luma", "flicker", "white_drift"];
        if !absolute.contains(name) {
            assert!((value - dark[name]).abs() < 0.35, "{name}: {value} {}", dark[name]);
        }
    }
}

#[test]
fn size_is_not_measured() {
    let (small, large) =
        (Clip::pan(256, 192, 24, 2).measured(), Clip::pan(512, 384, 24, 2).measured());
    for (name, value) in &small {
        // Of the same texture; the scene's shapes cover other shares of it, and robust z of more cells is
        // larger by their number's logarithm.
        assert!((value - large[name]).abs() < 1.2, "{name}: {value} {}", large[name]);
    }
}

/// Clips of many kinds, on which every feature must have a value, and not the same one.
fn corpus() -> Vec<Clip> {
    let pan = Clip::pan(256, 192, 60, 2);
    let still = Clip::pan(192, 144, 30, 0);
    let mut cut = pan.shown((0..14).chain(40..56));
    for frame in &mut cut.frames[14..] {
        for value in frame {
            *value = 255 - *value;
        }
    }
    let frozen = pan.shown((0..12).chain([12; 8]).chain(13..24));
    let again = pan.shown((0..18).chain(6..18));
    let upright = Clip::pan(144, 256, 20, 1);
    let large = Clip::pan(640, 360, 18, 4);
    let flat = Clip { width: 96, height: 80, frames: vec![vec![90; 3 * 96 * 80]; 18] };
    let noise = Clip {
        width: 128,
        height: 128,
        frames: (0..18).map(|seed| pixels(Kind::Static, 128, 128, seed)).collect(),
    };
    vec![pan.shown(0..40), still, cut, frozen, again, upright, large, flat, noise]
}

#[test]
fn every_feature_has_a_value_on_every_clip_and_not_always_the_same() {
    let rows: Vec<Vec<f64>> = corpus().iter().map(Clip::values).collect();
    for (at, spec) in FORENSIC.specs.iter().enumerate() {
        let values: Vec<f64> = rows.iter().map(|row| row[at]).collect();
        assert!(values.iter().all(|value| value.is_finite()), "{}: {values:?}", spec.name);
        assert!(values.iter().any(|value| *value != values[0]), "{}: {values:?}", spec.name);
    }
}

#[test]
fn what_is_too_short_or_too_small_is_missing() {
    assert!(ForensicExtractor::new().finish().iter().all(|value| value.is_nan()));
    let tiny = Clip::pan(40, 40, 20, 1);
    assert!(tiny.values().iter().all(|value| value.is_nan()));
    let one = Clip::pan(64, 64, 1, 0).measured();
    assert!(one["difference_spike"].is_nan() && one["region_onset"].is_nan());
    assert!(one["edge_width"].is_finite() && one["grid_8"].is_finite());
    // No number of frames makes it fall over.
    for frames in 2..12 {
        assert_eq!(Clip::pan(64, 64, frames, 1).values().len(), FORENSIC.specs.len());
    }
}

#[test]
fn what_was_measured_before_leaves_no_trace() {
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<u64>>();
    let mut used = ForensicExtractor::new();
    for clip in [Clip::pan(192, 144, 20, 1), Clip::pan(128, 160, 70, 1), Clip::pan(192, 144, 20, 1)]
    {
        clip.push(&mut used, |at| at as u64);
        assert_eq!(used.frames(), clip.frames.len() as u64);
        assert_eq!(bits(used.finish()), bits(clip.values()));
    }
}

#[test]
fn more_than_one_segment_is_pooled() {
    // The jump lies in the second segment, and is not lost in the first.
    let clip = Clip::pan(128, 96, 140, 1);
    let found = clip.shown((0..90).chain(110..140)).measured();
    let plain = clip.shown(0..120).measured();
    assert!(found["difference_spike"] > plain["difference_spike"] + 0.5, "{found:?}");
}

#[test]
fn golden_values_equal_numpy_and_opencv() {
    let golden: Value = serde_json::from_str(include_str!("../golden/forensic.json")).unwrap();
    let clips = golden["clips"].as_array().unwrap();
    assert!(clips.len() >= 4);
    for row in clips {
        let size = |name: &str| row[name].as_u64().unwrap() as usize;
        let (width, height) = (size("width"), size("height"));
        let kind = match row["kind"].as_str() {
            Some("scene") => Kind::Scene,
            Some("static") => Kind::Static,
            other => panic!("no picture is called {other:?}"),
        };
        let frames = (0..size("frames") as u32)
            .map(|seed| pixels(kind, width as u32, height as u32, seed))
            .collect();
        let found = Clip { width, height, frames }.measured();
        let expected = row["values"].as_object().unwrap();
        assert!(expected.len() >= 15);
        for (name, value) in expected {
            let what = format!("{name} of {} {width}x{height}", row["kind"]);
            // Coefficients of integers often lie half way between two levels: the last bit decides.
            let tolerance =
                if name.starts_with("dct_first") || name == "dct_gaps" { 2e-2 } else { 2e-4 };
            assert_near(&what, found[name.as_str()], value.as_f64().unwrap(), tolerance);
        }
    }
}

#[test]
fn values_are_these_bits_on_every_machine() {
    // FNV-1a over the bits of all values of three clips. It changes only together with the set's version.
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for clip in [Clip::pan(256, 192, 24, 2), Clip::pan(97, 161, 20, 1), Clip::pan(320, 180, 18, 3)]
    {
        for value in clip.values() {
            let bits = if value.is_nan() { 0 } else { value.to_bits() };
            for byte in bits.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
    }
    assert_eq!((FORENSIC.version, hash), (1, 0x3081_58d2_60c9_1f4a), "{hash:#018x}");
}

#[test]
fn the_schema_is_whole() {
    let columns = FORENSIC.columns("forensic");
    assert_eq!(columns.len(), FORENSIC.specs.len());
    assert_eq!(columns.iter().collect::<std::collections::BTreeSet<_>>().len(), columns.len());
    for (column, spec) in columns.iter().zip(FORENSIC.specs) {
        assert_eq!(FORENSIC.family_of_column("forensic", column), Some(spec.family));
        assert!(spec.definition.len() > 20 && !spec.unit.is_empty() && !spec.range.is_empty());
    }
}
