//! Convolutions through oneDNN. Lengths of slices have been checked by the callers.

#![allow(unsafe_code)]

use std::ptr::null;

use super::library::{MemoryDescriptor, OneDnn, OperationDescriptor, check, library};
use super::plan::{
    After, Binding, Key, Plan, PlanKind, PrimitiveDescription, WeightsFlow, cached, code,
    data_type, lock,
};
use crate::element::{Element, ElementKind};
use crate::error::KernelError;
use crate::geometry::{ConvGeometry, ConvSpec};

/// The arrays that describe a convolution to oneDNN.
struct Sizes {
    source: [i64; 5],
    destination: [i64; 5],
    weights: Vec<i64>,
    strides: [i64; 3],
    dilates: [i64; 3],
    before: [i64; 3],
    after: [i64; 3],
}

fn signed(sizes: [usize; 3]) -> [i64; 3] {
    sizes.map(|size| size as i64)
}

impl Sizes {
    fn of(geometry: &ConvGeometry) -> Self {
        let ConvSpec {
            batch,
            in_channels,
            out_channels,
            input,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        } = *geometry.spec();
        let output = geometry.output();
        let mut after = [0; 3];
        for axis in 0..3 {
            // What the last window needs, which may be less than the padding, or even leave inputs unused.
            after[axis] = ((output[axis] - 1) * stride[axis]
                + (kernel[axis] - 1) * dilation[axis]
                + 1) as i64
                - (input[axis] + padding[axis]) as i64;
        }
        let full = |channels: usize, [d, h, w]: [usize; 3]| {
            [batch, channels, d, h, w].map(|size| size as i64)
        };
        let mut weights: Vec<usize> = Vec::new();
        if groups > 1 {
            weights.push(groups);
        }
        weights.extend([
            out_channels / groups,
            in_channels / groups,
            kernel[0],
            kernel[1],
            kernel[2],
        ]);
        Self {
            source: full(in_channels, input),
            destination: full(out_channels, output),
            weights: weights.into_iter().map(|size| size as i64).collect(),
            strides: signed(stride),
            // oneDNN counts the positions left out between taps.
            dilates: signed(dilation).map(|dilation| dilation - 1),
            before: signed(padding),
            after,
        }
    }

    fn weights_tag(&self) -> i32 {
        if self.weights.len() == 6 { code::TAG_GOIDHW } else { code::TAG_OIDHW }
    }
}

/// The layouts of one convolution's tensors.
struct Layouts {
    source: MemoryDescriptor,
    destination: MemoryDescriptor,
    /// Any order, in the type that the primitive multiplies.
    weights: MemoryDescriptor,
    /// Any order, `f32`: for gradients.
    weights_f32: MemoryDescriptor,
    /// The caller's order.
    outer: MemoryDescriptor,
    bias: MemoryDescriptor,
}

impl Layouts {
    fn of(sizes: &Sizes, element: ElementKind) -> Result<Self, KernelError> {
        let number = data_type(element);
        let by_tag = MemoryDescriptor::by_tag;
        Ok(Self {
            source: by_tag(&sizes.source, number, code::TAG_NDHWC)?,
            destination: by_tag(&sizes.destination, number, code::TAG_NDHWC)?,
            weights: by_tag(&sizes.weights, number, code::TAG_ANY)?,
            weights_f32: by_tag(&sizes.weights, code::F32, code::TAG_ANY)?,
            outer: by_tag(&sizes.weights, code::F32, sizes.weights_tag())?,
            bias: by_tag(&[sizes.destination[1]], code::F32, code::TAG_A)?,
        })
    }
}

