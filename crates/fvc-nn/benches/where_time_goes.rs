//! Where the time of a step goes, part by part: each part alone, at the shapes that the network gives it, as
//! often as it comes; what is left of the whole step is Burn's graph, copies and first touches of memory.
//!
//!     cargo bench -p fvc-nn --bench where_time_goes -- [variable_ar_cnn|vit_b16] [f32|bf16] [ROUNDS]

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Instant;

use burn::backend::flex::FlexDevice;
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{Tensor, TensorData};
use fvc_kernels::{
    ConvGeometry, ConvSpec, Element, Engine as Kernels, NormalizeMode, PoolGeometry, PoolSpec,
    affine, bf16, channel_statistics, convolution_backward_data, convolution_backward_weights,
    convolution_forward, max_pool_backward, max_pool_forward, normalize_backward,
    normalize_forward,
};
use fvc_nn::{
    Activation, AdamW, AdamWConfig, Context, CounterRandom, Engine, Extents, Initial, LayerNorm,
    Linear, Loss, NamedGradients, Network, NetworkConfig, Precision, Targets, VariableArCnnConfig,
    VitGruConfig, attention, backward, gelu,
};

type Train = Autodiff<Flex>;

/// Milliseconds of each part, by round.
#[derive(Default)]
struct Parts(BTreeMap<&'static str, Vec<f64>>);

impl Parts {
    /// Runs a part once; `sums` are the round's.
    fn time<T>(
        sums: &mut BTreeMap<&'static str, f64>,
        part: &'static str,
        run: impl FnOnce() -> T,
    ) -> T {
        let start = Instant::now();
        let found = run();
        *sums.entry(part).or_default() += start.elapsed().as_secs_f64() * 1000.0;
        found
    }

    fn take(&mut self, sums: BTreeMap<&'static str, f64>) {
        for (part, sum) in sums {
            self.0.entry(part).or_default().push(sum);
        }
    }

    fn print(&self, title: &str) {
        let median = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let whole = median(&self.0["whole"]);
        let mut rest = whole;
        println!("{title}: {whole:.0} ms");
        for (part, values) in self.0.iter().filter(|(part, _)| **part != "whole") {
            let own = median(values);
            rest -= own;
            println!("  {part:<24} {own:8.1} ms {:5.0} %", 100.0 * own / whole);
        }
        println!("  {:<24} {rest:8.1} ms {:5.0} %", "rest", 100.0 * rest / whole);
    }
}

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let random = CounterRandom::new(&[seed]);
    (0..count as u64).map(|at| random.normal(at)).collect()
}

fn clips(shape: [usize; 5]) -> Activation<Flex> {
    let values = TensorData::new(noise(shape.iter().product(), 1), shape);
    let grid = [shape[1], shape[2], shape[3]];
    Activation::of_clip(Tensor::from_data(values, &FlexDevice), Extents::full(shape[0], grid))
}

