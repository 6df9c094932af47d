//! Trainings of networks that are killed, and that run out of memory, through the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, fvc, run, told};
use crate::resume::signal;

/// A workspace with scaled clips, and what trains tiny networks in it.
pub(crate) struct Prepared {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) workspace: String,
}

/// What every training here has: two folds and the final fit, two or three steps an epoch.
const COMMON: &str = "[augment]\nvariants = 2\nkinds = [\"flip\", \"gaussian_blur\"]\n[scale]\nsizes = \
                      [\"48max\", \"32max\"]\n[split]\nfolds = 2\ntest_fraction = 0.0\n[train]\ninner_folds = 3\n\
                      bootstrap_draws = 100\n";

impl Prepared {
    fn new(origins: usize) -> Self {
        Self::with(origins, &[])
    }

    /// With further arguments of the stages before training.
    pub(crate) fn with(origins: usize, further: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = corpus(&folder.path().join("corpus"), origins);
        let workspace = folder.path().join("workspace").to_str().unwrap().to_owned();
        let own = Self { folder, workspace };
        let config = own.config("prepare", "");
        let stages = [&["run", "--stages", "1-4"][..], further].concat();
        for command in [vec!["index", table.to_str().unwrap()], stages] {
            let arguments = [&["-w", &own.workspace, "--config", &config][..], &command].concat();
            let (code, out, err) = run(&arguments);
            assert_eq!(code, 0, "{out}{err}");
        }
        own
    }

