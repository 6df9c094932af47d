//! [`HashedSources`] and [`LikelyCopies`]: which sources show the same footage.
//!
//! Copies that were encoded again, scaled, stretched, given bars, mirrored, cropped by up to a tenth at
//! each border, captioned, toned, slowed or sped up by up to 5 %, or cut are found by what they show:
//!
//! 1. *candidates*: regions of two samples a second are hashed by the signs of their DCT coefficients
//!    (a perceptual hash), mirrored too; hashes that agree in 20 bits meet in one of 24 tables
//!    (locality-sensitive hashing, Indyk and Motwani 1998). Never all pairs.
//! 2. *alignment* (`alignment.rs`): from a pair of samples that met, both sources are followed in time
//!    while they show the same.
//!
//! Two sources are tied when 2 seconds of informative frames (not flat, not black, not frozen) are the
//! same; the tie keeps where, and how sure.

mod alignment;
mod appearance;
mod candidates;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use fvc_media::ContentId;
use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator,
};
use serde::{Deserialize, Serialize};

use crate::Fingerprint;
use alignment::{Stretch, View, stretch_around};
pub(crate) use appearance::local_deviation;
use candidates::{Entry, Hasher, Seed, TABLES, seeds_of_table};

/// Seconds of informative frames that two sources must share.
pub const SHARED_SECONDS: f64 = 2.0;

/// Version of what ties two sources.
pub const NEAR_DUPLICATE_VERSION: u32 = 1;

/// Meetings with one delay that make a pair worth following.
const MEETINGS: usize = 3;

/// Places of a pair of sources from which they are followed.
const PLACES_FOLLOWED: usize = 24;

/// Two sources that show the same footage, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearDuplicate {
    /// The one with the smaller content id.
    pub first: ContentId,
    /// The other.
    pub second: ContentId,
    /// Whether one is mirrored.
    pub mirrored: bool,
    /// The longest common stretch in the first source, in milliseconds from its first frame.
    pub first_from: u32,
    /// Its end.
    pub first_to: u32,
    /// The same in the second source.
    pub second_from: u32,
    /// Its end.
    pub second_to: u32,
    /// Milliseconds of the stretch that are informative and the same on both sides.
    pub shared: u32,
    /// Mean correlation of these samples' local contrast, up to 1.
    pub similarity: f32,
}

/// Two sources by number, whether one is mirrored, and what they share.
type Tie = ((u32, u32), bool, Stretch);

/// What sources show, hashed: the first step of the search. Each fingerprint was looked at once, and
/// none is kept.
#[derive(Debug)]
pub struct HashedSources {
    sources: Vec<ContentId>,
    entries: Vec<Entry>,
}

impl HashedSources {
    /// Hashes every source of which `load` gives a fingerprint; what it gives nothing of takes no part.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn of<E: Send>(
        sources: &[ContentId],
        load: &(dyn Fn(&ContentId) -> Result<Option<Fingerprint>, E> + Sync),
    ) -> Result<Self, E> {
        let mut sources = sources.to_vec();
        sources.sort_unstable();
        sources.dedup();
        let hasher = Hasher::new();
        let entries: Vec<Vec<Entry>> = sources
            .par_iter()
            .enumerate()
            .map(|(at, source)| {
                let mut entries = Vec::new();
                if let Some(fingerprint) = load(source)? {
                    hasher.entries(at as u32, &fingerprint, &mut entries);
                }
                Ok(entries)
            })
            .collect::<Result<_, E>>()?;
        Ok(Self { sources, entries: entries.into_iter().flatten().collect() })
    }

    /// Tables in which hashes meet.
    pub const TABLES: u32 = TABLES;

    /// The pairs of sources whose hashes meet often enough to be compared. `go_on` is asked before each
    /// of [`Self::TABLES`] tables, and ends the search by an error.
    ///
    /// # Errors
    /// Those of `go_on`.
    pub fn likely_copies<E>(self, go_on: &dyn Fn() -> Result<(), E>) -> Result<LikelyCopies, E> {
        let Self { sources, entries } = self;
        let mut seeds: Vec<Seed> = Vec::new();
        for table in 0..TABLES {
            go_on()?;
            seeds.extend(seeds_of_table(table, &entries));
        }
        drop(entries);
        seeds.sort_unstable();
        let mut from = 0;
        let mut pairs = Vec::new();
        for met in seeds.chunk_by(|left, right| left.pair() == right.pair()) {
            // One meeting in one table is what chance gives strangers.
            if met.len() > 1 {
                pairs.push(from..from + met.len());
            }
            from += met.len();
        }
        Ok(LikelyCopies { sources, seeds, pairs })
    }
}

/// Pairs of sources that are worth a comparison: the second step of the search.
#[derive(Debug)]
pub struct LikelyCopies {
    sources: Vec<ContentId>,
    seeds: Vec<Seed>,
    /// Where the seeds of each pair stand, in their order.
    pairs: Vec<Range<usize>>,
}

