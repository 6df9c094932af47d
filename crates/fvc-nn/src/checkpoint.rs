//! [`Checkpoint`]: a training as it stands between two steps, in one file.

use std::path::Path;

use fvc_clips::write_atomically;
use serde::{Deserialize, Serialize};

use crate::loss_scale::LossScale;
use crate::trainer::EpochRecord;
use crate::{NetworkError, Weights};

/// Version of the file.
const VERSION: u32 = 1;

/// Where a training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Of the job that is trained; of another one the file is refused.
    pub(crate) job: String,
    /// The epoch that is under way, and how many of its steps are done.
    pub(crate) epoch: u64,
    pub(crate) step: u64,
    /// Steps of all epochs before.
    pub(crate) steps_before: u64,
    pub(crate) loss_scale: LossScale,
    /// Sums of the epoch under way.
    pub(crate) loss_sum: f64,
    pub(crate) weight_sum: f64,
    pub(crate) skipped: u64,
    pub(crate) skipped_in_a_row: u64,
    pub(crate) records: Vec<EpochRecord>,
    pub(crate) best: Option<Best>,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) epoch: u64,
    pub(crate) gain: f64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    progress: Progress,
}

/// A training as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) network: Weights,
    pub(crate) optimizer: Weights,
    pub(crate) best: Option<Weights>,
}

impl Checkpoint {
    /// Writes it, whole or not at all; what stood there before stays until then.
    pub(crate) fn write(&self, path: &Path) -> Result<(), NetworkError> {
        let head = Head { version: VERSION, progress: self.progress.clone() };
        let text = serde_json::to_string(&head)
            .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
        let mut all = Weights::default();
        let parts = [
            ("network", Some(&self.network)),
            ("optimizer", Some(&self.optimizer)),
            ("best", self.best.as_ref()),
        ];
        for (prefix, part) in parts {
            for (name, weight) in part.iter().flat_map(|part| &part.by_name) {
                all.by_name.insert(format!("{prefix}.{name}"), weight.clone());
            }
        }
        let bytes = all.to_safetensors(&text)?;
        write_atomically(path, &bytes)
            .map_err(|source| NetworkError::Io { path: path.to_owned(), source })
    }

    /// The bytes of the file; none where there is none.
    pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, NetworkError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(NetworkError::Io { path: path.to_owned(), source }),
        }
    }

    /// What was written for this job, from the bytes of the file `path`; none where there are none, or
    /// another job's.
    pub(crate) fn of_bytes(
        bytes: &[u8],
        path: &Path,
        job: &str,
    ) -> Result<Option<Self>, NetworkError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let wrong = |found: String| NetworkError::File {
            path: path.to_owned(),
            expected: "a checkpoint of this version; remove it to begin anew".to_owned(),
            found,
        };
        let (all, text) = Weights::from_safetensors(bytes, path)?;
        let text = text.ok_or_else(|| wrong("weights only".to_owned()))?;
        let head: Head = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if head.version != VERSION {
            return Err(wrong(format!("version {}", head.version)));
        }
        if head.progress.job != job {
            return Ok(None);
        }
        let part = |prefix: &str| {
            let mut part = Weights::default();
            for (name, weight) in &all.by_name {
                if let Some(own) = name.strip_prefix(prefix) {
                    part.by_name.insert(own.to_owned(), weight.clone());
                }
            }
            part
        };
        let best = part("best.");
        Ok(Some(Self {
            progress: head.progress,
            network: part("network."),
            optimizer: part("optimizer."),
            best: (!best.by_name.is_empty()).then_some(best),
        }))
    }
}
