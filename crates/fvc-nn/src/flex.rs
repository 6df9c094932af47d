//! [`NetworkBackend`] on the processor: the kernels of `fvc-kernels` as operations of Burn, with their own
//! backward passes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::{FloatTensor, FloatTensorOps};
use burn::tensor::{Bytes, DType, FloatDType, Shape, Tensor, TensorMetadata, TensorPrimitive};
use fvc_kernels::{
    ConvGeometry, ConvSpec, Element, KernelError, NormalizeMode, PoolGeometry, PoolSpec, affine,
    bf16, channel_statistics, convolution_backward_data, convolution_backward_weights,
    convolution_forward, from_f32, global_average_backward, global_average_forward,
    max_pool_backward, max_pool_forward, normalize_backward_across, normalize_forward, sum_squares,
    to_f32,
};

use std::sync::Arc;

use crate::across::{Across, PassSums, sum_in_graph};
use crate::backend::{NetworkBackend, NormOptions, Normalized, Window};
use crate::{Engine, Extents, flex_rows, portable};

/// What a kernel gave. Shapes are the network's own, so that an error is a fault of its code; Burn's
/// operators end in the same way then.
#[allow(clippy::panic, reason = "operators of Burn have no errors; no input reaches this")]
pub(crate) fn sound<T>(result: Result<T, KernelError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("a layer of wrong shape: {error}"),
    }
}

/// Whether our kernels take this: numbers that they know, and not told otherwise.
fn kernels_take(engine: Engine, format: DType) -> bool {
    engine == Engine::Fast && matches!(format, DType::F32 | DType::BF16)
}

/// Whether convolutions go to oneDNN; without it Burn's are faster than ours.
fn convolutions_take(engine: Engine, format: DType) -> bool {
    kernels_take(engine, format) && fvc_kernels::onednn::status().is_available()
}

/// Whether a product goes to oneDNN: in bf16 any, in f32 what is large enough to be worth its code.
fn products_take<B: NetworkBackend>(
    engine: Engine,
    format: DType,
    input: &Tensor<B, 2>,
    weight: &Tensor<B, 2>,
) -> bool {
    let ([rows, width], [out, _]) = (input.dims(), weight.dims());
    // A product of no numbers is none of oneDNN's.
    let terms = rows * width * out;
    let least = if format == DType::BF16 { 1 } else { LEAST_F32 };
    convolutions_take(engine, format) && terms >= least
}

/// Multiplications of a product in f32 from which on oneDNN is asked.
const LEAST_F32: usize = 1 << 22;

/// A number type as Burn names it.
pub(crate) trait Format: Element + burn::tensor::Element + bytemuck::Pod {
    const FORMAT: DType;
}

impl Format for f32 {
    const FORMAT: DType = DType::F32;
}

impl Format for bf16 {
    const FORMAT: DType = DType::BF16;
}

/// Runs `$body` with `$number` as the type of the tensor's numbers.
macro_rules! by_format {
    ($format:expr, $number:ident => $body:expr) => {
        if $format == DType::BF16 {
            type $number = bf16;
            $body
        } else {
            type $number = f32;
            $body
        }
    };
}

pub(crate) use by_format;

/// A tensor of these numbers.
pub(crate) fn tensor<T: Format>(values: Vec<T>, shape: &[usize]) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::from(shape.to_vec())),
        T::FORMAT,
    )
}

/// The same numbers one after the other, in their own format.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let size = match tensor.dtype() {
        DType::BF16 | DType::F16 => 2,
        DType::F64 => 8,
        _ => 4,
    };
    // A view is copied; so is a part of a larger storage.
    let whole = tensor.layout().start_offset() == 0
        && tensor.bytes().len() == tensor.layout().num_elements() * size;
    if whole && tensor.is_contiguous() { tensor } else { FlexTensor::from_data(tensor.into_data()) }
}

/// The same numbers one after the other, in this format. Burn converts by way of f64, number by number, which
/// took most of a vision transformer's forward pass in bf16.
pub(crate) fn plain(own: FlexTensor, format: DType) -> FlexTensor {
    match (own.dtype(), format) {
        (from, to) if from == to => contiguous(own),
        (DType::F32, DType::BF16) => {
            let own = contiguous(own);
            let mut values = vec![bf16::ZERO; numbers(&own).len()];
            sound(from_f32(numbers(&own), &mut values));
            tensor(values, &own.shape())
        }
        (DType::BF16, DType::F32) => {
            let own = contiguous(own);
            let from = own.storage::<bf16>();
            let mut values = vec![0.0; from.len()];
            sound(to_f32(from, &mut values));
            tensor(values, &own.shape())
        }
        _ => {
            let format = if format == DType::BF16 { FloatDType::BF16 } else { FloatDType::F32 };
            contiguous(Flex::float_cast(own, format))
        }
    }
}

pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape = tensor.shape();
    std::array::from_fn(|axis| shape[axis])
}

pub(crate) fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage::<f32>()
}

/// A tensor of a graph, whose type Burn has no public name for.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// A node as a tensor without numbers, for Burn finds gradients by tensors and looks at their node only.
macro_rules! named {
    ($node:expr) => {
        Tracked {
            primitive: tensor::<f32>(Vec::new(), &[0]),
            node: $node.clone(),
            rc: std::sync::Arc::new($node.id),
        }
    };
}

/// Adds to the gradient of `parent`, in place where there is one already: what several layers read has a
/// gradient from each, and adding large tensors costs more than some of these layers. `write` is given
/// the place, and whether to add to what is there.
#[allow(clippy::needless_pass_by_value, reason = "made for this call, and nothing without it")]
fn add_gradient<T: Format>(
    gradients: &mut Gradients,
    parent: Tracked,
    shape: &[usize],
    write: impl FnOnce(&mut [T], bool),
) {
    let known = gradients.remove::<Flex>(&parent).map(|known| plain(known, T::FORMAT));
    let own = if let Some(mut known) = known {
        write(known.storage_mut::<T>(), true);
        known
    } else {
        let mut values = vec![T::ZERO; shape.iter().product()];
        write(&mut values, false);
        tensor(values, shape)
    };
    gradients.register::<Flex>(parent.node.id, own);
}

// ---------------------------------------------------------------------------------------- convolution

fn geometry(clip: &FlexTensor, weight: &FlexTensor, window: Window) -> ConvGeometry {
    let [batch, frames, rows, columns, in_channels] = dims(clip);
    let [out_channels, ..] = dims::<5>(weight);
    sound(ConvGeometry::new(ConvSpec {
        batch,
        in_channels,
        out_channels,
        input: [frames, rows, columns],
        kernel: window.kernel,
        stride: window.stride,
        padding: window.padding,
        dilation: window.dilation,
        groups: window.groups,
    }))
}

fn convolve(
    clip: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    geometry: &ConvGeometry,
) -> FlexTensor {
    let [frames, rows, columns] = geometry.output();
    let spec = geometry.spec();
    let shape = [spec.batch, frames, rows, columns, spec.out_channels];
    by_format!(clip.dtype(), T => {
        let mut output = vec![T::ZERO; geometry.output_len()];
        sound(convolution_forward(
            fvc_kernels::Engine::OneDnn,
            geometry,
            clip.storage::<T>(),
            numbers(weight),
            bias.map(numbers),
            &mut output,
        ));
        tensor(output, &shape)
    })
}

#[derive(Debug)]
struct ConvolutionStep;

#[derive(Clone, Debug)]
struct ConvolutionState {
    clip: FlexTensor,
    weight: FlexTensor,
    geometry: ConvGeometry,
}

/// Parents: clip, weight, and where there is a third the bias.
impl<const N: usize> Backward<Flex, N> for ConvolutionStep {
    type State = ConvolutionState;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let ConvolutionState { clip, weight, geometry } = ops.state;
        let from_above = plain(gradients.consume::<Flex>(&ops.node), clip.dtype());
        let node = |at: usize| -> Option<NodeId> {
            ops.parents.get(at).and_then(|own| own.as_ref().map(|own| own.id))
        };
        let engine = fvc_kernels::Engine::OneDnn;
        by_format!(clip.dtype(), T => {
            if node(1).is_some() || node(2).is_some() {
                let mut of_weight = vec![0.0; geometry.weights_len()];
                let mut of_bias = vec![0.0; if N > 2 { geometry.spec().out_channels } else { 0 }];
                sound(convolution_backward_weights(
                    engine,
                    &geometry,
                    clip.storage::<T>(),
                    from_above.storage::<T>(),
                    &mut of_weight,
                    (N > 2).then_some(&mut of_bias[..]),
                ));
                if let Some(id) = node(1) {
                    let shape: [usize; 5] = dims(&weight);
                    gradients.register::<Flex>(id, tensor(of_weight, &shape));
                }
                if let Some(id) = node(2) {
                    let shape = [of_bias.len()];
                    gradients.register::<Flex>(id, tensor(of_bias, &shape));
                }
            }
            if let Some(parent) = &ops.parents[0] {
                let shape: [usize; 5] = dims(&clip);
                let from_above = from_above.storage::<T>();
                add_gradient::<T>(gradients, named!(parent), &shape, |of_clip, accumulate| {
                    sound(convolution_backward_data(
                        engine,
                        &geometry,
                        from_above,
                        numbers(&weight),
                        of_clip,
                        accumulate,
                    ));
                });
            }
        });
    }
}

