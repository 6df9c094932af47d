//! Estimators, selection, metrics, calibration and statistics.
//!
//! Under construction.

mod boosting;
mod error;
mod estimator;
mod linear;
mod model_body;
mod parameter_reader;
mod preprocess;
mod registry;
mod training_table;

pub use boosting::{Tree, TreeModel};
pub use error::LearnError;
pub use estimator::{Estimator, Fitted, ParameterValue, Parameters};
pub use linear::LinearModel;
pub use model_body::{Contributions, MODEL_BODY_VERSION, ModelBody};
pub use preprocess::{Collinearity, DropReason, DroppedColumn, Preprocessor, PreprocessorConfig};
pub use registry::{Grid, ModelKind};
