//! Primitives with their memory objects, ready to run again, and the cache of them.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};
use std::hash::Hash;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::library::{
    ExecutionArgument, Handle, MemoryDescriptor, OneDnn, OperationDescriptor, check, library, text,
};
use crate::element::{Element, ElementKind};
use crate::error::KernelError;
use crate::geometry::ConvSpec;

/// Numbers of oneDNN's enumerations.
pub(super) mod code {
    pub(in super::super) const BF16: i32 = 2;
    pub(in super::super) const F32: i32 = 3;
    pub(in super::super) const TAG_ANY: i32 = 1;
    pub(in super::super) const TAG_A: i32 = 2;
    pub(in super::super) const TAG_OIDHW: i32 = 7;
    pub(in super::super) const TAG_GOIDHW: i32 = 8;
    pub(in super::super) const TAG_NDHWC: i32 = 21;
    pub(in super::super) const FORWARD_TRAINING: i32 = 64;
    pub(in super::super) const CONVOLUTION_DIRECT: i32 = 1;
    pub(in super::super) const ELTWISE_GELU_ERF: i32 = 0x30;
    pub(in super::super) const IMPLEMENTATION: i32 = 8;
    pub(in super::super) const MD_WEIGHTS: i32 = 131;
    pub(in super::super) const MD_DIFF_WEIGHTS: i32 = 132;
    pub(in super::super) const MD_SCRATCHPAD: i32 = 136;
    pub(in super::super) const ARG_SRC: i32 = 1;
    pub(in super::super) const ARG_DST: i32 = 17;
    pub(in super::super) const ARG_WEIGHTS: i32 = 33;
    pub(in super::super) const ARG_BIAS: i32 = 41;
    pub(in super::super) const ARG_SCRATCHPAD: i32 = 80;
    pub(in super::super) const ARG_DIFF_SRC: i32 = 129;
    pub(in super::super) const ARG_DIFF_DST: i32 = 145;
    pub(in super::super) const ARG_DIFF_WEIGHTS: i32 = 161;
    pub(in super::super) const ARG_DIFF_BIAS: i32 = 169;
}

pub(super) fn data_type(kind: ElementKind) -> i32 {
    match kind {
        ElementKind::F32 => code::F32,
        ElementKind::Bf16 => code::BF16,
    }
}

/// Bytes on lines of the cache.
#[derive(Default)]
pub(super) struct Buffer {
    lines: Vec<Line>,
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

impl Buffer {
    /// At least this many bytes, zeros.
    pub(super) fn new(bytes: usize) -> Self {
        Self { lines: vec![Line([0; 64]); bytes.div_ceil(64)] }
    }

