//! [`train`]: a network from clips, epoch by epoch, that can be killed at any instant and resumed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::{AutodiffModule, Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

use crate::across::PassSums;
use crate::checkpoint::{Best, Checkpoint, Progress};
use crate::collective::{Alone, Collective, CollectiveError};
use crate::exchange::Exchange;
use crate::loader::{LoadedBatch, Loader};
use crate::loss_scale::LossScale;
use crate::optimizer::{is_backbone, shortening, square_sum, update_statistics};
use crate::replicas::Replicas;
use crate::sampler::{Excerpt, Sampler, Source, bucketed, whole};
use crate::soundness::check_size;
use crate::step::{Graph, backward_in_parts};
use crate::tensor_parallel::is_split;
use crate::weights::ModulePath;
use crate::{
    AdamW, AdamWConfig, ClipKey, ClipSource, Context, CounterRandom, Engine, Loss, NamedGradients,
    Network, NetworkBackend, NetworkConfig, NetworkError, Precision, Schedule, StopMetric, Targets,
    TrainBackend, WeightReport, Weights, log_odds,
};

/// How classes of unlike size are made to count alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassBalance {
    /// Both are drawn equally often, and every group of a class too.
    #[default]
    Sampler,
    /// Every source is drawn once an epoch and weighs by its class.
    Weights,
    /// Every source is drawn once an epoch and weighs one.
    None,
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainerConfig {
    /// Epochs at most.
    pub epochs: u64,
    /// Clips that are in memory at once.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulation: usize,
    /// Frames of an excerpt at most.
    pub frames: usize,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// What is left of the learning rates at the end.
    pub last_share: f64,
    /// Gradients longer than this are shortened to it; 0: none are.
    pub clip_norm: f64,
    /// The loss.
    pub loss: Loss,
    /// How classes are made to count alike.
    pub class_balance: ClassBalance,
    /// Epochs without a better value of the stop metric after which training ends.
    pub patience: u64,
    /// What the held-out sources are judged by.
    pub stop_metric: StopMetric,
    /// Epochs after which one more block of the backbone learns, from its end on; 0: all learn at once.
    pub unfreeze_every: u64,
    /// Number format.
    pub precision: Precision,
    /// Who computes.
    pub engine: Engine,
    /// Whether each block is run a second time for its gradients, for less memory.
    pub block_checkpointing: bool,
    /// Seed of first values, order and dropout.
    pub seed: u64,
    /// How batches are read.
    pub loader: LoaderConfig,
    /// Steps between two checkpoints; 0: one every two minutes. One more is written after every epoch.
    pub checkpoint_steps: u64,
}

/// How batches are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Threads.
    pub threads: usize,
    /// Batches that are read ahead at most.
    pub prefetch: usize,
    /// Whether batches lie in page-locked memory on their way to a device.
    pub pinned: bool,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self { threads: 2, prefetch: 4, pinned: true }
    }
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 2,
            accumulation: 8,
            frames: 16,
            optimizer: AdamWConfig::default(),
            warmup_epochs: 2.0,
            last_share: 0.01,
            clip_norm: 1.0,
            loss: Loss::default(),
            class_balance: ClassBalance::Sampler,
            patience: 5,
            stop_metric: StopMetric::LogLoss,
            unfreeze_every: 0,
            precision: Precision::F32,
            engine: Engine::Fast,
            block_checkpointing: false,
            seed: 42,
            loader: LoaderConfig::default(),
            checkpoint_steps: 0,
        }
    }
}

/// One training: what is learnt from, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingJob {
    /// The network.
    pub network: NetworkConfig,
    /// How it is trained.
    pub trainer: TrainerConfig,
    /// What it learns from.
    pub training: Vec<Source>,
    /// What decides when to stop; of other groups. May be empty: then the last epoch is taken.
    pub validation: Vec<Source>,
}

impl TrainingJob {
    /// A hash of all that decides the weights. How an effective batch is cut into batches does not (but
    /// for rounding, and the statistics of batch normalisation): a training that ran out of memory goes on
    /// with smaller ones.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn hash(&self) -> Result<String, NetworkError> {
        let mut own = self.clone();
        (own.trainer.batch, own.trainer.accumulation) =
            (1, own.trainer.batch * own.trainer.accumulation);
        (own.trainer.loader, own.trainer.checkpoint_steps) = (LoaderConfig::default(), 0);
        let bytes = serde_json::to_vec(&own)
            .map_err(|error| NetworkError::Internal { what: error.to_string() })?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }
}

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u64,
    /// Mean loss of what was learnt from, as it was learnt.
    pub training_loss: f64,
    /// Log loss of the held-out sources, where there are any.
    pub validation_loss: Option<f64>,
    /// The stop metric's value, where it has one.
    pub stop_metric: Option<f64>,
    /// The last step's learning rate of what is no backbone.
    pub learning_rate: f64,
    /// Steps whose gradients were not finite.
    pub skipped_steps: u64,
    /// Share of the epoch that was spent waiting for batches, 0 to 1.
    pub waiting_share: f64,
    /// Ranks that trained it.
    #[serde(default = "one_rank")]
    pub ranks: u64,
    /// Share of it that gradients were on their way to other ranks.
    #[serde(default)]
    pub exchange_share: f64,
    /// Share of it that was spent waiting for other ranks: for gradients behind the backward pass, and for
    /// the statistics of normalisation inside the passes.
    #[serde(default)]
    pub ranks_waiting_share: f64,
    /// Clips learnt from in a second.
    pub clips_per_second: f64,
    /// Seconds, held-out sources included.
    pub seconds: f64,
}

