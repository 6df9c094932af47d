//! Mean and population variance from exact integer sums.

/// Sum and sum of squares of integers: exact, hence the same in whatever order they came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) squares: i128,
}

impl Moments {
    /// Arithmetic mean; NaN of nothing.
    pub(crate) fn mean(self) -> f64 {
        self.sum as f64 / self.count as f64
    }

    /// Mean square; NaN of nothing.
    pub(crate) fn mean_square(self) -> f64 {
        self.squares as f64 / self.count as f64
    }

    /// Population variance, from the exact numerator `n Σx² − (Σx)²`; NaN of nothing.
    pub(crate) fn variance(self) -> f64 {
        let count = i128::from(self.count);
        let numerator = count * self.squares - self.sum * self.sum;
        numerator as f64 / (self.count as f64 * self.count as f64)
    }

    /// Population standard deviation; NaN of nothing.
    pub(crate) fn deviation(self) -> f64 {
        self.variance().sqrt()
    }
}