// --------------------------------------------------------------------------------------------- pooling

fn pool_geometry(clip: &FlexTensor, window: Window) -> PoolGeometry {
    let [batch, frames, rows, columns, channels] = dims(clip);
    sound(PoolGeometry::new(PoolSpec {
        batch,
        channels,
        input: [frames, rows, columns],
        kernel: window.kernel,
        stride: window.stride,
        padding: window.padding,
    }))
}

/// The maxima, and where in its window each lay.
fn pool(clip: &FlexTensor, geometry: &PoolGeometry) -> (FlexTensor, Vec<u8>) {
    let [batch, _, _, _, channels] = dims(clip);
    let [frames, rows, columns] = geometry.output();
    let shape = [batch, frames, rows, columns, channels];
    let mut record = vec![0; geometry.output_len()];
    let output = by_format!(clip.dtype(), T => {
        let mut output = vec![T::ZERO; geometry.output_len()];
        sound(max_pool_forward(geometry, clip.storage::<T>(), &mut output, &mut record));
        tensor(output, &shape)
    });
    (output, record)
}

#[derive(Debug)]
struct PoolStep;

#[derive(Clone, Debug)]
struct PoolState {
    record: std::sync::Arc<Vec<u8>>,
    geometry: PoolGeometry,
    shape: [usize; 5],
    format: DType,
}

impl Backward<Flex, 1> for PoolStep {
    type State = PoolState;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let PoolState { record, geometry, shape, format } = ops.state;
        let from_above = plain(gradients.consume::<Flex>(&ops.node), format);
        let [parent] = ops.parents;
        let Some(parent) = parent else { return };
        by_format!(format, T => {
            let from_above = from_above.storage::<T>();
            add_gradient::<T>(gradients, named!(parent), &shape, |of_clip, accumulate| {
                sound(max_pool_backward(&geometry, from_above, &record, of_clip, accumulate));
            });
        });
    }
}

// --------------------------------------------------------------------------------------- normalisation

/// Everything but the parts that a normalisation is a function of.
#[derive(Clone, Debug)]
struct NormState {
    parts: Vec<FlexTensor>,
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    extents: Extents,
    relu: bool,
    mode: NormalizeMode,
    ranks: Option<Arc<PassSums>>,
}

/// The statistics over all parts and ranks: mean and biased variance of each channel, and the positions that
/// they are over.
fn statistics(
    parts: &[FlexTensor],
    extents: &Extents,
    ranks: Option<&Arc<PassSums>>,
) -> (Vec<f32>, Vec<f32>, f64) {
    let (mut mean, mut variance) = (Vec::new(), Vec::new());
    for part in parts {
        let [batch, frames, rows, columns, channels] = dims(part);
        let shape = [batch, frames, rows, columns];
        let own = by_format!(part.dtype(), T => {
            sound(channel_statistics(part.storage::<T>(), shape, channels, extents.valid()))
        });
        mean.extend(own.mean);
        variance.extend(own.variance);
    }
    let count = extents.positions() as f64;
    match ranks {
        Some(ranks) => over_ranks(&mean, &variance, count, ranks),
        None => (mean, variance, count),
    }
}

/// Statistics of all ranks' positions from those of each, by the sums of values and of squares in f64.
fn over_ranks(
    mean: &[f32],
    variance: &[f32],
    count: f64,
    ranks: &PassSums,
) -> (Vec<f32>, Vec<f32>, f64) {
    let count = if ranks.is_present() { count } else { 0.0 };
    let mut sums = vec![count];
    sums.extend(mean.iter().map(|&mean| count * f64::from(mean)));
    let squares = |(&mean, &variance): (&f32, &f32)| {
        count * (f64::from(variance) + f64::from(mean) * f64::from(mean))
    };
    sums.extend(mean.iter().zip(variance).map(squares));
    ranks.sum_f64(&mut sums);
    let count = sums[0].max(1.0);
    let (values, squares) = sums[1..].split_at(mean.len());
    let mean: Vec<f64> = values.iter().map(|sum| sum / count).collect();
    let variance = squares
        .iter()
        .zip(&mean)
        .map(|(sum, mean)| (sum / count - mean * mean).max(0.0) as f32)
        .collect();
    (mean.into_iter().map(|mean| mean as f32).collect(), variance, count)
}

