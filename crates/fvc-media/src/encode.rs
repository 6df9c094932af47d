//! [`encode_h264`] and [`Encoder`]: frames to an H.264 MP4.
//!
//! libx264 with one thread, decisions that do not depend on the machine's vector instructions, no
//! clock and no library version in the container: the same frames and settings give the same
//! bytes wherever the same FFmpeg and x264 are linked.
//!
//! A frame with an odd side loses its last column or row (4:2:0 has no half chroma samples). The
//! frames are shown at a constant rate, one after the other; their own times are not used.

mod error;
#[allow(unsafe_code)] // FFmpeg's C interface; everything unsafe of encoding is in this module
mod muxer;
mod planes;
mod settings;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

pub use error::EncodeError;
pub use settings::{ColorMatrix, ColorTags, EncodeSettings, PRESETS};

use crate::Frame;
use crate::write_fault::Write;
use muxer::{Muxer, Target};

/// The longest side that H.264 and x264 take.
const MAX_SIDE: u32 = 16_384;

/// Encodes frames of one size to an MP4 in memory (index at the end of it).
///
/// # Errors
/// No frame, frames of several sizes, a side below 2 or above 16384, a setting out of range, or
/// FFmpeg fails.
///
/// # Examples
/// ```
/// use fvc_media::{EncodeSettings, Frame, Rational, encode_h264};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let frame = Frame::new(32, 16, vec![90; 3 * 32 * 16], 0, 0.0)?;
/// let settings = EncodeSettings::new(Rational::new(30_000, 1_001));
/// let mp4 = encode_h264(&[frame], &settings)?;
/// assert_eq!(&mp4[4..8], b"ftyp");
/// # Ok(())
/// # }
/// ```
pub fn encode_h264(frames: &[Frame], settings: &EncodeSettings) -> Result<Vec<u8>, EncodeError> {
    let first = frames.first().ok_or(EncodeError::NoFrames)?;
    let mut stream = Stream::open(Target::Memory, first.width(), first.height(), settings)?;
    for frame in frames {
        stream.push(frame)?;
    }
    stream.finish()
}

/// An MP4 that is written frame by frame: to a temporary file beside the target, which is synced
/// and renamed at [`finish`](Self::finish), so that the target is there whole or not at all. Its
/// index comes first ("fast start").
pub struct Encoder {
    stream: Stream,
    file: Unfinished,
}

impl Encoder {
    /// Starts an MP4 at `path` for frames of this size. Folders are made.
    ///
    /// # Errors
    /// A side below 2 or above 16384, a setting out of range, the file cannot be made, or FFmpeg
    /// fails.
    pub fn create(
        path: &Path,
        width: u32,
        height: u32,
        settings: &EncodeSettings,
    ) -> Result<Self, EncodeError> {
        let file = Unfinished::beside(path)?;
        let stream = Stream::open(Target::File(&file.temporary), width, height, settings)
            .map_err(|error| of_system(error, path))?;
        Ok(Self { stream, file })
    }

    /// Encodes the next frame.
    ///
    /// # Errors
    /// The frame has another size than the first, the disk is full, or FFmpeg fails.
    pub fn push(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.stream.push(frame).map_err(|error| of_system(error, &self.file.path))
    }

    /// Ends the MP4, syncs it and gives it its name. Returns how many bytes it has. An encoder
    /// that is dropped instead leaves no file.
    ///
    /// # Errors
    /// No frame was pushed, the file cannot be written, synced or renamed, or FFmpeg fails.
    pub fn finish(self) -> Result<u64, EncodeError> {
        self.stream.finish().map_err(|error| of_system(error, &self.file.path))?;
        self.file.finish()
    }
}

/// FFmpeg gives the system's own numbers, negated, where the system refused the file; other numbers are
/// of other kinds, and the encoder's own.
fn of_system(error: EncodeError, path: &Path) -> EncodeError {
    match error {
        EncodeError::Library { code, .. }
            if matches!(
                -code,
                libc::ENOSPC
                    | libc::EFBIG
                    | libc::EDQUOT
                    | libc::EROFS
                    | libc::EACCES
                    | libc::EPERM
                    | libc::EIO
                    | libc::ENOENT
                    | libc::ENOTDIR
                    | libc::EMFILE
                    | libc::ENFILE
            ) =>
        {
            let source = std::io::Error::from_raw_os_error(-code);
            EncodeError::Io { path: path.to_owned(), source }
        }
        error => error,
    }
}

/// A file under its temporary name; removed when it is dropped unfinished.
struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
    folder: PathBuf,
    finished: bool,
}

impl Unfinished {
    fn beside(path: &Path) -> Result<Self, EncodeError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let io = |source| EncodeError::Io { path: path.to_owned(), source };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(io)?;
        let name = path.file_name().ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.{number}.tmp", process::id()));
        Ok(Self {
            temporary: folder.join(temporary),
            path: path.to_owned(),
            folder: folder.to_owned(),
            finished: false,
        })
    }

    fn finish(mut self) -> Result<u64, EncodeError> {
        let renamed = (|| {
            let file = File::open(&self.temporary)?;
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            let write = Write::synced();
            fs::rename(&self.temporary, &self.path)?;
            self.finished = true;
            write.renamed();
            File::open(&self.folder)?.sync_all()?;
            Ok(bytes)
        })();
        renamed.map_err(|source| EncodeError::Io { path: self.path.clone(), source })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Whatever went wrong before was reported; there may be no file yet.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// What both ways of encoding have in common.
struct Stream {
    muxer: Muxer,
    width: u32,
    height: u32,
    frames: u64,
}

impl Stream {
    fn open(
        target: Target<'_>,
        width: u32,
        height: u32,
        settings: &EncodeSettings,
    ) -> Result<Self, EncodeError> {
        settings.check()?;
        if !(2..=MAX_SIDE).contains(&width) || !(2..=MAX_SIDE).contains(&height) {
            return Err(EncodeError::FrameSize {
                number: 0,
                expected: format!("sides of 2 to {MAX_SIDE} pixels"),
                found: format!("{width}x{height}"),
            });
        }
        let muxer = Muxer::open(target, width & !1, height & !1, settings)?;
        Ok(Self { muxer, width, height, frames: 0 })
    }

    fn push(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        if (frame.width(), frame.height()) != (self.width, self.height) {
            return Err(EncodeError::FrameSize {
                number: self.frames,
                expected: format!("{}x{}", self.width, self.height),
                found: format!("{}x{}", frame.width(), frame.height()),
            });
        }
        self.muxer.push(frame.data(), 3 * self.width as usize)?;
        self.frames += 1;
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, EncodeError> {
        if self.frames == 0 {
            return Err(EncodeError::NoFrames);
        }
        self.muxer.finish()
    }
}
