//! [`Forgery`]: a manipulated twin of an authentic clip, and the registry of its kinds.
//!
//! To add a kind: a file in `forgery/` that holds its [`Recipe`], a line in the registry below, a
//! `mod` line, and its rows in [`FORGERY_PARAMETERS`].
//!
//! # Twins of one length
//! A deletion shortens the clip and a duplication lengthens it, and the length alone must not
//! tell the twins apart (an insertion and a change of speed do either): encode the first [`Forgery::twin_frames`] frames of the authentic clip
//! and of the forged one. What was forged always lies within these.

mod copy_move;
mod donor;
mod drift;
mod frame_deletion;
mod frame_duplication;
mod frame_insertion;
mod frame_reordering;
mod graphics_overlay;
mod inpainting;
mod interpolation;
mod local;
mod local_blur;
mod local_denoise;
mod local_noise;
mod local_resample;
mod local_warp;
mod membrane;
mod motion;
mod object_swap;
mod parameters;
mod paste;
mod poisson_splice;
mod recompressed_region;
mod region;
mod region_splice;
mod run;
mod sampling;
mod speed_change;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fvc_media::{DecodeCounters, Frame, FrameSpan, Rational};
use serde::{Deserialize, Serialize};

pub use motion::{MOTION_FLOOR, motion};
pub use parameters::{FORGERY_PARAMETERS, ForgeryParameter};
pub use region::Region;

use crate::parameter::{self, Parameter, Values};
use crate::random::Random;
use crate::{AugmentError, frames};

/// Number, size and rate of the frames of a clip that is to be forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Frames.
    pub frames: u64,
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second: a forgery lasts at least 0.4 s.
    pub frame_rate: Rational,
}

/// Where a forgery lies, resolved from its drawn parameters.
struct Place {
    region: Option<Region>,
    source: Option<Region>,
    span: FrameSpan,
}

impl Place {
    /// A run of whole frames.
    fn run(first: u64, length: u64) -> Self {
        let span = FrameSpan { first, last: first + length.max(1) - 1 };
        Self { region: None, source: None, span }
    }
}

/// What a forgery is made of.
struct Material<'a> {
    /// The authentic clip: at least one frame, all of one size.
    frames: &'a [Frame],
    /// Another clip's frames; none for kinds that need no donor.
    donor: &'a [Frame],
    /// Where decodes of our own encodes are counted.
    counters: &'a DecodeCounters,
}

/// Makes the forged clip.
type Apply = fn(&Forgery, &Material<'_>) -> Result<Vec<Frame>, AugmentError>;

/// Says where a forgery lies.
type Placing = fn(&Values, &mut Random, Extent) -> Result<Place, AugmentError>;

/// What a kind of forgery is: its file holds one of these.
struct Recipe {
    name: &'static str,
    about: &'static str,
    needs_donor: bool,
    /// Whether it changes nothing that can be seen where nothing moves.
    needs_motion: bool,
    place: Placing,
    apply: Apply,
    /// Frames that the clip gains, or loses where it is negative.
    growth: fn(&Forgery) -> Result<i64, AugmentError>,
    /// The span of the forged clip that is not authentic.
    affected: fn(&Forgery) -> FrameSpan,
}

impl Recipe {
    /// A kind that changes a region and leaves the order of frames.
    const fn local(name: &'static str, about: &'static str, place: Placing, apply: Apply) -> Self {
        Self {
            name,
            about,
            needs_donor: false,
            needs_motion: false,
            place,
            apply,
            growth: |_| Ok(0),
            affected: |forgery| forgery.span,
        }
    }

    /// A kind that shows whole frames at other times.
    const fn temporal(
        name: &'static str,
        about: &'static str,
        place: Placing,
        apply: Apply,
    ) -> Self {
        Self { needs_motion: true, ..Self::local(name, about, place, apply) }
    }
}

macro_rules! registry {
    ($($kind:ident = $recipe:path, $about:literal;)+) => {
        /// A kind of forgery. Written by its name, such as `region_splice`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ForgeryKind {
            $(#[doc = $about] $kind,)+
        }

        impl ForgeryKind {
            /// All kinds, in the order of the registry.
            pub const ALL: &'static [ForgeryKind] = &[$(ForgeryKind::$kind),+];

            fn recipe(self) -> &'static Recipe {
                match self {
                    $(ForgeryKind::$kind => &$recipe,)+
                }
            }
        }
    };
}

