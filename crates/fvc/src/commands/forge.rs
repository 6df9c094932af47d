//! `fvc forge`.

use fvc_augment::{ForgeryKind, PLATFORM_PROFILES};
use fvc_pipeline::{Config, Donors, ForgeOptions, PipelineError};
use serde_json::json;

use super::{CommandError, Context};
use crate::arguments::{DonorsArgument, ForgeArguments};
use crate::display::{self, Table};
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    arguments: &ForgeArguments,
) -> Result<Ending, CommandError> {
    if arguments.list {
        if context.shared.json {
            display::print_json(&ranges_as_json())?;
        } else {
            display::print(&ranges())?;
        }
        return Ok(Ending::All);
    }
    let Some(out) = arguments.out.clone() else {
        return Err(PipelineError::Config {
            path: None,
            problem: "--out: expected a folder, found none".to_owned(),
        }
        .into());
    };
    let options = ForgeOptions {
        out: out.clone(),
        windows: arguments.windows,
        frames: arguments.frames,
        kinds: arguments.kinds.clone().unwrap_or_else(|| ForgeryKind::ALL.to_vec()),
        draws: arguments.draws,
        seed: arguments.seed,
        crf: arguments.crf.clone(),
        platforms: platforms(&arguments.platforms),
        donors: match arguments.donors {
            DonorsArgument::Windows => Donors::Windows,
            DonorsArgument::Pairs => Donors::Pairs,
        },
        parallel: config.reading.parallel,
        limits: config.limits.clone(),
        partial: config.reading.partial,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let outcome = fvc_pipeline::forge(&arguments.inputs, &options)?;
    if context.shared.json {
        display::print_json(&json!({
            "manifest": outcome.manifest,
            "files": outcome.files,
            "failures": outcome.failures,
            "refused": outcome.refused,
            "resumed": outcome.resumed,
        }))?;
    } else {
        let fake = outcome.files.iter().filter(|file| file.forgery.is_some()).count();
        display::print(&format!(
            "{} real and {fake} fake clips from {} authentic ones: {}",
            outcome.files.len() - fake,
            outcome.manifest.completed_count(),
            out.join("corpus.csv").display()
        ))?;
        if outcome.resumed > 0 {
            display::print(&format!("{} of them were there already", outcome.resumed))?;
        }
        let still = outcome.files.iter().filter(|file| file.still).count();
        if still > 0 {
            display::print(&format!("{still} clips in which nothing moves: subset still"))?;
        }
        if !outcome.refused.is_empty() {
            display::print(&format!(
                "Kinds that were not possible where their turn was: {}",
                out.join("refused.csv").display()
            ))?;
        }
        display::print(&display::failures(&outcome.failures, &out.join("failures.csv")))?;
    }
    Ok(if outcome.failures.is_empty() { Ending::All } else { Ending::Partial })
}

/// `all` stands for every one.
fn platforms(named: &[String]) -> Vec<String> {
    if named.iter().any(|name| name == "all") {
        return PLATFORM_PROFILES.iter().map(|profile| profile.name.to_owned()).collect();
    }
    named.to_vec()
}

/// The same for programs.
fn ranges_as_json() -> Vec<serde_json::Value> {
    fvc_augment::FORGERY_PARAMETERS
        .iter()
        .map(|entry| {
            json!({
                "kind": entry.kind.to_string(),
                "parameter": entry.parameter.name,
                "from": entry.parameter.low,
                "to": entry.parameter.high,
                "unit": entry.parameter.unit,
                "meaning": entry.parameter.meaning,
            })
        })
        .collect()
}

/// The kinds with their parameter ranges.
fn ranges() -> String {
    let mut table = Table::new(&["KIND", "PARAMETER", "FROM>", "TO>", "UNIT", "WHAT IT DOES"]);
    for entry in fvc_augment::FORGERY_PARAMETERS {
        let parameter = &entry.parameter;
        table.row(vec![
            entry.kind.to_string(),
            parameter.name.to_owned(),
            parameter.low.to_string(),
            parameter.high.to_string(),
            parameter.unit.to_owned(),
            parameter.meaning.to_owned(),
        ]);
    }
    table.render()
}
