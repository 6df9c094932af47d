//! [`NetworkTraining`]: networks in stage 5, from the clip store to a detector.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fvc_augment::Draw;
use fvc_clips::{ClipStore, SizeSpec};
use fvc_corpus::{Label, TrainView};
use fvc_learn::{ClipEstimator, ClipFit, ClipReading, LearnError, ModelKind};
use fvc_media::ContentId;
use fvc_nn::{
    ClipFile, ClipKey, ClipSource, Device, JobFile, MlflowRun, MlflowStatus, NetworkError,
    NetworkReader, NetworkSettings, Precision, SavedNetwork, Source, StoredClips, TrainedFile,
    TrainingJob, TrainingShape,
};

use crate::lock::Lock;
use crate::network_child::{ChildEnd, Line, run_child};
use crate::plan::{clip_name, draws};
use crate::replayed_clips::clips_of;
use crate::stages::Environment;
use crate::{Config, Output, PipelineError, Unit, UnitState};

/// What the networks of a run read: where clips of one size lie.
pub(crate) struct NetworkTraining<'a> {
    environment: &'a Environment<'a>,
    kind: ModelKind,
    settings: NetworkSettings,
    size: SizeSpec,
    clip_files: Vec<ClipFile>,
    clips: Arc<dyn ClipSource>,
    reader: NetworkClips,
    /// What the run is called, for logs and trackers.
    run: String,
    /// Fits of this run and the folders of their trainings, which nobody removes while they are held.
    folders: RefCell<Vec<(String, PathBuf, Lock)>>,
    notes: RefCell<Vec<String>>,
    /// What was shown of trackers: the same of every fit is said once.
    told: RefCell<BTreeSet<String>>,
}

/// Lets saved networks score the sources of the clip store.
pub(crate) struct NetworkClips {
    kind: ModelKind,
    reader: NetworkReader,
}

impl ClipReading<SavedNetwork> for NetworkClips {
    fn log_odds(
        &self,
        model: &SavedNetwork,
        sources: &[ContentId],
    ) -> Result<Vec<f64>, LearnError> {
        self.reader.score(model, sources).map_err(|error| learn_error(self.kind, error))
    }
}

/// A network's error in the words of stage 5.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn learn_error(kind: ModelKind, error: NetworkError) -> LearnError {
    if matches!(error, NetworkError::Cancelled) {
        return LearnError::Cancelled;
    }
    let by_settings = matches!(
        error,
        NetworkError::Setting { .. } | NetworkError::Memory { .. } | NetworkError::Device { .. }
    );
    LearnError::Network { model: kind.name(), problem: error.to_string(), by_settings }
}

/// The settings of a network, and the size of its clips.
///
/// # Errors
/// A parameter is not in order, or the size is none of those that stage 3 makes.
pub(crate) fn settings_of(
    config: &Config,
    kind: ModelKind,
) -> Result<(NetworkSettings, SizeSpec), PipelineError> {
    let own = config.train.settings(kind);
    let settings = NetworkSettings::of(kind, &own.parameters, own.seed).map_err(|error| {
        PipelineError::Config { path: None, problem: format!("{kind}: {error}") }
    })?;
    let one_each = match settings.devices.all() {
        [device] => matches!(device, Device::Cpu | Device::Cuda(None)),
        _ => false,
    };
    if crate::ranks::count() > 1 && !one_each {
        let problem = format!(
            "device of {kind}: expected cpu, or cuda without a number (each process takes that of its \
             number on its machine), found {}",
            settings.devices
        );
        return Err(PipelineError::Config { path: None, problem });
    }
    // How many ranks there are is known here only.
    let ranks = crate::ranks::count() * settings.devices.count();
    settings.network.check_tensor_parallel(settings.tensor_parallel, ranks).map_err(|error| {
        PipelineError::Config { path: None, problem: format!("{kind}: {error}") }
    })?;
    let sizes = config.scale.frame_sizes();
    let size = match &settings.size {
        None => sizes.first().copied(),
        Some(name) => sizes.iter().copied().find(|size| size.to_string() == *name),
    };
    let Some(size) = size else {
        let names: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        let problem = format!(
            "size of {kind}: expected one of scale.sizes ({}), found {}",
            names.join(", "),
            settings.size.unwrap_or_default()
        );
        return Err(PipelineError::Config { path: None, problem });
    };
    Ok((settings, size))
}

