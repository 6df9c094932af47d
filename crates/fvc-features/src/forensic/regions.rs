//! [`Regions`]: cells that differ from their own frame, and cells that change when the rest does not.

use super::cells::{Cell, Layout};
use super::robust::{centre_and_spread, ln, median, quantile};
use super::segment::Segment;

/// ln ratio from which a change is one of the whole picture, a cut or a jump, in which no area stands out.
const GLOBAL: f32 = 0.8;
/// Frames on each side of a step.
const SIDE_FRAMES: usize = 3;
/// Cells of nearest gradient that a cell is held against.
const PEERS: usize = 31;
/// Robust z from which a cell counts to a deviant area.
const DEVIANT: f32 = 2.0;

/// Statistics of a cell whose steps in time are looked for.
pub(crate) const STEPPED: usize = 9;
/// Statistics of a cell that are held against cells of like gradient.
pub(crate) const COMPARED: usize = 7;

/// Clip-level statistics of regions. NaN where there are too few frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    pub(crate) onset: f32,
    pub(crate) onset_second: f32,
    pub(crate) onset_contrast: f32,
    pub(crate) onset_area: f32,
    pub(crate) jump: f32,
    pub(crate) jump_second: f32,
    pub(crate) jump_contrast: f32,
    pub(crate) active_jump: f32,
    pub(crate) onset_rarity: f32,
    pub(crate) fine_onset: f32,
    pub(crate) fine_onset_contrast: f32,
    pub(crate) fine_onset_rarity: f32,
    pub(crate) residual_onset_rarity: f32,
    pub(crate) residual_onset: f32,
    pub(crate) residual_onset_contrast: f32,
    pub(crate) steps: [f32; STEPPED],
    pub(crate) step_contrasts: [f32; STEPPED],
    pub(crate) step_joint: f32,
    pub(crate) step_joint_contrast: f32,
    pub(crate) step_area: f32,
    pub(crate) above: [f32; COMPARED],
    pub(crate) below: [f32; COMPARED],
    pub(crate) deviant_joint: f32,
    pub(crate) deviant_area: f32,
    pub(crate) deviant_drift: f32,
    pub(crate) still_region: f32,
    pub(crate) moving_region: f32,
    pub(crate) blur_spread: f32,
}

/// What of a cell is looked at for a step in time, on scales where a gain is a shift.
fn stepped(cell: &Cell) -> [f32; STEPPED] {
    [
        ln(cell.noise + 0.05),
        cell.correlation,
        cell.flat,
        ln(cell.gradient + 0.2),
        cell.red,
        cell.blue,
        ln(cell.chroma + 0.1),
        cell.luma,
        ln(cell.contrast + 0.5),
    ]
}

/// What of a cell is held against cells of like gradient.
fn compared(cell: &Cell) -> [f32; COMPARED] {
    [
        ln(cell.noise + 0.05),
        cell.tails,
        cell.correlation,
        cell.flat,
        ln(cell.chroma + 0.1),
        if cell.recurrence.is_nan() { 0.0 } else { cell.recurrence },
        ln(cell.contrast + 0.5),
    ]
}

