//! What can be wrong with a call.

/// Why a kernel did not run. Nothing was written when the arguments were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A slice is not as long as the geometry says.
    #[error("{what} has {found} numbers; the geometry asks for {expected}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Numbers asked for.
        expected: usize,
        /// Numbers given.
        found: usize,
    },
    /// Sizes that no operation can have.
    #[error("no such geometry: {0}")]
    Geometry(String),
    /// oneDNN was asked for and cannot be used here.
    #[error("oneDNN cannot be used: {0}")]
    Unavailable(String),
    /// oneDNN refused a call.
    #[error("oneDNN's {call} failed with status {status} ({meaning})")]
    OneDnn {
        /// The function of its C interface.
        call: &'static str,
        /// Its status code.
        status: i32,
        /// What the code stands for.
        meaning: &'static str,
    },
}

/// Checks a slice's length.
pub(crate) fn expect_length(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Length { what, expected, found }) }
}
