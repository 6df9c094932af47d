//! [`Manifest`]: what a command did, in counts that add up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{CorpusError, LabelPolicy, write_atomically};

/// Decodes of a command, and why each was needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodeCounts {
    /// Decodes of sources.
    pub sources: u64,
    /// Decodes of bytes that this program encoded itself.
    pub own: u64,
    /// Looks at a source without a decoder.
    pub probes: u64,
    /// Decodes of sources by why they were needed; they add up to all of them.
    pub reasons: BTreeMap<String, u64>,
}

/// What a command did. Every input is counted once, as completed or as failed with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    command: String,
    program: String,
    config_hash: String,
    started_unix_seconds: u64,
    inputs: u64,
    completed: u64,
    failed: BTreeMap<String, u64>,
    decodes: DecodeCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label_policy: Option<LabelPolicy>,
}

impl Manifest {
    /// The manifest of a command that begins now.
    pub fn begin(command: &str, config_hash: &str) -> Self {
        Self {
            command: command.to_owned(),
            program: concat!("fvc ", env!("CARGO_PKG_VERSION")).to_owned(),
            config_hash: config_hash.to_owned(),
            started_unix_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            inputs: 0,
            completed: 0,
            failed: BTreeMap::new(),
            decodes: DecodeCounts::default(),
            label_policy: None,
        }
    }

    /// How many inputs there are.
    pub fn inputs(&mut self, inputs: u64) {
        self.inputs = inputs;
    }

    /// One input more gave its result.
    pub fn completed(&mut self) {
        self.completed += 1;
    }

    /// One input more failed.
    pub fn failed(&mut self, reason: &str) {
        *self.failed.entry(reason.to_owned()).or_insert(0) += 1;
    }

    /// Decodes, and why each was needed.
    pub fn decodes(&mut self, decodes: DecodeCounts) {
        self.decodes = decodes;
    }

    /// The policy that the labels of the inputs were read under.
    pub fn label_policy(&mut self, policy: Option<LabelPolicy>) {
        self.label_policy = policy;
    }

    /// When the command began, in seconds since 1970.
    pub fn started(&self) -> u64 {
        self.started_unix_seconds
    }

    /// How many inputs gave their result.
    pub fn completed_count(&self) -> u64 {
        self.completed
    }

    /// Failures by reason.
    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failed
    }

    /// Decodes, and why.
    pub fn decode_counts(&self) -> &DecodeCounts {
        &self.decodes
    }

    /// Checks that every input is accounted for.
    ///
    /// # Errors
    /// The counts do not add up.
    pub fn finish(&self) -> Result<(), CorpusError> {
        let failed = self.failed.values().sum();
        let explained: u64 = self.decodes.reasons.values().sum();
        if explained != self.decodes.sources {
            return Err(CorpusError::Decodes {
                command: self.command.clone(),
                decodes: self.decodes.sources,
                explained,
            });
        }
        if self.inputs == self.completed + failed {
            Ok(())
        } else {
            Err(CorpusError::Counts {
                command: self.command.clone(),
                inputs: self.inputs,
                completed: self.completed,
                failed,
            })
        }
    }

    /// Writes the manifest as JSON; one whose counts do not add up is never written.
    ///
    /// # Errors
    /// The counts do not add up, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CorpusError> {
        self.finish()?;
        write_atomically(path, &self.to_json(path)?)
            .map_err(|source| CorpusError::Io { path: path.to_owned(), source })
    }

    /// The bytes that [`Self::save`] writes to `path`.
    ///
    /// # Errors
    /// The manifest cannot be written as JSON.
    pub fn to_json(&self, path: &Path) -> Result<Vec<u8>, CorpusError> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| CorpusError::Io { path: path.to_owned(), source: error.into() })
    }
}