impl Regions {
    pub(crate) fn of(segment: &Segment) -> Self {
        let layout = segment.layout;
        let count = segment.frames.len();
        let cells = layout.cells();
        let (onset, residual_onset) = (
            Bursts::of(segment, &|at, cell| segment.cells_of(at)[cell].difference, 0.5),
            Bursts::of(segment, &|at, cell| segment.matches_of(at)[cell].residual, 0.5),
        );
        let fine = Bursts::of(segment, &|at, cell| segment.cells_of(at)[cell].difference, 0.1);
        let jumps = Jumps::of(segment);
        let steps = Steps::of(segment);
        let deviance = Deviance::of(segment, 0..count);
        let mut blur: Vec<f32> = Vec::with_capacity(cells);
        let mut stillness: Vec<f32> = Vec::with_capacity(cells);
        let mut scratch = Vec::new();
        for cell in 0..cells {
            let over = |scratch: &mut Vec<f32>, value: &dyn Fn(&Cell) -> f32| {
                scratch.clear();
                scratch.extend((0..count).map(|at| value(&segment.cells_of(at)[cell])));
                scratch.retain(|value| !value.is_nan());
                median(scratch)
            };
            blur.push(over(&mut scratch, &|cell| ln((cell.noise + 0.05) / (cell.gradient + 0.2))));
            stillness.push(ln(over(&mut scratch, &|cell| cell.difference) + 0.2));
        }
        let smooth_stillness = smoothed(layout, &stillness);
        let (centre, _) = centre_and_spread(&smooth_stillness, &mut scratch);
        let extreme = |share: f32| {
            let mut values = smooth_stillness.clone();
            quantile(&mut values, share) - centre
        };
        let (_, blur_spread) = centre_and_spread(&blur, &mut scratch);
        Self {
            onset: onset.top,
            onset_second: onset.second,
            onset_contrast: onset.contrast,
            onset_area: onset.area,
            jump: jumps.top,
            jump_second: jumps.second,
            jump_contrast: jumps.contrast,
            active_jump: jumps.active,
            onset_rarity: onset.rarity,
            fine_onset: fine.top,
            fine_onset_contrast: fine.contrast,
            fine_onset_rarity: fine.rarity,
            residual_onset_rarity: residual_onset.rarity,
            residual_onset: residual_onset.top,
            residual_onset_contrast: residual_onset.contrast,
            steps: steps.each,
            step_contrasts: steps.each_contrast,
            step_joint: steps.joint,
            step_joint_contrast: steps.contrast,
            step_area: steps.area,
            above: deviance.above,
            below: deviance.below,
            deviant_joint: deviance.joint,
            deviant_area: deviance.area,
            deviant_drift: Deviance::drift(segment),
            still_region: -extreme(0.02),
            moving_region: extreme(0.98),
            blur_spread,
        }
    }
}

/// The mean of a cell and its neighbours, eight where there are as many.
fn smoothed(layout: Layout, values: &[f32]) -> Vec<f32> {
    let (columns, rows) = (layout.columns, layout.rows);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        for column in 0..columns {
            let (mut sum, mut count) = (0.0, 0.0);
            for y in row.saturating_sub(1)..(row + 2).min(rows) {
                for x in column.saturating_sub(1)..(column + 2).min(columns) {
                    sum += values[y * columns + x];
                    count += 1.0;
                }
            }
            out.push(sum / count);
        }
    }
    out
}

/// The share of all cells in the connected area around `seed` (four neighbours) where `values` exceed
/// `level`, and the area's middle in shares of the picture.
fn area_around(layout: Layout, values: &[f32], seed: usize, level: f32) -> (f32, (f32, f32)) {
    let (columns, rows) = (layout.columns, layout.rows);
    let mut seen = vec![false; values.len()];
    let mut waiting = vec![seed];
    let (mut count, mut x, mut y) = (0.0, 0.0, 0.0);
    seen[seed] = true;
    while let Some(cell) = waiting.pop() {
        let (row, column) = (cell / columns, cell % columns);
        count += 1.0;
        x += column as f32;
        y += row as f32;
        let mut visit = |next: usize| {
            if !seen[next] && values[next] > level {
                seen[next] = true;
                waiting.push(next);
            }
        };
        if column > 0 {
            visit(cell - 1);
        }
        if column + 1 < columns {
            visit(cell + 1);
        }
        if row > 0 {
            visit(cell - columns);
        }
        if row + 1 < rows {
            visit(cell + columns);
        }
    }
    let middle = (x / count / columns as f32, y / count / rows as f32);
    (count / values.len() as f32, middle)
}

fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// The frame in which one area changes as it does in no frame around, while the rest does not.
struct Bursts {
    top: f32,
    second: f32,
    contrast: f32,
    rarity: f32,
    area: f32,
}

