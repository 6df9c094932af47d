//! [`Forgery`]: manipulated twins of authentic clips.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fvc_media::{Frame, FrameSpan};
use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::random::Random;

/// A way to forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForgeryKind {
    /// A feathered region of another window of the clip, pasted over the whole span.
    RegionSplice,
    /// A feathered region of each frame, copied to another place of the same frame.
    CopyMove,
    /// A run of frames taken out.
    FrameDeletion,
    /// A run of frames shown twice.
    FrameDuplication,
}

/// A parameter and its range.
struct Range {
    kind: ForgeryKind,
    name: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
}

/// All parameter ranges, in one place.
const RANGES: [Range; 8] = [
    Range { kind: ForgeryKind::RegionSplice, name: "side", unit: "share of the side", low: 0.25, high: 0.5 },
    Range { kind: ForgeryKind::RegionSplice, name: "feather", unit: "share of the region", low: 0.05, high: 0.15 },
    Range { kind: ForgeryKind::RegionSplice, name: "span", unit: "share of the clip", low: 0.5, high: 1.0 },
    Range { kind: ForgeryKind::CopyMove, name: "side", unit: "share of the side", low: 0.2, high: 0.4 },
    Range { kind: ForgeryKind::CopyMove, name: "feather", unit: "share of the region", low: 0.05, high: 0.15 },
    Range { kind: ForgeryKind::CopyMove, name: "span", unit: "share of the clip", low: 0.5, high: 1.0 },
    Range { kind: ForgeryKind::FrameDeletion, name: "run", unit: "share of the clip", low: 0.1, high: 0.3 },
    Range { kind: ForgeryKind::FrameDuplication, name: "run", unit: "share of the clip", low: 0.1, high: 0.3 },
];

/// The kinds with their parameter ranges, for people.
pub fn forgery_table() -> String {
    let mut lines = vec![format!("{:<18} {:<8} {:>5} {:>5}  {}", "KIND", "NAME", "FROM", "TO", "UNIT")];
    for Range { kind, name, unit, low, high } in &RANGES {
        lines.push(format!("{:<18} {name:<8} {low:>5} {high:>5}  {unit}", kind.to_string()));
    }
    lines.join("\n")
}

impl ForgeryKind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::RegionSplice, Self::CopyMove, Self::FrameDeletion, Self::FrameDuplication];

    const fn name(self) -> &'static str {
        match self {
            Self::RegionSplice => "region_splice",
            Self::CopyMove => "copy_move",
            Self::FrameDeletion => "frame_deletion",
            Self::FrameDuplication => "frame_duplication",
        }
    }

    /// Whether it takes pixels from other frames than the clip's.
    pub const fn needs_donor(self) -> bool {
        matches!(self, Self::RegionSplice)
    }
}

impl fmt::Display for ForgeryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ForgeryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("expected one of {}, found {text:?}", names.join(", "))
        })
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// One drawn forgery; the record alone, with the frames, makes it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forgery {
    /// What is done.
    pub kind: ForgeryKind,
    /// Seed of the draw.
    pub seed: u64,
    /// The drawn parameters by name.
    pub parameters: BTreeMap<String, f64>,
    /// Where pixels are changed, where any are.
    pub region: Option<Region>,
    /// Which frames of the clip are changed, taken out or shown twice, both ends included.
    pub span: FrameSpan,
}

impl Forgery {
    /// Draws a forgery for a clip of this many frames of this size.
    ///
    /// # Errors
    /// Fewer than 8 frames, or a side below 16 pixels.
    pub fn draw(
        kind: ForgeryKind,
        seed: u64,
        frames: u32,
        width: u32,
        height: u32,
    ) -> Result<Self, AugmentError> {
        if frames < 8 || width < 16 || height < 16 {
            return Err(AugmentError::Clip {
                what: kind.to_string(),
                expected: "at least 8 frames of 16x16".to_owned(),
                found: format!("{frames} frames of {width}x{height}"),
            });
        }
        let mut random = Random::new(seed, kind.name());
        let mut parameters: BTreeMap<String, f64> = BTreeMap::new();
        for range in RANGES.iter().filter(|range| range.kind == kind) {
            parameters.insert(range.name.to_owned(), random.uniform(range.low, range.high));
        }
        let share = |name: &str| parameters.get(name).copied().unwrap_or(0.0);
        let run = share("span").max(share("run"));
        let length = ((f64::from(frames) * run).round() as u64).clamp(1, u64::from(frames) - 2);
        // Never the first frame: something must stand before the seam.
        let first = random.integer(1, u64::from(frames) - 1 - length);
        let span = FrameSpan { first, last: first + length - 1 };
        let side = share("side");
        let region = (side > 0.0).then(|| {
            let wide = ((f64::from(width) * side) as u32).max(4);
            let high = ((f64::from(height) * side) as u32).max(4);
            Region {
                x: random.integer(0, u64::from(width - wide)) as u32,
                y: random.integer(0, u64::from(height - high)) as u32,
                width: wide,
                height: high,
            }
        });
        if kind == ForgeryKind::CopyMove
            && let Some(region) = region
        {
            // As far away as the picture allows, in the direction with more room.
            let shift = |at: u32, length: u32, side: u32| {
                let (before, after) = (at, side - length - at);
                if after >= before { f64::from(after) } else { -f64::from(before) }
            };
            parameters.insert("shift_x".to_owned(), shift(region.x, region.width, width));
            parameters.insert("shift_y".to_owned(), shift(region.y, region.height, height));
        }
        Ok(Self { kind, seed, parameters, region, span })
    }

