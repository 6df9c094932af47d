//! `TensorBoard`'s files, read back by a reader of their format that shares nothing with the writer.

use std::fs;
use std::path::Path;

use fvc_nn::EventFile;

use crate::metrics_log::record;

/// CRC-32C bit by bit, from its definition (Castagnoli's polynomial, reflected).
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

fn unmask(stored: u32) -> u32 {
    stored.wrapping_sub(0xA282_EAD8).rotate_left(15)
}

#[derive(Debug, PartialEq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(data: &mut &[u8]) -> u64 {
    let mut value = 0;
    for at in 0.. {
        let byte = data[0];
        *data = &data[1..];
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a protobuf message.
fn fields(mut data: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut data)),
            wire => {
                let length = match wire {
                    1 => 8,
                    2 => varint(&mut data) as usize,
                    5 => 4,
                    _ => panic!("wire type {wire}"),
                };
                let (value, rest) = data.split_at(length);
                data = rest;
                Value::Bytes(value)
            }
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn messages(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let stored = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        assert_eq!(unmask(stored(8)), crc32c(&rest[..8]), "checksum of the length");
        let message = &rest[12..12 + length];
        assert_eq!(unmask(stored(12 + length)), crc32c(message), "checksum of the message");
        messages.push(message.to_vec());
        rest = &rest[16 + length..];
    }
    messages
}

/// Step, tag and value of every scalar.
fn scalars(path: &Path) -> Vec<(u64, String, f32)> {
    let mut found = Vec::new();
    for message in messages(path) {
        let mut step = 0;
        for (field, value) in fields(&message) {
            match (field, value) {
                (2, Value::Number(own)) => step = own,
                (5, Value::Bytes(summary)) => {
                    for (_, value) in fields(summary) {
                        let Value::Bytes(value) = value else { panic!("{value:?}") };
                        let [(1, Value::Bytes(tag)), (2, Value::Bytes(number))] = fields(value)[..]
                        else {
                            panic!("{value:?}")
                        };
                        let tag = String::from_utf8(tag.to_vec()).unwrap();
                        found.push((step, tag, f32::from_le_bytes(number.try_into().unwrap())));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn the_checksum_is_castagnolis() {
    // The check value of CRC-32C.
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
}

#[test]
fn scalars_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("run_a");
    let mut events = EventFile::create(&runs).unwrap();
    events.scalar(1, "training/loss", 0.5).unwrap();
    events.scalar(300, "training/Verlust ä", -2.0).unwrap();
    events.scalar(u64::MAX, "training/loss", f64::NAN).unwrap();
    let found = scalars(events.path());
    assert_eq!(found[0], (1, "training/loss".to_owned(), 0.5));
    assert_eq!(found[1], (300, "training/Verlust ä".to_owned(), -2.0));
    assert_eq!(found[2].0, i64::MAX as u64);
    assert!(found[2].2.is_nan());
    let all = messages(events.path());
    assert!(fields(&all[0]).contains(&(3, Value::Bytes(b"brain.Event:2"))), "the version is first");
    let name = events.path().file_name().unwrap().to_str().unwrap();
    let parts: Vec<&str> = name.strip_prefix("events.out.tfevents.").unwrap().split('.').collect();
    assert!(parts[0].len() == 10 && parts[0].parse::<u64>().is_ok(), "{name}");
    assert_eq!(*parts.last().unwrap(), std::process::id().to_string(), "{name}");
}

#[test]
fn an_epoch_is_one_event_and_a_resumption_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = EventFile::create(folder.path()).unwrap();
    events.resumed(7).unwrap();
    events.epoch(&record(7)).unwrap();
    let all = messages(events.path());
    assert_eq!(all.len(), 3);
    assert!(fields(&all[1]).contains(&(7, Value::Bytes(&[8, 1]))));
    let found = scalars(events.path());
    assert!(found.contains(&(7, "validation/log_loss".to_owned(), 0.6)));
    assert!(found.iter().all(|(step, _, _)| *step == 7));
}

#[test]
fn two_files_of_one_second_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let first = EventFile::create(folder.path()).unwrap();
    let second = EventFile::create(folder.path()).unwrap();
    assert_ne!(first.path(), second.path());
    assert_eq!(messages(first.path()).len(), 1);
}