fn apply_norm(state: &NormState) -> FlexTensor {
    let (scale, shift) = affine(&state.mean, &state.inverse_deviation, &state.weight, &state.bias);
    let total = scale.len();
    let [batch, frames, rows, columns, _] = dims(&state.parts[0]);
    let positions = batch * frames * rows * columns;
    by_format!(state.parts[0].dtype(), T => {
        let parts: Vec<(&[T], usize)> =
            state.parts.iter().map(|part| (part.storage::<T>(), dims::<5>(part)[4])).collect();
        let mut output = vec![T::ZERO; positions * total];
        sound(normalize_forward(
            &parts,
            [batch, frames, rows, columns],
            state.extents.valid(),
            &scale,
            &shift,
            state.relu,
            &mut output,
        ));
        tensor(output, &[batch, frames, rows, columns, total])
    })
}

/// The state of a normalisation, and the batch's statistics where it uses those.
fn norm_state(
    parts: Vec<FlexTensor>,
    weight: &FlexTensor,
    bias: &FlexTensor,
    running: Option<(&FlexTensor, &FlexTensor)>,
    options: &NormOptions<'_>,
) -> (NormState, Option<(FlexTensor, FlexTensor)>, f64) {
    let (mean, variance, count, mode) = if let Some((mean, variance)) = running {
        (numbers(mean).to_vec(), numbers(variance).to_vec(), 0.0, NormalizeMode::Frozen)
    } else {
        let (mean, variance, count) = statistics(&parts, options.extents, options.ranks);
        (mean, variance, count, NormalizeMode::Batch)
    };
    let told = (mode == NormalizeMode::Batch).then(|| {
        (tensor(mean.clone(), &[mean.len()]), tensor(variance.clone(), &[variance.len()]))
    });
    let inverse_deviation =
        variance.iter().map(|variance| 1.0 / (variance + options.epsilon).sqrt()).collect();
    let state = NormState {
        parts,
        mean,
        inverse_deviation,
        weight: numbers(weight).to_vec(),
        bias: numbers(bias).to_vec(),
        extents: options.extents.clone(),
        relu: options.relu,
        mode,
        ranks: options.ranks.cloned(),
    };
    (state, told, count)
}

#[derive(Debug)]
struct NormStep;

/// Parents: the parts, weight, bias.
impl<const N: usize> Backward<Flex, N> for NormStep {
    type State = NormState;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let state = ops.state;
        let format = state.parts[0].dtype();
        let from_above = plain(gradients.consume::<Flex>(&ops.node), format);
        let [batch, frames, rows, columns, _] = dims(&state.parts[0]);
        by_format!(format, T => {
            let parts: Vec<(&[T], usize)> =
                state.parts.iter().map(|part| (part.storage::<T>(), dims::<5>(part)[4])).collect();
            let mut of_parts: Vec<Vec<T>> =
                parts.iter().map(|(part, _)| vec![T::ZERO; part.len()]).collect();
            let mut slices: Vec<&mut [T]> =
                of_parts.iter_mut().map(Vec::as_mut_slice).collect();
            let (of_weight, of_bias) = sound(normalize_backward_across(
                &parts,
                [batch, frames, rows, columns],
                state.extents.valid(),
                &state.mean,
                &state.inverse_deviation,
                &state.weight,
                &state.bias,
                state.relu,
                from_above.storage::<T>(),
                state.mode,
                &mut slices,
                &mut |sums| {
                    if let Some(ranks) = &state.ranks {
                        let present = ranks.is_present();
                        if !present {
                            sums.fill(0.0);
                        }
                        ranks.sum_f64(sums);
                        if !present {
                            // What others sum is no gradient of clips that do not count.
                            sums[1..].fill(0.0);
                        }
                        // Nobody's positions: after a fault, which ends the pass.
                        sums[0] = sums[0].max(1.0);
                    }
                },
            ));
            for (at, of_part) in of_parts.into_iter().enumerate() {
                if let Some(parent) = &ops.parents[at] {
                    let shape: [usize; 5] = dims(&state.parts[at]);
                    gradients.register::<Flex>(parent.id, tensor(of_part, &shape));
                }
            }
            for (at, values) in [(N - 2, of_weight), (N - 1, of_bias)] {
                if let Some(parent) = &ops.parents[at] {
                    let shape = [values.len()];
                    gradients.register::<Flex>(parent.id, tensor(values, &shape));
                }
            }
        });
    }
}

