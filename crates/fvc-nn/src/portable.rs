//! Burn's operators in the shape of [`crate::NetworkBackend`]: right on every device, and the twin that
//! faster kernels are tested against.

use burn::tensor::backend::Backend;
use burn::tensor::module::{conv3d, max_pool2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, TensorData, activation};

use crate::Extents;
use crate::across::Across;
use crate::backend::{NetworkBackend, NormOptions, Normalized, Window};

/// See [`crate::NetworkBackend::convolution`].
pub fn convolution<B: Backend>(
    clip: Tensor<B, 5>,
    weight: Tensor<B, 5>,
    bias: Option<Tensor<B, 1>>,
    window: Window,
) -> Tensor<B, 5> {
    let format = clip.dtype();
    let options = ConvOptions::new(window.stride, window.padding, window.dilation, window.groups);
    let output = conv3d(
        clip.permute([0, 4, 1, 2, 3]),
        weight.cast(format),
        bias.map(|bias| bias.cast(format)),
        options,
    );
    output.permute([0, 2, 3, 4, 1])
}

/// See [`crate::NetworkBackend::max_pool`]. The maximum over a box is the maximum over frames of the
/// maximum over each frame.
pub fn max_pool<B: Backend>(clip: Tensor<B, 5>, window: Window) -> Tensor<B, 5> {
    let [batch, frames, rows, columns, channels] = clip.dims();
    let Window { kernel, stride, padding, dilation, .. } = window;
    let flat = clip.permute([0, 1, 4, 2, 3]).reshape([batch * frames, channels, rows, columns]);
    let flat = max_pool2d(
        flat,
        [kernel[1], kernel[2]],
        [stride[1], stride[2]],
        [padding[1], padding[2]],
        [dilation[1], dilation[2]],
        false,
    );
    let [_, _, rows, columns] = flat.dims();
    let line = flat.reshape([batch, frames, channels, rows * columns]).permute([0, 2, 1, 3]);
    let line =
        max_pool2d(line, [kernel[0], 1], [stride[0], 1], [padding[0], 0], [dilation[0], 1], false);
    let [_, _, frames, _] = line.dims();
    line.permute([0, 2, 3, 1]).reshape([batch, frames, rows, columns, channels])
}

/// See [`crate::NetworkBackend::normalize`].
pub fn normalize<B: NetworkBackend>(
    parts: Vec<Tensor<B, 5>>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    running: Option<(Tensor<B, 1>, Tensor<B, 1>)>,
    options: &NormOptions<'_>,
) -> Normalized<B> {
    let clip = crate::layers::joined(parts, 4);
    let format = clip.dtype();
    let clip = clip.cast(DType::F32);
    let [batch, frames, rows, columns, channels] = clip.dims();
    let grid = [frames, rows, columns];
    let device = clip.device();
    let wide = |values: Tensor<B, 1>| values.reshape([1, 1, 1, 1, channels]);
    let mask = (!options.extents.fill(grid)).then(|| {
        let data = TensorData::new(options.extents.mask(grid), [batch, frames, rows, columns, 1]);
        Tensor::<B, 5>::from_data(data, &device)
    });
    let masked = |clip: Tensor<B, 5>| match &mask {
        Some(mask) => clip * mask.clone(),
        None => clip,
    };
    let present = options.ranks.is_none_or(|ranks| ranks.is_present());
    let total = |clip: Tensor<B, 5>| {
        let own = clip
            .reshape([batch * frames * rows * columns, channels])
            .sum_dim(0)
            .reshape([channels]);
        match options.ranks {
            Some(ranks) => {
                let own = if present { own } else { own * 0.0 };
                B::across_ranks(own, ranks, Across { values: true, gradient: true })
            }
            None => own,
        }
    };
    let mut count = [if present { options.extents.positions() as f64 } else { 0.0 }];
    if let (Some(ranks), None) = (options.ranks, &running) {
        ranks.sum_f64(&mut count);
    }
    let count = count[0].max(1.0);
    let (centred, variance, statistics) = if let Some((mean, variance)) = running {
        (clip - wide(mean), variance, None)
    } else {
        let mean = total(masked(clip.clone())) / count;
        let centred = clip - wide(mean.clone());
        let variance = total(masked(centred.clone()).square()) / count;
        (centred, variance.clone(), Some((mean.detach(), variance.detach())))
    };
    let scale = weight / (variance + f64::from(options.epsilon)).sqrt();
    let mut output = centred * wide(scale) + wide(bias);
    if options.relu {
        output = activation::relu(output);
    }
    Normalized { output: masked(output).cast(format), statistics, count }
}