fn describe_forward(
    library: &OneDnn,
    sizes: &Sizes,
    layouts: &Layouts,
    bias: bool,
    accumulate: bool,
) -> Result<PrimitiveDescription, KernelError> {
    let mut operation = OperationDescriptor::new();
    // SAFETY: room for the descriptor; layouts filled by the library; three numbers per axis list; the bias
    // may be null.
    let status = unsafe {
        (library.call.dilated_convolution_forward_desc_init)(
            operation.as_mut_ptr(),
            code::FORWARD_TRAINING,
            code::CONVOLUTION_DIRECT,
            layouts.source.as_ptr(),
            layouts.weights.as_ptr(),
            if bias { layouts.bias.as_ptr() } else { null() },
            layouts.destination.as_ptr(),
            sizes.strides.as_ptr(),
            sizes.dilates.as_ptr(),
            sizes.before.as_ptr(),
            sizes.after.as_ptr(),
        )
    };
    check("dnnl_dilated_convolution_forward_desc_init", status)?;
    PrimitiveDescription::new(
        &operation,
        if accumulate { After::Sum } else { After::Nothing },
        None,
    )
}

/// Whether an implementation is one of the plain loops, which take hundreds of times as long as the others.
fn is_reference(description: &PrimitiveDescription) -> bool {
    description.implementation().starts_with("ref")
}

fn make(
    kind: &PlanKind,
    geometry: &ConvGeometry,
    element: ElementKind,
) -> Result<Option<Plan>, KernelError> {
    let library = library()?;
    let sizes = Sizes::of(geometry);
    let layouts = Layouts::of(&sizes, element)?;
    let mut operation = OperationDescriptor::new();
    match *kind {
        PlanKind::Forward { bias } => {
            let description = describe_forward(library, &sizes, &layouts, bias, false)?;
            if is_reference(&description) {
                return Ok(None);
            }
            let mut slots =
                vec![(code::ARG_SRC, &layouts.source), (code::ARG_DST, &layouts.destination)];
            if bias {
                slots.push((code::ARG_BIAS, &layouts.bias));
            }
            let weights = (code::ARG_WEIGHTS, WeightsFlow::In, code::MD_WEIGHTS, &layouts.outer);
            Plan::new(&description, &slots, Some(weights)).map(Some)
        }
        PlanKind::Turned { accumulate } => {
            // The geometry is that of the turned convolution.
            let description = describe_forward(library, &sizes, &layouts, false, accumulate)?;
            if is_reference(&description) {
                return Ok(None);
            }
            let slots = [(code::ARG_SRC, &layouts.source), (code::ARG_DST, &layouts.destination)];
            let weights = (code::ARG_WEIGHTS, WeightsFlow::In, code::MD_WEIGHTS, &layouts.outer);
            let mut plan = Plan::new(&description, &slots, Some(weights))?;
            plan.turned = vec![0.0; geometry.weights_len()];
            Ok(Some(plan))
        }
        PlanKind::BackwardData => {
            let hint = describe_forward(library, &sizes, &layouts, false, false)?;
            // SAFETY: as in `describe_forward`.
            let status = unsafe {
                (library.call.dilated_convolution_backward_data_desc_init)(
                    operation.as_mut_ptr(),
                    code::CONVOLUTION_DIRECT,
                    layouts.source.as_ptr(),
                    layouts.weights.as_ptr(),
                    layouts.destination.as_ptr(),
                    sizes.strides.as_ptr(),
                    sizes.dilates.as_ptr(),
                    sizes.before.as_ptr(),
                    sizes.after.as_ptr(),
                )
            };
            check("dnnl_dilated_convolution_backward_data_desc_init", status)?;
            let description = PrimitiveDescription::new(&operation, After::Nothing, Some(&hint))?;
            if is_reference(&description) {
                return Ok(None);
            }
            let slots =
                [(code::ARG_DIFF_SRC, &layouts.source), (code::ARG_DIFF_DST, &layouts.destination)];
            let weights = (code::ARG_WEIGHTS, WeightsFlow::In, code::MD_WEIGHTS, &layouts.outer);
            Plan::new(&description, &slots, Some(weights)).map(Some)
        }
        PlanKind::BackwardWeights { bias } => {
            let hint = describe_forward(library, &sizes, &layouts, bias, false)?;
            // SAFETY: as in `describe_forward`.
            let status = unsafe {
                (library.call.dilated_convolution_backward_weights_desc_init)(
                    operation.as_mut_ptr(),
                    code::CONVOLUTION_DIRECT,
                    layouts.source.as_ptr(),
                    layouts.weights_f32.as_ptr(),
                    if bias { layouts.bias.as_ptr() } else { null() },
                    layouts.destination.as_ptr(),
                    sizes.strides.as_ptr(),
                    sizes.dilates.as_ptr(),
                    sizes.before.as_ptr(),
                    sizes.after.as_ptr(),
                )
            };
            check("dnnl_dilated_convolution_backward_weights_desc_init", status)?;
            let description = PrimitiveDescription::new(&operation, After::Nothing, Some(&hint))?;
            if is_reference(&description) {
                return Ok(None);
            }
            let mut slots =
                vec![(code::ARG_SRC, &layouts.source), (code::ARG_DIFF_DST, &layouts.destination)];
            if bias {
                slots.push((code::ARG_DIFF_BIAS, &layouts.bias));
            }
            let weights =
                (code::ARG_DIFF_WEIGHTS, WeightsFlow::Out, code::MD_DIFF_WEIGHTS, &layouts.outer);
            Plan::new(&description, &slots, Some(weights)).map(Some)
        }
    }
}

