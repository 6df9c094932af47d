//! [`grad_cam`]: where in a clip a network saw what speaks for fake (Selvaraju et al. 2017), over space and
//! time.

use std::path::Path;

use fvc_clips::write_atomically;
use fvc_media::Frame;

use crate::{Activation, Context, FrameShape, Network, NetworkError, TrainBackend, log_odds};

/// How much each position of a clip speaks for fake, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Frames, rows and columns: those of the clip without padding.
    pub shape: [usize; 3],
    /// One number a position, columns running fastest. The largest on the network's own grid is 1, which
    /// lies between pixels where that grid is coarser; all are 0 where nothing speaks for fake.
    pub values: Vec<f32>,
}

/// The blocks that are run with a graph; what goes into the first of them is what is looked at.
fn blocks_with_graph<B: TrainBackend>(network: &Network<B>) -> usize {
    match network {
        Network::VariableArCnn(_) | Network::NaiveCnn(_) => 1,
        // Behind the last transformer block only the class token is read: patches have no gradient
        // there. Their part in it is what the last block's attention takes from them.
        Network::VitGru(_) | Network::VitTransformer(_) => 2.min(network.blocks() - 1),
    }
}

/// The heat of each clip of a batch: activations before the last block (for vision transformers the patch
/// tokens before the last block of the backbone, as a grid), weighed by the mean gradient of the log odds
/// of fake by each channel, what is negative cut off, on the grid of the clip. `context` should be one of
/// evaluation.
///
/// # Errors
/// The clips have no positions.
pub fn grad_cam<B: TrainBackend>(
    network: &Network<B>,
    clips: Activation<B::InnerBackend>,
    context: &Context<B::InnerBackend>,
) -> Result<Vec<Heat>, NetworkError> {
    use burn::module::AutodiffModule;
    let sizes = clips.extents.valid().to_vec();
    if sizes.is_empty() || sizes.iter().any(|size| size.contains(&0)) {
        let found = format!("{sizes:?}");
        return Err(NetworkError::setting("clips", "frames, rows and columns above 0", found));
    }
    network.check_clips(&clips.extents)?;
    let first = network.blocks() - blocks_with_graph(network);
    let without_graph = network.valid();
    let mut activation = clips;
    for block in 0..first {
        activation = without_graph.forward_block(block, activation, context);
    }
    let leaf = Activation::<B>::leaf(activation.clone());
    let again: Context<B> = context.again();
    let mut output = leaf.clone();
    for block in first..network.blocks() {
        output = network.forward_block(block, output, &again);
    }
    // Clips do not touch one another (evaluation has no batch statistics): the gradient of the sum is
    // that of each.
    let mut gradients = log_odds(output.rows()).sum().backward();
    let gradient = leaf
        .gradient(&mut gradients)
        .ok_or_else(|| NetworkError::Internal { what: "an activation without gradient".into() })?;
    let batch = sizes.len();
    // The grid that the activation lies on, what of it is each clip's, and the numbers of one position.
    let (grid, valid, channels, skipped) = match network {
        Network::VariableArCnn(_) | Network::NaiveCnn(_) => {
            let [_, frames, rows, columns, channels] = activation.clone().clip().dims();
            ([frames, rows, columns], activation.extents.valid().to_vec(), channels, 0)
        }
        Network::VitGru(_) | Network::VitTransformer(_) => {
            let [pictures, tokens, width] = activation.clone().tokens().dims();
            let side = (tokens - 1).isqrt();
            let valid = sizes.iter().map(|size| [size[0], side, side]).collect();
            // The class token is nowhere in the picture.
            ([pictures / batch, side, side], valid, width, 1)
        }
    };
    let host = |activation: Activation<B::InnerBackend>| -> Vec<f32> {
        activation.flat().into_data().convert::<f32>().to_vec().unwrap_or_default()
    };
    let (values, slopes) = (host(activation), host(gradient));
    let place = |clip: usize, frame: usize, row: usize, column: usize| {
        let picture = clip * grid[0] + frame;
        (picture * (grid[1] * grid[2] + skipped) + skipped + row * grid[2] + column) * channels
    };
    let mut heats = Vec::with_capacity(batch);
    for (clip, (valid, size)) in valid.iter().zip(&sizes).enumerate() {
        let own: [usize; 3] = std::array::from_fn(|axis| valid[axis].min(grid[axis]));
        let mut places = Vec::with_capacity(own.iter().product());
        for frame in 0..own[0] {
            for row in 0..own[1] {
                places.extend((0..own[2]).map(|column| place(clip, frame, row, column)));
            }
        }
        let mut weights = vec![0.0_f64; channels];
        for &at in &places {
            for (weight, &slope) in weights.iter_mut().zip(&slopes[at..at + channels]) {
                *weight += f64::from(slope);
            }
        }
        let cells: Vec<f32> = places
            .iter()
            .map(|&at| {
                let weighed = weights.iter().zip(&values[at..at + channels]);
                let sum: f64 = weighed.map(|(weight, &value)| weight * f64::from(value)).sum();
                if sum.is_finite() { sum.max(0.0) as f32 } else { 0.0 }
            })
            .collect();
        heats.push(Heat { shape: *size, values: resized(normalised(cells), own, *size) });
    }
    Ok(heats)
}

/// Divided by the largest.
fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let largest = values.iter().copied().fold(0.0, f32::max);
    if largest > 0.0 && largest.is_finite() {
        for value in &mut values {
            *value /= largest;
        }
    } else {
        values.fill(0.0);
    }
    values
}

/// The two positions between which one of `to` lies on an axis of `from`, and the share of the second.
/// Centres of cells lie on one another; beyond the outermost centres nothing changes.
fn between(at: usize, from: f64, to: usize, last: usize) -> (usize, usize, f32) {
    let place = (((at as f64 + 0.5) * from / to as f64) - 0.5).clamp(0.0, last as f64);
    let low = place.floor() as usize;
    (low, (low + 1).min(last), (place - low as f64) as f32)
}

