//! One network trained by several devices at once.

use std::path::Path;

use serde_json::Value;

use crate::footage::{can_make_footage, corpus, fvc, run, told};

/// A corpus whose clips are made; settings of one network, batches of `batch` and `accumulation` of them.
fn configuration(folder: &Path, name: &str, batch: u32, accumulation: u32) -> String {
    let config = folder.join(name);
    std::fs::write(
        &config,
        format!(
            "[augment]\nvariants = 1\nkinds = [\"flip\"]\n[scale]\nsizes = [\"48max\"]\n\
             [split]\nfolds = 2\ntest_fraction = 0\n[train]\ninner_folds = 2\nbootstrap_draws = 100\n\
             [train.parameters.variable_ar_cnn]\nconfiguration = \"small\"\nepochs = 2\nframes = 4\n\
             dropout = 0.0\nprecision = \"f32\"\nbatch = {batch}\naccumulation = {accumulation}\n\
             [train.parameters.vit_transformer]\nconfiguration = \"small\"\nepochs = 2\nframes = 4\n\
             depth = 2\nprecision = \"f32\"\nbatch = {batch}\naccumulation = {accumulation}\n"
        ),
    )
    .unwrap();
    config.to_str().unwrap().to_owned()
}

fn prepared(folder: &Path) {
    let table = corpus(&folder.join("corpus"), 6);
    let workspace = folder.join("workspace").to_str().unwrap().to_owned();
    let config = configuration(folder, "stages.toml", 2, 1);
    let ask = |arguments: &[&str]| {
        let (code, out, err) = run(&[&["-w", &workspace, "--config", &config], arguments].concat());
        assert_eq!(code, 0, "{out}{err}");
    };
    ask(&["index", table.to_str().unwrap()]);
    ask(&["run", "--stages", "1-4"]);
}

/// Trains from the folder of the corpus, by paths from there.
fn train(folder: &Path, config: &str, devices: &[&str]) -> Value {
    train_model(folder, config, "variable_ar_cnn", devices)
}