    /// How many frames come out when `frames` go in.
    pub fn output_frames(&self, frames: usize) -> usize {
        let length = (self.span.last - self.span.first + 1) as usize;
        match self.kind {
            ForgeryKind::RegionSplice | ForgeryKind::CopyMove => frames,
            ForgeryKind::FrameDeletion => frames - length.min(frames),
            ForgeryKind::FrameDuplication => frames + length,
        }
    }

    /// Makes the forged clip. More frames than the draw was made for may go in; they follow
    /// unchanged, so that a clip from which frames were taken out can be cut to the authentic
    /// twin's length.
    ///
    /// # Errors
    /// Fewer frames than the span needs, no donor where one is needed, or frames of different
    /// sizes.
    pub fn apply(
        &self,
        frames: &[Frame],
        donor: Option<&[Frame]>,
    ) -> Result<Vec<Frame>, AugmentError> {
        let wrong = |expected: String, found: String| AugmentError::Clip {
            what: self.kind.to_string(),
            expected,
            found,
        };
        let (first, last) = (self.span.first as usize, self.span.last as usize);
        if frames.len() <= last {
            return Err(wrong(format!("more than {last} frames"), format!("{}", frames.len())));
        }
        let size = (frames[0].width(), frames[0].height());
        let mut all = frames.iter().chain(donor.into_iter().flatten());
        if let Some(odd) = all.find(|frame| (frame.width(), frame.height()) != size) {
            return Err(wrong(
                format!("frames of {}x{}", size.0, size.1),
                format!("{}x{}", odd.width(), odd.height()),
            ));
        }
        let mut made = frames.to_vec();
        match self.kind {
            ForgeryKind::FrameDeletion => {
                made.drain(first..=last);
            }
            ForgeryKind::FrameDuplication => {
                let again = made[first..=last].to_vec();
                let after = last + 1;
                made.splice(after..after, again);
            }
            ForgeryKind::RegionSplice => {
                let donor = donor
                    .filter(|donor| !donor.is_empty())
                    .ok_or_else(|| wrong("frames of a donor".to_owned(), "none".to_owned()))?;
                let region = self.checked_region(size)?;
                for (at, frame) in made.iter_mut().enumerate().take(last + 1).skip(first) {
                    self.paste(frame, &donor[at % donor.len()], region, (0, 0));
                }
            }
            ForgeryKind::CopyMove => {
                let region = self.checked_region(size)?;
                let shift = |name| self.parameters.get(name).copied().unwrap_or(0.0) as i64;
                let shift = (shift("shift_x"), shift("shift_y"));
                let fits = |at: u32, length: u32, shift: i64, side: u32| {
                    let start = i64::from(at) + shift;
                    start >= 0 && start + i64::from(length) <= i64::from(side)
                };
                if !fits(region.x, region.width, shift.0, size.0)
                    || !fits(region.y, region.height, shift.1, size.1)
                {
                    return Err(wrong("a place inside the picture".to_owned(), format!("{shift:?}")));
                }
                for frame in &mut made[first..=last] {
                    let source = frame.clone();
                    self.paste(frame, &source, region, shift);
                }
            }
        }
        Ok(made)
    }

    fn checked_region(&self, size: (u32, u32)) -> Result<Region, AugmentError> {
        self.region
            .filter(|region| {
                u64::from(region.x) + u64::from(region.width) <= u64::from(size.0)
                    && u64::from(region.y) + u64::from(region.height) <= u64::from(size.1)
            })
            .ok_or_else(|| AugmentError::Clip {
                what: self.kind.to_string(),
                expected: "a region inside the picture".to_owned(),
                found: format!("{:?} in {}x{}", self.region, size.0, size.1),
            })
    }

    /// Blends `region` of `source` into `frame`, moved by `shift`; the edge fades over the feather.
    fn paste(&self, frame: &mut Frame, source: &Frame, region: Region, shift: (i64, i64)) {
        let feather = self.parameters.get("feather").copied().unwrap_or(0.1);
        let edge = (f64::from(region.width.min(region.height)) * feather).max(1.0) as u32;
        let width = frame.width() as usize;
        let ramp = |at: u32, length: u32| (at + 1).min(length - at).min(edge);
        let data = frame.data_mut();
        for y in 0..region.height {
            for x in 0..region.width {
                let weight = ramp(x, region.width).min(ramp(y, region.height));
                let from = 3 * ((region.y + y) as usize * width + (region.x + x) as usize);
                let to_x = (i64::from(region.x + x) + shift.0) as usize;
                let to_y = (i64::from(region.y + y) + shift.1) as usize;
                let to = 3 * (to_y * width + to_x);
                for channel in 0..3 {
                    let new = u32::from(source.data()[from + channel]) * weight;
                    let old = u32::from(data[to + channel]) * (edge - weight);
                    data[to + channel] = ((new + old + edge / 2) / edge) as u8;
                }
            }
        }
    }
}
