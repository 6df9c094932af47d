//! Containers: opening within the allow-list, facts, and the frame index, without decoding.

use std::ffi::{CStr, c_char};
use std::io::{Read, Seek, SeekFrom};

use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::{Dictionary, Error, Packet, codec, ffi, format, media};

use crate::protocol::Trouble;
use crate::random_access::RandomAccess;
use crate::{
    Facts, FrameCount, FrameCountOrigin, FrameIndex, Limits, PacketFacts, PictureType, Rational,
    Reason,
};

/// Containers that are opened, by FFmpeg's names of their demuxers. None of them reads another file
/// than the one it is given; playlists, concatenations, image sequences and devices are not here.
const ALLOWED: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpeg,mpegts,mpegvideo,\
ogg,asf,asf_o,h264,hevc,m4v,vc1,ivf,obu,av1,dv,mxf,nut,rm,wtv,y4m,yuv4mpegpipe,gif,apng,dirac,swf,h261,h263";

/// Demuxers that would read other files or the network if they were let.
const NEVER: [&str; 12] = [
    "hls",
    "applehttp",
    "dash",
    "concat",
    "concatf",
    "image2",
    "image2pipe",
    "sdp",
    "rtsp",
    "ffmetadata",
    "lavfi",
    "imf",
];

/// How many bytes are shown to the container probes that name what is refused.
const HEAD_BYTES: usize = 256 << 10;

/// How many reading errors in a row end a container.
const MAX_READ_ERRORS: u32 = 64;

/// An open container and its video stream.
pub(crate) struct Opened {
    pub(crate) input: Input,
    pub(crate) stream: usize,
}

/// What demuxing found.
pub(crate) struct Demuxed {
    pub(crate) facts: Facts,
    pub(crate) index: FrameIndex,
    /// Frames that the container's header promises, where it says so.
    pub(crate) promised: Option<u64>,
    /// What was wrong with the container first.
    pub(crate) damage: Option<String>,
}

/// Opens a container and picks its video stream.
pub(crate) fn open<T: Read + Seek + Send + 'static>(
    mut source: T,
    limits: &Limits,
) -> Result<Opened, Trouble> {
    let mut head = Vec::new();
    let unreadable = |error: std::io::Error| {
        Trouble::new(Reason::Unreadable, "a file that can be read", error.to_string())
    };
    source.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
    source.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", ALLOWED);
    // Nothing inside a container may open anything else.
    options.set("protocol_whitelist", "none");
    options.set("max_streams", &limits.streams.to_string());
    let io = StreamIo::from_read_seek(source).map_err(|error| av_trouble(error, "an input"))?;
    let input = format::input_from_stream(io, None, Some(options)).map_err(|error| {
        let probed = probe_name(&head);
        match (&probed, error) {
            (_, Error::Other { errno }) if errno == libc::ENOMEM => {
                av_trouble(error, "a container")
            }
            (Some(name), _)
                if NEVER.iter().any(|never| name.split(',').any(|own| own == *never)) =>
            {
                Trouble::new(
                    Reason::FormatRefused,
                    "a video file",
                    format!("{name}: formats that name other files are never opened"),
                )
            }
            (Some(name), _) if is_allowed(name) => Trouble::new(
                Reason::Corrupt,
                "a container that opens",
                format!("{name}, damaged ({error})"),
            ),
            (Some(name), _) => Trouble::new(Reason::NotAVideo, "a video container", name.clone()),
            (None, _) => Trouble::new(
                Reason::NotAVideo,
                "a video container",
                format!("bytes that no container explains ({error})"),
            ),
        }
    })?;
    if input.nb_streams() > limits.streams {
        return Err(Trouble::new(
            Reason::LimitExceeded,
            format!("at most {} streams", limits.streams),
            format!("{} streams", input.nb_streams()),
        ));
    }
    let stream = pick_stream(&input).ok_or_else(|| {
        Trouble::new(
            Reason::NoVideoStream,
            "a video stream",
            format!("{} streams, none of them video", input.nb_streams()),
        )
    })?;
    Ok(Opened { input, stream })
}

