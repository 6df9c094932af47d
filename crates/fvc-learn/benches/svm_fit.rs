//! Cost of fitting support vector machines, one core. `tools/golden/learn_svm_speed.py` fits the same
//! rows by scikit-learn.

// Clippy takes the rows' helpers for production code.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
};
use fvc_learn::{ModelKind, Parameters, Preprocessor};
use fvc_media::ContentId;

const ROWS: usize = 3_000;
const WIDTH: usize = 26;

/// Knuth's MMIX generator, the high bits as a number from 0 to 1.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Every second row is fake and moved by 0.35 in the first eight columns; values are sums of four
/// uniform numbers.
fn examples() -> (Examples, Split) {
    let mut draw = Draw(1);
    let (mut evidence, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
    for number in 0..ROWS {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let content_id = ContentId::from_bytes(bytes);
        let fake = number % 2 == 1;
        let values = (0..WIDTH)
            .map(|column| {
                let sum: f64 = (0..4).map(|_| draw.unit()).sum();
                sum - 2.0 + if fake && column < 8 { 0.35 } else { 0.0 }
            })
            .collect();
        evidence.push(GroupEvidence { content_id, declared: Vec::new() });
        labels.insert(content_id, if fake { Label::Fake } else { Label::Real });
        rows.push(FeatureRow { content_id, variant: 0, values });
    }
    let groups = GroupTable::build(&evidence);
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).expect("groups of both classes");
    let columns = (0..WIDTH).map(|column| format!("stage2_{column}")).collect();
    let matrix = FeatureMatrix { columns, rows };
    (Examples::join(matrix, &labels, &groups).expect("rows with labels and groups"), split)
}

fn fits(criterion: &mut Criterion) {
    let (examples, split) = examples();
    let train = split.training(&examples).expect("the split's own examples");
    let kind = ModelKind::Svm;
    let preprocessor = Preprocessor::fit(&train, kind.preprocessing()).expect("columns that vary");
    let mut group = criterion.benchmark_group("svm_fit");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for (kernel, c) in [("linear", 1.0), ("rbf", 0.1), ("rbf", 1.0), ("rbf", 10.0)] {
        let parameters =
            Parameters::from([("kernel".to_owned(), kernel.into()), ("C".to_owned(), c.into())]);
        let estimator = kind.estimator(&parameters, 1).expect("parameters in range");
        group.bench_function(format!("{kernel}/C={c}"), |bencher| {
            bencher.iter(|| estimator.fit(&train, &preprocessor).expect("two classes"));
        });
    }
    group.finish();
}

criterion_group!(benches, fits);
criterion_main!(benches);
