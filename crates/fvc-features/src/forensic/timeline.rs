//! [`Timeline`]: what of a clip's run in time its own rhythm does not explain.

use super::robust::{ln, median};
use super::segment::Segment;

/// Grey levels below which a difference is coding noise: added to both sides of a ratio.
const FLOOR: f32 = 0.4;
/// Frames before and after one that it is held against.
const AROUND: usize = 3;
/// Shortest lag in frames at which a run may come back.
const MIN_LAG: usize = 5;
/// Frames of a run that comes back.
const RUN: usize = 5;

/// Clip-level statistics of time. NaN where there are too few frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    pub(crate) difference_spike: f32,
    pub(crate) difference_spike_second: f32,
    pub(crate) residual_spike: f32,
    pub(crate) residual_spike_second: f32,
    pub(crate) active_spike: f32,
    pub(crate) active_spike_second: f32,
    pub(crate) active_residual_spike: f32,
    pub(crate) jump: f32,
    pub(crate) mixture: f32,
    pub(crate) mixture_low: f32,
    pub(crate) sharpness_dip: f32,
    pub(crate) spike_histogram: f32,
    pub(crate) spike_isolation: f32,
    pub(crate) cuts: f32,
    pub(crate) repetition: f32,
    pub(crate) bridge: f32,
    pub(crate) duplicate_share: f32,
    pub(crate) still_run: f32,
    pub(crate) sharpness_jump: f32,
    pub(crate) sharpness_unrest: f32,
    pub(crate) pace_change: f32,
    pub(crate) flicker: f32,
    pub(crate) flicker_spike: f32,
    pub(crate) motion: f32,
    pub(crate) motion_jump: f32,
    pub(crate) motion_smoothness: f32,
    pub(crate) motion_divergence: f32,
    pub(crate) unexplained: f32,
}

impl Timeline {
    pub(crate) fn of(segment: &Segment) -> Self {
        let count = segment.frames.len();
        let follows = |at: usize| segment.frames[at].follows;
        let series = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..count).map(|at| if at > 0 && follows(at) { value(at) } else { f32::NAN }).collect()
        };
        let difference = series(&|at| segment.distance(at - 1, at));
        let residual = series(&|at| mean(segment.matches_of(at).iter().map(|own| own.residual)));
        let sharpness: Vec<f32> = (0..count)
            .map(|at| mean(segment.cells_of(at).iter().map(|cell| ln(cell.noise + 0.05))))
            .collect();
        let luma: Vec<f32> =
            (0..count).map(|at| mean(segment.cells_of(at).iter().map(|cell| cell.luma))).collect();
        let spikes = spikes(&difference);
        let residual_spikes = spikes_of(&residual, 0.2);
        let [(top, difference_spike), (_, difference_spike_second)] = two_largest(&spikes);
        let [(_, residual_spike), (_, residual_spike_second)] = two_largest(&residual_spikes);
        let active =
            series(&|at| upper_mean(segment.cells_of(at).iter().map(|own| own.difference)));
        let active_residual =
            series(&|at| upper_mean(segment.matches_of(at).iter().map(|own| own.residual)));
        let [(_, active_spike), (_, active_spike_second)] = two_largest(&spikes_of(&active, 0.2));
        let [(_, active_residual_spike), _] = two_largest(&spikes_of(&active_residual, 0.2));
        let (mixture, mixture_low) = mixture(segment);
        let histogram = |at: usize| -> f32 {
            let (a, b) = (&segment.frames[at - 1].histogram, &segment.frames[at].histogram);
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
        };
        let spike_histogram = top.map_or(f32::NAN, histogram);
        let spike_isolation = top.map_or(f32::NAN, |top| isolation(segment, &difference, top));
        let cuts = (1..count).filter(|&at| spikes[at] > 1.4 && histogram(at) > 0.5).count() as f32;
        let typical = typical(&difference);
        let known: Vec<f32> = difference.iter().copied().filter(|value| !value.is_nan()).collect();
        let alike = |value: f32| value < 0.15 * typical && typical > FLOOR;
        let share = |holds: &dyn Fn(f32) -> bool| {
            if known.is_empty() {
                f32::NAN
            } else {
                known.iter().filter(|value| holds(**value)).count() as f32 / known.len() as f32
            }
        };
        let motion = motion_series(segment);
        Self {
            difference_spike,
            difference_spike_second,
            residual_spike,
            residual_spike_second,
            active_spike,
            active_spike_second,
            active_residual_spike,
            jump: jump_of(segment, &difference),
            mixture,
            mixture_low,
            sharpness_dip: dip(&sharpness),
            spike_histogram,
            spike_isolation,
            cuts: if known.is_empty() { f32::NAN } else { cuts },
            repetition: repetition(segment, &difference),
            bridge: bridge(segment, &difference),
            duplicate_share: share(&alike),
            still_run: longest(&difference, alike),
            sharpness_jump: jump(&sharpness, segment),
            sharpness_unrest: unrest(&sharpness, segment),
            pace_change: pace_change(&difference),
            flicker: median(&mut bends(&luma, segment)),
            flicker_spike: over_median(&mut bends(&luma, segment), 0.1),
            motion: median(&mut known_of(&motion.speed)),
            motion_jump: largest(&motion.jump),
            motion_smoothness: median(&mut known_of(&motion.roughness)),
            motion_divergence: median(&mut known_of(&motion.divergence)),
            unexplained: unexplained(segment),
        }
    }
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / count as f32
}

