//! The process that trains a network: memory that runs out ends it and nothing else, and the next one goes
//! on from the last checkpoint.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burn::backend::{Autodiff, Flex};
use fvc_augment::Kind;
use fvc_corpus::write_atomically;
use fvc_media::ContentId;
use fvc_nn::{
    ClipFile, ClipSource, EpochRecord, EventFile, MetricsLog, NetworkError, StoredClips,
    TrainerConfig, TrainingEvent, TrainingJob, WeightReport, Weights, train,
};
use serde::{Deserialize, Serialize};

use crate::replayed_clips::ReplayedClips;

/// The hidden argument that makes a program this child.
const CHILD_ARGUMENT: &str = "--fvc-network-child";
const JOB: &str = "job.json";
const TRAINED: &str = "trained.json";
const WEIGHTS: &str = "weights.safetensors";
/// The exit code of a training that was asked to stop and has left a checkpoint.
const STOPPED: i32 = 130;

/// What a training child is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobFile {
    /// What its numbers are logged under: the run and the fit in it.
    pub(crate) name: String,
    pub(crate) job: TrainingJob,
    pub(crate) clips_root: PathBuf,
    pub(crate) clip_files: Vec<ClipFile>,
    pub(crate) kinds: Vec<Kind>,
    /// Weights to begin from.
    pub(crate) weights: Option<PathBuf>,
    pub(crate) device: String,
}

/// What a training child leaves, beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainedFile {
    /// How it was trained in the end: batches are smaller than asked for where memory did not suffice.
    pub(crate) trainer: TrainerConfig,
    pub(crate) weights_hash: String,
    pub(crate) parameters: usize,
    pub(crate) best_epoch: u64,
    pub(crate) records: Vec<EpochRecord>,
    pub(crate) validation: Vec<(ContentId, f64)>,
    pub(crate) report: Option<WeightReport>,
}

/// What a training child says while it runs, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Resumed { epoch: u64, step: u64 },
    Step { epoch: u64, step: u64, steps: u64 },
    Epoch(EpochRecord),
    Failed { problem: String, by_settings: bool },
}

/// How a training child ended.
#[derive(Debug)]
pub(crate) enum ChildEnd {
    Trained(Box<TrainedFile>),
    Stopped,
    Failed {
        problem: String,
        by_settings: bool,
    },
    /// By a signal, or with a message, that a lack of memory sends.
    OutOfMemory,
}

/// Turns this process into the child that trains a network if it was started as one; to be called first
/// in `main`, beside [`fvc_media::child_main_if_requested`].
pub fn network_child_if_requested() {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).as_deref() != Some(std::ffi::OsStr::new(CHILD_ARGUMENT)) {
        return;
    }
    let code = match arguments.next() {
        Some(folder) => child(Path::new(&folder)),
        None => 2,
    };
    // Nothing is left to unwind; what was to be kept is on disk.
    #[allow(clippy::exit)]
    std::process::exit(code);
}

fn say(line: &Line) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // A parent that is gone is seen by the end of its input.
        drop(std::io::stdout().lock().write_all(&text));
    }
}

fn child(folder: &Path) -> i32 {
    let cancel = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cancel);
    // The parent says stop by closing our input, and so does its death.
    let watch = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
        drop(std::io::stdin().lock().read_to_end(&mut Vec::new()));
        seen.store(true, Ordering::Relaxed);
    });
    if watch.is_err() {
        return 1;
    }
    match train_in(folder, &cancel) {
        Ok(()) => 0,
        Err(NetworkError::Cancelled) => STOPPED,
        Err(error) => {
            let by_settings = matches!(
                error,
                NetworkError::Setting { .. }
                    | NetworkError::Memory { .. }
                    | NetworkError::Device { .. }
            );
            say(&Line::Failed { problem: error.to_string(), by_settings });
            1
        }
    }
}

