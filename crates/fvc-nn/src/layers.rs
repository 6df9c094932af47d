//! Layers whose parameters have PyTorch's names, shapes and order, so that its weight files load as they
//! are.

use burn::module::{Initializer, Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Tensor, TensorData, activation};

use crate::backend::{NetworkBackend, NormOptions, Window};
use crate::cast_policy::{LayerKind, format_of};
use crate::context::{BatchStatistics, Context, Mode};
use crate::portable::unpacked;
use crate::{CounterRandom, Extents};

/// Draws the first values of parameters, one after the other.
#[derive(Debug)]
pub struct Initial {
    random: CounterRandom,
    drawn: u64,
}

impl Initial {
    /// First values that depend on a seed only.
    pub fn new(seed: u64) -> Self {
        Self { random: CounterRandom::new(&[seed, 0x1717]), drawn: 0 }
    }

    fn fill(&mut self, count: usize, value: impl Fn(CounterRandom, u64) -> f32) -> Vec<f32> {
        self.drawn += 1;
        let stream = CounterRandom::from_bits(self.random.bits(self.drawn));
        (0..count as u64).map(|at| value(stream, at)).collect()
    }

    fn tensor<B: Backend, const D: usize>(
        &mut self,
        shape: [usize; D],
        device: &B::Device,
        value: impl Fn(CounterRandom, u64) -> f32,
    ) -> Param<Tensor<B, D>> {
        let values = self.fill(shape.iter().product(), value);
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// Normal values with this standard deviation.
    pub fn normal<B: Backend, const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f32,
        device: &B::Device,
    ) -> Param<Tensor<B, D>> {
        self.tensor(shape, device, |stream, at| deviation * stream.normal(at))
    }

    /// Normal values, cut at two standard deviations.
    pub fn truncated_normal<B: Backend, const D: usize>(
        &mut self,
        shape: [usize; D],
        deviation: f32,
        device: &B::Device,
    ) -> Param<Tensor<B, D>> {
        self.tensor(shape, device, |stream, at| {
            // Drawn again where it lies outside; 64 draws all outside have probability 0.046^64.
            let inside = (0..64).map(|again| stream.normal(at * 64 + again));
            deviation * inside.into_iter().find(|value| value.abs() <= 2.0).unwrap_or(0.0)
        })
    }

    /// Values evenly between minus and plus this bound.
    pub fn uniform<B: Backend, const D: usize>(
        &mut self,
        shape: [usize; D],
        bound: f32,
        device: &B::Device,
    ) -> Param<Tensor<B, D>> {
        self.tensor(shape, device, |stream, at| bound * (2.0 * stream.uniform(at) - 1.0))
    }
}

fn constant<B: Backend, const D: usize>(
    shape: [usize; D],
    value: f64,
    device: &B::Device,
) -> Param<Tensor<B, D>> {
    Initializer::Constant { value }.init(shape, device)
}

/// A 3-D convolution over frames, rows and columns.
#[derive(Module, Debug)]
pub struct Convolution3d<B: Backend> {
    /// `[out, in / groups, frames, rows, columns]`.
    pub weight: Param<Tensor<B, 5>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    window: Window,
}

impl<B: Backend> Convolution3d<B> {
    /// With He's normal initialisation by fan-out (He et al. 2015) and bias 0.
    pub fn new(
        [input, output]: [usize; 2],
        window: Window,
        bias: bool,
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        let kernel = window.kernel;
        let fan_out = output / window.groups * kernel.iter().product::<usize>();
        let shape = [output, input / window.groups, kernel[0], kernel[1], kernel[2]];
        let deviation = (2.0 / fan_out.max(1) as f32).sqrt();
        Self {
            weight: initial.normal(shape, deviation, device),
            bias: bias.then(|| constant([output], 0.0, device)),
            window,
        }
    }

    /// Its geometry.
    pub fn window(&self) -> Window {
        self.window
    }
}

