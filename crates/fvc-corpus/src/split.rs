//! [`Split`]: which group is learnt from, which is scored, which stays sealed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::index::named;
use crate::{GroupId, GroupTable, Label};

/// Version of the split file and of the way it is planned.
pub const SPLIT_VERSION: u32 = 1;

/// The largest split file that is read, in bytes: about two million sources.
const MAX_SPLIT_FILE: u64 = 512 << 20;

/// The most outer folds of a split.
pub const MAX_FOLDS: u32 = 1000;

/// How many orders planning tries; the most even result is taken.
const ATTEMPTS: u64 = 16;

/// Where the sources of a group stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Scored once, by the chosen model only.
    Sealed,
    /// Outer fold, from 0.
    Fold(u32),
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed => formatter.write_str("sealed"),
            Self::Fold(fold) => write!(formatter, "fold_{fold}"),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "sealed" {
            return Ok(Self::Sealed);
        }
        text.strip_prefix("fold_")
            .and_then(|number| number.parse().ok())
            .filter(|fold| *fold < MAX_FOLDS)
            .map(Self::Fold)
            .ok_or_else(|| {
                let found: String = text.chars().take(80).collect();
                format!("expected sealed or fold_N, N from 0 to {}, found {found:?}", MAX_FOLDS - 1)
            })
    }
}

impl Serialize for Part {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a split is planned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitConfig {
    /// Number of outer folds, 2 to [`MAX_FOLDS`].
    pub folds: u32,
    /// Share of the sources of each class to seal, 0 (none: grouped cross-validation only) to 0.5.
    pub test_fraction: f64,
    /// Seed of the order in which groups are dealt.
    pub seed: u64,
}

/// Why a split could not be made, read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Some fold would lack a class.
    #[error(
        "Cannot make {folds} folds{sealed}: every part needs both classes, and {real_groups} \
         groups hold real sources, {fake_groups} hold fake ones, of {groups} groups; {}",
        match .largest { Some(k) => format!("the largest number of folds that works is {k}"), None => "no number of folds works".to_owned() }
    )]
    MissingClass {
        /// Number of folds asked for.
        folds: u32,
        /// Text saying that a sealed part was asked for too, or empty.
        sealed: String,
        /// Number of groups.
        groups: usize,
        /// Groups with at least one real source.
        real_groups: usize,
        /// Groups with at least one fake source.
        fake_groups: usize,
        /// The largest number of folds that would work.
        largest: Option<u32>,
    },
    /// A setting outside its range.
    #[error("Split setting {name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A source without a label.
    #[error("Source {content_id} has a group but no label")]
    NoLabel {
        /// The source.
        content_id: ContentId,
    },
    /// An assignment that puts one group on two sides.
    #[error(
        "Group {group} would stand in {first} and in {second} (source {content_id}): sources that share an origin cannot be split"
    )]
    GroupOnTwoSides {
        /// The group.
        group: GroupId,
        /// One part.
        first: Part,
        /// Another part.
        second: Part,
        /// The source that stands in the second.
        content_id: ContentId,
    },
    /// An imported split that says nothing of a source or names one that is not there.
    #[error("Split file {path}: {problem}")]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A fold number that the split does not have.
    #[error("No fold {found} in this split, which has {folds}")]
    NoSuchFold {
        /// What was asked for.
        found: u32,
        /// Number of folds.
        folds: u32,
    },
    /// The split seals nothing.
    #[error("This split has no sealed test: it was made with a test fraction of 0")]
    NothingSealed,
    /// An opening that was recorded for another split.
    #[error("The opening was recorded for split {found}, this is {expected}")]
    WrongOpening {
        /// The hash of this split.
        expected: String,
        /// The hash in the ledger's record.
        found: String,
    },
    /// The file cannot be read or written.
    #[error("Split file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a split, or was changed.
    #[error("Split file {path}: expected {expected}, found {found}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// One source of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    content_id: ContentId,
    group: GroupId,
    part: Part,
}

/// The split as it stands on disk.
#[derive(Serialize, Deserialize)]
struct SplitFile {
    version: u32,
    config: SplitConfig,
    origin: String,
    groups_hash: String,
    hash: String,
    members: Vec<Member>,
}

