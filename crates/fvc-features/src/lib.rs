//! Frames and facts of a clip in, named and unit-bearing numbers out.
//!
//! A [`FeatureSet`] says what there is: [`NATIVE`], the fifteen features of frames at their own
//! resolution, and [`SCALED`], twenty-three of scaled frames. Each [`FeatureSpec`] states its unit,
//! range, [`Family`] and definition, and where that departs from the system it is named after.
//! An [`Extractor`] measures frames one by one and sums a clip up by mean and spread; what only
//! the file knows comes as [`ClipFacts`], and what it does not know stays NaN.
//!
//! All sums over pixels are of integers, so exact in any order, except the gradient magnitude's,
//! which are added in a fixed order: the values are the same bits on every instruction set.
//!
//! | module | what is in it |
//! |---|---|
//! | `sets`, `schema`, `quantity` | which features there are and what they mean |
//! | `extractor`, `spread`, `clip_facts` | from frames to a row of numbers |
//! | `plane` | RGB to grey |
//! | `stencils`, `blocks`, `grid` | the fused pass behind the fifteen |
//! | `canny`, `texture`, `colour` | the other eight |
//!
//! ```
//! use fvc_features::{ClipFacts, Extractor, NATIVE};
//! use fvc_media::Frame;
//!
//! let mut extractor = Extractor::new(&NATIVE);
//! for time in 0..2_u8 {
//!     let pixels = (0..3 * 64 * 48).map(|at| (at as u8).wrapping_mul(7 + time)).collect();
//!     extractor.push(&Frame::new(64, 48, pixels, u64::from(time), f64::from(time) / 25.0)?);
//! }
//! let values = extractor.finish(&ClipFacts {
//!     stream_bit_rate: None,
//!     frame_rate: Some(25.0),
//!     native_width: 64,
//!     native_height: 48,
//!     scaled: None,
//! });
//! let columns = NATIVE.columns("native");
//! assert_eq!(columns.len(), values.len());
//! let value = |name: &str| columns.iter().position(|column| column == name).map(|at| values[at]);
//! assert!(value("native_gradient_mean_mean") > Some(0.0));
//! assert_eq!(value("native_codec_fps"), Some(25.0));
//! // The file did not state a bit rate, so there is none.
//! assert!(value("native_codec_bitrate").is_some_and(f64::is_nan));
//! # Ok::<(), fvc_media::FrameShapeError>(())
//! ```

mod blocks;
mod canny;
mod clip_facts;
mod colour;
mod extractor;
mod forensic;
mod grid;
mod moments;
mod plane;
mod quantity;
mod schema;
mod sets;
mod spread;
mod stencils;
mod texture;

pub use clip_facts::ClipFacts;
pub use extractor::Extractor;
pub use forensic::{FORENSIC, ForensicExtractor};
pub use schema::{Family, FeatureSet, FeatureSpec};
pub use sets::{NATIVE, SCALED};
