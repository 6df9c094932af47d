//! What training found, for people.

use std::path::Path;

use fvc_learn::{Baseline, Evaluation, Margin, Metric};
use fvc_pipeline::{Config, Environment, TrainOptions, TrainOutcome, Workspace};

use super::{CommandError, Context};
use crate::display::{self, Table, interval};
use crate::exit_code::Ending;

/// The metrics that the first table shows.
const SHOWN: [Metric; 5] = [
    Metric::RocAucWithinFolds,
    Metric::BalancedAccuracy,
    Metric::F1,
    Metric::LogLoss,
    Metric::CalibrationError,
];

/// Writes the trainings of networks for another machine.
pub(super) fn export(
    context: &Context<'_>,
    config: &Config,
    options: &TrainOptions,
    folder: &Path,
) -> Result<Ending, CommandError> {
    let workspace = Workspace::open(&context.shared.workspace)?;
    let environment = Environment {
        config,
        workspace: &workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    let exported = fvc_pipeline::export_jobs(&environment, options, folder)?;
    if context.shared.json {
        display::print_json(&exported)?;
        return Ok(Ending::All);
    }
    let (at, count) = (exported.folder.display(), exported.trainings.len());
    display::print(&format!(
        "{count} trainings in {at}. Copy the folder, run `fvc-trainer {at}` where the devices are, copy \
         {at}/trainings/* back into {}, and give the same command without --export-jobs",
        workspace.networks().display()
    ))?;
    for note in &exported.notes {
        display::print(&format!("Note: {note}"))?;
    }
    Ok(Ending::All)
}

/// The result of a run, beside the trivial baselines.
pub(super) fn render(outcome: &TrainOutcome) -> String {
    let sources = &outcome.sources;
    let mut lines = vec![format!(
        "Stage 5: {} real and {} fake sources of {} groups in folds; {} real and {} fake of {} \
         groups sealed",
        sources.folds[0],
        sources.folds[1],
        sources.fold_groups,
        sources.sealed[0],
        sources.sealed[1],
        sources.sealed_groups
    )];
    if !outcome.failures.is_empty() {
        lines.push(format!(
            "{} sources of the index took no part ({})",
            outcome.failures.len(),
            outcome.run.join("failures.csv").display()
        ));
    }
    lines.extend(outcome.notes.iter().map(|note| format!("Note: {note}")));
    lines.push(String::new());
    lines.push(
        "Outer folds, originals, one row a source; 95 % intervals by bootstrap over groups"
            .to_owned(),
    );
    let mut table =
        Table::new(&["MODEL", "ROC-AUC IN FOLDS", "BALANCED ACC.", "F1", "LOG LOSS", "ECE"]);
    for model in &outcome.models {
        let validated = &model.cross_validation;
        table.row(row(model.model.name(), &validated.by_source));
        table.row(row("  each group weighs one", &validated.by_group));
    }
    if let Some(first) = outcome.models.first() {
        for baseline in &first.cross_validation.baselines {
            table.row(baseline_row(baseline));
        }
    }
    lines.push(table.render());
    for model in &outcome.models {
        lines.push(String::new());
        let validated = &model.cross_validation;
        lines.extend(margins(model.model.name(), &validated.by_source, &validated.margins));
        lines.extend(validated.notes.iter().map(|note| format!("  note: {note}")));
    }
    if let Some(sealed) = &outcome.sealed {
        lines.push(String::new());
        lines.push(format!(
            "Sealed test of {}: opening {} of these sources, over all splits that seal one of them",
            outcome.chosen, sealed.opening
        ));
        let mut table = Table::new(&["MODEL", "ROC-AUC", "BALANCED ACC.", "F1", "LOG LOSS", "ECE"]);
        table.row(row(outcome.chosen.name(), &sealed.evaluation.by_source));
        table.row(row("  each group weighs one", &sealed.evaluation.by_group));
        for baseline in &sealed.evaluation.baselines {
            table.row(baseline_row(baseline));
        }
        lines.push(table.render());
        lines.push(String::new());
        let found = &sealed.evaluation;
        lines.extend(margins(outcome.chosen.name(), &found.by_source, &found.margins));
    }
    lines.push(String::new());
    lines.push(format!(
        "Chosen: {} (lowest log loss over outer folds); model {}",
        outcome.chosen,
        outcome.chosen_file.display()
    ));
    lines.join("\n")
}

fn row(name: &str, evaluation: &Evaluation) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend(SHOWN.iter().map(|&metric| {
        let estimate = evaluation.estimate(metric);
        interval(
            estimate.and_then(|estimate| estimate.value),
            estimate.and_then(|estimate| estimate.interval).map(|found| (found.low, found.high)),
        )
    }));
    cells
}

fn baseline_row(baseline: &Baseline) -> Vec<String> {
    row(&format!("baseline: {}", baseline.name), &baseline.evaluation)
}

/// How far a model is above the best baseline of each number, and whether that is more than chance.
fn margins(name: &str, evaluation: &Evaluation, margins: &[Margin]) -> Vec<String> {
    let mut lines = vec![format!("{name} over the best baseline:")];
    for Margin { metric, baseline, value, interval: bounds, .. } in margins {
        let bounds = bounds.map(|found| (found.low, found.high));
        lines.push(format!("  {metric}: gain {} over {baseline}", interval(Some(*value), bounds)));
    }
    let auc = evaluation.estimate(Metric::RocAucWithinFolds).and_then(|auc| auc.interval);
    let gain = margins.iter().find(|margin| margin.metric == Metric::RocAucWithinFolds);
    if auc.is_some_and(|found| found.low <= 0.5 && found.high >= 0.5) {
        lines.push("  At chance: the interval of its ROC-AUC holds 0.5.".to_owned());
    } else if auc.is_some_and(|found| found.high < 0.5) {
        lines.push("  Worse than chance: the interval of its ROC-AUC is below 0.5.".to_owned());
    } else if let Some(gain) = gain
        && gain.interval.is_some_and(|found| found.low <= 0.0)
    {
        lines.push(format!(
            "  Not shown to rank better than {}: the interval holds 0.",
            gain.baseline
        ));
    }
    lines
}
