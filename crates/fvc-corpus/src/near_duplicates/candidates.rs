//! Which pairs of samples are worth a comparison, by locality-sensitive hashing.

use crate::fingerprint::{CELLS, FINGERPRINT_SIDE, Fingerprint};

/// Cells a side of a hashed region.
const SIDE: usize = 8;

/// Tables, each keyed by its own choice of bits.
pub(crate) const TABLES: u32 = 24;

/// Bits of a key.
const KEY_BITS: u32 = 20;

/// Lowest frequencies of a hash, of which keys are chosen.
const LOW_BITS: u32 = 27;

/// Samples that are hashed of a second.
const HASHED_A_SECOND: f64 = 2.0;

/// Bits in which two hashes may differ to be of interest. Of strangers that agree in the 20 bits of a
/// key the other 43 differ in about half, and in so few for one pair in four hundred; most samples of
/// copies are nearer.
const FAR: u32 = 12;

/// Neighbours in a table that a hash is compared with.
const NEIGHBOURS: usize = 8;

/// Parts of a picture that are hashed for themselves, as shares cut off at the left, top, right and
/// bottom: so that a crop meets what was cropped, and a caption is outside one of them.
const REGIONS: [[f64; 4]; 7] = [
    [0.0, 0.0, 0.0, 0.0],
    [0.05, 0.05, 0.05, 0.05],
    [0.1, 0.1, 0.1, 0.1],
    [0.0, 0.0, 0.0, 0.22],
    [0.0, 0.22, 0.0, 0.0],
    [0.0, 0.0, 0.1, 0.0],
    [0.1, 0.0, 0.0, 0.0],
];

/// A hash of a region of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Signs of the region's DCT coefficients, the lowest frequency in the lowest bit.
    hash: u64,
    /// Which source and sample.
    source: u32,
    sample: u32,
    mirrored: bool,
}

/// Two samples that may show the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seed {
    /// The first source, in the order given; the second comes later.
    pub(crate) first: u32,
    pub(crate) second: u32,
    /// Whether one is the other's mirror image.
    pub(crate) mirrored: bool,
    /// Samples of the two.
    pub(crate) first_sample: u32,
    pub(crate) second_sample: u32,
}

impl Seed {
    /// The sources, and whether one is mirrored.
    pub(crate) fn pair(&self) -> (u32, u32, bool) {
        (self.first, self.second, self.mirrored)
    }
}

/// The linear maps from a sample's cells to the hashed coefficients.
#[derive(Debug)]
pub(crate) struct Hasher {
    /// For each region, weights of rows and of columns.
    regions: Vec<[[[f64; FINGERPRINT_SIDE]; SIDE]; 2]>,
    cosines: [[f64; SIDE]; SIDE],
    /// Vertical and horizontal frequency of each bit.
    frequencies: Vec<(usize, usize)>,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let weights = |before: f64, after: f64| -> [[f64; FINGERPRINT_SIDE]; SIDE] {
            let span = FINGERPRINT_SIDE as f64;
            let (from, to) = (before * span, (1.0 - after) * span);
            let step = (to - from) / SIDE as f64;
            std::array::from_fn(|row| {
                let (low, high) = (from + step * row as f64, from + step * (row + 1) as f64);
                std::array::from_fn(|cell| {
                    let overlap = high.min((cell + 1) as f64) - low.max(cell as f64);
                    overlap.max(0.0) / step
                })
            })
        };
        let regions = REGIONS
            .iter()
            .map(|&[left, top, right, bottom]| [weights(top, bottom), weights(left, right)])
            .collect();
        let cosines = std::array::from_fn(|frequency| {
            std::array::from_fn(|at| {
                let angle = (2 * at + 1) as f64 * frequency as f64 / (2 * SIDE) as f64;
                (std::f64::consts::PI * angle).cos()
            })
        });
        let mut frequencies: Vec<(usize, usize)> =
            (1..SIDE * SIDE).map(|at| (at / SIDE, at % SIDE)).collect();
        frequencies.sort_by_key(|&(down, across)| (down + across, down));
        Self { regions, cosines, frequencies }
    }

    /// The hashes of all regions of a picture.
    fn hashes(&self, cells: &[u8; CELLS]) -> impl Iterator<Item = u64> + '_ {
        let cells: [f64; CELLS] = cells.map(f64::from);
        self.regions.iter().map(move |[rows, columns]| {
            let mut region = [[0.0; SIDE]; SIDE];
            for (to, weights) in region.iter_mut().zip(rows) {
                let mut line = [0.0; FINGERPRINT_SIDE];
                for (&weight, cells) in weights.iter().zip(cells.chunks_exact(FINGERPRINT_SIDE)) {
                    if weight > 0.0 {
                        for (sum, cell) in line.iter_mut().zip(cells) {
                            *sum += weight * cell;
                        }
                    }
                }
                for (to, weights) in to.iter_mut().zip(columns) {
                    *to = weights.iter().zip(line).map(|(weight, cell)| weight * cell).sum();
                }
            }
            let mut half = [[0.0; SIDE]; SIDE];
            for (half, line) in half.iter_mut().zip(&region) {
                for (to, cosines) in half.iter_mut().zip(&self.cosines) {
                    *to = cosines.iter().zip(line).map(|(cosine, cell)| cosine * cell).sum();
                }
            }
            let mut hash = 0_u64;
            for (bit, &(down, across)) in self.frequencies.iter().enumerate() {
                let coefficient: f64 =
                    (0..SIDE).map(|y| self.cosines[down][y] * half[y][across]).sum();
                hash |= u64::from(coefficient > 0.0) << bit;
            }
            hash
        })
    }

    /// The entries of a source: of its informative samples, two a second at most, as they are and
    /// mirrored.
    pub(crate) fn entries(&self, source: u32, fingerprint: &Fingerprint, into: &mut Vec<Entry>) {
        let apart = (1000.0 / HASHED_A_SECOND) as u32;
        let mut last: Option<u32> = None;
        for (at, sample) in fingerprint.samples().iter().enumerate() {
            let near = last.is_some_and(|last| sample.milliseconds - last < apart);
            let Ok(index) = u32::try_from(at) else { return };
            if near || !sample.informative {
                continue;
            }
            last = Some(sample.milliseconds);
            for mirrored in [false, true] {
                let mut cells = sample.cells;
                if mirrored {
                    cells.chunks_exact_mut(FINGERPRINT_SIDE).for_each(<[u8]>::reverse);
                }
                into.extend(self.hashes(&cells).map(|hash| Entry {
                    hash,
                    source,
                    sample: index,
                    mirrored,
                }));
            }
        }
    }
}

