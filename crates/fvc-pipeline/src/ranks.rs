//! Processes that `mpirun` or `srun` started and that train networks together: rank 0 runs the pipeline and
//! alone writes; the others wait until it has a training for all.

use crate::PipelineError;

/// What a launcher says of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// How many processes it started.
    pub ranks: usize,
    /// The variable that says so.
    pub variable: &'static str,
}

/// The variables by which launchers tell how many processes they started: Open MPI's, that of MPICH and
/// its kin, Slurm's for the processes of one step. What Slurm says of a job is not among them: a script
/// with one `fvc` in it is one process, however many tasks it asked for.
const VARIABLES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];

/// Whether this process is one of several that were started for one command.
pub fn launched() -> Option<Launched> {
    VARIABLES
        .into_iter()
        .find_map(|variable| {
            let ranks = std::env::var(variable).ok()?.trim().parse::<usize>().ok()?;
            Some(Launched { ranks, variable })
        })
        // The first that is there speaks: mpirun -n 1 inside of a step is one process.
        .filter(|launched| launched.ranks > 1)
}

/// Says that a build which cannot train by several processes shall not be started as several: each would
/// train the same in the same folder.
#[cfg(not(feature = "mpi"))]
pub(crate) fn refuse(launched: Launched) -> PipelineError {
    PipelineError::Config {
        path: None,
        problem: format!(
            "processes that train: expected one of this build, found {} ({}): build with `--features \
             mpi`, or start one",
            launched.ranks, launched.variable
        ),
    }
}

#[cfg(not(feature = "mpi"))]
pub use without::Ranks;

#[cfg(not(feature = "mpi"))]
mod without {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::{Launched, PipelineError, refuse};

    /// There are none in this build.
    #[derive(Debug)]
    pub enum Ranks {}

    impl Ranks {
        /// Joins the others.
        ///
        /// # Errors
        /// Always: this build trains by one process.
        pub fn join(launched: Launched) -> Result<Self, PipelineError> {
            Err(refuse(launched))
        }

        /// Whether this one runs the pipeline.
        pub fn is_first(&self) -> bool {
            match *self {}
        }

        /// Trains with the others whenever the first one has something for all.
        ///
        /// # Errors
        /// A training failed.
        pub fn serve(&self, _cancel: &Arc<AtomicBool>) -> Result<(), PipelineError> {
            match *self {}
        }

        /// Ends the others, as this one ends: well, or with the code of an error.
        pub fn end(self, _code: u8) {
            match self {}
        }
    }
}

#[cfg(feature = "mpi")]
pub use with::Ranks;
#[cfg(feature = "mpi")]
pub(crate) use with::{team, train};

/// How many processes train together.
pub(crate) fn count() -> usize {
    #[cfg(feature = "mpi")]
    return team().map_or(1, with::Team::size);
    #[cfg(not(feature = "mpi"))]
    1
}

#[cfg(feature = "mpi")]
mod with {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use fvc_learn::LearnError;
    use fvc_nn::{Collective, JobFile, MpiRank, MpiWorld, NetworkError};
    use serde::{Deserialize, Serialize};

    use super::{Launched, PipelineError};
    use crate::network_child::{ChildEnd, Line, by_settings};
    use crate::replayed_clips::clips_of;

    /// How long a rank that failed leaves the first one to write down why.
    const LAST_WORDS: Duration = Duration::from_secs(10);

    /// What the first rank says to the others between trainings.
    #[derive(Serialize, Deserialize)]
    enum Order {
        Train { folder: PathBuf, job: Box<JobFile> },
        Over,
    }

    /// The processes of this run, as long as there is a run: MPI has one world in a process.
    static TEAM: OnceLock<Team> = OnceLock::new();

    #[derive(Debug)]
    pub(crate) struct Team {
        /// Waits for orders as long as it takes: stages 1 to 4 of rank 0 may be hours.
        orders: MpiRank,
        local_rank: u32,
    }

