//! Video made at test time, and the binary under test.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary under test, with no settings from outside.
pub(crate) fn fvc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fvc"));
    command.env_remove("FVC_WORKSPACE").env_remove("FVC_CONFIG").arg("--quiet");
    // Texts are as wide as for no terminal, wherever the tests are run.
    command.env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// Runs the binary and gives its exit code, standard output and standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    told(&fvc().args(arguments).output().unwrap())
}

pub(crate) fn told(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Whether there is an FFmpeg to make footage with; says that the test is skipped when not.
pub(crate) fn can_make_footage(test: &str) -> bool {
    if Command::new("ffmpeg").arg("-version").output().is_ok() {
        return true;
    }
    skipped(test, "no ffmpeg program to make footage with");
    false
}

/// Says that a test is skipped and why, on standard error and in the list that `tools/test` shows.
pub(crate) fn skipped(test: &str, why: &str) {
    let line = format!("SKIP {test}: {why}\n");
    eprint!("{line}");
    if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}

/// Encodes one of FFmpeg's sources.
pub(crate) fn encode(source: &str, encoding: &[&str], path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", source])
        .args(encoding)
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success(), "ffmpeg failed to make {}", path.display());
}

/// A corpus of `origins` authentic clips and a forged twin of each, with a table.
pub(crate) fn corpus(folder: &Path, origins: usize) -> PathBuf {
    let mut table = String::from("path,label,group\n");
    for origin in 0..origins {
        let source = format!("mandelbrot=size=160x120:rate=25:start_scale=0.{}", origin + 3);
        for (label, filter) in [("real", "null"), ("fake", "gblur=sigma=2,noise=alls=12")] {
            let path = folder.join(label).join(format!("clip{origin}.mp4"));
            let filter = format!("hue=h={},{filter}", origin * 20);
            encode(
                &source,
                &["-vf", &filter, "-t", "1.2", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
                &path,
            );
            let _ = writeln!(table, "{label}/clip{origin}.mp4,{label},origin{origin}");
        }
    }
    let path = folder.join("corpus.csv");
    std::fs::write(&path, table).unwrap();
    path
}
