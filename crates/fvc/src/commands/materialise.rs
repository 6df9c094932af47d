//! `--materialise`: which stages leave MP4 files behind.

use fvc_pipeline::{Config, PipelineError, Stage, StageSelection};

use crate::arguments::{FileStage, MaterialiseArguments};

/// Turns the option into keys of the configuration, which it adds to.
///
/// # Errors
/// A stage is named that is not run, or none is run that could leave files.
pub(super) fn set(
    config: &mut Config,
    stages: &StageSelection,
    command: Option<Stage>,
    given: &MaterialiseArguments,
) -> Result<(), PipelineError> {
    let Some(named) = &given.materialise else { return Ok(()) };
    // A command of one stage has no --stages that could be other ones.
    let wrong = |expected: String| PipelineError::Config {
        path: None,
        problem: match command {
            None => format!("--materialise: expected {expected} in --stages, found {stages}"),
            Some(stage) => format!(
                "--materialise: expected {stage}, since `fvc {stage}` runs no other stage (`fvc run \
                 --stages` does), found another"
            ),
        },
    };
    let writers = [(FileStage::Augment, Stage::Augment), (FileStage::Scale, Stage::Scale)];
    if named.is_empty() && writers.iter().all(|(_, stage)| !stages.has(*stage)) {
        return Err(wrong("stage 1 or 3".to_owned()));
    }
    for (writer, stage) in writers {
        if named.contains(&writer) && !stages.has(stage) {
            return Err(wrong(format!("stage {}", stage.number())));
        }
        if named.contains(&writer) || (named.is_empty() && stages.has(stage)) {
            match writer {
                FileStage::Augment => config.augment.materialise = true,
                FileStage::Scale => config.scale.materialise = true,
            }
        }
    }
    Ok(())
}
