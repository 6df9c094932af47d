//! [`KernelModel`]: a fitted machine with Gaussian kernel as plain numbers.

use serde::{Deserialize, Serialize};

use super::sampled_shapley::{Marginals, sampled_shapley};
use crate::Contributions;
#[cfg(feature = "svm")]
use crate::training_table::TrainingTable;

/// Most inputs of a stored model.
const MAX_WIDTH: usize = 1 << 16;
/// Most numbers of a stored model's support vectors: they bound the size of a file.
const MAX_NUMBERS: usize = 1 << 23;
/// Training rows that stand for all of them in an explanation.
const BACKGROUND: usize = 32;
/// Pairs of permutations that an explanation draws for each of them, at least and at most.
const PAIRS: [usize; 2] = [4, 32];
/// How many Gaussians an explanation may take beyond the least number of pairs: a quarter of a
/// second or so.
const GAUSSIANS: usize = 30_000_000;

/// A sum of Gaussians around support vectors: `b0 + sum_i a_i exp(-gamma |x - s_i|^2)`. Positive is
/// fake; the unit is the margin's, not log odds.
///
/// Its explanation compares with up to 32 training rows, spread evenly over the weight of the
/// training side, and samples permutations of the inputs (Castro, Gomez and Tejada, "Polynomial
/// calculation of the Shapley value based on sampling", 2009), each beside its reverse, the same
/// number for each of those rows: 32 pairs, or for a large model fewer, at least 4. The base is the
/// mean score of those rows, and the values add up to the score less the base whatever the
/// permutations; each comes with the standard error that sampling leaves in it. The permutations
/// are the same ones every time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredKernelModel")]
pub struct KernelModel {
    gamma: f64,
    intercept: f64,
    /// One a support vector.
    coefficients: Vec<f64>,
    /// Row-major, `support vectors x inputs`.
    support: Vec<f64>,
    /// Row-major, `rows x inputs`: what an explanation compares with.
    background: Vec<f64>,
    /// Weighted standard deviation of each input over the training rows.
    deviations: Vec<f64>,
}

/// [`KernelModel`] as it is read, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKernelModel {
    gamma: f64,
    intercept: f64,
    coefficients: Vec<f64>,
    support: Vec<f64>,
    background: Vec<f64>,
    deviations: Vec<f64>,
}

impl TryFrom<StoredKernelModel> for KernelModel {
    type Error = String;

    fn try_from(stored: StoredKernelModel) -> Result<Self, String> {
        let StoredKernelModel { gamma, intercept, coefficients, support, background, deviations } =
            stored;
        let model = Self { gamma, intercept, coefficients, support, background, deviations };
        model.check()?;
        Ok(model)
    }
}

impl KernelModel {
    #[cfg(feature = "svm")]
    pub(super) fn of(
        gamma: f64,
        intercept: f64,
        coefficients: Vec<f64>,
        support: Vec<f64>,
        table: &TrainingTable,
        deviations: Vec<f64>,
    ) -> Self {
        let background =
            table.spread(BACKGROUND).into_iter().flat_map(|at| table.row(at)).copied().collect();
        Self { gamma, intercept, coefficients, support, background, deviations }
    }

    /// How narrow the Gaussians are, above 0.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// Number of support vectors.
    pub fn support_vectors(&self) -> usize {
        self.coefficients.len()
    }

    pub(crate) fn width(&self) -> usize {
        self.deviations.len()
    }

    pub(crate) fn margin(&self, row: &[f64]) -> f64 {
        self.support.chunks_exact(self.width()).zip(&self.coefficients).fold(
            self.intercept,
            |sum, (vector, coefficient)| {
                let distance: f64 = vector.iter().zip(row).map(|(s, x)| (s - x) * (s - x)).sum();
                sum + coefficient * (-self.gamma * distance).exp()
            },
        )
    }

    pub(crate) fn contributions(&self, row: &[f64]) -> Contributions {
        let background = self.background.chunks_exact(self.width());
        let one_pair = 2 * background.len() * self.support.len();
        let pairs = (GAUSSIANS / one_pair.max(1)).clamp(PAIRS[0], PAIRS[1]);
        sampled_shapley(&mut Walk::new(self), row, background, pairs)
    }