impl Bursts {
    fn of(segment: &Segment, value: &dyn Fn(usize, usize) -> f32, floor: f32) -> Self {
        let (layout, count) = (segment.layout, segment.frames.len());
        let cells = layout.cells();
        let follows = |at: usize| at > 0 && segment.frames[at].follows;
        let mut tops: Vec<(usize, f32)> = Vec::new();
        let mut fields: Vec<Vec<f32>> = Vec::new();
        let mut near = Vec::new();
        for at in 1..count {
            let around: Vec<usize> = (at.saturating_sub(3)..(at + 4).min(count))
                .filter(|&other| other != at && follows(other))
                .collect();
            if !follows(at) || around.len() < 3 {
                continue;
            }
            let mut ratios = Vec::with_capacity(cells);
            for cell in 0..cells {
                near.clear();
                near.extend(around.iter().map(|&other| value(other, cell)));
                ratios.push(ln((value(at, cell) + floor) / (median(&mut near) + floor)));
            }
            let mut field = smoothed(layout, &ratios);
            let centre = median(&mut field.clone());
            if centre > GLOBAL {
                continue;
            }
            for own in &mut field {
                *own -= centre;
            }
            tops.push((at, field[argmax(&field)]));
            fields.push(field);
        }
        let mut values: Vec<f32> = tops.iter().map(|(_, top)| *top).collect();
        if values.is_empty() {
            return Self {
                top: f32::NAN,
                second: f32::NAN,
                contrast: f32::NAN,
                rarity: f32::NAN,
                area: f32::NAN,
            };
        }
        let place = argmax(&values);
        let (at, top) = tops[place];
        let seed = argmax(&fields[place]);
        let area = area_around(layout, &fields[place], seed, top / 2.0).0;
        let second = tops
            .iter()
            .filter(|(other, _)| other.abs_diff(at) > 2)
            .map(|(_, top)| *top)
            .fold(f32::NAN, f32::max);
        // Against its own unrest, so that a cell that flares up again and again is none.
        let mut rarity = 0.0_f32;
        let own: Vec<f32> = (0..cells)
            .map(|cell| {
                near.clear();
                near.extend(fields.iter().map(|field| field[cell].abs()));
                1.4826 * median(&mut near)
            })
            .collect();
        let common = median(&mut own.clone()).max(0.01);
        for field in &fields {
            for (value, own) in field.iter().zip(&own) {
                rarity = rarity.max(value / (own + common));
            }
        }
        let contrast = top - median(&mut values);
        Self { top, second, contrast, rarity: ln(1.0 + rarity), area }
    }
}

/// Areas that are one thing before a frame and another from it on, at once: the one step is all that
/// happens in some frames, where movement goes on and a flash goes back.
struct Jumps {
    top: f32,
    second: f32,
    contrast: f32,
    active: f32,
}

impl Jumps {
    fn of(segment: &Segment) -> Self {
        const FLOOR: f32 = 0.5;
        let (layout, count) = (segment.layout, segment.frames.len());
        let cells = layout.cells();
        let steps: Vec<Vec<f32>> = (1..count).map(|at| segment.distances(at - 1, at)).collect();
        let (mut tops, mut active): (Vec<(usize, f32)>, Vec<f32>) = (Vec::new(), Vec::new());
        let mut near = Vec::new();
        let mut order: Vec<usize> = Vec::new();
        for at in 3..count.saturating_sub(2) {
            if !(at - 2..at + 3).all(|own| segment.frames[own].follows) {
                continue;
            }
            let across = segment.distances(at - 3, at + 2);
            let mut field = Vec::with_capacity(cells);
            for cell in 0..cells {
                near.clear();
                near.extend([at - 3, at - 2, at, at + 1].map(|own| steps[own][cell]));
                let step = steps[at - 1][cell] + FLOOR;
                let rise = ln(step / (median(&mut near) + FLOOR));
                // Less than all that happened: it goes on. More: it goes back.
                let rest = ln(step / (across[cell] + FLOOR)).abs();
                field.push(rise - rest);
            }
            order.clear();
            order.extend(0..cells);
            let by_step = |a: &usize, b: &usize| {
                steps[at - 1][*b].total_cmp(&steps[at - 1][*a]).then(a.cmp(b))
            };
            order.sort_unstable_by(by_step);
            let most = (cells / 4).max(1);
            active.push(order[..most].iter().map(|&cell| field[cell]).sum::<f32>() / most as f32);
            let mut field = smoothed(layout, &field);
            let centre = median(&mut field.clone());
            for own in &mut field {
                *own -= centre.max(0.0);
            }
            tops.push((at, field[argmax(&field)]));
        }
        let mut values: Vec<f32> = tops.iter().map(|(_, top)| *top).collect();
        if values.is_empty() {
            return Self { top: f32::NAN, second: f32::NAN, contrast: f32::NAN, active: f32::NAN };
        }
        let (at, top) = tops[argmax(&values)];
        let second = tops
            .iter()
            .filter(|(other, _)| other.abs_diff(at) > 2)
            .map(|(_, top)| *top)
            .fold(f32::NAN, f32::max);
        let contrast = top - median(&mut values);
        Self { top, second, contrast, active: active[argmax(&active)] }
    }
}