/// The best video stream: not an attached picture, the default one first, then the largest.
fn pick_stream(input: &Input) -> Option<usize> {
    input
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Video)
        .filter(|stream| !stream.disposition().contains(format::stream::Disposition::ATTACHED_PIC))
        .map(|stream| {
            let default = stream.disposition().contains(format::stream::Disposition::DEFAULT);
            let pixels = raw_parameters(&stream)
                .map_or(0, |raw| i64::from(raw.width.max(0)) * i64::from(raw.height.max(0)));
            (stream.index(), default, pixels)
        })
        .max_by_key(|&(index, default, pixels)| {
            (pixels > 0, default, pixels, std::cmp::Reverse(index))
        })
        .map(|(index, _, _)| index)
}

/// Facts that FFmpeg keeps in plain fields of the codec context.
struct RawParameters {
    codec_name: String,
    profile: Option<String>,
    width: i32,
    height: i32,
    pixel_format: Option<String>,
    color_range: Option<String>,
    color_matrix: Option<String>,
    color_primaries: Option<String>,
    color_transfer: Option<String>,
    sample_aspect_ratio: (i32, i32),
    bit_rate: i64,
    extradata: Vec<u8>,
}

#[allow(unsafe_code)] // plain reads of a codec context and FFmpeg's constant name tables
fn raw_parameters(stream: &format::stream::Stream<'_>) -> Option<RawParameters> {
    let context = codec::Context::from_parameters(stream.parameters()).ok()?;
    // SAFETY: the pointer is to the context that `context` owns and that outlives these reads; its
    // extradata is as long as it says; the name functions take any value and return a static string
    // or null.
    unsafe {
        let raw = &*context.as_ptr();
        let named = |text: Option<String>| {
            text.filter(|name| !matches!(name.as_str(), "unknown" | "unspecified" | "reserved"))
        };
        Some(RawParameters {
            codec_name: text(ffi::avcodec_get_name(raw.codec_id)).unwrap_or_default(),
            profile: text(ffi::avcodec_profile_name(raw.codec_id, raw.profile)),
            width: raw.width,
            height: raw.height,
            pixel_format: text(ffi::av_get_pix_fmt_name(raw.pix_fmt)),
            color_range: named(text(ffi::av_color_range_name(raw.color_range))),
            color_matrix: named(text(ffi::av_color_space_name(raw.colorspace))),
            color_primaries: named(text(ffi::av_color_primaries_name(raw.color_primaries))),
            color_transfer: named(text(ffi::av_color_transfer_name(raw.color_trc))),
            sample_aspect_ratio: (raw.sample_aspect_ratio.num, raw.sample_aspect_ratio.den),
            bit_rate: raw.bit_rate,
            extradata: match usize::try_from(raw.extradata_size) {
                Ok(size) if size > 0 && !raw.extradata.is_null() => {
                    std::slice::from_raw_parts(raw.extradata, size).to_vec()
                }
                _ => Vec::new(),
            },
        })
    }
}

#[allow(unsafe_code)] // the one place that turns FFmpeg's constant strings into ours
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller passes FFmpeg's constant, zero-terminated strings.
    unsafe { Some(CStr::from_ptr(pointer).to_string_lossy().into_owned()) }
}

/// The name of the container that the first bytes look like, from all that FFmpeg knows.
#[allow(unsafe_code)] // FFmpeg's probe has no safe face
fn probe_name(head: &[u8]) -> Option<String> {
    let padding = ffi::AVPROBE_PADDING_SIZE as usize;
    let mut padded = head.to_vec();
    padded.resize(head.len() + padding, 0);
    let mut data = ffi::AVProbeData {
        filename: c"".as_ptr(),
        buf: padded.as_mut_ptr(),
        buf_size: i32::try_from(head.len()).ok()?,
        mime_type: std::ptr::null(),
    };
    let mut score = 0;
    // SAFETY: the buffer has the padding that FFmpeg asks for behind `buf_size` bytes and lives as
    // long as the call; the result is a static description or null.
    unsafe {
        let format = ffi::av_probe_input_format2(&raw mut data, 1, &raw mut score);
        if format.is_null() { None } else { text((*format).name) }
    }
}

fn is_allowed(name: &str) -> bool {
    name.split(',').any(|own| ALLOWED.split(',').any(|allowed| allowed == own))
}

pub(crate) fn av_trouble(error: Error, expected: &str) -> Trouble {
    let reason = match error {
        Error::Other { errno } if errno == libc::ENOMEM => Reason::OutOfMemory,
        Error::DecoderNotFound | Error::PatchWelcome => Reason::Unsupported,
        _ => Reason::Corrupt,
    };
    Trouble::new(reason, expected, error.to_string())
}

