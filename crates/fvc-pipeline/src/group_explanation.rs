//! [`explain_group`]: what holds a group together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fvc_corpus::{GroupId, Label, NearDuplicate};
use fvc_media::ContentId;
use serde::Serialize;

use crate::PipelineError;
use crate::grouping::{Evidence, group_sources, read_grouping};
use crate::lock::Lock;
use crate::stages::Environment;

/// Digits by which a group or a source may be named for short.
const SHORTEST: usize = 4;

/// A group with all that ties its sources.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupExplanation {
    /// The group.
    pub group: GroupId,
    /// Its sources, by content id.
    pub sources: Vec<ExplainedSource>,
    /// Sources of the index.
    pub of: usize,
    /// Names that were declared for several of them, as `column=value`, with these.
    pub declared: BTreeMap<String, Vec<ContentId>>,
    /// Pairs that show the same footage, and where.
    pub near_duplicates: Vec<NearDuplicate>,
    /// Sources of the group that no declared name and no content tie to the rest: rows of files that
    /// could not be used named them together with others.
    pub by_unusable_rows: Vec<ContentId>,
    /// Sources of the group without a whole fingerprint: what they show is not known yet.
    pub not_compared: Vec<ContentId>,
    /// Sources of the group that show too little for too short a time to be compared.
    pub not_comparable: Vec<ContentId>,
}

/// A source of an explained group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedSource {
    /// BLAKE3 of its bytes.
    pub content_id: ContentId,
    /// What it is said to be.
    pub label: Label,
    /// Where it is.
    pub path: PathBuf,
}

/// Explains the group with this name, or of the source with this content id (four digits of either
/// are enough where they name one group) or path.
///
/// # Errors
/// There is no index, or nothing or several groups in it have that name.
pub fn explain_group(
    environment: &Environment<'_>,
    name: &str,
) -> Result<GroupExplanation, PipelineError> {
    let (_lock, grouping) = if environment.workspace.is_writable() {
        let lock = Lock::shared(&environment.workspace.index_lock(), &environment.cancel)?;
        (lock, group_sources(environment)?)
    } else {
        (Lock::to_read_index(environment)?, read_grouping(environment.workspace)?)
    };
    let index = &grouping.index;
    let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    let found: BTreeSet<&GroupId> = index
        .sources()
        .iter()
        .filter(|source| {
            let short = name.len() >= SHORTEST;
            let begins = |whole: &str| short && whole.starts_with(name);
            begins(source.group.as_str())
                || begins(&source.content_id.to_hex())
                || source.path == path
                || source.path.as_os_str() == name
        })
        .map(|source| &source.group)
        .collect();
    let group = match (found.len(), found.first()) {
        (1, Some(group)) => (*group).clone(),
        (count, _) => {
            let found = match count {
                0 => "nothing of that name in the index".to_owned(),
                count => format!("{count} groups that begin so"),
            };
            return Err(PipelineError::Config {
                path: None,
                problem: format!(
                    "--explain-group: expected a group, a content id (at least {SHORTEST} digits) or \
                     the path of a source, found {found}: {name:?}"
                ),
            });
        }
    };
    let Evidence { members, declared, near_duplicates, by_unusable_rows } =
        grouping.evidence(&group);
    let not_compared = members
        .iter()
        .map(|source| source.content_id)
        .filter(|content_id| !grouping.fingerprinted.contains(content_id))
        .collect();
    let not_comparable = members
        .iter()
        .map(|source| source.content_id)
        .filter(|content_id| grouping.not_comparable.contains(content_id))
        .collect();
    Ok(GroupExplanation {
        group,
        sources: members
            .into_iter()
            .map(|source| ExplainedSource {
                content_id: source.content_id,
                label: source.label,
                path: source.path.clone(),
            })
            .collect(),
        of: index.sources().len(),
        declared: declared.into_iter().map(|(name, of)| (name.to_owned(), of)).collect(),
        near_duplicates: near_duplicates.into_iter().cloned().collect(),
        by_unusable_rows,
        not_compared,
        not_comparable,
    })
}