/// Every convolution, pool and normalisation of a step, by the kernels alone.
fn cnn_kernels<T: Element>(grid: [usize; 3], batch: usize, sums: &mut BTreeMap<&'static str, f64>) {
    let extents = vec![grid; batch];
    let positions = batch * grid.iter().product::<usize>();
    let full = [batch, grid[0], grid[1], grid[2]];
    let row = |count: usize, seed: u64| -> Vec<T> {
        noise(count, seed).into_iter().map(T::from_f32).collect()
    };
    let convolve = |input: usize,
                    output: usize,
                    size: usize,
                    of_input: bool,
                    sums: &mut BTreeMap<_, _>| {
        let spec = ConvSpec::same(batch, input, output, grid, [size; 3]);
        let geometry = ConvGeometry::new(spec).unwrap();
        let weights = noise(geometry.weights_len(), 2);
        let (src, above) = (row(geometry.input_len(), 3), row(geometry.output_len(), 4));
        let bias = vec![0.0; output];
        Parts::time(sums, "convolution forward", || {
            let mut dst = vec![T::ZERO; geometry.output_len()];
            convolution_forward(Kernels::OneDnn, &geometry, &src, &weights, Some(&bias), &mut dst)
                .unwrap();
        });
        if of_input {
            Parts::time(sums, "convolution, data", || {
                let mut of_src = vec![T::ZERO; geometry.input_len()];
                convolution_backward_data(
                    Kernels::OneDnn,
                    &geometry,
                    &above,
                    &weights,
                    &mut of_src,
                    false,
                )
                .unwrap();
            });
        }
        Parts::time(sums, "convolution, weights", || {
            let mut of_weights = vec![0.0; geometry.weights_len()];
            let mut of_bias = vec![0.0; output];
            convolution_backward_weights(
                Kernels::OneDnn,
                &geometry,
                &src,
                &above,
                &mut of_weights,
                Some(&mut of_bias),
            )
            .unwrap();
        });
    };
    convolve(3, 32, 3, false, sums);
    for (input, output) in [(32, 64), (64, 128)] {
        for size in [1, 3, 5, 1] {
            convolve(input, output / 4, size, true, sums);
        }
        let spec = PoolSpec {
            batch,
            channels: input,
            input: grid,
            kernel: [3; 3],
            stride: [1; 3],
            padding: [1; 3],
        };
        let geometry = PoolGeometry::new(spec).unwrap();
        let (src, above) = (row(positions * input, 5), row(positions * input, 6));
        Parts::time(sums, "pool", || {
            let (mut dst, mut record) = (vec![T::ZERO; src.len()], vec![0; src.len()]);
            max_pool_forward(&geometry, &src, &mut dst, &mut record).unwrap();
            max_pool_backward(&geometry, &above, &record, &mut dst, false).unwrap();
        });
    }
    for (parts, width) in [(1, 32), (4, 16), (4, 32)] {
        let total = parts * width;
        let src: Vec<Vec<T>> = (0..parts).map(|at| row(positions * width, 7 + at as u64)).collect();
        let above = row(positions * total, 12);
        Parts::time(sums, "normalisation", || {
            let slices: Vec<(&[T], usize)> = src.iter().map(|own| (&own[..], width)).collect();
            let (mut mean, mut inverse) = (Vec::new(), Vec::new());
            for own in &src {
                let own = channel_statistics(own, full, width, &extents).unwrap();
                mean.extend(own.mean);
                inverse.extend(own.variance.iter().map(|own| 1.0 / (own + 1e-5).sqrt()));
            }
            let (weight, bias) = (vec![1.0; total], vec![0.0; total]);
            let (scale, shift) = affine(&mean, &inverse, &weight, &bias);
            let mut dst = vec![T::ZERO; positions * total];
            normalize_forward(&slices, full, &extents, &scale, &shift, true, &mut dst).unwrap();
            let mut of_src: Vec<Vec<T>> = src.iter().map(|own| vec![T::ZERO; own.len()]).collect();
            let mut places: Vec<&mut [T]> = of_src.iter_mut().map(Vec::as_mut_slice).collect();
            normalize_backward(
                &slices,
                full,
                &extents,
                &mean,
                &inverse,
                &weight,
                &bias,
                true,
                &above,
                NormalizeMode::Batch,
                &mut places,
            )
            .unwrap();
        });
    }
}