/// A parser that tells pictures' kinds without decoding them, where the codec has one.
struct PictureParser {
    parser: *mut ffi::AVCodecParserContext,
    context: codec::Context,
}

impl PictureParser {
    #[allow(unsafe_code)] // the parser has no safe face
    fn new(stream: &format::stream::Stream<'_>) -> Option<Self> {
        let context = codec::Context::from_parameters(stream.parameters()).ok()?;
        // SAFETY: the id comes from FFmpeg itself; null means that there is no parser.
        let parser = unsafe { ffi::av_parser_init((*context.as_ptr()).codec_id as i32) };
        if parser.is_null() {
            return None;
        }
        // SAFETY: the parser is ours and not null. The flag is PARSER_FLAG_COMPLETE_FRAMES: packets
        // of a demuxer are whole pictures.
        unsafe { (*parser).flags |= 1 };
        Some(Self { parser, context })
    }

    #[allow(unsafe_code)] // as above
    fn kind(&mut self, packet: &Packet) -> PictureType {
        let Some(data) = packet.data() else { return PictureType::Unknown };
        let Ok(length) = i32::try_from(data.len()) else { return PictureType::Unknown };
        let mut out = std::ptr::null_mut();
        let mut out_size = 0;
        let none = ffi::AV_NOPTS_VALUE;
        // SAFETY: both contexts are ours and alive; demuxed packets have FFmpeg's padding behind
        // their data; the output pointers are only written.
        let kind = unsafe {
            ffi::av_parser_parse2(
                self.parser,
                self.context.as_mut_ptr(),
                &raw mut out,
                &raw mut out_size,
                data.as_ptr(),
                length,
                none,
                none,
                -1,
            );
            (*self.parser).pict_type
        };
        match kind {
            1 => PictureType::I,
            2 => PictureType::P,
            3 => PictureType::B,
            _ => PictureType::Unknown,
        }
    }
}

impl Drop for PictureParser {
    #[allow(unsafe_code)] // as above
    fn drop(&mut self) {
        // SAFETY: made by av_parser_init and closed once.
        unsafe { ffi::av_parser_close(self.parser) };
    }
}

/// The next packet of the container, of whatever stream.
///
/// Always a new one: FFmpeg overwrites a packet that is read into again without letting go of its
/// bytes, and a long file would be in memory as a whole at its end.
pub(crate) fn next_packet(input: &mut Input) -> Result<Packet, Error> {
    let mut packet = Packet::empty();
    packet.read(input)?;
    Ok(packet)
}