fn known_of(series: &[f32]) -> Vec<f32> {
    series.iter().copied().filter(|value| !value.is_nan()).collect()
}

fn largest(series: &[f32]) -> f32 {
    series.iter().copied().filter(|value| !value.is_nan()).fold(f32::NAN, f32::max)
}

fn typical(series: &[f32]) -> f32 {
    median(&mut known_of(series))
}

/// Mean of the upper quarter: where something happens, in a picture that is still elsewhere.
fn upper_mean(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    let upper = values.len() / 4;
    if upper == 0 {
        return mean(values.into_iter());
    }
    values.select_nth_unstable_by(upper, |a, b| b.total_cmp(a));
    // In a fixed order: that of a selection is no promise.
    values.truncate(upper);
    values.sort_unstable_by(f32::total_cmp);
    mean(values.into_iter())
}

/// Largest ln of a step over the distance from three frames before it to two after, less the median of
/// all: at a jump the one step is all that happens.
fn jump_of(segment: &Segment, difference: &[f32]) -> f32 {
    let mut values: Vec<f32> = (3..difference.len().saturating_sub(2))
        .filter(|&at| (at - 2..at + 3).all(|own| segment.frames[own].follows))
        .map(|at| ln((difference[at] + 0.2) / (segment.distance(at - 3, at + 2) + 0.2)))
        .collect();
    let top = largest(&values);
    top - median(&mut values)
}

/// Median ln of how far frames are from the mixture of their neighbours, and how far the least eight in a
/// row are below it.
fn mixture(segment: &Segment) -> (f32, f32) {
    let values: Vec<f32> = (1..segment.frames.len().saturating_sub(1))
        .filter(|&at| segment.frames[at].follows && segment.frames[at + 1].follows)
        .map(|at| ln(segment.mixture([at - 1, at, at + 1], 0.3)))
        .collect();
    let middle = median(&mut values.clone());
    let least = values.windows(6).map(|run| mean(run.iter().copied())).fold(f32::NAN, f32::min);
    (middle, middle - least)
}

/// How far the least mean of eight in a row is below the median.
fn dip(series: &[f32]) -> f32 {
    let least = series.windows(8).map(|run| mean(run.iter().copied())).fold(f32::NAN, f32::min);
    median(&mut series.to_vec()) - least
}

/// What is known within [`AROUND`] of a frame, itself left out.
fn around(series: &[f32], at: usize) -> Vec<f32> {
    let reach = at.saturating_sub(AROUND)..(at + AROUND + 1).min(series.len());
    reach.filter(|&other| other != at).map(|other| series[other]).filter(|v| !v.is_nan()).collect()
}

fn spikes(series: &[f32]) -> Vec<f32> {
    spikes_of(series, FLOOR)
}

