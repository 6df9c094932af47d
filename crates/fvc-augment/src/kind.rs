//! [`Kind`]: the registry of augmentations.
//!
//! To add one: a file that holds its [`Recipe`], a `mod` line in `lib.rs` and one line in the
//! registry below. Drawing, recording, replaying, checking and listing follow from the recipe's
//! parameter table.

use std::fmt;
use std::str::FromStr;

use fvc_media::{DecodeCounters, Rational, Window};
use serde::{Deserialize, Serialize};

use crate::parameter::{self, Values};
use crate::{
    AugmentError, Parameter, affine, brightness, contrast, crop, cutout, elastic, flip,
    frame_rate_conversion, gaussian_blur, gaussian_noise, h264_transcode, jpeg_recompression,
    platform_transcode, resolution_jitter, rotation, saturation, temporal_drop, temporal_duplicate,
    temporal_reverse,
};

/// What an augmentation is: its file holds one of these.
pub(crate) struct Recipe {
    /// Its name in records and on the command line.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    /// What is drawn once a clip.
    pub(crate) parameters: &'static [Parameter],
    /// Whether the frames go through a video encoder: such variants are stored.
    pub(crate) encodes: bool,
    /// Makes the variant of one window; number, size, indices and times of the frames stay.
    pub(crate) apply: fn(&Occasion<'_>, &Window) -> Result<Window, AugmentError>,
}

/// What a recipe may use beside the frames.
pub(crate) struct Occasion<'a> {
    kind: &'static str,
    values: &'a Values,
    pub(crate) seed: u64,
    pub(crate) frame_rate: Rational,
    pub(crate) counters: &'a DecodeCounters,
}

impl<'a> Occasion<'a> {
    pub(crate) fn new(
        kind: Kind,
        values: &'a Values,
        seed: u64,
        frame_rate: Rational,
        counters: &'a DecodeCounters,
    ) -> Self {
        Self { kind: kind.name(), values, seed, frame_rate, counters }
    }

    /// A parameter of the recipe's table.
    pub(crate) fn value(&self, name: &'static str) -> Result<f64, AugmentError> {
        parameter::value(self.kind, self.values, name)
    }
}

macro_rules! registry {
    ($($kind:ident = $recipe:path, $about:literal;)+) => {
        /// A kind of augmentation. Written by its name, such as `gaussian_noise`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $(#[doc = $about] $kind,)+
        }

        impl Kind {
            /// All kinds, in the order of the registry.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),+];

            pub(crate) fn recipe(self) -> &'static Recipe {
                match self {
                    $(Kind::$kind => &$recipe,)+
                }
            }
        }
    };
}

registry! {
    Rotation = rotation::RECIPE, "Turned about its centre.";
    Flip = flip::RECIPE, "Mirrored left to right.";
    Brightness = brightness::RECIPE, "Brighter or darker.";
    Contrast = contrast::RECIPE, "More or less contrast.";
    GaussianNoise = gaussian_noise::RECIPE, "With normal noise.";
    H264Transcode = h264_transcode::RECIPE, "Encoded as H.264 and decoded again.";
    Saturation = saturation::RECIPE, "More or less colourful.";
    GaussianBlur = gaussian_blur::RECIPE, "Blurred.";
    Affine = affine::RECIPE, "Scaled, sheared and moved.";
    Cutout = cutout::RECIPE, "With a black rectangle.";
    Crop = crop::RECIPE, "Cropped and enlarged again.";
    ResolutionJitter = resolution_jitter::RECIPE, "Made smaller and enlarged again.";
    TemporalDrop = temporal_drop::RECIPE, "With frames lost.";
    TemporalDuplicate = temporal_duplicate::RECIPE, "With frames shown twice.";
    TemporalReverse = temporal_reverse::RECIPE, "Shown back to front.";
    FrameRateConversion = frame_rate_conversion::RECIPE, "At a lower frame rate and back.";
    JpegRecompression = jpeg_recompression::RECIPE, "Stored as JPEG pictures and read again.";
    Elastic = elastic::RECIPE, "Bent by a smooth field.";
    PlatformTranscode = platform_transcode::RECIPE, "Encoded as a platform would do it.";
}

impl Kind {
    /// The kinds that are used where none are named.
    pub const DEFAULT: &'static [Kind] = &[
        Self::Rotation,
        Self::Flip,
        Self::Brightness,
        Self::Contrast,
        Self::GaussianNoise,
        Self::H264Transcode,
    ];

    /// Its name in records and on the command line.
    pub fn name(self) -> &'static str {
        self.recipe().name
    }

    /// One line about it.
    pub fn about(self) -> &'static str {
        self.recipe().about
    }

    /// What is drawn once a clip, with ranges.
    pub fn parameters(self) -> &'static [Parameter] {
        self.recipe().parameters
    }

    pub(crate) fn names() -> String {
        Self::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
            AugmentError::UnknownKind {
                what: "augmentation",
                expected: Self::names(),
                found: text.to_owned(),
            }
        })
    }
}
