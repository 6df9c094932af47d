//! [`format_of`]: which layers run in which number format, in one table.

use burn::tensor::DType;

use crate::Precision;

/// A kind of layer, as far as number formats go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Convolutions and what lies between them: activations of clips.
    Convolution,
    /// Linear layers and patch embeddings.
    Linear,
    /// The two products of attention.
    Attention,
    /// Means, variances and what is computed of them.
    Normalization,
    /// Softmax.
    Softmax,
    /// Recurrent gates.
    Recurrent,
    /// The loss.
    Loss,
    /// Weights as they are kept, and what the optimiser knows of them.
    Optimizer,
}

/// Every kind, and whether it runs in the low format. What sums many numbers or takes their
/// exponential stays in f32, as in PyTorch's autocast; so do weights, which are rounded where a layer
/// reads them.
const POLICY: [(LayerKind, bool); 8] = [
    (LayerKind::Convolution, true),
    (LayerKind::Linear, true),
    (LayerKind::Attention, true),
    (LayerKind::Normalization, false),
    (LayerKind::Softmax, false),
    (LayerKind::Recurrent, false),
    (LayerKind::Loss, false),
    (LayerKind::Optimizer, false),
];

/// The format in which a kind of layer runs.
pub fn format_of(kind: LayerKind, precision: Precision) -> DType {
    let low = POLICY.iter().any(|(own, low)| *own == kind && *low);
    match precision {
        Precision::Bf16 if low => DType::BF16,
        Precision::F16 if low => DType::F16,
        _ => DType::F32,
    }
}
