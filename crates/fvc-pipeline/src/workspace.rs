//! [`Workspace`]: where everything that a corpus gives rise to is kept.

use std::fs;
use std::path::{Path, PathBuf};

use fvc_corpus::write_atomically;
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::{PipelineError, Shard};

/// Version of the folder's layout.
const LAYOUT_VERSION: u32 = 1;

/// The folder of the clip store.
pub(crate) const CLIPS: &str = "clips";

/// The mark that a folder is a workspace.
#[derive(Serialize, Deserialize)]
struct Mark {
    layout_version: u32,
}

/// A folder with everything that one corpus gives rise to:
///
/// ```text
/// workspace.json            the mark, with the version of this layout
/// media.sqlite              media cache: identities, facts, frame indices, verdicts, positions
/// ledger.sqlite             openings of sealed tests, append-only
/// index/                    sources, groups, failures, manifest, and what they were made from
/// units/<2 hex>/<id>.json   what has been computed of each source, with hashes
/// fingerprints/             what each source looks like over time
/// groups/                   which sources show the same footage, and where
/// clips/                    clip store: scaled frames
/// variants/                 draws.jsonl: every variant's kind and parameters; MP4s with --materialise
/// scaled/                   MP4s of scaled frames, with --materialise
/// features/                 stage2.parquet, forensic.parquet, stage4.parquet, facts.parquet, each with the settings it depends on
/// locks/                    empty files that processes at work hold locks on
/// stages/<stage>/           failures, manifest and record of the last run of each stage
/// stages/<stage>/shard-I-of-N/  the same of one share, until `fvc merge`
/// splits/                   splits; none ever changes, --replan-split puts another beside it
/// runs/<experiment>/run_…/  runs of stage 5
/// ```
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Opens the workspace in `root`, or makes one in a folder that is empty or not there.
    ///
    /// # Errors
    /// The folder holds other things, has another layout version, or cannot be written.
    pub fn open_or_create(root: &Path) -> Result<Self, PipelineError> {
        let mark = root.join("workspace.json");
        if !mark.exists() {
            let occupied = match fs::read_dir(root) {
                // What a killed first command left under a temporary name is ours.
                Ok(entries) => entries.flatten().any(|entry| {
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    !(name.starts_with(".workspace.json.") && name.ends_with(".tmp"))
                }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
                Err(source) => return Err(PipelineError::Io { path: root.to_owned(), source }),
            };
            // Another process may have made the workspace, and begun to fill it, since.
            if occupied && !mark.exists() {
                return Err(PipelineError::Corrupt {
                    path: root.to_owned(),
                    expected: "a workspace (with its workspace.json), an empty folder or none"
                        .to_owned(),
                    found: "a folder with other things in it".to_owned(),
                });
            }
            let bytes = serde_json::to_vec_pretty(&Mark { layout_version: LAYOUT_VERSION })
                .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
            write_atomically(&mark, &bytes)
                .map_err(|source| PipelineError::Io { path: mark.clone(), source })?;
        }
        Self::open(root)
    }

    /// Opens the workspace in `root`.
    ///
    /// # Errors
    /// There is none, or it has another layout version.
    pub fn open(root: &Path) -> Result<Self, PipelineError> {
        let mark = root.join("workspace.json");
        let bytes = match fs::read(&mark) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(PipelineError::NotReady {
                    missing: format!("No workspace in {}", root.display()),
                    instead: "run `fvc index` first, or name another --workspace".to_owned(),
                });
            }
            Err(source) => return Err(PipelineError::Io { path: mark, source }),
        };
        let found: Mark =
            serde_json::from_slice(&bytes).map_err(|error| PipelineError::Corrupt {
                path: mark.clone(),
                expected: format!(
                    "the mark of a workspace (where it alone was damaged, {{\"layout_version\":\
                     {LAYOUT_VERSION}}} is what stood there)"
                ),
                found: error.to_string(),
            })?;
        if found.layout_version != LAYOUT_VERSION {
            return Err(PipelineError::Corrupt {
                path: mark,
                expected: format!("layout version {LAYOUT_VERSION}"),
                found: format!("layout version {}", found.layout_version),
            });
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Removes the workspace where nothing was put into it yet, and with `and_folder` its folder.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove_unused(&self, and_folder: bool) -> Result<(), PipelineError> {
        let io = |source| PipelineError::Io { path: self.root.clone(), source };
        let (mark, locks) = (self.root.join("workspace.json"), self.root.join("locks"));
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path != mark && path != locks {
                return Ok(());
            }
        }
        if locks.exists() {
            fs::remove_dir_all(&locks).map_err(io)?;
        }
        fs::remove_file(&mark).map_err(io)?;
        if and_folder { fs::remove_dir(&self.root).map_err(io) } else { Ok(()) }
    }

    /// Whether anything can be written here.
    pub fn is_writable(&self) -> bool {
        let probe = self.root.join(format!(".fvc-writable.{}", std::process::id()));
        let made = fs::write(&probe, b"").is_ok();
        if made {
            // It is empty and hidden; if it stays, nobody reads it.
            drop(fs::remove_file(&probe));
        }
        made
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The media cache.
    pub fn media_cache(&self) -> PathBuf {
        self.root.join("media.sqlite")
    }

    /// Trainings of networks that are under way.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// The ledger of sealed openings.
    pub fn ledger(&self) -> PathBuf {
        self.root.join("ledger.sqlite")
    }

    /// The index.
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// The record of what has been computed of one source.
    pub fn unit(&self, content_id: &ContentId) -> PathBuf {
        let name = content_id.to_hex();
        self.root.join("units").join(&name[..2]).join(format!("{name}.json"))
    }

    /// Held by whoever works on that record.
    pub fn unit_lock(&self, content_id: &ContentId) -> PathBuf {
        let name = content_id.to_hex();
        self.root.join("locks").join(&name[..2]).join(name)
    }

    /// Held by whoever writes the index, and shared by whoever works from it.
    pub fn index_lock(&self) -> PathBuf {
        self.root.join("locks").join("index")
    }

    /// Held by whoever plans a split.
    pub fn splits_lock(&self) -> PathBuf {
        self.root.join("locks").join("splits")
    }

    /// Held by whoever looks for near-duplicates.
    pub fn groups_lock(&self) -> PathBuf {
        self.root.join("locks").join("groups")
    }

    /// Held by whoever writes or reads the feature tables.
    pub fn tables_lock(&self) -> PathBuf {
        self.root.join("locks").join("tables")
    }

    /// The clip store.
    pub fn clips(&self) -> PathBuf {
        self.root.join(CLIPS)
    }

    /// Materialised variants.
    pub fn variants(&self) -> PathBuf {
        self.root.join("variants")
    }

    /// Which sources show the same footage.
    pub fn near_duplicates(&self) -> PathBuf {
        self.root.join("groups").join("near_duplicates.json")
    }

    /// Feature tables.
    pub fn features(&self) -> PathBuf {
        self.root.join("features")
    }

    /// Failures and manifest of the last run of a stage.
    pub fn stage(&self, name: &str) -> PathBuf {
        self.root.join("stages").join(name)
    }

    /// What one share of a stage did.
    pub fn shard(&self, name: &str, shard: Shard) -> PathBuf {
        self.stage(name).join(shard.folder())
    }

    /// Splits.
    pub fn splits(&self) -> PathBuf {
        self.root.join("splits")
    }

    /// The root of run folders.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
}

/// The shares whose records stand in the folder of a stage, by number of shares and number.
pub(crate) fn list_shards(stage: &Path) -> Result<Vec<Shard>, PipelineError> {
    let io = |source| PipelineError::Io { path: stage.to_owned(), source };
    let entries = match fs::read_dir(stage) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut shards = Vec::new();
    for entry in entries {
        shards.extend(Shard::of_folder(&entry.map_err(io)?.file_name().to_string_lossy()));
    }
    shards.sort_unstable();
    Ok(shards)
}

/// Removes the records of shares from the folder of a stage.
pub(crate) fn remove_shards(stage: &Path) -> Result<(), PipelineError> {
    for shard in list_shards(stage)? {
        let path = stage.join(shard.folder());
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(PipelineError::Io { path, source: error });
            }
            _ => {}
        }
    }
    Ok(())
}
