//! [`Sampling`]: which frames of a source are looked at.

use serde::{Deserialize, Serialize};

use crate::{ContentId, FrameIndex, Rational};

/// Version of the way positions are drawn; part of [`Sampling::policy`].
pub const SAMPLING_VERSION: u32 = 1;

/// The most frames that one sampling may ask for.
const MAX_FRAMES: u64 = 4096;

/// Windows of consecutive frames at a stated rate.
///
/// The source is cut into as many equal stretches as there are windows, and each window starts at
/// a place in its stretch that is drawn from the content id: the same on every machine, and not
/// where an uploader would expect it. A source too short for all windows has fewer, and one
/// shorter than a window has one window of all its frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Number of windows, at least 1.
    pub windows: u32,
    /// Frames a window, at least 1.
    pub frames: u32,
    /// Frames a second within a window; missing: every frame of the source.
    pub rate: Option<Rational>,
}

impl Default for Sampling {
    /// 4 windows of 16 consecutive frames at the source's own rate.
    fn default() -> Self {
        Self { windows: 4, frames: 16, rate: None }
    }
}

/// A sampling that asks for nothing or too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Sampling {name}: expected {expected}, found {found}")]
pub struct SamplingError {
    /// The setting.
    pub name: &'static str,
    /// Its range.
    pub expected: String,
    /// What was given.
    pub found: String,
}

/// The frames that a sampling means in one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedSampling {
    /// The sampling, by [`Sampling::policy`].
    pub policy: String,
    /// For each window, the positions of its frames in the source in display order, never
    /// decreasing (a rate above the source's own shows a frame more than once).
    pub windows: Vec<Vec<u64>>,
}

impl Sampling {
    /// Checks that it asks for at least one frame, at most 4096, at a rate above zero.
    ///
    /// # Errors
    /// The setting that is out of range.
    pub fn check(&self) -> Result<(), SamplingError> {
        let asked = u64::from(self.windows) * u64::from(self.frames);
        if asked == 0 || asked > MAX_FRAMES {
            return Err(SamplingError {
                name: "windows x frames",
                expected: format!("1 to {MAX_FRAMES} frames"),
                found: format!("{} x {}", self.windows, self.frames),
            });
        }
        match self.rate {
            Some(rate) if rate.numerator <= 0 || rate.denominator <= 0 => Err(SamplingError {
                name: "rate",
                expected: "a rate above 0".to_owned(),
                found: rate.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// The name of this sampling, with its version: `v1-4x16-native`, `v1-4x16-12/1`.
    pub fn policy(&self) -> String {
        let rate = self.rate.map_or_else(|| "native".to_owned(), |rate| rate.to_string());
        format!("v{SAMPLING_VERSION}-{}x{}-{rate}", self.windows, self.frames)
    }

    /// The frames that this sampling means in the source with this index.
    pub fn resolve(&self, content_id: &ContentId, index: &FrameIndex) -> ResolvedSampling {
        let windows = match self.rate.and_then(Rational::value) {
            None => self.consecutive(content_id, index.frames()),
            Some(rate) => self.at_rate(content_id, index, rate),
        };
        ResolvedSampling { policy: self.policy(), windows }
    }

    fn consecutive(&self, content_id: &ContentId, total: u64) -> Vec<Vec<u64>> {
        let wanted = u64::from(self.frames.max(1));
        if total <= wanted {
            return if total == 0 { Vec::new() } else { vec![(0..total).collect()] };
        }
        let windows = u64::from(self.windows.max(1)).min(total / wanted);
        (0..windows)
            .map(|window| {
                let start = window * total / windows;
                let room = (window + 1) * total / windows - start - wanted;
                let start = start + self.draw(content_id, window) % (room + 1);
                (start..start + wanted).collect()
            })
            .collect()
    }

    fn at_rate(&self, content_id: &ContentId, index: &FrameIndex, rate: f64) -> Vec<Vec<u64>> {
        let times: Vec<f64> =
            (0..index.frame_times.len()).filter_map(|at| index.seconds(at)).collect();
        let Some(&last) = times.last() else { return Vec::new() };
        // The last frame is shown as long as frames are on average.
        let total = if times.len() > 1 {
            last * times.len() as f64 / (times.len() - 1) as f64
        } else {
            0.0
        };
        let span = f64::from(self.frames.max(1)) / rate;
        let fitting = (total / span).floor().max(1.0);
        let windows = f64::from(self.windows.max(1)).min(fitting) as u64;
        (0..windows)
            .map(|window| {
                let stretch = total / windows as f64;
                let room = (stretch - span).max(0.0);
                let unit = self.draw(content_id, window) as f64 / (u64::MAX as f64);
                let start = stretch * window as f64 + room * unit;
                (0..self.frames.max(1))
                    .map(|step| start + f64::from(step) / rate)
                    .take_while(|&time| time <= last + 1.0 / rate)
                    // The frame that is on screen at that time; half a microsecond forgives
                    // the rounding of timestamps.
                    .map(|time| {
                        (times.partition_point(|&own| own <= time + 5e-7).max(1) - 1) as u64
                    })
                    .collect()
            })
            .collect()
    }

    fn draw(&self, content_id: &ContentId, window: u64) -> u64 {
        content_id.seed(&format!("sampling {} window {window}", self.policy()))
    }
}

impl ResolvedSampling {
    /// Positions of all frames that are needed, each once, ascending.
    pub fn positions(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.windows.iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