/// Whether oneDNN 2.6 is right on a geometry: found by comparing some thousands of random ones. On others
/// it reads what was never written, gives wrong sums, or writes past its own buffers.
fn trodden(geometry: &ConvGeometry, element: ElementKind) -> bool {
    let spec = geometry.spec();
    let reach = |axis: usize| spec.dilation[axis] * (spec.kernel[axis] - 1);
    match element {
        // Odd kernels with no more padding than keeps the size, on rows as wide as the kernel; other inputs
        // smaller than it only without stride, dilation and groups. Beyond that it gave wrong sums, and
        // with kernels of 4 on 2 frames it wrote where it must not.
        ElementKind::F32 => {
            let plain = spec.stride == [1; 3] && spec.dilation == [1; 3] && spec.groups == 1;
            (0..3).all(|axis| {
                spec.kernel[axis] % 2 == 1
                    && 2 * spec.padding[axis] <= reach(axis)
                    && (plain || spec.input[axis] > reach(axis))
            }) && spec.input[2] > reach(2)
        }
        // Odd kernels with no more padding than keeps the size, on inputs as large as the kernel, and no
        // strides in depth: the gradients are wrong where frames are left over.
        ElementKind::Bf16 => {
            spec.stride[0] == 1
                && (0..3).all(|axis| {
                    spec.kernel[axis] % 2 == 1
                        && 2 * spec.padding[axis] <= reach(axis)
                        && spec.input[axis] > reach(axis)
                })
        }
    }
}

fn plan(
    kind: &PlanKind,
    geometry: &ConvGeometry,
    element: ElementKind,
) -> Result<Option<std::sync::Arc<std::sync::Mutex<Plan>>>, KernelError> {
    if !trodden(geometry, element) {
        return Ok(None);
    }
    let threads = library()?.settle_threads();
    let key = Key::Convolution { kind: kind.clone(), spec: *geometry.spec(), element, threads };
    cached(&key, || make(kind, geometry, element))
}

/// Forward; false where oneDNN has nothing fast for the geometry, and nothing was written.
pub(crate) fn forward<T: Element>(
    geometry: &ConvGeometry,
    src: &[T],
    weights: &[f32],
    bias: Option<&[f32]>,
    dst: &mut [T],
) -> Result<bool, KernelError> {
    let Some(plan) = plan(&PlanKind::Forward { bias: bias.is_some() }, geometry, T::KIND)? else {
        return Ok(false);
    };
    let mut bindings = vec![
        Binding::read(code::ARG_SRC, src),
        Binding::read(code::ARG_WEIGHTS, weights),
        Binding::write(code::ARG_DST, dst),
    ];
    bindings.extend(bias.map(|bias| Binding::read(code::ARG_BIAS, bias)));
    lock(&plan).run(&bindings)?;
    Ok(true)
}

