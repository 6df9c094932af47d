//! Rows for the tests, joined and split as every user must.

use std::collections::BTreeMap;

use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
};
use fvc_media::ContentId;
use serde::Deserialize;

/// One source: its label, its declared group and the values of its original and variants.
#[derive(Clone, Deserialize)]
pub(crate) struct Source {
    pub(crate) label: u8,
    pub(crate) group: u32,
    pub(crate) rows: Vec<Vec<Option<f64>>>,
}

/// Examples and a split without a sealed part.
pub(crate) struct Corpus {
    pub(crate) examples: Examples,
    pub(crate) split: Split,
}

impl Corpus {
    /// Content ids rise with the position, so that views keep the order of `sources`.
    pub(crate) fn of(columns: &[&str], sources: &[Source]) -> Self {
        let mut evidence = Vec::new();
        let mut labels = BTreeMap::new();
        let mut rows = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            let content_id = content_id(at);
            evidence.push(GroupEvidence { content_id, declared: vec![source.group.to_string()] });
            labels.insert(content_id, if source.label == 1 { Label::Fake } else { Label::Real });
            for (variant, values) in source.rows.iter().enumerate() {
                rows.push(FeatureRow {
                    content_id,
                    variant: variant as u32,
                    values: values.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
                });
            }
        }
        let groups = GroupTable::build(&evidence);
        let matrix = FeatureMatrix {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows,
        };
        let config = SplitConfig { folds: 3, test_fraction: 0.0, seed: 1 };
        Self {
            examples: Examples::join(matrix, &labels, &groups).unwrap(),
            split: Split::plan(&groups, &labels, &config).unwrap(),
        }
    }
}

pub(crate) fn content_id(at: usize) -> ContentId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(at as u64).to_be_bytes());
    ContentId::from_bytes(bytes)
}

/// The rows of `tests/golden/learn_data.json`.
pub(crate) fn golden_sources() -> Vec<Source> {
    #[derive(Deserialize)]
    struct File {
        sources: Vec<Source>,
    }
    let file: File = serde_json::from_str(include_str!("../golden/learn_data.json")).unwrap();
    file.sources
}

/// The same with these columns only.
pub(crate) fn golden_columns(columns: &[usize]) -> Corpus {
    let names = ["a", "b", "c", "d", "e", "f"];
    let sources: Vec<Source> = golden_sources()
        .into_iter()
        .map(|source| Source {
            rows: source
                .rows
                .iter()
                .map(|row| columns.iter().map(|&column| row[column]).collect())
                .collect(),
            ..source
        })
        .collect();
    let picked: Vec<&str> = columns.iter().map(|&column| names[column]).collect();
    Corpus::of(&picked, &sources)
}
