//! What a network costs before it is run: parameters, operations, memory.
//!
//! Parameters and operations are counted layer by layer and exact. Memory is an estimate: what the graph
//! keeps is counted from what each operation's state holds (see `flex.rs`), what comes and goes beside it
//! is measured (`benches/training_step.rs` prints the peak of a process, and a training writes down its own,
//! which the tests hold the estimate against), on the processor with oneDNN.

use crate::{NetworkConfig, NetworkError, Precision, VisionTransformerConfig};

/// One layer's share of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// Its name, after those of weight files.
    pub name: String,
    /// Numbers that are learnt.
    pub parameters: u128,
    /// Multiplications with an addition, for one clip.
    pub multiply_adds: u128,
}

/// A batch as it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingShape {
    /// Clips at once.
    pub batch: usize,
    /// Frames, rows and columns of the largest; vision transformers have their own rows and columns.
    pub grid: [usize; 3],
    /// Number format.
    pub precision: Precision,
    /// Whether each block is run a second time for its gradients. That is for vision transformers, of
    /// many like blocks (4 frames for `vit_gru`: 1580 MiB at most instead of 1863); nearly all that a
    /// convolutional network keeps lies in one block (`variable_ar_cnn`, 4 clips of 8 x 64 x 64: 398 MiB
    /// instead of 386).
    pub block_checkpointing: bool,
    /// Batches that are read ahead.
    pub prefetch: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Sizes that clips come in, for each of which convolutions are compiled; 1 at least.
    pub sizes: usize,
}

/// Bytes of a training at its peak, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainingMemory {
    /// The program and its libraries, with what they need for themselves.
    pub program: f64,
    /// Weights.
    pub weights: f64,
    /// Both moments of the optimiser.
    pub moments: f64,
    /// The weights of the best epoch.
    pub best: f64,
    /// Batches on their way.
    pub batches: f64,
    /// What the graph keeps, with what one operation needs beside it; and gradients, with what a step
    /// needs beside them. The one shrinks as the other grows.
    pub activations_and_gradients: f64,
}

impl TrainingMemory {
    /// All of it in MiB, rounded up.
    pub fn mib(&self) -> u64 {
        let bytes = self.program
            + self.weights
            + self.moments
            + self.best
            + self.batches
            + self.activations_and_gradients;
        (bytes / MIB).ceil() as u64
    }
}

const MIB: f64 = 1024.0 * 1024.0;
/// Measured: `fvc` with its libraries (a bench, which has no video and no trees in it, needs 42 MiB less), and
/// code and workspace for each convolution, the latter also for each further size of clips.
const PROGRAM: f64 = 67.0 * MIB;
const CONVOLUTION: f64 = 1.25 * MIB;
const FURTHER_F32: f64 = 0.2 * MIB;
const FURTHER_LOW: f64 = 1.9 * MIB;
/// Measured: bytes for each channel and position of a block's output that come and go in its backward
/// pass.
const PASSING_INCEPTION: f64 = 8.0;
const PASSING_FRAMES: f64 = 11.25;
const PASSING_LOW: f64 = 5.0;
/// Measured: what oneDNN widens for its products in bf16, for each thread and one clip, over the size of
/// what goes in and comes out as f32.
const WIDENED: f64 = 1.5;
/// What allocation costs beside what is allocated.
const MARGIN: f64 = 1.1;
/// Measured: the share of the smaller of activations and gradients that is there beside the larger.
const BESIDE: f64 = 0.25;
/// Measured, and not the same in each run: gradients are many arrays of some MiB, between which the
/// allocator leaves gaps.
const GAPS: f64 = 1.3;
/// Copies of the largest parameter that a step holds at once.
const STEP_COPIES: f64 = 8.0;
/// Measured: numbers that a block of a vision transformer keeps, for each token in units of its width, and
/// bytes that it keeps for each pair of tokens and head.
const TOKEN_F32: f64 = 25.0;
const TOKEN_LOW: f64 = 19.0;
const PAIR_F32: f64 = 8.0;
const PAIR_LOW: f64 = 6.0;

/// Bytes of one block of a batch.
#[derive(Clone, Copy, Debug, Default)]
struct BlockMemory {
    /// What goes in.
    input: f64,
    /// What its graph keeps, the input included.
    kept: f64,
    /// What comes and goes beside.
    passing: f64,
    /// What comes out.
    output: f64,
}

fn product(parts: &[usize]) -> u128 {
    parts.iter().fold(1, |product, &part| product.saturating_mul(part as u128))
}

