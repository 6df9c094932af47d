//! `fvc verify`.

use std::path::Path;

use fvc_pipeline::{Config, Environment, PipelineError, VerifyOutcome, Workspace};
use serde_json::json;

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    root: Option<&Path>,
    repair: bool,
) -> Result<Ending, CommandError> {
    let root = root.unwrap_or(&context.shared.workspace);
    let outcome = check(context, config, root, repair).map_err(CommandError::Unchecked)?;
    if context.shared.json {
        let mut made = json!(outcome);
        if let Some(made) = made.as_object_mut() {
            made.insert("whole".to_owned(), json!(outcome.is_whole()));
        }
        display::print_json(&made)?;
    } else {
        print(&outcome, &Workspace::open(root)?, repair)?;
    }
    Ok(if outcome.is_whole() { Ending::All } else { Ending::NotWhole })
}

fn check(
    context: &Context<'_>,
    config: &Config,
    root: &Path,
    repair: bool,
) -> Result<VerifyOutcome, PipelineError> {
    let workspace = Workspace::open(root)?;
    let environment = Environment {
        config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    fvc_pipeline::verify(&environment, repair)
}

fn print(outcome: &VerifyOutcome, workspace: &Workspace, repair: bool) -> Result<(), CommandError> {
    let checked = &outcome.checked;
    display::print(&format!(
        "Checked: {} sources with {} files, {} tables and records, {} splits, {} runs, media cache \
         and ledger",
        checked.units, checked.files, checked.derived, checked.splits, checked.runs
    ))?;
    if outcome.findings.is_empty() {
        display::print("All is whole.")?;
        return Ok(());
    }
    let heads = ["WRONG", "FILE", "WHAT", "REPAIRED"];
    let mut table = Table::new(if repair { &heads } else { &heads[..3] });
    for finding in &outcome.findings {
        let mut detail = finding.detail.clone();
        if let Some(instead) = finding.instead.as_ref().filter(|_| !finding.repaired) {
            detail = format!("{detail}; {instead}");
        }
        let mut cells =
            vec![finding.wrong.name().to_owned(), finding.path.display().to_string(), detail];
        if repair {
            cells.push(if finding.repaired { "yes" } else { "no" }.to_owned());
        }
        table.row(cells);
    }
    display::print(&table.render())?;
    let left = outcome.findings.iter().filter(|finding| !finding.repaired).count();
    let found = outcome.findings.len();
    if let Some(manifest) = &outcome.manifest {
        display::print(&format!("{found} found, {left} left"))?;
        display::print(&display::decodes(manifest))?;
        let failures = workspace.stage("verify").join("failures.csv");
        display::print(&display::failures(&outcome.failures, &failures))?;
    } else {
        display::print(&format!("{found} found; --repair mends what can be mended"))?;
    }
    Ok(())
}