/// ln of each value over the median of those around it.
fn spikes_of(series: &[f32], floor: f32) -> Vec<f32> {
    (0..series.len())
        .map(|at| {
            let mut near = around(series, at);
            if series[at].is_nan() || near.len() < 2 {
                return f32::NAN;
            }
            ln((series[at] + floor) / (median(&mut near) + floor))
        })
        .collect()
}

/// The largest value with its place, and the largest of those more than two frames from it.
fn two_largest(series: &[f32]) -> [(Option<usize>, f32); 2] {
    let best = |allowed: &dyn Fn(usize) -> bool| {
        let mut found = (None, f32::NAN);
        for (at, &value) in series.iter().enumerate() {
            if !value.is_nan() && allowed(at) && (found.0.is_none() || value > found.1) {
                found = (Some(at), value);
            }
        }
        found
    };
    let first = best(&|_| true);
    let second = best(&|at| first.0.is_some_and(|first| at.abs_diff(first) > 2));
    [first, second]
}

/// ln of the step at `top` over that across it from two frames before to two after: in a jump both are
/// alike, in quick movement the wider step is the larger, in a flash the smaller.
fn isolation(segment: &Segment, difference: &[f32], top: usize) -> f32 {
    let (first, last) = (top.saturating_sub(3), (top + 2).min(difference.len() - 1));
    ln((difference[top] + FLOOR) / (segment.distance(first, last) + FLOOR))
}

/// Least ln of (mean distance of two runs of frames) over (the movement within them).
fn repetition(segment: &Segment, difference: &[f32]) -> f32 {
    let count = difference.len();
    let mut least = f32::NAN;
    for lag in MIN_LAG..count.saturating_sub(RUN) {
        let distances: Vec<f32> =
            (0..count - lag).map(|at| segment.distance(at, at + lag)).collect();
        for start in 0..=distances.len().saturating_sub(RUN) {
            let Some(run) = distances.get(start..start + RUN) else { break };
            let apart = run.iter().sum::<f32>() / RUN as f32;
            let mut moves: Vec<f32> = [start, start + lag]
                .into_iter()
                .flat_map(|first| difference[first + 1..first + RUN].iter().copied())
                .filter(|value| !value.is_nan())
                .collect();
            if moves.len() < RUN {
                continue;
            }
            let ratio = ln((apart + FLOOR) / (median(&mut moves) + FLOOR));
            least = least.min(ratio);
        }
    }
    least
}

/// Least ln of the distance across a run over the smaller of the steps into and out of it: frames before
/// and after something put in belong together.
fn bridge(segment: &Segment, difference: &[f32]) -> f32 {
    let count = difference.len();
    let mut least = f32::NAN;
    for entry in 1..count {
        for exit in entry + 4..count {
            let (into, out) = (difference[entry], difference[exit]);
            if into.is_nan() || out.is_nan() {
                continue;
            }
            let across = segment.distance(entry - 1, exit);
            least = least.min(ln((across + FLOOR) / (into.min(out) + FLOOR)));
        }
    }
    least
}

/// The longest run of neighbours for which `alike` holds, as a share of all.
fn longest(series: &[f32], alike: impl Fn(f32) -> bool) -> f32 {
    let (mut run, mut best, mut known) = (0_u32, 0_u32, 0_u32);
    for &value in series {
        run = if !value.is_nan() && alike(value) { run + 1 } else { 0 };
        best = best.max(run);
        known += u32::from(!value.is_nan());
    }
    if known == 0 { f32::NAN } else { best as f32 / known as f32 }
}

/// |value − mean of its two neighbours| where all three follow one another.
fn bends(series: &[f32], segment: &Segment) -> Vec<f32> {
    (1..series.len().saturating_sub(1))
        .filter(|&at| segment.frames[at].follows && segment.frames[at + 1].follows)
        .map(|at| (series[at] - f32::midpoint(series[at - 1], series[at + 1])).abs())
        .collect()
}

/// ln of the largest over the median.
fn over_median(values: &mut [f32], floor: f32) -> f32 {
    let top = largest(values);
    ln((top + floor) / (median(values) + floor))
}

