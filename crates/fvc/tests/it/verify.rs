//! A workspace that was damaged in every way is found to be so, and mended by as little as it takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, encode, run};
use crate::workspaces::{bytes_of, files_below, without_passes};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn verify(workspace: &Path, expected: i32, arguments: &[&str]) -> Value {
    let (code, out, err) = run(&[&["--json", "verify", text(workspace)][..], arguments].concat());
    assert_eq!(code, expected, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

/// Findings as `wrong path`, and whether each was repaired.
fn findings(made: &Value) -> BTreeMap<String, bool> {
    let all = made["findings"].as_array().unwrap();
    all.iter()
        .map(|finding| {
            let (wrong, path) = (finding["wrong"].as_str().unwrap(), finding["path"].as_str());
            (format!("{wrong} {}", path.unwrap()), finding["repaired"].as_bool().unwrap())
        })
        .collect()
}

fn change_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x15;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_damaged_is_found_and_made_again_from_the_sources_that_lost_it() {
    if !can_make_footage("what_was_damaged_is_found_and_made_again_from_the_sources_that_lost_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 4);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let at = |name: &str| workspace.join(name);
    let making = ["--variants", "1", "--kinds", "h264_transcode", "--size", "32"];
    let stages = [&["run", "--stages", "1-4", "--materialise"][..], &making].concat();
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    // In two steps of different settings, that are mended in one.
    assert_eq!(run(&[&["-w", ws, "features"][..], &making[..4]].concat()).0, 0);
    assert_eq!(run(&[&["-w", ws][..], &stages].concat()).0, 0);
    let training =
        ["train", "--folds", "2", "--test-fraction", "0.34", "--grid", "none", "--model-types"];
    let training = [&["-w", ws][..], &training, &["logistic_regression"], &making].concat();
    let (code, out, err) = run(&training);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(findings(&verify(&workspace, 0, &[])), BTreeMap::new());
    let before = without_passes(bytes_of(&workspace));

    // Of eight sources five lose something, two of them several things.
    let units = files_below(&at("units"));
    let id = |unit: &Path| unit.file_stem().unwrap().to_str().unwrap().to_owned();
    let of = |unit: &Path, below: &str| -> Vec<PathBuf> {
        let id = id(unit);
        let all = files_below(&at(below)).into_iter();
        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&id)).collect()
    };
    let relative = |path: &Path| text(path.strip_prefix(&workspace).unwrap()).to_owned();
    let mut expected: BTreeMap<String, bool> = BTreeMap::new();
    let mut expect = |wrong: &str, path: &Path| {
        expected.insert(format!("{wrong} {}", relative(path)), true);
    };
    let clips = of(&units[0], "clips");
    assert_eq!(clips.len(), 2);
    change_a_byte(&clips[0]);
    expect("damaged", &clips[0]);
    std::fs::remove_file(&clips[1]).unwrap();
    expect("missing", &clips[1]);
    let files = of(&units[1], "variants");
    assert_eq!(files.len(), 1);
    std::fs::write(&files[0], b"").unwrap();
    expect("empty", &files[0]);
    change_a_byte(&units[2]);
    expect("damaged", &units[2]);
    std::fs::remove_file(&units[3]).unwrap();
    expect("missing", &units[3]);
    std::fs::write(&units[4], b"").unwrap();
    expect("empty", &units[4]);
    let cut = std::fs::read(&of(&units[4], "clips")[0]).unwrap();
    std::fs::write(&of(&units[4], "clips")[0], &cut[..cut.len() / 2]).unwrap();
    // What follows from records.
    for name in ["features/stage2.parquet", "variants/draws.jsonl"] {
        change_a_byte(&at(name));
        expect("damaged", &at(name));
    }
    let note = std::fs::read(at("features/facts.json")).unwrap();
    std::fs::write(at("features/facts.json"), &note[..note.len() / 2]).unwrap();
    expect("damaged", &at("features/facts.json"));
    for name in ["features/stage4.parquet", "index/sources.csv", "stages/run/manifest.json"] {
        std::fs::remove_file(at(name)).unwrap();
        expect("missing", &at(name));
    }
    change_a_byte(&at("index/sources.json"));
    expect("damaged", &at("index/sources.json"));
    std::fs::write(at("index/failures.csv"), b"").unwrap();
    expect("empty", &at("index/failures.csv"));
    // What nothing names, and what was never finished.
    let stray = at("clips/00/stray.fvcclip");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"x").unwrap();
    expect("orphaned", &stray);
    let other = "11".repeat(32);
    let gone = at(&format!("units/11/{other}.json"));
    std::fs::create_dir_all(gone.parent().unwrap()).unwrap();
    std::fs::copy(&units[5], &gone).unwrap();
    expect("orphaned", &gone);
    for name in ["units/.a.json.1.0.tmp", ".workspace.json.7.3.tmp", "features/.f.parquet.1.2.tmp"]
    {
        std::fs::write(at(name), b"half").unwrap();
        expect("half_written", &at(name));
    }
    let run_folder = files_below(&at("runs"))[0].parent().unwrap().to_owned();
    let half = run_folder.parent().unwrap().join(".run_20260101T000000Z_00.7.tmp");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("run.json"), b"{}").unwrap();
    expect("half_written", &half);
    // The cache, in one entry: the hash of a record is among its last bytes.
    let sqlite = rusqlite_of(&at("media.sqlite"));
    sqlite.execute("UPDATE record SET facts = facts || ' ' WHERE rowid = 1", []).unwrap();
    drop(sqlite);
    expect("damaged", &at("media.sqlite"));

    let found = verify(&workspace, 1, &[]);
    let told: Vec<String> = findings(&found).into_keys().collect();
    assert_eq!(told, expected.keys().cloned().collect::<Vec<_>>());
    assert!(findings(&found).values().all(|repaired| !repaired));
    assert!(found["manifest"].is_null(), "{found}");
    let (code, table, _) = run(&["verify", ws]);
    assert_eq!(code, 1);
    assert!(table.contains("half-written  .workspace.json.7.3.tmp"), "{table}");
    let orphans = expected.keys().filter(|finding| finding.starts_with("orphaned")).count();
    let others = expected.len() - orphans;
    assert!(table.contains(&format!("{others} found; --repair mends")), "{table}");
    assert!(table.contains(&format!("No longer asked for: {orphans} files, ")), "{table}");
    // What is wrong with a file is said once, beside its path.
    assert!(!table.contains(ws), "{table}");

    let made = verify(&workspace, 0, &["--repair"]);
    let told = findings(&made);
    for (finding, repaired) in &expected {
        assert_eq!(told.get(finding), Some(repaired), "{finding}: {told:?}");
    }
    assert_eq!(made["manifest"]["inputs"], 5, "{made}");
    assert_eq!(made["manifest"]["completed"], 5, "{made}");
    assert_eq!(made["manifest"]["decodes"]["sources"], 5, "{made}");
    let after = without_passes(bytes_of(&workspace));
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(*bytes == after[name], "{name} differs");
    }
    assert_eq!(findings(&verify(&workspace, 0, &[])), BTreeMap::new());
    let again = verify(&workspace, 0, &["--repair"]);
    assert_eq!(again["manifest"]["decodes"]["sources"], 0, "{again}");
    let (_, out, _) = run(&[&["-w", ws, "--json"][..], &stages].concat());
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["stages"]["decodes"]["sources"], 0, "{made}");
}

