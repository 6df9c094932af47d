//! `MLflow`'s REST API, against a small server of ours and, where it is installed, `MLflow`'s own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fvc_nn::{MlflowPatience, MlflowRun, MlflowStatus};
use serde_json::{Value, json};

use crate::metrics_log::record;

#[derive(Clone, Debug)]
struct Asked {
    what: String,
    authorization: Option<String>,
    body: Value,
}

/// A server on a socket of its own that answers by a function and keeps what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

fn one_request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let what = first.split_whitespace().nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked { what, authorization, body })
}

impl Server {
    fn start(mut answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let Some(request) = one_request(&stream) else { continue };
                let (status, told) = answer(&request);
                kept.lock().unwrap().push(request);
                let told = told.to_string();
                let head = format!("HTTP/1.1 {status} It\r\nContent-Length: {}", told.len());
                let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n{told}");
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked, without the way to it.
    fn names(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().map(|own| own.what.rsplit_once("/api/2.0/mlflow/").unwrap().1.into()).collect()
    }
}

/// Answers as `MLflow` does of an experiment that is not there yet.
fn like_mlflow(asked: &Asked) -> (u16, Value) {
    if asked.what.contains("get-by-name") {
        (404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no" }))
    } else if asked.what.ends_with("experiments/create") {
        (200, json!({ "experiment_id": "7" }))
    } else if asked.what.ends_with("runs/create") {
        (200, json!({ "run": { "info": { "run_id": "r1" } } }))
    } else {
        (200, json!({}))
    }
}

/// So that no test waits long.
fn quick() -> MlflowPatience {
    let short = Duration::from_millis(300);
    MlflowPatience { connect: short, read: short, pause: Duration::from_secs(3600) }
}

#[test]
fn a_training_is_told_from_its_beginning_to_its_end() {
    let server = Server::start(like_mlflow);
    let uri = format!("http://me:se%40cret@{}/tracking/", server.address);
    let mut run = MlflowRun::start(&uri, "fakes & co", "run_a", None, quick()).unwrap();
    assert_eq!(run.run_id(), Some("r1"));
    run.parameters([("trainer.epochs", "3".to_owned()), ("why?", "x".repeat(9000))]);
    run.epoch(&record(2));
    run.metrics(3, [("loss", f64::NAN)]);
    run.tag("model", "variable_ar_cnn");
    assert_eq!(run.take_note(), None);
    assert!(!format!("{run:?}").contains("cret"), "{run:?}");
    assert_eq!(run.end(MlflowStatus::Finished), None);
    assert_eq!(
        server.names(),
        [
            "experiments/get-by-name?experiment_name=fakes%20%26%20co",
            "experiments/create",
            "runs/create",
            "runs/log-batch",
            "runs/log-batch",
            "runs/log-batch",
            "runs/set-tag",
            "runs/update",
        ]
    );
    let asked = server.asked();
    assert!(asked.iter().all(|own| own.what.starts_with("/tracking/api/2.0/mlflow/")));
    // base64 of `me:se@cret`.
    assert!(asked.iter().all(|own| own.authorization.as_deref() == Some("Basic bWU6c2VAY3JldA==")));
    assert_eq!(asked[1].body["name"], "fakes & co");
    assert_eq!(asked[2].body["experiment_id"], "7");
    assert_eq!(asked[2].body["run_name"], "run_a");
    assert_eq!(asked[3].body["params"][0], json!({ "key": "trainer.epochs", "value": "3" }));
    assert_eq!(asked[3].body["params"][1]["key"], "why_");
    assert_eq!(asked[3].body["params"][1]["value"].as_str().unwrap().len(), 500);
    let metrics = asked[4].body["metrics"].as_array().unwrap();
    let loss = metrics.iter().find(|own| own["key"] == "validation/log_loss").unwrap();
    assert_eq!((&loss["value"], &loss["step"]), (&json!(0.6), &json!(2)));
    assert!(loss["timestamp"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(asked[5].body["metrics"][0]["value"], "NaN");
    assert_eq!(asked[6].body["value"], "variable_ar_cnn");
    assert_eq!(asked[7].body["status"], "FINISHED");
    assert_eq!(asked[7].body["run_id"], "r1");
}

#[test]
fn many_numbers_go_in_parts_of_what_a_server_takes() {
    let server = Server::start(like_mlflow);
    let uri = format!("http://{}", server.address);
    let mut run = MlflowRun::start(&uri, "e", "r", None, quick()).unwrap();
    run.metrics(1, (0..2500).map(|_| ("loss", 0.5)));
    run.parameters((0..250).map(|_| ("key", "value".to_owned())));
    let asked = server.asked();
    let count = |of: &str| -> Vec<usize> {
        let lengths = asked.iter().filter_map(|own| own.body[of].as_array().map(Vec::len));
        lengths.filter(|&length| length > 0).collect()
    };
    assert_eq!(count("metrics"), [1000, 1000, 500]);
    assert_eq!(count("params"), [100, 100, 50]);
}

#[test]
fn a_resumed_training_goes_on_with_its_run() {
    let server = Server::start(like_mlflow);
    let uri = format!("http://{}", server.address);
    let run = MlflowRun::start(&uri, "e", "r", Some("r0"), quick()).unwrap();
    assert_eq!(run.run_id(), Some("r0"));
    run.end(MlflowStatus::Killed);
    assert_eq!(server.names(), ["runs/update", "runs/update"]);
    let asked = server.asked();
    assert_eq!(asked[0].body, json!({ "run_id": "r0", "status": "RUNNING" }));
    assert_eq!(asked[1].body["status"], "KILLED");
}

#[test]
fn without_a_server_training_goes_on_and_a_note_says_so_once() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let uri = format!("http://me:secret@{address}");
    let start = Instant::now();
    let mut run = MlflowRun::start(&uri, "e", "r", None, quick()).unwrap();
    let note = run.take_note().unwrap();
    assert!(note.contains("does not answer") && note.contains(&address.to_string()), "{note}");
    assert!(!note.contains("secret"), "{note}");
    for epoch in 1..200 {
        run.epoch(&record(epoch));
    }
    assert_eq!(run.take_note(), None);
    assert_eq!(run.run_id(), None);
    assert_eq!(run.end(MlflowStatus::Failed), None);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_takes_and_never_answers_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let start = Instant::now();
    let mut run = MlflowRun::start(&uri, "e", "r", None, quick()).unwrap();
    run.epoch(&record(1));
    assert!(run.take_note().unwrap().contains("timeout"));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn what_a_sick_server_missed_is_told_when_it_is_well() {
    let mut left = 2;
    let server = Server::start(move |asked| {
        if asked.what.ends_with("log-batch") && left > 0 {
            left -= 1;
            return (503, json!({ "message": "not now" }));
        }
        like_mlflow(asked)
    });
    let uri = format!("http://{}", server.address);
    let patience = MlflowPatience { pause: Duration::ZERO, ..quick() };
    let mut run = MlflowRun::start(&uri, "e", "r", None, patience).unwrap();
    run.metrics(1, [("loss", 1.0)]);
    run.metrics(2, [("loss", 2.0)]);
    assert!(run.take_note().unwrap().contains("status 503  not now"));
    run.metrics(3, [("loss", 3.0)]);
    let asked = server.asked();
    let metrics = asked.last().unwrap().body["metrics"].as_array().unwrap();
    let steps: Vec<&Value> = metrics.iter().map(|own| &own["step"]).collect();
    assert_eq!(steps, [&json!(1), &json!(2), &json!(3)]);
}

#[test]
fn what_a_server_refuses_is_said_and_not_told_again() {
    let server = Server::start(|asked| {
        if asked.what.ends_with("log-batch") {
            return (400, json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": "a\nb" }));
        }
        like_mlflow(asked)
    });
    let uri = format!("http://{}", server.address);
    let mut run = MlflowRun::start(&uri, "e", "r", None, quick()).unwrap();
    run.metrics(1, [("loss", 1.0)]);
    let note = run.take_note().unwrap();
    assert!(note.contains("status 400 INVALID_PARAMETER_VALUE a b"), "{note}");
    run.metrics(2, [("loss", 2.0)]);
    assert_eq!(run.take_note(), None);
    let asked = server.asked();
    assert_eq!(asked.last().unwrap().body["metrics"].as_array().unwrap().len(), 1);
    assert_eq!(run.end(MlflowStatus::Finished), None);
    assert_eq!(server.names().last().unwrap(), "runs/update");
}

#[test]
fn an_answer_of_something_else_is_no_mlflow() {
    let server = Server::start(|_| (200, json!("hello")));
    let uri = format!("http://{}", server.address);
    let mut run = MlflowRun::start(&uri, "e", "r", None, quick()).unwrap();
    let note = run.take_note().unwrap();
    assert!(note.contains("none of MLflow's"), "{note}");
    assert_eq!(run.run_id(), None);
}

#[test]
fn other_addresses_are_refused_without_their_secrets() {
    for uri in [
        "https://me:secret@host",
        "file:///secret",
        "databricks",
        "me:secret@host",
        "http://",
        "http://me:secret@",
        "http://ho st/",
        "http://me:secret@host/a?token=secret",
        "http://me:sec/ret@host",
        "http://host\r\nX-Secret: 1",
    ] {
        let error = MlflowRun::start(uri, "e", "r", None, quick()).unwrap_err().to_string();
        assert!(error.starts_with("MLFLOW_TRACKING_URI: expected http://"), "{error}");
        let found = error.split(", found ").nth(1).unwrap().to_lowercase();
        assert!(!found.contains("secret") && !found.contains("ret@"), "{error}");
    }
}

pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {reason}\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        let mut log = fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// `MLflow`'s own server, ended with the test.
struct RealServer(Child);

impl Drop for RealServer {
    fn drop(&mut self) {
        // It has children of its own, which are of its group.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-s", "TERM", "--", &group]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn slow_mlflows_own_server_takes_it() {
    use std::os::unix::process::CommandExt as _;
    const TEST: &str = "slow_mlflows_own_server_takes_it";
    if std::env::var_os("FVC_SLOW").is_none() {
        return skip(TEST, "takes half a minute; FVC_SLOW=1 runs it");
    }
    let there = Command::new("mlflow").arg("--version").output();
    if !there.is_ok_and(|output| output.status.success()) {
        return skip(TEST, "mlflow is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = format!("sqlite:///{}/mlflow.db", folder.path().display());
    let child = Command::new("mlflow")
        .args(["server", "--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"])
        .args(["--backend-store-uri", &store, "--serve-artifacts", "--artifacts-destination"])
        .arg(folder.path().join("artifacts"))
        .current_dir(folder.path())
        .env_remove("MLFLOW_TRACKING_URI")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let _server = RealServer(child);
    let address = format!("127.0.0.1:{port}");
    let start = Instant::now();
    let get = |path: &str| -> Option<Value> {
        let mut stream = TcpStream::connect(&address).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    };
    let by_name = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default";
    while get(by_name).is_none() {
        assert!(start.elapsed() < Duration::from_secs(180), "it does not answer");
        std::thread::sleep(Duration::from_millis(500));
    }
    let uri = format!("http://{address}");
    let patience = MlflowPatience::default();
    let mut run = MlflowRun::start(&uri, "fakes & co", "run_a", None, patience).unwrap();
    run.parameters([("trainer.epochs", "3".to_owned())]);
    run.parameters([("long: \u{e4}?", "x".repeat(9000))]);
    run.metrics(1, (0..1500).map(|_| ("many", 0.5)));
    run.epoch(&record(2));
    run.metrics(3, [("odd", f64::NAN), ("odd", f64::INFINITY)]);
    run.tag("model", "variable_ar_cnn");
    assert_eq!(run.take_note(), None);
    let id = run.run_id().unwrap().to_owned();
    assert_eq!(run.end(MlflowStatus::Failed), None);
    // A second process finds the experiment and goes on with the run.
    let mut again = MlflowRun::start(&uri, "fakes & co", "run_a", Some(&id), patience).unwrap();
    assert_eq!(again.run_id(), Some(id.as_str()));
    again.epoch(&record(3));
    assert_eq!(again.end(MlflowStatus::Finished), None);
    let other = MlflowRun::start(&uri, "fakes & co", "run_b", Some("unknown"), patience).unwrap();
    assert!(other.run_id().is_some_and(|other| other != id), "a run that is not there");
    let told = get(&format!("/api/2.0/mlflow/runs/get?run_id={id}")).unwrap();
    let run = &told["run"];
    assert_eq!(run["info"]["status"], "FINISHED");
    assert_eq!(run["info"]["run_name"], "run_a");
    let value = |of: &str, key: &str| {
        let all = run["data"][of].as_array().unwrap();
        all.iter().find(|own| own["key"] == key).map(|own| own["value"].clone())
    };
    assert_eq!(value("params", "trainer.epochs"), Some(json!("3")));
    assert_eq!(value("metrics", "validation/log_loss"), Some(json!(0.6)));
    assert_eq!(value("tags", "model"), Some(json!("variable_ar_cnn")));
    let history = get(&format!(
        "/api/2.0/mlflow/metrics/get-history?run_id={id}&metric_key=validation/log_loss"
    ));
    let history = history.unwrap();
    let steps: Vec<i64> = history["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|own| own["step"].as_i64())
        .collect();
    assert_eq!(steps, [2, 3]);
}
