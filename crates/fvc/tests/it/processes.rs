//! A build that trains by one process, started as one of several.

use crate::footage::{fvc, told};

/// Variables of the environment and arguments.
type Launch<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// Started as one of several, each process would train the same in the same folder; as the only one of a
/// job that has several tasks, or for stages that have shares, it is as good as any.
#[test]
fn one_of_several_processes_does_not_train_in_a_build_without_mpi() {
    if cfg!(feature = "mpi") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ws = folder.path().to_str().unwrap();
    let ask = |environment: &[(&str, &str)], arguments: &[&str]| {
        let mut command = fvc();
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied()).args(["-w", ws]).args(arguments);
        let (code, out, err) = told(&command.output().unwrap());
        (code, out + &err)
    };
    let several: [&[(&str, &str)]; 3] = [
        &[("OMPI_COMM_WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_RANK", "1")],
        &[("PMI_SIZE", "3"), ("PMI_RANK", "0")],
        &[("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_PROCID", "2")],
    ];
    for environment in several {
        for command in [&["train"][..], &["run"], &["run", "--stages", "4,5"]] {
            let (code, said) = ask(environment, command);
            assert_eq!(code, 2, "{said}");
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains("--features") && said.contains(environment[0].0), "{said}");
        }
    }
    let one: [Launch<'_>; 5] = [
        (&[], &["train"]),
        (&[("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_NTASKS", "1")], &["train"]),
        (&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")], &["train"]),
        (&[("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "4")], &["train"]),
        (&[("SLURM_STEP_NUM_TASKS", "4")], &["run", "--stages", "1-4", "--shard", "1/4"]),
    ];
    for (environment, command) in one {
        let (_, said) = ask(environment, command);
        // There is no workspace here, which is what is said.
        assert!(!said.contains("processes that train"), "{environment:?} {command:?}: {said}");
    }
}

/// Two processes under a real `mpirun` give the scores of one that has twice their batch; rank 0 alone
/// prints and writes. In a build with `mpi`, which the machine that checks changes makes of fvc-nn only.
#[cfg(feature = "mpi")]
#[test]
fn two_processes_give_the_scores_of_one() {
    use std::process::Command;

    use crate::footage::{can_make_footage, corpus};

    if !can_make_footage("two_processes_give_the_scores_of_one") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    corpus(&folder.path().join("corpus"), 6);
    let options = "[augment]\nvariants = 0\n[scale]\nsizes = [\"48max\"]\n[split]\nfolds = 2\n\
                   test_fraction = 0\n[train]\ninner_folds = 2\nbootstrap_draws = 100\n\
                   models = [\"variable_ar_cnn\"]\n[train.parameters.variable_ar_cnn]\nepochs = 2\n\
                   configuration = \"small\"\nframes = 4\ndropout = 0.0\nprecision = \"f32\"\n";
    for (name, batch, accumulation) in [("one.toml", 4, 1), ("two.toml", 2, 2)] {
        let text = format!("{options}batch = {batch}\naccumulation = {accumulation}\n");
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let ask = |ranks: &[&str], arguments: &[&str]| {
        let own = fvc();
        let mut command = match ranks.first() {
            None => Command::new(own.get_program()),
            Some(launcher) => Command::new(launcher),
        };
        if let Some(options) = ranks.get(1..) {
            command.args(options).arg(own.get_program());
        }
        command.envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_plm", "isolated"),
            ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
            ("OMP_NUM_THREADS", "1"),
        ]);
        command.current_dir(folder.path()).args(["--quiet", "-w", "ws", "--json"]).args(arguments);
        let (code, out, err) = told(&command.output().unwrap());
        assert_eq!(code, 0, "{out}{err}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    ask(&[], &["--config", "one.toml", "index", "corpus/corpus.csv"]);
    ask(&[], &["--config", "one.toml", "run", "--stages", "1-4"]);
    let margins = |made: &serde_json::Value| -> Vec<f64> {
        let rows = &made["train"]["models"][0]["cross_validation"]["predictions"];
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["margin"].as_f64().unwrap()).collect()
    };
    let one = ask(&[], &["--config", "one.toml", "train"]);
    // What is printed is one object: of two processes that print, it would be none.
    let two = ask(&["mpirun", "-n", "2"], &["--config", "two.toml", "train"]);
    let (one, of_two) = (margins(&one), margins(&two));
    assert_eq!((one.len(), of_two.len()), (12, 12));
    for (one, two) in one.iter().zip(&of_two) {
        assert!((one - two).abs() < 1e-3, "{one} {two}");
    }
    let run = folder.path().join(two["train"]["run"].as_str().unwrap()).join("run.json");
    let record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(run).unwrap()).unwrap();
    assert_eq!(record["machine"]["processes"], 2);
}
