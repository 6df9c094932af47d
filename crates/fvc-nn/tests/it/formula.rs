//! Weights and inputs as `tools/golden/networks.py` makes them: each a function of a name and a counter.

use burn::tensor::{Tensor, TensorData};
use fvc_nn::{
    Activation, CounterRandom, Extents, Network, NetworkBackend, NetworkConfig, Weight, Weights,
};

/// The stream of a name.
fn stream(name: &str) -> CounterRandom {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325, |key: u64, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    CounterRandom::from_bits(key)
}

/// Numbers evenly between minus and plus `bound`.
pub(crate) fn both_signs(name: &str, count: usize, bound: f64) -> Vec<f32> {
    let random = stream(name);
    (0..count as u64).map(|at| (2.0 * random.uniform(at) - 1.0) * bound as f32).collect()
}

/// The value of a parameter or running statistic.
fn weight(name: &str, shape: &[usize]) -> Weight {
    let count = shape.iter().product();
    let values = if name.ends_with("cls_token") || name.ends_with("pos_embed") {
        both_signs(name, count, 0.02)
    } else if shape.len() > 1 {
        let fan_in: usize = shape[1..].iter().product();
        both_signs(name, count, (3.0 / fan_in as f64).sqrt())
    } else if name.ends_with("running_var") {
        (0..count as u64).map(|at| 1.0 + 0.5 * stream(name).uniform(at)).collect()
    } else if name.ends_with("weight") {
        both_signs(name, count, 0.1).into_iter().map(|value| 1.0 + value).collect()
    } else {
        both_signs(name, count, 0.1)
    };
    Weight { shape: shape.to_vec(), values }
}

/// A network with the formula's weights.
pub(crate) fn network<B: NetworkBackend>(config: &NetworkConfig) -> Network<B> {
    let network = config.init::<B>(0, &B::Device::default());
    let mut weights = Weights::of(&network);
    for (name, own) in &mut weights.by_name {
        *own = weight(name, &own.shape);
    }
    let (network, report) = weights.apply(network);
    assert_eq!(report.matched.len(), weights.by_name.len());
    network
}

/// Clips of the stream `name`, 0 where a clip is not.
pub(crate) fn clips<B: NetworkBackend>(
    name: &str,
    shape: [usize; 5],
    sizes: &[[usize; 3]],
) -> Activation<B> {
    clips_on_grid(name, shape, sizes, shape)
}

/// The same clips on a grid that has more padding.
pub(crate) fn clips_on_grid<B: NetworkBackend>(
    name: &str,
    shape: [usize; 5],
    sizes: &[[usize; 3]],
    grid: [usize; 5],
) -> Activation<B> {
    let values = both_signs(name, shape.iter().product(), 3.0_f64.sqrt());
    let [_, frames, rows, columns, colours] = shape;
    let mut padded = vec![0.0; grid.iter().product()];
    for (clip, size) in sizes.iter().enumerate() {
        let length = size[2] * colours;
        for (frame, row) in (0..size[0]).flat_map(|at| (0..size[1]).map(move |row| (at, row))) {
            let from = ((clip * frames + frame) * rows + row) * columns * colours;
            let to = ((clip * grid[1] + frame) * grid[2] + row) * grid[3] * colours;
            padded[to..to + length].copy_from_slice(&values[from..from + length]);
        }
    }
    let tensor = Tensor::from_data(TensorData::new(padded, grid), &B::Device::default());
    Activation::of_clip(tensor, Extents::new(sizes.to_vec()))
}
