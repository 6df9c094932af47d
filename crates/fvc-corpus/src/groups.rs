//! [`GroupTable`]: which sources share an origin.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

/// The name of a group: a connected component of sources that share an origin.
///
/// Derived from the smallest content id of the component, so that it does not depend on the order
/// of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// A group of this name, as read from a table.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The group whose smallest content id this is.
    fn of_component(smallest: &ContentId) -> Self {
        // 32 of the 64 digits: two groups with one name would need a 128-bit collision.
        Self::new(&format!("g{}", &smallest.to_hex()[..32]))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What ties one source to others: the groups that were declared for it.
///
/// A source without a declared group is a group of its own (a missing value is never an edge: in
/// the earlier system all null groups became one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEvidence {
    /// The source.
    pub content_id: ContentId,
    /// Declared group names; two sources with a common name share an origin.
    pub declared: Vec<String>,
}

/// The group of every source, with the hash that names this grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTable {
    groups: BTreeMap<ContentId, GroupId>,
    hash: String,
}

/// Version of the way groups are computed; part of [`GroupTable::hash`].
pub const GROUPING_VERSION: u32 = 1;

impl GroupTable {
    /// Connected components over content ids and declared groups (union-find).
    ///
    /// The same content id given several times is one source with all its declared groups.
    pub fn build(evidence: &[GroupEvidence]) -> Self {
        Self::build_with_ties(evidence, &[])
    }

    /// As [`Self::build`], with groups that are further known to be one: each of `ties` holds names
    /// that were declared together for something that is no source itself. A file that is gone or
    /// does not decode still says that what it was a copy of and what was a copy of it belong
    /// together.
    pub fn build_with_ties(evidence: &[GroupEvidence], ties: &[Vec<String>]) -> Self {
        let mut position: HashMap<ContentId, usize> = HashMap::new();
        let mut members: Vec<ContentId> = Vec::new();
        for item in evidence {
            position.entry(item.content_id).or_insert_with(|| {
                members.push(item.content_id);
                members.len() - 1
            });
        }
        // Ties stand behind the sources: members of the components, and of no group.
        let mut sets = DisjointSets::new(members.len() + ties.len());
        let mut first_of_name: HashMap<&str, usize> = HashMap::new();
        let named = evidence
            .iter()
            .filter_map(|item| Some((*position.get(&item.content_id)?, &item.declared)))
            .chain(ties.iter().enumerate().map(|(at, names)| (members.len() + at, names)));
        for (own, names) in named {
            for name in names {
                match first_of_name.get(name.as_str()) {
                    Some(&other) => sets.union(own, other),
                    None => {
                        first_of_name.insert(name, own);
                    }
                }
            }
        }
        let mut smallest: HashMap<usize, ContentId> = HashMap::new();
        for (index, &content_id) in members.iter().enumerate() {
            let root = sets.find(index);
            smallest
                .entry(root)
                .and_modify(|known| *known = (*known).min(content_id))
                .or_insert(content_id);
        }
        let names: HashMap<usize, GroupId> = smallest
            .into_iter()
            .map(|(root, content_id)| (root, GroupId::of_component(&content_id)))
            .collect();
        let mut groups = BTreeMap::new();
        for (index, &content_id) in members.iter().enumerate() {
            if let Some(name) = names.get(&sets.find(index)) {
                groups.insert(content_id, name.clone());
            }
        }
        Self::from_rows(groups)
    }

    /// A table that was computed before, as read from disk.
    pub fn from_rows(groups: BTreeMap<ContentId, GroupId>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&GROUPING_VERSION.to_le_bytes());
        for (content_id, group) in &groups {
            hasher.update(content_id.as_bytes());
            hasher.update(group.as_str().as_bytes());
            hasher.update(b"\n");
        }
        let hash = hasher.finalize().to_hex().to_string();
        Self { groups, hash }
    }

    /// The same sources, with the groups of each pair joined. Pairs of which one is no source of the
    /// table tie nothing.
    #[must_use]
    pub fn joined(&self, pairs: impl IntoIterator<Item = (ContentId, ContentId)>) -> Self {
        let members: Vec<(&ContentId, &GroupId)> = self.groups.iter().collect();
        let position: HashMap<&ContentId, usize> =
            members.iter().enumerate().map(|(at, (content_id, _))| (*content_id, at)).collect();
        let mut sets = DisjointSets::new(members.len());
        let mut first_of_group: HashMap<&GroupId, usize> = HashMap::new();
        for (at, (_, group)) in members.iter().enumerate() {
            sets.union(at, *first_of_group.entry(group).or_insert(at));
        }
        for (first, second) in pairs {
            if let (Some(&first), Some(&second)) = (position.get(&first), position.get(&second)) {
                sets.union(first, second);
            }
        }
        // In order of content ids: the first of a component names it.
        let mut names: HashMap<usize, GroupId> = HashMap::new();
        let mut groups = BTreeMap::new();
        for (at, (content_id, _)) in members.iter().enumerate() {
            let name =
                names.entry(sets.find(at)).or_insert_with(|| GroupId::of_component(content_id));
            groups.insert(**content_id, name.clone());
        }
        Self::from_rows(groups)
    }

    /// The group of a source.
    pub fn group(&self, content_id: &ContentId) -> Option<&GroupId> {
        self.groups.get(content_id)
    }

    /// Every source with its group, by content id.
    pub fn iter(&self) -> impl Iterator<Item = (&ContentId, &GroupId)> {
        self.groups.iter()
    }

    /// How many sources there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.values().collect::<std::collections::HashSet<_>>().len()
    }

    /// BLAKE3 over the version and all rows, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Union-find with path halving and union by size.
pub(crate) struct DisjointSets {
    parent: Vec<usize>,
    size: Vec<usize>,
}

impl DisjointSets {
    pub(crate) fn new(count: usize) -> Self {
        Self { parent: (0..count).collect(), size: vec![1; count] }
    }

    pub(crate) fn find(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    pub(crate) fn union(&mut self, left: usize, right: usize) {
        let (mut large, mut small) = (self.find(left), self.find(right));
        if large == small {
            return;
        }
        if self.size[large] < self.size[small] {
            std::mem::swap(&mut large, &mut small);
        }
        self.parent[small] = large;
        self.size[large] += self.size[small];
    }
}
