//! The architectures: one file each.

pub(crate) mod frame_sequence;
pub(crate) mod naive_cnn;
pub(crate) mod variable_ar_cnn;
pub(crate) mod vision_transformer;
pub(crate) mod vit_sequence;