registry! {
    RegionSplice = region_splice::RECIPE, "A region of another clip laid over it.";
    PoissonSplice = poisson_splice::RECIPE, "A region of another clip cloned into it by its gradients.";
    ObjectSwap = object_swap::RECIPE, "A face or object replaced by one of another clip.";
    CopyMove = copy_move::RECIPE, "A region laid over another place of the same frame.";
    Inpainting = inpainting::RECIPE, "What is in a region removed, and the hole filled.";
    LocalResample = local_resample::RECIPE, "A region sampled anew.";
    LocalWarp = local_warp::RECIPE, "A region bent.";
    LocalBlur = local_blur::RECIPE, "A region smoothed.";
    LocalDenoise = local_denoise::RECIPE, "Noise taken out of a region.";
    LocalNoise = local_noise::RECIPE, "Noise added to a region.";
    RecompressedRegion = recompressed_region::RECIPE, "A region after a stronger encode.";
    GraphicsOverlay = graphics_overlay::RECIPE, "Rendered graphics laid over it.";
    FrameInsertion = frame_insertion::RECIPE, "A run of another clip's frames put in.";
    FrameDeletion = frame_deletion::RECIPE, "A run of frames removed.";
    FrameDuplication = frame_duplication::RECIPE, "A run of frames shown twice.";
    FrameReordering = frame_reordering::RECIPE, "A run of frames in another order.";
    SpeedChange = speed_change::RECIPE, "A run of frames slower or faster.";
}

impl ForgeryKind {
    /// Its name in records and on the command line.
    pub fn name(self) -> &'static str {
        self.recipe().name
    }

    /// One line about it.
    pub fn about(self) -> &'static str {
        self.recipe().about
    }

    /// Whether it takes frames of another clip.
    pub fn needs_donor(self) -> bool {
        self.recipe().needs_donor
    }

    /// Whether it changes nothing that can be seen where nothing moves: forge it only where
    /// [`motion`] over the span is [`MOTION_FLOOR`] or more.
    pub fn needs_motion(self) -> bool {
        self.recipe().needs_motion
    }

    /// Whether it changes a region of frames, and not their order.
    pub fn is_spatial(self) -> bool {
        self.parameters().any(|parameter| parameter.name == "area_share")
    }

    /// Its rows of [`FORGERY_PARAMETERS`].
    pub fn parameters(self) -> impl Iterator<Item = &'static Parameter> + Clone {
        FORGERY_PARAMETERS.iter().filter(move |row| row.kind == self).map(|row| &row.parameter)
    }
}

impl fmt::Display for ForgeryKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ForgeryKind {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|kind| kind.name() == text);
        known.ok_or_else(|| AugmentError::UnknownKind {
            what: "forgery",
            expected: Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
            found: text.to_owned(),
        })
    }
}

/// One forgery of one clip, written down: the record alone (with the donor, where the kind needs
/// one) makes the same bits again; `recompressed_region` needs the same FFmpeg and x264 for that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgery {
    /// What is done.
    pub kind: ForgeryKind,
    /// What parameters and place were drawn from.
    pub seed: u64,
    /// The drawn parameters by name: just the kind's rows of [`FORGERY_PARAMETERS`].
    pub parameters: BTreeMap<String, f64>,
    /// The region that is laid over, where it is in the first frame of the span; none for
    /// temporal kinds.
    pub region: Option<Region>,
    /// Where in the same frame a copy-move and a healing brush take their pixels from.
    #[serde(default)]
    pub source: Option<Region>,
    /// The frames that are changed, removed, repeated or moved, by their position in the authentic
    /// clip from 0; of frames that are put in, their position in the forged one.
    pub span: FrameSpan,
}

