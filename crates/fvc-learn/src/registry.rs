//! [`ModelKind`]: which models there are, under which names, with which grids.

use std::fmt;
use std::str::FromStr;

use crate::boosting::GradientBoosting;
use crate::ensemble::Ensemble;
use crate::linear::LogisticRegression;
use crate::svm::SupportVectorMachine;
use crate::{Collinearity, Estimator, LearnError, ParameterValue, Parameters, PreprocessorConfig};

/// A model that can be asked for by name: a family, and where the name ends in stages, which stages'
/// features it sees.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelKind {
    /// Penalised logistic regression.
    LogisticRegression,
    /// The same on stage 2's features only.
    LogisticRegressionStage2,
    /// The same on stage 2's and stage 4's features.
    LogisticRegressionStage2Stage4,
    /// The same with the grid and the column filter of the earlier system's stand-alone script.
    SklearnLogreg,
    /// Support vector machines, linear and with Gaussian kernel.
    Svm,
    /// The same on stage 2's features only.
    SvmStage2,
    /// The same on stage 2's and stage 4's features.
    SvmStage2Stage4,
    /// Gradient-boosted trees.
    Xgboost,
    /// A meta-learner or a weighted average over others of these.
    Ensemble,
    /// A 3-D network of Inception blocks over clips of any shape.
    VariableArCnn,
    /// A small 2-D network on each frame.
    NaiveCnn,
    /// A vision transformer on each frame, recurrent units over frames.
    VitGru,
    /// A vision transformer on each frame, attention over frames.
    VitTransformer,
}

/// What fits a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Logistic,
    SupportVectors,
    Trees,
    Stack,
    Network,
}

/// How much of a family's parameters a selection tries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// The grid of the earlier system's scripts, each distinct combination once: 20 for logistic
    /// regression, 6 for support vector machines, 64 for boosted trees; 5 for ensembles.
    Reference,
    /// A few points that span it: 8, 4, 4 and 2.
    #[default]
    Small,
    /// The defaults only: 1.
    None,
}

/// One line of the registry.
struct Entry {
    kind: ModelKind,
    family: Family,
    name: &'static str,
    aliases: &'static [&'static str],
    /// The stages whose features it sees; none: all that there are.
    stages: &'static [&'static str],
    about: &'static str,
}

const REGISTRY: [Entry; 13] = [
    Entry {
        kind: ModelKind::LogisticRegression,
        family: Family::Logistic,
        name: "logistic_regression",
        aliases: &["lr", "logreg", "logistic", "linear"],
        stages: &[],
        about: "Logistic regression on features: L1, L2, elastic net; explains itself by its weights",
    },
    Entry {
        kind: ModelKind::LogisticRegressionStage2,
        family: Family::Logistic,
        name: "logistic_regression_stage2",
        aliases: &["lr_stage2", "logreg_stage2"],
        stages: &["stage2"],
        about: "logistic_regression on the features of stage 2 only",
    },
    Entry {
        kind: ModelKind::LogisticRegressionStage2Stage4,
        family: Family::Logistic,
        name: "logistic_regression_stage2_stage4",
        aliases: &["lr_stage2_stage4", "logreg_stage2_stage4"],
        stages: &["stage2", "stage4"],
        about: "logistic_regression on the features of stages 2 and 4",
    },
    Entry {
        kind: ModelKind::SklearnLogreg,
        family: Family::Logistic,
        name: "sklearn_logreg",
        aliases: &["sklearn_lr", "train_sklearn_logreg"],
        stages: &["stage2", "stage4"],
        about: "Logistic regression as the earlier system's script had it: stages 2 and 4, columns dropped by correlation alone",
    },
    Entry {
        kind: ModelKind::Svm,
        family: Family::SupportVectors,
        name: "svm",
        aliases: &["svc", "support_vector_machine"],
        stages: &[],
        about: "Support vector machines on features: linear (LIBLINEAR) or Gaussian kernel (LIBSVM); probabilities by group",
    },
    Entry {
        kind: ModelKind::SvmStage2,
        family: Family::SupportVectors,
        name: "svm_stage2",
        aliases: &["svc_stage2"],
        stages: &["stage2"],
        about: "svm on the features of stage 2 only",
    },
    Entry {
        kind: ModelKind::SvmStage2Stage4,
        family: Family::SupportVectors,
        name: "svm_stage2_stage4",
        aliases: &["svc_stage2_stage4"],
        stages: &["stage2", "stage4"],
        about: "svm on the features of stages 2 and 4",
    },
    Entry {
        kind: ModelKind::Xgboost,
        family: Family::Trees,
        name: crate::boosting::NAME,
        aliases: &["xgb", "gbt", "gradient_boosting"],
        stages: &[],
        about: "Boosted decision trees on features (XGBoost): early stopping by group, importance, exact SHAP values",
    },
    Entry {
        kind: ModelKind::Ensemble,
        family: Family::Stack,
        name: crate::ensemble::NAME,
        aliases: &["stacking", "stacked"],
        stages: &[],
        about: "Meta-learner or weighted average over other models, learnt on groups that these have not seen",
    },
    Entry {
        kind: ModelKind::VariableArCnn,
        family: Family::Network,
        name: "variable_ar_cnn",
        aliases: &["variable_ar", "inception3d"],
        stages: &[],
        about: "3-D network of Inception blocks on clips of any shape, never squashed to a square",
    },
    Entry {
        kind: ModelKind::NaiveCnn,
        family: Family::Network,
        name: "naive_cnn",
        aliases: &["cnn"],
        stages: &[],
        about: "Small 2-D network on each frame of a clip, averaged: a baseline that cannot see order",
    },
    Entry {
        kind: ModelKind::VitGru,
        family: Family::Network,
        name: "vit_gru",
        aliases: &["vitgru"],
        stages: &[],
        about: "Vision transformer on each frame of a clip, gated recurrent units over the frames",
    },
    Entry {
        kind: ModelKind::VitTransformer,
        family: Family::Network,
        name: "vit_transformer",
        aliases: &["vittransformer"],
        stages: &[],
        about: "Vision transformer on each frame of a clip, attention over the frames in their order",
    },
];

