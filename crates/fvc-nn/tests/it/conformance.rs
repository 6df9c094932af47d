//! What every network must do, whatever it is: run once for each by `conformance!`, as the suite of
//! `fvc-learn` is for every model of features. A network is fitted here by a `ClipEstimator` without child
//! processes, under the views that stage 5 has.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::backend::{Autodiff, Flex};
use fvc_corpus::{
    Examples, FeatureMatrix, FeatureRow, GroupEvidence, GroupTable, Label, Split, SplitConfig,
    TrainView,
};
use fvc_learn::{
    ClipDetector, ClipEstimator, ClipFit, ClipReading, ColumnRoles, CrossValidation, Grid,
    LearnError, ModelKind, ParameterValue, Parameters, TrainSettings, cross_validate_clips,
    fit_final_clips,
};
use fvc_media::ContentId;
use fvc_nn::{
    ClipSource, NetworkError, NetworkReader, NetworkSettings, PARAMETERS, SavedNetwork, Source,
    TrainingEvent, TrainingJob, Weights, train,
};

use crate::learning::{saved, scores_when_read, train_to_the_end};
use crate::training::{corpus, noise};

const SOURCES: usize = 24;

/// Clips in which the classes are told apart by their brightness; two sources, one of each class, are a group.
fn clips(sources: usize) -> (Vec<Source>, Arc<dyn ClipSource>) {
    let (mut sources, clips) =
        corpus(sources as u32, [4, 16, 16], |fake, source, frame, x, y, colour| {
            noise(&[u64::from(source), u64::from(frame), u64::from(y * 16 + x), u64::from(colour)])
                / 2
                + if fake { 100 } else { 0 }
        });
    for (at, source) in sources.iter_mut().enumerate() {
        source.group = format!("g{}", at / 2);
    }
    (sources, clips)
}

/// Small settings that learn what there is to learn here in moments.
fn settings(kind: ModelKind, epochs: u64, seed: u64) -> NetworkSettings {
    let mut parameters = Parameters::from([
        ("configuration".to_owned(), "small".into()),
        ("epochs".to_owned(), (epochs as f64).into()),
        ("frames".to_owned(), 2.0.into()),
        ("batch".to_owned(), 4.0.into()),
        ("accumulation".to_owned(), 1.0.into()),
        ("learning_rate".to_owned(), 2e-3.into()),
        ("dropout".to_owned(), 0.1.into()),
        ("precision".to_owned(), "f32".into()),
    ]);
    if matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer) {
        parameters.insert("depth".to_owned(), 1.0.into());
        parameters.insert("width".to_owned(), 24.0.into());
    }
    NetworkSettings::of(kind, &parameters, seed).unwrap()
}

fn job(kind: ModelKind, epochs: u64, seed: u64, sources: &[Source]) -> TrainingJob {
    let NetworkSettings { network, trainer, .. } = settings(kind, epochs, seed);
    let (training, validation) = sources.split_at(sources.len() * 2 / 3);
    TrainingJob { network, trainer, training: training.to_vec(), validation: validation.to_vec() }
}

fn ids(sources: &[Source]) -> Vec<ContentId> {
    sources.iter().map(|source| source.content_id).collect()
}

fn same_seed_same_bits(kind: ModelKind) {
    let (sources, clips) = clips(9);
    let train = |seed| train_to_the_end(&job(kind, 1, seed, &sources), &clips);
    let (one, two, other) = (train(8), train(8), train(9));
    assert_eq!(one.weights, two.weights);
    let bits = |trained: &fvc_nn::Trained| -> Vec<u64> {
        trained.validation.iter().map(|(_, score)| score.to_bits()).collect()
    };
    assert_eq!(bits(&one), bits(&two));
    assert_ne!(one.weights, other.weights, "the seed is not used");
}