/// Reads every packet of the video stream and gives the facts and the frame index.
pub(crate) fn demux(opened: &mut Opened, bytes: u64, limits: &Limits) -> Result<Demuxed, Trouble> {
    let Opened { input, stream: number } = opened;
    let missing = || Trouble::new(Reason::NoVideoStream, "a video stream", "none");
    let stream = input.stream(*number).ok_or_else(missing)?;
    let raw = raw_parameters(&stream)
        .ok_or_else(|| Trouble::new(Reason::Corrupt, "a stream with parameters", "none"))?;
    let (width, height) = check_size(raw.width, raw.height, limits)?;
    if raw.codec_name.is_empty() || raw.codec_name == "none" {
        return Err(Trouble::new(Reason::Unsupported, "a known video codec", "an unknown one"));
    }
    let time_base = rational(stream.time_base());
    let average = positive(stream.avg_frame_rate());
    let nominal = positive(stream.rate());
    let header_frames = u64::try_from(stream.frames()).ok().filter(|&frames| frames > 0);
    let seconds = time_base.value().filter(|unit| *unit > 0.0);
    let stream_duration = (stream.duration() > 0)
        .then(|| seconds.map(|unit| stream.duration() as f64 * unit))
        .flatten();
    let container_duration =
        (input.duration() > 0).then(|| input.duration() as f64 / f64::from(ffi::AV_TIME_BASE));
    let duration = stream_duration.or(container_duration);
    if let Some(duration) = duration.filter(|duration| *duration > limits.duration_seconds) {
        return Err(Trouble::new(
            Reason::LimitExceeded,
            format!("at most {} seconds", limits.duration_seconds),
            format!("{duration:.1} seconds"),
        ));
    }
    let (mirrored, rotation) = orientation(&stream);
    let encoder = stream
        .metadata()
        .get("encoder")
        .map(str::to_owned)
        .or_else(|| input.metadata().get("encoder").map(str::to_owned));
    let is_vp8 = raw.codec_name == "vp8";
    let mut parser = PictureParser::new(&stream);
    let access = RandomAccess::new(&raw.codec_name, &raw.extradata);
    let container = input.format().name().to_owned();
    let has_audio =
        input.streams().any(|stream| stream.parameters().medium() == media::Type::Audio);
    let streams = input.nb_streams();
    let container_bit_rate = u64::try_from(input.bit_rate()).ok().filter(|&rate| rate > 0);

    let mut packets: Vec<PacketFacts> = Vec::new();
    let mut damage = None;
    let mut errors = 0;
    loop {
        let packet = match next_packet(input) {
            Ok(packet) => packet,
            Err(Error::Eof) => break,
            Err(error) => {
                damage.get_or_insert_with(|| format!("container: {error}"));
                if matches!(error, Error::Other { errno } if errno == libc::ENOMEM) {
                    return Err(av_trouble(error, "packets"));
                }
                errors += 1;
                if errors >= MAX_READ_ERRORS {
                    break;
                }
                continue;
            }
        };
        errors = 0;
        if packet.stream() != *number {
            continue;
        }
        if packets.len() as u64 >= limits.frames {
            return Err(Trouble::new(
                Reason::LimitExceeded,
                format!("at most {} frames", limits.frames),
                "more packets than that",
            ));
        }
        if packet.is_corrupt() {
            damage.get_or_insert_with(|| format!("packet {} is cut or damaged", packets.len()));
        }
        let hidden_vp8 =
            is_vp8 && packet.data().and_then(<[u8]>::first).is_some_and(|first| first & 0x10 == 0);
        packets.push(PacketFacts {
            presentation: packet.pts(),
            decoding: packet.dts(),
            position: u64::try_from(packet.position()).ok(),
            bytes: u32::try_from(packet.size()).unwrap_or(u32::MAX),
            key: packet.is_key() && access.is_clean(packet.data().unwrap_or_default()),
            discarded: packet.flags().bits() & ffi::AV_PKT_FLAG_DISCARD != 0 || hidden_vp8,
            picture: parser.as_mut().map_or(PictureType::Unknown, |parser| parser.kind(&packet)),
        });
    }
    if packets.is_empty() {
        return Err(Trouble::new(
            Reason::Corrupt,
            "at least one packet of video",
            damage.unwrap_or_else(|| "none".to_owned()),
        ));
    }
    let frame_times = frame_times(&packets, time_base, average.or(nominal));
    let shown = frame_times.len() as u64;
    let index = FrameIndex { time_base, packets, frame_times };
    // Fewer packets than the header says: the end of the file is missing.
    let mut promised = header_frames.filter(|&frames| frames > shown + shown / 50 + 2);
    if promised.is_none()
        && let (Some(duration), Some(rate)) = (duration, average.and_then(Rational::value))
        && !matches!(container.as_str(), "mpeg" | "mpegts")
    {
        // Streams that say how long they are: matroska's header, flv's metadata.
        let span = index.seconds(index.frame_times.len().saturating_sub(1)).unwrap_or(0.0);
        if span + 1.0 < duration * 0.95 - 1.0 && packets_end_early(&index, bytes) {
            promised = Some(((duration * rate).round() as u64).max(shown));
        }
    }
    if let Some(promised) = promised {
        damage.get_or_insert_with(|| {
            format!("the header promises {promised} frames, the file holds {shown}")
        });
    }
    Ok(Demuxed {
        facts: Facts {
            bytes,
            container,
            streams,
            has_audio,
            codec: raw.codec_name,
            profile: raw.profile,
            width,
            height,
            rotation,
            mirrored,
            sample_aspect_ratio: {
                let (numerator, denominator) = raw.sample_aspect_ratio;
                (numerator > 0 && denominator > 0)
                    .then(|| Rational::new(numerator.into(), denominator.into()))
            },
            frame_rate: average,
            nominal_frame_rate: nominal,
            pixel_format: raw.pixel_format,
            color_range: raw.color_range,
            color_matrix: raw.color_matrix,
            color_primaries: raw.color_primaries,
            color_transfer: raw.color_transfer,
            duration_seconds: duration,
            stream_bit_rate: u64::try_from(raw.bit_rate).ok().filter(|&rate| rate > 0),
            container_bit_rate,
            encoder,
            frame_count: FrameCount { frames: shown, origin: FrameCountOrigin::Demuxed },
        },
        index,
        promised,
        damage,
    })
}

