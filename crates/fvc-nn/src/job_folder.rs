//! [`JobFile`]: one training as a folder that any process can work on: what is learnt from and how, where
//! the clips lie, and what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::backend::{Autodiff, Flex};
use fvc_clips::write_atomically;
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::{
    Alone, ClipFile, ClipSource, Collective, Device, Devices, EpochRecord, EventFile, MetricsLog,
    NetworkError, StoredClips, ThreadRank, Trained, TrainerConfig, TrainingEvent, TrainingJob,
    WeightReport, Weights, train_together,
};

const JOB: &str = "job.json";
const TRAINED: &str = "trained.json";
const WEIGHTS: &str = "weights.safetensors";
/// How long a rank is waited for where nothing else is said, in seconds: longer than the slowest step and
/// the largest checkpoint, shorter than a night.
pub const RANK_PATIENCE: u64 = 1800;

/// `job.json`: what a process that trains is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobFile {
    /// What its numbers are logged under: the run and the fit in it.
    pub name: String,
    /// The training.
    pub job: TrainingJob,
    /// Where the clips lie; from the job's folder, if it is no absolute path.
    pub clips_root: PathBuf,
    /// The clips.
    pub clip_files: Vec<ClipFile>,
    /// Kinds that variants are drawn from which have no file. Only a process that can draw them can work on
    /// a job with such variants.
    pub kinds: Vec<String>,
    /// Weights to begin from; from the job's folder, if it is no absolute path.
    pub weights: Option<PathBuf>,
    /// Where it is computed: a rank a device.
    pub devices: Devices,
    /// Seconds after which a rank that does not come is given up.
    pub rank_patience: u64,
    /// Ranks that share each replica of the network.
    #[serde(default = "one")]
    pub tensor_parallel: usize,
}

/// Of jobs that were written before replicas could be shared.
fn one() -> usize {
    1
}

/// `trained.json`: what a training leaves beside the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedFile {
    /// How it was trained in the end: batches are smaller than asked for where memory did not suffice.
    pub trainer: TrainerConfig,
    /// BLAKE3 of the weights' file.
    pub weights_hash: String,
    /// Numbers in it.
    pub parameters: usize,
    /// The epoch that they are of, from 1.
    pub best_epoch: u64,
    /// Every epoch.
    pub records: Vec<EpochRecord>,
    /// Log odds of the held-out sources.
    pub validation: Vec<(ContentId, f64)>,
    /// What became of the weights to begin from.
    pub report: Option<WeightReport>,
    /// The most memory that the process had, in MiB, where the system tells it. With several ranks, of the
    /// first one's process.
    #[serde(default)]
    pub peak_mib: Option<u64>,
}

/// The most memory that this process had, in MiB, rounded up; none where the system does not tell.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

/// What a rank leaves when it ends: the network, where it is the first.
type Outcome = Result<(Trained, Option<WeightReport>), NetworkError>;

#[allow(clippy::needless_pass_by_value, reason = "errors, as they are found")]
fn wrong(path: &Path, expected: &str, found: impl ToString) -> NetworkError {
    NetworkError::File {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.to_string(),
    }
}

fn io(path: &Path, source: std::io::Error) -> NetworkError {
    NetworkError::Io { path: path.to_owned(), source }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), NetworkError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
    write_atomically(path, &bytes).map_err(|source| io(path, source))
}

impl JobFile {
    /// The job of a folder.
    ///
    /// # Errors
    /// There is none, or it is none of this version.
    pub fn read(folder: &Path) -> Result<Self, NetworkError> {
        let path = folder.join(JOB);
        let bytes =
            fs::read(&path).map_err(|error| wrong(&path, "the job of a training", error))?;
        Self::of_bytes(&bytes).map_err(|error| wrong(&path, "the job of a training", error))
    }

