//! The decoder child, with this program as the child.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fvc_media::{Limits, MediaCache, ReadMode, Reader, Reason, Sampling, Window};

use crate::footage::{can_make_footage, encode, run};

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

/// How far two pictures are from each other on average, in levels.
fn far(own: &[u8], other: &[u8]) -> f64 {
    assert_eq!(own.len(), other.len());
    let off: u64 = own.iter().zip(other).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    off as f64 / own.len() as f64
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
            let mean = far(frame.data(), other);
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
    let frame = &window.frames[3];
    let size = frame.data().len();
    let expected = by_ffmpeg(&turned);
    let expected = &expected[frame.index as usize * size..][..size];
    assert!(far(frame.data(), expected) < 3.0, "turned another way than FFmpeg turns it");
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

/// A header need not say how long a file is. Of one whose frames are an hour apart, only the header was
/// held against the limit, and its fingerprint went on for as long as its times did.
#[test]
fn times_of_frames_are_held_against_the_limit_of_the_duration() {
    if !can_make_footage("times_of_frames_are_held_against_the_limit_of_the_duration") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let leaping = folder.path().join("corpus/leaping.mkv");
    encode(
        "testsrc2=size=64x48:rate=25",
        &[
            &["-vf", "setpts=N*3600/TB", "-fps_mode", "passthrough", "-frames:v", "8"][..],
            // As for a stream that goes on: without a duration in the header.
            &["-c:v", "libx264", "-g", "1", "-f", "matroska", "-live", "1"],
        ]
        .concat(),
        &leaping,
    );
    let read = |duration_seconds: f64| {
        let reader = reader(Limits { duration_seconds, ..Limits::default() });
        reader.probe(&leaping).unwrap();
        let sampling = Sampling { windows: 1, frames: 8, rate: None };
        let mut times = Vec::new();
        let mut windows = 0;
        let mut count = |_| {
            windows += 1;
            ControlFlow::Continue(())
        };
        reader
            .read_clip_and_thumbnails(&leaping, &sampling, &mut count, &mut |thumbnail| {
                times.push(thumbnail.milliseconds);
            })
            .map(|report| (report.decoded_frames, times))
    };
    let hours: Vec<u32> = (0..8).map(|hour| hour * 3_600_000).collect();
    assert_eq!(read(7.0 * 3600.0).unwrap(), (8, hours));
    for limit in [7.0 * 3600.0 - 1.0, 6.0 * 3600.0, 10.0] {
        let error = read(limit).unwrap_err();
        assert_eq!(error.reason, Reason::LimitExceeded, "{error}");
        assert_eq!(error.expected, format!("at most {limit} seconds"));
        assert!(error.found.contains("frame ") && error.found.contains("00.0 seconds"), "{error}");
    }

    // To a command it is a row of the failure table like any other.
    encode(
        "testsrc2=size=64x48:rate=25",
        &["-t", "1", "-c:v", "libx264"],
        &folder.path().join("corpus/good.mp4"),
    );
    std::fs::write(
        folder.path().join("corpus/t.csv"),
        "path,label\nleaping.mkv,real\ngood.mp4,fake\n",
    )
    .unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (code, _, err) = run(&["-w", &path("ws"), "index", &path("corpus/t.csv")]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = run(&["-w", &path("ws"), "features", "--variants", "0"]);
    assert_eq!(code, 3, "{err}");
    let failures = std::fs::read_to_string(path("ws/stages/features/failures.csv")).unwrap();
    assert!(failures.contains("limit_exceeded") && failures.contains("leaping.mkv"), "{failures}");
}

/// A matrix that mirrors was once taken for a half turn: the picture stood on its head.
#[test]
fn mirrored_and_turned_pictures_are_shown_as_ffmpeg_shows_them() {
    if !can_make_footage("mirrored_and_turned_pictures_are_shown_as_ffmpeg_shows_them") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.mp4");
    encode(
        "testsrc2=size=160x120:rate=25",
        &["-t", "0.4", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
        &flat,
    );
    let bytes = std::fs::read(&flat).unwrap();
    let head = bytes.windows(4).position(|window| window == b"tkhd").unwrap();
    let reader = reader(Limits::default());
    for (number, [a, b, c, d]) in [
        [1, 0, 0, 1],
        [-1, 0, 0, 1],
        [1, 0, 0, -1],
        [-1, 0, 0, -1],
        [0, 1, -1, 0],
        [0, -1, 1, 0],
        [0, 1, 1, 0],
        [0, -1, -1, 0],
    ]
    .into_iter()
    .enumerate()
    {
        // ISO/IEC 14496-12, 8.3.2: the matrix stands 44 bytes behind the name in version 0.
        let mut turned = bytes.clone();
        let one = 1_i32 << 16;
        for (at, cell) in
            [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30].iter().enumerate()
        {
            turned[head + 44 + 4 * at..][..4].copy_from_slice(&cell.to_be_bytes());
        }
        let path = folder.path().join(format!("{number}.mp4"));
        std::fs::write(&path, &turned).unwrap();
        let window = &windows(&reader, &path, ReadMode::WholeFile)[0];
        let frame = &window.frames[0];
        let expected = by_ffmpeg(&path);
        let expected = &expected[frame.index as usize * frame.data().len()..][..frame.data().len()];
        assert!(far(frame.data(), expected) < 3.0, "matrix {a} {b} {c} {d}");
    }
}

/// What the caller does with a frame was once billed to the file: a slow pass ended as a failure
/// of the file, and stayed one.
#[test]
fn the_clock_of_a_file_stands_while_the_caller_works() {
    if !can_make_footage("the_clock_of_a_file_stands_while_the_caller_works") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    encode("testsrc2=size=64x64:rate=25", &["-t", "4", "-c:v", "libx264"], &clip);
    let reader = reader(Limits { wall_clock_seconds: 1.0, ..Limits::default() });
    let sampling = Sampling { windows: 4, frames: 5, rate: None };
    let mut windows = 0;
    reader
        .read_clip(&clip, &sampling, ReadMode::WholeFile, &mut |_| {
            windows += 1;
            std::thread::sleep(std::time::Duration::from_millis(400));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(windows, 4);
}

/// Intra refresh spreads a key frame over many: a decode that started where the refresh does showed
/// pictures that were half of nothing. Open groups of pictures have frames that lean on the group
/// before.
#[test]
fn windows_are_whole_pictures_wherever_groups_of_pictures_begin() {
    if !can_make_footage("windows_are_whole_pictures_wherever_groups_of_pictures_begin") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let reader = reader(Limits::default());
    for (container, codec, parameters) in [
        ("mkv", "libx264", "intra-refresh=1:keyint=40:bframes=0"),
        ("ts", "libx264", "intra-refresh=1:keyint=40:bframes=0"),
        ("mp4", "libx264", "intra-refresh=1:keyint=40:bframes=0"),
        ("mkv", "libx264", "open-gop=1:keyint=15:bframes=3"),
        ("ts", "libx264", "open-gop=1:keyint=15:bframes=3"),
        ("mp4", "libx264", "open-gop=1:keyint=15:bframes=3"),
        ("mp4", "libx265", "open-gop=1:keyint=15:bframes=3:log-level=none"),
        ("ts", "libx265", "open-gop=1:keyint=15:bframes=3:log-level=none"),
        ("mkv", "mpeg2video", ""),
    ] {
        let name = format!("{codec}-{}.{container}", parameters.split('=').next().unwrap());
        let path = folder.path().join(&name);
        let option = if codec == "libx265" { "-x265-params" } else { "-x264-params" };
        let encoding: &[&str] = if codec == "mpeg2video" {
            &["-c:v", codec, "-bf", "2", "-g", "15", "-t", "6"]
        } else {
            &["-c:v", codec, option, parameters, "-pix_fmt", "yuv420p", "-t", "6"]
        };
        encode("mandelbrot=size=160x120:rate=25", encoding, &path);
        let whole = windows(&reader, &path, ReadMode::WholeFile);
        let sampled = windows(&reader, &path, ReadMode::WindowsOnly);
        assert!(whole == sampled, "{name}: windows differ from the whole file's");
        let keys = reader.probe(&path).unwrap().index.packets.iter().filter(|p| p.key).count();
        if parameters.starts_with("intra") {
            assert!(keys <= 1, "{name}: {keys} key frames");
        } else {
            assert!((10..=12).contains(&keys), "{name}: {keys} key frames");
        }
    }
}

/// The mean of a channel over a picture.
fn mean(frame: &fvc_media::Frame, channel: usize) -> f64 {
    let values = frame.data().iter().skip(channel).step_by(3);
    values.map(|&value| f64::from(value)).sum::<f64>() / f64::from(frame.width() * frame.height())
}

/// Range and matrix as tagged: one and the same grey, blue and red under every pair of tags.
#[test]
fn tags_of_range_and_matrix_are_honoured() {
    if !can_make_footage("tags_of_range_and_matrix_are_honoured") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let reader = reader(Limits::default());
    for (range, tag) in [("limited", "tv"), ("full", "pc")] {
        for (matrix, tag_of_matrix) in [("bt709", "bt709"), ("bt601", "smpte170m")] {
            let path = folder.path().join(format!("{range}-{matrix}.mp4"));
            let filter =
                format!("scale=out_range={range}:out_color_matrix={matrix},format=yuv420p");
            let tags = ["-color_range", tag, "-colorspace", tag_of_matrix];
            let encoding = ["-vf", &filter, "-t", "0.4", "-c:v", "libx264", "-qp", "1"];
            encode(
                "color=color=0xC86432:size=64x64:rate=25,format=rgb24",
                &[&encoding[..], &tags[..]].concat(),
                &path,
            );
            let probe = reader.probe(&path).unwrap();
            assert_eq!(probe.facts.color_range.as_deref(), Some(tag));
            let window = &windows(&reader, &path, ReadMode::WholeFile)[0];
            for (channel, expected) in [(0, 200.0), (1, 100.0), (2, 50.0)] {
                let found = mean(&window.frames[0], channel);
                assert!((found - expected).abs() < 2.5, "{range} {matrix}: {found} for {expected}");
            }
        }
    }
}

/// PQ and HLG through the whole way: tagged 10-bit files come out as SDR. Expected values by
/// `tools/golden/media_hdr.py`'s formulas for these codes.
#[test]
fn hdr_files_become_sdr_pictures() {
    if !can_make_footage("hdr_files_become_sdr_pictures") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../fvc-media/tests/golden/hdr.json")).unwrap();
    let reader = reader(Limits::default());
    for (name, tag) in [("pq", "smpte2084"), ("hlg", "arib-std-b67")] {
        // Greys of the golden table.
        for at in [10, 25, 40] {
            let code = golden["codes"][at][0].as_u64().unwrap();
            for format in ["yuv420p10le", "yuv444p12le"] {
                let path = folder.path().join(format!("{name}-{at}-{format}.mkv"));
                let filter =
                    format!("format=yuv420p10le,geq=lum={code}:cb=512:cr=512,format={format}");
                encode(
                    "color=size=64x64:rate=25",
                    &[
                        "-vf",
                        &filter,
                        "-t",
                        "0.2",
                        "-c:v",
                        "ffv1",
                        "-color_trc",
                        tag,
                        "-color_primaries",
                        "bt2020",
                        "-colorspace",
                        "bt2020nc",
                        "-color_range",
                        "tv",
                    ],
                    &path,
                );
                let window = &windows(&reader, &path, ReadMode::WholeFile)[0];
                let expected = golden[name][at][1].as_f64().unwrap();
                let found = mean(&window.frames[0], 1);
                assert!(
                    (found - expected).abs() < 1.5,
                    "{name} {format} code {code}: {found} for {expected}"
                );
            }
        }
    }
}

/// Packets were read into one that still held the last one's bytes, and FFmpeg forgets those: at the
/// end of a file all of it was in memory.
#[test]
fn a_file_larger_than_the_memory_is_read() {
    if !can_make_footage("a_file_larger_than_the_memory_is_read") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.nut");
    encode("testsrc2=size=1280x720:rate=50", &["-t", "6", "-c:v", "rawvideo"], &path);
    let memory = 320 << 20;
    assert!(std::fs::metadata(&path).unwrap().len() > memory);
    let reader = reader(Limits { child_memory_bytes: memory, ..Limits::default() });
    assert_eq!(windows(&reader, &path, ReadMode::WholeFile).len(), 3);
    assert_eq!(windows(&reader, &path, ReadMode::WindowsOnly).len(), 3);
}

/// Frames of uneven length keep their own times, and a rate picks by time, not by count.
#[test]
fn variable_frame_rate_goes_by_timestamps() {
    if !can_make_footage("variable_frame_rate_goes_by_timestamps") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let reader = reader(Limits::default());
    for name in ["uneven.mkv", "uneven.mp4"] {
        let path = folder.path().join(name);
        // Two seconds of 50 frames a second, then six of 5.
        let filter = "select='lt(t,2)+not(mod(n,10))',settb=1/1000";
        encode(
            "testsrc2=size=64x64:rate=50",
            &["-t", "8", "-vf", filter, "-fps_mode", "vfr", "-c:v", "libx264", "-bf", "2"],
            &path,
        );
        let index = reader.probe(&path).unwrap().index;
        assert_eq!(index.frames(), 130, "{name}");
        for (position, expected) in [(0, 0.0), (1, 0.02), (99, 1.98), (100, 2.0), (129, 7.8)] {
            let found = index.seconds(position).unwrap();
            assert!((found - expected).abs() < 2e-3, "{name}: frame {position} at {found}");
        }
        // Five frames a second of time: in the fast part every tenth frame, in the slow every one.
        let sampling =
            Sampling { windows: 1, frames: 39, rate: Some(fvc_media::Rational::new(5, 1)) };
        let mut times = Vec::new();
        reader
            .read_clip(&path, &sampling, ReadMode::WholeFile, &mut |window| {
                times.extend(window.frames.iter().map(|frame| frame.time));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(times.len(), 39, "{name}");
        for (step, &time) in times.iter().enumerate() {
            // The frame on the screen then: up to its own length old.
            let wanted = times[0] + 0.2 * step as f64;
            let length = if time < 1.99 { 0.02 } else { 0.2 };
            assert!(
                time < wanted + 0.021 && time + length > wanted - 1e-6,
                "{name}: {time} for {wanted}: {times:?}"
            );
        }
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
        // Ended from outside: not the file's fault.
        ("kill -KILL $$", Reason::Killed),
        ("kill -TERM $$", Reason::Killed),
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
        .with_cache(Arc::clone(&cache));
    assert_eq!(second.probe(&clip).unwrap().facts, facts);
    // The positions of a sampling are known as well, even when the video itself is gone.
    let sampling = Sampling { windows: 3, frames: 5, rate: None };
    let report = first
        .read_clip(&clip, &sampling, ReadMode::WindowsOnly, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let content_id = first.identify(&clip).unwrap().content_id;
    std::fs::rename(&clip, folder.path().join("elsewhere")).unwrap();
    let known = cache.sampling(&content_id, &sampling.policy()).unwrap();
    assert_eq!(known, Some(report.sampling));
    std::fs::rename(folder.path().join("elsewhere"), &clip).unwrap();
    assert_eq!(second.probe(&text).unwrap_err().reason, Reason::NotAVideo);
    assert_eq!(second.counters().probes(), 0);
}