/// Which group is learnt from, which is scored, which stays sealed. The only maker of
/// [`crate::TrainView`] and [`crate::EvalView`]; it never changes once made.
///
/// Parts are dealt by group: groups in an order drawn from the seed, the most unequal first, each
/// to the part that keeps the class shares of all parts most alike (the greedy rule of
/// scikit-learn's `StratifiedGroupKFold`), of those that leave enough groups to give every part both
/// classes. A plan is refused when none exists, and never repaired by moving a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    config: SplitConfig,
    origin: String,
    groups_hash: String,
    hash: String,
    pub(crate) members: BTreeMap<ContentId, (GroupId, Part)>,
}

/// A group with how many of its sources are real and fake.
#[derive(Clone, Debug)]
pub(crate) struct GroupCounts {
    pub(crate) group: GroupId,
    pub(crate) counts: [usize; 2],
}

impl Split {
    /// Deals the groups of `groups` to a sealed part and `config.folds` folds.
    ///
    /// # Errors
    /// A source has no label; a setting is out of range; some part would lack a class (the error
    /// names the largest number of folds that works).
    pub fn plan(
        groups: &GroupTable,
        labels: &BTreeMap<ContentId, Label>,
        config: &SplitConfig,
    ) -> Result<Self, SplitError> {
        check_config(config)?;
        let counted = count_groups(groups, labels)?;
        let parts = deal(&counted, config)?;
        let members = groups
            .iter()
            .filter_map(|(content_id, group)| {
                parts.get(group).map(|&part| (*content_id, (group.clone(), part)))
            })
            .collect();
        Ok(Self::finish(*config, "planned".to_owned(), groups.hash().to_owned(), members))
    }

    /// Takes over an official split: what part each source stands in, by content id. Sources that
    /// the official split calls training (or validation) without a fold number are given as
    /// [`None`] and dealt to `config.folds` folds by group.
    ///
    /// # Errors
    /// A group would stand on two sides; a source of `groups` has no assignment; some part would
    /// lack a class; there is one fold only, or more than [`MAX_FOLDS`].
    pub fn import(
        groups: &GroupTable,
        labels: &BTreeMap<ContentId, Label>,
        assignment: &BTreeMap<ContentId, Option<Part>>,
        config: &SplitConfig,
        path: &Path,
    ) -> Result<Self, SplitError> {
        check_config(config)?;
        let problem = |problem: String| SplitError::Import { path: path.to_owned(), problem };
        let absent: Vec<String> = groups
            .iter()
            .filter(|(content_id, _)| !assignment.contains_key(content_id))
            .map(|(content_id, _)| content_id.to_string())
            .collect();
        if !absent.is_empty() {
            return Err(problem(format!(
                "no row for {} of {} sources",
                named(&absent),
                groups.len()
            )));
        }
        let mut fixed: BTreeMap<GroupId, (Option<Part>, ContentId)> = BTreeMap::new();
        for (content_id, group) in groups.iter() {
            let Some(&part) = assignment.get(content_id) else { continue };
            match fixed.get(group) {
                None => {
                    fixed.insert(group.clone(), (part, *content_id));
                }
                Some(&(known, first)) if known != part => {
                    // A source that is merely "training" has no fold of its own yet; it still
                    // may not share a group with a sealed one.
                    let name = |part: Option<Part>| {
                        part.map_or_else(|| "training".to_owned(), |part| part.to_string())
                    };
                    return Err(problem(format!(
                        "group {group} would stand in {} (source {first}) and in {} (source \
                         {content_id}): sources that share an origin cannot be split",
                        name(known),
                        name(part)
                    )));
                }
                Some(_) => {}
            }
        }
        if let Some(unknown) = assignment.keys().find(|id| groups.group(id).is_none()) {
            return Err(problem(format!("source {unknown} is not in the index")));
        }
        let counted = count_groups(groups, labels)?;
        let (open, dealt): (Vec<_>, Vec<_>) = counted
            .iter()
            .cloned()
            .partition(|counts| matches!(fixed.get(&counts.group), Some((None, _))));
        let mut parts: HashMap<GroupId, Part> = dealt
            .iter()
            .filter_map(|counts| {
                fixed
                    .get(&counts.group)
                    .and_then(|(part, _)| *part)
                    .map(|part| (counts.group.clone(), part))
            })
            .collect();
        let folds_given = parts.values().any(|part| matches!(part, Part::Fold(_)));
        if folds_given && !open.is_empty() {
            return Err(problem(
                "some training sources have a fold number and some have none".to_owned(),
            ));
        }
        let mut config = *config;
        let sealed = counted
            .iter()
            .filter(|counts| parts.get(&counts.group) == Some(&Part::Sealed))
            .map(|counts| counts.counts[0] + counts.counts[1])
            .sum::<usize>();
        config.test_fraction = sealed as f64 / groups.len().max(1) as f64;
        if folds_given {
            let last = parts.values().filter_map(|part| match part {
                Part::Fold(fold) => Some(*fold),
                Part::Sealed => None,
            });
            let last = last.max().unwrap_or(0);
            // Outside of one fold alone there is nothing to learn from.
            if !(1..MAX_FOLDS).contains(&last) {
                return Err(problem(format!(
                    "expected 2 to {MAX_FOLDS} folds, fold_0 and on, found fold_{last} as the last"
                )));
            }
            config.folds = last + 1;
        } else {
            let folds = deal_folds(&open, config.folds, config.seed)
                .ok_or_else(|| missing_class(&open, config.folds, 0, ""))?;
            for (counts, fold) in open.iter().zip(folds) {
                parts.insert(counts.group.clone(), Part::Fold(fold));
            }
        }
        for part in (0..config.folds).map(Part::Fold).chain((sealed > 0).then_some(Part::Sealed)) {
            let mut held = [0_usize; 2];
            for counts in &counted {
                if parts.get(&counts.group) == Some(&part) {
                    held[0] += counts.counts[0];
                    held[1] += counts.counts[1];
                }
            }
            for label in Label::ALL {
                if held[label.index()] == 0 {
                    return Err(problem(format!("{part} has no {label} source")));
                }
            }
        }
        let members = groups
            .iter()
            .filter_map(|(content_id, group)| {
                parts.get(group).map(|&part| (*content_id, (group.clone(), part)))
            })
            .collect();
        Ok(Self::finish(config, "imported".to_owned(), groups.hash().to_owned(), members))
    }

