//! The feature sets: [`NATIVE`] and [`SCALED`].
//!
//! Names and order are those of an earlier system, and so are the definitions wherever they hold;
//! where they do not, `definition` says what is done instead and why.

use crate::quantity::Quantity;
use crate::schema::{Family, FeatureSet, FeatureSpec};

const GREY_UNIT: &str = "grey levels";
const GREY_SQUARED: &str = "grey levels²";

const NOISE_ENERGY: FeatureSpec = FeatureSpec {
    name: "noise_energy",
    unit: GREY_UNIT,
    range: "0 to 2040",
    family: Family::Noise,
    definition: "√(mean r²), r = grey filtered by 3×3 (8 in the centre, −1 around), reflect-101. \
        The earlier system's Σ r² grows with the frame's area; its mean is noise_mean, so this is the root",
    per_frame: true,
    quantity: Quantity::NoiseEnergy,
};
const NOISE_MEAN: FeatureSpec = FeatureSpec {
    name: "noise_mean",
    unit: GREY_SQUARED,
    range: "0 to 4161600",
    family: Family::Noise,
    definition: "Mean r², r as in noise_energy",
    per_frame: true,
    quantity: Quantity::NoiseMean,
};
const NOISE_STD: FeatureSpec = FeatureSpec {
    name: "noise_std",
    unit: GREY_SQUARED,
    range: "0 to 2080800",
    family: Family::Noise,
    definition: "Population standard deviation of r², r as in noise_energy",
    per_frame: true,
    quantity: Quantity::NoiseDeviation,
};
const DCT_DC_MEAN: FeatureSpec = FeatureSpec {
    name: "dct_dc_mean",
    unit: GREY_UNIT,
    range: "0 to 2040",
    family: Family::Frequency,
    definition: "Mean DC of the orthonormal 8×8 DCT-II of grey (no level shift; right and bottom padded to \
        whole blocks by repeating the edge): 8 times the mean grey",
    per_frame: true,
    quantity: Quantity::DcMean,
};
const DCT_DC_STD: FeatureSpec = FeatureSpec {
    name: "dct_dc_std",
    unit: GREY_UNIT,
    range: "0 to 1020",
    family: Family::Frequency,
    definition: "Population standard deviation of the blocks' DC, as in dct_dc_mean",
    per_frame: true,
    quantity: Quantity::DcDeviation,
};
const DCT_AC_MEAN: FeatureSpec = FeatureSpec {
    name: "dct_ac_mean",
    unit: GREY_UNIT,
    range: "−256 to 256",
    family: Family::Frequency,
    definition: "Mean of the 63 signed AC coefficients over all blocks. The earlier system counted each \
        zeroed DC as a 64th coefficient: its value is 63/64 of this",
    per_frame: true,
    quantity: Quantity::AcMean,
};
const DCT_AC_STD: FeatureSpec = FeatureSpec {
    name: "dct_ac_std",
    unit: GREY_UNIT,
    range: "0 to 129",
    family: Family::Frequency,
    definition: "Population standard deviation of the same 63 coefficients. The earlier system's included \
        the zeroed DCs",
    per_frame: true,
    quantity: Quantity::AcDeviation,
};
const DCT_AC_ENERGY: FeatureSpec = FeatureSpec {
    name: "dct_ac_energy",
    unit: GREY_SQUARED,
    range: "0 to 16514",
    family: Family::Frequency,
    definition: "Mean AC² over the same coefficients. The earlier system's Σ AC² grows with the frame's area",
    per_frame: true,
    quantity: Quantity::AcEnergy,
};
const LAPLACIAN_VAR: FeatureSpec = FeatureSpec {
    name: "laplacian_var",
    unit: GREY_SQUARED,
    range: "0 to 1040400",
    family: Family::Pixel,
    definition: "Population variance of the Laplacian (0 1 0 / 1 −4 1 / 0 1 0) of grey, reflect-101",
    per_frame: true,
    quantity: Quantity::LaplacianVariance,
};
const GRADIENT_MEAN: FeatureSpec = FeatureSpec {
    name: "gradient_mean",
    unit: GREY_UNIT,
    range: "0 to 1443",
    family: Family::Pixel,
    definition: "Mean of √(Sx² + Sy²), Sx and Sy the 3×3 Sobel derivatives of grey (not divided by 8), reflect-101",
    per_frame: true,
    quantity: Quantity::GradientMean,
};
const GRADIENT_STD: FeatureSpec = FeatureSpec {
    name: "gradient_std",
    unit: GREY_UNIT,
    range: "0 to 722",
    family: Family::Pixel,
    definition: "Population standard deviation of the same",
    per_frame: true,
    quantity: Quantity::GradientDeviation,
};
const BOUNDARY_INCONSISTENCY: FeatureSpec = FeatureSpec {
    name: "boundary_inconsistency",
    unit: GREY_UNIT,
    range: "−255 to 255; missing when no side exceeds 8 pixels",
    family: Family::Pixel,
    definition: "Mean |step| between the two grey neighbours on either side of an 8×8 block border, less mean \
        |step| between neighbours inside a block, rows and columns together. The earlier system took the \
        spread along every eighth row and column, which compares no two sides of anything",
    per_frame: true,
    quantity: Quantity::BoundaryInconsistency,
};
const CODEC_BITRATE: FeatureSpec = FeatureSpec {
    name: "codec_bitrate",
    unit: "bit/s",
    range: "> 0; missing when the file does not say",
    family: Family::Container,
    definition: "The video stream's bit rate. The earlier system wrote 0 for a missing one",
    per_frame: false,
    quantity: Quantity::BitRate,
};
const CODEC_FPS: FeatureSpec = FeatureSpec {
    name: "codec_fps",
    unit: "frames/s",
    range: "> 0; missing when the file does not say",
    family: Family::Container,
    definition: "The video stream's frame rate. The earlier system wrote 30 for a missing one",
    per_frame: false,
    quantity: Quantity::FrameRate,
};
const CODEC_RESOLUTION: FeatureSpec = FeatureSpec {
    name: "codec_resolution",
    unit: "pixels",
    range: "≥ 1; missing when unknown",
    family: Family::Scale,
    definition: "Width × height of the source. The earlier system wrote 0 for a missing one",
    per_frame: false,
    quantity: Quantity::NativePixels,
};
const SCALED_RESOLUTION: FeatureSpec = FeatureSpec {
    name: "codec_resolution",
    unit: "pixels",
    range: "≥ 1; missing when nothing was scaled",
    family: Family::Scale,
    definition: "Width × height of the scaled frames. The earlier system wrote 0 for a missing one",
    per_frame: false,
    quantity: Quantity::ScaledPixels,
};
const EDGE_DENSITY: FeatureSpec = FeatureSpec {
    name: "edge_density",
    unit: "1",
    range: "0 to 1",
    family: Family::Pixel,
    definition: "Share of edge pixels of Canny(50, 150) on grey: Sobel 3×3 with repeated edges, L1 gradient, \
        non-maximum suppression, hysteresis; OpenCV's, pixel for pixel",
    per_frame: true,
    quantity: Quantity::EdgeDensity,
};
const TEXTURE_UNIFORMITY: FeatureSpec = FeatureSpec {
    name: "texture_uniformity",
    unit: "1",
    range: "0 (exclusive) to 1",
    family: Family::Pixel,
    definition: "1 / (1 + population standard deviation of grey filtered by a 5×5 box, reflect-101)",
    per_frame: true,
    quantity: Quantity::TextureUniformity,
};
const COLOR_CONSISTENCY_R: FeatureSpec = FeatureSpec {
    name: "color_consistency_r",
    unit: "levels",
    range: "0 to 127.5",
    family: Family::Pixel,
    definition: "Population standard deviation of the red channel over the frame",
    per_frame: true,
    quantity: Quantity::RedDeviation,
};
const COLOR_CONSISTENCY_G: FeatureSpec = FeatureSpec {
    name: "color_consistency_g",
    definition: "Population standard deviation of the green channel over the frame",
    quantity: Quantity::GreenDeviation,
    ..COLOR_CONSISTENCY_R
};
const COLOR_CONSISTENCY_B: FeatureSpec = FeatureSpec {
    name: "color_consistency_b",
    definition: "Population standard deviation of the blue channel over the frame",
    quantity: Quantity::BlueDeviation,
    ..COLOR_CONSISTENCY_R
};
const COMPRESSION_ARTIFACTS: FeatureSpec = FeatureSpec {
    name: "compression_artifacts",
    unit: GREY_UNIT,
    range: "0 to 510; missing when a side is below 8 pixels",
    family: Family::Pixel,
    definition: "Mean over the whole 8×8 blocks of (mean |horizontal step| + mean |vertical step|) of grey inside \
        the block. The earlier system's steps wrapped modulo 256, and it left out the last row and column of \
        blocks but divided by their number",
    per_frame: true,
    quantity: Quantity::BlockSteps,
};
const IS_UPSCALED: FeatureSpec = FeatureSpec {
    name: "is_upscaled",
    unit: "1",
    range: "0 or 1; missing when a size is unknown",
    family: Family::Scale,
    definition: "1 if the scaled frames' longer side exceeds the source's, else 0. The earlier system compared with \
        the augmented copy and wrote 0 for unknown sizes",
    per_frame: false,
    quantity: Quantity::IsUpscaled,
};
const IS_DOWNSCALED: FeatureSpec = FeatureSpec {
    name: "is_downscaled",
    definition: "1 if the scaled frames' longer side is below the source's, else 0. The earlier system compared with \
        the augmented copy and wrote 0 for unknown sizes",
    quantity: Quantity::IsDownscaled,
    ..IS_UPSCALED
};

