//! Evaluation over groups: what leaks elsewhere does not leak here.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
};
use fvc_learn::{ColumnRoles, Grid, Metric, ModelKind, Parameters, TrainSettings, cross_validate};
use fvc_media::ContentId;

const ORIGINS: usize = 20;
const TWINS: usize = 8;

fn unit(text: &str) -> f64 {
    (ContentId::of_bytes(text.as_bytes()).seed("unit") >> 11) as f64 / (1_u64 << 53) as f64
}

/// Twenty origins of eight twins. The features say nothing but which origin it is, and the label is
/// the origin's own coin: what holds for one origin says nothing of another.
fn twins() -> (Vec<(ContentId, usize)>, BTreeMap<ContentId, Label>, FeatureMatrix) {
    let mut columns: Vec<String> =
        (0..ORIGINS).map(|origin| format!("stage2_origin{origin}")).collect();
    columns.extend(["stage4_nothing", "container", "duration", "size"].map(str::to_owned));
    let (mut sources, mut labels, mut rows) = (Vec::new(), BTreeMap::new(), Vec::new());
    for origin in 0..ORIGINS {
        for twin in 0..TWINS {
            let content_id = ContentId::of_bytes(format!("{origin} {twin}").as_bytes());
            sources.push((content_id, origin));
            labels.insert(content_id, if origin % 2 == 0 { Label::Real } else { Label::Fake });
            let mut values: Vec<f64> =
                (0..ORIGINS).map(|other| f64::from(u8::from(other == origin))).collect();
            values.push(0.0);
            values.extend((0..3).map(|column| unit(&format!("{origin} {twin} {column}"))));
            rows.push(FeatureRow { content_id, variant: 0, values });
        }
    }
    (sources, labels, FeatureMatrix { columns, rows })
}

/// ROC-AUC within folds and the rows that were scored, under groups that are the origins or, as a
/// split by row would have it, every source for itself.
fn auc(kind: ModelKind, by_origin: bool) -> (f64, usize) {
    let (sources, labels, matrix) = twins();
    let evidence: Vec<GroupEvidence> = sources
        .iter()
        .map(|&(content_id, origin)| GroupEvidence {
            content_id,
            declared: if by_origin { vec![format!("origin{origin}")] } else { Vec::new() },
        })
        .collect();
    let groups = GroupTable::build(&evidence);
    let config = SplitConfig { folds: 5, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let roles = ColumnRoles {
        model: matrix.columns[..=ORIGINS].to_vec(),
        container: vec!["container".to_owned()],
        duration: vec!["duration".to_owned()],
        size: vec!["size".to_owned()],
    };
    let examples = Examples::join(matrix, &labels, &groups).unwrap();
    let settings = TrainSettings {
        grid: Grid::None,
        inner_folds: 3,
        seed: 1,
        max_error: 0.05,
        bootstrap_draws: 100,
        parameters: Parameters::new(),
    };
    let cancel = AtomicBool::new(false);
    let found =
        cross_validate(kind, &examples, &roles, &split, &settings, &cancel, &mut |_| {}).unwrap();
    for fold in &found.folds {
        assert!(fold.calibration.slope >= 0.0);
    }
    assert_eq!(found.baselines.len(), 5);
    let auc = found.by_source.estimate(Metric::RocAucWithinFolds).unwrap();
    (auc.value.unwrap(), found.predictions.len())
}

/// In the earlier system copies of one source stood in training and validation: its scores of 0.95
/// to 0.99 were memory. Split by row, either estimator remembers the origins and is right about
/// every twin; split by groups, the same rows and the same estimators are at chance.
#[test]
fn a_leaked_twin_would_lift_auc_to_one_and_does_not() {
    for kind in ModelKind::ALL {
        let (leaked, rows) = auc(kind, false);
        assert_eq!(rows, ORIGINS * TWINS, "one row a source");
        assert!(leaked > 0.98, "{kind}: ROC-AUC {leaked} although every origin is known");
        let (honest, rows) = auc(kind, true);
        assert_eq!(rows, ORIGINS * TWINS, "one row a source");
        assert!((0.4..=0.6).contains(&honest), "{kind}: ROC-AUC {honest} of origins never seen");
    }
}
