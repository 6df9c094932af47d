//! Finding the library, its functions, and the handles that live as long as the process.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::{Isa, Status};
use crate::error::KernelError;

/// An object of oneDNN's, known by address only.
pub(super) type Handle = *mut c_void;

/// Bytes with room for any of oneDNN's descriptors (the largest of 2.x has about 6 KiB).
#[repr(C, align(64))]
pub(super) struct OperationDescriptor([u8; 16 * 1024]);

impl OperationDescriptor {
    pub(super) fn new() -> Self {
        Self([0; 16 * 1024])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn as_ptr(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}

/// Bytes with room for a memory descriptor (696 in 2.6).
#[repr(C, align(64))]
pub(super) struct MemoryDescriptor([u8; 2048]);

impl MemoryDescriptor {
    pub(super) fn new() -> Self {
        Self([0; 2048])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn as_ptr(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}

/// One argument of an execution: which, and the memory object.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ExecutionArgument {
    pub(super) argument: c_int,
    pub(super) memory: Handle,
}

/// What `dnnl_version` points at; its first three numbers have stood there since 1.0.
#[repr(C)]
struct Version {
    major: c_int,
    minor: c_int,
    patch: c_int,
}

type Dims = *const i64;
type Desc = *const c_void;

macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        /// The functions of the C interface that are used, without their prefix `dnnl_`.
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Functions {
            /// Finds every function, or says which is missing.
            fn find(library: &Library) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the types are those of the 2.x headers, which promise a stable binary
                        // interface; the library is never unloaded.
                        let found = unsafe {
                            library.get::<unsafe extern "C" fn($($argument),*) -> $result>(
                                concat!("dnnl_", stringify!($name), "\0").as_bytes(),
                            )
                        };
                        *found.map_err(|error| error.to_string())?
                    },)*
                })
            }
        }
    };
}

functions! {
    get_effective_cpu_isa() -> c_uint;
    engine_create(*mut Handle, c_int, usize) -> c_int;
    stream_create(*mut Handle, Handle, c_uint) -> c_int;
    stream_destroy(Handle) -> c_int;
    stream_wait(Handle) -> c_int;
    memory_desc_init_by_tag(*mut c_void, c_int, Dims, c_int, c_int) -> c_int;
    memory_desc_init_by_strides(*mut c_void, c_int, Dims, c_int, Dims) -> c_int;
    memory_desc_get_size(Desc) -> usize;
    memory_create(*mut Handle, Desc, Handle, *mut c_void) -> c_int;
    memory_set_data_handle(Handle, *mut c_void) -> c_int;
    memory_destroy(Handle) -> c_int;
    primitive_attr_create(*mut Handle) -> c_int;
    primitive_attr_set_scratchpad_mode(Handle, c_int) -> c_int;
    primitive_attr_set_post_ops(Handle, Handle) -> c_int;
    primitive_attr_destroy(Handle) -> c_int;
    post_ops_create(*mut Handle) -> c_int;
    post_ops_append_sum(Handle, f32) -> c_int;
    post_ops_append_eltwise(Handle, f32, c_int, f32, f32) -> c_int;
    post_ops_destroy(Handle) -> c_int;
    primitive_desc_create(*mut Handle, Desc, Handle, Handle, Handle) -> c_int;
    primitive_desc_query(Handle, c_int, c_int, *mut c_void) -> c_int;
    primitive_desc_query_md(Handle, c_int, c_int) -> Desc;
    primitive_desc_destroy(Handle) -> c_int;
    primitive_create(*mut Handle, Handle) -> c_int;
    primitive_execute(Handle, Handle, c_int, *const ExecutionArgument) -> c_int;
    primitive_destroy(Handle) -> c_int;
    reorder_primitive_desc_create(*mut Handle, Desc, Handle, Desc, Handle, Handle) -> c_int;
    dilated_convolution_forward_desc_init(
        *mut c_void, c_int, c_int, Desc, Desc, Desc, Desc, Dims, Dims, Dims, Dims) -> c_int;
    dilated_convolution_backward_data_desc_init(
        *mut c_void, c_int, Desc, Desc, Desc, Dims, Dims, Dims, Dims) -> c_int;
    dilated_convolution_backward_weights_desc_init(
        *mut c_void, c_int, Desc, Desc, Desc, Desc, Dims, Dims, Dims, Dims) -> c_int;
    matmul_desc_init(*mut c_void, Desc, Desc, Desc, Desc) -> c_int;
}

/// The OpenMP runtime behind it, where there is one.
struct OpenMp {
    set_num_threads: unsafe extern "C" fn(c_int),
    get_max_threads: unsafe extern "C" fn() -> c_int,
}

/// The loaded library with its one engine, the processor.
pub(super) struct OneDnn {
    pub(super) call: Functions,
    pub(super) engine: Handle,
    open_mp: Option<OpenMp>,
    /// Whether the environment says how many threads there are.
    threads_are_set: bool,
}

