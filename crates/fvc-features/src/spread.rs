//! [`Spread`]: running mean and population standard deviation over a clip's frames.

/// Running mean and spread of what is not missing (B. P. Welford, 1962): exact for equal values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Adds a frame's value; a missing one (NaN) is left out.
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (value - self.mean);
    }

    /// NaN when nothing was added.
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// Population standard deviation: 0 of one value, NaN of none.
    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}
