//! What is refused, with which code and which words.

use std::collections::BTreeMap;

use crate::footage::{can_make_footage, encode, run};

/// In the earlier system a broken file was a zero vector under its label, or silently no row. Here
/// each is a failure with a reason, and the others are unharmed.
#[test]
fn every_bad_input_is_a_row_with_a_reason() {
    if !can_make_footage("every_bad_input_is_a_row_with_a_reason") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let h264 = ["-t", "3", "-c:v", "libx264", "-pix_fmt", "yuv420p"];
    encode("testsrc2=size=160x120:rate=25", &h264, &at("good.mp4"));
    encode("mandelbrot=size=160x120:rate=25", &h264, &at("other.mp4"));
    std::fs::copy(at("other.mp4"), at("wrong_extension.txt")).unwrap();
    std::fs::remove_file(at("other.mp4")).unwrap();
    std::fs::write(at("empty.mp4"), b"").unwrap();
    std::fs::write(at("text.mp4"), b"not a video at all\n".repeat(50)).unwrap();
    encode("sine", &["-t", "1", "-c:a", "aac"], &at("audio.mp4"));
    let streamed = ["-t", "3", "-c:v", "libx264", "-movflags", "+faststart", "-g", "10"];
    encode("life=size=160x120:rate=25:mold=10", &streamed, &at("whole.mp4"));
    let whole = std::fs::read(at("whole.mp4")).unwrap();
    std::fs::remove_file(at("whole.mp4")).unwrap();
    for percent in [1, 25, 50, 99] {
        let cut = whole.len() * percent / 100;
        std::fs::write(at(&format!("cut{percent}.mp4")), &whole[..cut]).unwrap();
    }
    std::fs::write(at("list.mp4"), b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n")
        .unwrap();
    std::fs::create_dir(at("folder.mp4")).unwrap();
    // Nobody can read it, not even root.
    std::os::unix::fs::symlink("loop.mp4", at("loop.mp4")).unwrap();
    let rows = "path,label\ngood.mp4,real\nwrong_extension.txt,fake\nempty.mp4,real\ntext.mp4,fake\n\
                audio.mp4,real\ncut1.mp4,fake\ncut25.mp4,fake\ncut50.mp4,real\ncut99.mp4,fake\n\
                list.mp4,fake\nfolder.mp4,real\nloop.mp4,fake\nnowhere.mp4,real\ngood.mp4,real\ngood.mp4,parody\n,real\n";
    std::fs::write(at("table.csv"), rows).unwrap();
    let ws = at("ws");
    let ws = ws.to_str().unwrap();
    let (code, out, err) = run(&["-w", ws, "--json", "index", at("table.csv").to_str().unwrap()]);
    assert_eq!(code, 3, "{out}{err}");
    let index: serde_json::Value = serde_json::from_str(&out).unwrap();
    let mut reasons: BTreeMap<String, String> = BTreeMap::new();
    let mut note = |failures: &serde_json::Value| {
        for failure in failures.as_array().unwrap() {
            let name = failure["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            reasons.insert(name, failure["reason"].as_str().unwrap().to_owned());
        }
    };
    note(&index["failures"]);
    let (code, out, err) = run(&["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "0"]);
    assert_eq!(code, 3, "{out}{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    note(&made["failures"]);
    // The good ones went through.
    assert_eq!(made["stages"]["completed"], 2, "{out}");
    for (name, expected) in [
        ("empty.mp4", "empty"),
        ("text.mp4", "not_a_video"),
        ("audio.mp4", "no_video_stream"),
        ("list.mp4", "format_refused"),
        ("folder.mp4", "not_a_file"),
        ("nowhere.mp4", "missing"),
        ("loop.mp4", "unreadable"),
        ("cut25.mp4", "partial"),
        ("cut50.mp4", "partial"),
        ("cut99.mp4", "partial"),
    ] {
        assert_eq!(reasons.get(name).map(String::as_str), Some(expected), "{name}: {reasons:?}");
    }
    assert!(reasons.contains_key("cut1.mp4"), "{reasons:?}");
    let index_reasons = index["manifest"]["failed"].as_object().unwrap();
    for reason in ["duplicate_row", "unknown_label", "missing_path"] {
        assert_eq!(index_reasons[reason], 1, "{index_reasons:?}");
    }
    // A second run knows them all without decoding.
    let (_, out, _) = run(&["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "0"]);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["stages"]["decodes"]["sources"], 0, "{out}");
    // Under the other policy, damaged files give what windows they have.
    let (_, out, _) =
        run(&["-w", ws, "--json", "run", "--stages", "1-4", "--variants", "0", "--partial", "use"]);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(made["stages"]["completed"].as_u64().unwrap() > 2, "{out}");
}

/// Demuxers take the end of the file for the end of the video: half of a short clip was a whole one.
/// And where part of a file is used, no picture is that was never filmed: a damaged frame is grey.
#[test]
fn files_that_were_cut_are_partial_in_every_container() {
    if !can_make_footage("files_that_were_cut_are_partial_in_every_container") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos/real");
    let x264: &[&str] = &["-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p"];
    let mut count = 0;
    for (extension, codec) in [
        ("mkv", x264),
        ("webm", &["-c:v", "libvpx", "-g", "10"]),
        ("ogv", &["-c:v", "libtheora", "-g", "10"]),
        ("mp4", &["-c:v", "libx264", "-g", "10", "-movflags", "+faststart"]),
        ("avi", &["-c:v", "mpeg4", "-g", "10"]),
    ] {
        let whole = folder.path().join(format!("whole.{extension}"));
        let source = "testsrc2=size=160x120:rate=25";
        encode(source, &[&["-t", "3"][..], codec].concat(), &whole);
        std::fs::create_dir_all(&videos).unwrap();
        std::fs::copy(&whole, videos.join(format!("whole.{extension}"))).unwrap();
        let bytes = std::fs::read(&whole).unwrap();
        for percent in [50, 99] {
            let cut = &bytes[..bytes.len() * percent / 100];
            std::fs::write(videos.join(format!("cut{percent}.{extension}")), cut).unwrap();
            count += 1;
        }
    }
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    let (_, out, err) = run(&["-w", ws, "index", folder.path().join("videos").to_str().unwrap()]);
    let stages = ["-w", ws, "--json", "run", "--stages", "2,3", "--variants", "0", "--size", "64"];
    let (code, made, _) = run(&stages);
    assert_eq!(code, 3, "{out}{err}");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["stages"]["completed"], 5, "{made}");
    let failed: u64 =
        made["stages"]["failed"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(failed, count, "{made}");
    let (_, made, _) = run(&[&stages[..], &["--partial", "use"]].concat());
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let used = made["stages"]["completed"].as_u64().unwrap();
    assert!(used > 5 && made["damaged"].as_u64().unwrap() == used - 5, "{made}");
}

#[test]
fn a_table_of_nothing_that_exists_fails_and_keeps_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.csv");
    std::fs::write(&table, "path,label\na.mp4,real\nb.mp4,fake\n").unwrap();
    let ws = folder.path().join("ws");
    let (code, _, err) = run(&["-w", ws.to_str().unwrap(), "index", table.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("None of the 2 inputs") && err.contains("a.mp4: missing"), "{err}");
    let failures = std::fs::read_to_string(ws.join("stages/index/failures.csv")).unwrap();
    assert_eq!(failures.lines().count(), 3, "{failures}");
}

#[test]
fn one_class_is_refused_with_the_number_of_folds_that_would_work() {
    if !can_make_footage("one_class_is_refused_with_the_number_of_folds_that_would_work") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for clip in 0..3 {
        let source = format!("testsrc2=size=64x64:rate={}", 20 + clip);
        let path = folder.path().join("videos/real").join(format!("{clip}.mp4"));
        encode(&source, &["-t", "1", "-c:v", "libx264"], &path);
    }
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    let videos = folder.path().join("videos");
    assert_eq!(run(&["-w", ws, "index", videos.to_str().unwrap()]).0, 0);
    let (code, _, err) = run(&["-w", ws, "run", "--variants", "0", "--folds", "2"]);
    assert_eq!(code, 1);
    assert!(err.contains("0 hold fake ones") && err.contains("no number of folds works"), "{err}");
}

#[test]
fn usage_and_configuration_errors_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["run", "--stages", "9"]).0, 2);
    assert_eq!(run(&["nonsense"]).0, 2);
    let config = folder.path().join("fvc.toml");
    std::fs::write(&config, "[train]\nlearning_speed = 3\n").unwrap();
    let (code, _, err) = run(&["--config", config.to_str().unwrap(), "index", "x"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("learning_speed"), "{err}");
    let many: Vec<String> = (20..37).map(|side| format!("\"{side}max\"")).collect();
    for (scale, expected) in [
        ("size = 224", "unknown field `size`"),
        ("sizes = [\"3max\"]", "scale.sizes: expected 16 to 4096 pixels, found 3max"),
        ("sizes = []", "1 to 16 sizes, found 0 of them"),
        (&format!("sizes = [{}]", many.join(", ")), "1 to 16 sizes, found 17 of them"),
        ("sizes = [\"224mid\"]", "expected a size such as 224max, 256min or 224letterbox"),
        ("sizes = [\"48max\", \"48max\"]", "expected each size once, found 48max twice"),
        ("letterbox = true\nsizes = [\"48min\"]", "sizes by the longer side"),
        ("feature_size = \"48max\"", "expected one of scale.sizes (224max), found 48max"),
        ("scaler = \"autoencoder\"", "expected a scaler (area_cubic), found \"autoencoder\""),
    ] {
        std::fs::write(&config, format!("[scale]\n{scale}\n")).unwrap();
        let (code, _, err) = run(&["--config", config.to_str().unwrap(), "index", "x"]);
        assert_eq!(code, 2, "{err}");
        let words: Vec<&str> = err.split_whitespace().collect();
        assert!(words.join(" ").contains(expected), "{scale}: {err}");
    }
    let (code, _, err) = run(&["-w", folder.path().join("no").to_str().unwrap(), "train"]);
    assert_eq!(code, 1);
    assert!(err.contains("fvc index"), "{err}");
}

/// The example must stay true: it loads, and it says the defaults.
#[test]
fn the_example_configuration_is_the_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fvc.example.toml");
    let example = fvc_pipeline::Config::load(std::path::Path::new(path)).unwrap();
    assert_eq!(example, fvc_pipeline::Config::default());
}

/// `[train.parameters.xgb]` was read, found to be a model's name, and never looked at again.
#[test]
fn fixed_parameters_are_found_under_every_name_of_their_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fvc.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        fvc_pipeline::Config::load(&path)
    };
    for kind in fvc_learn::ModelKind::ALL {
        let plain = load(&format!("[train.parameters.{kind}]\nseven = 7.0\n")).unwrap();
        assert_eq!(plain.train.settings(kind).parameters.len(), 1);
        for alias in kind.aliases() {
            let other = load(&format!("[train.parameters.{alias}]\nseven = 7.0\n")).unwrap();
            assert_eq!(other, plain, "{alias}");
            assert_eq!(other.hash().unwrap(), plain.hash().unwrap(), "{alias}");
            let twice = format!(
                "[train.parameters.{alias}]\nseven = 7.0\n[train.parameters.{kind}]\nsix = 6.0\n"
            );
            let refused = load(&twice).unwrap_err().to_string();
            assert!(refused.contains(alias) && refused.contains(kind.name()), "{refused}");
        }
    }
    let refused = load("[train.parameters.svn]\nseven = 7.0\n").unwrap_err().to_string();
    assert!(refused.contains("svn") && refused.contains("logistic_regression"), "{refused}");
}
