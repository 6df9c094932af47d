//! What is written comes back, and nothing else is there.

use std::path::{Path, PathBuf};

use fvc_clips::{ClipEntry, ClipReader, ClipStore, ClipStoreError, SizeSpec};
use fvc_media::{ContentId, Frame};
use proptest::prelude::*;

use crate::picture::{Kind, pixels};

pub(crate) const SIZE: SizeSpec = SizeSpec::max_side(32);

pub(crate) fn id() -> ContentId {
    ContentId::of_bytes(b"a source")
}

/// A window of frames that are all different, from a position on.
pub(crate) fn window(width: u32, height: u32, from: u32, frames: u32) -> Vec<Frame> {
    let frame = |number: u32| {
        // Noise and flat blocks: every colour there is.
        let kind = if number.is_multiple_of(2) { Kind::Blocks } else { Kind::Static };
        let data = pixels(kind, width, height, number);
        // Tenths, which no f64 has.
        Frame::new(width, height, data, u64::from(number), f64::from(number) * 0.1).unwrap()
    };
    (from..from + frames).map(frame).collect()
}

pub(crate) fn write(store: &ClipStore, windows: &[Vec<Frame>]) -> ClipEntry {
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    for window in windows {
        writer.push_window(window).unwrap();
    }
    writer.finish().unwrap()
}

/// Every file below a folder, hidden ones too.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The weights of red and blue in BT.709.
const RED: f64 = 0.2126;
const BLUE: f64 = 0.0722;

/// The planes of a frame, Y, U, V, by the definition of BT.709 in f64.
fn planes_of(frame: &Frame) -> Vec<f64> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let rgb = |x: usize, y: usize| {
        let at = 3 * (y * width + x);
        [0, 1, 2].map(|channel| f64::from(frame.data()[at + channel]))
    };
    let luma = |[r, g, b]: [f64; 3]| RED * r + (1.0 - RED - BLUE) * g + BLUE * b;
    let mut planes = Vec::new();
    for y in 0..height {
        planes.extend((0..width).map(|x| luma(rgb(x, y))));
    }
    for (channel, weight) in [(2, BLUE), (0, RED)] {
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let block = [rgb(x, y), rgb(x + 1, y), rgb(x, y + 1), rgb(x + 1, y + 1)];
                let sum: f64 = block.iter().map(|&pixel| pixel[channel] - luma(pixel)).sum();
                planes.push(128.0 + sum / 4.0 / (2.0 * (1.0 - weight)));
            }
        }
    }
    planes
}

/// Packed RGB of planes, by the same definition.
fn rgb_of(planes: &[u8], width: usize) -> Vec<f64> {
    let luma_bytes = planes.len() / 3 * 2;
    let mut rgb = Vec::new();
    for (at, &luma) in planes[..luma_bytes].iter().enumerate() {
        let block = at / width / 2 * (width / 2) + at % width / 2;
        let chroma =
            |plane: usize| f64::from(planes[luma_bytes + plane * luma_bytes / 4 + block]) - 128.0;
        let luma = f64::from(luma);
        let red = luma + 2.0 * (1.0 - RED) * chroma(1);
        let blue = luma + 2.0 * (1.0 - BLUE) * chroma(0);
        let green = (luma - RED * red - BLUE * blue) / (1.0 - RED - BLUE);
        rgb.extend([red, green, blue]);
    }
    rgb
}

/// Rounding, the 16 bits of the weights, and being cut to 0 to 255 are all that may differ.
fn assert_rounded(found: &[u8], exact: &[f64]) {
    assert_eq!(found.len(), exact.len());
    for (at, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let error = f64::from(found) - exact.clamp(0.0, 255.0);
        assert!(error.abs() < 0.503, "sample {at}: {found} for {exact}");
    }
}

