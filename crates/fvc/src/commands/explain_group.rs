//! `fvc index --explain-group`.

use std::collections::BTreeMap;

use fvc_media::ContentId;
use fvc_pipeline::{Config, Environment, GroupExplanation, Workspace};

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    name: &str,
) -> Result<Ending, CommandError> {
    let workspace = Workspace::open(&context.shared.workspace)?;
    let environment = Environment {
        config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let explanation = fvc_pipeline::explain_group(&environment, name)?;
    if context.shared.json {
        display::print_json(&explanation)?;
    } else {
        display::print(&render(&explanation))?;
    }
    Ok(Ending::All)
}

fn render(explanation: &GroupExplanation) -> String {
    // Sources are numbered: their ids are too long to be read in pairs.
    let number: BTreeMap<ContentId, usize> = explanation
        .sources
        .iter()
        .enumerate()
        .map(|(at, source)| (source.content_id, at + 1))
        .collect();
    let numbers = |sources: &[ContentId]| {
        let numbers: Vec<String> =
            sources.iter().filter_map(|id| number.get(id)).map(usize::to_string).collect();
        numbers.join(", ")
    };
    let mut lines = vec![format!(
        "Group {}: {} of {} sources",
        explanation.group,
        explanation.sources.len(),
        explanation.of
    )];
    let mut table = Table::new(&["#>", "LABEL", "CONTENT ID", "PATH"]);
    for (at, source) in explanation.sources.iter().enumerate() {
        table.row(vec![
            (at + 1).to_string(),
            source.label.to_string(),
            source.content_id.to_hex()[..16].to_owned(),
            source.path.display().to_string(),
        ]);
    }
    lines.push(table.render());
    if explanation.sources.len() == 1 {
        lines.push("It stands alone: nothing ties it to another source.".to_owned());
    }
    for (name, sources) in &explanation.declared {
        lines.push(format!("Declared {name}: {}", numbers(sources)));
    }
    if !explanation.near_duplicates.is_empty() {
        lines.push("The same footage:".to_owned());
        let mut table = Table::new(&["#>", "SECONDS", "#>", "SECONDS", "SAME>", "SIMILARITY>", ""]);
        for tie in &explanation.near_duplicates {
            let span = |from: u32, to: u32| {
                format!("{:.1} to {:.1}", f64::from(from) / 1000.0, f64::from(to) / 1000.0)
            };
            table.row(vec![
                numbers(&[tie.first]),
                span(tie.first_from, tie.first_to),
                numbers(&[tie.second]),
                span(tie.second_from, tie.second_to),
                format!("{:.1} s", f64::from(tie.shared) / 1000.0),
                format!("{:.2}", tie.similarity),
                if tie.mirrored { "mirrored" } else { "" }.to_owned(),
            ]);
        }
        lines.push(table.render());
    }
    if !explanation.by_unusable_rows.is_empty() {
        lines.push(format!(
            "Named together with others by rows of files that could not be used: {}",
            numbers(&explanation.by_unusable_rows)
        ));
    }
    if !explanation.not_comparable.is_empty() {
        lines.push(format!(
            "Too little to see, or for too short a time, to be compared: {}",
            numbers(&explanation.not_comparable)
        ));
    }
    if !explanation.not_compared.is_empty() {
        lines.push(format!(
            "Not decoded yet, or its fingerprint is damaged, so that what it shows is not known: {}",
            numbers(&explanation.not_compared)
        ));
    }
    lines.join("\n")
}
