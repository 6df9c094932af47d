//! [`MlflowRun`]: a training told to an `MLflow` server, by its REST API.
//!
//! The server is a guest: whatever it does or does not, the training goes on. What it did not take is kept
//! and sent with the next call, but not before a pause, so that a dead server costs no epoch its time.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use crate::metrics_log::numbers_of;
use crate::utc::since_1970;
use crate::{EpochRecord, NetworkError};

/// The variable that names the server, as `MLflow`'s own clients read it.
const VARIABLE: &str = "MLFLOW_TRACKING_URI";
/// What the server takes at once.
const METRICS_AT_ONCE: usize = 1000;
const PARAMETERS_AT_ONCE: usize = 100;
/// Characters of a parameter that servers of any age take.
const LONGEST_VALUE: usize = 500;
const LONGEST_KEY: usize = 250;
/// Numbers that are kept for a server that does not answer; the oldest go first.
const KEPT: usize = 100_000;
/// An answer longer than this is none of `MLflow`'s.
const LONGEST_ANSWER: u64 = 1 << 20;
/// The longest pause between two tries of a server that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlflowStatus {
    /// As it should.
    Finished,
    /// With an error.
    Failed,
    /// On request.
    Killed,
}

impl MlflowStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

/// How long the server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlflowPatience {
    /// Until it takes a connection.
    pub connect: Duration,
    /// Until it answers.
    pub read: Duration,
    /// After it did not, until it is asked again; twice as long each time, up to ten minutes.
    pub pause: Duration,
}

impl Default for MlflowPatience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            pause: Duration::from_secs(60),
        }
    }
}

/// Where a server is. Its secrets are not shown.
struct Server {
    /// `http://host:port/path`, without a slash at its end and without secrets.
    base: String,
    /// The whole `Authorization` header.
    authorization: Option<String>,
    agent: Agent,
}

/// A run on an `MLflow` server.
pub struct MlflowRun {
    server: Server,
    experiment: String,
    name: String,
    run: Option<String>,
    /// Whether the server knows that `run` is under way.
    started: bool,
    started_at: u64,
    metrics: VecDeque<Value>,
    parameters: VecDeque<Value>,
    tags: VecDeque<(String, String)>,
    patience: MlflowPatience,
    pause: Duration,
    /// Not asked before; none while it answers.
    again_at: Option<Instant>,
    note: Option<String>,
    noted: bool,
}

impl fmt::Debug for MlflowRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MlflowRun")
            .field("server", &self.server.base)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// Why the server did not do what it was asked.
enum Refusal {
    /// It did not answer, or could not: the same may be asked again.
    Silent(String),
    /// It said no.
    Refused(String),
}

fn milliseconds() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Bytes as they stand in a query.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Base 64 (RFC 4648), for a header that is needed once.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let value = bits >> (18 - 6 * letter) & 63;
            let padding = letter > chunk.len();
            encoded.push(if padding { '=' } else { char::from(LETTERS[value as usize]) });
        }
    }
    encoded
}

/// A name of a metric or parameter as every server takes it.
fn clean(name: &str) -> String {
    let known = |letter: char| letter.is_ascii_alphanumeric() || "_-. /".contains(letter);
    name.chars().map(|own| if known(own) { own } else { '_' }).take(LONGEST_KEY).collect()
}

impl Server {
    fn at(uri: &str, patience: MlflowPatience) -> Result<Self, NetworkError> {
        // Nothing of what is wrong is shown but its scheme: the rest may hold a password.
        let wrong = |found: &str| {
            NetworkError::setting(VARIABLE, "http://[user:password@]host[:port][/path]", found)
        };
        let uri = uri.trim();
        let Some(rest) = uri.strip_prefix("http://") else {
            let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
            return Err(match scheme {
                Some(scheme) if scheme.bytes().all(|own| own.is_ascii_alphanumeric()) => {
                    wrong(&format!("{scheme}://"))
                }
                _ => wrong("something else"),
            });
        };
        let rest = rest.trim_end_matches('/');
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (secrets, host) = match authority.rsplit_once('@') {
            Some((secrets, host)) => (Some(secrets), host),
            None => (None, authority),
        };
        let in_host = |own: u8| own.is_ascii_alphanumeric() || b".-_:[]".contains(&own);
        if host.is_empty() || !host.bytes().all(in_host) {
            return Err(wrong("no host name after http://"));
        }
        if !path.bytes().all(|own| own.is_ascii_graphic() && !b"?#@\\".contains(&own)) {
            return Err(wrong("a path with other characters than a path's"));
        }
        let authorization = secrets.map(|secrets| {
            let (user, password) = secrets.split_once(':').unwrap_or((secrets, ""));
            let mut pair = percent_decoded(user);
            pair.push(b':');
            pair.extend(percent_decoded(password));
            format!("Basic {}", base64(&pair))
        });
        let config = Agent::config_builder()
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_send_request(Some(patience.read))
            .timeout_send_body(Some(patience.read))
            .timeout_recv_response(Some(patience.read))
            .timeout_recv_body(Some(patience.read))
            // What a training tells goes to the server that was named and to no other.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            // The status and what the server says of it are read below.
            .http_status_as_error(false)
            .build();
        Ok(Self {
            base: format!("http://{host}{path}"),
            authorization,
            agent: Agent::new_with_config(config),
        })
    }

