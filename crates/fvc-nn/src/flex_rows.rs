//! What transformers and heads are made of, on the processor: linear layers, attention, layer normalisation and
//! GELU by `fvc-kernels`, as operations of Burn with their own backward passes.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use fvc_kernels::{
    PackedHeads, bf16, gelu_backward, gelu_forward, gelu_of_product, join_heads,
    layer_norm_backward, layer_norm_forward, product_of_batch, softmax_backward, softmax_forward,
    split_heads, sum_rows,
};

use crate::flex::{by_format, dims, float, lift, numbers, plain, sound, tensor};

/// As many products of `sizes` [m, n, k] as `batch` says, in the numbers of `left`; sums, which are given, are
/// f32.
fn product(
    batch: usize,
    sizes: [usize; 3],
    turned: [bool; 2],
    left: &FlexTensor,
    right: &FlexTensor,
    bias: Option<&FlexTensor>,
) -> Vec<f32> {
    by_format!(left.dtype(), T => {
        let (left, right) = (left.storage::<T>(), right.storage::<T>());
        let bias = bias.map(numbers);
        sound(product_of_batch(fvc_kernels::Engine::OneDnn, batch, sizes, turned, left, right, bias))
    })
}

/// The node of a parent whose gradient is asked for.
fn asked<const N: usize, S>(ops: &Ops<S, N>, at: usize) -> Option<NodeId> {
    ops.parents.get(at).and_then(|own| own.as_ref().map(|own| own.id))
}

// ------------------------------------------------------------------------------------------------ linear

#[derive(Debug)]
struct AffineStep;

/// Input and weight, as they were multiplied.
#[derive(Clone, Debug)]
struct AffineState {
    input: FlexTensor,
    weight: FlexTensor,
}

/// Parents: input, weight, and where there is a third the bias.
impl<const N: usize> Backward<Flex, N> for AffineStep {
    type State = AffineState;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [of_input, of_weight, of_bias] = [0, 1, 2].map(|at| asked(&ops, at));
        let AffineState { input, weight } = ops.state;
        let from_above = plain(gradients.consume::<Flex>(&ops.node), DType::F32);
        let ([rows, width], [out, _]) = (dims(&input), dims::<2>(&weight));
        if let Some(id) = of_bias {
            let own = sound(sum_rows(numbers(&from_above), out));
            gradients.register::<Flex>(id, tensor(own, &[out]));
        }
        let from_above = plain(from_above, input.dtype());
        if let Some(id) = of_input {
            let own = product(1, [rows, width, out], [false; 2], &from_above, &weight, None);
            gradients.register::<Flex>(id, tensor(own, &[rows, width]));
        }
        if let Some(id) = of_weight {
            let own = product(1, [out, width, rows], [true, false], &from_above, &input, None);
            gradients.register::<Flex>(id, tensor(own, &[out, width]));
        }
    }
}

fn affine(input: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let ([rows, width], [out, _]) = (dims(input), dims::<2>(weight));
    let output = product(1, [rows, out, width], [false, true], input, weight, bias);
    tensor(output, &[rows, out])
}

pub(crate) fn affine_alone(
    input: Tensor<Flex, 2>,
    weight: Tensor<Flex, 2>,
    bias: Option<Tensor<Flex, 1>>,
    format: DType,
) -> Tensor<Flex, 2> {
    let (input, weight) = (plain(float(input), format), plain(float(weight), format));
    let bias = bias.map(|bias| plain(float(bias), DType::F32));
    lift(affine(&input, &weight, bias.as_ref()))
}

/// Without a graph nobody needs what goes into the GELU, which the product's kernel then applies itself.
pub(crate) fn affine_gelu_alone(
    input: Tensor<Flex, 2>,
    weight: Tensor<Flex, 2>,
    bias: Option<Tensor<Flex, 1>>,
    format: DType,
) -> Tensor<Flex, 2> {
    let (input, weight) = (plain(float(input), format), plain(float(weight), format));
    let bias = bias.map(|bias| plain(float(bias), DType::F32));
    let ([rows, width], [out, _]) = (dims(&input), dims::<2>(&weight));
    lift(by_format!(format, T => {
        let (left, right) = (input.storage::<T>(), weight.storage::<T>());
        let (engine, bias) = (fvc_kernels::Engine::OneDnn, bias.as_ref().map(numbers));
        let output = sound(gelu_of_product(engine, [rows, out, width], left, right, bias));
        tensor(output, &[rows, out])
    }))
}