    fn finish(
        config: SplitConfig,
        origin: String,
        groups_hash: String,
        members: BTreeMap<ContentId, (GroupId, Part)>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&SPLIT_VERSION.to_le_bytes());
        hasher.update(&config.folds.to_le_bytes());
        for (content_id, (group, part)) in &members {
            hasher.update(content_id.as_bytes());
            hasher.update(group.as_str().as_bytes());
            hasher.update(b"\n");
            hasher.update(part.to_string().as_bytes());
            hasher.update(b"\n");
        }
        let hash = hasher.finalize().to_hex().to_string();
        Self { config, origin, groups_hash, hash, members }
    }

    /// Writes the split as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SplitError> {
        let file = SplitFile {
            version: SPLIT_VERSION,
            config: self.config,
            origin: self.origin.clone(),
            groups_hash: self.groups_hash.clone(),
            hash: self.hash.clone(),
            members: self
                .members
                .iter()
                .map(|(&content_id, (group, part))| Member {
                    content_id,
                    group: group.clone(),
                    part: *part,
                })
                .collect(),
        };
        let io = |source| SplitError::Io { path: path.to_owned(), source };
        let bytes = serde_json::to_vec_pretty(&file).map_err(|error| io(error.into()))?;
        crate::write_atomically(path, &bytes).map_err(io)
    }

    /// Reads a split and checks its hash, and that no group stands on two sides.
    ///
    /// # Errors
    /// The file cannot be read, is too large, is no split, or was changed since it was written.
    pub fn load(path: &Path) -> Result<Self, SplitError> {
        let io = |source| SplitError::Io { path: path.to_owned(), source };
        let corrupt = |expected: &str, found: String| SplitError::Corrupt {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(io)?
            .take(MAX_SPLIT_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        if bytes.len() as u64 > MAX_SPLIT_FILE {
            return Err(corrupt("at most 512 MiB", "a larger file".to_owned()));
        }
        let file: SplitFile = serde_json::from_slice(&bytes)
            .map_err(|error| corrupt("a split as JSON", error.to_string()))?;
        if file.version != SPLIT_VERSION {
            return Err(corrupt(
                &format!("version {SPLIT_VERSION}"),
                format!("version {}", file.version),
            ));
        }
        check_config(&file.config)
            .map_err(|error| corrupt("settings that a split can have", error.to_string()))?;
        let rows = file.members.len();
        let mut members = BTreeMap::new();
        let mut side: HashMap<GroupId, Part> = HashMap::new();
        for Member { content_id, group, part } in file.members {
            if let Part::Fold(fold) = part
                && fold >= file.config.folds
            {
                return Err(corrupt("fold numbers below the number of folds", part.to_string()));
            }
            let first = *side.entry(group.clone()).or_insert(part);
            if first != part {
                return Err(SplitError::GroupOnTwoSides { group, first, second: part, content_id });
            }
            members.insert(content_id, (group, part));
        }
        if members.len() != rows {
            return Err(corrupt("every source once", "a source that stands twice".to_owned()));
        }
        let split = Self::finish(file.config, file.origin, file.groups_hash, members);
        if split.hash != file.hash {
            return Err(corrupt(&format!("hash {}", split.hash), format!("hash {}", file.hash)));
        }
        Ok(split)
    }

    /// BLAKE3 over every source's group and part, in hexadecimal: the name under which openings of
    /// the sealed part are counted.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The hash of the group table that the split was made from.
    pub fn groups_hash(&self) -> &str {
        &self.groups_hash
    }

    /// How it was planned.
    pub fn config(&self) -> &SplitConfig {
        &self.config
    }

    /// `planned` or `imported`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of outer folds.
    pub fn folds(&self) -> u32 {
        self.config.folds
    }

    /// Whether a part is sealed.
    pub fn has_sealed(&self) -> bool {
        self.members.values().any(|(_, part)| *part == Part::Sealed)
    }

    /// The part of a source.
    pub fn part(&self, content_id: &ContentId) -> Option<Part> {
        self.members.get(content_id).map(|(_, part)| *part)
    }

    /// Every source with its group and part.
    pub fn iter(&self) -> impl Iterator<Item = (&ContentId, &GroupId, Part)> {
        self.members.iter().map(|(content_id, (group, part))| (content_id, group, *part))
    }
}

fn check_config(config: &SplitConfig) -> Result<(), SplitError> {
    if !(2..=MAX_FOLDS).contains(&config.folds) {
        return Err(SplitError::Setting {
            name: "folds",
            expected: "2 to 1000",
            found: config.folds.to_string(),
        });
    }
    if !(0.0..=0.5).contains(&config.test_fraction) {
        return Err(SplitError::Setting {
            name: "test fraction",
            expected: "0 to 0.5",
            found: config.test_fraction.to_string(),
        });
    }
    Ok(())
}

fn count_groups(
    groups: &GroupTable,
    labels: &BTreeMap<ContentId, Label>,
) -> Result<Vec<GroupCounts>, SplitError> {
    let mut counted: BTreeMap<GroupId, [usize; 2]> = BTreeMap::new();
    for (content_id, group) in groups.iter() {
        let label =
            labels.get(content_id).ok_or(SplitError::NoLabel { content_id: *content_id })?;
        counted.entry(group.clone()).or_default()[label.index()] += 1;
    }
    Ok(counted.into_iter().map(|(group, counts)| GroupCounts { group, counts }).collect())
}

/// Groups by the classes that they hold.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    both: usize,
    real: usize,
    fake: usize,
}

