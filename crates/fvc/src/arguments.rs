//! The command line.

// These comments are the help texts, shown as they stand.
#![allow(clippy::doc_markdown)]

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use fvc_augment::{ForgeryKind, Kind};
use fvc_clips::{RegisteredScaler, SizeSpec};
use fvc_corpus::LabelRule;
use fvc_learn::{Grid, ModelKind};
use fvc_pipeline::{Shard, StageSelection};

/// Tells authentic video from manipulated or synthetic video, and how far to trust the answer.
///
/// Exit codes: 0 every input gave a result (predict: or is known to training); 1 failed, or no input
/// could be used; 2 wrong arguments or configuration; 3 finished, with some inputs failed (see the
/// failure table); 130 stopped by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "fvc", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// The workspace where none is named.
pub(crate) const DEFAULT_WORKSPACE: &str = "fvc-workspace";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// Folder in which everything about one corpus is kept.
    #[arg(
        long,
        short,
        global = true,
        value_name = "DIR",
        default_value = DEFAULT_WORKSPACE,
        env = "FVC_WORKSPACE"
    )]
    pub(crate) workspace: PathBuf,
    /// Configuration file; fvc.example.toml documents every key. Options given here win over it.
    #[arg(long, global = true, value_name = "FILE", env = "FVC_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Write the result as JSON (predict: one line a file) and nothing else on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// End with 0 also when some inputs failed, for schedulers; not when all did.
    #[arg(long, global = true)]
    pub(crate) exit_zero_on_partial: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read folders and tables: content ids, labels, groups, and what cannot be used.
    Index {
        /// Folders (real/…, fake/…) and tables (.csv, .parquet, .arrow) with path and label.
        ///
        /// Folder names that spell a label in words count at any depth, the nearest to the file
        /// first; 0, 1, true and false only directly below the folder named here. Columns group,
        /// group_id, dup_group, cascade_id, source_id and origin of a table all tie videos.
        #[arg(required_unless_present_any = ["fvc", "explain_group"], conflicts_with = "fvc")]
        inputs: Vec<PathBuf>,
        /// The Fake Video Corpus in place of inputs: a folder with FVC.csv, FVC_dup.csv and the
        /// unpacked archives.
        ///
        /// The tables are looked for in the folder, then in its Metadata/, videos/Metadata/,
        /// archive/ and videos/; videos (ID/video.* or ID.*) anywhere below it. Without videos,
        /// what the tables hold is printed and the command ends with 1, as whenever nothing can be
        /// used. Its labels judge the claim of a video, not its pixels.
        #[arg(long, value_name = "DIR")]
        fvc: Option<PathBuf>,
        /// What other labels of the Fake Video Corpus count as: uncertain, debunked and parody =
        /// exclude, real or fake; and videos with two labels: conflict = exclude, usable (rows of
        /// excluded labels are passed over), real or fake (which wins). All are excluded otherwise.
        // With inputs, `requires` alone is waived: they rule `fvc` out.
        #[arg(
            long,
            value_name = "LABEL=USE",
            value_delimiter = ',',
            requires = "fvc",
            conflicts_with = "inputs"
        )]
        fvc_labels: Vec<LabelRule>,
        /// Index nothing; say what holds a group of the index together: which names were declared
        /// for its sources, and which of them show the same footage, where, and how alike.
        ///
        /// A group, a content id (four digits are enough) or the path of a source.
        #[arg(long, value_name = "ID", conflicts_with_all = ["inputs", "fvc"])]
        explain_group: Option<String>,
        #[command(flatten)]
        parallel: ParallelArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Run stages over the index: one decode a source for all that is owed, then training.
    Run {
        /// Stages to run: 1-5, 1-4, 2,4, …
        #[arg(long, default_value = "1-5")]
        stages: StageSelection,
        #[command(flatten)]
        reading: ReadingArguments,
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        framing: FramingArguments,
        #[command(flatten)]
        materialise: MaterialiseArguments,
        #[command(flatten)]
        training: TrainingArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Stage 1: variants of every source, one recorded draw a clip.
    Augment {
        #[command(flatten)]
        reading: ReadingArguments,
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        materialise: MaterialiseArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Stage 2: features at native resolution.
    Features {
        #[command(flatten)]
        reading: ReadingArguments,
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Stage 3: scaled frames into the clip store.
    Scale {
        #[command(flatten)]
        reading: ReadingArguments,
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        framing: FramingArguments,
        #[command(flatten)]
        materialise: MaterialiseArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Stage 4: features of scaled frames.
    ScaledFeatures {
        #[command(flatten)]
        reading: ReadingArguments,
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        shard: ShardArguments,
    },
    /// Stage 5: fit, calibrate and evaluate models; write a run folder.
    Train {
        #[command(flatten)]
        making: MakingArguments,
        #[command(flatten)]
        training: TrainingArguments,
        /// Train nothing; write the trainings of the networks that are named into a folder, with all the
        /// clips that they need, for `fvc-trainer` on a machine without FFmpeg. What it leaves in
        /// DIR/trainings, copied into networks/ of the workspace, is taken over by the same command
        /// without this option.
        #[arg(long, value_name = "DIR", conflicts_with = "shard")]
        export_jobs: Option<PathBuf>,
        /// Refused with the reason: training has no shares.
        #[arg(long, value_name = "I/N", hide = true)]
        shard: Option<Shard>,
    },
    /// Give a verdict on videos.
    Predict {
        /// Videos, and folders of videos.
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
        /// Model file or run folder; missing: the newest run of the workspace.
        #[arg(long, short, value_name = "PATH")]
        model: Option<PathBuf>,
        /// Folder for pictures of where a network saw what speaks for fake (Grad-CAM): of each window
        /// the frame that does most. Models of features print their reasons instead.
        #[arg(long, value_name = "DIR")]
        explain: Option<PathBuf>,
        #[command(flatten)]
        reading: ReadingArguments,
    },
    /// Join what shares made with --shard: the index, tables and records of the whole.
    Merge {
        /// Workspaces to take over from; none: the shares of this workspace.
        ///
        /// Taken over are sources with all that was computed of them, what the media cache knows,
        /// openings of sealed tests and failures; not splits and runs, which are of a part. They are
        /// left as they are. Two that say different things of one source are refused.
        #[arg(value_name = "WORKSPACE")]
        from: Vec<PathBuf>,
    },
    /// Check that everything in a workspace is whole: 0 all is, 1 something is not, 2 cannot check.
    Verify {
        /// The workspace; missing: that of --workspace.
        #[arg(value_name = "WORKSPACE")]
        root: Option<PathBuf>,
        /// Also mend it: write again what follows from records, remove what nothing names and what is
        /// half-written, and make again what sources have lost. 1 if something remains.
        ///
        /// Decodes the sources that have lost something, once each, and no other. Videos, runs,
        /// splits and the ledger are never changed.
        #[arg(long)]
        repair: bool,
    },
    /// Make manipulated twins of authentic clips, with the same final encode on both sides.
    Forge(ForgeArguments),
    /// Write the batch script that trains networks by all processes of a Slurm job.
    Slurm(SlurmArguments),
    /// List the model types, and the runs of the workspace.
    Models,
    /// Look after the media cache of the workspace.
    Cache {
        #[command(subcommand)]
        action: CacheAction,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How sources are read.
#[derive(Debug, Args)]
pub(crate) struct ReadingArguments {
    #[command(flatten)]
    pub(crate) damaged: DamagedArguments,
    #[command(flatten)]
    pub(crate) parallel: ParallelArguments,
}

/// What becomes of damaged sources.
#[derive(Debug, Args)]
pub(crate) struct DamagedArguments {
    /// What becomes of a source of which only part decodes.
    #[arg(long, value_enum)]
    pub(crate) partial: Option<Partial>,
}

/// How much is done at once.
#[derive(Debug, Args)]
pub(crate) struct ParallelArguments {
    /// Sources read at once, to 512; 0: one for each processor.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) parallel: Option<usize>,
}

/// What becomes of a source of which only part decodes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Partial {
    /// It fails.
    Refuse,
    /// Its whole windows are used.
    Use,
}

/// Which share of the work is done.
#[derive(Debug, Args)]
pub(crate) struct ShardArguments {
    /// Do only share I of N, beside other processes or machines; `fvc merge` joins them. What is
    /// whose follows from content ids (for index, from paths) and N alone.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
}

/// What is made of each source.
#[derive(Debug, Args)]
pub(crate) struct MakingArguments {
    /// Variants a source beside the original.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) variants: Option<u32>,
    /// Kinds of variants.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', num_args = 1..)]
    pub(crate) kinds: Option<Vec<Kind>>,
    /// Sizes of the scaled frames, all made in one pass, sides of 16 to 4096 pixels: 224max or 224
    /// (the longer side), 256min (the shorter side), 224letterbox (as 224max, centred on a square
    /// of black). Stage 4 measures the first, or --feature-size, and no bars.
    #[arg(
        long,
        visible_alias = "size",
        value_name = "SIZES",
        value_delimiter = ',',
        num_args = 1..,
        allow_negative_numbers = true
    )]
    pub(crate) sizes: Option<Vec<SizeSpec>>,
    /// Which of the sizes stage 4 measures; missing: the first.
    #[arg(long, value_name = "SIZE")]
    pub(crate) feature_size: Option<SizeSpec>,
    /// What scales.
    #[arg(long, value_name = "NAME", value_parser = scalers())]
    pub(crate) scaler: Option<RegisteredScaler>,
}

/// The names of the registry, and what each does.
fn scalers() -> impl TypedValueParser<Value = RegisteredScaler> {
    let names = RegisteredScaler::all()
        .map(|scaler| PossibleValue::new(scaler.name()).help(scaler.about()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RegisteredScaler>())
}

/// How scaled frames are kept.
#[derive(Debug, Args)]
pub(crate) struct FramingArguments {
    /// Put the frames of all sizes on squares of black, centred, the aspect kept. Features do not
    /// change: they are of the picture alone. Only with sizes by the longer side.
    #[arg(long)]
    pub(crate) letterbox: bool,
}

/// What stages 1 and 3 leave behind.
#[derive(Debug, Args)]
pub(crate) struct MaterialiseArguments {
    /// Also write MP4 files, nearly without loss: augment (variants at native size), scale (scaled
    /// frames of original and variants, in all sizes); without names, of those two that are run. A
    /// variant of odd width or height loses its last column or row; scaled frames are even.
    #[arg(long, value_enum, value_name = "STAGES", value_delimiter = ',', num_args = 0..)]
    pub(crate) materialise: Option<Vec<FileStage>>,
}

/// A stage that can leave MP4 files behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileStage {
    /// Variants at native size.
    Augment,
    /// Scaled frames of original and variants.
    Scale,
}

/// What is fitted and how it is judged.
#[derive(Debug, Args)]
pub(crate) struct TrainingArguments {
    /// Models to fit (`fvc models` lists them).
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 1..)]
    pub(crate) model_types: Option<Vec<ModelKind>>,
    /// Also fit an ensemble: over the other models that are named, where there are two at least, and
    /// otherwise over logistic_regression, svm and xgboost.
    #[arg(long)]
    pub(crate) train_ensemble: bool,
    /// Models that the ensemble is over.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 1..)]
    pub(crate) ensemble_bases: Option<Vec<ModelKind>>,
    /// How the ensemble makes one of them: `meta_learner` or `weighted_average`; both are tried where none
    /// is named.
    #[arg(long, value_name = "METHOD")]
    pub(crate) ensemble_method: Option<String>,
    /// Weights that the network begins from: .safetensors, .pt or .pth.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Begin backbones at random that are meant to be pretrained; the run's name says so.
    #[arg(long)]
    pub(crate) random_backbone: bool,
    /// Number format of networks: auto (bf16 where the processor multiplies it), f32, bf16 or f16.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) precision: Option<String>,
    /// Epochs of networks at most.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// Where networks are trained: cpu, or cuda:N in builds with it.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Several devices that train one network together, each with a replica: 0,1 (short for
    /// cuda:0,cuda:1), or cpu,cpu to try it. Batch and accumulation mean what they mean on one device: the
    /// clips of a step are dealt out.
    #[arg(long, value_name = "DEVICES", conflicts_with = "device")]
    pub(crate) devices: Option<String>,
    /// Seconds after which a rank that does not come is named and the training ends with an error; 1800
    /// where none are named.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) rank_patience: Option<f64>,
    /// Ranks that share each replica of a vision transformer, with a part of every block each; the ranks
    /// are as many replicas as make N of them up. 1 where nothing is said: each rank a replica.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) tensor_parallel: Option<f64>,
    /// MiB that the training of a network may take, checked by an estimate before it starts: batches that
    /// would not fit are cut. 0, or none: as much as there is.
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    pub(crate) memory: Option<f64>,
    /// Outer folds of groups.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub(crate) folds: Option<u32>,
    /// Share of each class to seal for one final test; 0: grouped cross-validation only.
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) test_fraction: Option<f64>,
    /// Official split to import: a table with path or content id, and part (train, val, test,
    /// sealed, fold_N). Rows that name nothing in the index are reported and pass; every source
    /// with features needs a row.
    #[arg(long, value_name = "FILE")]
    pub(crate) split: Option<PathBuf>,
    /// Plan a new split beside the one there is for these settings, for a corpus that has grown. What
    /// was sealed in the old one may be learnt from in the new one, and openings of either count.
    #[arg(long)]
    pub(crate) replan_split: bool,
    /// Seed of the split, the fits and the bootstrap.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Grid of hyper-parameters: reference, small or none.
    #[arg(long)]
    pub(crate) grid: Option<Grid>,
    /// Name of the folder that the run is kept in.
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,
    /// Error that verdicts promise to keep to.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub(crate) max_error: Option<f64>,
}