/// Of records that were written before there could be several.
fn one_rank() -> u64 {
    1
}

/// What a training tells while it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TrainingEvent {
    /// It goes on where it was stopped.
    Resumed {
        /// The epoch, from 1.
        epoch: u64,
        /// Steps of it that are done.
        step: u64,
    },
    /// A step is done.
    Step {
        /// The epoch, from 1.
        epoch: u64,
        /// The step in it, from 1.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// Mean loss of the step.
        loss: f64,
        /// Length of its gradients before they were shortened.
        gradient_norm: f64,
    },
    /// An epoch is done.
    Epoch(EpochRecord),
}

/// What came of a training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The weights of the best epoch.
    pub weights: Weights,
    /// That epoch, from 1.
    pub best_epoch: u64,
    /// Every epoch.
    pub records: Vec<EpochRecord>,
    /// Log odds of the held-out sources by those weights.
    pub validation: Vec<(ContentId, f64)>,
}

/// The file, in a training's folder, from which it goes on.
const CHECKPOINT: &str = "checkpoint.safetensors";
/// Steps with gradients that are not finite, one after the other, that end a training.
const MOST_SKIPPED: u64 = 50;
/// Time between two checkpoints where steps do not decide.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

struct Freeze {
    path: ModulePath,
    /// The first block of the backbone that learns.
    from: usize,
}

impl<B: TrainBackend> ModuleMapper<B> for Freeze {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.name();
        if name.ends_with("running_mean") || name.ends_with("running_var") {
            return param;
        }
        let block = name
            .strip_prefix("backbone.blocks.")
            .and_then(|rest| rest.split('.').next())
            .and_then(|number| number.parse::<usize>().ok());
        let learns = match block {
            Some(block) => block >= self.from,
            // The normalisation behind the last block learns with it, the embedding with the first.
            None if name.starts_with("backbone.norm") => true,
            None => !is_backbone(&name) || self.from == 0,
        };
        param.set_require_grad(learns)
    }
}

/// The first block of a backbone of `depth` blocks that learns in an epoch, counted from 0.
pub(crate) fn first_learning_block(depth: usize, every: u64, epoch: u64) -> usize {
    if every == 0 {
        return 0;
    }
    depth.saturating_sub((epoch / every) as usize)
}

/// Log odds of each source by all of its frames: the mean over excerpts, by their frames.
///
/// # Errors
/// A clip cannot be read, or somebody asked to stop.
pub fn score_sources<B: NetworkBackend>(
    network: &Network<B>,
    config: &TrainerConfig,
    sources: &[ContentId],
    clips: &dyn ClipSource,
    loader: &mut Loader,
    device: &B::Device,
    cancel: &AtomicBool,
) -> Result<Vec<f64>, NetworkError> {
    let alone = Replicas::whole(&Alone);
    score_together(network, config, sources, clips, loader, device, cancel, &alone)
}

/// [`score_sources`] by all replicas, each of which scores every so many batches and is told all scores.
#[allow(clippy::too_many_arguments, reason = "those of score_sources")]
fn score_together<B: NetworkBackend>(
    network: &Network<B>,
    config: &TrainerConfig,
    sources: &[ContentId],
    clips: &dyn ClipSource,
    loader: &mut Loader,
    device: &B::Device,
    cancel: &AtomicBool,
    replicas: &Replicas<'_>,
) -> Result<Vec<f64>, NetworkError> {
    let batches = bucketed(whole(sources, clips, config.frames)?, clips, config.batch)?;
    let context = Context::<B>::evaluation(config.precision, config.engine)
        .with_tensor_group(replicas.sums());
    let network = network.clone().for_scoring(config.precision);
    let (number, count) = (replicas.number(), replicas.count());
    let own: Vec<Vec<Excerpt>> = batches.iter().skip(number).step_by(count).cloned().collect();
    let mut scores = Vec::new();
    let mut stopped = false;
    for batch in loader.pass(own) {
        stopped |= replicas.any_of_replica(cancel.load(Ordering::Relaxed))?;
        if stopped {
            break;
        }
        let LoadedBatch { clips, .. } = batch?;
        let clips = clips.on(device, config.loader.pinned);
        network.check_clips(&clips.extents)?;
        let found = log_odds(network.forward(clips, &context)).into_data();
        scores.extend(found.convert::<f32>().to_vec::<f32>().unwrap_or_default());
        replicas.check_pass()?;
    }
    let collective = replicas.ranks();
    let mut all_stopped = [f64::from(u8::from(stopped))];
    collective.sum_f64(&mut all_stopped)?;
    if all_stopped[0] > 0.0 {
        return Err(NetworkError::Cancelled);
    }
    let told = collective.gather(bytemuck::cast_slice(&scores))?;
    // Of each replica one rank speaks.
    let mut told: Vec<_> = told
        .iter()
        .step_by(replicas.parts())
        .map(|bytes| {
            bytes.chunks_exact(4).map(|own| f32::from_le_bytes([own[0], own[1], own[2], own[3]]))
        })
        .collect();
    let mut sums = vec![(0.0, 0.0); sources.len()];
    for (number, batch) in batches.iter().enumerate() {
        for excerpt in batch {
            let Some(score) = told[number % count].next() else {
                let what = format!("replica {} scored too few excerpts", number % count);
                return Err(NetworkError::Internal { what });
            };
            let (sum, frames) = &mut sums[excerpt.source];
            *sum += f64::from(score) * excerpt.frames as f64;
            *frames += excerpt.frames as f64;
        }
    }
    Ok(sums.into_iter().map(|(sum, frames)| sum / frames).collect())
}

