//! [`StageRecord`]: what became of each source under one command of stages 1 to 4, or under a share of
//! it; its manifest and its failure table follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fvc_corpus::{DecodeCounts, Failure, FailureTable, Manifest};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::plan::StageSelection;
use crate::stages::StagesOutcome;
use crate::{Config, PipelineError, Shard, sealed_record};

/// Version of the record.
const VERSION: u32 = 1;

/// Where a command had its sources from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Basis {
    /// From the whole index with this hash.
    Index(String),
    /// From the share of an index of what was gathered under this hash.
    Gathered(String),
}

/// How a source ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// All that was wanted is there; of a damaged one, from its whole windows.
    Complete {
        damaged: bool,
    },
    Failed(Box<Failure>),
}

/// What became of one source, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fate {
    pub(crate) content_id: ContentId,
    pub(crate) result: Ending,
    pub(crate) decodes: DecodeCounts,
}

/// What one command, or a share of it, did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageRecord {
    stages: StageSelection,
    pub(crate) shard: Shard,
    pub(crate) config: Config,
    pub(crate) basis: Basis,
    pub(crate) fates: Vec<Fate>,
    pub(crate) manifest: Manifest,
    /// Hashes of the records that it was joined from, so that none is counted twice.
    pub(crate) joined: BTreeSet<String>,
}

/// The sum of two counts.
fn add(into: &mut DecodeCounts, other: &DecodeCounts) {
    into.sources += other.sources;
    into.own += other.own;
    into.probes += other.probes;
    for (reason, count) in &other.reasons {
        *into.reasons.entry(reason.clone()).or_insert(0) += count;
    }
}

impl StageRecord {
    /// The record of a command that began with `manifest` over so many inputs.
    pub(crate) fn new(
        stages: StageSelection,
        shard: Shard,
        config: &Config,
        basis: Basis,
        inputs: u64,
        fates: Vec<Fate>,
        mut manifest: Manifest,
    ) -> Result<Self, PipelineError> {
        let mut decodes = DecodeCounts::default();
        for fate in &fates {
            match &fate.result {
                Ending::Complete { .. } => manifest.completed(),
                Ending::Failed(failure) => manifest.failed(&failure.reason),
            }
            add(&mut decodes, &fate.decodes);
        }
        manifest.inputs(inputs);
        manifest.decodes(decodes);
        manifest.finish()?;
        let joined = BTreeSet::new();
        Ok(Self { stages, shard, config: config.clone(), basis, fates, manifest, joined })
    }

    /// The stages that were run.
    pub(crate) fn stages(&self) -> StageSelection {
        self.stages.clone()
    }

    /// Whether all that was wanted of a source is there.
    pub(crate) fn completed(&self, content_id: &ContentId) -> bool {
        self.fate(content_id).is_some_and(|fate| matches!(fate.result, Ending::Complete { .. }))
    }

    /// What became of a source. Fates are in the order of content ids.
    pub(crate) fn fate(&self, content_id: &ContentId) -> Option<&Fate> {
        let at = self.fates.binary_search_by_key(content_id, |fate| fate.content_id).ok()?;
        self.fates.get(at)
    }

    /// Sources that gave no result.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        let failed = self.fates.iter().filter_map(|fate| match &fate.result {
            Ending::Failed(failure) => Some((**failure).clone()),
            Ending::Complete { .. } => None,
        });
        failed.collect()
    }

    /// The fates of several records, each source once: complete if any record says so, with what all
    /// of them cost.
    pub(crate) fn join(records: &[Self]) -> BTreeMap<ContentId, Fate> {
        let mut fates: BTreeMap<ContentId, Fate> = BTreeMap::new();
        for fate in records.iter().flat_map(|record| &record.fates) {
            let Some(known) = fates.get_mut(&fate.content_id) else {
                fates.insert(fate.content_id, fate.clone());
                continue;
            };
            add(&mut known.decodes, &fate.decodes);
            if matches!(fate.result, Ending::Complete { .. }) {
                known.result = fate.result.clone();
            }
        }
        fates
    }

    /// The fates of several passes over each source in one: complete when all are.
    pub(crate) fn sum(fates: BTreeMap<ContentId, Vec<Fate>>) -> Vec<Fate> {
        let sums = fates.into_values().filter_map(|several| {
            let mut several = several.into_iter();
            let mut sum = several.next()?;
            for fate in several {
                add(&mut sum.decodes, &fate.decodes);
                if matches!(sum.result, Ending::Complete { .. }) {
                    sum.result = fate.result;
                }
            }
            Some(sum)
        });
        sums.collect()
    }

    /// Its hash, which names it.
    pub(crate) fn hash(&self) -> Result<String, PipelineError> {
        sealed_record::hash(self)
    }

    /// Writes failure table, manifest and record into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<StagesOutcome, PipelineError> {
        let failures = self.failures();
        FailureTable::from(failures.clone()).save(folder)?;
        self.manifest.save(&folder.join("manifest.json"))?;
        sealed_record::save(&folder.join("record.json"), VERSION, self)?;
        let damaged = self
            .fates
            .iter()
            .filter(|fate| matches!(fate.result, Ending::Complete { damaged: true }))
            .count() as u64;
        Ok(StagesOutcome {
            manifest: self.manifest.clone(),
            failures,
            damaged,
            notes: Vec::new(),
            folder: folder.to_owned(),
        })
    }

    /// Reads the record of a folder; nothing where there is none.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, PipelineError> {
        sealed_record::load(&folder.join("record.json"), VERSION)
    }
}
