//! `fvc slurm`: the batch script of a training by many processes.

use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use fvc_clips::write_atomically;
use fvc_pipeline::PipelineError;

use super::CommandError;
use crate::arguments::{
    Arguments, Command, DEFAULT_WORKSPACE, Shared, SlurmArguments, TrainingArguments,
};
use crate::display;
use crate::exit_code::Ending;

fn wrong(problem: String) -> PipelineError {
    PipelineError::Config { path: None, problem }
}

/// Prints the script, or writes it.
pub(super) fn run(shared: &Shared, job: &SlurmArguments) -> Result<Ending, CommandError> {
    let script = script(shared, job)?;
    match &job.out {
        None => display::print(script.trim_end())?,
        Some(path) => write_atomically(path, script.as_bytes())
            .map_err(|source| PipelineError::Io { path: path.clone(), source })?,
    }
    Ok(Ending::All)
}

/// One word of a shell, whatever is in it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.,:/+=-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The training options of the command that is to be run.
fn training_of(command: &[String]) -> Result<TrainingArguments, PipelineError> {
    let words = std::iter::once("fvc").chain(command.iter().map(String::as_str));
    let parsed = Arguments::try_parse_from(words).map_err(|error| {
        let said = error.to_string();
        wrong(format!("the command of the job: {}", said.lines().next().unwrap_or_default()))
    })?;
    match parsed.command {
        Command::Train { training, export_jobs: None, .. } | Command::Run { training, .. } => {
            Ok(training)
        }
        _ => Err(wrong(format!(
            "the command of the job: expected train or run, found {}",
            command.first().map_or("none", String::as_str)
        ))),
    }
}

/// What stands before the name of this command and is meant for the job's, too: where the workspace is, and what
/// is configured.
fn outer(shared: &Shared, command: &[String]) -> Result<Vec<String>, PipelineError> {
    let mut words = Vec::new();
    let workspace = (shared.workspace != Path::new(DEFAULT_WORKSPACE)).then_some(&shared.workspace);
    for (option, short, variable, path) in [
        ("--workspace", Some("-w"), "FVC_WORKSPACE", workspace),
        ("--config", None, "FVC_CONFIG", shared.config.as_ref()),
    ] {
        let Some(path) = path else { continue };
        let is_same = |word: &String| {
            word == option
                || word.starts_with(&format!("{option}="))
                || short.is_some_and(|short| word.starts_with(short) && !word.starts_with("--"))
        };
        if command.iter().any(is_same) {
            // As everywhere, what is named wins over the environment.
            if std::env::var_os(variable).is_some_and(|set| set == path.as_os_str()) {
                continue;
            }
            return Err(wrong(format!(
                "{option}: expected once, before slurm or in the job's command, found in both"
            )));
        }
        words.extend([option.to_owned(), path.display().to_string()]);
    }
    Ok(words)
}

fn script(shared: &Shared, job: &SlurmArguments) -> Result<String, PipelineError> {
    let training = training_of(&job.command)?;
    let others: Vec<&str> = training
        .model_types
        .iter()
        .flatten()
        .filter(|kind| !kind.is_network())
        .map(|kind| kind.name())
        .collect();
    if training.model_types.as_ref().is_some_and(|kinds| kinds.len() == others.len()) {
        return Err(wrong(format!(
            "--model-types of the job's command: expected a network, since nothing else is trained by many \
             processes, found {}",
            others.join(", ")
        )));
    }
    let mut command: Vec<String> = vec![job.program.clone()];
    command.extend(outer(shared, &job.command)?);
    command.extend(job.command.iter().cloned());
    if training.devices.is_some() {
        let problem = "--devices of the job's command: expected none, since each process has one device; \
                       found some";
        return Err(wrong(problem.to_owned()));
    }
    match training.device.as_deref() {
        None if job.gpus > 0 => command.extend(["--device".to_owned(), "cuda".to_owned()]),
        None => {}
        Some(device) if (device == "cuda") == (job.gpus > 0) => {}
        Some(device) => {
            return Err(wrong(format!(
                "--device of the job's command: expected {} with --gpus {}, found {device}",
                if job.gpus > 0 { "cuda, or none," } else { "cpu, or none," },
                job.gpus
            )));
        }
    }
    let tasks = job.tasks.unwrap_or(job.gpus.max(1));
    if job.gpus > 0 && tasks != job.gpus {
        return Err(wrong(format!("--tasks: expected {}, one a device, found {tasks}", job.gpus)));
    }
    let ranks = job.nodes as usize * tasks as usize;
    if let Some(parts) = training.tensor_parallel {
        // As a whole number of replicas; whether the network can be shared so is said where it is known.
        if parts < 1.0 || ranks as f64 % parts != 0.0 {
            return Err(wrong(format!(
                "--tensor-parallel of the job's command: expected a divisor of the {ranks} processes, found \
                 {parts}"
            )));
        }
    }
    let mut head = vec![
        "job-name=fvc-train".to_owned(),
        format!("nodes={}", job.nodes),
        format!("ntasks-per-node={tasks}"),
    ];
    if job.gpus > 0 {
        head.push(format!("gres=gpu:{}", job.gpus));
    }
    head.push(format!("cpus-per-task={}", job.cpus));
    head.push(format!("time={}", job.time));
    head.extend(job.partition.iter().map(|name| format!("partition={name}")));
    head.extend(job.account.iter().map(|name| format!("account={name}")));
    // The output of a job that was queued again stands behind that of before.
    head.extend(["requeue", "open-mode=append", "signal=B:USR1@120"].map(str::to_owned));
    let mut script = String::from("#!/bin/bash\n");
    for line in head {
        let _ = writeln!(script, "#SBATCH --{line}");
    }
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let _ = write!(
        script,
        r#"# Written by `fvc slurm`. The program must be built with `--features mpi`.
set -u
export OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK"

# Two minutes before the time is up every process is told to stop: it leaves a checkpoint.
stopping=no
trap 'stopping=yes; scancel --signal=TERM "$SLURM_JOB_ID"' USR1

srun --mpi={} --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    {} &
steps=$!
wait "$steps"
code=$?
# The trap ends a wait before the processes have ended.
while kill -0 "$steps" 2>/dev/null; do
    wait "$steps"
    code=$?
done
if [ "$stopping" = yes ] && [ "$code" -ne 0 ]; then
    # The same command goes on from the checkpoint. Out of memory is no such case: that ends the job.
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"#,
        job.mpi,
        words.join(" ")
    );
    Ok(script)
}