// ------------------------------------------------------------------------------------------------ mean

fn average(clip: &FlexTensor, extents: &Extents) -> FlexTensor {
    let [batch, frames, rows, columns, channels] = dims(clip);
    let shape = [batch, frames, rows, columns];
    let values = by_format!(clip.dtype(), T => {
        sound(global_average_forward(clip.storage::<T>(), shape, channels, extents.valid()))
    });
    tensor(values, &[batch, channels])
}

#[derive(Debug)]
struct AverageStep;

#[derive(Clone, Debug)]
struct AverageState {
    shape: [usize; 5],
    extents: Extents,
    format: DType,
}

impl Backward<Flex, 1> for AverageStep {
    type State = AverageState;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let AverageState { shape, extents, format } = ops.state;
        let from_above = plain(gradients.consume::<Flex>(&ops.node), DType::F32);
        let [parent] = ops.parents;
        let Some(parent) = parent else { return };
        let [batch, frames, rows, columns, channels] = shape;
        let grid = [batch, frames, rows, columns];
        by_format!(format, T => {
            let mut of_clip = vec![T::ZERO; shape.iter().product()];
            sound(global_average_backward(
                numbers(&from_above),
                grid,
                channels,
                extents.valid(),
                &mut of_clip,
                false,
            ));
            gradients.register::<Flex>(parent.id, tensor(of_clip, &shape));
        });
    }
}

// ---------------------------------------------------------------------------------------- without graph

pub(crate) fn float<B: NetworkBackend, const D: usize>(
    tensor: Tensor<B, D>,
) -> B::FloatTensorPrimitive {
    tensor.into_primitive().tensor()
}

pub(crate) fn lift<B: NetworkBackend, const D: usize>(
    primitive: B::FloatTensorPrimitive,
) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

impl NetworkBackend for Flex {
    fn square_sums(tensors: Vec<Tensor<Self, 1>>) -> Vec<f64> {
        let own = |tensor| sum_squares(numbers(&plain(float(tensor), DType::F32)));
        tensors.into_iter().map(own).collect()
    }

    fn convolution(
        clip: Tensor<Self, 5>,
        weight: Tensor<Self, 5>,
        bias: Option<Tensor<Self, 1>>,
        window: Window,
        engine: Engine,
    ) -> Tensor<Self, 5> {
        let format = clip.dtype();
        if !convolutions_take(engine, format) {
            return portable::convolution(clip, weight, bias, window);
        }
        let clip = plain(float(clip), format);
        let weight = plain(float(weight), DType::F32);
        let bias = bias.map(|bias| plain(float(bias), DType::F32));
        let geometry = geometry(&clip, &weight, window);
        lift(convolve(&clip, &weight, bias.as_ref(), &geometry))
    }

    fn max_pool(clip: Tensor<Self, 5>, window: Window, engine: Engine) -> Tensor<Self, 5> {
        let format = clip.dtype();
        if !kernels_take(engine, format) || window.dilation != [1; 3] {
            return portable::max_pool(clip, window);
        }
        let clip = plain(float(clip), format);
        let geometry = pool_geometry(&clip, window);
        lift(pool(&clip, &geometry).0)
    }

    fn normalize(
        parts: Vec<Tensor<Self, 5>>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        running: Option<(Tensor<Self, 1>, Tensor<Self, 1>)>,
        options: &NormOptions<'_>,
    ) -> Normalized<Self> {
        let format = parts.first().map_or(DType::F32, Tensor::dtype);
        if !kernels_take(options.engine, format) {
            return portable::normalize(parts, weight, bias, running, options);
        }
        let parts = parts.into_iter().map(|part| plain(float(part), format)).collect();
        let row = |tensor: Tensor<Self, 1>| plain(float(tensor), DType::F32);
        let (weight, bias) = (row(weight), row(bias));
        let running = running.map(|(mean, variance)| (row(mean), row(variance)));
        let running = running.as_ref().map(|(mean, variance)| (mean, variance));
        let (state, told, count) = norm_state(parts, &weight, &bias, running, options);
        let statistics = told.map(|(mean, variance)| (lift(mean), lift(variance)));
        Normalized { output: lift(apply_norm(&state)), statistics, count }
    }

