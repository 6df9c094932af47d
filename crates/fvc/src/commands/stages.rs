//! `fvc run`, and each stage alone.

use fvc_pipeline::{Config, Environment, Stage, StageSelection, TrainOptions, Workspace};
use serde_json::json;

use super::{CommandError, Context, train};
use crate::display;
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    stages: &StageSelection,
    options: &TrainOptions,
) -> Result<Ending, CommandError> {
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
        fvc_pipeline::check_training(&environment, stages)?;
    }
    let mut made = serde_json::Map::new();
    if stages.iter().any(|stage| stage != Stage::Train) {
        let outcome = fvc_pipeline::run_stages(&environment, stages)?;
        if !outcome.failures.is_empty() {
            ending = Ending::Partial;
        }
        if context.shared.json {
            made.insert("stages".to_owned(), json!(outcome.manifest));
            made.insert("failures".to_owned(), json!(outcome.failures));
            made.insert("damaged".to_owned(), json!(outcome.damaged));
            made.insert("notes".to_owned(), json!(outcome.notes));
        } else {
            let names: Vec<String> = stages
                .iter()
                .filter(|stage| *stage != Stage::Train)
                .map(|stage| format!("{} {stage}", stage.number()))
                .collect();
            display::print(&format!(
                "Stages {}: {} sources complete",
                names.join(", "),
                outcome.manifest.completed_count()
            ))?;
            if outcome.damaged > 0 {
                display::print(&format!(
                    "{} of them are damaged: only their whole windows are used",
                    outcome.damaged
                ))?;
            }
            // Training tells them again.
            for note in outcome.notes.iter().filter(|_| !stages.has(Stage::Train)) {
                display::print(&format!("Note: {note}"))?;
            }
            display::print(&display::decodes(&outcome.manifest))?;
            display::print(&display::failures(
                &outcome.failures,
                &outcome.folder.join("failures.csv"),
            ))?;
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
