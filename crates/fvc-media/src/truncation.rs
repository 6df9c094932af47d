//! Files that end before their container does, where the container itself says how long it is.
//!
//! Demuxers of streams take the end of the file for the end of the video, so that a clip of a few
//! seconds could lose most of itself unnoticed.

use std::io::{Read, Seek, SeekFrom};

/// How much of the end of an Ogg file is looked at: two pages of the largest size.
const TAIL: u64 = 2 * 65_307;

/// What is missing at the end of a file of `bytes` bytes, by FFmpeg's name of its container. Nothing
/// where the container does not say, or where its words make no sense.
pub(crate) fn missing_end(
    source: &mut (impl Read + Seek),
    container: &str,
    bytes: u64,
) -> Option<String> {
    if container.contains("matroska") {
        let mut head = Vec::new();
        source.seek(SeekFrom::Start(0)).ok()?;
        source.by_ref().take(4096).read_to_end(&mut head).ok()?;
        let end = segment_end(&head)?;
        return (end > bytes)
            .then(|| format!("the file ends after {bytes} bytes, its segment after {end}"));
    }
    if container == "ogg" {
        let start = bytes.saturating_sub(TAIL);
        let mut tail = Vec::new();
        source.seek(SeekFrom::Start(start)).ok()?;
        source.by_ref().take(TAIL).read_to_end(&mut tail).ok()?;
        return last_page_trouble(&tail).map(str::to_owned);
    }
    None
}

/// Where the segment of a Matroska file ends (RFC 8794 and RFC 9559): the header, then the segment
/// with its size. Nothing for a size that is not known, as of a live stream.
fn segment_end(head: &[u8]) -> Option<u64> {
    const HEADER: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
    const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
    if head.get(..4)? != HEADER {
        return None;
    }
    let (size, length) = variable_size(head.get(4..)?)?;
    let segment = usize::try_from(size?).ok()?.checked_add(4 + length)?;
    if head.get(segment..segment.checked_add(4)?)? != SEGMENT {
        return None;
    }
    let (size, length) = variable_size(head.get(segment + 4..)?)?;
    size?.checked_add((segment + 4 + length) as u64)
}

/// A variable-size number: its value, or nothing when it says that it is not known; and its length.
fn variable_size(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let mut value = u64::from(first) & ((1 << (8 - length)) - 1);
    for &byte in bytes.get(1..length)? {
        value = (value << 8) | u64::from(byte);
    }
    let unknown = (1_u64 << (7 * length)) - 1;
    Some(((value != unknown).then_some(value), length))
}

/// What is wrong with the last page of an Ogg file (RFC 3533, section 6).
fn last_page_trouble(tail: &[u8]) -> Option<&'static str> {
    let start = tail.windows(4).rposition(|window| window == b"OggS")?;
    let page = tail.get(start..)?;
    let whole = page.get(26).and_then(|&segments| {
        let table = page.get(27..27 + usize::from(segments))?;
        let body: usize = table.iter().map(|&length| usize::from(length)).sum();
        page.get(..27 + table.len() + body)
    });
    match whole {
        None => Some("the last page is cut"),
        Some(page) if page[5] & 4 == 0 => Some("no page ends the stream"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn matroska(segment_size: &[u8], body: usize) -> Vec<u8> {
        let mut file = vec![0x1a, 0x45, 0xdf, 0xa3, 0x83, 1, 2, 3, 0x18, 0x53, 0x80, 0x67];
        file.extend_from_slice(segment_size);
        file.resize(file.len() + body, 7);
        file
    }

    fn found(file: &[u8], container: &str) -> Option<String> {
        missing_end(&mut Cursor::new(file), container, file.len() as u64)
    }

    #[test]
    fn a_segment_that_is_longer_than_its_file_is_told() {
        let sizes: [&[u8]; 2] = [&[0x41, 0x2c], &[0x01, 0, 0, 0, 0, 0, 1, 0x2c]];
        for size in sizes {
            assert_eq!(found(&matroska(size, 300), "matroska,webm"), None);
            assert_eq!(found(&matroska(size, 400), "matroska,webm"), None);
            assert!(found(&matroska(size, 299), "matroska,webm").is_some());
        }
        // A live stream does not know how long it will be.
        assert_eq!(found(&matroska(&[0xff], 10), "matroska,webm"), None);
        assert_eq!(found(&matroska(&[1, 255, 255, 255, 255, 255, 255, 255], 10), "matroska"), None);
    }

    #[test]
    fn bytes_of_any_kind_are_no_trouble() {
        let whole = matroska(&[0x41, 0x2c], 300);
        for cut in 0..16 {
            assert_eq!(found(&whole[..cut], "matroska").is_some(), cut >= 14, "{cut}");
        }
        for first in 0..=255 {
            assert_eq!(found(&[0x1a, 0x45, 0xdf, 0xa3, first, 255, 255], "matroska"), None);
            assert!(found(&[b'O', b'g', b'g', b'S', first], "ogg").is_some());
        }
        assert_eq!(found(b"nothing", "ogg"), None);
        assert_eq!(found(&whole, "avi"), None);
    }

    #[test]
    fn the_last_page_must_be_whole_and_the_last() {
        let page = |flags: u8, body: u8| {
            let mut page = b"OggS".to_vec();
            page.extend([0, flags]);
            page.resize(26, 0);
            page.extend([1, body]);
            page.resize(page.len() + usize::from(body), 9);
            page
        };
        let file = [page(2, 30), page(0, 200), page(4, 100)].concat();
        assert_eq!(found(&file, "ogg"), None);
        assert!(found(&file[..file.len() - 1], "ogg").is_some_and(|told| told.contains("cut")));
        let cut = [page(2, 30), page(0, 200)].concat();
        assert!(found(&cut, "ogg").is_some_and(|told| told.contains("ends the stream")));
    }
}
