//! How a frame index and a sampling are written in the cache: numbers of variable length, each
//! the difference to the one before it, so that a packet costs about eight bytes.
//!
//! Reading is bounded by the bytes that are there: no count is believed before that many entries
//! could fit.

use crate::{FrameIndex, PacketFacts, PictureType, Rational};

const PRESENTATION: u8 = 1;
const DECODING: u8 = 2;
const POSITION: u8 = 4;
const KEY: u8 = 8;
const DISCARDED: u8 = 16;
const PICTURE_SHIFT: u8 = 5;

/// What does not decode, in words.
pub(super) type Defect = String;

fn write_unsigned(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Small numbers of either sign become small numbers: 0, -1, 1, -2 are 0, 1, 2, 3.
fn write_signed(into: &mut Vec<u8>, value: i64) {
    write_unsigned(into, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

struct Bytes<'a> {
    left: &'a [u8],
}

impl Bytes<'_> {
    fn byte(&mut self) -> Result<u8, Defect> {
        let (&first, rest) = self.left.split_first().ok_or("it ends too early")?;
        self.left = rest;
        Ok(first)
    }

    fn unsigned(&mut self) -> Result<u64, Defect> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits".to_owned())
    }

    fn signed(&mut self) -> Result<i64, Defect> {
        let value = self.unsigned()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// A count of entries that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize, Defect> {
        let count = self.unsigned()?;
        if count > (self.left.len() / least) as u64 {
            return Err(format!("{count} entries in {} bytes", self.left.len()));
        }
        Ok(count as usize)
    }

    fn end(&self) -> Result<(), Defect> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(format!("{} bytes after the end", self.left.len()))
        }
    }
}

/// A number as the difference to the one before it; wraps, so that every value survives.
fn write_step(into: &mut Vec<u8>, value: i64, previous: &mut i64) {
    write_signed(into, value.wrapping_sub(*previous));
    *previous = value;
}

fn read_step(from: &mut Bytes<'_>, previous: &mut i64) -> Result<i64, Defect> {
    *previous = previous.wrapping_add(from.signed()?);
    Ok(*previous)
}

pub(super) fn write_index(index: &FrameIndex) -> Vec<u8> {
    let mut into = Vec::with_capacity(16 + 10 * index.packets.len() + 2 * index.frame_times.len());
    write_signed(&mut into, index.time_base.numerator);
    write_signed(&mut into, index.time_base.denominator);
    write_unsigned(&mut into, index.packets.len() as u64);
    let (mut presentation, mut decoding, mut position) = (0, 0, 0);
    for packet in &index.packets {
        let picture = match packet.picture {
            PictureType::Unknown => 0,
            PictureType::I => 1,
            PictureType::P => 2,
            PictureType::B => 3,
        };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        into.push(
            flag(packet.presentation.is_some(), PRESENTATION)
                | flag(packet.decoding.is_some(), DECODING)
                | flag(packet.position.is_some(), POSITION)
                | flag(packet.key, KEY)
                | flag(packet.discarded, DISCARDED)
                | picture << PICTURE_SHIFT,
        );
        if let Some(value) = packet.presentation {
            write_step(&mut into, value, &mut presentation);
        }
        if let Some(value) = packet.decoding {
            write_step(&mut into, value, &mut decoding);
        }
        if let Some(value) = packet.position {
            write_step(&mut into, value.cast_signed(), &mut position);
        }
        write_unsigned(&mut into, u64::from(packet.bytes));
    }
    write_unsigned(&mut into, index.frame_times.len() as u64);
    let mut time = 0;
    for &value in &index.frame_times {
        write_step(&mut into, value, &mut time);
    }
    into
}

pub(super) fn read_index(bytes: &[u8]) -> Result<FrameIndex, Defect> {
    let mut from = Bytes { left: bytes };
    let time_base = Rational::new(from.signed()?, from.signed()?);
    // A packet takes at least its flags and its size.
    let count = from.count(2)?;
    let mut packets = Vec::with_capacity(count);
    let (mut presentation, mut decoding, mut position) = (0, 0, 0);
    for _ in 0..count {
        let flags = from.byte()?;
        let mut step = |bit: u8, previous: &mut i64| -> Result<Option<i64>, Defect> {
            if flags & bit == 0 { Ok(None) } else { read_step(&mut from, previous).map(Some) }
        };
        let presentation = step(PRESENTATION, &mut presentation)?;
        let decoding = step(DECODING, &mut decoding)?;
        let position = step(POSITION, &mut position)?.map(i64::cast_unsigned);
        let bytes = from.unsigned()?;
        packets.push(PacketFacts {
            presentation,
            decoding,
            position,
            bytes: u32::try_from(bytes).map_err(|_| format!("a packet of {bytes} bytes"))?,
            key: flags & KEY != 0,
            discarded: flags & DISCARDED != 0,
            picture: match flags >> PICTURE_SHIFT {
                0 => PictureType::Unknown,
                1 => PictureType::I,
                2 => PictureType::P,
                3 => PictureType::B,
                other => return Err(format!("picture type {other}")),
            },
        });
    }
    let count = from.count(1)?;
    let mut frame_times = Vec::with_capacity(count);
    let mut time = 0;
    for _ in 0..count {
        frame_times.push(read_step(&mut from, &mut time)?);
    }
    from.end()?;
    Ok(FrameIndex { time_base, packets, frame_times })
}

pub(super) fn write_windows(windows: &[Vec<u64>]) -> Vec<u8> {
    let mut into = Vec::new();
    write_unsigned(&mut into, windows.len() as u64);
    let mut position = 0;
    for window in windows {
        write_unsigned(&mut into, window.len() as u64);
        for &value in window {
            write_step(&mut into, value.cast_signed(), &mut position);
        }
    }
    into
}

pub(super) fn read_windows(bytes: &[u8]) -> Result<Vec<Vec<u64>>, Defect> {
    let mut from = Bytes { left: bytes };
    let count = from.count(1)?;
    let mut windows = Vec::with_capacity(count);
    let mut position = 0;
    for _ in 0..count {
        let frames = from.count(1)?;
        let mut window = Vec::with_capacity(frames);
        for _ in 0..frames {
            window.push(read_step(&mut from, &mut position)?.cast_unsigned());
        }
        windows.push(window);
    }
    from.end()?;
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{read_index, read_windows, write_index, write_windows};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// What is read from any bytes is bounded by them, and what reads writes back alike in
        /// meaning.
        #[test]
        fn any_bytes_are_an_error_or_an_entry(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(index) = read_index(&bytes) {
                prop_assert!(index.packets.len() + index.frame_times.len() <= bytes.len());
                prop_assert_eq!(read_index(&write_index(&index)), Ok(index));
            }
            if let Ok(windows) = read_windows(&bytes) {
                prop_assert!(windows.iter().map(Vec::len).sum::<usize>() <= bytes.len());
                prop_assert_eq!(read_windows(&write_windows(&windows)), Ok(windows));
            }
        }
    }

    #[test]
    fn a_count_is_not_believed_before_its_entries_could_fit() {
        // Time base 0/0, then 2^63 packets.
        let mut bytes = vec![0, 0];
        super::write_unsigned(&mut bytes, 1 << 63);
        assert!(read_index(&bytes).is_err());
        assert!(read_windows(&[0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
        // Eleven bytes of a number, and one of more than 64 bits.
        assert!(read_windows(&[0x80; 11]).is_err());
        assert!(
            read_windows(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err()
        );
    }
}
