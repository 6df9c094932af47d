//! [`ClipBatch`]: clips side by side in memory, as a network takes them.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use fvc_clips::scale_frame_to;
use fvc_media::Frame;

use crate::{Activation, Extents, FrameShape, NetworkError};

/// What is subtracted from each colour, of values in 0 to 1: `ImageNet`'s mean, as the pretrained
/// backbones expect.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// What is divided by then: `ImageNet`'s standard deviation.
pub const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// Clips on one grid, normalised; padding is 0, the mean colour.
#[derive(Clone, Debug)]
pub struct ClipBatch {
    /// `[batch, frames, rows, columns, 3]`, row-major.
    pub values: Vec<f32>,
    /// Shape of `values`.
    pub shape: [usize; 5],
    /// What of it is clip.
    pub extents: Extents,
}

/// The frames of a clip as a network wants them.
///
/// # Errors
/// A frame cannot be scaled.
fn shaped(frames: Vec<Frame>, shape: FrameShape) -> Result<Vec<Frame>, NetworkError> {
    let FrameShape::Square(side) = shape else { return Ok(frames) };
    frames
        .into_iter()
        .map(|frame| {
            let (width, height) = (frame.width() as usize, frame.height() as usize);
            let longest = width.max(height);
            if longest == side {
                return Ok(frame);
            }
            // The longer side becomes the square's; the other keeps the aspect ratio, 2 pixels at least.
            let scaled = |own: usize| ((own * side + longest / 2) / longest).clamp(2, side) as u32;
            Ok(scale_frame_to(&frame, scaled(width), scaled(height))?)
        })
        .collect()
}

impl ClipBatch {
    /// Clips side by side, each given by frames of one size, on the smallest grid that holds them (on a
    /// square of the network's side, where it wants that).
    ///
    /// # Errors
    /// A frame cannot be scaled to the shape.
    pub fn of(clips: Vec<Vec<Frame>>, shape: FrameShape) -> Result<Self, NetworkError> {
        let mut shaped_clips = Vec::with_capacity(clips.len());
        for clip in clips {
            shaped_clips.push(shaped(clip, shape)?);
        }
        let sizes: Vec<[usize; 3]> = shaped_clips
            .iter()
            .map(|clip| {
                let first = clip.first();
                let side = |of: fn(&Frame) -> u32| first.map_or(0, |frame| of(frame) as usize);
                [clip.len(), side(Frame::height), side(Frame::width)]
            })
            .collect();
        let extents = Extents::new(sizes);
        let [frames, mut rows, mut columns] = extents.grid();
        // A vision transformer sees its whole square: padding is part of the picture there.
        let extents = if let FrameShape::Square(side) = shape {
            (rows, columns) = (side, side);
            Extents::new(extents.valid().iter().map(|clip| [clip[0], side, side]).collect())
        } else {
            extents
        };
        let scale = DEVIATION.map(|deviation| 1.0 / (255.0 * deviation));
        let shift: [f32; 3] = std::array::from_fn(|color| -MEAN[color] / DEVIATION[color]);
        let batch = shaped_clips.len();
        let mut values = vec![0.0; batch * frames * rows * columns * 3];
        for (number, clip) in shaped_clips.iter().enumerate() {
            for (at, frame) in clip.iter().enumerate() {
                let line = frame.width() as usize * 3;
                for (row, pixels) in frame.data().chunks_exact(line).enumerate() {
                    let start = (((number * frames + at) * rows + row) * columns) * 3;
                    let target = &mut values[start..start + line];
                    for (to, from) in target.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                        for color in 0..3 {
                            to[color] = f32::from(from[color]) * scale[color] + shift[color];
                        }
                    }
                }
            }
        }
        Ok(Self { values, shape: [batch, frames, rows, columns, 3], extents })
    }

    /// On a device. `pinned`: by way of page-locked memory, from which a device copies while the processor
    /// goes on: Burn's `Backend::staging` takes it from the pool of the device's runtime (on processors it
    /// does nothing).
    pub fn on<B: Backend>(self, device: &B::Device, pinned: bool) -> Activation<B> {
        let mut data = TensorData::new(self.values, self.shape);
        if pinned {
            B::staging(std::iter::once(&mut data), device);
        }
        Activation::of_clip(Tensor::from_data(data, device), self.extents)
    }
}
