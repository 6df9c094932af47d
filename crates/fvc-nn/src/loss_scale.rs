//! [`LossScale`]: keeps the gradients of half-precision floats in their range.

use serde::{Deserialize, Serialize};

use crate::Precision;

/// What the loss is multiplied by (Micikevicius et al. 2018): halved when gradients are not finite,
/// doubled after 2000 good steps. 1 and fixed for formats that have the range of f32.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    scale: f64,
    good_steps: u64,
    moves: bool,
}

const GROW_AFTER: u64 = 2000;

impl LossScale {
    /// As a format needs it.
    pub fn for_precision(precision: Precision) -> Self {
        let moves = precision == Precision::F16;
        Self { scale: if moves { 65_536.0 } else { 1.0 }, good_steps: 0, moves }
    }

    /// The factor.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Takes in whether a step's gradients were finite.
    pub fn after_step(&mut self, finite: bool) {
        if !self.moves {
            return;
        }
        if finite {
            self.good_steps += 1;
            if self.good_steps >= GROW_AFTER {
                self.scale = (self.scale * 2.0).min(16_777_216.0);
                self.good_steps = 0;
            }
        } else {
            self.scale = (self.scale / 2.0).max(1.0);
            self.good_steps = 0;
        }
    }
}
