//! The decoder child, with this program as the child.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fvc_media::{Limits, MediaCache, ReadMode, Reader, Reason, Sampling, Window};

use crate::footage::{can_make_footage, encode};

fn reader(limits: Limits) -> Reader {
    Reader::new(limits).with_child_program(PathBuf::from(env!("CARGO_BIN_EXE_fvc")))
}

fn windows(reader: &Reader, path: &Path, mode: ReadMode) -> Vec<Window> {
    let mut windows = Vec::new();
    let sampling = Sampling { windows: 3, frames: 5, rate: None };
    reader
        .read_clip(path, &sampling, mode, &mut |window| {
            windows.push(window);
            ControlFlow::Continue(())
        })
        .unwrap();
    windows
}

/// All frames of a file as the FFmpeg program shows them.
fn by_ffmpeg(path: &Path) -> Vec<u8> {
    Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-sws_flags", "neighbor+accurate_rnd+full_chroma_int+bitexact"])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap()
        .stdout
}

#[test]
fn containers_and_codecs_decode_as_ffmpeg_decodes_them_whole_and_by_windows() {
    if !can_make_footage("containers_and_codecs_decode_as_ffmpeg_decodes_them_whole_and_by_windows")
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str]); 16] = [
        ("bframes.mp4", &["-c:v", "libx264", "-g", "12", "-bf", "3", "-pix_fmt", "yuv420p"]),
        ("intra.mov", &["-c:v", "prores_ks"]),
        ("hevc.mkv", &["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p"]),
        (
            "ten_bit.mkv",
            &["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"],
        ),
        ("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"]),
        ("vp9.webm", &["-c:v", "libvpx-vp9", "-b:v", "500k", "-cpu-used", "8"]),
        ("mpeg4.avi", &["-c:v", "mpeg4", "-bf", "2"]),
        ("mjpeg.avi", &["-c:v", "mjpeg"]),
        ("flash.flv", &["-c:v", "flv"]),
        ("program.mpg", &["-c:v", "mpeg2video"]),
        ("transport.ts", &["-c:v", "libx264", "-g", "12", "-pix_fmt", "yuv420p"]),
        ("theora.ogv", &["-c:v", "libtheora"]),
        ("media.wmv", &["-c:v", "wmv2"]),
        ("four_two_two.mkv", &["-c:v", "libx264", "-pix_fmt", "yuv422p"]),
        ("four_four_four.mkv", &["-c:v", "libx264", "-pix_fmt", "yuv444p"]),
        ("lossless.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv420p"]),
    ];
    let reader = reader(Limits::default());
    for (name, encoding) in cases {
        let path = folder.path().join(name);
        let arguments = [&["-t", "2"][..], encoding].concat();
        encode("testsrc2=size=162x122:rate=25", &arguments, &path);
        let whole = windows(&reader, &path, ReadMode::WholeFile);
        assert_eq!(whole.len(), 3, "{name}");
        let sampled = windows(&reader, &path, ReadMode::WindowsOnly);
        assert!(whole == sampled, "{name}: windows differ from the whole file's");
        let expected = by_ffmpeg(&path);
        for frame in whole.iter().flat_map(|window| &window.frames) {
            let size = frame.data().len();
            let start = frame.index as usize * size;
            let other = &expected[start..start + size];
            let off: u64 =
                frame.data().iter().zip(other).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
            let mean = off as f64 / size as f64;
            assert!(mean < 3.0, "{name}: frame {} is off by {mean} on average", frame.index);
        }
    }
    assert_eq!(reader.counters().sources(), 2 * cases.len() as u64);
}

