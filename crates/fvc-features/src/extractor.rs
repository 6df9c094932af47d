//! [`Extractor`]: frames in, one row of numbers a clip out.

use fvc_media::Frame;

use crate::blocks::Blocks;
use crate::canny::Canny;
use crate::clip_facts::ClipFacts;
use crate::colour::channel_moments;
use crate::grid::{Grid, steps_inside_blocks};
use crate::moments::Moments;
use crate::plane::Plane;
use crate::quantity::Quantity;
use crate::schema::FeatureSet;
use crate::spread::Spread;
use crate::stencils::Stencils;
use crate::texture::Texture;

/// Measures frames one by one and sums a clip up. Owns all scratch memory, which grows to the
/// largest frame seen and is then reused: pushing a frame allocates nothing.
///
/// Values do not depend on the machine's instruction set, nor on what was measured before.
#[derive(Debug)]
pub struct Extractor {
    set: &'static FeatureSet,
    spreads: Vec<Spread>,
    frames: u64,
    plane: Plane,
    stencils: Stencils,
    blocks: Blocks,
    grid: Grid,
    canny: Canny,
    texture: Texture,
    colours: [Moments; 3],
}

impl Extractor {
    /// An extractor of a set's features.
    pub fn new(set: &'static FeatureSet) -> Self {
        Self {
            set,
            spreads: vec![Spread::default(); set.specs.len()],
            frames: 0,
            plane: Plane::default(),
            stencils: Stencils::new(),
            blocks: Blocks::default(),
            grid: Grid::default(),
            canny: Canny::default(),
            texture: Texture::default(),
            colours: [Moments::default(); 3],
        }
    }

    /// The set whose features it measures.
    pub fn set(&self) -> &'static FeatureSet {
        self.set
    }

    /// Frames pushed since the last [`Self::finish`].
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Measures a frame of the clip. Frames may differ in size.
    pub fn push(&mut self, frame: &Frame) {
        self.scan(frame);
        if self.set.specs.iter().any(|spec| spec.quantity.is_of_colour()) {
            self.colours = channel_moments(frame.data());
        }
        for index in 0..self.set.specs.len() {
            let spec = &self.set.specs[index];
            if spec.per_frame {
                let value = self.measure(spec.quantity);
                self.spreads[index].add(value);
            }
        }
        self.frames += 1;
    }

    /// The clip's values in the order of [`FeatureSet::columns`], NaN where a value is missing:
    /// a fact the file does not state, a feature no frame was large enough for, or no frames at
    /// all. Readies the extractor for the next clip.
    pub fn finish(&mut self, clip: &ClipFacts) -> Vec<f64> {
        let mut values = Vec::with_capacity(2 * self.set.specs.len());
        for (spec, spread) in self.set.specs.iter().zip(&mut self.spreads) {
            if spec.per_frame {
                values.push(spread.mean());
                values.push(spread.deviation());
            } else {
                values.push(fact(spec.quantity, clip));
            }
            *spread = Spread::default();
        }
        self.frames = 0;
        values
    }

    /// The fused pass: each row is turned grey just before the filters reach it, while it is in
    /// the cache, and read by all of them before the next.
    fn scan(&mut self, frame: &Frame) {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        self.plane.resize(width, height);
        self.stencils.clear();
        self.blocks.start(width);
        self.grid = Grid::default();
        let rgb = |y: usize| &frame.data()[3 * width * y..3 * width * (y + 1)];
        self.plane.fill_row(0, rgb(0));
        for y in 0..height {
            let below = y + 1 < height;
            if below {
                self.plane.fill_row(y + 1, rgb(y + 1));
            }
            let position = y as isize;
            self.stencils.add_row(
                self.plane.mirrored_row(position - 1, 1),
                self.plane.mirrored_row(position, 1),
                self.plane.mirrored_row(position + 1, 1),
            );
            let row = self.plane.row(y);
            self.blocks.add_row(row);
            self.grid.add_row(y, row, below.then(|| self.plane.row(y + 1)));
        }
        self.blocks.end(self.plane.row(height - 1));
    }

    /// A per-frame value of the frame scanned last.
    fn measure(&mut self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::NoiseEnergy => self.stencils.noise().mean().sqrt(),
            Quantity::NoiseMean => self.stencils.noise().mean(),
            Quantity::NoiseDeviation => self.stencils.noise().deviation(),
            Quantity::DcMean => self.blocks.sums().mean() / 8.0,
            Quantity::DcDeviation => self.blocks.sums().deviation() / 8.0,
            Quantity::AcMean => self.blocks.ac_mean(),
            Quantity::AcDeviation => self.blocks.ac_deviation(),
            Quantity::AcEnergy => self.blocks.ac_energy(),
            Quantity::LaplacianVariance => self.stencils.laplacian().variance(),
            Quantity::GradientMean => self.stencils.gradient().0,
            Quantity::GradientDeviation => self.stencils.gradient().1,
            Quantity::BoundaryInconsistency => self.grid.inconsistency(),
            Quantity::EdgeDensity => {
                let pixels = self.plane.width() as f64 * self.plane.height() as f64;
                self.canny.edge_pixels(&self.plane) as f64 / pixels
            }
            Quantity::TextureUniformity => {
                1.0 / (1.0 + self.texture.box_sums(&self.plane).deviation() / 25.0)
            }
            Quantity::RedDeviation => self.colours[0].deviation(),
            Quantity::GreenDeviation => self.colours[1].deviation(),
            Quantity::BlueDeviation => self.colours[2].deviation(),
            Quantity::BlockSteps => {
                let plane = &self.plane;
                steps_inside_blocks(plane.width(), plane.height(), |y| plane.row(y))
            }
            Quantity::BitRate
            | Quantity::FrameRate
            | Quantity::NativePixels
            | Quantity::ScaledPixels
            | Quantity::IsUpscaled
            | Quantity::IsDownscaled
            | Quantity::OfTheClip => f64::NAN,
        }
    }
}

/// A clip-level value. The per-frame quantities have none.
fn fact(quantity: Quantity, clip: &ClipFacts) -> f64 {
    let flag = |scale: f64, holds: bool| if scale.is_nan() { scale } else { f64::from(holds) };
    match quantity {
        Quantity::BitRate => clip.bit_rate(),
        Quantity::FrameRate => clip.rate(),
        Quantity::NativePixels => clip.native_pixels(),
        Quantity::ScaledPixels => clip.scaled_pixels(),
        Quantity::IsUpscaled => flag(clip.scale(), clip.scale() > 1.0),
        Quantity::IsDownscaled => flag(clip.scale(), clip.scale() < 1.0),
        _ => f64::NAN,
    }
}