fn save_and_load_same_bits(kind: ModelKind) {
    let (sources, clips) = clips(9);
    let job = job(kind, 1, 8, &sources);
    let trained = train_to_the_end(&job, &clips);
    let folder = tempfile::tempdir().unwrap();
    let model = saved(&job.network, &job.trainer, &trained.weights, folder.path());
    let text = serde_json::to_string(&model).unwrap();
    let read: SavedNetwork = serde_json::from_str(&text).unwrap();
    assert_eq!(read, model);
    let network = read.load::<Flex>(folder.path()).unwrap();
    assert_eq!(Weights::of(&network), trained.weights);
    let again = scores_when_read(&read, folder.path(), &clips, &ids(&job.validation));
    for ((_, before), after) in trained.validation.iter().zip(again) {
        assert_eq!(before.to_bits(), after.to_bits());
    }
}

/// The order in which sources are asked for, and who else is asked for, is none of a source's business: other
/// neighbours in a batch round its score otherwise, and no more.
fn the_order_of_sources_changes_no_score(kind: ModelKind) {
    let (sources, clips) = clips(9);
    let job = job(kind, 1, 8, &sources);
    let trained = train_to_the_end(&job, &clips);
    let folder = tempfile::tempdir().unwrap();
    let model = saved(&job.network, &job.trainer, &trained.weights, folder.path());
    let own = ids(&sources);
    let scores = scores_when_read(&model, folder.path(), &clips, &own);
    let distinct: BTreeSet<u64> = scores.iter().map(|score| score.to_bits()).collect();
    assert_eq!(distinct.len(), own.len(), "scores that are all alike show nothing");
    let backwards: Vec<ContentId> = own.iter().rev().copied().collect();
    let turned = scores_when_read(&model, folder.path(), &clips, &backwards);
    let odd: Vec<ContentId> = own.iter().copied().step_by(2).collect();
    let some = scores_when_read(&model, folder.path(), &clips, &odd);
    for (at, score) in scores.iter().enumerate() {
        let close = |other: f64| (score - other).abs() < 1e-4 * score.abs().max(1.0);
        assert!(close(turned[own.len() - 1 - at]), "{score} {turned:?}");
        assert!(at % 2 == 1 || close(some[at / 2]), "{score} {some:?}");
    }
}