fn train_in(folder: &Path, cancel: &AtomicBool) -> Result<(), NetworkError> {
    let path = folder.join(JOB);
    let wrong = |path: &Path, error: &dyn ToString| NetworkError::File {
        path: path.to_owned(),
        expected: "the job of a training".to_owned(),
        found: error.to_string(),
    };
    let bytes = fs::read(&path).map_err(|error| wrong(&path, &error))?;
    let file: JobFile = serde_json::from_slice(&bytes).map_err(|error| wrong(&path, &error))?;
    let first = match &file.weights {
        None => None,
        Some(path) => Some(Weights::read(path)?.for_network(&file.job.network)),
    };
    let stored = StoredClips::open(&file.clips_root, &file.clip_files)?;
    let clips: Arc<dyn ClipSource> = Arc::new(ReplayedClips::new(stored, file.kinds.clone()));
    let mut log = MetricsLog::open(folder, &file.name, true);
    let mut events = EventFile::create(folder)?;
    // A log that cannot be written is told once the training has its result, which is worth more.
    let mut fault = None;
    let mut tell = |event: &TrainingEvent| {
        let mut keep = |result: Result<(), NetworkError>| {
            if let Err(error) = result {
                fault.get_or_insert(error);
            }
        };
        keep(log.tell(event));
        match event {
            TrainingEvent::Resumed { epoch, step } => {
                keep(events.resumed(*epoch));
                say(&Line::Resumed { epoch: *epoch, step: *step });
            }
            TrainingEvent::Step { epoch, step, steps, .. } => {
                say(&Line::Step { epoch: *epoch, step: *step, steps: *steps });
            }
            TrainingEvent::Epoch(record) => {
                keep(events.epoch(record));
                say(&Line::Epoch(record.clone()));
            }
            _ => {}
        }
    };
    let (trained, report) = match file.device.strip_prefix("cuda") {
        None => train::<Autodiff<Flex>>(
            &file.job,
            first.as_ref(),
            &clips,
            &burn::backend::flex::FlexDevice,
            folder,
            cancel,
            &mut tell,
        )?,
        #[cfg(feature = "cuda")]
        Some(number) => {
            let number = number.trim_start_matches(':').parse().unwrap_or(0);
            train::<Autodiff<burn::backend::Cuda>>(
                &file.job,
                first.as_ref(),
                &clips,
                &burn::backend::cuda::CudaDevice::new(number),
                folder,
                cancel,
                &mut tell,
            )?
        }
        #[cfg(not(feature = "cuda"))]
        Some(_) => {
            return Err(NetworkError::Device {
                device: file.device.clone(),
                found: "a build without CUDA".to_owned(),
            });
        }
    };
    log.complete(&trained.records)?;
    if let Some(error) = fault {
        return Err(error);
    }
    let weights = folder.join(WEIGHTS);
    trained.weights.write(&weights, "trained weights")?;
    let io = |path: &Path, source| NetworkError::Io { path: path.to_owned(), source };
    let bytes = fs::read(&weights).map_err(|source| io(&weights, source))?;
    let result = TrainedFile {
        trainer: file.job.trainer,
        weights_hash: blake3::hash(&bytes).to_hex().to_string(),
        parameters: trained.weights.count(),
        best_epoch: trained.best_epoch,
        records: trained.records,
        validation: trained.validation,
        report,
    };
    let path = folder.join(TRAINED);
    let bytes = serde_json::to_vec_pretty(&result).map_err(|error| wrong(&path, &error))?;
    write_atomically(&path, &bytes).map_err(|source| io(&path, source))
}

/// The weights of a training, by its folder.
pub(crate) fn weights_file(folder: &Path) -> PathBuf {
    folder.join(WEIGHTS)
}

/// What a training in `folder` has left, if it ended and its weights are those that it wrote.
pub(crate) fn finished(folder: &Path, job: &JobFile) -> Option<TrainedFile> {
    let known: JobFile = serde_json::from_slice(&fs::read(folder.join(JOB)).ok()?).ok()?;
    let trained: TrainedFile =
        serde_json::from_slice(&fs::read(folder.join(TRAINED)).ok()?).ok()?;
    let weights = fs::read(folder.join(WEIGHTS)).ok()?;
    let same = known.job.hash().ok()? == job.job.hash().ok()?
        && blake3::hash(&weights).to_hex().as_str() == trained.weights_hash;
    same.then_some(trained)
}

