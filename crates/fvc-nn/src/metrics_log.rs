//! [`MetricsLog`]: the numbers of a training as lines of JSON, one line a number.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use fvc_clips::write_atomically;
use serde::{Deserialize, Serialize};

use crate::utc::{since_1970, timestamp};
use crate::{EpochRecord, NetworkError, TrainingEvent};

/// The file's name in a run's folder.
const METRICS: &str = "metrics.jsonl";

/// One number of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// The run.
    pub run: String,
    /// When it was written: `2026-11-25T08:45:12.123Z`.
    pub utc: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step in it, from 1; none where the number is the epoch's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// `training`, `validation` or `epoch`.
    pub phase: String,
    /// Its name.
    pub metric: String,
    /// Its value; none where it is not finite, which JSON cannot say.
    pub value: Option<f64>,
}

/// Appends the numbers of a training to `metrics.jsonl`.
///
/// A training that is killed has told of steps and epochs that its checkpoint does not know and that are
/// done again: the first event after [`MetricsLog::open`] says from where, and lines of later ones are
/// cut off then. So no number stands twice.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    run: String,
    steps: bool,
    /// None until the first event.
    file: Option<File>,
}

/// Phase, name and value of each number of an epoch.
pub(crate) fn numbers_of(record: &EpochRecord) -> Vec<(&'static str, &'static str, f64)> {
    let mut numbers = vec![
        ("training", "loss", record.training_loss),
        ("training", "learning_rate", record.learning_rate),
        ("training", "skipped_steps", record.skipped_steps as f64),
        ("training", "waiting_share", record.waiting_share),
        ("training", "clips_per_second", record.clips_per_second),
    ];
    // Of a training by several ranks only.
    if record.ranks > 1 {
        numbers.push(("training", "ranks", record.ranks as f64));
        numbers.push(("training", "exchange_share", record.exchange_share));
        numbers.push(("training", "ranks_waiting_share", record.ranks_waiting_share));
    }
    numbers.extend(record.validation_loss.map(|value| ("validation", "log_loss", value)));
    numbers.extend(record.stop_metric.map(|value| ("validation", "stop_metric", value)));
    numbers.push(("epoch", "seconds", record.seconds));
    numbers
}

impl MetricsLog {
    /// The log of a run in its folder. `steps`: whether every step is written, or epochs only.
    /// Nothing is touched until the first event.
    pub fn open(folder: &Path, run: &str, steps: bool) -> Self {
        Self { path: folder.join(METRICS), run: run.to_owned(), steps, file: None }
    }

    /// What a run's folder has; nothing where there is no log. A last line that was not written to its
    /// end is left out.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is none of ours.
    pub fn read(folder: &Path) -> Result<Vec<MetricLine>, NetworkError> {
        let path = folder.join(METRICS);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(NetworkError::Io { path, source }),
        };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut lines = Vec::new();
        for (at, line) in bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate() {
            let line = serde_json::from_slice(line).map_err(|error| NetworkError::File {
                path: path.clone(),
                expected: "one metric as JSON in every line".to_owned(),
                found: format!("line {}: {error}", at + 1),
            })?;
            lines.push(line);
        }
        Ok(lines)
    }

    /// Writes what a training tells; to be called with every event in its order.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn tell(&mut self, event: &TrainingEvent) -> Result<(), NetworkError> {
        // Only a training that was resumed keeps lines; any other one begins anew.
        match event {
            TrainingEvent::Resumed { epoch, step } => self.cut(*epoch, *step),
            TrainingEvent::Step { epoch, step, loss, gradient_norm, .. } => {
                if !self.steps {
                    return Ok(());
                }
                let numbers = [("loss", *loss), ("gradient_norm", *gradient_norm)];
                let lines = numbers.map(|(metric, value)| {
                    self.line(*epoch, Some(*step), ("training", metric, value))
                });
                self.append(&lines)
            }
            TrainingEvent::Epoch(record) => {
                let numbers = numbers_of(record);
                let lines: Vec<MetricLine> = numbers
                    .into_iter()
                    .map(|number| self.line(record.epoch, None, number))
                    .collect();
                self.append(&lines)?;
                self.sync()
            }
            #[allow(unreachable_patterns, reason = "events may come that have no numbers")]
            _ => Ok(()),
        }
    }

    /// Appends what is missing of these epochs. A training that was killed between its checkpoint and the
    /// lines of the epoch never tells that epoch again; its records know it.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn complete(&mut self, records: &[EpochRecord]) -> Result<(), NetworkError> {
        if self.file.is_none() {
            // Not a line is lost: all epochs of the records are done.
            let epochs = records.iter().map(|record| record.epoch).max().unwrap_or(0);
            self.cut(epochs + 1, 0)?;
        }
        let lines = Self::read(self.folder())?;
        let known: BTreeSet<(u64, &str, &str)> = lines
            .iter()
            .filter(|line| line.step.is_none())
            .map(|line| (line.epoch, line.phase.as_str(), line.metric.as_str()))
            .collect();
        let mut missing = Vec::new();
        for record in records {
            for number in numbers_of(record) {
                if !known.contains(&(record.epoch, number.0, number.1)) {
                    missing.push(self.line(record.epoch, None, number));
                }
            }
        }
        self.append(&missing)?;
        self.sync()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn line(
        &self,
        epoch: u64,
        step: Option<u64>,
        (phase, metric, value): (&str, &str, f64),
    ) -> MetricLine {
        MetricLine {
            run: self.run.clone(),
            utc: timestamp(since_1970()),
            epoch,
            step,
            phase: phase.to_owned(),
            metric: metric.to_owned(),
            value: value.is_finite().then_some(value),
        }
    }

    /// Keeps the lines of what is done when `step` steps of `epoch` are.
    fn cut(&mut self, epoch: u64, step: u64) -> Result<(), NetworkError> {
        self.file = None;
        let kept: Vec<MetricLine> = Self::read(self.folder())?
            .into_iter()
            .filter(|line| match line.step {
                Some(own) => (line.epoch, own) <= (epoch, step),
                None => line.epoch < epoch,
            })
            .collect();
        let io = |source| NetworkError::Io { path: self.path.clone(), source };
        write_atomically(&self.path, &text(&kept)?).map_err(io)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path).map_err(io)?);
        Ok(())
    }

    /// Whole lines in one write, so that what is killed leaves a part of the last one at most.
    fn append(&mut self, lines: &[MetricLine]) -> Result<(), NetworkError> {
        if self.file.is_none() {
            self.cut(1, 0)?;
        }
        let text = text(lines)?;
        let io = |source| NetworkError::Io { path: self.path.clone(), source };
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&text).map_err(io))
    }

    /// Epochs are worth waiting for the disk; steps are not.
    fn sync(&self) -> Result<(), NetworkError> {
        let io = |source| NetworkError::Io { path: self.path.clone(), source };
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data().map_err(io))
    }
}

fn text(lines: &[MetricLine]) -> Result<Vec<u8>, NetworkError> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)
            .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
        text.push(b'\n');
    }
    Ok(text)
}