fn one_class_is_refused(kind: ModelKind) {
    let (mut sources, clips) = clips(6);
    for fake in [false, true] {
        for source in &mut sources {
            source.fake = fake;
        }
        let mut job = job(kind, 1, 8, &sources);
        job.validation.clear();
        let folder = tempfile::tempdir().unwrap();
        let go = AtomicBool::new(false);
        let device = Default::default();
        match train::<Autodiff<Flex>>(&job, None, &clips, &device, folder.path(), &go, &mut |_| {})
        {
            Err(NetworkError::Setting { key, expected, found }) => {
                assert_eq!(key, "training sources");
                assert!(expected.contains("both classes"), "{expected}");
                assert!(found.starts_with("0 of") == fake, "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A file of weights that is cut, changed, gone or another network's is an error that names it.
fn corrupt_weights_are_refused(kind: ModelKind) {
    let network = settings(kind, 1, 3);
    let folder = tempfile::tempdir().unwrap();
    let of = |settings: &NetworkSettings| {
        Weights::of(&settings.network.init::<Flex>(3, &Default::default()))
    };
    let model = saved(&network.network, &network.trainer, &of(&network), folder.path());
    assert!(model.load::<Flex>(folder.path()).is_ok());
    let path = folder.path().join(&model.weights_file);
    let bytes = std::fs::read(&path).unwrap();
    let refused = |model: &SavedNetwork, what: &str| match model.load::<Flex>(folder.path()) {
        Err(error @ (NetworkError::File { .. } | NetworkError::Io { .. })) => {
            let told = error.to_string();
            assert!(told.contains(path.to_str().unwrap()), "{what}: {told}");
        }
        other => panic!("{what}: {:?}", other.map(|_| ())),
    };
    // With the hash of what is there: what a hash cannot tell is told by what is read.
    let renamed = |bytes: &[u8]| {
        let weights_hash = blake3::hash(bytes).to_hex().to_string();
        SavedNetwork { weights_hash, ..model.clone() }
    };
    for end in [0, 1, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..end]).unwrap();
        refused(&model, "cut");
        refused(&renamed(&bytes[..end]), "cut, with its own hash");
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 50) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x02;
        std::fs::write(&path, &changed).unwrap();
        refused(&model, "changed");
    }
    for other in ModelKind::NETWORKS.into_iter().filter(|other| *other != kind) {
        let weights = of(&settings(other, 1, 3));
        weights.write(&path, "another network's").unwrap();
        let foreign = std::fs::read(&path).unwrap();
        refused(&model, "another network's");
        refused(&renamed(&foreign), "another network's, with its own hash");
    }
    std::fs::remove_file(&path).unwrap();
    refused(&model, "gone");
}

/// Control-C is heard between two steps and between two batches that are scored; a training leaves what it
/// needs to go on.
fn a_request_to_stop_is_heard_soon(kind: ModelKind) {
    let (sources, clips) = clips(SOURCES);
    let job = job(kind, 500, 8, &sources);
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let device = Default::default();
    let (mut steps, mut asked) = (0, None);
    let ended =
        train::<Autodiff<Flex>>(&job, None, &clips, &device, folder.path(), &stop, &mut |event| {
            if matches!(event, TrainingEvent::Step { .. }) {
                steps += 1;
                if steps == 2 {
                    stop.store(true, Ordering::Relaxed);
                    asked = Some(Instant::now());
                }
            }
        });
    assert!(matches!(ended, Err(NetworkError::Cancelled)), "{:?}", ended.map(|_| ()));
    assert_eq!(steps, 2, "no step after that");
    assert!(asked.unwrap().elapsed() < Duration::from_secs(2));
    assert!(folder.path().join("checkpoint.safetensors").is_file());

    let weights = Weights::of(&job.network.init::<Flex>(3, &device));
    let model = saved(&job.network, &job.trainer, &weights, folder.path());
    let reader = NetworkReader::new(Arc::clone(&clips), Arc::new(AtomicBool::new(true)));
    reader.knows(&model, folder.path());
    let scored = reader.score(&model, &ids(&sources));
    assert!(matches!(scored, Err(NetworkError::Cancelled)), "{scored:?}");
}

fn parameters_are_checked(kind: ModelKind) {
    let refused = |name: &str, value: ParameterValue| {
        let mut parameters = Parameters::from([("configuration".to_owned(), "small".into())]);
        parameters.insert(name.to_owned(), value.clone());
        match NetworkSettings::of(kind, &parameters, 0) {
            Err(error @ (NetworkError::Setting { .. } | NetworkError::File { .. })) => {
                error.to_string()
            }
            other => panic!("{kind}: {name} = {value}: {other:?}"),
        }
    };
    let told = refused("no_such_parameter", 1.0.into());
    for (name, _) in PARAMETERS {
        assert!(told.contains(name), "{told}");
    }
    for (name, _) in PARAMETERS {
        let wrong: &[ParameterValue] = match name {
            "positions"
            | "loader.pinned"
            | "block_checkpointing"
            | "random_backbone"
            | "variants" => &[1.0.into(), "true".into()],
            "configuration" | "loss" | "class_balance" | "stop_metric" | "precision" | "engine"
            | "weights" | "device" => &["no_such_choice".into(), 3.0.into(), true.into()],
            // Whether there is such a size is known to who knows the clips.
            "size" => &[48.0.into(), true.into()],
            _ => &[
                f64::NAN.into(),
                f64::INFINITY.into(),
                (-1.0).into(),
                1e13.into(),
                "much".into(),
                true.into(),
            ],
        };
        for value in wrong {
            let told = refused(name, value.clone());
            let named = told.contains(name) || told.contains("no_such_choice");
            assert!(named, "{name} = {value}: {told}");
        }
    }
}

/// Fits networks as stage 5 does, in this process.
struct InProcess {
    kind: ModelKind,
    clips: Arc<dyn ClipSource>,
    reading: Reading,
    folder: PathBuf,
    /// Of each fit, what was learnt from and what was held out.
    fits: RefCell<Vec<(Vec<Source>, Vec<Source>)>>,
}

struct Reading(NetworkReader);

fn learn_error(error: &NetworkError) -> LearnError {
    LearnError::Network { model: "a test", problem: error.to_string(), by_settings: false }
}

impl ClipReading<SavedNetwork> for Reading {
    fn log_odds(
        &self,
        model: &SavedNetwork,
        sources: &[ContentId],
    ) -> Result<Vec<f64>, LearnError> {
        self.0.score(model, sources).map_err(|error| learn_error(&error))
    }
}

impl ClipEstimator for InProcess {
    type Model = SavedNetwork;

    fn kind(&self) -> ModelKind {
        self.kind
    }

    fn reading(&self) -> &dyn ClipReading<SavedNetwork> {
        &self.reading
    }

    fn fit(
        &self,
        fit: &TrainView<'_>,
        held_out: &[(ContentId, String, Label)],
        place: &str,
    ) -> Result<ClipFit<SavedNetwork>, LearnError> {
        let settings = settings(self.kind, 12, 4);
        let source = |content_id: &ContentId, group: &str, label: Label| Source {
            content_id: *content_id,
            group: group.to_owned(),
            fake: label == Label::Fake,
            variants: vec![0],
        };
        let job = TrainingJob {
            network: settings.network.clone(),
            trainer: settings.trainer.clone(),
            training: fit
                .rows()
                .map(|row| source(&row.content_id, &row.group.to_string(), row.label))
                .collect(),
            validation: held_out
                .iter()
                .map(|(content_id, group, label)| source(content_id, group, *label))
                .collect(),
        };
        self.fits.borrow_mut().push((job.training.clone(), job.validation.clone()));
        let trained = train_to_the_end(&job, &self.clips);
        let folder = self.folder.join(place);
        std::fs::create_dir_all(&folder).unwrap();
        let model = saved(&job.network, &job.trainer, &trained.weights, &folder);
        self.reading.0.knows(&model, &folder);
        let held_out =
            trained.validation.iter().zip(held_out).map(|((_, score), own)| (*score, own.2));
        Ok(ClipFit { model, held_out: held_out.collect(), parameters: settings.parameters() })
    }
}

struct Judged {
    estimator: InProcess,
    validated: CrossValidation,
    detector: ClipDetector<SavedNetwork>,
}

/// Cross-validation and the final fit, as for every model.
fn judged(kind: ModelKind, folder: &Path) -> Judged {
    let (sources, clips) = clips(SOURCES);
    let evidence: Vec<GroupEvidence> = sources
        .iter()
        .map(|own| GroupEvidence { content_id: own.content_id, declared: vec![own.group.clone()] })
        .collect();
    let groups = GroupTable::build(&evidence);
    let labels: BTreeMap<ContentId, Label> = sources
        .iter()
        .map(|own| (own.content_id, if own.fake { Label::Fake } else { Label::Real }))
        .collect();
    let rows = sources
        .iter()
        .map(|own| FeatureRow { content_id: own.content_id, variant: 0, values: vec![1.0] })
        .collect();
    let matrix = FeatureMatrix { columns: vec!["a".to_owned()], rows };
    let examples = Examples::join(matrix, &labels, &groups).unwrap();
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let settings = TrainSettings {
        grid: Grid::None,
        inner_folds: 3,
        seed: 4,
        max_error: 0.1,
        bootstrap_draws: 20,
        parameters: Parameters::new(),
    };
    let reading = Reading(NetworkReader::new(Arc::clone(&clips), Arc::new(AtomicBool::new(false))));
    let estimator =
        InProcess { kind, clips, reading, folder: folder.to_owned(), fits: RefCell::default() };
    let go = AtomicBool::new(false);
    let roles = ColumnRoles::default();
    let validated =
        cross_validate_clips(&estimator, &examples, &roles, &split, &settings, &go, &mut |_| {})
            .unwrap();
    let detector = fit_final_clips(&estimator, &examples, &split, &settings, &validated).unwrap();
    Judged { estimator, validated, detector }
}

/// It learns what is to be learnt; each source is scored once, by a fit that saw none of its group and stopped
/// by none of it; probabilities are such; and its model file is refused once it is cut, changed or none.
fn learns_and_scores_only_what_it_has_not_seen(kind: ModelKind) {
    let folder = tempfile::tempdir().unwrap();
    let Judged { estimator, validated, detector } = judged(kind, folder.path());
    let rows = &validated.predictions;
    let once: BTreeSet<ContentId> = rows.iter().map(|row| row.content_id).collect();
    assert_eq!((rows.len(), once.len()), (SOURCES, SOURCES));
    assert!(rows.iter().all(|row| (0.0..=1.0).contains(&row.probability)), "{rows:?}");
    let right = rows.iter().filter(|row| (row.margin > 0.0) == (row.label == Label::Fake)).count();
    assert!(right * 10 > SOURCES * 7, "{right} of {SOURCES}");
    let fits = estimator.fits.borrow();
    assert_eq!(fits.len(), 3, "two folds and the final fit");
    for (fold, (training, held_out)) in fits.iter().enumerate() {
        let groups = |of: &[Source]| -> BTreeSet<String> {
            of.iter().map(|own| own.group.clone()).collect()
        };
        let (training, held_out) = (groups(training), groups(held_out));
        assert!(!training.is_empty() && !held_out.is_empty());
        assert!(training.is_disjoint(&held_out), "fold {fold} stops by what it learns from");
        for row in rows.iter().filter(|row| row.fold as usize == fold && fold < 2) {
            let group = row.group.to_string();
            assert!(!training.contains(&group) && !held_out.contains(&group), "fold {fold}");
        }
    }

    let path = folder.path().join("model.json");
    detector.save(&path, &serde_json::json!({ "a": "recipe" })).unwrap();
    let (read, _) = ClipDetector::<SavedNetwork>::load(&path).unwrap();
    assert_eq!((read.kind(), read.model()), (kind, detector.model()));
    for margin in [-900.0, -1.0, 0.0, 0.3, 900.0] {
        let (one, two) = (detector.assess(margin), read.assess(margin));
        assert!((0.0..=1.0).contains(&one.probability));
        assert_eq!(one.probability.to_bits(), two.probability.to_bits());
        assert_eq!(one.verdict, two.verdict);
    }
    let bytes = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        match ClipDetector::<SavedNetwork>::load(&path) {
            Err(error @ LearnError::ModelFile { .. }) => {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            Err(other) => panic!("{what}: {other}"),
            // A byte that says nothing, such as white space.
            Ok((read, _)) => assert_eq!(
                (what, read.model(), read.selection()),
                ("changed", detector.model(), detector.selection())
            ),
        }
    };
    for end in (0..bytes.len()).step_by(bytes.len() / 40) {
        refused(&bytes[..end], "cut");
        let mut changed = bytes.clone();
        changed[end] ^= 0x02;
        refused(&changed, "changed");
    }
    refused(b"{}", "none");
    refused(b"\x89PNG\r\n", "foreign");
}

macro_rules! conformance_of {
    ($network:ident, $kind:expr) => {
        conformance_of!(
            $network,
            $kind,
            [
                learns_and_scores_only_what_it_has_not_seen,
                same_seed_same_bits,
                save_and_load_same_bits,
                the_order_of_sources_changes_no_score,
                one_class_is_refused,
                corrupt_weights_are_refused,
                a_request_to_stop_is_heard_soon,
                parameters_are_checked,
            ]
        );
    };
    ($network:ident, $kind:expr, [$($check:ident),+ $(,)?]) => {
        mod $network {
            $(
                #[test]
                fn $check() {
                    super::$check($kind);
                }
            )+
        }
    };
}

conformance_of!(variable_ar_cnn, fvc_learn::ModelKind::VariableArCnn);
conformance_of!(naive_cnn, fvc_learn::ModelKind::NaiveCnn);
conformance_of!(vit_gru, fvc_learn::ModelKind::VitGru);
conformance_of!(vit_transformer, fvc_learn::ModelKind::VitTransformer);

/// A network that is added to the registry must be added above.
#[test]
fn every_network_is_here() {
    let text: String =
        include_str!("conformance.rs").chars().filter(|c| !c.is_whitespace()).collect();
    let above: Vec<&str> = text
        .split(");")
        .filter_map(|line| line.rsplit_once("conformance_of!("))
        .filter_map(|(_, line)| line.split_once(",fvc_learn::ModelKind::"))
        .map(|(_, variant)| variant)
        .filter(|variant| variant.chars().all(char::is_alphanumeric))
        .collect();
    let networks: Vec<String> =
        ModelKind::NETWORKS.iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(above, networks);
}
