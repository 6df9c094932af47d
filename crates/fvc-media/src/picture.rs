//! A decoded frame of FFmpeg's to an upright RGB picture: our own conversion for the planar YUV
//! formats that video has, swscale (bit-exact flags) for all others.

use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;
use ffmpeg_next::util::color;
use ffmpeg_next::{ffi, frame};

use crate::convert::{Color, Layout, Matrix, Plane, YuvPicture, mirror, rotate, yuv_to_rgb};
use crate::protocol::Trouble;
use crate::thumbnail::{squash, turn_upright};
use crate::tone_map::{HdrTransfer, ToneMap};
use crate::{Frame, Reason, Thumbnail};

/// Converts frames of one stream; keeps the scaler for rare formats between frames.
pub(crate) struct PictureConverter {
    rotation: u16,
    mirrored: bool,
    scaler: Option<Scaler>,
}

/// swscale, set up for pictures of one kind.
struct Scaler {
    format: Pixel,
    size: (u32, u32),
    color: Color,
    context: scaling::Context,
}

/// An upright RGB picture.
pub(crate) struct Upright {
    pub(crate) rgb: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl PictureConverter {
    /// For a stream whose pictures are to be mirrored from left to right, then turned clockwise by
    /// `rotation` degrees.
    pub(crate) fn new(mirrored: bool, rotation: u16) -> Self {
        Self { rotation, mirrored, scaler: None }
    }

    pub(crate) fn convert(&mut self, frame: &frame::Video) -> Result<Upright, Trouble> {
        let (width, height) = (frame.width(), frame.height());
        let own = match layout(frame.format()) {
            Some((layout, full)) => yuv(frame, layout, full),
            None => None,
        };
        let mut rgb = match own {
            Some(rgb) => rgb,
            None => self.by_swscale(frame)?,
        };
        if self.mirrored {
            mirror(&mut rgb, width as usize);
        }
        let (rgb, width, height) = rotate(rgb, width as usize, height as usize, self.rotation);
        Ok(Upright { rgb, width: width as u32, height: height as u32 })
    }

    /// The luma of a frame, upright, in 64 x 64 cells.
    pub(crate) fn thumbnail(
        &mut self,
        frame: &frame::Video,
        milliseconds: u32,
    ) -> Result<Thumbnail, Trouble> {
        let cells = match layout(frame.format()) {
            Some((layout, full)) if rows_go_down(frame, 1) => luma_cells(frame, layout, full),
            _ => None,
        };
        if let Some(cells) = cells {
            let cells = turn_upright(cells, self.mirrored, self.rotation);
            return Ok(Thumbnail { milliseconds, cells });
        }
        let Upright { rgb, width, height } = self.convert(frame)?;
        let unsupported =
            |_| Trouble::new(Reason::Unsupported, "a picture of whole pixels", "another");
        let upright = Frame::new(width, height, rgb, 0, 0.0).map_err(unsupported)?;
        let cells = Thumbnail::of_frame(&upright).cells;
        Ok(Thumbnail { milliseconds, cells })
    }

    fn by_swscale(&mut self, frame: &frame::Video) -> Result<Vec<u8>, Trouble> {
        let (format, width, height) = (frame.format(), frame.width(), frame.height());
        let unsupported = |found: String| {
            Trouble::new(Reason::Unsupported, "a pixel format that converts to RGB", found)
        };
        let color = color_of(frame, false);
        let known = self.scaler.take().filter(|known| {
            (known.format, known.size, known.color) == (format, (width, height), color)
        });
        let mut scaler = match known {
            Some(known) => known,
            None => Scaler::new(format, (width, height), color)
                .map_err(|error| unsupported(format!("{format:?} ({error})")))?,
        };
        let mut converted = frame::Video::empty();
        scaler
            .context
            .run(frame, &mut converted)
            .map_err(|error| unsupported(format!("{format:?} ({error})")))?;
        self.scaler = Some(scaler);
        let samples = 3 * width as usize;
        let bytes = if color.hdr.is_some() { 2 * samples } else { samples };
        let mut rgb = Vec::with_capacity(samples * height as usize);
        for line in converted.data(0).chunks(converted.stride(0)).take(height as usize) {
            let line = line.get(..bytes).ok_or_else(|| unsupported("a short row".to_owned()))?;
            match color.hdr {
                None => rgb.extend_from_slice(line),
                Some(transfer) => {
                    let map = ToneMap::of(transfer);
                    let signal = |pair: &[u8]| {
                        f64::from(u16::from_le_bytes([pair[0], pair[1]])) / f64::from(u16::MAX)
                    };
                    let pixels = line.as_chunks::<6>().0;
                    let mut signals: Vec<[f64; 3]> = pixels
                        .iter()
                        .map(|pixel| [&pixel[..2], &pixel[2..4], &pixel[4..]].map(signal))
                        .collect();
                    let start = rgb.len();
                    rgb.resize(start + samples, 0);
                    map.apply(&mut signals, &mut rgb[start..]);
                }
            }
        }
        Ok(rgb)
    }
}

impl Scaler {
    /// To RGB of 8 bits, or of 16 where a tone curve comes after it.
    fn new(format: Pixel, size: (u32, u32), color: Color) -> Result<Self, ffmpeg_next::Error> {
        let flags = scaling::Flags::BILINEAR
            | scaling::Flags::ACCURATE_RND
            | scaling::Flags::BITEXACT
            | scaling::Flags::FULL_CHR_H_INT;
        let (width, height) = size;
        let to = if color.hdr.is_some() { Pixel::RGB48LE } else { Pixel::RGB24 };
        let mut context = scaling::Context::get(format, width, height, to, width, height, flags)?;
        set_matrix(&mut context, color);
        Ok(Self { format, size, color, context })
    }
}

/// Tells swscale the matrix and range of a YUV source; it ignores them for others.
#[allow(unsafe_code)] // this setting has no safe face
fn set_matrix(scaler: &mut scaling::Context, color: Color) {
    let table = match color.matrix {
        Matrix::Bt709 => ffi::SWS_CS_ITU709,
        Matrix::Bt2020 => ffi::SWS_CS_BT2020,
        Matrix::Smpte240 => ffi::SWS_CS_SMPTE240M,
        Matrix::Fcc => ffi::SWS_CS_FCC,
        Matrix::Bt601 => ffi::SWS_CS_ITU601,
    };
    // SAFETY: the context is alive and ours; the tables are FFmpeg's constants. A source that is
    // not YUV makes the call fail, which changes nothing.
    unsafe {
        let coefficients = ffi::sws_getCoefficients(table);
        ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            coefficients,
            i32::from(color.full_range),
            coefficients,
            1,
            0,
            1 << 16,
            1 << 16,
        );
    }
}

