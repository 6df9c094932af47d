//! The encoder and the MP4 writer of FFmpeg behind a safe face: everything unsafe of encoding.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Once;

use ffmpeg_next::ffi;

use super::EncodeError;
use super::planes::{Planes, ToPlanes};
use super::settings::{ColorMatrix, EncodeSettings};

/// Where the MP4 goes.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Memory,
    File(&'a Path),
}

/// One H.264 stream on its way into one MP4.
pub(super) struct Muxer {
    format: *mut ffi::AVFormatContext,
    codec: *mut ffi::AVCodecContext,
    frame: *mut ffi::AVFrame,
    packet: *mut ffi::AVPacket,
    in_memory: bool,
    width: usize,
    height: usize,
    to_planes: ToPlanes,
    frames: i64,
}

// SAFETY: the four FFmpeg objects belong to this value alone and have no tie to the thread that
// made them; all methods take `&mut self`, so only one thread uses them at a time.
unsafe impl Send for Muxer {}

impl Muxer {
    /// Opens encoder and writer; `width` and `height` are even and at least 2.
    pub(super) fn open(
        target: Target<'_>,
        width: u32,
        height: u32,
        settings: &EncodeSettings,
    ) -> Result<Self, EncodeError> {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Error));
        // From here on `Drop` frees whatever was made when a step fails.
        let mut muxer = Self {
            format: ptr::null_mut(),
            codec: ptr::null_mut(),
            frame: ptr::null_mut(),
            packet: ptr::null_mut(),
            in_memory: matches!(target, Target::Memory),
            width: width as usize,
            height: height as usize,
            to_planes: ToPlanes::new(settings.color),
            frames: 0,
        };
        muxer.open_codec(width, height, settings)?;
        muxer.open_format(target, settings)?;
        Ok(muxer)
    }

    fn open_codec(
        &mut self,
        width: u32,
        height: u32,
        settings: &EncodeSettings,
    ) -> Result<(), EncodeError> {
        let rate = rational(settings);
        // SAFETY: each pointer is checked before it is followed; `self.codec`, `self.frame` and
        // `self.packet` are freed by `Drop` alone; the option strings outlive the calls, which
        // copy them.
        unsafe {
            let encoder = ffi::avcodec_find_encoder_by_name(c"libx264".as_ptr());
            if encoder.is_null() {
                return Err(EncodeError::Unavailable { name: "libx264" });
            }
            self.codec = ffi::avcodec_alloc_context3(encoder);
            self.frame = ffi::av_frame_alloc();
            self.packet = ffi::av_packet_alloc();
            if self.codec.is_null() || self.frame.is_null() || self.packet.is_null() {
                return Err(out_of_memory("allocating the encoder"));
            }
            let codec = &mut *self.codec;
            codec.width = width as i32;
            codec.height = height as i32;
            codec.pix_fmt = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P;
            codec.time_base = ffi::AVRational { num: rate.den, den: rate.num };
            codec.framerate = rate;
            codec.sample_aspect_ratio = ffi::AVRational { num: 1, den: 1 };
            codec.color_range = if settings.color.full_range {
                ffi::AVColorRange::AVCOL_RANGE_JPEG
            } else {
                ffi::AVColorRange::AVCOL_RANGE_MPEG
            };
            codec.chroma_sample_location = ffi::AVChromaLocation::AVCHROMA_LOC_LEFT;
            (codec.colorspace, codec.color_primaries, codec.color_trc) = match settings.color.matrix
            {
                ColorMatrix::Bt709 => (
                    ffi::AVColorSpace::AVCOL_SPC_BT709,
                    ffi::AVColorPrimaries::AVCOL_PRI_BT709,
                    ffi::AVColorTransferCharacteristic::AVCOL_TRC_BT709,
                ),
                ColorMatrix::Bt601 => (
                    ffi::AVColorSpace::AVCOL_SPC_SMPTE170M,
                    ffi::AVColorPrimaries::AVCOL_PRI_SMPTE170M,
                    ffi::AVColorTransferCharacteristic::AVCOL_TRC_SMPTE170M,
                ),
            };
            if let Some(gop) = settings.gop {
                codec.gop_size = gop as i32;
            }
            if let Some(b_frames) = settings.b_frames {
                codec.max_b_frames = b_frames as i32;
            }
            // One thread: x264 decides otherwise with another number of them.
            codec.thread_count = 1;
            codec.flags |= (ffi::AV_CODEC_FLAG_GLOBAL_HEADER | ffi::AV_CODEC_FLAG_BITEXACT) as i32;
            let preset = text(&settings.preset)?;
            let crf = text(&settings.crf.to_string())?;
            for (name, value) in [
                (c"preset", preset.as_c_str()),
                (c"crf", crf.as_c_str()),
                // The same decisions whatever vector instructions the machine has.
                (c"x264-params", c"cpu-independent=1"),
            ] {
                let code = ffi::av_opt_set(codec.priv_data, name.as_ptr(), value.as_ptr(), 0);
                check("setting an option of x264", code)?;
            }
            check("opening x264", ffi::avcodec_open2(self.codec, encoder, ptr::null_mut()))?;
            let frame = &mut *self.frame;
            frame.width = width as i32;
            frame.height = height as i32;
            frame.format = ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as i32;
            check("allocating a picture", ffi::av_frame_get_buffer(self.frame, 0))?;
        }
        Ok(())
    }

    fn open_format(
        &mut self,
        target: Target<'_>,
        settings: &EncodeSettings,
    ) -> Result<(), EncodeError> {
        let url = match target {
            Target::Memory => None,
            Target::File(path) => {
                let mut url = b"file:".to_vec();
                url.extend_from_slice(path.as_os_str().as_bytes());
                Some(CString::new(url).map_err(|error| EncodeError::Io {
                    path: path.to_owned(),
                    source: error.into(),
                })?)
            }
        };
        let url = url.as_ref().map_or(ptr::null(), |url| url.as_ptr());
        // SAFETY: `self.format` is checked before it is followed and freed by `Drop` alone, as is
        // its `pb`; `url` lives to the end of this function and is copied by the calls;
        // `self.codec` was opened before.
        unsafe {
            check(
                "preparing the MP4",
                ffi::avformat_alloc_output_context2(
                    &raw mut self.format,
                    ptr::null(),
                    c"mp4".as_ptr(),
                    url,
                ),
            )?;
            let format = &mut *self.format;
            // No version of the library, no time of writing.
            format.flags |= ffi::AVFMT_FLAG_BITEXACT;
            let stream = ffi::avformat_new_stream(self.format, ptr::null());
            if stream.is_null() {
                return Err(out_of_memory("adding the stream"));
            }
            let stream = &mut *stream;
            stream.time_base = (*self.codec).time_base;
            stream.avg_frame_rate = rational(settings);
            stream.r_frame_rate = rational(settings);
            stream.sample_aspect_ratio = (*self.codec).sample_aspect_ratio;
            check(
                "describing the stream",
                ffi::avcodec_parameters_from_context(stream.codecpar, self.codec),
            )?;
            let mut options = ptr::null_mut();
            if self.in_memory {
                check("opening a buffer", ffi::avio_open_dyn_buf(&raw mut format.pb))?;
            } else {
                check(
                    "opening the file",
                    ffi::avio_open(&raw mut format.pb, url, ffi::AVIO_FLAG_WRITE),
                )?;
                // The index before the frames, so that a player can start at once. The writer
                // reads the file again for this, which memory does not allow.
                check(
                    "setting an option of the MP4",
                    ffi::av_dict_set(
                        &raw mut options,
                        c"movflags".as_ptr(),
                        c"+faststart".as_ptr(),
                        0,
                    ),
                )?;
            }
            let code = ffi::avformat_write_header(self.format, &raw mut options);
            ffi::av_dict_free(&raw mut options);
            check("writing the MP4's header", code)
        }
    }

    /// Encodes the top left part of packed RGB rows of `stride` bytes.
    pub(super) fn push(&mut self, rgb: &[u8], stride: usize) -> Result<(), EncodeError> {
        // SAFETY: `self.frame` has buffers for three planes of the opened size, each with at
        // least `linesize` bytes a row and as many rows as are taken; the planes do not overlap
        // and nobody else holds them after `av_frame_make_writable`.
        unsafe {
            check("preparing a picture", ffi::av_frame_make_writable(self.frame))?;
            let frame = &mut *self.frame;
            let plane = |at: usize, rows: usize| {
                let stride = frame.linesize[at] as usize;
                (std::slice::from_raw_parts_mut(frame.data[at], stride * rows), stride)
            };
            let (luma, luma_stride) = plane(0, self.height);
            let (blue, blue_stride) = plane(1, self.height / 2);
            let (red, red_stride) = plane(2, self.height / 2);
            let mut planes = Planes { luma, luma_stride, blue, blue_stride, red, red_stride };
            self.to_planes.convert(rgb, stride, self.width, self.height, &mut planes);
            frame.pts = self.frames;
            check("encoding a picture", ffi::avcodec_send_frame(self.codec, self.frame))?;
        }
        self.frames += 1;
        self.write_packets()
    }

    /// Ends the stream and the MP4; the bytes, when it was written to memory.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        // SAFETY: the encoder is open; a null frame means the end.
        let code = unsafe { ffi::avcodec_send_frame(self.codec, ptr::null()) };
        check("ending the stream", code)?;
        self.write_packets()?;
        // SAFETY: the header was written. `pb` is the one that `open_format` made; it is closed
        // once: both closing functions leave no pointer behind (the first by our own null). The
        // buffer that is handed over has `length` bytes and is copied before it is freed.
        unsafe {
            check("writing the MP4's index", ffi::av_write_trailer(self.format))?;
            let format = &mut *self.format;
            check("writing the MP4", (*format.pb).error)?;
            if !self.in_memory {
                check("closing the file", ffi::avio_closep(&raw mut format.pb))?;
                return Ok(Vec::new());
            }
            let mut buffer = ptr::null_mut();
            let length = ffi::avio_close_dyn_buf(format.pb, &raw mut buffer);
            format.pb = ptr::null_mut();
            if buffer.is_null() || length <= 0 {
                ffi::av_free(buffer.cast());
                return Err(out_of_memory("taking the MP4 from memory"));
            }
            let bytes = std::slice::from_raw_parts(buffer, length as usize).to_vec();
            ffi::av_free(buffer.cast());
            Ok(bytes)
        }
    }

    fn write_packets(&mut self) -> Result<(), EncodeError> {
        loop {
            // SAFETY: encoder, packet and format are open; the one stream of the format was made
            // by `open_format`; the writer takes over what the packet refers to and leaves it
            // blank.
            unsafe {
                let code = ffi::avcodec_receive_packet(self.codec, self.packet);
                if code == ffi::AVERROR(ffi::EAGAIN) || code == ffi::AVERROR_EOF {
                    return Ok(());
                }
                check("encoding", code)?;
                let packet = &mut *self.packet;
                let stream = *(*self.format).streams;
                packet.stream_index = 0;
                // Without it the last frame's duration would be a guess.
                packet.duration = 1;
                ffi::av_packet_rescale_ts(
                    self.packet,
                    (*self.codec).time_base,
                    (*stream).time_base,
                );
                check(
                    "writing a packet",
                    ffi::av_interleaved_write_frame(self.format, self.packet),
                )?;
            }
        }
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        // SAFETY: every pointer is null or one that this value owns; the freeing functions take
        // null. An MP4 that was not finished is thrown away with its buffer.
        unsafe {
            ffi::av_packet_free(&raw mut self.packet);
            ffi::av_frame_free(&raw mut self.frame);
            ffi::avcodec_free_context(&raw mut self.codec);
            if !self.format.is_null() {
                let format = &mut *self.format;
                if !format.pb.is_null() {
                    if self.in_memory {
                        let mut buffer = ptr::null_mut();
                        ffi::avio_close_dyn_buf(format.pb, &raw mut buffer);
                        ffi::av_free(buffer.cast());
                    } else {
                        ffi::avio_closep(&raw mut format.pb);
                    }
                }
                ffi::avformat_free_context(self.format);
            }
        }
    }
}

fn rational(settings: &EncodeSettings) -> ffi::AVRational {
    // `EncodeSettings::check` keeps both parts within 31 bits.
    ffi::AVRational {
        num: settings.frame_rate.numerator as i32,
        den: settings.frame_rate.denominator as i32,
    }
}

fn text(value: &str) -> Result<CString, EncodeError> {
    CString::new(value).map_err(|_| EncodeError::Setting {
        name: "preset",
        expected: "text without a zero byte".to_owned(),
        found: value.to_owned(),
    })
}

fn out_of_memory(doing: &'static str) -> EncodeError {
    let code = ffi::AVERROR(ffi::ENOMEM);
    EncodeError::Library { doing, code, found: words(code) }
}

fn check(doing: &'static str, code: i32) -> Result<(), EncodeError> {
    if code >= 0 { Ok(()) } else { Err(EncodeError::Library { doing, code, found: words(code) }) }
}

fn words(code: i32) -> String {
    let mut buffer = [0; 128];
    // SAFETY: the buffer is as long as said, and FFmpeg ends what it writes with a zero byte.
    unsafe {
        ffi::av_strerror(code, buffer.as_mut_ptr(), buffer.len());
        CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned()
    }
}
