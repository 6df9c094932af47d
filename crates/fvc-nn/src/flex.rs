//! [`NetworkBackend`] on the processor.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::{Autodiff, Flex};

use crate::NetworkBackend;

impl NetworkBackend for Flex {}
impl<C: CheckpointStrategy> NetworkBackend for Autodiff<Flex, C> {}