/// The files of all clips of a size, of these sources and their variants.
fn clip_files(
    environment: &Environment<'_>,
    size: SizeSpec,
    sources: &mut dyn Iterator<Item = ContentId>,
) -> Result<Vec<ClipFile>, PipelineError> {
    let config = environment.config;
    let mut files = Vec::new();
    for content_id in sources {
        let path = environment.workspace.unit(&content_id);
        let lacking = || PipelineError::NotReady {
            missing: format!("Source {content_id} has no clip of size {size}"),
            instead: "run `fvc run --stages 1-4` or `fvc scale` with the same settings first"
                .to_owned(),
        };
        let UnitState::Whole(unit) = Unit::load(&path, &content_id)? else {
            return Err(lacking());
        };
        let own_draws = draws(config, &content_id)?;
        for draw in std::iter::once(None).chain(own_draws.iter().map(Some)) {
            let name = clip_name(config, size, draw)?;
            let variant = draw.map_or(0, |draw| draw.variant);
            match unit.outputs.get(&name) {
                Some(Output::Clip(entry)) => files.push(ClipFile {
                    key: ClipKey { content_id, variant },
                    path: PathBuf::from(&entry.path),
                }),
                _ if variant == 0 => return Err(lacking()),
                // A transcode that was not kept is not learnt from; the others are drawn again.
                _ => {}
            }
        }
    }
    Ok(files)
}

impl<'a> NetworkTraining<'a> {
    /// For one model of a run over these sources.
    ///
    /// # Errors
    /// A setting is not in order, or a source has no clip.
    pub(crate) fn new(
        environment: &'a Environment<'a>,
        kind: ModelKind,
        run: &str,
        sources: &mut dyn Iterator<Item = ContentId>,
    ) -> Result<Self, PipelineError> {
        let (settings, size) = settings_of(environment.config, kind)?;
        let clip_files = clip_files(environment, size, sources)?;
        let stored = StoredClips::open(&environment.workspace.clips(), &clip_files)
            .map_err(|error| PipelineError::Learn(learn_error(kind, error)))?;
        let clips: Arc<dyn ClipSource> = Arc::new(stored);
        let reader = NetworkReader::new(Arc::clone(&clips), Arc::clone(&environment.cancel));
        Ok(Self {
            environment,
            kind,
            settings,
            size,
            clip_files,
            clips,
            reader: NetworkClips { kind, reader },
            run: run.to_owned(),
            folders: RefCell::default(),
            notes: RefCell::default(),
            told: RefCell::default(),
        })
    }

