//! [`TrainView`] and [`EvalView`]: the only ways in which rows are handed out.
//!
//! Neither has a public constructor: a [`Split`] makes them, from groups. `fit` takes a
//! [`TrainView`]; scoring takes an [`EvalView`], which shows no label and refuses a model that was
//! fitted on one of its groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::split::{GroupCounts, deal_folds, missing_class};
use crate::{Examples, FitScope, Fitted, GroupId, Label, Part, SealedOpening, Split, SplitError};

/// A row to be scored belongs to a group that the model was fitted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Refused to score source {content_id}: the model was fitted on its group {group}")]
pub struct LeakError {
    /// The source.
    pub content_id: ContentId,
    /// Its group.
    pub group: GroupId,
}

/// One row to learn from.
#[derive(Clone, Copy, Debug)]
pub struct TrainRow<'a> {
    /// The source.
    pub content_id: ContentId,
    /// 0 for the original, 1.. for its variants.
    pub variant: u32,
    /// The group.
    pub group: &'a GroupId,
    /// What the source is said to be.
    pub label: Label,
    /// Weight of the row; the weights of a source's rows add up to 1.
    pub weight: f64,
    /// One value a column; NaN is missing.
    pub values: &'a [f64],
}

/// Rows to learn from: originals and variants of the groups on the training side.
///
/// A split hands it out; rows that no split has dealt make none:
///
/// ```
/// # use fvc_corpus::{Examples, Split, SplitError, TrainView};
/// fn to_learn_from<'a>(split: &Split, all: &'a Examples) -> Result<TrainView<'a>, SplitError> {
///     split.training(all)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use fvc_corpus::{Examples, Split, SplitError, TrainView};
/// fn to_learn_from<'a>(split: &Split, all: &'a Examples) -> Result<TrainView<'a>, SplitError> {
///     Ok(all.into())
/// }
/// ```
///
/// Nobody else can put one together, and no side to score becomes one:
///
/// ```compile_fail,E0624
/// # use fvc_corpus::{Examples, Split, SplitError, TrainView};
/// fn to_learn_from<'a>(split: &Split, all: &'a Examples) -> Result<TrainView<'a>, SplitError> {
///     Ok(TrainView::new(all, vec![0, 1], split.hash().to_owned()))
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use fvc_corpus::{Examples, Split, SplitError, TrainView};
/// fn to_learn_from<'a>(split: &Split, all: &'a Examples) -> Result<TrainView<'a>, SplitError> {
///     Ok(TrainView { examples: all, ..split.training(all)? })
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{Examples, Split, SplitError, TrainView};
/// fn to_learn_from<'a>(split: &Split, all: &'a Examples) -> Result<TrainView<'a>, SplitError> {
///     let (_, to_score) = split.fold(0, all)?;
///     Ok(to_score)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TrainView<'a> {
    examples: &'a Examples,
    rows: Vec<usize>,
    weights: Vec<f64>,
    scope: FitScope,
}

/// One row to score. It has no label: what a score is worth is computed from [`Predictions`].
///
/// ```
/// # use fvc_corpus::{EvalView, GroupId};
/// fn groups(to_score: &EvalView<'_>) -> Vec<GroupId> {
///     to_score.rows().map(|row| row.group.clone()).collect()
/// }
/// ```
///
/// ```compile_fail,E0609
/// # use fvc_corpus::{EvalView, Label};
/// fn labels(to_score: &EvalView<'_>) -> Vec<Label> {
///     to_score.rows().map(|row| row.label.clone()).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EvalRow<'a> {
    /// The source.
    pub content_id: ContentId,
    /// The group.
    pub group: &'a GroupId,
    /// One value a column; NaN is missing.
    pub values: &'a [f64],
}

