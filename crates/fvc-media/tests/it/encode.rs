//! The encoder, looked at with FFmpeg's command line programs.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fvc_media::{
    ColorMatrix, ColorTags, EncodeError, EncodeSettings, Encoder, Frame, PRESETS, Rational,
    encode_h264,
};
use serde_json::Value;

/// Whether FFmpeg's programs are there; says so when they are not.
fn tools(test: &str) -> bool {
    let there = ["ffmpeg", "ffprobe"].iter().all(|program| {
        let mut run = Command::new(program);
        run.arg("-version").stdout(Stdio::null()).stderr(Stdio::null());
        run.status().is_ok_and(|status| status.success())
    });
    if !there {
        let line = format!("SKIP {test}: ffmpeg and ffprobe are not installed");
        eprintln!("{line}");
        if let Some(log) = std::env::var_os("FVC_SKIP_LOG") {
            let mut file = fs::File::options().create(true).append(true).open(log).unwrap();
            writeln!(file, "{line}").unwrap();
        }
    }
    there
}

fn settings() -> EncodeSettings {
    EncodeSettings {
        crf: 12,
        preset: "veryfast".to_owned(),
        ..EncodeSettings::new(Rational::new(30_000, 1_001))
    }
}

fn picture(width: u32, height: u32, number: u64, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Frame {
    let data = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| pixel(x, y))
        .collect();
    Frame::new(width, height, data, number, number as f64 / 30.0).unwrap()
}

/// Smooth colours under a disc that moves: something for prediction to do.
fn moving(width: u32, height: u32, frames: u64) -> Vec<Frame> {
    (0..frames)
        .map(|number| {
            let centre = 10 + 3 * number as u32;
            picture(width, height, number, |x, y| {
                if x.abs_diff(centre % width).pow(2) + y.abs_diff(height / 2).pow(2) < 100 {
                    [230, 60, 40]
                } else {
                    [(x * 255 / width) as u8, (y * 255 / height) as u8, 90]
                }
            })
        })
        .collect()
}

fn ffprobe(bytes: &[u8], arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    fs::write(&path, bytes).unwrap();
    probe_file(&path, arguments)
}

fn probe_file(path: &Path, arguments: &[&str]) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json"])
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stream(bytes: &[u8]) -> Value {
    ffprobe(bytes, &["-show_streams"])["streams"][0].clone()
}