    /// Things that a reader of the numbers must know.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        let mut notes = self.notes.take();
        let trainer = &self.settings.trainer;
        if trainer.precision == Precision::F16 && self.settings.devices.are_processors() {
            notes.insert(
                0,
                format!(
                    "{}: f16 is a format of GPUs; processors here have no kernels for it and took many times \
                     as long as in bf16 or f32",
                    self.kind
                ),
            );
        }
        if self.settings.random_backbone {
            notes.insert(
                0,
                format!(
                    "{}: its backbone is meant to be pretrained and began at random \
                     (--random-backbone)",
                    self.kind
                ),
            );
        }
        notes
    }

    /// Copies into the run's folder the weights of a detector, and what its trainings logged:
    /// `<model>/<fit>/metrics.jsonl` and the event file beside it.
    ///
    /// # Errors
    /// They cannot be copied.
    pub(crate) fn keep(&self, saved: &SavedNetwork, folder: &Path) -> Result<(), PipelineError> {
        let io = |path: &Path, source| PipelineError::Io { path: path.to_owned(), source };
        let known = self.folders.borrow();
        let from = known.iter().map(|(_, folder, _)| folder.join(&saved.weights_file));
        let from = from.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            PipelineError::Internal { what: format!("no weights {}", saved.weights_file) }
        })?;
        let to = folder.join(&saved.weights_file);
        fvc_clips::copy_atomically(&from, &to).map_err(|source| io(&to, source))?;
        for (place, training, _) in known.iter() {
            let logs = folder.join(self.kind.name()).join(place);
            fs::create_dir_all(&logs).map_err(|source| io(&logs, source))?;
            for entry in fs::read_dir(training).map_err(|source| io(training, source))? {
                let entry = entry.map_err(|source| io(training, source))?;
                let name = entry.file_name();
                let text = name.to_string_lossy();
                if text == "metrics.jsonl" || text.starts_with("events.out.tfevents") {
                    let to = logs.join(&name);
                    fvc_clips::copy_atomically(&entry.path(), &to)
                        .map_err(|source| io(&to, source))?;
                }
            }
        }
        Ok(())
    }

    /// Removes what the trainings of this run needed to be resumed, unless another run has them too, which
    /// will.
    pub(crate) fn forget(&self) {
        for (_, folder, lock) in self.folders.borrow().iter() {
            // What cannot be removed is removed by the next run or by hand: it is nobody's result.
            if lock.is_alone() {
                drop(fs::remove_dir_all(folder));
            }
        }
    }

    fn tell_once(&self, note: &str) {
        if self.told.borrow_mut().insert(note.to_owned()) {
            self.environment.progress.note(note);
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "for map_err")]
    fn internal(&self, what: impl ToString) -> LearnError {
        learn_error(self.kind, NetworkError::Internal { what: what.to_string() })
    }

    /// The files that one training may read: nothing of a source that it has no business with.
    fn files_of(&self, job: &TrainingJob) -> Vec<ClipFile> {
        let wanted: BTreeMap<ContentId, &[u32]> = job
            .validation
            .iter()
            .chain(&job.training)
            .map(|source| (source.content_id, &source.variants[..]))
            .collect();
        self.clip_files
            .iter()
            .filter(|file| {
                wanted
                    .get(&file.key.content_id)
                    .is_some_and(|variants| variants.contains(&file.key.variant))
            })
            .cloned()
            .collect()
    }

    /// Makes batches smaller where the budget asks for it, by an estimate before the start.
    fn fit_into_memory(&self, job: &mut TrainingJob) -> Result<(), LearnError> {
        let budget_mib = self.settings.memory_mib;
        if budget_mib == 0 {
            return Ok(());
        }
        let fault = |error| learn_error(self.kind, error);
        let mut grid = [job.trainer.frames, 0, 0];
        let mut sizes = BTreeSet::new();
        for source in job.training.iter().chain(&job.validation) {
            let key = ClipKey { content_id: source.content_id, variant: 0 };
            let (width, height) = self.clips.size(&key).map_err(fault)?;
            (grid[1], grid[2]) = (grid[1].max(height), grid[2].max(width));
            sizes.insert((width, height));
        }
        let trainer = &mut job.trainer;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Processors have one memory, of which each rank takes its part; a device has its own.
        let sharing =
            if self.settings.devices.are_processors() { self.settings.devices.count() } else { 1 };
        let budget_mib = budget_mib / sharing as u64;
        let shape = TrainingShape {
            batch: trainer.batch,
            grid,
            precision: trainer.precision,
            block_checkpointing: trainer.block_checkpointing,
            prefetch: trainer.loader.prefetch,
            threads: (threads / sharing).max(1),
            sizes: sizes.len(),
        };
        let batch = job.network.largest_batch(&shape, budget_mib).map_err(fault)?;
        if batch < trainer.batch {
            trainer.accumulation = (trainer.accumulation * trainer.batch).div_ceil(batch);
            let note = format!(
                "{}: batch {} does not fit into {budget_mib} MiB by the estimate; {batch}, and {} batches a \
                 step",
                self.kind, trainer.batch, trainer.accumulation
            );
            trainer.batch = batch;
            let mut notes = self.notes.borrow_mut();
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(())
    }

    /// Whether a variant can be shown: it is stored, or can be drawn again.
    fn can_show(&self, content_id: ContentId, variant: u32) -> bool {
        let config = self.environment.config;
        let stored =
            |file: &ClipFile| file.key.content_id == content_id && file.key.variant == variant;
        variant == 0
            || Draw::for_variant(&content_id, variant, &config.augment.kinds)
                .is_ok_and(|draw| !draw.is_transcode())
            || self.clip_files.iter().any(stored)
    }

    /// What a fit comes to.
    fn job_of(
        &self,
        fit: &TrainView<'_>,
        held_out: &[(ContentId, String, Label)],
        place: &str,
    ) -> Result<JobFile, LearnError> {
        let mut training: BTreeMap<ContentId, Source> = BTreeMap::new();
        for row in fit.rows() {
            if row.variant > 0
                && !(self.settings.variants && self.can_show(row.content_id, row.variant))
            {
                continue;
            }
            training
                .entry(row.content_id)
                .or_insert_with(|| Source {
                    content_id: row.content_id,
                    group: row.group.to_string(),
                    fake: row.label == Label::Fake,
                    variants: Vec::new(),
                })
                .variants
                .push(row.variant);
        }
        let validation = held_out
            .iter()
            .map(|(content_id, group, label)| Source {
                content_id: *content_id,
                group: group.clone(),
                fake: *label == Label::Fake,
                variants: vec![0],
            })
            .collect();
        let mut job = TrainingJob {
            network: self.settings.network.clone(),
            trainer: self.settings.trainer.clone(),
            training: training.into_values().collect(),
            validation,
        };
        if !self.settings.variants {
            job.training.iter_mut().for_each(|source| source.variants = vec![0]);
        }
        self.fit_into_memory(&mut job)?;
        let clip_files = self.files_of(&job);
        // Paths of a job are from its folder, unless they are whole.
        let whole = |path: &Path| {
            std::path::absolute(path).map_err(|source| {
                learn_error(self.kind, NetworkError::Io { path: path.to_owned(), source })
            })
        };
        Ok(JobFile {
            name: format!("{} {} {place}", self.run, self.kind),
            job,
            clips_root: whole(&self.environment.workspace.clips())?,
            clip_files,
            kinds: self.environment.config.augment.kinds.iter().map(ToString::to_string).collect(),
            weights: self.settings.weights.as_deref().map(whole).transpose()?,
            devices: self.settings.devices.clone(),
            rank_patience: self.settings.rank_patience,
            tensor_parallel: self.settings.tensor_parallel,
        })
    }

    /// The name of a training's folder: of all that decides its weights. Those that it begins from count by
    /// their bytes, for a file may change under its name; what goes on from another's checkpoint would pass
    /// for a training from these.
    fn folder_name(&self, job: &JobFile) -> Result<String, LearnError> {
        let wrong = |error| learn_error(self.kind, error);
        let own = job.job.hash().map_err(wrong)?;
        let mut hash = blake3::Hasher::new();
        hash.update(own.as_bytes());
        let kinds = serde_json::to_vec(&job.kinds)
            .map_err(|error| wrong(NetworkError::Internal { what: error.to_string() }))?;
        hash.update(&kinds);
        if let Some(path) = &job.weights {
            let io = |source| wrong(NetworkError::Io { path: path.clone(), source });
            let mut weights = blake3::Hasher::new();
            weights.update_reader(fs::File::open(path).map_err(io)?).map_err(io)?;
            hash.update(weights.finalize().as_bytes());
        }
        Ok(format!("{}-{}", self.kind, &hash.finalize().to_hex()[..16]))
    }

    /// Writes a fit as a training of a folder that holds all that it needs, and gives the training's name.
    pub(crate) fn export(
        &self,
        fit: &TrainView<'_>,
        held_out: &[(ContentId, String, Label)],
        place: &str,
        root: &Path,
    ) -> Result<String, LearnError> {
        let mut job = self.job_of(fit, held_out, place)?;
        let name = self.folder_name(&job)?;
        self.collect(&mut job, root).map_err(|error| learn_error(self.kind, error))?;
        let folder = root.join("trainings").join(&name);
        let io = |source| learn_error(self.kind, NetworkError::Io { path: folder.clone(), source });
        fs::create_dir_all(&folder).map_err(io)?;
        job.write(&folder).map_err(|error| learn_error(self.kind, error))?;
        Ok(name)
    }

    /// Brings clips and weights of a job below `root`, and names them from there.
    fn collect(&self, job: &mut JobFile, root: &Path) -> Result<(), NetworkError> {
        let clips = root.join("clips");
        let bring = |from: &Path, to: &Path| {
            if to.is_file() {
                return Ok(());
            }
            let made = to.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fvc_clips::copy_atomically(from, to))
                .map_err(|source| NetworkError::Io { path: to.to_owned(), source })
        };
        for file in &job.clip_files {
            bring(&job.clips_root.join(&file.path), &clips.join(&file.path))?;
        }
        // Variants without a file are drawn here: the other machine has nothing to draw them with.
        let replayed = clips_of(job, Path::new(""))?;
        let known: BTreeSet<ClipKey> = job.clip_files.iter().map(|file| file.key.clone()).collect();
        let store = ClipStore::open(&clips)?.with_tag("drawn");
        for source in &job.job.training {
            for &variant in &source.variants {
                let key = ClipKey { content_id: source.content_id, variant };
                if known.contains(&key) {
                    continue;
                }
                if self.environment.cancel.load(Ordering::Relaxed) {
                    return Err(NetworkError::Cancelled);
                }
                // An original has the size that the clips were made in; what is drawn keeps it.
                let mut writer = store.writer(&key.content_id, variant, self.size)?;
                let windows = replayed.windows(&key)?.len();
                for window in 0..windows {
                    writer.push_window(&replayed.window(&key, window)?)?;
                }
                let entry = writer.finish()?;
                job.clip_files.push(ClipFile { key, path: PathBuf::from(entry.path) });
            }
        }
        job.clips_root = PathBuf::from("../../clips");
        job.kinds.clear();
        if let Some(weights) = &mut job.weights {
            let bytes = fs::read(&*weights)
                .map_err(|source| NetworkError::Io { path: weights.clone(), source })?;
            let extension = weights.extension().unwrap_or_default().to_string_lossy();
            let name = format!("{}.{extension}", &ContentId::of_bytes(&bytes).to_hex()[..16]);
            bring(weights, &root.join("weights").join(&name))?;
            *weights = Path::new("../../weights").join(name);
        }
        Ok(())
    }

    fn train(&self, mut job: JobFile, place: &str) -> Result<(TrainedFile, PathBuf), LearnError> {
        let folder = self.environment.workspace.networks().join(self.folder_name(&job)?);
        // The same command twice at once: one trains, and the other takes over what came of it.
        let lock =
            Lock::of_folder(self.environment, &folder).map_err(|error| self.of_lock(error))?;
        let trained = match job.finished(&folder) {
            Some(trained) => trained,
            None => self.train_alone(&mut job, place, &folder)?,
        };
        lock.share(&self.environment.cancel).map_err(|error| self.of_lock(error))?;
        self.folders.borrow_mut().push((place.to_owned(), folder.clone(), lock));
        Ok((trained, folder))
    }

    fn of_lock(&self, error: PipelineError) -> LearnError {
        match error {
            PipelineError::Cancelled => LearnError::Cancelled,
            PipelineError::Io { path, source } => {
                learn_error(self.kind, NetworkError::Io { path, source })
            }
            other => self.internal(other),
        }
    }

    /// Trains in a folder in which nobody else does.
    fn train_alone(
        &self,
        job: &mut JobFile,
        place: &str,
        folder: &Path,
    ) -> Result<TrainedFile, LearnError> {
        let epochs = job.job.trainer.epochs;
        let experiment = &self.environment.config.train.experiment;
        // Whoever set the variable for other programs wants a trained network, with or without a tracker.
        let mut mlflow =
            MlflowRun::from_environment(experiment, &job.name, None).unwrap_or_else(|error| {
                let note = format!("{error}; nothing is sent to a tracker");
                let mut notes = self.notes.borrow_mut();
                if !notes.contains(&note) {
                    notes.push(note);
                }
                None
            });
        if let Some(mlflow) = &mut mlflow {
            let parameters = self.settings.parameters();
            let parameters: Vec<(&str, String)> =
                parameters.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
            mlflow.parameters(parameters);
            if self.settings.random_backbone {
                mlflow.tag("random_backbone", "true");
            }
        }
        let ended = self.train_under(job, place, folder, epochs, mlflow.as_mut());
        if let Some(mlflow) = mlflow {
            let status = match &ended {
                Ok(_) => MlflowStatus::Finished,
                Err(LearnError::Cancelled) => MlflowStatus::Killed,
                Err(_) => MlflowStatus::Failed,
            };
            if let Some(note) = mlflow.end(status) {
                self.tell_once(&note);
            }
        }
        ended
    }

    /// Runs children until one has trained; with less in memory after each that ran out of it.
    fn train_under(
        &self,
        job: &mut JobFile,
        place: &str,
        folder: &Path,
        epochs: u64,
        mut mlflow: Option<&mut MlflowRun>,
    ) -> Result<TrainedFile, LearnError> {
        let progress = self.environment.progress;
        loop {
            let mut on_line = |line: &Line| match line {
                Line::Resumed { epoch, step } => progress.note(&format!(
                    "{} {place}: goes on in epoch {epoch} after step {step}",
                    self.kind
                )),
                Line::Epoch(record) => {
                    if let Some(mlflow) = &mut mlflow {
                        mlflow.epoch(record);
                        if let Some(note) = mlflow.take_note() {
                            self.tell_once(&note);
                        }
                    }
                    let held_out = record
                        .validation_loss
                        .map_or_else(String::new, |loss| format!(", held-out {loss:.3}"));
                    // An epoch whose last step was done before a stop has none to be timed.
                    let speed = if record.clips_per_second > 0.0 {
                        format!(
                            ", waiting {:.0} %, {:.1} clips/s",
                            100.0 * record.waiting_share,
                            record.clips_per_second
                        )
                    } else {
                        String::new()
                    };
                    progress.note(&format!(
                        "{} {place} epoch {}/{epochs}: loss {:.3}{held_out}{speed}",
                        self.kind, record.epoch, record.training_loss,
                    ));
                }
                Line::Step { .. } | Line::Failed { .. } => {}
            };
            let cancel = &self.environment.cancel;
            #[cfg(feature = "mpi")]
            let end = match crate::ranks::team() {
                Some(team) => crate::ranks::train(team, folder, job, cancel, &mut on_line),
                None => run_child(folder, job, cancel, &mut on_line),
            };
            #[cfg(not(feature = "mpi"))]
            let end = run_child(folder, job, cancel, &mut on_line);
            let end = end.map_err(|error| learn_error(self.kind, error))?;
            match end {
                ChildEnd::Trained(trained) => {
                    let done = trained.records.len() as u64;
                    if done < epochs {
                        let trainer = &trained.trainer;
                        progress.note(&format!(
                            "{} {place}: ended after epoch {done} of {epochs}, since {} in a row were no \
                             better in {} (patience); the weights are those of epoch {}",
                            self.kind,
                            trainer.patience,
                            trainer.stop_metric.name(),
                            trained.best_epoch
                        ));
                    }
                    return Ok(*trained);
                }
                ChildEnd::Stopped => return Err(LearnError::Cancelled),
                ChildEnd::Failed { problem, by_settings } => {
                    return Err(LearnError::Network {
                        model: self.kind.name(),
                        problem: format!("{place}: {problem}"),
                        by_settings,
                    });
                }
                ChildEnd::OutOfMemory => {
                    let trainer = &mut job.job.trainer;
                    if trainer.batch < 2 {
                        return Err(LearnError::Network {
                            model: self.kind.name(),
                            problem: format!(
                                "{place}: out of memory with one clip at a time: fewer frames, a \
                                 smaller size or block_checkpointing = true need less"
                            ),
                            by_settings: false,
                        });
                    }
                    let halved = trainer.batch.div_ceil(2);
                    // The effective batch stays what it was, or a little more where that is odd.
                    trainer.accumulation = (trainer.accumulation * trainer.batch).div_ceil(halved);
                    trainer.batch = halved;
                    self.notes.borrow_mut().push(format!(
                        "{} {place}: out of memory; went on with batch {halved} and accumulation {}",
                        self.kind, trainer.accumulation
                    ));
                    progress.note(&format!(
                        "{} {place}: out of memory, going on with batch {halved}",
                        self.kind
                    ));
                }
            }
        }
    }
}

