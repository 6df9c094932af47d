//! Writers that are killed, and several at once.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_clips::{ClipStore, ClipStoreError};

use crate::store::{SIZE, files, id, window, write};

/// Where the child writes.
const STORE: &str = "FVC_TEST_CLIP_STORE";
/// Set: it kills itself after the first of two windows.
const HALF_WAY: &str = "FVC_TEST_KILL_HALF_WAY";

/// No test: what the tests below run in a process of its own, to be killed.
#[test]
#[ignore = "run by the other tests, as a child"]
fn child() {
    let store = ClipStore::open(Path::new(&std::env::var(STORE).unwrap())).unwrap();
    let mut writer = store.writer(&id(), 0, SIZE).unwrap();
    writer.push_window(&window(32, 18, 0, 2)).unwrap();
    if std::env::var_os(HALF_WAY).is_some() {
        let own = std::process::id().to_string();
        // The shell's own `kill`: small systems have no program of that name.
        Command::new("sh").args(["-c", "kill -9 \"$1\"", "sh", &own]).status().unwrap();
    }
    writer.push_window(&window(32, 18, 9, 2)).unwrap();
    writer.finish().unwrap();
}

/// Runs [`child`] and asserts that it was killed.
fn killed_child(root: &Path, variable: &str, value: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored"])
        .env(STORE, root)
        .env(variable, value)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
}

#[test]
fn a_killed_writer_leaves_no_clip_and_its_leftover_is_swept() {
    for (variable, value) in [("FVC_FAULT_KILL_AT_WRITE", "1"), (HALF_WAY, "1")] {
        let folder = tempfile::tempdir().unwrap();
        killed_child(folder.path(), variable, value);
        let left = files(folder.path());
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].extension().unwrap() == "tmp", "{left:?}");
        let before = ClipStore::open(folder.path()).unwrap();
        assert!(matches!(before.read(&id(), 0, SIZE), Err(ClipStoreError::Io { .. })));
        assert_eq!(files(folder.path()).len(), 0, "not swept");

        let entry = write(&before, &[window(32, 18, 0, 2), window(32, 18, 9, 2)]);
        before.verify(&entry).unwrap();
        // Killed again, it leaves the one that is there.
        killed_child(folder.path(), variable, value);
        let again = ClipStore::open(folder.path()).unwrap();
        again.verify(&entry).unwrap();
        assert_eq!(files(folder.path()), [folder.path().join(&entry.path)]);
    }
}

#[test]
fn a_writer_killed_after_the_rename_leaves_a_whole_clip() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    killed_child(folder.path(), "FVC_FAULT_KILL_AT_WRITE", "1:after");
    let expected = write(
        &ClipStore::open(other.path()).unwrap(),
        &[window(32, 18, 0, 2), window(32, 18, 9, 2)],
    );
    ClipStore::open(folder.path()).unwrap().verify(&expected).unwrap();
    assert_eq!(files(folder.path()), [folder.path().join(&expected.path)]);
}

#[test]
fn a_sweep_takes_leftovers_of_clips_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let entry = write(&store, &[window(32, 18, 0, 1)]);
    let beside = folder.path().join(&entry.path).parent().unwrap().to_owned();
    let stale = [".a-0-32max.fvcclip.1.0.tmp", ".a-0-32max.fvcclip.4194304.17.tmp"];
    let kept = [
        "a-0-32max.fvcclip.1.0.tmp",
        ".a.mp4.1.0.tmp",
        ".a-0-32max.fvcclip.1.tmp",
        ".a-0-32max.fvcclip.1.0",
        ".a-0-32max.fvcclip.1..tmp",
        "notes.txt",
    ];
    for name in stale.iter().chain(&kept) {
        std::fs::write(beside.join(name), b"part").unwrap();
    }
    // Still being written, by this process.
    let mut writer = store.writer(&id(), 1, SIZE).unwrap();
    writer.push_window(&window(32, 18, 0, 1)).unwrap();

    let again = ClipStore::open(folder.path()).unwrap();
    for name in stale {
        assert!(!beside.join(name).exists(), "{name} was left");
    }
    for name in kept {
        assert!(beside.join(name).exists(), "{name} was removed");
    }
    let second = writer.finish().unwrap();
    again.verify(&second).unwrap();
    again.verify(&entry).unwrap();
}

#[test]
fn writers_readers_and_sweeps_at_once_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let windows = [window(32, 18, 0, 2), window(32, 18, 9, 2)];
    let entry = write(&store, &windows);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                ClipStore::open(folder.path()).unwrap().verify(&entry).unwrap();
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..25 {
                        assert_eq!(write(&store, &windows), entry);
                    }
                })
            })
            .collect();
        let ended: Vec<bool> = writers.into_iter().map(|writer| writer.join().is_ok()).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ended, [true; 4]);
    });
    store.verify(&entry).unwrap();
    assert_eq!(files(folder.path()), [folder.path().join(&entry.path)]);
}
