//! [`PassSums`]: sums over ranks in the middle of a forward or backward pass.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData, TensorPrimitive};

use crate::collective::{Collective, CollectiveError};

/// Sums over ranks inside a pass, where operations of a graph have no way to return an error: after the
/// first fault every sum is this rank's own, and whoever runs the pass asks for the fault when it is over.
#[derive(Debug)]
pub struct PassSums {
    collective: Box<dyn Collective>,
    /// Whether the clips of this pass are this rank's to learn from. A rank that has none left in the last
    /// round of a step runs along with one that counts nothing.
    present: AtomicBool,
    fault: Mutex<Option<CollectiveError>>,
    /// Nanoseconds that sums took since it was last asked.
    waited: AtomicU64,
}

/// Which way a tensor of a graph is summed over ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Across {
    /// Its values, in the forward pass.
    pub values: bool,
    /// Its gradient, in the backward pass.
    pub gradient: bool,
}

impl PassSums {
    /// Over the ranks of this channel, which nothing else may use.
    pub fn new(collective: Box<dyn Collective>) -> Self {
        Self {
            collective,
            present: AtomicBool::new(true),
            fault: Mutex::new(None),
            waited: AtomicU64::new(0),
        }
    }

    /// The channel.
    pub fn collective(&self) -> &dyn Collective {
        &*self.collective
    }

    /// Says whether the clips of the next pass count.
    pub fn set_present(&self, present: bool) {
        self.present.store(present, Ordering::Relaxed);
    }

    /// Whether the clips of this pass count.
    pub fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    fn keep(&self, result: Result<(), CollectiveError>) {
        if let Err(error) = result {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn is_sound(&self) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn count(&self, start: Instant) {
        let nanoseconds = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How long sums took since the last call.
    pub(crate) fn take_waited(&self) -> Duration {
        Duration::from_nanos(self.waited.swap(0, Ordering::Relaxed))
    }

    /// Returns when every rank has come, if they are threads of one process.
    pub(crate) fn align_threads(&self) {
        if self.collective.shares_process() && self.is_sound() {
            let start = Instant::now();
            self.keep(self.collective.barrier());
            self.count(start);
        }
    }

    /// Makes each value the sum over ranks.
    pub fn sum_f32(&self, values: &mut [f32]) {
        if self.is_sound() {
            let start = Instant::now();
            self.keep(self.collective.sum_f32(values));
            self.count(start);
        }
    }

    /// Makes each value the sum over ranks.
    pub fn sum_f64(&self, values: &mut [f64]) {
        if self.is_sound() {
            let start = Instant::now();
            self.keep(self.collective.sum_f64(values));
            self.count(start);
        }
    }

    /// The first fault of a pass, if there was one.
    ///
    /// # Errors
    /// That fault.
    pub fn check(&self) -> Result<(), CollectiveError> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

fn summed<B: Backend>(tensor: FloatTensor<B>, sums: &PassSums) -> FloatTensor<B> {
    use burn::tensor::TensorMetadata;
    let shape = tensor.shape();
    let count = shape.num_elements();
    let flat = B::float_reshape(tensor, [count].into());
    let flat = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(flat));
    let (format, device) = (flat.dtype(), flat.device());
    let mut values: Vec<f32> = flat.into_data().convert::<f32>().to_vec().unwrap_or_default();
    sums.sum_f32(&mut values);
    let flat = Tensor::<B, 1>::from_data(TensorData::new(values, [count]), &device).cast(format);
    B::float_reshape(flat.into_primitive().tensor(), shape)
}

/// The sum over ranks of a tensor of no graph.
pub(crate) fn sum_values<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
    sums: &PassSums,
) -> Tensor<B, D> {
    let tensor = summed::<B>(tensor.into_primitive().tensor(), sums);
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

#[derive(Debug)]
struct AcrossStep;

impl<B: Backend> Backward<B, 1> for AcrossStep {
    /// Over which ranks the gradient is summed, if it is.
    type State = Option<Arc<PassSums>>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let own = gradients.consume::<B>(&ops.node);
        let own = match &ops.state {
            Some(sums) => summed::<B>(own, sums),
            None => own,
        };
        if let [Some(parent)] = &ops.parents {
            gradients.register::<B>(parent.id, own);
        }
    }
}

/// The sum over ranks of a tensor of a graph, of its gradient, or of both.
pub(crate) fn sum_in_graph<B: Backend, C: CheckpointStrategy, const D: usize>(
    tensor: Tensor<Autodiff<B, C>, D>,
    sums: &Arc<PassSums>,
    across: Across,
) -> Tensor<Autodiff<B, C>, D> {
    let tensor = tensor.into_primitive().tensor();
    let values = if across.values { summed::<B>(tensor.primitive, sums) } else { tensor.primitive };
    let state = across.gradient.then(|| Arc::clone(sums));
    let output = match AcrossStep.prepare::<C>([tensor.node]).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, values),
        OpsKind::UnTracked(prepared) => prepared.finish(values),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
