//! [`Config`]: everything that decides what is computed, as one TOML file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fvc_augment::Kind;
use fvc_clips::{RegisteredScaler, SizeSpec};
use fvc_corpus::{LabelPolicy, MAX_FOLDS, SplitConfig};
use fvc_learn::{Grid, ModelKind, ParameterValue, Parameters, TrainSettings};
use fvc_media::{Limits, PartialPolicy, Sampling};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::PipelineError;

/// The most sources that are read at once: each has a decoder process of its own.
const MAX_PARALLEL: usize = 512;

/// The most sizes that one pass makes: each holds a window of its frames.
const MAX_SIZES: usize = 16;

/// The one size of stages 3 and 4 where none is named.
const DEFAULT_SIZE: SizeSpec = SizeSpec::max_side(224);

/// The largest configuration file that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Everything that decides what is computed. Every key has a default; an unknown key is an error.
/// `fvc.example.toml` documents each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which frames of a source are looked at.
    pub sampling: Sampling,
    /// What a source may cost.
    pub limits: Limits,
    /// How sources are read.
    pub reading: ReadingConfig,
    /// What labels of the Fake Video Corpus other than real and fake count as.
    pub fvc: LabelPolicy,
    /// Stage 1.
    pub augment: AugmentConfig,
    /// Stages 3 and 4.
    pub scale: ScaleConfig,
    /// The split of stage 5.
    pub split: SplitSection,
    /// Stage 5.
    pub train: TrainConfig,
}

/// How sources are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingConfig {
    /// What becomes of a source of which only part decodes.
    pub partial: PartialPolicy,
    /// Sources read at once; 0: one for each processor.
    pub parallel: usize,
}

impl Default for ReadingConfig {
    fn default() -> Self {
        Self { partial: PartialPolicy::Refuse, parallel: 0 }
    }
}

/// Stage 1: the variants of every source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Variants a source beside the original.
    pub variants: u32,
    /// Kinds to draw from, by name.
    pub kinds: Vec<Kind>,
    /// Whether variants are also written as MP4 files.
    pub materialise: bool,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self { variants: 2, kinds: Kind::DEFAULT.to_vec(), materialise: false }
    }
}

/// Stages 3 and 4: scaled frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleConfig {
    /// The named sizes of stage 3, all made in one pass; at least one, at most 16, sides of 16 to 4096
    /// pixels.
    pub sizes: Vec<SizeSpec>,
    /// Which of them stage 4 measures; none: the first. Bars are not measured.
    pub feature_size: Option<SizeSpec>,
    /// Whether frames of all sizes are put on squares of black; only where longer sides are named.
    pub letterbox: bool,
    /// What scales, by its name in the registry.
    pub scaler: RegisteredScaler,
    /// Whether scaled frames, of variants too, are also written as MP4 files.
    pub materialise: bool,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        Self {
            sizes: vec![DEFAULT_SIZE],
            feature_size: None,
            letterbox: false,
            scaler: RegisteredScaler::default(),
            materialise: false,
        }
    }
}

impl ScaleConfig {
    /// The sizes that frames are kept in, in the order given, with bars where they are asked for.
    pub fn frame_sizes(&self) -> Vec<SizeSpec> {
        let framed = |size: &SizeSpec| match size.letterboxed() {
            Some(letterboxed) if self.letterbox => letterboxed,
            _ => *size,
        };
        self.sizes.iter().map(framed).collect()
    }

    /// The size of the pictures that stage 4 measures, without bars. (Of no sizes, which
    /// [`Config::check`] refuses, the default one.)
    pub fn measured_size(&self) -> SizeSpec {
        let first = || self.sizes.first().copied().unwrap_or(DEFAULT_SIZE);
        self.feature_size.unwrap_or_else(first).without_bars()
    }

    /// Checks the values that types alone do not.
    fn check(&self) -> Result<(), PipelineError> {
        let wrong = |key: &str, expected: &str, found: String| {
            let problem = format!("scale.{key}: expected {expected}, found {found}");
            Err(PipelineError::Config { path: None, problem })
        };
        if !(1..=MAX_SIZES).contains(&self.sizes.len()) {
            let found = format!("{} of them", self.sizes.len());
            return wrong("sizes", &format!("1 to {MAX_SIZES} sizes"), found);
        }
        for size in &self.sizes {
            if !(16..=4096).contains(&size.side()) {
                return wrong("sizes", "16 to 4096 pixels", size.to_string());
            }
            if self.letterbox && size.letterboxed().is_none() {
                let expected = "sizes by the longer side (224max) with scale.letterbox";
                return wrong("sizes", expected, size.to_string());
            }
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.frame_sizes().into_iter().find(|size| !seen.insert(*size)) {
            return wrong("sizes", "each size once", format!("{twice} twice"));
        }
        if let Some(size) = self.feature_size
            && !self.sizes.iter().any(|own| own.without_bars() == size.without_bars())
        {
            let names: Vec<String> = self.sizes.iter().map(ToString::to_string).collect();
            let expected = format!("one of scale.sizes ({})", names.join(", "));
            return wrong("feature_size", &expected, size.to_string());
        }
        Ok(())
    }
}

/// How groups are dealt to folds and to the sealed test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSection {
    /// Outer folds, 2 to 1000.
    pub folds: u32,
    /// Share of each class to seal; 0: grouped cross-validation only.
    pub test_fraction: f64,
    /// Seed of the order in which groups are dealt.
    pub seed: u64,
    /// An official split to import in place of planning one.
    pub file: Option<PathBuf>,
}

