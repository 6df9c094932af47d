//! What stage 5 makes of a network's parameters and variants, and what it tells of it, through the binary.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::footage::{can_make_footage, encode, fvc, run, skipped, told};
use crate::network_faults::{Prepared, notes, predictions, trained, trained_by, weights};

/// Training `naive_cnn` for an epoch with further parameters.
fn naive(prepared: &Prepared, parameters: &str) -> Vec<String> {
    let config = prepared.config(
        "naive",
        &format!(
            "[train.parameters.naive_cnn]\nconfiguration = \"small\"\nframes = 4\nepochs = 1\n{parameters}"
        ),
    );
    [
        "-w",
        &prepared.workspace,
        "--config",
        &config,
        "--json",
        "train",
        "--model-types",
        "naive_cnn",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The parameters that stage 5 uses itself, before or beside the training: each changes what is trained, or what
/// is said of it. `fvc-nn` tests the others.
#[test]
fn parameters_of_stage_5_change_what_is_trained() {
    if !can_make_footage("parameters_of_stage_5_change_what_is_trained") {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    let train = |parameters: &str| trained_by(&naive(&prepared, parameters));
    let plain = train("");
    assert_eq!(weights(&plain), weights(&train("")), "the same parameters, the same weights");
    assert_eq!(weights(&plain), weights(&train("size = \"48max\"")), "the first size is taken");
    assert_ne!(weights(&plain), weights(&train("size = \"32max\"")));
    let (code, _, err) = told(&fvc().args(naive(&prepared, "size = \"40max\"")).output().unwrap());
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("48max, 32max") && err.contains("40max"), "{err}");

    assert_ne!(weights(&plain), weights(&train("variants = false")));

    let (name, _) = weights(&plain).pop_first().unwrap();
    let file = Path::new(plain["run"].as_str().unwrap()).join(name);
    let again = train(&format!("weights = {file:?}"));
    assert_ne!(weights(&plain), weights(&again));
    assert!(
        notes(&again).contains(" weights taken over, 0 of the network not in the file"),
        "{again}"
    );

    // From too little for one clip on, doubled: an error, then smaller batches, which are said, then nothing.
    let mut seen = Vec::new();
    for mib in (0..16).map(|power| 1_u64 << power) {
        let command = naive(&prepared, &format!("batch = 64\naccumulation = 1\nmemory = {mib}"));
        let output = fvc().args(command).output().unwrap();
        if !output.status.success() {
            let (code, _, err) = told(&output);
            assert!(code == 2 && err.contains("Not enough memory"), "{code}: {err}");
            seen.push("error");
            continue;
        }
        let told = notes(&trained(&output));
        assert!(!told.contains("MiB, and"), "more was taken than the budget: {told}");
        if !told.contains(&format!("batch 64 does not fit into {mib} MiB")) {
            seen.push("whole");
            break;
        }
        seen.push("cut");
    }
    seen.dedup();
    assert_eq!(seen, ["error", "cut", "whole"]);
}

/// Variants that stage 3 does not store are drawn again while a network learns, the same ones whenever that is:
/// the clip store of this workspace holds no variant. They are learnt from, and nobody is judged by them.
#[test]
fn variants_are_drawn_again_to_learn_from_and_judge_nobody() {
    if !can_make_footage("variants_are_drawn_again_to_learn_from_and_judge_nobody") {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    // Two sizes of eight originals.
    assert_eq!(files_below(&Path::new(&prepared.workspace).join("clips")), 16);
    let (one, two) = (trained_by(&naive(&prepared, "")), trained_by(&naive(&prepared, "")));
    assert_eq!(weights(&one), weights(&two));
    assert_eq!(predictions(&one), predictions(&two));
    assert_eq!(predictions(&one).as_array().unwrap().len(), 8, "one a source");
    let none = trained_by(&naive(&prepared, "variants = false"));
    assert_ne!(weights(&one), weights(&none));
    assert_eq!(predictions(&none).as_array().unwrap().len(), 8);
}

fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|own| if own.path().is_dir() { files_below(&own.path()) } else { 1 }).sum()
}

/// A picture's width, height and RGB bytes, as FFmpeg reads it.
fn picture(path: &Path) -> (usize, usize, Vec<u8>) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let head = fs::read(path).unwrap();
    let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap()) as usize;
    (number(16), number(20), output.stdout)
}

