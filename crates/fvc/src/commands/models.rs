//! `fvc models`.

use fvc_learn::{ModelKind, ParameterValue, Parameters};
use fvc_nn::{NetworkSettings, Precision, TrainingShape};
use fvc_pipeline::{Workspace, runs};
use serde_json::json;

use super::{CommandError, Context};
use crate::display::{self, Table};
use crate::exit_code::Ending;

/// The clip that costs are told for.
const CLIP: [usize; 3] = [16, 112, 112];

/// What a network costs with its defaults.
#[derive(serde::Serialize)]
struct NetworkCost {
    parameters: u64,
    gigaflop_a_clip: f64,
    memory_mib: u64,
    weights: &'static str,
}

impl NetworkCost {
    /// Nothing for models of features.
    fn of(kind: ModelKind) -> Option<Self> {
        let plain = NetworkSettings::of(kind, &Parameters::new(), 0);
        let needs_weights = plain.is_err();
        let random = || {
            let flag = ParameterValue::Flag(true);
            NetworkSettings::of(kind, &Parameters::from([("random_backbone".to_owned(), flag)]), 0)
        };
        let settings = plain.or_else(|_| random()).ok()?;
        let trainer = &settings.trainer;
        let shape = TrainingShape {
            batch: trainer.batch,
            grid: CLIP,
            // The same on every machine, whatever its processor is fast with.
            precision: Precision::F32,
            block_checkpointing: trainer.block_checkpointing,
            prefetch: trainer.loader.prefetch,
            threads: 2,
            sizes: 1,
        };
        Some(Self {
            parameters: u64::try_from(settings.network.parameters()).ok()?,
            gigaflop_a_clip: settings.network.forward_flop(CLIP) as f64 / 1e9,
            memory_mib: settings.network.training_memory(&shape).mib(),
            weights: if needs_weights { "vit_base_patch16_224 (timm)" } else { "none" },
        })
    }
}

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
            .map(|kind| {
                let mut own = json!({ "name": kind.name(), "about": kind.about() });
                if let (Some(cost), Some(fields)) = (NetworkCost::of(*kind), own.as_object_mut()) {
                    fields.insert("network".to_owned(), json!(cost));
                }
                own
            })
            .collect();
        display::print_json(&json!({ "types": types, "runs": known }))?;
        return Ok(Ending::All);
    }
    let mut types = Table::new(&["MODEL TYPE", "WHAT IT IS"]);
    for kind in ModelKind::ALL.into_iter().chain(ModelKind::NETWORKS) {
        types.row(vec![kind.name().to_owned(), kind.about().to_owned()]);
    }
    display::print(&types.render())?;
    let mut costs =
        Table::new(&["NETWORK", "PARAMETERS", "GFLOP A CLIP", "MIB TO TRAIN", "WEIGHTS"]);
    for kind in ModelKind::NETWORKS {
        let Some(cost) = NetworkCost::of(kind) else { continue };
        costs.row(vec![
            kind.name().to_owned(),
            cost.parameters.to_string(),
            format!("{:.0}", cost.gigaflop_a_clip),
            cost.memory_mib.to_string(),
            cost.weights.to_owned(),
        ]);
    }
    let [frames, rows, columns] = CLIP;
    display::print(&format!(
        "\nNetworks with their defaults: forward for a clip of {frames} frames of {columns} x {rows} (vision \
         transformers have their own size), memory in f32 for the batch they are trained with\n\n{}",
        costs.render()
    ))?;
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