/// Rows to score: the originals, one a source, of groups on the other side.
///
/// A split hands it out, and nobody else can put one together:
///
/// ```
/// # use fvc_corpus::{EvalView, Examples, Split, SplitError};
/// fn to_score<'a>(split: &Split, all: &'a Examples) -> Result<EvalView<'a>, SplitError> {
///     let (_, to_score) = split.fold(0, all)?;
///     Ok(to_score)
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use fvc_corpus::{EvalView, Examples, Split, SplitError};
/// fn to_score<'a>(split: &Split, all: &'a Examples) -> Result<EvalView<'a>, SplitError> {
///     Ok(EvalView { examples: all, rows: vec![0, 1] })
/// }
/// ```
///
/// It has scores for what was fitted on a view, and for nothing else:
///
/// ```
/// # use fvc_corpus::{EvalView, Fitted, LeakError, Predictions};
/// fn scores(to_score: &EvalView<'_>, mean: &Fitted<f64>) -> Result<Predictions, LeakError> {
///     to_score.score_with(mean, |mean, values| values[0] - mean)
/// }
/// ```
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{EvalView, Fitted, LeakError, Predictions};
/// fn scores(to_score: &EvalView<'_>, mean: &f64) -> Result<Predictions, LeakError> {
///     to_score.score_with(mean, |mean, values| values[0] - mean)
/// }
/// ```
///
/// A model does not pass beside the fitted one either, for the scores are a function of that alone:
///
/// ```compile_fail,E0308
/// # use fvc_corpus::{EvalView, Fitted, LeakError, Predictions};
/// fn scores(to_score: &EvalView<'_>, mean: &Fitted<f64>, other: f64) -> Result<Predictions, LeakError> {
///     to_score.score_with(mean, |_, values| values[0] - other)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct EvalView<'a> {
    examples: &'a Examples,
    rows: Vec<usize>,
}

/// One scored source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The source.
    pub content_id: ContentId,
    /// Its group.
    pub group: GroupId,
    /// What it is said to be.
    pub label: Label,
    /// What the model says; larger is more likely fake.
    pub score: f64,
}

/// Scores beside labels, one row a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// The rows.
    pub rows: Vec<Prediction>,
}

impl Split {
    /// The two sides of outer fold `fold`: everything outside it that is not sealed, and its
    /// originals.
    ///
    /// Rows of sources that the split does not know (indexed after it was made) are on neither
    /// side; see [`Split::admit`].
    ///
    /// # Errors
    /// There is no such fold, or new evidence has joined groups of two parts.
    pub fn fold<'a>(
        &self,
        fold: u32,
        examples: &'a Examples,
    ) -> Result<(TrainView<'a>, EvalView<'a>), SplitError> {
        if fold >= self.folds() {
            return Err(SplitError::NoSuchFold { found: fold, folds: self.folds() });
        }
        self.check_groups(examples)?;
        let train =
            self.train_rows(examples, |part| part != Part::Sealed && part != Part::Fold(fold));
        let eval = self.eval_rows(examples, Part::Fold(fold));
        Ok((train, eval))
    }

    /// Everything that is not sealed, for the final fit.
    ///
    /// # Errors
    /// New evidence has joined groups of two parts.
    pub fn training<'a>(&self, examples: &'a Examples) -> Result<TrainView<'a>, SplitError> {
        self.check_groups(examples)?;
        Ok(self.train_rows(examples, |part| part != Part::Sealed))
    }

    /// The sealed originals. Costs an opening, which the ledger has recorded before.
    ///
    /// # Errors
    /// Nothing is sealed, the opening was recorded for another split, or new evidence has joined
    /// groups of two parts.
    pub fn open_sealed<'a>(
        &self,
        opening: &SealedOpening,
        examples: &'a Examples,
    ) -> Result<EvalView<'a>, SplitError> {
        if !self.has_sealed() {
            return Err(SplitError::NothingSealed);
        }
        if opening.split_hash() != self.hash() {
            return Err(SplitError::WrongOpening {
                expected: self.hash().to_owned(),
                found: opening.split_hash().to_owned(),
            });
        }
        self.check_groups(examples)?;
        Ok(self.eval_rows(examples, Part::Sealed))
    }

    /// The groups as they are known now must still stand on one side each.
    fn check_groups(&self, examples: &Examples) -> Result<(), SplitError> {
        let mut side: HashMap<&GroupId, Part> = HashMap::new();
        for row in &examples.rows {
            let Some((_, part)) = self.members.get(&row.content_id) else { continue };
            let first = *side.entry(&row.group).or_insert(*part);
            if first != *part {
                return Err(SplitError::GroupOnTwoSides {
                    group: row.group.clone(),
                    first,
                    second: *part,
                    content_id: row.content_id,
                });
            }
        }
        Ok(())
    }

    fn train_rows<'a>(
        &self,
        examples: &'a Examples,
        wanted: impl Fn(Part) -> bool,
    ) -> TrainView<'a> {
        let rows = examples
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| {
                self.members.get(&row.content_id).is_some_and(|(_, part)| wanted(*part))
            })
            .map(|(at, _)| at)
            .collect();
        TrainView::new(examples, rows, self.hash().to_owned())
    }

    fn eval_rows<'a>(&self, examples: &'a Examples, wanted: Part) -> EvalView<'a> {
        let rows = examples
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| {
                row.variant == 0
                    && self.members.get(&row.content_id).is_some_and(|(_, part)| *part == wanted)
            })
            .map(|(at, _)| at)
            .collect();
        EvalView { examples, rows }
    }
}