// SAFETY: an engine is immutable once made and oneDNN promises that it may be used from any thread; all
// else are addresses of functions.
unsafe impl Send for OneDnn {}
// SAFETY: as above.
unsafe impl Sync for OneDnn {}

struct Loaded {
    library: Option<OneDnn>,
    status: Status,
}

fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| match load() {
        Ok((library, version, isa)) => {
            Loaded { library: Some(library), status: Status::Available { version, isa } }
        }
        Err(reason) => Loaded { library: None, status: Status::Unavailable { reason } },
    })
}

pub(super) fn status() -> &'static Status {
    &loaded().status
}

/// The library, or why there is none.
pub(super) fn library() -> Result<&'static OneDnn, KernelError> {
    let loaded = loaded();
    match (&loaded.library, &loaded.status) {
        (Some(library), _) => Ok(library),
        (None, Status::Unavailable { reason }) => Err(KernelError::Unavailable(reason.clone())),
        (None, Status::Available { .. }) => Err(KernelError::Unavailable(String::new())),
    }
}

fn load() -> Result<(OneDnn, String, Isa), String> {
    // SAFETY: loading runs the initialisers of a system library (oneDNN's and its OpenMP's), which have no
    // preconditions.
    let library = unsafe { Library::open(Some("libdnnl.so.2"), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| error.to_string())?;
    // SAFETY: the type is that of the headers.
    let version =
        unsafe { library.get::<unsafe extern "C" fn() -> *const Version>(b"dnnl_version\0") }
            .map_err(|error| error.to_string())?;
    // SAFETY: it takes nothing and returns the address of a constant of the library.
    let version = unsafe { version().as_ref() }.ok_or("it does not state its version")?;
    let shown = format!("{}.{}.{}", version.major, version.minor, version.patch);
    if version.major != 2 || version.minor < 6 {
        return Err(format!("libdnnl.so.2 is version {shown}, not 2.6 or a later 2.x"));
    }
    let call = Functions::find(&library)?;
    // Looked up through the library, so found in the runtime that it is linked to, whichever that is.
    // SAFETY: the types are those of OpenMP's C interface.
    let open_mp = unsafe {
        match (library.get(b"omp_set_num_threads\0"), library.get(b"omp_get_max_threads\0")) {
            (Ok(set), Ok(get)) => Some(OpenMp { set_num_threads: *set, get_max_threads: *get }),
            _ => None,
        }
    };
    // It must outlive every address taken from it, so it stays until the process ends.
    std::mem::forget(library);

    let mut engine = std::ptr::null_mut();
    // SAFETY: a place to write to; kind 1 is the processor, of which there is the one with index 0.
    let made = unsafe { (call.engine_create)(&raw mut engine, 1, 0) };
    if made != 0 || engine.is_null() {
        return Err(format!("it made no engine for the processor (status {made})"));
    }
    // SAFETY: it takes nothing.
    let isa = Isa(unsafe { (call.get_effective_cpu_isa)() });
    let threads_are_set =
        std::env::var_os("OMP_NUM_THREADS").is_some_and(|value| !value.is_empty());
    Ok((OneDnn { call, engine, open_mp, threads_are_set }, shown, isa))
}

impl OneDnn {
    /// Settles how many threads calls from this thread use, and returns the number. A primitive must run
    /// on as many as it was made for, so this comes before making and before running one.
    pub(super) fn settle_threads(&self) -> usize {
        thread_local! {
            static SETTLED: Cell<usize> = const { Cell::new(0) };
        }
        let Some(open_mp) = &self.open_mp else { return 1 };
        if !self.threads_are_set {
            let wanted = rayon::current_num_threads().clamp(1, 1024);
            if SETTLED.get() != wanted {
                // SAFETY: a positive number, as it asks for; it changes only what this thread starts.
                unsafe { (open_mp.set_num_threads)(wanted as c_int) };
                SETTLED.set(wanted);
            }
        }
        // SAFETY: it takes nothing.
        let threads = unsafe { (open_mp.get_max_threads)() };
        threads.max(1) as usize
    }
}

/// Turns a status code into a result.
pub(super) fn check(call: &'static str, status: c_int) -> Result<(), KernelError> {
    let meaning = match status {
        0 => return Ok(()),
        1 => "out of memory",
        2 => "invalid arguments",
        3 => "not implemented",
        4 => "iterator at its end",
        5 => "runtime error",
        6 => "not required",
        _ => "unknown",
    };
    Err(KernelError::OneDnn { call, status, meaning })
}

/// The text at an address that oneDNN gave out.
///
/// # Safety
///
/// Null, or a string that ends with a zero byte and outlives the call.
pub(super) unsafe fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(at) }.to_string_lossy().into_owned()
}