    /// Asks for `what`; with a body, it is sent.
    fn ask(&self, what: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let silent = |error: ureq::Error| Refusal::Silent(error.to_string());
        let url = format!("{}/api/2.0/mlflow/{what}", self.base);
        let authorization = self.authorization.as_deref();
        let mut answer = if let Some(body) = body {
            let mut request = self.agent.post(&url).header("Content-Type", "application/json");
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            request.send(body.to_string().as_bytes()).map_err(silent)?
        } else {
            let mut request = self.agent.get(&url);
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            request.call().map_err(silent)?
        };
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
        let told: Value = serde_json::from_slice(&body.map_err(silent)?).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(told);
        }
        // A message may be long or hold anything: its beginning on one line.
        let text = |key: &str| {
            let text = told[key].as_str().unwrap_or_default();
            text.chars().map(|own| if own.is_control() { ' ' } else { own }).take(200).collect()
        };
        let (code, message): (String, String) = (text("error_code"), text("message"));
        let said = format!("status {} {code} {message}", status.as_u16()).trim_end().to_owned();
        Err(if status.is_server_error() || status.as_u16() == 429 {
            Refusal::Silent(said)
        } else {
            Refusal::Refused(said)
        })
    }

    /// The experiment of this name, made where there is none.
    fn experiment(&self, name: &str) -> Result<String, Refusal> {
        let by_name = format!("experiments/get-by-name?experiment_name={}", percent_encoded(name));
        let known = |told: &Value| told["experiment"]["experiment_id"].as_str().map(str::to_owned);
        match self.ask(&by_name, None) {
            Ok(told) => return known(&told).ok_or_else(not_mlflow),
            // Refused is also what is not there.
            Err(Refusal::Refused(_)) => {}
            Err(silent) => return Err(silent),
        }
        match self.ask("experiments/create", Some(&json!({ "name": name }))) {
            Ok(told) => told["experiment_id"].as_str().map(str::to_owned).ok_or_else(not_mlflow),
            // Another process made it in between.
            Err(Refusal::Refused(said)) => match self.ask(&by_name, None) {
                Ok(told) => known(&told).ok_or_else(not_mlflow),
                Err(_) => Err(Refusal::Refused(said)),
            },
            Err(silent) => Err(silent),
        }
    }
}

fn not_mlflow() -> Refusal {
    Refusal::Refused("its answer is none of MLflow's".to_owned())
}

impl MlflowRun {
    /// A run on the server that `MLFLOW_TRACKING_URI` names; none where it names none.
    ///
    /// # Errors
    /// The variable is no `http://` address. Its user and password stand in no error.
    pub fn from_environment(
        experiment: &str,
        name: &str,
        known_run: Option<&str>,
    ) -> Result<Option<Self>, NetworkError> {
        let Some(uri) = std::env::var_os(VARIABLE).filter(|uri| !uri.is_empty()) else {
            return Ok(None);
        };
        let uri = uri.to_string_lossy();
        Self::start(&uri, experiment, name, known_run, MlflowPatience::default()).map(Some)
    }

    /// Begins a run called `name` of an experiment, both made where they are missing. A training that is
    /// resumed goes on with the run that it had before, `known_run`.
    ///
    /// # Errors
    /// The address is none of `http://`. That the server does not answer is no error: see
    /// [`MlflowRun::take_note`].
    pub fn start(
        uri: &str,
        experiment: &str,
        name: &str,
        known_run: Option<&str>,
        patience: MlflowPatience,
    ) -> Result<Self, NetworkError> {
        let mut own = Self {
            server: Server::at(uri, patience)?,
            experiment: experiment.to_owned(),
            name: name.to_owned(),
            run: known_run.map(str::to_owned),
            started: false,
            started_at: milliseconds(),
            metrics: VecDeque::new(),
            parameters: VecDeque::new(),
            tags: VecDeque::new(),
            patience,
            pause: patience.pause,
            again_at: None,
            note: None,
            noted: false,
        };
        own.send();
        Ok(own)
    }

    /// The run as the server names it, to be kept for a resumption; none until it has answered.
    pub fn run_id(&self) -> Option<&str> {
        self.run.as_deref().filter(|_| self.started)
    }

