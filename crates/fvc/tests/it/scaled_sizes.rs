//! Named sizes, letterboxed or not: one pass for all of them.

use std::path::{Path, PathBuf};

use fvc_clips::{ClipReader, SizeSpec};
use serde_json::Value;

use crate::footage::{can_make_footage, encode, run};

/// One authentic and one fake clip of odd sides, indexed.
pub(crate) struct OddCorpus {
    folder: tempfile::TempDir,
    workspace: String,
}

/// Width and height of its clips.
pub(crate) const SIDES: (u32, u32) = (97, 63);

impl OddCorpus {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (label, source) in [("real", "testsrc2"), ("fake", "mandelbrot")] {
            let (width, height) = SIDES;
            encode(
                &format!("{source}=size={width}x{height}:rate=25"),
                &["-t", "1", "-c:v", "libx264", "-pix_fmt", "yuv444p"],
                &folder.path().join(format!("videos/{label}/clip.mp4")),
            );
        }
        let workspace = folder.path().join("workspace").to_str().unwrap().to_owned();
        let corpus = Self { folder, workspace };
        let videos = corpus.folder.path().join("videos");
        assert_eq!(corpus.run(&["index", videos.to_str().unwrap()]).0, 0);
        corpus
    }

    pub(crate) fn workspace(&self) -> &Path {
        Path::new(&self.workspace)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(&[&["-w", &self.workspace, "--json"][..], arguments].concat())
    }

    /// Sources decoded, and for what reasons.
    pub(crate) fn decodes(&self, arguments: &[&str]) -> (u64, Vec<String>) {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{out}{err}");
        let made: Value = serde_json::from_str(&out).unwrap();
        let decodes = &made["stages"]["decodes"];
        let reasons = decodes["reasons"].as_object().unwrap().keys().cloned().collect();
        (decodes["sources"].as_u64().unwrap(), reasons)
    }

    /// The workspace's files with this extension, by name.
    pub(crate) fn files(&self, folder: &str, extension: &str) -> Vec<PathBuf> {
        let Ok(folders) = std::fs::read_dir(self.workspace().join(folder)) else {
            return Vec::new();
        };
        let files = folders.flatten().filter_map(|folder| std::fs::read_dir(folder.path()).ok());
        let mut files: Vec<PathBuf> = files
            .flat_map(|files| files.flatten().map(|file| file.path()))
            .filter(|path| path.extension().is_some_and(|own| own == extension))
            .collect();
        files.sort();
        files
    }

    fn clips(&self) -> Vec<ClipReader> {
        let files = self.files("clips", "fvcclip");
        files.iter().map(|path| ClipReader::open(path).unwrap()).collect()
    }

    fn table(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.workspace().join(format!("features/{name}.parquet"))).unwrap()
    }
}

fn size(name: &str) -> SizeSpec {
    name.parse().unwrap()
}

#[test]
fn several_sizes_cost_one_pass_and_one_asked_for_later_one_more() {
    if !can_make_footage("several_sizes_cost_one_pass_and_one_asked_for_later_one_more") {
        return;
    }
    let corpus = OddCorpus::new();
    let variants = ["--variants", "2", "--kinds", "flip,h264_transcode"];
    let with = |stages: &'static str, sizes: &'static str, more: &[&'static str]| {
        let own = ["run", "--stages", stages, "--sizes", sizes];
        corpus.decodes(&[&own[..], &variants[..], more].concat())
    };
    assert_eq!(with("1-4", "48max,32min", &[]), (2, vec!["first pass".to_owned()]));
    // Of each source the original and its transcode, in both sizes; the flip is made again at need.
    let clips = corpus.clips();
    assert_eq!(clips.len(), 8);
    for clip in &clips {
        let header = clip.header();
        assert_eq!((header.width, header.height), header.size.picture(SIDES.0, SIDES.1));
        assert_eq!(header.picture, None);
    }
    let of = |name| clips.iter().filter(|clip| clip.header().size == size(name)).count();
    assert_eq!((of("48max"), of("32min")), (4, 4));
    assert_eq!(with("1-4", "48max,32min", &[]).0, 0);
    assert_eq!(with("1-4", "48max", &[]).0, 0);

    let measured = corpus.table("stage4");
    let later = with("1-4", "48max,32min,64max", &[]);
    assert_eq!(later, (2, vec!["asked for later: scaled frames".to_owned()]));
    assert_eq!(corpus.clips().len(), 12);
    assert_eq!(corpus.table("stage4"), measured, "the first size is measured");
    assert_eq!(with("1-4", "48max,32min,64max", &[]).0, 0);

    // Another size is measured at the cost of one pass, and the first is still there.
    let other = with("1-4", "48max,32min,64max", &["--feature-size", "32min"]);
    assert_eq!(other, (2, vec!["asked for later: scaled features".to_owned()]));
    assert_ne!(corpus.table("stage4"), measured);
    assert_eq!(with("1-4", "32min,48max,64max", &[]).0, 0);
    assert_eq!(with("1-4", "48max,32min,64max", &[]).0, 0);
    assert_eq!(corpus.table("stage4"), measured);
}

