//! The longest stretch of two fingerprints that shows the same, sample by sample.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::appearance::{Appearance, Crop, Similarity};
use super::candidates::Seed;
use crate::fingerprint::{CELLS, FINGERPRINT_SIDE, Fingerprint};

/// Similarity at which two samples show the same picture. Measured under the best of all crops: most
/// samples of copies are above it; of strangers one in a hundred is above 0.57, and none of real footage
/// reached it.
const SAME_SAMPLE: f32 = 0.7;

/// Mean similarities of a stretch that counts: of pictures, and of what is spread over them.
const SAME_STRETCH: f32 = 0.78;
const SAME_SPREAD: f32 = 0.65;

/// Similarity under some coarse crop at which all crops are tried.
const WORTH_A_LOOK: f32 = 0.45;

/// Milliseconds without a same picture that end a stretch.
const LOST: u32 = 750;

/// Milliseconds between two samples beyond which nothing is known to go on.
const LONGEST_SPACING: u32 = 5000;

/// How much slower or faster one may be than the other, and the distance of samples in milliseconds.
const RATES: (f64, f64) = (0.93, 1.07);
const STEP: f64 = 70.0;

/// Crops that are followed from a seed.
const CROPS_FOLLOWED: usize = 3;

/// A stretch in which two sources show the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stretch {
    /// Times in the first and the second source, in milliseconds.
    pub(crate) first: Range<u32>,
    pub(crate) second: Range<u32>,
    /// Milliseconds of it that are evidence: informative on both sides and the same.
    pub(crate) evidence: u32,
    /// Mean similarities of these.
    pub(crate) similarity: f32,
    pub(crate) spread: f32,
}

impl Stretch {
    /// Whether it leads through these times, give or take a quarter of a second.
    pub(crate) fn passes(&self, (first, second): (u32, u32)) -> bool {
        let share = f64::from(first.saturating_sub(self.first.start))
            / f64::from((self.first.end - self.first.start).max(1));
        let length = f64::from(self.second.end.saturating_sub(self.second.start));
        let expected = f64::from(self.second.start) + share * length;
        (self.first.start..=self.first.end).contains(&first)
            && (f64::from(second) - expected).abs() <= 250.0
    }
}

/// One source as it is compared, mirrored if wanted. Only the samples that are looked at are prepared.
pub(crate) struct View<'a> {
    fingerprint: &'a Fingerprint,
    mirrored: bool,
    prepared: RefCell<HashMap<usize, Rc<Prepared>>>,
}

/// A sample as it is compared.
struct Prepared {
    cells: [f32; CELLS],
    whole: Appearance,
}

impl<'a> View<'a> {
    pub(crate) fn new(fingerprint: &'a Fingerprint, mirrored: bool) -> Self {
        Self { fingerprint, mirrored, prepared: RefCell::default() }
    }

    fn sample(&self, at: usize) -> Rc<Prepared> {
        let mut prepared = self.prepared.borrow_mut();
        let made = prepared.entry(at).or_insert_with(|| {
            let mut cells = self.fingerprint.samples()[at].cells.map(f32::from);
            if self.mirrored {
                cells.chunks_exact_mut(FINGERPRINT_SIDE).for_each(<[f32]>::reverse);
            }
            Rc::new(Prepared { whole: Appearance::of(&cells), cells })
        });
        Rc::clone(made)
    }

    fn len(&self) -> usize {
        self.fingerprint.samples().len()
    }

    pub(crate) fn time(&self, sample: usize) -> u32 {
        self.fingerprint.samples()[sample].milliseconds
    }

    /// Milliseconds to the neighbour of a sample that is further away.
    fn spacing(&self, at: usize) -> u32 {
        let samples = self.fingerprint.samples();
        let own = samples[at].milliseconds;
        let before = at.checked_sub(1).map_or(own, |before| samples[before].milliseconds);
        let after = samples.get(at + 1).map_or(own, |after| after.milliseconds);
        (own - before).max(after - own)
    }
}

/// Which of the two is cropped.
#[derive(Clone, Copy, Debug)]
enum Relation {
    FirstIsPart(Crop),
    SecondIsPart(Crop),
}

impl Relation {
    fn similarity(
        self,
        first: &View<'_>,
        second: &View<'_>,
        (left, right): (usize, usize),
    ) -> Similarity {
        match self {
            Self::FirstIsPart(crop) => {
                let part = Appearance::of(&crop.of(&second.sample(right).cells));
                first.sample(left).whole.similarity(&part)
            }
            Self::SecondIsPart(crop) => {
                let part = Appearance::of(&crop.of(&first.sample(left).cells));
                part.similarity(&second.sample(right).whole)
            }
        }
    }
}