    fn global_average(clip: Tensor<Self, 5>, extents: &Extents, engine: Engine) -> Tensor<Self, 2> {
        let format = clip.dtype();
        // A frame beyond its clip's end is no position at all, which the kernel does not take.
        if !kernels_take(engine, format) || extents.valid().iter().any(|own| own.contains(&0)) {
            return portable::global_average(clip, extents);
        }
        lift(average(&plain(float(clip), format), extents))
    }

    fn affine(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if products_take(engine, format, &input, &weight) {
            flex_rows::affine_alone(input, weight, bias, format)
        } else {
            portable::affine(input, weight, bias, format)
        }
    }

    fn affine_gelu(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if products_take(engine, format, &input, &weight) {
            flex_rows::affine_gelu_alone(input, weight, bias, format)
        } else {
            Self::gelu_rows(Self::affine(input, weight, bias, format, engine), format, engine)
        }
    }

    fn attend_packed(
        packed: Tensor<Self, 2>,
        tokens: usize,
        heads: usize,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if convolutions_take(engine, format) {
            flex_rows::attend_alone(packed, tokens, heads, format)
        } else {
            portable::attend_packed(packed, tokens, heads, format)
        }
    }

    fn normalize_rows(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f64,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if kernels_take(engine, format) {
            flex_rows::layer_norm_alone(input, weight, bias, epsilon, format)
        } else {
            portable::layer_norm(input, weight, bias, epsilon).cast(format)
        }
    }

    fn gelu_rows(input: Tensor<Self, 2>, format: DType, engine: Engine) -> Tensor<Self, 2> {
        if kernels_take(engine, format) {
            flex_rows::gelu_alone(input, format)
        } else {
            portable::gelu(input).cast(format)
        }
    }
}

// ------------------------------------------------------------------------------------------- with graph

impl<C: CheckpointStrategy> NetworkBackend for Autodiff<Flex, C> {
    fn across_ranks<const D: usize>(
        tensor: Tensor<Self, D>,
        sums: &Arc<PassSums>,
        across: Across,
    ) -> Tensor<Self, D> {
        sum_in_graph(tensor, sums, across)
    }

