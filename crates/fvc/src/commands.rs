//! One module a command family; [`run`] picks, prints errors and gives the exit code.

mod cache;
mod forge;
mod index;
mod models;
mod predict;
mod stages;
mod train;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::CommandFactory;
use fvc_media::PartialPolicy;
use fvc_pipeline::{Config, PipelineError, Progress, Silent, Stage, StageSelection, TrainOptions};

use crate::arguments::{
    Arguments, Command, MakingArguments, Partial, ReadingArguments, Shared, TrainingArguments,
};
use crate::exit_code::{self, Ending};
use crate::interrupt;
use crate::progress_bar::Bars;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error("Standard output or a signal handler: {0}")]
    Terminal(#[from] io::Error),
}

/// What every command gets.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) progress: &'a dyn Progress,
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let bars = Bars::new();
    let silent = Silent;
    let progress: &dyn Progress = if arguments.shared.quiet { &silent } else { &bars };
    let ended = interrupt::flag().map_err(CommandError::from).and_then(|cancel| {
        dispatch(arguments, &Context { shared: &arguments.shared, cancel, progress })
    });
    match ended {
        Ok(ending) => exit_code::of(ending, arguments.shared.exit_zero_on_partial),
        Err(error) => {
            complain(&error);
            match error {
                CommandError::Pipeline(error) => exit_code::of_error(&error),
                CommandError::Terminal(_) => ExitCode::from(exit_code::FAILED),
            }
        }
    }
}

/// The one place that prints errors.
#[allow(clippy::print_stderr)]
fn complain(error: &CommandError) {
    let report = miette::Report::msg(error.to_string());
    eprintln!("fvc: {report}");
}

fn dispatch(arguments: &Arguments, context: &Context<'_>) -> Result<Ending, CommandError> {
    let shared = context.shared;
    match &arguments.command {
        Command::Index { inputs, reading } => {
            index::run(context, &configuration(shared, Some(reading), None, None)?, inputs)
        }
        Command::Run { stages, reading, making, training } => {
            let config = configuration(shared, Some(reading), Some(making), Some(training))?;
            let options = TrainOptions { replan_split: training.replan_split };
            stages::run(context, &config, stages, &options)
        }
        Command::Augment { reading, making } => one_stage(context, Stage::Augment, reading, making),
        Command::Features { reading, making } => {
            one_stage(context, Stage::Features, reading, making)
        }
        Command::Scale { reading, making } => one_stage(context, Stage::Scale, reading, making),
        Command::ScaledFeatures { reading, making } => {
            one_stage(context, Stage::ScaledFeatures, reading, making)
        }
        Command::Train { making, training } => {
            let config = configuration(shared, None, Some(making), Some(training))?;
            let options = TrainOptions { replan_split: training.replan_split };
            stages::run(context, &config, &StageSelection::of(&[Stage::Train]), &options)
        }
        Command::Predict { inputs, model, reading } => {
            let config = configuration(shared, Some(reading), None, None)?;
            predict::run(context, &config, inputs, model.as_deref())
        }
        Command::Forge(forging) => {
            let config = configuration(shared, Some(&forging.reading), None, None)?;
            forge::run(context, &config, forging)
        }
        Command::Models => models::run(context),
        Command::Cache { action } => cache::run(context, action),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "fvc", &mut io::stdout());
            Ok(Ending::All)
        }
    }
}

fn one_stage(
    context: &Context<'_>,
    stage: Stage,
    reading: &ReadingArguments,
    making: &MakingArguments,
) -> Result<Ending, CommandError> {
    let config = configuration(context.shared, Some(reading), Some(making), None)?;
    stages::run(context, &config, &StageSelection::of(&[stage]), &TrainOptions::default())
}

/// The configuration: defaults, then the file, then options.
fn configuration(
    shared: &Shared,
    reading: Option<&ReadingArguments>,
    making: Option<&MakingArguments>,
    training: Option<&TrainingArguments>,
) -> Result<Config, PipelineError> {
    let mut config = match &shared.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(reading) = reading {
        if let Some(partial) = reading.partial {
            config.reading.partial = match partial {
                Partial::Refuse => PartialPolicy::Refuse,
                Partial::Use => PartialPolicy::Use,
            };
        }
        set(&mut config.reading.parallel, reading.parallel);
    }
    if let Some(making) = making {
        set(&mut config.augment.variants, making.variants);
        set(&mut config.augment.kinds, making.kinds.clone());
        set(&mut config.scale.size, making.size);
        config.augment.materialise |= making.materialise;
    }
    if let Some(training) = training {
        set(&mut config.train.models, training.model_types.clone());
        set(&mut config.split.folds, training.folds);
        set(&mut config.split.test_fraction, training.test_fraction);
        set(&mut config.train.grid, training.grid);
        set(&mut config.train.experiment, training.experiment.clone());
        set(&mut config.train.max_error, training.max_error);
        if training.split.is_some() {
            config.split.file.clone_from(&training.split);
        }
        if let Some(seed) = training.seed {
            config.split.seed = seed;
            config.train.seed = seed;
        }
    }
    config.check()?;
    Ok(config)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