#[test]
fn clips_come_back_as_they_were_written() {
    for (width, height, windows) in [
        (2, 2, vec![1]),
        (2, 6, vec![3]),
        (34, 18, vec![16, 1, 16]),
        (32, 18, vec![40; 3]),
        (258, 146, vec![2, 0, 2]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = ClipStore::open(&folder.path().join("store")).unwrap();
        let mut from = 0;
        let windows: Vec<Vec<Frame>> = windows
            .into_iter()
            .map(|frames| {
                let window = window(width, height, from, frames);
                from += frames + 7;
                window
            })
            .collect();
        let entry = write(&store, &windows);
        let path = folder.path().join("store").join(&entry.path);
        assert_eq!(files(folder.path()), std::slice::from_ref(&path));
        assert_eq!(entry.bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!(entry.frames, windows.iter().map(|window| window.len() as u64).sum::<u64>());
        store.verify(&entry).unwrap();

        let reader = store.read(&id(), 0, SIZE).unwrap();
        let header = reader.header();
        assert_eq!((header.content_id, header.variant, header.size), (id(), 0, SIZE));
        assert_eq!((header.width, header.height), (width, height));
        assert_eq!(header.windows.len(), windows.len());
        assert!(reader.window(windows.len()).unwrap().is_none());
        let bytes = std::fs::read(&path).unwrap();
        let frame_bytes = (width * height * 3 / 2) as usize;
        for (planes, frame) in bytes[16..].chunks(frame_bytes).zip(windows.iter().flatten()) {
            assert_rounded(planes, &planes_of(frame));
        }
        // Last first: by position, not in turn.
        let mut before = entry.frames as usize;
        for (number, expected) in windows.iter().enumerate().rev() {
            let found = reader.window(number).unwrap().unwrap();
            assert_eq!(found.len(), expected.len());
            before -= expected.len();
            let mut planes = bytes[16 + before * frame_bytes..].chunks(frame_bytes);
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!((found.index, found.time), (expected.index, expected.time));
                assert_eq!((found.width(), found.height()), (width, height));
                assert_rounded(found.data(), &rgb_of(planes.next().unwrap(), width as usize));
            }
        }
    }
}

#[test]
fn grey_comes_back_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let levels = (0..=255).flat_map(|level| [level; 3]).collect();
    let frame = Frame::new(16, 16, levels, 5, 0.2).unwrap();
    write(&store, &[vec![frame.clone()]]);
    let found = store.read(&id(), 0, SIZE).unwrap().window(0).unwrap().unwrap();
    assert_eq!(found, [frame]);
}

#[test]
fn equal_clips_are_equal_bytes_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let windows = [window(32, 18, 0, 3), window(32, 18, 9, 2)];
    let mut bytes = Vec::new();
    for name in ["a", "b"] {
        let store = ClipStore::open(&folder.path().join(name)).unwrap();
        let entry = write(&store, &windows);
        // Over one that is there already.
        assert_eq!(write(&store, &windows), entry);
        bytes.push((
            entry.clone(),
            std::fs::read(folder.path().join(name).join(entry.path)).unwrap(),
        ));
    }
    assert_eq!(bytes[0], bytes[1]);
    let store = ClipStore::open(&folder.path().join("a")).unwrap();
    assert_ne!(write(&store, &windows[..1]).hash, bytes[0].0.hash);
}

/// The bytes of one clip, as the documentation of the format has them; they change only with
/// `FORMAT_VERSION`.
#[test]
fn the_format_is_this() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let entry = write(&store, &[vec![Frame::new(2, 2, vec![200; 12], 7, 0.28).unwrap()]]);
    let id = id().to_hex();
    assert_eq!(entry.path, format!("{}/{id}-0-32max.fvcclip", &id[..2]));
    let planes = [200, 200, 200, 200, 128, 128];
    let hash = blake3::hash(&planes).to_hex();
    let index = format!(
        r#"{{"content_id":"{id}","variant":0,"size":"32max","windows":[[{{"position":7,"time":0.28,"hash":"{hash}"}}]]}}"#
    );
    let header = [&b"FVCCLIP2"[..], &[2, 0, 0, 0], &[2, 0, 0, 0]].concat();
    let length = (index.len() as u32).to_le_bytes();
    let seal = blake3::hash(&[&header[..], index.as_bytes(), &length].concat());
    assert_eq!(entry.hash, seal.to_hex().as_str());
    let expected = [&header[..], &planes, index.as_bytes(), &length, seal.as_bytes()].concat();
    assert_eq!(std::fs::read(folder.path().join(entry.path)).unwrap(), expected);
    assert_eq!(fvc_clips::FORMAT_VERSION, 2);
}