#[test]
fn rotation_is_applied_and_short_clips_are_read() {
    if !can_make_footage("rotation_is_applied_and_short_clips_are_read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.mp4");
    encode("testsrc2=size=160x120:rate=25", &["-t", "1", "-c:v", "libx264"], &flat);
    let turned = folder.path().join("turned.mp4");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&flat)
        .args(["-c", "copy", "-metadata:s:v", "rotate=90"])
        .arg(&turned)
        .status()
        .unwrap();
    assert!(status.success());
    let reader = reader(Limits::default());
    let probe = reader.probe(&turned).unwrap();
    assert!(probe.facts.rotation == 90 || probe.facts.rotation == 270, "{}", probe.facts.rotation);
    let window = &windows(&reader, &turned, ReadMode::WholeFile)[0];
    assert_eq!((window.frames[0].width(), window.frames[0].height()), (120, 160));
    let one = folder.path().join("one.mp4");
    encode(
        "mandelbrot=size=33x17:rate=25",
        &["-frames:v", "1", "-c:v", "libx264", "-pix_fmt", "yuv444p"],
        &one,
    );
    let window = &windows(&reader, &one, ReadMode::WholeFile)[0];
    assert_eq!((window.frames.len(), window.frames[0].width()), (1, 33));
}

#[test]
fn limits_hold_at_their_edges() {
    if !can_make_footage("limits_hold_at_their_edges") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    encode("testsrc2=size=160x120:rate=25", &["-t", "2", "-c:v", "libx264"], &clip);
    let bytes = std::fs::metadata(&clip).unwrap().len();
    let default = Limits::default;
    for (fits, too_small) in [
        (Limits { bytes, ..default() }, Limits { bytes: bytes - 1, ..default() }),
        (
            Limits { pixels_per_frame: 19_200, ..default() },
            Limits { pixels_per_frame: 19_199, ..default() },
        ),
        (Limits { frames: 50, ..default() }, Limits { frames: 49, ..default() }),
        (
            Limits { duration_seconds: 2.0, ..default() },
            Limits { duration_seconds: 1.9, ..default() },
        ),
        (Limits { streams: 1, ..default() }, Limits { wall_clock_seconds: 0.0, ..default() }),
    ] {
        assert!(reader(fits.clone()).probe(&clip).is_ok(), "{fits:?}");
        let error = reader(too_small.clone()).probe(&clip).unwrap_err();
        assert!(
            matches!(error.reason, Reason::LimitExceeded | Reason::TimedOut),
            "{too_small:?}: {error}"
        );
    }
}

/// A child that dies, hangs or talks nonsense costs one error, and its end is waited for.
#[test]
fn a_child_that_dies_or_talks_nonsense_is_one_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.mp4");
    std::fs::write(&file, b"whatever").unwrap();
    for (script, expected) in [
        ("kill -SEGV $$", Reason::Crashed),
        ("exit 7", Reason::Crashed),
        ("exec sleep 60", Reason::TimedOut),
        ("echo garbage on the line", Reason::DecoderUnavailable),
        ("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", Reason::OutOfMemory),
    ] {
        let program = folder.path().join("child");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let limits = Limits { wall_clock_seconds: 1.0, ..Limits::default() };
        let reader = Reader::new(limits).with_child_program(program);
        let error = reader.probe(&file).unwrap_err();
        assert_eq!(error.reason, expected, "{script}: {error}");
    }
}

#[test]
fn a_second_look_touches_nothing_but_the_cache() {
    if !can_make_footage("a_second_look_touches_nothing_but_the_cache") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    encode("testsrc2=size=64x64:rate=25", &["-t", "1", "-c:v", "libx264"], &clip);
    let text = folder.path().join("text.mp4");
    std::fs::write(&text, b"no video").unwrap();
    let cache = Arc::new(MediaCache::open(&folder.path().join("media.sqlite")).unwrap());
    let first = reader(Limits::default()).with_cache(Arc::clone(&cache));
    let facts = first.probe(&clip).unwrap().facts;
    assert_eq!(first.probe(&text).unwrap_err().reason, Reason::NotAVideo);
    assert_eq!(first.counters().probes(), 2);
    // A child that cannot even start: whatever is answered now comes from the cache.
    let second = Reader::new(Limits::default())
        .with_child_program(PathBuf::from("/nonexistent"))
        .with_cache(cache);
    assert_eq!(second.probe(&clip).unwrap().facts, facts);
    assert_eq!(second.probe(&text).unwrap_err().reason, Reason::NotAVideo);
    assert_eq!(second.counters().probes(), 0);
}
