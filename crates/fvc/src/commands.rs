//! One module a command family; [`run`] picks, prints errors and gives the exit code.

mod cache;
mod explain_group;
mod forge;
mod index;
mod materialise;
mod merge;
mod models;
mod predict;
mod slurm;
mod stages;
mod train;
mod verify;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::CommandFactory;
use fvc_learn::{ModelKind, ParameterValue};
use fvc_media::PartialPolicy;
use fvc_pipeline::ranks::{self, Ranks};
use fvc_pipeline::{
    Config, PipelineError, Progress, Shard, Silent, Stage, StageSelection, TrainOptions,
};

use crate::arguments::{
    Arguments, Command, DamagedArguments, FramingArguments, MakingArguments, MaterialiseArguments,
    ParallelArguments, Partial, ReadingArguments, Shared, TrainingArguments,
};
use crate::display;
use crate::exit_code::{self, Ending};
use crate::interrupt;
use crate::progress_bar::Bars;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// What was to be checked could not be.
    #[error(transparent)]
    Unchecked(PipelineError),
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
    let launched = if trains(&arguments.command) { ranks::launched() } else { None };
    let Some(launched) = launched else {
        let ended = interrupt::flag(interrupt::GRACE).map_err(CommandError::from);
        let ended = ended.and_then(|cancel| {
            dispatch(arguments, &Context { shared: &arguments.shared, cancel, progress })
        });
        return ExitCode::from(code_of(ended, arguments));
    };
    let ranks = match Ranks::join(launched) {
        Ok(ranks) => ranks,
        Err(error) => return ExitCode::from(code_of(Err(error.into()), arguments)),
    };
    let ended = interrupt::flag(interrupt::GRACE_OF_RANKS).map_err(CommandError::from);
    let ended = ended.and_then(|cancel| {
        if ranks.is_first() {
            dispatch(arguments, &Context { shared: &arguments.shared, cancel, progress })
        } else {
            ranks.serve(&cancel).map(|()| Ending::All).map_err(CommandError::from)
        }
    });
    let code = code_of(ended, arguments);
    ranks.end(code);
    ExitCode::from(code)
}

/// Whether a command has networks to train, perhaps.
fn trains(command: &Command) -> bool {
    match command {
        Command::Train { export_jobs, .. } => export_jobs.is_none(),
        Command::Run { stages, .. } => stages.has(Stage::Train),
        _ => false,
    }
}

/// The exit code of a command, whose error is printed.
fn code_of(ended: Result<Ending, CommandError>, arguments: &Arguments) -> u8 {
    match ended {
        Ok(ending) => exit_code::of(ending, arguments.shared.exit_zero_on_partial),
        Err(error) => {
            complain(&error);
            match error {
                CommandError::Pipeline(error) => exit_code::of_error(&error),
                CommandError::Unchecked(PipelineError::Cancelled) => exit_code::INTERRUPTED,
                CommandError::Unchecked(_) => exit_code::USAGE,
                CommandError::Terminal(_) => exit_code::FAILED,
            }
        }
    }
}

/// The one place that prints errors.
#[allow(clippy::print_stderr)]
fn complain(error: &CommandError) {
    let lines: Vec<String> = error.to_string().lines().map(display::plain).collect();
    let report = miette::Report::msg(lines.join("\n"));
    eprintln!("fvc: {report}");
}

