//! [`Stack`]: what base models say of groups that they have not seen, and what is learnt of it.

use std::sync::atomic::AtomicBool;

use fvc_corpus::{Label, TrainView};

use super::{Ensemble, Method, NAME};
use crate::LearnError;
use crate::cross_validation::{Chain, OutOfFold, fit_chain, inner_folds};
use crate::linear::logistic_coefficients;

/// Log odds of base models count up to this size: a base model that is sure of everything would
/// else decide alone.
const MAX_LOG_ODDS: f64 = 15.0;
/// Steps of the projected gradient at most.
const STEPS: u32 = 2_000;

/// One source with the calibrated log odds of each base model, none of which was fitted on its
/// group.
struct StackedSource {
    label: Label,
    log_odds: Vec<f64>,
}

/// Sources of one training side, inner fold by inner fold. Only [`Stack::build`] makes one.
pub(super) struct Stack {
    folds: Vec<Vec<StackedSource>>,
    width: usize,
}

/// How base models' log odds become one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Combination {
    pub(super) intercept: f64,
    /// One a base model.
    pub(super) weights: Vec<f64>,
}

/// Log odds of a base model as an ensemble takes them.
pub(super) fn bounded_log_odds(chain: &Chain, row: &[f64]) -> f64 {
    bounded(chain.calibration.log_odds(chain.margin(row)))
}

pub(super) fn bounded(log_odds: f64) -> f64 {
    log_odds.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
}

impl Stack {
    /// Fits every base model on the other groups of each inner fold and has it score that fold.
    ///
    /// # Errors
    /// The groups cannot be split, a base model cannot be fitted, or somebody asked to stop.
    pub(super) fn build(
        ensemble: &Ensemble,
        train: &TrainView<'_>,
        cancel: &AtomicBool,
    ) -> Result<Self, LearnError> {
        let inner = inner_folds(train, ensemble.inner_folds, ensemble.seed)?;
        if inner.is_empty() {
            return Err(LearnError::Parameter {
                model: NAME,
                name: "inner_folds",
                expected: "two groups of each class to stack on in every training side".to_owned(),
                found: ensemble.inner_folds.to_string(),
            });
        }
        let mut folds = Vec::with_capacity(inner.len());
        for (inner_train, left_out) in &inner {
            let mut sources: Vec<StackedSource> = Vec::new();
            for (at, &kind) in ensemble.bases.iter().enumerate() {
                let chain = inner_train
                    .fit(|inner| fit_chain(kind, inner, &ensemble.settings(kind), cancel))?;
                let scored = left_out.score_with(&chain, bounded_log_odds)?;
                if at == 0 {
                    let empty = |label| StackedSource { label, log_odds: Vec::new() };
                    sources = scored.rows.iter().map(|row| empty(row.label)).collect();
                }
                for (source, row) in sources.iter_mut().zip(&scored.rows) {
                    source.log_odds.push(row.score);
                }
            }
            folds.push(sources);
        }
        Ok(Self { folds, width: ensemble.bases.len() })
    }

    pub(super) fn folds(&self) -> usize {
        self.folds.len()
    }

    pub(super) fn sources(&self) -> usize {
        self.folds.iter().map(Vec::len).sum()
    }