/// See [`crate::NetworkBackend::affine`].
pub fn affine<B: Backend>(
    input: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Option<Tensor<B, 1>>,
    format: DType,
) -> Tensor<B, 2> {
    let output = if format == DType::F32 {
        input.matmul(weight.transpose())
    } else {
        input.cast(format).matmul(weight.cast(format).transpose()).cast(DType::F32)
    };
    match bias {
        Some(bias) => output + bias.unsqueeze(),
        None => output,
    }
}

/// See [`crate::NetworkBackend::attend_packed`].
pub fn attend_packed<B: Backend>(
    packed: Tensor<B, 2>,
    tokens: usize,
    heads: usize,
    format: DType,
) -> Tensor<B, 2> {
    let rows = packed.dims()[0];
    let [query, key, value] = unpacked(packed, tokens, heads);
    let width = query.dims()[3];
    let query = query * (1.0 / (width as f64).sqrt());
    let scores = query.cast(format).matmul(key.cast(format).swap_dims(2, 3)).cast(DType::F32);
    let weights = activation::softmax(scores, 3);
    let output = weights.cast(format).matmul(value.cast(format)).cast(DType::F32);
    output.swap_dims(1, 2).reshape([rows, heads * width])
}

/// `[pictures * tokens, 3 heads width]` as query, key and value, `[pictures, heads, tokens, width]` each.
pub(crate) fn unpacked<B: Backend>(
    packed: Tensor<B, 2>,
    tokens: usize,
    heads: usize,
) -> [Tensor<B, 4>; 3] {
    let [rows, all] = packed.dims();
    let (count, width) = (rows / tokens.max(1), all / (3 * heads.max(1)));
    let turned = packed.reshape([count, tokens, 3, heads, width]).permute([2, 0, 3, 1, 4]);
    [0, 1, 2].map(|at| {
        let part = turned.clone().slice([at..at + 1, 0..count, 0..heads, 0..tokens, 0..width]);
        part.reshape([count, heads, tokens, width])
    })
}

/// See [`crate::NetworkBackend::normalize_rows`].
pub fn layer_norm<B: Backend>(
    input: Tensor<B, 2>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 2> {
    let input = input.cast(DType::F32);
    let centred = input.clone() - input.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred / (variance + epsilon).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

/// See [`crate::NetworkBackend::gelu_rows`].
pub fn gelu<B: Backend>(input: Tensor<B, 2>) -> Tensor<B, 2> {
    activation::gelu(input.cast(DType::F32))
}

/// See [`crate::NetworkBackend::global_average`].
pub fn global_average<B: Backend>(clip: Tensor<B, 5>, extents: &Extents) -> Tensor<B, 2> {
    let [batch, frames, rows, columns, channels] = clip.dims();
    let device = clip.device();
    let counts: Vec<f32> =
        extents.valid().iter().map(|[t, h, w]| 1.0 / (t * h * w).max(1) as f32).collect();
    let counts = Tensor::<B, 2>::from_data(TensorData::new(counts, [batch, 1]), &device);
    let sums = clip.cast(DType::F32).reshape([batch, frames * rows * columns, channels]).sum_dim(1);
    sums.reshape([batch, channels]) * counts
}
