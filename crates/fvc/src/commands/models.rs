//! `fvc models`.

use fvc_learn::ModelKind;
use fvc_pipeline::{Workspace, runs};
use serde_json::json;

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

pub(super) fn run(context: &Context<'_>) -> Result<Ending, CommandError> {
    let known = if context.shared.workspace.join("workspace.json").exists() {
        let workspace = Workspace::open(&context.shared.workspace)?;
        runs::list(&workspace.runs())?
    } else {
        Vec::new()
    };
    if context.shared.json {
        let types: Vec<_> = ModelKind::ALL
            .iter()
            .chain(&ModelKind::NETWORKS)
            .map(|kind| json!({ "name": kind.name(), "about": kind.about() }))
            .collect();
        display::print_json(&json!({ "types": types, "runs": known }))?;
        return Ok(Ending::All);
    }
    let mut types = Table::new(&["MODEL TYPE", "WHAT IT IS"]);
    for kind in ModelKind::ALL.into_iter().chain(ModelKind::NETWORKS) {
        types.row(vec![kind.name().to_owned(), kind.about().to_owned()]);
    }
    display::print(&types.render())?;
    if known.is_empty() {
        display::print(&format!("\nNo runs in {}", context.shared.workspace.display()))?;
    } else {
        let mut table = Table::new(&["EXPERIMENT", "RUN", "CHOSEN MODEL", "FILE"]);
        for run in known {
            let chosen = match (&run.chosen, &run.failure) {
                (Some(kind), _) => kind.name().to_owned(),
                (None, Some(failure)) => format!("failed: {failure}"),
                (None, None) => "unfinished".to_owned(),
            };
            let file = run.chosen_file.map_or_else(String::new, |file| file.display().to_string());
            table.row(vec![run.experiment, run.name, chosen, file]);
        }
        display::print(&format!("\n{}", table.render()))?;
    }
    Ok(Ending::All)
}
