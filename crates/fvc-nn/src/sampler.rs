//! [`Sampler`]: what a network is shown in an epoch, in which order.

use std::collections::BTreeMap;

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::trainer::ClassBalance;
use crate::{ClipKey, ClipSource, CounterRandom, NetworkError};

/// One source to learn from or to be judged on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The source.
    pub content_id: ContentId,
    /// Its group.
    pub group: String,
    /// Whether it is said to be fake.
    pub fake: bool,
    /// The variants that may be shown, the original (0) among them.
    pub variants: Vec<u32>,
}

/// Some frames of one clip, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Which source, by its place in the list.
    pub source: usize,
    /// The clip.
    pub key: ClipKey,
    /// The window.
    pub window: usize,
    /// Its first frame in the window.
    pub first: usize,
    /// Frames.
    pub frames: usize,
}

/// Draws what is shown in an epoch: as many excerpts as there are sources. Balanced, both classes come
/// equally often, within a class every group equally often, within a group every source; else every source
/// comes once. Of a source any variant, window and start. All of it is a function of (seed, epoch).
#[derive(Debug)]
pub struct Sampler<'a> {
    sources: &'a [Source],
    /// Sources by class and group.
    groups: [Vec<Vec<usize>>; 2],
    windows: Vec<Vec<usize>>,
    seed: u64,
    balanced: bool,
}

/// Where a window of `length` frames may be cut: the first frames of all excerpts that together show
/// every frame.
pub(crate) fn starts(length: usize, frames: usize) -> Vec<usize> {
    if length <= frames {
        return vec![0];
    }
    let mut starts: Vec<usize> = (0..length - frames).step_by(frames).collect();
    // The last one ends where the window ends.
    starts.push(length - frames);
    starts
}

impl<'a> Sampler<'a> {
    /// Over these sources, whose clips `clips` has.
    ///
    /// # Errors
    /// A class has no source, or a clip cannot be read.
    pub fn new(
        sources: &'a [Source],
        clips: &dyn ClipSource,
        seed: u64,
        balance: ClassBalance,
    ) -> Result<Self, NetworkError> {
        let mut by_group: [BTreeMap<&str, Vec<usize>>; 2] = [BTreeMap::new(), BTreeMap::new()];
        let mut windows = Vec::with_capacity(sources.len());
        for (at, source) in sources.iter().enumerate() {
            by_group[usize::from(source.fake)].entry(&source.group).or_default().push(at);
            let key = ClipKey { content_id: source.content_id, variant: 0 };
            let lengths = clips.windows(&key)?;
            if lengths.iter().all(|&length| length == 0) {
                return Err(NetworkError::Internal {
                    what: format!("source {} has no frames in the clip store", source.content_id),
                });
            }
            windows.push(lengths);
        }
        let groups = by_group.map(|groups| groups.into_values().collect::<Vec<_>>());
        if groups.iter().any(Vec::is_empty) {
            let [real, fake] = [groups[0].len(), groups[1].len()];
            return Err(NetworkError::setting(
                "training sources",
                "groups of both classes",
                format!("{real} of real, {fake} of fake sources"),
            ));
        }
        let balanced = balance == ClassBalance::Sampler;
        Ok(Self { sources, groups, windows, seed, balanced })
    }

    /// The excerpts of one epoch, of at most `frames` frames each.
    pub fn epoch(&self, epoch: u64, frames: usize) -> Vec<Excerpt> {
        let random = CounterRandom::new(&[self.seed, epoch, 0x5A]);
        let count = self.sources.len();
        let mut excerpts = Vec::with_capacity(count);
        // Both classes in turn; who begins is drawn, for an odd number of sources.
        let first = random.below(0, 2) as usize;
        for number in 0..count {
            let draw = CounterRandom::new(&[self.seed, epoch, 0x7C, number as u64]);
            let source = if self.balanced {
                let class = (first + number) % 2;
                let turn = number / 2;
                let groups = &self.groups[class];
                let round = (turn / groups.len()) as u64;
                let order = CounterRandom::new(&[self.seed, epoch, 0x6B, class as u64, round]);
                let group = &groups[order.permutation(groups.len())[turn % groups.len()]];
                group[draw.below(0, group.len() as u64) as usize]
            } else {
                number
            };
            let own = &self.sources[source];
            let variant = own.variants[draw.below(1, own.variants.len() as u64) as usize];
            let filled: Vec<usize> = (0..self.windows[source].len())
                .filter(|&window| self.windows[source][window] > 0)
                .collect();
            let window = filled[draw.below(2, filled.len() as u64) as usize];
            let length = self.windows[source][window];
            let room = length.saturating_sub(frames);
            excerpts.push(Excerpt {
                source,
                key: ClipKey { content_id: own.content_id, variant },
                window,
                first: draw.below(3, room as u64 + 1) as usize,
                frames: frames.min(length),
            });
        }
        let order = CounterRandom::new(&[self.seed, epoch, 0x8D]).permutation(count);
        order.into_iter().map(|at| excerpts[at].clone()).collect()
    }
}

/// What is looked at to judge sources: every frame of every window of the originals, cut into excerpts.
///
/// # Errors
/// A clip cannot be read.
pub fn whole(
    sources: &[ContentId],
    clips: &dyn ClipSource,
    frames: usize,
) -> Result<Vec<Excerpt>, NetworkError> {
    let mut excerpts = Vec::new();
    for (source, &content_id) in sources.iter().enumerate() {
        let key = ClipKey { content_id, variant: 0 };
        for (window, length) in clips.windows(&key)?.into_iter().enumerate() {
            if length == 0 {
                continue;
            }
            for first in starts(length, frames) {
                excerpts.push(Excerpt {
                    source,
                    key: key.clone(),
                    window,
                    first,
                    frames: frames.min(length),
                });
            }
        }
    }
    Ok(excerpts)
}

/// Excerpts in batches of alike shape, so that little is padded: sorted by aspect ratio, then by length
/// and size. The order among equals is kept.
///
/// # Errors
/// A clip cannot be read.
pub fn bucketed(
    excerpts: Vec<Excerpt>,
    clips: &dyn ClipSource,
    batch: usize,
) -> Result<Vec<Vec<Excerpt>>, NetworkError> {
    let mut keyed = Vec::with_capacity(excerpts.len());
    for excerpt in excerpts {
        let (width, height) = clips.size(&excerpt.key)?;
        // Aspect ratios as whole numbers: 16 steps an octave.
        let aspect = (16.0 * (width as f64 / height.max(1) as f64).log2()).round() as i64;
        keyed.push(((aspect, excerpt.frames, width * height), excerpt));
    }
    keyed.sort_by_key(|(key, _)| *key);
    let sorted: Vec<Excerpt> = keyed.into_iter().map(|(_, excerpt)| excerpt).collect();
    Ok(sorted.chunks(batch.max(1)).map(<[Excerpt]>::to_vec).collect())
}