/// What is forged.
#[derive(Debug, Args)]
pub(crate) struct ForgeArguments {
    /// Authentic clips, and folders of them.
    #[arg(required_unless_present = "list")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Folder for real/, fake/, corpus.csv and forgeries.json. The same command in the same folder
    /// goes on where it was stopped, and makes what is missing when there are more clips.
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    pub(crate) out: Option<PathBuf>,
    /// Windows cut from each clip, where it is long enough.
    #[arg(long, default_value_t = 4)]
    pub(crate) windows: u32,
    /// Frames of every file that is written.
    #[arg(long, default_value_t = 48)]
    pub(crate) frames: u32,
    /// Kinds of forgery, taken in turn; missing: all. Where one is not possible (nothing moves, no
    /// other window to take pixels from), the next one is taken, and refused.csv says so.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', num_args = 1..)]
    pub(crate) kinds: Option<Vec<ForgeryKind>>,
    /// Forged twins of each window, each of another draw of kind, region, time, strength and encode.
    /// Every clip gives windows times draws of them: one with fewer windows has more of each, so that
    /// each origin counts once.
    #[arg(long, value_name = "N", alias = "twins", default_value_t = 1)]
    pub(crate) draws: u32,
    /// Seed of every draw.
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Constant rate factor of the final encode of both twins, 0 to 51; of a range such as 18-30 each
    /// draw has its own, and an authentic twin of that.
    #[arg(long, value_name = "N|LOW-HIGH", default_value = "20", value_parser = crf_range)]
    pub(crate) crf: RangeInclusive<u8>,
    /// Platforms by whose profile half of the draws are encoded before the final encode, both twins
    /// alike; all: every one there is.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', num_args = 1..)]
    pub(crate) platforms: Vec<String>,
    /// Where a splice, a swap and an insertion take other pixels from: another window of the same clip,
    /// or another clip. Clips are then paired, and each pair is one group.
    #[arg(long, value_enum, default_value_t = DonorsArgument::Windows)]
    pub(crate) donors: DonorsArgument,
    /// Print the kinds with their parameter ranges, and do nothing.
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) reading: ReadingArguments,
}