impl ClipEstimator for NetworkTraining<'_> {
    type Model = SavedNetwork;

    fn kind(&self) -> ModelKind {
        self.kind
    }

    fn reading(&self) -> &dyn ClipReading<SavedNetwork> {
        &self.reader
    }

    fn fit(
        &self,
        fit: &TrainView<'_>,
        held_out: &[(ContentId, String, Label)],
        place: &str,
    ) -> Result<ClipFit<SavedNetwork>, LearnError> {
        let file = self.job_of(fit, held_out, place)?;
        let (trained, folder) = self.train(file, place)?;
        if let Some(mib) = trained.peak_mib.filter(|&mib| mib > self.settings.memory_mib)
            && self.settings.memory_mib > 0
        {
            self.notes.borrow_mut().push(format!(
                "{} {place}: took {mib} MiB, and {} were allowed: the estimate that the batch was cut by \
                 is not exact",
                self.kind, self.settings.memory_mib
            ));
        }
        if let Some(report) = &trained.report
            && place == "final"
        {
            let other = report.other_shape.iter().map(|(name, own, found)| {
                format!("{name} ({own:?} in the network, {found:?} in the file)")
            });
            let parts = [
                ("of the network not in the file", report.missing.clone()),
                ("of the file not in the network", report.unused.clone()),
                ("of another shape", other.collect()),
            ];
            let mut note = format!("{}: {} weights taken over", self.kind, report.matched.len());
            for (what, names) in parts {
                note = format!("{note}, {} {what}{}", names.len(), first_names(&names));
            }
            let all = JobFile::trained_file(&folder);
            self.notes.borrow_mut().push(format!("{note}; every name in {}", all.display()));
        }
        let name = format!("{}-{}.safetensors", self.kind, &trained.weights_hash[..16]);
        let own = JobFile::weights_file(&folder);
        fvc_clips::copy_atomically(&own, &folder.join(&name))
            .map_err(|error| self.internal(error))?;
        // Batches may have been cut to the memory that there was: the record is of what was done.
        let settings = NetworkSettings { trainer: trained.trainer, ..self.settings.clone() };
        let model = SavedNetwork {
            network: settings.network.clone(),
            trainer: settings.trainer.clone(),
            size: self.size.to_string(),
            weights_file: name,
            weights_hash: trained.weights_hash,
            parameters: trained.parameters,
            best_epoch: trained.best_epoch,
            random_backbone: self.settings.random_backbone,
        };
        self.reader.reader.knows(&model, &folder);
        let scores: BTreeMap<ContentId, f64> = trained.validation.into_iter().collect();
        let held_out = held_out
            .iter()
            .filter_map(|(content_id, _, label)| Some((*scores.get(content_id)?, *label)))
            .collect();
        Ok(ClipFit { model, held_out, parameters: settings.parameters() })
    }
}

/// Some names in brackets, or nothing where there are none.
fn first_names(names: &[String]) -> String {
    const SHOWN: usize = 6;
    if names.is_empty() {
        return String::new();
    }
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!(" ({}{more})", names[..names.len().min(SHOWN)].join(", "))
}
