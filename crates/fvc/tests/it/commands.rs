//! Each command by itself, and what it prints.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::footage::{can_make_footage, encode, fvc, run};
use crate::workspaces;

/// Three authentic and three fake clips of six origins, in folders; and a workspace.
struct Corpus {
    folder: tempfile::TempDir,
    workspace: String,
}

impl Corpus {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for clip in 0..6 {
            let label = if clip < 3 { "real" } else { "fake" };
            encode(
                &format!("testsrc2=size=96x64:rate={}", 20 + clip),
                &["-t", "1.5", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
                &folder.path().join(format!("videos/{label}/{clip}.mp4")),
            );
        }
        let workspace = folder.path().join("workspace").to_str().unwrap().to_owned();
        let corpus = Self { folder, workspace };
        let videos = corpus.path("videos");
        assert_eq!(corpus.run(&["index", videos.to_str().unwrap()]).0, 0);
        corpus
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        workspaces::run_in(Path::new(&self.workspace), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run(&[&["--json"][..], arguments].concat());
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Sources decoded, and for what reasons.
    fn decodes(&self, arguments: &[&str]) -> (u64, Vec<String>) {
        let made = self.json(arguments);
        let decodes = &made["stages"]["decodes"];
        let reasons = decodes["reasons"].as_object().unwrap().keys().cloned().collect();
        (decodes["sources"].as_u64().unwrap(), reasons)
    }
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = workspaces::files_below(folder);
    found.retain(|path| path.extension().is_some_and(|own| own == extension));
    found
}

/// The earlier system decoded each video three to nine times: once and again for every stage.
#[test]
fn stages_asked_for_one_by_one_cost_one_pass_each_and_none_twice() {
    if !can_make_footage("stages_asked_for_one_by_one_cost_one_pass_each_and_none_twice") {
        return;
    }
    let corpus = Corpus::new();
    let size = ["--size", "48"];
    let with = |stage: &'static str| [&[stage][..], &size].concat();
    assert_eq!(corpus.decodes(&with("features")), (6, vec!["first pass".to_owned()]));
    for stage in ["scale", "scaled-features", "augment"] {
        let (sources, reasons) = corpus.decodes(&with(stage));
        // Drawing variants needs no pixels unless they are to be written.
        let expected = if stage == "augment" { 0 } else { 6 };
        assert_eq!(sources, expected, "{stage}: {reasons:?}");
    }
    assert_eq!(corpus.decodes(&["run", "--stages", "1-4", "--size", "48"]).0, 0);
    // The originals and the transcodes; other variants are drawn again from their record.
    assert!(files_below(&corpus.path("workspace/clips"), "fvcclip").len() >= 6);
}

/// Features at native resolution are as good for one size of scaled frames as for another; they
/// were refused as made "with other settings".
#[test]
fn training_takes_native_features_whatever_the_scaled_size() {
    if !can_make_footage("training_takes_native_features_whatever_the_scaled_size") {
        return;
    }
    let corpus = Corpus::new();
    let short = ["--variants", "0"];
    corpus.json(&[&["features", "--size", "96"][..], &short].concat());
    corpus.json(&[&["scaled-features", "--size", "48"][..], &short].concat());
    let train = [
        "train",
        "--variants",
        "0",
        "--folds",
        "2",
        "--test-fraction",
        "0",
        "--grid",
        "none",
        "--model-types",
        "logistic_regression,xgboost",
    ];
    let made = corpus.json(&[&train[..], &["--size", "48"]].concat());
    assert_eq!(made["train"]["models"].as_array().unwrap().len(), 2);
    let (code, _, err) = corpus.run(&[&train[..], &["--size", "64"]].concat());
    assert_eq!(code, 1);
    assert!(err.contains(r#"was made with size "48max", not "64max""#), "{err}");
    assert!(err.contains("fvc scaled-features"), "{err}");
}

#[test]
fn materialised_variants_are_videos_of_as_many_frames() {
    if !can_make_footage("materialised_variants_are_videos_of_as_many_frames") {
        return;
    }
    let corpus = Corpus::new();
    let kinds = ["--kinds", "rotation,flip,brightness,contrast,gaussian_noise,h264_transcode"];
    let arguments = [&["augment", "--variants", "6", "--materialise"][..], &kinds].concat();
    corpus.json(&arguments);
    let made = files_below(&corpus.path("workspace/variants"), "mp4");
    assert_eq!(made.len(), 36);
    for path in made {
        let counted = std::process::Command::new("ffprobe")
            .args(["-v", "error", "-count_frames", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=codec_name,nb_read_frames"])
            .arg(&path)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&counted.stdout).trim().to_owned();
        // Clips of 30 to 38 frames give overlapping windows of 16, up to four of them.
        let frames: u32 = told.strip_prefix("h264,").unwrap().parse().unwrap();
        assert!(frames > 0 && frames.is_multiple_of(16), "{}: {told}", path.display());
    }
    // They are there: nothing is owed, until one is gone.
    assert_eq!(corpus.decodes(&arguments).0, 0);
    std::fs::remove_file(&files_below(&corpus.path("workspace/variants"), "mp4")[7]).unwrap();
    assert_eq!(corpus.decodes(&arguments).0, 1);
    assert_eq!(files_below(&corpus.path("workspace/variants"), "mp4").len(), 36);
}

/// Stage 1 without files still records every draw.
#[test]
fn draws_are_recorded_with_kind_and_parameters() {
    if !can_make_footage("draws_are_recorded_with_kind_and_parameters") {
        return;
    }
    let corpus = Corpus::new();
    assert_eq!(corpus.decodes(&["augment", "--variants", "3"]).0, 0);
    let lines = std::fs::read_to_string(corpus.path("workspace/variants/draws.jsonl")).unwrap();
    let draws: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(draws.len(), 18);
    for draw in draws {
        assert!(draw["content_id"].is_string() && draw["kind"].is_string(), "{draw}");
        assert!(draw["parameters"].is_object() && draw["seed"].is_u64(), "{draw}");
    }
}

/// Two programs in one workspace once lost each other's outputs: each wrote the record it had read.
#[test]
fn stages_run_at_once_lose_nothing_of_each_other() {
    if !can_make_footage("stages_run_at_once_lose_nothing_of_each_other") {
        return;
    }
    let corpus = Corpus::new();
    let start = |stage: &str| {
        fvc()
            .args(["-w", &corpus.workspace, stage, "--variants", "1", "--size", "48"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let stages: Vec<_> = ["features", "scale", "scaled-features"].map(start).into();
    for mut process in stages {
        assert!(process.wait().unwrap().success());
    }
    let run = ["run", "--stages", "1-4", "--variants", "1", "--size", "48"];
    assert_eq!(corpus.decodes(&run).0, 0, "everything was there");
}

/// Clips and files of two samplings were once one file, made again at each change of mind.
#[test]
fn outputs_of_two_settings_stand_beside_each_other() {
    if !can_make_footage("outputs_of_two_settings_stand_beside_each_other") {
        return;
    }
    let corpus = Corpus::new();
    let config = corpus.path("other.toml");
    std::fs::write(&config, "[sampling]\nwindows = 2\nframes = 8\n").unwrap();
    let stages = ["run", "--stages", "1-4", "--variants", "1", "--size", "48", "--materialise"];
    let other = [&["--config", config.to_str().unwrap()][..], &stages[..]].concat();
    for (arguments, expected) in [(&stages[..], 6), (&other, 6), (&stages, 0), (&other, 0)] {
        assert_eq!(corpus.decodes(arguments).0, expected);
    }
}

/// A variant is frames, whatever made them: what the file says of its stream is the source's alone,
/// and a transcode of some windows is no file either. (The earlier system re-encoded all variants and
/// no original, so that codec facts told the two apart.)
#[test]
fn no_kind_of_variant_has_facts_of_a_stream() {
    if !can_make_footage("no_kind_of_variant_has_facts_of_a_stream") {
        return;
    }
    let corpus = Corpus::new();
    let all: Vec<&str> = fvc_augment::Kind::ALL.iter().map(|kind| kind.name()).collect();
    let (kinds, count) = (all.join(","), all.len().to_string());
    let variants = ["--kinds", &kinds, "--variants", &count, "--size", "48"];
    corpus.json(&[&["run", "--stages", "1-4"][..], &variants].concat());
    let units = files_below(&corpus.path("workspace/units"), "json");
    assert_eq!(units.len(), 6);
    for path in units {
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let unit = &file["unit"];
        let outputs = unit["outputs"].as_object().unwrap();
        let rows = |begin: &str, who: &str| -> Vec<Vec<Option<f64>>> {
            let named = outputs.iter().filter(|(name, _)| {
                name.starts_with(begin) && name.rsplit('/').next().unwrap().starts_with(who)
            });
            let rows = named.map(|(_, output)| output["features"].clone());
            rows.map(|row| serde_json::from_value(row).unwrap()).collect()
        };
        let rate = unit["facts"]["frame_rate"]["numerator"].as_f64().unwrap()
            / unit["facts"]["frame_rate"]["denominator"].as_f64().unwrap();
        let bits = unit["facts"]["stream_bit_rate"].as_f64().unwrap();
        let original = rows("features/native-", "original").remove(0);
        let at = |value: f64| original.iter().position(|own| *own == Some(value)).unwrap();
        let (rate, bits) = (at(rate), at(bits));
        let made = rows("features/native-", "variant");
        assert_eq!(made.len(), all.len());
        for row in &made {
            assert_eq!((row[rate], row[bits]), (None, None), "{}", path.display());
            assert_eq!(row.iter().flatten().count(), original.iter().flatten().count() - 2);
        }
        assert_eq!(rows("features/scaled-", "variant").len(), all.len());
        // Only what was encoded is kept: the rest is made again from its record.
        let clips = outputs.keys().filter(|name| name.starts_with("clip/"));
        let encoded = clips.filter(|name| !name.ends_with("original"));
        assert!(encoded.clone().all(|name| name.contains("_transcode-")));
        assert_eq!(encoded.count(), 2);
        let draws = unit["draws"].as_object().unwrap().values();
        let platform = draws.clone().find(|draw| draw["kind"] == "platform_transcode").unwrap();
        assert!(platform["parameters"]["profile"].is_string(), "{platform}");
    }
}

/// A unit is complete by its hash, not by a file's existence.
#[test]
fn a_damaged_output_is_made_again() {
    if !can_make_footage("a_damaged_output_is_made_again") {
        return;
    }
    let corpus = Corpus::new();
    let arguments = ["run", "--stages", "1-4", "--variants", "0", "--size", "48"];
    corpus.json(&arguments);
    let tables = || {
        let folder = corpus.path("workspace/features");
        ["stage2", "forensic", "stage4", "facts"]
            .map(|name| std::fs::read(folder.join(format!("{name}.parquet"))).unwrap())
    };
    let (before, clips) = (tables(), files_below(&corpus.path("workspace/clips"), "fvcclip"));
    // Cut a clip, change a byte of a unit.
    let bytes = std::fs::read(&clips[0]).unwrap();
    std::fs::write(&clips[0], &bytes[..bytes.len() / 2]).unwrap();
    let unit = &files_below(&corpus.path("workspace/units"), "json")[3];
    let text = std::fs::read_to_string(unit).unwrap();
    let changed = text.replacen("0.", "1.", 1);
    assert_ne!(changed, text);
    std::fs::write(unit, changed).unwrap();
    let (sources, _) = corpus.decodes(&arguments);
    assert!((1..=2).contains(&sources), "{sources} decoded");
    assert_eq!(tables(), before);
    assert_eq!(std::fs::read(&clips[0]).unwrap(), bytes);
    assert_eq!(corpus.decodes(&arguments).0, 0);
}

#[test]
fn an_official_split_is_kept_to_and_checked_against_groups() {
    if !can_make_footage("an_official_split_is_kept_to_and_checked_against_groups") {
        return;
    }
    let corpus = Corpus::new();
    corpus.json(&["run", "--stages", "1-4", "--variants", "0", "--size", "48"]);
    let videos = corpus.path("videos");
    let write = |parts: [&str; 6]| {
        let mut table = "path,part\n".to_owned();
        for (clip, part) in parts.iter().enumerate() {
            let label = if clip < 3 { "real" } else { "fake" };
            let path = videos.join(format!("{label}/{clip}.mp4"));
            let _ = writeln!(table, "{},{part}", path.display());
        }
        let path = corpus.path("official.csv");
        std::fs::write(&path, table).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let train = |split: &str| {
        corpus.run(&[
            "--json",
            "train",
            "--variants",
            "0",
            "--size",
            "48",
            "--grid",
            "none",
            "--folds",
            "2",
            "--model-types",
            "logistic_regression",
            "--split",
            split,
        ])
    };
    let (code, out, err) = train(&write(["train", "train", "test", "train", "train", "test"]));
    assert_eq!(code, 0, "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["train"]["sealed"]["opening"], 1);
    // Another table under the same name is another split, though folds, fraction and seed are as
    // before: the first was once taken again without a word.
    let (code, out, err) = train(&write(["test", "train", "train", "test", "train", "train"]));
    assert_eq!(code, 0, "{out}{err}");
    let other: Value = serde_json::from_str(&out).unwrap();
    let sealed =
        |made: &Value| made["train"]["models"][0]["cross_validation"]["predictions"].clone();
    assert_ne!(sealed(&made), sealed(&other));
    let (code, _, err) = train(&write(["train", "train", "train", "train", "train", "holiday"]));
    assert_eq!(code, 1);
    assert!(err.contains("holiday"), "{err}");
}

/// Sources were kept as the paths that were typed, and every one of them was "missing" when the next
/// command was given in another folder.
#[test]
fn an_index_is_used_from_any_folder() {
    if !can_make_footage("an_index_is_used_from_any_folder") {
        return;
    }
    let corpus = Corpus::new();
    std::fs::remove_dir_all(&corpus.workspace).unwrap();
    std::fs::write(corpus.path("table.csv"), "path,label\nvideos/real/0.mp4,real\n,fake\n")
        .unwrap();
    let within = |folder: &Path, arguments: &[&str]| {
        let output = fvc()
            .current_dir(folder)
            .args(["--json", "--exit-zero-on-partial"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let here = corpus.folder.path();
    let made = within(here, &["-w", "workspace", "index", "videos", "table.csv"]);
    assert_eq!((&made["real"], &made["fake"]), (&3.into(), &3.into()));
    let elsewhere = corpus.path("videos");
    let stages = ["-w", "../workspace", "run", "--stages", "1-4", "--variants", "0"];
    assert_eq!(within(&elsewhere, &stages)["stages"]["completed"], 6);
}

#[test]
fn the_media_cache_is_counted_pruned_and_cleared() {
    if !can_make_footage("the_media_cache_is_counted_pruned_and_cleared") {
        return;
    }
    let corpus = Corpus::new();
    assert_eq!(corpus.json(&["cache", "stats"])["records"], 6);
    std::fs::remove_file(corpus.path("videos/real/0.mp4")).unwrap();
    let (code, out, _) = corpus.run(&["cache", "prune"]);
    assert_eq!(code, 0);
    assert!(!out.starts_with("0 "), "{out}");
    assert_eq!(corpus.json(&["cache", "stats"])["records"], 5);
    assert_eq!(corpus.run(&["cache", "clear"]).0, 0);
    assert_eq!(corpus.json(&["cache", "stats"])["records"], 0);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("scaled-features") && out.contains("exit-zero-on-partial"), "{shell}");
    }
}

#[test]
fn what_people_read_first() {
    insta::assert_snapshot!(run(&["--help"]).1);
    insta::assert_snapshot!(run(&["-w", "nowhere", "models"]).1);
    insta::assert_snapshot!(run(&["forge", "--list"]).1);
    insta::assert_snapshot!(run(&["-w", "nowhere", "predict", "clip.mp4"]).2);
    // A typing error makes no workspace.
    let folder = tempfile::tempdir().unwrap();
    let ws = folder.path().join("ws");
    insta::assert_snapshot!(run(&["-w", ws.to_str().unwrap(), "index", "nowhere"]).2);
    assert!(!ws.exists());
}

/// A mistyped folder once emptied the index, and the run after it the tables.
#[test]
fn a_command_that_finds_nothing_leaves_what_was_there() {
    if !can_make_footage("a_command_that_finds_nothing_leaves_what_was_there") {
        return;
    }
    let corpus = Corpus::new();
    corpus.json(&["run", "--stages", "1-4", "--variants", "0"]);
    let kept = || {
        ["workspace/index/sources.json", "workspace/features/stage2.parquet"]
            .map(|name| std::fs::read(corpus.path(name)).unwrap())
    };
    let before = kept();
    std::fs::create_dir(corpus.path("empty")).unwrap();
    let empty = corpus.path("empty");
    let (code, _, err) = corpus.run(&["index", empty.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("no video was found in") && err.contains("empty"), "{err}");
    std::fs::rename(corpus.path("videos"), corpus.path("away")).unwrap();
    assert_eq!(corpus.run(&["run", "--stages", "1-4", "--variants", "0", "--size", "64"]).0, 1);
    assert_eq!(kept(), before);
    let (code, _, err) = corpus.run(&["predict", empty.to_str().unwrap()]);
    assert_eq!(code, 1, "{err}");
}

/// Where all of a corpus was broken, one file of it was told, and not where the others stand.
#[test]
fn an_index_of_which_nothing_can_be_used_tells_all_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let (clips, ws) = (folder.path().join("clips"), folder.path().join("ws"));
    std::fs::create_dir_all(clips.join("real")).unwrap();
    std::fs::write(clips.join("real/a.mp4"), b"").unwrap();
    std::fs::write(clips.join("real/b.mp4"), b"no video").unwrap();
    std::fs::write(clips.join("real/c.mp4"), b"").unwrap();
    let arguments = ["-w", ws.to_str().unwrap(), "index", clips.to_str().unwrap()];
    let (code, out, err) = run(&arguments);
    assert_eq!(code, 1, "{out}{err}");
    let table = ws.join("stages/index/failures.csv");
    assert!(out.contains(&format!("3 failed ({}):", table.display())), "{out}");
    assert!(out.contains("  empty: 2\n") && table.exists(), "{out}");
    assert!(err.contains("None of the 3 inputs could be used; first failure"), "{err}");
    let (code, out, _) = run(&[&arguments[..], &["--json"]].concat());
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, made["failures"].as_array().unwrap().len()), (1, 3));
}

/// A name that is no text ended the whole command, after all the work.
#[test]
fn a_name_that_is_no_text_costs_one_row() {
    use std::os::unix::ffi::OsStrExt;
    if !can_make_footage("a_name_that_is_no_text_costs_one_row") {
        return;
    }
    let corpus = Corpus::new();
    let name = std::ffi::OsStr::from_bytes(b"videos/real/b\xffd.mp4");
    std::fs::copy(corpus.path("videos/real/0.mp4"), corpus.folder.path().join(name)).unwrap();
    let videos = corpus.path("videos");
    let (code, out, err) = corpus.run(&["--json", "index", videos.to_str().unwrap()]);
    assert_eq!(code, 3, "{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&made["real"], &made["fake"]), (&3.into(), &3.into()));
    assert_eq!(made["failures"][0]["reason"], "name_not_utf8");
}

/// Settings that cannot work were found out after hours of decoding.
#[test]
fn what_cannot_be_trained_is_said_before_anything_is_decoded() {
    if !can_make_footage("what_cannot_be_trained_is_said_before_anything_is_decoded") {
        return;
    }
    let corpus = Corpus::new();
    let config = corpus.path("wrong.toml");
    let config = config.to_str().unwrap();
    std::fs::write(config, "[train.parameters.logistic_regression]\nC = -1.0\n").unwrap();
    for (arguments, expected) in [
        (vec!["run", "--folds", "1000"], 1),
        (vec!["run", "--split", "nowhere.csv"], 1),
        (vec!["--config", config, "run", "--test-fraction", "0"], 2),
        (vec!["run", "--test-fraction", "-1"], 2),
        (vec!["run", "--stages", "2", "--materialise"], 2),
        (vec!["run", "--parallel", "20000"], 2),
        (vec!["--config", "nowhere.toml", "run"], 2),
        (vec!["train", "--materialise"], 2),
        (vec!["run", "--stages", "1,2", "--materialise", "scale"], 2),
        (vec!["scale", "--materialise", "augment"], 2),
        (vec!["augment", "--materialise", "scale"], 2),
        (vec!["augment", "--materialise", "frames"], 2),
        (vec!["run", "--letterbox", "--sizes", "224max,32min"], 2),
        (vec!["run", "--sizes", "48,48max"], 2),
        (vec!["run", "--letterbox", "--sizes", "48max,48letterbox"], 2),
        (vec!["run", "--sizes", "8max"], 2),
        (vec!["run", "--sizes", "5000max"], 2),
        (vec!["run", "--sizes", "48", "--feature-size", "64max"], 2),
        (vec!["run", "--scaler", "autoencoder"], 2),
    ] {
        let (code, out, err) = corpus.run(&arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        assert!(!corpus.path("workspace/units").exists(), "{arguments:?}");
    }
    // A command of one stage has no --stages to look at.
    let (_, _, err) = corpus.run(&["augment", "--materialise", "scale"]);
    assert!(err.contains("expected augment, since `fvc augment`"), "{err}");
}

/// Of an official split only the table was read before hours of decoding; what it says was held against
/// groups and labels after them.
#[test]
fn a_split_that_cannot_be_is_refused_before_anything_is_decoded() {
    if !can_make_footage("a_split_that_cannot_be_is_refused_before_anything_is_decoded") {
        return;
    }
    let corpus = Corpus::new();
    let mut sources = "path,label,group\n".to_owned();
    for clip in 0..6 {
        // A real clip and a fake one of one origin each.
        let label = ["real", "fake"][clip / 3];
        let _ = writeln!(sources, "videos/{label}/{clip}.mp4,{label},g{}", clip % 3);
    }
    // It is found, and fails when it is decoded.
    let cut = corpus.path("videos/fake/cut.mp4");
    encode(
        "mandelbrot=size=64x48:rate=20",
        &["-t", "2", "-c:v", "libx264", "-g", "5", "-movflags", "+faststart"],
        &cut,
    );
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..whole.len() * 3 / 4]).unwrap();
    sources.push_str("videos/fake/cut.mp4,fake,g9\n");
    let table = corpus.path("sources.csv");
    std::fs::write(&table, sources).unwrap();
    let (code, _, err) = corpus.run(&["index", table.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    let arguments = [
        &["run", "--variants", "0", "--size", "48", "--grid", "none", "--folds", "2"][..],
        &["--model-types", "logistic_regression", "--split"],
    ]
    .concat();
    let run = |parts: &[&str]| {
        let mut table = "path,part\n".to_owned();
        for (clip, part) in parts.iter().enumerate() {
            let name = if clip == 6 { "cut".to_owned() } else { clip.to_string() };
            let label = if clip < 3 { "real" } else { "fake" };
            let _ = writeln!(table, "videos/{label}/{name}.mp4,{part}");
        }
        let path = corpus.path("official.csv");
        std::fs::write(&path, table).unwrap();
        corpus.run(&[&arguments[..], &[path.to_str().unwrap()]].concat())
    };
    for (parts, expected) in [
        // Two of one origin on two sides.
        (&["train", "train", "test", "test", "train", "test", "train"][..], "would stand in"),
        // Whose row is missing.
        (&["train", "train", "test", "train", "train"], "no row for"),
        // Folds of which one has nothing.
        (&["fold_1", "fold_1", "test", "fold_1", "fold_1", "test", "fold_1"], "fold"),
    ] {
        let (code, out, err) = run(parts);
        assert_eq!(code, 1, "{parts:?}: {out}{err}");
        assert!(err.contains(expected) && err.contains("official.csv"), "{parts:?}: {err}");
        assert!(!corpus.path("workspace/units").exists(), "{parts:?}");
    }
    // One that can be goes through, with a source that fails; and once that is known, it needs no row.
    for count in [7, 6] {
        let parts = ["train", "train", "test", "train", "train", "test", "train"];
        let (code, out, err) = run(&parts[..count]);
        assert_eq!(code, 3, "{count}: {out}{err}");
    }
}

/// Files of a run that was cut off would be taken into the next one's corpus, without their groups.
#[test]
fn forging_wants_a_folder_of_its_own() {
    if !can_make_footage("forging_wants_a_folder_of_its_own") {
        return;
    }
    let corpus = Corpus::new();
    let videos = corpus.path("videos");
    let videos = videos.to_str().unwrap();
    let (code, _, err) = run(&["forge", videos, "--out", videos]);
    assert_eq!(code, 1);
    assert!(err.contains("an empty output folder"), "{err}");
    let (code, out, _) = run(&["--json", "forge", "--list"]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().len() > 10);
}
