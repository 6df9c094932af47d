//! [`backward`]: the gradients of one batch, whole or block by block.

use burn::module::{AutodiffModule, Module};
use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::context::BatchStatistics;
use crate::loss::Loss;
use crate::optimizer::{GatherGradients, NamedGradients, TrainBackend};
use crate::weights::ModulePath;
use crate::{Context, Network, log_odds};

/// What is asked of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// 0 real, 1 fake.
    pub labels: &'a [f32],
    /// What each clip counts.
    pub weights: &'a [f32],
    /// The loss.
    pub loss: Loss,
    /// What the loss is multiplied by before the backward pass, for number formats of little range.
    pub scale: f64,
}

/// What one batch gave.
#[derive(Debug)]
pub struct BatchOutcome<B: TrainBackend> {
    /// The weighted sum of its losses, not scaled.
    pub loss: f64,
    /// The log odds of its clips.
    pub log_odds: Vec<f32>,
    /// What normalisation layers saw.
    pub statistics: Vec<BatchStatistics<B::InnerBackend>>,
}

fn gather<B: TrainBackend>(
    network: &Network<B>,
    gradients: &mut B::Gradients,
    sums: &mut NamedGradients<B::InnerBackend>,
) {
    network.visit(&mut GatherGradients { path: ModulePath::default(), gradients, sums });
}

/// Loss and log odds on the host, and the scaled loss to go backward from.
fn judge<B: TrainBackend>(
    outputs: Tensor<B, 2>,
    targets: &Targets<'_>,
) -> (Tensor<B, 1>, f64, Vec<f32>) {
    let log_odds = log_odds(outputs);
    let host = log_odds.clone().inner().into_data().convert::<f32>().to_vec().unwrap_or_default();
    let loss = targets.loss.weighted_sum(log_odds, targets.labels, targets.weights);
    let value: Vec<f32> = loss.clone().inner().into_data().to_vec().unwrap_or_default();
    let value = value.first().map_or(f64::NAN, |&value| f64::from(value));
    (loss * targets.scale, value, host)
}

/// What is kept of the forward pass for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graph {
    /// One graph of all blocks.
    Whole,
    /// A graph of each block: gradients of the last blocks are there while those of the first are still
    /// computed, so that they can be on their way to other ranks.
    Blocks,
    /// No graph, only what goes into each block; each block is then run a second time, from the last to the
    /// first, for its gradients (Chen et al. 2016). The second run draws what the first drew, and its
    /// statistics are not counted again. Memory is that of one block.
    Again,
}

/// Adds the gradients of one batch to `sums`, with one graph or, `by_block`, none ([`Graph::Again`]).
pub fn backward<B: TrainBackend>(
    network: &Network<B>,
    clips: Activation<B::InnerBackend>,
    targets: &Targets<'_>,
    context: &Context<B::InnerBackend>,
    by_block: bool,
    sums: &mut NamedGradients<B::InnerBackend>,
) -> BatchOutcome<B> {
    let graph = if by_block { Graph::Again } else { Graph::Whole };
    backward_in_parts(network, clips, targets, context, graph, sums, &mut |_| {})
}