    /// What is to be said to the user, once: that the server does not answer, or what it refused.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Settings of the training; long values are cut.
    pub fn parameters<'a>(&mut self, parameters: impl IntoIterator<Item = (&'a str, String)>) {
        for (key, value) in parameters {
            let value: String = value.chars().take(LONGEST_VALUE).collect();
            self.parameters.push_back(json!({ "key": clean(key), "value": value }));
        }
        self.send();
    }

    /// Numbers of one step.
    pub fn metrics<'a>(&mut self, step: u64, numbers: impl IntoIterator<Item = (&'a str, f64)>) {
        let timestamp = milliseconds();
        for (key, value) in numbers {
            // Protobuf's JSON has names for what JSON cannot say.
            let value = match value {
                value if value.is_nan() => json!("NaN"),
                f64::INFINITY => json!("Infinity"),
                f64::NEG_INFINITY => json!("-Infinity"),
                value => json!(value),
            };
            if self.metrics.len() == KEPT {
                self.metrics.pop_front();
            }
            let key = clean(key);
            self.metrics.push_back(
                json!({ "key": key, "value": value, "timestamp": timestamp, "step": step }),
            );
        }
        self.send();
    }

    /// All numbers of an epoch, at its number.
    pub fn epoch(&mut self, record: &EpochRecord) {
        let numbers: Vec<(String, f64)> = numbers_of(record)
            .into_iter()
            .map(|(phase, metric, value)| (format!("{phase}/{metric}"), value))
            .collect();
        self.metrics(record.epoch, numbers.iter().map(|(key, value)| (key.as_str(), *value)));
    }

    /// A mark on the run.
    pub fn tag(&mut self, key: &str, value: &str) {
        self.tags.push_back((clean(key), value.chars().take(LONGEST_VALUE).collect()));
        self.send();
    }

    /// Ends the run. A server that did not answer is asked once more.
    pub fn end(mut self, status: MlflowStatus) -> Option<String> {
        self.again_at = None;
        self.send();
        if let (Some(run), true, None) = (&self.run, self.started, self.again_at) {
            let body =
                json!({ "run_id": run, "status": status.name(), "end_time": milliseconds() });
            if let Err(refusal) = self.server.ask("runs/update", Some(&body)) {
                self.excuse(&refusal);
            }
        }
        self.note
    }

    /// Sends what there is, if the server is not in its pause.
    fn send(&mut self) {
        if self.again_at.is_some_and(|again| Instant::now() < again) {
            return;
        }
        match self.try_send() {
            Ok(()) => (self.again_at, self.pause) = (None, self.patience.pause),
            Err(refusal) => self.excuse(&refusal),
        }
    }

    fn try_send(&mut self) -> Result<(), Refusal> {
        let run = self.begin()?;
        while !self.parameters.is_empty() || !self.metrics.is_empty() {
            let parameters = self.parameters.len().min(PARAMETERS_AT_ONCE);
            // The limit is on all that one request holds.
            let metrics = self.metrics.len().min(METRICS_AT_ONCE - parameters);
            let body = json!({
                "run_id": run,
                "params": self.parameters.iter().take(parameters).collect::<Vec<_>>(),
                "metrics": self.metrics.iter().take(metrics).collect::<Vec<_>>(),
            });
            let sent = self.server.ask("runs/log-batch", Some(&body));
            if matches!(sent, Err(Refusal::Silent(_))) {
                return sent.map(drop);
            }
            // What it refuses now, it refuses the next time.
            self.parameters.drain(..parameters);
            self.metrics.drain(..metrics);
            sent?;
        }
        while let Some((key, value)) = self.tags.front() {
            let body = json!({ "run_id": run, "key": key, "value": value });
            let sent = self.server.ask("runs/set-tag", Some(&body));
            if matches!(sent, Err(Refusal::Silent(_))) {
                return sent.map(drop);
            }
            self.tags.pop_front();
            sent?;
        }
        Ok(())
    }

    /// The run, begun where it is not yet.
    fn begin(&mut self) -> Result<String, Refusal> {
        if let (Some(run), true) = (&self.run, self.started) {
            return Ok(run.clone());
        }
        if let Some(run) = &self.run {
            let body = json!({ "run_id": run, "status": "RUNNING" });
            match self.server.ask("runs/update", Some(&body)) {
                Ok(_) => {
                    self.started = true;
                    return Ok(run.clone());
                }
                // A server that does not know it gets another one.
                Err(Refusal::Refused(_)) => self.run = None,
                Err(silent) => return Err(silent),
            }
        }
        let experiment = self.server.experiment(&self.experiment)?;
        let body = json!({
            "experiment_id": experiment,
            "run_name": self.name,
            "start_time": self.started_at,
        });
        let told = self.server.ask("runs/create", Some(&body))?;
        let run = told["run"]["info"]["run_id"].as_str().ok_or_else(not_mlflow)?.to_owned();
        (self.run, self.started) = (Some(run.clone()), true);
        Ok(run)
    }

    fn excuse(&mut self, refusal: &Refusal) {
        let base = &self.server.base;
        let note = match refusal {
            Refusal::Silent(why) => {
                format!("MLflow at {base} does not answer: {why}; training goes on without it")
            }
            Refusal::Refused(why) => {
                format!("MLflow at {base} refuses what it is told: {why}; training goes on")
            }
        };
        // Without a run, nothing can be told: asking at every step would cost as much as silence.
        if matches!(refusal, Refusal::Silent(_)) || !self.started {
            self.again_at = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        if !self.noted {
            (self.note, self.noted) = (Some(note), true);
        }
    }
}
