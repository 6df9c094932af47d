//! Padded batches: clips of different size in one tensor, each in the low corner of its grid.

use crate::error::KernelError;
use crate::geometry::volume;

/// A batch's grid with each sample's part of it that holds numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid<'a> {
    /// N, D, H, W.
    pub(crate) shape: [usize; 4],
    extents: &'a [[usize; 3]],
}

impl<'a> Grid<'a> {
    pub(crate) fn new(
        shape: [usize; 4],
        channels: usize,
        extents: &'a [[usize; 3]],
    ) -> Result<Self, KernelError> {
        let [batch, depth, height, width] = shape;
        if shape.contains(&0) || channels == 0 {
            return Err(KernelError::Geometry(format!(
                "a size is zero: {shape:?}, {channels} channels"
            )));
        }
        volume("the grid", &[batch, depth, height, width, channels])?;
        if extents.len() != batch {
            return Err(KernelError::Length {
                what: "extents",
                expected: batch,
                found: extents.len(),
            });
        }
        for extent in extents {
            if extent.contains(&0)
                || extent.iter().zip(&shape[1..]).any(|(valid, size)| valid > size)
            {
                return Err(KernelError::Geometry(format!(
                    "an extent of {extent:?} in a grid of {:?}",
                    &shape[1..]
                )));
            }
        }
        Ok(Self { shape, extents })
    }

    pub(crate) fn positions(&self) -> usize {
        self.shape.iter().product()
    }

    /// Lines along the width.
    pub(crate) fn lines(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// Positions of a line that hold numbers; they are its first.
    pub(crate) fn valid(&self, line: usize) -> usize {
        let [_, depth, height, _] = self.shape;
        let [valid_depth, valid_height, valid_width] = self.extents[line / (depth * height)];
        if line / height % depth < valid_depth && line % height < valid_height {
            valid_width
        } else {
            0
        }
    }

    /// Positions of one sample that hold numbers.
    pub(crate) fn count_of(&self, sample: usize) -> u64 {
        self.extents[sample].iter().map(|&size| size as u64).product()
    }

    /// Positions that hold numbers.
    pub(crate) fn count(&self) -> u64 {
        (0..self.shape[0]).map(|sample| self.count_of(sample)).sum()
    }
}
