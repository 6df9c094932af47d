//! What a file says of itself, as numbers for the shortcut baselines.
//!
//! None of these is ever a default input of a model: they fingerprint the uploader. A detector that
//! does no better than they do has learnt who posts, not what is fake.

use fvc_media::{Facts, Rational};

const CONTAINER: [&str; 14] = [
    "container_is_mov",
    "container_is_matroska",
    "container_is_avi",
    "container_is_mpeg",
    "container_is_flv",
    "container_codec_is_h264",
    "container_codec_is_hevc",
    "container_codec_is_vp9",
    "container_codec_is_mpeg4",
    "container_bit_rate_log2",
    "container_bits_per_pixel",
    "container_frame_rate",
    "container_has_audio",
    "container_has_encoder_tag",
];
const DURATION: [&str; 2] = ["duration_seconds", "duration_frames"];
const SIZE: [&str; 4] = ["size_width", "size_height", "size_pixels_log2", "size_aspect"];

/// Columns of the container-only baseline.
pub(crate) fn container_columns() -> Vec<String> {
    CONTAINER.map(str::to_owned).to_vec()
}

/// Columns of the duration-only baseline.
pub(crate) fn duration_columns() -> Vec<String> {
    DURATION.map(str::to_owned).to_vec()
}

/// Columns of the size-only baseline.
pub(crate) fn size_columns() -> Vec<String> {
    SIZE.map(str::to_owned).to_vec()
}

/// All columns of the facts table.
pub(crate) fn facts_columns() -> Vec<String> {
    [container_columns(), duration_columns(), size_columns()].concat()
}

/// The values of a source, in the order of [`facts_columns`]; NaN where the file does not say.
pub(crate) fn facts_values(facts: &Facts) -> Vec<f64> {
    let flag = |yes: bool| f64::from(u8::from(yes));
    let container = |name: &str| flag(facts.container.split(',').any(|own| own == name));
    let codec = |name: &str| flag(facts.codec == name);
    let (width, height) = facts.upright_size();
    let pixels = f64::from(width) * f64::from(height);
    let rate = facts.frame_rate.and_then(Rational::value).filter(|rate| *rate > 0.0);
    let bit_rate = facts.stream_bit_rate.or(facts.container_bit_rate).map(|rate| rate as f64);
    let missing = f64::NAN;
    let bits_per_pixel = match (bit_rate, rate) {
        (Some(bits), Some(rate)) if pixels > 0.0 => bits / (rate * pixels),
        _ => missing,
    };
    let frames = facts.frame_count.frames as f64;
    vec![
        container("mov"),
        container("matroska"),
        container("avi"),
        container("mpeg"),
        container("flv"),
        codec("h264"),
        codec("hevc"),
        codec("vp9"),
        codec("mpeg4"),
        bit_rate.map_or(missing, |bits| bits.max(1.0).log2()),
        bits_per_pixel,
        rate.unwrap_or(missing),
        flag(facts.has_audio),
        flag(facts.encoder.is_some()),
        facts.duration_seconds.unwrap_or(missing),
        frames,
        f64::from(width),
        f64::from(height),
        pixels.max(1.0).log2(),
        if height > 0 { f64::from(width) / f64::from(height) } else { missing },
    ]
}
