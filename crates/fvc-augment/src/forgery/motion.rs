//! [`motion`]: how much moves in a clip.

use fvc_media::Frame;

/// Below this, [`motion`] is that of noise: a forgery of time (frames removed, repeated, put in
/// another order) changes nothing there that anyone could find.
pub const MOTION_FLOOR: f64 = 2.0;

/// The most cells along a side, and the fewest pixels along a side of one.
const CELLS: usize = 32;
const CELL: usize = 8;

/// A step counts for this much at most: one cut does not make a still scene a moving one.
const MOST: f64 = 16.0;

/// How much moves from one frame to the next, in levels of luma.
///
/// Of each pair of neighbouring frames: the 95th percentile of the absolute differences between the
/// mean levels of the cells of a grid (up to 32 a side, of 8 pixels a side or more), at most 16; of these the
/// mean. Means over cells, so that noise counts little; a high percentile, so that a moving head
/// before a still wall counts. 0 with fewer than two frames.
pub fn motion(frames: &[Frame]) -> f64 {
    let cells: Vec<Vec<f64>> = frames.iter().map(cells).collect();
    let steps = cells.windows(2).map(|pair| {
        let mut changes: Vec<f64> =
            pair[0].iter().zip(&pair[1]).map(|(before, after)| (before - after).abs()).collect();
        let place = changes.len() * 95 / 100;
        if place >= changes.len() {
            return 0.0;
        }
        changes.select_nth_unstable_by(place, f64::total_cmp).1.min(MOST)
    });
    let (sum, count) = steps.fold((0.0, 0.0), |(sum, count), step| (sum + step, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// Mean levels of the cells of a frame.
fn cells(frame: &Frame) -> Vec<f64> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let count = |side: usize| (side / CELL).clamp(1, CELLS);
    let (columns, rows) = (count(width), count(height));
    let mut sums = vec![(0_u64, 0_u64); columns * rows];
    for (y, line) in frame.data().chunks_exact(3 * width.max(1)).enumerate() {
        let row = &mut sums[columns * (y * rows / height)..][..columns];
        for (x, pixel) in line.chunks_exact(3).enumerate() {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u64::from);
            let (sum, pixels) = &mut row[x * columns / width];
            // BT.601's weights in thousandths.
            *sum += 299 * red + 587 * green + 114 * blue;
            *pixels += 1000;
        }
    }
    sums.iter().map(|&(sum, pixels)| sum as f64 / pixels.max(1) as f64).collect()
}
