//! The fit: the only module that calls libxgboost.

use std::collections::BTreeMap;

use fvc_corpus::{Predictions, TrainView};
use xgb::parameters::BoosterParameters;
use xgb::{Booster, DMatrix, XGBError};

use super::{GradientBoosting, NAME, PositiveWeight, TreeModel};
use crate::training_table::TrainingTable;
use crate::{FittedModel, LearnError, ModelBody, Preprocessor};

fn failed(doing: &'static str) -> impl Fn(XGBError) -> LearnError {
    move |error| LearnError::Library { library: "xgboost", doing, message: error.to_string() }
}

pub(super) fn fit(
    estimator: &GradientBoosting,
    train: &TrainView<'_>,
    preprocessor: &Preprocessor,
) -> Result<FittedModel, LearnError> {
    let table = TrainingTable::build(NAME, train, preprocessor)?;
    let most = estimator.number("n_estimators") as usize;
    let patience = estimator.number("early_stopping_rounds") as usize;
    let mut notes = BTreeMap::new();
    let rounds = if patience == 0 {
        most
    } else {
        let stopping = best_round(estimator, train, preprocessor, most, patience)?;
        notes.insert("stopping_rounds_tried".to_owned(), stopping.tried as f64);
        notes.insert("stopping_log_loss".to_owned(), stopping.log_loss);
        notes.insert("stopping_sources".to_owned(), stopping.sources as f64);
        stopping.rounds
    };
    notes.insert("rounds".to_owned(), rounds as f64);
    let mut session = Session::open(estimator, &table, preprocessor)?;
    session.advance(rounds)?;
    Ok(FittedModel { body: ModelBody::Trees(session.model()?), notes })
}

struct Stopping {
    rounds: usize,
    tried: usize,
    log_loss: f64,
    sources: usize,
}

/// The number of rounds with the least log loss on groups that were held out of the training side.
fn best_round(
    estimator: &GradientBoosting,
    train: &TrainView<'_>,
    preprocessor: &Preprocessor,
    most: usize,
    patience: usize,
) -> Result<Stopping, LearnError> {
    let folds = estimator.number("early_stopping_folds") as u32;
    // Fewer folds where the groups do not reach for as many: a smaller share is fitted on, but
    // both sides still hold both classes. The number of held-out sources is in the notes.
    let inner = match train.inner_folds(folds, estimator.seed) {
        Err(fvc_corpus::SplitError::MissingClass { largest: Some(largest), .. }) => {
            train.inner_folds(largest, estimator.seed)?
        }
        Err(fvc_corpus::SplitError::MissingClass { largest: None, .. }) => {
            return Err(LearnError::Parameter {
                model: NAME,
                name: "early_stopping_rounds",
                expected: "0 where there are not two groups of each class to stop on".to_owned(),
                found: patience.to_string(),
            });
        }
        other => other?,
    };
    let Some((inner_train, held_out)) = inner.into_iter().next() else {
        return Err(LearnError::Nothing { model: NAME, expected: "folds to stop on" });
    };
    // The outer preprocessor has seen the held-out groups.
    let inner_preprocessor = preprocessor.fit_again(&inner_train)?;
    let table = TrainingTable::build(NAME, &inner_train, &inner_preprocessor)?;
    let mut session = Session::open(estimator, &table, &inner_preprocessor)?;
    loop {
        session.advance(patience.min(most - session.rounds))?;
        let fitted =
            inner_train.fit(|_| Ok::<_, LearnError>((&inner_preprocessor, session.model()?)))?;
        let staged_margins = |row: &[f64]| fitted.1.staged_margins(&fitted.0.apply(row));
        let staged: Vec<Vec<f64>> = held_out.rows().map(|row| staged_margins(row.values)).collect();
        let scored = held_out.score_with(&fitted, |(preprocessor, model), row| {
            model.margin(&preprocessor.apply(row))
        })?;
        let losses: Vec<f64> =
            (1..=session.rounds).map(|rounds| log_loss(&scored, &staged, rounds)).collect();
        let mut best = 0;
        for (at, loss) in losses.iter().enumerate() {
            if at - best > patience {
                break;
            }
            if *loss < losses[best] {
                best = at;
            }
        }
        if session.rounds >= most || session.rounds - 1 - best >= patience {
            return Ok(Stopping {
                rounds: best + 1,
                tried: session.rounds,
                log_loss: losses[best],
                sources: held_out.len(),
            });
        }
    }
}

