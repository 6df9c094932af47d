//! [`GatedRecurrentUnit`] and [`TransformerEncoder`]: what reads the vectors of a clip's frames in their
//! order, with PyTorch's names.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData, activation};

use crate::backend::NetworkBackend;
use crate::layers::{Initial, LayerNorm, Linear, attention, dropout, joined, linear};
use crate::{Context, Extents};

/// One layer of gated recurrent units (Cho et al. 2014) in PyTorch's form.
#[derive(Module, Debug)]
pub struct GatedLayer<B: Backend> {
    /// `[3 hidden, in]`: reset, update, new.
    pub weight_ih: Param<Tensor<B, 2>>,
    /// `[3 hidden, hidden]`.
    pub weight_hh: Param<Tensor<B, 2>>,
    /// `[3 hidden]`.
    pub bias_ih: Param<Tensor<B, 1>>,
    /// `[3 hidden]`.
    pub bias_hh: Param<Tensor<B, 1>>,
}

/// Layers of gated recurrent units; gives the state after each clip's last frame.
#[derive(Module, Debug)]
pub struct GatedRecurrentUnit<B: Backend> {
    layers: Vec<GatedLayer<B>>,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> GatedRecurrentUnit<B> {
    /// Weights evenly between plus and minus 1 / sqrt(hidden), as PyTorch begins.
    pub fn new(
        [input, hidden, layers]: [usize; 3],
        dropout: f64,
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        let bound = (hidden as f32).sqrt().recip();
        let mut layer = |input: usize| GatedLayer {
            weight_ih: initial.uniform([3 * hidden, input], bound, device),
            weight_hh: initial.uniform([3 * hidden, hidden], bound, device),
            bias_ih: initial.uniform([3 * hidden], bound, device),
            bias_hh: initial.uniform([3 * hidden], bound, device),
        };
        let layers = (0..layers).map(|at| layer(if at == 0 { input } else { hidden })).collect();
        Self { layers, dropout }
    }
}

impl<B: NetworkBackend> GatedRecurrentUnit<B> {
    /// `[batch, frames, in]` to `[batch, hidden]`. A clip that has ended keeps its state.
    pub fn forward(
        &self,
        mut sequence: Tensor<B, 3>,
        extents: &Extents,
        context: &Context<B>,
    ) -> Tensor<B, 2> {
        let [batch, frames, _] = sequence.dims();
        let device = sequence.device();
        let shortest = extents.valid().iter().map(|clip| clip[0]).min().unwrap_or(0);
        let alive = |frame: usize| {
            let values: Vec<f32> = extents
                .valid()
                .iter()
                .map(|clip| if frame < clip[0] { 1.0 } else { 0.0 })
                .collect();
            Tensor::<B, 2>::from_data(TensorData::new(values, [batch, 1]), &device)
        };
        let mut last = None;
        for (number, layer) in self.layers.iter().enumerate() {
            if number > 0 {
                sequence = dropout(sequence, self.dropout, context);
            }
            let hidden = layer.weight_hh.val().dims()[1];
            let [_, _, width] = sequence.dims();
            // The input's part of all gates and frames is one product.
            let inputs = sequence.reshape([batch * frames, width]);
            let inputs =
                inputs.matmul(layer.weight_ih.val().transpose()) + layer.bias_ih.val().unsqueeze();
            let inputs = inputs.reshape([batch, frames, 3 * hidden]);
            let mut state = Tensor::<B, 2>::zeros([batch, hidden], &device);
            let mut states = Vec::with_capacity(frames);
            for frame in 0..frames {
                let from_input = inputs
                    .clone()
                    .slice([0..batch, frame..frame + 1, 0..3 * hidden])
                    .reshape([batch, 3 * hidden]);
                let from_state = state.clone().matmul(layer.weight_hh.val().transpose())
                    + layer.bias_hh.val().unsqueeze();
                let gate = |tensor: &Tensor<B, 2>, at: usize| {
                    tensor.clone().slice([0..batch, at * hidden..(at + 1) * hidden])
                };
                let reset = activation::sigmoid(gate(&from_input, 0) + gate(&from_state, 0));
                let update = activation::sigmoid(gate(&from_input, 1) + gate(&from_state, 1));
                let new = (gate(&from_input, 2) + reset * gate(&from_state, 2)).tanh();
                let next = new.clone() + update * (state.clone() - new);
                state = if frame < shortest {
                    next
                } else {
                    let alive = alive(frame);
                    next * alive.clone() + state * (alive.neg() + 1.0)
                };
                states.push(state.clone().unsqueeze_dim::<3>(1));
            }
            sequence = joined(states, 1);
            last = Some(state);
        }
        last.unwrap_or_else(|| Tensor::zeros([batch, 0], &device))
    }
}

/// One layer of PyTorch's transformer encoder: each part, then the normalisation.
#[derive(Module, Debug)]
pub struct EncoderLayer<B: Backend> {
    self_attn: PackedAttention<B>,
    linear1: Linear<B>,
    linear2: Linear<B>,
    norm1: LayerNorm<B>,
    norm2: LayerNorm<B>,
}

/// Attention whose three projections are one weight.
#[derive(Module, Debug)]
pub struct PackedAttention<B: Backend> {
    /// `[3 width, width]`.
    in_proj_weight: Param<Tensor<B, 2>>,
    /// `[3 width]`.
    in_proj_bias: Param<Tensor<B, 1>>,
    out_proj: Linear<B>,
}

/// Layers of attention over frames.
#[derive(Module, Debug)]
pub struct TransformerEncoder<B: Backend> {
    layers: Vec<EncoderLayer<B>>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    dropout: f64,
}

impl<B: Backend> TransformerEncoder<B> {
    /// With Glorot's initialisation.
    pub fn new(
        [width, feed_forward, layers, heads]: [usize; 4],
        dropout: f64,
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        let mut layer = || {
            let packed = Linear::glorot([width, 3 * width], initial, device);
            let no_bias = initial.uniform([3 * width], 0.0, device);
            EncoderLayer {
                self_attn: PackedAttention {
                    in_proj_weight: packed.weight,
                    in_proj_bias: packed.bias.unwrap_or(no_bias),
                    out_proj: Linear::glorot([width, width], initial, device),
                },
                linear1: Linear::glorot([width, feed_forward], initial, device),
                linear2: Linear::glorot([feed_forward, width], initial, device),
                norm1: LayerNorm::new(width, 1e-5, device),
                norm2: LayerNorm::new(width, 1e-5, device),
            }
        };
        Self { layers: (0..layers).map(|_| layer()).collect(), heads, dropout }
    }
}

impl<B: NetworkBackend> TransformerEncoder<B> {
    /// `[batch, frames, width]` to the same shape; frames beyond a clip's end are not looked at.
    pub fn forward(
        &self,
        mut tokens: Tensor<B, 3>,
        extents: &Extents,
        context: &Context<B>,
    ) -> Tensor<B, 3> {
        let [batch, frames, _] = tokens.dims();
        let heads = self.heads;
        let hidden = extents.valid().iter().any(|clip| clip[0] < frames).then(|| {
            let values: Vec<bool> = extents
                .valid()
                .iter()
                .flat_map(|clip| (0..frames).map(move |frame| frame >= clip[0]))
                .collect();
            Tensor::<B, 4, burn::tensor::Bool>::from_data(
                TensorData::new(values, [batch, 1, 1, frames]),
                &tokens.device(),
            )
        });
        for layer in &self.layers {
            let packed = linear(
                tokens.clone(),
                layer.self_attn.in_proj_weight.val(),
                Some(layer.self_attn.in_proj_bias.val()),
                context,
            );
            let attended = attention(packed, heads, hidden.clone(), self.dropout, context);
            let attended = layer.self_attn.out_proj.forward(attended, context);
            tokens =
                layer.norm1.forward(tokens + dropout(attended, self.dropout, context), context);
            let inner = activation::relu(layer.linear1.forward(tokens.clone(), context));
            let inner = layer.linear2.forward(dropout(inner, self.dropout, context), context);
            tokens = layer.norm2.forward(tokens + dropout(inner, self.dropout, context), context);
        }
        tokens
    }
}

/// Sines and cosines of a frame's number (Vaswani et al. 2017): `[1, frames, width]`.
pub(crate) fn positions<B: Backend>(
    frames: usize,
    width: usize,
    device: &B::Device,
) -> Tensor<B, 3> {
    let values: Vec<f32> = (0..frames)
        .flat_map(|frame| {
            (0..width).map(move |at| {
                let rate = 10_000_f64.powf(-((at / 2 * 2) as f64) / width as f64);
                let angle = frame as f64 * rate;
                (if at % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
            })
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [1, frames, width]), device)
}
