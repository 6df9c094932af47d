//! `fvc verify`.

use std::collections::BTreeMap;
use std::path::Path;

use fvc_pipeline::{
    Config, Environment, Finding, Mended, PipelineError, VerifyOutcome, Workspace, Wrong,
};
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
    let (orphans, others): (Vec<&Finding>, Vec<&Finding>) =
        outcome.findings.iter().partition(|finding| finding.wrong == Wrong::Orphaned);
    let heads = ["WRONG", "FILE", "WHAT", "REPAIRED"];
    let mut table = Table::new(if repair { &heads } else { &heads[..3] });
    for finding in &others {
        let mut detail = finding.detail.clone();
        if let Some(instead) = finding.instead.as_ref().filter(|_| !finding.repaired) {
            detail = format!("{detail}; {instead}");
        }
        let mut cells =
            vec![finding.wrong.name().to_owned(), finding.path.display().to_string(), detail];
        if repair {
            cells.push(finding.mended.map_or("no", Mended::words).to_owned());
        }
        table.row(cells);
    }
    if others.is_empty() {
        display::print("All that is asked for is whole.")?;
    } else {
        display::print(&table.render())?;
    }
    let found = others.len();
    if !orphans.is_empty() {
        display::print(&unnamed(&orphans))?;
    }
    if let Some(manifest) = &outcome.manifest {
        if found > 0 {
            display::print(&counts(&others))?;
        }
        display::print(&display::decodes(manifest))?;
        let failures = workspace.stage("verify").join("failures.csv");
        display::print(&display::failures(&outcome.failures, &failures))?;
    } else if found > 0 {
        display::print(&format!("{found} found; --repair mends what can be mended"))?;
    }
    Ok(())
}

/// How many findings there were, and how each kind of them ended.
fn counts(findings: &[&Finding]) -> String {
    let mut by_word: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        let word = match finding.mended {
            Some(Mended::MadeAgain) => "made again",
            Some(how) => how.words(),
            None => continue,
        };
        *by_word.entry(word).or_insert(0) += 1;
    }
    let left = findings.iter().filter(|finding| !finding.repaired).count();
    let words = by_word.into_iter().map(|(word, count)| format!("{count} {word}"));
    let ends: Vec<String> = words.chain([format!("{left} left")]).collect();
    format!("{} found: {}", findings.len(), ends.join(", "))
}

/// Files that nothing names any more: how many, how large, and the first few.
fn unnamed(orphans: &[&Finding]) -> String {
    let bytes: u64 = orphans.iter().map(|finding| finding.bytes).sum();
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let mut text = format!("No longer asked for: {} files, {mebibytes:.1} MiB", orphans.len());
    if orphans.iter().all(|finding| finding.repaired) {
        text.push_str("; removed");
        return text;
    }
    text.push_str("; --repair removes them");
    for finding in orphans.iter().take(3) {
        let path = display::plain(&finding.path.display().to_string());
        text = format!("{text}\n  {path}: {}", finding.detail);
    }
    if orphans.len() > 3 {
        text = format!("{text}\n  … and {} more", orphans.len() - 3);
    }
    text
}
