//! [`Wanted`] and `owed`: from the configuration, everything that one pass over a source must
//! give; from what is recorded, what of it is still missing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use fvc_augment::Draw;
use fvc_clips::{ClipStore, FORMAT_VERSION, SizeSpec};
use fvc_corpus::FINGERPRINT_VERSION;
use fvc_features::{FORENSIC, NATIVE, SCALED};
use fvc_media::{ContentId, THUMBNAIL_VERSION};
use serde::{Deserialize, Serialize};

use crate::{Config, Output, PipelineError, UnitState};

/// A stage of the way from videos to a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// 1: variants of every source, one recorded draw a clip.
    Augment,
    /// 2: features at native resolution.
    Features,
    /// 3: scaled frames into the clip store.
    Scale,
    /// 4: features of scaled frames.
    ScaledFeatures,
    /// 5: fit, calibrate, evaluate.
    Train,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 5] =
        [Self::Augment, Self::Features, Self::Scale, Self::ScaledFeatures, Self::Train];

    /// From 1 to 5.
    pub const fn number(self) -> u32 {
        match self {
            Self::Augment => 1,
            Self::Features => 2,
            Self::Scale => 3,
            Self::ScaledFeatures => 4,
            Self::Train => 5,
        }
    }

    /// The command that runs it alone.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Augment => "augment",
            Self::Features => "features",
            Self::Scale => "scale",
            Self::ScaledFeatures => "scaled-features",
            Self::Train => "train",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which stages to run, as written on the command line: `1-4`, `2,4`, `1-3,5`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSelection(BTreeSet<Stage>);

impl StageSelection {
    /// These stages.
    pub fn of(stages: &[Stage]) -> Self {
        Self(stages.iter().copied().collect())
    }

    /// Whether a stage is selected.
    pub fn has(&self, stage: Stage) -> bool {
        self.0.contains(&stage)
    }

    /// The same without one of them.
    #[must_use]
    pub(crate) fn without(&self, stage: Stage) -> Self {
        Self(self.iter().filter(|own| *own != stage).collect())
    }

    /// The name under which stages 1 to 4, done at once, keep their records.
    pub(crate) fn command(&self) -> String {
        let names: Vec<&str> = self.iter().map(Stage::name).collect();
        if names.len() == 4 { "run".to_owned() } else { names.join("+") }
    }

    /// The selected stages in order.
    pub fn iter(&self) -> impl Iterator<Item = Stage> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for StageSelection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(|stage| stage.number().to_string()).collect();
        formatter.write_str(&numbers.join(","))
    }
}

impl FromStr for StageSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("expected stages such as 1-5, 1-4 or 2,4, found {text:?}");
        let number = |text: &str| -> Result<usize, String> {
            match text.trim().parse::<usize>() {
                Ok(number @ 1..=5) => Ok(number),
                _ => Err(wrong()),
            }
        };
        let mut stages = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(wrong());
            }
            stages.extend(Stage::ALL[first - 1..last].iter().copied());
        }
        Ok(Self(stages))
    }
}

/// What one output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Stage 2 features.
    Native,
    /// Stage 2 features of all frames together.
    Forensic,
    /// Stage 4 features, of pictures in this size, which has no bars.
    Scaled(SizeSpec),
    /// Stage 3 frames in this size.
    Clip(SizeSpec),
    /// A materialised variant.
    File,
    /// Stage 3 frames in this size, materialised.
    ScaledFile(SizeSpec),
    /// What the source looks like over time, to find its copies.
    Fingerprint,
}

impl Task {
    /// Bytes on disk of the scaled frames that this leaves behind, at most, for a clip of so many
    /// frames. An MP4 file of nearly no loss is counted like the uncompressed frames, which it is below.
    /// Features are some hundred bytes, fingerprints two thousand a second; these and variants at
    /// native size are not foreseen.
    pub(crate) fn estimated_bytes(self, frames: u64) -> u64 {
        match self {
            Self::Clip(size) | Self::ScaledFile(size) => {
                ClipStore::estimated_bytes(size, 1, frames)
            }
            Self::Native | Self::Forensic | Self::Scaled(_) | Self::File | Self::Fingerprint => 0,
        }
    }
}

/// One output that the configuration asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name in the unit: task, version, sampling, size, draw. Two outputs have one name only
    /// when they are the same numbers.
    pub name: String,
    /// What it is.
    pub task: Task,
    /// 0 for the original, 1.. for variants.
    pub variant: u32,
}

/// The draws of all variants of a source, by variant number from 1.
///
/// # Errors
/// The configuration has no kinds to draw from.
pub fn draws(config: &Config, content_id: &ContentId) -> Result<Vec<Draw>, PipelineError> {
    (1..=config.augment.variants)
        .map(|variant| {
            Draw::for_variant(content_id, variant, &config.augment.kinds)
                .map_err(|error| PipelineError::Config { path: None, problem: error.to_string() })
        })
        .collect()
}

