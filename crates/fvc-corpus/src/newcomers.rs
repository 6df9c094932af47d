//! [`Split::admit`]: what a split that never changes does with sources that came after it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fvc_media::ContentId;

use crate::groups::DisjointSets;
use crate::{GroupId, GroupTable, Index, NearDuplicate, Part, Split, SplitError};

/// What a source is to a split that was made before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Newcomer {
    /// It shares an origin with sources of two parts. It is kept from both for good: on either side it
    /// would carry what it shares with the other.
    BridgesSplit(Part, Part),
    /// It shares an origin with what is learnt from: no score of it would be of an unseen source.
    MatchesTraining,
    /// It shares an origin with what is sealed: nothing may be learnt from it.
    MatchesSealed,
    /// It is of an origin that the split does not know.
    NewOrigin,
}

impl Newcomer {
    /// Reason code of its row in the failure table of a run.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BridgesSplit(..) => "bridges_split",
            Self::MatchesTraining => "matches_training",
            Self::MatchesSealed => "matches_sealed",
            Self::NewOrigin => "outside_split",
        }
    }

    /// In words, what was found.
    pub fn found(self) -> String {
        match self {
            Self::BridgesSplit(first, second) => {
                format!("it came after the split was made and ties {first} to {second}: in neither")
            }
            Self::MatchesTraining => {
                "it came after the split was made and shows what is learnt from: \
                                      neither learnt from nor evaluated"
                    .to_owned()
            }
            Self::MatchesSealed => "it came after the split was made and shows what is sealed: \
                                    neither learnt from nor evaluated"
                .to_owned(),
            Self::NewOrigin => "none: it came after the split was made".to_owned(),
        }
    }
}

/// Who takes part in a split, and who came too late.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The groups of the split's own sources, as far as these themselves tie them.
    pub groups: GroupTable,
    /// Sources of the index that the split does not know.
    pub newcomers: BTreeMap<ContentId, Newcomer>,
}

impl Split {
    /// Looks at an index that may have grown since the split was made: `index` with its final groups,
    /// `ties` by content, `declared` groups that rows name together, also rows
    /// that are no sources.
    ///
    /// # Errors
    /// The split's own sources turn out to be of one group on two sides: what was thought to be apart
    /// was not, and only a new split can be honest.
    pub fn admit(
        &self,
        index: &Index,
        ties: &[NearDuplicate],
        declared: &[Vec<String>],
    ) -> Result<Admission, SplitError> {
        let known = |content_id: &ContentId| self.members.contains_key(content_id);
        // What ties members to members: their groups then, names that they share now, content.
        let mut pairs: Vec<(ContentId, ContentId)> = ties
            .iter()
            .map(|tie| (tie.first, tie.second))
            .filter(|(first, second)| known(first) && known(second))
            .collect();
        // Names that rows without a source declare to be one are one name.
        let mut names: HashMap<&str, usize> = HashMap::new();
        for name in declared.iter().flatten().map(String::as_str).chain(
            index
                .sources()
                .iter()
                .flat_map(|source| source.declared_groups.iter().map(String::as_str)),
        ) {
            let next = names.len();
            names.entry(name).or_insert(next);
        }
        // What a newcomer's own row says ties the newcomer, and nobody without it.
        let newcomers: Vec<BTreeSet<&str>> = index
            .sources()
            .iter()
            .filter(|source| !known(&source.content_id))
            .map(|source| source.declared_groups.iter().map(String::as_str).collect())
            .collect();
        let of_a_newcomer = |tied: &[String]| {
            newcomers.iter().any(|own| tied.iter().all(|name| own.contains(name.as_str())))
        };
        let mut same = DisjointSets::new(names.len());
        for tied in declared.iter().filter(|tied| !of_a_newcomer(tied)) {
            for pair in tied.windows(2) {
                same.union(names[pair[0].as_str()], names[pair[1].as_str()]);
            }
        }
        let mut first_of_name: HashMap<usize, ContentId> = HashMap::new();
        for source in index.sources().iter().filter(|source| known(&source.content_id)) {
            for name in &source.declared_groups {
                let first = *first_of_name
                    .entry(same.find(names[name.as_str()]))
                    .or_insert(source.content_id);
                pairs.push((first, source.content_id));
            }
        }
        let rows = self.members.iter().map(|(id, (group, _))| (*id, group.clone())).collect();
        let groups = GroupTable::from_rows(rows).joined(pairs);
        self.refuse_groups_on_two_sides(&groups)?;

        let mut parts_of: HashMap<&GroupId, BTreeSet<Part>> = HashMap::new();
        for source in index.sources() {
            if let Some(part) = self.part(&source.content_id) {
                parts_of.entry(&source.group).or_default().insert(part);
            }
        }
        let newcomers = index
            .sources()
            .iter()
            .filter(|source| !known(&source.content_id))
            .map(|source| {
                let mut parts = parts_of.get(&source.group).into_iter().flatten().copied();
                let standing = match (parts.next(), parts.next()) {
                    (Some(first), Some(second)) => Newcomer::BridgesSplit(first, second),
                    (Some(Part::Sealed), None) => Newcomer::MatchesSealed,
                    (Some(Part::Fold(_)), None) => Newcomer::MatchesTraining,
                    (None, _) => Newcomer::NewOrigin,
                };
                (source.content_id, standing)
            })
            .collect();
        Ok(Admission { groups, newcomers })
    }

    fn refuse_groups_on_two_sides(&self, groups: &GroupTable) -> Result<(), SplitError> {
        let mut side: HashMap<&GroupId, Part> = HashMap::new();
        for (content_id, group) in groups.iter() {
            let Some(part) = self.part(content_id) else { continue };
            let first = *side.entry(group).or_insert(part);
            if first != part {
                return Err(SplitError::GroupOnTwoSides {
                    group: group.clone(),
                    first,
                    second: part,
                    content_id: *content_id,
                });
            }
        }
        Ok(())
    }

    /// The sources of the sealed part.
    pub fn sealed(&self) -> Vec<ContentId> {
        self.members
            .iter()
            .filter(|(_, (_, part))| *part == Part::Sealed)
            .map(|(content_id, _)| *content_id)
            .collect()
    }
}
