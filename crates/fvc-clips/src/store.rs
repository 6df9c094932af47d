//! [`ClipStore`]: scaled frames on disk.
//!
//! One file a clip: `<root>/<2 hex>/<content id>-<variant>-<size>.fvcclip`. Numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `FVCCLIP2` |
//! | 4 | width, even |
//! | 4 | height, even |
//! | frames x width x height x 3/2 | each frame: Y, then U, then V (4:2:0, 8 bits, BT.709, full range) |
//! | length | the index, JSON: content id, variant, size, picture, windows; a window is a list of frames, each with its position in the source, its time in seconds and the BLAKE3 of its bytes here |
//! | 4 | length of the index |
//! | 32 | the seal: BLAKE3 of the first 16 bytes, the index and its length |
//!
//! The picture is there for letterboxed sizes only, and says where on the frames it lies: left, top, width
//! and height, all even; the rest of the frame is black. In any other clip it is the whole frame.
//!
//! The seal and the hashes in the index hold every byte. The file is written from front to back,
//! frame by frame, under a temporary name; `tools/numpy_clip_reader.py` reads it without this crate.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fvc_media::{ContentId, Frame};
use serde::{Deserialize, Serialize};

use crate::atomic::{AtomicFile, sweep};
use crate::letterbox::{PictureArea, letterbox};
use crate::{ClipStoreError, SizeSpec};

/// Version of the file format.
pub const FORMAT_VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"FVCCLIP2";
const EXTENSION: &str = "fvcclip";
/// Magic, width, height.
const HEADER: u64 = 16;
/// Length of the index, seal.
const TRAILER: u64 = 36;
/// The longest index that is written or read: some hundred thousand frames.
const MAX_INDEX: u64 = 16 << 20;

/// What a clip file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipHeader {
    /// The source.
    pub content_id: ContentId,
    /// 0 for the original, 1.. for variants.
    pub variant: u32,
    /// The named size.
    pub size: SizeSpec,
    /// Width of the frames, even.
    pub width: u32,
    /// Height of the frames, even.
    pub height: u32,
    /// Where the picture lies on letterboxed frames; on others it is the whole frame.
    pub picture: Option<PictureArea>,
    /// The frames of each window.
    pub windows: Vec<Vec<ClipFrame>>,
}

/// What a clip file says of one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipFrame {
    /// Position in the source.
    pub position: u64,
    /// Time in seconds.
    pub time: f64,
    /// BLAKE3 of the frame's bytes in the file.
    pub hash: ContentId,
}

/// The index as it is in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClipIndex {
    content_id: ContentId,
    variant: u32,
    size: SizeSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    picture: Option<PictureArea>,
    windows: Vec<Vec<ClipFrame>>,
}

impl ClipIndex {
    /// Width and height of the frames that pictures of this size are in.
    fn size_of_frames(&self, width: u32, height: u32) -> (u32, u32) {
        if self.size.is_letterbox() { self.size.target(width, height) } else { (width, height) }
    }
}

/// What was written, for the record of its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipEntry {
    /// Path from the store's root.
    pub path: String,
    /// The file's seal, in hexadecimal.
    pub hash: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Frames in it.
    pub frames: u64,
}

/// A folder of clips.
#[derive(Clone, Debug)]
pub struct ClipStore {
    root: PathBuf,
    tag: String,
}

impl ClipStore {
    /// The store in this folder, which is made with the first clip. What killed writers left in it
    /// is removed.
    ///
    /// # Errors
    /// The path is there and no folder.
    pub fn open(root: &Path) -> Result<Self, ClipStoreError> {
        if root.exists() && !root.is_dir() {
            return Err(ClipStoreError::Corrupt {
                path: root.to_owned(),
                expected: "a folder".to_owned(),
                found: "something else".to_owned(),
            });
        }
        if let Ok(folders) = fs::read_dir(root) {
            for folder in folders.flatten() {
                sweep(&folder.path(), EXTENSION);
            }
        }
        Ok(Self { root: root.to_owned(), tag: String::new() })
    }

