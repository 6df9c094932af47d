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

/// Tests with processes under a real `mpirun`. In a build with `mpi`, which the machine that checks changes makes
/// of fvc-nn only.
#[cfg(feature = "mpi")]
mod under_mpirun {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::footage::{can_make_footage, corpus, fvc, told};

    /// A corpus whose clips are made, and settings of one network under this name.
    fn prepared(folder: &Path) {
        corpus(&folder.join("corpus"), 6);
        configuration(folder, "stages.toml", 2, 1, 2);
        for arguments in [&["index", "corpus/corpus.csv"][..], &["run", "--stages", "1-4"]] {
            let mut command = launch(folder, &[]);
            command.args(["--config", "stages.toml"]).args(arguments);
            let (code, out, err) = told(&command.output().unwrap());
            assert_eq!(code, 0, "{out}{err}");
        }
    }

    fn configuration(folder: &Path, name: &str, batch: u32, accumulation: u32, epochs: u32) {
        let text = format!(
            "[augment]\nvariants = 0\n[scale]\nsizes = [\"48max\"]\n[split]\nfolds = 2\n\
             test_fraction = 0\n[train]\ninner_folds = 2\nbootstrap_draws = 100\n\
             models = [\"variable_ar_cnn\"]\n[train.parameters.variable_ar_cnn]\nepochs = {epochs}\n\
             patience = {epochs}\nconfiguration = \"small\"\nframes = 4\ndropout = 0.0\n\
             precision = \"f32\"\nbatch = {batch}\naccumulation = {accumulation}\n\
             [train.parameters.vit_transformer]\nepochs = {epochs}\nconfiguration = \"small\"\n\
             depth = 1\nframes = 4\nprecision = \"f32\"\nbatch = {batch}\n\
             accumulation = {accumulation}\n"
        );
        std::fs::write(folder.join(name), text).unwrap();
    }

    /// The program in this folder, by this launcher where there is one.
    fn launch(folder: &Path, launcher: &[&str]) -> Command {
        let own = fvc();
        let mut command = match launcher {
            [] => Command::new(own.get_program()),
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(own.get_program());
                command
            }
        };
        command.envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_plm", "isolated"),
            ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
            ("OMP_NUM_THREADS", "1"),
        ]);
        command.current_dir(folder).args(["--quiet", "-w", "ws", "--json"]);
        command
    }

    fn trained(folder: &Path, launcher: &[&str], arguments: &[&str]) -> serde_json::Value {
        let ended = launch(folder, launcher).args(arguments).output();
        let (code, out, err) = told(&ended.unwrap());
        assert_eq!(code, 0, "{out}{err}");
        // What is printed is one object: of two processes that print, it would be none.
        serde_json::from_str(&out).unwrap()
    }

    fn margins(made: &serde_json::Value) -> Vec<f64> {
        let rows = &made["train"]["models"][0]["cross_validation"]["predictions"];
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["margin"].as_f64().unwrap()).collect()
    }

    fn assert_alike(one: &serde_json::Value, other: &serde_json::Value) {
        let (one, other) = (margins(one), margins(other));
        assert_eq!((one.len(), other.len()), (12, 12));
        for (one, other) in one.iter().zip(&other) {
            assert!((one - other).abs() < 1e-3, "{one} {other}");
        }
    }

    /// Two processes give the scores of one that has twice their batch; rank 0 alone prints and writes.
    #[test]
    fn two_processes_give_the_scores_of_one() {
        if !can_make_footage("two_processes_give_the_scores_of_one") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        prepared(folder);
        configuration(folder, "one.toml", 4, 1, 2);
        configuration(folder, "two.toml", 2, 2, 2);
        let one = trained(folder, &[], &["--config", "one.toml", "train"]);
        let two = trained(folder, &["mpirun", "-n", "2"], &["--config", "two.toml", "train"]);
        assert_alike(&one, &two);
        let run = folder.join(two["train"]["run"].as_str().unwrap()).join("run.json");
        let record: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(run).unwrap()).unwrap();
        assert_eq!(record["machine"]["processes"], 2);
    }

    /// Three processes that share one vision transformer, a head of three each, give the scores of one; two
    /// cannot.
    #[test]
    fn processes_that_share_a_network_give_the_scores_of_one() {
        if !can_make_footage("processes_that_share_a_network_give_the_scores_of_one") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        prepared(folder);
        configuration(folder, "vit.toml", 2, 2, 2);
        let train = ["--config", "vit.toml", "train", "--model-types", "vit_transformer"];
        let one = trained(folder, &[], &train);
        // What is trained already would be taken over.
        std::fs::remove_dir_all(folder.join("ws/networks")).unwrap();
        let shared = [&train[..], &["--tensor-parallel", "3"]].concat();
        let two = launch(folder, &["mpirun", "-n", "2"]).args(&shared).output().unwrap();
        let (code, _, err) = told(&two);
        let said = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_ne!(code, 0, "{said}");
        assert!(said.contains("a divisor of the number of ranks, which is 2, found 3"), "{said}");
        let three = trained(folder, &["mpirun", "-n", "3"], &shared);
        assert_alike(&one, &three);
    }

    /// The process of this rank among those that a launcher started.
    fn process_of(rank: u32, launcher: u32) -> Option<u32> {
        let parent = format!("PPid:\t{launcher}\n");
        let own = format!("OMPI_COMM_WORLD_RANK={rank}");
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let mut numbers =
            numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        numbers.find(|number| {
            let status = std::fs::read_to_string(format!("/proc/{number}/status"));
            let variables = std::fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
            status.is_ok_and(|status| status.contains(&parent))
                && variables.split(|&byte| byte == 0).any(|word| word == own.as_bytes())
        })
    }

    /// A rank that is killed in mid-training ends all, with an error that names it; the training goes on from
    /// its checkpoint.
    #[test]
    fn a_killed_process_is_named_and_ends_the_others() {
        if !can_make_footage("a_killed_process_is_named_and_ends_the_others") {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        prepared(folder);
        // Long enough that it cannot have ended by itself.
        configuration(folder, "long.toml", 2, 1, 2000);
        let mut child = launch(folder, &["mpirun", "-n", "2"])
            .args(["--config", "long.toml", "train"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(folder.join("said")).unwrap()))
            .spawn()
            .unwrap();
        let said = || std::fs::read_to_string(folder.join("said")).unwrap();
        let start = Instant::now();
        let checkpoint = || {
            let trainings = std::fs::read_dir(folder.join("ws/networks")).into_iter().flatten();
            trainings.flatten().any(|own| own.path().join("checkpoint.safetensors").is_file())
        };
        while !checkpoint() {
            assert!(child.try_wait().unwrap().is_none(), "{}", said());
            assert!(start.elapsed() < Duration::from_secs(120), "{}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
        let processes = [0, 1].map(|rank| process_of(rank, child.id()).unwrap());
        let killed = Command::new("kill").args(["-9", &processes[1].to_string()]).status();
        assert!(killed.unwrap().success());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the others hang: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(!status.success());
        let said = said();
        assert!(said.contains("rank 1") && said.contains("signal 9"), "{said}");
        // One that nobody has asked how it ended still has a number.
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", processes[0]));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        while lives() {
            assert!(start.elapsed() < Duration::from_secs(60), "rank 0 lives on: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(checkpoint());
    }
}
