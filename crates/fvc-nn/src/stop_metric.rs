//! [`StopMetric`]: what decides when training has gone on long enough.

use serde::{Deserialize, Serialize};

/// A number of held-out sources; larger is better once turned by [`StopMetric::gain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMetric {
    /// Mean negative log likelihood.
    #[default]
    LogLoss,
    /// Area under the ROC curve.
    RocAuc,
    /// Mean of both classes' recall at log odds 0.
    BalancedAccuracy,
}

impl StopMetric {
    /// Every metric.
    pub const ALL: [Self; 3] = [Self::LogLoss, Self::RocAuc, Self::BalancedAccuracy];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogLoss => "log_loss",
            Self::RocAuc => "roc_auc",
            Self::BalancedAccuracy => "balanced_accuracy",
        }
    }

    /// The value over (log odds, fake); none where a class is missing.
    pub fn value(self, scored: &[(f64, bool)]) -> Option<f64> {
        let count = |fake: bool| scored.iter().filter(|(_, own)| *own == fake).count() as f64;
        let (real, fake) = (count(false), count(true));
        match self {
            Self::LogLoss => {
                let loss = |&(z, fake): &(f64, bool)| {
                    z.max(0.0) + (-z.abs()).exp().ln_1p() - if fake { z } else { 0.0 }
                };
                let sum: f64 = scored.iter().map(loss).sum();
                (!scored.is_empty()).then(|| sum / scored.len() as f64)
            }
            _ if real == 0.0 || fake == 0.0 => None,
            Self::RocAuc => {
                let mut wins = 0.0;
                for (z, _) in scored.iter().filter(|(_, fake)| *fake) {
                    for (other, _) in scored.iter().filter(|(_, fake)| !*fake) {
                        wins += if z > other {
                            1.0
                        } else if z == other {
                            0.5
                        } else {
                            0.0
                        };
                    }
                }
                Some(wins / (real * fake))
            }
            Self::BalancedAccuracy => {
                let right = |class: bool| {
                    scored.iter().filter(|(z, fake)| *fake == class && (*z > 0.0) == class).count()
                };
                Some(0.5 * (right(false) as f64 / real + right(true) as f64 / fake))
            }
        }
    }

    /// The same so that more is better.
    pub fn gain(self, value: f64) -> f64 {
        if self == Self::LogLoss { -value } else { value }
    }
}