impl<B: NetworkBackend> Convolution3d<B> {
    /// `[batch, frames, rows, columns, in]` to `[batch, frames', rows', columns', out]`.
    pub fn forward(&self, clip: Tensor<B, 5>, context: &Context<B>) -> Tensor<B, 5> {
        let format = format_of(LayerKind::Convolution, context.precision());
        let bias = self.bias.as_ref().map(Param::val);
        B::convolution(clip.cast(format), self.weight.val(), bias, self.window, context.engine())
    }

    /// What is valid of its output.
    pub fn extents(&self, extents: &Extents) -> Extents {
        extents.after(self.window.reach(), self.window.stride, self.window.padding)
    }
}

/// A 2-D convolution on each frame.
#[derive(Module, Debug)]
pub struct Convolution2d<B: Backend> {
    /// `[out, in, rows, columns]`.
    pub weight: Param<Tensor<B, 4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    window: Window,
}

impl<B: Backend> Convolution2d<B> {
    /// A square kernel with He's normal initialisation by fan-out and bias 0.
    pub fn new(
        [input, output]: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        let deviation = (2.0 / (output * kernel * kernel) as f32).sqrt();
        Self {
            weight: initial.normal([output, input, kernel, kernel], deviation, device),
            bias: Some(constant([output], 0.0, device)),
            window: Window {
                kernel: [1, kernel, kernel],
                stride: [1, stride, stride],
                padding: [0, padding, padding],
                dilation: [1; 3],
                groups: 1,
            },
        }
    }
}

impl<B: NetworkBackend> Convolution2d<B> {
    /// `[batch, frames, rows, columns, in]` to `[batch, frames, rows', columns', out]`.
    pub fn forward(&self, clip: Tensor<B, 5>, context: &Context<B>) -> Tensor<B, 5> {
        let format = format_of(LayerKind::Convolution, context.precision());
        let weight = self.weight.val().unsqueeze_dim(2);
        let bias = self.bias.as_ref().map(Param::val);
        B::convolution(clip.cast(format), weight, bias, self.window, context.engine())
    }

    /// What is valid of its output.
    pub fn extents(&self, extents: &Extents) -> Extents {
        extents.after(self.window.kernel, self.window.stride, self.window.padding)
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015) over the channels of clips, with PyTorch's running
/// statistics: the variance kept is the unbiased one.
#[derive(Module, Debug)]
pub struct BatchNorm<B: Backend> {
    /// `[channels]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[channels]`.
    pub bias: Param<Tensor<B, 1>>,
    /// `[channels]`.
    pub running_mean: Param<Tensor<B, 1>>,
    /// `[channels]`, unbiased.
    pub running_var: Param<Tensor<B, 1>>,
    #[module(skip)]
    epsilon: f32,
}

/// How much of a batch's statistics goes into the running ones at each step: PyTorch's default.
pub const BATCH_NORM_MOMENTUM: f64 = 0.1;

impl<B: Backend> BatchNorm<B> {
    /// Weight 1, bias 0, running mean 0 and variance 1, epsilon 1e-5.
    pub fn new(channels: usize, device: &B::Device) -> Self {
        let still = |value| constant::<B, 1>([channels], value, device).set_require_grad(false);
        Self {
            weight: constant([channels], 1.0, device),
            bias: constant([channels], 0.0, device),
            running_mean: still(0.0),
            running_var: still(1.0),
            epsilon: 1e-5,
        }
    }
}

impl<B: NetworkBackend> BatchNorm<B> {
    /// Normalises `parts`, side by side along channels, at the valid positions of each clip; gives 0 at
    /// the others. In training by the statistics of the batch, which the context is told.
    pub fn forward(
        &self,
        parts: Vec<Tensor<B, 5>>,
        relu: bool,
        extents: &Extents,
        context: &Context<B>,
    ) -> Tensor<B, 5> {
        let options = NormOptions {
            extents,
            relu,
            epsilon: self.epsilon,
            engine: context.engine(),
            ranks: context.ranks(),
        };
        let running = (context.mode() == Mode::Evaluation)
            .then(|| (self.running_mean.val(), self.running_var.val()));
        let normalized = B::normalize(parts, self.weight.val(), self.bias.val(), running, &options);
        if let Some((mean, variance)) = normalized.statistics {
            let count = normalized.count;
            let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
            context.tell_statistics(BatchStatistics {
                running_mean: self.running_mean.id,
                running_variance: self.running_var.id,
                mean,
                variance: variance * unbiased,
            });
        }
        normalized.output
    }
}

/// Layer normalisation (Ba, Kiros and Hinton 2016) over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// `[width]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[width]`.
    pub bias: Param<Tensor<B, 1>>,
    #[module(skip)]
    epsilon: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// Weight 1, bias 0.
    pub fn new(width: usize, epsilon: f64, device: &B::Device) -> Self {
        Self {
            weight: constant([width], 1.0, device),
            bias: constant([width], 0.0, device),
            epsilon,
        }
    }
}

