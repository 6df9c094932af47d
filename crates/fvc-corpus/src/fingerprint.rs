//! [`Fingerprint`]: what a source looks like over time, small enough to keep for every source.

use fvc_media::{THUMBNAIL_RATE, THUMBNAIL_SIDE, Thumbnail};

/// Cells a side of a sample's picture.
pub const FINGERPRINT_SIDE: usize = 16;

/// Cells of a sample's picture.
pub(crate) const CELLS: usize = FINGERPRINT_SIDE * FINGERPRINT_SIDE;

/// Version of the numbers in a [`Fingerprint`].
pub const FINGERPRINT_VERSION: u32 = 1;

/// Thumbnails (half a minute) over which bars at the border must stay as they are to be bars.
const BLOCK: usize = 240;

/// Bars may take up to this many of the 64 cells at each border: those of an upright film of 9:21 in a
/// picture of 16:9.
const MAX_BAR: usize = 26;

/// Cells of the picture that are left between bars, at least.
const LEAST_PICTURE: usize = 10;

/// Levels by which the cells of a bar may differ: what a coarse encode makes of one colour.
const BAR_SPREAD: u8 = 12;

/// A frame is frozen when no cell differs from the sample before by more levels than this.
const FROZEN_LEVELS: u8 = 1;

/// A frame is flat when its cells deviate from their surroundings by less than this many levels
/// (root of the mean square).
const FLAT_LEVELS: f32 = 1.5;

/// One eighth of a second of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintSample {
    /// Milliseconds from the first shown frame.
    pub milliseconds: u32,
    /// Whether it can be evidence: neither flat (or black) nor the same picture as the sample before.
    pub informative: bool,
    /// Luma of the picture inside its bars, in 16 x 16 area means, from the top left.
    pub cells: [u8; CELLS],
}

/// The samples of a source in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    samples: Vec<FingerprintSample>,
}

/// Bytes that are no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Fingerprint: expected {expected}, found {found}")]
pub struct FingerprintError {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

const MAGIC: &[u8; 8] = b"FVCPRINT";
const HEAD: usize = 16;
const SAMPLE: usize = 5 + CELLS;

impl Fingerprint {
    /// The samples in order of time.
    pub fn samples(&self) -> &[FingerprintSample] {
        &self.samples
    }

    /// Seconds that can be evidence: of every informative sample, the time to the next sample, a
    /// quarter of a second at most.
    pub fn informative_seconds(&self) -> f64 {
        let milliseconds: u32 = (0..self.samples.len())
            .filter(|&at| self.samples[at].informative)
            .map(|at| self.lasts(at))
            .sum();
        f64::from(milliseconds) / 1000.0
    }

    /// Whether it shows enough to be compared: what lasts less than 2 informative seconds can be tied
    /// to nothing.
    pub fn is_comparable(&self) -> bool {
        self.informative_seconds() >= crate::SHARED_SECONDS
    }

    /// Milliseconds that a sample stands for.
    pub(crate) fn lasts(&self, at: usize) -> u32 {
        let own = self.samples[at].milliseconds;
        let next =
            self.samples.get(at + 1).map_or(own.saturating_add(125), |next| next.milliseconds);
        next.saturating_sub(own).min(250)
    }