/// As [`backward`], with any [`Graph`]; gradients are the same whatever is kept. `on_part` is called after
/// each part of the backward pass, with the gradients so far in `sums`: what is there is complete for this
/// batch, and may be taken out.
pub fn backward_in_parts<B: TrainBackend>(
    network: &Network<B>,
    clips: Activation<B::InnerBackend>,
    targets: &Targets<'_>,
    context: &Context<B::InnerBackend>,
    graph: Graph,
    sums: &mut NamedGradients<B::InnerBackend>,
    on_part: &mut dyn FnMut(&mut NamedGradients<B::InnerBackend>),
) -> BatchOutcome<B> {
    if graph == Graph::Blocks {
        return backward_by_graphs(network, clips, targets, context, sums, on_part);
    }
    if graph == Graph::Whole {
        let own: Context<B> = context.telling();
        let outputs = network.forward(Activation::constant(clips), &own);
        let (scaled, loss, log_odds) = judge(outputs, targets);
        own.begin_backward();
        let mut gradients = scaled.backward();
        gather(network, &mut gradients, sums);
        on_part(sums);
        return BatchOutcome { loss, log_odds, statistics: told(&own) };
    }
    let without_graph = network.valid();
    let blocks = network.blocks();
    let mut inputs = vec![clips];
    for block in 0..blocks - 1 {
        let input = inputs[block].clone();
        inputs.push(without_graph.forward_block(block, input, context));
    }
    // The last block is run once, with its graph: it tells its statistics then.
    let last: Context<B> = context.telling();
    let mut from_above: Option<Activation<B::InnerBackend>> = None;
    let (mut loss, mut log_odds) = (f64::NAN, Vec::new());
    for block in (0..blocks).rev() {
        let Some(input) = inputs.pop() else { break };
        let leaf = if block == 0 { Activation::constant(input) } else { Activation::leaf(input) };
        let root = if let Some(from_above) = from_above.take() {
            let again: Context<B> = context.again();
            weighed(network.forward_block(block, leaf.clone(), &again), from_above)
        } else {
            let outputs = network.forward_block(block, leaf.clone(), &last).rows();
            let (scaled, value, host) = judge(outputs, targets);
            (loss, log_odds) = (value, host);
            scaled
        };
        context.begin_backward();
        let mut gradients = root.backward();
        gather(network, &mut gradients, sums);
        on_part(sums);
        if block > 0 {
            from_above = leaf.gradient(&mut gradients);
        }
    }
    let mut statistics = context.take_statistics();
    statistics.extend(told(&last));
    BatchOutcome { loss, log_odds, statistics }
}

/// A number whose gradient by `output` is `from_above`.
fn weighed<B: TrainBackend>(
    output: Activation<B>,
    from_above: Activation<B::InnerBackend>,
) -> Tensor<B, 1> {
    (output.flat() * Activation::<B>::constant(from_above).flat()).sum()
}

/// What normalisation layers told a pass with a graph.
fn told<B: TrainBackend>(context: &Context<B>) -> Vec<BatchStatistics<B::InnerBackend>> {
    let seen = context.take_statistics().into_iter();
    seen.map(|seen| BatchStatistics {
        running_mean: seen.running_mean,
        running_variance: seen.running_variance,
        mean: seen.mean.inner(),
        variance: seen.variance.inner(),
    })
    .collect()
}

/// [`backward`] by [`Graph::Blocks`].
fn backward_by_graphs<B: TrainBackend>(
    network: &Network<B>,
    clips: Activation<B::InnerBackend>,
    targets: &Targets<'_>,
    context: &Context<B::InnerBackend>,
    sums: &mut NamedGradients<B::InnerBackend>,
    on_part: &mut dyn FnMut(&mut NamedGradients<B::InnerBackend>),
) -> BatchOutcome<B> {
    let own: Context<B> = context.telling();
    let blocks = network.blocks();
    // What goes into each block as the leaf of its graph, and what comes out.
    let mut graphs: Vec<(Activation<B>, Activation<B>)> = Vec::with_capacity(blocks);
    for block in 0..blocks {
        let leaf = match graphs.last() {
            Some((_, output)) => Activation::leaf(output.clone().without_graph()),
            None => Activation::constant(clips.clone()),
        };
        let output = network.forward_block(block, leaf.clone(), &own);
        graphs.push((leaf, output));
    }
    drop(clips);
    let (mut loss, mut log_odds) = (f64::NAN, Vec::new());
    let mut from_above: Option<Activation<B::InnerBackend>> = None;
    while let Some((leaf, output)) = graphs.pop() {
        let root = if let Some(from_above) = from_above.take() {
            weighed(output, from_above)
        } else {
            let (scaled, value, host) = judge(output.rows(), targets);
            (loss, log_odds) = (value, host);
            scaled
        };
        context.begin_backward();
        let mut gradients = root.backward();
        gather(network, &mut gradients, sums);
        on_part(sums);
        if !graphs.is_empty() {
            from_above = leaf.gradient(&mut gradients);
        }
    }
    BatchOutcome { loss, log_odds, statistics: told(&own) }
}
