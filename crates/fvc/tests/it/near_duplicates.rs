//! Copies are found by what they show, in the one decode, and groups and splits hold to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use fvc_corpus::{Candidate, Index, Label, NearDuplicate};
use fvc_media::ContentId;
use serde_json::Value;

use crate::footage::{can_make_footage, corpus, encode};
use crate::workspaces::run_in;

const H264: [&str; 6] = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"];

/// Two scenes of three seconds, and a copy of the first: mirrored, with bars, smaller, encoded again.
fn scenes(folder: &Path) {
    let first =
        "mandelbrot=size=320x180:rate=25:maxiter=200:start_x=-0.1011:start_y=0.9563:end_pts=80";
    let second = "life=size=80x45:rate=25:mold=12:ratio=0.3:seed=3,scale=320:180:flags=bicubic,\
                  gblur=sigma=3,noise=alls=7:allf=t:all_seed=13";
    let made = |source: &str, filters: &str, crf: &str, name: &str| {
        let arguments = [&["-vf", filters, "-t", "3", "-crf", crf][..], &H264].concat();
        encode(source, &arguments, &folder.join(name));
    };
    made(first, "null", "20", "real/first.mp4");
    made(second, "null", "20", "real/second.mp4");
    made(first, "hflip,scale=256:144,pad=256:192:0:24", "30", "fake/copy.mp4");
}

#[test]
fn a_copy_is_found_in_the_one_decode_and_the_tie_explains_itself() {
    if !can_make_footage("a_copy_is_found_in_the_one_decode_and_the_tie_explains_itself") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (clips, workspace) = (folder.path().join("clips"), folder.path().join("workspace"));
    scenes(&clips);
    let clips = clips.to_str().unwrap();
    let fvc = |arguments: &[&str]| run_in(&workspace, arguments);

    let (code, shown, _) = fvc(&["index", clips]);
    let told = "3 groups in all, as declared; footage not yet compared";
    assert!(code == 0 && shown.contains(told), "{shown}");
    let (code, shown, told) = fvc(&["features", "--variants", "0"]);
    assert_eq!(code, 0, "{told}");
    assert!(shown.contains("2 sources show footage of another one"), "{shown}");
    assert!(shown.contains("Decodes: 3 of sources"), "{shown}");

    let path = format!("{clips}/real/first.mp4");
    let (code, shown, told) = fvc(&["--json", "index", "--explain-group", &path]);
    assert_eq!(code, 0, "{told}");
    let explained: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(explained["sources"].as_array().unwrap().len(), 2);
    let ties = explained["near_duplicates"].as_array().unwrap();
    assert_eq!(ties.len(), 1);
    assert_eq!(ties[0]["mirrored"], true);
    let number = |name: &str| ties[0][name].as_f64().unwrap();
    assert!(number("shared") >= 2000.0 && number("similarity") >= 0.78, "{}", ties[0]);
    assert!((number("first_from") - number("second_from")).abs() <= 250.0, "{}", ties[0]);

    let group = explained["group"].as_str().unwrap();
    let (code, shown, _) = fvc(&["index", "--explain-group", &group[..8]]);
    assert_eq!(code, 0);
    for wanted in ["2 of 3 sources", "copy.mp4", "first.mp4", "The same footage:", "mirrored"] {
        assert!(shown.contains(wanted), "no {wanted} in {shown}");
    }
    let (_, shown, _) = fvc(&["index", "--explain-group", &format!("{clips}/real/second.mp4")]);
    assert!(shown.contains("It stands alone"), "{shown}");
    for nobody in ["gffffffff", "abc", "no/such.mp4"] {
        let (code, _, told) = fvc(&["index", "--explain-group", nobody]);
        assert!(code == 2 && told.contains("--explain-group: expected a group"), "{code} {told}");
    }
    // Indexed again, 3 groups were told although it was known that they are 2, and the table for people
    // has a column that says that it is not what to split by.
    let (code, shown, _) = fvc(&["index", clips]);
    assert!(code == 0 && shown.contains("2 groups in all, with ties by content\n"), "{shown}");
    let sources = std::fs::read_to_string(workspace.join("index/sources.csv")).unwrap();
    assert!(sources.starts_with("content_id,path,label,declared_group,"), "{sources}");
    let third = format!("{clips}/real/third.mp4");
    encode("testsrc2=size=160x120:rate=25", &[&["-t", "3"][..], &H264].concat(), Path::new(&third));
    let (_, shown, _) = fvc(&["index", clips]);
    let told = "3 groups in all, with ties by content; footage of 1 sources not yet compared";
    assert!(shown.contains(told), "{shown}");
    std::fs::remove_file(&third).unwrap();
    assert_eq!(fvc(&["index", clips]).0, 0);
    // Asked again, nothing is decoded and the same is found.
    let (_, shown, _) = fvc(&["features", "--variants", "0"]);
    assert!(shown.contains("2 sources show footage of another one"), "{shown}");
    assert!(shown.contains("Decodes: 0 of sources"), "{shown}");
}

