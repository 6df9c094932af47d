//! [`Extents`]: which part of a padded batch is clip.

/// The valid part of each clip of a padded batch: frames, rows and columns, from the first. The rest is
/// padding, which no layer lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extents {
    valid: Vec<[usize; 3]>,
}

impl Extents {
    /// Of these clips; each in frames, rows, columns.
    pub fn new(valid: Vec<[usize; 3]>) -> Self {
        Self { valid }
    }

    /// Of `batch` clips that fill the grid.
    pub fn full(batch: usize, grid: [usize; 3]) -> Self {
        Self { valid: vec![grid; batch] }
    }

    /// The valid part of each clip.
    pub fn valid(&self) -> &[[usize; 3]] {
        &self.valid
    }

    /// The smallest grid that holds every clip.
    pub fn grid(&self) -> [usize; 3] {
        let longest = |axis: usize| self.valid.iter().map(|own| own[axis]).max().unwrap_or(0);
        [longest(0), longest(1), longest(2)]
    }

    /// Whether every clip fills this grid.
    pub fn fill(&self, grid: [usize; 3]) -> bool {
        self.valid.iter().all(|own| *own == grid)
    }

    /// Valid positions of all clips.
    pub fn positions(&self) -> usize {
        self.valid.iter().map(|[frames, rows, columns]| frames * rows * columns).sum()
    }

    /// What is valid after a convolution or pooling: for each axis what a clip alone would give.
    #[must_use]
    pub fn after(&self, kernel: [usize; 3], stride: [usize; 3], padding: [usize; 3]) -> Self {
        let size = |own: &[usize; 3], axis: usize| {
            let room = own[axis] + 2 * padding[axis];
            if room < kernel[axis] { 0 } else { (room - kernel[axis]) / stride[axis] + 1 }
        };
        Self {
            valid: self
                .valid
                .iter()
                .map(|own| [size(own, 0), size(own, 1), size(own, 2)])
                .collect(),
        }
    }

    /// 1 where a clip is and 0 where padding is, over the grid: batch x frames x rows x columns.
    pub fn mask(&self, grid: [usize; 3]) -> Vec<f32> {
        let [frames, rows, columns] = grid;
        let mut mask = vec![0.0; self.valid.len() * frames * rows * columns];
        for (clip, own) in self.valid.iter().enumerate() {
            for frame in 0..own[0].min(frames) {
                for row in 0..own[1].min(rows) {
                    let start = ((clip * frames + frame) * rows + row) * columns;
                    mask[start..start + own[2].min(columns)].fill(1.0);
                }
            }
        }
        mask
    }
}