/// A layer of `weights` and `others` (biases, norms), each weight used at `positions`.
fn layer(name: &str, weights: &[usize], others: &[usize], positions: u128) -> LayerCost {
    let weights = product(weights);
    LayerCost {
        name: name.to_owned(),
        parameters: weights.saturating_add(product(others)),
        multiply_adds: weights.saturating_mul(positions),
    }
}

fn strided(size: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let room = size.saturating_add(2 * padding);
    if room < kernel { 0 } else { (room - kernel) / stride.max(1) + 1 }
}

/// The grid behind the stem.
fn behind_stem(grid: [usize; 3], stride: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| strided(grid[axis], 3, stride[axis], 1))
}

fn halved([frames, rows, columns]: [usize; 3]) -> [usize; 3] {
    [frames, rows / 2, columns / 2]
}

fn backbone(config: &VisionTransformerConfig, frames: usize) -> Vec<LayerCost> {
    let VisionTransformerConfig { patch, width, depth, .. } = *config;
    let patches = config.side().saturating_mul(config.side());
    let tokens = patches.saturating_add(1);
    let at = product(&[frames, tokens]);
    let mut layers = vec![
        layer(
            "backbone.patch_embed",
            &[3, patch, patch, width],
            &[width],
            product(&[frames, patches]),
        ),
        layer("backbone.cls_token", &[width], &[0], 0),
        layer("backbone.pos_embed", &[tokens, width], &[0], 0),
    ];
    for number in 0..depth {
        let name = |part: &str| format!("backbone.blocks.{number}.{part}");
        let mut attention = layer(&name("attn"), &[4, width, width], &[4, width], at);
        // Every token with every other, for the weights and for the sums.
        attention.multiply_adds =
            attention.multiply_adds.saturating_add(product(&[2, tokens, width]).saturating_mul(at));
        layers.push(attention);
        layers.push(layer(&name("mlp"), &[8, width, width], &[5, width], at));
        layers.push(layer(&name("norm"), &[0], &[4, width], 0));
    }
    layers.push(layer("backbone.norm", &[0], &[2, width], 0));
    layers
}

impl NetworkConfig {
    /// Parameters and operations of each layer for one clip of these frames, rows and columns (vision
    /// transformers have their own rows and columns). Operations are those of convolutions, linear layers
    /// and attention; norms and activations are less than a hundredth beside them.
    pub fn layers(&self, grid: [usize; 3]) -> Vec<LayerCost> {
        match self {
            Self::VariableArCnn(config) => {
                let [stem, first, second] = config.widths;
                let positions = product(&behind_stem(grid, config.stem_stride));
                let mut layers = vec![layer("stem", &[27, 3, stem], &[3, stem], positions)];
                for (name, input, output) in
                    [("inception1", stem, first), ("inception2", first, second)]
                {
                    let quarter = output / 4;
                    for (branch, taps) in
                        [("branch1", 1), ("branch3", 27), ("branch5", 125), ("branch_pool", 1)]
                    {
                        let name = format!("{name}.{branch}");
                        layers.push(layer(&name, &[taps, input, quarter], &[quarter], positions));
                    }
                    layers.push(layer(&format!("{name}.norm"), &[0], &[2, output], 0));
                }
                layers.push(layer("head", &[second], &[1], 1));
                layers
            }
            Self::NaiveCnn(config) => {
                let [first, second, third] = config.widths;
                let (half, frames) = (halved(grid), grid[0] as u128);
                vec![
                    layer("conv1", &[9, 3, first], &[3, first], product(&grid)),
                    layer("conv2", &[9, first, second], &[3, second], product(&half)),
                    layer("conv3", &[9, second, third], &[3, third], product(&halved(half))),
                    layer("hidden", &[third, config.hidden], &[config.hidden], frames),
                    layer("head", &[config.hidden, 2], &[2], frames),
                ]
            }
            Self::VitGru(config) => {
                let mut layers = backbone(&config.backbone, grid[0]);
                for number in 0..config.layers {
                    let input = if number == 0 { config.backbone.width } else { config.hidden };
                    let both = input.saturating_add(config.hidden);
                    layers.push(layer(
                        &format!("gru.l{number}"),
                        &[3, config.hidden, both],
                        &[6, config.hidden],
                        grid[0] as u128,
                    ));
                }
                layers.push(layer("head", &[config.hidden], &[1], 1));
                layers
            }
            Self::VitTransformer(config) => {
                let (width, inner) = (config.backbone.width, config.feed_forward);
                let frames = grid[0] as u128;
                let mut layers = backbone(&config.backbone, grid[0]);
                for number in 0..config.layers {
                    let name = |part: &str| format!("encoder.layers.{number}.{part}");
                    let mut attention =
                        layer(&name("self_attn"), &[4, width, width], &[4, width], frames);
                    attention.multiply_adds = attention
                        .multiply_adds
                        .saturating_add(product(&[2, grid[0], grid[0], width]));
                    layers.push(attention);
                    layers.push(layer(&name("linear1"), &[width, inner], &[inner], frames));
                    layers.push(layer(&name("linear2"), &[inner, width], &[width], frames));
                    layers.push(layer(&name("norm"), &[0], &[4, width], 0));
                }
                layers.push(layer("head", &[width], &[1], 1));
                layers
            }
        }
    }