    /// As a file: 8 bytes of name, version and number of samples (u32, little-endian), then of every
    /// sample its milliseconds (u32), 1 where it is informative, and its cells.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + SAMPLE * self.samples.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FINGERPRINT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.samples.len() as u32).to_le_bytes());
        for sample in &self.samples {
            bytes.extend_from_slice(&sample.milliseconds.to_le_bytes());
            bytes.push(u8::from(sample.informative));
            bytes.extend_from_slice(&sample.cells);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// Other bytes, another version, another length, or times that do not ascend.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintError> {
        let wrong = |expected: String, found: String| FingerprintError { expected, found };
        let (head, body) = bytes
            .split_first_chunk::<HEAD>()
            .filter(|(head, _)| head.starts_with(MAGIC))
            .ok_or_else(|| {
                wrong("a file that begins with FVCPRINT".to_owned(), "another".to_owned())
            })?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if number(8) != FINGERPRINT_VERSION {
            return Err(wrong(
                format!("version {FINGERPRINT_VERSION}"),
                format!("version {}", number(8)),
            ));
        }
        let expected = u64::from(number(12)) * SAMPLE as u64;
        if expected != body.len() as u64 {
            return Err(wrong(
                format!("{expected} bytes of {} samples", number(12)),
                format!("{} bytes", body.len()),
            ));
        }
        let mut samples: Vec<FingerprintSample> = Vec::with_capacity(body.len() / SAMPLE);
        for sample in body.chunks_exact(SAMPLE) {
            let mut cells = [0_u8; CELLS];
            cells.copy_from_slice(&sample[5..]);
            let milliseconds = u32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]);
            if samples.last().is_some_and(|last| last.milliseconds >= milliseconds) || sample[4] > 1
            {
                return Err(wrong(
                    "times that ascend, each with a mark of 0 or 1".to_owned(),
                    format!(
                        "{milliseconds} ms with a mark of {} after sample {}",
                        sample[4],
                        samples.len()
                    ),
                ));
            }
            samples.push(FingerprintSample { milliseconds, informative: sample[4] == 1, cells });
        }
        Ok(Self { samples })
    }
}

/// Makes a [`Fingerprint`] from thumbnails as a decode gives them; holds half a minute of them, and the
/// samples so far (2 KiB a second).
#[derive(Debug)]
pub struct FingerprintBuilder {
    block: Vec<Thumbnail>,
    before: Option<Vec<u8>>,
    samples: Vec<FingerprintSample>,
    /// Samples that a source of the longest duration has.
    most: usize,
    too_many: bool,
}

impl FingerprintBuilder {
    /// Without any thumbnail, for a source of at most so many seconds.
    pub fn new(duration_seconds: f64) -> Self {
        // One of every eighth of a second that such a source touches. A cast saturates.
        let most = (duration_seconds * THUMBNAIL_RATE).ceil() as usize;
        Self {
            block: Vec::new(),
            before: None,
            samples: Vec::new(),
            most: most.saturating_add(1),
            too_many: false,
        }
    }

    /// Takes the next thumbnail; one that is not later than the last is left out. What comes beyond
    /// the duration's number of them is counted against the source and not kept: a decoder that has
    /// been taken over may send as many as it likes.
    pub fn push(&mut self, thumbnail: Thumbnail) {
        let last = self.block.last().map(|last| last.milliseconds);
        let last = last.or_else(|| self.samples.last().map(|last| last.milliseconds));
        if last.is_some_and(|last| thumbnail.milliseconds <= last)
            || thumbnail.cells.len() != THUMBNAIL_SIDE * THUMBNAIL_SIDE
        {
            return;
        }
        if self.samples.len() + self.block.len() >= self.most {
            self.too_many = true;
            return;
        }
        self.block.push(thumbnail);
        if self.block.len() == BLOCK {
            self.settle();
        }
    }

    /// The fingerprint of all that was pushed.
    ///
    /// # Errors
    /// There were more thumbnails than the duration has room for.
    pub fn finish(mut self) -> Result<Fingerprint, FingerprintError> {
        if self.too_many {
            return Err(FingerprintError {
                expected: format!("at most {} samples", self.most),
                found: "more than that".to_owned(),
            });
        }
        self.settle();
        Ok(Fingerprint { samples: self.samples })
    }

