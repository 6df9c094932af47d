//! The format without this crate: `tools/numpy_clip_reader.py`.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use fvc_clips::ClipStore;

use crate::store::{SIZE, id, window, write};

/// The interpreter that `FVC_PYTHON` names, or python3, or the system's own; nothing, and a line in
/// the log of skipped tests, when none has NumPy.
fn python(test: &str) -> Option<String> {
    let names = match std::env::var("FVC_PYTHON") {
        Ok(name) => vec![name],
        Err(_) => vec!["python3".to_owned(), "/usr/bin/python3".to_owned()],
    };
    let has_numpy = |name: &String| {
        let output = Command::new(name).args(["-c", "import numpy"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if let Some(name) = names.iter().find(|name| has_numpy(name)) {
        return Some(name.clone());
    }
    let reason = format!("{} has no NumPy", names.join(" or "));
    let line = format!("SKIP {test}: {reason}; FVC_PYTHON can name another interpreter\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
    None
}

#[test]
fn numpy_reads_the_same_pixels() {
    let Some(python) = python("numpy_reads_the_same_pixels") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/numpy_clip_reader.py");
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let entry = write(&store, &[window(258, 146, 0, 3), Vec::new(), window(258, 146, 50, 2)]);
    let path = folder.path().join(&entry.path);
    // The digest of the pixels is the interpreter's own; ours go to it as a file.
    let reader = store.read(&id(), 0, SIZE).unwrap();
    let mut pixels = Vec::new();
    for number in 0..3 {
        for frame in reader.window(number).unwrap().unwrap() {
            pixels.extend_from_slice(frame.data());
        }
    }
    let raw = folder.path().join("pixels.rgb");
    std::fs::write(&raw, &pixels).unwrap();
    let digest =
        "import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())";
    let told = |arguments: &[&str]| {
        let output = Command::new(&python).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = told(&["-c", digest, raw.to_str().unwrap()]);
    let windows: Vec<Vec<(u64, f64)>> = reader
        .header()
        .windows
        .iter()
        .map(|window| window.iter().map(|frame| (frame.position, frame.time)).collect())
        .collect();
    let found = told(&[script.to_str().unwrap(), path.to_str().unwrap()]);
    let lines: Vec<&str> = found.lines().collect();
    let [shape, found_windows, sha256] = lines[..] else { panic!("{found}") };
    assert_eq!(shape, "shape 5 146 258 3");
    let found_windows: Vec<Vec<(u64, f64)>> =
        serde_json::from_str(found_windows.strip_prefix("windows ").unwrap()).unwrap();
    assert_eq!(found_windows, windows);
    assert_eq!(sha256.strip_prefix("sha256 "), Some(expected.trim()));

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[7] = b'1';
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new(&python).args([&script, &path]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("expected a clip of format 2"), "{error}");
}