fn train_model(folder: &Path, config: &str, model: &str, devices: &[&str]) -> Value {
    let mut command = fvc();
    command.current_dir(folder).args(["-w", "workspace", "--config", config, "--json", "train"]);
    let trained = command.args(["--model-types", model]).args(devices).output();
    let (code, out, err) = told(&trained.unwrap());
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

/// The margins of every source, by its content id.
fn margins(made: &Value) -> std::collections::BTreeMap<String, f64> {
    let validated = &made["train"]["models"][0]["cross_validation"];
    let rows = validated["predictions"].as_array().unwrap();
    let of = |row: &Value| {
        (row["content_id"].as_str().unwrap().to_owned(), row["margin"].as_f64().unwrap())
    };
    rows.iter().map(of).collect()
}

/// Two replicas with batches of 2 see at once what one sees with batches of 4, and give its scores.
#[test]
fn two_devices_give_the_scores_of_one_with_the_same_effective_batch() {
    if !can_make_footage("two_devices_give_the_scores_of_one_with_the_same_effective_batch") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    let alone = configuration(folder.path(), "alone.toml", 4, 1);
    let halves = configuration(folder.path(), "halves.toml", 2, 2);
    let one = train(folder.path(), &alone, &["--device", "cpu"]);
    let two = train(folder.path(), &halves, &["--devices", "cpu,cpu"]);
    let (of_one, of_two) = (margins(&one), margins(&two));
    assert_eq!(of_one.len(), 12);
    assert_eq!(of_one.keys().collect::<Vec<_>>(), of_two.keys().collect::<Vec<_>>());
    for (id, margin) in &of_one {
        assert!((margin - of_two[id]).abs() < 1e-3, "{id}: {margin} {}", of_two[id]);
    }
    // Not because nothing was learnt, and not because nothing was shared.
    let (least, most) = of_one.values().fold((f64::MAX, f64::MIN), |(least, most), margin| {
        (least.min(*margin), most.max(*margin))
    });
    assert!(most - least > 1e-2, "{least} to {most}");
    let chosen = |made: &Value| {
        made["train"]["models"][0]["cross_validation"]["folds"][0]["selection"]["chosen"]["devices"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(chosen(&one).as_deref(), Some("cpu"));
    assert_eq!(chosen(&two).as_deref(), Some("cpu,cpu"));
    let logged = |made: &Value| {
        let run = folder.path().join(made["train"]["run"].as_str().unwrap());
        std::fs::read_to_string(run.join("variable_ar_cnn/final/metrics.jsonl")).unwrap()
    };
    assert!(!logged(&one).contains("\"ranks\""));
    let lines = logged(&two);
    let ranks = lines.lines().filter(|line| line.contains("\"ranks\"")).count();
    assert_eq!(ranks, 2, "{lines}");
    // One rank writes: no number stands twice.
    let losses = lines.lines().filter(|line| line.contains("\"log_loss\"")).count();
    assert_eq!(losses, 2, "{lines}");
}

/// Three devices share one vision transformer, a head of three each, and give the scores of one, dropout
/// included: what each drops is what one drops.
#[test]
fn devices_that_share_a_network_give_the_scores_of_one() {
    if !can_make_footage("devices_that_share_a_network_give_the_scores_of_one") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    let config = configuration(folder.path(), "vit.toml", 2, 2);
    let model = "vit_transformer";
    let one = train_model(folder.path(), &config, model, &["--device", "cpu"]);
    // What is trained already would be taken over.
    std::fs::remove_dir_all(folder.path().join("workspace/networks")).unwrap();
    let shared = ["--devices", "cpu,cpu,cpu", "--tensor-parallel", "3"];
    let three = train_model(folder.path(), &config, model, &shared);
    let (of_one, of_three) = (margins(&one), margins(&three));
    assert_eq!(of_one.len(), 12);
    for (id, margin) in &of_one {
        assert!((margin - of_three[id]).abs() < 1e-3, "{id}: {margin} {}", of_three[id]);
    }
    let chosen = |made: &Value| {
        made["train"]["models"][0]["cross_validation"]["folds"][0]["selection"]["chosen"]
            ["tensor_parallel"]
            .as_f64()
    };
    assert_eq!((chosen(&one), chosen(&three)), (Some(1.0), Some(3.0)));
    // Two devices are no whole number of replicas of three.
    let mut command = fvc();
    command.current_dir(folder.path()).args(["-w", "workspace", "--config", &config, "train"]);
    command.args(["--model-types", model, "--devices", "cpu,cpu", "--tensor-parallel", "3"]);
    let (code, _, err) = told(&command.output().unwrap());
    let said = err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code, 2, "{err}");
    assert!(said.contains("a divisor of the number of ranks, which is 2, found 3"), "{said}");
}

#[test]
fn devices_that_are_not_there_or_do_not_go_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = folder.path().join("workspace");
    let clip = folder.path().join("corpus/real/a.mp4");
    std::fs::create_dir_all(clip.parent().unwrap()).unwrap();
    std::fs::write(&clip, b"no video").unwrap();
    let ws = workspace.to_str().unwrap();
    drop(run(&["-w", ws, "index", folder.path().join("corpus").to_str().unwrap()]));
    for (option, value, says) in [
        ("--devices", "cpu,cuda:0", "one kind"),
        ("--devices", "cpu,gpu", "gpu"),
        ("--devices", "0,", "cuda:N"),
        ("--devices", "cuda,cuda", "number"),
        ("--devices", "0,4095", "cuda:"),
        ("--device", "cpu,cpu", "one device"),
        ("--rank-patience", "5", "one device"),
        ("--tensor-parallel", "2", "nothing for naive_cnn"),
    ] {
        let (code, out, err) =
            run(&["-w", ws, "train", "--model-types", "naive_cnn", option, value]);
        let said: String = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code, 2, "{option} {value}: {out}{err}");
        assert!(said.contains(says), "{option} {value}: {said}");
    }
    let both = ["-w", ws, "train", "--model-types", "naive_cnn", "--device", "cpu"];
    let (code, _, err) = run(&[&both[..], &["--devices", "cpu,cpu"]].concat());
    assert_eq!(code, 2, "{err}");
}
