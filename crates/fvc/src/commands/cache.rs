//! `fvc cache`.

use fvc_media::MediaCache;
use fvc_pipeline::{PipelineError, Workspace};
use serde_json::json;

use super::{CommandError, Context};
use crate::arguments::CacheAction;
use crate::display;
use crate::exit_code::Ending;

pub(super) fn run(context: &Context<'_>, action: &CacheAction) -> Result<Ending, CommandError> {
    let workspace = Workspace::open(&context.shared.workspace)?;
    let cache = MediaCache::open(&workspace.media_cache()).map_err(PipelineError::from)?;
    match action {
        CacheAction::Stats => {
            let stats = cache.stats().map_err(PipelineError::from)?;
            if context.shared.json {
                display::print_json(&stats)?;
            } else {
                display::print(&format!(
                    "{} paths, {} videos ({} decoded whole), {} samplings, {} failures; {} bytes, \
                     version {}",
                    stats.identities,
                    stats.records,
                    stats.decoded,
                    stats.samplings,
                    stats.failures,
                    stats.bytes,
                    stats.version
                ))?;
            }
        }
        CacheAction::Prune => {
            let removed = cache.prune().map_err(PipelineError::from)?;
            if context.shared.json {
                display::print_json(&json!({ "removed": removed }))?;
            } else {
                display::print(&format!("{removed} entries removed"))?;
            }
        }
        CacheAction::Clear => {
            cache.clear().map_err(PipelineError::from)?;
            if context.shared.json {
                display::print_json(&json!({ "cleared": true }))?;
            } else {
                display::print("The media cache is empty")?;
            }
        }
    }
    Ok(Ending::All)
}
