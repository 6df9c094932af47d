//! [`ModelKind`]: which models there are, under which names, with which grids.

use std::fmt;
use std::str::FromStr;

use crate::boosting::{self, GradientBoosting};
use crate::linear::{self, LogisticRegression};
use crate::{Collinearity, Estimator, LearnError, ParameterValue, Parameters, PreprocessorConfig};

/// A model family that can be asked for by name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Penalised logistic regression.
    LogisticRegression,
    /// Gradient-boosted trees.
    Xgboost,
}

/// How much of a family's parameters a selection tries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// The grid of the earlier system's scripts, each distinct combination once: 20 for logistic
    /// regression, 64 for boosted trees.
    Reference,
    /// A few points that span it: 8 and 4.
    #[default]
    Small,
    /// The defaults only: 1.
    None,
}

/// One line of the registry.
struct Entry {
    kind: ModelKind,
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
}

const REGISTRY: [Entry; 2] = [
    Entry {
        kind: ModelKind::LogisticRegression,
        name: linear::NAME,
        aliases: &["lr", "logreg", "logistic", "linear"],
        about: "Logistic regression on features: L1, L2, elastic net; explains itself by its weights",
    },
    Entry {
        kind: ModelKind::Xgboost,
        name: boosting::NAME,
        aliases: &["xgb", "gbt", "gradient_boosting"],
        about: "Boosted decision trees on features (XGBoost): early stopping by group, importance, exact SHAP values",
    },
];

impl ModelKind {
    /// Every model.
    pub const ALL: [Self; 2] = [Self::LogisticRegression, Self::Xgboost];

