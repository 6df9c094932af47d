//! [`cross_validate`]: nested selection, calibration and evaluation over outer folds of groups.

use std::sync::atomic::{AtomicBool, Ordering};

use fvc_corpus::{
    EvalView, Examples, GroupId, Label, PredictionRow, SealedOpening, Split, SplitError, TrainView,
};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Evaluation, Margin, evaluate, margin};
use crate::ensemble::fit_ensemble_chain;
use crate::metrics::{Metric, Scored, ScoredRows, Weighting};
use crate::{
    Calibration, Detector, FittedModel, Grid, LearnError, ModelKind, ParameterValue, Parameters,
    Preprocessor, Thresholds,
};

/// How a model is fitted and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Which grid is searched.
    pub grid: Grid,
    /// Folds of the search inside a training side; fewer where the groups do not allow it.
    pub inner_folds: u32,
    /// Seed of fits and of the bootstrap.
    pub seed: u64,
    /// The error that verdicts promise to keep to.
    pub max_error: f64,
    /// Draws of the bootstrap over groups.
    pub bootstrap_draws: u32,
    /// Parameters fixed by hand.
    pub parameters: Parameters,
}

/// Which columns are what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRoles {
    /// What the model learns from.
    pub model: Vec<String>,
    /// What the container-only baseline learns from.
    pub container: Vec<String>,
    /// What the duration-only baseline learns from.
    pub duration: Vec<String>,
    /// What the size-only baseline learns from.
    pub size: Vec<String>,
}

/// How far a validation is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrainEvent {
    /// One outer fold is done.
    FoldFinished {
        /// Which.
        fold: u32,
    },
}

/// One grid point of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// The parameters that differ from the defaults.
    pub parameters: Parameters,
    /// Mean log loss over the inner folds; missing when a fit failed.
    pub log_loss: Option<f64>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A search inside one training side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The chosen parameters.
    pub chosen: Parameters,
    /// Every grid point.
    pub tried: Vec<GridPoint>,
    /// Inner folds that the groups allowed; 0: none, defaults taken, no calibration.
    pub inner_folds: u32,
}

impl Selection {
    /// What the groups of the training side did not allow, for people; nothing where they allowed
    /// what was asked for.
    pub fn shortfall(&self, settings: &TrainSettings) -> Option<String> {
        // An ensemble may have its own number.
        let own = match self.chosen.get("inner_folds") {
            Some(ParameterValue::Number(own)) => Some(*own as u32),
            _ => None,
        };
        let (found, asked) = (self.inner_folds, own.unwrap_or(settings.inner_folds));
        match found {
            0 => Some(
                "the groups allow no inner folds: parameters not searched, probabilities not \
                 calibrated"
                    .to_owned(),
            ),
            _ if found < asked => {
                Some(format!("the groups allow {found} inner folds of the {asked} asked for"))
            }
            _ => None,
        }
    }
}

/// One outer fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldOutcome {
    /// The fold.
    pub fold: u32,
    /// The search inside its training side.
    pub selection: Selection,
    /// Calibration fitted inside its training side.
    pub calibration: Calibration,
    /// Columns that the model saw.
    pub kept_columns: Vec<String>,
}

/// One scored source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoredSource {
    /// The outer fold in which it was scored.
    pub fold: u32,
    /// The source.
    pub content_id: ContentId,
    /// Its group.
    pub group: GroupId,
    /// What it is said to be.
    pub label: Label,
    /// Raw log odds.
    pub margin: f64,
    /// Calibrated probability of fake.
    pub probability: f64,
}

/// A trivial model beside the real one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it learns from.
    pub name: String,
    /// Its scores.
    pub evaluation: Evaluation,
    /// Why it is no more than the majority, where it is not.
    pub note: Option<String>,
}

/// What outer folds say of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// The model.
    pub model: ModelKind,
    /// Every outer fold.
    pub folds: Vec<FoldOutcome>,
    /// Every prediction.
    pub predictions: Vec<ScoredSource>,
    /// Scores, one row a source.
    pub by_source: Evaluation,
    /// Scores, each group weighing one.
    pub by_group: Evaluation,
    /// The trivial models.
    pub baselines: Vec<Baseline>,
    /// How far the model is above the best baseline of each number, each as a gain (log loss
    /// turned around).
    pub margins: Vec<Margin>,
    /// Things that a reader must know.
    pub notes: Vec<String>,
}

