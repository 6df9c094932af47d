//! [`TensorGroup`]: ranks that share the layers of one vision transformer, each with a part of every wide
//! weight (Shoeybi et al. 2019, "Megatron-LM").
//!
//! In each block the layers that widen (`qkv`, by heads, and `fc1`) are split by their outputs, those that
//! narrow again (`proj`, `fc2`) by their inputs. What goes into the former is the same on every rank, and its
//! gradient is summed over the group; what comes out of the latter is summed over the group, and its
//! gradient is the same on every rank. All else (norms, embeddings, what reads the frames' vectors, the biases
//! of the layers that narrow) every rank has whole.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

use crate::across::{Across, PassSums};
use crate::collective::{Collective, CollectiveError};
use crate::layers::Linear;
use crate::weights::ModulePath;
use crate::{
    Context, Network, NetworkBackend, NetworkConfig, NetworkError, TrainBackend, Weight, Weights,
};

/// How a parameter is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    /// By its first axis, which holds this many equal stretches, each split alike.
    Rows(usize),
    /// By its second axis.
    Columns,
}

/// How the parameter of a name is split; none is whole on every rank.
fn split_of(name: &str) -> Option<Split> {
    let rest = name.strip_prefix("backbone.blocks.")?;
    let (_, layer) = rest.split_once('.')?;
    Some(match layer {
        // Queries, keys and values, each head by head.
        "attn.qkv.weight" | "attn.qkv.bias" => Split::Rows(3),
        "mlp.fc1.weight" | "mlp.fc1.bias" => Split::Rows(1),
        "attn.proj.weight" | "mlp.fc2.weight" => Split::Columns,
        _ => return None,
    })
}

/// Whether each rank of a tensor group has but a part of the parameter of this name.
pub(crate) fn is_split(name: &str) -> bool {
    split_of(name).is_some()
}

/// Where the stretches of one part lie in an array of `whole` (rows, row length), as (start, length) of its
/// values.
fn stretches(
    split: Split,
    [rows, columns]: [usize; 2],
    position: usize,
    count: usize,
) -> Vec<(usize, usize)> {
    match split {
        Split::Rows(stretches) => {
            let (stretch, part) = (rows / stretches, rows / stretches / count);
            let start = |at: usize| (at * stretch + position * part) * columns;
            (0..stretches).map(|at| (start(at), part * columns)).collect()
        }
        Split::Columns => {
            let part = columns / count;
            (0..rows).map(|row| (row * columns + position * part, part)).collect()
        }
    }
}

/// Rows and the length of one, of any shape.
fn rows_of(shape: &[usize]) -> [usize; 2] {
    let rows = shape.first().copied().unwrap_or(1);
    [rows, shape.iter().skip(1).product()]
}

/// The shape of a part, or of the whole where `count` parts are put together.
fn scaled(split: Split, shape: &[usize], scale: impl Fn(usize) -> usize) -> Vec<usize> {
    let axis = usize::from(split == Split::Columns);
    let own = |(at, &size): (usize, &usize)| if at == axis { scale(size) } else { size };
    shape.iter().enumerate().map(own).collect()
}

/// One part of a whole weight.
fn part(split: Split, whole: &Weight, position: usize, count: usize) -> Weight {
    let mut values = Vec::with_capacity(whole.values.len() / count);
    for (start, length) in stretches(split, rows_of(&whole.shape), position, count) {
        values.extend(whole.values.get(start..start + length).unwrap_or_default());
    }
    Weight { shape: scaled(split, &whole.shape, |size| size / count), values }
}