/// The frames in which most of the picture changes as it does in no frame around.
fn global_changes(segment: &Segment) -> Vec<bool> {
    let count = segment.frames.len();
    let typical: Vec<f32> = (0..count)
        .map(|at| {
            if at == 0 || !segment.frames[at].follows {
                return f32::NAN;
            }
            let mut own: Vec<f32> =
                segment.cells_of(at).iter().map(|cell| cell.difference).collect();
            ln(median(&mut own) + 0.5)
        })
        .collect();
    (0..count)
        .map(|at| {
            let mut near: Vec<f32> = (at.saturating_sub(3)..(at + 4).min(count))
                .filter(|&other| other != at && !typical[other].is_nan())
                .map(|other| typical[other])
                .collect();
            near.len() >= 3 && typical[at] - median(&mut near) > GLOBAL
        })
        .collect()
}

/// Steps in time of the statistics of areas.
struct Steps {
    each: [f32; STEPPED],
    each_contrast: [f32; STEPPED],
    joint: f32,
    contrast: f32,
    area: f32,
}

impl Steps {
    fn of(segment: &Segment) -> Self {
        let (layout, count) = (segment.layout, segment.frames.len());
        let cells = layout.cells();
        let none = Self {
            each: [f32::NAN; STEPPED],
            each_contrast: [f32::NAN; STEPPED],
            joint: f32::NAN,
            contrast: f32::NAN,
            area: f32::NAN,
        };
        let global = global_changes(segment);
        let places: Vec<usize> = (SIDE_FRAMES..(count + 1).saturating_sub(SIDE_FRAMES))
            .filter(|&at| {
                (at + 1 - SIDE_FRAMES..at + SIDE_FRAMES)
                    .all(|own| segment.frames[own].follows && !global[own])
            })
            .collect();
        if places.len() < 4 {
            return none;
        }
        let values: Vec<[f32; STEPPED]> = segment.cells.iter().map(stepped).collect();
        let mut joint = vec![vec![0.0_f32; cells]; places.len()];
        let mut each = [0.0_f32; STEPPED];
        let mut each_contrast = [0.0_f32; STEPPED];
        let mut scratch = Vec::new();
        for statistic in 0..STEPPED {
            let raw: Vec<Vec<f32>> = places
                .iter()
                .map(|&at| {
                    (0..cells)
                        .map(|cell| {
                            let sum = |frames: std::ops::Range<usize>| -> f32 {
                                frames.map(|own| values[own * cells + cell][statistic]).sum()
                            };
                            let (after, before) =
                                (sum(at..at + SIDE_FRAMES), sum(at - SIDE_FRAMES..at));
                            (after - before) / SIDE_FRAMES as f32
                        })
                        .collect()
                })
                .collect();
            // What a cell does all the time is no step: each is held against its own unrest.
            let own: Vec<f32> = (0..cells)
                .map(|cell| {
                    scratch.clear();
                    scratch.extend(raw.iter().map(|field| field[cell].abs()));
                    1.4826 * median(&mut scratch)
                })
                .collect();
            let common = median(&mut own.clone()).max(1e-3);
            let mut tops = Vec::with_capacity(places.len());
            for (field, joint) in raw.iter().zip(&mut joint) {
                let scaled: Vec<f32> =
                    field.iter().zip(&own).map(|(step, own)| step / (own + common)).collect();
                let mut field = smoothed(layout, &scaled);
                let centre = median(&mut field.clone());
                let mut top = 0.0_f32;
                for (value, joint) in field.iter_mut().zip(joint) {
                    let z = (*value - centre).abs();
                    top = top.max(z);
                    let bounded = z.min(12.0);
                    *joint += bounded * bounded;
                }
                tops.push(top);
            }
            let top = tops.iter().copied().fold(0.0, f32::max);
            each[statistic] = ln(1.0 + top);
            each_contrast[statistic] = ln((1.0 + top) / (1.0 + median(&mut tops)));
        }
        let tops: Vec<f32> = joint.iter().map(|field| field[argmax(field)].sqrt()).collect();
        let place = argmax(&tops);
        let seed = argmax(&joint[place]);
        let (area, _) = area_around(layout, &joint[place], seed, joint[place][seed] / 4.0);
        let top = ln(1.0 + tops[place]);
        let middle = ln(1.0 + median(&mut tops.clone()));
        Self { each, each_contrast, joint: top, contrast: top - middle, area }
    }
}