impl Holding {
    fn of(counted: &[GroupCounts]) -> Self {
        let mut holding = Self::default();
        for counts in counted {
            *holding.slot(counts.counts) += 1;
        }
        holding
    }

    fn slot(&mut self, counts: [usize; 2]) -> &mut usize {
        match counts {
            [0, _] => &mut self.fake,
            [_, 0] => &mut self.real,
            _ => &mut self.both,
        }
    }

    fn without(mut self, counts: [usize; 2]) -> Self {
        *self.slot(counts) -= 1;
        self
    }

    /// The most parts with both classes that these groups can be dealt to: a group of both makes
    /// one alone, the others make one by twos. So many are the groups of the rarer class.
    fn parts(self) -> usize {
        self.both + self.real.min(self.fake)
    }

    /// Whether these groups can give every part what it lacks: `lacking.both` parts lack both
    /// classes, `lacking.real` only a real source, `lacking.fake` only a fake one.
    fn can_fill(self, lacking: Self) -> bool {
        // What groups of one class cannot give must come from groups of both; one of them fills
        // two gaps at once where they are gaps of one part.
        let real = (lacking.real + lacking.both).saturating_sub(self.real);
        let fake = (lacking.fake + lacking.both).saturating_sub(self.fake);
        real + fake - lacking.both.min(real).min(fake) <= self.both
    }

