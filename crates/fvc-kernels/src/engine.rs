//! Which implementation runs.

use crate::error::KernelError;
use crate::onednn;

/// Which implementation of convolutions and matrix products runs. Both give the same numbers up to the
/// order of additions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// The system's oneDNN, found at run time.
    OneDnn,
    /// Safe Rust, everywhere.
    Portable,
}

impl Engine {
    /// oneDNN where it can be used, else the portable one.
    pub fn best() -> Self {
        if onednn::status().is_available() { Self::OneDnn } else { Self::Portable }
    }

    /// Whether this machine can run it.
    ///
    /// # Errors
    ///
    /// [`KernelError::Unavailable`] with the reason.
    pub fn check(self) -> Result<(), KernelError> {
        match (self, onednn::status()) {
            (Self::OneDnn, onednn::Status::Unavailable { reason }) => {
                Err(KernelError::Unavailable(reason.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether convolutions in `bf16` are faster than in `f32` here: oneDNN is there, and the processor
/// multiplies `bf16` itself (AMX or AVX-512 BF16).
pub fn bf16_is_fast() -> bool {
    match onednn::status() {
        onednn::Status::Available { isa, .. } => isa.multiplies_bf16(),
        onednn::Status::Unavailable { .. } => false,
    }
}
