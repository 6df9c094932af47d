//! `fvc merge`.

use std::path::PathBuf;

use fvc_pipeline::{Config, Environment, Workspace};
use serde_json::{Map, Value, json};

use super::{CommandError, Context, index, stages};
use crate::display;
use crate::exit_code::Ending;

pub(super) fn run(context: &Context<'_>, from: &[PathBuf]) -> Result<Ending, CommandError> {
    // A typing error makes no workspace.
    for root in from {
        Workspace::open(root)?;
    }
    let root = &context.shared.workspace;
    let (was_there, was_workspace) = (root.exists(), root.join("workspace.json").exists());
    let workspace =
        if from.is_empty() { Workspace::open(root)? } else { Workspace::open_or_create(root)? };
    // What to make stands in the records of the shares.
    let config = Config::default();
    let environment = Environment {
        config: &config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let outcome = fvc_pipeline::merge(&environment, from).inspect_err(|_| {
        // What was refused leaves no workspace behind that looks like one; the refusal is what counts.
        if !was_workspace {
            drop(workspace.remove_unused(!was_there));
        }
    })?;
    let index_failed = outcome.index.iter().any(|index| !index.failures.is_empty());
    let failed = outcome.stages.iter().any(|(_, stages)| !stages.failures.is_empty());
    if context.shared.json {
        let made: Map<String, Value> = outcome
            .stages
            .iter()
            .map(|(name, outcome)| (name.clone(), Value::Object(stages::as_json(outcome))))
            .collect();
        display::print_json(&json!({
            "index": outcome.index.as_ref().map(index::as_json),
            "commands": made,
            "units": outcome.units,
            "files": outcome.files,
            "cache_entries": outcome.cached,
            "openings": outcome.openings,
        }))?;
    } else {
        if !from.is_empty() {
            display::print(&format!(
                "Taken over: results of {} sources with {} files, {} entries of media caches, {} \
                 openings of sealed tests",
                outcome.units, outcome.files, outcome.cached, outcome.openings
            ))?;
        }
        if let Some(found) = &outcome.index {
            index::print(found)?;
        }
        for (name, outcome) in &outcome.stages {
            display::print("")?;
            stages::print(name, outcome)?;
        }
    }
    Ok(if index_failed || failed { Ending::Partial } else { Ending::All })
}