/// All frames as FFmpeg decodes them, in this pixel format.
fn decode(bytes: &[u8], arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    fs::write(&path, bytes).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args(arguments)
        .args(["-f", "rawvideo", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// RGB by the tags of the stream, with chroma interpolated.
fn decode_rgb(bytes: &[u8]) -> Vec<u8> {
    decode(bytes, &["-sws_flags", "bilinear+full_chroma_int+accurate_rnd", "-pix_fmt", "rgb24"])
}

/// The same frames encoded by FFmpeg's program: BT.709, limited range, x264's default preset.
fn encode_by_ffmpeg(rgb: &[u8], width: u32, height: u32, crf: u8) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (raw, mp4) = (folder.path().join("frames.rgb"), folder.path().join("clip.mp4"));
    fs::write(&raw, rgb).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-r", "25"])
        .args(["-s", &format!("{width}x{height}"), "-i"])
        .arg(&raw)
        .args(["-sws_flags", "bilinear+full_chroma_int+accurate_rnd"])
        .args(["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"])
        .args(["-colorspace", "bt709", "-color_range", "tv", "-c:v", "libx264"])
        .args(["-crf", &crf.to_string()])
        .arg(&mp4)
        .status()
        .unwrap();
    assert!(status.success());
    fs::read(&mp4).unwrap()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

#[test]
fn what_is_encoded_decodes_to_the_same_pictures() {
    if !tools("what_is_encoded_decodes_to_the_same_pictures") {
        return;
    }
    let frames = moving(128, 96, 12);
    let sent: Vec<u8> = frames.iter().flat_map(fvc_media::Frame::data).copied().collect();
    let mut last = f64::INFINITY;
    for crf in [4, 20, 40] {
        let mp4 = encode_h264(&frames, &EncodeSettings { crf, ..settings() }).unwrap();
        let found = psnr(&sent, &decode_rgb(&mp4));
        // 4:2:0 alone costs these saturated, moving pictures most of what is lost: the measure is
        // what FFmpeg's own program makes of them, less what its wider chroma filter gains.
        let theirs = psnr(&sent, &decode_rgb(&encode_by_ffmpeg(&sent, 128, 96, crf)));
        assert!(found > theirs - 1.0, "crf {crf}: {found} dB, FFmpeg's own encode {theirs} dB");
        assert!(found < last, "a higher crf is worse");
        last = found;
    }
}

#[test]
fn primary_colours_have_the_levels_that_the_standards_give() {
    if !tools("primary_colours_have_the_levels_that_the_standards_give") {
        return;
    }
    // ITU-R BT.709-6 and BT.601-7: Y, Cb, Cr of white, black, red, green, blue and grey 128.
    let colours =
        [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]];
    let tables = [
        (
            ColorTags { matrix: ColorMatrix::Bt709, full_range: false },
            [
                [235, 128, 128],
                [16, 128, 128],
                [63, 102, 240],
                [173, 42, 26],
                [32, 240, 118],
                [126, 128, 128],
            ],
        ),
        (
            ColorTags { matrix: ColorMatrix::Bt601, full_range: false },
            [
                [235, 128, 128],
                [16, 128, 128],
                [81, 90, 240],
                [145, 54, 34],
                [41, 240, 110],
                [126, 128, 128],
            ],
        ),
        (
            ColorTags { matrix: ColorMatrix::Bt601, full_range: true },
            [
                [255, 128, 128],
                [0, 128, 128],
                [76, 85, 255],
                [150, 44, 21],
                [29, 255, 107],
                [128, 128, 128],
            ],
        ),
    ];
    for (color, expected) in tables {
        for (rgb, expected) in colours.into_iter().zip(expected) {
            let frame = picture(32, 32, 0, |_, _| rgb);
            // Without loss, so that only the conversion is seen.
            let lossless = EncodeSettings { crf: 0, color, ..settings() };
            let planes = decode(&encode_h264(&[frame], &lossless).unwrap(), &[]);
            assert_eq!(planes.len(), 32 * 32 * 3 / 2);
            for (plane, expected) in
                [&planes[..1024], &planes[1024..1280], &planes[1280..]].iter().zip(expected)
            {
                assert!(
                    plane.iter().all(|&level| level == expected),
                    "{rgb:?} by {color:?}: {} instead of {expected}",
                    plane[0]
                );
            }
        }
    }
}

#[test]
fn chroma_sits_on_the_left_column_between_two_rows() {
    if !tools("chroma_sits_on_the_left_column_between_two_rows") {
        return;
    }
    // A red step between columns 7 and 8: chroma column 4 sits on luma column 8 and takes a
    // quarter of column 7; chroma column 3 sits on column 6 and takes none of it.
    let step = picture(16, 16, 0, |x, _| if x < 8 { [128, 128, 128] } else { [255, 0, 0] });
    let lossless = EncodeSettings { crf: 0, ..settings() };
    let planes = decode(&encode_h264(&[step], &lossless).unwrap(), &[]);
    let red = &planes[256 + 64..256 + 72];
    assert_eq!(red, [128, 128, 128, 128, 212, 240, 240, 240]);
    // A step between rows 4 and 5, in the middle of chroma row 2.
    let step = picture(16, 16, 0, |_, y| if y < 5 { [128, 128, 128] } else { [255, 0, 0] });
    let planes = decode(&encode_h264(&[step], &lossless).unwrap(), &[]);
    let red: Vec<u8> = (0..8).map(|row| planes[256 + 64 + 8 * row]).collect();
    assert_eq!(red, [128, 128, 184, 240, 240, 240, 240, 240]);
}

#[test]
fn tags_rate_and_count_are_written() {
    if !tools("tags_rate_and_count_are_written") {
        return;
    }
    let frames = moving(64, 48, 7);
    let found = stream(&encode_h264(&frames, &settings()).unwrap());
    for (name, expected) in [
        ("codec_name", "h264"),
        ("pix_fmt", "yuv420p"),
        ("color_space", "bt709"),
        ("color_primaries", "bt709"),
        ("color_transfer", "bt709"),
        ("color_range", "tv"),
        ("chroma_location", "left"),
        ("r_frame_rate", "30000/1001"),
        ("avg_frame_rate", "30000/1001"),
        ("sample_aspect_ratio", "1:1"),
        ("nb_frames", "7"),
    ] {
        assert_eq!(found[name], expected, "{name}");
    }
    let color = ColorTags { matrix: ColorMatrix::Bt601, full_range: true };
    let found = stream(&encode_h264(&frames, &EncodeSettings { color, ..settings() }).unwrap());
    assert_eq!(found["color_space"], "smpte170m");
    assert_eq!(found["color_range"], "pc");

    for (numerator, denominator) in
        [(25, 1), (24_000, 1_001), (50, 2), (1, 3), (240, 1), (2997, 100)]
    {
        let frame_rate = Rational::new(numerator, denominator);
        let mp4 = encode_h264(&frames, &EncodeSettings { frame_rate, ..settings() }).unwrap();
        let found = stream(&mp4);
        let (above, below) = found["avg_frame_rate"].as_str().unwrap().split_once('/').unwrap();
        let (above, below): (i64, i64) = (above.parse().unwrap(), below.parse().unwrap());
        assert_eq!(above * denominator, below * numerator, "{frame_rate}");
        let seconds: f64 = found["duration"].as_str().unwrap().parse().unwrap();
        let expected = 7.0 / frame_rate.value().unwrap();
        assert!((seconds - expected).abs() < 2e-3, "{frame_rate}: {seconds} s, not {expected}");
    }
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    let frames = moving(96, 64, 30);
    let first = encode_h264(&frames, &settings()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert!(encode_h264(&frames, &settings()).unwrap() == first));
        }
    });
    let other = encode_h264(&frames, &EncodeSettings { crf: 13, ..settings() }).unwrap();
    assert!(other != first);
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<Vec<u8>> = ["a.mp4", "b.mp4"]
        .iter()
        .map(|name| {
            let path = folder.path().join(name);
            let mut encoder = Encoder::create(&path, 96, 64, &settings()).unwrap();
            for frame in &frames {
                encoder.push(frame).unwrap();
            }
            let bytes = encoder.finish().unwrap();
            let written = fs::read(&path).unwrap();
            assert_eq!(bytes, written.len() as u64);
            written
        })
        .collect();
    assert!(files[0] == files[1]);
    // Same stream, the index on the other side of it.
    assert_eq!(files[0].len(), first.len());
}

