//! `fvc predict`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fvc_corpus::{Failure, FailureTable, Index};
use fvc_media::MediaCache;
use fvc_pipeline::{
    Config, Environment, FilePrediction, KnownAs, LoadedModel, PipelineError, PredictOptions,
    Predictions, ScoredFile, Workspace, newest_model, predict,
};

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

/// How many features are named for each file.
const REASONS: usize = 5;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    inputs: &[PathBuf],
    model: Option<&Path>,
    explain: Option<&Path>,
) -> Result<Ending, CommandError> {
    // A workspace is not needed to judge a file; where there is one, its cache is used.
    let workspace = if context.shared.workspace.join("workspace.json").exists() {
        Some(Workspace::open(&context.shared.workspace)?)
    } else {
        None
    };
    let model = match (model, &workspace) {
        (Some(path), _) => path.to_owned(),
        (None, Some(workspace)) => newest_model(&workspace.runs())?,
        (None, None) => {
            return Err(PipelineError::NotReady {
                missing: format!("No workspace in {}", context.shared.workspace.display()),
                instead: "name a model with --model, or a workspace with --workspace".to_owned(),
            }
            .into());
        }
    };
    let model = LoadedModel::load(&model)?;
    // In a workspace that cannot be written to, a verdict is still to be had.
    let cache = match &workspace {
        Some(workspace) if workspace.is_writable() => {
            Some(Arc::new(MediaCache::open(&workspace.media_cache()).map_err(PipelineError::from)?))
        }
        Some(workspace) => {
            context.progress.note(&format!(
                "{} cannot be written to: nothing of what is found is remembered",
                workspace.root().display()
            ));
            None
        }
        None => None,
    };
    // The index knows further copies, windows and twins of what the model has learnt from.
    let index = match &workspace {
        Some(workspace) if workspace.index().join("sources.json").exists() => {
            Some(index_of(context, config, workspace, cache.is_some())?)
        }
        _ => None,
    };
    let options = PredictOptions {
        config_hash: config.hash()?,
        index,
        limits: config.limits.clone(),
        partial: config.reading.partial,
        cache,
        explain: explain.map(Path::to_owned),
        parallel: config.reading.parallel,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    // One line a file, as soon as it is known; a table can only be set when all are.
    let mut printed = Ok(());
    let mut print = |file: &FilePrediction| {
        if context.shared.json && printed.is_ok() {
            printed = display::print_json(file);
        }
    };
    let predicted = predict(&model, inputs, &options, &mut print);
    printed?;
    let Predictions { files: found, manifest } = predicted?;
    let failures: Vec<Failure> = found
        .iter()
        .filter_map(|file| match file {
            FilePrediction::Failed(failure) => Some(failure.clone()),
            FilePrediction::Scored(_) | FilePrediction::InTrainingCorpus { .. } => None,
        })
        .collect();
    let failed = !failures.is_empty();
    let nothing =
        failures.first().filter(|_| failures.len() == found.len()).map(ToString::to_string);
    if let Some(workspace) = &workspace {
        let folder = workspace.stage("predict");
        let saved = FailureTable::from(failures)
            .save(&folder)
            .and_then(|()| manifest.save(&folder.join("manifest.json")));
        if let Err(error) = saved {
            // A verdict is not lost because a record of it could not be kept.
            context.progress.note(&format!("no record of this prediction was kept: {error}"));
        }
    }
    if !context.shared.json {
        display::print(&format!("Model: {}", model.path.display()))?;
        display::print(&overview(&found))?;
        for file in &found {
            if let FilePrediction::Scored(scored) = file {
                display::print(&details(scored, model.detector.kind().is_network()))?;
            }
        }
    }
    // As for every command: that nothing at all could be used is no partial success.
    if let Some(first) = nothing {
        let error = PipelineError::NothingUsable { inputs: found.len() as u64, first };
        return Err(error.into());
    }
    Ok(if failed { Ending::Partial } else { Ending::All })
}

fn overview(found: &[FilePrediction]) -> String {
    let mut table = Table::new(&["FILE", "VERDICT", "P(FAKE)>", "CHECKED"]);
    for file in found {
        table.row(match file {
            FilePrediction::Scored(scored) => vec![
                scored.path.display().to_string(),
                scored.verdict().to_string(),
                format!("{:.3}", scored.assessment.probability),
                format!("{} ({} frames)", scored.checked, scored.frames),
            ],
            FilePrediction::InTrainingCorpus { path, known_as, .. } => vec![
                path.display().to_string(),
                "not scored".to_owned(),
                "-".to_owned(),
                match known_as {
                    KnownAs::TheSameBytes => "the model was trained on this very file",
                    KnownAs::TheSameGroup => {
                        "the model was trained on other copies of this footage"
                    }
                }
                .to_owned(),
            ],
            FilePrediction::Failed(failure) => vec![
                failure.path.display().to_string(),
                format!("error: {}", failure.reason),
                "-".to_owned(),
                format!("expected {}, found {}", failure.expected, failure.found),
            ],
        });
    }
    table.render()
}

fn details(scored: &ScoredFile, is_network: bool) -> String {
    let assessment = &scored.assessment;
    let mut lines = vec![
        String::new(),
        display::plain(&scored.path.display().to_string()),
        format!("  {}", assessment.promise),
    ];
    if is_network {
        lines.push(if scored.pictures.is_empty() {
            "  A network's reasons are no list of features: --explain DIR draws where it saw them."
                .to_owned()
        } else {
            "  Where it saw what speaks for fake (Grad-CAM):".to_owned()
        });
        for picture in &scored.pictures {
            lines.push(format!("    {}", display::plain(&picture.display().to_string())));
        }
        return lines.join("\n");
    }
    // What would be shown as 0.000.
    let moves = |moved: f64| moved.abs() >= 0.0005;
    let moved = assessment.contributions.iter().any(|reason| moves(reason.log_odds));
    lines.push(if moved {
        let sampled = assessment.contributions.iter().any(|reason| reason.standard_error.is_some());
        let error = if sampled { ", ± standard error of sampling" } else { "" };
        format!("  What moved it most (log odds, + towards fake{error}):")
    } else {
        "  No feature moved it: on sources it had not seen the model could not tell, so that its \
         calibration gives all the same probability."
            .to_owned()
    });
    for reason in
        assessment.contributions.iter().filter(|reason| moves(reason.log_odds)).take(REASONS)
    {
        let value = if reason.value.is_nan() {
            "missing".to_owned()
        } else {
            format!("{:.4}", reason.value)
        };
        // Sampled, and so not exact.
        let error =
            reason.standard_error.map_or_else(String::new, |error| format!(" ± {error:.3}"));
        lines.push(format!("    {:+.3}{error}  {} = {value}", reason.log_odds, reason.column));
    }
    if assessment.unusual.is_empty() {
        lines.push("  Nothing in the file is outside what the training videos show.".to_owned());
    } else {
        lines.push(format!(
            "  Unusual beside the training videos ({} of the features):",
            assessment.unusual.len()
        ));
        for unusual in assessment.unusual.iter().take(REASONS) {
            lines.push(format!(
                "    {} = {:.4}, usually {:.4} to {:.4}",
                unusual.column, unusual.value, unusual.low, unusual.high
            ));
        }
    }
    lines.join("\n")
}

/// The index with its final groups. Where nothing can be written, ties by content are read as they
/// were last computed.
fn index_of(
    context: &Context<'_>,
    config: &Config,
    workspace: &Workspace,
    writable: bool,
) -> Result<Index, PipelineError> {
    if !writable {
        return fvc_pipeline::read_grouped_index(workspace);
    }
    let environment = Environment {
        config,
        workspace,
        cancel: context.cancel.clone(),
        progress: context.progress,
    };
    fvc_pipeline::grouped_index(&environment)
}
