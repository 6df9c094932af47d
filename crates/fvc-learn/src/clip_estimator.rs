//! [`ClipEstimator`]: models that learn from clips, under the same views, calibration and judgement as
//! those that learn from rows of features.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use fvc_corpus::{
    EvalView, Examples, FitScope, Fitted, Label, SealedOpening, Split, StoredError, TrainView,
    write_atomically,
};
use fvc_media::ContentId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bootstrap::evaluate;
use crate::cross_validation::{
    baselines_over_folds, baselines_sealed, inner_folds, judge_baselines, scored_rows, stop_if,
};
use crate::metrics::Weighting;
use crate::{
    Assessment, Calibration, ColumnRoles, CrossValidation, FoldOutcome, LearnError, ModelKind,
    Parameters, ScoredSource, SealedEvaluation, Selection, Thresholds, TrainEvent, TrainSettings,
    Verdict,
};

/// Version of the model file.
const FILE_VERSION: u32 = 1;
const FORMAT: &str = "fvc clip detector";
/// The largest model file that is read, in bytes; weights stand in a file of their own.
const MAX_FILE: u64 = 64 << 20;

/// What reads clips and lets a fitted model score them.
pub trait ClipReading<M>: Send + Sync {
    /// Log odds of fake of each source, by its original clip.
    ///
    /// # Errors
    /// A clip cannot be read.
    fn log_odds(&self, model: &M, sources: &[ContentId]) -> Result<Vec<f64>, LearnError>;
}

/// What one fit gave.
#[derive(Clone, Debug)]
pub struct ClipFit<M> {
    /// The model.
    pub model: M,
    /// Log odds of the held-out originals, beside their labels: what the calibration is fitted on.
    pub held_out: Vec<(f64, Label)>,
    /// The parameters that it was fitted with, defaults included.
    pub parameters: Parameters,
}

/// What fits a model on the clips of a training side.
pub trait ClipEstimator {
    /// The fitted model, without its weights if these are large: it goes into a JSON file.
    type Model: Clone + Serialize + DeserializeOwned;

    /// Which model.
    fn kind(&self) -> ModelKind;

    /// What lets its models score.
    fn reading(&self) -> &dyn ClipReading<Self::Model>;

    /// Learns from `fit` and decides by `held_out`, of other groups, when to stop; `held_out` is empty
    /// where the groups allow no such part. `place` names the fit among those of one run: `fold_0`,
    /// `final`.
    ///
    /// # Errors
    /// A clip cannot be read, the settings are not in order, or the training fails.
    fn fit(
        &self,
        fit: &TrainView<'_>,
        held_out: &[(ContentId, String, Label)],
        place: &str,
    ) -> Result<ClipFit<Self::Model>, LearnError>;
}

/// A model fitted on one side, with its calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parts<M> {
    kind: ModelKind,
    model: M,
    calibration: Calibration,
    thresholds: Option<Thresholds>,
    selection: Selection,
}

/// A fitted model of clips with everything that a verdict needs.
#[derive(Clone, Debug)]
pub struct ClipDetector<M> {
    parts: Fitted<Parts<M>>,
}

/// Fits on one training side: an inner fold is held out for stopping and calibration.
fn fit_parts<E: ClipEstimator>(
    estimator: &E,
    train: &TrainView<'_>,
    settings: &TrainSettings,
    place: &str,
) -> Result<Parts<E::Model>, LearnError> {
    let inner = inner_folds(train, settings.inner_folds, settings.seed)?;
    let fit = inner.first().map_or(train, |(fit, _)| fit);
    let held_out = held_out_of(train, fit);
    let ClipFit { model, held_out, parameters } = estimator.fit(fit, &held_out, place)?;
    let selection =
        Selection { chosen: parameters, tried: Vec::new(), inner_folds: inner.len() as u32 };
    let calibration = Calibration::fit(&held_out);
    Ok(Parts { kind: estimator.kind(), model, calibration, thresholds: None, selection })
}

/// The originals of a training side that a fit does not see.
fn held_out_of(train: &TrainView<'_>, fit: &TrainView<'_>) -> Vec<(ContentId, String, Label)> {
    train
        .rows()
        .filter(|row| row.variant == 0 && !fit.scope().contains(&row.content_id))
        .map(|row| (row.content_id, row.group.to_string(), row.label))
        .collect()
}