/// Largest |step of the median of three frames to the next three|.
fn jump(series: &[f32], segment: &Segment) -> f32 {
    let mut best = f32::NAN;
    for at in 3..series.len().saturating_sub(2) {
        if (at - 2..at + 3).all(|at| segment.frames[at].follows) {
            let before = median(&mut series[at - 3..at].to_vec());
            let after = median(&mut series[at..at + 3].to_vec());
            best = best.max((after - before).abs());
        }
    }
    best
}

/// ln of the most restless eight frames over the calmest.
fn unrest(series: &[f32], segment: &Segment) -> f32 {
    let bends = bends(series, segment);
    let windows: Vec<f32> = bends.windows(8).map(|window| mean(window.iter().copied())).collect();
    let top = largest(&windows);
    let low = windows.iter().copied().fold(f32::NAN, f32::min);
    ln((top + 0.01) / (low + 0.01))
}

/// Largest |ln of the movement of five frames over that of the five before|.
fn pace_change(series: &[f32]) -> f32 {
    let known = known_of(series);
    let mut best = f32::NAN;
    for at in 5..known.len().saturating_sub(4) {
        let before = median(&mut known[at - 5..at].to_vec());
        let after = median(&mut known[at..at + 5].to_vec());
        best = best.max(ln((after + FLOOR) / (before + FLOOR)).abs());
    }
    best
}

struct Motion {
    speed: Vec<f32>,
    jump: Vec<f32>,
    roughness: Vec<f32>,
    divergence: Vec<f32>,
}

/// Of the field of block vectors in each frame, in cells: mean speed; change of the median vector against
/// the mean of its neighbours in time; mean distance from the neighbour to the right; mean |divergence|.
fn motion_series(segment: &Segment) -> Motion {
    let (columns, rows) = (segment.layout.columns, segment.layout.rows);
    let unit = super::cells::REDUCED as f32;
    let mut motion = Motion {
        speed: Vec::new(),
        jump: Vec::new(),
        roughness: Vec::new(),
        divergence: Vec::new(),
    };
    let mut middle: Vec<Option<(f32, f32)>> = Vec::new();
    for at in 0..segment.frames.len() {
        if at == 0 || !segment.frames[at].follows {
            middle.push(None);
            continue;
        }
        let field = segment.matches_of(at);
        let part = |axis: fn(&super::motion::Match) -> i32| -> f32 {
            let mut values: Vec<f32> = field.iter().map(|own| axis(own) as f32).collect();
            median(&mut values) / unit
        };
        middle.push(Some((part(|own| own.vector.x), part(|own| own.vector.y))));
        motion.speed.push(mean(
            field
                .iter()
                .map(|own| (own.vector.x.pow(2) + own.vector.y.pow(2)) as f32)
                .map(|square| square.sqrt() / unit),
        ));
        let mut roughness = 0.0;
        let mut divergence = 0.0;
        for row in 1..rows {
            for column in 1..columns {
                let here = field[row * columns + column].vector;
                let left = field[row * columns + column - 1].vector;
                let above = field[(row - 1) * columns + column].vector;
                let (x, y) = ((here.x - left.x) as f32, (here.y - left.y) as f32);
                roughness += (x * x + y * y).sqrt() / unit;
                divergence += ((here.x - left.x + here.y - above.y) as f32).abs() / unit;
            }
        }
        let count = ((rows - 1) * (columns - 1)) as f32;
        motion.roughness.push(roughness / count);
        motion.divergence.push(divergence / count);
    }
    for trio in middle.windows(3) {
        if let [Some(a), Some(b), Some(c)] = trio {
            let x = b.0 - f32::midpoint(a.0, c.0);
            let y = b.1 - f32::midpoint(a.1, c.1);
            motion.jump.push((x * x + y * y).sqrt());
        }
    }
    motion
}

/// Median over the frames of ln(matched residual over difference in place).
fn unexplained(segment: &Segment) -> f32 {
    let mut ratios: Vec<f32> = (1..segment.frames.len())
        .filter(|&at| segment.frames[at].follows)
        .map(|at| {
            let field = segment.matches_of(at);
            let residual = mean(field.iter().map(|own| own.residual));
            let still = mean(field.iter().map(|own| own.still));
            ln((residual + 0.2) / (still + 0.2))
        })
        .collect();
    median(&mut ratios)
}