/// The fifteen features of frames at their native resolution.
pub static NATIVE: FeatureSet = FeatureSet {
    name: "native",
    version: 1,
    specs: &[
        NOISE_ENERGY,
        NOISE_MEAN,
        NOISE_STD,
        DCT_DC_MEAN,
        DCT_DC_STD,
        DCT_AC_MEAN,
        DCT_AC_STD,
        DCT_AC_ENERGY,
        LAPLACIAN_VAR,
        GRADIENT_MEAN,
        GRADIENT_STD,
        BOUNDARY_INCONSISTENCY,
        CODEC_BITRATE,
        CODEC_FPS,
        CODEC_RESOLUTION,
    ],
};

/// The twenty-three features of scaled frames: the fifteen again and eight more. Bit rate and
/// frame rate are the source's, as scaled frames have no stream of their own.
pub static SCALED: FeatureSet = FeatureSet {
    name: "scaled",
    version: 1,
    specs: &[
        NOISE_ENERGY,
        NOISE_MEAN,
        NOISE_STD,
        DCT_DC_MEAN,
        DCT_DC_STD,
        DCT_AC_MEAN,
        DCT_AC_STD,
        DCT_AC_ENERGY,
        LAPLACIAN_VAR,
        GRADIENT_MEAN,
        GRADIENT_STD,
        BOUNDARY_INCONSISTENCY,
        CODEC_BITRATE,
        CODEC_FPS,
        SCALED_RESOLUTION,
        EDGE_DENSITY,
        TEXTURE_UNIFORMITY,
        COLOR_CONSISTENCY_R,
        COLOR_CONSISTENCY_G,
        COLOR_CONSISTENCY_B,
        COMPRESSION_ARTIFACTS,
        IS_UPSCALED,
        IS_DOWNSCALED,
    ],
};
