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

use ForgeryKind::{
    CopyMove, FrameDeletion, FrameDuplication, FrameInsertion, FrameReordering, GraphicsOverlay,
    Inpainting, LocalBlur, LocalDenoise, LocalNoise, LocalResample, LocalWarp, ObjectSwap,
    PoissonSplice, RecompressedRegion, RegionSplice, SpeedChange,
};

/// Everything that is drawn for a forgery: kind, name, unit, range and meaning. Where the region
/// and the span lie is drawn evenly from all places where they fit, and recorded in pixels and
/// frames. A region is at most 15 % of the area and at least 16 pixels a side; nothing lasts less than
/// 0.4 s. These ranges were fixed before anything was scored on what they give.
#[rustfmt::skip] // a table
pub const FORGERY_PARAMETERS: &[ForgeryParameter] = &[
    real(RegionSplice, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(RegionSplice, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(RegionSplice, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(RegionSplice, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(RegionSplice, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    whole(RegionSplice, "moving", "0 or 1", 0.0, 1.0, "whether the region drifts over the span"),
    real(RegionSplice, "drift_x", "of the width", -0.15, 0.15, "how far a moving region drifts to the right by the end of the span"),
    real(RegionSplice, "drift_y", "of the height", -0.15, 0.15, "how far a moving region drifts down by the end of the span"),
    real(RegionSplice, "donor_x", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its left edge"),
    real(RegionSplice, "donor_y", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its upper edge"),
    real(RegionSplice, "donor_start", "of the room", 0.0, 1.0, "at which frame of the donor the span begins"),
    real(PoissonSplice, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(PoissonSplice, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(PoissonSplice, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(PoissonSplice, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(PoissonSplice, "moving", "0 or 1", 0.0, 1.0, "whether the region drifts over the span"),
    real(PoissonSplice, "drift_x", "of the width", -0.15, 0.15, "how far a moving region drifts to the right by the end of the span"),
    real(PoissonSplice, "drift_y", "of the height", -0.15, 0.15, "how far a moving region drifts down by the end of the span"),
    real(PoissonSplice, "donor_x", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its left edge"),
    real(PoissonSplice, "donor_y", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its upper edge"),
    real(PoissonSplice, "donor_start", "of the room", 0.0, 1.0, "at which frame of the donor the span begins"),
    real(ObjectSwap, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(ObjectSwap, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(ObjectSwap, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(ObjectSwap, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(ObjectSwap, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    whole(ObjectSwap, "moving", "0 or 1", 0.0, 1.0, "whether the region drifts over the span"),
    real(ObjectSwap, "drift_x", "of the width", -0.15, 0.15, "how far a moving region drifts to the right by the end of the span"),
    real(ObjectSwap, "drift_y", "of the height", -0.15, 0.15, "how far a moving region drifts down by the end of the span"),
    real(ObjectSwap, "donor_x", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its left edge"),
    real(ObjectSwap, "donor_y", "of the room", 0.0, 1.0, "where in the donor's picture the region is taken, from its upper edge"),
    real(ObjectSwap, "donor_start", "of the room", 0.0, 1.0, "at which frame of the donor the span begins"),
    real(ObjectSwap, "scale", "", 0.7, 1.4, "by how much the donor's pixels are enlarged"),
    real(ObjectSwap, "colour", "", 0.5, 1.0, "how far means and spreads of the channels are brought to those of what is replaced"),
    real(CopyMove, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(CopyMove, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(CopyMove, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(CopyMove, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(CopyMove, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    real(Inpainting, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(Inpainting, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(Inpainting, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(Inpainting, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(Inpainting, "texture", "0 or 1", 0.0, 1.0, "0 a smooth sheet between the borders, 1 the texture of another place"),
    real(LocalResample, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(LocalResample, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(LocalResample, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(LocalResample, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(LocalResample, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    whole(LocalResample, "way", "", 0.0, 2.0, "0 made smaller and brought back, 1 its middle enlarged, 2 turned"),
    real(LocalResample, "factor", "", 1.25, 2.5, "by how much it is made smaller (way 0), twice the share by which it is enlarged beyond 1 (way 1)"),
    real(LocalResample, "turn", "degrees", -15.0, 15.0, "by how much it is turned (way 2)"),
    real(LocalWarp, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(LocalWarp, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(LocalWarp, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(LocalWarp, "way", "", 0.0, 2.0, "0 blown up, 1 drawn in, 2 pushed"),
    real(LocalWarp, "strength", "", 0.15, 0.4, "how far the middle of the region is bent"),
    real(LocalWarp, "push_x", "of half the width", -1.0, 1.0, "where it is pushed to the right, times the strength (way 2)"),
    real(LocalWarp, "push_y", "of half the height", -1.0, 1.0, "where it is pushed down, times the strength (way 2)"),
    real(LocalBlur, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(LocalBlur, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(LocalBlur, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(LocalBlur, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(LocalBlur, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    real(LocalBlur, "sigma", "pixels", 0.8, 3.0, "the Gaussian's standard deviation"),
    real(LocalDenoise, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(LocalDenoise, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(LocalDenoise, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(LocalDenoise, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(LocalDenoise, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    whole(LocalDenoise, "reach", "pixels", 1.0, 3.0, "how far the square reaches from the middle sample"),
    whole(LocalDenoise, "edges", "0 or 1", 0.0, 1.0, "0 the median of the square, 1 the mean of its samples near the middle one"),
    whole(LocalDenoise, "near", "levels", 8.0, 32.0, "how far from the middle sample counts as near"),
    real(LocalNoise, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(LocalNoise, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(LocalNoise, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(LocalNoise, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(LocalNoise, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    real(LocalNoise, "sigma", "levels", 3.0, 12.0, "standard deviation on the scale of 0 to 255"),
    whole(LocalNoise, "grey", "0 or 1", 0.0, 1.0, "whether all three channels get the same"),
    real(RecompressedRegion, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(RecompressedRegion, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(RecompressedRegion, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(RecompressedRegion, "shape", "", 0.0, 1.0, "0 a rectangle, 1 the ellipse inside of it"),
    whole(RecompressedRegion, "feather", "pixels", 2.0, 16.0, "width of the soft border inside the shape (at most a quarter of the region's shorter side)"),
    whole(RecompressedRegion, "crf", "", 30.0, 42.0, "constant rate factor of the encode of the region"),
    real(GraphicsOverlay, "area_share", "of the area", 0.03, 0.15, "area of the region (a side is at least 16 pixels, and at most 0.45 of the picture's)"),
    real(GraphicsOverlay, "aspect", "", 0.5, 2.0, "width of the region over its height"),
    real(GraphicsOverlay, "span_share", "of the frames", 0.3, 1.0, "length of the span with the region in it (at least 0.4 s)"),
    whole(GraphicsOverlay, "moving", "0 or 1", 0.0, 1.0, "whether the region drifts over the span"),
    real(GraphicsOverlay, "drift_x", "of the width", -0.15, 0.15, "how far a moving region drifts to the right by the end of the span"),
    real(GraphicsOverlay, "drift_y", "of the height", -0.15, 0.15, "how far a moving region drifts down by the end of the span"),
    whole(GraphicsOverlay, "panel", "0 or 1", 0.0, 1.0, "0 a shaded ball, 1 a panel with signs"),
    real(GraphicsOverlay, "opacity", "", 0.7, 1.0, "how much of what is behind it is covered"),
    whole(GraphicsOverlay, "red", "levels", 0.0, 255.0, "of its colour"),
    whole(GraphicsOverlay, "green", "levels", 0.0, 255.0, "of its colour"),
    whole(GraphicsOverlay, "blue", "levels", 0.0, 255.0, "of its colour"),
    real(FrameInsertion, "run_seconds", "s", 0.4, 1.0, "how long the inserted run lasts (at most half of the clip)"),
    real(FrameInsertion, "donor_start", "of the room", 0.0, 1.0, "at which frame of the donor the run begins"),
    real(FrameDeletion, "run_seconds", "s", 0.4, 1.0, "how long the removed run lasts (at most half of the clip)"),
    real(FrameDuplication, "run_seconds", "s", 0.4, 1.0, "how long the repeated run lasts (at most half of the clip)"),
    real(FrameReordering, "run_seconds", "s", 0.4, 1.0, "how long the run lasts (at most half of the clip)"),
    whole(FrameReordering, "reversed", "0 or 1", 0.0, 1.0, "0 the second half before the first, 1 back to front"),
    real(SpeedChange, "run_seconds", "s", 0.4, 1.0, "how long the changed run is shown (at most half of the clip)"),
    whole(SpeedChange, "slower", "0 or 1", 0.0, 1.0, "0 faster, 1 slower"),
    real(SpeedChange, "factor", "", 1.25, 2.0, "by how much"),
    whole(SpeedChange, "motion", "0 or 1", 0.0, 1.0, "whether pictures in between are mixed along the motion of blocks"),
];
