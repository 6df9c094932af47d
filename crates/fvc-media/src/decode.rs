//! The decode loop: frames in display order, wanted ones converted and handed on.

use std::io::{Read, Seek};

use ffmpeg_next::{Error, Packet, codec, decoder, ffi, frame, threading};

use crate::demux::{Opened, av_trouble, check_size, next_packet, open, times_are_trusted};
use crate::picture::PictureConverter;
use crate::protocol::{End, Message, Picture, Trouble};
use crate::thumbnail::to_milliseconds;
use crate::{FrameIndex, Limits, Reason, THUMBNAIL_RATE};

/// What to decode.
pub(crate) struct Wanted<'a> {
    /// Positions of the frames to hand on, ascending, each once.
    pub(crate) positions: &'a [u64],
    /// Decode every frame, or only what leads to the wanted ones.
    pub(crate) whole: bool,
    /// Hand on thumbnails too, of every eighth of a second.
    pub(crate) thumbnails: bool,
}

/// How a decode can fail.
pub(crate) enum DecodeError {
    Trouble(Trouble),
    /// Nobody listens any more.
    Gone,
}

impl From<Trouble> for DecodeError {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// What is handed each wanted picture and thumbnail.
pub(crate) type Emit<'a> = dyn FnMut(Message) -> Result<(), std::io::Error> + 'a;

/// State of one run through the stream.
struct Run<'a> {
    index: &'a FrameIndex,
    wanted: &'a [u64],
    next_wanted: usize,
    trusted: bool,
    converter: PictureConverter,
    limits: &'a Limits,
    /// The last eighth of a second of which there is a thumbnail; nothing where none is wanted.
    last_eighth: Option<i64>,
    size: Option<(u32, u32)>,
    decoded: u64,
    times: Vec<i64>,
    damage: Option<String>,
    /// Nothing after a change of size is looked at.
    ended: bool,
    /// Something was lost, and what leans on it shows what was never filmed: until the next whole key
    /// frame no picture is handed on.
    doubtful: bool,
    way: Way,
}

/// How the run gets to the wanted frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the start of the file: a wanted frame that does not come is not there.
    FromTheStart,
    /// By seeks: a wanted frame that does not come may come from the start.
    Seeking,
    /// A wanted frame did not come where a seek led to it.
    Missed,
}

/// Decodes what is wanted from `source`, which stands at its start.
///
/// A frame's position is found by its timestamp where timestamps tell (every packet has one, none
/// twice), so that a decode from a key frame and one from the start agree; else by counting from
/// the start. Where a seek does not land where the index says, everything is decoded from the start.
pub(crate) fn decode<T: Read + Seek + Send + 'static>(
    mut reopen: impl FnMut() -> std::io::Result<T>,
    index: &FrameIndex,
    (mirrored, rotation): (bool, u16),
    wanted: &Wanted<'_>,
    limits: &Limits,
    emit: &mut Emit<'_>,
) -> Result<End, DecodeError> {
    let mut start = || -> Result<(Opened, decoder::Video), Trouble> {
        let source = reopen().map_err(|error| {
            Trouble::new(Reason::Unreadable, "a file that can be read", error.to_string())
        })?;
        let opened = open(source, limits)?;
        let decoder = open_decoder(&opened)?;
        Ok((opened, decoder))
    };
    let trusted = times_are_trusted(index);
    let mut run = Run {
        index,
        wanted: wanted.positions,
        next_wanted: 0,
        trusted,
        converter: PictureConverter::new(mirrored, rotation),
        limits,
        last_eighth: wanted.thumbnails.then_some(-1),
        size: None,
        decoded: 0,
        times: Vec::new(),
        damage: None,
        ended: false,
        doubtful: false,
        way: Way::FromTheStart,
    };
    let (mut opened, mut decoder) = start()?;
    if !wanted.whole && trusted {
        run.way = Way::Seeking;
        if run.by_seeking(&mut opened, &mut decoder, emit)? {
            return Ok(run.end(false));
        }
        // The container does not seek as its index says: from the start, for what is missing.
        (opened, decoder) = start()?;
        run.times.clear();
        run.damage = None;
        run.decoded = 0;
        (run.ended, run.doubtful, run.way) = (false, false, Way::FromTheStart);
    }
    run.decode_onwards(&mut opened, &mut decoder, !wanted.whole, emit)?;
    Ok(run.end(wanted.whole))
}

fn open_decoder(opened: &Opened) -> Result<decoder::Video, Trouble> {
    let stream = opened
        .input
        .stream(opened.stream)
        .ok_or_else(|| Trouble::new(Reason::NoVideoStream, "a video stream", "none"))?;
    let time_base = stream.time_base();
    let mut context = codec::Context::from_parameters(stream.parameters())
        .map_err(|error| av_trouble(error, "stream parameters"))?;
    // One thread: damaged streams must decode the same way twice.
    context.set_threading(threading::Config { count: 1, ..threading::Config::default() });
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(time_base);
    decoder.video().map_err(|error| match error {
        Error::DecoderNotFound | Error::InvalidData => {
            Trouble::new(Reason::Unsupported, "a codec that this FFmpeg decodes", error.to_string())
        }
        other => av_trouble(other, "a decoder"),
    })
}

