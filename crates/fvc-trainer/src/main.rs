//! `fvc-trainer DIR [--devices LIST] [--tensor-parallel N]`: trains what `fvc train --export-jobs DIR` wrote. Links neither FFmpeg
//! nor libxgboost nor LIBSVM, so that it runs on a machine that has nothing but the devices.

// What it does is said on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_nn::{ClipSource, Devices, JobFile, NetworkError, TrainingEvent};

const USAGE: &str = "usage: fvc-trainer DIR [--devices LIST] [--tensor-parallel N]

Trains every training in DIR/trainings (of `fvc train --export-jobs DIR`) that is not trained yet, and goes
on where it was stopped. LIST: cpu, cuda:0, or several such as 0,1 or cpu,cpu; the job's own where none.
N: devices that share each replica of a vision transformer; the job's own where none.
Exit codes: 0 all are trained, 1 failed, 2 wrong arguments, settings or devices, 130 stopped.";

fn main() -> ExitCode {
    let mut folder = None;
    let mut devices = None;
    let mut tensor_parallel = None;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            Some("--devices") => {
                let list = arguments.next().unwrap_or_default();
                match list.to_string_lossy().parse::<Devices>().and_then(|list| {
                    list.check()?;
                    Ok(list)
                }) {
                    Ok(list) => devices = Some(list),
                    Err(error) => return wrong(&error.to_string()),
                }
            }
            Some("--tensor-parallel") => {
                let count = arguments.next().unwrap_or_default();
                let found = count.to_string_lossy();
                let Ok(count) = found.parse::<usize>() else {
                    return wrong(&format!(
                        "--tensor-parallel: expected a whole number, found {found:?}"
                    ));
                };
                tensor_parallel = Some(count);
            }
            Some(option) if option.starts_with('-') => {
                let expected = "--devices or --tensor-parallel";
                return wrong(&format!("expected {expected}, found {option}\n{USAGE}"));
            }
            _ if folder.is_none() => folder = Some(PathBuf::from(argument)),
            _ => return wrong(USAGE),
        }
    }
    let Some(folder) = folder else { return wrong(USAGE) };
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first one asks for a checkpoint; a second ends it where it stands.
        let code = 130;
        let ended =
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&cancel))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&cancel)));
        if let Err(error) = ended {
            eprintln!("fvc-trainer: signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    match train_all(&folder, devices.as_ref(), tensor_parallel, &cancel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(NetworkError::Cancelled) => ExitCode::from(130),
        Err(error) => {
            eprintln!("fvc-trainer: {error}");
            let by_settings = matches!(
                error,
                NetworkError::Setting { .. }
                    | NetworkError::Device { .. }
                    | NetworkError::File { .. }
                    | NetworkError::Memory { .. }
            );
            ExitCode::from(if by_settings { 2 } else { 1 })
        }
    }
}

fn wrong(said: &str) -> ExitCode {
    eprintln!("fvc-trainer: {said}");
    ExitCode::from(2)
}

fn train_all(
    folder: &Path,
    devices: Option<&Devices>,
    tensor_parallel: Option<usize>,
    cancel: &AtomicBool,
) -> Result<(), NetworkError> {
    let trainings = folder.join("trainings");
    let io = |source| NetworkError::Io { path: trainings.clone(), source };
    let entries = std::fs::read_dir(&trainings).map_err(|error| NetworkError::File {
        path: trainings.clone(),
        expected: "the trainings that fvc train --export-jobs writes".to_owned(),
        found: error.to_string(),
    })?;
    let mut folders = Vec::new();
    for entry in entries {
        folders.push(entry.map_err(io)?.path());
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    let count = folders.len();
    for (number, folder) in folders.iter().enumerate() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = format!("{name} ({} of {count})", number + 1);
        let mut job = JobFile::read(folder)?;
        if job.finished(folder).is_some() {
            println!("{place}: is trained");
            continue;
        }
        if let Some(devices) = devices {
            job.devices = devices.clone();
        }
        job.tensor_parallel = tensor_parallel.unwrap_or(job.tensor_parallel);
        job.devices.check()?;
        if let Some(kind) = job.kinds.first() {
            return Err(NetworkError::Setting {
                key: format!("kinds of {name}"),
                expected: "none: variants as files, as fvc train --export-jobs writes them"
                    .to_owned(),
                found: kind.clone(),
            });
        }
        let clips: Arc<dyn ClipSource> = Arc::new(job.stored_clips(folder)?);
        println!(
            "{place}: {} of {} epochs at most, on {}",
            job.name, job.job.trainer.epochs, job.devices
        );
        job.train(folder, &clips, cancel, &mut |event| match event {
            TrainingEvent::Resumed { epoch, step } => {
                println!("{place}: goes on in epoch {epoch} after step {step}");
            }
            TrainingEvent::Epoch(record) => println!(
                "{place}: epoch {}, loss {:.4}, {:.1} clips/s, {} ranks",
                record.epoch, record.training_loss, record.clips_per_second, record.ranks
            ),
            _ => {}
        })?;
        if cancel.load(Ordering::Relaxed) {
            return Err(NetworkError::Cancelled);
        }
    }
    Ok(())
}
