//! [`Quantity`]: what an extractor computes for a feature.

/// Ties a feature's row in the schema to the code that computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    NoiseEnergy,
    NoiseMean,
    NoiseDeviation,
    DcMean,
    DcDeviation,
    AcMean,
    AcDeviation,
    AcEnergy,
    LaplacianVariance,
    GradientMean,
    GradientDeviation,
    BoundaryInconsistency,
    EdgeDensity,
    TextureUniformity,
    RedDeviation,
    GreenDeviation,
    BlueDeviation,
    BlockSteps,
    BitRate,
    FrameRate,
    NativePixels,
    ScaledPixels,
    IsUpscaled,
    IsDownscaled,
    /// Measured by a `ForensicExtractor`, over the whole clip.
    OfTheClip,
}

impl Quantity {
    /// Needs the colour channels, which the grey pass does not touch.
    pub(crate) fn is_of_colour(self) -> bool {
        matches!(self, Self::RedDeviation | Self::GreenDeviation | Self::BlueDeviation)
    }
}
