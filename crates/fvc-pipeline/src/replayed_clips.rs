//! [`ReplayedClips`]: variants that are not stored, made again from their recorded draw.

use std::path::Path;
use std::sync::Arc;

use fvc_augment::{Draw, Kind};
use fvc_media::{DecodeCounters, Frame, Rational, Window};
use fvc_nn::{ClipKey, ClipSource, JobFile, NetworkError, StoredClips};

/// What a job is shown.
///
/// # Errors
/// Its clips are not there, or it names a kind of variants that is not known here.
pub(crate) fn clips_of(job: &JobFile, folder: &Path) -> Result<Arc<dyn ClipSource>, NetworkError> {
    let unknown = |name: &String| NetworkError::Setting {
        key: "kinds".to_owned(),
        expected: "kinds of variants".to_owned(),
        found: name.clone(),
    };
    let kinds = job
        .kinds
        .iter()
        .map(|name| name.parse::<Kind>().map_err(|_| unknown(name)))
        .collect::<Result<_, _>>()?;
    Ok(Arc::new(ReplayedClips::new(job.stored_clips(folder)?, kinds)))
}

/// Clips of a store; what is not in it is the original with the variant's draw applied, the same at every
/// look.
#[derive(Debug)]
pub(crate) struct ReplayedClips {
    stored: StoredClips,
    kinds: Vec<Kind>,
    counters: DecodeCounters,
}

impl ReplayedClips {
    /// Over a store; variants are drawn from `kinds`, as the stages did.
    pub(crate) fn new(stored: StoredClips, kinds: Vec<Kind>) -> Self {
        Self { stored, kinds, counters: DecodeCounters::new() }
    }

    fn original(key: &ClipKey) -> ClipKey {
        ClipKey { content_id: key.content_id, variant: 0 }
    }
}

impl ClipSource for ReplayedClips {
    fn windows(&self, key: &ClipKey) -> Result<Vec<usize>, NetworkError> {
        // A variant has as many frames as its original, window by window.
        self.stored.windows(&Self::original(key))
    }

    fn size(&self, key: &ClipKey) -> Result<(usize, usize), NetworkError> {
        self.stored.size(&Self::original(key))
    }

    fn window(&self, key: &ClipKey, window: usize) -> Result<Vec<Frame>, NetworkError> {
        if key.variant == 0 || self.stored.has(key) {
            return self.stored.window(key, window);
        }
        let failed = |error: &dyn ToString| NetworkError::Internal {
            what: format!(
                "variant {} of source {}: {}",
                key.variant,
                key.content_id,
                error.to_string()
            ),
        };
        let draw = Draw::for_variant(&key.content_id, key.variant, &self.kinds)
            .map_err(|error| failed(&error))?;
        let frames = self.stored.window(&Self::original(key), window)?;
        // Only transcodes look at the rate, and those are stored.
        let rate = Rational::new(25, 1);
        let varied = draw
            .apply(&Window { index: window, frames }, rate, &self.counters)
            .map_err(|error| failed(&error))?;
        Ok(varied.frames)
    }
}