/// Gives every fit of [`cross_validate_clips`] and [`fit_final_clips`] to `on_fit`, as an estimator would
/// get it: view, held-out originals, place. None of them depends on what came of another.
///
/// # Errors
/// The split does not fit the examples, or what `on_fit` says.
#[allow(clippy::type_complexity, reason = "it is what ClipEstimator::fit takes")]
pub fn each_clip_fit(
    examples: &Examples,
    split: &Split,
    settings: &TrainSettings,
    on_fit: &mut dyn FnMut(
        &TrainView<'_>,
        &[(ContentId, String, Label)],
        &str,
    ) -> Result<(), LearnError>,
) -> Result<(), LearnError> {
    let inputs = examples.with_columns(&[])?;
    let mut of_side = |train: &TrainView<'_>, place: &str| {
        let inner = inner_folds(train, settings.inner_folds, settings.seed)?;
        let fit = inner.first().map_or(train, |(fit, _)| fit);
        on_fit(fit, &held_out_of(train, fit), place)
    };
    for fold in 0..split.folds() {
        let (train, _) = split.fold(fold, &inputs)?;
        of_side(&train, &format!("fold_{fold}"))?;
    }
    of_side(&split.training(&inputs)?, "final")
}

fn log_odds<M>(
    reading: &dyn ClipReading<M>,
    parts: &Parts<M>,
    sources: &[ContentId],
) -> Result<Vec<f64>, LearnError> {
    reading.log_odds(&parts.model, sources)
}

fn score<M>(
    reading: &dyn ClipReading<M>,
    parts: &Fitted<Parts<M>>,
    view: &EvalView<'_>,
    fold: u32,
) -> Result<Vec<ScoredSource>, LearnError> {
    let scored = view.score_clips_with(parts, reading, log_odds::<M>)?;
    Ok(scored
        .rows
        .into_iter()
        .map(|row| ScoredSource {
            fold,
            content_id: row.content_id,
            group: row.group,
            label: row.label,
            margin: row.score,
            probability: parts.calibration.probability(row.score),
        })
        .collect())
}

/// Evaluates a model of clips over the outer folds of a split, as [`crate::cross_validate`] does one of
/// features: inside each training side an inner fold is held out for stopping and calibration, on the other
/// side every source is scored once, beside the trivial baselines.
///
/// # Errors
/// A clip cannot be read, a training fails, or somebody asked to stop.
#[allow(clippy::too_many_arguments, reason = "those of cross_validate")]
pub fn cross_validate_clips<E: ClipEstimator>(
    estimator: &E,
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    settings: &TrainSettings,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(TrainEvent),
) -> Result<CrossValidation, LearnError> {
    let inputs = examples.with_columns(&[])?;
    let mut folds = Vec::new();
    let mut predictions = Vec::new();
    let mut notes = Vec::new();
    for fold in 0..split.folds() {
        stop_if(cancel)?;
        let (train, eval) = split.fold(fold, &inputs)?;
        let parts =
            train.fit(|train| fit_parts(estimator, train, settings, &format!("fold_{fold}")))?;
        notes.extend(
            parts.selection.shortfall(settings).map(|found| format!("fold {fold}: {found}")),
        );
        predictions.extend(score(estimator.reading(), &parts, &eval, fold)?);
        let parts = parts.into_inner();
        folds.push(FoldOutcome {
            fold,
            calibration: parts.calibration,
            kept_columns: Vec::new(),
            selection: parts.selection,
        });
        on_event(TrainEvent::FoldFinished { fold });
    }
    let rows = scored_rows(&predictions)?;
    let (draws, seed) = (settings.bootstrap_draws, settings.seed);
    let baselines = baselines_over_folds(examples, roles, split, settings, cancel)?;
    let (baselines, margins) = judge_baselines(&rows, baselines, settings);
    Ok(CrossValidation {
        model: estimator.kind(),
        folds,
        by_source: evaluate(&rows, Weighting::Sources, draws, seed),
        by_group: evaluate(&rows, Weighting::Groups, draws, seed),
        predictions,
        baselines,
        margins,
        notes,
    })
}

/// Fits on all training groups but an inner fold; thresholds from the outer folds' calibrated scores.
///
/// # Errors
/// As [`cross_validate_clips`].
pub fn fit_final_clips<E: ClipEstimator>(
    estimator: &E,
    examples: &Examples,
    split: &Split,
    settings: &TrainSettings,
    validated: &CrossValidation,
) -> Result<ClipDetector<E::Model>, LearnError> {
    let inputs = examples.with_columns(&[])?;
    let train = split.training(&inputs)?;
    let thresholds = Thresholds::fit(
        validated.predictions.iter().map(|row| (&row.group, row.label, row.probability)),
        settings.max_error,
    );
    let parts = train.fit(|train| {
        let mut parts = fit_parts(estimator, train, settings, "final")?;
        parts.thresholds = Some(thresholds);
        Ok::<_, LearnError>(parts)
    })?;
    Ok(ClipDetector { parts })
}

