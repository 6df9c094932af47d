//! [`CounterRandom`]: numbers as a function of a key and a counter, so that a step that is done again
//! (resumed, or run a second time for its gradients) draws what it drew before.

/// `SplitMix64`'s output function (Steele, Lea, Flood 2014) over a key and a counter.
///
/// ```
/// use fvc_nn::CounterRandom;
/// let random = CounterRandom::new(&[7, 1]);
/// assert_eq!(random.uniform(3), CounterRandom::new(&[7, 1]).uniform(3));
/// assert_ne!(random.uniform(3), CounterRandom::new(&[7, 2]).uniform(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterRandom {
    key: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl CounterRandom {
    /// The stream of a key, such as (seed, epoch, step, rank).
    pub fn new(key: &[u64]) -> Self {
        let key = key.iter().fold(GOLDEN, |known, &part| {
            mix(known.wrapping_add(GOLDEN) ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93))
        });
        Self { key }
    }

    /// The stream whose key is 64 bits as they are.
    pub fn from_bits(key: u64) -> Self {
        Self { key }
    }

    /// 64 bits for a counter.
    pub fn bits(self, counter: u64) -> u64 {
        mix(self.key.wrapping_add(counter.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// A number in 0..1 on a grid of 2^-24, exact in f32.
    pub fn uniform(self, counter: u64) -> f32 {
        (self.bits(counter) >> 40) as f32 / 16_777_216.0
    }

    /// A whole number below `limit` (0 where that is 0).
    pub fn below(self, counter: u64, limit: u64) -> u64 {
        ((u128::from(self.bits(counter)) * u128::from(limit)) >> 64) as u64
    }

    /// A standard normal number, by Box and Muller's transform (1958) of two counters.
    pub fn normal(self, counter: u64) -> f32 {
        let first = (self.bits(2 * counter) >> 11) as f64 + 1.0;
        let second = (self.bits(2 * counter + 1) >> 11) as f64;
        let scale = 1.0 / 9_007_199_254_740_992.0;
        let radius = (-2.0 * (first * scale).ln()).sqrt();
        (radius * (std::f64::consts::TAU * second * scale).cos()) as f32
    }

    /// 0..length in a drawn order, by Fisher and Yates' shuffle.
    pub fn permutation(self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        for at in (1..length).rev() {
            order.swap(at, self.below(at as u64, at as u64 + 1) as usize);
        }
        order
    }
}