    fn bytes(&self) -> usize {
        self.lines.len() * 64
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.lines.as_mut_ptr().cast()
    }
}

/// Scratch memory between executions: as many buffers as calls have run at one time, each as large as the
/// largest that it served.
fn scratch_pool() -> MutexGuard<'static, Vec<Buffer>> {
    static POOL: Mutex<Vec<Buffer>> = Mutex::new(Vec::new());
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer that goes back to the pool.
struct Scratch(Buffer);

impl Scratch {
    fn take(bytes: usize) -> Self {
        let pooled = scratch_pool().pop().unwrap_or_default();
        Self(if pooled.bytes() >= bytes { pooled } else { Buffer::new(bytes) })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        scratch_pool().push(std::mem::take(&mut self.0));
    }
}

macro_rules! owned {
    ($(#[$doc:meta])* $name:ident, $destroy:ident) => {
        $(#[$doc])*
        pub(super) struct $name {
            library: &'static OneDnn,
            handle: Handle,
        }

        impl $name {
            fn own(library: &'static OneDnn, handle: Handle) -> Self {
                Self { library, handle }
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle came from the matching constructor and is destroyed once.
                unsafe { (self.library.call.$destroy)(self.handle) };
            }
        }
    };
}

owned!(
    /// A memory object: a layout and the address of the numbers.
    Memory, memory_destroy
);
owned!(
    /// Compiled code.
    Primitive, primitive_destroy
);
owned!(
    /// A primitive's description, by which it is made and asked for the layouts it wants.
    PrimitiveDescription, primitive_desc_destroy
);
owned!(Stream, stream_destroy);
owned!(Attributes, primitive_attr_destroy);
owned!(PostOperations, post_ops_destroy);

impl MemoryDescriptor {
    /// A layout by its name.
    pub(super) fn by_tag(dims: &[i64], data_type: i32, tag: i32) -> Result<Self, KernelError> {
        let library = library()?;
        let mut made = Self::new();
        // SAFETY: there is room for the descriptor, and `dims` has the stated number of sizes.
        let status = unsafe {
            (library.call.memory_desc_init_by_tag)(
                made.as_mut_ptr(),
                dims.len() as c_int,
                dims.as_ptr(),
                data_type,
                tag,
            )
        };
        check("dnnl_memory_desc_init_by_tag", status)?;
        Ok(made)
    }

    /// A layout by the distance between neighbours along each axis, in elements.
    pub(super) fn by_strides(
        dims: &[i64],
        data_type: i32,
        strides: &[i64],
    ) -> Result<Self, KernelError> {
        let library = library()?;
        if dims.len() != strides.len() {
            return Err(KernelError::Geometry("as many strides as axes are needed".to_owned()));
        }
        let mut made = Self::new();
        // SAFETY: there is room for the descriptor, and both lists have the stated number of entries.
        let status = unsafe {
            (library.call.memory_desc_init_by_strides)(
                made.as_mut_ptr(),
                dims.len() as c_int,
                dims.as_ptr(),
                data_type,
                strides.as_ptr(),
            )
        };
        check("dnnl_memory_desc_init_by_strides", status)?;
        Ok(made)
    }

    /// Bytes of a memory with this layout.
    fn bytes(&self) -> Result<usize, KernelError> {
        let library = library()?;
        // SAFETY: the descriptor was filled by the library.
        Ok(unsafe { (library.call.memory_desc_get_size)(self.as_ptr()) })
    }
}

impl Memory {
    /// A memory object whose address is set later.
    fn unbound(library: &'static OneDnn, descriptor: *const c_void) -> Result<Self, KernelError> {
        let mut handle = null_mut();
        // SAFETY: the descriptor was filled by the library; no address is a documented way to make one.
        let status = unsafe {
            (library.call.memory_create)(&raw mut handle, descriptor, library.engine, null_mut())
        };
        check("dnnl_memory_create", status)?;
        Ok(Self::own(library, handle))
    }

    /// Sets the address.
    ///
    /// # Safety
    ///
    /// Room for the layout, valid for every execution until it is set again.
    unsafe fn bind(&self, at: *mut c_void) -> Result<(), KernelError> {
        // SAFETY: the caller's promise.
        let status = unsafe { (self.library.call.memory_set_data_handle)(self.handle, at) };
        check("dnnl_memory_set_data_handle", status)
    }
}

impl PrimitiveDescription {
    /// Picks an implementation for an operation. The scratchpad is given at execution; with `accumulate`
    /// the result is added to what the destination holds.
    pub(super) fn new(
        operation: &OperationDescriptor,
        after: After,
        hint: Option<&PrimitiveDescription>,
    ) -> Result<Self, KernelError> {
        let library = library()?;
        let mut handle = null_mut();
        // SAFETY: a place to write to.
        check("dnnl_primitive_attr_create", unsafe {
            (library.call.primitive_attr_create)(&raw mut handle)
        })?;
        let attributes = Attributes::own(library, handle);
        // SAFETY: a live handle; mode 1 is the scratchpad given by the user.
        check("dnnl_primitive_attr_set_scratchpad_mode", unsafe {
            (library.call.primitive_attr_set_scratchpad_mode)(attributes.handle, 1)
        })?;
        if after != After::Nothing {
            let mut handle = null_mut();
            // SAFETY: a place to write to.
            check("dnnl_post_ops_create", unsafe {
                (library.call.post_ops_create)(&raw mut handle)
            })?;
            let post = PostOperations::own(library, handle);
            // SAFETY: a live handle.
            let (call, status) = unsafe {
                if after == After::Gelu {
                    let append = library.call.post_ops_append_eltwise;
                    let status = append(post.handle, 1.0, code::ELTWISE_GELU_ERF, 0.0, 0.0);
                    ("dnnl_post_ops_append_eltwise", status)
                } else {
                    let status = (library.call.post_ops_append_sum)(post.handle, 1.0);
                    ("dnnl_post_ops_append_sum", status)
                }
            };
            check(call, status)?;
            // SAFETY: live handles; the attributes copy the list.
            check("dnnl_primitive_attr_set_post_ops", unsafe {
                (library.call.primitive_attr_set_post_ops)(attributes.handle, post.handle)
            })?;
        }
        let mut handle = null_mut();
        // SAFETY: the operation was filled by the library, the handles live, and the hint may be null.
        let status = unsafe {
            (library.call.primitive_desc_create)(
                &raw mut handle,
                operation.as_ptr(),
                attributes.handle,
                library.engine,
                hint.map_or(null_mut(), |hint| hint.handle),
            )
        };
        check("dnnl_primitive_desc_create", status)?;
        Ok(Self::own(library, handle))
    }

    /// A copy from one layout or number type to another.
    fn reorder(from: *const c_void, to: *const c_void) -> Result<Self, KernelError> {
        let library = library()?;
        let mut handle = null_mut();
        // SAFETY: both descriptors were filled by the library; no attributes is allowed.
        let status = unsafe {
            (library.call.reorder_primitive_desc_create)(
                &raw mut handle,
                from,
                library.engine,
                to,
                library.engine,
                null_mut(),
            )
        };
        check("dnnl_reorder_primitive_desc_create", status)?;
        Ok(Self::own(library, handle))
    }

    /// The layout of one of the arguments; lives as long as the description, null for none.
    fn layout(&self, what: i32) -> *const c_void {
        // SAFETY: a live handle; an argument that is not there gives null or an empty descriptor.
        unsafe { (self.library.call.primitive_desc_query_md)(self.handle, what, 0) }
    }

    /// The name of the implementation.
    pub(super) fn implementation(&self) -> String {
        let mut name: *const c_char = std::ptr::null();
        // SAFETY: this query writes an address of a string that lives as long as the description.
        let status = unsafe {
            (self.library.call.primitive_desc_query)(
                self.handle,
                code::IMPLEMENTATION,
                0,
                (&raw mut name).cast(),
            )
        };
        if status != 0 {
            return String::new();
        }
        // SAFETY: as above.
        unsafe { text(name) }
    }

    fn primitive(&self) -> Result<Primitive, KernelError> {
        let mut handle = null_mut();
        // SAFETY: a live handle.
        let status = unsafe { (self.library.call.primitive_create)(&raw mut handle, self.handle) };
        check("dnnl_primitive_create", status)?;
        Ok(Primitive::own(self.library, handle))
    }
}

/// Which way the weights are copied between the caller's order and the primitive's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightsFlow {
    /// Before the primitive runs.
    In,
    /// After it.
    Out,
}

/// Weights on their way between the caller's order and the primitive's.
struct Weights {
    flow: WeightsFlow,
    reorder: Primitive,
    /// In the caller's order; bound at each run.
    outer: Memory,
    inner: Memory,
    /// What `inner` is bound to.
    _storage: Buffer,
}

/// A slice's address as an argument.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    argument: i32,
    at: *mut c_void,
    bytes: usize,
    borrowed: PhantomData<&'a mut [u8]>,
}

impl<'a> Binding<'a> {
    /// An argument that is read.
    pub(super) fn read<T: Element>(argument: i32, from: &'a [T]) -> Self {
        let at = from.as_ptr().cast_mut().cast();
        Self { argument, at, bytes: size_of_val(from), borrowed: PhantomData }
    }

