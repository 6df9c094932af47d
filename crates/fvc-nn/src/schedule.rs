//! [`Schedule`]: the learning rate over steps.

use serde::{Deserialize, Serialize};

/// Linear warm-up, then a half cosine down to a last share (Loshchilov and Hutter 2017).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of warm-up.
    pub warmup_steps: u64,
    /// All steps.
    pub steps: u64,
    /// What is left of the learning rate at the end, 0 to 1.
    pub last_share: f64,
}

impl Schedule {
    /// The factor of every learning rate at a step, counted from 0: above 0 from the first step on.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return (step + 1) as f64 / self.warmup_steps as f64;
        }
        let rest = self.steps.saturating_sub(self.warmup_steps).max(1);
        let share = ((step - self.warmup_steps) as f64 / rest as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.last_share + (1.0 - self.last_share) * cosine
    }
}