impl<B: NetworkBackend> LayerNorm<B> {
    /// Any shape with the width as its last axis, to the same in f32.
    pub fn forward<const D: usize>(
        &self,
        input: Tensor<B, D>,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        self.forward_as(input, DType::F32, context)
    }

    /// The same, given in the numbers that linear layers multiply.
    pub fn forward_to_linear<const D: usize>(
        &self,
        input: Tensor<B, D>,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        self.forward_as(input, format_of(LayerKind::Linear, context.precision()), context)
    }

    fn forward_as<const D: usize>(
        &self,
        input: Tensor<B, D>,
        format: DType,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        let (shape, weight, bias) = (input.dims(), self.weight.val(), self.bias.val());
        let (epsilon, engine) = (self.epsilon, context.engine());
        B::normalize_rows(rows(input), weight, bias, epsilon, format, engine).reshape(shape)
    }
}

/// Tensors side by side along an axis. Burn's operation lets go of the nodes that it joins before its own
/// stands on them: a clean-up by another thread at that instant sweeps away what lies below, whose parameters
/// then lack this batch's gradient, in silence. They are held here until it does.
pub(crate) fn joined<B: Backend, const D: usize>(
    tensors: Vec<Tensor<B, D>>,
    axis: usize,
) -> Tensor<B, D> {
    let held = tensors.clone();
    let output = Tensor::cat(tensors, axis);
    drop(held);
    output
}

/// Any shape as rows of its last axis.
fn rows<B: Backend, const D: usize>(input: Tensor<B, D>) -> Tensor<B, 2> {
    let shape: [usize; D] = input.dims();
    let width = shape[D - 1];
    input.reshape([shape.iter().product::<usize>() / width.max(1), width])
}

/// x times the share of the normal distribution below it (Hendrycks and Gimpel 2016), given in the numbers that
/// linear layers multiply.
pub fn gelu<B: NetworkBackend, const D: usize>(
    input: Tensor<B, D>,
    context: &Context<B>,
) -> Tensor<B, D> {
    let shape: [usize; D] = input.dims();
    let format = format_of(LayerKind::Linear, context.precision());
    B::gelu_rows(rows(input), format, context.engine()).reshape(shape)
}

/// A linear layer with PyTorch's weight.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[out, in]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
}

impl<B: Backend> Linear<B> {
    /// Normal weights with this standard deviation, bias 0.
    pub fn new(
        [input, output]: [usize; 2],
        deviation: f32,
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        Self {
            weight: initial.normal([output, input], deviation, device),
            bias: Some(constant([output], 0.0, device)),
        }
    }

    /// Weights cut at two standard deviations of 0.02, as vision transformers begin.
    pub fn truncated(
        [input, output]: [usize; 2],
        initial: &mut Initial,
        device: &B::Device,
    ) -> Self {
        Self {
            weight: initial.truncated_normal([output, input], 0.02, device),
            bias: Some(constant([output], 0.0, device)),
        }
    }

    /// Evenly drawn weights (Glorot and Bengio 2010), bias 0.
    pub fn glorot([input, output]: [usize; 2], initial: &mut Initial, device: &B::Device) -> Self {
        let bound = (6.0 / (input + output) as f32).sqrt();
        Self {
            weight: initial.uniform([output, input], bound, device),
            bias: Some(constant([output], 0.0, device)),
        }
    }
}

