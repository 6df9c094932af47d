//! Which settings make a network, and which clips it can take: what is not so is refused here, before a layer of
//! another shape than its input ends the process.

use burn::tensor::backend::Backend;

use crate::models::vision_transformer::VisionTransformerConfig;
use crate::{Extents, Network, NetworkConfig, NetworkError};

/// The widest layer and the largest picture that is believed.
const MOST: usize = 1 << 16;

fn within(key: &str, value: usize, least: usize, most: usize) -> Result<(), NetworkError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(NetworkError::setting(key, &format!("{least} to {most}"), value))
}

fn divides(key: &str, part: usize, whole: &str, value: usize) -> Result<(), NetworkError> {
    if part > 0 && value.is_multiple_of(part) {
        return Ok(());
    }
    Err(NetworkError::setting(key, &format!("what divides the {whole} of {value}"), part))
}

fn check_backbone(own: &VisionTransformerConfig) -> Result<(), NetworkError> {
    within("backbone.image", own.image, 1, MOST)?;
    within("backbone.width", own.width, 1, MOST)?;
    within("backbone.depth", own.depth, 1, 1024)?;
    divides("backbone.patch", own.patch, "image", own.image)?;
    divides("backbone.heads", own.heads, "width", own.width)
}

impl NetworkConfig {
    /// Checks that it makes a network. Settings by name cannot say otherwise; a model's file can.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn check(&self) -> Result<(), NetworkError> {
        let dropout = match self {
            Self::VariableArCnn(own) => {
                for width in own.widths {
                    within("widths", width, 1, MOST)?;
                }
                divides("widths", 4, "second width", own.widths[1])?;
                divides("widths", 4, "third width", own.widths[2])?;
                for stride in own.stem_stride {
                    within("stem_stride", stride, 1, 64)?;
                }
                own.dropout
            }
            Self::NaiveCnn(own) => {
                for width in own.widths.into_iter().chain([own.hidden]) {
                    within("widths", width, 1, MOST)?;
                }
                own.dropout
            }
            Self::VitGru(own) => {
                check_backbone(&own.backbone)?;
                within("hidden", own.hidden, 1, MOST)?;
                within("layers", own.layers, 1, 64)?;
                own.dropout
            }
            Self::VitTransformer(own) => {
                check_backbone(&own.backbone)?;
                within("feed_forward", own.feed_forward, 1, MOST)?;
                within("layers", own.layers, 0, 64)?;
                divides("heads", own.heads, "backbone's width", own.backbone.width)?;
                own.dropout
            }
        };
        if !(0.0..1.0).contains(&dropout) {
            return Err(NetworkError::setting("dropout", "0 to less than 1", dropout));
        }
        Ok(())
    }

    /// The smallest clip that it can take: frames, rows, columns.
    pub fn smallest_clip(&self) -> [usize; 3] {
        match self {
            Self::NaiveCnn(_) => SMALLEST_NAIVE,
            Self::VariableArCnn(_) | Self::VitGru(_) | Self::VitTransformer(_) => [1; 3],
        }
    }
}

/// It halves rows and columns twice, and nothing is left of less.
const SMALLEST_NAIVE: [usize; 3] = [1, 4, 4];

impl<B: Backend> Network<B> {
    /// Checks that it can take every one of these clips.
    ///
    /// # Errors
    /// The first that is too small.
    pub fn check_clips(&self, clips: &Extents) -> Result<(), NetworkError> {
        let smallest = match self {
            Self::NaiveCnn(_) => SMALLEST_NAIVE,
            Self::VariableArCnn(_) | Self::VitGru(_) | Self::VitTransformer(_) => [1; 3],
        };
        check_size(smallest, clips.valid())
    }
}

/// Checks sizes against the smallest.
pub(crate) fn check_size(smallest: [usize; 3], clips: &[[usize; 3]]) -> Result<(), NetworkError> {
    let is_smaller = |own: &&[usize; 3]| own.iter().zip(smallest).any(|(own, least)| *own < least);
    match clips.iter().find(is_smaller) {
        None => Ok(()),
        Some([frames, rows, columns]) => {
            let [least_frames, least_rows, least_columns] = smallest;
            Err(NetworkError::setting(
                "a clip's size",
                &format!(
                    "{least_frames} frames, {least_rows} rows and {least_columns} columns at least"
                ),
                format!("{frames} x {rows} x {columns}"),
            ))
        }
    }
}