/// What each source weighs.
fn source_weights(sources: &[Source], balance: ClassBalance) -> Vec<f32> {
    let fakes = sources.iter().filter(|source| source.fake).count();
    let counts = [sources.len() - fakes, fakes];
    sources
        .iter()
        .map(|source| match balance {
            ClassBalance::Sampler | ClassBalance::None => 1.0,
            ClassBalance::Weights => {
                sources.len() as f32 / (2.0 * counts[usize::from(source.fake)].max(1) as f32)
            }
        })
        .collect()
}

/// A training between two steps.
struct Training<'a, B: TrainBackend> {
    job: &'a TrainingJob,
    clips: &'a Arc<dyn ClipSource>,
    device: &'a B::Device,
    folder: &'a Path,
    cancel: &'a AtomicBool,
    weights: Vec<f32>,
    network: Network<B>,
    optimizer: AdamW<B::InnerBackend>,
    schedule: Schedule,
    progress: Progress,
    best: Option<Weights>,
    last_checkpoint: Instant,
    collective: &'a dyn Collective,
    replicas: Replicas<'a>,
    /// Where there are other ranks: sums inside passes, and gradients on their way.
    pass_sums: Option<Arc<PassSums>>,
    exchange: Option<Exchange>,
    /// Where there are other replicas too: gradients of what each rank has but a part of, on their way to
    /// the ranks that have the same part.
    part_exchange: Option<Exchange>,
}

/// Trains a network on `device` and gives the weights of its best epoch. `first` are weights to begin
/// from, pretrained ones say; where a checkpoint of this job stands in `folder`, it goes on from there, and
/// ends with the weights that it would have had undisturbed (bit for bit on the processor).
///
/// # Errors
/// A setting is not in order, a clip cannot be read, `folder` cannot be written, the training diverges, or
/// somebody asked to stop; then a checkpoint is left.
#[allow(clippy::too_many_arguments, reason = "each is another kind of thing")]
pub fn train<B: TrainBackend>(
    job: &TrainingJob,
    first: Option<&Weights>,
    clips: &Arc<dyn ClipSource>,
    device: &B::Device,
    folder: &Path,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(&TrainingEvent),
) -> Result<(Trained, Option<WeightReport>), NetworkError> {
    train_together::<B>(job, first, clips, device, folder, cancel, on_event, &Alone, 1)
}

/// [`train`] by several ranks, each of which calls this with the same job on a device of its own and ends
/// with the same weights.
///
/// The clips of a step, `batch` times `accumulation` however many ranks there are, are dealt out in rounds
/// of up to `batch` a rank; gradients are summed over ranks while the backward pass goes on, normalisation
/// layers see the clips of all ranks, and held-out sources are dealt out too. Rank 0 alone reads and writes
/// the checkpoint in `folder`; a training may go on with another number of ranks. What the number changes is
/// rounding, what dropout draws, and how many clips normalisation layers see at once.
///
/// Where `tensor_parallel` is more than 1, as many ranks share each replica of a vision transformer: each has
/// a part of the wide weights of its blocks (see [`crate::TensorGroup`]) and of what the optimiser remembers of
/// them, all of them see the same clips, and clips are dealt out to replicas. What is written is whole, so
/// that a training may go on with another number here too.
///
/// A process may have one team of threads that train at a time: Burn's clean-up behind a backward pass waits
/// for the passes of all threads, so that two teams could wait for each other.
///
/// # Errors
/// As [`train`]; or a rank has ended, lags or has another job, which every other rank is told.
#[allow(clippy::too_many_arguments, reason = "each is another kind of thing")]
pub fn train_together<B: TrainBackend>(
    job: &TrainingJob,
    first: Option<&Weights>,
    clips: &Arc<dyn ClipSource>,
    device: &B::Device,
    folder: &Path,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(&TrainingEvent),
    collective: &dyn Collective,
    tensor_parallel: usize,
) -> Result<(Trained, Option<WeightReport>), NetworkError> {
    let result = train_as_rank::<B>(
        job,
        first,
        clips,
        device,
        folder,
        cancel,
        on_event,
        collective,
        tensor_parallel,
    );
    if let Err(error) = &result
        && !matches!(error, NetworkError::Cancelled)
    {
        collective.abort(&error.to_string());
    }
    result
}

