use fvc_kernels::{
    Element, KernelError, PoolGeometry, PoolSpec, average_pool_backward, average_pool_forward,
    bf16, max_pool_backward, max_pool_forward,
};
use proptest::prelude::*;

use crate::support::{distance, elements, floats, noise};

fn geometries() -> impl Strategy<Value = PoolGeometry> {
    let axis = || {
        (1..=4_usize).prop_flat_map(|kernel| {
            (Just(kernel), 1..=3_usize, 0..=kernel / 2, 0..=5_usize).prop_map(
                |(kernel, stride, padding, more)| {
                    (kernel, stride, padding, kernel.saturating_sub(2 * padding).max(1) + more)
                },
            )
        })
    };
    (1..=2_usize, 1..=20_usize, axis(), axis(), axis()).prop_map(|(batch, channels, d, h, w)| {
        let axes = [d, h, w];
        PoolGeometry::new(PoolSpec {
            batch,
            channels,
            input: axes.map(|a| a.3),
            kernel: axes.map(|a| a.0),
            stride: axes.map(|a| a.1),
            padding: axes.map(|a| a.2),
        })
        .unwrap()
    })
}

/// For each output, in order: the inputs in its window as (index, tap).
fn windows(geometry: &PoolGeometry) -> Vec<Vec<(usize, usize)>> {
    let spec = geometry.spec();
    let [od, oh, ow] = geometry.output();
    let [kd, kh, kw] = spec.kernel;
    (0..geometry.output_len())
        .map(|at| {
            let (c, at) = (at % spec.channels, at / spec.channels);
            let (w, at) = (at % ow, at / ow);
            let (h, at) = (at % oh, at / oh);
            let (d, n) = (at % od, at / od);
            (0..kd * kh * kw)
                .filter_map(|tap| {
                    let taps = [tap / (kh * kw), tap / kw % kh, tap % kw];
                    let mut place = n;
                    for axis in 0..3 {
                        let at = ([d, h, w][axis] * spec.stride[axis] + taps[axis])
                            .checked_sub(spec.padding[axis])
                            .filter(|&at| at < spec.input[axis])?;
                        place = place * spec.input[axis] + at;
                    }
                    Some((place * spec.channels + c, tap))
                })
                .collect()
        })
        .collect()
}

fn max_pools<T: Element>(geometry: &PoolGeometry) {
    // Few values, so that there are ties; no -0, which is below 0 here.
    let src: Vec<T> = noise(1, geometry.input_len())
        .iter()
        .map(|v| T::from_f32((v * 3.0).round() + 0.0))
        .collect();
    let diff: Vec<T> = elements(&noise(2, geometry.output_len()));
    let mut dst = vec![T::ZERO; geometry.output_len()];
    let mut record = vec![9; geometry.output_len()];
    max_pool_forward(geometry, &src, &mut dst, &mut record).unwrap();
    let mut expected = vec![1.0_f32; geometry.input_len()];
    for (at, window) in windows(geometry).iter().enumerate() {
        let mut best = window[0];
        for &(place, tap) in window {
            if src[place].to_f32() > src[best.0].to_f32() {
                best = (place, tap);
            }
        }
        assert_eq!(dst[at].to_f32(), src[best.0].to_f32());
        assert_eq!(usize::from(record[at]), best.1);
        expected[best.0] += diff[at].to_f32();
    }
    let mut diff_src = vec![T::from_f32(1.0); geometry.input_len()];
    max_pool_backward(geometry, &diff, &record, &mut diff_src, true).unwrap();
    assert!(distance(&floats(&diff_src), &expected) < 0.01);
    let mut alone = vec![T::from_f32(5.0); geometry.input_len()];
    max_pool_backward(geometry, &diff, &record, &mut alone, false).unwrap();
    let expected: Vec<f32> = expected.iter().map(|value| value - 1.0).collect();
    assert!(distance(&floats(&alone), &expected) < 0.01);
}

fn average_pools<T: Element>(geometry: &PoolGeometry, include: bool, slack: f32) {
    let src: Vec<T> = elements(&noise(1, geometry.input_len()));
    let diff: Vec<T> = elements(&noise(2, geometry.output_len()));
    let mut dst = vec![T::ZERO; geometry.output_len()];
    average_pool_forward(geometry, include, &src, &mut dst).unwrap();
    let mut forward = vec![0.0; geometry.output_len()];
    let mut backward = vec![1.0; geometry.input_len()];
    for (at, window) in windows(geometry).iter().enumerate() {
        let count = if include { geometry.spec().kernel.iter().product() } else { window.len() };
        forward[at] =
            window.iter().map(|&(place, _)| src[place].to_f32()).sum::<f32>() / count as f32;
        for &(place, _) in window {
            backward[place] += diff[at].to_f32() / count as f32;
        }
    }
    assert!(distance(&floats(&dst), &forward) < slack);
    let mut diff_src = vec![T::from_f32(1.0); geometry.input_len()];
    average_pool_backward(geometry, include, &diff, &mut diff_src, true).unwrap();
    assert!(distance(&floats(&diff_src), &backward) < slack);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pools_are_their_definitions(geometry in geometries(), include: bool) {
        max_pools::<f32>(&geometry);
        max_pools::<bf16>(&geometry);
        average_pools::<f32>(&geometry, include, 1e-5);
        average_pools::<bf16>(&geometry, include, 0.01);
    }
}

#[test]
fn a_nan_is_seen_and_the_least_number_is_found() {
    let spec = PoolSpec {
        batch: 1,
        channels: 1,
        input: [1, 1, 3],
        kernel: [1, 1, 3],
        stride: [1; 3],
        padding: [0, 0, 1],
    };
    let geometry = PoolGeometry::new(spec).unwrap();
    let (mut dst, mut record) = (vec![0.0; 3], vec![0; 3]);
    let low = f32::NEG_INFINITY;
    max_pool_forward(&geometry, &[low, low, -1e30], &mut dst, &mut record).unwrap();
    assert_eq!(dst, [low, -1e30, -1e30]);
    assert_eq!(record, [1, 2, 1]);
    max_pool_forward(&geometry, &[f32::NAN, 1.0, 2.0], &mut dst, &mut record).unwrap();
    assert!(dst[0].is_nan() && dst[1].is_nan() && dst[2] == 2.0);
}

#[test]
fn wrong_pools_are_refused() {
    let spec = PoolSpec {
        batch: 1,
        channels: 2,
        input: [4; 3],
        kernel: [3; 3],
        stride: [1; 3],
        padding: [1; 3],
    };
    let geometry = PoolGeometry::new(spec).unwrap();
    let mut dst = vec![0.0_f32; geometry.output_len()];
    let error = max_pool_forward(&geometry, &[0.0; 128], &mut dst, &mut [0; 1]);
    assert_eq!(error, Err(KernelError::Length { what: "record", expected: 128, found: 1 }));
    for wrong in [
        PoolSpec { padding: [2; 3], ..spec },
        PoolSpec { kernel: [7; 3], ..spec },
        PoolSpec { stride: [0; 3], ..spec },
        PoolSpec { input: [1; 3], padding: [0; 3], ..spec },
    ] {
        assert!(matches!(PoolGeometry::new(wrong), Err(KernelError::Geometry(_))));
    }
}
