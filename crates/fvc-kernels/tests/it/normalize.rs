use fvc_kernels::{
    Element, KernelError, NormalizeMode, affine, bf16, channel_statistics, global_average_backward,
    global_average_forward, instructions, normalize_backward, normalize_forward,
};
use proptest::prelude::*;

use crate::support::{distance, elements, floats, noise};

const EPSILON: f32 = 1e-3;

/// A padded batch of parts, with NaN where nothing valid is.
struct Batch {
    shape: [usize; 4],
    extents: Vec<[usize; 3]>,
    channels: Vec<usize>,
    parts: Vec<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    gradient: Vec<f32>,
}

fn valid(shape: [usize; 4], extents: &[[usize; 3]]) -> Vec<bool> {
    let [batch, depth, height, width] = shape;
    (0..batch * depth * height * width)
        .map(|at| {
            let extent = extents[at / (depth * height * width)];
            let place = [at / (height * width) % depth, at / width % height, at % width];
            (0..3).all(|axis| place[axis] < extent[axis])
        })
        .collect()
}

impl Batch {
    fn new(shape: [usize; 4], extents: &[[usize; 3]], channels: &[usize]) -> Self {
        let total: usize = channels.iter().sum();
        let inside = valid(shape, extents);
        let parts = channels
            .iter()
            .enumerate()
            .map(|(part, &channels)| {
                noise(part as u64 + 1, inside.len() * channels)
                    .into_iter()
                    .enumerate()
                    .map(|(at, value)| if inside[at / channels] { value + 0.3 } else { f32::NAN })
                    .collect()
            })
            .collect();
        let gradient = noise(9, inside.len() * total)
            .into_iter()
            .enumerate()
            .map(|(at, value)| if inside[at / total] { value } else { f32::NAN })
            .collect();
        Self {
            shape,
            extents: extents.to_vec(),
            channels: channels.to_vec(),
            parts,
            gamma: noise(7, total).iter().map(|value| value + 1.5).collect(),
            beta: noise(8, total),
            gradient,
        }
    }

    fn typed<T: Element>(&self) -> Vec<Vec<T>> {
        self.parts.iter().map(|part| elements(part)).collect()
    }

    fn statistics<T: Element>(&self, parts: &[Vec<T>]) -> (Vec<f32>, Vec<f32>) {
        let (mut mean, mut inverse) = (Vec::new(), Vec::new());
        for (part, &channels) in parts.iter().zip(&self.channels) {
            let found = channel_statistics(part, self.shape, channels, &self.extents).unwrap();
            mean.extend(found.mean);
            inverse.extend(found.variance.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt()));
        }
        (mean, inverse)
    }

    fn forward<T: Element>(&self, parts: &[Vec<T>], relu: bool) -> Vec<T> {
        let (mean, inverse) = self.statistics(parts);
        let (scale, shift) = affine(&mean, &inverse, &self.gamma, &self.beta);
        let views: Vec<(&[T], usize)> = parts
            .iter()
            .zip(&self.channels)
            .map(|(part, &channels)| (&part[..], channels))
            .collect();
        let mut dst = vec![T::from_f32(5.0); self.gradient.len()];
        normalize_forward(&views, self.shape, &self.extents, &scale, &shift, relu, &mut dst)
            .unwrap();
        dst
    }

    /// Gradients of the parts, gamma and beta.
    fn backward<T: Element>(
        &self,
        parts: &[Vec<T>],
        relu: bool,
        mode: NormalizeMode,
    ) -> (Vec<Vec<T>>, Vec<f32>, Vec<f32>) {
        let (mean, inverse) = self.statistics(parts);
        let views: Vec<(&[T], usize)> = parts
            .iter()
            .zip(&self.channels)
            .map(|(part, &channels)| (&part[..], channels))
            .collect();
        let mut diffs: Vec<Vec<T>> =
            parts.iter().map(|part| vec![T::from_f32(5.0); part.len()]).collect();
        let mut targets: Vec<&mut [T]> = diffs.iter_mut().map(|diff| &mut diff[..]).collect();
        let (gamma, beta) = normalize_backward(
            &views,
            self.shape,
            &self.extents,
            &mean,
            &inverse,
            &self.gamma,
            &self.beta,
            relu,
            &elements::<T>(&self.gradient),
            mode,
            &mut targets,
        )
        .unwrap();
        (diffs, gamma, beta)
    }
}

