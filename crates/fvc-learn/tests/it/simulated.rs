//! Made-up corpora whose truth is known: sources in groups that share more than their label.

use std::collections::BTreeMap;

use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupId, GroupTable, Label, Prediction,
    Predictions, Split, SplitConfig,
};
use fvc_learn::{ColumnRoles, Grid, Parameters, TrainSettings};
use fvc_media::ContentId;

use crate::corpus::content_id;

/// Numbers that are the same everywhere, and have nothing to do with those of another seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ContentId::of_bytes(&seed.to_le_bytes()).seed("test"))
    }

    /// Of `SplitMix64` (Steele, Lea, Flood 2014).
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Between 0 and 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// From 0 to `count - 1`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

pub(crate) fn label(fake: bool) -> Label {
    if fake { Label::Fake } else { Label::Real }
}

/// Scores of `groups` groups of 1 to 6 sources; half of what a score is off is the group's own, and
/// a third of the groups have sources of both classes.
pub(crate) fn predictions(groups: usize, seed: u64) -> Predictions {
    let mut random = Random::new(seed);
    let mut rows = Vec::new();
    for number in 0..groups {
        let group = GroupId::new(&format!("{number}"));
        let (mixed, fake, shift) =
            (random.unit() < 1.0 / 3.0, random.unit() < 0.5, random.normal());
        for _ in 0..=random.below(6) {
            let fake = if mixed { random.unit() < 0.5 } else { fake };
            let odds = if fake { 0.8 } else { -0.8 } + shift + random.normal();
            rows.push(Prediction {
                content_id: content_id(rows.len()),
                group: group.clone(),
                label: label(fake),
                score: 1.0 / (1.0 + (-odds).exp()),
            });
        }
    }
    Predictions { rows }
}

/// Columns of [`Simulated`]: those of the model, then those of the baselines.
pub(crate) const COLUMNS: [&str; 7] =
    ["stage2_a", "stage2_b", "stage4_c", "stage4_d", "container", "duration", "size"];

/// A corpus before it is joined, so that a test may change it.
#[derive(Clone)]
pub(crate) struct Simulated {
    pub(crate) evidence: Vec<GroupEvidence>,
    pub(crate) labels: BTreeMap<ContentId, Label>,
    pub(crate) rows: Vec<FeatureRow>,
}

impl Simulated {
    /// `groups` groups of 1 to 3 sources of one class with 0 to 2 variants each. Column a tells the
    /// classes apart by `effect` standard deviations, b and c by half of it; c has holes; d is
    /// nearly a; all have a part that the group shares.
    pub(crate) fn new(groups: usize, effect: f64, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (mut evidence, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
        for group in 0..groups {
            let fake = random.unit() < 0.5;
            let own: Vec<f64> = COLUMNS.iter().map(|_| random.normal()).collect();
            for _ in 0..=random.below(3) {
                let content_id = content_id(evidence.len());
                evidence.push(GroupEvidence { content_id, declared: vec![format!("g{group}")] });
                labels.insert(content_id, label(fake));
                let source: Vec<f64> = own.iter().map(|own| 0.7 * own + random.normal()).collect();
                for variant in 0..=random.below(3) as u32 {
                    let mut values: Vec<f64> =
                        source.iter().map(|value| value + 0.2 * random.normal()).collect();
                    let shift = if fake { effect } else { 0.0 };
                    values[0] += shift;
                    values[1] -= 0.5 * shift;
                    values[2] += 0.5 * shift;
                    values[3] = values[0] + 0.1 * values[3];
                    if random.unit() < 0.15 {
                        values[2] = f64::NAN;
                    }
                    rows.push(FeatureRow { content_id, variant, values });
                }
            }
        }
        Self { evidence, labels, rows }
    }

    pub(crate) fn groups(&self) -> GroupTable {
        GroupTable::build(&self.evidence)
    }

    pub(crate) fn split(&self, test_fraction: f64) -> Split {
        let config = SplitConfig { folds: 3, test_fraction, seed: 1 };
        Split::plan(&self.groups(), &self.labels, &config).unwrap()
    }

    pub(crate) fn examples(&self) -> Examples {
        let columns = COLUMNS.map(str::to_owned).to_vec();
        let matrix = FeatureMatrix { columns, rows: self.rows.clone() };
        Examples::join(matrix, &self.labels, &self.groups()).unwrap()
    }

    /// Another value for every number and hole of a source, and the other label.
    pub(crate) fn distort(&mut self, content_id: ContentId) {
        for row in self.rows.iter_mut().filter(|row| row.content_id == content_id) {
            for value in &mut row.values {
                *value = if value.is_nan() { 1e4 } else { 7.0 - 300.0 * *value };
            }
            row.values[1] = f64::NAN;
        }
        self.labels.entry(content_id).and_modify(|known| *known = label(*known == Label::Real));
    }
}

pub(crate) fn roles() -> ColumnRoles {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    ColumnRoles {
        model: names(&COLUMNS[..4]),
        container: names(&["container"]),
        duration: names(&["duration"]),
        size: names(&["size"]),
    }
}

pub(crate) fn settings(grid: Grid, parameters: Parameters) -> TrainSettings {
    TrainSettings {
        grid,
        inner_folds: 3,
        seed: 1,
        max_error: 0.1,
        bootstrap_draws: 200,
        parameters,
    }
}
