//! Ensembles over the other models: a meta-learner or a weighted average, both learnt on
//! predictions for groups that the base models had not seen.
//!
//! # The model
//! Every base model ends in calibrated log odds `z_m` of fake. The ensemble's are
//!
//! `margin = b0 + sum_m b_m z_m`
//!
//! with `method = meta_learner` the coefficients of a logistic regression, with
//! `method = weighted_average` weights of at least 0 that add up to 1 and no b0: a logarithmic
//! opinion pool (Genest and Zidek, "Combining probability distributions", 1986).
//!
//! # The fit
//! Stacked generalisation (Wolpert 1992) by groups. The training side is split by group into
//! `inner_folds`; for each of them every base model goes its whole way (preprocessing, search over
//! `base_grid`, early stopping, calibration, each with further splits by group) on the others and
//! scores its sources. Only on these scores are the coefficients learnt:
//!
//! - `meta_learner` minimises `C * sum_i log(1 + exp(-s_i margin_i)) + 1/2 |b|_2^2`;
//! - `weighted_average` minimises the mean log loss over the simplex, by projected gradient
//!   (projection: Duchi et al., "Efficient projections onto the l1-ball", 2008), from equal weights.
//!
//! Then every base model is fitted once more, on the whole training side. The earlier system fitted
//! its meta-learner on what base models said of their own training rows, where whoever remembers
//! most is believed most; its weighted average was the plain mean. Here scores of a base model exist
//! only as what [`fvc_corpus::EvalView::score_with`] gives, which refuses a source that it was
//! fitted on.
//!
//! What ends up as the ensemble's probability is calibrated, and points of its grid are judged, on
//! margins that are outside twice: each inner fold's by coefficients that were learnt on the other
//! folds. Cost: `inner_folds + 1` times that of all base models.
//!
//! Parameters of a base model are fixed under its name and a dot, such as `svm.C`.
//!
//! # Explanation
//! A weighted sum of the base models' Shapley values, which is what the Shapley values of a
//! weighted sum are: exact where theirs are. Where some are sampled, the standard errors are added
//! up, weighted: a bound, since the base models sample the same permutations.

mod ensemble_model;
mod stack;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use fvc_corpus::TrainView;

pub use self::ensemble_model::EnsembleModel;
use self::ensemble_model::Member;
use self::stack::Stack;
use crate::cross_validation::{
    Chain, GridPoint, Selection, TrainSettings, fit_chain, mean_log_loss,
};
use crate::parameter_reader::ParameterReader;
use crate::training_table::TrainingTable;
use crate::{
    Calibration, Estimator, Fitted, FittedModel, Grid, LearnError, ModelBody, ModelKind,
    ParameterValue, Parameters, Preprocessor,
};

/// The name of this family.
pub(crate) const NAME: &str = "ensemble";

/// The base models where none are named.
const BASES: &str = "logistic_regression,svm,xgboost";
/// Most base models.
const MAX_BASES: usize = 16;

const NAMES: [&str; 5] = ["bases", "method", "C", "inner_folds", "base_grid"];

const GRIDS: [(&str, Grid); 3] =
    [("none", Grid::None), ("small", Grid::Small), ("reference", Grid::Reference)];

/// How the base models' log odds become one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    /// By logistic regression with this inverse strength of its penalty.
    MetaLearner(f64),
    WeightedAverage,
}

/// Checked parameters of an ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Ensemble {
    bases: Vec<ModelKind>,
    method: Method,
    inner_folds: u32,
    base_grid: Grid,
    /// Parameters of base models that are fixed.
    fixed: BTreeMap<ModelKind, Parameters>,
    seed: u64,
}

impl Ensemble {
    /// # Errors
    /// An unknown name, a value out of range, or one that would have no effect beside the others;
    /// the same for the parameters of base models.
    pub(crate) fn checked(given: &Parameters, seed: u64) -> Result<Self, LearnError> {
        let (of_bases, own): (Parameters, Parameters) =
            given.clone().into_iter().partition(|(name, _)| name.contains('.'));
        let read = ParameterReader::new(NAME, &NAMES, &own)?;
        let expected =
            || format!("2 to {MAX_BASES} different models, with commas between, such as {BASES}");
        let text = match read.get("bases") {
            None => BASES,
            Some(ParameterValue::Text(text)) => text,
            Some(other) => return Err(read.error("bases", expected(), other)),
        };
        let mut bases = Vec::new();
        for name in text.split(',') {
            match name.parse::<ModelKind>() {
                Ok(kind)
                    if kind != ModelKind::Ensemble
                        && !kind.is_network()
                        && !bases.contains(&kind) =>
                {
                    bases.push(kind);
                }
                _ => return Err(read.error("bases", expected(), &text)),
            }
        }
        if !(2..=MAX_BASES).contains(&bases.len()) {
            return Err(read.error("bases", expected(), &text));
        }
        let methods = [("meta_learner", true), ("weighted_average", false)];
        let learns = read.choice("method", true, &methods)?;
        if !learns && let Some(given) = read.get("C") {
            return Err(read.error("C", "none with method weighted_average", given));
        }
        let c = read.number("C", 1.0, 1e-6..=1e6)?;
        let mut fixed: BTreeMap<ModelKind, Parameters> = BTreeMap::new();
        for (name, value) in of_bases {
            let known = name
                .split_once('.')
                .and_then(|(model, rest)| Some((model.parse::<ModelKind>().ok()?, rest)))
                .filter(|(kind, _)| bases.contains(kind));
            let Some((kind, rest)) = known else {
                return Err(LearnError::UnknownParameter {
                    model: NAME,
                    expected: format!(
                        "{}, a base model, a dot and its parameter",
                        NAMES.join(", ")
                    ),
                    found: name,
                });
            };
            fixed.entry(kind).or_default().insert(rest.to_owned(), value);
        }
        let checked = Self {
            bases,
            method: if learns { Method::MetaLearner(c) } else { Method::WeightedAverage },
            inner_folds: read.count("inner_folds", 3, 2..=50)?,
            base_grid: read.choice("base_grid", Grid::None, &GRIDS)?,
            fixed,
            seed,
        };
        for &kind in &checked.bases {
            let settings = checked.settings(kind);
            kind.points(settings.grid, &settings.parameters)?;
        }
        Ok(checked)
    }