/// What a command showed of its progress: of each part its name, how many units it has, how many were
/// done, and whether it ended.
#[derive(Default)]
struct Shown(Mutex<Vec<(String, u64, u64, bool)>>);

impl fvc_pipeline::Progress for Shown {
    fn begin(&self, what: &str, total: u64) {
        let mut parts = self.0.lock().unwrap();
        assert!(parts.iter().all(|(.., ended)| *ended), "{what} begins within another part");
        parts.push((what.to_owned(), total, 0, false));
    }
    fn advance(&self, units: u64) {
        self.0.lock().unwrap().last_mut().unwrap().2 += units;
    }
    fn end(&self) {
        self.0.lock().unwrap().last_mut().unwrap().3 = true;
    }
    fn note(&self, _text: &str) {}
}

/// The comparison of all sources, which takes minutes for a large corpus, showed nothing.
#[test]
fn the_search_for_copies_shows_how_far_it_is_and_ends_however_it_ends() {
    if !can_make_footage("the_search_for_copies_shows_how_far_it_is_and_ends_however_it_ends") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (clips, root) = (folder.path().join("clips"), folder.path().join("workspace"));
    scenes(&clips);
    assert_eq!(run_in(&root, &["index", clips.to_str().unwrap()]).0, 0);
    assert_eq!(run_in(&root, &["features", "--variants", "0"]).0, 0);
    let workspace = fvc_pipeline::Workspace::open(&root).unwrap();
    let shown_of = |cancelled: bool| {
        std::fs::remove_dir_all(root.join("groups")).unwrap();
        let shown = Shown::default();
        let environment = fvc_pipeline::Environment {
            config: &fvc_pipeline::Config::default(),
            workspace: &workspace,
            cancel: Arc::new(AtomicBool::new(cancelled)),
            progress: &shown,
        };
        let found = fvc_pipeline::group_sources(&environment);
        assert_eq!(found.is_err(), cancelled);
        shown.0.into_inner().unwrap()
    };
    let shown = shown_of(false);
    let names: Vec<&str> = shown.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["fingerprints", "tables of hashes", "likely copies"]);
    for (name, total, done, ended) in &shown {
        assert!(total == done && *ended && *total > 0, "{name}: {done} of {total}, {ended}");
    }
    assert_eq!(shown[0].1, 3);
    // A request to stop ends what is shown too.
    let stopped = shown_of(true);
    assert!(stopped.iter().all(|(.., ended)| *ended), "{stopped:?}");
}

/// A large group of which every source was declared to be one was said to hold "0 ties by content", as
/// if that held it together.
#[test]
fn a_large_group_says_what_joined_it() {
    let id = |at: usize| ContentId::of_bytes(&at.to_le_bytes());
    let source = |at: usize, groups: &[&str]| {
        let candidate = Candidate {
            path: format!("/videos/{at}.mp4").into(),
            label: Label::Real,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            platform: None,
            subset: None,
            manipulation: None,
            generator: None,
            origin: "folder".to_owned(),
        };
        (candidate, id(at), 1)
    };
    let notes = |sources: Vec<(Candidate, ContentId, u64)>, rows: &[Vec<String>], tied: usize| {
        let (index, _) = Index::build(sources, rows);
        let tie = |at: usize| NearDuplicate {
            first: id(at).min(id(at + 1)),
            second: id(at).max(id(at + 1)),
            mirrored: false,
            first_from: 0,
            first_to: 3000,
            second_from: 0,
            second_to: 3000,
            shared: 3000,
            similarity: 0.9,
        };
        let near_duplicates: Vec<NearDuplicate> = (0..tied).map(tie).collect();
        let index = index.with_near_duplicates(&near_duplicates);
        let grouping = fvc_pipeline::Grouping {
            index,
            near_duplicates,
            fingerprinted: BTreeSet::new(),
            not_comparable: BTreeSet::new(),
        };
        let large = grouping.notes().into_iter().filter(|note| note.contains("--explain-group"));
        let text: Vec<String> = large
            .map(|note| {
                let (_, text) = note.split_once(" holds ").unwrap();
                text.split_once(": see `fvc index --explain-group g").unwrap().0.to_owned()
            })
            .collect();
        text
    };
    let alone = |at: usize| source(at, &[]);

    // Ten of 199 are more than 5 %, ten of 200 are not; nine are never many.
    let declared = |of: usize, size: usize| -> Vec<_> {
        (0..of).map(|at| if at < size { source(at, &["group=a"]) } else { alone(at) }).collect()
    };
    let one_name = "10 of 199 sources, joined by 1 name declared in column group";
    assert_eq!(notes(declared(199, 10), &[], 0), [one_name]);
    assert_eq!(notes(declared(200, 10), &[], 0), [""; 0]);
    assert_eq!(notes(declared(20, 9), &[], 0), [""; 0]);

    // By content alone.
    let strangers = (0..20).map(alone).collect();
    assert_eq!(notes(strangers, &[], 9), ["10 of 20 sources, joined by 9 ties by content"]);

    // Two cascades, which one video of both makes one, and one tie.
    let cascades = (0..20)
        .map(|at| match at {
            0..6 => source(at, &["cascade_id=f0"]),
            6 => source(at, &["cascade_id=f0", "cascade_id=f1"]),
            7..11 => source(at, &["cascade_id=f1"]),
            _ => alone(at),
        })
        .collect();
    assert_eq!(
        notes(cascades, &[], 1),
        [
            "11 of 20 sources, joined by 2 cascades, 1 source whose bytes stand under several names and \
          1 tie by content"
        ]
    );

    // Names of several columns, and of files that are gone.
    let several = (0..20)
        .map(|at| match at {
            0..6 => source(at, &["group=a", "origin=o"]),
            6..11 => source(at, &["group=b"]),
            11 => source(at, &["origin=p"]),
            _ => alone(at),
        })
        .collect();
    let gone = ["group=a", "group=b", "origin=p"].map(str::to_owned).to_vec();
    assert_eq!(
        notes(several, &[gone], 0),
        [
            "12 of 20 sources, joined by 2 names declared in column group, 1 name declared in column \
          origin and rows of files that could not be used"
        ]
    );
}

