//! Killed anywhere, a run goes on and ends with the same bytes.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::footage::{can_make_footage, corpus, encode, fvc, run};

/// By the shell's own `kill`: small systems have no program of that name.
pub(crate) fn signal(name: &str, process: u32) {
    let status = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn tables(workspace: &Path) -> Vec<Vec<u8>> {
    ["stage2", "forensic", "stage4", "facts"]
        .map(|name| std::fs::read(workspace.join(format!("features/{name}.parquet"))).unwrap())
        .to_vec()
}

#[test]
fn a_run_killed_at_any_write_resumes_to_the_same_tables() {
    if !can_make_footage("a_run_killed_at_any_write_resumes_to_the_same_tables") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let table = table.to_str().unwrap();
    let stages = ["run", "--stages", "1-4", "--variants", "1", "--size", "48"];
    let whole = folder.path().join("whole");
    assert_eq!(run(&["-w", whole.to_str().unwrap(), "index", table]).0, 0);
    assert_eq!(run(&[&["-w", whole.to_str().unwrap()][..], &stages[..]].concat()).0, 0);
    let expected = tables(&whole);

    let cut = folder.path().join("cut");
    let ws = cut.to_str().unwrap();
    assert_eq!(run(&["-w", ws, "index", table]).0, 0);
    let mut killed = 0;
    for fault in ["1", "2:after", "3", "1:after", "4", "2", "5:after", "3:after", "6", "7"] {
        let status = fvc()
            .env("FVC_FAULT_KILL_AT_WRITE", fault)
            .args(["-w", ws])
            .args(stages)
            .output()
            .unwrap()
            .status;
        if status.signal() == Some(9) {
            killed += 1;
        }
    }
    assert!(killed >= 5, "the fault hook ended {killed} runs");
    let (code, out, err) = run(&[&["-w", ws][..], &stages[..]].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(tables(&cut), expected, "tables differ after kill and resume");
}

/// The same for each command by itself: what it leaves is taken up, and ends as if nothing had been.
#[test]
fn each_stage_killed_at_any_write_is_taken_up() {
    if !can_make_footage("each_stage_killed_at_any_write_is_taken_up") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 2);
    let commands: [&[&str]; 5] = [
        &["index", table.to_str().unwrap()],
        &["augment", "--variants", "2", "--materialise"],
        &["features", "--variants", "2"],
        &["scale", "--variants", "2", "--size", "48", "--materialise"],
        &["scaled-features", "--variants", "2", "--size", "48"],
    ];
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    for arguments in commands {
        let with = |ws: &Path| -> Vec<String> {
            let own = ["-w", ws.to_str().unwrap()];
            own.iter().chain(arguments).map(|&text| text.to_owned()).collect()
        };
        assert!(fvc().args(with(&whole)).output().unwrap().status.success());
        let mut killed = 0;
        for fault in ["1", "1:after", "2", "2:after", "3:after"] {
            let mut command = fvc();
            let output = command.env("FVC_FAULT_KILL_AT_WRITE", fault).args(with(&cut)).output();
            killed += u64::from(output.unwrap().status.signal() == Some(9));
        }
        assert!(killed >= 3, "{arguments:?}: the fault hook ended {killed} runs");
        let output = fvc().args(with(&cut)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    assert_eq!(tables(&cut), tables(&whole));
    for name in ["index/sources.json", "variants/draws.jsonl"] {
        assert_eq!(
            std::fs::read(cut.join(name)).unwrap(),
            std::fs::read(whole.join(name)).unwrap(),
            "{name}"
        );
    }
    // What is there by name is there by hash: nothing is owed any more.
    let run_all = ["run", "--stages", "1-4", "--variants", "2", "--size", "48", "--materialise"];
    let arguments = [&["-w", cut.to_str().unwrap(), "--json"][..], &run_all].concat();
    let made: serde_json::Value = serde_json::from_str(&run(&arguments).1).unwrap();
    assert_eq!(made["stages"]["decodes"]["sources"], 0, "{made}");
}

/// A run folder appears whole or not at all, a sealed test that may have been seen counts as opened,
/// and the same seed gives the same predictions.
#[test]
fn training_killed_at_any_write_leaves_no_half_run() {
    if !can_make_footage("training_killed_at_any_write_leaves_no_half_run") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = corpus(&folder.path().join("corpus"), 6);
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    let stages = ["run", "--stages", "1-4", "--variants", "1", "--size", "48"];
    assert_eq!(run(&["-w", ws, "index", table.to_str().unwrap()]).0, 0);
    assert_eq!(run(&[&["-w", ws][..], &stages[..]].concat()).0, 0);
    let train = [
        "-w",
        ws,
        "--json",
        "train",
        "--variants",
        "1",
        "--size",
        "48",
        "--folds",
        "2",
        "--test-fraction",
        "0.34",
        "--grid",
        "none",
    ];
    let trained = || -> serde_json::Value {
        let (code, out, err) = run(&train);
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["train"].take()
    };
    let whole = trained();
    let mut killed = 0;
    for fault in ["1", "1:after", "2", "2:after", "3", "4", "5:after", "6"] {
        let status =
            fvc().env("FVC_FAULT_KILL_AT_WRITE", fault).args(train).output().unwrap().status;
        killed += u64::from(status.signal() == Some(9));
    }
    assert!(killed >= 3, "the fault hook ended {killed} runs");
    let again = trained();
    for (own, other) in
        whole["models"].as_array().unwrap().iter().zip(again["models"].as_array().unwrap())
    {
        assert_eq!(
            own["cross_validation"]["predictions"],
            other["cross_validation"]["predictions"]
        );
    }
    let opening = again["sealed"]["opening"].as_u64().unwrap();
    assert!((2..=10).contains(&opening), "{opening} openings");
    // A run that was cut off has neither a result nor a failure; the others have a model that is there.
    let (code, out, err) = run(&["-w", ws, "--json", "models"]);
    assert_eq!(code, 0, "{out}{err}");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let runs = listed["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["failure"].is_null()), "{listed}");
    let models: Vec<&str> = runs.iter().filter_map(|run| run["chosen_file"].as_str()).collect();
    assert!(models.len() >= 2 && models.len() as u64 <= 10, "{listed}");
    assert!(models.iter().all(|model| Path::new(model).is_file()), "{models:?}");
    let unseen = folder.path().join("unseen.mp4");
    encode("testsrc2=size=160x120:rate=25", &["-t", "1", "-c:v", "libx264"], &unseen);
    assert_eq!(run(&["-w", ws, "predict", unseen.to_str().unwrap()]).0, 0);
}

#[test]
fn control_c_ends_within_two_seconds() {
    if !can_make_footage("control_c_ends_within_two_seconds") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("videos/real/long.mp4");
    encode(
        "testsrc2=size=1280x720:rate=50",
        &["-t", "40", "-c:v", "libx264", "-preset", "ultrafast"],
        &clip,
    );
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    assert_eq!(run(&["-w", ws, "index", folder.path().join("videos").to_str().unwrap()]).0, 0);
    let mut child =
        fvc().args(["-w", ws, "run", "--stages", "1-4", "--variants", "6"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    signal("INT", child.id());
    let status = child.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_millis(2200), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
}

/// The decoder child of a process, once it has been at work for a moment.
fn decoder_child_of(parent: u32) -> Option<u32> {
    let children = format!("/proc/{parent}/task");
    let threads = std::fs::read_dir(children).ok()?;
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find_map(|child| child.parse().ok())
}

/// What the system's memory killer does. The file is not to blame: it is a failure of this run only,
/// the others are unharmed, and the next run takes it up.
#[test]
fn a_decoder_killed_in_mid_clip_costs_one_row_and_the_next_run_mends_it() {
    if !can_make_footage("a_decoder_killed_in_mid_clip_costs_one_row_and_the_next_run_mends_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    for (name, seconds) in [("real/a.mp4", "20"), ("fake/b.mp4", "1")] {
        encode(
            "testsrc2=size=1280x720:rate=50",
            &["-t", seconds, "-c:v", "libx264", "-preset", "ultrafast"],
            &videos.join(name),
        );
    }
    let ws = folder.path().join("ws");
    let ws = ws.to_str().unwrap();
    assert_eq!(run(&["-w", ws, "index", videos.to_str().unwrap()]).0, 0);
    let stages =
        ["-w", ws, "--json", "run", "--parallel", "1", "--stages", "1-4", "--variants", "0"];
    let process = fvc()
        .args(stages)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The long clip decodes for a second or more, the short one for a moment: of the children that
    // live on, kill the first.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen: Option<(u32, Instant)> = None;
    loop {
        assert!(Instant::now() < deadline, "no decoder child was seen");
        match (decoder_child_of(process.id()), seen) {
            (Some(child), Some((before, since))) if child == before => {
                if since.elapsed() > Duration::from_millis(300) {
                    signal("KILL", child);
                    break;
                }
            }
            (Some(child), _) => seen = Some((child, Instant::now())),
            (None, _) => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = process.wait_with_output().unwrap();
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{made}");
    assert_eq!(made["stages"]["completed"], 1, "{made}");
    assert_eq!(made["stages"]["failed"], serde_json::json!({ "killed": 1 }), "{made}");
    let (code, out, err) = run(&stages);
    assert_eq!(code, 0, "{out}{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&made["stages"]["completed"], &made["stages"]["decodes"]["sources"]),
        (&2.into(), &1.into())
    );
}