impl Default for SplitSection {
    fn default() -> Self {
        Self { folds: 5, test_fraction: 0.2, seed: 42, file: None }
    }
}

impl SplitSection {
    /// The part of it that the planner takes.
    pub fn planning(&self) -> SplitConfig {
        SplitConfig { folds: self.folds, test_fraction: self.test_fraction, seed: self.seed }
    }
}

/// Stage 5: what is fitted and how it is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Model names.
    pub models: Vec<ModelKind>,
    /// Name of the folder that runs are kept in.
    pub experiment: String,
    /// Which grid of hyper-parameters is searched.
    pub grid: Grid,
    /// Folds of the search inside each training side.
    pub inner_folds: u32,
    /// Seed of fits and of the bootstrap.
    pub seed: u64,
    /// The error that verdicts promise to keep to, 0 to 0.5.
    pub max_error: f64,
    /// Draws of the bootstrap over groups.
    pub bootstrap_draws: u32,
    /// Whether features of the families container and scale may be learnt from. They name the
    /// uploader, not the manipulation: off.
    pub allow_container_features: bool,
    /// Parameters fixed by hand, a table a model, under its name or an alias; what is fixed is not
    /// searched.
    #[serde(deserialize_with = "by_model")]
    pub parameters: BTreeMap<ModelKind, Parameters>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            models: vec![ModelKind::LogisticRegression, ModelKind::Xgboost],
            experiment: "default".to_owned(),
            grid: Grid::Small,
            inner_folds: 3,
            seed: 42,
            max_error: 0.05,
            bootstrap_draws: 1000,
            allow_container_features: false,
            parameters: BTreeMap::new(),
        }
    }
}

/// Tables by any name of a model; two for one model are an error, whatever they are called.
fn by_model<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<ModelKind, Parameters>, D::Error> {
    let mut tables = BTreeMap::new();
    let mut called: BTreeMap<ModelKind, String> = BTreeMap::new();
    for (name, parameters) in BTreeMap::<String, Parameters>::deserialize(deserializer)? {
        let kind: ModelKind = name.parse().map_err(D::Error::custom)?;
        if let Some(other) = called.insert(kind, name.clone()) {
            return Err(D::Error::custom(format!(
                "train.parameters: expected one table for {kind}, found {other} and {name}"
            )));
        }
        tables.insert(kind, parameters);
    }
    Ok(tables)
}

impl TrainConfig {
    /// Has an ensemble fitted beside the models.
    pub fn add_ensemble(&mut self) {
        if !self.models.contains(&ModelKind::Ensemble) {
            self.models.push(ModelKind::Ensemble);
        }
    }

    /// What an ensemble is over where its parameter `bases` is not fixed: the other models that are
    /// named, where there are two at least, and otherwise the default.
    pub(crate) fn named_bases(&self) -> Option<ParameterValue> {
        let others =
            self.models.iter().filter(|kind| **kind != ModelKind::Ensemble && !kind.is_network());
        let names: Vec<&str> = others.map(|kind| kind.name()).collect();
        (names.len() > 1).then(|| ParameterValue::Text(names.join(",")))
    }

    /// The parameters fixed for one model. A base model of an ensemble has those of the model itself,
    /// unless the ensemble fixes some for it: then these alone, for both might contradict.
    fn fixed(&self, kind: ModelKind) -> Parameters {
        let mut fixed = self.parameters.get(&kind).cloned().unwrap_or_default();
        if kind == ModelKind::Ensemble
            && self.models.contains(&kind)
            && let Some(bases) = self.named_bases()
        {
            fixed.entry("bases".to_owned()).or_insert(bases);
        }
        // Parameters that are not in order are told where they are used.
        for base in kind.members(&fixed).unwrap_or_default() {
            let of_base = |name: &str| {
                name.split_once('.').is_some_and(|(model, _)| model.parse().ok() == Some(base))
            };
            if base == kind || fixed.keys().any(|name| of_base(name)) {
                continue;
            }
            for (name, value) in self.parameters.get(&base).into_iter().flatten() {
                fixed.insert(format!("{base}.{name}"), value.clone());
            }
        }
        fixed
    }

    /// The settings for one model.
    pub fn settings(&self, kind: ModelKind) -> TrainSettings {
        TrainSettings {
            grid: self.grid,
            inner_folds: self.inner_folds,
            seed: self.seed,
            max_error: self.max_error,
            bootstrap_draws: self.bootstrap_draws,
            parameters: self.fixed(kind),
        }
    }
}

