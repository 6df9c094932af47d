//! [`EventFile`]: numbers of a training as `TensorBoard` reads them.
//!
//! A file of records (length, its checksum, bytes, their checksum; checksums are CRC-32C, turned and
//! shifted as `TensorFlow` does), each a protobuf message `Event`. Of its fields only those of scalars are
//! needed, so they are encoded by hand:
//!
//! | field | number | type |
//! |---|---|---|
//! | `Event.wall_time` | 1 | double |
//! | `Event.step` | 2 | int64 |
//! | `Event.file_version` | 3 | string |
//! | `Event.summary` | 5 | `Summary` |
//! | `Event.session_log` | 7 | `SessionLog` |
//! | `Summary.value` | 1 | `Summary.Value`, repeated |
//! | `Summary.Value.tag` | 1 | string |
//! | `Summary.Value.simple_value` | 2 | float |
//! | `SessionLog.status` | 1 | enum; 1 is START |

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::metrics_log::numbers_of;
use crate::utc::since_1970;
use crate::{EpochRecord, NetworkError};

/// A file of events, appended to by whole records.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

/// Types of protobuf fields on the wire.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;
const FIXED_32: u8 = 5;

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// The key of a field; all of ours have numbers below 16, which take one byte.
fn key(message: &mut Vec<u8>, field: u8, wire: u8) {
    message.push(field << 3 | wire);
}

fn bytes(message: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(message, field, BYTES);
    varint(message, value.len() as u64);
    message.extend_from_slice(value);
}

/// An event with its time and step; what it tells is still to be added.
fn event(step: u64) -> Vec<u8> {
    let mut message = Vec::new();
    key(&mut message, 1, FIXED_64);
    message.extend_from_slice(&since_1970().as_secs_f64().to_le_bytes());
    key(&mut message, 2, VARINT);
    // An int64; what is beyond it would be negative.
    varint(&mut message, step.min(i64::MAX as u64));
    message
}

/// The checksum as `TensorFlow` stores it: a CRC of data that holds CRCs would be weak, so it is masked.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked(&length).to_le_bytes());
    record.extend_from_slice(message);
    record.extend_from_slice(&masked(message).to_le_bytes());
    record
}

/// The machine's name as far as a file name may hold it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = name.trim().chars().filter(|&letter| clean(letter)).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

impl EventFile {
    /// A new file `events.out.tfevents.<seconds>.<host>.<process>` in `folder`, which is made where it is
    /// missing. `TensorBoard` shows all files of a folder as one run.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &Path) -> Result<Self, NetworkError> {
        let io = |path: &Path, source| NetworkError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|source| io(folder, source))?;
        let (seconds, process) = (since_1970().as_secs(), std::process::id());
        let name = format!("events.out.tfevents.{seconds:010}.{}.{process}", host());
        // Two files of one process in one second differ by a number.
        let mut attempt = 0;
        let (path, file) = loop {
            let path = match attempt {
                0 => folder.join(&name),
                _ => folder.join(format!("{name}.{attempt}")),
            };
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < 1000 => {
                    attempt += 1;
                }
                Err(source) => return Err(io(&path, source)),
            }
        };
        let mut own = Self { path, file };
        let mut message = event(0);
        bytes(&mut message, 3, b"brain.Event:2");
        own.append(&message)?;
        Ok(own)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One number.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalar(&mut self, step: u64, tag: &str, value: f64) -> Result<(), NetworkError> {
        self.scalars(step, &[(tag.to_owned(), value)])
    }

    /// All numbers of an epoch, at its number.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<(), NetworkError> {
        let numbers: Vec<(String, f64)> = numbers_of(record)
            .into_iter()
            .map(|(phase, metric, value)| (format!("{phase}/{metric}"), value))
            .collect();
        self.scalars(record.epoch, &numbers)
    }

    /// Says that a training goes on at `step`: `TensorBoard` forgets what older files of the folder tell of
    /// this step and later ones.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn resumed(&mut self, step: u64) -> Result<(), NetworkError> {
        let mut message = event(step);
        bytes(&mut message, 7, &[1 << 3 | VARINT, 1]);
        self.append(&message)
    }

    /// Numbers of one step in one event.
    fn scalars(&mut self, step: u64, numbers: &[(String, f64)]) -> Result<(), NetworkError> {
        let mut summary = Vec::new();
        for (tag, number) in numbers {
            let mut value = Vec::new();
            bytes(&mut value, 1, tag.as_bytes());
            key(&mut value, 2, FIXED_32);
            value.extend_from_slice(&(*number as f32).to_le_bytes());
            bytes(&mut summary, 1, &value);
        }
        let mut message = event(step);
        bytes(&mut message, 5, &summary);
        self.append(&message)
    }

    /// One write a record: who is killed leaves a part of the last one at most, which readers leave out.
    fn append(&mut self, message: &[u8]) -> Result<(), NetworkError> {
        self.file
            .write_all(&record(message))
            .map_err(|source| NetworkError::Io { path: self.path.clone(), source })
    }
}