impl<B: NetworkBackend> Linear<B> {
    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(
        &self,
        input: Tensor<B, D>,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        linear(input, self.weight.val(), self.bias.as_ref().map(Param::val), context)
    }

    /// [`gelu`] of the same.
    pub fn forward_gelu<const D: usize>(
        &self,
        input: Tensor<B, D>,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        let mut shape: [usize; D] = input.dims();
        let format = format_of(LayerKind::Linear, context.precision());
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        shape[D - 1] = weight.dims()[0];
        B::affine_gelu(rows(input), weight, bias, format, context.engine()).reshape(shape)
    }

    /// The same as [`Linear::forward`], to which the bias is still to be added.
    pub(crate) fn forward_without_bias<const D: usize>(
        &self,
        input: Tensor<B, D>,
        context: &Context<B>,
    ) -> Tensor<B, D> {
        linear(input, self.weight.val(), None, context)
    }
}

/// `[.., in]` times the transpose of `[out, in]`, plus the bias.
pub(crate) fn linear<B: NetworkBackend, const D: usize>(
    input: Tensor<B, D>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
    context: &Context<B>,
) -> Tensor<B, D> {
    let mut shape: [usize; D] = input.dims();
    let format = format_of(LayerKind::Linear, context.precision());
    shape[D - 1] = weight.dims()[0];
    B::affine(rows(input), weight, bias, format, context.engine()).reshape(shape)
}

/// Sets a share of values to 0 and makes up for it by the others (Srivastava et al. 2014); in evaluation
/// lets everything through. What it drops is a function of the context's stream.
pub fn dropout<B: NetworkBackend, const D: usize>(
    input: Tensor<B, D>,
    share: f64,
    context: &Context<B>,
) -> Tensor<B, D> {
    if context.mode() == Mode::Evaluation || share <= 0.0 {
        return input;
    }
    let stream = context.next_draw();
    let shape: [usize; D] = input.dims();
    let count: usize = shape.iter().product();
    let kept = (1.0 / (1.0 - share)) as f32;
    let mask: Vec<f32> = (0..count as u64)
        .map(|at| if f64::from(stream.uniform(at)) < share { 0.0 } else { kept })
        .collect();
    let mask = Tensor::from_data(TensorData::new(mask, shape), &input.device());
    input * mask
}

/// Attention of the tokens of each clip or picture to one another (see [`NetworkBackend::attend_packed`]):
/// `[count, tokens, 3 width]` to `[count, tokens, width]`. Positions where `hidden` (`[count, 1, 1, tokens]`)
/// is true are not looked at; of the weights `share` is dropped.
pub fn attention<B: NetworkBackend>(
    packed: Tensor<B, 3>,
    heads: usize,
    hidden: Option<Tensor<B, 4, Bool>>,
    share: f64,
    context: &Context<B>,
) -> Tensor<B, 3> {
    let [count, tokens, all] = packed.dims();
    let packed = packed.reshape([count * tokens, all]);
    let format = format_of(LayerKind::Attention, context.precision());
    let keeps_all = context.mode() == Mode::Evaluation || share <= 0.0;
    if hidden.is_none() && keeps_all {
        let output = B::attend_packed(packed, tokens, heads, format, context.engine());
        return output.reshape([count, tokens, all / 3]);
    }
    let [query, key, value] = unpacked(packed, tokens, heads);
    let query = query * (1.0 / ((all / 3 / heads) as f64).sqrt());
    let mut scores = query.cast(format).matmul(key.cast(format).swap_dims(2, 3)).cast(DType::F32);
    if let Some(hidden) = hidden {
        let shape = scores.dims();
        scores = scores.mask_fill(hidden.expand(shape), -1.0e9);
    }
    let weights = dropout(activation::softmax(scores, 3), share, context);
    let output = weights.cast(format).matmul(value.cast(format)).cast(DType::F32);
    output.swap_dims(1, 2).reshape([count, tokens, all / 3])
}
