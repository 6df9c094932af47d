//! [`Calibration`]: from a margin to a probability, by Platt's sigmoid.

use fvc_corpus::Label;
use serde::{Deserialize, Serialize};

/// Newton steps at most.
const STEPS: u32 = 100;

/// `P(fake) = 1 / (1 + exp(-(slope * margin + intercept)))` (Platt 1999), fitted on grouped
/// out-of-fold margins with the smoothed targets `(N+ + 1) / (N+ + 2)` and `1 / (N- + 2)` of Lin,
/// Lin and Weng 2007.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Factor of the margin, never below 0: calibration may not turn a ranking around.
    pub slope: f64,
    /// Log odds at margin 0.
    pub intercept: f64,
    /// Rows that it was fitted on; 0: the identity.
    pub rows: usize,
}

impl Calibration {
    /// Margins are taken for log odds as they are.
    pub const IDENTITY: Self = Self { slope: 1.0, intercept: 0.0, rows: 0 };

    /// Fits on margins beside labels; the identity where one class is missing.
    pub fn fit(rows: &[(f64, Label)]) -> Self {
        let fakes = rows.iter().filter(|(_, label)| *label == Label::Fake).count();
        let reals = rows.len() - fakes;
        if fakes == 0 || reals == 0 {
            return Self::IDENTITY;
        }
        let high = (fakes as f64 + 1.0) / (fakes as f64 + 2.0);
        let low = 1.0 / (reals as f64 + 2.0);
        let target = |label: Label| if label == Label::Fake { high } else { low };
        let fit_intercept = |slope: f64| {
            let mut intercept = (((fakes as f64) + 1.0) / ((reals as f64) + 1.0)).ln();
            for _ in 0..STEPS {
                let (mut gradient, mut curvature) = (0.0, 1e-12);
                for &(margin, label) in rows {
                    let p = sigmoid(slope * margin + intercept);
                    gradient += p - target(label);
                    curvature += p * (1.0 - p);
                }
                let step = (gradient / curvature).clamp(-5.0, 5.0);
                intercept -= step;
                if step.abs() < 1e-12 {
                    break;
                }
            }
            intercept
        };
        let loss = |slope: f64, intercept: f64| -> f64 {
            rows.iter()
                .map(|&(margin, label)| {
                    let z = slope * margin + intercept;
                    // log(1 + e^z) - t z, without overflow.
                    z.max(0.0) + (-z.abs()).exp().ln_1p() - target(label) * z
                })
                .sum()
        };
        let (mut slope, mut intercept) = (0.0, fit_intercept(0.0));
        let mut current = loss(slope, intercept);
        for _ in 0..STEPS {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 1e-12, 0.0, 1e-12);
            for &(margin, label) in rows {
                let p = sigmoid(slope * margin + intercept);
                let (d, w) = (p - target(label), p * (1.0 - p));
                ga += margin * d;
                gb += d;
                haa += margin * margin * w;
                hab += margin * w;
                hbb += w;
            }
            if ga.abs() < 1e-10 && gb.abs() < 1e-10 {
                break;
            }
            let determinant = haa * hbb - hab * hab;
            let (da, db) = if determinant > 1e-300 {
                ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant)
            } else {
                (ga / haa, gb / hbb)
            };
            let mut step = 1.0;
            let mut moved = false;
            while step > 1e-10 {
                let (a, b) = (slope - step * da, intercept - step * db);
                let next = loss(a, b);
                if next < current {
                    (slope, intercept, current, moved) = (a, b, next, true);
                    break;
                }
                step /= 2.0;
            }
            if !moved {
                break;
            }
        }
        if slope < 0.0 {
            // The model ranks backwards on data it has not seen: it knows nothing.
            (slope, intercept) = (0.0, fit_intercept(0.0));
        }
        Self { slope, intercept, rows: rows.len() }
    }

    /// Calibrated log odds.
    pub fn log_odds(&self, margin: f64) -> f64 {
        self.slope * margin + self.intercept
    }

    /// Calibrated probability of fake.
    pub fn probability(&self, margin: f64) -> f64 {
        sigmoid(self.log_odds(margin))
    }
}

pub(crate) fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}
