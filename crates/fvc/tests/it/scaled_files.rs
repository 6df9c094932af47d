//! Scaled frames as MP4 files.

use std::path::Path;
use std::process::Command;

use fvc_clips::{ClipReader, SizeSpec};

use crate::footage::can_make_footage;
use crate::scaled_sizes::{OddCorpus, SIDES};

/// Width, height and the frames of a video, as FFmpeg shows them.
fn shown(path: &Path) -> (u32, u32, Vec<u8>) {
    let told = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=width,height"])
        .arg(path)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let (width, height) = told.split_once(',').unwrap();
    let frames = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    (width.parse().unwrap(), height.parse().unwrap(), frames.stdout)
}

#[test]
fn scaled_frames_of_original_and_variants_become_videos_of_even_sides() {
    if !can_make_footage("scaled_frames_of_original_and_variants_become_videos_of_even_sides") {
        return;
    }
    let corpus = OddCorpus::new();
    let making =
        ["--variants", "2", "--kinds", "flip,h264_transcode", "--sizes", "48max,32letterbox"];
    let scale = [&["scale", "--materialise"][..], &making[..]].concat();
    assert_eq!(corpus.decodes(&scale).0, 2);
    assert_eq!(corpus.files("variants", "mp4").len(), 0, "stage 1 was not asked for");
    let files = corpus.files("scaled", "mp4");
    assert_eq!(files.len(), 2 * 3 * 2, "{files:?}");
    for (who, count) in [("0-original", 4), ("flip", 4), ("h264_transcode", 4)] {
        let named = files.iter().filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.contains(&format!("-{who}-"))
        });
        assert_eq!(named.count(), count, "{who}: {files:?}");
    }
    let mut compared = 0;
    for path in &files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let size: SizeSpec = name.rsplit('-').nth(1).unwrap().parse().unwrap();
        let (width, height, frames) = shown(path);
        assert_eq!((width, height), size.target(SIDES.0, SIDES.1), "{name}");
        // The same frames as the clip store's, but for a nearly lossless encode.
        let who = name.split('-').take(2).collect::<Vec<_>>().join("-");
        let clip = corpus.files("clips", "fvcclip").into_iter().find(|clip| {
            let clip = clip.file_name().unwrap().to_str().unwrap();
            clip.starts_with(&format!("{who}-{size}-"))
        });
        let Some(clip) = clip else { continue };
        let clip = ClipReader::open(&clip).unwrap();
        let mut expected = Vec::new();
        for window in 0..clip.header().windows.len() {
            for frame in clip.window(window).unwrap().unwrap() {
                expected.extend_from_slice(frame.data());
            }
        }
        assert_eq!(frames.len(), expected.len(), "{name}");
        // Luma: FFmpeg makes up chroma between samples, and the store does not.
        let luma = |pixel: &[u8]| {
            let weighted = pixel.iter().zip([0.2126, 0.7152, 0.0722]);
            weighted.map(|(&level, weight)| f64::from(level) * weight).sum::<f64>()
        };
        let apart = frames.chunks_exact(3).zip(expected.chunks_exact(3));
        let apart: f64 = apart.map(|(own, other)| (luma(own) - luma(other)).abs()).sum();
        let mean = 3.0 * apart / expected.len() as f64;
        assert!(mean < 2.0, "{name}: {mean} levels from the clip");
        compared += 1;
    }
    assert_eq!(compared, 8);

    // They are there by hash: nothing is owed until one is changed.
    assert_eq!(corpus.decodes(&scale).0, 0);
    let before = std::fs::read(&files[5]).unwrap();
    std::fs::write(&files[5], &before[..before.len() - 1]).unwrap();
    assert_eq!(corpus.decodes(&scale), (1, vec!["files lost or changed".to_owned()]));
    assert_eq!(std::fs::read(&files[5]).unwrap(), before);

    // Both stages' files in one pass where both are run; named, only those that are named.
    let both = |what: &[&'static str]| {
        let own = ["run", "--stages", "1,3", "--materialise"];
        corpus.decodes(&[&own[..], what, &making[..]].concat())
    };
    assert_eq!(both(&["scale"]).0, 0);
    assert_eq!(both(&[]), (2, vec!["asked for later: materialised variants".to_owned()]));
    let variants = corpus.files("variants", "mp4");
    assert_eq!(variants.len(), 4);
    // 4:2:0 has no half a chroma sample: the odd column and row are lost.
    for path in &variants {
        assert_eq!(shown(path).0, SIDES.0 - 1);
        assert_eq!(shown(path).1, SIDES.1 - 1);
    }
    assert_eq!(both(&["augment,scale"]).0, 0);
}
