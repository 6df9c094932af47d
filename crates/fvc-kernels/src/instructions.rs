//! Loops compiled for several instruction sets, picked at run time.
//!
//! Every version does the same operations in the same order, and no multiplication is fused with an
//! addition, so that all give the same bits.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, Ordering};

/// How wide the loops may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Width {
    /// What every processor of the architecture has.
    Base = 0,
    /// AVX2.
    Avx2 = 1,
    /// AVX-512 with its byte, doubleword and 256-bit extensions.
    Avx512 = 2,
}

static LIMIT: AtomicU8 = AtomicU8::new(Width::Avx512 as u8);

/// Lets loops be no wider than this, for tests and measurements: the numbers are the same at any width.
pub fn limit(width: Width) {
    LIMIT.store(width as u8, Ordering::Relaxed);
}

/// The widest that the processor has and [`limit`] allows.
#[inline]
pub(crate) fn width() -> Width {
    #[cfg(target_arch = "x86_64")]
    {
        let limit = LIMIT.load(Ordering::Relaxed);
        if limit >= Width::Avx512 as u8
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            return Width::Avx512;
        }
        if limit >= Width::Avx2 as u8 && is_x86_feature_detected!("avx2") {
            return Width::Avx2;
        }
    }
    Width::Base
}

/// Defines functions whose bodies are compiled once for each [`Width`].
macro_rules! for_each_width {
    ($(
        $(#[$meta:meta])*
        $visible:vis fn $name:ident$(<$T:ident: $bound:path>)?($($argument:ident: $type:ty),* $(,)?) $body:block
    )*) => {$(
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments, clippy::inline_always)]
        $visible fn $name$(<$T: $bound>)?($($argument: $type),*) {
            #[inline(always)]
            fn body$(<$T: $bound>)?($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512$(<$T: $bound>)?($($argument: $type),*) {
                    body$(::<$T>)?($($argument),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2$(<$T: $bound>)?($($argument: $type),*) {
                    body$(::<$T>)?($($argument),*);
                }
                match $crate::instructions::width() {
                    // SAFETY: `width` found the instructions that it is compiled for.
                    $crate::instructions::Width::Avx512 => return unsafe { avx512$(::<$T>)?($($argument),*) },
                    // SAFETY: as above.
                    $crate::instructions::Width::Avx2 => return unsafe { avx2$(::<$T>)?($($argument),*) },
                    $crate::instructions::Width::Base => {}
                }
            }
            body$(::<$T>)?($($argument),*);
        }
    )*};
}

pub(crate) use for_each_width;