/// The convolution of `diff_dst` that gives `diff_src`, with weights turned around; `None` where the stride
/// is not 1 or the padding is wider than the kernel's reach.
fn turned(geometry: &ConvGeometry) -> Option<ConvGeometry> {
    let spec = *geometry.spec();
    if spec.stride != [1; 3] {
        return None;
    }
    let mut padding = spec.padding;
    for (axis, padding) in padding.iter_mut().enumerate() {
        *padding = (spec.dilation[axis] * (spec.kernel[axis] - 1)).checked_sub(*padding)?;
    }
    let turned = ConvGeometry::new(ConvSpec {
        in_channels: spec.out_channels,
        out_channels: spec.in_channels,
        input: geometry.output(),
        padding,
        ..spec
    })
    .ok()?;
    (turned.output() == spec.input).then_some(turned)
}

/// [O, I/g, taps] to [I, O/g, taps backwards].
fn turn_weights(geometry: &ConvGeometry, weights: &[f32], turned: &mut [f32]) {
    let spec = geometry.spec();
    let taps = geometry.taps();
    let (outs, ins) = (spec.out_channels / spec.groups, spec.in_channels / spec.groups);
    for (at, to) in turned.chunks_exact_mut(taps).enumerate() {
        let (input, out) = (at / outs, at % outs);
        let (group, input) = (input / ins, input % ins);
        let from = ((group * outs + out) * ins + input) * taps;
        for (to, from) in to.iter_mut().zip(weights[from..from + taps].iter().rev()) {
            *to = *from;
        }
    }
}

/// Gradient of the input; false where oneDNN has nothing fast for the geometry (or nothing that adds, with
/// `accumulate`), and nothing was written.
pub(crate) fn backward_data<T: Element>(
    geometry: &ConvGeometry,
    diff_dst: &[T],
    weights: &[f32],
    diff_src: &mut [T],
    accumulate: bool,
) -> Result<bool, KernelError> {
    // As a forward convolution it is faster or as fast in both types, and the only form that can add to what
    // is there.
    if let Some(turned) = turned(geometry)
        && let Some(plan) = plan(&PlanKind::Turned { accumulate }, &turned, T::KIND)?
    {
        let mut plan = lock(&plan);
        let mut around = std::mem::take(&mut plan.turned);
        turn_weights(geometry, weights, &mut around);
        let ran = plan.run(&[
            Binding::read(code::ARG_SRC, diff_dst),
            Binding::read(code::ARG_WEIGHTS, &around),
            Binding::write(code::ARG_DST, diff_src),
        ]);
        plan.turned = around;
        ran?;
        return Ok(true);
    }
    if accumulate {
        return Ok(false);
    }
    let Some(plan) = plan(&PlanKind::BackwardData, geometry, T::KIND)? else { return Ok(false) };
    lock(&plan).run(&[
        Binding::read(code::ARG_DIFF_DST, diff_dst),
        Binding::read(code::ARG_WEIGHTS, weights),
        Binding::write(code::ARG_DIFF_SRC, diff_src),
    ])?;
    Ok(true)
}

/// Gradient of weights and bias; false where oneDNN has nothing fast for the geometry.
pub(crate) fn backward_weights<T: Element>(
    geometry: &ConvGeometry,
    src: &[T],
    diff_dst: &[T],
    diff_weights: &mut [f32],
    diff_bias: Option<&mut [f32]>,
) -> Result<bool, KernelError> {
    let kind = PlanKind::BackwardWeights { bias: diff_bias.is_some() };
    let Some(plan) = plan(&kind, geometry, T::KIND)? else { return Ok(false) };
    let mut bindings = vec![
        Binding::read(code::ARG_SRC, src),
        Binding::read(code::ARG_DIFF_DST, diff_dst),
        Binding::write(code::ARG_DIFF_WEIGHTS, diff_weights),
    ];
    bindings.extend(diff_bias.map(|bias| Binding::write(code::ARG_DIFF_BIAS, bias)));
    lock(&plan).run(&bindings)?;
    Ok(true)
}