impl CrossValidation {
    /// Log loss over all outer folds, one row a source; infinite where undefined.
    pub fn log_loss(&self) -> f64 {
        self.by_source.metrics.log_loss.unwrap_or(f64::INFINITY)
    }

    /// Every prediction as a row of a table.
    pub fn prediction_rows(&self) -> Vec<PredictionRow> {
        self.predictions
            .iter()
            .map(|row| PredictionRow {
                fold: i64::from(row.fold),
                content_id: row.content_id,
                group: row.group.clone(),
                label: row.label,
                margin: row.margin,
                probability: row.probability,
            })
            .collect()
    }
}

/// What the sealed test said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedEvaluation {
    /// Scores, one row a source.
    pub by_source: Evaluation,
    /// Scores, each group weighing one.
    pub by_group: Evaluation,
    /// Every prediction; the fold is 0.
    pub predictions: Vec<ScoredSource>,
    /// The trivial models, fitted on the training side.
    pub baselines: Vec<Baseline>,
    /// How far the model is above the best baseline of each number on the sealed sources.
    pub margins: Vec<Margin>,
}

/// A model fitted on one side, with all that was fitted on the way.
pub(crate) struct Chain {
    pub(crate) preprocessor: Preprocessor,
    pub(crate) fitted: FittedModel,
    pub(crate) calibration: Calibration,
    pub(crate) selection: Selection,
}

impl Chain {
    pub(crate) fn margin(&self, row: &[f64]) -> f64 {
        self.fitted.body.margin(&self.preprocessor.apply(row))
    }
}

pub(crate) fn stop_if(cancel: &AtomicBool) -> Result<(), LearnError> {
    if cancel.load(Ordering::Relaxed) { Err(LearnError::Cancelled) } else { Ok(()) }
}