/// The whole of all parts, each of which has `shape`.
fn whole(split: Split, shape: &[usize], parts: &[Vec<f32>]) -> Weight {
    let count = parts.len();
    let shape = scaled(split, shape, |size| size * count);
    let mut values = vec![0.0; shape.iter().product()];
    for (position, part) in parts.iter().enumerate() {
        let mut rest = &part[..];
        for (start, length) in stretches(split, rows_of(&shape), position, count) {
            let (own, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            if let Some(place) = values.get_mut(start..start + own.len()) {
                place.copy_from_slice(own);
            }
        }
    }
    Weight { shape, values }
}

/// The ranks that share the layers of a network, of which this is one.
#[derive(Debug)]
pub struct TensorGroup {
    sums: Arc<PassSums>,
}

impl TensorGroup {
    /// Of the ranks of this channel, which nothing else may use.
    pub fn new(collective: Box<dyn Collective>) -> Self {
        Self { sums: Arc::new(PassSums::new(collective)) }
    }

    /// This one's part, from 0.
    pub fn position(&self) -> usize {
        self.sums.collective().rank()
    }

    /// Parts.
    pub fn count(&self) -> usize {
        self.sums.collective().size()
    }

    /// The group as passes know it.
    pub fn sums(&self) -> &Arc<PassSums> {
        &self.sums
    }

    /// This rank's part of a whole network's weights.
    #[must_use]
    pub fn part_of(&self, weights: &Weights) -> Weights {
        let (position, count) = (self.position(), self.count());
        let own = |(name, weight): (&String, &Weight)| {
            let weight = match split_of(name) {
                Some(split) => part(split, weight, position, count),
                None => weight.clone(),
            };
            (name.clone(), weight)
        };
        Weights { by_name: weights.by_name.iter().map(own).collect() }
    }

    /// The weights of the whole network from every rank's part. All ranks of the group call this with the
    /// same names.
    ///
    /// # Errors
    /// A rank has ended, lags or is elsewhere.
    pub fn whole_of(&self, parts: &Weights) -> Result<Weights, CollectiveError> {
        let mut all = Weights::default();
        for (name, own) in &parts.by_name {
            let weight = match split_of(name) {
                None => own.clone(),
                Some(split) => {
                    let told = self.sums.collective().gather(bytemuck::cast_slice(&own.values))?;
                    let told: Vec<Vec<f32>> = told.iter().map(|bytes| numbers(bytes)).collect();
                    whole(split, &own.shape, &told)
                }
            };
            all.by_name.insert(name.clone(), weight);
        }
        Ok(all)
    }

    /// [`TensorGroup::part_of`] for what an optimiser remembers: rows of numbers under `first.` and `second.`
    /// before the name of a parameter, whose whole shape `network` has.
    pub(crate) fn part_of_memory(&self, memory: &Weights, network: &Weights) -> Weights {
        let mut all = Weights::default();
        for (key, row) in &memory.by_name {
            let split = moment_of(key).and_then(|name| {
                let shape = network.by_name.get(name)?.shape.clone();
                Some((split_of(name)?, shape))
            });
            let row = match split {
                None => row.clone(),
                Some((split, shape)) => {
                    let shaped = Weight { shape, values: row.values.clone() };
                    flat(part(split, &shaped, self.position(), self.count()).values)
                }
            };
            all.by_name.insert(key.clone(), row);
        }
        all
    }

    /// [`TensorGroup::whole_of`] for what an optimiser remembers; `network` has this rank's parts.
    pub(crate) fn whole_of_memory(
        &self,
        memory: &Weights,
        network: &Weights,
    ) -> Result<Weights, CollectiveError> {
        let mut all = memory.clone();
        for prefix in ["first.", "second."] {
            let mut shaped = Weights::default();
            for (name, own) in &network.by_name {
                if let Some(row) = memory.by_name.get(&format!("{prefix}{name}")) {
                    let weight = Weight { shape: own.shape.clone(), values: row.values.clone() };
                    shaped.by_name.insert(name.clone(), weight);
                }
            }
            for (name, weight) in self.whole_of(&shaped)?.by_name {
                all.by_name.insert(format!("{prefix}{name}"), flat(weight.values));
            }
        }
        Ok(all)
    }
}

/// The parameter whose moment a row of an optimiser's memory is.
fn moment_of(key: &str) -> Option<&str> {
    key.strip_prefix("first.").or_else(|| key.strip_prefix("second."))
}

fn flat(values: Vec<f32>) -> Weight {
    Weight { shape: vec![values.len()], values }
}

/// The numbers that a rank of this job sent.
fn numbers(bytes: &[u8]) -> Vec<f32> {
    let four = |own: &[u8]| f32::from_ne_bytes([own[0], own[1], own[2], own[3]]);
    bytes.chunks_exact(4).map(four).collect()
}

/// Takes one part of each parameter that is split.
struct TakePart {
    path: ModulePath,
    position: usize,
    count: usize,
}

impl<B: TrainBackend> ModuleMapper<B> for TakePart {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(split) = split_of(&self.path.name()) else { return param };
        let learns = param.is_require_grad();
        param
            .map(|tensor| {
                let (shape, device) = (tensor.dims().to_vec(), tensor.device());
                let values = tensor.into_data().convert::<f32>().to_vec().unwrap_or_default();
                let own = part(split, &Weight { shape, values }, self.position, self.count);
                Tensor::from_data(TensorData::new(own.values, own.shape), &device)
            })
            .set_require_grad(learns)
    }
}