#[test]
fn odd_sides_lose_their_last_column_or_row() {
    if !tools("odd_sides_lose_their_last_column_or_row") {
        return;
    }
    for (width, height) in [(65, 49), (64, 49), (65, 48), (2, 2), (3, 3), (17, 2), (2, 130)] {
        let frames: Vec<Frame> = (0..3)
            .map(|number| {
                picture(width, height, number, |x, y| {
                    // The column and the row that are lost have a colour of their own.
                    if (width % 2 == 1 && x == width - 1) || (height % 2 == 1 && y == height - 1) {
                        [255, 0, 255]
                    } else {
                        [100, 120, 140]
                    }
                })
            })
            .collect();
        let mp4 = encode_h264(&frames, &EncodeSettings { crf: 1, ..settings() }).unwrap();
        let found = stream(&mp4);
        assert_eq!(found["width"], width & !1, "{width}x{height}");
        assert_eq!(found["height"], height & !1, "{width}x{height}");
        assert_eq!(found["nb_frames"], "3");
        let luma = &decode(&mp4, &[])[..((width & !1) * (height & !1)) as usize];
        let (low, high) = (luma.iter().min().unwrap(), luma.iter().max().unwrap());
        assert!(high - low <= 2, "{width}x{height}: luma from {low} to {high}");
    }
}

#[test]
fn one_frame_is_a_clip() {
    if !tools("one_frame_is_a_clip") {
        return;
    }
    let mp4 = encode_h264(&moving(64, 64, 1), &settings()).unwrap();
    let found = stream(&mp4);
    assert_eq!(found["nb_frames"], "1");
    assert_eq!(found["avg_frame_rate"], "30000/1001");
    assert_eq!(decode_rgb(&mp4).len(), 64 * 64 * 3);
}