/// Mean log loss of the held-out originals after `rounds` rounds.
fn log_loss(scored: &Predictions, staged: &[Vec<f64>], rounds: usize) -> f64 {
    let sum: f64 = scored
        .rows
        .iter()
        .zip(staged)
        .map(|(row, margins)| {
            let margin = margins[rounds];
            margin.max(0.0) - row.label.target() * margin + (-margin.abs()).exp().ln_1p()
        })
        .sum();
    sum / scored.rows.len() as f64
}

/// A booster with the rows that it learns from.
struct Session {
    booster: Booster,
    matrix: DMatrix,
    rounds: usize,
}

impl Session {
    fn open(
        estimator: &GradientBoosting,
        table: &TrainingTable,
        preprocessor: &Preprocessor,
    ) -> Result<Self, LearnError> {
        let mut values = Vec::with_capacity(table.values.len());
        for (at, &value) in table.values.iter().enumerate() {
            let narrow = value as f32;
            if narrow.is_infinite() {
                return Err(LearnError::Value {
                    model: NAME,
                    column: preprocessor.kept_columns()[at % table.width].clone(),
                    expected: "values within the range of f32, or missing ones",
                    found: value,
                });
            }
            values.push(narrow);
        }
        let targets: Vec<f32> = table.targets.iter().map(|&target| target as f32).collect();
        let weights: Vec<f32> = table.weights.iter().map(|&weight| weight as f32).collect();
        let mut matrix =
            DMatrix::from_dense(&values, table.len()).map_err(failed("take the rows"))?;
        matrix.set_labels(&targets).map_err(failed("take the labels"))?;
        matrix.set_weights(&weights).map_err(failed("take the weights"))?;

        let total: f64 = table.weights.iter().sum();
        let fake: f64 = table.weights.iter().zip(&table.targets).map(|(w, y)| w * y).sum();
        let positive_weight = match estimator.positive_weight {
            PositiveWeight::Times(times) => times,
            PositiveWeight::Balanced => (total - fake) / fake,
        };
        let share = positive_weight * fake / (positive_weight * fake + total - fake);
        let mut booster = Booster::new_with_cached_dmats(&BoosterParameters::default(), &[&matrix])
            .map_err(failed("make a booster"))?;
        let number = |name: &str| estimator.number(name).to_string();
        let settings = [
            ("verbosity", "0".to_owned()),
            ("booster", "gbtree".to_owned()),
            ("objective", "binary:logistic".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("nthread", estimator.threads.to_string()),
            // The library's seed is a signed number; what is above its range wraps round.
            ("seed", (estimator.seed & 0x7fff_ffff).to_string()),
            ("base_score", (share as f32).to_string()),
            ("scale_pos_weight", positive_weight.to_string()),
            ("eta", number("learning_rate")),
            ("max_depth", number("max_depth")),
            ("subsample", number("subsample")),
            ("colsample_bytree", number("colsample_bytree")),
            ("colsample_bylevel", number("colsample_bylevel")),
            ("colsample_bynode", number("colsample_bynode")),
            ("min_child_weight", number("min_child_weight")),
            ("max_delta_step", number("max_delta_step")),
            ("gamma", number("gamma")),
            ("alpha", number("reg_alpha")),
            ("lambda", number("reg_lambda")),
            ("max_bin", number("max_bin")),
        ];
        for (name, value) in settings {
            booster.set_param(name, &value).map_err(failed("take a parameter"))?;
        }
        Ok(Self { booster, matrix, rounds: 0 })
    }

    fn advance(&mut self, rounds: usize) -> Result<(), LearnError> {
        for _ in 0..rounds {
            let round = i32::try_from(self.rounds).map_err(|error| LearnError::Library {
                library: "xgboost",
                doing: "count rounds",
                message: error.to_string(),
            })?;
            self.booster.update(&self.matrix, round).map_err(failed("add a tree"))?;
            self.rounds += 1;
        }
        Ok(())
    }

    fn model(&self) -> Result<TreeModel, LearnError> {
        let json = self.booster.save_buffer(false).map_err(failed("write its model"))?;
        TreeModel::from_xgboost_json(&json)
    }
}