fn rusqlite_of(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// What is not ours to make up is said, with what a person may do, and left as it is.
#[test]
fn videos_runs_splits_and_the_ledger_are_never_mended() {
    if !can_make_footage("videos_runs_splits_and_the_ledger_are_never_mended") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 3);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let at = |name: &str| workspace.join(name);
    // A video that lies among what is computed is no orphan there.
    std::fs::create_dir_all(at("")).unwrap();
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    std::fs::create_dir_all(at("clips/own")).unwrap();
    std::fs::copy(folder.path().join("corpus/real/clip0.mp4"), at("clips/own/kept.mp4")).unwrap();
    let mut rows = String::from("path,label,group\n");
    let _ = writeln!(rows, "{},real,origin0", text(&at("clips/own/kept.mp4")));
    for (label, clip) in [("fake", 0), ("real", 1), ("fake", 1), ("real", 2), ("fake", 2)] {
        let _ = writeln!(rows, "{label}/clip{clip}.mp4,{label},origin{clip}");
    }
    std::fs::write(&table, rows).unwrap();
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    let making = ["--variants", "0", "--size", "32"];
    assert_eq!(run(&[&["-w", ws, "run", "--stages", "1-4"][..], &making].concat()).0, 0);
    let training = ["train", "--folds", "2", "--test-fraction", "0.34", "--grid", "none"];
    let (code, out, err) =
        run(&[&["-w", ws][..], &training, &["--model-types", "logistic_regression"], &making]
            .concat());
    assert_eq!(code, 0, "{out}{err}");
    verify(&workspace, 0, &[]);

    let all = files_below(&at("runs"));
    let model = all.iter().find(|path| text(path).ends_with(".model.json")).unwrap().clone();
    let predictions = all.iter().find(|path| text(path).ends_with(".parquet")).unwrap().clone();
    let split = files_below(&at("splits")).remove(0);
    let ledger = at("ledger.sqlite");
    change_a_byte(&model);
    std::fs::remove_file(&predictions).unwrap();
    change_a_byte(&split);
    std::fs::write(&ledger, b"").unwrap();
    for beside in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
        drop(std::fs::remove_file(at(beside)));
    }
    // A source that has lost its clip, and cannot be read again.
    let clip = files_below(&at("clips")).into_iter().find(|path| text(path).ends_with(".fvcclip"));
    let clip = clip.unwrap();
    let id = clip.file_name().unwrap().to_str().unwrap()[..64].to_owned();
    let listed = std::fs::read_to_string(at("index/sources.csv")).unwrap();
    let row = listed.lines().find(|line| line.starts_with(&id)).unwrap();
    let video = PathBuf::from(row.split(',').nth(1).unwrap());
    std::fs::rename(&video, folder.path().join("away.mp4")).unwrap();
    std::fs::remove_file(&clip).unwrap();
    let kept = [&model, &split].map(|path| std::fs::read(path).unwrap());

    let made = verify(&workspace, 1, &["--repair"]);
    let relative = |path: &Path| text(path.strip_prefix(&workspace).unwrap()).to_owned();
    let expected: BTreeMap<String, bool> = [
        ("damaged", &model),
        ("missing", &predictions),
        ("damaged", &split),
        ("empty", &ledger),
        ("missing", &clip),
    ]
    .map(|(wrong, path)| (format!("{wrong} {}", relative(path)), false))
    .into();
    assert_eq!(findings(&made), expected);
    assert_eq!(made["failures"][0]["reason"], "missing", "{made}");
    assert_eq!(made["manifest"]["failed"]["missing"], 1, "{made}");
    assert_eq!([&model, &split].map(|path| std::fs::read(path).unwrap()), kept);
    assert_eq!(std::fs::metadata(&ledger).unwrap().len(), 0);
    // When the video is back, what it lost is made again.
    std::fs::rename(folder.path().join("away.mp4"), &video).unwrap();
    let made = verify(&workspace, 1, &["--repair"]);
    assert_eq!(findings(&made).get(&format!("missing {}", relative(&clip))), Some(&true), "{made}");
    assert!(at("clips/own/kept.mp4").exists());

    // What cannot be checked is no verdict.
    for path in [folder.path().join("nowhere"), folder.path().join("corpus")] {
        assert_eq!(run(&["verify", text(&path)]).0, 2);
    }
    std::fs::write(at("workspace.json"), b"{}").unwrap();
    let (code, _, err) = run(&["-w", ws, "verify"]);
    assert!(code == 2 && err.contains("\"layout_version\""), "{err}");
}