#[test]
fn keyframe_distance_and_b_frames_are_as_asked() {
    if !tools("keyframe_distance_and_b_frames_are_as_asked") {
        return;
    }
    let frames = moving(64, 48, 40);
    let pictures = |gop, b_frames| -> String {
        let asked = EncodeSettings { gop, b_frames, ..settings() };
        let mp4 = encode_h264(&frames, &asked).unwrap();
        let shown = ffprobe(&mp4, &["-show_entries", "frame=pict_type"]);
        let shown = shown["frames"].as_array().unwrap().clone();
        shown.iter().map(|frame| frame["pict_type"].as_str().unwrap().to_owned()).collect()
    };
    let found = pictures(Some(8), Some(0));
    assert_eq!(found.len(), 40);
    assert!(!found.contains('B'), "{found}");
    assert!(found.matches('I').count() >= 5, "{found}");
    assert!(!found.contains(&"P".repeat(8)), "{found}");
    assert_eq!(pictures(Some(1), None), "I".repeat(40));
    let found = pictures(None, None);
    assert_eq!(found.matches('I').count(), 1, "{found}");
    let found = pictures(Some(20), Some(2));
    assert!(found.contains('B') && !found.contains("BBB"), "{found}");
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/ä: 100 %d.mp4");
    let frames = moving(64, 48, 5);
    let names = || -> Vec<String> {
        let Ok(folder) = fs::read_dir(path.parent().unwrap()) else { return Vec::new() };
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };

    let mut encoder = Encoder::create(&path, 64, 48, &settings()).unwrap();
    encoder.push(&frames[0]).unwrap();
    assert!(!path.exists());
    drop(encoder);
    assert_eq!(names(), [""; 0]);

    let encoder = Encoder::create(&path, 64, 48, &settings()).unwrap();
    assert!(matches!(encoder.finish(), Err(EncodeError::NoFrames)));
    assert_eq!(names(), [""; 0]);

    let mut encoder = Encoder::create(&path, 64, 48, &settings()).unwrap();
    for frame in &frames {
        encoder.push(frame).unwrap();
    }
    encoder.finish().unwrap();
    assert_eq!(names(), ["ä: 100 %d.mp4"]);
    let bytes = fs::read(&path).unwrap();
    let find = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(find(b"moov") < find(b"mdat"), "the index comes first");
    if tools("a_file_appears_whole_or_not_at_all") {
        let found = probe_file(&path, &["-show_streams", "-count_frames"]);
        assert_eq!(found["streams"][0]["nb_read_frames"], "5");
    }

    let below_a_file = path.join("clip.mp4");
    let refused = Encoder::create(&below_a_file, 64, 48, &settings());
    assert!(matches!(refused, Err(EncodeError::Io { .. })));
    // What is at the path is replaced only by the rename, which a folder refuses.
    let occupied = folder.path().join("occupied.mp4");
    fs::create_dir(&occupied).unwrap();
    let mut encoder = Encoder::create(&occupied, 64, 48, &settings()).unwrap();
    encoder.push(&frames[0]).unwrap();
    assert!(matches!(encoder.finish(), Err(EncodeError::Io { .. })));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn what_cannot_be_encoded_is_refused_with_its_range() {
    let frames = moving(64, 48, 2);
    let good = settings();
    let rate = |numerator, denominator| EncodeSettings {
        frame_rate: Rational::new(numerator, denominator),
        ..good.clone()
    };
    let wrong = [
        ("crf", EncodeSettings { crf: 52, ..good.clone() }),
        ("preset", EncodeSettings { preset: "quick".to_owned(), ..good.clone() }),
        ("preset", EncodeSettings { preset: String::new(), ..good.clone() }),
        ("gop", EncodeSettings { gop: Some(0), ..good.clone() }),
        ("gop", EncodeSettings { gop: Some(10_001), ..good.clone() }),
        ("b_frames", EncodeSettings { b_frames: Some(17), ..good.clone() }),
        ("frame_rate", rate(0, 1)),
        ("frame_rate", rate(25, 0)),
        ("frame_rate", rate(-25, -1)),
        ("frame_rate", rate(1 << 31, 1 << 30)),
        ("frame_rate", rate(1001, 1)),
    ];
    for (setting, wrong) in wrong {
        match encode_h264(&frames, &wrong) {
            Err(EncodeError::Setting { name, .. }) => assert_eq!(name, setting),
            other => panic!("{setting}: {other:?}"),
        }
    }
    assert!(matches!(encode_h264(&[], &good), Err(EncodeError::NoFrames)));
    let thin = picture(1, 48, 0, |_, _| [0; 3]);
    assert!(matches!(encode_h264(&[thin], &good), Err(EncodeError::FrameSize { number: 0, .. })));
    let mixed = [moving(64, 48, 1), moving(48, 64, 1)].concat();
    assert!(matches!(encode_h264(&mixed, &good), Err(EncodeError::FrameSize { number: 1, .. })));
    for preset in PRESETS {
        let preset = EncodeSettings { preset: preset.to_owned(), ..good.clone() };
        assert!(encode_h264(&frames, &preset).is_ok(), "{}", preset.preset);
    }
}