#[allow(clippy::too_many_arguments, reason = "those of train_together")]
fn train_as_rank<B: TrainBackend>(
    job: &TrainingJob,
    first: Option<&Weights>,
    clips: &Arc<dyn ClipSource>,
    device: &B::Device,
    folder: &Path,
    cancel: &AtomicBool,
    on_event: &mut dyn FnMut(&TrainingEvent),
    collective: &dyn Collective,
    tensor_parallel: usize,
) -> Result<(Trained, Option<WeightReport>), NetworkError> {
    job.trainer.check(&job.network)?;
    let replicas = Replicas::of(collective, tensor_parallel, &job.network)?;
    // Before the first epoch, not when its turn comes.
    for source in job.training.iter().chain(&job.validation) {
        let (columns, rows) = clips.size(&ClipKey { content_id: source.content_id, variant: 0 })?;
        check_size(job.network.smallest_clip(), &[[1, rows, columns]])?;
    }
    let config = &job.trainer;
    let sampler = Sampler::new(&job.training, &**clips, config.seed, config.class_balance)?;
    let effective = config.batch * config.accumulation;
    let steps = job.training.len().div_ceil(effective) as u64;
    let schedule = Schedule {
        warmup_steps: (config.warmup_epochs * steps as f64).round() as u64,
        steps: config.epochs * steps,
        last_share: config.last_share,
    };
    let hash = job.hash()?;
    let mut network: Network<B> = job.network.init(config.seed, device);
    let mut report = None;
    if let Some(first) = first {
        let (with, found) = first.apply(network);
        found.check()?;
        (network, report) = (with, Some(found));
    }
    let path = folder.join(CHECKPOINT);
    let mut training = Training {
        job,
        clips,
        device,
        folder,
        cancel,
        weights: source_weights(&job.training, config.class_balance),
        network,
        optimizer: AdamW::new(config.optimizer),
        schedule,
        progress: Progress {
            job: hash.clone(),
            epoch: 0,
            step: 0,
            steps_before: 0,
            loss_scale: LossScale::for_precision(config.precision),
            loss_sum: 0.0,
            weight_sum: 0.0,
            skipped: 0,
            skipped_in_a_row: 0,
            records: Vec::new(),
            best: None,
        },
        best: None,
        last_checkpoint: Instant::now(),
        collective,
        replicas,
        pass_sums: None,
        exchange: None,
        part_exchange: None,
    };
    let bytes = if collective.rank() == 0 { Checkpoint::bytes(&path)? } else { Vec::new() };
    let bytes = if collective.size() > 1 { collective.from_first(&bytes)? } else { bytes };
    let known = Checkpoint::of_bytes(&bytes, &path, &hash)?;
    drop(bytes);
    if let Some(mut known) = known {
        training.network = known.network.apply(training.network).0;
        if let Some(group) = training.replicas.group() {
            known.optimizer = group.part_of_memory(&known.optimizer, &known.network);
        }
        training.optimizer = AdamW::remembering(config.optimizer, &known.optimizer, device);
        training.best = known.best.map(|best| training.replicas.part_of(best));
        training.progress = known.progress;
        on_event(&TrainingEvent::Resumed {
            epoch: training.progress.epoch + 1,
            step: training.progress.step,
        });
    }
    if let Some(group) = training.replicas.group() {
        training.network = training.network.part_for(group);
    }
    if collective.size() > 1 {
        training.pass_sums = Some(Arc::new(PassSums::new(collective.duplicate()?)));
        training.exchange = Some(Exchange::start(collective.duplicate()?)?);
        let of_same_part = training.replicas.of_same_part()?;
        training.part_exchange = of_same_part.map(Exchange::start).transpose()?;
        training.compare_ranks(&hash)?;
    }
    let shape = job.network.frame_shape();
    let mut loader = Loader::start(clips, shape, config.loader.threads, config.loader.prefetch)?;
    while training.goes_on() {
        training.epoch(&sampler, steps, &mut loader, on_event)?;
    }
    let trained = training.finish(&mut loader)?;
    Ok((trained, report))
}

