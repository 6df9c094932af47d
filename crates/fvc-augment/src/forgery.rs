//! [`Forgery`]: a manipulated twin of an authentic clip, and the registry of its kinds.
//!
//! To add a kind: a file in `forgery/` that holds its [`Recipe`], a line in the registry below, a
//! `mod` line, and its rows in [`FORGERY_PARAMETERS`].
//!
//! # Twins of one length
//! A deletion shortens the clip and a duplication lengthens it, and the length alone must not
//! tell the twins apart: encode the first [`Forgery::twin_frames`] frames of the authentic clip
//! and of the forged one. What was forged always lies within these.

mod copy_move;
mod frame_deletion;
mod frame_duplication;
mod parameters;
mod paste;
mod region;
mod region_splice;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fvc_media::{Frame, FrameSpan};
use serde::{Deserialize, Serialize};

pub use parameters::{FORGERY_PARAMETERS, ForgeryParameter};
pub use region::Region;

use crate::parameter::{self, Parameter, Values};
use crate::random::Random;
use crate::{AugmentError, frames};

/// Number and size of the frames of a clip that is to be forged.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    frames: u64,
    width: u32,
    height: u32,
}

/// Where a forgery lies, resolved from its drawn parameters.
struct Place {
    region: Option<Region>,
    source: Option<Region>,
    span: FrameSpan,
}

/// Makes the forged clip of the authentic one and, where the kind needs it, of a donor.
type Apply = fn(&Forgery, &[Frame], &[Frame]) -> Result<Vec<Frame>, AugmentError>;

/// What a kind of forgery is: its file holds one of these.
struct Recipe {
    name: &'static str,
    about: &'static str,
    needs_donor: bool,
    place: fn(&Values, &mut Random, Extent) -> Result<Place, AugmentError>,
    apply: Apply,
    /// Frames that the clip gains (or loses) for each frame of the span.
    growth: i64,
    /// The span of the forged clip that is not authentic.
    affected: fn(FrameSpan) -> FrameSpan,
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
    CopyMove = copy_move::RECIPE, "A region laid over another place of the same frame.";
    FrameDeletion = frame_deletion::RECIPE, "A run of frames removed.";
    FrameDuplication = frame_duplication::RECIPE, "A run of frames shown twice.";
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

/// One forgery of one clip, written down: the record alone (with the donor, for a splice) makes
/// the same bits again.
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
    /// Where a copy-move takes its region from.
    #[serde(default)]
    pub source: Option<Region>,
    /// The frames that are changed, removed or repeated, by their position in the authentic clip
    /// from 0.
    pub span: FrameSpan,
}

impl Forgery {
    /// Draws a forgery of this kind for a clip of `frames` frames of `width` x `height` pixels:
    /// the same on every machine.
    ///
    /// # Errors
    /// The clip has too few frames (8 for temporal kinds, else 1) or its picture a side below 64
    /// pixels (for spatial kinds).
    pub fn draw(
        kind: ForgeryKind,
        seed: u64,
        frames: u32,
        width: u32,
        height: u32,
    ) -> Result<Self, AugmentError> {
        let mut random = Random::new(seed);
        let parameters: Values = kind
            .parameters()
            .map(|parameter| (parameter.name.to_owned(), parameter.draw(&mut random)))
            .collect();
        let extent = Extent { frames: frames.into(), width, height };
        let Place { region, source, span } =
            (kind.recipe().place)(&parameters, &mut random, extent)?;
        Ok(Self { kind, seed, parameters, region, source, span })
    }

    /// The forged clip. Its frames count on in index and time without a gap, as those of a clip
    /// that was never touched: frame i has the index and time of the authentic frame i, and beyond
    /// the end the mean step goes on.
    ///
    /// `donor` is another clip's frames, needed by [`ForgeryKind::RegionSplice`] only: at least as
    /// many as the span has, and at least as large as the region.
    ///
    /// # Errors
    /// The record does not fit the clip or itself; the donor is missing or too small; or the
    /// forgery would change nothing that can be seen (a still scene, a flat region): then draw
    /// again with another seed.
    pub fn apply(
        &self,
        frames: &[Frame],
        donor: Option<&[Frame]>,
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
        (recipe.apply)(self, frames, donor)
    }

    /// Whether [`apply`](Self::apply) takes the frames of another clip.
    pub fn needs_donor(&self) -> bool {
        self.kind.needs_donor()
    }

    /// Frames of the forged clip when the authentic one has `frames`.
    pub fn output_frames(&self, frames: u64) -> u64 {
        frames.saturating_add_signed(self.kind.recipe().growth * self.length() as i64)
    }

    /// How many frames of both, the authentic and the forged clip, make twins of one length.
    pub fn twin_frames(&self, frames: u64) -> u64 {
        frames.min(self.output_frames(frames))
    }

    /// The frames of the forged clip that are not authentic: those with the region, the two on
    /// either side of a cut, or the second showing of a run.
    pub fn affected(&self) -> FrameSpan {
        (self.kind.recipe().affected)(self.span)
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