/// Where other pixels come from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DonorsArgument {
    /// Another window of the same clip.
    Windows,
    /// The other clip of a pair.
    Pairs,
}

/// A constant rate factor, or a range of them.
fn crf_range(text: &str) -> Result<RangeInclusive<u8>, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u8>().ok().filter(|crf| *crf <= 51);
    match (number(low), number(high)) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err("expected 0 to 51, or a range of these such as 18-30".to_owned()),
    }
}

/// What a Slurm job is to have.
#[derive(Debug, Args)]
pub(crate) struct SlurmArguments {
    /// Machines.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) nodes: u32,
    /// NVIDIA devices of each machine, and processes on it, one each; 0: processors only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) gpus: u32,
    /// Processes of each machine; missing: one a device, or one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) tasks: Option<u32>,
    /// Processors of each process.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) cpus: u32,
    /// Time limit as Slurm writes it: minutes, H:MM:SS or D-HH:MM:SS. A job that meets it leaves a
    /// checkpoint and is queued again.
    #[arg(long, default_value = "24:00:00", value_parser = slurm_time)]
    pub(crate) time: String,
    /// Partition.
    #[arg(long, value_parser = slurm_word)]
    pub(crate) partition: Option<String>,
    /// Account.
    #[arg(long, value_parser = slurm_word)]
    pub(crate) account: Option<String>,
    /// What srun starts MPI by (`srun --mpi=list`).
    #[arg(long, default_value = "pmix", value_parser = slurm_word)]
    pub(crate) mpi: String,
    /// The program on those machines, built with `--features mpi`.
    #[arg(long, value_name = "PATH", default_value = "fvc")]
    pub(crate) program: String,
    /// File for the script; missing: it is printed.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The command: train or run, with its options.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// A value of a line `#SBATCH`, in which nothing can be quoted.
fn slurm_word(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.,:/+=-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("expected letters, digits and _.,:/+=-".to_owned())
    }
}

/// A time limit: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S.
fn slurm_time(text: &str) -> Result<String, String> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days), rest),
        None => (None, text),
    };
    let parts: Vec<&str> = rest.split(':').collect();
    let number =
        |part: &str| !part.is_empty() && part.len() < 8 && part.bytes().all(|c| c.is_ascii_digit());
    if days.is_none_or(number) && parts.len() <= 3 && parts.iter().all(|part| number(part)) {
        Ok(text.to_owned())
    } else {
        Err("expected minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S".to_owned())
    }
}

/// What to do with the media cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheAction {
    /// What is in it.
    Stats,
    /// Forget files that are gone or have changed.
    Prune,
    /// Forget everything.
    Clear,
}