/// Whether the last packet of video ends at the end of the file, as it does where the file was cut;
/// a video track that is merely shorter than its audio has other bytes behind it.
fn packets_end_early(index: &FrameIndex, bytes: u64) -> bool {
    index
        .packets
        .iter()
        .filter_map(|packet| packet.position.map(|position| position + u64::from(packet.bytes)))
        .max()
        .is_none_or(|end| end + 65_536 >= bytes)
}

pub(crate) fn check_size(width: i32, height: i32, limits: &Limits) -> Result<(u32, u32), Trouble> {
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(wide), Ok(high)) if wide > 0 && high > 0 => {
            if u64::from(wide) * u64::from(high) > limits.pixels_per_frame {
                return Err(Trouble::new(
                    Reason::LimitExceeded,
                    format!("at most {} pixels a frame", limits.pixels_per_frame),
                    format!("{wide}x{high}"),
                ));
            }
            Ok((wide, high))
        }
        _ => Err(Trouble::new(Reason::Corrupt, "a picture size", format!("{width}x{height}"))),
    }
}

fn rational(value: ffmpeg_next::Rational) -> Rational {
    Rational::new(value.numerator().into(), value.denominator().into())
}

fn positive(value: ffmpeg_next::Rational) -> Option<Rational> {
    (value.numerator() > 0 && value.denominator() > 0).then(|| rational(value))
}

/// How the picture is to be shown, from the display matrix (ISO/IEC 14496-12, 8.3.2): whether it is
/// mirrored from left to right, and then by how many degrees it is turned clockwise, to the next
/// quarter turn.
fn orientation(stream: &format::stream::Stream<'_>) -> (bool, u16) {
    for side_data in stream.side_data() {
        if side_data.kind() != codec::packet::side_data::Type::DisplayMatrix {
            continue;
        }
        let cells: Vec<f64> = side_data
            .data()
            .chunks_exact(4)
            .map(|cell| f64::from(i32::from_ne_bytes([cell[0], cell[1], cell[2], cell[3]])))
            .collect();
        if cells.len() < 9 {
            return (false, 0);
        }
        let (first, second) = (cells[0].hypot(cells[3]), cells[1].hypot(cells[4]));
        if first == 0.0 || second == 0.0 {
            return (false, 0);
        }
        // A matrix that turns inside out is a mirror and then a turn.
        let mirrored = cells[0] * cells[4] - cells[1] * cells[3] < 0.0;
        let sign = if mirrored { -1.0 } else { 1.0 };
        let degrees = (sign * cells[1] / second).atan2(sign * cells[0] / first).to_degrees();
        return (mirrored, ((degrees / 90.0).round() as i32).rem_euclid(4) as u16 * 90);
    }
    (false, 0)
}

/// Presentation times of the shown frames, ascending.
fn frame_times(packets: &[PacketFacts], time_base: Rational, rate: Option<Rational>) -> Vec<i64> {
    let shown = || packets.iter().filter(|packet| !packet.discarded);
    let presented: Option<Vec<i64>> = shown().map(|packet| packet.presentation).collect();
    if let Some(mut times) = presented.or_else(|| shown().map(|packet| packet.decoding).collect()) {
        times.sort_unstable();
        return times;
    }
    // No times at all: from the rate, and without even that, counted in frames.
    let step = match (rate.and_then(Rational::value), time_base.value()) {
        (Some(rate), Some(unit)) if rate > 0.0 && unit > 0.0 => {
            ((1.0 / (rate * unit)).round() as i64).max(1)
        }
        _ => 1,
    };
    (0..shown().count() as i64).map(|frame| frame.saturating_mul(step)).collect()
}

/// Whether a decoded frame's timestamp tells its position: every packet has a time, and no two
/// shown frames have the same.
pub(crate) fn times_are_trusted(index: &FrameIndex) -> bool {
    index.packets.iter().all(|packet| packet.presentation.is_some())
        && index.frame_times.windows(2).all(|pair| pair[0] < pair[1])
}
