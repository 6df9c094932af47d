//! The Fake Video Corpus through the binary: its tables and folders, with encoded clips.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::footage::{can_make_footage, encode, run};

const SEEDS: &str = "cascade_id,video_url,label\n\
    f0,https://www.youtube.com/watch?v=Seed_-0AAAA,fake\n\
    r0,https://www.facebook.com/page/videos/100/,real\n";
const DUPLICATES: &str = "cascade_id,video_url,label\r\n\
    f0,https://www.youtube.com/watch?v=seed_-0aaaa,real\r\n\
    r0,https://twitter.com/someone/status/200,parody\r\n\
    f0,https://www.youtube.com/watch?v=Broken_-000,fake\r\n\
    f0,https://www.youtube.com/watch?v=Shared_-000,uncertain\r\n\
    f1,https://www.youtube.com/watch?v=Shared_-000,uncertain\r\n\
    f1,https://www.facebook.com/page/videos/101/,fake\r\n";

fn tables(folder: &Path) {
    fs::create_dir_all(folder.join("Metadata")).unwrap();
    fs::write(folder.join("Metadata/FVC.csv"), SEEDS).unwrap();
    fs::write(folder.join("Metadata/FVC_dup.csv"), DUPLICATES).unwrap();
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_fake_video_corpus_is_indexed_by_its_cascades() {
    if !can_make_footage("the_fake_video_corpus_is_indexed_by_its_cascades") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    tables(&corpus);
    for (rate, path) in [
        (20, "FVC1/youtube/Seed_-0AAAA/video.mp4"),
        (21, "FVC1/youtube/seed_-0aaaa/video.mkv"),
        (22, "FVC2/100/video.mp4"),
        (23, "FVC2/101/video.mp4"),
        (24, "FVC3/twitter/200/video.mp4"),
        (25, "FVC3/twitter/999/video.mp4"),
    ] {
        let source = format!("testsrc2=size=64x64:rate={rate}");
        encode(&source, &["-t", "0.5", "-c:v", "libx264"], &corpus.join(path));
    }
    fs::create_dir_all(corpus.join("FVC1/youtube/Broken_-000")).unwrap();
    fs::write(corpus.join("FVC1/youtube/Broken_-000/video.webm"), "no video\n".repeat(9)).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (corpus, workspace) = (at("corpus"), at("workspace"));
    let index = ["-w", &workspace, "--json", "index", "--fvc", &corpus];

    let (code, out, err) = run(&index);
    assert_eq!(code, 3, "{out}{err}");
    let made = json_of(&out);
    // 8 rows, and the file of the id 999.
    assert_eq!(made["manifest"]["inputs"], 9, "{out}");
    assert_eq!(made["manifest"]["completed"], 4, "{out}");
    assert_eq!(
        made["manifest"]["failed"],
        json!({"excluded_parody": 1, "excluded_uncertain": 2, "not_a_video": 1, "not_in_tables": 1}),
        "{out}"
    );
    let defaults = json!({"uncertain": "exclude", "debunked": "exclude", "parody": "exclude",
        "conflict": "exclude"});
    assert_eq!(made["manifest"]["label_policy"], defaults);
    // f0 and f1 are one group through a video that is excluded.
    assert_eq!((&made["real"], &made["fake"], &made["groups"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!((&made["fvc"]["cascades"], &made["fvc"]["groups"]), (&json!(3), &json!(2)));
    let kept = || json_of(&fs::read_to_string(at("workspace/index/sources.json")).unwrap());
    assert_eq!(kept()["label_policy"], defaults);
    let failures = fs::read_to_string(at("workspace/index/failures.csv")).unwrap();
    // In shares it is the same; what ties the cascades has no video in any of them.
    let shares = at("shares");
    for shard in ["1/3", "2/3", "3/3"] {
        let part = ["-w", &shares, "index", "--fvc", &corpus, "--shard", shard];
        assert!(matches!(run(&part).0, 0 | 3));
    }
    assert_eq!(run(&["-w", &shares, "merge"]).0, 3);
    for name in ["sources.json", "sources.csv", "failures.csv"] {
        let read = |from: &str| fs::read_to_string(at(&format!("{from}/index/{name}"))).unwrap();
        assert_eq!(read("shares"), read("workspace"), "{name}");
    }
    assert_eq!(failures.lines().count(), 1 + 5, "{failures}");

    // Two policies make no one index, and it is said whose they are and what to do.
    let (other, both) = (at("other"), at("both"));
    run(&["-w", &other, "index", "--fvc", &corpus, "--fvc-labels", "parody=fake"]);
    let (code, _, err) = run(&["-w", &both, "merge", &workspace, &other]);
    let err: String =
        err.chars().filter(|letter| !letter.is_whitespace() && *letter != '│').collect();
    assert_eq!(code, 1, "{err}");
    let (first, second) = (format!("asin{workspace}/index"), format!("in{other}/index"));
    for words in [first.as_str(), &second, "--fvc-labels"] {
        assert!(err.contains(words), "{words}: {err}");
    }
    assert!(!Path::new(&both).exists());

    // The policy of the configuration, and an option that wins over it.
    let config = at("fvc.toml");
    fs::write(&config, "[fvc]\nparody = \"real\"\nuncertain = \"fake\"\n").unwrap();
    let with = [&index[..], &["--config", &config, "--fvc-labels", "parody=fake"]].concat();
    let (code, out, err) = run(&with);
    assert_eq!(code, 3, "{out}{err}");
    let made = json_of(&out);
    assert_eq!((&made["real"], &made["fake"]), (&json!(2), &json!(3)), "{out}");
    assert_eq!(
        made["manifest"]["failed"],
        json!({"duplicate_row": 1, "no_video_file": 1, "not_a_video": 1, "not_in_tables": 1}),
        "{out}"
    );
    assert_eq!(kept()["label_policy"]["parody"], "fake");
    assert_eq!(kept()["label_policy"]["uncertain"], "fake");

    // Later commands read the index as any other.
    let stages = ["-w", &workspace, "--json", "run", "--stages", "1", "--variants", "1"];
    let (code, out, err) = run(&stages);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(json_of(&out)["stages"]["completed"], 5, "{out}");
}

#[test]
fn without_videos_the_tables_of_the_corpus_are_told_and_nothing_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let at = folder.path().to_str().unwrap();
    let workspace = folder.path().join("workspace");
    let index = ["-w", workspace.to_str().unwrap(), "index", "--fvc", at];
    let (code, out, err) = run(&index);
    assert_eq!(code, 1, "{out}{err}");
    for words in [
        "8 rows of the Fake Video Corpus",
        "twitter      0       1     0          0     1",
        "all          3       1     2          2     8",
        "7 videos: 0 in both tables, 1 in several cascades, 0 with several labels",
        "3 cascades, 1 of them with real and fake rows; 2 groups",
        "2 real and 3 fake videos",
        "0 video files",
        "not its pixels",
        "no_video_file: 5",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(err.contains("None of the 8 inputs"), "{err}");
    let (code, out, err) = run(&[&["--json"][..], &index].concat());
    assert_eq!(code, 1, "{out}{err}");
    let made = json_of(&out);
    assert_eq!((&made["fvc"]["rows"], &made["fvc"]["groups"]), (&json!(8), &json!(2)), "{out}");
    assert_eq!(made["manifest"]["inputs"], 8, "{out}");
    // Partial success is what the option is for, and this is none.
    assert_eq!(run(&[&index[..], &["--exit-zero-on-partial"]].concat()).0, 1);
}

#[test]
fn wrong_use_of_the_corpus_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let workspace = folder.path().join("workspace");
    let index = ["-w", workspace.to_str().unwrap(), "index"];
    for (arguments, code, words) in [
        (&["--fvc", at, "--fvc-labels", "parody=perhaps"][..], 2, "parody=perhaps"),
        (&["--fvc", at, "videos"], 2, "cannot be used with"),
        (&["videos", "--fvc-labels", "parody=fake"], 2, "--fvc-labels"),
        (&["--fvc-labels", "parody=fake"], 2, "--fvc <DIR>"),
        (&["--fvc", at], 1, "FVC.csv"),
        (&["--fvc", "nowhere"], 1, "nowhere"),
    ] {
        let (found, _, err) = run(&[&index[..], arguments].concat());
        assert_eq!(found, code, "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    let config = folder.path().join("fvc.toml");
    fs::write(&config, "[fvc]\nsatire = \"fake\"\n").unwrap();
    let (code, _, err) = run(&["--config", config.to_str().unwrap(), "index", "--fvc", at]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("satire"), "{err}");
}
