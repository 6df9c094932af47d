//! Disks that are full or closed to us, and processes that die while they hold locks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, encode, fvc, run, skipped, told};
use crate::workspaces::{bytes_of, files_below, without_passes};

const STAGES: [&str; 10] = [
    "run",
    "--stages",
    "1-4",
    "--variants",
    "1",
    "--kinds",
    "h264_transcode",
    "--size",
    "48",
    "--materialise",
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn half_written(workspace: &Path) -> Vec<PathBuf> {
    let all = files_below(workspace).into_iter();
    all.filter(|path| path.extension().is_some_and(|own| own == "tmp")).collect()
}

/// An error of several lines as one.
fn line(err: &str) -> String {
    err.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// The same command with files of at most so many blocks of 512 bytes: a write that goes beyond is an
/// error, as on a full disk, for whoever runs the tests.
fn limited(blocks: u32, arguments: &[&str]) -> (i32, String, String) {
    let binary = fvc();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f \"$1\" && shift && exec \"$@\"", "sh", &blocks.to_string()])
        .arg(binary.get_program())
        .args(binary.get_args())
        .args(arguments)
        .env_remove("FVC_WORKSPACE")
        .env_remove("FVC_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    told(&output)
}

/// A full disk made every source a failure of its own, under the name of its encoder or decoder.
#[test]
fn a_write_that_fails_names_its_file_and_leaves_nothing_half_written() {
    if !can_make_footage("a_write_that_fails_names_its_file_and_leaves_nothing_half_written") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let whole = folder.path().join("whole");
    assert_eq!(run(&["-w", text(&whole), "index", text(&table)]).0, 0);
    assert_eq!(run(&[&["-w", text(&whole)][..], &STAGES].concat()).0, 0);

    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let mut failed = [0, 0];
    for (at, command) in [&["index", text(&table)][..], &STAGES].into_iter().enumerate() {
        let arguments = [&["-w", ws][..], command].concat();
        for blocks in [0, 1, 3, 8, 20, 60, 100, 150, 200, 250, 400] {
            let (code, out, err) = limited(blocks, &arguments);
            assert_eq!(half_written(&workspace), Vec::<PathBuf>::new(), "{blocks}: {err}");
            if code == 0 {
                continue;
            }
            failed[at] += 1;
            assert_eq!(code, 1, "{blocks}: {out}{err}");
            let err = line(&err);
            assert!(err.contains(ws), "{blocks}: {err}");
            assert!(err.contains("File too large") || err.contains("disk I/O error"), "{err}");
        }
        let (code, out, err) = run(&arguments);
        assert_eq!(code, 0, "{out}{err}");
    }
    // A limit that stops nothing would test nothing.
    assert!(failed[0] >= 3 && failed[1] >= 5, "{failed:?}");
    assert_eq!(run(&["-w", ws, "verify"]).0, 0);
    let (made, expected) = (bytes_of(&workspace), bytes_of(&whole));
    assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in expected.iter().filter(|(name, _)| !name.ends_with("manifest.json")) {
        // What a stopped run had finished is not made again, so that some sources had no second pass.
        assert!(*bytes == made[name], "{name} differs");
    }
}

/// What a script says in a mount namespace of its own, with a small disk of its own at `$1`.
fn with_small_disk(script: &str, arguments: &[&str]) -> std::process::Output {
    Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .args(arguments)
        .env_remove("FVC_WORKSPACE")
        .env_remove("FVC_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_and_a_closed_one_stop_a_run_that_goes_on_when_there_is_room() {
    let test = "a_full_disk_and_a_closed_one_stop_a_run_that_goes_on_when_there_is_room";
    if !can_make_footage(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let can_mount = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", text(&disk)])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !can_mount {
        skipped(test, "no small disk can be mounted here (user namespaces are closed)");
        return;
    }
    let table = corpus(&folder.path().join("corpus"), 2);
    let whole = folder.path().join("whole");
    assert_eq!(run(&["-w", text(&whole), "index", text(&table)]).0, 0);
    assert_eq!(run(&[&["-w", text(&whole)][..], &STAGES].concat()).0, 0);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    // Codes and complaints go to the other disk; so does the workspace, when it is done.
    let script = r#"
        disk=$1 out=$2 table=$3 fvc=$4 making=$5; shift 5
        mount -t tmpfs -o size=60k tmpfs "$disk" || exit 1
        step() {
            name=$1; shift
            "$fvc" --quiet -w "$disk/ws" "$@" >"$out/$name.out" 2>"$out/$name.err"
            echo $? >"$out/$name.code"
            find "$disk" -name '*.tmp' >"$out/$name.half"
        }
        step index_small index "$table"
        mount -o remount,size=16m "$disk"
        step index index "$table"
        mount -o remount,ro "$disk"
        step index_closed index "$table"
        step run_closed "$@"
        step verify_closed verify
        step repair_closed verify --repair
        mount -o remount,rw,size=16m "$disk"
        # Filled but for so many kilobytes; without clips, of which it is known what room they need.
        for free in 8 40 80 100 120 240; do
            dd if=/dev/zero of="$disk/filler" bs=4k 2>/dev/null
            truncate -s "-${free}K" "$disk/filler"
            step "run_$free" run --stages 1,2,4 $making
            step "room_$free" "$@"
            rm -f "$disk/filler"
        done
        step run "$@"
        step verify verify
        find "$disk" | sort >"$out/before"
        mount -o remount,ro "$disk"
        step verify_after verify
        step explain_closed index --explain-group "$(dirname "$table")/real/clip0.mp4"
        find "$disk" | sort >"$out/after"
        mount -o remount,rw,size=16m "$disk"
        cp -a "$disk/ws" "$out/ws"
    "#;
    let making = STAGES[3..].join(" ");
    let arguments = [text(&disk), text(&out), text(&table), env!("CARGO_BIN_EXE_fvc"), &making];
    let ended = with_small_disk(script, &[&arguments[..], &STAGES].concat());
    let complaints = String::from_utf8_lossy(&ended.stderr).into_owned();
    let read = |name: &str| {
        std::fs::read_to_string(out.join(name)).unwrap_or_else(|_| format!("? {complaints}"))
    };
    let step = |name: &str| {
        assert_eq!(read(&format!("{name}.half")), "", "{name}");
        let code = read(&format!("{name}.code"));
        (code.trim().to_owned(), line(&read(&format!("{name}.err"))))
    };
    for (name, expected, words) in [
        ("index_small", "1", "full"),
        ("index", "0", ""),
        ("index_closed", "1", "Read-only file system"),
        ("run_closed", "1", "Read-only file system"),
        ("verify_closed", "0", ""),
        ("repair_closed", "2", "Read-only file system"),
        ("run_8", "1", "full|No space|disk I/O"),
        ("run_40", "1", "full|No space|disk I/O"),
        ("room_8", "1", "full|No space|disk I/O|free disk"),
        ("room_240", "1", "free disk"),
        ("run", "0", ""),
        ("verify", "0", ""),
        // Who only looks needs no disk to write to.
        ("verify_after", "0", ""),
        ("explain_closed", "0", ""),
    ] {
        let (code, err) = step(name);
        assert_eq!(code, expected, "{name}: {err}");
        assert!(words.split('|').any(|word| err.contains(word)), "{name}: {err}");
        assert!(expected == "0" || err.contains(text(&disk)), "{name}: {err}");
    }
    assert!(read("verify_after.out").contains("All is whole."), "{}", read("verify_after.out"));
    assert!(
        read("explain_closed.out").contains("2 of 4 sources"),
        "{}",
        read("explain_closed.out")
    );
    assert_eq!(read("before"), read("after"), "a look left something behind");
    // Somewhere in the midst of it.
    let mut stopped = 0;
    for name in ["run_80", "run_100", "run_120", "run_240"] {
        let (code, err) = step(name);
        assert!(code == "0" || code == "1", "{name}: {code} {err}");
        let words = ["full", "No space", "disk I/O"];
        assert!(code == "0" || words.iter().any(|word| err.contains(word)), "{name}: {err}");
        stopped += u64::from(code == "1");
    }
    assert!(stopped >= 2, "{stopped} were stopped");
    let mut made = without_passes(bytes_of(&out.join("ws")));
    let expected = without_passes(bytes_of(&whole));
    made.retain(|name, _| !name.starts_with("stages/augment+"));
    assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in expected.iter().filter(|(name, _)| !name.ends_with("manifest.json")) {
        assert!(*bytes == made[name], "{name} differs");
    }
}

/// A file where a folder should be stops also those whom no permission stops.
#[test]
fn a_place_that_cannot_be_written_is_named() {
    if !can_make_footage("a_place_that_cannot_be_written_is_named") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 1);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let refused = |arguments: &[&str], name: &str| {
        let (code, out, err) = run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        assert!(line(&err).contains(name), "{arguments:?}: {err}");
    };
    let nowhere = folder.path().join("file");
    std::fs::write(&nowhere, b"x").unwrap();
    refused(&["-w", text(&nowhere), "index", text(&table)], text(&nowhere));
    let below = nowhere.join("ws");
    refused(&["-w", text(&below), "index", text(&table)], text(&below));
    refused(&["-w", "/proc/fvc-workspace", "index", text(&table)], "/proc/fvc-workspace");
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    for name in ["units", "clips", "variants", "stages", "locks", "features"] {
        let path = workspace.join(name);
        if path.exists() {
            std::fs::rename(&path, workspace.join("aside")).unwrap();
        }
        std::fs::write(&path, b"").unwrap();
        refused(&[&["-w", ws][..], &STAGES].concat(), text(&path));
        std::fs::remove_file(&path).unwrap();
        if workspace.join("aside").exists() {
            std::fs::rename(workspace.join("aside"), &path).unwrap();
        }
        assert_eq!(half_written(&workspace), Vec::<PathBuf>::new());
    }
    assert_eq!(run(&[&["-w", ws][..], &STAGES].concat()).0, 0);
    assert_eq!(run(&["-w", ws, "verify"]).0, 0);
}

/// Locks are the system's: whoever is killed holds none.
#[test]
fn a_killed_process_leaves_no_lock() {
    if !can_make_footage("a_killed_process_leaves_no_lock") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("videos/real/long.mp4");
    let fast = ["-t", "20", "-c:v", "libx264", "-preset", "ultrafast"];
    encode("testsrc2=size=640x360:rate=50", &fast, &clip);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    assert_eq!(run(&["-w", ws, "index", text(&folder.path().join("videos"))]).0, 0);
    let stages = ["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    let held = || {
        files_below(&workspace.join("locks"))
            .into_iter()
            .filter(|path| path.file_name().unwrap() != "index")
            .find(|path| {
                let file = std::fs::File::open(path).unwrap();
                matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
            })
    };
    let mut first = fvc().args(stages).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while held().is_none() {
        assert!(Instant::now() < deadline, "no lock was held");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Another that waits for it gets it, and does what was left.
    let second = fvc().args(stages).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(held().is_some());
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(made["stages"]["decodes"]["sources"], 1, "{made}");
    assert_eq!(held(), None);
    // What the first was writing is no more than that.
    let (_, out, _) = run(&["-w", ws, "--json", "verify", "--repair"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["whole"], true, "{found}");
    let findings = found["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["wrong"] == "half_written"), "{found}");
    assert_eq!(run(&["-w", ws, "verify"]).0, 0);
}