/// In the earlier system the bars were measured with the picture: edges, deviations and DCT statistics
/// told the aspect ratio.
#[test]
fn bars_are_kept_in_clips_and_never_measured() {
    if !can_make_footage("bars_are_kept_in_clips_and_never_measured") {
        return;
    }
    let corpus = OddCorpus::new();
    let scale = |more: &[&str]| {
        let own = ["run", "--stages", "3,4", "--variants", "0", "--sizes", "48max"];
        corpus.decodes(&[&own[..], more].concat())
    };
    assert_eq!(scale(&["--letterbox"]).0, 2);
    let letterboxed = corpus.table("stage4");
    let clips = corpus.clips();
    assert_eq!(clips.len(), 2);
    let (width, height) = size("48max").picture(SIDES.0, SIDES.1);
    for clip in clips {
        let header = clip.header();
        assert_eq!(header.size, size("48letterbox"));
        assert_eq!((header.width, header.height), (48, 48));
        let picture = header.picture.unwrap();
        assert_eq!((picture.width, picture.height), (width, height));
        assert_eq!((picture.left, picture.top), (0, (48 - height) / 4 * 2));
        let first = &clip.window(0).unwrap().unwrap()[0];
        let rows = picture.top as usize * 3 * 48;
        assert!(first.data()[..rows].iter().all(|&level| level == 0));
        assert!(first.data()[rows..].iter().any(|&level| level > 0));
    }
    // Without bars the frames are others, and the numbers the same.
    assert_eq!(scale(&[]), (2, vec!["asked for later: scaled frames".to_owned()]));
    assert_eq!(corpus.table("stage4"), letterboxed);
    assert_eq!(corpus.clips().len(), 4);
    assert_eq!(scale(&["--letterbox"]).0, 0);
    // Both ways of saying it are one.
    let own = ["run", "--stages", "3,4", "--variants", "0", "--sizes", "48letterbox,48max"];
    assert_eq!(corpus.decodes(&own).0, 0);
}

/// Each size is estimated before the first source is decoded.
#[test]
fn room_is_asked_for_frames_of_all_sizes() {
    if !can_make_footage("room_is_asked_for_frames_of_all_sizes") {
        return;
    }
    let corpus = OddCorpus::new();
    let config = corpus.workspace().join("../many.toml");
    // 100 GB a clip, and 2002 clips: more than any disk.
    std::fs::write(&config, "[sampling]\nwindows = 64\nframes = 64\n").unwrap();
    let needed = |sizes: &str| -> u64 {
        let config = config.to_str().unwrap();
        let own = ["--config", config, "scale", "--kinds", "h264_transcode", "--variants", "1000"];
        let own = [&own[..], &["--sizes", sizes]].concat();
        let (code, out, err) = corpus.run(&own);
        assert_eq!(code, 1, "{out}{err}");
        let words: Vec<&str> = err.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "expected").unwrap();
        words[at + 1].parse().unwrap()
    };
    let (one, other) = (needed("4096max"), needed("2048min"));
    let both = needed("4096max,2048min");
    assert!(both.abs_diff(one + other) <= 2, "{both} for {one} and {other}");
    assert!(!corpus.workspace().join("units").exists());
}