    pub(crate) fn config(&self, name: &str, model: &str) -> String {
        let path = self.folder.path().join(format!("{name}.toml"));
        fs::write(&path, format!("{COMMON}{model}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Training `variable_ar_cnn` with further parameters.
    fn command(&self, name: &str, parameters: &str) -> Vec<String> {
        let config = self.config(
            name,
            &format!(
                "[train.parameters.variable_ar_cnn]\nconfiguration = \"small\"\nstem_stride = 4\n\
                 checkpoint_steps = 1\n{parameters}"
            ),
        );
        ["-w", &self.workspace, "--config", &config, "--json", "train", "--model-types"]
            .into_iter()
            .chain(["variable_ar_cnn"])
            .map(str::to_owned)
            .collect()
    }

    fn networks(&self) -> PathBuf {
        Path::new(&self.workspace).join("networks")
    }

    /// Folders of trainings that are under way.
    fn trainings(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.networks()) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

fn start(arguments: &[String]) -> Child {
    fvc().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn trained(output: &Output) -> Value {
    let (code, out, err) = told(output);
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str::<Value>(&out).unwrap()["train"].take()
}

pub(crate) fn trained_by(arguments: &[String]) -> Value {
    trained(&fvc().args(arguments).output().unwrap())
}

/// Epoch and step of a training's checkpoint; none where there is none.
fn checkpoint(training: &Path) -> Option<(u64, u64)> {
    let bytes = fs::read(training.join("checkpoint.safetensors")).ok()?;
    let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?) as usize;
    let head: Value = serde_json::from_slice(bytes.get(8..8 + length)?).ok()?;
    let own = head["__metadata__"].as_object()?.values().find_map(|text| {
        let own: Value = serde_json::from_str(text.as_str()?).ok()?;
        own.get("progress").cloned()
    })?;
    Some((own["epoch"].as_u64()?, own["step"].as_u64()?))
}

/// The process that trains for `parent`.
fn training_child(parent: u32) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let children = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    children.filter_map(|child| child.parse().ok()).find(|child| is_training(*child))
}

fn is_training(process: u32) -> bool {
    fs::read(format!("/proc/{process}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--fvc-network-child"))
}

/// Waits for something that comes within a minute.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The weights of the run's model: name and bytes.
pub(crate) fn weights(trained: &Value) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(trained["run"].as_str().unwrap()).unwrap();
    let files: BTreeMap<String, Vec<u8>> = entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|own| own == "safetensors"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    assert_eq!(files.len(), 1);
    files
}

pub(crate) fn predictions(trained: &Value) -> &Value {
    &trained["models"][0]["cross_validation"]["predictions"]
}

pub(crate) fn notes(trained: &Value) -> String {
    trained["notes"].to_string()
}

/// The lines of the metrics of one fit: (epoch, step), in their order.
fn steps(trained: &Value, fit: &str) -> Vec<(u64, u64)> {
    let path = Path::new(trained["run"].as_str().unwrap())
        .join("variable_ar_cnn")
        .join(fit)
        .join("metrics.jsonl");
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["metric"] == "loss")
        .filter_map(|line| Some((line["epoch"].as_u64()?, line["step"].as_u64()?)))
        .collect()
}

/// In the earlier system a training that was killed began anew. Here each fit, the folds' and the final one, is
/// killed with its child after its first checkpoint in mid-epoch, and the run is given again each time: it ends
/// with the weights and the predictions of a run that nothing disturbed, to the last byte. What is left between
/// two runs says what each training may see: no group stands on both sides, and only what is learnt from has
/// variants.
#[test]
fn a_training_killed_in_mid_epoch_ends_with_the_same_bytes() {
    if !can_make_footage("a_training_killed_in_mid_epoch_ends_with_the_same_bytes") {
        return;
    }
    let prepared = Prepared::new(8);
    let command =
        prepared.command("killed", "epochs = 2\nframes = 4\nbatch = 2\naccumulation = 1\n");
    let whole = trained_by(&command);
    assert!(prepared.trainings().is_empty());

    let mut killed: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
    let resumed = loop {
        let parent = start(&command);
        let found = loop {
            if !Path::new(&format!("/proc/{}/task", parent.id())).exists() {
                break None;
            }
            // A zombie has no threads to look at.
            let ended = fs::read_to_string(format!("/proc/{}/stat", parent.id()))
                .map_or(true, |stat| stat.contains(") Z"));
            if ended {
                break None;
            }
            let mut open = prepared.trainings().into_iter();
            let mid_epoch = |own: &PathBuf| checkpoint(own).is_some_and(|(_, step)| step > 0);
            let new = open.find(|own| !killed.contains_key(own) && mid_epoch(own));
            if new.is_some() {
                break new;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let Some(training) = found else { break parent.wait_with_output().unwrap() };
        let child = training_child(parent.id()).expect("a child that trains");
        signal("KILL", parent.id());
        signal("KILL", child);
        drop(parent.wait_with_output());
        wait_for("the child is gone", || (!is_training(child)).then_some(()));
        let (epoch, step) = checkpoint(&training).unwrap();
        assert!(step > 0, "in mid-epoch, not at its end: {epoch} {step}");
        killed.insert(training, (epoch, step));
        assert!(killed.len() <= 3);
    };
    let resumed = trained(&resumed);
    assert_eq!(killed.len(), 3, "two folds and the final fit");
    assert_eq!(weights(&resumed), weights(&whole));
    assert_eq!(predictions(&resumed), predictions(&whole));
    for fit in ["fold_0", "fold_1", "final"] {
        assert_eq!(steps(&resumed, fit), steps(&whole, fit), "{fit}: each step stands once");
    }
    assert!(prepared.trainings().is_empty(), "what was needed to resume is gone");
}

/// A stopped training was known by its clips and settings but not by the weights that it had begun from: given
/// others it went on with what it had, and its model said that it came from them.
#[test]
fn a_stopped_training_does_not_go_on_under_other_first_weights() {
    if !can_make_footage("a_stopped_training_does_not_go_on_under_other_first_weights") {
        return;
    }
    let prepared = Prepared::new(8);
    let parameters = "epochs = 2\nframes = 4\nbatch = 2\naccumulation = 1\n";
    let plain = prepared.command("plain", parameters);
    let first = trained_by(&plain);
    let (name, _) = weights(&first).pop_first().unwrap();
    let file = Path::new(first["run"].as_str().unwrap()).join(name);
    let from = prepared.command("from", &format!("{parameters}weights = {file:?}\n"));
    let whole = trained_by(&from);
    assert_ne!(weights(&whole), weights(&first));

    let parent = start(&plain);
    wait_for("a checkpoint", || {
        prepared.trainings().iter().any(|own| checkpoint(own).is_some()).then_some(())
    });
    signal("INT", parent.id());
    drop(parent.wait_with_output());
    assert!(!prepared.trainings().is_empty());
    assert_eq!(weights(&trained_by(&from)), weights(&whole));
}

/// A parent that is killed cannot end its child, which trains on and holds the memory: it sees that its input
/// has ended, and ends by itself with a checkpoint. In the folder of a training that was cut so stands who was
/// to be learnt from and who was held out.
#[test]
fn a_training_child_does_not_outlive_its_parent() {
    if !can_make_footage("a_training_child_does_not_outlive_its_parent") {
        return;
    }
    let prepared = Prepared::new(6);
    let command = prepared.command(
        "orphan",
        "epochs = 500\npatience = 500\nframes = 4\nbatch = 1\naccumulation = 2\n",
    );
    let parent = start(&command);
    let training = wait_for("a checkpoint", || {
        prepared.trainings().into_iter().find(|own| checkpoint(own).is_some())
    });
    let child = training_child(parent.id()).expect("a child that trains");
    signal("KILL", parent.id());
    drop(parent.wait_with_output());
    let since = Instant::now();
    wait_for("the child has ended", || (!is_training(child)).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let left = checkpoint(&training).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(checkpoint(&training), Some(left), "nobody trains on");

    // No source that is judged is of a group that is learnt from, and only what is learnt from has variants.
    let text = fs::read(training.join("job.json")).unwrap();
    let job: Value = serde_json::from_slice(&text).unwrap();
    let of = |side: &str| job["job"][side].as_array().unwrap().clone();
    let groups = |side: &str| -> BTreeSet<String> {
        of(side).iter().map(|own| own["group"].to_string()).collect()
    };
    assert!(!of("validation").is_empty());
    assert!(groups("training").is_disjoint(&groups("validation")));
    for source in of("validation") {
        assert_eq!(source["variants"], serde_json::json!([0]), "judged by its original");
    }
    for source in of("training") {
        assert_eq!(source["variants"], serde_json::json!([0, 1, 2]));
    }
    let shown: BTreeSet<String> = of("training")
        .iter()
        .chain(&of("validation"))
        .map(|own| own["content_id"].to_string())
        .collect();
    for file in job["clip_files"].as_array().unwrap() {
        assert!(shown.contains(&file["key"]["content_id"].to_string()), "a file of another source");
        assert_eq!(file["key"]["variant"], 0, "variants are drawn again, not stored");
    }
}

/// The system's memory killer ends a process by SIGKILL. A training child that ends so is started again from its
/// checkpoint with half the batch and twice the accumulation; by any other signal, the run says which.
#[test]
fn a_training_child_that_is_killed_goes_on_with_less() {
    if !can_make_footage("a_training_child_that_is_killed_goes_on_with_less") {
        return;
    }
    let prepared = Prepared::new(6);
    let parameters = "epochs = 20\npatience = 20\nframes = 4\nbatch = 2\naccumulation = 1\n";
    let command = prepared.command("child", parameters);
    let killed = |name: &str| -> Output {
        let left = |own: &PathBuf| checkpoint(own).unwrap_or_default();
        let before = prepared.trainings().iter().map(left).max().unwrap_or_default();
        let parent = start(&command);
        // One that this run has written.
        let child = wait_for("a checkpoint", || {
            let child = training_child(parent.id())?;
            prepared.trainings().iter().any(|own| left(own) > before).then_some(child)
        });
        signal(name, child);
        parent.wait_with_output().unwrap()
    };
    let (code, out, err) = told(&killed("SEGV"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("signal: 11") && err.contains("fold_0"), "{err}");
    // The failed run has left its checkpoint: the next one goes on.
    assert_eq!(prepared.trainings().len(), 1);
    let found = trained(&killed("KILL"));
    let told = notes(&found);
    assert!(
        told.contains(
            "variable_ar_cnn fold_0: out of memory; went on with batch 1 and accumulation 2"
        ),
        "{told}"
    );
    // Each step stands once, those before the kill too.
    let all = steps(&found, "fold_0");
    let distinct: BTreeSet<&(u64, u64)> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    assert_eq!(all.first(), Some(&(1, 1)));
}

/// The most address space that a process had, in KiB.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A batch that does not fit: the address space of the run is limited to what lies between the needs of half the
/// batch and of the whole one. The child of the whole batch fails to allocate in mid-epoch; the next one goes on
/// from the last step's checkpoint with half of it, and the run is a success that says what it was done with.
#[test]
fn a_training_out_of_memory_goes_on_with_half_the_batch() {
    if !can_make_footage("a_training_out_of_memory_goes_on_with_half_the_batch") {
        return;
    }
    let prepared = Prepared::new(16);
    // Two steps an epoch, the first of eight clips, however they are cut; nothing else is large.
    let with = |name: &str, batch: u64, accumulation: u64| {
        let config = prepared.config(
            name,
            &format!(
                "[train.parameters.variable_ar_cnn]\nconfiguration = \"small\"\nstem_stride = 1\n\
                 checkpoint_steps = 1\nepochs = 4\npatience = 9\nframes = 16\nbatch = {batch}\naccumulation = \
                 {accumulation}\n\"loader.prefetch\" = 1\n"
            ),
        );
        ["-w", &prepared.workspace, "--config", &config, "--json", "train", "--model-types"]
            .into_iter()
            .chain(["variable_ar_cnn"])
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    // Killed in mid-epoch, each leaves what it needed so far: a step of half the batch, then one of the whole.
    let needs = |arguments: &[String], beyond: Option<(u64, u64)>| {
        let parent = start(arguments);
        let mut most = 0;
        let at = wait_for("a checkpoint", || {
            if let Some(child) = training_child(parent.id()) {
                most = most.max(peak(child).unwrap_or(0));
            }
            let mut open = prepared.trainings().into_iter();
            open.find_map(|own| checkpoint(&own))
                .filter(|at| at.1 > 0 && beyond.is_none_or(|old| *at > old))
        });
        let child = training_child(parent.id()).expect("a child that trains");
        most = most.max(peak(child).unwrap_or(0));
        signal("KILL", parent.id());
        signal("KILL", child);
        drop(parent.wait_with_output());
        wait_for("the child is gone", || (!is_training(child)).then_some(()));
        (most, at)
    };
    let (half, at) = needs(&with("half", 4, 2), None);
    let (whole, _) = needs(&with("whole", 8, 1), Some(at));
    assert!(whole > half + 150_000, "{half} and {whole} KiB");
    let cut = checkpoint(&prepared.trainings()[0]).unwrap();

    let limit = half.midpoint(whole);
    let output = Command::new("sh")
        .args(["-c", "ulimit -v \"$1\"; shift; exec \"$@\"", "sh", &limit.to_string()])
        .arg(env!("CARGO_BIN_EXE_fvc"))
        .args(with("limited", 8, 1))
        .env_remove("FVC_WORKSPACE")
        .env_remove("FVC_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let found = trained(&output);
    let (_, _, err) = told(&output);
    let goes_on = "out of memory, going on with batch 4";
    assert!(err.contains(&format!("variable_ar_cnn fold_0: {goes_on}")), "{err}");
    // The child that had too little, and the one after it.
    let resumed = format!("fold_0: goes on in epoch {} after step {}", cut.0 + 1, cut.1);
    let after = err.split_once(goes_on).map_or("", |(_, after)| after);
    assert!(after.contains("variable_ar_cnn fold_0: goes on in epoch"), "{err}");
    assert!(err.contains(&resumed), "{resumed}: {err}");
    let told = notes(&found);
    for fit in ["fold_0", "final"] {
        let expected = format!(
            "variable_ar_cnn {fit}: out of memory; went on with batch 4 and accumulation 2"
        );
        assert!(told.contains(&expected), "{told}");
    }
    // The run's folder says the same: the model's own record, and each step of its metrics once.
    let run = Path::new(found["run"].as_str().unwrap());
    let model = fs::read(run.join("variable_ar_cnn.model.json")).unwrap();
    let text = String::from_utf8(model).unwrap();
    let model: Value = serde_json::from_str(&text).unwrap();
    let trainer = find(&model, "trainer").unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&trainer["batch"], &trainer["accumulation"]), (&4.into(), &2.into()));
    let all = steps(&found, "fold_0");
    let distinct: BTreeSet<&(u64, u64)> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
}

/// The first value of this name, wherever it stands.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|own| find(own, name)))
        }
        Value::Array(own) => own.iter().find_map(|own| find(own, name)),
        _ => None,
    }
}