impl LikelyCopies {
    /// How many pairs there are; one that may be mirrored or not counts twice.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Compares all pairs and gives the ties, ordered by their two content ids. `load` gives the
    /// fingerprint of a source, again, so that not all are in memory; `compared` is told of each pair.
    /// Equal for every order of sources and any number of threads.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn ties<E: Send>(
        &self,
        load: &(dyn Fn(&ContentId) -> Result<Fingerprint, E> + Sync),
        compared: &(dyn Fn() + Sync),
    ) -> Result<Vec<NearDuplicate>, E> {
        let seed = |pair: &Range<usize>| self.seeds[pair.start];
        // All pairs of one source are compared while its fingerprint is at hand.
        let of_first =
            |left: &Range<usize>, right: &Range<usize>| seed(left).first == seed(right).first;
        let of_second =
            |left: &Range<usize>, right: &Range<usize>| seed(left).second == seed(right).second;
        let by_first: Vec<&[Range<usize>]> = self.pairs.chunk_by(of_first).collect();
        let ties: Vec<Vec<Tie>> = by_first
            .into_par_iter()
            .map(|pairs| {
                let Some(pair) = pairs.first() else { return Ok(Vec::new()) };
                let first = load(&self.sources[seed(pair).first as usize])?;
                let by_second: Vec<&[Range<usize>]> = pairs.chunk_by(of_second).collect();
                let ties: Vec<Vec<Tie>> = by_second
                    .into_par_iter()
                    .map(|pairs| {
                        let Some(pair) = pairs.first() else { return Ok(Vec::new()) };
                        let second = load(&self.sources[seed(pair).second as usize])?;
                        let tie = |pair: &Range<usize>| {
                            let met = &self.seeds[pair.clone()];
                            let stretch = longest_stretch(&first, &second, met);
                            compared();
                            let (one, other, mirrored) = seed(pair).pair();
                            stretch.map(|stretch| ((one, other), mirrored, stretch))
                        };
                        Ok(pairs.iter().filter_map(tie).collect())
                    })
                    .collect::<Result<_, E>>()?;
                Ok(ties.into_iter().flatten().collect())
            })
            .collect::<Result<_, E>>()?;
        // A pair that is tied both ways keeps the stronger evidence.
        let mut best: BTreeMap<(u32, u32), (bool, Stretch)> = BTreeMap::new();
        for (pair, mirrored, stretch) in ties.into_iter().flatten() {
            if best.get(&pair).is_none_or(|(_, known)| known.evidence < stretch.evidence) {
                best.insert(pair, (mirrored, stretch));
            }
        }
        Ok(best
            .into_iter()
            .map(|((first, second), (mirrored, stretch))| NearDuplicate {
                first: self.sources[first as usize],
                second: self.sources[second as usize],
                mirrored,
                first_from: stretch.first.start,
                first_to: stretch.first.end,
                second_from: stretch.second.start,
                second_to: stretch.second.end,
                shared: stretch.evidence,
                similarity: stretch.similarity,
            })
            .collect())
    }
}

/// The longest stretch around the seeds of a pair of sources, if it is evidence enough. `met` holds a
/// seed once for every table that it stands in, equal ones beside one another.
fn longest_stretch(first: &Fingerprint, second: &Fingerprint, met: &[Seed]) -> Option<Stretch> {
    let enough = (SHARED_SECONDS * 1000.0) as u32;
    if !first.is_comparable() || !second.is_comparable() {
        return None;
    }
    let mut ranked: Vec<(usize, Seed)> =
        met.chunk_by(|left, right| left == right).map(|same| (same.len(), same[0])).collect();
    // Those that met in most tables first.
    ranked.sort_by_key(|&(tables, seed)| (std::cmp::Reverse(tables), seed));
    let mirrored = met.first().is_some_and(|seed| seed.mirrored);
    let (first, second) = (View::new(first, false), View::new(second, mirrored));
    let times = |seed: &Seed| {
        (first.time(seed.first_sample as usize), second.time(seed.second_sample as usize))
    };
    let delay =
        |(first, second): (u32, u32)| (i64::from(second) - i64::from(first)).div_euclid(500);
    // How often samples with one and the same delay met. Copies meet again and again, in one table or
    // another; what chance brings together has any delay.
    let mut meetings: BTreeMap<i64, usize> = BTreeMap::new();
    for &(tables, seed) in &ranked {
        *meetings.entry(delay(times(&seed))).or_insert(0) += tables;
    }
    ranked.retain(|(_, seed)| {
        let own = delay(times(seed));
        meetings.range(own - 1..=own + 1).map(|(_, count)| count).sum::<usize>() >= MEETINGS
    });
    let mut known: Vec<Stretch> = Vec::new();
    // Seconds of a seed, and by how many the second source is behind: the second seed of one place
    // leads where the first led.
    let mut tried: BTreeSet<(u32, i64)> = BTreeSet::new();
    for (_, seed) in ranked {
        let times = times(&seed);
        if tried.len() == PLACES_FOLLOWED {
            break;
        }
        if known.iter().any(|stretch| stretch.passes(times))
            || !tried.insert((times.0 / 1000, delay(times)))
        {
            continue;
        }
        known.extend(stretch_around(&first, &second, &seed));
    }
    known
        .into_iter()
        .filter(|stretch| stretch.evidence >= enough)
        // Of equals the first that was found.
        .reduce(|best, next| if next.evidence > best.evidence { next } else { best })
}