    /// Population standard deviation of a base model's log odds.
    pub(super) fn spread(&self, base: usize) -> f64 {
        let values = || self.folds.iter().flatten().map(|source| source.log_odds[base]);
        let count = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        (values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
    }

    /// From all sources.
    pub(super) fn learn(&self, method: Method) -> Combination {
        self.learn_from(method, &self.folds.iter().flatten().collect::<Vec<_>>())
    }

    /// The margins of every fold's sources by what is learnt from the other folds, beside labels.
    pub(super) fn out_of_fold(&self, method: Method) -> OutOfFold {
        let others = |own: usize| -> Vec<&StackedSource> {
            let others = self.folds.iter().enumerate().filter(|(fold, _)| *fold != own);
            others.flat_map(|(_, sources)| sources).collect()
        };
        self.folds
            .iter()
            .enumerate()
            .map(|(own, sources)| {
                let combination = self.learn_from(method, &others(own));
                sources
                    .iter()
                    .map(|source| (combination.margin(&source.log_odds), source.label))
                    .collect()
            })
            .collect()
    }

    fn learn_from(&self, method: Method, sources: &[&StackedSource]) -> Combination {
        match method {
            Method::MetaLearner(c) => {
                let values: Vec<f64> =
                    sources.iter().flat_map(|source| source.log_odds.iter().copied()).collect();
                let targets: Vec<f64> =
                    sources.iter().map(|source| source.label.target()).collect();
                let (intercept, weights) = logistic_coefficients(self.width, &values, &targets, c);
                Combination { intercept, weights }
            }
            Method::WeightedAverage => {
                Combination { intercept: 0.0, weights: simplex_weights(self.width, sources) }
            }
        }
    }
}

impl Combination {
    fn margin(&self, log_odds: &[f64]) -> f64 {
        self.weights.iter().zip(log_odds).fold(self.intercept, |sum, (weight, z)| sum + weight * z)
    }
}

/// The weights on the simplex of least mean log loss: projected gradient from equal weights, with
/// halved steps until the loss falls as far as the step's model says.
fn simplex_weights(width: usize, sources: &[&StackedSource]) -> Vec<f64> {
    let count = sources.len().max(1) as f64;
    let margin = |weights: &[f64], source: &StackedSource| -> f64 {
        weights.iter().zip(&source.log_odds).map(|(weight, z)| weight * z).sum()
    };
    let loss = |weights: &[f64]| -> f64 {
        let own = |source: &&StackedSource| {
            let z = margin(weights, source);
            z.max(0.0) + (-z.abs()).exp().ln_1p() - source.label.target() * z
        };
        sources.iter().map(own).sum::<f64>() / count
    };
    let mut weights = vec![1.0 / width as f64; width];
    let (mut current, mut step) = (loss(&weights), 1.0);
    for _ in 0..STEPS {
        let mut gradient = vec![0.0; width];
        for source in sources {
            let off = crate::model_body::logistic(margin(&weights, source)) - source.label.target();
            for (slope, z) in gradient.iter_mut().zip(&source.log_odds) {
                *slope += off * z / count;
            }
        }
        let mut moved = false;
        while step > 1e-12 {
            let ahead: Vec<f64> = weights
                .iter()
                .zip(&gradient)
                .map(|(weight, slope)| weight - step * slope)
                .collect();
            let next = onto_simplex(&ahead);
            let (mut along, mut square) = (0.0, 0.0);
            for ((new, old), slope) in next.iter().zip(&weights).zip(&gradient) {
                along += slope * (new - old);
                square += (new - old) * (new - old);
            }
            let found = loss(&next);
            if found <= current + along + square / (2.0 * step) {
                moved = square > 1e-20;
                (weights, current) = (next, found);
                step *= 2.0;
                break;
            }
            step /= 2.0;
        }
        if !moved {
            break;
        }
    }
    weights
}

/// The nearest point with coordinates of at least 0 that add up to 1.
fn onto_simplex(point: &[f64]) -> Vec<f64> {
    let mut sorted = point.to_vec();
    sorted.sort_by(|left, right| right.total_cmp(left));
    let (mut sum, mut shift) = (0.0, 0.0);
    for (at, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - 1.0) / (at + 1) as f64;
        if *value > candidate {
            shift = candidate;
        }
    }
    point.iter().map(|value| (value - shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use fvc_corpus::{
        Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupId, GroupTable, Split, SplitConfig,
    };
    use fvc_media::ContentId;

    use super::*;
    use crate::Parameters;

    fn source(fake: bool, log_odds: &[f64]) -> StackedSource {
        let label = if fake { Label::Fake } else { Label::Real };
        StackedSource { label, log_odds: log_odds.to_vec() }
    }

    /// Thirty groups of two sources, some of each class, told apart by the first column.
    fn examples(distort: impl Fn(&GroupId) -> bool) -> (Examples, Split) {
        let (mut evidence, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
        for at in 0..60_u64 {
            let content_id = ContentId::of_bytes(&at.to_le_bytes());
            let group = format!("{}", at / 2);
            evidence.push(GroupEvidence { content_id, declared: vec![group] });
            let fake = at / 2 % 2 == 0;
            labels.insert(content_id, if fake { Label::Fake } else { Label::Real });
            let noise = |salt: u64| (at * salt % 17) as f64 / 8.0 - 1.0;
            let values = vec![noise(5) + if fake { 0.8 } else { 0.0 }, noise(7), noise(11)];
            rows.push(FeatureRow { content_id, variant: 0, values });
        }
        let groups = GroupTable::build(&evidence);
        for row in &mut rows {
            // Every second source of such a group.
            if row.content_id.to_hex() < ContentId::of_bytes(b"").to_hex()
                && groups.group(&row.content_id).is_some_and(&distort)
            {
                row.values = row.values.iter().map(|value| 50.0 - 7.0 * value).collect();
            }
        }
        let columns = ["stage2_a", "stage2_b", "stage4_c"].map(str::to_owned).to_vec();
        let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
        let split = Split::plan(&groups, &labels, &config).unwrap();
        (Examples::join(FeatureMatrix { columns, rows }, &labels, &groups).unwrap(), split)
    }

    fn stack(examples: &Examples, split: &Split) -> Stack {
        let parameters = Parameters::from([(
            "bases".to_owned(),
            "logistic_regression,logistic_regression_stage2".into(),
        )]);
        let ensemble = Ensemble::checked(&parameters, 1).unwrap();
        let go = AtomicBool::new(false);
        Stack::build(&ensemble, &split.training(examples).unwrap(), &go).unwrap()
    }

    /// What stands in an inner fold changes no log odds but those of the changed sources: their base
    /// models have not seen it, by no scaler, search or calibration. The other folds', which learn from
    /// it, change.
    #[test]
    fn an_inner_fold_is_not_learnt_from() {
        let (examples_before, split) = examples(|_| false);
        let before = stack(&examples_before, &split);
        let train = split.training(&examples_before).unwrap();
        let inner = train.inner_folds(3, 1).unwrap();
        assert_eq!(before.folds(), 3);
        for (fold, (_, left_out)) in inner.iter().enumerate() {
            let own: BTreeSet<GroupId> = left_out.rows().map(|row| row.group.clone()).collect();
            let (examples_after, _) = examples(|group| own.contains(group));
            let after = stack(&examples_after, &split);
            let changed = |at: usize| -> Vec<bool> {
                let pairs = before.folds[at].iter().zip(&after.folds[at]);
                pairs.map(|(one, two)| one.log_odds != two.log_odds).collect()
            };
            let own_values = |examples: &Examples| -> Vec<Vec<f64>> {
                let view = split.training(examples).unwrap();
                let inner = view.inner_folds(3, 1).unwrap();
                inner[fold].1.rows().map(|row| row.values.to_vec()).collect()
            };
            let distorted: Vec<bool> = own_values(&examples_before)
                .iter()
                .zip(own_values(&examples_after))
                .map(|(one, two)| *one != two)
                .collect();
            assert!(distorted.contains(&true) && distorted.contains(&false));
            assert_eq!(changed(fold), distorted, "fold {fold} was learnt from");
            for other in (0..3).filter(|other| *other != fold) {
                assert!(changed(other).iter().all(|changed| *changed), "fold {other}");
            }
        }
    }

    /// Against a fine grid over the simplex of three base models.
    #[test]
    fn weights_are_the_best_on_the_simplex() {
        let mut sources = Vec::new();
        for at in 0..40_u32 {
            let fake = at % 2 == 0;
            let sign = if fake { 1.0 } else { -1.0 };
            let noise = |salt: u32| f64::from(at * salt % 13) / 3.0 - 2.0;
            sources.push(source(fake, &[sign + noise(5), 0.5 * sign + noise(7), noise(11)]));
        }
        let sources: Vec<&StackedSource> = sources.iter().collect();
        let loss = |weights: &[f64]| -> f64 {
            let own = |source: &&StackedSource| {
                let z: f64 = weights.iter().zip(&source.log_odds).map(|(w, z)| w * z).sum();
                z.max(0.0) + (-z.abs()).exp().ln_1p() - source.label.target() * z
            };
            sources.iter().map(own).sum()
        };
        let found = simplex_weights(3, &sources);
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(found.iter().all(|weight| *weight >= 0.0));
        for first in 0..=100 {
            for second in 0..=100 - first {
                let weights = [first, second, 100 - first - second].map(|of| f64::from(of) / 100.0);
                assert!(loss(&found) <= loss(&weights) + 1e-9, "{weights:?} {found:?}");
            }
        }
    }

    #[test]
    fn the_projection_is_the_nearest_point() {
        assert_eq!(onto_simplex(&[0.2, 0.8]), [0.2, 0.8]);
        assert_eq!(onto_simplex(&[3.0, 0.0, 0.0]), [1.0, 0.0, 0.0]);
        let found = onto_simplex(&[0.9, 0.7, -5.0]);
        assert!((found[0] - 0.6).abs() < 1e-12 && (found[1] - 0.4).abs() < 1e-12);
        assert_eq!(found[2], 0.0);
    }
}