    /// An argument that is written.
    pub(super) fn write<T: Element>(argument: i32, to: &'a mut [T]) -> Self {
        Self { argument, at: to.as_mut_ptr().cast(), bytes: size_of_val(to), borrowed: PhantomData }
    }

    /// An argument that is written and never read, not even as it was.
    pub(super) fn write_new<T: Element>(argument: i32, to: &'a mut [MaybeUninit<T>]) -> Self {
        Self { argument, at: to.as_mut_ptr().cast(), bytes: size_of_val(to), borrowed: PhantomData }
    }
}

struct Slot {
    argument: i32,
    memory: Memory,
    bytes: usize,
}

/// A primitive with all that one run needs but the caller's slices.
pub(super) struct Plan {
    library: &'static OneDnn,
    primitive: Primitive,
    stream: Stream,
    /// The caller's slices, but weights that are reordered.
    slots: Vec<Slot>,
    weights: Option<(Slot, Weights)>,
    scratchpad: Option<(Memory, usize)>,
    /// Arguments of the primitive.
    arguments: Vec<ExecutionArgument>,
    /// Room for weights in another order than the caller's, where the plan needs it.
    pub(super) turned: Vec<f32>,
}

// SAFETY: oneDNN's objects are not tied to the thread that made them; a plan is run by one thread at a
// time, behind a lock.
unsafe impl Send for Plan {}

impl Plan {
    /// A plan for a described primitive. `slots` are the layouts of the caller's slices; `weights` says
    /// which argument is copied between a caller's layout and the one that the primitive wants.
    pub(super) fn new(
        description: &PrimitiveDescription,
        slots: &[(i32, &MemoryDescriptor)],
        weights: Option<(i32, WeightsFlow, i32, &MemoryDescriptor)>,
    ) -> Result<Self, KernelError> {
        let library = description.library;
        let mut handle = null_mut();
        // SAFETY: a place to write to; flag 1 is the default order.
        check("dnnl_stream_create", unsafe {
            (library.call.stream_create)(&raw mut handle, library.engine, 1)
        })?;
        let stream = Stream::own(library, handle);
        let primitive = description.primitive()?;
        let mut arguments = Vec::new();
        let mut made = Vec::new();
        for &(argument, descriptor) in slots {
            let memory = Memory::unbound(library, descriptor.as_ptr())?;
            arguments.push(ExecutionArgument { argument, memory: memory.handle });
            made.push(Slot { argument, memory, bytes: descriptor.bytes()? });
        }
        let weights = match weights {
            None => None,
            Some((argument, flow, query, outer)) => {
                let wanted = description.layout(query);
                let inner = Memory::unbound(library, wanted)?;
                // SAFETY: the descriptor belongs to the live description.
                let mut storage =
                    Buffer::new(unsafe { (library.call.memory_desc_get_size)(wanted) });
                // SAFETY: as many bytes as the layout asks for, kept beside the memory object.
                unsafe { inner.bind(storage.as_mut_ptr()) }?;
                let reorder = match flow {
                    WeightsFlow::In => PrimitiveDescription::reorder(outer.as_ptr(), wanted)?,
                    WeightsFlow::Out => PrimitiveDescription::reorder(wanted, outer.as_ptr())?,
                };
                let reorder = reorder.primitive()?;
                arguments.push(ExecutionArgument { argument, memory: inner.handle });
                let slot = Slot {
                    argument,
                    memory: Memory::unbound(library, outer.as_ptr())?,
                    bytes: outer.bytes()?,
                };
                let outer = Memory::unbound(library, outer.as_ptr())?;
                Some((slot, Weights { flow, reorder, outer, inner, _storage: storage }))
            }
        };
        let layout = description.layout(code::MD_SCRATCHPAD);
        // SAFETY: the descriptor belongs to the live description; an empty one has no bytes.
        let bytes = if layout.is_null() {
            0
        } else {
            unsafe { (library.call.memory_desc_get_size)(layout) }
        };
        let scratchpad = if bytes == 0 {
            None
        } else {
            let memory = Memory::unbound(library, layout)?;
            arguments
                .push(ExecutionArgument { argument: code::ARG_SCRATCHPAD, memory: memory.handle });
            Some((memory, bytes))
        };
        Ok(Self {
            library,
            primitive,
            stream,
            slots: made,
            weights,
            scratchpad,
            arguments,
            turned: Vec::new(),
        })
    }