    fn convolution(
        clip: Tensor<Self, 5>,
        weight: Tensor<Self, 5>,
        bias: Option<Tensor<Self, 1>>,
        window: Window,
        engine: Engine,
    ) -> Tensor<Self, 5> {
        let format = clip.dtype();
        if !convolutions_take(engine, format) {
            return portable::convolution(clip, weight, bias, window);
        }
        let (clip, weight, bias) = (float(clip), float(weight), bias.map(float));
        let own_clip = plain(clip.primitive, format);
        let own_weight = plain(weight.primitive, DType::F32);
        let geometry = geometry(&own_clip, &own_weight, window);
        let output = if let Some(bias) = bias {
            let own_bias = plain(bias.primitive, DType::F32);
            let output = convolve(&own_clip, &own_weight, Some(&own_bias), &geometry);
            let state = ConvolutionState { clip: own_clip, weight: own_weight, geometry };
            let nodes = [clip.node, weight.node, bias.node];
            match ConvolutionStep.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state, output),
                OpsKind::UnTracked(prepared) => prepared.finish(output),
            }
        } else {
            let output = convolve(&own_clip, &own_weight, None, &geometry);
            let state = ConvolutionState { clip: own_clip, weight: own_weight, geometry };
            let nodes = [clip.node, weight.node];
            match ConvolutionStep.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state, output),
                OpsKind::UnTracked(prepared) => prepared.finish(output),
            }
        };
        lift(output)
    }

    fn max_pool(clip: Tensor<Self, 5>, window: Window, engine: Engine) -> Tensor<Self, 5> {
        let format = clip.dtype();
        if !kernels_take(engine, format) || window.dilation != [1; 3] {
            return portable::max_pool(clip, window);
        }
        let clip = float(clip);
        let own = plain(clip.primitive, format);
        let geometry = pool_geometry(&own, window);
        let shape = dims(&own);
        let (output, record) = pool(&own, &geometry);
        let state = PoolState { record: std::sync::Arc::new(record), geometry, shape, format };
        lift(match PoolStep.prepare::<C>([clip.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        })
    }

    fn normalize(
        parts: Vec<Tensor<Self, 5>>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        running: Option<(Tensor<Self, 1>, Tensor<Self, 1>)>,
        options: &NormOptions<'_>,
    ) -> Normalized<Self> {
        let format = parts.first().map_or(DType::F32, Tensor::dtype);
        if !kernels_take(options.engine, format) || parts.len() > 4 {
            return portable::normalize(parts, weight, bias, running, options);
        }
        let parts: Vec<_> = parts.into_iter().map(float).collect();
        let (weight, bias) = (float(weight), float(bias));
        let held_too = (weight.rc.clone(), bias.rc.clone());
        let mut nodes: Vec<_> = parts.iter().map(|part| part.node.clone()).collect();
        nodes.extend([weight.node.clone(), bias.node.clone()]);
        // A node that nobody holds is swept away by the next backward pass of any thread, with all that
        // lies behind it: what is read here is held until the new node stands on it.
        let held: Vec<_> = parts.iter().map(|part| part.rc.clone()).collect();
        let own = parts.into_iter().map(|part| plain(part.primitive, format)).collect();
        let row = |tensor: Tensor<Self, 1>| plain(float(tensor).primitive, DType::F32);
        let running = running.map(|(mean, variance)| (row(mean), row(variance)));
        let running = running.as_ref().map(|(mean, variance)| (mean, variance));
        let weight = plain(weight.primitive, DType::F32);
        let bias = plain(bias.primitive, DType::F32);
        let (state, told, count) = norm_state(own, &weight, &bias, running, options);
        let output = apply_norm(&state);
        // The number of parents is part of an operation's type.
        macro_rules! prepared {
            ($count:literal) => {{
                let nodes: [_; $count] = std::array::from_fn(|at| nodes[at].clone());
                match NormStep.prepare::<C>(nodes).compute_bound().stateful() {
                    OpsKind::Tracked(prepared) => prepared.finish(state, output),
                    OpsKind::UnTracked(prepared) => prepared.finish(output),
                }
            }};
        }
        let output = match nodes.len() {
            3 => prepared!(3),
            4 => prepared!(4),
            5 => prepared!(5),
            _ => prepared!(6),
        };
        drop((held, held_too));
        let constant = |values: FlexTensor| Tensor::from_inner(lift::<Flex, 1>(values));
        let statistics = told.map(|(mean, variance)| (constant(mean), constant(variance)));
        Normalized { output: lift(output), statistics, count }
    }

    fn global_average(clip: Tensor<Self, 5>, extents: &Extents, engine: Engine) -> Tensor<Self, 2> {
        let format = clip.dtype();
        // A frame beyond its clip's end is no position at all, which the kernel does not take.
        if !kernels_take(engine, format) || extents.valid().iter().any(|own| own.contains(&0)) {
            return portable::global_average(clip, extents);
        }
        let clip = float(clip);
        let own = plain(clip.primitive, format);
        let output = average(&own, extents);
        let state = AverageState { shape: dims(&own), extents: extents.clone(), format };
        lift(match AverageStep.prepare::<C>([clip.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        })
    }

    fn affine(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if products_take(engine, format, &input, &weight) {
            flex_rows::affine_tracked(input, weight, bias, format)
        } else {
            portable::affine(input, weight, bias, format)
        }
    }

    fn attend_packed(
        packed: Tensor<Self, 2>,
        tokens: usize,
        heads: usize,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if convolutions_take(engine, format) {
            flex_rows::attend_tracked(packed, tokens, heads, format)
        } else {
            portable::attend_packed(packed, tokens, heads, format)
        }
    }

    fn normalize_rows(
        input: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f64,
        format: DType,
        engine: Engine,
    ) -> Tensor<Self, 2> {
        if kernels_take(engine, format) {
            flex_rows::layer_norm_tracked(input, weight, bias, epsilon, format)
        } else {
            portable::layer_norm(input, weight, bias, epsilon).cast(format)
        }
    }

    fn gelu_rows(input: Tensor<Self, 2>, format: DType, engine: Engine) -> Tensor<Self, 2> {
        if kernels_take(engine, format) {
            flex_rows::gelu_tracked(input, format)
        } else {
            portable::gelu(input).cast(format)
        }
    }
}