/// The loss <gradient, BN(x)>, in f64, straight from the definition; statistics from `fixed` if given.
fn loss(
    batch: &Batch,
    parts: &[Vec<f64>],
    gamma: &[f64],
    beta: &[f64],
    relu: bool,
    fixed: Option<&[Vec<f64>]>,
) -> f64 {
    let inside = valid(batch.shape, &batch.extents);
    let total: usize = batch.channels.iter().sum();
    let (mut sum, mut first) = (0.0, 0);
    for (at, &channels) in batch.channels.iter().enumerate() {
        for channel in 0..channels {
            let of = |parts: &[Vec<f64>]| -> Vec<f64> {
                (0..inside.len())
                    .filter(|&p| inside[p])
                    .map(|p| parts[at][p * channels + channel])
                    .collect()
            };
            let source = of(fixed.unwrap_or(parts));
            let mean = source.iter().sum::<f64>() / source.len() as f64;
            let variance =
                source.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / source.len() as f64;
            let place = (0..inside.len()).filter(|&p| inside[p]);
            for (x, p) in of(parts).iter().zip(place) {
                let c = first + channel;
                let y = gamma[c] * (x - mean) / (variance + f64::from(EPSILON)).sqrt() + beta[c];
                let y = if relu { y.max(0.0) } else { y };
                sum += y * f64::from(batch.gradient[p * total + c]);
            }
        }
        first += channels;
    }
    sum
}

#[test]
fn gradients_of_normalisation_are_finite_differences() {
    let batch = Batch::new([2, 2, 3, 3], &[[2, 3, 3], [1, 2, 3]], &[3, 17]);
    let double =
        |list: &[f32]| -> Vec<f64> { list.iter().map(|&value| f64::from(value)).collect() };
    let parts: Vec<Vec<f64>> = batch.parts.iter().map(|part| double(part)).collect();
    let (gamma, beta) = (double(&batch.gamma), double(&batch.beta));
    let step = 1e-6;
    for relu in [false, true] {
        for mode in [NormalizeMode::Batch, NormalizeMode::Frozen] {
            let fixed = (mode == NormalizeMode::Frozen).then_some(&parts[..]);
            let (diffs, d_gamma, d_beta) = batch.backward(&batch.typed::<f32>(), relu, mode);
            for part in 0..2 {
                for at in 0..parts[part].len() {
                    if parts[part][at].is_nan() {
                        assert_eq!(diffs[part][at], 0.0);
                        continue;
                    }
                    let moved = |by: f64| {
                        let mut parts = parts.clone();
                        parts[part][at] += by;
                        loss(&batch, &parts, &gamma, &beta, relu, fixed)
                    };
                    let slope = (moved(step) - moved(-step)) / (2.0 * step);
                    let found = f64::from(diffs[part][at]);
                    assert!((found - slope).abs() < 2e-4, "{found} against {slope}");
                }
            }
            for channel in 0..gamma.len() {
                let moved = |by: f64, which: bool| {
                    let (mut gamma, mut beta) = (gamma.clone(), beta.clone());
                    if which {
                        gamma[channel] += by;
                    } else {
                        beta[channel] += by;
                    }
                    loss(&batch, &parts, &gamma, &beta, relu, fixed)
                };
                let slope = (moved(step, true) - moved(-step, true)) / (2.0 * step);
                assert!((f64::from(d_gamma[channel]) - slope).abs() < 2e-4);
                let slope = (moved(step, false) - moved(-step, false)) / (2.0 * step);
                assert!((f64::from(d_beta[channel]) - slope).abs() < 2e-4);
            }
        }
    }
}

/// One sample of a padded tensor, cut to its extent.
fn cut(
    values: &[f32],
    shape: [usize; 4],
    channels: usize,
    sample: usize,
    extent: [usize; 3],
) -> Vec<f32> {
    let [_, depth, height, width] = shape;
    let mut kept = Vec::new();
    for d in 0..extent[0] {
        for h in 0..extent[1] {
            let at = ((sample * depth + d) * height + h) * width * channels;
            kept.extend_from_slice(&values[at..at + extent[2] * channels]);
        }
    }
    kept
}

#[test]
fn what_lies_outside_a_clip_does_not_matter() {
    let extent = [2, 3, 2];
    let batch = Batch::new([1, 3, 4, 5], &[extent], &[5, 32]);
    let mut alone = Batch::new([1, 2, 3, 2], &[extent], &[5, 32]);
    for part in 0..2 {
        alone.parts[part] = cut(&batch.parts[part], batch.shape, batch.channels[part], 0, extent);
    }
    alone.gradient = cut(&batch.gradient, batch.shape, 37, 0, extent);
    let (padded, single) = (batch.typed::<f32>(), alone.typed::<f32>());
    let found = batch.forward(&padded, true);
    assert_eq!(cut(&found, batch.shape, 37, 0, extent), alone.forward(&single, true));
    assert_eq!(found.iter().filter(|value| **value != 0.0).count(), {
        alone.forward(&single, true).iter().filter(|value| **value != 0.0).count()
    });
    let (found, gamma, beta) = batch.backward(&padded, true, NormalizeMode::Batch);
    let (expected, gamma_alone, beta_alone) = alone.backward(&single, true, NormalizeMode::Batch);
    for part in 0..2 {
        let found = cut(&found[part], batch.shape, batch.channels[part], 0, extent);
        assert!(distance(&found, &expected[part]) < 1e-6);
    }
    assert!(distance(&gamma, &gamma_alone) < 1e-6 && distance(&beta, &beta_alone) < 1e-6);
}

