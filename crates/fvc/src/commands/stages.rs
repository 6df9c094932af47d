//! `fvc run`, and each stage alone.

use fvc_pipeline::{
    Config, Environment, PipelineError, Shard, Stage, StageSelection, StagesOutcome, TrainOptions,
    Workspace,
};
use serde_json::json;

use super::{CommandError, Context, train};
use crate::display;
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    stages: &StageSelection,
    options: &TrainOptions,
    shard: Option<Shard>,
) -> Result<Ending, CommandError> {
    if let Some(shard) = shard
        && stages.has(Stage::Train)
    {
        return Err(PipelineError::Config {
            path: None,
            problem: format!(
                "--shard {shard}: expected stages of 1 to 4 (--stages 1-4), found {stages}. \
                 Training has no shares: it compares all models on all sources, and opens the \
                 sealed test once, for the one that it chose. Run `fvc merge`, then `fvc train`"
            ),
        }
        .into());
    }
    let workspace = Workspace::open(&context.shared.workspace)?;
    let environment = Environment {
        config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let mut ending = Ending::All;
    if stages.has(Stage::Train) {
        // What cannot be trained is said before hours of decoding, and not after them.
        fvc_pipeline::check_training(&environment, options, stages)?;
    }
    let mut made = serde_json::Map::new();
    if stages.iter().any(|stage| stage != Stage::Train) {
        let mut outcome = fvc_pipeline::run_stages(&environment, stages, shard)?;
        if !outcome.failures.is_empty() {
            ending = Ending::Partial;
        }
        if context.shared.json {
            if let Some(shard) = shard {
                made.insert("shard".to_owned(), json!(shard));
            }
            made.append(&mut as_json(&outcome));
        } else {
            let names: Vec<String> = stages
                .iter()
                .filter(|stage| *stage != Stage::Train)
                .map(|stage| format!("{} {stage}", stage.number()))
                .collect();
            // Training tells them again.
            if stages.has(Stage::Train) {
                outcome.notes.clear();
            }
            let share = shard.map_or_else(String::new, |shard| format!(", shard {shard}"));
            print(&format!("Stages {}{share}", names.join(", ")), &outcome)?;
        }
    }
    if stages.has(Stage::Train) {
        let outcome = fvc_pipeline::train(&environment, options)?;
        if !outcome.failures.is_empty() {
            ending = Ending::Partial;
        }
        if context.shared.json {
            made.insert("train".to_owned(), json!(outcome));
        } else {
            display::print("")?;
            display::print(&train::render(&outcome))?;
        }
    }
    if context.shared.json {
        display::print_json(&made)?;
    }
    Ok(ending)
}

/// What stages 1 to 4 did, for machines.
pub(super) fn as_json(outcome: &StagesOutcome) -> serde_json::Map<String, serde_json::Value> {
    let mut made = serde_json::Map::new();
    made.insert("stages".to_owned(), json!(outcome.manifest));
    made.insert("failures".to_owned(), json!(outcome.failures));
    made.insert("damaged".to_owned(), json!(outcome.damaged));
    made.insert("notes".to_owned(), json!(outcome.notes));
    made
}

/// What stages 1 to 4 did, for people.
pub(super) fn print(what: &str, outcome: &StagesOutcome) -> Result<(), CommandError> {
    let complete = outcome.manifest.completed_count();
    display::print(&format!("{what}: {complete} sources complete"))?;
    if outcome.damaged > 0 {
        display::print(&format!(
            "{} of them are damaged: only their whole windows are used",
            outcome.damaged
        ))?;
    }
    for note in &outcome.notes {
        display::print(&format!("Note: {note}"))?;
    }
    display::print(&display::decodes(&outcome.manifest))?;
    let table = outcome.folder.join("failures.csv");
    display::print(&display::failures(&outcome.failures, &table))?;
    Ok(())
}