    fn execute(
        &self,
        primitive: &Primitive,
        arguments: &[ExecutionArgument],
    ) -> Result<(), KernelError> {
        // SAFETY: live handles; every memory object that the primitive reads or writes is bound to as many
        // bytes as its layout asks for (checked by `run`).
        let status = unsafe {
            (self.library.call.primitive_execute)(
                primitive.handle,
                self.stream.handle,
                arguments.len() as c_int,
                arguments.as_ptr(),
            )
        };
        check("dnnl_primitive_execute", status)?;
        // SAFETY: a live handle.
        check("dnnl_stream_wait", unsafe { (self.library.call.stream_wait)(self.stream.handle) })
    }

    /// Runs it on the caller's slices: one for each slot, each of the slot's size.
    pub(super) fn run(&mut self, bindings: &[Binding<'_>]) -> Result<(), KernelError> {
        let find = |slot: &Slot| -> Result<Binding<'_>, KernelError> {
            bindings
                .iter()
                .find(|binding| binding.argument == slot.argument && binding.bytes == slot.bytes)
                .copied()
                .ok_or(KernelError::Length {
                    what: "an argument of oneDNN, in bytes,",
                    expected: slot.bytes,
                    found: 0,
                })
        };
        for slot in &self.slots {
            let binding = find(slot)?;
            // SAFETY: a slice with as many bytes as the layout asks for, borrowed by the caller until this
            // returns; the address is not used after that, since each run binds anew.
            unsafe { slot.memory.bind(binding.at) }?;
        }
        let mut scratch = Scratch::take(self.scratchpad.as_ref().map_or(0, |(_, bytes)| *bytes));
        if let Some((memory, _)) = &self.scratchpad {
            // SAFETY: as many bytes as asked for, kept until this returns.
            unsafe { memory.bind(scratch.0.as_mut_ptr()) }?;
        }
        let Some((slot, weights)) = &self.weights else {
            return self.execute(&self.primitive, &self.arguments);
        };
        let binding = find(slot)?;
        // SAFETY: as for the other slots.
        unsafe { weights.outer.bind(binding.at) }?;
        let (from, to) = match weights.flow {
            WeightsFlow::In => (&weights.outer, &weights.inner),
            WeightsFlow::Out => (&weights.inner, &weights.outer),
        };
        let copy = [
            ExecutionArgument { argument: code::ARG_SRC, memory: from.handle },
            ExecutionArgument { argument: code::ARG_DST, memory: to.handle },
        ];
        if weights.flow == WeightsFlow::In {
            self.execute(&weights.reorder, &copy)?;
        }
        self.execute(&self.primitive, &self.arguments)?;
        if weights.flow == WeightsFlow::Out {
            self.execute(&weights.reorder, &copy)?;
        }
        Ok(())
    }
}

/// What happens to each result before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum After {
    Nothing,
    /// What stood there is added.
    Sum,
    /// GELU by the error function.
    Gelu,
}

