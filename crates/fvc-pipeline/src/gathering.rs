//! [`Gathering`]: all that was gathered for an index and what a look at each file found, in shares
//! that become one whole again.

use std::collections::BTreeMap;
use std::path::Path;

use fvc_corpus::{Candidate, Failure, Gathered, Index, LabelPolicy, Manifest};
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::{Config, PipelineError, Shard, Workspace, sealed_record};

/// Version of the records here.
const VERSION: u32 = 1;

/// What became of one row of what was gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// A row that could not be used as it stood.
    Refused(Failure),
    /// A file that could not be used when it was looked at.
    Failed(Failure),
    /// A file that holds a video.
    Video(Box<Candidate>, ContentId, u64),
}

/// One row of what was gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its place in the whole, from 0.
    pub(crate) position: u64,
    pub(crate) found: Found,
}

/// What one `fvc index` gathered, and a share of what it found there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gathering {
    /// BLAKE3 of all that was gathered, before anything was looked at: shares with the same one are
    /// parts of one whole.
    pub(crate) hash: String,
    pub(crate) shard: Shard,
    pub(crate) config: Config,
    pub(crate) policy: Option<LabelPolicy>,
    /// Rows of the whole.
    pub(crate) inputs: u64,
    /// Files of other kinds in the whole.
    pub(crate) ignored: u64,
    /// Ties of the whole: of every row, also of those of other shares.
    pub(crate) ties: Vec<Vec<String>>,
    /// Files that were probed for this share.
    pub(crate) probes: u64,
    /// The share's rows, in the order of the whole.
    pub(crate) rows: Vec<Row>,
}

/// What an index, or a share of one, is made from; it stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndexRecord {
    pub(crate) gatherings: Vec<Gathering>,
    pub(crate) manifest: Manifest,
}

/// An index that was put together, and what could not be used.
pub(crate) struct Built {
    pub(crate) index: Index,
    pub(crate) failures: Vec<Failure>,
}

/// BLAKE3 of everything that was gathered.
pub(crate) fn gathered_hash(
    gathered: &Gathered,
    policy: Option<LabelPolicy>,
) -> Result<String, PipelineError> {
    let Gathered { candidates, failures, inputs, ties, ignored } = gathered;
    sealed_record::hash(&(candidates, failures, inputs, ties, ignored, policy))
}

impl Gathering {
    /// The whole that complete shares of one gathering make.
    ///
    /// # Errors
    /// A row is missing, or there twice.
    pub(crate) fn whole(shares: Vec<Self>) -> Result<Self, PipelineError> {
        let mut shares = shares.into_iter();
        let Some(mut whole) = shares.next() else {
            return Err(PipelineError::Internal { what: "no share of an index".to_owned() });
        };
        for share in shares {
            whole.rows.extend(share.rows);
            whole.probes += share.probes;
        }
        whole.shard = Shard::WHOLE;
        whole.rows.sort_by_key(|row| row.position);
        let in_place =
            whole.rows.iter().enumerate().all(|(place, row)| row.position == place as u64);
        if !in_place || whole.rows.len() as u64 != whole.inputs {
            return Err(PipelineError::Internal {
                what: format!("{} rows in the shares of {} inputs", whole.rows.len(), whole.inputs),
            });
        }
        Ok(whole)
    }
}

/// The index of these gatherings, one after the other, as if they had been gathered at once. This is
/// where groups are computed, over everything that any of them declares.
///
/// # Errors
/// They were read under different label policies, or one path had different bytes in two of them.
pub(crate) fn build(gatherings: &[Gathering]) -> Result<Built, PipelineError> {
    let mut identified = Vec::new();
    let (mut failures, mut failed) = (Vec::new(), Vec::new());
    let mut ties = Vec::new();
    let mut policy = None;
    let mut seen: BTreeMap<&Path, &ContentId> = BTreeMap::new();
    for (at, gathering) in gatherings.iter().enumerate() {
        if at > 0 && gathering.policy != policy {
            let shown = |policy: Option<LabelPolicy>| {
                policy.map_or_else(|| "none".to_owned(), |policy| policy.to_string())
            };
            return Err(PipelineError::Conflict {
                what: "the label policy of what is to be one index".to_owned(),
                expected: shown(policy),
                found: shown(gathering.policy),
            });
        }
        policy = gathering.policy;
        ties.extend(gathering.ties.iter().cloned());
        for row in &gathering.rows {
            match &row.found {
                Found::Refused(failure) => failures.push(failure.clone()),
                Found::Failed(failure) => failed.push(failure.clone()),
                Found::Video(candidate, content_id, bytes) => {
                    if let Some(known) = seen.insert(&candidate.path, content_id)
                        && known != content_id
                    {
                        return Err(PipelineError::Conflict {
                            what: format!("the bytes of {}", candidate.path.display()),
                            expected: format!("content id {known}"),
                            found: format!("{content_id}: it changed in between; index it again"),
                        });
                    }
                    identified.push(((**candidate).clone(), *content_id, *bytes));
                }
            }
        }
    }
    ties.sort_unstable();
    let (index, refused) = Index::build(identified, &ties);
    failures.extend(failed);
    failures.extend(refused);
    Ok(Built { index: index.with_label_policy(policy), failures })
}

impl IndexRecord {
    /// The record of a workspace's whole index; nothing where there is none.
    pub(crate) fn of_index(workspace: &Workspace) -> Result<Option<Self>, PipelineError> {
        Self::load(&workspace.index())
    }

    /// The record in a folder; nothing where there is none.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, PipelineError> {
        sealed_record::load(&folder.join("gathered.json"), VERSION)
    }

    /// Writes the record into a folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), PipelineError> {
        sealed_record::save(&folder.join("gathered.json"), VERSION, self)
    }
}
