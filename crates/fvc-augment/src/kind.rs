//! [`Kind`] and [`Draw`]: the registry of augmentations, and the one recorded draw of a variant.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fvc_media::{ContentId, DecodeCounters, Rational, Window};
use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::{AugmentError, brightness, contrast, flip, gaussian_noise, rotation, transcode};

/// What is done to a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Turned about the centre, black where nothing was.
    Rotation,
    /// Mirrored left to right.
    Flip,
    /// Blended with black.
    Brightness,
    /// Blended with the window's mean grey.
    Contrast,
    /// Fresh Gaussian noise on every sample.
    GaussianNoise,
    /// Encoded as H.264 and decoded again.
    #[serde(rename = "h264_transcode")]
    H264Transcode,
}

/// Draws the parameters of a kind from a seed.
type DrawParameters = fn(&mut Random) -> BTreeMap<String, f64>;

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Rotation,
        Self::Flip,
        Self::Brightness,
        Self::Contrast,
        Self::GaussianNoise,
        Self::H264Transcode,
    ];

    /// The registry: name and draw of each kind.
    const fn entry(self) -> (&'static str, DrawParameters) {
        match self {
            Self::Rotation => ("rotation", rotation::draw),
            Self::Flip => ("flip", flip::draw),
            Self::Brightness => ("brightness", brightness::draw),
            Self::Contrast => ("contrast", contrast::draw),
            Self::GaussianNoise => ("gaussian_noise", gaussian_noise::draw),
            Self::H264Transcode => ("h264_transcode", transcode::draw),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.entry().0)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.entry().0 == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.entry().0).collect();
            format!("expected one of {}, found {text:?}", names.join(", "))
        })
    }
}

/// The one draw of a variant: kind and parameters for the whole clip, never for a frame. The record
/// alone replays the variant bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// Number of the variant, from 1.
    pub variant: u32,
    /// What is done.
    pub kind: Kind,
    /// Seed of what is random inside (noise).
    pub seed: u64,
    /// The drawn parameters by name.
    pub parameters: BTreeMap<String, f64>,
}

impl Draw {
    /// The draw of a variant of a source, from the content id and the variant's number: the same on
    /// every machine. Kinds are taken in turn, in an order that the content id draws.
    ///
    /// # Errors
    /// Variant 0, or no kinds.
    pub fn for_variant(
        id: &ContentId,
        variant: u32,
        enabled: &[Kind],
    ) -> Result<Self, AugmentError> {
        if variant == 0 || enabled.is_empty() {
            return Err(AugmentError::NothingToDraw { variant, kinds: enabled.len() });
        }
        let mut kinds = enabled.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        let mut order = Random::new(id.seed("augment order v1"), "order");
        for at in (1..kinds.len()).rev() {
            let other = order.integer(0, at as u64) as usize;
            kinds.swap(at, other);
        }
        let kind = kinds[(variant as usize - 1) % kinds.len()];
        let seed = id.seed(&format!("augment v1 variant {variant} {kind}"));
        let parameters = (kind.entry().1)(&mut Random::new(seed, "parameters"));
        Ok(Self { variant, kind, seed, parameters })
    }

    /// Applies the draw to a window; positions and times of the frames stay.
    ///
    /// # Errors
    /// The record lacks a parameter, or the transcode fails.
    pub fn apply(
        &self,
        window: &Window,
        frame_rate: Rational,
        counters: &DecodeCounters,
    ) -> Result<Window, AugmentError> {
        let mut changed = window.clone();
        match self.kind {
            Kind::Rotation => rotation::apply(self, &mut changed)?,
            Kind::Flip => flip::apply(&mut changed),
            Kind::Brightness => brightness::apply(self, &mut changed)?,
            Kind::Contrast => contrast::apply(self, &mut changed)?,
            Kind::GaussianNoise => gaussian_noise::apply(self, &mut changed)?,
            Kind::H264Transcode => transcode::apply(self, &mut changed, frame_rate, counters)?,
        }
        Ok(changed)
    }

    /// Whether the variant went through a real encoder.
    pub fn is_transcode(&self) -> bool {
        self.kind == Kind::H264Transcode
    }

    pub(crate) fn parameter(&self, name: &'static str) -> Result<f64, AugmentError> {
        self.parameters
            .get(name)
            .copied()
            .filter(|value| value.is_finite())
            .ok_or_else(|| AugmentError::Parameter { kind: self.kind.to_string(), name })
    }
}