impl<B: TrainBackend> Training<'_, B> {
    fn goes_on(&self) -> bool {
        let since_best = match self.progress.best {
            Some(best) => self.progress.epoch.saturating_sub(best.epoch + 1),
            None => 0,
        };
        let config = &self.job.trainer;
        self.progress.epoch < config.epochs && since_best < config.patience.max(1)
    }

    /// Ranks that learn from other jobs or have other weights would end with a network that none of them
    /// was asked for.
    fn compare_ranks(&self, job: &str) -> Result<(), NetworkError> {
        if self.collective.size() == 1 {
            return Ok(());
        }
        let weights = Weights::of(&self.network.valid());
        let (parts, whole): (BTreeMap<_, _>, BTreeMap<_, _>) = weights
            .by_name
            .into_iter()
            .partition(|(name, _)| self.replicas.group().is_some() && is_split(name));
        let hash_of = |by_name| -> Result<String, NetworkError> {
            let bytes = Weights { by_name }.to_safetensors("")?;
            Ok(blake3::hash(&bytes).to_hex()[..16].to_owned())
        };
        let Progress { epoch, step, .. } = self.progress;
        let place = format!("job {}, epoch {epoch}, step {step}", &job[..16.min(job.len())]);
        let own = [format!("{place}, weights {}", hash_of(whole)?), hash_of(parts)?];
        let (rank, size) = (self.collective.rank(), self.collective.size());
        let position = |rank: usize| rank % self.replicas.parts();
        let told = self.collective.gather(own.join(" ").as_bytes())?;
        for (other, found) in told.into_iter().enumerate() {
            let found = String::from_utf8_lossy(&found).into_owned();
            let (with_parts, without) = (own.join(" "), &own[0]);
            let same = if position(other) == position(rank) {
                found == with_parts
            } else {
                found.starts_with(without.as_str())
            };
            if !same {
                let expected = with_parts;
                return Err(
                    CollectiveError::Elsewhere { rank: other, size, expected, found }.into()
                );
            }
        }
        Ok(())
    }

    /// Whether any rank was asked to stop.
    fn asked_to_stop(&self) -> Result<bool, NetworkError> {
        let mut asked = [f64::from(u8::from(self.cancel.load(Ordering::Relaxed)))];
        self.collective.sum_f64(&mut asked)?;
        Ok(asked[0] > 0.0)
    }

    /// Whether a checkpoint is due by the clock of rank 0, or by steps.
    fn is_checkpoint_due(&self, steps_done: u64) -> bool {
        match self.job.trainer.checkpoint_steps {
            0 => self.collective.rank() == 0 && self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY,
            every => steps_done.is_multiple_of(every),
        }
    }

    /// Writes a checkpoint, as rank 0; the ranks that share its replica bring their parts.
    fn checkpoint(&mut self) -> Result<(), NetworkError> {
        self.last_checkpoint = Instant::now();
        if self.replicas.number() != 0 {
            return self.replicas.meet();
        }
        let own = Weights::of(&self.network.valid());
        let memory = self.optimizer.memory();
        let optimizer = match self.replicas.group() {
            Some(group) => group.whole_of_memory(&memory, &own)?,
            None => memory,
        };
        let network = self.replicas.whole_of(own)?;
        let best = self.best.clone().map(|best| self.replicas.whole_of(best)).transpose()?;
        self.replicas.meet()?;
        if self.collective.rank() != 0 {
            return Ok(());
        }
        let checkpoint = Checkpoint { progress: self.progress.clone(), network, optimizer, best };
        checkpoint.write(&self.folder.join(CHECKPOINT))
    }

    fn epoch(
        &mut self,
        sampler: &Sampler<'_>,
        steps: u64,
        loader: &mut Loader,
        on_event: &mut dyn FnMut(&TrainingEvent),
    ) -> Result<(), NetworkError> {
        let config = &self.job.trainer;
        let (epoch, first_step) = (self.progress.epoch, self.progress.step);
        if config.unfreeze_every > 0 {
            let depth = self.job.network.backbone_depth();
            let from = first_learning_block(depth, config.unfreeze_every, epoch);
            let network = self.network.clone();
            self.network = network.map(&mut Freeze { path: ModulePath::default(), from });
        }
        let start = Instant::now();
        loader.take_waited();
        let excerpts = sampler.epoch(epoch, config.frames);
        let effective = config.batch * config.accumulation;
        // Ranks of one replica learn from the same clips.
        let (replica, replicas) = (self.replicas.number(), self.replicas.count());
        let mut batches = Vec::new();
        let mut of_step = Vec::new();
        let mut learnt = 0;
        for chunk in excerpts.chunks(effective).skip(first_step as usize) {
            let weight: f32 = chunk.iter().map(|own| self.weights[own.source]).sum();
            learnt += chunk.len();
            let rounds = bucketed(chunk.to_vec(), &**self.clips, config.batch * replicas)?;
            // Whether this replica has clips of its own in each round.
            let mut present = Vec::with_capacity(rounds.len());
            for mut round in rounds {
                let share = |replica: usize| round.len() * replica / replicas;
                let (from, to) = (share(replica), share(replica + 1));
                present.push(from < to);
                round.truncate(to.max(1));
                batches.push(round.split_off(from.min(to.max(1) - 1)));
            }
            of_step.push((present, f64::from(weight)));
        }
        let mut batches = loader.pass(batches);
        for (rounds, weight) in of_step {
            if self.asked_to_stop()? {
                drop(batches);
                self.checkpoint()?;
                return Err(NetworkError::Cancelled);
            }
            let mut gradients = NamedGradients::new();
            let mut loss = 0.0;
            let last = rounds.len() - 1;
            for (number, present) in rounds.into_iter().enumerate() {
                let Some(batch) = batches.next() else { break };
                let exchanged = number == last;
                loss += self.learn(batch?, number as u64, present, exchanged, &mut gradients)?;
            }
            let mut due = self.is_checkpoint_due(self.progress.step + 1);
            if self.exchange.is_some() {
                self.take_sums(&mut gradients)?;
                // The ranks of a replica have the same loss, and write together or not at all.
                let mut sums = [loss, f64::from(u8::from(due))];
                self.collective.sum_f64(&mut sums)?;
                loss = sums[0] / self.replicas.parts() as f64;
                due = sums[1] > 0.0;
            }
            let factor = self.schedule.factor(self.progress.steps_before + self.progress.step);
            let norm = self.step(&gradients, weight, factor)?;
            self.progress.loss_sum += loss;
            self.progress.weight_sum += weight;
            self.progress.step += 1;
            on_event(&TrainingEvent::Step {
                epoch: epoch + 1,
                step: self.progress.step,
                steps,
                loss: loss / weight,
                gradient_norm: norm,
            });
            if due && self.progress.step < steps {
                self.checkpoint()?;
            }
        }
        drop(batches);
        if self.asked_to_stop()? {
            // All steps are done; only the held-out sources are still to be judged.
            self.checkpoint()?;
            return Err(NetworkError::Cancelled);
        }
        let learning = start.elapsed().as_secs_f64();
        let waited = loader.take_waited().as_secs_f64();
        let share = |seconds: f64| if learning > 0.0 { (seconds / learning).min(1.0) } else { 0.0 };
        let (mut exchanged, mut waited_for_ranks) = (Duration::ZERO, Duration::ZERO);
        for exchange in [&mut self.exchange, &mut self.part_exchange].into_iter().flatten() {
            let (busy, waited) = exchange.take_times();
            // Two that are under way at once are not twice as long on their way.
            exchanged = exchanged.max(busy);
            waited_for_ranks += waited;
        }
        for sums in self.pass_sums.iter().chain(&self.replicas.sums()) {
            waited_for_ranks += sums.take_waited();
        }
        let (exchanged, waited_for_ranks) =
            (exchanged.as_secs_f64(), waited_for_ranks.as_secs_f64());
        let judged = self.judge(loader)?;
        let value = |metric: StopMetric| metric.value(&judged);
        let last_step = (self.progress.steps_before + self.progress.step).saturating_sub(1);
        let record = EpochRecord {
            epoch: epoch + 1,
            training_loss: self.progress.loss_sum / self.progress.weight_sum.max(f64::MIN_POSITIVE),
            validation_loss: value(StopMetric::LogLoss),
            stop_metric: value(config.stop_metric),
            learning_rate: self.schedule.factor(last_step) * config.optimizer.head_learning_rate,
            skipped_steps: self.progress.skipped,
            waiting_share: share(waited),
            ranks: self.collective.size() as u64,
            exchange_share: share(exchanged),
            ranks_waiting_share: share(waited_for_ranks),
            clips_per_second: if learning > 0.0 { learnt as f64 / learning } else { 0.0 },
            seconds: start.elapsed().as_secs_f64(),
        };
        // Without held-out sources the last epoch is the best one.
        let gain = record.stop_metric.map_or(epoch as f64, |found| config.stop_metric.gain(found));
        // Log odds that are not finite are no gain, whatever the comparison would say.
        let better = gain.is_finite() && self.progress.best.is_none_or(|best| gain > best.gain);
        if better || self.progress.best.is_none() {
            let gain = if gain.is_finite() { gain } else { f64::MIN };
            self.progress.best = Some(Best { epoch, gain });
            self.best = Some(Weights::of(&self.network.valid()));
        }
        self.progress.records.push(record.clone());
        self.progress.epoch += 1;
        self.progress.steps_before += self.progress.step;
        (self.progress.step, self.progress.skipped) = (0, 0);
        (self.progress.loss_sum, self.progress.weight_sum) = (0.0, 0.0);
        self.compare_ranks(&self.progress.job)?;
        self.checkpoint()?;
        on_event(&TrainingEvent::Epoch(record));
        Ok(())
    }

    /// Adds one batch's gradients, as one that counts nothing unless `present`; gives the weighted sum of
    /// its losses. Those of the last round of a step go to the other ranks, where there are any.
    fn learn(
        &mut self,
        batch: LoadedBatch,
        number: u64,
        present: bool,
        last: bool,
        gradients: &mut NamedGradients<B::InnerBackend>,
    ) -> Result<f64, NetworkError> {
        let config = &self.job.trainer;
        let LoadedBatch { clips, excerpts } = batch;
        let of = |excerpt: &Excerpt| &self.job.training[excerpt.source];
        let labels: Vec<f32> =
            excerpts.iter().map(|own| if of(own).fake { 1.0 } else { 0.0 }).collect();
        let weight = |own: &Excerpt| if present { self.weights[own.source] } else { 0.0 };
        let weights: Vec<f32> = excerpts.iter().map(weight).collect();
        // Drawn anew at every step from where it stands: a resumed training draws the same.
        let Progress { epoch, step, .. } = self.progress;
        let replica = self.replicas.number() as u64;
        let key = [config.seed, epoch, step, number, 0xD0, replica];
        let context = Context::training(config.precision, config.engine, CounterRandom::new(&key))
            .with_ranks(self.pass_sums.clone())
            .with_tensor_group(self.replicas.sums());
        let targets = Targets {
            labels: &labels,
            weights: &weights,
            loss: config.loss,
            scale: self.progress.loss_scale.scale(),
        };
        let graph = match (config.block_checkpointing, &self.exchange) {
            (true, _) => Graph::Again,
            (false, Some(_)) => Graph::Blocks,
            (false, None) => Graph::Whole,
        };
        if let Some(sums) = &self.pass_sums {
            sums.set_present(present);
        }
        let clips = clips.on(self.device, config.loader.pinned);
        self.network.check_clips(&clips.extents)?;
        let outcome = match &mut self.exchange {
            Some(exchange) if last => {
                // What a block adds to earlier rounds' gradients is complete: on its way at once.
                let mut own = NamedGradients::new();
                let mut of_parts = NamedGradients::new();
                let shared = self.replicas.group().is_some();
                let part_exchange = &mut self.part_exchange;
                let mut give = |complete: NamedGradients<B::InnerBackend>| {
                    let (parts, whole): (BTreeMap<_, _>, BTreeMap<_, _>) =
                        complete.into_iter().partition(|(name, _)| shared && is_split(name));
                    exchange.give::<B::InnerBackend>(whole);
                    match part_exchange {
                        Some(exchange) => exchange.give::<B::InnerBackend>(parts),
                        // Nobody else has this part.
                        None => of_parts.extend(parts),
                    }
                };
                let outcome = backward_in_parts(
                    &self.network,
                    clips,
                    &targets,
                    &context,
                    graph,
                    &mut own,
                    &mut |own| {
                        let complete = std::mem::take(own).into_iter().map(|(name, gradient)| {
                            let sum = match gradients.remove(&name) {
                                Some(known) => known + gradient,
                                None => gradient,
                            };
                            (name, sum)
                        });
                        give(complete.collect());
                    },
                );
                give(std::mem::take(gradients));
                *gradients = of_parts;
                outcome
            }
            _ => backward_in_parts(
                &self.network,
                clips,
                &targets,
                &context,
                graph,
                gradients,
                &mut |_| {},
            ),
        };
        if let Some(sums) = &self.pass_sums {
            sums.check()?;
        }
        self.replicas.check_pass()?;
        let network = self.network.clone();
        self.network = update_statistics(network, outcome.statistics);
        Ok(outcome.loss)
    }

    /// Adds to the gradients of this rank's own parts all that were summed over ranks.
    fn take_sums(
        &mut self,
        gradients: &mut NamedGradients<B::InnerBackend>,
    ) -> Result<(), NetworkError> {
        let parts = self.replicas.parts();
        if let Some(exchange) = &mut self.exchange {
            let whole = exchange.take::<B::InnerBackend>(self.device)?;
            // Every rank of a replica brought them. They are summed over all nevertheless: were a rank to
            // round one otherwise, replicas would drift apart.
            let once = |gradient: Tensor<B::InnerBackend, 1>| match parts {
                1 => gradient,
                _ => gradient / parts as f64,
            };
            gradients.extend(whole.into_iter().map(|(name, gradient)| (name, once(gradient))));
        }
        if let Some(exchange) = &mut self.part_exchange {
            gradients.extend(exchange.take::<B::InnerBackend>(self.device)?);
        }
        Ok(())
    }

    /// The length of gradients, of which every part counts once.
    fn length_of(
        &self,
        gradients: &NamedGradients<B::InnerBackend>,
    ) -> Result<f64, CollectiveError> {
        let Some(group) = self.replicas.group() else {
            return Ok(square_sum::<B::InnerBackend>(gradients.values().cloned().collect()).sqrt());
        };
        let (parts, whole): (Vec<_>, Vec<_>) =
            gradients.iter().partition(|(name, _)| is_split(name));
        let squares = |own: Vec<(&String, &Tensor<B::InnerBackend, 1>)>| {
            square_sum::<B::InnerBackend>(own.into_iter().map(|(_, own)| own.clone()).collect())
        };
        let mut of_parts = [squares(parts)];
        group.sums().collective().sum_f64(&mut of_parts)?;
        Ok((squares(whole) + of_parts[0]).sqrt())
    }

    /// Moves the weights; gives the length of the mean gradient.
    fn step(
        &mut self,
        gradients: &NamedGradients<B::InnerBackend>,
        weight: f64,
        schedule: f64,
    ) -> Result<f64, NetworkError> {
        let mean = 1.0 / (weight * self.progress.loss_scale.scale());
        let mut norm = [self.length_of(gradients)? * mean];
        if self.collective.size() > 1 {
            // Rank 0's: devices may round sums otherwise, and weights would drift apart.
            if self.collective.rank() != 0 {
                norm[0] = 0.0;
            }
            self.collective.sum_f64(&mut norm)?;
        }
        let norm = norm[0];
        let finite = norm.is_finite();
        self.progress.loss_scale.after_step(finite);
        if !finite {
            self.progress.skipped += 1;
            self.progress.skipped_in_a_row += 1;
            if self.progress.skipped_in_a_row >= MOST_SKIPPED {
                return Err(NetworkError::Diverged { skipped: self.progress.skipped_in_a_row });
            }
            return Ok(norm);
        }
        self.progress.skipped_in_a_row = 0;
        let shorten = shortening(norm, self.job.trainer.clip_norm);
        let network = self.network.clone();
        self.network = self.optimizer.step(network, gradients, mean * shorten, schedule);
        Ok(norm)
    }

    /// Log odds of the held-out sources, with what they are said to be.
    fn judge(&self, loader: &mut Loader) -> Result<Vec<(f64, bool)>, NetworkError> {
        let scores = self.score(&self.network.valid(), loader)?;
        Ok(scores.into_iter().zip(self.job.validation.iter().map(|own| own.fake)).collect())
    }

    fn score(
        &self,
        network: &Network<B::InnerBackend>,
        loader: &mut Loader,
    ) -> Result<Vec<f64>, NetworkError> {
        let sources: Vec<ContentId> =
            self.job.validation.iter().map(|source| source.content_id).collect();
        score_together(
            network,
            &self.job.trainer,
            &sources,
            &**self.clips,
            loader,
            self.device,
            self.cancel,
            &self.replicas,
        )
    }

    fn finish(self, loader: &mut Loader) -> Result<Trained, NetworkError> {
        let weights = match &self.best {
            Some(best) => best.clone(),
            None => Weights::of(&self.network.valid()),
        };
        let (network, _) = weights.apply(self.network.valid());
        let scores = self.score(&network, loader)?;
        let weights = self.replicas.whole_of(weights)?;
        self.replicas.meet()?;
        let validation =
            self.job.validation.iter().map(|source| source.content_id).zip(scores).collect();
        Ok(Trained {
            weights,
            best_epoch: self.progress.best.map_or(0, |best| best.epoch + 1),
            records: self.progress.records,
            validation,
        })
    }
}