impl<'a> TrainView<'a> {
    fn new(examples: &'a Examples, rows: Vec<usize>, split_hash: String) -> Self {
        let mut rows_of: HashMap<ContentId, u32> = HashMap::new();
        for &at in &rows {
            *rows_of.entry(examples.rows[at].content_id).or_default() += 1;
        }
        let weights = rows
            .iter()
            .map(|&at| {
                rows_of
                    .get(&examples.rows[at].content_id)
                    .map_or(1.0, |&count| 1.0 / f64::from(count))
            })
            .collect();
        let scope = FitScope {
            split_hash,
            groups: rows.iter().map(|&at| examples.rows[at].group.clone()).collect(),
            content_ids: rows.iter().map(|&at| examples.rows[at].content_id).collect(),
        };
        Self { examples, rows, weights, scope }
    }

    /// Column names.
    pub fn columns(&self) -> &'a [String] {
        self.examples.columns()
    }

    /// How many rows there are, variants included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, ordered by (content id, variant).
    pub fn rows(&self) -> impl Iterator<Item = TrainRow<'a>> + '_ {
        let examples = self.examples;
        self.rows.iter().zip(&self.weights).map(move |(&at, &weight)| {
            let row = &examples.rows[at];
            TrainRow {
                content_id: row.content_id,
                variant: row.variant,
                group: &row.group,
                label: row.label,
                weight,
                values: examples.values_of(at),
            }
        })
    }

    /// What a model fitted on this view has seen.
    pub fn scope(&self) -> &FitScope {
        &self.scope
    }

    /// How many sources are real and fake.
    pub fn source_counts(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        for &at in self.rows.iter().filter(|&&at| self.examples.rows[at].variant == 0) {
            counts[self.examples.rows[at].label.index()] += 1;
        }
        counts
    }

    /// How many groups hold a real source, and how many a fake one.
    pub fn group_counts(&self) -> [usize; 2] {
        let mut groups: [BTreeSet<&GroupId>; 2] = [BTreeSet::new(), BTreeSet::new()];
        for &at in &self.rows {
            let row = &self.examples.rows[at];
            groups[row.label.index()].insert(&row.group);
        }
        [groups[0].len(), groups[1].len()]
    }

    /// Splits this training side again, by group, for selection, early stopping or calibration.
    ///
    /// # Errors
    /// Some inner fold would lack a class; the error names the largest number that works.
    pub fn inner_folds(
        &self,
        folds: u32,
        seed: u64,
    ) -> Result<Vec<(TrainView<'a>, EvalView<'a>)>, SplitError> {
        if folds < 2 {
            return Err(SplitError::Setting {
                name: "inner folds",
                expected: "at least 2",
                found: folds.to_string(),
            });
        }
        let mut counted: BTreeMap<GroupId, [usize; 2]> = BTreeMap::new();
        for &at in self.rows.iter().filter(|&&at| self.examples.rows[at].variant == 0) {
            let row = &self.examples.rows[at];
            counted.entry(row.group.clone()).or_default()[row.label.index()] += 1;
        }
        let counted: Vec<GroupCounts> =
            counted.into_iter().map(|(group, counts)| GroupCounts { group, counts }).collect();
        let dealt = deal_folds(&counted, folds, seed)
            .ok_or_else(|| missing_class(&counted, folds, 0, " inside the training side"))?;
        let fold_of: HashMap<&GroupId, u32> =
            counted.iter().zip(dealt).map(|(counts, fold)| (&counts.group, fold)).collect();
        let inside = |at: usize, fold: u32| {
            fold_of.get(&self.examples.rows[at].group).is_some_and(|&own| own == fold)
        };
        Ok((0..folds)
            .map(|fold| {
                let train = self.rows.iter().copied().filter(|&at| !inside(at, fold)).collect();
                let eval = self
                    .rows
                    .iter()
                    .copied()
                    .filter(|&at| self.examples.rows[at].variant == 0 && inside(at, fold))
                    .collect();
                (
                    TrainView::new(self.examples, train, self.scope.split_hash.clone()),
                    EvalView { examples: self.examples, rows: eval },
                )
            })
            .collect())
    }
}

