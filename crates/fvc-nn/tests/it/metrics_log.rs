//! `metrics.jsonl` over a training that is killed and resumed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use fvc_nn::{EpochRecord, MetricLine, MetricsLog, NetworkError, TrainingEvent};

pub(crate) fn record(epoch: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        training_loss: 0.5 / epoch as f64,
        validation_loss: Some(0.6),
        stop_metric: None,
        learning_rate: 1e-3,
        skipped_steps: 0,
        waiting_share: 0.25,
        ranks: 1,
        exchange_share: 0.0,
        ranks_waiting_share: 0.0,
        clips_per_second: 3.0,
        seconds: 12.0,
    }
}

fn step(epoch: u64, step: u64, loss: f64) -> TrainingEvent {
    TrainingEvent::Step { epoch, step, steps: 3, loss, gradient_norm: 1.0 }
}

/// Tells epochs as a training does, three steps each.
fn tell_epochs(log: &mut MetricsLog, epochs: impl Iterator<Item = u64>) {
    for epoch in epochs {
        for number in 1..=3 {
            log.tell(&step(epoch, number, 0.7)).unwrap();
        }
        log.tell(&TrainingEvent::Epoch(record(epoch))).unwrap();
    }
}

fn no_number_twice(lines: &[MetricLine]) {
    let mut seen = BTreeSet::new();
    for line in lines {
        let key = (line.epoch, line.step, line.phase.clone(), line.metric.clone());
        assert!(seen.insert(key), "twice: {line:?}");
    }
}

fn losses(folder: &Path) -> Vec<(u64, Option<u64>)> {
    let lines = MetricsLog::read(folder).unwrap();
    no_number_twice(&lines);
    lines
        .iter()
        .filter(|line| line.phase == "training" && line.metric == "loss")
        .map(|line| (line.epoch, line.step))
        .collect()
}

#[test]
fn every_number_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = MetricsLog::open(folder.path(), "run_a", false);
    log.tell(&step(1, 1, 0.7)).unwrap();
    log.tell(&TrainingEvent::Epoch(record(1))).unwrap();
    // Read while the log is open: what was told is there.
    let lines = MetricsLog::read(folder.path()).unwrap();
    assert!(lines.iter().all(|line| line.run == "run_a" && line.epoch == 1 && line.step.is_none()));
    assert!(lines.iter().all(|line| line.utc.len() == 24 && line.utc.ends_with('Z')));
    let found = |phase: &str, metric: &str| {
        let mut of = lines.iter().filter(|line| line.phase == phase && line.metric == metric);
        of.next().map(|line| line.value)
    };
    assert_eq!(found("training", "loss"), Some(Some(0.5)));
    assert_eq!(found("validation", "log_loss"), Some(Some(0.6)));
    assert_eq!(found("validation", "stop_metric"), None);
    assert_eq!(found("epoch", "seconds"), Some(Some(12.0)));
}

#[test]
fn a_resumed_training_leaves_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = MetricsLog::open(folder.path(), "run_a", true);
    tell_epochs(&mut log, 1..=2);
    log.tell(&step(3, 1, 0.4)).unwrap();
    log.tell(&step(3, 2, 0.4)).unwrap();
    drop(log);
    // Killed in the middle of a line, while the checkpoint stood after step 1 of epoch 2.
    let path = folder.path().join("metrics.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"run\":\"run_a\",\"utc\":\"20").unwrap();
    drop(file);
    let mut log = MetricsLog::open(folder.path(), "run_a", true);
    log.tell(&TrainingEvent::Resumed { epoch: 2, step: 1 }).unwrap();
    let all_of =
        |epoch| [(epoch, Some(1)), (epoch, Some(2)), (epoch, Some(3)), (epoch, None)].to_vec();
    let mut expected = all_of(1);
    expected.push((2, Some(1)));
    assert_eq!(losses(folder.path()), expected);
    log.tell(&step(2, 2, 0.4)).unwrap();
    log.tell(&step(2, 3, 0.4)).unwrap();
    log.tell(&TrainingEvent::Epoch(record(2))).unwrap();
    assert_eq!(losses(folder.path()), [all_of(1), all_of(2)].concat());
}

#[test]
fn a_training_that_begins_anew_begins_its_log_anew() {
    let folder = tempfile::tempdir().unwrap();
    tell_epochs(&mut MetricsLog::open(folder.path(), "run_a", true), 1..=2);
    MetricsLog::open(folder.path(), "run_b", true).tell(&step(1, 1, f64::NAN)).unwrap();
    let lines = MetricsLog::read(folder.path()).unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.run == "run_b"));
    assert_eq!(lines[0].value, None, "not a number");
}

/// The checkpoint of an epoch is written before the epoch is told: who is killed between the two resumes
/// behind an epoch that no event tells again.
#[test]
fn records_fill_in_what_no_event_told() {
    let folder = tempfile::tempdir().unwrap();
    tell_epochs(&mut MetricsLog::open(folder.path(), "run_a", false), 1..=1);
    let mut log = MetricsLog::open(folder.path(), "run_a", false);
    log.tell(&TrainingEvent::Resumed { epoch: 3, step: 0 }).unwrap();
    log.tell(&TrainingEvent::Epoch(record(3))).unwrap();
    log.complete(&[record(1), record(2), record(3)]).unwrap();
    assert_eq!(losses(folder.path()), [(1, None), (3, None), (2, None)]);
    // Done once more, nothing is missing.
    let before = MetricsLog::read(folder.path()).unwrap();
    MetricsLog::open(folder.path(), "run_a", false)
        .complete(&[record(1), record(2), record(3)])
        .unwrap();
    assert_eq!(MetricsLog::read(folder.path()).unwrap(), before);
}

#[test]
fn a_line_that_is_none_of_ours_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.jsonl"), "epoch loss\n").unwrap();
    let mut log = MetricsLog::open(folder.path(), "run_a", false);
    let error = log.tell(&TrainingEvent::Resumed { epoch: 2, step: 0 }).unwrap_err();
    assert!(matches!(&error, NetworkError::File { .. }), "{error}");
    assert!(error.to_string().contains("metrics.jsonl: expected one metric"), "{error}");
    assert!(error.to_string().contains("line 1"), "{error}");
}