fn cnn(precision: Precision, rounds: usize) -> Parts {
    let (grid, batch) = ([8, 64, 64], 2);
    let mut network: Network<Train> =
        NetworkConfig::VariableArCnn(VariableArCnnConfig::default()).init(1, &FlexDevice);
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut parts = Parts::default();
    for round in 0..=rounds {
        let mut sums = BTreeMap::new();
        let input = clips([batch, grid[0], grid[1], grid[2], 3]);
        let start = Instant::now();
        let context =
            Context::training(precision, Engine::Fast, CounterRandom::new(&[round as u64]));
        let targets =
            Targets { labels: &[0.0, 1.0], weights: &[1.0; 2], loss: Loss::default(), scale: 1.0 };
        let mut gradients = NamedGradients::new();
        backward(&network, input, &targets, &context, false, &mut gradients);
        network =
            Parts::time(&mut sums, "optimiser", || optimizer.step(network, &gradients, 1.0, 1.0));
        sums.insert("whole", start.elapsed().as_secs_f64() * 1000.0);
        if precision == Precision::Bf16 {
            cnn_kernels::<bf16>(grid, batch, &mut sums);
        } else {
            cnn_kernels::<f32>(grid, batch, &mut sums);
        }
        if round > 0 {
            parts.take(sums);
        }
    }
    parts
}

/// Twelve blocks of ViT-B/16 over four pictures, forward.
fn vit(precision: Precision, rounds: usize) -> Parts {
    let (pictures, tokens, width, heads, blocks) = (4, 197, 768, 12, 12);
    let network: Network<Flex> =
        NetworkConfig::VitGru(VitGruConfig::default()).init::<Train>(1, &FlexDevice).valid();
    let device = FlexDevice;
    let initial = &mut Initial::new(3);
    let layers: Vec<(&str, Linear<Flex>, usize)> = [
        ("linear, qkv", width, 3 * width),
        ("linear, projection", width, width),
        ("linear, fc1", width, 4 * width),
        ("linear, fc2", 4 * width, width),
    ]
    .into_iter()
    .map(|(name, input, output)| {
        (name, Linear::new([input, output], 0.02, initial, &device), input)
    })
    .collect();
    let norm = LayerNorm::<Flex>::new(width, 1e-6, &device);
    let made = |width: usize| {
        let shape = [pictures, tokens, width];
        Tensor::<Flex, 3>::from_data(
            TensorData::new(noise(pictures * tokens * width, 4), shape),
            &device,
        )
    };
    let (narrow, wide) = (made(width), made(4 * width));
    let packed = Tensor::cat(vec![narrow.clone().reshape([pictures, tokens, width]); 3], 2);
    let mut parts = Parts::default();
    for round in 0..=rounds {
        let mut sums = BTreeMap::new();
        let context = Context::<Flex>::evaluation(precision, Engine::Fast);
        let input = clips([1, pictures, 224, 224, 3]);
        Parts::time(&mut sums, "whole", || network.forward(input, &context).into_data());
        for _ in 0..blocks {
            for (name, layer, input) in &layers {
                let input = if *input == width { narrow.clone() } else { wide.clone() };
                Parts::time(&mut sums, name, || layer.forward(input, &context));
            }
            for _ in 0..2 {
                Parts::time(&mut sums, "layer normalisation", || {
                    norm.forward(narrow.clone(), &context)
                });
                Parts::time(&mut sums, "shortcuts", || narrow.clone() + narrow.clone());
            }
            Parts::time(&mut sums, "GELU", || gelu(wide.clone(), &context));
            Parts::time(&mut sums, "attention", || {
                attention(packed.clone(), heads, None, 0.0, &context)
            });
        }
        if round > 0 {
            parts.take(sums);
        }
    }
    parts
}

fn main() {
    let given: Vec<String> =
        std::env::args().skip(1).filter(|own| !own.starts_with("--")).collect();
    let word = |at: usize| given.get(at).map(String::as_str);
    let rounds = word(2).and_then(|own| own.parse().ok()).unwrap_or(5);
    for (name, of) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        if word(1).is_some_and(|own| own != name) {
            continue;
        }
        if word(0).is_none_or(|own| own == "variable_ar_cnn") {
            cnn(of, rounds).print(&format!("variable_ar_cnn 2 x 8 x 64 x 64, a step in {name}"));
        }
        if word(0).is_none_or(|own| own == "vit_b16") {
            vit(of, rounds).print(&format!("ViT-B/16, 4 frames of 224 x 224, forward in {name}"));
        }
    }
}
