//! [`Draw`]: what makes a variant of a clip, written down.

use std::collections::BTreeMap;

use fvc_media::{ContentId, DecodeCounters, Rational, Window};
use serde::{Deserialize, Serialize};

use crate::kind::Occasion;
use crate::parameter::Recorded;
use crate::random::Random;
use crate::{AugmentError, Kind, parameter};

/// Version of the way variants are drawn and made: another one gives other pixels.
pub const AUGMENT_VERSION: u32 = 1;

/// One variant of one clip: its kind and the parameters that were drawn, once for the whole clip.
/// The record alone makes the same bits again, on any machine; a transcode needs the same FFmpeg
/// and x264 for that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Draw {
    /// Which variant of the source, from 1; 0 is the original.
    pub variant: u32,
    /// What is done.
    pub kind: Kind,
    /// Where the kind's own random numbers (noise) start.
    pub seed: u64,
    /// The drawn parameters by name: just those of [`Kind::parameters`]. One whose values have
    /// names is recorded by the name, whatever number it has here.
    pub parameters: BTreeMap<String, f64>,
}

/// A draw as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    variant: u32,
    kind: Kind,
    seed: u64,
    parameters: BTreeMap<String, Recorded>,
}

impl From<Draw> for Record {
    fn from(draw: Draw) -> Self {
        let table = draw.kind.parameters();
        let record = |(name, value): (String, f64)| {
            let recorded = Recorded::of(table, &name, value);
            (name, recorded)
        };
        Self {
            variant: draw.variant,
            kind: draw.kind,
            seed: draw.seed,
            parameters: draw.parameters.into_iter().map(record).collect(),
        }
    }
}

impl TryFrom<Record> for Draw {
    type Error = AugmentError;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        let (kind, table) = (record.kind.name(), record.kind.parameters());
        let read = |(name, recorded): (String, Recorded)| {
            let value = recorded.value(kind, table, &name)?;
            Ok::<_, AugmentError>((name, value))
        };
        Ok(Self {
            variant: record.variant,
            kind: record.kind,
            seed: record.seed,
            parameters: record.parameters.into_iter().map(read).collect::<Result<_, _>>()?,
        })
    }
}

impl Draw {
    /// Draws variant number `variant` of the source with this content id: the same on every
    /// machine, whatever the order of `enabled`.
    ///
    /// The kinds take turns in an order shuffled by the content id, so that the first
    /// `enabled.len()` variants are of as many kinds, and which kinds a source gets says nothing
    /// about it.
    ///
    /// # Errors
    /// `variant` is 0, or nothing is enabled.
    pub fn for_variant(
        id: &ContentId,
        variant: u32,
        enabled: &[Kind],
    ) -> Result<Self, AugmentError> {
        let mut kinds = enabled.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        let place = variant.checked_sub(1).ok_or(AugmentError::Variant { found: variant })?;
        Random::new(id.seed(&format!("augment v{AUGMENT_VERSION} order"))).shuffle(&mut kinds);
        let kind = *kinds
            .get(place as usize % kinds.len().max(1))
            .ok_or_else(|| AugmentError::NothingEnabled { expected: Kind::names() })?;
        let seed = id.seed(&format!("augment v{AUGMENT_VERSION} variant {variant} {kind}"));
        let mut random = Random::new(seed);
        let parameters = kind
            .parameters()
            .iter()
            .map(|parameter| (parameter.name.to_owned(), parameter.draw(&mut random)))
            .collect();
        Ok(Self { variant, kind, seed, parameters })
    }

    /// The variant of one window of the clip: as many frames, of the same size, with the same
    /// indices and times. `frame_rate` is that of the window (a transcode's rate control depends
    /// on it); a decode of what was encoded is counted in `counters` as our own.
    ///
    /// # Errors
    /// A parameter is missing, unknown or out of its range; the window is empty or its frames
    /// differ in size; the transcode fails.
    pub fn apply(
        &self,
        window: &Window,
        frame_rate: Rational,
        counters: &DecodeCounters,
    ) -> Result<Window, AugmentError> {
        let recipe = self.kind.recipe();
        parameter::check(recipe.name, &recipe.parameters.iter(), &self.parameters)?;
        crate::frames::common_size(recipe.name, &window.frames)?;
        let occasion = Occasion::new(self.kind, &self.parameters, self.seed, frame_rate, counters);
        (recipe.apply)(&occasion, window)
    }

    /// Whether the variant was encoded anew; such variants are stored, the others are cheap to
    /// make again.
    pub fn is_transcode(&self) -> bool {
        self.kind.recipe().encodes
    }
}
