//! [`join_units`]: what other workspaces have computed of their sources, taken over with every file
//! that it names.

use std::fs;
use std::path::{Path, PathBuf};

use fvc_clips::ClipStore;
use fvc_corpus::copy_atomically;
use fvc_media::ContentId;

use crate::stages::Environment;
use crate::{PipelineError, Unit, UnitState, Workspace};

/// What was taken over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnitsJoined {
    /// Sources of which there was something new.
    pub(crate) units: u64,
    /// Files that were copied.
    pub(crate) files: u64,
}

/// Every content id that the names of the records of a workspace give, in order; other files are left
/// out.
pub(crate) fn unit_ids(workspace: &Workspace) -> Result<Vec<ContentId>, PipelineError> {
    let root = workspace.root().join("units");
    let mut ids = Vec::new();
    for folder in list(&root)? {
        for path in list(&folder)? {
            let id = path
                .file_stem()
                .filter(|_| path.extension().is_some_and(|extension| extension == "json"))
                .and_then(|stem| stem.to_str()?.parse::<ContentId>().ok());
            if let Some(id) = id.filter(|id| workspace.unit(id) == path) {
                ids.push(id);
            }
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// What is in a folder, by name; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let io = |source| PipelineError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn load(workspace: &Workspace, id: &ContentId) -> Result<Option<Unit>, PipelineError> {
    let path = workspace.unit(id);
    match Unit::load(&path, id)? {
        UnitState::None => Ok(None),
        UnitState::Whole(unit) => Ok(Some(*unit)),
        UnitState::Damaged(found) => Err(PipelineError::Corrupt {
            path,
            expected: "a whole record (`fvc verify --repair` makes it again)".to_owned(),
            found,
        }),
    }
}

/// Own and other record in one: all outputs and passes of both. Nothing where the other has nothing
/// new.
fn joined(workspace: &Workspace, own: &Unit, other: &Unit) -> Result<Option<Unit>, PipelineError> {
    let content_id = other.content_id;
    let conflict = |what: &str, own: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
        // Values may be long; their beginnings tell which is which.
        let short = |value: &dyn std::fmt::Debug| -> String {
            format!("{value:?}").chars().take(200).collect()
        };
        Err(PipelineError::Conflict {
            what: format!(
                "{what} of source {} in {}",
                content_id,
                workspace.unit(&content_id).display()
            ),
            expected: short(own),
            found: short(other),
        })
    };
    if own.facts != other.facts {
        return conflict("the facts", &own.facts, &other.facts);
    }
    if own.verdict != other.verdict {
        return conflict("the verdict", &own.verdict, &other.verdict);
    }
    let mut both = own.clone();
    for (name, output) in &other.outputs {
        match both.outputs.get(name) {
            None => drop(both.outputs.insert(name.clone(), output.clone())),
            Some(known) if known == output => {}
            Some(known) => return conflict(&format!("output {name}"), known, output),
        }
    }
    for (&variant, draw) in &other.draws {
        both.draws.entry(variant).or_insert_with(|| draw.clone());
    }
    for pass in &other.passes {
        if !both.passes.contains(pass) {
            both.passes.push(pass.clone());
        }
    }
    Ok((both != *own).then_some(both))
}

/// Checks that no two workspaces say different things of a source, before anything is copied.
///
/// # Errors
/// They do, or a record is damaged.
pub(crate) fn check_units(
    environment: &Environment<'_>,
    others: &[Workspace],
) -> Result<(), PipelineError> {
    let mut known: std::collections::BTreeMap<ContentId, usize> = std::collections::BTreeMap::new();
    let all: Vec<&Workspace> = std::iter::once(environment.workspace).chain(others).collect();
    for (at, workspace) in all.iter().enumerate() {
        // What this one has of sources that no other names is nobody's concern here.
        for id in unit_ids(workspace)? {
            environment.stop_if_cancelled()?;
            let Some(&first) = known.get(&id) else {
                known.insert(id, at);
                continue;
            };
            if let (Some(own), Some(other)) = (load(all[first], &id)?, load(workspace, &id)?) {
                joined(workspace, &own, &other)?;
            }
        }
    }
    Ok(())
}

/// Takes over what the others have: first the files that are named, then the record that names them,
/// so that a record never names what is not there.
///
/// # Errors
/// A file is not as its record says, workspaces say different things of a source, or something cannot
/// be read or written.
pub(crate) fn join_units(
    environment: &Environment<'_>,
    others: &[Workspace],
) -> Result<UnitsJoined, PipelineError> {
    let into = environment.workspace;
    let store = ClipStore::open(&into.clips())?;
    let mut done = UnitsJoined::default();
    for from in others {
        let ids = unit_ids(from)?;
        environment.progress.begin(&from.root().display().to_string(), ids.len() as u64);
        for id in ids {
            environment.stop_if_cancelled()?;
            environment.progress.advance(1);
            let Some(other) = load(from, &id)? else { continue };
            let both = match load(into, &id)? {
                None => other.clone(),
                Some(own) => match joined(from, &own, &other)? {
                    None => continue,
                    Some(both) => both,
                },
            };
            for (name, output) in &other.outputs {
                let Some(relative) = output.file() else { continue };
                if output.check(into, &store).is_ok() {
                    continue;
                }
                let bad = |path: PathBuf, found: String| PipelineError::Corrupt {
                    path,
                    expected: format!(
                        "{name} as {} names it (`fvc verify --repair` makes it again)",
                        from.unit(&id).display()
                    ),
                    found,
                };
                let (source, target) = (from.root().join(&relative), into.root().join(&relative));
                let theirs = ClipStore::open(&from.clips())?;
                output
                    .check(from, &theirs)
                    .map_err(|flaw| bad(source.clone(), flaw.to_string()))?;
                copy_atomically(&source, &target)
                    .map_err(|source| PipelineError::Io { path: target.clone(), source })?;
                output.check(into, &store).map_err(|flaw| bad(target, flaw.to_string()))?;
                done.files += 1;
            }
            both.save(&into.unit(&id))?;
            done.units += 1;
        }
        environment.progress.end();
    }
    Ok(done)
}
