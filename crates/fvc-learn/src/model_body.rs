//! [`ModelBody`]: a fitted model as plain numbers that our own code scores.

use serde::{Deserialize, Serialize};

use crate::{EnsembleModel, KernelModel, LearnError, LinearModel, TreeModel};

/// Largest number of bytes of a model that [`ModelBody::from_json`] looks at.
const MAX_MODEL_BYTES: usize = 256 << 20;

/// Version of the form in which a body is stored; another one is refused.
pub const MODEL_BODY_VERSION: u32 = 1;

/// A fitted model: numbers that are scored in safe Rust, without the library that fitted them.
///
/// Scores ("margins") are 0 where undecided and positive towards fake: log odds, but for support
/// vector machines, whose decision values only a [`crate::Calibration`] makes log odds of. Every body
/// gives Shapley values in the same unit, so that `base + sum(values) == margin` up to rounding:
/// exact ones, or for Gaussian kernels sampled ones with their standard errors.
///
/// Stored as JSON with a version, a hash and bounds: see [`ModelBody::from_json`]. Deserialising
/// checks too, so that a body inside a larger file cannot pass unchecked.
///
/// That an unfitted model could predict is impossible by type: only a fit or a checked file
/// makes a `ModelBody`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredBody", into = "StoredBody")]
pub enum ModelBody {
    /// A weighted sum.
    Linear(LinearModel),
    /// A sum of trees.
    Trees(TreeModel),
    /// A sum of Gaussians around support vectors.
    Kernel(KernelModel),
    /// A weighted sum of other models, each with its own preprocessing.
    Ensemble(EnsembleModel),
}

/// How much each input moved one score, in the unit of the score: Shapley values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributions {
    /// The score of the training data on average: what is said before any input is seen.
    pub base: f64,
    /// What each input adds, in the order of the inputs; positive moves towards fake.
    pub values: Vec<f64>,
    /// Standard error of each value where they were sampled; nothing where they are exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors: Option<Vec<f64>>,
}

/// [`ModelBody`] as it is written: with a version, not yet checked when read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBody {
    version: u32,
    /// BLAKE3 over every number, so that a flipped digit is no other model.
    hash: String,
    model: StoredModel,
}

// Not internally tagged: serde would then hold every number as an f64 on the way, and an f32 must
// come back bit for bit.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredModel {
    Linear(LinearModel),
    Trees(TreeModel),
    Kernel(KernelModel),
    Ensemble(EnsembleModel),
}

impl From<ModelBody> for StoredBody {
    fn from(body: ModelBody) -> Self {
        let hash = body.hash();
        let model = match body {
            ModelBody::Linear(model) => StoredModel::Linear(model),
            ModelBody::Trees(model) => StoredModel::Trees(model),
            ModelBody::Kernel(model) => StoredModel::Kernel(model),
            ModelBody::Ensemble(model) => StoredModel::Ensemble(model),
        };
        Self { version: MODEL_BODY_VERSION, hash, model }
    }
}

impl TryFrom<StoredBody> for ModelBody {
    type Error = String;

    fn try_from(stored: StoredBody) -> Result<Self, String> {
        if stored.version != MODEL_BODY_VERSION {
            return Err(format!(
                "model version: expected {MODEL_BODY_VERSION}, found {}",
                stored.version
            ));
        }
        let body = match stored.model {
            StoredModel::Linear(model) => Self::Linear(model),
            StoredModel::Trees(model) => Self::Trees(model),
            StoredModel::Kernel(model) => Self::Kernel(model),
            StoredModel::Ensemble(model) => Self::Ensemble(model),
        };
        // The model inside has checked its bounds when it was read.
        let found = body.hash();
        if found == stored.hash {
            Ok(body)
        } else {
            Err(format!("model hash: expected {}, found {found}", stored.hash))
        }
    }
}

impl ModelBody {
    /// The score of one preprocessed row; NaN when the row has not [`ModelBody::width`]
    /// values, so that a wrong row can never look like a score. [`ModelBody::score`] says so as an
    /// error.
    pub fn margin(&self, row: &[f64]) -> f64 {
        if row.len() != self.width() {
            return f64::NAN;
        }
        match self {
            Self::Linear(model) => model.margin(row),
            Self::Trees(model) => model.margin(row),
            Self::Kernel(model) => model.margin(row),
            Self::Ensemble(model) => model.margin(row),
        }
    }