/// A whole clip was once gathered in memory before its first byte was written.
#[test]
fn frames_are_on_disk_as_soon_as_they_are_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
    for number in 1..=3_u64 {
        writer.push_window(&window(32, 18, 0, 2)).unwrap();
        let files = files(folder.path());
        assert_eq!(files.len(), 1);
        let frames = number * 2 * 32 * 18 * 3 / 2;
        assert_eq!(std::fs::metadata(&files[0]).unwrap().len(), 16 + frames);
        assert!(store.read(&id(), 0, SIZE).is_err(), "a part is visible");
    }
    drop(writer);
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn frames_that_do_not_fit_are_refused_and_leave_the_clip_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    let frame = |width, height, time| {
        let data = pixels(Kind::Static, width, height, 1);
        Frame::new(width, height, data, 0, time).unwrap()
    };
    let refused = |error: ClipStoreError| {
        let text = error.to_string();
        assert!(matches!(error, ClipStoreError::Corrupt { .. }), "{error:?}");
        assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
        text
    };
    for (width, height) in [(31, 18), (32, 17), (1, 1)] {
        let text = refused(writer.push_window(&[frame(width, height, 0.0)]).unwrap_err());
        assert!(text.contains(&format!("{width}x{height}")), "{text}");
    }
    writer.push_window(&window(32, 18, 0, 2)).unwrap();
    for bad in [frame(18, 32, 0.0), frame(32, 18, f64::NAN), frame(32, 18, f64::INFINITY)] {
        refused(writer.push_window(&[frame(32, 18, 0.0), bad]).unwrap_err());
    }
    let entry = writer.finish().unwrap();
    assert_eq!(entry.frames, 2);
    store.verify(&entry).unwrap();

    let mut nothing = store.writer(&id(), 1, SIZE).unwrap();
    nothing.push_window(&[]).unwrap();
    refused(nothing.finish().unwrap_err());
    assert!(matches!(store.read(&id(), 1, SIZE), Err(ClipStoreError::Io { .. })));
}

#[test]
fn a_clip_cannot_be_finished_after_a_failed_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    // Where the clip's folder should be made there is a file.
    std::fs::write(folder.path().join(&id().to_hex()[..2]), b"").unwrap();
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    let error = writer.push_window(&window(32, 18, 0, 1)).unwrap_err();
    assert!(matches!(error, ClipStoreError::Io { .. }), "{error:?}");
    assert!(writer.push_window(&window(32, 18, 0, 1)).is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn a_clip_that_could_not_be_read_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    // 140 bytes of index each, and no more than 16 MiB of it.
    let frame = Frame::new(2, 2, vec![1; 12], u64::MAX, -1.234_567_890_123_456_7e-300).unwrap();
    writer.push_window(&vec![frame; 130_000]).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("index of at most 16777216 bytes"), "{error}");
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_disk_that_is_too_small_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    store.check_free_space(1).unwrap();
    let error = store.check_free_space(u64::MAX).unwrap_err();
    assert!(matches!(error, ClipStoreError::NoRoom { .. }), "{error:?}");
    assert_eq!(
        ClipStore::estimated_bytes(SizeSpec::max_side(16_384), u64::MAX, u64::MAX),
        u64::MAX
    );
    let error = ClipStore::open(&folder.path().join(write(&store, &[window(32, 18, 0, 1)]).path));
    assert!(matches!(error, Err(ClipStoreError::Corrupt { .. })), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_clip_takes_no_more_than_was_estimated(
        frames in prop::collection::vec(1_u32..20, 1..5), variant in any::<u32>(), position in any::<u64>(), time in -1e300..1e300,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = ClipStore::open(folder.path()).unwrap();
        let mut writer = store.writer(&id(), variant, SIZE).unwrap();
        for &frames in &frames {
            let mut window = window(32, 32, 0, frames);
            for frame in &mut window {
                (frame.index, frame.time) = (position, time);
            }
            writer.push_window(&window).unwrap();
        }
        let entry = writer.finish().unwrap();
        let most = ClipStore::estimated_bytes(SIZE, 1, frames.iter().map(|&n| u64::from(n)).sum());
        prop_assert!(entry.bytes <= most, "{} of {most}", entry.bytes);
        let reader = ClipReader::open(&folder.path().join(&entry.path)).unwrap();
        let frame = &reader.header().windows[0][0];
        prop_assert_eq!((frame.position, frame.time, reader.header().variant), (position, time, variant));
    }
}