/// The layout of a format that we convert ourselves, and whether the format itself means full range.
fn layout(format: Pixel) -> Option<(Layout, bool)> {
    let planar = |x, y, bits| Layout {
        chroma_shift_x: x,
        chroma_shift_y: y,
        interleaved_chroma: false,
        bits,
        padding_bits: 0,
    };
    Some(match format {
        Pixel::YUV420P => (planar(1, 1, 8), false),
        Pixel::YUVJ420P => (planar(1, 1, 8), true),
        Pixel::YUV422P => (planar(1, 0, 8), false),
        Pixel::YUVJ422P => (planar(1, 0, 8), true),
        Pixel::YUV444P => (planar(0, 0, 8), false),
        Pixel::YUVJ444P => (planar(0, 0, 8), true),
        Pixel::YUV440P => (planar(0, 1, 8), false),
        Pixel::YUVJ440P => (planar(0, 1, 8), true),
        Pixel::YUV411P => (planar(2, 0, 8), false),
        Pixel::YUV410P => (planar(2, 2, 8), false),
        Pixel::YUV420P10LE => (planar(1, 1, 10), false),
        Pixel::YUV422P10LE => (planar(1, 0, 10), false),
        Pixel::YUV444P10LE => (planar(0, 0, 10), false),
        Pixel::YUV420P12LE => (planar(1, 1, 12), false),
        Pixel::YUV422P12LE => (planar(1, 0, 12), false),
        Pixel::YUV444P12LE => (planar(0, 0, 12), false),
        Pixel::NV12 => (Layout { interleaved_chroma: true, ..planar(1, 1, 8) }, false),
        Pixel::P010LE => {
            (Layout { interleaved_chroma: true, padding_bits: 6, ..planar(1, 1, 10) }, false)
        }
        _ => return None,
    })
}

