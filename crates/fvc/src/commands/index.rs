//! `fvc index`.

use std::path::PathBuf;

use fvc_pipeline::{Config, Environment, PipelineError, Workspace};
use serde_json::json;

use super::{CommandError, Context};
use crate::display;
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    inputs: &[PathBuf],
) -> Result<Ending, CommandError> {
    // A typing error makes no workspace.
    for input in inputs {
        fvc_corpus::check_input(input).map_err(PipelineError::from)?;
    }
    let workspace = Workspace::open_or_create(&context.shared.workspace)?;
    let environment = Environment {
        config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let outcome = fvc_pipeline::index(&environment, inputs)?;
    if context.shared.json {
        display::print_json(&json!({
            "manifest": outcome.manifest,
            "real": outcome.sources[0],
            "fake": outcome.sources[1],
            "groups": outcome.groups,
            "groups_with_real": outcome.groups_by_label[0],
            "groups_with_fake": outcome.groups_by_label[1],
            "ignored_files": outcome.ignored,
            "failures": outcome.failures,
        }))?;
    } else {
        let [real, fake] = outcome.sources;
        let [real_groups, fake_groups] = outcome.groups_by_label;
        display::print(&format!(
            "{} sources: {real} real in {real_groups} groups, {fake} fake in {fake_groups} groups; \
             {} groups in all",
            real + fake,
            outcome.groups
        ))?;
        if outcome.ignored > 0 {
            display::print(&format!(
                "{} files beside the videos (text, tables, pictures) were left alone",
                outcome.ignored
            ))?;
        }
        display::print(&display::failures(
            &outcome.failures,
            &workspace.index().join("failures.csv"),
        ))?;
    }
    Ok(if outcome.failures.is_empty() { Ending::All } else { Ending::Partial })
}