impl Config {
    /// The same without what changes nothing of what stages 1 to 4 make: how many sources are read at
    /// once, and what is trained from them later.
    pub(crate) fn of_outputs(&self) -> Self {
        let mut config = self.clone();
        config.split = Self::default().split;
        config.train = Self::default().train;
        config.reading.parallel = 0;
        config
    }

    /// Reads a TOML file and checks every value.
    ///
    /// # Errors
    /// The file cannot be read, is larger than 1 MiB, has an unknown key or a value out of range.
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        let io = |error: std::io::Error| PipelineError::Config {
            path: Some(path.to_owned()),
            problem: format!("expected a file of text that can be read, found {error}"),
        };
        let bytes = fs::metadata(path).map_err(io)?.len();
        if bytes > MAX_CONFIG_BYTES {
            return Err(PipelineError::Config {
                path: Some(path.to_owned()),
                problem: format!("expected at most {MAX_CONFIG_BYTES} bytes, found {bytes}"),
            });
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let config: Self = toml::from_str(&text).map_err(|error| PipelineError::Config {
            path: Some(path.to_owned()),
            problem: error.to_string(),
        })?;
        config.check().map_err(|error| match error {
            PipelineError::Config { problem, .. } => {
                PipelineError::Config { path: Some(path.to_owned()), problem }
            }
            other => other,
        })?;
        Ok(config)
    }

    /// Checks the values that types alone do not.
    ///
    /// # Errors
    /// The key, its range and what was found.
    pub fn check(&self) -> Result<(), PipelineError> {
        let wrong = |key: &str, expected: &str, found: String| PipelineError::Config {
            path: None,
            problem: format!("{key}: expected {expected}, found {found}"),
        };
        self.sampling
            .check()
            .map_err(|error| PipelineError::Config { path: None, problem: error.to_string() })?;
        self.scale.check()?;
        if self.augment.variants > 1000 {
            return Err(wrong("augment.variants", "0 to 1000", self.augment.variants.to_string()));
        }
        if self.augment.variants > 0 && self.augment.kinds.is_empty() {
            return Err(wrong("augment.kinds", "at least one kind", "none".to_owned()));
        }
        if self.train.models.is_empty() {
            return Err(wrong("train.models", "at least one model", "none".to_owned()));
        }
        for (at, kind) in self.train.models.iter().enumerate() {
            if self.train.models[..at].contains(kind) {
                return Err(wrong("train.models", "every model once", format!("{kind} twice")));
            }
        }
        let experiment = &self.train.experiment;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if experiment.is_empty() || experiment.starts_with('.') || !experiment.chars().all(plain) {
            return Err(wrong(
                "train.experiment",
                "a folder name of letters, digits, - _ .",
                format!("{experiment:?}"),
            ));
        }
        if !(self.train.max_error > 0.0 && self.train.max_error < 0.5) {
            return Err(wrong(
                "train.max_error",
                "above 0, below 0.5",
                self.train.max_error.to_string(),
            ));
        }
        if self.train.inner_folds < 2 {
            return Err(wrong(
                "train.inner_folds",
                "at least 2",
                self.train.inner_folds.to_string(),
            ));
        }
        if !(100..=100_000).contains(&self.train.bootstrap_draws) {
            return Err(wrong(
                "train.bootstrap_draws",
                "100 to 100000",
                self.train.bootstrap_draws.to_string(),
            ));
        }
        if !(0.0..=0.5).contains(&self.split.test_fraction) {
            return Err(wrong(
                "split.test_fraction",
                "0 to 0.5",
                self.split.test_fraction.to_string(),
            ));
        }
        if self.reading.parallel > MAX_PARALLEL {
            return Err(wrong(
                "reading.parallel",
                &format!("0 to {MAX_PARALLEL}"),
                self.reading.parallel.to_string(),
            ));
        }
        if !(2..=MAX_FOLDS).contains(&self.split.folds) {
            return Err(wrong("split.folds", "2 to 1000", self.split.folds.to_string()));
        }
        let limits = &self.limits;
        if [limits.duration_seconds, limits.wall_clock_seconds]
            .iter()
            .any(|&limit| limit.is_nan() || limit <= 0.0)
        {
            return Err(wrong("limits", "durations above 0", "0, less or not a number".to_owned()));
        }
        if limits.child_memory_bytes < 256 << 20 {
            return Err(wrong(
                "limits.child_memory_bytes",
                "at least 256 MiB (268435456)",
                limits.child_memory_bytes.to_string(),
            ));
        }
        Ok(())
    }

    /// BLAKE3 of the whole configuration, in hexadecimal.
    ///
    /// # Errors
    /// The configuration cannot be written as JSON.
    pub fn hash(&self) -> Result<String, PipelineError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| PipelineError::Internal { what: format!("configuration: {error}") })?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }
}
