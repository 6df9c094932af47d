//! What parent and decoder child say to each other.
//!
//! The request is one JSON argument; the video is the child's standard input; answers are messages
//! on its standard output: a tag, a length of 4 bytes (little-endian), that many bytes. The parent
//! believes no length before it has compared it with the limits.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::{
    ContentId, Facts, FrameIndex, Limits, Reason, ResolvedSampling, Sampling, THUMBNAIL_SIDE,
    Thumbnail,
};

/// The hidden first argument of a decoder child.
pub(crate) const CHILD_ARGUMENT: &str = "__fvc-media-child";

/// What the child is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) limits: Limits,
    pub(crate) bytes: u64,
    pub(crate) job: Job,
}

/// The work itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Facts and frame index, no decoding.
    Probe,
    /// Facts, frame index and the frames of a sampling, resolved before or to be resolved now.
    Sample {
        content_id: ContentId,
        sampling: Sampling,
        resolved: Option<ResolvedSampling>,
        whole: bool,
        /// Thumbnails too; only where the whole file is decoded.
        thumbnails: bool,
    },
    /// Facts, frame index and the frames of these stretches (first and last position).
    Spans { spans: Vec<(u64, u64)> },
}

/// What a source is, before any frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) facts: Facts,
    pub(crate) index: FrameIndex,
    pub(crate) sampling: Option<ResolvedSampling>,
}

/// One upright RGB picture.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) position: u64,
    pub(crate) time: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

/// How a decode ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// Frames that came out of the decoder.
    pub(crate) decoded: u64,
    /// Presentation times of all of them, when the whole file was decoded.
    pub(crate) frame_times: Option<Vec<i64>>,
    /// Frames that the container promises, where more than were there.
    pub(crate) promised: u64,
    /// What was wrong first, if anything was.
    pub(crate) damage: Option<String>,
}

/// Why the child gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Trouble {
    pub(crate) fn new(
        reason: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { reason, expected: expected.into(), found: found.into() }
    }
}

/// One answer of the child.
#[derive(Debug)]
pub(crate) enum Message {
    Info(Box<Info>),
    Picture(Picture),
    Thumbnail(Thumbnail),
    End(End),
    Trouble(Trouble),
}

const TAG_INFO: u8 = b'I';
const TAG_PICTURE: u8 = b'F';
const TAG_THUMBNAIL: u8 = b'T';
const TAG_END: u8 = b'E';
const TAG_TROUBLE: u8 = b'X';
const PICTURE_HEAD: usize = 24;
const THUMBNAIL_HEAD: usize = 4;
const CELLS: usize = THUMBNAIL_SIDE * THUMBNAIL_SIDE;

impl Message {
    /// Writes the message.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Info(info) => write_json(out, TAG_INFO, info),
            Self::End(end) => write_json(out, TAG_END, end),
            Self::Trouble(trouble) => write_json(out, TAG_TROUBLE, trouble),
            Self::Picture(picture) => {
                write_head(out, TAG_PICTURE, PICTURE_HEAD + picture.rgb.len())?;
                out.write_all(&picture.position.to_le_bytes())?;
                out.write_all(&picture.time.to_le_bytes())?;
                out.write_all(&picture.width.to_le_bytes())?;
                out.write_all(&picture.height.to_le_bytes())?;
                out.write_all(&picture.rgb)
            }
            Self::Thumbnail(thumbnail) => {
                write_head(out, TAG_THUMBNAIL, THUMBNAIL_HEAD + thumbnail.cells.len())?;
                out.write_all(&thumbnail.milliseconds.to_le_bytes())?;
                out.write_all(&thumbnail.cells)
            }
        }?;
        out.flush()
    }

    /// Reads one message; nothing at a clean end. What is longer than a good child under these
    /// limits would send is refused before it is read.
    pub(crate) fn read(input: &mut impl Read, limits: &Limits) -> io::Result<Option<Self>> {
        let mut tag = [0_u8; 1];
        if input.read(&mut tag)? == 0 {
            return Ok(None);
        }
        let mut length = [0_u8; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        let (count, each) = match tag[0] {
            // About 120 bytes of JSON a packet, and 8 digits a frame time.
            TAG_INFO | TAG_END => (limits.frames, 400),
            TAG_PICTURE => (limits.pixels_per_frame, 3),
            TAG_TROUBLE | TAG_THUMBNAIL => (1, 1 << 16),
            other => return Err(bad(&format!("a message tag, found {other}"))),
        };
        let most = count.saturating_mul(each).saturating_add(1 << 16);
        if u64::from(length) > most {
            return Err(bad(&format!("a message of at most {most} bytes, found {length}")));
        }
        let mut body = Vec::new();
        input.take(u64::from(length)).read_to_end(&mut body)?;
        if body.len() != length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let json = |error: serde_json::Error| bad(&format!("a message as JSON, found {error}"));
        Ok(Some(match tag[0] {
            TAG_INFO => Self::Info(serde_json::from_slice(&body).map_err(json)?),
            TAG_END => Self::End(serde_json::from_slice(&body).map_err(json)?),
            TAG_TROUBLE => Self::Trouble(serde_json::from_slice(&body).map_err(json)?),
            TAG_THUMBNAIL => Self::Thumbnail(read_thumbnail(&body)?),
            _ => Self::Picture(read_picture(body)?),
        }))
    }
}

fn bad(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}

fn read_picture(mut body: Vec<u8>) -> io::Result<Picture> {
    let head: [u8; PICTURE_HEAD] = body
        .get(..PICTURE_HEAD)
        .and_then(|head| head.try_into().ok())
        .ok_or_else(|| bad("the head of a picture"))?;
    let word = |at: usize| -> [u8; 8] {
        let mut word = [0_u8; 8];
        word.copy_from_slice(&head[at..at + 8]);
        word
    };
    let [w0, w1, w2, w3, h0, h1, h2, h3] = word(16);
    let (width, height) =
        (u32::from_le_bytes([w0, w1, w2, w3]), u32::from_le_bytes([h0, h1, h2, h3]));
    let expected = 3_u64 * u64::from(width) * u64::from(height);
    if expected == 0 || expected != (body.len() - PICTURE_HEAD) as u64 {
        return Err(bad(&format!("{expected} bytes of a {width}x{height} picture")));
    }
    body.drain(..PICTURE_HEAD);
    Ok(Picture {
        position: u64::from_le_bytes(word(0)),
        time: f64::from_le_bytes(word(8)),
        width,
        height,
        rgb: body,
    })
}

fn read_thumbnail(body: &[u8]) -> io::Result<Thumbnail> {
    let wrong = || bad(&format!("a thumbnail of {CELLS} cells, found {} bytes", body.len()));
    let (head, cells) = body.split_first_chunk::<THUMBNAIL_HEAD>().ok_or_else(wrong)?;
    if cells.len() != CELLS {
        return Err(wrong());
    }
    Ok(Thumbnail { milliseconds: u32::from_le_bytes(*head), cells: cells.to_vec() })
}

fn write_head(out: &mut impl Write, tag: u8, length: usize) -> io::Result<()> {
    let length = u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    out.write_all(&[tag])?;
    out.write_all(&length.to_le_bytes())
}

fn write_json(out: &mut impl Write, tag: u8, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    write_head(out, tag, bytes.len())?;
    out.write_all(&bytes)
}
