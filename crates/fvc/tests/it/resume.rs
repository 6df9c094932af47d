//! Killed anywhere, a run goes on and ends with the same bytes.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::footage::{can_make_footage, corpus, encode, fvc, run};

fn tables(workspace: &Path) -> Vec<Vec<u8>> {
    ["stage2", "stage4", "facts"]
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
    let killed =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let status = child.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_millis(2200), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
}