/// The stretch around a seed under the crop that explains it best; nothing where the seed's own
/// samples do not show the same.
pub(crate) fn stretch_around(first: &View<'_>, second: &View<'_>, seed: &Seed) -> Option<Stretch> {
    let pair = (seed.first_sample as usize, seed.second_sample as usize);
    if pair.0 >= first.len() || pair.1 >= second.len() {
        return None;
    }
    // Nearly all seeds are of strangers, and a few crops tell: a copy is like under one that is near
    // to its own.
    let near = Crop::coarse().into_iter().any(|crop| {
        [Relation::FirstIsPart(crop), Relation::SecondIsPart(crop)]
            .into_iter()
            .any(|relation| relation.similarity(first, second, pair).whole >= WORTH_A_LOOK)
    });
    if !near {
        return None;
    }
    let mut relations: Vec<(f32, Relation)> = Vec::with_capacity(162);
    for crop in Crop::all() {
        for relation in [Relation::FirstIsPart(crop), Relation::SecondIsPart(crop)] {
            let similarity = relation.similarity(first, second, pair).whole;
            if similarity >= SAME_SAMPLE {
                relations.push((similarity, relation));
            }
        }
    }
    // Stable: of equals the first in the order above.
    relations.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut best: Option<Stretch> = None;
    for (_, relation) in relations.into_iter().take(CROPS_FOLLOWED) {
        let stretch = follow(first, second, relation, pair);
        if stretch.similarity >= SAME_STRETCH
            && stretch.spread >= SAME_SPREAD
            && best.as_ref().is_none_or(|known| known.evidence < stretch.evidence)
        {
            best = Some(stretch);
        }
    }
    best
}

/// Walks from the seed to both sides for as long as the same is shown.
fn follow(
    first: &View<'_>,
    second: &View<'_>,
    relation: Relation,
    seed: (usize, usize),
) -> Stretch {
    let mut pairs = vec![(seed, relation.similarity(first, second, seed))];
    for forwards in [false, true] {
        let mut anchor = seed;
        let mut at = seed.0;
        loop {
            at = match (forwards, at) {
                (true, at) if at + 1 < first.len() => at + 1,
                (false, at) if at > 0 => at - 1,
                _ => break,
            };
            let passed = first.time(at).abs_diff(first.time(anchor.0));
            // A stream of one frame a second is not lost between two of them.
            if passed > LOST.max(2 * first.spacing(anchor.0)).min(LONGEST_SPACING) {
                break;
            }
            let found = candidates(second, anchor.1, f64::from(passed), forwards)
                .map(|other| (other, relation.similarity(first, second, (at, other))))
                .max_by(|left, right| {
                    left.1.whole.total_cmp(&right.1.whole).then(right.0.cmp(&left.0))
                });
            if let Some((other, similarity)) = found
                && similarity.whole >= SAME_SAMPLE
            {
                anchor = (at, other);
                pairs.push((anchor, similarity));
            }
        }
    }
    pairs.sort_by_key(|(pair, _)| *pair);
    let informative: Vec<&((usize, usize), Similarity)> = pairs
        .iter()
        .filter(|((left, right), _)| {
            first.fingerprint.samples()[*left].informative
                && second.fingerprint.samples()[*right].informative
        })
        .collect();
    // A sample of the second source that stands for several of the first is evidence once.
    let mut evidence = [0_u32; 2];
    let mut last = None;
    for ((left, right), _) in &informative {
        evidence[0] += first.fingerprint.lasts(*left);
        if last != Some(*right) {
            evidence[1] += second.fingerprint.lasts(*right);
        }
        last = Some(*right);
    }
    let mean = |part: fn(&Similarity) -> f32| {
        informative.iter().map(|(_, similarity)| part(similarity)).sum::<f32>()
            / informative.len().max(1) as f32
    };
    let ends = |side: fn(&(usize, usize)) -> usize, view: &View<'_>| {
        let at = |end: Option<&((usize, usize), Similarity)>| end.map_or(0, |(pair, _)| side(pair));
        view.time(at(pairs.first()))..view.time(at(pairs.last()))
    };
    Stretch {
        first: ends(|pair| pair.0, first),
        second: ends(|pair| pair.1, second),
        evidence: evidence[0].min(evidence[1]),
        similarity: mean(|found| found.whole),
        spread: mean(|found| found.spread),
    }
}

/// Samples of the second source at which it may stand when `passed` milliseconds have passed in the
/// first since both stood at the anchor.
fn candidates(
    second: &View<'_>,
    anchor: usize,
    passed: f64,
    forwards: bool,
) -> impl Iterator<Item = usize> {
    let from = f64::from(second.time(anchor));
    let (near, far) = (passed * RATES.0 - STEP, passed * RATES.1 + STEP);
    let (low, high) = if forwards { (from + near, from + far) } else { (from - far, from - near) };
    let samples = second.fingerprint.samples();
    let begin = samples.partition_point(|sample| f64::from(sample.milliseconds) < low);
    let end = samples.partition_point(|sample| f64::from(sample.milliseconds) <= high);
    // Time never runs backwards.
    if forwards { begin.max(anchor)..end } else { begin..end.min(anchor + 1) }
}