    /// The same store for clips that were made in one way (of one sampling, say): a clip of the same
    /// source, variant and size that was made in another way keeps its file. The tag, of letters and
    /// digits, becomes part of the names.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Self {
        let tag = tag.chars().filter(char::is_ascii_alphanumeric).collect();
        Self { tag, ..self.clone() }
    }

    fn relative(&self, content_id: &ContentId, variant: u32, size: SizeSpec) -> String {
        let id = content_id.to_hex();
        let tag = if self.tag.is_empty() { String::new() } else { format!("-{}", self.tag) };
        format!("{}/{id}-{variant}-{size}{tag}.{EXTENSION}", &id[..2])
    }

    /// Bytes that `clips` clips of `frames` frames take at most, taking frames for square.
    pub fn estimated_bytes(size: SizeSpec, clips: u64, frames: u64) -> u64 {
        let (width, height) = size.target(1, 1);
        // Beside its bytes, each frame has some 140 in the index.
        let frame = u64::from(width) * u64::from(height) / 2 * 3 + 256;
        clips.saturating_mul(frames.saturating_mul(frame).saturating_add(4096))
    }

    /// Checks that the disk has this much room, and a tenth more.
    ///
    /// # Errors
    /// It has not.
    pub fn check_free_space(&self, bytes: u64) -> Result<(), ClipStoreError> {
        let io = |source| ClipStoreError::Io { path: self.root.clone(), source };
        fs::create_dir_all(&self.root).map_err(io)?;
        let free = fs4::available_space(&self.root).map_err(io)?;
        let needed = bytes.saturating_add(bytes / 10);
        if free < needed {
            return Err(ClipStoreError::NoRoom { path: self.root.clone(), needed, free });
        }
        Ok(())
    }

    /// A writer for one clip.
    ///
    /// # Errors
    /// None today.
    pub fn writer(
        &self,
        content_id: &ContentId,
        variant: u32,
        size: SizeSpec,
    ) -> Result<ClipWriter, ClipStoreError> {
        let relative = self.relative(content_id, variant, size);
        Ok(ClipWriter {
            path: self.root.join(&relative),
            relative,
            index: ClipIndex {
                content_id: *content_id,
                variant,
                size,
                picture: None,
                windows: Vec::new(),
            },
            width: 0,
            height: 0,
            frames: 0,
            state: State::Empty,
            planes: Vec::new(),
        })
    }

    /// Opens a clip.
    ///
    /// # Errors
    /// There is none, or the file is not as it was written.
    pub fn read(
        &self,
        content_id: &ContentId,
        variant: u32,
        size: SizeSpec,
    ) -> Result<ClipReader, ClipStoreError> {
        ClipReader::open(&self.root.join(self.relative(content_id, variant, size)))
    }

    /// Checks a recorded clip: its length, its seal, and every frame against its hash.
    ///
    /// # Errors
    /// The file is not there or not as it was written.
    pub fn verify(&self, entry: &ClipEntry) -> Result<(), ClipStoreError> {
        let path = self.root.join(&entry.path);
        let reader = ClipReader::open(&path)?;
        let differs = |what: &str, expected: &dyn ToString, found: &dyn ToString| {
            Err(ClipStoreError::Corrupt {
                path: path.clone(),
                expected: format!("{what} {}", expected.to_string()),
                found: found.to_string(),
            })
        };
        if reader.bytes != entry.bytes {
            return differs("length", &entry.bytes, &reader.bytes);
        }
        if reader.seal.to_hex().as_str() != entry.hash {
            return differs("seal", &entry.hash, &reader.seal);
        }
        if reader.frames != entry.frames {
            return differs("frames", &entry.frames, &reader.frames);
        }
        let mut planes = reader.frame_buffer()?;
        for (number, frame) in reader.header.windows.iter().flatten().enumerate() {
            reader.read_frame(number as u64, frame, &mut planes)?;
        }
        Ok(())
    }
}

/// Takes the windows of one clip and writes each frame as it comes, under a temporary name; the clip
/// is there when it is finished, whole. Dropped before, it leaves nothing.
#[derive(Debug)]
pub struct ClipWriter {
    path: PathBuf,
    relative: String,
    index: ClipIndex,
    /// Of the pictures that are pushed, without bars.
    width: u32,
    height: u32,
    frames: u64,
    state: State,
    planes: Vec<u8>,
}

/// Where a writer stands.
#[derive(Debug)]
enum State {
    /// No frame yet, no file.
    Empty,
    /// Header and some frames are written.
    Open(AtomicFile),
    /// A write failed; what is in the file is not known.
    Failed,
}