/// Linear between the centres of cells along each axis, one after the other.
fn resized(cells: Vec<f32>, from: [usize; 3], to: [usize; 3]) -> Vec<f32> {
    if from.contains(&0) {
        return vec![0.0; to.iter().product()];
    }
    let (mut cells, mut shape) = (cells, from);
    for axis in 0..3 {
        if shape[axis] == to[axis] {
            continue;
        }
        let inner: usize = shape[axis + 1..].iter().product();
        let mut next = Vec::new();
        for outer in cells.chunks_exact(shape[axis] * inner) {
            for at in 0..to[axis] {
                let (low, high, share) = between(at, from[axis] as f64, to[axis], from[axis] - 1);
                let pair = outer[low * inner..(low + 1) * inner]
                    .iter()
                    .zip(&outer[high * inner..(high + 1) * inner]);
                next.extend(pair.map(|(&low, &high)| low + (high - low) * share));
            }
        }
        shape[axis] = to[axis];
        cells = next;
    }
    cells
}

impl Heat {
    /// The heat of one frame on a picture of `width` and `height`, from which the network's was scaled to
    /// `shape`; nothing where there is no such frame.
    pub fn on_picture(
        &self,
        frame: usize,
        shape: FrameShape,
        (width, height): (u32, u32),
    ) -> Option<Vec<f32>> {
        let [_, rows, columns] = self.shape;
        let plane = self.values.chunks_exact(rows * columns).nth(frame)?;
        let (width, height) = (width as usize, height as usize);
        let longest = width.max(height).max(1) as f64;
        // A picture lies at the upper left of its square.
        let (high, wide) = match shape {
            FrameShape::AnyShape => (rows as f64, columns as f64),
            FrameShape::Square(side) => {
                (side as f64 * height as f64 / longest, side as f64 * width as f64 / longest)
            }
        };
        let mut values = Vec::with_capacity(width * height);
        for row in 0..height {
            let (up, down, below) = between(row, high, height, rows - 1);
            for column in 0..width {
                let (left, right, beside) = between(column, wide, width, columns - 1);
                let line = |row: usize| {
                    let (left, right) = (plane[row * columns + left], plane[row * columns + right]);
                    left + (right - left) * beside
                };
                let (up, down) = (line(up), line(down));
                values.push(up + (down - up) * below);
            }
        }
        Some(values)
    }
}

/// Colours of viridis (van der Walt and Smith 2015, CC0) at 0, 1/8, ... 1: evenly brighter, and told
/// apart by the colour-blind.
const COLOURS: [[f32; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];
/// How much of a picture's own colour the greatest heat covers.
const COVER: f32 = 0.7;

/// The colour of a heat in 0 to 1.
fn colour(heat: f32) -> [f32; 3] {
    let place = heat * (COLOURS.len() - 1) as f32;
    let low = (place as usize).min(COLOURS.len() - 2);
    let share = place - low as f32;
    std::array::from_fn(|at| COLOURS[low][at] + (COLOURS[low + 1][at] - COLOURS[low][at]) * share)
}

/// The longer side that a written picture has at least: networks look at frames too small for people.
const READABLE: u32 = 320;
/// A written picture is so many times as wide as the strip below it is high.
const STRIP: u32 = 24;

/// Writes a frame with its heat over it as PNG, whole or not at all: the more heat, the more of its
/// colour. Small frames are enlarged by a whole number, pixel by pixel, and a strip below has the colours of
/// none (left) to the greatest heat of the window (right).
///
/// # Errors
/// There is not one number for each pixel, or the file cannot be written.
pub fn write_png(path: &Path, frame: &Frame, heat: &[f32]) -> Result<(), NetworkError> {
    let pixels = frame.data().chunks_exact(3);
    if heat.len() != pixels.len() {
        return Err(NetworkError::setting(
            "heat",
            &format!("{} numbers, one for each pixel", pixels.len()),
            heat.len(),
        ));
    }
    let (width, height) = (frame.width(), frame.height());
    let times = READABLE.div_ceil(width.max(height).max(1)).max(1) as usize;
    let wide = width as usize * times;
    let strip = (wide / STRIP as usize).max(1);
    let mut data = Vec::with_capacity(3 * wide * (height as usize * times + strip));
    for (row, heat) in frame.data().chunks(3 * width as usize).zip(heat.chunks(width as usize)) {
        let start = data.len();
        for (pixel, &heat) in row.chunks_exact(3).zip(heat) {
            let heat = if heat.is_finite() { heat.clamp(0.0, 1.0) } else { 0.0 };
            let cover = COVER * heat;
            let pixel = pixel.iter().zip(colour(heat));
            let pixel: Vec<u8> = pixel
                .map(|(&own, over)| (f32::from(own) * (1.0 - cover) + over * cover).round() as u8)
                .collect();
            data.extend(pixel.repeat(times));
        }
        for _ in 1..times {
            data.extend_from_within(start..start + 3 * wide);
        }
    }
    for _ in 0..strip {
        for at in 0..wide {
            data.extend(colour(at as f32 / (wide.max(2) - 1) as f32).map(|own| own.round() as u8));
        }
    }
    let fault = |error: png::EncodingError| NetworkError::Internal { what: error.to_string() };
    let mut bytes = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut bytes, wide as u32, height * times as u32 + strip as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(fault)?;
    writer.write_image_data(&data).map_err(fault)?;
    writer.finish().map_err(fault)?;
    write_atomically(path, &bytes)
        .map_err(|source| NetworkError::Io { path: path.to_owned(), source })
}
