//! A build that trains by one process, started as one of several.

use crate::footage::{fvc, told};

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
    let one: [(&[(&str, &str)], &[&str]); 5] = [
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
