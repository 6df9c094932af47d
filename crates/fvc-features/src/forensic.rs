//! [`ForensicExtractor`]: what in a clip its own pictures and its own rhythm do not explain.
//!
//! A frame is read once: [`cells`] sums all that shares its rows, [`frequency`] looks at some frames, and
//! [`motion`] matches it with the one before. What is kept of a frame is small, and the clip is summed up
//! from it by [`timeline`] (over time) and [`regions`] (over places): by the most deviant area or moment
//! against the clip's own median and spread, never by a mean over everything, in which an area of some per
//! cent of the picture is lost.

mod cells;
mod frequency;
mod motion;
mod regions;
mod robust;
mod segment;
mod sets;
mod summary;
mod timeline;

use fvc_media::Frame;

use cells::{Cells, Layout};
use frequency::Frequency;
use motion::Match;
use segment::{FrameRecord, SEGMENT_FRAMES, Segment};
pub use sets::FORENSIC;
use sets::{Pool, ROWS};
use summary::{Summary, Whole};

/// One frame in so many is looked at by [`Frequency`].
const FREQUENCY_FRAMES: usize = 4;

/// Measures the frames of a clip, in the order of time, for the features of [`FORENSIC`].
///
/// Frames count as neighbours where their indices are no further apart than the clip's first two: what
/// happens between two windows of a sampling is never taken for a jump. All scratch memory is owned and
/// reused, and what is kept of a clip is bounded: after 64 frames they are summed up, and several such
/// sums are pooled feature by feature.
#[derive(Debug)]
pub struct ForensicExtractor {
    cells: Cells,
    frequency: Frequency,
    segment: Option<Segment>,
    reduced_before: Vec<u8>,
    last: Option<u64>,
    step: Option<u64>,
    frames: u64,
    pooled: Vec<Pool>,
}

impl Default for ForensicExtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl ForensicExtractor {
    /// An extractor that has seen nothing.
    pub fn new() -> Self {
        Self {
            cells: Cells::default(),
            frequency: Frequency::default(),
            segment: None,
            reduced_before: Vec::new(),
            last: None,
            step: None,
            frames: 0,
            pooled: ROWS.iter().map(|row| row.pool).collect(),
        }
    }

    /// Frames pushed since the last [`Self::finish`].
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Measures the next frame of the clip. Pictures of fewer than three cells (48 pixels) along a side
    /// have no regions, and are left out.
    pub fn push(&mut self, frame: &Frame) {
        self.frames += 1;
        let Some(layout) = Layout::of(frame.width() as usize, frame.height() as usize) else {
            return;
        };
        let other = self.segment.as_ref().is_some_and(|segment| segment.layout != layout);
        let full = self.segment.as_ref().is_some_and(|own| own.frames.len() >= SEGMENT_FRAMES);
        if other || full {
            self.close();
        }
        let segment = self.segment.get_or_insert_with(|| {
            self.cells.start(layout);
            self.frequency.start();
            Segment::new(layout)
        });
        let gap = self.last.and_then(|last| frame.index.checked_sub(last)).filter(|gap| *gap > 0);
        if self.step.is_none() {
            self.step = gap;
        }
        let follows =
            !segment.frames.is_empty() && gap.zip(self.step).is_some_and(|(gap, step)| gap <= step);
        self.last = Some(frame.index);
        self.cells.scan(layout, frame, follows, &mut segment.cells);
        if segment.frames.len().is_multiple_of(FREQUENCY_FRAMES) {
            self.frequency.scan(self.cells.plane());
        }
        if follows {
            let hints: Vec<Match> = segment.matches_of(segment.frames.len() - 1).to_vec();
            motion::match_cells(
                layout,
                &self.cells.reduced,
                &self.reduced_before,
                &hints,
                &mut segment.matches,
            );
        } else {
            let none = Match { residual: f32::NAN, still: f32::NAN, ..Match::default() };
            segment.matches.extend(std::iter::repeat_n(none, layout.cells()));
        }
        segment.keep_thumbnail(&self.cells.reduced);
        std::mem::swap(&mut self.reduced_before, &mut self.cells.reduced);
        segment.frames.push(FrameRecord { follows, histogram: self.cells.histogram() });
    }

    /// The clip's values in the order of [`FORENSIC`]'s columns; NaN where there were too few frames or
    /// none large enough. Readies the extractor for the next clip.
    pub fn finish(&mut self) -> Vec<f64> {
        self.close();
        self.last = None;
        self.step = None;
        self.frames = 0;
        self.pooled.iter_mut().map(Pool::take).collect()
    }

    /// Sums the segment up.
    fn close(&mut self) {
        let Some(mut segment) = self.segment.take() else { return };
        segment.steps = self.cells.steps;
        segment.step_counts = self.cells.step_counts;
        let summary = Summary {
            whole: Whole::of(&segment),
            frequency: self.frequency.summary(
                &segment,
                &self.cells.bends_by_column,
                &self.cells.bends_by_row,
            ),
            timeline: timeline::Timeline::of(&segment),
            regions: regions::Regions::of(&segment),
        };
        for (pool, row) in self.pooled.iter_mut().zip(&ROWS) {
            pool.add(f64::from((row.value)(&summary)));
        }
    }
}