    /// Numbers that are learnt; running statistics are not.
    pub fn parameters(&self) -> u128 {
        self.layers([0; 3]).iter().fold(0, |sum, layer| sum.saturating_add(layer.parameters))
    }

    /// Floating-point operations of one forward pass of one clip, 2 for each multiplication with an
    /// addition. `variable_ar_cnn` has 159 billion for 16 frames of 112 x 112, and 26 for 8 of 64 x 64.
    pub fn forward_flop(&self, grid: [usize; 3]) -> u128 {
        let layers = self.layers(grid);
        let sum = layers.iter().fold(0_u128, |sum, own| sum.saturating_add(own.multiply_adds));
        sum.saturating_mul(2)
    }

    /// What a training needs at its peak.
    pub fn training_memory(&self, shape: &TrainingShape) -> TrainingMemory {
        let parameters = self.parameters() as f64;
        let blocks = self.block_memory(shape);
        let largest =
            self.layers([0; 3]).iter().map(|own| own.parameters).max().unwrap_or(0) as f64;
        let (mut before, mut graph) = (0.0_f64, 0.0_f64);
        for block in &blocks {
            if shape.block_checkpointing {
                // Beside the block itself: what goes into those before it, the gradient that comes from
                // above and its product with the output.
                graph = graph.max(before + block.kept + block.passing + 2.0 * block.output);
                before += block.input;
            } else {
                graph = graph.max(before + block.kept + block.passing);
                before += block.kept;
            }
        }
        let pixels: f64 = self.own_grid(shape.grid).iter().map(|&size| size as f64).product();
        // Convolutions, and channels that go into and come out of the widest on the finest grid.
        let (convolutions, channels) = match self {
            Self::VariableArCnn(config) => {
                let [_, from, to] = config.widths;
                (9.0, from as f64 + (to / 4) as f64)
            }
            Self::NaiveCnn(config) => (3.0, 3.0 + config.widths[0] as f64),
            Self::VitGru(_) | Self::VitTransformer(_) => (0.0, 0.0),
        };
        let widened = if shape.precision == Precision::F32 { 0.0 } else { WIDENED };
        let widened = widened * shape.threads as f64 * pixels * channels * 4.0;
        let further = if shape.precision == Precision::F32 { FURTHER_F32 } else { FURTHER_LOW };
        let further = further * shape.sizes.saturating_sub(1) as f64;
        let activations = graph * MARGIN;
        let gradients = 4.0 * (parameters * GAPS + largest * STEP_COPIES);
        TrainingMemory {
            program: PROGRAM + (CONVOLUTION + further) * convolutions + widened,
            weights: 4.0 * parameters,
            moments: 8.0 * parameters,
            best: 4.0 * parameters,
            batches: shape.batch as f64 * pixels * 12.0 * shape.prefetch as f64,
            activations_and_gradients: activations.max(gradients)
                + BESIDE * activations.min(gradients),
        }
    }

    /// The largest batch, of at most `shape.batch`, whose training needs no more than this.
    ///
    /// # Errors
    /// Not even one clip fits.
    pub fn largest_batch(
        &self,
        shape: &TrainingShape,
        budget_mib: u64,
    ) -> Result<usize, NetworkError> {
        let needed = |batch: usize| self.training_memory(&TrainingShape { batch, ..*shape }).mib();
        let needed_mib = needed(1);
        if needed_mib > budget_mib {
            let [frames, rows, columns] = self.own_grid(shape.grid);
            let what = format!("one clip of {frames} frames of {columns} x {rows}");
            return Err(NetworkError::Memory { what, budget_mib, needed_mib });
        }
        // The need grows with the batch, so the largest lies where halving ends.
        let (mut fits, mut beyond) = (1, shape.batch.max(1).saturating_add(1));
        while beyond - fits > 1 {
            let middle = fits + (beyond - fits) / 2;
            if needed(middle) <= budget_mib { fits = middle } else { beyond = middle }
        }
        Ok(fits)
    }