impl Run<'_> {
    fn end(self, whole: bool) -> End {
        End {
            decoded: self.decoded,
            frame_times: whole.then_some(self.times),
            promised: 0,
            damage: self.damage,
        }
    }

    fn done(&self) -> bool {
        self.ended || self.next_wanted >= self.wanted.len()
    }

    /// Decodes from where the container stands to its end, or to the last wanted frame.
    fn decode_onwards(
        &mut self,
        opened: &mut Opened,
        decoder: &mut decoder::Video,
        stop_when_done: bool,
        emit: &mut Emit<'_>,
    ) -> Result<(), DecodeError> {
        let mut errors = 0;
        loop {
            let packet = match next_packet(&mut opened.input) {
                Ok(packet) => packet,
                Err(Error::Eof) => break,
                Err(Error::Other { errno }) if errno == libc::ENOMEM => {
                    return Err(av_trouble(Error::Other { errno }, "memory for a packet").into());
                }
                Err(error) => {
                    self.complain(format!("container: {error}"));
                    errors += 1;
                    if errors >= 64 {
                        break;
                    }
                    continue;
                }
            };
            errors = 0;
            if packet.stream() != opened.stream {
                continue;
            }
            if packet.is_corrupt() {
                self.complain(format!("a packet after frame {} is cut or damaged", self.decoded));
            }
            self.send(decoder, Some(&packet), emit)?;
            if self.ended || (stop_when_done && self.done()) {
                return Ok(());
            }
        }
        self.send(decoder, None, emit)
    }

    /// Jumps to the key frame before each wanted stretch. Says no where the container lands
    /// elsewhere than its index says; what was handed on by then was right.
    fn by_seeking(
        &mut self,
        opened: &mut Opened,
        decoder: &mut decoder::Video,
        emit: &mut Emit<'_>,
    ) -> Result<bool, DecodeError> {
        let mut keys: Vec<i64> = self
            .index
            .packets
            .iter()
            .filter(|packet| packet.key && !packet.discarded)
            .filter_map(|packet| packet.presentation)
            .collect();
        keys.sort_unstable();
        let mut reached: Option<i64> = None;
        while !self.done() {
            let Some(target) = self.target() else { return Ok(false) };
            let Some(&key) = keys[..keys.partition_point(|&key| key <= target)].last() else {
                return Ok(false);
            };
            if reached.is_none_or(|reached| key > reached) {
                if !seek(opened, key) {
                    return Ok(false);
                }
                decoder.flush();
                let mut first = true;
                let before = self.next_wanted;
                loop {
                    let packet = match next_packet(&mut opened.input) {
                        Ok(packet) => packet,
                        Err(Error::Eof) => {
                            self.send(decoder, None, emit)?;
                            return Ok(self.done() && self.way != Way::Missed);
                        }
                        Err(_) => return Ok(false),
                    };
                    if packet.stream() != opened.stream {
                        continue;
                    }
                    if first {
                        let lands = packet.pts().is_some_and(|pts| {
                            packet.is_key() && pts <= target && keys.binary_search(&pts).is_ok()
                        });
                        if !lands {
                            return Ok(false);
                        }
                        first = false;
                    }
                    if packet.is_corrupt() {
                        self.complain("a packet is cut or damaged".to_owned());
                    }
                    self.send(decoder, Some(&packet), emit)?;
                    if self.way == Way::Missed {
                        return Ok(false);
                    }
                    reached = reached.max(packet.pts());
                    let Some(next) = self.target() else { return Ok(true) };
                    if self.done() {
                        return Ok(true);
                    }
                    // Past the target without having seen it: the index is wrong about this file.
                    if self.times.last().is_some_and(|&last| last > next) {
                        return Ok(false);
                    }
                    // On to the next stretch as soon as a later key frame leads there.
                    if self.next_wanted > before {
                        let ahead = keys[..keys.partition_point(|&key| key <= next)].last();
                        if ahead.is_some_and(|&key| reached.is_some_and(|reached| key > reached)) {
                            break;
                        }
                    }
                }
            } else {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Timestamp of the next wanted frame.
    fn target(&self) -> Option<i64> {
        let position = *self.wanted.get(self.next_wanted)?;
        self.index.frame_times.get(usize::try_from(position).ok()?).copied()
    }

    fn complain(&mut self, what: String) {
        self.damage.get_or_insert(what);
        self.doubtful = true;
    }

    fn send(
        &mut self,
        decoder: &mut decoder::Video,
        packet: Option<&Packet>,
        emit: &mut Emit<'_>,
    ) -> Result<(), DecodeError> {
        let sent = match packet {
            Some(packet) => decoder.send_packet(packet),
            None => decoder.send_eof(),
        };
        match sent {
            Ok(()) | Err(Error::Eof) => {}
            Err(Error::Other { errno }) if errno == libc::ENOMEM => {
                return Err(av_trouble(Error::Other { errno }, "memory for a frame").into());
            }
            Err(error) => self.complain(format!("after frame {}: {error}", self.decoded)),
        }
        let mut frame = frame::Video::empty();
        loop {
            match decoder.receive_frame(&mut frame) {
                Ok(()) => self.take(&frame, emit)?,
                Err(Error::Eof) => return Ok(()),
                Err(Error::Other { errno }) if errno == libc::EAGAIN => return Ok(()),
                Err(Error::Other { errno }) if errno == libc::ENOMEM => {
                    return Err(av_trouble(Error::Other { errno }, "memory for a frame").into());
                }
                Err(error) => {
                    self.complain(format!("after frame {}: {error}", self.decoded));
                    return Ok(());
                }
            }
            if self.ended {
                return Ok(());
            }
        }
    }

    /// Holds a decoded frame's own time against the limit: a header need not say how long a file is,
    /// or may lie, and what is made for every eighth of a second would have no end.
    fn hold_time(&self, time: i64) -> Result<(), Trouble> {
        let (Some(&first), Some(unit)) =
            (self.index.frame_times.first(), self.index.time_base.value())
        else {
            return Ok(());
        };
        self.hold_seconds(time.saturating_sub(first) as f64 * unit)
    }

    /// Holds the time at which a frame is handed on against the limit.
    fn hold_seconds(&self, seconds: f64) -> Result<(), Trouble> {
        if seconds <= self.limits.duration_seconds {
            return Ok(());
        }
        Err(Trouble::new(
            Reason::LimitExceeded,
            format!("at most {} seconds", self.limits.duration_seconds),
            format!("frame {} at {seconds:.1} seconds", self.decoded),
        ))
    }

    /// One frame in display order.
    fn take(&mut self, frame: &frame::Video, emit: &mut Emit<'_>) -> Result<(), DecodeError> {
        let size = (frame.width(), frame.height());
        check_size(
            i32::try_from(size.0).unwrap_or(i32::MAX),
            i32::try_from(size.1).unwrap_or(i32::MAX),
            self.limits,
        )?;
        let first = *self.size.get_or_insert(size);
        if first != size {
            self.complain(format!(
                "the picture changes from {}x{} to {}x{} at frame {}; nothing after it is used",
                first.0, first.1, size.0, size.1, self.decoded
            ));
            self.ended = true;
            return Ok(());
        }
        if self.decoded >= self.limits.frames {
            return Err(Trouble::new(
                Reason::LimitExceeded,
                format!("at most {} frames", self.limits.frames),
                "more frames than that",
            )
            .into());
        }
        if frame.is_corrupt() || frame.has_decode_errors() {
            self.complain(format!("frame {} is damaged", self.decoded));
        } else if frame.is_key() {
            self.doubtful = false;
        }
        let count = self.times.len() as u64;
        let time = frame.timestamp().unwrap_or_else(|| {
            let step = self.times.windows(2).last().map_or(1, |pair| pair[1] - pair[0]);
            self.times.last().map_or(0, |&last| last.saturating_add(step))
        });
        self.hold_time(time)?;
        self.times.push(time);
        self.decoded += 1;
        let position = if self.trusted {
            match self.index.frame_times.binary_search(&time) {
                Ok(position) => position as u64,
                // A frame that no packet announced has no position, so nobody can want it.
                Err(_) => return Ok(()),
            }
        } else {
            count
        };
        let seconds = usize::try_from(position)
            .ok()
            .and_then(|position| self.index.seconds(position))
            .unwrap_or(0.0);
        self.hold_seconds(seconds)?;
        let eighth = (seconds * THUMBNAIL_RATE + 1e-6).floor() as i64;
        if !self.doubtful && self.last_eighth.is_some_and(|last| eighth > last) {
            self.last_eighth = Some(eighth);
            let thumbnail = self.converter.thumbnail(frame, to_milliseconds(seconds))?;
            emit(Message::Thumbnail(thumbnail)).map_err(|_| DecodeError::Gone)?;
        }
        while self.wanted.get(self.next_wanted).is_some_and(|&next| next < position) {
            if self.way != Way::FromTheStart {
                (self.way, self.ended) = (Way::Missed, true);
                return Ok(());
            }
            // It will not come any more.
            self.next_wanted += 1;
        }
        if self.wanted.get(self.next_wanted) != Some(&position) {
            return Ok(());
        }
        self.next_wanted += 1;
        if self.doubtful {
            return Ok(());
        }
        let upright = self.converter.convert(frame)?;
        emit(Message::Picture(Picture {
            position,
            time: seconds,
            width: upright.width,
            height: upright.height,
            rgb: upright.rgb,
        }))
        .map_err(|_| DecodeError::Gone)
    }
}

/// Seeks the video stream to the key frame at or before `time`.
#[allow(unsafe_code)] // the wrapper seeks in units of its own, not of the stream
fn seek(opened: &mut Opened, time: i64) -> bool {
    let Ok(stream) = i32::try_from(opened.stream) else { return false };
    // SAFETY: the context is alive and ours; a failed seek is reported, not undefined.
    unsafe {
        ffi::av_seek_frame(opened.input.as_mut_ptr(), stream, time, ffi::AVSEEK_FLAG_BACKWARD) >= 0
    }
}
