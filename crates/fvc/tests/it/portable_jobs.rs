//! Trainings that are done on another machine, by a program without FFmpeg, libxgboost and LIBSVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, fvc, skipped, told};

/// What the stripped program may weigh.
const LIMIT: u64 = 40 << 20;

/// Builds the program alone, so that nothing of the other crates comes with it, and strips a copy.
fn trainer(folder: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "fvc-trainer", "--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let (code, out, err) = told(&built);
    assert_eq!(code, 0, "{err}");
    let program = out
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap();
    let stripped = folder.join("fvc-trainer");
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(&program).status().unwrap();
    assert!(status.success());
    stripped
}

#[test]
fn slow_an_exported_training_is_done_by_the_trainer_and_taken_over() {
    let name = "slow_an_exported_training_is_done_by_the_trainer_and_taken_over";
    if !can_make_footage(name) {
        return;
    }
    if Command::new("strip").arg("--version").output().is_err() {
        skipped(name, "no strip program");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let table = corpus(Path::new(&at("corpus")), 4);
    std::fs::write(
        at("fvc.toml"),
        "[augment]\nvariants = 1\nkinds = [\"flip\"]\n[scale]\nsizes = [\"48max\"]\n\
         [split]\nfolds = 2\ntest_fraction = 0\n[train]\ninner_folds = 2\nbootstrap_draws = 100\n\
         models = [\"naive_cnn\"]\n\
         [train.parameters.naive_cnn]\nconfiguration = \"small\"\nepochs = 2\nframes = 4\n",
    )
    .unwrap();
    let (workspace, config, jobs) = (at("workspace"), at("fvc.toml"), at("jobs"));
    let ask = |arguments: &[&str]| {
        let given = [&["-w", &workspace, "--config", &config], arguments].concat();
        let (code, out, err) = told(&fvc().args(given).output().unwrap());
        assert_eq!(code, 0, "{out}{err}");
        out
    };
    ask(&["index", table.to_str().unwrap()]);
    ask(&["run", "--stages", "1-4"]);
    let exported: Value =
        serde_json::from_str(&ask(&["--json", "train", "--export-jobs", &jobs])).unwrap();
    // Two folds and the final fit; nothing was trained or evaluated.
    let trainings = exported["trainings"].as_array().unwrap();
    assert_eq!(trainings.len(), 3);
    assert!(!Path::new(&workspace).join("runs").exists());
    // Of everything that is learnt from there is a file: also of variants that no stage has stored.
    let mut drawn = 0;
    for training in trainings {
        let folder = Path::new(&jobs).join("trainings").join(training.as_str().unwrap());
        let job = std::fs::read_to_string(folder.join("job.json")).unwrap();
        let job: Value = serde_json::from_str(&job).unwrap();
        let files = job["clip_files"].as_array().unwrap();
        let root = folder.join(job["clips_root"].as_str().unwrap());
        assert!(files.iter().all(|file| root.join(file["path"].as_str().unwrap()).is_file()));
        for source in job["job"]["training"].as_array().unwrap() {
            for variant in source["variants"].as_array().unwrap() {
                let of = |file: &&Value| {
                    file["key"]["content_id"] == source["content_id"]
                        && file["key"]["variant"] == *variant
                };
                assert_eq!(files.iter().filter(of).count(), 1);
                drawn += usize::from(*variant != 0);
            }
        }
    }
    assert!(drawn > 0);

    // Elsewhere: a folder that was moved, nothing of the workspace, nothing but the C libraries.
    let moved = at("elsewhere/jobs of another");
    std::fs::create_dir_all(at("elsewhere")).unwrap();
    std::fs::rename(&jobs, &moved).unwrap();
    let hidden = at("hidden");
    std::fs::rename(&workspace, &hidden).unwrap();
    let program = trainer(folder.path());
    let size = std::fs::metadata(&program).unwrap().len();
    assert!(size < LIMIT, "{size}");
    let needed = Command::new("readelf").arg("-d").arg(&program).output().unwrap();
    let needed = told(&needed).1;
    let needed: Vec<&str> = needed.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(!needed.is_empty());
    for library in ["libav", "libsw", "libxgboost", "libsvm", "linear", "sqlite", "libmpi"] {
        assert!(!needed.iter().any(|line| line.contains(library)), "{needed:?}");
    }
    let train = |list: &str| {
        let mut command = Command::new(&program);
        command.env_clear().env("LD_LIBRARY_PATH", "").current_dir("/");
        told(&command.args([&moved, "--devices", list]).output().unwrap())
    };
    let (code, _, err) = train("cpu,cuda:0");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("one kind"), "{err}");
    let shared = Command::new(&program)
        .args([&moved, "--devices", "cpu,cpu", "--tensor-parallel", "2"])
        .env_clear()
        .output()
        .unwrap();
    let (code, _, err) = told(&shared);
    assert!(code == 2 && err.contains("found 2 for naive_cnn"), "{code} {err}");
    let (code, out, err) = train("cpu,cpu");
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("2 ranks"), "{out}");
    let (code, out, _) = train("cpu");
    assert_eq!((code, out.matches("is trained").count()), (0, 3), "{out}");

    // Home again: the run has the weights that were made there.
    std::fs::rename(&hidden, &workspace).unwrap();
    let networks = Path::new(&workspace).join("networks");
    std::fs::create_dir_all(&networks).unwrap();
    let mut hashes = Vec::new();
    for training in trainings {
        let name = training.as_str().unwrap();
        let trained = Path::new(&moved).join("trainings").join(name);
        let told = std::fs::read_to_string(trained.join("trained.json")).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        hashes.push(told["weights_hash"].as_str().unwrap()[..16].to_owned());
        std::fs::rename(&trained, networks.join(name)).unwrap();
    }
    let made: Value = serde_json::from_str(&ask(&["--json", "train"])).unwrap();
    let run = Path::new(made["train"]["run"].as_str().unwrap());
    let weights = run.join(format!("naive_cnn-{}.safetensors", hashes[2]));
    assert!(weights.is_file(), "{}", weights.display());
    // Logged by the trainer and not again.
    for place in ["fold_0", "fold_1", "final"] {
        let log = run.join("naive_cnn").join(place).join("metrics.jsonl");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.lines().all(|line| line.contains("exported naive_cnn")), "{log}");
    }
}