/// Inner folds, fewer than asked for where the groups do not allow more; none when not even two do.
pub(crate) fn inner_folds<'a>(
    train: &TrainView<'a>,
    folds: u32,
    seed: u64,
) -> Result<Vec<(TrainView<'a>, EvalView<'a>)>, LearnError> {
    match train.inner_folds(folds, seed) {
        Ok(inner) => Ok(inner),
        Err(SplitError::MissingClass { largest: Some(largest), .. }) => {
            Ok(train.inner_folds(largest, seed)?)
        }
        Err(SplitError::MissingClass { largest: None, .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Margins beside labels, of rows that were outside of the fit, fold by fold.
pub(crate) type OutOfFold = Vec<Vec<(f64, Label)>>;

/// Log loss of every fold's rows on average. Margins that are no log odds are made such by a
/// calibration on the other folds: a point of a grid shall not win by the scale of its margins, and
/// no row is judged by what it was calibrated on.
pub(crate) fn mean_log_loss(kind: ModelKind, folds: &OutOfFold) -> f64 {
    let mut sum = 0.0;
    for (at, own) in folds.iter().enumerate() {
        let calibration = if kind.scores_in_log_odds() {
            Calibration::IDENTITY
        } else {
            let others = folds.iter().enumerate().filter(|(other, _)| *other != at);
            let others: Vec<(f64, Label)> = others.flat_map(|(_, rows)| rows).copied().collect();
            Calibration::fit(&others)
        };
        let loss: f64 = own
            .iter()
            .map(|&(margin, label)| {
                let z = calibration.log_odds(margin).clamp(-35.0, 35.0);
                z.max(0.0) + (-z.abs()).exp().ln_1p() - label.target() * z
            })
            .sum();
        sum += loss / own.len().max(1) as f64;
    }
    sum / folds.len().max(1) as f64
}

/// Selection, refit and calibration inside one training side.
pub(crate) fn fit_chain(
    kind: ModelKind,
    train: &TrainView<'_>,
    settings: &TrainSettings,
    cancel: &AtomicBool,
) -> Result<Chain, LearnError> {
    if kind == ModelKind::Ensemble {
        return fit_ensemble_chain(train, settings, cancel);
    }
    let inner = inner_folds(train, settings.inner_folds, settings.seed)?;
    let mut prepared = Vec::with_capacity(inner.len());
    for (inner_train, inner_eval) in &inner {
        let preprocessor = Preprocessor::fit_for(inner_train, kind)?;
        prepared.push((inner_train, inner_eval, preprocessor));
    }
    // Early stopping needs a further split of every side that is fitted on; where the groups do not
    // carry one, all points are fitted without it, alike.
    let splits_again = |view: &TrainView<'_>| -> Result<bool, LearnError> {
        Ok(!inner_folds(view, 2, settings.seed)?.is_empty())
    };
    let mut stopping = splits_again(train)?;
    for (inner_train, _) in &inner {
        stopping = stopping && splits_again(inner_train)?;
    }
    let fixed = &settings.parameters;
    let mut points = kind.points(settings.grid, fixed)?;
    if inner.is_empty() {
        // Nothing to search with: the defaults, or the first point where these do not go with what
        // is fixed.
        points = vec![kind.beside(&Parameters::new(), fixed).unwrap_or_else(|| points.remove(0))];
    }
    if !stopping {
        let mut without: Vec<Parameters> = Vec::new();
        for point in points {
            let mut known = kind.without_inner_split();
            known.extend(fixed.clone());
            let point = kind.beside(&point, &known).unwrap_or(point);
            if !without.contains(&point) {
                without.push(point);
            }
        }
        points = without;
    }
    let mut tried = Vec::with_capacity(points.len());
    let mut best: Option<(f64, usize, OutOfFold)> = None;
    let mut first_failure = None;
    for (number, point) in points.iter().enumerate() {
        // A point out of range is the user's fault and not a result.
        let estimator = kind.estimator(point, settings.seed)?;
        let attempt = || -> Result<(f64, OutOfFold), LearnError> {
            let mut out_of_fold = Vec::with_capacity(prepared.len());
            for (inner_train, inner_eval, preprocessor) in &prepared {
                stop_if(cancel)?;
                let fitted = inner_train.fit(|inner_train| {
                    let fitted = estimator.fit(inner_train, preprocessor)?;
                    Ok::<_, LearnError>((preprocessor, fitted.into_inner()))
                })?;
                let scored = inner_eval.score_with(&fitted, |(preprocessor, fitted), row| {
                    fitted.body.margin(&preprocessor.apply(row))
                })?;
                out_of_fold.push(scored.rows.iter().map(|row| (row.score, row.label)).collect());
            }
            Ok((mean_log_loss(kind, &out_of_fold), out_of_fold))
        };
        match attempt() {
            Ok((loss, rows)) => {
                tried.push(GridPoint {
                    parameters: point.clone(),
                    log_loss: (!prepared.is_empty()).then_some(loss),
                    failure: None,
                });
                if best.as_ref().is_none_or(|(known, _, _)| loss < *known) {
                    best = Some((loss, number, rows));
                }
            }
            Err(LearnError::Cancelled) => return Err(LearnError::Cancelled),
            Err(error) => {
                tried.push(GridPoint {
                    parameters: point.clone(),
                    log_loss: None,
                    failure: Some(error.to_string()),
                });
                first_failure.get_or_insert(error);
            }
        }
    }
    let Some((_, number, rows)) = best else {
        let nothing = LearnError::Nothing { model: kind.name(), expected: "grid points that fit" };
        return Err(first_failure.unwrap_or(nothing));
    };
    stop_if(cancel)?;
    let chosen = points[number].clone();
    let preprocessor = Preprocessor::fit_for(train, kind)?;
    let estimator = kind.estimator(&chosen, settings.seed)?;
    let fitted = estimator.fit(train, &preprocessor)?.into_inner();
    let calibration =
        if inner.is_empty() { Calibration::IDENTITY } else { Calibration::fit(&rows.concat()) };
    let selection = Selection { chosen, tried, inner_folds: inner.len() as u32 };
    Ok(Chain { preprocessor, fitted, calibration, selection })
}

/// Scores a view by a fitted chain.
fn score(
    chain: &fvc_corpus::Fitted<Chain>,
    view: &EvalView<'_>,
    fold: u32,
) -> Result<Vec<ScoredSource>, LearnError> {
    let scored = view.score_with(chain, Chain::margin)?;
    Ok(scored
        .rows
        .into_iter()
        .map(|row| ScoredSource {
            fold,
            content_id: row.content_id,
            group: row.group,
            label: row.label,
            margin: row.score,
            probability: chain.calibration.probability(row.score),
        })
        .collect())
}

pub(crate) fn scored_rows(rows: &[ScoredSource]) -> Result<ScoredRows, LearnError> {
    ScoredRows::new(rows.iter().map(|row| Scored {
        fold: row.fold,
        group: &row.group,
        label: row.label,
        score: row.probability,
    }))
}

/// Evaluates one model over the outer folds of a split: inside each training side selection,
/// refit and calibration; on the other side one prediction a source; beside it the trivial
/// baselines over the same folds.
///
/// # Errors
/// A column is missing, a fit fails, or somebody asked to stop.
pub fn cross_validate(
    kind: ModelKind,
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    settings: &TrainSettings,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(TrainEvent),
) -> Result<CrossValidation, LearnError> {
    let inputs = examples.with_columns(&kind.columns(&roles.model)?)?;
    let mut folds = Vec::new();
    let mut predictions = Vec::new();
    let mut notes = Vec::new();
    for fold in 0..split.folds() {
        let (train, eval) = split.fold(fold, &inputs)?;
        let chain = train.fit(|train| fit_chain(kind, train, settings, cancel))?;
        notes.extend(
            chain.selection.shortfall(settings).map(|found| format!("fold {fold}: {found}")),
        );
        predictions.extend(score(&chain, &eval, fold)?);
        let chain = chain.into_inner();
        folds.push(FoldOutcome {
            fold,
            calibration: chain.calibration,
            kept_columns: chain.preprocessor.kept_columns().to_vec(),
            selection: chain.selection,
        });
        on_event(TrainEvent::FoldFinished { fold });
    }
    let rows = scored_rows(&predictions)?;
    let (draws, seed) = (settings.bootstrap_draws, settings.seed);
    let baselines = baselines_over_folds(examples, roles, split, settings, cancel)?;
    let (baselines, margins) = judge_baselines(&rows, baselines, settings);
    Ok(CrossValidation {
        model: kind,
        folds,
        by_source: evaluate(&rows, Weighting::Sources, draws, seed),
        by_group: evaluate(&rows, Weighting::Groups, draws, seed),
        predictions,
        baselines,
        margins,
        notes,
    })
}

/// The trivial models over the outer folds.
pub(crate) fn baselines_over_folds(
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    settings: &TrainSettings,
    cancel: &AtomicBool,
) -> Result<Vec<ScoredBaseline>, LearnError> {
    let mut baselines = Vec::new();
    for (name, inputs) in baseline_inputs(examples, roles)? {
        let mut scored = Vec::new();
        let mut note = None;
        for fold in 0..split.folds() {
            stop_if(cancel)?;
            scored.extend(if let Some(inputs) = &inputs {
                let (train, eval) = split.fold(fold, inputs)?;
                fit_baseline(&train, &eval, fold, settings, &mut note)?
            } else {
                let (train, eval) = split.fold(fold, examples)?;
                majority(&train, &eval, fold)?
            });
        }
        baselines.push((name, note, scored_rows(&scored)?));
    }
    Ok(baselines)
}

/// The trivial models on the sealed part.
pub(crate) fn baselines_sealed(
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    opening: &SealedOpening,
    settings: &TrainSettings,
) -> Result<Vec<ScoredBaseline>, LearnError> {
    let mut baselines = Vec::new();
    for (name, inputs) in baseline_inputs(examples, roles)? {
        let inputs = inputs.as_ref().unwrap_or(examples);
        let (train, eval) = (split.training(inputs)?, split.open_sealed(opening, inputs)?);
        let mut note = None;
        let scored = if name == "majority" {
            majority(&train, &eval, 0)?
        } else {
            fit_baseline(&train, &eval, 0, settings, &mut note)?
        };
        baselines.push((name, note, scored_rows(&scored)?));
    }
    Ok(baselines)
}

/// A baseline's name, its note and its scores.
pub(crate) type ScoredBaseline = (&'static str, Option<String>, ScoredRows);

/// The numbers of the baselines, and how far the model that scored `rows` is above them.
pub(crate) fn judge_baselines(
    rows: &ScoredRows,
    scored: Vec<ScoredBaseline>,
    settings: &TrainSettings,
) -> (Vec<Baseline>, Vec<Margin>) {
    let (draws, seed) = (settings.bootstrap_draws, settings.seed);
    let named: Vec<(&str, &ScoredRows)> =
        scored.iter().map(|(name, _, own)| (*name, own)).collect();
    let margins = [Metric::RocAucWithinFolds, Metric::BalancedAccuracy, Metric::LogLoss]
        .into_iter()
        .filter_map(|metric| margin(rows, &named, metric, Weighting::Sources, draws, seed))
        .collect();
    let baselines = scored
        .into_iter()
        .map(|(name, note, own)| Baseline {
            name: name.to_owned(),
            evaluation: evaluate(&own, Weighting::Sources, draws, seed),
            note,
        })
        .collect();
    (baselines, margins)
}

/// The inputs of each baseline; nothing for the majority.
fn baseline_inputs(
    examples: &Examples,
    roles: &ColumnRoles,
) -> Result<Vec<(&'static str, Option<Examples>)>, LearnError> {
    let mut all = vec![("majority", None)];
    for (name, columns) in [
        ("container only", &roles.container),
        ("duration only", &roles.duration),
        ("size only", &roles.size),
    ] {
        all.push((name, Some(examples.with_columns(columns)?)));
    }
    all.push((
        "missing pattern only",
        Some(examples.with_columns(&roles.model)?.missing_pattern()),
    ));
    Ok(all)
}

/// The share of fakes on the training side, for every source.
fn majority(
    train: &TrainView<'_>,
    eval: &EvalView<'_>,
    fold: u32,
) -> Result<Vec<ScoredSource>, LearnError> {
    let [real, fake] = train.source_counts();
    let margin = ((fake as f64 + 1.0) / (real as f64 + 1.0)).ln();
    let fitted = train.fit(|_| Ok::<_, LearnError>(margin))?;
    let scored = eval.score_with(&fitted, |margin, _| *margin)?;
    Ok(scored
        .rows
        .into_iter()
        .map(|row| ScoredSource {
            fold,
            content_id: row.content_id,
            group: row.group,
            label: row.label,
            margin,
            probability: crate::calibration::sigmoid(margin),
        })
        .collect())
}

/// Logistic regression with its defaults; the majority where nothing is left to learn from.
fn fit_baseline(
    train: &TrainView<'_>,
    eval: &EvalView<'_>,
    fold: u32,
    settings: &TrainSettings,
    note: &mut Option<String>,
) -> Result<Vec<ScoredSource>, LearnError> {
    let kind = ModelKind::LogisticRegression;
    let fitted = train.fit(|train| {
        let preprocessor = Preprocessor::fit(train, kind.preprocessing())?;
        if preprocessor.kept_columns().is_empty() {
            return Err(LearnError::Nothing { model: kind.name(), expected: "columns" });
        }
        let estimator = kind.estimator(&Parameters::new(), settings.seed)?;
        let fitted = estimator.fit(train, &preprocessor)?.into_inner();
        let selection = Selection { chosen: Parameters::new(), tried: Vec::new(), inner_folds: 0 };
        Ok(Chain { preprocessor, fitted, calibration: Calibration::IDENTITY, selection })
    });
    match fitted {
        Ok(chain) => score(&chain, eval, fold),
        Err(LearnError::Nothing { .. }) => {
            note.get_or_insert_with(|| {
                "its columns are constant in some training side: majority there".to_owned()
            });
            majority(train, eval, fold)
        }
        Err(error) => Err(error),
    }
}

/// Selects and fits on all training groups; thresholds from the outer folds' calibrated scores.
///
/// # Errors
/// As [`cross_validate`].
pub fn fit_final(
    kind: ModelKind,
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    settings: &TrainSettings,
    validated: &CrossValidation,
    cancel: &AtomicBool,
) -> Result<Detector, LearnError> {
    let inputs = examples.with_columns(&kind.columns(&roles.model)?)?;
    let train = split.training(&inputs)?;
    let thresholds = Thresholds::fit(
        validated.predictions.iter().map(|row| (&row.group, row.label, row.probability)),
        settings.max_error,
    );
    Detector::fit(kind, &train, thresholds, |train| fit_chain(kind, train, settings, cancel))
}

/// Scores the sealed part once.
///
/// # Errors
/// The split seals nothing, the opening is another split's, or the detector has seen a sealed group.
pub fn evaluate_sealed(
    detector: &Detector,
    examples: &Examples,
    roles: &ColumnRoles,
    split: &Split,
    opening: &SealedOpening,
    settings: &TrainSettings,
) -> Result<SealedEvaluation, LearnError> {
    let inputs = examples.with_columns(detector.columns())?;
    let view = split.open_sealed(opening, &inputs)?;
    let scored = detector.score(&view)?;
    let predictions: Vec<ScoredSource> = scored
        .rows
        .into_iter()
        .map(|row| ScoredSource {
            fold: 0,
            content_id: row.content_id,
            group: row.group,
            label: row.label,
            margin: row.score,
            probability: detector.probability(row.score),
        })
        .collect();
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
