//! [`FeatureMatrix`] and [`Examples`]: rows that know their group.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fvc_media::ContentId;

use crate::{GroupId, GroupTable, Label};

/// Features of one clip or variant.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRow {
    /// The source.
    pub content_id: ContentId,
    /// 0 for the original, 1.. for its variants.
    pub variant: u32,
    /// One value a column; NaN is a missing value.
    pub values: Vec<f64>,
}

/// Named columns of numbers, one row a clip or variant. It knows neither labels nor groups, and
/// nothing can be fitted on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureMatrix {
    /// Column names, all different.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<FeatureRow>,
}

/// Why rows could not become examples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExamplesError {
    /// A row whose source is in no group: it might be anybody's twin.
    #[error("Source {content_id} has no group: index the corpus again")]
    NoGroup {
        /// The source.
        content_id: ContentId,
    },
    /// A row whose source has no label.
    #[error("Source {content_id} has no label")]
    NoLabel {
        /// The source.
        content_id: ContentId,
    },
    /// A row with another number of values than there are columns.
    #[error(
        "Row of source {content_id}, variant {variant}: expected {expected} values, found {found}"
    )]
    RowLength {
        /// The source.
        content_id: ContentId,
        /// The variant.
        variant: u32,
        /// Number of columns.
        expected: usize,
        /// Number of values.
        found: usize,
    },
    /// One variant of one source given twice.
    #[error("Source {content_id}, variant {variant} stands twice in the feature table")]
    DuplicateRow {
        /// The source.
        content_id: ContentId,
        /// The variant.
        variant: u32,
    },
    /// Variants without their original: an evaluation could not see this source.
    #[error("Source {content_id} has variants but no original row")]
    NoOriginal {
        /// The source.
        content_id: ContentId,
    },
    /// Two columns of one name.
    #[error("Column {name} stands twice in the feature table")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// A column that was asked for and is not there.
    #[error("No column {name} in the feature table")]
    NoColumn {
        /// The name.
        name: String,
    },
    /// An infinite value: features are finite or missing.
    #[error(
        "Source {content_id}, variant {variant}, column {column}: expected a finite or missing value, found {found}"
    )]
    NotFinite {
        /// The source.
        content_id: ContentId,
        /// The variant.
        variant: u32,
        /// The column.
        column: String,
        /// The value.
        found: String,
    },
}

/// One row, joined with its label and group.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) content_id: ContentId,
    pub(crate) variant: u32,
    pub(crate) group: GroupId,
    pub(crate) label: Label,
}

/// Rows joined by type with their label and their group. Only a [`crate::Split`] can hand them
/// out, as a [`crate::TrainView`] or an [`crate::EvalView`].
///
/// ```
/// # use fvc_corpus::Examples;
/// fn count(all: &Examples) -> usize {
///     all.len()
/// }
/// ```
///
/// ```compile_fail,E0616
/// # use fvc_corpus::Examples;
/// fn count(all: &Examples) -> usize {
///     all.rows.len()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Examples {
    columns: Vec<String>,
    pub(crate) rows: Vec<Example>,
    /// Row-major, `rows x columns`.
    values: Vec<f64>,
}

impl Examples {
    /// Joins features with labels and groups. Rows are put in the order (content id, variant),
    /// whatever the order in the table, so that a fit does not depend on who wrote it.
    ///
    /// # Errors
    /// See [`ExamplesError`]; a row without a group or a label is refused, never guessed.
    pub fn join(
        matrix: FeatureMatrix,
        labels: &BTreeMap<ContentId, Label>,
        groups: &GroupTable,
    ) -> Result<Self, ExamplesError> {
        let FeatureMatrix { columns, rows: mut feature_rows } = matrix;
        let mut seen = HashSet::new();
        for name in &columns {
            if !seen.insert(name.as_str()) {
                return Err(ExamplesError::DuplicateColumn { name: name.clone() });
            }
        }
        feature_rows.sort_by_key(|row| (row.content_id, row.variant));
        let mut rows: Vec<Example> = Vec::with_capacity(feature_rows.len());
        let mut values = Vec::with_capacity(feature_rows.len() * columns.len());
        for row in feature_rows {
            let (content_id, variant) = (row.content_id, row.variant);
            if row.values.len() != columns.len() {
                return Err(ExamplesError::RowLength {
                    content_id,
                    variant,
                    expected: columns.len(),
                    found: row.values.len(),
                });
            }
            if let Some(at) = row.values.iter().position(|value| value.is_infinite()) {
                return Err(ExamplesError::NotFinite {
                    content_id,
                    variant,
                    column: columns[at].clone(),
                    found: row.values[at].to_string(),
                });
            }
            let group =
                groups.group(&content_id).ok_or(ExamplesError::NoGroup { content_id })?.clone();
            let label = *labels.get(&content_id).ok_or(ExamplesError::NoLabel { content_id })?;
            let before = rows.last().filter(|last| last.content_id == content_id);
            if before.is_some_and(|last| last.variant == variant) {
                return Err(ExamplesError::DuplicateRow { content_id, variant });
            }
            if before.is_none() && variant != 0 {
                return Err(ExamplesError::NoOriginal { content_id });
            }
            rows.push(Example { content_id, variant, group, label });
            values.extend_from_slice(&row.values);
        }
        Ok(Self { columns, rows, values })
    }

    /// Column names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are, variants included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sources that have rows here.
    pub fn content_ids(&self) -> BTreeSet<ContentId> {
        self.rows.iter().map(|row| row.content_id).collect()
    }

    /// The same rows with these columns only, in this order. For shortcut baselines and feature
    /// sets.
    ///
    /// # Errors
    /// A name is not there or is asked for twice.
    pub fn with_columns(&self, names: &[String]) -> Result<Self, ExamplesError> {
        let position: HashMap<&str, usize> =
            self.columns.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut seen = HashSet::new();
        let mut picked = Vec::with_capacity(names.len());
        for name in names {
            if !seen.insert(name.as_str()) {
                return Err(ExamplesError::DuplicateColumn { name: name.clone() });
            }
            picked.push(
                *position
                    .get(name.as_str())
                    .ok_or_else(|| ExamplesError::NoColumn { name: name.clone() })?,
            );
        }
        let mut values = Vec::with_capacity(self.rows.len() * names.len());
        for row in 0..self.rows.len() {
            let full = self.values_of(row);
            values.extend(picked.iter().map(|&at| full[at]));
        }
        Ok(Self { columns: names.to_vec(), rows: self.rows.clone(), values })
    }

    /// The same rows with, in place of every column, 1 where its value is missing and 0 where it
    /// is not: what a detector could learn from missingness alone.
    #[must_use]
    pub fn missing_pattern(&self) -> Self {
        Self {
            columns: self.columns.iter().map(|name| format!("{name}_missing")).collect(),
            rows: self.rows.clone(),
            values: self.values.iter().map(|value| f64::from(u8::from(value.is_nan()))).collect(),
        }
    }

    pub(crate) fn values_of(&self, row: usize) -> &[f64] {
        let width = self.columns.len();
        &self.values[row * width..(row + 1) * width]
    }
}
