//! [`NetworkBackend`] on NVIDIA devices: Burn's operators, which it fuses and tunes itself.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::{Autodiff, Cuda};

use crate::backend::NetworkBackend;

impl NetworkBackend for Cuda {}

impl<C: CheckpointStrategy> NetworkBackend for Autodiff<Cuda, C> {}