/// How many of the registry's models learn from features; those behind them learn from clips.
const FEATURE_MODELS: usize = 9;

impl ModelKind {
    /// Every model that learns from features.
    pub const ALL: [Self; FEATURE_MODELS] = {
        let mut all = [Self::LogisticRegression; FEATURE_MODELS];
        let mut at = 0;
        while at < FEATURE_MODELS {
            all[at] = REGISTRY[at].kind;
            at += 1;
        }
        all
    };

    /// Every model that learns from clips.
    pub const NETWORKS: [Self; REGISTRY.len() - FEATURE_MODELS] = {
        let mut all = [Self::VariableArCnn; REGISTRY.len() - FEATURE_MODELS];
        let mut at = FEATURE_MODELS;
        while at < REGISTRY.len() {
            all[at - FEATURE_MODELS] = REGISTRY[at].kind;
            at += 1;
        }
        all
    };

    /// Whether it learns from clips: such a model is fitted by a [`crate::ClipEstimator`].
    pub fn is_network(self) -> bool {
        self.entry().family == Family::Network
    }

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

    /// The stages whose features it sees, by the name that begins their columns (`stage2`, `stage4`);
    /// empty: all features that there are.
    pub fn stages(self) -> &'static [&'static str] {
        self.entry().stages
    }

    /// Whether it sees a column, by the stage that the column's name begins with.
    pub fn sees(self, column: &str) -> bool {
        let stages = self.stages();
        stages.is_empty() || stages.iter().any(|stage| of_stage(column, stage))
    }

    /// Those of `columns` that it sees, in their order.
    ///
    /// # Errors
    /// A stage that it needs has no column.
    pub fn columns(self, columns: &[String]) -> Result<Vec<String>, LearnError> {
        self.check_stages(columns)?;
        Ok(columns.iter().filter(|column| self.sees(column)).cloned().collect())
    }

    /// # Errors
    /// A stage that it needs has no column.
    pub(crate) fn check_stages(self, columns: &[String]) -> Result<(), LearnError> {
        for &stage in self.stages() {
            if !columns.iter().any(|column| of_stage(column, stage)) {
                return Err(LearnError::NoFeatures { model: self.name(), stage });
            }
        }
        Ok(())
    }

    /// Whether its scores are log odds before they are calibrated. Those of support vector machines
    /// are not.
    pub(crate) fn scores_in_log_odds(self) -> bool {
        self.entry().family != Family::SupportVectors
    }

    /// The models that are fitted for it: itself, or an ensemble's base models under these parameters.
    ///
    /// # Errors
    /// An ensemble's parameters are not in order.
    pub fn members(self, parameters: &Parameters) -> Result<Vec<Self>, LearnError> {
        Ok(match self {
            Self::Ensemble => Ensemble::checked(parameters, 0)?.bases().to_vec(),
            other => vec![other],
        })
    }

    /// Parameter sets to choose from; what a set does not name keeps its default.
    pub fn grid(self, grid: Grid) -> Vec<Parameters> {
        match (self.entry().family, grid) {
            (_, Grid::None) | (Family::Network, _) => vec![Parameters::new()],
            (Family::Stack, _) => {
                let strengths: &[f64] =
                    if grid == Grid::Small { &[1.0] } else { &[0.01, 0.1, 1.0, 10.0] };
                let learner =
                    |c: &f64| set([("C", (*c).into()), ("method", "meta_learner".into())]);
                let mut points: Vec<Parameters> = strengths.iter().map(learner).collect();
                points.push(set([("method", "weighted_average".into())]));
                points
            }
            (Family::SupportVectors, _) => {
                let strengths: &[f64] =
                    if grid == Grid::Small { &[0.1, 10.0] } else { &[0.1, 1.0, 10.0] };
                let mut points = Vec::new();
                for kernel in ["linear", "rbf"] {
                    for c in strengths {
                        points.push(set([("C", (*c).into()), ("kernel", kernel.into())]));
                    }
                }
                points
            }
            (Family::Logistic, _) => {
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
            (Family::Trees, Grid::Small) => {
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
            (Family::Trees, Grid::Reference) => {
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
    /// that early stopping and ensembles hold out. Logistic regression and support vector machines have nothing
    /// random.
    ///
    /// # Errors
    /// An unknown name, or a value that is out of range or would have no effect.
    pub fn estimator(
        self,
        parameters: &Parameters,
        seed: u64,
    ) -> Result<Box<dyn Estimator>, LearnError> {
        let entry = self.entry();
        Ok(match entry.family {
            Family::Logistic => Box::new(LogisticRegression::checked(entry.name, parameters)?),
            Family::SupportVectors => {
                Box::new(SupportVectorMachine::checked(entry.name, parameters)?)
            }
            Family::Trees => Box::new(GradientBoosting::checked(parameters, seed)?),
            Family::Stack => Box::new(Ensemble::checked(parameters, seed)?),
            Family::Network => return Err(LearnError::LearnsFromClips { model: entry.name }),
        })
    }

    /// What is done to a row before this model sees it. Every family gets training medians for
    /// missing values: which codec lacks a value is the platform in disguise, and a tree that
    /// learns where missing values go learns that. (Two splits can still single out the median of
    /// a column with many holes; the missing-pattern baseline shows what there is to gain.) Linear
    /// models get one scale and no collinear columns, and so do support vector machines;
    /// `sklearn_logreg` gets one scale and loses one of each pair of columns that correlate, as in
    /// the earlier system (where 26 of 38 were left), but inside the training groups; trees need no
    /// scale and only lose columns that say the same twice, whose importance would be shared out by
    /// chance; an ensemble takes rows as they are, for each of its models has its own.
    pub fn preprocessing(self) -> PreprocessorConfig {
        let by_correlation = Collinearity { vif: None, ..Collinearity::default() };
        match (self, self.entry().family) {
            (Self::SklearnLogreg, _) => {
                PreprocessorConfig { collinearity: by_correlation, ..PreprocessorConfig::default() }
            }
            (_, Family::Logistic | Family::SupportVectors) => PreprocessorConfig::default(),
            // Networks see no row of features at all.
            (_, Family::Stack | Family::Network) => {
                PreprocessorConfig { impute: false, scale: false, collinearity: Collinearity::OFF }
            }
            (_, Family::Trees) => {
                PreprocessorConfig { impute: true, scale: false, collinearity: by_correlation }
            }
        }
    }
}

/// Whether a column's name begins with a stage's.
fn of_stage(column: &str, stage: &str) -> bool {
    column.strip_prefix(stage).is_some_and(|rest| rest.starts_with('_'))
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
        match self.entry().family {
            Family::Trees => Parameters::from([("early_stopping_rounds".to_owned(), 0.0.into())]),
            Family::Logistic | Family::SupportVectors | Family::Stack | Family::Network => {
                Parameters::new()
            }
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