    pub(crate) fn bases(&self) -> &[ModelKind] {
        &self.bases
    }

    /// What a base model is fitted with.
    fn settings(&self, kind: ModelKind) -> TrainSettings {
        TrainSettings {
            grid: self.base_grid,
            inner_folds: self.inner_folds,
            seed: self.seed,
            max_error: 0.05,
            bootstrap_draws: 100,
            parameters: self.fixed.get(&kind).cloned().unwrap_or_default(),
        }
    }

    /// The model, from what its base models say of groups that they have not seen, and its base
    /// models fitted on all of `train`.
    fn finish(
        &self,
        stack: &Stack,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
        cancel: &AtomicBool,
    ) -> Result<FittedModel, LearnError> {
        let combination = stack.learn(self.method);
        let mut members = Vec::with_capacity(self.bases.len());
        let mut notes = BTreeMap::from([
            ("stacked_sources".to_owned(), stack.sources() as f64),
            ("stacked_folds".to_owned(), stack.folds() as f64),
        ]);
        for (at, &kind) in self.bases.iter().enumerate() {
            let weight = combination.weights[at];
            notes.insert(format!("weight of {kind}"), weight);
            let chain = fit_chain(kind, train, &self.settings(kind), cancel)?;
            members.push(Member::of(kind, weight, stack.spread(at), chain));
        }
        let body =
            ModelBody::Ensemble(EnsembleModel::of(combination.intercept, preprocessor, members));
        body.check().map_err(|found| LearnError::Library {
            library: "the ensemble",
            doing: "fit a model within the bounds of a model file",
            message: found,
        })?;
        Ok(FittedModel { body, notes })
    }
}

impl Estimator for Ensemble {
    fn family(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> Parameters {
        let bases: Vec<&str> = self.bases.iter().map(|kind| kind.name()).collect();
        let mut parameters = Parameters::from([
            ("bases".to_owned(), ParameterValue::Text(bases.join(","))),
            ("inner_folds".to_owned(), f64::from(self.inner_folds).into()),
            ("base_grid".to_owned(), name_of(self.base_grid).into()),
        ]);
        let method = match self.method {
            Method::MetaLearner(c) => {
                parameters.insert("C".to_owned(), c.into());
                "meta_learner"
            }
            Method::WeightedAverage => "weighted_average",
        };
        parameters.insert("method".to_owned(), method.into());
        for (kind, fixed) in &self.fixed {
            for (name, value) in fixed {
                parameters.insert(format!("{kind}.{name}"), value.clone());
            }
        }
        parameters
    }

    fn fit(
        &self,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Fitted, LearnError> {
        train.fit(|train| {
            // Columns and classes are checked before hours of fits, and as for every family.
            TrainingTable::build(NAME, train, preprocessor)?;
            let go = AtomicBool::new(false);
            let stack = Stack::build(self, train, &go)?;
            self.finish(&stack, train, preprocessor, &go)
        })
    }
}

fn name_of(grid: Grid) -> &'static str {
    GRIDS.iter().find(|(_, known)| *known == grid).map_or("none", |(name, _)| *name)
}

/// Selection, fit and calibration of an ensemble inside one training side. What the base models
/// say of groups that they have not seen is computed once for all points of the grid.
pub(crate) fn fit_ensemble_chain(
    train: &TrainView<'_>,
    settings: &TrainSettings,
    cancel: &AtomicBool,
) -> Result<Chain, LearnError> {
    let kind = ModelKind::Ensemble;
    let mut fixed = settings.parameters.clone();
    fixed.entry("inner_folds".to_owned()).or_insert_with(|| f64::from(settings.inner_folds).into());
    fixed.entry("base_grid".to_owned()).or_insert_with(|| name_of(settings.grid).into());
    let points = kind.points(settings.grid, &fixed)?;
    let first = points.first().unwrap_or(&fixed);
    // The points differ in method and C, of which the stack knows nothing.
    let stack = Stack::build(&Ensemble::checked(first, settings.seed)?, train, cancel)?;
    let mut tried = Vec::with_capacity(points.len());
    let mut best: Option<(f64, Ensemble, Calibration)> = None;
    for point in &points {
        let estimator = Ensemble::checked(point, settings.seed)?;
        let out_of_fold = stack.out_of_fold(estimator.method);
        let loss = mean_log_loss(kind, &out_of_fold);
        tried.push(GridPoint { parameters: point.clone(), log_loss: Some(loss), failure: None });
        if best.as_ref().is_none_or(|(known, ..)| loss < *known) {
            best = Some((loss, estimator, Calibration::fit(&out_of_fold.concat())));
        }
    }
    let Some((_, estimator, calibration)) = best else {
        return Err(LearnError::Nothing { model: NAME, expected: "grid points" });
    };
    let preprocessor = Preprocessor::fit_for(train, kind)?;
    let fitted = estimator.finish(&stack, train, &preprocessor, cancel)?;
    let chosen = estimator.parameters();
    let selection = Selection { chosen, tried, inner_folds: stack.folds() as u32 };
    Ok(Chain { preprocessor, fitted, calibration, selection })
}