    /// A job from its bytes.
    ///
    /// # Errors
    /// It is none of this version.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        serde_json::from_slice(bytes)
            .map_err(|error| NetworkError::Internal { what: format!("a job: {error}") })
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// None that are known.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkError> {
        serde_json::to_vec(self).map_err(|error| NetworkError::Internal { what: error.to_string() })
    }

    /// Makes it the job of a folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), NetworkError> {
        write_json(&folder.join(JOB), self)
    }

    /// Where a training in `folder` leaves what it gave, but the weights.
    pub fn trained_file(folder: &Path) -> PathBuf {
        folder.join(TRAINED)
    }

    /// Where the weights of a training in `folder` are.
    pub fn weights_file(folder: &Path) -> PathBuf {
        folder.join(WEIGHTS)
    }

    /// What a training in `folder` has left, if it was this one, ended, and its weights are those that it
    /// wrote.
    pub fn finished(&self, folder: &Path) -> Option<TrainedFile> {
        let known = Self::read(folder).ok()?;
        let trained: TrainedFile =
            serde_json::from_slice(&fs::read(folder.join(TRAINED)).ok()?).ok()?;
        let weights = fs::read(folder.join(WEIGHTS)).ok()?;
        let same = known.job.hash().ok()? == self.job.hash().ok()?
            && blake3::hash(&weights).to_hex().as_str() == trained.weights_hash;
        same.then_some(trained)
    }

    /// The clips that have a file.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn stored_clips(&self, folder: &Path) -> Result<StoredClips, NetworkError> {
        StoredClips::open(&folder.join(&self.clips_root), &self.clip_files)
    }

    /// Trains in this process, by a thread a device, and leaves in `folder` what [`JobFile::finished`] finds.
    ///
    /// # Errors
    /// As [`train_together`]; of several ranks that fail, what made the others fail.
    pub fn train(
        &self,
        folder: &Path,
        clips: &Arc<dyn ClipSource>,
        cancel: &AtomicBool,
        on_event: &mut (dyn FnMut(&TrainingEvent) + Send),
    ) -> Result<(), NetworkError> {
        let devices = self.devices.all();
        self.check_ranks(devices.len())?;
        let ranks: Vec<Box<dyn Collective>> = if devices.len() == 1 {
            vec![Box::new(Alone)]
        } else {
            let team = ThreadRank::team(devices.len(), Duration::from_secs(self.rank_patience));
            team.into_iter().map(|rank| Box::new(rank) as Box<dyn Collective>).collect()
        };
        let mut ranks = ranks.into_iter().zip(devices).enumerate();
        let Some((_, (first, first_device))) = ranks.next() else {
            return Err(NetworkError::setting("devices", "one at least", "none"));
        };
        let mut outcomes = std::thread::scope(|scope| {
            let others: Vec<_> = ranks
                .map(|(number, (rank, device))| {
                    let own = move || {
                        let of_rank =
                            || self.train_rank(folder, clips, cancel, None, &*rank, *device);
                        self.with_share(of_rank).and_then(|outcome| outcome)
                    };
                    std::thread::Builder::new()
                        .name(format!("rank {number}"))
                        .spawn_scoped(scope, own)
                })
                .collect();
            let own =
                || self.train_rank(folder, clips, cancel, Some(on_event), &*first, *first_device);
            let own = self.with_share(own).and_then(|outcome| outcome);
            if let Err(error) = &own {
                first.abort(&error.to_string());
            }
            drop(first);
            let mut outcomes = vec![own];
            outcomes.extend(others.into_iter().map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| {
                    Err(NetworkError::Internal {
                        what: "the thread of a rank has ended".to_owned(),
                    })
                }),
                Err(source) => Err(io(Path::new("the thread of a rank"), source)),
            }));
            outcomes
        });
        // Those that were only told of a fault say less than who had it.
        let at = outcomes
            .iter()
            .position(
                |outcome| matches!(outcome, Err(error) if !matches!(error, NetworkError::Ranks(_))),
            )
            .or_else(|| outcomes.iter().position(Result::is_err));
        match at {
            Some(at) => outcomes.swap_remove(at).map(drop),
            None => outcomes
                .swap_remove(0)
                .and_then(|(trained, report)| self.leave(folder, trained, report)),
        }
    }

    /// Trains as one rank among processes; rank 0 leaves the result.
    ///
    /// # Errors
    /// As [`train_together`].
    pub fn train_as_rank(
        &self,
        folder: &Path,
        clips: &Arc<dyn ClipSource>,
        cancel: &AtomicBool,
        on_event: Option<&mut (dyn FnMut(&TrainingEvent) + Send)>,
        collective: &dyn Collective,
        local_rank: u32,
    ) -> Result<(), NetworkError> {
        let device = match self.devices.all() {
            [Device::Cpu] => Device::Cpu,
            [Device::Cuda(None)] => Device::Cuda(Some(local_rank)),
            _ => {
                let expected = "cpu, or cuda without a number: every process has its own";
                return Err(NetworkError::setting("devices", expected, &self.devices));
            }
        };
        Devices::from(device).check()?;
        let (trained, report) =
            self.train_rank(folder, clips, cancel, on_event, collective, device)?;
        if collective.rank() == 0 {
            self.leave(folder, trained, report)?;
        }
        Ok(())
    }

    /// Checks that so many ranks make up whole replicas of the network.
    ///
    /// # Errors
    /// They do not, or the network cannot be shared like that.
    pub fn check_ranks(&self, ranks: usize) -> Result<(), NetworkError> {
        self.job.network.check_tensor_parallel(self.tensor_parallel, ranks)
    }

    /// Runs one rank on its share of the processors: threads of all of them on every one of them would take
    /// turns.
    fn with_share<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        let count = self.devices.count();
        if count == 1 {
            return Ok(work());
        }
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads((all / count).max(1))
            .build()
            .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
        Ok(pool.install(work))
    }

    fn train_rank(
        &self,
        folder: &Path,
        clips: &Arc<dyn ClipSource>,
        cancel: &AtomicBool,
        on_event: Option<&mut (dyn FnMut(&TrainingEvent) + Send)>,
        collective: &dyn Collective,
        device: Device,
    ) -> Outcome {
        let first = match &self.weights {
            None => None,
            Some(path) => Some(Weights::read(&folder.join(path))?.for_network(&self.job.network)),
        };
        let Some(on_event) = on_event else {
            let job = &self.job;
            return on_device(
                job,
                first.as_ref(),
                clips,
                device,
                folder,
                cancel,
                &mut |_| {},
                collective,
                self.tensor_parallel,
            );
        };
        let mut log = MetricsLog::open(folder, &self.name, true);
        let mut events = EventFile::create(folder)?;
        // A log that cannot be written is told once the training has its result, which is worth more.
        let mut fault = None;
        let mut tell = |event: &TrainingEvent| {
            let mut keep = |result: Result<(), NetworkError>| {
                if let Err(error) = result {
                    fault.get_or_insert(error);
                }
            };
            keep(log.tell(event));
            match event {
                TrainingEvent::Resumed { epoch, .. } => keep(events.resumed(*epoch)),
                TrainingEvent::Epoch(record) => keep(events.epoch(record)),
                TrainingEvent::Step { .. } => {}
            }
            on_event(event);
        };
        let outcome = on_device(
            &self.job,
            first.as_ref(),
            clips,
            device,
            folder,
            cancel,
            &mut tell,
            collective,
            self.tensor_parallel,
        )?;
        log.complete(&outcome.0.records)?;
        match fault {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }

    fn leave(
        &self,
        folder: &Path,
        trained: Trained,
        report: Option<WeightReport>,
    ) -> Result<(), NetworkError> {
        let weights = folder.join(WEIGHTS);
        trained.weights.write(&weights, "trained weights")?;
        let bytes = fs::read(&weights).map_err(|source| io(&weights, source))?;
        let result = TrainedFile {
            trainer: self.job.trainer.clone(),
            weights_hash: blake3::hash(&bytes).to_hex().to_string(),
            parameters: trained.weights.count(),
            best_epoch: trained.best_epoch,
            records: trained.records,
            validation: trained.validation,
            report,
            peak_mib: peak_mib(),
        };
        write_json(&folder.join(TRAINED), &result)
    }
}

#[allow(clippy::too_many_arguments, reason = "those of train_together")]
fn on_device(
    job: &TrainingJob,
    first: Option<&Weights>,
    clips: &Arc<dyn ClipSource>,
    device: Device,
    folder: &Path,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(&TrainingEvent),
    collective: &dyn Collective,
    tensor_parallel: usize,
) -> Outcome {
    match device {
        Device::Cpu => train_together::<Autodiff<Flex>>(
            job,
            first,
            clips,
            &burn::backend::flex::FlexDevice,
            folder,
            cancel,
            on_event,
            collective,
            tensor_parallel,
        ),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => train_together::<Autodiff<burn::backend::Cuda>>(
            job,
            first,
            clips,
            &burn::backend::cuda::CudaDevice::new(number.unwrap_or(0) as usize),
            folder,
            cancel,
            on_event,
            collective,
            tensor_parallel,
        ),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Devices::from(device).check().and_then(|()| {
            Err(NetworkError::Internal { what: format!("{device} in a build without CUDA") })
        }),
    }
}
