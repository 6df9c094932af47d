//! What a long video costs in memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::footage::{can_make_footage, encode, fvc, run, skipped};

/// Resident bytes of a process and of all that it started.
fn resident(process: u32) -> u64 {
    let own = std::fs::read_to_string(format!("/proc/{process}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .unwrap_or(0);
    let mut bytes = own * 1024;
    if let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) {
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children"));
            for child in children.unwrap_or_default().split_whitespace() {
                bytes += child.parse().map_or(0, resident);
            }
        }
    }
    bytes
}

/// The earlier system held whole clips as arrays and needed gigabytes for minutes of video.
#[test]
fn slow_ten_minutes_of_1080p_need_less_than_a_gibibyte() {
    let test = "slow_ten_minutes_of_1080p_need_less_than_a_gibibyte";
    if std::env::var_os("FVC_SLOW").is_none() {
        skipped(test, "slow: run by `make test-slow`");
        return;
    }
    if !can_make_footage(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    let part = folder.path().join("part.mp4");
    encode(
        "mandelbrot=size=1920x1080:rate=25",
        &["-t", "20", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"],
        &part,
    );
    repeat(&part, 30, &videos.join("real/ten_minutes.mp4"));
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    assert_eq!(run(&["-w", ws, "index", videos.to_str().unwrap()]).0, 0);
    // With variants, so that every part of the pass is at work.
    let mut process = fvc()
        .args(["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "6"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident(process.id()));
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success());
    eprintln!("peak resident memory, children included: {} MiB", peak >> 20);
    assert!(peak > 32 << 20, "the measure does not see the process");
    assert!(peak < 1 << 30, "{} MiB", peak >> 20);
}

/// Writes a video `times` times behind itself, without encoding.
fn repeat(video: &Path, times: u32, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-stream_loop", &(times - 1).to_string(), "-i"])
        .arg(video)
        .args(["-c", "copy"])
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}