/// Ends a child that is still there when its parent goes on without it.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether the system limits the address space of this process and its children (`ulimit -v`).
fn address_space_is_limited() -> bool {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let own = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    own.and_then(|values| values.split_whitespace().next()).is_some_and(|soft| soft != "unlimited")
}

/// Runs one training child over `folder`; every line that it says goes to `on_line`.
pub(crate) fn run_child(
    folder: &Path,
    job: &JobFile,
    cancel: &AtomicBool,
    on_line: &mut dyn FnMut(&Line),
) -> Result<ChildEnd, NetworkError> {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    let io = |path: &Path, source| NetworkError::Io { path: path.to_owned(), source };
    let path = folder.join(JOB);
    let bytes = serde_json::to_vec(job)
        .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
    write_atomically(&path, &bytes).map_err(|source| io(&path, source))?;
    let program =
        std::env::current_exe().map_err(|source| io(Path::new("this program"), source))?;
    let child = Command::new(&program)
        .arg(CHILD_ARGUMENT)
        .arg(folder)
        // Threads that wait for one another shall not spin on processors that others need.
        .env("OMP_WAIT_POLICY", "passive")
        // Large tensors come and go at every step: they stay with the process, not mapped anew.
        .envs([
            ("MALLOC_MMAP_MAX_", "0"),
            ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
            ("MALLOC_TOP_PAD_", "67108864"),
            ("MALLOC_ARENA_MAX_", "1"),
        ])
        // Ctrl-C in a terminal is for the parent, who then lets the child write its checkpoint.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| io(&program, source))?;
    let mut child = Guard(child);
    let (Some(output), Some(errors)) = (child.0.stdout.take(), child.0.stderr.take()) else {
        return Err(NetworkError::Internal { what: "a child without output".to_owned() });
    };
    let errors = std::thread::spawn(move || {
        // The end of what it says is enough to name the fault; no more of it is kept.
        let mut kept: Vec<u8> = Vec::new();
        let mut reader = BufReader::new(errors);
        let mut line = Vec::new();
        while reader.by_ref().take(1 << 16).read_until(b'\n', &mut line).is_ok_and(|read| read > 0)
        {
            kept.append(&mut line);
            if kept.len() > 1 << 14 {
                kept.drain(..kept.len() - (1 << 13));
            }
        }
        String::from_utf8_lossy(&kept).into_owned()
    });
    let (send, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let mut failed = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                if let Ok(line) = serde_json::from_str::<Line>(&line) {
                    if let Line::Failed { problem, by_settings } = &line {
                        failed = Some((problem.clone(), *by_settings));
                    }
                    on_line(&line);
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if cancel.load(Ordering::Relaxed) {
            drop(child.0.stdin.take());
        }
    }
    let status = child.0.wait().map_err(|source| io(&program, source))?;
    drop(reader.join());
    let said = errors.join().unwrap_or_default();
    if let Some((problem, by_settings)) = failed {
        return Ok(ChildEnd::Failed { problem, by_settings });
    }
    if cancel.load(Ordering::Relaxed) || status.code() == Some(STOPPED) {
        return Ok(ChildEnd::Stopped);
    }
    if status.success() {
        return match finished(folder, job) {
            Some(trained) => Ok(ChildEnd::Trained(Box::new(trained))),
            None => Err(NetworkError::Internal {
                what: format!("a training in {} ended without weights", folder.display()),
            }),
        };
    }
    // Libraries of C++ do not look whether they were given memory, and write to address 0. They are refused
    // it where the address space is limited, and only there.
    let unchecked = matches!(status.signal(), Some(7 | 11)) && address_space_is_limited();
    let by_memory =
        status.signal() == Some(9) || said.contains("memory allocation of") || unchecked;
    if by_memory {
        return Ok(ChildEnd::OutOfMemory);
    }
    let last: Vec<&str> = said.lines().rev().take(6).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Ok(ChildEnd::Failed {
        problem: format!("the training process ended with {status}: {}", last.join(" | ")),
        by_settings: false,
    })
}
