//! [`Activation`]: what one block of a network hands to the next.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorPrimitive};

use crate::Extents;

/// A tensor of any rank with the extents of its clips.
#[derive(Clone, Debug)]
pub struct Activation<B: Backend> {
    value: TensorPrimitive<B>,
    /// The valid part of each clip, in positions of this activation (of frames, where it has no more).
    pub extents: Extents,
}

impl<B: Backend> Activation<B> {
    /// Of clips: `[batch, frames, rows, columns, channels]`.
    pub fn of_clip(clip: Tensor<B, 5>, extents: Extents) -> Self {
        Self { value: clip.into_primitive(), extents }
    }

    /// Of tokens or frames: `[batch, tokens, width]`.
    pub fn of_tokens(tokens: Tensor<B, 3>, extents: Extents) -> Self {
        Self { value: tokens.into_primitive(), extents }
    }

    /// Of one row a clip: `[batch, width]`.
    pub fn of_rows(rows: Tensor<B, 2>, extents: Extents) -> Self {
        Self { value: rows.into_primitive(), extents }
    }

    /// As clips. It must be such.
    pub fn clip(self) -> Tensor<B, 5> {
        Tensor::from_primitive(self.value)
    }

    /// As tokens. It must be such.
    pub fn tokens(self) -> Tensor<B, 3> {
        Tensor::from_primitive(self.value)
    }

    /// As rows. It must be such.
    pub fn rows(self) -> Tensor<B, 2> {
        Tensor::from_primitive(self.value)
    }

    /// As a tensor of rank 1, whatever the shape.
    pub(crate) fn flat(self) -> Tensor<B, 1> {
        use burn::tensor::TensorMetadata;
        let count = self.value.shape().num_elements();
        let primitive = B::float_reshape(self.value.tensor(), [count].into());
        Tensor::from_primitive(TensorPrimitive::Float(primitive))
    }
}

impl<B: AutodiffBackend> Activation<B> {
    /// As a leaf of a new graph, whose gradient is kept.
    pub(crate) fn leaf(inner: Activation<B::InnerBackend>) -> Self {
        let value = B::float_set_require_grad(B::from_inner(inner.value.tensor()), true);
        Self { value: TensorPrimitive::Float(value), extents: inner.extents }
    }

    /// As a constant of a new graph.
    pub(crate) fn constant(inner: Activation<B::InnerBackend>) -> Self {
        let value = TensorPrimitive::Float(B::from_inner(inner.value.tensor()));
        Self { value, extents: inner.extents }
    }

    /// Its values, without what they came from.
    pub(crate) fn without_graph(self) -> Activation<B::InnerBackend> {
        let value = TensorPrimitive::Float(B::inner(self.value.tensor()));
        Activation { value, extents: self.extents }
    }

    /// The gradient of a leaf.
    pub(crate) fn gradient(
        &self,
        gradients: &mut B::Gradients,
    ) -> Option<Activation<B::InnerBackend>> {
        let value = B::grad(&self.value.clone().tensor(), gradients)?;
        Some(Activation { value: TensorPrimitive::Float(value), extents: self.extents.clone() })
    }
}