impl ClipWriter {
    /// Adds a window of scaled pictures, all of one size with those before, of even sides, at times
    /// that are numbers. Those of a letterboxed size come without bars and get them here. A window
    /// that is refused leaves the clip as it was.
    ///
    /// # Errors
    /// A frame is not so, or cannot be written. After a failed write the clip cannot be finished.
    pub fn push_window(&mut self, frames: &[Frame]) -> Result<(), ClipStoreError> {
        let Some(first) = frames.first() else {
            self.index.windows.push(Vec::new());
            return Ok(());
        };
        let (width, height) = match self.state {
            State::Empty => (first.width(), first.height()),
            State::Open(_) | State::Failed => (self.width, self.height),
        };
        for frame in frames {
            let fits = (frame.width(), frame.height()) == (width, height)
                && frame.width().is_multiple_of(2)
                && frame.height().is_multiple_of(2);
            if !fits {
                return Err(self.refused(
                    format!("frames of {width}x{height}, even"),
                    format!("{}x{}", frame.width(), frame.height()),
                ));
            }
            if !frame.time.is_finite() {
                return Err(self.refused("a time in seconds".to_owned(), frame.time.to_string()));
            }
        }
        let size = self.index.size;
        let picture = PictureArea::of(size, width, height);
        let (frame_width, frame_height) = self.index.size_of_frames(width, height);
        if picture.is_some() != size.is_letterbox() {
            return Err(self.refused(
                format!("pictures of at most {frame_width}x{frame_height}"),
                format!("{width}x{height}"),
            ));
        }
        (self.width, self.height) = (width, height);
        self.index.picture = picture;
        // Whatever stops this half way leaves the writer failed.
        let file = match std::mem::replace(&mut self.state, State::Failed) {
            State::Empty => AtomicFile::create(&self.path).and_then(|mut file| {
                file.write_all(&header_bytes(frame_width, frame_height))?;
                Ok(file)
            }),
            State::Open(file) => Ok(file),
            State::Failed => return Err(self.failed()),
        };
        let io = |source| ClipStoreError::Io { path: self.path.clone(), source };
        let mut file = file.map_err(io)?;
        let mut window = Vec::with_capacity(frames.len());
        for frame in frames {
            self.planes.clear();
            if picture.is_some() {
                rgb_to_420(&letterbox(frame.clone(), size)?, &mut self.planes);
            } else {
                rgb_to_420(frame, &mut self.planes);
            }
            file.write_all(&self.planes).map_err(io)?;
            let hash = ContentId::of_bytes(&self.planes);
            window.push(ClipFrame { position: frame.index, time: frame.time, hash });
        }
        self.frames += frames.len() as u64;
        self.index.windows.push(window);
        self.state = State::Open(file);
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// It cannot be written, or has no frame.
    pub fn finish(mut self) -> Result<ClipEntry, ClipStoreError> {
        let mut file = match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(file) => file,
            State::Empty => {
                return Err(self.refused("at least one frame".to_owned(), "none".to_owned()));
            }
            State::Failed => return Err(self.failed()),
        };
        let io = |source| ClipStoreError::Io { path: self.path.clone(), source };
        let index = serde_json::to_vec(&self.index).map_err(|error| io(error.into()))?;
        if index.len() as u64 > MAX_INDEX {
            return Err(self.refused(
                format!("an index of at most {MAX_INDEX} bytes"),
                format!("{} bytes", index.len()),
            ));
        }
        let length = (index.len() as u32).to_le_bytes();
        let (width, height) = self.index.size_of_frames(self.width, self.height);
        let seal = seal(&header_bytes(width, height), &index, &length);
        let end = [&index[..], &length, seal.as_bytes()].concat();
        file.write_all(&end).and_then(|()| file.commit()).map_err(io)?;
        let planes = self.frames * self.planes.len() as u64;
        Ok(ClipEntry {
            path: self.relative,
            hash: seal.to_hex().to_string(),
            bytes: HEADER + planes + end.len() as u64,
            frames: self.frames,
        })
    }

    fn refused(&self, expected: String, found: String) -> ClipStoreError {
        ClipStoreError::Corrupt { path: self.path.clone(), expected, found }
    }

    fn failed(&self) -> ClipStoreError {
        self.refused("a clip whose frames were all written".to_owned(), "a failed write".to_owned())
    }
}

fn header_bytes(width: u32, height: u32) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&width.to_le_bytes());
    bytes[12..].copy_from_slice(&height.to_le_bytes());
    bytes
}

fn seal(header: &[u8], index: &[u8], length: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(header).update(index).update(length).finalize()
}

/// Reads windows of one clip by position.
#[derive(Debug)]
pub struct ClipReader {
    path: PathBuf,
    file: File,
    header: ClipHeader,
    seal: blake3::Hash,
    bytes: u64,
    frames: u64,
    frame_bytes: u64,
}

