//! [`FORGERY_PARAMETERS`]: everything that is drawn for a forgery, in one table.

use serde::Serialize;

use super::ForgeryKind;
use crate::Parameter;

/// A row of the table: a parameter of one kind of forgery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ForgeryParameter {
    /// The kind.
    pub kind: ForgeryKind,
    /// The parameter, drawn uniformly from its range once a clip.
    #[serde(flatten)]
    pub parameter: Parameter,
}

const fn real(
    kind: ForgeryKind,
    name: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    meaning: &'static str,
) -> ForgeryParameter {
    ForgeryParameter {
        kind,
        parameter: Parameter { name, unit, low, high, whole: false, names: &[], meaning },
    }
}

const fn whole(
    kind: ForgeryKind,
    name: &'static str,
    unit: &'static str,
    low: f64,
    high: f64,
    meaning: &'static str,
) -> ForgeryParameter {
    ForgeryParameter {
        kind,
        parameter: Parameter { name, unit, low, high, whole: true, names: &[], meaning },
    }
}

use ForgeryKind::{CopyMove, FrameDeletion, FrameDuplication, RegionSplice};

/// Everything that is drawn for a forgery: kind, name, unit, range and meaning. Where the region
/// and the span lie is drawn evenly from all places where they fit, and recorded in pixels and
/// frames.
#[rustfmt::skip] // a table
pub const FORGERY_PARAMETERS: &[ForgeryParameter] = &[
    real(RegionSplice, "width_share", "of the width", 0.2, 0.5, "width of the region (at least 16 pixels)"),
    real(RegionSplice, "height_share", "of the height", 0.2, 0.5, "height of the region (at least 16 pixels)"),
    real(RegionSplice, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it"),
    whole(RegionSplice, "feather", "pixels", 4.0, 16.0, "width of the soft border inside the region (at most a quarter of its shorter side)"),
    whole(RegionSplice, "moving", "0 or 1", 0.0, 1.0, "whether the region drifts over the span"),
    real(RegionSplice, "drift_x", "of the width", -0.15, 0.15, "how far a moving region drifts to the right by the end of the span"),
    real(RegionSplice, "drift_y", "of the height", -0.15, 0.15, "how far a moving region drifts down by the end of the span"),
    real(RegionSplice, "donor_x", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its left edge"),
    real(RegionSplice, "donor_y", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its upper edge"),
    real(RegionSplice, "donor_start", "of the room", 0.0, 1.0, "at which frame of the donor the span begins"),
    real(CopyMove, "width_share", "of the width", 0.1, 0.35, "width of the region (at least 16 pixels)"),
    real(CopyMove, "height_share", "of the height", 0.1, 0.35, "height of the region (at least 16 pixels)"),
    real(CopyMove, "span_share", "of the frames", 0.3, 1.0, "length of the span with the copy in it"),
    whole(CopyMove, "feather", "pixels", 4.0, 16.0, "width of the soft border inside the region (at most a quarter of its shorter side)"),
    real(FrameDeletion, "run_share", "of the frames", 0.05, 0.3, "length of the run that is removed (at least 1 frame)"),
    real(FrameDuplication, "run_share", "of the frames", 0.05, 0.3, "length of the run that is shown twice (at least 1 frame)"),
];
