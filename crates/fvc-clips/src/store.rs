//! [`ClipStore`]: scaled frames on disk.
//!
//! One file a clip: `<root>/<2 hex>/<content id>-<variant>-<size>.fvcclip`.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `FVCCLIP1` |
//! | 4 | length of the header, little-endian |
//! | length | header, JSON: content id, variant, size, width, height, windows (each a list of source positions and times) |
//! | frames x width x height x 3/2 | each frame: Y, then U, then V (4:2:0, 8 bits, BT.709, full range) |
//! | 32 | BLAKE3 of everything before |

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fvc_media::{ContentId, Frame};
use serde::{Deserialize, Serialize};

use crate::{ClipStoreError, SizeSpec, write_atomically};

/// Version of the file format.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"FVCCLIP1";
const TRAILER: u64 = 32;
/// The longest header that is read: a few thousand frames.
const MAX_HEADER: u32 = 4 << 20;

/// What a clip file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// For each window, position in the source and time in seconds of each frame.
    pub windows: Vec<Vec<(u64, f64)>>,
}

/// What was written, for the record of its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipEntry {
    /// Path from the store's root.
    pub path: String,
    /// BLAKE3 of everything before the trailer, in hexadecimal.
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
}

impl ClipStore {
    /// The store in this folder, which is made with the first clip.
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
        Ok(Self { root: root.to_owned() })
    }

    /// Bytes that `clips` clips of `frames` frames take at most, taking frames for square.
    pub fn estimated_bytes(size: SizeSpec, clips: u64, frames: u64) -> u64 {
        let (width, height) = size.target(1, 1);
        clips.saturating_mul(frames * u64::from(width) * u64::from(height) * 3 / 2 + 65_536)
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
        let relative = relative(content_id, variant, size);
        Ok(ClipWriter {
            path: self.root.join(&relative),
            relative,
            header: ClipHeader {
                content_id: *content_id,
                variant,
                size,
                width: 0,
                height: 0,
                windows: Vec::new(),
            },
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
        ClipReader::open(&self.root.join(relative(content_id, variant, size)))
    }

    /// Checks a recorded clip: length and hash of the whole file.
    ///
    /// # Errors
    /// The file is not there or not as it was written.
    pub fn verify(&self, entry: &ClipEntry) -> Result<(), ClipStoreError> {
        let path = self.root.join(&entry.path);
        let io = |source| ClipStoreError::Io { path: path.clone(), source };
        let corrupt = |expected: String, found: String| ClipStoreError::Corrupt {
            path: path.clone(),
            expected,
            found,
        };
        let file = File::open(&path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes != entry.bytes || bytes < TRAILER {
            return Err(corrupt(format!("{} bytes", entry.bytes), format!("{bytes} bytes")));
        }
        let hash = ContentId::of_reader((&file).take(bytes - TRAILER)).map_err(io)?;
        let mut trailer = [0_u8; 32];
        file.read_exact_at(&mut trailer, bytes - TRAILER).map_err(io)?;
        if hash.to_hex() != entry.hash || hash.as_bytes() != &trailer {
            return Err(corrupt(format!("hash {}", entry.hash), format!("hash {hash}")));
        }
        Ok(())
    }
}

fn relative(content_id: &ContentId, variant: u32, size: SizeSpec) -> String {
    let id = content_id.to_hex();
    format!("{}/{id}-{variant}-{size}.fvcclip", &id[..2])
}

/// Takes the windows of one clip and writes them at the end, whole or not at all.
#[derive(Debug)]
pub struct ClipWriter {
    path: PathBuf,
    relative: String,
    header: ClipHeader,
    planes: Vec<u8>,
}

impl ClipWriter {
    /// Adds a window of frames, all of one size with those before, of even sides.
    ///
    /// # Errors
    /// A frame has another size.
    pub fn push_window(&mut self, frames: &[Frame]) -> Result<(), ClipStoreError> {
        for frame in frames {
            if self.header.width == 0 {
                (self.header.width, self.header.height) = (frame.width(), frame.height());
            }
            let fits = (frame.width(), frame.height()) == (self.header.width, self.header.height)
                && frame.width() % 2 == 0
                && frame.height() % 2 == 0;
            if !fits {
                return Err(ClipStoreError::Corrupt {
                    path: self.path.clone(),
                    expected: format!(
                        "frames of {}x{}, even",
                        self.header.width, self.header.height
                    ),
                    found: format!("{}x{}", frame.width(), frame.height()),
                });
            }
            rgb_to_420(frame, &mut self.planes);
        }
        self.header.windows.push(frames.iter().map(|frame| (frame.index, frame.time)).collect());
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> Result<ClipEntry, ClipStoreError> {
        let io = |source| ClipStoreError::Io { path: self.path.clone(), source };
        let header = serde_json::to_vec(&self.header).map_err(|error| io(error.into()))?;
        let length = u32::try_from(header.len())
            .ok()
            .filter(|&length| length <= MAX_HEADER)
            .ok_or_else(|| ClipStoreError::Corrupt {
                path: self.path.clone(),
                expected: format!("a header of at most {MAX_HEADER} bytes"),
                found: format!("{} bytes", header.len()),
            })?;
        let mut bytes = Vec::with_capacity(12 + header.len() + self.planes.len() + 32);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.planes);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        write_atomically(&self.path, &bytes).map_err(io)?;
        Ok(ClipEntry {
            path: self.relative,
            hash: hash.to_hex().to_string(),
            bytes: bytes.len() as u64,
            frames: self.header.windows.iter().map(|window| window.len() as u64).sum(),
        })
    }
}

/// Reads windows of one clip by position.
#[derive(Debug)]
pub struct ClipReader {
    path: PathBuf,
    file: File,
    header: ClipHeader,
    planes_at: u64,
}

impl ClipReader {
    /// Opens a clip file and checks that its length is what its header says.
    ///
    /// # Errors
    /// There is none, or the file is not as it was written.
    pub fn open(path: &Path) -> Result<Self, ClipStoreError> {
        let io = |source| ClipStoreError::Io { path: path.to_owned(), source };
        let corrupt = |expected: &str, found: String| ClipStoreError::Corrupt {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let mut file = File::open(path).map_err(io)?;
        let mut head = [0_u8; 12];
        file.read_exact(&mut head).map_err(io)?;
        if &head[..8] != MAGIC {
            return Err(corrupt("a clip (FVCCLIP1)", "other bytes".to_owned()));
        }
        let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if length > MAX_HEADER {
            return Err(corrupt("a header of at most 4 MiB", format!("{length} bytes")));
        }
        let mut header = Vec::new();
        (&file).take(u64::from(length)).read_to_end(&mut header).map_err(io)?;
        let header: ClipHeader = serde_json::from_slice(&header)
            .map_err(|error| corrupt("a header as JSON", error.to_string()))?;
        let planes_at = 12 + u64::from(length);
        let frames: u64 = header.windows.iter().map(|window| window.len() as u64).sum();
        let expected = frame_bytes(&header)
            .checked_mul(frames)
            .and_then(|planes| planes.checked_add(planes_at + TRAILER));
        let found = file.metadata().map_err(io)?.len();
        if !header.width.is_multiple_of(2)
            || !header.height.is_multiple_of(2)
            || expected != Some(found)
        {
            return Err(corrupt(
                "as many bytes as the header says",
                format!("{found} of {expected:?}"),
            ));
        }
        Ok(Self { path: path.to_owned(), file, header, planes_at })
    }

    /// What the clip says of itself.
    pub fn header(&self) -> &ClipHeader {
        &self.header
    }

    /// The frames of a window, as RGB; nothing when there is no such window.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn window(&self, index: usize) -> Result<Option<Vec<Frame>>, ClipStoreError> {
        let Some(window) = self.header.windows.get(index) else { return Ok(None) };
        let io = |source| ClipStoreError::Io { path: self.path.clone(), source };
        let before: u64 =
            self.header.windows[..index].iter().map(|window| window.len() as u64).sum();
        let bytes = frame_bytes(&self.header);
        let size =
            usize::try_from(bytes).map_err(|_| io(std::io::ErrorKind::OutOfMemory.into()))?;
        let mut planes = vec![0_u8; size];
        let mut frames = Vec::with_capacity(window.len());
        for (number, &(position, time)) in window.iter().enumerate() {
            let at = self.planes_at + (before + number as u64) * bytes;
            self.file.read_exact_at(&mut planes, at).map_err(io)?;
            let rgb = rgb_of_420(&planes, self.header.width as usize, self.header.height as usize);
            let frame = Frame::new(self.header.width, self.header.height, rgb, position, time)
                .map_err(|error| ClipStoreError::Corrupt {
                    path: self.path.clone(),
                    expected: "a picture".to_owned(),
                    found: error.to_string(),
                })?;
            frames.push(frame);
        }
        Ok(Some(frames))
    }
}

fn frame_bytes(header: &ClipHeader) -> u64 {
    u64::from(header.width) * u64::from(header.height) / 2 * 3
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
