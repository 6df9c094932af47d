//! [`contained`]: readers of other crates over bytes that may be anything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::CorpusError;

/// Reads a table at `path` with `read`. The Parquet and Arrow readers return an error for most of
/// what is corrupt and panic on the rest, which is an error here too.
pub(crate) fn contained<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, CorpusError>,
) -> Result<T, CorpusError> {
    // What `read` borrows is dropped with it: nothing half-changed is seen afterwards.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|cause| {
        let cause = cause
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| cause.downcast_ref::<&str>().copied());
        Err(CorpusError::Table {
            path: path.to_owned(),
            expected: "a table whose parts fit together".to_owned(),
            found: format!("a corrupt one ({})", cause.unwrap_or("the reader gave up")),
        })
    })
}
