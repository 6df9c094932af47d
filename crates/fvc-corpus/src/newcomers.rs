//! [`Split::admit`]: what a split that never changes does with sources that came after it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fvc_media::ContentId;

use crate::groups::DisjointSets;
use crate::{GroupId, GroupTable, Index, NearDuplicate, Part, Source, Split, SplitError};

/// What a source is to a split that was made before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Newcomer {
    /// It shares an origin with sources of two parts. It is kept from both for good: on either side it
    /// would carry what it shares with the other.
    BridgesSplit(Part, Part),
    /// It shares an origin only with sources that came after the split too, of which some tie these two
    /// parts to one another: which of them it carries something of is not known.
    JoinedByBridge(Part, Part),
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
            Self::JoinedByBridge(..) => "joined_by_bridge",
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
            Self::JoinedByBridge(first, second) => format!(
                "it came after the split was made and shares an origin with others of these that tie \
                 {first} to {second}: in neither"
            ),
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

        let newcomers = self.standings(index, ties, |source| {
            let own = source.declared_groups.iter();
            own.map(|name| same.find(names[name.as_str()])).collect()
        });
        Ok(Admission { groups, newcomers })
    }

    /// What each source is that the split does not know. `names` gives the classes of names that are one
    /// without newcomers.
    ///
    /// What a newcomer itself shares with members tells most; one that shares with members of several
    /// parts is a bridge, and says nothing of those that it joins. Then what others say with which it
    /// shares an origin and which are no bridges: together they may be one.
    fn standings(
        &self,
        index: &Index,
        ties: &[NearDuplicate],
        mut names: impl FnMut(&Source) -> Vec<usize>,
    ) -> BTreeMap<ContentId, Newcomer> {
        let mut place: HashMap<ContentId, usize> = HashMap::new();
        let mut parts_of: HashMap<usize, BTreeSet<Part>> = HashMap::new();
        let mut parts_of_group: HashMap<&GroupId, BTreeSet<Part>> = HashMap::new();
        let mut newcomers: Vec<(&Source, Vec<usize>)> = Vec::new();
        for source in index.sources() {
            let own = names(source);
            if let Some(part) = self.part(&source.content_id) {
                parts_of_group.entry(&source.group).or_default().insert(part);
                for name in own {
                    parts_of.entry(name).or_default().insert(part);
                }
            } else {
                place.insert(source.content_id, newcomers.len());
                newcomers.push((source, own));
            }
        }
        let mut direct: Vec<BTreeSet<Part>> = newcomers
            .iter()
            .map(|(_, own)| own.iter().filter_map(|name| parts_of.get(name)).flatten().copied())
            .map(Iterator::collect)
            .collect();
        for tie in ties {
            for (one, other) in [(tie.first, tie.second), (tie.second, tie.first)] {
                if let (Some(&at), Some(part)) = (place.get(&one), self.part(&other)) {
                    direct[at].insert(part);
                }
            }
        }
        let mut together = DisjointSets::new(newcomers.len());
        let mut first_of_name: HashMap<usize, usize> = HashMap::new();
        let bridges: Vec<bool> = direct.iter().map(|parts| parts.len() > 1).collect();
        for (at, (_, own)) in newcomers.iter().enumerate().filter(|(at, _)| !bridges[*at]) {
            for &name in own {
                together.union(*first_of_name.entry(name).or_insert(at), at);
            }
        }
        for tie in ties {
            if let (Some(&one), Some(&other)) = (place.get(&tie.first), place.get(&tie.second))
                && !bridges[one]
                && !bridges[other]
            {
                together.union(one, other);
            }
        }
        let mut reached: HashMap<usize, BTreeSet<Part>> = HashMap::new();
        for (at, parts) in direct.iter().enumerate().filter(|(at, _)| !bridges[*at]) {
            reached.entry(together.find(at)).or_default().extend(parts);
        }
        let mut standings = BTreeMap::new();
        for (at, (source, _)) in newcomers.iter().enumerate() {
            let parts = if bridges[at] {
                std::mem::take(&mut direct[at])
            } else {
                reached.get(&together.find(at)).cloned().unwrap_or_default()
            };
            let of_group = parts_of_group.get(&source.group).into_iter().flatten().copied();
            let of_group: Vec<Part> = of_group.collect();
            let mut own = parts.into_iter();
            let standing = match (own.next(), own.next(), of_group.as_slice()) {
                (Some(first), Some(second), _) => Newcomer::BridgesSplit(first, second),
                (None, _, [first, second, ..]) => Newcomer::JoinedByBridge(*first, *second),
                (Some(Part::Sealed), None, _) | (None, _, [Part::Sealed]) => {
                    Newcomer::MatchesSealed
                }
                (Some(Part::Fold(_)), None, _) | (None, _, [Part::Fold(_)]) => {
                    Newcomer::MatchesTraining
                }
                (None, _, []) => Newcomer::NewOrigin,
            };
            standings.insert(source.content_id, standing);
        }
        standings
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