#[test]
fn means_of_a_padded_batch_are_those_of_each_clip() {
    let (shape, extents) = ([2, 3, 4, 5], [[3, 2, 5], [1, 4, 3]]);
    let batch = Batch::new(shape, &extents, &[19]);
    let found = global_average_forward(&batch.parts[0], shape, 19, &extents).unwrap();
    for (sample, &extent) in extents.iter().enumerate() {
        let alone = cut(&batch.parts[0], shape, 19, sample, extent);
        let shape = [1, extent[0], extent[1], extent[2]];
        let expected = global_average_forward(&alone, shape, 19, &[extent]).unwrap();
        assert!(distance(&found[sample * 19..][..19], &expected) < 1e-6);
        let statistics = channel_statistics(&alone, shape, 19, &[extent]).unwrap();
        assert!(distance(&statistics.mean, &expected) < 1e-6);
    }
    let diff = noise(3, 38);
    let inside = valid(shape, &extents);
    let mut back = vec![1.0_f32; inside.len() * 19];
    global_average_backward(&diff, shape, 19, &extents, &mut back, true).unwrap();
    let mut alone = vec![5.0_f32; inside.len() * 19];
    global_average_backward(&diff, shape, 19, &extents, &mut alone, false).unwrap();
    for (at, (sum, value)) in back.iter().zip(&alone).enumerate() {
        let (position, channel) = (at / 19, at % 19);
        let sample = position / 60;
        let count = extents[sample].iter().product::<usize>() as f32;
        let expected = if inside[position] { diff[sample * 19 + channel] / count } else { 0.0 };
        assert!((value - expected).abs() < 1e-7 && (sum - 1.0 - expected).abs() < 1e-6);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bits_depend_neither_on_threads_nor_on_instructions(
        d in 1..4_usize, h in 1..20_usize, w in 1..20_usize, first in 1..40_usize, second in 1..40_usize,
    ) {
        let batch = Batch::new([2, d, h, w], &[[d, h, w], [1, h, w.div_ceil(2)]], &[first, second]);
        let all = |threads: usize, width: instructions::Width| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            instructions::limit(width);
            let result = pool.install(|| {
                let (wide, narrow) = (batch.typed::<f32>(), batch.typed::<bf16>());
                let (diffs, gamma, beta) = batch.backward(&wide, true, NormalizeMode::Batch);
                let mut numbers = [batch.forward(&wide, true), floats(&batch.forward(&narrow, true))].concat();
                numbers.extend(diffs.concat());
                let more = batch.backward(&narrow, true, NormalizeMode::Batch);
                numbers.extend(floats(&more.0.concat()));
                numbers.extend([gamma, beta, more.1, more.2].concat());
                numbers.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
            });
            instructions::limit(instructions::Width::Avx512);
            result
        };
        let expected = all(1, instructions::Width::Base);
        for threads in [1, 2, 3] {
            for width in [instructions::Width::Base, instructions::Width::Avx2, instructions::Width::Avx512] {
                prop_assert_eq!(&all(threads, width), &expected);
            }
        }
    }
}

#[test]
fn wrong_grids_are_refused() {
    let src = [0.0_f32; 12];
    let error = channel_statistics(&src, [1, 1, 2, 3], 2, &[]);
    assert_eq!(error, Err(KernelError::Length { what: "extents", expected: 1, found: 0 }));
    for extent in [[0, 2, 3], [1, 3, 3], [2, 2, 3]] {
        let error = channel_statistics(&src, [1, 1, 2, 3], 2, &[extent]);
        assert!(matches!(error, Err(KernelError::Geometry(_))));
    }
    let error = channel_statistics(&src[1..], [1, 1, 2, 3], 2, &[[1, 2, 3]]);
    assert_eq!(error, Err(KernelError::Length { what: "src", expected: 12, found: 11 }));
    let mut dst = [0.0_f32; 12];
    let parts: [(&[f32], usize); 1] = [(&src, 2)];
    let error =
        normalize_forward(&parts, [1, 1, 2, 3], &[[1, 2, 3]], &[1.0], &[0.0; 2], true, &mut dst);
    assert_eq!(error, Err(KernelError::Length { what: "scale", expected: 2, found: 1 }));
}
