//! `fvc slurm`: a script that a shell can read, whatever the arguments hold.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::footage::{run, told};

#[test]
fn the_script_of_a_training_on_two_machines() {
    let (code, script, err) = run(&[
        "slurm",
        "--nodes",
        "2",
        "--gpus",
        "4",
        "--time",
        "2-00:00:00",
        "--partition",
        "gpu",
        "train",
        "-w",
        "/data/my corpus",
        "--model-types",
        "vit_gru",
        "--tensor-parallel",
        "4",
        "--experiment",
        "it's $(rm -rf ~)",
    ]);
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("slurm_two_machines", script);
    // The shell takes it, and gives the words back as they were.
    let checked = Command::new("bash")
        .args(["-n", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut shell| {
            shell.stdin.take().unwrap().write_all(script.as_bytes())?;
            shell.wait_with_output()
        });
    let (code, _, err) = told(&checked.unwrap());
    assert_eq!(code, 0, "{err}");
    let folder = tempfile::tempdir().unwrap();
    let stub = folder.path().join("srun");
    std::fs::write(&stub, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 3\n").unwrap();
    let mut mode = std::fs::metadata(&stub).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&stub, mode).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["-c", &script])
        .envs([("PATH", path.as_str()), ("SLURM_CPUS_PER_TASK", "8"), ("SLURM_JOB_ID", "1")])
        .output()
        .unwrap();
    let (code, words, err) = told(&ran);
    assert_eq!(code, 3, "{words}{err}");
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words[..3], ["--mpi=pmix", "--kill-on-bad-exit=1", "--cpus-per-task=8"]);
    assert_eq!(
        words[3..],
        [
            "fvc",
            "train",
            "-w",
            "/data/my corpus",
            "--model-types",
            "vit_gru",
            "--tensor-parallel",
            "4",
            "--experiment",
            "it's $(rm -rf ~)",
            "--device",
            "cuda"
        ]
    );
}

#[test]
fn a_job_that_slurm_or_fvc_would_refuse_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("job.sh");
    for (arguments, says) in [
        (&["--gpus", "2", "predict", "a.mp4"][..], "train or run"),
        (&["--gpus", "2", "train", "--no-such-option"], "--no-such-option"),
        (&["--gpus", "2", "train", "--device", "cpu"], "found cpu"),
        (&["--gpus", "0", "train", "--device", "cuda"], "found cuda"),
        (&["--gpus", "0", "train", "--devices", "cpu,cpu"], "one device"),
        (&["--gpus", "2", "--tasks", "3", "train"], "one a device"),
        (
            &["--nodes", "3", "--gpus", "1", "train", "--tensor-parallel", "2"],
            "a divisor of the 3 processes, found 2",
        ),
        (&["--gpus", "2", "--partition", "a\n#SBATCH --nodes=9", "train"], "letters"),
        (&["--gpus", "2"], "COMMAND"),
        (&["--gpus", "2", "--time", "5x", "train"], "D-H:M:S"),
        (&["--gpus", "2", "train", "--model-types", "xgboost,svm"], "found xgboost, svm"),
        (&["-w", "/a", "--gpus", "2", "train", "-w", "/b"], "found in both"),
    ] {
        let given = [&["slurm", "--out", out.to_str().unwrap()], arguments].concat();
        let (code, _, err) = run(&given);
        let said = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(!out.exists());
    }
    let (code, _, err) =
        run(&["slurm", "--out", out.to_str().unwrap(), "--gpus", "0", "--tasks", "2", "run"]);
    assert_eq!(code, 0, "{err}");
    let script = std::fs::read_to_string(&out).unwrap();
    assert!(script.contains("--ntasks-per-node=2") && !script.contains("gres"), "{script}");
    // What stands before the command was once lost on the way into the script.
    let (code, script, err) =
        run(&["-w", "/data/ws", "--config", "my.toml", "slurm", "--gpus", "1", "train"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        script.contains("fvc --workspace /data/ws --config my.toml train --device cuda &"),
        "{script}"
    );
}