    /// [`ModelBody::margin`], with a row of the wrong width as an error.
    ///
    /// # Errors
    /// The row has not as many values as the model has inputs.
    pub fn score(&self, row: &[f64]) -> Result<f64, LearnError> {
        if row.len() == self.width() {
            Ok(self.margin(row))
        } else {
            Err(LearnError::Width { expected: self.width(), found: row.len() })
        }
    }

    /// Probability of fake, 0 to 1, before calibration: the logistic function of the margin.
    pub fn probability(&self, row: &[f64]) -> f64 {
        logistic(self.margin(row))
    }

    /// Shapley values of one preprocessed row in the unit of the score; all NaN when the row has the
    /// wrong width.
    pub fn contributions(&self, row: &[f64]) -> Contributions {
        if row.len() != self.width() {
            let values = vec![f64::NAN; self.width()];
            return Contributions { base: f64::NAN, values, standard_errors: None };
        }
        match self {
            Self::Linear(model) => model.contributions(row),
            Self::Trees(model) => model.contributions(row),
            Self::Kernel(model) => model.contributions(row),
            Self::Ensemble(model) => model.contributions(row),
        }
    }

    /// How much the model relies on each input, in the order of the inputs, adding up to 1 (all 0
    /// for a model that uses none): |coefficient| x standard deviation for a linear model, gain
    /// for trees, mean |gradient| x standard deviation for kernels, and for ensembles what their
    /// models say, by weight.
    pub fn importance(&self) -> Vec<f64> {
        let raw = match self {
            Self::Linear(model) => model.importance(),
            Self::Trees(model) => model.gains(),
            Self::Kernel(model) => model.importance(),
            Self::Ensemble(model) => model.importance(),
        };
        let total: f64 = raw.iter().sum();
        if total > 0.0 { raw.iter().map(|value| value / total).collect() } else { raw }
    }

    /// Number of inputs: the preprocessor's kept columns.
    pub fn width(&self) -> usize {
        match self {
            Self::Linear(model) => model.width(),
            Self::Trees(model) => model.width(),
            Self::Kernel(model) => model.width(),
            Self::Ensemble(model) => model.width(),
        }
    }

    /// Whether every number and index is within its bounds.
    ///
    /// # Errors
    /// What is wrong, as `expected …, found …`.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Linear(model) => model.check(),
            Self::Trees(model) => model.check(),
            Self::Kernel(model) => model.check(),
            Self::Ensemble(model) => model.check(),
        }
    }

    /// BLAKE3 over the family and every number of the model, in hexadecimal.
    fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&MODEL_BODY_VERSION.to_le_bytes());
        match self {
            Self::Linear(model) => {
                hasher.update(b"linear");
                model.feed(&mut hasher);
            }
            Self::Trees(model) => {
                hasher.update(b"trees");
                model.feed(&mut hasher);
            }
            Self::Kernel(model) => {
                hasher.update(b"kernel");
                model.feed(&mut hasher);
            }
            Self::Ensemble(model) => {
                hasher.update(b"ensemble");
                model.feed(&mut hasher);
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The body as JSON; read back by [`ModelBody::from_json`] it scores the same, bit for bit.
    ///
    /// # Errors
    /// The body is not within its bounds (then it could not be read back).
    pub fn to_json(&self) -> Result<Vec<u8>, LearnError> {
        self.check().map_err(|found| LearnError::Model {
            expected: "a model within its bounds".to_owned(),
            found,
        })?;
        serde_json::to_vec(self).map_err(|error| LearnError::Model {
            expected: "a model that can be written as JSON".to_owned(),
            found: error.to_string(),
        })
    }

    /// Reads a body that [`ModelBody::to_json`] wrote.
    ///
    /// # Errors
    /// More than 256 MiB, no such JSON, another version, anything out of its bounds, or a number
    /// that was changed since (hash).
    pub fn from_json(bytes: &[u8]) -> Result<Self, LearnError> {
        if bytes.len() > MAX_MODEL_BYTES {
            return Err(LearnError::Model {
                expected: format!("at most {MAX_MODEL_BYTES} bytes"),
                found: format!("{} bytes", bytes.len()),
            });
        }
        serde_json::from_slice(bytes).map_err(|error| LearnError::Model {
            expected: format!("a model body of version {MODEL_BODY_VERSION} as JSON"),
            found: error.to_string(),
        })
    }
}

/// 1 / (1 + e^-margin), without overflow on either side.
pub(crate) fn logistic(margin: f64) -> f64 {
    if margin >= 0.0 {
        1.0 / (1.0 + (-margin).exp())
    } else {
        let odds = margin.exp();
        odds / (1.0 + odds)
    }
}