    /// Whether these groups can give a sealed part what it lacks and fill `folds` folds with the
    /// rest, to which `kept` already belong.
    fn can_seal(self, lacks: [bool; 2], kept: Self, folds: usize) -> bool {
        let with = |both: usize, real: usize, fake: usize| {
            Some(Self {
                both: (self.both + kept.both).checked_sub(both).filter(|_| self.both >= both)?,
                real: (self.real + kept.real).checked_sub(real).filter(|_| self.real >= real)?,
                fake: (self.fake + kept.fake).checked_sub(fake).filter(|_| self.fake >= fake)?,
            })
        };
        let [real, fake] = lacks.map(usize::from);
        // By groups of one class, or by a single group of both.
        [with(0, real, fake), with(real.max(fake), 0, 0)]
            .into_iter()
            .flatten()
            .any(|rest| rest.parts() >= folds)
    }
}

/// The part of every group.
fn deal(
    counted: &[GroupCounts],
    config: &SplitConfig,
) -> Result<HashMap<GroupId, Part>, SplitError> {
    let SplitConfig { folds, test_fraction, seed } = *config;
    if test_fraction == 0.0 {
        let dealt =
            deal_folds(counted, folds, seed).ok_or_else(|| missing_class(counted, folds, 0, ""))?;
        return Ok(counted
            .iter()
            .zip(dealt)
            .map(|(counts, fold)| (counts.group.clone(), Part::Fold(fold)))
            .collect());
    }
    // The sealed part first, over several orders: the one nearest to the wanted share of each
    // class, of those whose rest can be dealt to the folds.
    let total = class_totals(counted);
    let mut best: Option<(f64, HashMap<GroupId, Part>)> = None;
    for attempt in 0..ATTEMPTS {
        let Some((away, sealed)) = seal(counted, config, total, attempt) else { break };
        if best.as_ref().is_some_and(|(known, _)| away >= *known) {
            continue;
        }
        let rest: Vec<GroupCounts> = counted
            .iter()
            .zip(&sealed)
            .filter(|(_, sealed)| !**sealed)
            .map(|(counts, _)| counts.clone())
            .collect();
        let Some(dealt) = deal_folds(&rest, folds, seed) else { break };
        let mut parts: HashMap<GroupId, Part> = rest
            .iter()
            .zip(dealt)
            .map(|(counts, fold)| (counts.group.clone(), Part::Fold(fold)))
            .collect();
        for (counts, _) in counted.iter().zip(&sealed).filter(|(_, sealed)| **sealed) {
            parts.insert(counts.group.clone(), Part::Sealed);
        }
        best = Some((away, parts));
    }
    best.map(|(_, parts)| parts).ok_or_else(|| {
        let sealed = format!(" and a sealed test of {:.0} %", 100.0 * test_fraction);
        missing_class(counted, folds, 1, &sealed)
    })
}

/// Which groups are sealed, and how far their shares of the classes are from the wanted one;
/// nothing when no choice leaves both classes to the sealed part and to every fold.
fn seal(
    counted: &[GroupCounts],
    config: &SplitConfig,
    total: [usize; 2],
    attempt: u64,
) -> Option<(f64, Vec<bool>)> {
    let folds = usize::try_from(config.folds).ok()?;
    let distance = |held: [usize; 2]| -> f64 {
        (0..2)
            .map(|class| {
                let wanted = config.test_fraction * total[class] as f64;
                (held[class] as f64 - wanted).abs() / (total[class].max(1) as f64)
            })
            .sum()
    };
    let mut left = Holding::of(counted);
    let mut kept = Holding::default();
    let mut held = [0_usize; 2];
    let mut sealed = vec![false; counted.len()];
    for at in order(counted, config.seed, attempt, "sealed") {
        let counts = counted[at].counts;
        left = left.without(counts);
        let with = [held[0] + counts[0], held[1] + counts[1]];
        let mut kept_too = kept;
        *kept_too.slot(counts) += 1;
        let can_seal = left.can_seal(with.map(|held| held == 0), kept, folds);
        let can_keep = left.can_seal(held.map(|held| held == 0), kept_too, folds);
        match (can_seal, can_keep) {
            (false, false) => return None,
            (true, keep) if !keep || distance(with) < distance(held) => {
                held = with;
                sealed[at] = true;
            }
            _ => kept = kept_too,
        }
    }
    Some((distance(held), sealed))
}

fn class_totals(counted: &[GroupCounts]) -> [usize; 2] {
    counted
        .iter()
        .fold([0, 0], |sum, counts| [sum[0] + counts.counts[0], sum[1] + counts.counts[1]])
}