/// The name of an output, from everything that its numbers depend on.
fn name(config: &Config, task: Task, draw: Option<&Draw>) -> Result<String, PipelineError> {
    let sampling = config.sampling.policy();
    let who = match draw {
        None => "original".to_owned(),
        Some(draw) => {
            let bytes = serde_json::to_vec(draw)
                .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
            let hash = blake3::hash(&bytes).to_hex();
            format!("variant{}-{}-{}", draw.variant, draw.kind, &hash[..12])
        }
    };
    let scaler = config.scale.scaler.tag();
    Ok(match task {
        Task::Native => format!("features/native-v{}/{sampling}/{who}", NATIVE.version),
        Task::Forensic => format!("features/forensic-v{}/{sampling}/{who}", FORENSIC.version),
        Task::Scaled(size) => {
            format!("features/scaled-v{}/{scaler}/{sampling}/{size}/{who}", SCALED.version)
        }
        Task::Clip(size) => format!("clip/v{FORMAT_VERSION}/{scaler}/{sampling}/{size}/{who}"),
        Task::File => format!("file/v1/{sampling}/{who}"),
        Task::Fingerprint => fingerprint_name(),
        Task::ScaledFile(size) => format!("scaled-file/v1/{scaler}/{sampling}/{size}/{who}"),
    })
}

/// The name of a source's fingerprint: it depends on no setting.
pub(crate) fn fingerprint_name() -> String {
    format!("fingerprint/v{THUMBNAIL_VERSION}.{FINGERPRINT_VERSION}")
}

/// Everything that the selected stages ask of a source. Where anything is to be decoded for, its
/// fingerprint is part of it: groups cannot be known without.
///
/// # Errors
/// The configuration has no kinds to draw from.
pub fn wanted(
    config: &Config,
    stages: &StageSelection,
    content_id: &ContentId,
) -> Result<Vec<Wanted>, PipelineError> {
    let draws = draws(config, content_id)?;
    let mut wanted = Vec::new();
    for draw in std::iter::once(None).chain(draws.iter().map(Some)) {
        let variant = draw.map_or(0, |draw| draw.variant);
        let mut tasks = Vec::new();
        if stages.has(Stage::Augment) && config.augment.materialise && draw.is_some() {
            tasks.push(Task::File);
        }
        if stages.has(Stage::Features) {
            tasks.extend([Task::Native, Task::Forensic]);
        }
        // Variants that are not real encodes are replayed from their draw when they are needed.
        for size in config.scale.frame_sizes() {
            if stages.has(Stage::Scale) && draw.is_none_or(Draw::is_transcode) {
                tasks.push(Task::Clip(size));
            }
            if stages.has(Stage::Scale) && config.scale.materialise {
                tasks.push(Task::ScaledFile(size));
            }
        }
        if stages.has(Stage::ScaledFeatures) {
            tasks.push(Task::Scaled(config.scale.measured_size()));
        }
        for task in tasks {
            wanted.push(Wanted { name: name(config, task, draw)?, task, variant });
        }
    }
    if !wanted.is_empty() {
        wanted.push(Wanted { name: fingerprint_name(), task: Task::Fingerprint, variant: 0 });
    }
    Ok(wanted)
}

/// The name of one feature output, to look it up.
///
/// # Errors
/// The draw cannot be written as JSON.
pub fn feature_name(
    config: &Config,
    task: Task,
    draw: Option<&Draw>,
) -> Result<String, PipelineError> {
    name(config, task, draw)
}

/// The name of a clip of the store, to look it up.
///
/// # Errors
/// The draw cannot be written as JSON.
pub(crate) fn clip_name(
    config: &Config,
    size: SizeSpec,
    draw: Option<&Draw>,
) -> Result<String, PipelineError> {
    name(config, Task::Clip(size), draw)
}

/// What of `wanted` is still missing, and why a pass is needed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// The missing outputs; empty: no pass.
    pub outputs: Vec<Wanted>,
    /// Why the source must be decoded.
    pub reason: String,
}

/// Compares what is wanted with what is recorded; `is_there` says whether a recorded output is there as
/// it was recorded.
pub(crate) fn owed(
    wanted: Vec<Wanted>,
    state: &UnitState,
    is_there: impl Fn(&Output) -> bool,
) -> Owed {
    let unit = match state {
        UnitState::None => return Owed { outputs: wanted, reason: "first pass".to_owned() },
        UnitState::Damaged(found) => {
            let reason = format!("record damaged: {found}");
            return Owed { outputs: wanted, reason };
        }
        UnitState::Whole(unit) => unit,
    };
    let mut damaged = 0_usize;
    let outputs: Vec<Wanted> = wanted
        .into_iter()
        .filter(|output| match unit.outputs.get(&output.name) {
            None => true,
            Some(made) => {
                let bad = !is_there(made);
                damaged += usize::from(bad);
                bad
            }
        })
        .collect();
    let asked = outputs.len() - damaged;
    let mut reasons = Vec::new();
    if asked > 0 {
        let mut kinds: Vec<&str> = outputs
            .iter()
            .map(|output| match output.task {
                Task::Native => "features",
                Task::Forensic => "forensic features",
                Task::Scaled(_) => "scaled features",
                Task::Clip(_) => "scaled frames",
                Task::File => "materialised variants",
                Task::Fingerprint => "fingerprints",
                Task::ScaledFile(_) => "materialised scaled frames",
            })
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        reasons.push(format!("asked for later: {}", kinds.join(", ")));
    }
    if damaged > 0 {
        reasons.push("files lost or changed".to_owned());
    }
    Owed { outputs, reason: reasons.join("; ") }
}