impl<B: TrainBackend> Network<B> {
    /// The network with this rank's part of each parameter that the group shares. It must be one that
    /// [`NetworkConfig::check_tensor_parallel`] lets pass.
    #[must_use]
    pub fn part_for(self, group: &TensorGroup) -> Self {
        let (position, count) = (group.position(), group.count());
        let own = self.map(&mut TakePart { path: ModulePath::default(), position, count });
        match own {
            Self::VitGru(network) => Self::VitGru(network.with_part_of_heads(count)),
            Self::VitTransformer(network) => {
                Self::VitTransformer(network.with_part_of_heads(count))
            }
            other @ (Self::VariableArCnn(_) | Self::NaiveCnn(_)) => other,
        }
    }
}

impl NetworkConfig {
    /// Checks that every `count` of `ranks` can share a replica of the network.
    ///
    /// # Errors
    /// It is none with a vision transformer, or its heads or the ranks cannot be dealt out evenly.
    pub fn check_tensor_parallel(&self, count: usize, ranks: usize) -> Result<(), NetworkError> {
        let wrong = |expected: &str, found: String| {
            NetworkError::setting("tensor_parallel", expected, found)
        };
        if count == 1 {
            return Ok(());
        }
        if count == 0 {
            return Err(wrong("1 at least", count.to_string()));
        }
        let Some(backbone) = self.backbone() else {
            let expected = "nothing, or 1: only vision transformers (vit_gru, vit_transformer) are \
                            shared by ranks";
            return Err(wrong(expected, format!("{count} for {}", self.name())));
        };
        // Heads divide the width, so that what divides them divides the hidden units too, four a unit of width.
        if !backbone.heads.is_multiple_of(count) {
            let expected = format!("a divisor of the {} heads of {}", backbone.heads, self.name());
            return Err(wrong(&expected, count.to_string()));
        }
        if !ranks.is_multiple_of(count) {
            let expected = format!("a divisor of the number of ranks, which is {ranks}");
            return Err(wrong(&expected, count.to_string()));
        }
        Ok(())
    }
}

/// What goes into layers that are split by their outputs: as it is, with its gradient summed over the group.
pub(crate) fn into_parts<B: NetworkBackend, const D: usize>(
    input: Tensor<B, D>,
    context: &Context<B>,
) -> Tensor<B, D> {
    match context.tensor_group() {
        Some(sums) => B::across_ranks(input, sums, Across { values: false, gradient: true }),
        None => input,
    }
}

/// A layer that is split by its inputs: `[.., in / parts]` to `[.., out]`, whose bias counts once.
pub(crate) fn from_parts<B: NetworkBackend, const D: usize>(
    layer: &Linear<B>,
    input: Tensor<B, D>,
    context: &Context<B>,
) -> Tensor<B, D> {
    let Some(sums) = context.tensor_group() else { return layer.forward(input, context) };
    let own = layer.forward_without_bias(input, context);
    let all = B::across_ranks(own, sums, Across { values: true, gradient: false });
    match &layer.bias {
        Some(bias) => all + bias.val().unsqueeze(),
        None => all,
    }
}
