//! The process that trains a network: memory that runs out ends it and nothing else, and the next one goes
//! on from the last checkpoint.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fvc_nn::{EpochRecord, JobFile, NetworkError, TrainedFile, TrainingEvent};
use serde::{Deserialize, Serialize};

use crate::replayed_clips::clips_of;

/// The hidden argument that makes a program this child.
const CHILD_ARGUMENT: &str = "--fvc-network-child";
/// The exit code of a training that was asked to stop and has left a checkpoint.
const STOPPED: i32 = 130;

/// What a training child says while it runs, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Resumed { epoch: u64, step: u64 },
    Step { epoch: u64, step: u64, steps: u64 },
    Epoch(EpochRecord),
    Failed { problem: String, by_settings: bool },
}

impl Line {
    /// What is said of an event.
    pub(crate) fn of(event: &TrainingEvent) -> Option<Self> {
        match event {
            TrainingEvent::Resumed { epoch, step } => {
                Some(Self::Resumed { epoch: *epoch, step: *step })
            }
            TrainingEvent::Step { epoch, step, steps, .. } => {
                Some(Self::Step { epoch: *epoch, step: *step, steps: *steps })
            }
            TrainingEvent::Epoch(record) => Some(Self::Epoch(record.clone())),
            _ => None,
        }
    }
}

/// Whether who set the training up is at fault.
pub(crate) fn by_settings(error: &NetworkError) -> bool {
    matches!(
        error,
        NetworkError::Setting { .. } | NetworkError::Memory { .. } | NetworkError::Device { .. }
    )
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
            let by_settings = by_settings(&error);
            say(&Line::Failed { problem: error.to_string(), by_settings });
            1
        }
    }
}

fn train_in(folder: &Path, cancel: &AtomicBool) -> Result<(), NetworkError> {
    let file = JobFile::read(folder)?;
    let clips = clips_of(&file, folder)?;
    file.train(folder, &clips, cancel, &mut |event| {
        if let Some(line) = Line::of(event) {
            say(&line);
        }
    })
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
    job.write(folder)?;
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
        return match job.finished(folder) {
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