/// What is in a run's failure table of a source, as reason code.
fn reasons(run_folder: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(run_folder.join("failures.csv")).unwrap();
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| heads.iter().position(|head| *head == name).unwrap();
    let (path, reason) = (place("path"), place("reason"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let name = Path::new(cells[path]).file_stem().unwrap().to_string_lossy().into_owned();
            (name, cells[reason].to_owned())
        })
        .collect()
}

/// A later source that shows (or is said to show) what two folds hold is of neither; the split and all
/// that was made under it stay. Before, the whole workspace refused to train.
#[test]
fn newcomers_that_bridge_a_split_are_kept_out_of_it_and_told() {
    if !can_make_footage("newcomers_that_bridge_a_split_are_kept_out_of_it_and_told") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 4);
    let workspace = folder.path().join("workspace");
    let fvc = |arguments: &[&str]| run_in(&workspace, arguments);
    let settings = ["--variants", "0", "--sizes", "32"];
    let training = [
        "--folds",
        "2",
        "--test-fraction",
        "0",
        "--grid",
        "none",
        "--model-types",
        "logistic_regression",
    ];
    let all = |command: &[&str]| -> Value {
        let (code, shown, told) =
            fvc(&[&["--json"], command, &settings[..], &training[..]].concat());
        assert!(code == 0 || code == 3, "{code} {told}");
        serde_json::from_str(&shown).unwrap()
    };
    assert_eq!(fvc(&["index", table.to_str().unwrap()]).0, 0);
    let before = all(&["run"]);

    // Which origins stand in which fold.
    let split =
        std::fs::read_dir(workspace.join("splits")).unwrap().next().unwrap().unwrap().path();
    let split: Value = serde_json::from_slice(&std::fs::read(split).unwrap()).unwrap();
    let index: Value = serde_json::from_slice(
        &std::fs::read(workspace.join("index").join("sources.json")).unwrap(),
    )
    .unwrap();
    let origin_in = |fold: &str| -> String {
        let member =
            split["members"].as_array().unwrap().iter().find(|m| m["part"] == fold).unwrap();
        let sources = index["sources"].as_array().unwrap();
        let source = sources.iter().find(|s| s["content_id"] == member["content_id"]).unwrap();
        let name = Path::new(source["path"].as_str().unwrap()).file_stem().unwrap();
        name.to_string_lossy().trim_start_matches("clip").to_owned()
    };
    let (first, second) = (origin_in("fold_0"), origin_in("fold_1"));
    let more = folder.path().join("more");
    for name in ["bridge", "twin", "new"] {
        let source = format!("testsrc2=size=160x120:rate=25,hue=h={}", 40 * name.len());
        encode(&source, &[&["-t", "1.2"][..], &H264].concat(), &more.join(format!("{name}.mp4")));
    }
    let rows = format!(
        "path,label,group,source_id\nbridge.mp4,real,origin{first},s1\ntwin.mp4,real,origin{second},\n\
         new.mp4,fake,,\n"
    );
    std::fs::write(more.join("more.csv"), rows).unwrap();
    // The bridge is tied to the second origin by another column of another table.
    let tie = format!("path,label,group,source_id\ntwin.mp4,real,origin{second},s1\n");
    let tied = more.join("tied.csv");
    let (table, more_table) = (table.to_str().unwrap(), more.join("more.csv"));
    let more_table = more_table.to_str().unwrap();

    // First without that tie: each newcomer is of one fold, or of none.
    assert_eq!(fvc(&["index", table, more_table]).0, 0);
    // Before they are decoded they have failed at nothing: the note told to see the stages' failures.
    let early = all(&["train"]);
    let left_out = early["train"]["failures"].as_array().unwrap();
    assert_eq!(left_out.len(), 3);
    for failure in left_out {
        assert_eq!(failure["found"], "not decoded yet: run `fvc run --stages 1-4`", "{failure}");
    }
    let grown = all(&["run"]);
    assert_eq!(grown["train"]["split_hash"], before["train"]["split_hash"]);
    assert_eq!(grown["train"]["sources"], {
        let mut same = before["train"]["sources"].clone();
        same["outside"] = 3.into();
        same
    });
    let told = |made: &Value| reasons(Path::new(made["train"]["run"].as_str().unwrap()));
    let mut found = told(&grown);
    found.sort();
    let row = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    assert_eq!(
        found,
        [
            row("bridge", "matches_training"),
            row("new", "outside_split"),
            row("twin", "matches_training")
        ]
    );

    // Then with it: the two tie both folds to one another, and are of neither.
    std::fs::write(&tied, tie).unwrap();
    let (code, _, err) = fvc(&["index", table, more_table, tied.to_str().unwrap()]);
    assert_eq!(code, 0, "the row that stands twice names one more group: {err}");
    let grown = all(&["train"]);
    assert_eq!(grown["train"]["split_hash"], before["train"]["split_hash"]);
    let mut found = told(&grown);
    found.sort();
    assert_eq!(
        found,
        [row("bridge", "bridges_split"), row("new", "outside_split"), row("twin", "bridges_split")]
    );
    let notes = grown["train"]["notes"].to_string();
    assert!(notes.contains("2 tie two parts of it to one another"), "{notes}");

    // A new plan stands beside the old one, which stays as it was.
    let replanned = all(&["train", "--replan-split"]);
    assert_ne!(replanned["train"]["split_hash"], before["train"]["split_hash"]);
    assert_eq!(replanned["train"]["sources"]["outside"], 0);
    assert_eq!(std::fs::read_dir(workspace.join("splits")).unwrap().count(), 2);
}

