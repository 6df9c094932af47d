//! [`Joining`]: what other workspaces have computed of their sources, taken over with every file that
//! it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fvc_clips::ClipStore;
use fvc_corpus::copy_atomically;
use fvc_media::ContentId;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::progress::Part;
use crate::stages::Environment;
use crate::unit::Flaw;
use crate::{Output, PipelineError, Unit, UnitState, Workspace};

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

/// A file that is to be copied: the output that names it, its path from the root, and which of the
/// others has it as it was recorded.
struct Missing {
    output: String,
    relative: PathBuf,
    from: usize,
}

/// What several workspaces hold of their sources, checked and not yet joined: what there will be can
/// be asked before anything is written.
pub(crate) struct Joining<'a> {
    into: &'a Workspace,
    others: &'a [Workspace],
    store: ClipStore,
    /// Sources of which another has something that this one has not, with the files to copy.
    new: BTreeMap<ContentId, Vec<Missing>>,
}

impl<'a> Joining<'a> {
    /// Checks all that is to be joined, and writes nothing: that no two workspaces say different
    /// things of a source, and that every file to be copied is somewhere as its record says.
    ///
    /// # Errors
    /// It is not so, or a record is damaged.
    pub(crate) fn plan(
        environment: &Environment<'a>,
        others: &'a [Workspace],
    ) -> Result<Self, PipelineError> {
        let into = environment.workspace;
        let store = ClipStore::open(&into.clips())?;
        let mut joining = Self { into, others, store, new: BTreeMap::new() };
        // What this one has of sources that no other names is nobody's concern here.
        let mut ids = BTreeSet::new();
        let mut stores = Vec::with_capacity(others.len());
        for other in others {
            ids.extend(unit_ids(other)?);
            stores.push(ClipStore::open(&other.clips())?);
        }
        if ids.is_empty() {
            return Ok(joining);
        }
        let part = Part::begin(environment.progress, "records", ids.len() as u64);
        let new: Vec<Result<Option<_>, PipelineError>> = environment.threads()?.install(|| {
            ids.into_par_iter()
                .map(|id| {
                    environment.stop_if_cancelled()?;
                    let missing = joining.missing(&stores, &id)?;
                    part.advance(1);
                    Ok(missing.map(|missing| (id, missing)))
                })
                .collect()
        });
        drop(part);
        for new in new {
            joining.new.extend(new?);
        }
        Ok(joining)
    }

    /// The files that must be copied for a source; nothing where no other has anything new of it.
    fn missing(
        &self,
        stores: &[ClipStore],
        id: &ContentId,
    ) -> Result<Option<Vec<Missing>>, PipelineError> {
        let Held { own, others, both } = self.held(id)?;
        let Some(both) = both.filter(|both| own.as_ref() != Some(both)) else { return Ok(None) };
        let mut missing = Vec::new();
        for (name, output) in &both.outputs {
            let Some(relative) = output.file() else { continue };
            let mut holders =
                others.iter().filter(|(_, unit)| unit.outputs.contains_key(name)).peekable();
            if holders.peek().is_none() || output.check(self.into, &self.store).is_ok() {
                continue;
            }
            let mut flaw = None;
            let whole =
                holders.find(|(at, _)| match output.check(&self.others[*at], &stores[*at]) {
                    Ok(()) => true,
                    Err(found) => {
                        flaw.get_or_insert((*at, found));
                        false
                    }
                });
            match (whole, flaw) {
                (Some(&(from, _)), _) => {
                    missing.push(Missing { output: name.clone(), relative, from });
                }
                (None, Some((at, found))) => {
                    return Err(self.not_as_recorded(at, id, name, &relative, &found));
                }
                (None, None) => {}
            }
        }
        Ok(Some(missing))
    }

    /// The error of a file that is not as the record of one of the others says.
    fn not_as_recorded(
        &self,
        from: usize,
        id: &ContentId,
        name: &str,
        relative: &Path,
        found: &Flaw,
    ) -> PipelineError {
        let from = &self.others[from];
        PipelineError::Corrupt {
            path: from.root().join(relative),
            expected: format!(
                "{name} as {} names it (`fvc verify --repair` makes it again)",
                from.unit(id).display()
            ),
            found: found.to_string(),
        }
    }

    /// All records of a source, and what they say together: each is held against all before it, so
    /// that no two that contradict one another pass because a third is silent.
    fn held(&self, id: &ContentId) -> Result<Held, PipelineError> {
        let own = load(self.into, id)?;
        let mut both = own.clone();
        let mut others = Vec::new();
        for (at, workspace) in self.others.iter().enumerate() {
            let Some(other) = load(workspace, id)? else { continue };
            match &both {
                None => both = Some(other.clone()),
                Some(known) => {
                    if let Some(more) = joined(workspace, known, &other)? {
                        both = Some(more);
                    }
                }
            }
            others.push((at, other));
        }
        Ok(Held { own, others, both })
    }

    /// The record that there will be of a source.
    pub(crate) fn state(&self, id: &ContentId) -> Result<UnitState, PipelineError> {
        if self.new.contains_key(id)
            && let Some(both) = self.held(id)?.both
        {
            return Ok(UnitState::Whole(Box::new(both)));
        }
        Unit::load(&self.into.unit(id), id)
    }

    /// Whether an output of a source will be there as it is recorded.
    pub(crate) fn has(&self, id: &ContentId, output: &Output) -> bool {
        let file = output.file();
        let comes = self.new.get(id).is_some_and(|missing| {
            missing.iter().any(|missing| Some(&missing.relative) == file.as_ref())
        });
        comes || output.check(self.into, &self.store).is_ok()
    }

    /// Takes over what the others have: of every source first the files that are named, then the
    /// record that names them, so that a record never names what is not there.
    ///
    /// # Errors
    /// Something changed since it was checked, or cannot be read or written.
    pub(crate) fn carry_out(
        self,
        environment: &Environment<'_>,
    ) -> Result<UnitsJoined, PipelineError> {
        let mut done = UnitsJoined::default();
        if self.new.is_empty() {
            return Ok(done);
        }
        let part = Part::begin(environment.progress, "records to take over", self.new.len() as u64);
        for (id, missing) in &self.new {
            environment.stop_if_cancelled()?;
            let Some(both) = self.held(id)?.both else { continue };
            for Missing { output: name, relative, from } in missing {
                let source = self.others[*from].root().join(relative);
                let target = self.into.root().join(relative);
                copy_atomically(&source, &target)
                    .map_err(|source| PipelineError::Io { path: target.clone(), source })?;
                let checked = match both.outputs.get(name) {
                    Some(output) => output.check(self.into, &self.store),
                    None => Err(Flaw::Missing),
                };
                checked.map_err(|flaw| self.not_as_recorded(*from, id, name, relative, &flaw))?;
                done.files += 1;
            }
            both.save(&self.into.unit(id))?;
            done.units += 1;
            part.advance(1);
        }
        drop(part);
        Ok(done)
    }
}

/// The records of one source.
struct Held {
    own: Option<Unit>,
    others: Vec<(usize, Unit)>,
    /// What they say together.
    both: Option<Unit>,
}