pub(crate) fn affine_tracked<C: CheckpointStrategy>(
    input: Tensor<Autodiff<Flex, C>, 2>,
    weight: Tensor<Autodiff<Flex, C>, 2>,
    bias: Option<Tensor<Autodiff<Flex, C>, 1>>,
    format: DType,
) -> Tensor<Autodiff<Flex, C>, 2> {
    let (input, weight, bias) = (float(input), float(weight), bias.map(float));
    let state = AffineState {
        input: plain(input.primitive, format),
        weight: plain(weight.primitive, format),
    };
    lift(if let Some(bias) = bias {
        let own = plain(bias.primitive, DType::F32);
        let output = affine(&state.input, &state.weight, Some(&own));
        let nodes = [input.node, weight.node, bias.node];
        match AffineStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    } else {
        let output = affine(&state.input, &state.weight, None);
        match AffineStep.prepare::<C>([input.node, weight.node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    })
}

// --------------------------------------------------------------------------------------------- attention

#[derive(Debug)]
struct AttendStep;

/// Everything in the numbers that are multiplied; `weights` are the softmax.
#[derive(Clone, Debug)]
struct AttendState {
    shape: PackedHeads,
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    weights: FlexTensor,
}

/// What query, key and value are multiplied by, in the forward pass and on the way back.
fn scales(shape: PackedHeads) -> [f32; 3] {
    [(1.0 / (shape.width as f64).sqrt()) as f32, 1.0, 1.0]
}

/// The packed parts, [pictures, heads, tokens, width] each, in this format.
fn split(
    shape: PackedHeads,
    packed: &FlexTensor,
    scales: &[f32],
    format: DType,
) -> Vec<FlexTensor> {
    let PackedHeads { pictures, tokens, heads, width } = shape;
    by_format!(format, T => {
        let each = numbers(packed).len() / scales.len().max(1);
        let mut parts = vec![vec![<T as fvc_kernels::Element>::ZERO; each]; scales.len()];
        let mut slices: Vec<&mut [T]> = parts.iter_mut().map(Vec::as_mut_slice).collect();
        sound(split_heads(shape, numbers(packed), scales, &mut slices));
        parts.into_iter().map(|part| tensor(part, &[pictures, heads, tokens, width])).collect()
    })
}

impl Backward<Flex, 1> for AttendStep {
    type State = AttendState;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let parent = asked(&ops, 0);
        let AttendState { shape, query, key, value, weights } = ops.state;
        let format = query.dtype();
        let from_above = plain(gradients.consume::<Flex>(&ops.node), DType::F32);
        let Some(id) = parent else { return };
        let from_above = &split(shape, &from_above, &[1.0], format)[0];
        let PackedHeads { pictures, tokens, heads, width } = shape;
        let count = pictures * heads;
        let sizes = [tokens, tokens, width];
        let mut of_weights = product(count, sizes, [false, true], from_above, &value, None);
        let of_scores = by_format!(format, T => {
            let mut own = vec![<T as fvc_kernels::Element>::ZERO; of_weights.len()];
            sound(softmax_backward(weights.storage::<T>(), &mut of_weights, tokens, &mut own));
            tensor(own, &[pictures, heads, tokens, tokens])
        });
        drop(of_weights);
        let sizes = [tokens, width, tokens];
        let of_value = product(count, sizes, [true, false], &weights, from_above, None);
        let of_query = product(count, sizes, [false; 2], &of_scores, &key, None);
        let of_key = product(count, sizes, [true, false], &of_scores, &query, None);
        let mut packed = vec![0.0; 3 * of_value.len()];
        let parts: [&[f32]; 3] = [&of_query, &of_key, &of_value];
        sound(join_heads(shape, &parts, &scales(shape), &mut packed));
        gradients.register::<Flex>(id, tensor(packed, &[pictures * tokens, 3 * heads * width]));
    }
}

/// The result, and what the way back needs.
fn attend(
    packed: &FlexTensor,
    tokens: usize,
    heads: usize,
    format: DType,
) -> (FlexTensor, AttendState) {
    let [rows, all] = dims(packed);
    let (pictures, width) = (rows / tokens.max(1), all / (3 * heads.max(1)));
    let shape = PackedHeads { pictures, tokens, heads, width };
    let parts = split(shape, packed, &scales(shape), format);
    let [query, key, value] = [0, 1, 2].map(|at| parts[at].clone());
    drop(parts);
    let count = pictures * heads;
    let mut scores = product(count, [tokens, tokens, width], [false, true], &query, &key, None);
    let weights = by_format!(format, T => {
        let mut own = vec![<T as fvc_kernels::Element>::ZERO; scores.len()];
        sound(softmax_forward(&mut scores, tokens, &mut own));
        tensor(own, &[pictures, heads, tokens, tokens])
    });
    drop(scores);
    let by_head = product(count, [tokens, width, tokens], [false; 2], &weights, &value, None);
    let mut output = vec![0.0; by_head.len()];
    sound(join_heads(shape, &[&by_head], &[1.0], &mut output));
    let output = tensor(output, &[rows, heads * width]);
    (output, AttendState { shape, query, key, value, weights })
}

pub(crate) fn attend_alone(
    packed: Tensor<Flex, 2>,
    tokens: usize,
    heads: usize,
    format: DType,
) -> Tensor<Flex, 2> {
    lift(attend(&plain(float(packed), DType::F32), tokens, heads, format).0)
}

pub(crate) fn attend_tracked<C: CheckpointStrategy>(
    packed: Tensor<Autodiff<Flex, C>, 2>,
    tokens: usize,
    heads: usize,
    format: DType,
) -> Tensor<Autodiff<Flex, C>, 2> {
    let packed = float(packed);
    let (output, state) = attend(&plain(packed.primitive, DType::F32), tokens, heads, format);
    lift(match AttendStep.prepare::<C>([packed.node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

// --------------------------------------------------------------------------------- layer normalisation

#[derive(Debug)]
struct LayerNormStep;

#[derive(Clone, Debug)]
struct LayerNormState {
    input: FlexTensor,
    weight: FlexTensor,
    /// Mean and inverse deviation of each row.
    kept: Vec<[f32; 2]>,
}

impl Backward<Flex, 3> for LayerNormStep {
    type State = LayerNormState;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let asked = [0, 1, 2].map(|at| asked(&ops, at));
        let LayerNormState { input, weight, kept } = ops.state;
        let from_above = plain(gradients.consume::<Flex>(&ops.node), DType::F32);
        let [rows, width] = dims(&input);
        let mut of_input = vec![0.0; rows * width];
        let (of_weight, of_bias) = sound(layer_norm_backward(
            numbers(&input),
            numbers(&weight),
            &kept,
            numbers(&from_above),
            &mut of_input,
        ));
        let found = [
            tensor(of_input, &[rows, width]),
            tensor(of_weight, &[width]),
            tensor(of_bias, &[width]),
        ];
        for (id, own) in asked.into_iter().zip(found) {
            if let Some(id) = id {
                gradients.register::<Flex>(id, own);
            }
        }
    }
}

fn layer_norm(
    input: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    epsilon: f64,
    format: DType,
) -> (FlexTensor, Vec<[f32; 2]>) {
    let shape: [usize; 2] = dims(input);
    let epsilon = epsilon as f32;
    let (weight, bias) = (numbers(weight), numbers(bias));
    by_format!(format, T => {
        let mut output = vec![<T as fvc_kernels::Element>::ZERO; shape[0] * shape[1]];
        let kept = sound(layer_norm_forward(numbers(input), weight, bias, epsilon, &mut output));
        (tensor(output, &shape), kept)
    })
}

pub(crate) fn layer_norm_alone(
    input: Tensor<Flex, 2>,
    weight: Tensor<Flex, 1>,
    bias: Tensor<Flex, 1>,
    epsilon: f64,
    format: DType,
) -> Tensor<Flex, 2> {
    let [input, weight, bias] =
        [float(input), float(weight), float(bias)].map(|own| plain(own, DType::F32));
    lift(layer_norm(&input, &weight, &bias, epsilon, format).0)
}

pub(crate) fn layer_norm_tracked<C: CheckpointStrategy>(
    input: Tensor<Autodiff<Flex, C>, 2>,
    weight: Tensor<Autodiff<Flex, C>, 1>,
    bias: Tensor<Autodiff<Flex, C>, 1>,
    epsilon: f64,
    format: DType,
) -> Tensor<Autodiff<Flex, C>, 2> {
    let (input, weight, bias) = (float(input), float(weight), float(bias));
    let nodes = [input.node, weight.node, bias.node];
    let held = [input.rc, weight.rc, bias.rc];
    let [input, weight, bias] =
        [input.primitive, weight.primitive, bias.primitive].map(|own| plain(own, DType::F32));
    let (output, kept) = layer_norm(&input, &weight, &bias, epsilon, format);
    let state = LayerNormState { input, weight, kept };
    let output = match LayerNormStep.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    drop(held);
    lift(output)
}

// -------------------------------------------------------------------------------------------------- GELU

#[derive(Debug)]
struct GeluStep;

impl Backward<Flex, 1> for GeluStep {
    type State = FlexTensor;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let parent = asked(&ops, 0);
        let from_above = plain(gradients.consume::<Flex>(&ops.node), DType::F32);
        let input = ops.state;
        let Some(id) = parent else { return };
        let mut own = vec![0.0; numbers(&input).len()];
        sound(gelu_backward(numbers(&input), numbers(&from_above), &mut own));
        gradients.register::<Flex>(id, tensor(own, &dims::<2>(&input)));
    }
}

fn gelu(input: &FlexTensor, format: DType) -> FlexTensor {
    by_format!(format, T => {
        let mut output = vec![<T as fvc_kernels::Element>::ZERO; numbers(input).len()];
        sound(gelu_forward(numbers(input), &mut output));
        tensor(output, &dims::<2>(input))
    })
}

pub(crate) fn gelu_alone(input: Tensor<Flex, 2>, format: DType) -> Tensor<Flex, 2> {
    lift(gelu(&plain(float(input), DType::F32), format))
}

pub(crate) fn gelu_tracked<C: CheckpointStrategy>(
    input: Tensor<Autodiff<Flex, C>, 2>,
    format: DType,
) -> Tensor<Autodiff<Flex, C>, 2> {
    let input = float(input);
    let state = plain(input.primitive, DType::F32);
    let output = gelu(&state, format);
    lift(match GeluStep.prepare::<C>([input.node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}