    /// Turns the thumbnails of a block into samples, all inside the same bars.
    fn settle(&mut self) {
        let area = Area::inside_bars(&self.block);
        for thumbnail in self.block.drain(..) {
            let frozen = self.before.as_ref().is_some_and(|before| {
                before
                    .iter()
                    .zip(&thumbnail.cells)
                    .all(|(&left, &right)| left.abs_diff(right) <= FROZEN_LEVELS)
            });
            let cells = area.cells(&thumbnail.cells);
            let means = cells.map(f32::from);
            let deviation = crate::near_duplicates::local_deviation(&means);
            let mean_square =
                deviation.iter().map(|&level| level * level).sum::<f32>() / CELLS as f32;
            let flat = mean_square < FLAT_LEVELS * FLAT_LEVELS;
            self.samples.push(FingerprintSample {
                milliseconds: thumbnail.milliseconds,
                informative: !frozen && !flat,
                cells,
            });
            self.before = Some(thumbnail.cells);
        }
    }
}

/// The part of a thumbnail that shows the picture, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Area {
    /// Without the rows and columns at the border that are of one colour, the same in all
    /// thumbnails: letterbox and pillarbox bars of any colour.
    fn inside_bars(thumbnails: &[Thumbnail]) -> Self {
        const SIDE: usize = THUMBNAIL_SIDE;
        // Lowest and highest level of every cell, then of whole rows and columns.
        let mut low = [u8::MAX; SIDE * SIDE];
        let mut high = [0_u8; SIDE * SIDE];
        for thumbnail in thumbnails {
            for ((low, high), &cell) in low.iter_mut().zip(&mut high).zip(&thumbnail.cells) {
                *low = (*low).min(cell);
                *high = (*high).max(cell);
            }
        }
        let bar = |cell_of: &dyn Fn(usize, usize) -> usize| -> usize {
            (0..MAX_BAR)
                .take_while(|&line| {
                    let cells = || (0..SIDE).map(|along| cell_of(line, along));
                    let lowest = cells().map(|cell| low[cell]).min().unwrap_or(0);
                    let highest = cells().map(|cell| high[cell]).max().unwrap_or(u8::MAX);
                    highest.saturating_sub(lowest) <= BAR_SPREAD
                })
                .count()
        };
        // One cell more than the bar's whole cells: the next may be partly of the bar.
        let inner = |bar: usize| if bar == 0 { 0 } else { bar + 1 };
        let top = inner(bar(&|line, along| SIDE * line + along));
        let bottom = SIDE - inner(bar(&|line, along| SIDE * (SIDE - 1 - line) + along));
        let left = inner(bar(&|line, along| SIDE * along + line));
        let right = SIDE - inner(bar(&|line, along| SIDE * along + SIDE - 1 - line));
        // A picture that is of one colour for the most part has no bars.
        if bottom.saturating_sub(top) < LEAST_PICTURE || right.saturating_sub(left) < LEAST_PICTURE
        {
            return Self { top: 0, bottom: SIDE, left: 0, right: SIDE };
        }
        Self { top, bottom, left, right }
    }

    /// Area means over 16 x 16 cells, rounded. All weights are whole 16ths.
    fn cells(self, thumbnail: &[u8]) -> [u8; CELLS] {
        const TO: usize = FINGERPRINT_SIDE;
        let (height, width) = (self.bottom - self.top, self.right - self.left);
        let mut cells = [0_u8; CELLS];
        for (at, cell) in cells.iter_mut().enumerate() {
            let (row, column) = (at / TO, at % TO);
            let (first, last) = (row * height, (row + 1) * height);
            let (begin, end) = (column * width, (column + 1) * width);
            let mut sum = 0;
            for y in first / TO..last.div_ceil(TO) {
                let down = last.min(TO * (y + 1)) - first.max(TO * y);
                let line = THUMBNAIL_SIDE * (self.top + y) + self.left;
                for x in begin / TO..end.div_ceil(TO) {
                    let across = end.min(TO * (x + 1)) - begin.max(TO * x);
                    sum += usize::from(thumbnail[line + x]) * down * across;
                }
            }
            *cell = ((sum + height * width / 2) / (height * width)).min(255) as u8;
        }
        cells
    }
}