fn dispatch(arguments: &Arguments, context: &Context<'_>) -> Result<Ending, CommandError> {
    let shared = context.shared;
    match &arguments.command {
        Command::Index { inputs, fvc, fvc_labels, explain_group, parallel, shard } => {
            let given = Given { parallel: Some(parallel), ..Given::default() };
            let mut config = configuration(shared, &given)?;
            config.fvc = fvc_labels.iter().fold(config.fvc, |policy, rule| policy.with(*rule));
            match explain_group {
                Some(name) => explain_group::run(context, &config, name),
                None => index::run(context, &config, inputs, fvc.as_deref(), shard.shard),
            }
        }
        Command::Run { stages, reading, making, framing, materialise, training, shard } => {
            let given = Given {
                framing: Some(framing),
                training: Some(training),
                ..Given::of(reading, making)
            };
            let mut config = configuration(shared, &given)?;
            materialise::set(&mut config, stages, None, materialise)?;
            let options = TrainOptions { replan_split: training.replan_split };
            stages::run(context, &config, stages, &options, shard.shard)
        }
        Command::Augment { reading, making, materialise, shard } => {
            let given = Given::of(reading, making);
            one_stage(context, Stage::Augment, &given, Some(materialise), shard.shard)
        }
        Command::Features { reading, making, shard } => {
            one_stage(context, Stage::Features, &Given::of(reading, making), None, shard.shard)
        }
        Command::Scale { reading, making, framing, materialise, shard } => {
            let given = Given { framing: Some(framing), ..Given::of(reading, making) };
            one_stage(context, Stage::Scale, &given, Some(materialise), shard.shard)
        }
        Command::ScaledFeatures { reading, making, shard } => one_stage(
            context,
            Stage::ScaledFeatures,
            &Given::of(reading, making),
            None,
            shard.shard,
        ),
        Command::Train { making, training, export_jobs, shard } => {
            let given =
                Given { making: Some(making), training: Some(training), ..Given::default() };
            let config = configuration(shared, &given)?;
            let options = TrainOptions { replan_split: training.replan_split };
            if let Some(folder) = export_jobs {
                return train::export(context, &config, &options, folder);
            }
            let stages = StageSelection::of(&[Stage::Train]);
            stages::run(context, &config, &stages, &options, *shard)
        }
        Command::Predict { inputs, model, explain, reading } => {
            let given = Given {
                damaged: Some(&reading.damaged),
                parallel: Some(&reading.parallel),
                ..Given::default()
            };
            let config = configuration(shared, &given)?;
            predict::run(context, &config, inputs, model.as_deref(), explain.as_deref())
        }
        Command::Merge { from } => merge::run(context, from),
        Command::Verify { root, repair } => {
            let config = configuration(shared, &Given::default())?;
            verify::run(context, &config, root.as_deref(), *repair)
        }
        Command::Forge(forging) => {
            let given = Given {
                damaged: Some(&forging.reading.damaged),
                parallel: Some(&forging.reading.parallel),
                ..Given::default()
            };
            let config = configuration(shared, &given)?;
            forge::run(context, &config, forging)
        }
        Command::Slurm(job) => slurm::run(context.shared, job),
        Command::Models => models::run(context),
        Command::Cache { action } => cache::run(context, action),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "fvc", &mut script);
            display::print(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Ending::All)
        }
    }
}

fn one_stage(
    context: &Context<'_>,
    stage: Stage,
    given: &Given<'_>,
    materialise: Option<&MaterialiseArguments>,
    shard: Option<Shard>,
) -> Result<Ending, CommandError> {
    let mut config = configuration(context.shared, given)?;
    let stages = StageSelection::of(&[stage]);
    if let Some(materialise) = materialise {
        materialise::set(&mut config, &stages, Some(stage), materialise)?;
    }
    stages::run(context, &config, &stages, &TrainOptions::default(), shard)
}

/// The options of a command that stand for keys of the configuration.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    damaged: Option<&'a DamagedArguments>,
    parallel: Option<&'a ParallelArguments>,
    making: Option<&'a MakingArguments>,
    framing: Option<&'a FramingArguments>,
    training: Option<&'a TrainingArguments>,
}

impl<'a> Given<'a> {
    fn of(reading: &'a ReadingArguments, making: &'a MakingArguments) -> Self {
        Self {
            damaged: Some(&reading.damaged),
            parallel: Some(&reading.parallel),
            making: Some(making),
            ..Self::default()
        }
    }
}