impl TrainerConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// The setting, what it may be and what it is.
    pub fn check(&self, network: &NetworkConfig) -> Result<(), NetworkError> {
        network.check()?;
        let wrong =
            |key: &str, expected: &str, found: String| NetworkError::setting(key, expected, found);
        let positive: BTreeMap<&str, u64> = BTreeMap::from([
            ("epochs", self.epochs),
            ("batch", self.batch as u64),
            ("accumulation", self.accumulation as u64),
            ("frames", self.frames as u64),
            ("loader.threads", self.loader.threads as u64),
            ("loader.prefetch", self.loader.prefetch as u64),
            ("patience", self.patience),
        ]);
        for (key, value) in positive {
            if !(1..=1_000_000).contains(&value) {
                return Err(wrong(key, "1 to 1000000", value.to_string()));
            }
        }
        let AdamWConfig { backbone_learning_rate, head_learning_rate, weight_decay, .. } =
            self.optimizer;
        if !(head_learning_rate > 0.0 && head_learning_rate <= 10.0) {
            let found = head_learning_rate.to_string();
            return Err(wrong("learning_rate", "above 0, at most 10", found));
        }
        for (key, value, most) in [
            // At 0 the backbone stays as it is, and only the rest learns.
            ("backbone_learning_rate", backbone_learning_rate, 10.0),
            ("focal_alpha", self.loss.focal_alpha.unwrap_or(0.0), 1.0),
            ("weight_decay", weight_decay, 10.0),
            ("warmup_epochs", self.warmup_epochs, self.epochs as f64),
            ("last_share", self.last_share, 1.0),
            ("clip_norm", self.clip_norm, 1e6),
            ("label_smoothing", self.loss.label_smoothing, 0.99),
            ("focal_gamma", self.loss.focal_gamma, 10.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(wrong(key, &format!("0 to {most}"), value.to_string()));
            }
        }
        if self.unfreeze_every > 0 && network.backbone_depth() == 0 {
            return Err(wrong(
                "unfreeze_every",
                "0 for a network without a backbone",
                self.unfreeze_every.to_string(),
            ));
        }
        Ok(())
    }
}