    fn entry(self) -> &'static Entry {
        // One line each, in the order of the enum: the tests hold the two together.
        &REGISTRY[self as usize]
    }

    /// The name, such as `logistic_regression`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Other names that are understood.
    pub fn aliases(self) -> &'static [&'static str] {
        self.entry().aliases
    }

    /// What it is, in one line.
    pub fn about(self) -> &'static str {
        self.entry().about
    }

    /// Parameter sets to choose from; what a set does not name keeps its default.
    pub fn grid(self, grid: Grid) -> Vec<Parameters> {
        match (self, grid) {
            (_, Grid::None) => vec![Parameters::new()],
            (Self::LogisticRegression, _) => {
                let mut points = Vec::new();
                for c in [0.01, 0.1, 1.0, 10.0] {
                    let plain: &[&str] = if grid == Grid::Small { &["l2"] } else { &["l1", "l2"] };
                    let ratios: &[f64] =
                        if grid == Grid::Small { &[0.5] } else { &[0.1, 0.5, 0.9] };
                    for penalty in plain {
                        points.push(set([("C", c.into()), ("penalty", (*penalty).into())]));
                    }
                    for ratio in ratios {
                        points.push(set([
                            ("C", c.into()),
                            ("penalty", "elasticnet".into()),
                            ("l1_ratio", (*ratio).into()),
                        ]));
                    }
                }
                points
            }
            (Self::Xgboost, Grid::Small) => {
                let mut points = Vec::new();
                for depth in [3.0, 5.0] {
                    for rate in [0.03, 0.1] {
                        points.push(set([
                            ("max_depth", depth.into()),
                            ("learning_rate", rate.into()),
                        ]));
                    }
                }
                points
            }
            (Self::Xgboost, Grid::Reference) => {
                let mut points = Vec::new();
                for depth in [3.0, 5.0] {
                    for rate in [0.01, 0.1] {
                        for rounds in [100.0, 200.0] {
                            for subsample in [0.8, 1.0] {
                                for columns in [0.8, 1.0] {
                                    for alpha in [0.0, 0.1] {
                                        points.push(set([
                                            ("max_depth", depth.into()),
                                            ("learning_rate", rate.into()),
                                            ("n_estimators", rounds.into()),
                                            ("subsample", subsample.into()),
                                            ("colsample_bytree", columns.into()),
                                            ("reg_alpha", alpha.into()),
                                            ("reg_lambda", 1.0.into()),
                                            // The number of rounds is part of this grid; stopping
                                            // would make its values mean the same.
                                            ("early_stopping_rounds", 0.0.into()),
                                        ]));
                                    }
                                }
                            }
                        }
                    }
                }
                points
            }
        }
    }

    /// The points of a grid beside parameters fixed by hand, each distinct one once: what is fixed
    /// is not searched, and what would contradict it is left out of a point, or the point out of
    /// the grid. So `penalty` fixed to `l2` takes the ratio from the points of the elastic net, and
    /// `l1_ratio` fixed leaves only those.
    ///
    /// # Errors
    /// No point goes with what is fixed: a parameter that is unknown, out of range, or against
    /// another one that is fixed.
    pub fn points(self, grid: Grid, fixed: &Parameters) -> Result<Vec<Parameters>, LearnError> {
        let mut points = Vec::new();
        for point in self.grid(grid) {
            if let Some(point) = self.beside(&point, fixed)
                && !points.contains(&point)
            {
                points.push(point);
            }
        }
        if points.is_empty() {
            self.estimator(fixed, 0)?;
            points.push(fixed.clone());
        }
        Ok(points)
    }

    /// All that is fixed and as much of `point` as goes with it; nothing when even the defaults do
    /// not.
    pub(crate) fn beside(self, point: &Parameters, fixed: &Parameters) -> Option<Parameters> {
        let open: Vec<_> = point.iter().filter(|(name, _)| !fixed.contains_key(*name)).collect();
        // Points have a handful of names: every choice of what to leave out, the fewest first.
        let mut choices: Vec<u32> = (0..1_u32 << open.len().min(16)).collect();
        choices.sort_by_key(|left_out| left_out.count_ones());
        choices.into_iter().find_map(|left_out| {
            let mut together = fixed.clone();
            for (at, &(name, value)) in open.iter().enumerate() {
                if left_out >> at & 1 == 0 {
                    together.insert(name.clone(), value.clone());
                }
            }
            self.estimator(&together, 0).is_ok().then_some(together)
        })
    }

    /// Checks parameters; only checked ones can fit.
    ///
    /// `seed` drives all that is random in the fit: rows and columns that trees sample, the groups
    /// that early stopping holds out. Logistic regression has nothing random.
    ///
    /// # Errors
    /// An unknown name, or a value that is out of range or would have no effect.
    pub fn estimator(
        self,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Box<dyn Estimator>, LearnError> {
        Ok(match self {
            Self::LogisticRegression => Box::new(LogisticRegression::checked(parameters)?),
            Self::Xgboost => Box::new(GradientBoosting::checked(parameters, seed)?),
        })
    }

    /// What is done to a row before this model sees it. Every family gets training medians for
    /// missing values: which codec lacks a value is the platform in disguise, and a tree that
    /// learns where missing values go learns that. (Two splits can still single out the median of
    /// a column with many holes; the missing-pattern baseline shows what there is to gain.) Linear
    /// models get one scale and no collinear columns; trees need no scale and only lose columns
    /// that say the same twice, whose importance would be shared out by chance.
    pub fn preprocessing(self) -> PreprocessorConfig {
        match self {
            Self::LogisticRegression => PreprocessorConfig {
                impute: true,
                scale: true,
                collinearity: Collinearity::default(),
            },
            Self::Xgboost => PreprocessorConfig {
                impute: true,
                scale: false,
                collinearity: Collinearity { vif: None, ..Collinearity::default() },
            },
        }
    }
}

fn set<const N: usize>(values: [(&str, ParameterValue); N]) -> Parameters {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl fmt::Display for ModelKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ModelKind {
    type Err = LearnError;

    /// Reads a name or an alias; case does not matter, and `-` is as good as `_`.
    fn from_str(text: &str) -> Result<Self, LearnError> {
        let wanted = text.trim().to_ascii_lowercase().replace('-', "_");
        REGISTRY
            .iter()
            .find(|entry| entry.name == wanted || entry.aliases.contains(&wanted.as_str()))
            .map(|entry| entry.kind)
            .ok_or_else(|| LearnError::UnknownModel {
                expected: REGISTRY.map(|entry| entry.name).join(", "),
                found: text.chars().take(80).collect(),
            })
    }
}
impl ModelKind {
    /// What turns off the parts of a fit that split its training side once more, for sides whose
    /// groups do not carry that: early stopping of boosted trees.
    pub fn without_inner_split(self) -> Parameters {
        match self {
            Self::Xgboost => Parameters::from([("early_stopping_rounds".to_owned(), 0.0.into())]),
            Self::LogisticRegression => Parameters::new(),
        }
    }
}

impl std::str::FromStr for Grid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reference" => Ok(Self::Reference),
            "small" => Ok(Self::Small),
            "none" => Ok(Self::None),
            _ => Err(format!("expected reference, small or none, found {text:?}")),
        }
    }
}
