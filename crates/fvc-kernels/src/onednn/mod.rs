//! The system's oneDNN, loaded at run time.
//!
//! Only `libdnnl.so.2` of version 2.6 or later is used, and nothing of it is needed to build. Structures
//! of its interface are filled and read by its own functions only; here they are opaque bytes with room
//! to spare.
//!
//! **Threads.** Work is spread by the OpenMP runtime that oneDNN is linked to. Unless `OMP_NUM_THREADS` is
//! set, each call uses as many threads as rayon's current pool has. After a call, GNU's OpenMP lets its
//! threads spin for some milliseconds, which takes the cores from whatever comes next; set
//! `OMP_WAIT_POLICY=passive` in the environment before the process starts (the runtime reads it when it
//! is loaded, with the first use of [`status`]). Each calling thread has OpenMP threads of its own:
//! call from few threads.

mod convolution;
mod library;
mod matmul;
mod plan;

use std::fmt;

pub(crate) use convolution::{backward_data, backward_weights, forward};
pub(crate) use matmul::{gelu_of_matmul_new, matmul, matmul_new};

/// Whether oneDNN can be used, found out once per process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It can.
    Available {
        /// Version as major.minor.patch.
        version: String,
        /// The instruction set that it uses, which the environment may have narrowed.
        isa: Isa,
    },
    /// It cannot.
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl Status {
    /// Whether it can be used.
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available { version, isa } => write!(f, "oneDNN {version} on {isa}"),
            Self::Unavailable { reason } => write!(f, "no oneDNN: {reason}"),
        }
    }
}

/// An instruction set as oneDNN numbers them: one bit per extension, so that more bits are a superset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(u32);

impl Isa {
    const NAMES: [(u32, &'static str); 8] = [
        (0x3e7, "AVX-512 with AMX"),
        (0xe7, "AVX-512 with BF16"),
        (0x67, "AVX-512 with VNNI"),
        (0x27, "AVX-512"),
        (0x407, "AVX2 with VNNI"),
        (0x7, "AVX2"),
        (0x3, "AVX"),
        (0x1, "SSE4.1"),
    ];

    /// Whether products of `bf16` are done by the processor, not by way of `f32`.
    pub fn multiplies_bf16(self) -> bool {
        self.0 & 0xe7 == 0xe7
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(bits, _)| self.0 & bits == *bits) {
            Some((_, name)) => f.write_str(name),
            None => f.write_str("the processor's base instructions"),
        }
    }
}

/// Whether oneDNN can be used here. The first call loads it.
pub fn status() -> &'static Status {
    library::status()
}
