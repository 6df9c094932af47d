//! `fvc index`.

use std::path::{Path, PathBuf};

use fvc_corpus::FvcTables;
use fvc_pipeline::{Config, Environment, IndexOutcome, PipelineError, Shard, Workspace};
use serde_json::json;

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

pub(super) fn run(
    context: &Context<'_>,
    config: &Config,
    inputs: &[PathBuf],
    fvc: Option<&Path>,
    shard: Option<Shard>,
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
    if let Some(shard) = shard {
        return share(context, &environment, inputs, fvc, shard);
    }
    let (tables, outcome) = match fvc {
        Some(folder) => {
            let (tables, outcome) = fvc_pipeline::index_fake_video_corpus(&environment, folder)?;
            (Some(tables), outcome)
        }
        None => (None, fvc_pipeline::index(&environment, inputs)?),
    };
    if context.shared.json {
        let mut made = as_json(&outcome);
        if let (Some(tables), Some(made)) = (&tables, made.as_object_mut()) {
            made.insert("fvc".to_owned(), json!(tables));
        }
        display::print_json(&made)?;
    } else {
        if let Some(tables) = &tables {
            display::print(&render(tables))?;
        }
        print(&outcome)?;
    }
    outcome.usable()?;
    Ok(if outcome.failures.is_empty() { Ending::All } else { Ending::Partial })
}

/// Looks at one share of the files.
fn share(
    context: &Context<'_>,
    environment: &Environment<'_>,
    inputs: &[PathBuf],
    fvc: Option<&Path>,
    shard: Shard,
) -> Result<Ending, CommandError> {
    let (tables, outcome) = match fvc {
        Some(folder) => {
            let (tables, outcome) =
                fvc_pipeline::index_fake_video_corpus_share(environment, folder, shard)?;
            (Some(tables), outcome)
        }
        None => (None, fvc_pipeline::index_share(environment, inputs, shard)?),
    };
    if context.shared.json {
        let mut made = json!({
            "shard": shard, "manifest": outcome.manifest, "failures": outcome.failures,
        });
        if let (Some(tables), Some(made)) = (&tables, made.as_object_mut()) {
            made.insert("fvc".to_owned(), json!(tables));
        }
        display::print_json(&made)?;
    } else {
        if let Some(tables) = &tables {
            display::print(&render(tables))?;
        }
        let videos = outcome.manifest.completed_count();
        display::print(&format!("Shard {shard}: {videos} videos; `fvc merge` makes the index"))?;
        let table = outcome.folder.join("failures.csv");
        display::print(&display::failures(&outcome.failures, &table))?;
    }
    Ok(if outcome.failures.is_empty() { Ending::All } else { Ending::Partial })
}

pub(super) fn as_json(outcome: &IndexOutcome) -> serde_json::Value {
    json!({
        "manifest": outcome.manifest,
        "real": outcome.sources[0],
        "fake": outcome.sources[1],
        "groups": outcome.groups,
        "groups_with_real": outcome.groups_by_label[0],
        "groups_with_fake": outcome.groups_by_label[1],
        "compared": outcome.compared,
        "ignored_files": outcome.ignored,
        "failures": outcome.failures,
    })
}

pub(super) fn print(outcome: &IndexOutcome) -> Result<(), CommandError> {
    let [real, fake] = outcome.sources;
    let [real_groups, fake_groups] = outcome.groups_by_label;
    let all = real + fake;
    let known = match outcome.compared {
        // There is nothing to compare.
        _ if all < 2 => String::new(),
        0 => ", as declared; footage not yet compared".to_owned(),
        compared if compared == all => ", with ties by content".to_owned(),
        compared => {
            format!(
                ", with ties by content; footage of {} sources not yet compared",
                all - compared
            )
        }
    };
    display::print(&format!(
        "{all} sources: {real} real in {real_groups} groups, {fake} fake in {fake_groups} groups; \
         {} groups in all{known}",
        outcome.groups
    ))?;
    if outcome.ignored > 0 {
        display::print(&format!(
            "{} files beside the videos (text, tables, pictures) were left alone",
            outcome.ignored
        ))?;
    }
    display::print(&display::failures(&outcome.failures, &outcome.folder.join("failures.csv")))?;
    Ok(())
}

/// What the tables of the Fake Video Corpus hold.
fn render(tables: &FvcTables) -> String {
    let labels = tables.labels();
    let heads: Vec<String> = labels.keys().map(|label| label.to_uppercase() + ">").collect();
    let mut heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    heads.insert(0, "PLATFORM");
    heads.push("ROWS>");
    let mut counted = Table::new(&heads);
    for (platform, own) in &tables.labels_by_platform {
        let counts = labels.keys().map(|label| own.get(*label).copied().unwrap_or(0));
        counted.row(row(platform, counts));
    }
    counted.row(row("all", labels.values().copied()));
    let sizes: Vec<String> = tables
        .tables
        .iter()
        .map(|table| format!("{} in {}", table.rows, table.path.display()))
        .collect();
    [
        format!("{} rows of the Fake Video Corpus: {}", tables.rows, sizes.join(", ")),
        counted.render(),
        format!(
            "{} videos: {} in both tables, {} in several cascades, {} with several labels",
            tables.videos,
            tables.videos_in_both_tables,
            tables.videos_in_several_cascades,
            tables.videos_with_several_labels
        ),
        format!(
            "{} cascades, {} of them with real and fake rows; {} groups of the videos of all rows, of \
             which cascades that share a video are one and a video without cascade is one alone",
            tables.cascades, tables.cascades_with_both_labels, tables.groups
        ),
        format!(
            "Under the policy {}: {} real and {} fake videos",
            tables.policy, tables.real, tables.fake
        ),
        format!("{} video files", tables.files),
        "Labels judge the claim of a video, not its pixels: most fakes are authentic footage with \
         a false story."
            .to_owned(),
        String::new(),
    ]
    .join("\n")
}

fn row(name: &str, counts: impl Iterator<Item = u64> + Clone) -> Vec<String> {
    let sum: u64 = counts.clone().sum();
    std::iter::once(name.to_owned())
        .chain(counts.map(|count| count.to_string()))
        .chain([sum.to_string()])
        .collect()
}