/// The key of a hash in a table: some of its low bits, chosen by the table's number.
fn key_bits(table: u32) -> Vec<u32> {
    let mut bits: Vec<([u8; 32], u32)> = (0..LOW_BITS)
        .map(|bit| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"near duplicates");
            hasher.update(&table.to_le_bytes());
            hasher.update(&bit.to_le_bytes());
            (*hasher.finalize().as_bytes(), bit)
        })
        .collect();
    bits.sort_unstable();
    let mut chosen: Vec<u32> =
        bits.into_iter().take(KEY_BITS as usize).map(|(_, bit)| bit).collect();
    chosen.sort_unstable();
    chosen
}

/// Pairs of samples of two sources that stand together in one table.
///
/// Within a bucket, hashes are in order, and each is compared with its next neighbours only: the
/// work grows with the number of samples, not of pairs, and copies of one picture are chained
/// however many there are.
pub(crate) fn seeds_of_table(table: u32, entries: &[Entry]) -> Vec<Seed> {
    let bits = key_bits(table);
    let key = |hash: u64| {
        bits.iter()
            .enumerate()
            .fold(0_u32, |key, (to, &bit)| key | (((hash >> bit) & 1) as u32) << to)
    };
    // Bits are compared from the lowest frequency on, so that neighbours are like one another.
    // Equal hashes are shuffled: a shot that hardly changes fills a bucket, and in order of time only
    // the end of one source would meet the beginning of another.
    let mut order: Vec<(u32, u64, u32, u32)> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| {
            let at = u32::try_from(at).ok()?;
            let shuffled = at.wrapping_mul(0x9e37_79b1).rotate_left(13).wrapping_mul(0x85eb_ca6b);
            Some((key(entry.hash), entry.hash.reverse_bits(), shuffled, at))
        })
        .collect();
    order.sort_unstable();
    let mut seeds = Vec::new();
    for (at, &(own_key, _, _, own)) in order.iter().enumerate() {
        let own = entries[own as usize];
        let mut others = 0;
        // A frozen source fills a bucket with itself: looked past, but not for ever.
        for &(key, _, _, other) in order[at + 1..].iter().take(8 * NEIGHBOURS) {
            let other = entries[other as usize];
            if key != own_key || others == NEIGHBOURS {
                break;
            }
            if other.source == own.source || (own.mirrored && other.mirrored) {
                continue;
            }
            others += 1;
            if (own.hash ^ other.hash).count_ones() > FAR {
                continue;
            }
            let (first, second) =
                if own.source < other.source { (own, other) } else { (other, own) };
            seeds.push(Seed {
                first: first.source,
                second: second.source,
                mirrored: own.mirrored != other.mirrored,
                first_sample: first.sample,
                second_sample: second.sample,
            });
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}