/// A fingerprint that is not as it was written is not believed: nothing is known of its source's copies,
/// nobody learns from it, and the stages make it again. Before, a record that could not be read hid a
/// source from the comparison, and its copy could stand on the other side of a split.
#[test]
fn without_a_whole_fingerprint_nobody_learns_and_the_stages_make_it_again() {
    if !can_make_footage("without_a_whole_fingerprint_nobody_learns_and_the_stages_make_it_again") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let workspace = folder.path().join("workspace");
    let fvc = |arguments: &[&str]| run_in(&workspace, arguments);
    assert_eq!(fvc(&["index", table.to_str().unwrap()]).0, 0);
    assert_eq!(fvc(&["features", "--variants", "0"]).0, 0);
    let only = |path: &Path| std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let file = only(&only(&workspace.join("fingerprints")));
    let source = file.file_name().unwrap().to_string_lossy()[..16].to_owned();
    let whole = std::fs::read(&file).unwrap();
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
        "logistic_regression_stage2",
    ];
    let explain = ["index", "--explain-group", &source];
    let unknown = "or its fingerprint is damaged";

    let record = workspace.join("units").join(&source[..2]);
    let record = only(&record);
    for damage_record in [false, true] {
        if damage_record {
            std::fs::write(&record, b"{}").unwrap();
        } else {
            let mut changed = whole.clone();
            changed[100] ^= 1;
            std::fs::write(&file, changed).unwrap();
        }
        std::fs::remove_dir_all(workspace.join("groups")).unwrap();
        let (code, shown, _) = fvc(&explain);
        assert!(code == 0 && shown.contains(unknown), "{shown}");
        let (code, _, told) = fvc(&train);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("1 of 4 sources have no whole fingerprint"), "{told}");

        let (code, shown, _) = fvc(&["features", "--variants", "0"]);
        assert!(code == 0 && shown.contains("Decodes: 1 of sources"), "{shown}");
        assert_eq!(std::fs::read(&file).unwrap(), whole);
        let (_, shown, _) = fvc(&explain);
        assert!(!shown.contains(unknown), "{shown}");
        assert_eq!(fvc(&train).0, 0);
    }
    assert_ne!(std::fs::read(&record).unwrap(), b"{}");
}