/// Which plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum PlanKind {
    Forward {
        bias: bool,
    },
    BackwardData,
    /// A convolution of the output's gradient with turned weights; stride 1 only.
    Turned {
        accumulate: bool,
    },
    BackwardWeights {
        bias: bool,
    },
}

/// All that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Convolution {
        kind: PlanKind,
        spec: ConvSpec,
        element: ElementKind,
        threads: usize,
    },
    Matmul {
        batch: usize,
        sizes: [usize; 3],
        turned: [bool; 2],
        biased: bool,
        after: After,
        element: ElementKind,
        output: ElementKind,
        threads: usize,
    },
}

struct Entry {
    /// `None` where oneDNN has only its reference implementation, which is far slower than the portable one.
    plan: Option<Arc<Mutex<Plan>>>,
    used: u64,
}

/// Plans kept; a network has some dozens. Each holds its code and a copy of its weights.
const KEPT: usize = 256;

#[derive(Default)]
struct Cache {
    entries: HashMap<Key, Entry>,
    clock: u64,
}

/// The plan for a key, made at first use; `None` where it is better not to use oneDNN.
pub(super) fn cached(
    key: &Key,
    make: impl FnOnce() -> Result<Option<Plan>, KernelError>,
) -> Result<Option<Arc<Mutex<Plan>>>, KernelError> {
    static CACHE: OnceLock<Mutex<Cache>> = OnceLock::new();
    let mut cache =
        CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    cache.clock += 1;
    let now = cache.clock;
    if let Some(entry) = cache.entries.get_mut(key) {
        entry.used = now;
        return Ok(entry.plan.clone());
    }
    // Compiling under the lock: two threads that want the same plan do not both make it.
    let plan = match make() {
        Ok(plan) => plan.map(|plan| Arc::new(Mutex::new(plan))),
        // Status 3: not implemented.
        Err(KernelError::OneDnn { status: 3, .. }) => None,
        Err(error) => return Err(error),
    };
    if cache.entries.len() >= KEPT {
        let oldest =
            cache.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            cache.entries.remove(&oldest);
        }
    }
    cache.entries.insert(key.clone(), Entry { plan: plan.clone(), used: now });
    Ok(plan)
}

/// The plan, for one run.
pub(super) fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}
