//! [`NetworkBackend`] on NVIDIA devices: Burn's operators, which it fuses and tunes itself.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::{Autodiff, Cuda};
use burn::tensor::Tensor;

use std::sync::Arc;

use crate::across::{Across, PassSums, sum_in_graph};
use crate::backend::NetworkBackend;

impl NetworkBackend for Cuda {}

impl<C: CheckpointStrategy> NetworkBackend for Autodiff<Cuda, C> {
    fn across_ranks<const D: usize>(
        tensor: Tensor<Self, D>,
        sums: &Arc<PassSums>,
        across: Across,
    ) -> Tensor<Self, D> {
        sum_in_graph(tensor, sums, across)
    }
}