/// The configuration: defaults, then the file, then options.
fn configuration(shared: &Shared, given: &Given<'_>) -> Result<Config, PipelineError> {
    let mut config = match &shared.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(partial) = given.damaged.and_then(|damaged| damaged.partial) {
        config.reading.partial = match partial {
            Partial::Refuse => PartialPolicy::Refuse,
            Partial::Use => PartialPolicy::Use,
        };
    }
    set(&mut config.reading.parallel, given.parallel.and_then(|given| given.parallel));
    config.scale.letterbox |= given.framing.is_some_and(|framing| framing.letterbox);
    if let Some(making) = given.making {
        set(&mut config.augment.variants, making.variants);
        set(&mut config.augment.kinds, making.kinds.clone());
        set(&mut config.scale.sizes, making.sizes.clone());
        if making.feature_size.is_some() {
            config.scale.feature_size = making.feature_size;
        }
        set(&mut config.scale.scaler, making.scaler);
    }
    if let Some(training) = given.training {
        set(&mut config.train.models, training.model_types.clone());
        ensemble(&mut config, training)?;
        networks(&mut config, training)?;
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

/// The options about networks, which mean nothing without one.
fn networks(config: &mut Config, training: &TrainingArguments) -> Result<(), PipelineError> {
    let wrong = |problem: String| PipelineError::Config { path: None, problem };
    let models: Vec<ModelKind> =
        config.train.models.iter().copied().filter(|kind| kind.is_network()).collect();
    let text = |value: &Option<String>| value.clone().map(ParameterValue::Text);
    let weights = training.weights.as_ref().map(|path| path.display().to_string());
    let given = [
        ("weights", weights.map(ParameterValue::Text)),
        ("random_backbone", training.random_backbone.then_some(ParameterValue::Flag(true))),
        ("precision", text(&training.precision)),
        ("epochs", training.epochs.map(ParameterValue::Number)),
        ("device", text(&training.device)),
        ("devices", text(&training.devices)),
        ("rank_patience", training.rank_patience.map(ParameterValue::Number)),
        ("tensor_parallel", training.tensor_parallel.map(ParameterValue::Number)),
        ("memory", training.memory.map(ParameterValue::Number)),
    ];
    for (name, value) in given {
        let Some(value) = value else { continue };
        let option = name.replace('_', "-");
        // A backbone is what some have; the others take no notice of how it would begin.
        let has_it = |kind: &ModelKind| {
            name != "random_backbone"
                || matches!(kind, ModelKind::VitGru | ModelKind::VitTransformer)
        };
        let names: Vec<&str> = ModelKind::NETWORKS
            .iter()
            .filter(|kind| has_it(kind))
            .map(|kind| kind.name())
            .collect();
        let meant: Vec<ModelKind> = models.iter().copied().filter(has_it).collect();
        if meant.is_empty() {
            return Err(wrong(format!(
                "--{option}: expected a network that it is about among --model-types ({}), found none",
                names.join(", ")
            )));
        }
        if name == "weights" && meant.len() > 1 {
            return Err(wrong(format!(
                "--weights: expected one network among --model-types, found {}; name each one's by \
                 train.parameters.MODEL.weights of the configuration",
                meant.len()
            )));
        }
        for kind in meant {
            let own = config.train.parameters.entry(kind).or_default();
            // Either says where; an option wins over the file, however that says it.
            match name {
                "device" => drop(own.remove("devices")),
                "devices" => drop(own.remove("device")),
                _ => {}
            }
            own.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// The options about ensembles, which mean nothing without one.
fn ensemble(config: &mut Config, training: &TrainingArguments) -> Result<(), PipelineError> {
    let bases = training.ensemble_bases.as_ref().map(|bases| {
        let names: Vec<&str> = bases.iter().map(|kind| kind.name()).collect();
        ("bases", "--ensemble-bases", names.join(","))
    });
    let network = training.ensemble_bases.iter().flatten().find(|kind| kind.is_network());
    if let Some(network) = network {
        return Err(PipelineError::Config {
            path: None,
            problem: format!(
                "--ensemble-bases: expected models of features, found {network}: networks, which learn from \
                 clips, cannot be bases"
            ),
        });
    }
    let method = training.ensemble_method.clone();
    let method = method.map(|method| ("method", "--ensemble-method", method));
    for (name, option, value) in bases.into_iter().chain(method) {
        if !training.train_ensemble && !config.train.models.contains(&ModelKind::Ensemble) {
            return Err(PipelineError::Config {
                path: None,
                problem: format!(
                    "{option}: expected ensemble among --model-types, or --train-ensemble, found neither"
                ),
            });
        }
        let own = config.train.parameters.entry(ModelKind::Ensemble).or_default();
        own.insert(name.to_owned(), ParameterValue::Text(value));
    }
    if training.train_ensemble {
        config.train.add_ensemble();
    }
    if config.train.models.contains(&ModelKind::Ensemble) {
        let settings = config.train.settings(ModelKind::Ensemble);
        ModelKind::Ensemble
            .estimator(&settings.parameters, settings.seed)
            .map_err(|error| PipelineError::Config { path: None, problem: error.to_string() })?;
    }
    Ok(())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