/// Scores the sealed part once.
///
/// # Errors
/// The split seals nothing, the opening is another split's, the detector has seen a sealed group, or a
/// clip cannot be read.
pub fn evaluate_sealed_clips<M>(
    detector: &ClipDetector<M>,
    reading: &dyn ClipReading<M>,
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    opening: &SealedOpening,
    settings: &TrainSettings,
) -> Result<SealedEvaluation, LearnError> {
    let inputs = examples.with_columns(&[])?;
    let view = split.open_sealed(opening, &inputs)?;
    let predictions = score(reading, &detector.parts, &view, 0)?;
    let rows = scored_rows(&predictions)?;
    let (draws, seed) = (settings.bootstrap_draws, settings.seed);
    let baselines = baselines_sealed(examples, roles, split, opening, settings)?;
    let (baselines, margins) = judge_baselines(&rows, baselines, settings);
    Ok(SealedEvaluation {
        by_source: evaluate(&rows, Weighting::Sources, draws, seed),
        by_group: evaluate(&rows, Weighting::Groups, draws, seed),
        predictions,
        baselines,
        margins,
    })
}

impl<M> ClipDetector<M> {
    /// The model's name.
    pub fn kind(&self) -> ModelKind {
        self.parts.kind
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.parts.model
    }

    /// What it was fitted on.
    pub fn scope(&self) -> &FitScope {
        self.parts.scope()
    }

    /// The parameters that it was fitted with.
    pub fn selection(&self) -> &Selection {
        &self.parts.selection
    }

    /// Probability and verdict of log odds that the model gave. It explains itself by pictures, not by
    /// numbers: there are no contributions.
    pub fn assess(&self, margin: f64) -> Assessment {
        let probability = self.parts.calibration.probability(margin);
        let (verdict, promise) = match &self.parts.thresholds {
            Some(thresholds) if probability.is_finite() => {
                (thresholds.verdict(probability), thresholds.promise())
            }
            _ => (Verdict::Uncertain, "no verdict: no finite score".to_owned()),
        };
        Assessment {
            probability,
            margin,
            verdict,
            promise,
            contributions: Vec::new(),
            unusual: Vec::new(),
        }
    }
}

fn wrong(path: &Path, expected: &str, found: String) -> LearnError {
    LearnError::ModelFile { path: path.to_owned(), expected: expected.to_owned(), found }
}

impl<M: Serialize + DeserializeOwned> ClipDetector<M> {
    /// Writes the detector with its recipe as JSON, with a hash over both, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path, recipe: &serde_json::Value) -> Result<(), LearnError> {
        let failed = |found: String| wrong(path, "a file that can be written", found);
        let bytes = self
            .parts
            .to_json(FORMAT, FILE_VERSION, recipe)
            .map_err(|error| failed(error.to_string()))?;
        write_atomically(path, &bytes).map_err(|error| failed(error.to_string()))
    }

    /// Whether the bytes of a model file say that it is one of these.
    pub fn is_one(path: &Path) -> bool {
        let mut head = [0; 256];
        let read = File::open(path).and_then(|mut file| file.read(&mut head)).unwrap_or(0);
        String::from_utf8_lossy(&head[..read]).contains(FORMAT)
    }

    /// Reads a detector and its recipe; checks size, version, hash and thresholds.
    ///
    /// # Errors
    /// The file cannot be read, is larger than 64 MiB, or is not as it was written.
    pub fn load(path: &Path) -> Result<(Self, serde_json::Value), LearnError> {
        let unread = |error: std::io::Error| wrong(path, "a model file", error.to_string());
        let file = File::open(path).map_err(unread)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unread)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(wrong(path, "at most 64 MiB", "a larger file".to_owned()));
        }
        let (parts, recipe) = Fitted::<Parts<M>>::from_json(&bytes, FORMAT, FILE_VERSION)
            .map_err(|StoredError { expected, found }| wrong(path, &expected, found))?;
        let Calibration { slope, intercept, .. } = parts.calibration;
        if !(slope.is_finite() && slope >= 0.0 && intercept.is_finite())
            || parts.thresholds.is_none()
        {
            return Err(wrong(path, "a sound calibration and thresholds", "none".to_owned()));
        }
        Ok((Self { parts }, recipe))
    }
}