/// A verdict of a network has no list of features: its reasons are pictures, one a window, of the size that the
/// network was shown, on which the heat of that window lies.
#[test]
fn a_networks_verdict_is_drawn() {
    if !can_make_footage("a_networks_verdict_is_drawn") {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    let made = trained_by(&naive(&prepared, ""));
    let model = Path::new(made["run"].as_str().unwrap()).join("naive_cnn.model.json");
    let clip = prepared.folder.path().join("unseen.mp4");
    encode(
        "testsrc2=size=160x120:rate=25",
        &["-t", "4", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
        &clip,
    );
    let folder = prepared.folder.path().join("pictures");
    let ask = |further: &[&str]| {
        let own =
            ["-w", &prepared.workspace, "--json", "predict", "--model", model.to_str().unwrap()];
        let (code, out, err) = run(&[&own, further, &[clip.to_str().unwrap()]].concat());
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str::<Value>(out.lines().next().unwrap()).unwrap()
    };
    let plain = ask(&[]);
    let drawn = ask(&["--explain", folder.to_str().unwrap()]);
    assert_eq!(plain["assessment"], drawn["assessment"], "looking changes no verdict");
    assert!(plain.get("pictures").is_none_or(|own| own.as_array().is_none_or(Vec::is_empty)));
    let named: Vec<PathBuf> = drawn["pictures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| PathBuf::from(path.as_str().unwrap()))
        .collect();
    assert_eq!(named.len(), 4, "one a window: {drawn}");
    assert_eq!(files_below(&folder), 4);
    let pictures: Vec<Vec<u8>> = named
        .iter()
        .enumerate()
        .map(|(number, path)| {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(name.contains(&format!("-window{number}-frame")), "{name}");
            let (width, height, pixels) = picture(path);
            // Seven times the network's 48 x 36, above a strip of its colours.
            assert_eq!((width, height, pixels.len()), (336, 266, 336 * 266 * 3), "{name}");
            let (least, most) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
            assert!(most - least > 60, "{name} is flat: {least} to {most}");
            pixels
        })
        .collect();
    for (at, one) in pictures.iter().enumerate() {
        assert!(
            pictures[..at].iter().all(|other| other != one),
            "windows {at} and before are alike"
        );
    }
    // A model of features says its reasons in words, and has no pictures.
    let mut command = naive(&prepared, "");
    command.pop();
    command.extend(["logistic_regression", "--grid", "none"].map(str::to_owned));
    let rows = trained_by(&command);
    let model = Path::new(rows["run"].as_str().unwrap()).join("logistic_regression.model.json");
    let (code, _, err) = run(&[
        "-w",
        &prepared.workspace,
        "predict",
        "--model",
        model.to_str().unwrap(),
        "--explain",
        folder.to_str().unwrap(),
        clip.to_str().unwrap(),
    ]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--explain") && err.contains("logistic_regression"), "{err}");
}

/// `MLflow`'s own server, ended with the test.
struct MlflowServer {
    process: Child,
    address: String,
}

impl Drop for MlflowServer {
    fn drop(&mut self) {
        // It has children of its own, which are of its group.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-s", "TERM", "--", &group]).status();
        let _ = self.process.wait();
    }
}

impl MlflowServer {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let store = format!("sqlite:///{}/mlflow.db", folder.display());
        let process = Command::new("mlflow")
            .args(["server", "--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"])
            .args(["--backend-store-uri", &store, "--serve-artifacts", "--artifacts-destination"])
            .arg(folder.join("artifacts"))
            .current_dir(folder)
            .env_remove("MLFLOW_TRACKING_URI")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let own = Self { process, address: format!("127.0.0.1:{port}") };
        let since = Instant::now();
        while own.ask("experiments/get-by-name?experiment_name=Default", None).is_none() {
            assert!(since.elapsed() < Duration::from_secs(180), "it does not answer");
            std::thread::sleep(Duration::from_millis(500));
        }
        own
    }

    fn ask(&self, what: &str, body: Option<&Value>) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let text = body.map(ToString::to_string).unwrap_or_default();
        let request = format!(
            "{} /api/2.0/mlflow/{what} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{text}",
            if body.is_some() { "POST" } else { "GET" },
            self.address,
            text.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

/// `MLFLOW_TRACKING_URI` is all that is asked for: each fit of the run stands in `MLflow`, finished, with its
/// parameters and with the numbers of every epoch, which are those of the run's own log.
#[test]
fn slow_a_run_stands_in_mlflow() {
    const TEST: &str = "slow_a_run_stands_in_mlflow";
    if std::env::var_os("FVC_SLOW").is_none() {
        return skipped(TEST, "takes a minute; FVC_SLOW=1 runs it");
    }
    let there = Command::new("mlflow").arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        return skipped(TEST, "mlflow is not installed");
    }
    if !can_make_footage(TEST) {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    let folder = tempfile::tempdir().unwrap();
    let server = MlflowServer::start(folder.path());
    let command = naive(&prepared, "patience = 9\n");
    let output = fvc()
        .args(&command)
        .args(["--epochs", "3"])
        .env("MLFLOW_TRACKING_URI", format!("http://{}", server.address))
        .output()
        .unwrap();
    let made = trained(&output);
    let experiment = server.ask("experiments/get-by-name?experiment_name=default", None).unwrap();
    let experiment = experiment["experiment"]["experiment_id"].clone();
    let search = serde_json::json!({ "experiment_ids": [experiment] });
    let found = server.ask("runs/search", Some(&search)).unwrap();
    let runs = found["runs"].as_array().unwrap_or_else(|| panic!("{found}"));
    assert_eq!(runs.len(), 3, "two folds and the final fit: {found}");
    let run_folder = Path::new(made["run"].as_str().unwrap());
    let run_name = run_folder.file_name().unwrap().to_str().unwrap();
    for fit in ["fold_0", "fold_1", "final"] {
        let name = format!("{run_name} naive_cnn {fit}");
        let run = runs.iter().find(|run| run["info"]["run_name"] == name.as_str());
        let run = run.unwrap_or_else(|| panic!("no {name} in {found}"));
        assert_eq!(run["info"]["status"], "FINISHED");
        let parameters = run["data"]["params"].as_array().unwrap();
        for (key, value) in [
            ("trainer.epochs", "3"),
            ("trainer.frames", "4"),
            ("network.architecture", "naive_cnn"),
        ] {
            let own = parameters.iter().find(|own| own["key"] == key);
            assert_eq!(own.map(|own| &own["value"]), Some(&value.into()), "{key}: {parameters:?}");
        }
        let log = fs::read_to_string(run_folder.join("naive_cnn").join(fit).join("metrics.jsonl"));
        let logged: Vec<(u64, f64)> = log
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["phase"] == "training" && line["metric"] == "loss")
            .filter(|line| line.get("step").is_none_or(Value::is_null))
            .filter_map(|line| Some((line["epoch"].as_u64()?, line["value"].as_f64()?)))
            .collect();
        assert_eq!(logged.len(), 3);
        let id = run["info"]["run_id"].as_str().unwrap();
        let history =
            server.ask(&format!("metrics/get-history?run_id={id}&metric_key=training/loss"), None);
        let mut told: Vec<(u64, f64)> = history.unwrap()["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|own| Some((own["step"].as_u64()?, own["value"].as_f64()?)))
            .collect();
        told.sort_by_key(|(epoch, _)| *epoch);
        assert_eq!(told, logged, "{fit}");
    }
}

/// The same command twice at once: the second found the folder of the training taken, trained in it too, and
/// ended without weights when the first cleaned up. Now one waits, and takes over what came of it.
#[test]
fn the_same_training_twice_at_once_gives_both_the_same() {
    if !can_make_footage("the_same_training_twice_at_once_gives_both_the_same") {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    let command = naive(&prepared, "");
    let start =
        || fvc().args(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(), start()].map(|child| trained(&child.wait_with_output().unwrap()));
    assert_ne!(both[0]["run"], both[1]["run"]);
    assert_eq!(weights(&both[0]), weights(&both[1]));
    assert_eq!(predictions(&both[0]), predictions(&both[1]));
    // What was needed to go on is gone with the last of them.
    let left = fs::read_dir(Path::new(&prepared.workspace).join("networks"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

/// Faults that only the training itself had found, when a run was there already: files that are no weights of
/// this network, folders that cannot be written. They are the command's, name what is wrong, and leave nothing.
#[test]
fn what_cannot_be_trained_is_refused_before_there_is_a_run() {
    if !can_make_footage("what_cannot_be_trained_is_refused_before_there_is_a_run") {
        return;
    }
    let prepared = Prepared::with(4, &[]);
    let folder = tempfile::tempdir().unwrap();
    let (garbage, other) = (folder.path().join("garbage.safetensors"), folder.path().join("w.pt"));
    fs::write(&garbage, b"no weights at all").unwrap();
    fs::write(&other, b"PK no archive").unwrap();
    let runs = Path::new(&prepared.workspace).join("runs");
    for file in [&garbage, &other] {
        let command = naive(&prepared, &format!("weights = {file:?}"));
        let (code, _, err) = told(&fvc().args(command).output().unwrap());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(file.to_str().unwrap()), "{err}");
        assert!(!runs.exists(), "{err}");
    }
    let command = naive(&prepared, "learning_rte = 0.1");
    let (code, _, err) = told(&fvc().args(command).output().unwrap());
    assert_eq!(code, 2, "{err}");
    let said = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("train.parameters.naive_cnn") && said.contains("did you mean learning_rate?"),
        "{err}"
    );
    let command = naive(&prepared, "");
    let at = garbage.join("below");
    let (code, _, err) = told(
        &fvc().args(&command).args(["--export-jobs".as_ref(), at.as_os_str()]).output().unwrap(),
    );
    assert!(code == 2 && err.contains("--export-jobs"), "{code}: {err}");
    assert!(!runs.exists(), "{err}");

    // A tracker of another kind is no reason not to train.
    let output =
        fvc().args(&command).env("MLFLOW_TRACKING_URI", "https://example.org").output().unwrap();
    let made = trained(&output);
    let said = notes(&made);
    assert_eq!(said.matches("MLFLOW_TRACKING_URI: expected http://").count(), 1, "{said}");

    // A run is a run wherever its folder lies and whatever it is called.
    let run_folder = Path::new(made["run"].as_str().unwrap());
    let moved = folder.path().join("model of may");
    fs::rename(run_folder, &moved).unwrap();
    let unseen = folder.path().join("unseen.mp4");
    encode("testsrc2=duration=2:size=160x120:rate=12", &["-c:v", "libx264"], &unseen);
    let predict = ["predict", unseen.to_str().unwrap(), "--model", moved.to_str().unwrap()];
    let (code, out, err) = told(&fvc().args(predict).output().unwrap());
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) =
        told(&fvc().args(predict).args(["--explain".as_ref(), at.as_os_str()]).output().unwrap());
    assert!(code == 2 && err.contains("--explain"), "{code}: {err}");
}