    /// The grid on which clips come to the network.
    fn own_grid(&self, grid: [usize; 3]) -> [usize; 3] {
        let side = match self {
            Self::VariableArCnn(_) | Self::NaiveCnn(_) => return grid,
            Self::VitGru(config) => config.backbone.image,
            Self::VitTransformer(config) => config.backbone.image,
        };
        [grid[0], side, side]
    }

    fn block_memory(&self, shape: &TrainingShape) -> Vec<BlockMemory> {
        let low = shape.precision != Precision::F32;
        // Bytes of a number between convolutions; clips come as f32 and are rounded once.
        let number = if low { 2.0 } else { 4.0 };
        let clip = 3.0 * if low { 6.0 } else { 4.0 };
        let batch = shape.batch as f64;
        let on = |grid: [usize; 3]| batch * grid.iter().map(|&size| size as f64).product::<f64>();
        match self {
            Self::VariableArCnn(config) => {
                let widths = config.widths.map(|width| width as f64);
                let [stem, first, second] = widths;
                let behind = on(behind_stem(shape.grid, config.stem_stride));
                let passing = if low { PASSING_LOW } else { PASSING_INCEPTION };
                let input = on(shape.grid) * clip;
                let mut blocks = vec![BlockMemory {
                    input,
                    kept: input + behind * stem * number,
                    passing: behind * stem * passing,
                    output: behind * stem * number,
                }];
                for (from, to) in [(stem, first), (first, second)] {
                    blocks.push(BlockMemory {
                        input: behind * from * number,
                        // Input, its maxima and where they lay; what the branches give.
                        kept: behind * (from * (2.0 * number + 1.0) + to * number),
                        passing: behind * to * passing,
                        output: behind * to * number,
                    });
                }
                blocks.push(BlockMemory {
                    input: behind * second * number,
                    passing: behind * second * number,
                    ..BlockMemory::default()
                });
                blocks
            }
            Self::NaiveCnn(config) => {
                let [first, second, third] = config.widths.map(|width| width as f64);
                let half = halved(shape.grid);
                let positions = [on(shape.grid), on(half), on(halved(half))];
                let passing = if low { PASSING_LOW } else { PASSING_FRAMES };
                let mut blocks = Vec::new();
                let mut input = positions[0] * clip;
                for (at, width) in [first, second, third].into_iter().enumerate() {
                    // Where the maximum of four lay is one byte; the last block has no maximum.
                    let behind = positions.get(at + 1).copied().unwrap_or(0.0) * width;
                    let output = if at < 2 { behind } else { positions[at] * width } * number;
                    blocks.push(BlockMemory {
                        input,
                        kept: input + positions[at] * width * number + behind,
                        passing: positions[at] * width * passing,
                        output,
                    });
                    input = output;
                }
                blocks.push(BlockMemory { input, passing: input, ..BlockMemory::default() });
                blocks
            }
            Self::VitGru(config) => backbone_memory(&config.backbone, shape),
            Self::VitTransformer(config) => backbone_memory(&config.backbone, shape),
        }
    }
}

/// Of the backbone; what reads its vectors is nothing beside it.
fn backbone_memory(config: &VisionTransformerConfig, shape: &TrainingShape) -> Vec<BlockMemory> {
    let low = shape.precision != Precision::F32;
    let side = config.side() as f64;
    let tokens = side * side + 1.0;
    let width = config.width as f64;
    let all = shape.batch as f64 * shape.grid[0] as f64 * tokens;
    // Numbers for each token: the weights of attention, and its width.
    let looks = config.heads as f64 * tokens;
    let token = 4.0 * all * width;
    let clip = shape.batch as f64 * shape.grid[0] as f64 * (config.image as f64).powi(2) * 12.0;
    let (kept, rounded) = if low {
        // Weights are rounded too, and kept for the backward pass.
        let own = all * (4.0 * width * TOKEN_LOW + PAIR_LOW * looks);
        (own, 2.0 * 12.0 * width * width)
    } else {
        (all * (4.0 * width * TOKEN_F32 + PAIR_F32 * looks), 0.0)
    };
    // Gradients of the hidden layer before and after, or of attention's weights.
    let passing = all * 4.0 * (3.0 * 4.0 * width).max(3.0 * looks);
    let mut blocks =
        vec![BlockMemory { input: clip, kept: 2.0 * clip, passing: 2.0 * token, output: token }];
    for _ in 0..config.depth {
        let kept = kept + rounded;
        blocks.push(BlockMemory { input: token, kept, passing, output: token });
    }
    blocks.push(BlockMemory { input: token, kept: 0.0, passing: token, output: 0.0 });
    blocks
}
