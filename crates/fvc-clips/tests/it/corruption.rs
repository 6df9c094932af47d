//! A clip that is not as it was written is an error that names it, whatever was changed.

use std::path::{Path, PathBuf};

use fvc_clips::{ClipEntry, ClipReader, ClipStore, ClipStoreError};

use crate::store::{SIZE, id, window, write};

/// Bytes before the frames, and after the index.
const HEADER: usize = 16;
const TRAILER: usize = 36;
/// 6x4 pixels.
const FRAME: usize = 36;

struct Clip {
    _folder: tempfile::TempDir,
    store: ClipStore,
    entry: ClipEntry,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Three frames of 6x4 pixels in two windows.
fn clip() -> Clip {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let entry = write(&store, &[window(6, 4, 0, 2), window(6, 4, 9, 1)]);
    let path = folder.path().join(&entry.path);
    let bytes = std::fs::read(&path).unwrap();
    Clip { _folder: folder, store, entry, path, bytes }
}

fn assert_names(error: &ClipStoreError, path: &Path) {
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(
        matches!(error, ClipStoreError::Corrupt { .. } | ClipStoreError::Version { .. }),
        "{error:?}"
    );
}

fn open_error(path: &Path) -> ClipStoreError {
    match ClipReader::open(path) {
        Ok(reader) => panic!("opened: {:?}", reader.header()),
        Err(error) => {
            assert_names(&error, path);
            error
        }
    }
}

#[test]
fn a_clip_cut_anywhere_is_refused() {
    let clip = clip();
    for length in 0..clip.bytes.len() {
        std::fs::write(&clip.path, &clip.bytes[..length]).unwrap();
        open_error(&clip.path);
        assert_names(&clip.store.verify(&clip.entry).unwrap_err(), &clip.path);
    }
    for more in [1, FRAME, 4096] {
        std::fs::write(&clip.path, [&clip.bytes[..], &vec![0; more]].concat()).unwrap();
        open_error(&clip.path);
    }
    std::fs::remove_file(&clip.path).unwrap();
    let error = clip.store.verify(&clip.entry).unwrap_err();
    assert!(matches!(error, ClipStoreError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains(clip.path.to_str().unwrap()), "{error}");
}

#[test]
fn a_changed_bit_anywhere_is_found() {
    let clip = clip();
    for at in 0..clip.bytes.len() {
        for bit in [0, 3, 7] {
            let mut bytes = clip.bytes.clone();
            bytes[at] ^= 1 << bit;
            std::fs::write(&clip.path, &bytes).unwrap();
            assert_names(&clip.store.verify(&clip.entry).unwrap_err(), &clip.path);
            let Some(frame) = at.checked_sub(HEADER).map(|at| at / FRAME).filter(|&at| at < 3)
            else {
                open_error(&clip.path);
                continue;
            };
            // The frame is found out when it is read, and the other window is still good.
            let reader = ClipReader::open(&clip.path).unwrap();
            let (hurt, whole) = if frame < 2 { (0, 1) } else { (1, 0) };
            let error = reader.window(hurt).unwrap_err();
            assert_names(&error, &clip.path);
            assert!(error.to_string().contains(&format!("frame {frame} ")), "{error}");
            assert!(reader.window(whole).is_ok());
        }
    }
}

#[test]
fn another_clip_under_the_recorded_name_is_found() {
    let clip = clip();
    let other =
        ClipEntry { path: clip.entry.path.clone(), ..write(&clip.store, &[window(6, 4, 3, 3)]) };
    clip.store.verify(&other).unwrap();
    let error = clip.store.verify(&clip.entry).unwrap_err();
    assert_names(&error, &clip.path);
    for wrong in [
        ClipEntry { frames: 4, ..other.clone() },
        ClipEntry { bytes: other.bytes + 1, ..other.clone() },
        ClipEntry { hash: clip.entry.hash.clone(), ..other.clone() },
        ClipEntry { hash: String::new(), ..other.clone() },
    ] {
        assert_names(&clip.store.verify(&wrong).unwrap_err(), &clip.path);
    }
}

#[test]
fn a_clip_of_another_version_says_what_to_do() {
    let clip = clip();
    for (digit, version) in [(b'1', 1), (b'3', 3)] {
        let mut bytes = clip.bytes.clone();
        bytes[7] = digit;
        // One of the first format may be shorter than any of this one.
        for length in [12, bytes.len()] {
            std::fs::write(&clip.path, &bytes[..length]).unwrap();
            let error = clip.store.read(&id(), 0, SIZE).unwrap_err();
            assert_names(&error, &clip.path);
            assert!(
                matches!(error, ClipStoreError::Version { expected: 2, found, .. } if found == version),
                "{error:?}"
            );
            assert!(error.to_string().contains("run `fvc scale` again"), "{error}");
        }
    }
    for magic in [b"FVCCLIPx", b"RIFFCLIP", b"\0\0\0\0\0\0\0\0"] {
        let mut bytes = clip.bytes.clone();
        bytes[..8].copy_from_slice(magic);
        std::fs::write(&clip.path, bytes).unwrap();
        assert!(matches!(open_error(&clip.path), ClipStoreError::Corrupt { .. }));
    }
}

/// A file with a good seal, made by somebody who knows the format.
fn forged(width: u32, height: u32, planes: &[u8], index: &str) -> Vec<u8> {
    let header = [&b"FVCCLIP2"[..], &width.to_le_bytes(), &height.to_le_bytes()].concat();
    let length = (index.len() as u32).to_le_bytes();
    let seal = blake3::hash(&[&header[..], index.as_bytes(), &length].concat());
    [&header[..], planes, index.as_bytes(), &length, seal.as_bytes()].concat()
}

#[test]
fn lies_under_a_good_seal_are_refused_before_they_cost_memory() {
    let clip = clip();
    let end = clip.bytes.len() - TRAILER;
    let planes = &clip.bytes[HEADER..HEADER + 3 * FRAME];
    let index = std::str::from_utf8(&clip.bytes[HEADER + 3 * FRAME..end]).unwrap();
    // The forger knows the format indeed.
    assert_eq!(forged(6, 4, planes, index), clip.bytes);

    let no_windows = format!("{}\"windows\":[]}}", &index[..index.find("\"windows\"").unwrap()]);
    let empty_windows = no_windows.replace("[]", "[[],[]]");
    let lies = [
        (4, 6, planes, "{}".to_owned()),
        (12, 4, planes, index.to_owned()),
        (6, 2, planes, index.to_owned()),
        (0, 4, planes, index.to_owned()),
        (9, 2, &planes[..81], index.to_owned()),
        (3, 8, planes, index.to_owned()),
        (24, 1, planes, index.to_owned()),
        (u32::MAX - 1, u32::MAX - 1, planes, index.to_owned()),
        (1 << 31, 1 << 31, planes, index.to_owned()),
        // Without frames, any size would fit the length.
        (60_000, 60_000, &[], no_windows.clone()),
        (60_000, 60_000, &[], empty_windows),
        (0, 0, &[], no_windows),
        (6, 4, planes, String::new()),
        (6, 4, planes, "[".repeat(10_000)),
        (6, 4, planes, index.replacen("0.1", "null", 1)),
        (6, 4, planes, index.replacen("0.1", "1e999", 1)),
        (6, 4, planes, index.replacen("\"variant\":0", "\"variant\":-1", 1)),
        (6, 4, planes, index.replacen("32max", "1max", 1)),
        (6, 4, planes, index.replacen("\"position\"", "\"place\"", 1)),
        (6, 4, planes, index.replacen("\"variant\"", "\"more\":1,\"variant\"", 1)),
    ];
    for (number, (width, height, planes, index)) in lies.into_iter().enumerate() {
        std::fs::write(&clip.path, forged(width, height, planes, &index)).unwrap();
        let error = ClipReader::open(&clip.path).err();
        assert!(error.is_some(), "lie {number} was believed: {width}x{height} {index}");
        assert_names(&error.unwrap(), &clip.path);
    }
    // One that is longer than any, and for the rest as it should be.
    let long = format!("{index}{}", " ".repeat(16 << 20));
    std::fs::write(&clip.path, forged(6, 4, planes, &long)).unwrap();
    assert!(open_error(&clip.path).to_string().contains("16 MiB"));
    // An index longer than the file, and one longer than any.
    for length in [end as u32, 1 << 25, u32::MAX] {
        let mut bytes = clip.bytes.clone();
        bytes[end..end + 4].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&clip.path, bytes).unwrap();
        let error = open_error(&clip.path).to_string();
        assert!(error.contains(&length.to_string()), "{error}");
    }
}

/// A clip under its seal can still say what cannot be: bars where there are none, a picture beside its
/// frame or on odd pixels.
#[test]
fn a_picture_that_cannot_be_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let size: fvc_clips::SizeSpec = "8letterbox".parse().unwrap();
    let mut writer = store.writer(&id(), 0, size).unwrap();
    writer.push_window(&window(8, 4, 0, 1)).unwrap();
    let path = folder.path().join(writer.finish().unwrap().path);
    let bytes = std::fs::read(&path).unwrap();
    let (planes, rest) = bytes[HEADER..bytes.len() - TRAILER].split_at(8 * 8 * 3 / 2);
    let index = std::str::from_utf8(rest).unwrap();
    let own = r#","picture":{"left":0,"top":2,"width":8,"height":4}"#;
    assert!(index.contains(own), "{index}");
    let sealed_with = |told: &str| {
        std::fs::write(&path, forged(8, 8, planes, &index.replace(own, told))).unwrap();
    };
    for (left, top, width, height) in [
        (0, 6, 8, 4),
        (2, 0, 8, 4),
        (0, 1, 8, 4),
        (0, 0, 8, 3),
        (0, 0, 0, 4),
        (u32::MAX - 1, 0, 4, 4),
    ] {
        sealed_with(&format!(
            r#","picture":{{"left":{left},"top":{top},"width":{width},"height":{height}}}"#
        ));
        let error = open_error(&path).to_string();
        assert!(error.contains("a picture on even pixels"), "{error}");
    }
    sealed_with("");
    assert!(open_error(&path).to_string().contains("of a letterboxed frame"));
    sealed_with(own);
    ClipReader::open(&path).unwrap();
}