    pub(crate) fn team() -> Option<&'static Team> {
        TEAM.get()
    }

    fn failed(error: &dyn ToString) -> PipelineError {
        PipelineError::Learn(LearnError::Network {
            model: "networks",
            problem: error.to_string(),
            by_settings: false,
        })
    }

    impl Team {
        pub(crate) fn size(&self) -> usize {
            self.orders.size()
        }

        fn order(&self, own: Option<&Order>) -> Result<Order, NetworkError> {
            let internal =
                |error: serde_json::Error| NetworkError::Internal { what: error.to_string() };
            let own = own.map(serde_json::to_vec).transpose().map_err(internal)?;
            let told = self.orders.from_first(&own.unwrap_or_default())?;
            serde_json::from_slice(&told).map_err(internal)
        }

        /// One training, as this rank.
        fn work(
            &self,
            folder: &Path,
            job: &JobFile,
            cancel: &AtomicBool,
            on_line: Option<&mut (dyn FnMut(Line) + Send)>,
        ) -> Result<(), NetworkError> {
            let rank = self.orders.with_patience(Duration::from_secs(job.rank_patience))?;
            // What fails before the training begins is told to the others too.
            let told = |error: NetworkError| {
                rank.abort(&error.to_string());
                error
            };
            let clips = clips_of(job, folder).map_err(told)?;
            let ended = match on_line {
                None => job.train_as_rank(folder, &clips, cancel, None, &rank, self.local_rank),
                Some(on_line) => job.train_as_rank(
                    folder,
                    &clips,
                    cancel,
                    Some(&mut |event| {
                        if let Some(line) = Line::of(event) {
                            on_line(line);
                        }
                    }),
                    &rank,
                    self.local_rank,
                ),
            };
            match ended {
                Err(NetworkError::Cancelled) => Err(NetworkError::Cancelled),
                ended => ended.map_err(told),
            }
        }
    }

    /// Trains by all ranks, rank 0 being this one, and waits until they have.
    pub(crate) fn train(
        team: &Team,
        folder: &Path,
        job: &JobFile,
        cancel: &AtomicBool,
        on_line: &mut dyn FnMut(&Line),
    ) -> Result<ChildEnd, NetworkError> {
        let io = |source| NetworkError::Io { path: folder.to_owned(), source };
        let folder = std::path::absolute(folder).map_err(io)?;
        job.write(&folder)?;
        let order = Order::Train { folder: folder.clone(), job: Box::new(job.clone()) };
        team.order(Some(&order))?;
        let (send, lines) = std::sync::mpsc::channel();
        let ended = std::thread::scope(|scope| {
            let (folder, job) = (&folder, &job);
            let thread = std::thread::Builder::new()
                .name("rank 0".to_owned())
                .spawn_scoped(scope, move || {
                    team.work(folder, job, cancel, Some(&mut |line| drop(send.send(line))))
                });
            let thread = thread.map_err(io)?;
            for line in lines {
                on_line(&line);
            }
            thread.join().unwrap_or_else(|_| {
                Err(NetworkError::Internal { what: "the thread of rank 0 has ended".to_owned() })
            })
        });
        match ended {
            Ok(()) => match job.finished(&folder) {
                Some(trained) => Ok(ChildEnd::Trained(Box::new(trained))),
                None => Err(NetworkError::Internal {
                    what: format!("a training in {} ended without weights", folder.display()),
                }),
            },
            Err(NetworkError::Cancelled) => Ok(ChildEnd::Stopped),
            Err(error) => Ok(ChildEnd::Failed {
                problem: error.to_string(),
                by_settings: by_settings(&error),
            }),
        }
    }

    /// This process as one of several.
    #[derive(Debug)]
    pub struct Ranks {
        world: MpiWorld,
        team: &'static Team,
    }

    impl Ranks {
        /// Joins the others.
        ///
        /// # Errors
        /// MPI does not know of as many processes as the launcher started: each would train alone.
        pub fn join(launched: Launched) -> Result<Self, PipelineError> {
            let world = MpiWorld::join().map_err(|error| failed(&error))?;
            if world.size() != launched.ranks {
                return Err(PipelineError::Config {
                    path: None,
                    problem: format!(
                        "processes that train: expected {} ({}), found {} that MPI knows of: start them \
                         by the mpirun of the MPI that this program was built with, or by `srun \
                         --mpi=pmix`",
                        launched.ranks,
                        launched.variable,
                        world.size()
                    ),
                });
            }
            let orders = world.channel(None).map_err(|error| failed(&error))?;
            let local_rank = u32::try_from(world.local_rank()).unwrap_or(0);
            let team = TEAM.get_or_init(|| Team { orders, local_rank });
            Ok(Self { world, team })
        }

        /// Whether this one runs the pipeline.
        pub fn is_first(&self) -> bool {
            self.world.rank() == 0
        }

        /// Trains with the others whenever the first one has something for all.
        ///
        /// # Errors
        /// A training failed; the others know.
        pub fn serve(&self, cancel: &Arc<AtomicBool>) -> Result<(), PipelineError> {
            loop {
                match self.team.order(None).map_err(|error| failed(&error))? {
                    Order::Over => return Ok(()),
                    Order::Train { folder, job } => {
                        match self.team.work(&folder, &job, cancel, None) {
                            // The first one has stopped too, and says what comes now.
                            Ok(()) | Err(NetworkError::Cancelled) => {}
                            Err(error) => {
                                let (rank, size) = (self.world.rank(), self.team.size());
                                return Err(failed(&format!("rank {rank} of {size}: {error}")));
                            }
                        }
                    }
                }
            }
        }

        /// Ends the others, as this one ends: well, or with the code of an error.
        pub fn end(self, code: u8) {
            // Some inputs failed, which every rank survives.
            let went_well = code == 0 || code == 3;
            if self.is_first() && went_well && self.team.order(Some(&Order::Over)).is_ok() {
                return;
            }
            if !self.is_first() {
                if went_well {
                    return;
                }
                // The first one ends all, once it has written down what happened.
                std::thread::sleep(LAST_WORDS);
            }
            self.world.end_all(i32::from(code))
        }
    }
}
