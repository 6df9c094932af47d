//! [`ClipFacts`]: what is known of a clip beside its frames.

/// What the file says of a clip. What it does not say stays `None` and becomes a missing value,
/// never a default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipFacts {
    /// The video stream's bit rate in bit/s.
    pub stream_bit_rate: Option<f64>,
    /// The video stream's frame rate in frames/s.
    pub frame_rate: Option<f64>,
    /// Width of the source in pixels; 0 when unknown.
    pub native_width: u32,
    /// Height of the source in pixels; 0 when unknown.
    pub native_height: u32,
    /// Width and height of the frames handed over when they were scaled.
    pub scaled: Option<(u32, u32)>,
}

impl ClipFacts {
    /// In bit/s; NaN when absent or impossible.
    pub(crate) fn bit_rate(&self) -> f64 {
        positive(self.stream_bit_rate)
    }

    /// In frames/s; NaN when absent or impossible.
    pub(crate) fn rate(&self) -> f64 {
        positive(self.frame_rate)
    }

    pub(crate) fn native_pixels(&self) -> f64 {
        pixels(self.native_width, self.native_height)
    }

    pub(crate) fn scaled_pixels(&self) -> f64 {
        self.scaled.map_or(f64::NAN, |(width, height)| pixels(width, height))
    }

    /// Longer side of the scaled frames over that of the source; NaN when either is unknown.
    pub(crate) fn scale(&self) -> f64 {
        let Some((width, height)) = self.scaled else { return f64::NAN };
        if self.native_pixels().is_nan() || self.scaled_pixels().is_nan() {
            return f64::NAN;
        }
        f64::from(width.max(height)) / f64::from(self.native_width.max(self.native_height))
    }
}

/// Files write 0 where they mean "unknown".
fn positive(value: Option<f64>) -> f64 {
    value.filter(|value| value.is_finite() && *value > 0.0).unwrap_or(f64::NAN)
}

fn pixels(width: u32, height: u32) -> f64 {
    if width == 0 || height == 0 { f64::NAN } else { f64::from(width) * f64::from(height) }
}