/// What a run of before was asked for, and a newer one of the same command was not, was "mended" by
/// forgetting it: 18 found, 0 left, nothing decoded and no file back. One that was cut off was told
/// twice, as damaged and as orphaned, and removed.
#[test]
fn what_only_an_earlier_run_asked_for_is_made_again_under_its_settings() {
    let test = "what_only_an_earlier_run_asked_for_is_made_again_under_its_settings";
    if !can_make_footage(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let stages = ["run", "--stages", "1-4", "--variants", "1", "--kinds", "h264_transcode"];
    let stages = [&["-w", ws][..], &stages, &["--size", "32"]].concat();
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    assert_eq!(run(&[&stages[..], &["--materialise"]].concat()).0, 0);
    assert_eq!(run(&stages).0, 0);
    let before = without_passes(bytes_of(&workspace));
    let mp4s = |below: &str| -> Vec<PathBuf> {
        let files = files_below(&workspace.join(below)).into_iter();
        files.filter(|path| path.extension().is_some_and(|found| found == "mp4")).collect()
    };
    let relative = |path: &Path| text(path.strip_prefix(&workspace).unwrap()).to_owned();
    let mut expected: BTreeMap<String, bool> = BTreeMap::new();
    for path in mp4s("variants").iter().skip(1).chain(&mp4s("scaled")) {
        std::fs::remove_file(path).unwrap();
        expected.insert(format!("missing {}", relative(path)), true);
    }
    let cut = mp4s("variants").remove(0);
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    expected.insert(format!("damaged {}", relative(&cut)), true);
    // And one thing that every run asked for: still one decode.
    let clip = files_below(&workspace.join("clips")).remove(0);
    std::fs::remove_file(&clip).unwrap();
    expected.insert(format!("missing {}", relative(&clip)), true);
    assert_eq!(findings(&verify(&workspace, 1, &[])).len(), expected.len());

    // Without its source nothing can be made again, and nothing is forgotten.
    let corpus = folder.path().join("corpus");
    std::fs::rename(corpus.join("real"), corpus.join("away")).unwrap();
    let (code, out, err) = run(&["verify", ws, "--repair"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("; the source is not there"), "{out}");
    std::fs::rename(corpus.join("away"), corpus.join("real")).unwrap();

    let left = findings(&verify(&workspace, 1, &[]));
    assert!(
        left.len() > 2 && left.keys().all(|finding| expected.contains_key(finding)),
        "{left:?}"
    );
    let made = verify(&workspace, 0, &["--repair"]);
    assert_eq!(made["manifest"]["decodes"]["sources"], 2, "{made}");
    for finding in made["findings"].as_array().unwrap() {
        assert_eq!(finding["mended"], "made_again", "{made}");
    }
    assert_eq!(findings(&verify(&workspace, 0, &[])), BTreeMap::new());
    let after = without_passes(bytes_of(&workspace));
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(*bytes == after[name], "{name} differs");
    }

    // Where nothing says how it was made, it goes, and that is what is said.
    for path in files_below(&workspace.join("units")) {
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for pass in file["unit"]["passes"].as_array_mut().unwrap() {
            pass.as_object_mut().unwrap().remove("settings").unwrap();
        }
        let unit: fvc_pipeline::Unit = serde_json::from_value(file["unit"].take()).unwrap();
        unit.save(&path).unwrap();
    }
    let cut = mp4s("variants").remove(0);
    std::fs::write(&cut, b"half").unwrap();
    let (code, out, err) = run(&["verify", ws, "--repair"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("removed, no longer asked for"), "{out}");
    assert!(out.contains("1 found: 1 removed, no longer asked for, 0 left"), "{out}");
    assert!(!cut.exists() && !out.contains("yes"), "{out}");
    assert_eq!(findings(&verify(&workspace, 0, &[])), BTreeMap::new());
}

/// With the index, all splits or all records gone, all that was left was whole.
#[test]
fn parts_that_others_refer_to_are_missed() {
    if !can_make_footage("parts_that_others_refer_to_are_missed") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    let models = ["--grid", "none", "--model-types", "logistic_regression"];
    let settings = ["--variants", "0", "--size", "32", "--folds", "2", "--test-fraction", "0"];
    let (code, out, err) = run(&[&["-w", ws, "run"][..], &settings, &models].concat());
    assert_eq!(code, 0, "{out}{err}");
    verify(&workspace, 0, &[]);
    let away = folder.path().join("away");
    for (part, path, words) in [
        ("index", "index/sources.json", "stages/run"),
        ("splits", "splits", "runs/default/run_"),
        ("stages", "stages", "features/stage2.parquet"),
    ] {
        std::fs::rename(workspace.join(part), &away).unwrap();
        // Nothing may be removed for want of it.
        for arguments in [&[][..], &["--repair"]] {
            let found = verify(&workspace, 1, arguments);
            let told = found["findings"].as_array().unwrap();
            assert_eq!(told.len(), 1, "{found}");
            assert_eq!((&told[0]["wrong"], &told[0]["path"]), (&"missing".into(), &path.into()));
            let detail = told[0]["detail"].as_str().unwrap();
            assert!(detail.contains(words) && detail.ends_with(" to it"), "{part}: {detail}");
        }
        drop(std::fs::remove_dir_all(workspace.join(part)));
        std::fs::rename(&away, workspace.join(part)).unwrap();
        verify(&workspace, 0, &[]);
    }
    // Ties are computed when they are asked for: gone is no loss, and damaged they just go.
    let ties = workspace.join("groups/near_duplicates.json");
    change_a_byte(&ties);
    let (code, out, _) = run(&["verify", ws, "--repair"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("removed: it is computed again") && !out.contains("yes"), "{out}");
    assert!(!ties.exists());
    verify(&workspace, 0, &[]);
}

/// After videos had left the corpus, `verify` ended with 1 for good: what was computed of them is not
/// wrong, and whoever asked in a script whether all is whole was told that it is not.
#[test]
fn what_nothing_names_any_more_is_told_apart_from_what_is_wrong() {
    if !can_make_footage("what_nothing_names_any_more_is_told_apart_from_what_is_wrong") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    let stages = ["-w", ws, "run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    assert_eq!(run(&stages).0, 0);
    let listed = std::fs::read_to_string(&table).unwrap();
    let fewer: Vec<&str> = listed.lines().filter(|line| !line.contains("fake/clip1")).collect();
    std::fs::write(&table, fewer.join("\n")).unwrap();
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    assert_eq!(run(&stages).0, 0);
    let found = verify(&workspace, 0, &[]);
    assert_eq!(found["whole"], true, "{found}");
    let orphans = findings(&found);
    assert!(orphans.len() >= 2 && orphans.keys().all(|name| name.starts_with("orphaned ")));
    let (code, out, _) = run(&["verify", ws]);
    assert_eq!(code, 0, "{out}");
    let told = format!("No longer asked for: {} files, ", orphans.len());
    assert!(out.contains(&told) && out.contains("MiB; --repair removes them"), "{out}");
    assert!(out.contains("All that is asked for is whole."), "{out}");
    let (code, out, _) = run(&["verify", ws, "--repair"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("MiB; removed"), "{out}");
    assert_eq!(findings(&verify(&workspace, 0, &[])), BTreeMap::new());
}

/// It waited without a word, for as long as another command was at work.
#[test]
fn who_waits_for_another_command_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("ws");
    fvc_pipeline::Workspace::open_or_create(&workspace).unwrap();
    let lock = workspace.join("locks/index");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let mut waiting = std::process::Command::new(env!("CARGO_BIN_EXE_fvc"))
        .env_remove("FVC_WORKSPACE")
        .env_remove("FVC_CONFIG")
        .args(["verify", text(&workspace)])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut told = std::io::BufReader::new(waiting.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert!(line.contains("waiting for another command that is at work in "), "{line}");
    assert!(line.contains("locks/index"), "{line}");
    held.unlock().unwrap();
    assert!(waiting.wait().unwrap().success());
}

/// What whole windows of a damaged source gave, when they might be used, could not be made again once a
/// newer run refused damaged sources.
#[test]
fn what_a_damaged_source_gave_is_made_again_as_it_was_made() {
    if !can_make_footage("what_a_damaged_source_gave_is_made_again_as_it_was_made") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 1);
    let cut = folder.path().join("corpus/cut.mp4");
    let streamed = ["-t", "2", "-c:v", "libx264", "-g", "5", "-movflags", "+faststart"];
    encode("mandelbrot=size=64x48:rate=20", &streamed, &cut);
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..whole.len() * 3 / 4]).unwrap();
    let listed = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, format!("{listed}cut.mp4,real,\n")).unwrap();
    let workspace = folder.path().join("ws");
    let ws = text(&workspace);
    assert_eq!(run(&["-w", ws, "index", text(&table)]).0, 0);
    let clips = || files_below(&workspace.join("clips"));
    let stages = ["-w", ws, "run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    let (code, out, err) = run(&[&stages[..], &["--partial", "use"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let all = clips();
    assert_eq!(all.len(), 3);
    assert_eq!(run(&stages).0, 3);
    let before = without_passes(bytes_of(&workspace));
    for clip in &all {
        std::fs::remove_file(clip).unwrap();
    }
    let made = verify(&workspace, 0, &["--repair"]);
    assert_eq!(made["manifest"]["decodes"]["sources"], 3, "{made}");
    let after = without_passes(bytes_of(&workspace));
    assert!(all == clips() && before == after);
}