    /// Mean size of the gradient over the background rows times the standard deviation of the
    /// input.
    pub(crate) fn importance(&self) -> Vec<f64> {
        let width = self.width();
        let mut sizes = vec![0.0; width];
        for row in self.background.chunks_exact(width) {
            let mut gradient = vec![0.0; width];
            for (vector, coefficient) in self.support.chunks_exact(width).zip(&self.coefficients) {
                let distance: f64 = vector.iter().zip(row).map(|(s, x)| (s - x) * (s - x)).sum();
                let pull = 2.0 * self.gamma * coefficient * (-self.gamma * distance).exp();
                for ((slope, s), x) in gradient.iter_mut().zip(vector).zip(row) {
                    *slope += pull * (s - x);
                }
            }
            for (size, slope) in sizes.iter_mut().zip(gradient) {
                *size += slope.abs();
            }
        }
        sizes.iter().zip(&self.deviations).map(|(size, spread)| size * spread).collect()
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for numbers in [
            &[self.gamma, self.intercept],
            self.coefficients.as_slice(),
            &self.support,
            &self.background,
            &self.deviations,
        ] {
            hasher.update(&(numbers.len() as u64).to_le_bytes());
            for number in numbers {
                hasher.update(&number.to_le_bytes());
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let (width, vectors) = (self.deviations.len(), self.coefficients.len());
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(format!("expected 1 to {MAX_WIDTH} inputs, found {width}"));
        }
        if !(1..=MAX_NUMBERS / width).contains(&vectors) {
            return Err(format!(
                "expected 1 to {} support vectors, found {vectors}",
                MAX_NUMBERS / width
            ));
        }
        if self.support.len() != vectors * width {
            return Err(format!(
                "expected {vectors} support vectors of {width} inputs, found {} numbers",
                self.support.len()
            ));
        }
        let rows = self.background.len() / width;
        if !self.background.len().is_multiple_of(width) || !(1..=BACKGROUND).contains(&rows) {
            return Err(format!(
                "expected 1 to {BACKGROUND} background rows of {width} inputs, found {} numbers",
                self.background.len()
            ));
        }
        let numbers = [&self.coefficients, &self.support, &self.background, &self.deviations];
        let numbers = numbers.into_iter().flatten().chain([&self.gamma, &self.intercept]);
        if let Some(found) = numbers.into_iter().find(|value| !value.is_finite()) {
            return Err(format!("expected finite numbers, found {found}"));
        }
        if let Some(found) = self.deviations.iter().find(|value| **value < 0.0) {
            return Err(format!("expected deviations of at least 0, found {found}"));
        }
        if self.gamma <= 0.0 {
            return Err(format!("expected a gamma above 0, found {}", self.gamma));
        }
        Ok(())
    }
}

/// The score while inputs change one by one, by the distances to all support vectors.
struct Walk<'a> {
    model: &'a KernelModel,
    /// Support vectors input by input: `inputs x vectors`.
    columns: Vec<f64>,
    distances: Vec<f64>,
}

impl<'a> Walk<'a> {
    fn new(model: &'a KernelModel) -> Self {
        let (width, vectors) = (model.width(), model.coefficients.len());
        let mut columns = vec![0.0; width * vectors];
        for (at, vector) in model.support.chunks_exact(width).enumerate() {
            for (input, value) in vector.iter().enumerate() {
                columns[input * vectors + at] = *value;
            }
        }
        Self { model, columns, distances: vec![0.0; vectors] }
    }
}

impl Marginals for Walk<'_> {
    fn start(&mut self, row: &[f64]) -> f64 {
        let vectors = self.model.support.chunks_exact(self.model.width());
        for (distance, vector) in self.distances.iter_mut().zip(vectors) {
            *distance = vector.iter().zip(row).map(|(s, x)| (s - x) * (s - x)).sum();
        }
        self.model.margin(row)
    }

    fn change(&mut self, input: usize, from: f64, to: f64) -> f64 {
        let vectors = self.distances.len();
        let column = &self.columns[input * vectors..(input + 1) * vectors];
        for (distance, s) in self.distances.iter_mut().zip(column) {
            *distance += (s - to) * (s - to) - (s - from) * (s - from);
        }
        self.model
            .coefficients
            .iter()
            .zip(&self.distances)
            .fold(self.model.intercept, |sum, (coefficient, distance)| {
                sum + coefficient * (-self.model.gamma * distance).exp()
            })
    }
}