/// `sealed_parts` is 1 where a sealed part needs both classes too, which `sealed` says in words.
pub(crate) fn missing_class(
    counted: &[GroupCounts],
    folds: u32,
    sealed_parts: usize,
    sealed: &str,
) -> SplitError {
    let holding = Holding::of(counted);
    let largest = u32::try_from(holding.parts().saturating_sub(sealed_parts)).unwrap_or(u32::MAX);
    SplitError::MissingClass {
        folds,
        sealed: sealed.to_owned(),
        groups: counted.len(),
        real_groups: holding.both + holding.real,
        fake_groups: holding.both + holding.fake,
        largest: (largest >= 2).then_some(largest),
    }
}

/// The order in which groups are dealt: drawn from the seed, then the most unequal in classes and
/// the largest first, since those are the hardest to place.
fn order(counted: &[GroupCounts], seed: u64, attempt: u64, purpose: &str) -> Vec<usize> {
    let mut keyed: Vec<([u8; 32], usize)> = counted
        .iter()
        .enumerate()
        .map(|(at, counts)| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes());
            hasher.update(&attempt.to_le_bytes());
            hasher.update(purpose.as_bytes());
            hasher.update(counts.group.as_str().as_bytes());
            (*hasher.finalize().as_bytes(), at)
        })
        .collect();
    keyed.sort_unstable();
    let mut order: Vec<usize> = keyed.into_iter().map(|(_, at)| at).collect();
    order.sort_by_key(|&at| {
        let [real, fake] = counted[at].counts;
        std::cmp::Reverse((real.abs_diff(fake), real + fake))
    });
    order
}

/// Deals groups to `folds` folds so that each holds both classes; the fold of every group, or
/// nothing when that cannot be done.
pub(crate) fn deal_folds(counted: &[GroupCounts], folds: u32, seed: u64) -> Option<Vec<u32>> {
    let fold_count = usize::try_from(folds).ok()?;
    let total = class_totals(counted);
    if fold_count < 2 || Holding::of(counted).parts() < fold_count {
        return None;
    }
    let share = |counts: [usize; 2]| {
        [counts[0] as f64 / total[0] as f64, counts[1] as f64 / total[1] as f64]
    };
    let mut best: Option<(f64, Vec<u32>)> = None;
    for attempt in 0..ATTEMPTS {
        let mut held = vec![[0_usize; 2]; fold_count];
        let mut dealt = vec![0_u32; counted.len()];
        let mut left = Holding::of(counted);
        let mut lacking = Holding { both: fold_count, ..Holding::default() };
        for at in order(counted, seed, attempt, "folds") {
            let counts = counted[at].counts;
            let own = share(counts);
            left = left.without(counts);
            // The sum over folds of squared shares grows least where the group's classes are
            // still rare: the same choice as the least spread of shares between folds. What is
            // left must be able to give every fold what it lacks; some fold always allows that.
            let mut chosen = None;
            let mut chosen_cost = f64::INFINITY;
            for (fold, inside) in held.iter().enumerate() {
                let before = share(*inside);
                let cost =
                    own[0] * (2.0 * before[0] + own[0]) + own[1] * (2.0 * before[1] + own[1]);
                let lacking = lacking_after(lacking, *inside, counts);
                if cost < chosen_cost && left.can_fill(lacking) {
                    chosen = Some((fold, lacking));
                    chosen_cost = cost;
                }
            }
            let (fold, lacking_then) = chosen?;
            lacking = lacking_then;
            held[fold][0] += counts[0];
            held[fold][1] += counts[1];
            dealt[at] = u32::try_from(fold).ok()?;
        }
        let unevenness: f64 = held
            .iter()
            .map(|counts| share(*counts).iter().map(|part| part * part).sum::<f64>())
            .sum();
        if best.as_ref().is_none_or(|(known, _)| unevenness < *known) {
            best = Some((unevenness, dealt));
        }
    }
    best.map(|(_, dealt)| dealt)
}

/// What folds lack once a group of `counts` is put into one that holds `inside`.
fn lacking_after(mut lacking: Holding, inside: [usize; 2], counts: [usize; 2]) -> Holding {
    let mut change = |held: [usize; 2], by: isize| {
        let slot = match held.map(|count| count > 0) {
            [false, false] => &mut lacking.both,
            [false, true] => &mut lacking.real,
            [true, false] => &mut lacking.fake,
            [true, true] => return,
        };
        *slot = slot.saturating_add_signed(by);
    };
    change(inside, -1);
    change([inside[0] + counts[0], inside[1] + counts[1]], 1);
    lacking
}