impl ClipReader {
    /// Opens a clip file and checks its seal, and that its length is what its index says.
    ///
    /// # Errors
    /// There is none, it is of another version, or the file is not as it was written.
    pub fn open(path: &Path) -> Result<Self, ClipStoreError> {
        let io = |source| ClipStoreError::Io { path: path.to_owned(), source };
        let corrupt = |expected: &str, found: String| ClipStoreError::Corrupt {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes < 8 {
            return Err(corrupt("a clip", format!("{bytes} bytes")));
        }
        let mut header = [0_u8; HEADER as usize];
        file.read_exact_at(&mut header[..8], 0).map_err(io)?;
        if &header[..8] != MAGIC {
            let version = header[7].wrapping_sub(b'0');
            return Err(if header[..7] == MAGIC[..7] && version < 10 {
                ClipStoreError::Version {
                    path: path.to_owned(),
                    expected: FORMAT_VERSION,
                    found: version.into(),
                }
            } else {
                corrupt("a clip (FVCCLIP2)", "other bytes".to_owned())
            });
        }
        if bytes < HEADER + TRAILER {
            return Err(corrupt("a whole clip", format!("{bytes} bytes")));
        }
        file.read_exact_at(&mut header[8..], 8).map_err(io)?;
        let mut trailer = [0_u8; TRAILER as usize];
        file.read_exact_at(&mut trailer, bytes - TRAILER).map_err(io)?;
        let (length, found_seal) = trailer.split_at(4);
        let index_bytes = u64::from(u32_of(length));
        if index_bytes > MAX_INDEX.min(bytes - HEADER - TRAILER) {
            return Err(corrupt(
                "an index of at most 16 MiB that the file has room for",
                format!("{index_bytes} bytes of index in {bytes} bytes"),
            ));
        }
        let mut index = vec![0_u8; index_bytes as usize];
        file.read_exact_at(&mut index, bytes - TRAILER - index_bytes).map_err(io)?;
        let seal = seal(&header, &index, length);
        if seal.as_bytes() != found_seal {
            return Err(corrupt("a clip under its seal", "other bytes".to_owned()));
        }
        let index: ClipIndex = serde_json::from_slice(&index)
            .map_err(|error| corrupt("an index as JSON", error.to_string()))?;
        let (width, height) = (u32_of(&header[8..12]), u32_of(&header[12..]));
        let frames: u64 = index.windows.iter().map(|window| window.len() as u64).sum();
        let planes = bytes - HEADER - TRAILER - index_bytes;
        // No frame is longer than the file: below, memory is asked for by its length.
        let frame_bytes = (u64::from(width) * u64::from(height) / 2)
            .checked_mul(3)
            .filter(|&frame| frame > 0 && frame.checked_mul(frames) == Some(planes) && frames > 0)
            .filter(|_| width.is_multiple_of(2) && height.is_multiple_of(2));
        let Some(frame_bytes) = frame_bytes else {
            return Err(corrupt(
                "frames that fill the file",
                format!("{frames} frames of {width}x{height} in {planes} bytes"),
            ));
        };
        let ClipIndex { content_id, variant, size, picture, windows } = index;
        let lies_within = picture.is_none_or(|picture| picture.lies_within(width, height));
        if picture.is_some() != size.is_letterbox() || !lies_within {
            return Err(corrupt(
                "a picture on even pixels of a letterboxed frame, and of no other",
                format!("{picture:?} on {size} frames of {width}x{height}"),
            ));
        }
        let header = ClipHeader { content_id, variant, size, width, height, picture, windows };
        Ok(Self { path: path.to_owned(), file, header, seal, bytes, frames, frame_bytes })
    }

    /// What the clip says of itself.
    pub fn header(&self) -> &ClipHeader {
        &self.header
    }

    /// The frames of a window, as RGB; nothing when there is no such window.
    ///
    /// # Errors
    /// The file cannot be read, or a frame is not as it was written.
    pub fn window(&self, index: usize) -> Result<Option<Vec<Frame>>, ClipStoreError> {
        let Some(window) = self.header.windows.get(index) else { return Ok(None) };
        let before: u64 =
            self.header.windows[..index].iter().map(|window| window.len() as u64).sum();
        let mut planes = self.frame_buffer()?;
        let mut frames = Vec::with_capacity(window.len());
        for (number, entry) in window.iter().enumerate() {
            self.read_frame(before + number as u64, entry, &mut planes)?;
            let (width, height) = (self.header.width, self.header.height);
            let rgb = rgb_of_420(&planes, width as usize, height as usize);
            let frame = Frame::new(width, height, rgb, entry.position, entry.time)
                .map_err(|error| self.corrupt("a picture".to_owned(), error.to_string()))?;
            frames.push(frame);
        }
        Ok(Some(frames))
    }

    fn frame_buffer(&self) -> Result<Vec<u8>, ClipStoreError> {
        let bytes = usize::try_from(self.frame_bytes)
            .map_err(|_| self.io(std::io::ErrorKind::OutOfMemory.into()))?;
        Ok(vec![0; bytes])
    }

    /// Reads a frame by its number in the file and checks it against its hash.
    fn read_frame(
        &self,
        number: u64,
        entry: &ClipFrame,
        planes: &mut [u8],
    ) -> Result<(), ClipStoreError> {
        let at = HEADER + number * self.frame_bytes;
        self.file.read_exact_at(planes, at).map_err(|source| self.io(source))?;
        let found = ContentId::of_bytes(planes);
        if found != entry.hash {
            let expected = format!("frame {number} with hash {}", entry.hash);
            return Err(self.corrupt(expected, format!("hash {found}")));
        }
        Ok(())
    }

    fn io(&self, source: std::io::Error) -> ClipStoreError {
        ClipStoreError::Io { path: self.path.clone(), source }
    }

    fn corrupt(&self, expected: String, found: String) -> ClipStoreError {
        ClipStoreError::Corrupt { path: self.path.clone(), expected, found }
    }
}

/// A scaled picture as a clip would give it back: what a network has learnt from, for what it shall judge.
///
/// # Errors
/// A side is odd.
pub fn as_stored(frame: &Frame) -> Result<Frame, ClipStoreError> {
    let (width, height) = (frame.width(), frame.height());
    let wrong = |found: String| ClipStoreError::Corrupt {
        path: PathBuf::new(),
        expected: "a picture of even sides".to_owned(),
        found,
    };
    if !width.is_multiple_of(2) || !height.is_multiple_of(2) {
        return Err(wrong(format!("{width}x{height}")));
    }
    let mut planes = Vec::new();
    rgb_to_420(frame, &mut planes);
    let rgb = rgb_of_420(&planes, width as usize, height as usize);
    Frame::new(width, height, rgb, frame.index, frame.time)
        .map_err(|error| wrong(error.to_string()))
}

/// The number in four bytes.
fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// RGB to 4:2:0: BT.709 luma weights, full range, chroma of the mean of each 2x2 block. In units of
/// 2^-16, rounded.
fn rgb_to_420(frame: &Frame, out: &mut Vec<u8>) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let data = frame.data();
    let channel = |x: usize, y: usize, c: usize| i32::from(data[3 * (y * width + x) + c]);
    out.reserve(width * height / 2 * 3);
    for pixel in data.chunks_exact(3) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
        out.push(((13_933 * r + 46_871 * g + 4_732 * b + 32_768) >> 16).clamp(0, 255) as u8);
    }
    for [red, green, blue] in [[-7_509, -25_259, 32_768], [32_768, -29_763, -3_005]] {
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let sum = |c: usize| {
                    channel(x, y, c)
                        + channel(x + 1, y, c)
                        + channel(x, y + 1, c)
                        + channel(x + 1, y + 1, c)
                };
                let value = red * sum(0) + green * sum(1) + blue * sum(2);
                // Four pixels: two bits more below the point.
                out.push((128 + ((value + (1 << 17)) >> 18)).clamp(0, 255) as u8);
            }
        }
    }
}

/// The inverse of [`rgb_to_420`]; a chroma sample covers its 2x2 block.
fn rgb_of_420(planes: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (luma, chroma) = planes.split_at(width * height);
    let (blue, red) = chroma.split_at(chroma.len() / 2);
    let mut rgb = Vec::with_capacity(width * height * 3);
    for (at, &sample) in luma.iter().enumerate() {
        let block = at / width / 2 * (width / 2) + at % width / 2;
        let y = i32::from(sample) << 16;
        let (u, v) = (i32::from(blue[block]) - 128, i32::from(red[block]) - 128);
        for value in [y + 103_206 * v, y - 12_276 * u - 30_679 * v, y + 121_609 * u] {
            rgb.push(((value + 32_768) >> 16).clamp(0, 255) as u8);
        }
    }
    rgb
}