impl<'a> EvalView<'a> {
    /// Column names.
    pub fn columns(&self) -> &'a [String] {
        self.examples.columns()
    }

    /// How many sources there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, ordered by content id, without labels.
    pub fn rows(&self) -> impl Iterator<Item = EvalRow<'a>> + '_ {
        let examples = self.examples;
        self.rows.iter().map(move |&at| {
            let row = &examples.rows[at];
            EvalRow {
                content_id: row.content_id,
                group: &row.group,
                values: examples.values_of(at),
            }
        })
    }

    /// Scores every row with `fitted`, and only then puts the labels beside the scores. `score` says
    /// how a fitted model scores a row; it is a plain function, so that nothing else can.
    ///
    /// # Errors
    /// A row belongs to a group or is a source that the model was fitted on.
    pub fn score_with<T>(
        &self,
        fitted: &Fitted<T>,
        score: fn(&T, &[f64]) -> f64,
    ) -> Result<Predictions, LeakError> {
        self.check_unseen(fitted.scope())?;
        let scores: Vec<f64> =
            self.rows.iter().map(|&at| score(fitted, self.examples.values_of(at))).collect();
        Ok(self.beside_labels(scores))
    }

    /// Scores all rows at once with `fitted`, for models that look at the sources' clips rather than at
    /// values, and only then puts the labels beside the scores. `score` is given what it reads clips with,
    /// which knows no label, and gives one score a row, in their order; rows without one are left out of
    /// the result.
    ///
    /// # Errors
    /// A row belongs to a group or is a source that the model was fitted on, or `score` fails.
    #[allow(clippy::type_complexity, reason = "a plain function, so that nothing else can score")]
    pub fn score_clips_with<T, R: ?Sized, E: From<LeakError>>(
        &self,
        fitted: &Fitted<T>,
        reader: &R,
        score: fn(&R, &T, &[ContentId]) -> Result<Vec<f64>, E>,
    ) -> Result<Predictions, E> {
        self.check_unseen(fitted.scope())?;
        let sources: Vec<ContentId> =
            self.rows.iter().map(|&at| self.examples.rows[at].content_id).collect();
        let scores = score(reader, fitted, &sources)?;
        Ok(self.beside_labels(scores))
    }

    fn check_unseen(&self, scope: &FitScope) -> Result<(), LeakError> {
        for &at in &self.rows {
            let row = &self.examples.rows[at];
            if scope.groups.contains(&row.group) || scope.contains(&row.content_id) {
                return Err(LeakError { content_id: row.content_id, group: row.group.clone() });
            }
        }
        Ok(())
    }

    fn beside_labels(&self, scores: Vec<f64>) -> Predictions {
        let rows = self
            .rows
            .iter()
            .zip(scores)
            .map(|(&at, score)| {
                let row = &self.examples.rows[at];
                Prediction {
                    content_id: row.content_id,
                    group: row.group.clone(),
                    label: row.label,
                    score,
                }
            })
            .collect();
        Predictions { rows }
    }
}