/// The cells of a luma plane; nothing where a row is shorter than it should be.
fn luma_cells(frame: &frame::Video, layout: Layout, full_by_format: bool) -> Option<Vec<u8>> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (data, stride) = (frame.data(0), frame.stride(0));
    let wide = layout.bits > 8;
    let bytes = if wide { 2 * width } else { width };
    if height == 0 || data.len() < stride.checked_mul(height - 1)?.checked_add(bytes)? {
        return None;
    }
    let means = squash(width, height, |y, line| {
        let row = &data[y * stride..y * stride + bytes];
        if wide {
            for (sample, pair) in line.iter_mut().zip(row.chunks_exact(2)) {
                *sample = u16::from_le_bytes([pair[0], pair[1]]) >> layout.padding_bits;
            }
        } else {
            for (sample, &byte) in line.iter_mut().zip(row) {
                *sample = u16::from(byte);
            }
        }
    });
    let unit = f64::from(1_u32 << (layout.bits - 8));
    // ITU-R BT.601 and BT.709: black at 16 and white at 235, in units of 8 bits.
    let (black, white) = if color_of(frame, full_by_format).full_range {
        (0.0, 256.0 * unit - 1.0)
    } else {
        (16.0 * unit, 235.0 * unit)
    };
    // The cast saturates: what is blacker than black is black.
    let scale = 255.0 / (white - black);
    Some(means.into_iter().map(|mean| ((mean - black) * scale).round() as u8).collect())
}

fn color_of(frame: &frame::Video, full_by_format: bool) -> Color {
    let matrix = match frame.color_space() {
        color::Space::BT709 => Matrix::Bt709,
        color::Space::BT470BG | color::Space::SMPTE170M => Matrix::Bt601,
        color::Space::BT2020NCL | color::Space::BT2020CL => Matrix::Bt2020,
        color::Space::SMPTE240M => Matrix::Smpte240,
        color::Space::FCC => Matrix::Fcc,
        _ if frame.height() >= 720 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let full_range = match frame.color_range() {
        color::Range::JPEG => true,
        color::Range::MPEG => false,
        color::Range::Unspecified => full_by_format,
    };
    let hdr = match frame.color_transfer_characteristic() {
        color::TransferCharacteristic::SMPTE2084 => Some(HdrTransfer::Pq),
        color::TransferCharacteristic::ARIB_STD_B67 => Some(HdrTransfer::Hlg),
        _ => None,
    };
    Color { matrix, full_range, hdr }
}

/// Our own conversion; nothing where the frame's memory is laid out in a way that slices cannot
/// show (rows from the bottom up).
fn yuv(frame: &frame::Video, layout: Layout, full_by_format: bool) -> Option<Vec<u8>> {
    let count = if layout.interleaved_chroma { 2 } else { 3 };
    if !rows_go_down(frame, count) || frame.planes() < count {
        return None;
    }
    let plane = |index: usize| Plane { data: frame.data(index), stride: frame.stride(index) };
    let second = plane(1);
    let third = if layout.interleaved_chroma { second } else { plane(2) };
    yuv_to_rgb(&YuvPicture {
        width: frame.width() as usize,
        height: frame.height() as usize,
        layout,
        color: color_of(frame, full_by_format),
        planes: [plane(0), second, third],
    })
}

#[allow(unsafe_code)] // a plain read that the wrapper's `stride` would cast away
fn rows_go_down(frame: &frame::Video, planes: usize) -> bool {
    // SAFETY: reads plain integers of a frame that is alive.
    let linesize = unsafe { (*frame.as_ptr()).linesize };
    linesize.iter().take(planes).all(|&bytes| bytes > 0)
}