/// How far areas are from cells of like gradient.
struct Deviance {
    above: [f32; COMPARED],
    below: [f32; COMPARED],
    joint: f32,
    area: f32,
    middle: (f32, f32),
}

impl Deviance {
    fn of(segment: &Segment, frames: std::ops::Range<usize>) -> Self {
        let layout = segment.layout;
        let cells = layout.cells();
        let mut scratch: Vec<f32> = Vec::new();
        let mut over = |value: &dyn Fn(usize) -> f32| {
            scratch.clear();
            scratch.extend(frames.clone().map(value));
            median(&mut scratch)
        };
        let gradients: Vec<f32> =
            (0..cells).map(|cell| over(&|at| segment.cells_of(at)[cell].gradient)).collect();
        let mut order: Vec<usize> = (0..cells).collect();
        order.sort_by(|&a, &b| gradients[a].total_cmp(&gradients[b]).then(a.cmp(&b)));
        let by_frame: Vec<Vec<[f32; COMPARED]>> =
            frames.clone().map(|at| segment.cells_of(at).iter().map(compared).collect()).collect();
        let (mut above, mut below) = ([0.0; COMPARED], [0.0; COMPARED]);
        let mut joint = vec![0.0_f32; cells];
        let first = frames.start;
        for statistic in 0..COMPARED {
            let map: Vec<f32> =
                (0..cells).map(|cell| over(&|at| by_frame[at - first][cell][statistic])).collect();
            let mut field = vec![0.0_f32; cells];
            let mut peers = Vec::with_capacity(PEERS);
            for (rank, &cell) in order.iter().enumerate() {
                let start = rank.saturating_sub(PEERS / 2).min(cells.saturating_sub(PEERS));
                let stop = (start + PEERS).min(cells);
                peers.clear();
                peers.extend(order[start..stop].iter().map(|&peer| map[peer]));
                field[cell] = map[cell] - median(&mut peers);
            }
            let field = smoothed(layout, &field);
            let mut spreads = Vec::new();
            let (centre, spread) = centre_and_spread(&field, &mut spreads);
            let scale = spread.max(1e-3);
            let (mut top, mut low) = (0.0_f32, 0.0_f32);
            for (value, joint) in field.iter().zip(&mut joint) {
                let z = (value - centre) / scale;
                top = top.max(z);
                low = low.max(-z);
                let bounded = z.abs().min(12.0);
                *joint += bounded * bounded;
            }
            above[statistic] = ln(1.0 + top);
            below[statistic] = ln(1.0 + low);
        }
        let seed = argmax(&joint);
        let level = DEVIANT * DEVIANT * COMPARED as f32;
        let (area, middle) = area_around(layout, &joint, seed, level.min(joint[seed] / 2.0));
        Self { above, below, joint: ln(1.0 + joint[seed].sqrt()), area, middle }
    }

    /// How far the most deviant area's middle in the first half of the frames lies from that in the
    /// second, in shares of the picture.
    fn drift(segment: &Segment) -> f32 {
        let count = segment.frames.len();
        if count < 4 {
            return f32::NAN;
        }
        let (first, second) =
            (Self::of(segment, 0..count / 2).middle, Self::of(segment, count / 2..count).middle);
        let (x, y) = (first.0 - second.0, first.1 - second.1);
        (x * x + y * y).sqrt()
    }
}
