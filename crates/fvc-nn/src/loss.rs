//! [`Loss`]: how far log odds are from labels.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// A loss of log odds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Binary cross-entropy.
    #[default]
    BinaryCrossEntropy,
    /// Focal loss (Lin et al. 2017): cross-entropy times (1 - probability of the label)^gamma.
    Focal,
}

/// A loss with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Which.
    pub kind: LossKind,
    /// Exponent of the focal loss.
    pub focal_gamma: f64,
    /// What the focal loss weighs fakes by; real ones by 1 less it. None: both by 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focal_alpha: Option<f64>,
    /// Share of each label that is given to the other class (Szegedy et al. 2016).
    pub label_smoothing: f64,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            kind: LossKind::BinaryCrossEntropy,
            focal_gamma: 2.0,
            focal_alpha: None,
            label_smoothing: 0.0,
        }
    }
}

impl Loss {
    /// The weighted sum over a batch: `[batch]` log odds, labels (0 real, 1 fake) and weights. In f32.
    pub fn weighted_sum<B: Backend>(
        &self,
        log_odds: Tensor<B, 1>,
        labels: &[f32],
        weights: &[f32],
    ) -> Tensor<B, 1> {
        let device = log_odds.device();
        let row = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<B, 1>::from_data(TensorData::new(values, [count]), &device)
        };
        let smoothing = self.label_smoothing as f32;
        let targets =
            row(labels.iter().map(|label| label * (1.0 - smoothing) + smoothing / 2.0).collect());
        let z = log_odds.cast(DType::F32);
        // max(z, 0) - z y + ln(1 + e^-|z|): no overflow on either side. The maximum is written as (z + |z|) / 2,
        // which is exact, and whose gradient at 0, where a clip of nothing but zeros is, is 1/2 as it must be.
        let size = z.clone().abs();
        let rest = size.clone().neg().exp().log1p();
        let entropy = (z.clone() + size.clone()) * 0.5 - z.clone() * targets + rest.clone();
        let loss = match self.kind {
            LossKind::BinaryCrossEntropy => entropy,
            LossKind::Focal => {
                // The logarithm of the other class's probability, of which a power is a multiple: the power
                // itself has no gradient where the probability is 0, with an exponent below 1.
                let signs = row(labels.iter().map(|label| 1.0 - 2.0 * label).collect());
                let other = (z * signs - size) * 0.5 - rest;
                let focal = entropy * (other * self.focal_gamma).exp();
                match self.focal_alpha {
                    None => focal,
                    Some(alpha) => {
                        let alpha = alpha as f32;
                        let share = |label: &f32| label * alpha + (1.0 - label) * (1.0 - alpha);
                        focal * row(labels.iter().map(share).collect())
                    }
                }
            }
        };
        (loss * row(weights.to_vec())).sum()
    }
}
