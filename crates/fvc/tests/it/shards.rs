//! Work in shares: many processes on one workspace, many workspaces, and what they join to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use fvc_pipeline::Shard;
use serde_json::Value;

use crate::footage::{can_make_footage, encode, fvc, run};
use crate::workspaces::{bytes_of, manifest};

const STAGES: [&str; 8] =
    ["run", "--stages", "1-4", "--variants", "2", "--size", "32", "--materialise"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Clips of several groups and with them every kind of row that is no source: files that are no
/// videos, a copy of other bytes, a row twice, rows without a file. One of the latter ties two groups.
fn corpus(folder: &Path, clips: usize) -> PathBuf {
    let mut table = String::from("path,label,group,origin\n");
    for clip in 0..clips {
        let label = ["real", "fake"][clip % 2];
        let name = format!("{clip}.mp4");
        encode(
            &format!("testsrc2=size=64x48:rate={}", 12 + clip),
            &["-t", "1", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"],
            &folder.join(&name),
        );
        let _ = writeln!(table, "{name},{label},g{},", clip / 2);
    }
    std::fs::copy(folder.join("0.mp4"), folder.join("copy.mp4")).unwrap();
    std::fs::write(folder.join("empty.mp4"), b"").unwrap();
    std::fs::write(folder.join("text.mp4"), b"no video at all\n".repeat(40)).unwrap();
    // Cut after its index: it is indexed, and fails when it is decoded.
    let cut = folder.join("cut.mp4");
    let streamed = ["-t", "2", "-c:v", "libx264", "-g", "5", "-movflags", "+faststart"];
    encode("mandelbrot=size=64x48:rate=20", &streamed, &cut);
    let whole = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &whole[..whole.len() * 3 / 4]).unwrap();
    table.push_str("copy.mp4,real,g9,\nempty.mp4,real,g1,\ntext.mp4,fake,,\ncut.mp4,fake,,\n");
    table.push_str("0.mp4,real,g0,\ngone.mp4,real,g0,o7\n2.mp4,real,,o7\nalso_gone.mp4,fake,,\n");
    table.push_str("1.mp4,perhaps,,\n");
    let path = folder.join("corpus.csv");
    std::fs::write(&path, table).unwrap();
    path
}

fn start(workspace: &Path, arguments: &[&str]) -> Child {
    fvc()
        .args(["-w", text(workspace), "--json"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Ends well, with some inputs failed or none.
fn ended(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}: {told}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One after the other would do as well; they are all there at once.
fn all_shards(workspace: &Path, count: u32, arguments: &[&str]) -> Vec<Value> {
    let started: Vec<Child> = (1..=count)
        .map(|number| {
            let shard = format!("{number}/{count}");
            start(workspace, &[arguments, &["--shard", &shard, "--parallel", "1"]].concat())
        })
        .collect();
    started.into_iter().map(ended).collect()
}

fn merged(workspace: &Path, from: &[&Path]) -> Value {
    let from: Vec<&str> = from.iter().map(|path| text(path)).collect();
    ended(start(workspace, &[&["merge"][..], &from].concat()))
}

/// What one process makes of it, alone.
fn alone(workspace: &Path, table: &Path) {
    // Which settings there were is part of every manifest.
    ended(start(workspace, &["index", text(table), "--parallel", "1"]));
    ended(start(workspace, &[&STAGES[..], &["--parallel", "1"]].concat()));
}

fn assert_same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) {
    let names = |map: &BTreeMap<String, Vec<u8>>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    for (name, bytes) in one {
        assert!(bytes == &other[name], "{name} differs");
    }
}

/// Machines agree on what is whose without a word: it may never change.
#[test]
fn every_source_and_path_belongs_to_one_share_and_always_to_the_same() {
    for count in [1, 2, 3, 8, 100] {
        let mut dealt = vec![[0, 0]; count];
        for number in 0..400_u32 {
            let id = fvc_media::ContentId::of_bytes(&number.to_le_bytes());
            let path = PathBuf::from(format!("/videos/{number}.mp4"));
            let all = (1..=count).map(|own| format!("{own}/{count}").parse::<Shard>().unwrap());
            let mut owners = [0, 0];
            for (at, shard) in all.enumerate() {
                for (kind, has) in [shard.has_source(&id), shard.has_path(&path)].iter().enumerate()
                {
                    owners[kind] += u64::from(*has);
                    dealt[at][kind] += u64::from(*has);
                }
            }
            assert_eq!(owners, [1, 1]);
        }
        assert!(count > 8 || dealt.iter().flatten().all(|&own| own > 400 / count as u64 / 2));
    }
    let of = |text: &str| text.parse::<Shard>().unwrap();
    let id = fvc_media::ContentId::of_bytes(b"");
    assert!(id.to_hex().starts_with("af1349b9f5f9a1a6"));
    assert_eq!(0xaf13_49b9_f5f9_a1a6_u64 % 7 + 1, u64::from(owner(&id, 7)));
    assert!(of("1/1").has_source(&id));
}

fn owner(id: &fvc_media::ContentId, count: u32) -> u32 {
    let own = |number: &u32| format!("{number}/{count}").parse::<Shard>().unwrap().has_source(id);
    (1..=count).find(own).unwrap()
}

/// Two processes that made one workspace at once found each other's files in it and refused it; and
/// nothing said what of a corpus was done by whom.
#[test]
fn eight_processes_on_one_workspace_make_what_one_makes() {
    if !can_make_footage("eight_processes_on_one_workspace_make_what_one_makes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let table = corpus(&at("corpus"), 10);
    alone(&at("alone"), &table);
    let expected = bytes_of(&at("alone"));
    assert!(expected.len() > 40, "{:?}", expected.keys());

    // As shares.
    let shared = at("shared");
    let looked = all_shards(&shared, 8, &["index", text(&table)]);
    assert!(!shared.join("index").exists(), "an index was written from a part");
    let inputs: u64 = looked.iter().map(|own| own["manifest"]["inputs"].as_u64().unwrap()).sum();
    // Nineteen rows, of which one names a further group of a file and is no input of its own.
    assert_eq!(inputs, 18);
    merged(&shared, &[]);
    let made = all_shards(&shared, 8, &STAGES);
    for name in ["features", "variants/draws.jsonl"] {
        assert!(!shared.join(name).exists(), "{name} was written from a part");
    }
    for (number, own) in made.iter().enumerate() {
        let path = shared.join(format!("stages/run/shard-{}-of-8/manifest.json", number + 1));
        let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(own["stages"], kept);
    }
    let whole = merged(&shared, &[]);
    assert_eq!(whole["commands"]["run"]["stages"]["decodes"]["sources"], 11, "{whole}");
    assert_same(&bytes_of(&shared), &expected);
    // Once more is the same; and training takes it.
    merged(&shared, &[]);
    assert_same(&bytes_of(&shared), &expected);

    // All of them the whole.
    let crowd = at("crowd");
    let processes: Vec<Child> = (0..8).map(|_| start(&crowd, &["index", text(&table)])).collect();
    for process in processes {
        ended(process);
    }
    let arguments = [&STAGES[..], &["--parallel", "1"]].concat();
    let processes: Vec<Child> = (0..8).map(|_| start(&crowd, &arguments)).collect();
    let decodes: u64 = processes
        .into_iter()
        .map(|process| ended(process)["stages"]["decodes"]["sources"].as_u64().unwrap())
        .sum();
    assert_eq!(decodes, 11, "each source was decoded once by one of them");
    ended(start(&crowd, &STAGES));
    let crowd = bytes_of(&crowd);
    for (name, bytes) in expected.iter().filter(|(name, _)| !name.ends_with("manifest.json")) {
        assert!(bytes == &crowd[name], "{name} differs");
    }
}

/// What is not whole is not joined, and which part it is stands in the error.
#[test]
fn shares_that_make_no_whole_are_refused_by_name() {
    if !can_make_footage("shares_that_make_no_whole_are_refused_by_name") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let table = corpus(&at("corpus"), 4);
    let ws = at("ws");
    let stages = ["run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    let with = |base: &[&'static str], more: &[&'static str]| [base, more].concat();
    let refused = |expected: &[&str]| {
        let (code, out, err) = run(&["-w", text(&ws), "merge"]);
        assert_eq!(code, 2, "{out}{err}");
        let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in expected {
            assert!(err.contains(word), "no {word:?} in {err}");
        }
    };
    let index = |shard: &str| ended(start(&ws, &["index", text(&table), "--shard", shard]));
    index("1/3");
    index("3/3");
    refused(&["no shard 2/3", "fvc index --shard I/3"]);
    index("2/4");
    refused(&["shards 1/3, 3/3, 2/4", "shards of one number", "index/shard-*-of-4"]);
    std::fs::remove_dir_all(ws.join("stages/index/shard-2-of-4")).unwrap();
    // Other files for one of them: no row may be lost between the two.
    let other = at("corpus/other.csv");
    std::fs::write(&other, "path,label\n0.mp4,real\n1.mp4,fake\n").unwrap();
    ended(start(&ws, &["index", text(&other), "--shard", "2/3"]));
    refused(&["other inputs in shard 2/3", "or remove those of other inputs, such as"]);
    // In workspaces apart it was just missing. What is refused leaves no workspace behind.
    let apart = at("apart");
    ended(start(&apart, &["index", text(&other), "--shard", "2/3"]));
    std::fs::rename(ws.join("stages/index/shard-2-of-3"), at("put-away")).unwrap();
    let into = at("into");
    let (code, _, err) = run(&["-w", text(&into), "merge", text(&ws), text(&apart)]);
    let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no shard 2/3 of these inputs, and shard 2/3 of others in "), "{err}");
    assert!(!into.exists());
    std::fs::rename(at("put-away"), ws.join("stages/index/shard-2-of-3")).unwrap();
    index("2/3");
    merged(&ws, &[]);

    let stage = |shard: &'static str, more: &[&'static str]| {
        ended(start(&ws, &with(&with(&stages, &["--shard", shard]), more)))
    };
    stage("2/2", &[]);
    refused(&["no shard 1/2", "fvc run --stages 1,2,3,4 --shard I/2"]);
    assert!(!ws.join("features").exists());
    let config = at("other.toml");
    std::fs::write(&config, "[sampling]\nwindows = 2\n").unwrap();
    let config: &'static str = String::leak(text(&config).to_owned());
    stage("1/2", &["--config", config]);
    refused(&["others in shard 2/2: sampling.windows 2 and 4"]);
    // How many are read at once is no setting of the result.
    stage("1/2", &["--parallel", "3"]);
    merged(&ws, &[]);
    // A unit that is gone is not taken for made.
    let unit = crate::workspaces::files_below(&ws.join("units")).remove(0);
    let kept = std::fs::read(&unit).unwrap();
    std::fs::remove_file(&unit).unwrap();
    refused(&["what a shard made of it", "run that shard again"]);
    std::fs::write(&unit, kept).unwrap();
    // Records over an index that is no more.
    ended(start(&ws, &["index", text(&other)]));
    refused(&["records over another"]);

    // Stages of which there are no shares.
    for arguments in [&["train", "--shard", "1/2"][..], &["run", "--shard", "1/2"]] {
        let (code, _, err) = run(&[&["-w", text(&ws)][..], arguments].concat());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("Training has no shares"), "{err}");
    }
    for shard in ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"] {
        assert_eq!(run(&["-w", text(&ws), "scale", &format!("--shard={shard}")]).0, 2, "{shard}");
    }
    let (code, _, err) = run(&["-w", text(&at("ws")), "merge", text(&at("ws"))]);
    assert_eq!((code, err.contains("every workspace once")), (2, true), "{err}");
}

/// Machines that share nothing: each looks at its files and works on what it found, and one joins all.
#[test]
fn workspaces_of_several_machines_join_to_what_one_makes() {
    if !can_make_footage("workspaces_of_several_machines_join_to_what_one_makes") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let table = corpus(&at("corpus"), 7);
    alone(&at("alone"), &table);
    let parts: Vec<PathBuf> = (1..=3).map(|number| at(&format!("part{number}"))).collect();
    for (part, shard) in parts.iter().zip(["1/3", "2/3", "3/3"]) {
        ended(start(part, &["index", text(&table), "--shard", shard, "--parallel", "1"]));
        ended(start(part, &[&STAGES[..], &["--shard", shard, "--parallel", "1"]].concat()));
        assert!(!part.join("features").exists() && !part.join("index").exists());
    }
    let parts: Vec<&Path> = parts.iter().map(PathBuf::as_path).collect();
    // One is missing: nothing is made.
    let whole = at("whole");
    let (code, _, err) = run(&["-w", text(&whole), "merge", text(parts[0]), text(parts[2])]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no shard 2/3"), "{err}");
    assert!(!whole.join("index").exists() && !whole.join("units").exists());

    let expected = bytes_of(&at("alone"));
    let without_cost = |workspace: &Path| {
        let mut all = bytes_of(workspace);
        all.retain(|name, _| name != "stages/run/manifest.json");
        all
    };
    // The second time there is nothing new.
    for units in [7, 0] {
        let made = merged(&whole, &parts);
        assert_eq!(made["units"], units, "{made}");
        assert_eq!(without_cost(&whole).len() + 1, expected.len());
        for (name, bytes) in without_cost(&whole) {
            assert!(bytes == expected[&name], "{name} differs");
        }
        let own = manifest(&whole.join("stages/run/manifest.json"));
        let one = manifest(&at("alone/stages/run/manifest.json"));
        assert_eq!(
            (&own["inputs"], &own["completed"], &own["failed"]),
            (&one["inputs"], &one["completed"], &one["failed"])
        );
        // The same bytes under two paths are decoded by both whose shares these are, and it says so.
        let owner = |name: &str| {
            let path = at("corpus").join(name);
            (1..=3).find(|number| format!("{number}/3").parse::<Shard>().unwrap().has_path(&path))
        };
        let twice = u64::from(owner("0.mp4") != owner("copy.mp4"));
        assert_eq!(own["decodes"]["sources"].as_u64(), Some(8 + twice));
    }
    // Nothing is owed, and all is known: it goes on as if it had been made here.
    let again = ended(start(&whole, &STAGES));
    assert_eq!(again["stages"]["decodes"]["sources"], 0, "{again}");
    assert_eq!(again["stages"]["decodes"]["probes"], 0, "{again}");

    // A file that is not as its record says is not taken over, and where two disagree neither.
    let bad = at("bad");
    // Shards go by the path, and that of a temporary folder is another each time: one time in twenty-five the
    // first has no file.
    let clips = parts.iter().map(|part| part.join("clips")).filter(|clips| clips.exists());
    let clip = clips.flat_map(|clips| crate::workspaces::files_below(&clips)).next().unwrap();
    let kept = std::fs::read(&clip).unwrap();
    std::fs::write(&clip, &kept[..kept.len() - 1]).unwrap();
    let from: Vec<&str> = parts.iter().map(|part| text(part)).collect();
    let join = || run(&[&["-w", text(&bad), "merge"][..], &from].concat());
    let (code, _, err) = join();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(".fvcclip") && err.contains("fvc verify"), "{err}");
    assert!(!bad.join("index").exists());
    std::fs::write(&clip, kept).unwrap();
    assert_eq!(join().0, 3);
    assert_eq!(without_cost(&bad), without_cost(&whole));
}

/// Corpora that were indexed and worked on apart become one, and so do the openings of their tests.
#[test]
fn whole_workspaces_join_with_their_openings_and_groups_across() {
    if !can_make_footage("whole_workspaces_join_with_their_openings_and_groups_across") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let stages = ["run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    let mut tables = Vec::new();
    for (part, from) in [("a", 0), ("b", 6)] {
        // The last row has no file; it ties a group of the one table to a group of the other.
        let mut table = String::from("path,label,group,origin\n");
        for clip in from..from + 6 {
            encode(
                &format!("testsrc2=size=64x48:rate={}", 12 + clip),
                &["-t", "1", "-c:v", "libx264", "-preset", "ultrafast"],
                &at(part).join(format!("{clip}.mp4")),
            );
            let _ = writeln!(table, "{clip}.mp4,{},g{clip},", ["real", "fake"][clip % 2]);
        }
        let _ = writeln!(table, "gone_{part}.mp4,real,g{from},o1");
        let path = at(part).join("corpus.csv");
        std::fs::write(&path, table).unwrap();
        ended(start(&at(&format!("ws_{part}")), &["index", text(&path)]));
        ended(start(&at(&format!("ws_{part}")), &stages));
        tables.push(path);
    }
    ended(start(&at("one"), &["index", text(&tables[0]), text(&tables[1])]));
    ended(start(&at("one"), &stages));
    let groups = |workspace: &Path| {
        let listed = std::fs::read_to_string(workspace.join("index/sources.csv")).unwrap();
        let groups: std::collections::BTreeSet<String> =
            listed.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().to_owned()).collect();
        groups.len()
    };
    // Twelve, less the one that is tied across.
    assert_eq!(groups(&at("one")), 11);

    let train = ["train", "--variants", "0", "--size", "32", "--folds", "2", "--grid", "none"];
    let train = [&train[..], &["--model-types", "logistic_regression", "--test-fraction", "0.34"]];
    let train = train.concat();
    let opened = |workspace: &Path| {
        ended(start(workspace, &train))["train"]["sealed"]["opening"].as_u64().unwrap()
    };
    assert_eq!((opened(&at("ws_a")), opened(&at("ws_a")), opened(&at("ws_b"))), (1, 2, 1));
    let (a, b, both) = (at("ws_a"), at("ws_b"), at("both"));
    // One by one is as good as at once, and twice as good as once.
    assert_eq!(merged(&both, &[&a])["openings"], 2);
    assert_eq!(merged(&both, &[&b])["openings"], 1);
    let again = merged(&both, &[&b, &a]);
    assert_eq!((&again["openings"], &again["units"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(groups(&both), 11);
    let mut made = bytes_of(&both);
    let mut expected = bytes_of(&at("one"));
    for name in ["sources.json", "sources.csv", "failures.csv", "manifest.json"] {
        let name = format!("index/{name}");
        assert_eq!(made.remove(&name).unwrap(), expected.remove(&name).unwrap(), "{name}");
    }
    assert_same(&made, &expected);
    // Openings of a split that was opened elsewhere go on being counted.
    let splits = crate::workspaces::files_below(&a.join("splits"));
    std::fs::create_dir_all(both.join("splits")).unwrap();
    std::fs::copy(&splits[0], both.join("splits").join(splits[0].file_name().unwrap())).unwrap();
    assert_eq!(opened(&both), 3);

    // The same file with other bytes.
    encode(
        "mandelbrot=size=64x48:rate=12",
        &["-t", "1", "-c:v", "libx264", "-preset", "ultrafast"],
        &at("a/0.mp4"),
    );
    ended(start(&at("later"), &["index", text(&at("a/corpus.csv")), text(&tables[1])]));
    ended(start(&at("later"), &stages));
    let (code, _, err) = run(&["-w", text(&at("x")), "merge", text(&a), text(&at("later"))]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("0.mp4") && err.contains("it changed in between"), "{err}");
}

/// Records were held against those of the first workspace that had one, and how sources would stand
/// was asked when files, caches and the index had been taken over: a merge that was refused left half
/// of itself behind.
#[test]
fn a_refused_merge_leaves_its_target_byte_for_byte_as_it_was() {
    if !can_make_footage("a_refused_merge_leaves_its_target_byte_for_byte_as_it_was") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let table = |name: &str, clips: std::ops::Range<usize>| {
        let mut table = String::from("path,label,group\n");
        for clip in clips {
            let path = at(name).join(format!("{clip}.mp4"));
            let source = format!("testsrc2=size=64x48:rate={}", 12 + clip);
            encode(&source, &["-t", "1", "-c:v", "libx264", "-preset", "ultrafast"], &path);
            let _ = writeln!(table, "{clip}.mp4,{},g{clip}", ["real", "fake"][clip % 2]);
        }
        let path = at(name).join("corpus.csv");
        std::fs::write(&path, table).unwrap();
        path
    };
    let (one, two) = (table("one", 0..2), table("two", 2..4));
    let features = ["features", "--variants", "0", "--size", "32"];
    let stages = ["run", "--stages", "1-4", "--variants", "0", "--size", "32"];
    let make = |name: &str, table: &Path, stages: &[&str]| {
        ended(start(&at(name), &["index", text(table)]));
        if !stages.is_empty() {
            ended(start(&at(name), stages));
        }
    };
    let all = |workspace: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = crate::workspaces::files_below(workspace);
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    };
    let refused = |into: &str, from: &[&str], word: &str| {
        let before = all(&at(into));
        let from: Vec<PathBuf> = from.iter().map(|name| at(name)).collect();
        let from: Vec<&str> = from.iter().map(|path| text(path)).collect();
        let (code, out, err) =
            run(&[&["-w", text(&at(into)), "--json", "merge"][..], &from].concat());
        assert!(code == 1 || code == 2, "{code}: {out}{err}");
        assert!(err.contains(word), "no {word:?} in {err}");
        let after = all(&at(into));
        assert!(before.keys().eq(after.keys()), "{word}: {:?}", after.keys());
        let changed = before.iter().find(|(path, bytes)| after[*path] != **bytes);
        assert_eq!(changed.map(|(path, _)| path), None, "{word}");
    };
    // One number of an output that stage 4 made is another, under a record that is whole.
    let say_otherwise = |name: &str| {
        let workspace = fvc_pipeline::Workspace::open(&at(name)).unwrap();
        let path = crate::workspaces::files_below(&at(name).join("units")).remove(0);
        let id = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let fvc_pipeline::UnitState::Whole(mut unit) =
            fvc_pipeline::Unit::load(&workspace.unit(&id), &id).unwrap()
        else {
            panic!("no whole record in {}", path.display());
        };
        let mut outputs = unit.outputs.iter_mut();
        let (_, made) = outputs.find(|(name, _)| name.starts_with("features/scaled")).unwrap();
        let fvc_pipeline::Output::Features(values) = made else { panic!("no features") };
        values[0] = Some(values[0].unwrap_or(0.0) + 1.0);
        unit.save(&path).unwrap();
    };

    make("whole", &two, &stages);
    make("contrary", &two, &stages);
    say_otherwise("contrary");
    make("other", &one, &stages);
    make("less", &two, &features);
    make("indexed", &one, &[]);
    // The first has no record of the source, or one without the output that the others contradict one
    // another in.
    refused("other", &["whole", "contrary"], "Conflict in output features/scaled");
    refused("less", &["whole", "contrary"], "Conflict in output features/scaled");
    refused("less", &["contrary", "whole"], "Conflict in output features/scaled");
    refused("whole", &["less", "contrary"], "Conflict in output features/scaled");
    // Sources of the target that no command worked on.
    refused("indexed", &["whole"], "a shard that worked on it");
    // A file that is to be copied, and with it a database.
    let clip = crate::workspaces::files_below(&at("whole/clips")).remove(0);
    let kept = std::fs::read(&clip).unwrap();
    std::fs::write(&clip, &kept[..kept.len() - 1]).unwrap();
    refused("other", &["whole"], ".fvcclip");
    std::fs::write(&clip, kept).unwrap();
    let cache = std::fs::read(at("whole/media.sqlite")).unwrap();
    std::fs::write(at("whole/media.sqlite"), b"no database").unwrap();
    refused("other", &["whole"], "media.sqlite");
    std::fs::write(at("whole/media.sqlite"), cache).unwrap();
    // The same path with other bytes.
    encode(
        "mandelbrot=size=64x48:rate=12",
        &["-t", "1", "-c:v", "libx264", "-preset", "ultrafast"],
        &at("one/0.mp4"),
    );
    ended(start(&at("later"), &["index", text(&one), text(&two)]));
    ended(start(&at("later"), &stages));
    refused("other", &["whole", "later"], "it changed in between");
    // And what is not refused is joined, of three of which the first has least.
    assert_eq!(merged(&at("less"), &[&at("whole"), &at("other")])["units"], 4);
}
