//! [`Context`]: what a forward pass must know beside weights and clips.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use burn::module::ParamId;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::across::PassSums;
use crate::{CounterRandom, NetworkBackend};

/// Whether a pass learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, dropout.
    Training,
    /// Running statistics, no dropout.
    Evaluation,
}

/// The number format of heavy layers; which layers those are stands in [`crate::cast_policy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats everywhere.
    #[default]
    F32,
    /// bfloat16: the range of f32, 8 bits of precision.
    Bf16,
    /// IEEE half: 11 bits of precision, little range, so the loss is scaled.
    F16,
}

/// Who computes convolutions, pooling and normalisation on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Our kernels, with oneDNN where the machine has it.
    #[default]
    Fast,
    /// Burn's operators: the portable twin of every kernel, on any device.
    Portable,
}

/// What one normalisation layer saw of a batch.
#[derive(Clone, Debug)]
pub struct BatchStatistics<B: NetworkBackend> {
    /// The layer's running mean, by its parameter.
    pub running_mean: ParamId,
    /// Its running variance.
    pub running_variance: ParamId,
    /// Mean over valid positions.
    pub mean: Tensor<B, 1>,
    /// Unbiased variance over valid positions.
    pub variance: Tensor<B, 1>,
}

/// What a forward pass must know beside weights and clips.
#[derive(Debug)]
pub struct Context<B: NetworkBackend> {
    mode: Mode,
    precision: Precision,
    engine: Engine,
    random: CounterRandom,
    /// The block that is running, and draws inside it.
    block: Cell<u64>,
    draws: Cell<u64>,
    /// Where layers tell their statistics; nothing while a block runs a second time.
    statistics: RefCell<Option<Vec<BatchStatistics<B>>>>,
    /// The ranks that learn together, where there are others.
    ranks: Option<Arc<PassSums>>,
    /// Those of them that share the layers of one network, where there are such.
    tensor_group: Option<Arc<PassSums>>,
}

impl<B: NetworkBackend> Context<B> {
    /// For scoring.
    pub fn evaluation(precision: Precision, engine: Engine) -> Self {
        Self::new(Mode::Evaluation, precision, engine, CounterRandom::new(&[0]))
    }

    /// For a training step whose dropout draws from `random`.
    pub fn training(precision: Precision, engine: Engine, random: CounterRandom) -> Self {
        Self::new(Mode::Training, precision, engine, random)
    }

    fn new(mode: Mode, precision: Precision, engine: Engine, random: CounterRandom) -> Self {
        Self {
            mode,
            precision,
            engine,
            random,
            block: Cell::new(0),
            draws: Cell::new(0),
            statistics: RefCell::new((mode == Mode::Training).then(Vec::new)),
            ranks: None,
            tensor_group: None,
        }
    }

    /// The same, whose normalisation layers see the clips of all ranks.
    #[must_use]
    pub fn with_ranks(mut self, ranks: Option<Arc<PassSums>>) -> Self {
        self.ranks = ranks;
        self
    }

    /// The same over a network of which each rank of a group has a part.
    #[must_use]
    pub fn with_tensor_group(mut self, group: Option<Arc<PassSums>>) -> Self {
        self.tensor_group = group;
        self
    }

    /// The ranks that share the layers of the network, where there are such.
    pub fn tensor_group(&self) -> Option<&Arc<PassSums>> {
        self.tensor_group.as_ref()
    }

    /// The ranks that learn together, where there are others.
    pub fn ranks(&self) -> Option<&Arc<PassSums>> {
        self.ranks.as_ref()
    }

    /// The same pass on another backend, to run a block a second time: what it draws is the same, and
    /// statistics are not told again.
    pub fn again<A: NetworkBackend>(&self) -> Context<A> {
        let again = Context::new(self.mode, self.precision, self.engine, self.random)
            .with_ranks(self.ranks.clone())
            .with_tensor_group(self.tensor_group.clone());
        again.statistics.replace(None);
        again
    }

    /// The same pass on another backend, which tells its statistics there.
    pub(crate) fn telling<A: NetworkBackend>(&self) -> Context<A> {
        Context::new(self.mode, self.precision, self.engine, self.random)
            .with_ranks(self.ranks.clone())
            .with_tensor_group(self.tensor_group.clone())
    }

    /// Waits for the other ranks before a backward pass that runs beside theirs in one process. Burn cleans
    /// up behind each pass, and waits there for every pass that is under way: one of the next block, say,
    /// that in turn waits for this rank's part of a sum.
    pub(crate) fn begin_backward(&self) {
        if let Some(ranks) = self.ranks.as_ref().or(self.tensor_group.as_ref()) {
            ranks.align_threads();
        }
    }

    /// Whether this pass learns.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The number format of heavy layers.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Who computes.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Says that a block begins: draws are counted from its start, so that a second run draws the same.
    pub fn enter_block(&self, block: usize) {
        self.block.set(block as u64);
        self.draws.set(0);
    }

    /// The stream of the next dropout layer.
    pub(crate) fn next_draw(&self) -> CounterRandom {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        CounterRandom::new(&[self.random.bits(0), self.block.get(), draw])
    }

    /// Keeps what a normalisation layer saw.
    pub(crate) fn tell_statistics(&self, seen: BatchStatistics<B>) {
        if let Some(known) = self.statistics.borrow_mut().as_mut() {
            known.push(seen);
        }
    }

    /// What normalisation layers saw, in their order.
    pub fn take_statistics(&self) -> Vec<BatchStatistics<B>> {
        self.statistics.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }
}
