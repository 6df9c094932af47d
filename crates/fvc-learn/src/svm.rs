//! Support vector machines: a linear one ([`crate::LinearModel`]) and one with Gaussian kernel
//! ([`KernelModel`]), and their fits.
//!
//! # The model
//! The decision value is `b0 + sum_j b_j x_j` for `kernel = linear`, and
//! `b0 + sum_i a_i exp(-gamma |x - s_i|^2)` over the support vectors s for `kernel = rbf`; positive
//! is fake. It is in units of the margin and **no log odds**: only [`crate::Calibration`], fitted on
//! decision values of groups that were held out, makes a probability of it, and the search over a
//! grid judges its points after such a calibration too. The libraries' own probabilities are never
//! asked for: LIBSVM's (`-b 1`) splits its rows without regard to groups, so that twins of one source
//! stand on both sides and the sigmoid it finds is far too steep.
//!
//! # The fit
//! Linear: LIBLINEAR (Fan et al., "LIBLINEAR: a library for large linear classification", JMLR 9,
//! 2008), the primal problem by trust-region Newton,
//!
//! `1/2 (|b|_2^2 + b0^2) + C sum_i w_i max(0, 1 - s_i f(x_i))^2`
//!
//! as scikit-learn's `LinearSVC`. Gaussian: LIBSVM (Chang and Lin, "LIBSVM: a library for support
//! vector machines", ACM TIST 2, 2011), the dual by sequential minimal optimisation, of
//!
//! `1/2 |f|^2 + C sum_i w_i max(0, 1 - s_i f(x_i))`
//!
//! as scikit-learn's `SVC`. `gamma = scale` is `1 / (p v)` with p the number of inputs and v the
//! variance of all their values by row weight, `auto` is `1 / p`.
//!
//! The libraries know no weights of rows, so rows are repeated in whole numbers: a source with three
//! rows beside one with a single row has each once and the other thrice, with C a third of what it
//! was, which is the same problem exactly. Within one corpus all sources have as many variants as
//! asked for, and nothing is repeated. Class weights go into C.
//!
//! Neither fit draws anything (LIBLINEAR's dual solvers would, from the process's one `rand()`):
//! the seed changes nothing, and neither do threads. What the libraries print is turned off.
//! LIBSVM keeps at most 200 MiB of its kernel matrix, and gives up its tolerance after ten million
//! iterations (100 a row where that is more), which it says on standard error.
//!
//! # Scoring
//! Never by the libraries: safe Rust from the model's own numbers, O(p) or O(p n) for n support
//! vectors.
//!
//! # Explanation
//! The linear one is explained exactly, as logistic regression is. For the Gaussian one the Shapley
//! values are sampled ([`KernelModel`] says how) and come with their standard errors.

mod kernel_model;
#[cfg(feature = "svm")]
mod liblinear;
#[cfg(feature = "svm")]
mod library;
#[cfg(feature = "svm")]
mod libsvm;
mod sampled_shapley;
#[cfg(feature = "svm")]
mod whole_weights;

use fvc_corpus::TrainView;

pub use self::kernel_model::KernelModel;
use crate::parameter_reader::ParameterReader;
use crate::{Estimator, Fitted, LearnError, ParameterValue, Parameters, Preprocessor};

/// How wide the Gaussian is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gamma {
    /// One over the number of inputs times their variance.
    Scale,
    /// One over the number of inputs.
    Auto,
    /// This.
    Value(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernel {
    Linear,
    Gaussian(Gamma),
}

const NAMES: [&str; 5] = ["C", "kernel", "gamma", "class_weight", "tol"];

/// Checked parameters of a support vector machine.
#[derive(Clone, Debug)]
pub(crate) struct SupportVectorMachine {
    name: &'static str,
    c: f64,
    kernel: Kernel,
    balanced: bool,
    tol: f64,
}

impl SupportVectorMachine {
    /// # Errors
    /// An unknown name, a value out of range, or one that would have no effect beside the others.
    pub(crate) fn checked(name: &'static str, given: &Parameters) -> Result<Self, LearnError> {
        let read = ParameterReader::new(name, &NAMES, given)?;
        let gaussian = read.choice("kernel", true, &[("linear", false), ("rbf", true)])?;
        let gamma = match read.get("gamma") {
            None => Gamma::Scale,
            Some(given) if !gaussian => {
                return Err(read.error("gamma", "none with kernel linear", given));
            }
            Some(ParameterValue::Text(text)) if text == "scale" => Gamma::Scale,
            Some(ParameterValue::Text(text)) if text == "auto" => Gamma::Auto,
            Some(ParameterValue::Number(value)) if (1e-9..=1e6).contains(value) => {
                Gamma::Value(*value)
            }
            Some(other) => {
                return Err(read.error(
                    "gamma",
                    "scale, auto, or a number from 1e-9 to 1e6",
                    other,
                ));
            }
        };
        Ok(Self {
            name,
            c: read.number("C", 1.0, 1e-6..=1e6)?,
            kernel: if gaussian { Kernel::Gaussian(gamma) } else { Kernel::Linear },
            balanced: read.choice("class_weight", false, &[("none", false), ("balanced", true)])?,
            tol: read.number("tol", 1e-3, 1e-12..=0.1)?,
        })
    }
}

impl Estimator for SupportVectorMachine {
    fn family(&self) -> &'static str {
        self.name
    }

    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::from([
            ("C".to_owned(), self.c.into()),
            ("class_weight".to_owned(), (if self.balanced { "balanced" } else { "none" }).into()),
            ("tol".to_owned(), self.tol.into()),
        ]);
        let kernel = match self.kernel {
            Kernel::Linear => "linear",
            Kernel::Gaussian(gamma) => {
                let gamma = match gamma {
                    Gamma::Scale => "scale".into(),
                    Gamma::Auto => "auto".into(),
                    Gamma::Value(value) => value.into(),
                };
                parameters.insert("gamma".to_owned(), gamma);
                "rbf"
            }
        };
        parameters.insert("kernel".to_owned(), kernel.into());
        parameters
    }

    #[cfg(feature = "svm")]
    fn fit(
        &self,
        train: &TrainView<'_>,
        preprocessor: &Preprocessor,
    ) -> Result<Fitted, LearnError> {
        train.fit(|train| library::fit(self, train, preprocessor))
    }

    #[cfg(not(feature = "svm"))]
    fn fit(&self, _: &TrainView<'_>, _: &Preprocessor) -> Result<Fitted, LearnError> {
        Err(LearnError::NotBuilt { model: self.name, feature: "svm" })
    }
}