impl Forgery {
    /// Draws a forgery of this kind for a clip of this extent: the same on every machine.
    ///
    /// # Errors
    /// The clip is too short (0.4 s for a span with a region; twice that, and 8 frames, for a run of
    /// frames), has no frame rate, or its picture has a side below 64 pixels (for spatial kinds).
    pub fn draw(kind: ForgeryKind, seed: u64, extent: Extent) -> Result<Self, AugmentError> {
        let mut random = Random::new(seed);
        let parameters: Values = kind
            .parameters()
            .map(|parameter| (parameter.name.to_owned(), parameter.draw(&mut random)))
            .collect();
        let Place { region, source, span } =
            (kind.recipe().place)(&parameters, &mut random, extent)?;
        Ok(Self { kind, seed, parameters, region, source, span })
    }

    /// The forged clip. Its frames count on in index and time without a gap, as those of a clip
    /// that was never touched: frame i has the index and time of the authentic frame i, and beyond
    /// the end the mean step goes on.
    ///
    /// `donor` is another clip's frames, for [kinds that need one](ForgeryKind::needs_donor): at
    /// least as many as the span has, and at least as large as the region (for a swap, as what is
    /// scaled to it; frames that are put in may be of any size). A decode of what was encoded on
    /// the way is counted in `counters` as our own.
    ///
    /// # Errors
    /// The record does not fit the clip or itself; the donor is missing or too small; an encode on
    /// the way fails; or the forgery would change nothing that can be seen (a still scene, a flat
    /// region): then draw again with another seed.
    pub fn apply(
        &self,
        frames: &[Frame],
        donor: Option<&[Frame]>,
        counters: &DecodeCounters,
    ) -> Result<Vec<Frame>, AugmentError> {
        let recipe = self.kind.recipe();
        parameter::check(recipe.name, &self.kind.parameters(), &self.parameters)?;
        frames::common_size(recipe.name, frames)?;
        let count = frames.len() as u64;
        if self.span.first > self.span.last || self.span.last >= count {
            return Err(AugmentError::Record {
                kind: recipe.name,
                what: "span",
                expected: format!("within frames 0 to {}", count - 1),
                found: format!("{} to {}", self.span.first, self.span.last),
            });
        }
        let donor = match donor {
            Some(donor) if recipe.needs_donor => donor,
            None if recipe.needs_donor => {
                return Err(AugmentError::Donor {
                    kind: recipe.name,
                    expected: "the frames of another clip".to_owned(),
                    found: "none".to_owned(),
                });
            }
            _ => &[],
        };
        (recipe.apply)(self, &Material { frames, donor, counters })
    }

    /// Whether [`apply`](Self::apply) takes the frames of another clip.
    pub fn needs_donor(&self) -> bool {
        self.kind.needs_donor()
    }

    /// Frames of the forged clip when the authentic one has `frames`.
    pub fn output_frames(&self, frames: u64) -> u64 {
        // A record that lacks the parameters for it is refused before it is applied.
        frames.saturating_add_signed((self.kind.recipe().growth)(self).unwrap_or(0))
    }

    /// How many frames of both, the authentic and the forged clip, make twins of one length.
    pub fn twin_frames(&self, frames: u64) -> u64 {
        frames.min(self.output_frames(frames))
    }

    /// The frames of the forged clip that are not authentic: those with the region, the two on
    /// either side of a cut, the second showing of a run, or those that were put in, moved or
    /// mixed.
    pub fn affected(&self) -> FrameSpan {
        (self.kind.recipe().affected)(self)
    }

    /// The region in this frame of a forged clip of `width` x `height` pixels: where it has drifted
    /// to by then. None in frames that are authentic, and for kinds that change whole frames.
    pub fn region_at(&self, frame: u64, width: u32, height: u32) -> Option<Region> {
        let FrameSpan { first, last } = self.span;
        let region = self.region.filter(|_| (first..=last).contains(&frame))?;
        if !self.parameters.contains_key("moving") {
            return Some(region);
        }
        let drift = drift::drift(self.name(), &self.parameters, width, height).ok()?;
        drift::moved(region, drift, frame - first, last - first)
    }

    /// Frames of the span.
    fn length(&self) -> u64 {
        self.span.last.saturating_sub(self.span.first).saturating_add(1)
    }

    fn name(&self) -> &'static str {
        self.kind.recipe().name
    }

    fn value(&self, name: &'static str) -> Result<f64, AugmentError> {
        parameter::value(self.name(), &self.parameters, name)
    }
}
