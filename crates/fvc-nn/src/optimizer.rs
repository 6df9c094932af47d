//! [`AdamW`]: the optimiser, with a learning rate a group of parameters.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::context::BatchStatistics;
use crate::layers::BATCH_NORM_MOMENTUM;
use crate::weights::{ModulePath, Weight, Weights};
use crate::{Network, NetworkBackend};

/// A backend that a network can be trained on.
pub trait TrainBackend: NetworkBackend + AutodiffBackend<InnerBackend: NetworkBackend> {}

impl<B> TrainBackend for B where B: NetworkBackend + AutodiffBackend<InnerBackend: NetworkBackend> {}

/// Settings of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// Learning rate of the parameters under `backbone`.
    pub backbone_learning_rate: f64,
    /// Learning rate of all others.
    pub head_learning_rate: f64,
    /// Decay of weights, but not of norms and biases.
    pub weight_decay: f64,
    /// Memory of the first moment.
    pub beta1: f64,
    /// Memory of the second.
    pub beta2: f64,
    /// Added to the root of the second.
    pub epsilon: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            backbone_learning_rate: 5e-6,
            head_learning_rate: 5e-4,
            weight_decay: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl AdamWConfig {
    /// The learning rate of a parameter.
    fn rate_of(&self, name: &str) -> f64 {
        if is_backbone(name) { self.backbone_learning_rate } else { self.head_learning_rate }
    }
}

/// Gradients by the name of their parameter, each as a row.
pub type NamedGradients<B> = BTreeMap<String, Tensor<B, 1>>;

/// Which parameters a pass over a network is about.
pub(crate) fn is_backbone(name: &str) -> bool {
    name.starts_with("backbone.")
}

/// Adds the gradients of a backward pass to those known.
pub(crate) struct GatherGradients<'a, B: TrainBackend> {
    pub(crate) path: ModulePath,
    pub(crate) gradients: &'a mut B::Gradients,
    pub(crate) sums: &'a mut NamedGradients<B::InnerBackend>,
}

impl<B: TrainBackend> ModuleVisitor<B> for GatherGradients<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(gradient) = param.val().grad_remove(self.gradients) else { return };
        let count = gradient.shape().num_elements();
        let gradient = gradient.reshape([count]).cast(DType::F32);
        let name = self.path.name();
        let sum = match self.sums.remove(&name) {
            Some(known) => known + gradient,
            None => gradient,
        };
        self.sums.insert(name, sum);
    }
}

/// The root of the sum of squares of all gradients.
pub fn global_norm<B: NetworkBackend>(gradients: &NamedGradients<B>) -> f64 {
    square_sum::<B>(gradients.values().cloned().collect()).sqrt()
}

/// The sum of squares of all of these.
pub(crate) fn square_sum<B: NetworkBackend>(gradients: Vec<Tensor<B, 1>>) -> f64 {
    B::square_sums(gradients).into_iter().sum()
}

/// What gradients of this length are multiplied by to be no longer than `limit`; 1 where there is none (0).
/// PyTorch's `clip_grad_norm_` is the same but for the 1e-6 that it adds to the length.
pub fn shortening(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}

/// `AdamW` (Loshchilov and Hutter 2019): decay apart from the gradient.
#[derive(Debug)]
pub struct AdamW<B: Backend> {
    config: AdamWConfig,
    /// Steps that a parameter has been moved by, and its two moments.
    moments: BTreeMap<String, (u64, Tensor<B, 1>, Tensor<B, 1>)>,
}

struct Step<'a, B: TrainBackend> {
    path: ModulePath,
    optimizer: &'a mut AdamW<B::InnerBackend>,
    gradients: &'a NamedGradients<B::InnerBackend>,
    /// Of gradients, for clipping and the loss's scale.
    factor: f64,
    schedule: f64,
}

impl<B: TrainBackend> ModuleMapper<B> for Step<'_, B> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.name();
        let Some(gradient) = self.gradients.get(&name) else { return param };
        if self.optimizer.config.rate_of(&name) <= 0.0 {
            // Not even the sign of a zero changes.
            return param;
        }
        let gradient = gradient.clone() * self.factor;
        let learns = param.is_require_grad();
        param
            .map(|tensor| {
                let shape = tensor.dims();
                let count: usize = shape.iter().product();
                // Norms and biases are rows; what has two axes or more is a weight.
                let decays =
                    D > 1 && !matches!(name.as_str(), "backbone.cls_token" | "backbone.pos_embed");
                let values = tensor.inner().reshape([count]);
                let moved = self.optimizer.moved(&name, values, gradient, self.schedule, decays);
                Tensor::from_inner(moved.reshape(shape))
            })
            .set_require_grad(learns)
    }
}

impl<B: Backend> AdamW<B> {
    /// Without any memory.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    fn moved(
        &mut self,
        name: &str,
        values: Tensor<B, 1>,
        gradient: Tensor<B, 1>,
        schedule: f64,
        decays: bool,
    ) -> Tensor<B, 1> {
        let AdamWConfig { beta1, beta2, epsilon, .. } = self.config;
        let rate = schedule * self.config.rate_of(name);
        let (steps, first, second) = match self.moments.remove(name) {
            Some((steps, first, second)) => (
                steps + 1,
                first * beta1 + gradient.clone() * (1.0 - beta1),
                second * beta2 + gradient.square() * (1.0 - beta2),
            ),
            None => (1, gradient.clone() * (1.0 - beta1), gradient.square() * (1.0 - beta2)),
        };
        let power = i32::try_from(steps).unwrap_or(i32::MAX);
        let corrected = first.clone() / (1.0 - beta1.powi(power));
        let root = (second.clone() / (1.0 - beta2.powi(power))).sqrt() + epsilon;
        self.moments.insert(name.to_owned(), (steps, first, second));
        let kept = if decays { values * (1.0 - rate * self.config.weight_decay) } else { values };
        kept - corrected / root * rate
    }

    /// Moves the parameters that have a gradient, which is multiplied by `factor` before; every
    /// learning rate is multiplied by `schedule`.
    pub fn step<A: TrainBackend<InnerBackend = B>>(
        &mut self,
        network: Network<A>,
        gradients: &NamedGradients<B>,
        factor: f64,
        schedule: f64,
    ) -> Network<A> {
        let path = ModulePath::default();
        network.map(&mut Step::<A> { path, optimizer: self, gradients, factor, schedule })
    }

    /// What it remembers, to be written.
    pub(crate) fn memory(&self) -> Weights {
        let mut weights = Weights::default();
        for (name, (steps, first, second)) in &self.moments {
            let row = |tensor: &Tensor<B, 1>| {
                let values: Vec<f32> = tensor.to_data().to_vec().unwrap_or_default();
                Weight { shape: vec![values.len()], values }
            };
            weights.by_name.insert(format!("first.{name}"), row(first));
            weights.by_name.insert(format!("second.{name}"), row(second));
            // Exact in two numbers of 24 bits each.
            let halves = vec![(steps >> 24) as f32, (steps & 0xFF_FFFF) as f32];
            let steps = Weight { shape: vec![2], values: halves };
            weights.by_name.insert(format!("steps.{name}"), steps);
        }
        weights
    }

    /// With what [`AdamW::memory`] gave.
    pub(crate) fn remembering(config: AdamWConfig, memory: &Weights, device: &B::Device) -> Self {
        let row = |weight: &Weight| {
            let count = weight.values.len();
            Tensor::from_data(TensorData::new(weight.values.clone(), [count]), device)
        };
        let mut moments = BTreeMap::new();
        for (key, first) in &memory.by_name {
            let Some(name) = key.strip_prefix("first.") else { continue };
            let second = memory.by_name.get(&format!("second.{name}"));
            let steps = memory.by_name.get(&format!("steps.{name}"));
            let (Some(second), Some(steps)) = (second, steps) else { continue };
            let [high, low] = [0, 1].map(|at| steps.values.get(at).map_or(0, |&half| half as u64));
            moments.insert(name.to_owned(), ((high << 24) + low, row(first), row(second)));
        }
        Self { config, moments }
    }
}

/// Takes what normalisation layers saw into their running statistics.
struct UpdateStatistics<B: TrainBackend> {
    seen: BTreeMap<ParamId, Tensor<B::InnerBackend, 1>>,
}

impl<B: TrainBackend> ModuleMapper<B> for UpdateStatistics<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(seen) = self.seen.remove(&param.id) else { return param };
        param
            .map(|tensor| {
                let shape = tensor.dims();
                let count: usize = shape.iter().product();
                let known = tensor.inner().reshape([count]);
                let next = known * (1.0 - BATCH_NORM_MOMENTUM) + seen * BATCH_NORM_MOMENTUM;
                Tensor::from_inner(next.reshape(shape))
            })
            .set_require_grad(false)
    }
}

/// The network whose running statistics have taken in what its layers saw of one batch.
pub fn update_statistics<B: TrainBackend>(
    network: Network<B>,
    seen: Vec<BatchStatistics<B::InnerBackend>>,
) -> Network<B> {
    if seen.is_empty() {
        return network;
    }
    let mut update = UpdateStatistics::<B> { seen: BTreeMap::new() };
    for layer in seen {
        update.seen.insert(layer.running_mean, layer.mean);
        update.seen.insert(layer.running_variance, layer.variance);
    }
    network.map(&mut update)
}
