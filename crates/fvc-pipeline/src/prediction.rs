//! [`predict`]: a verdict on videos that nobody has labelled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::Flex;
use fvc_clips::{RegisteredScaler, SizeSpec, as_stored, letterbox};
use fvc_corpus::{DecodeCounts, Failure, FitScope, GroupId, Index, Manifest};
use fvc_features::{Extractor, FORENSIC, ForensicExtractor, NATIVE, SCALED};
use fvc_learn::{Assessment, ClipDetector, Detector, ModelKind, Verdict};
use fvc_media::{
    ContentId, DecodeVerdict, Frame, Limits, MediaCache, PartialPolicy, ReadMode, Reader, Reason,
};
use fvc_nn::{Network, NetworkError, SavedNetwork, write_png};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use crate::feature_tables::facts_of;
use crate::inputs::gather_files;
use crate::network_training::learn_error;
use crate::pass::{clip_facts, media_failure};
use crate::progress::Part;
use crate::training::{ModelRecipe, all_columns};
use crate::{PipelineError, Progress};

/// A trained model, ready for new videos.
#[derive(Debug)]
pub struct LoadedModel {
    /// Where it came from.
    pub path: PathBuf,
    /// The detector.
    pub detector: AnyDetector,
    /// How it was made.
    pub recipe: ModelRecipe,
    scaler: RegisteredScaler,
}

/// A detector of either kind.
pub enum AnyDetector {
    /// Of features.
    Rows(Box<Detector>),
    /// Of clips: the detector, its network with all weights, and the size of its clips.
    Clips(Box<(ClipDetector<SavedNetwork>, Network<Flex>, SizeSpec)>),
}

impl std::fmt::Debug for AnyDetector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("AnyDetector").field(&self.kind()).finish()
    }
}

impl AnyDetector {
    /// The model's name.
    pub fn kind(&self) -> ModelKind {
        match self {
            Self::Rows(detector) => detector.kind(),
            Self::Clips(own) => own.0.kind(),
        }
    }

    /// What it was fitted on.
    pub fn scope(&self) -> &FitScope {
        match self {
            Self::Rows(detector) => detector.scope(),
            Self::Clips(own) => own.0.scope(),
        }
    }

    /// Reads the file of either kind.
    fn load(path: &Path) -> Result<(Self, serde_json::Value), PipelineError> {
        if !ClipDetector::<SavedNetwork>::is_one(path) {
            let (detector, recipe) = Detector::load(path)?;
            return Ok((Self::Rows(Box::new(detector)), recipe));
        }
        let (detector, recipe) = ClipDetector::<SavedNetwork>::load(path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let saved = detector.model();
        let network: Network<_> = saved
            .load(folder)
            .map_err(|error| PipelineError::Learn(learn_error(detector.kind(), error)))?;
        let network = network.for_scoring(saved.trainer.precision);
        let size = saved.size.parse::<SizeSpec>().map_err(|error| PipelineError::Corrupt {
            path: path.to_owned(),
            expected: "the size of a clip".to_owned(),
            found: error,
        })?;
        Ok((Self::Clips(Box::new((detector, network, size))), recipe))
    }
}

impl LoadedModel {
    /// Reads a model file, or the chosen model of a run folder, and checks that this program makes
    /// its inputs in the same way.
    ///
    /// # Errors
    /// The file cannot be read, was changed, or needs features of another version.
    pub fn load(path: &Path) -> Result<Self, PipelineError> {
        let path = if path.is_dir() { chosen_in(path)? } else { path.to_owned() };
        // A pipe would be waited for until somebody writes to it.
        if path.exists() && !path.is_file() {
            return Err(PipelineError::Corrupt {
                path,
                expected: "a model file, or the folder of a run".to_owned(),
                found: "a device, pipe or socket".to_owned(),
            });
        }
        let (detector, recipe) = AnyDetector::load(&path)?;
        let recipe: ModelRecipe =
            serde_json::from_value(recipe).map_err(|error| PipelineError::Corrupt {
                path: path.clone(),
                expected: "a model with its recipe".to_owned(),
                found: error.to_string(),
            })?;
        for (what, expected, found) in [
            ("native features", recipe.recipe.native_version, NATIVE.version),
            ("scaled features", recipe.recipe.scaled_version, SCALED.version),
            ("forensic features", recipe.recipe.forensic_version, FORENSIC.version),
        ] {
            // A model from before there were forensic features reads none.
            if expected != found && expected != 0 {
                return Err(PipelineError::Recipe {
                    path,
                    expected: format!("version {expected} of the {what}"),
                    found: format!("version {found}"),
                });
            }
        }
        let own = RegisteredScaler::all().find(|own| own.tag() == recipe.recipe.scaler);
        let Some(scaler) = own else {
            let scalers: Vec<String> = RegisteredScaler::all().map(RegisteredScaler::tag).collect();
            return Err(PipelineError::Recipe {
                path,
                expected: format!("scaler {}", recipe.recipe.scaler),
                found: scalers.join(", "),
            });
        };
        let known = all_columns();
        let columns = match &detector {
            AnyDetector::Rows(detector) => detector.columns(),
            AnyDetector::Clips(_) => &[],
        };
        if let Some(unknown) = columns.iter().find(|column| !known.contains(column)) {
            return Err(PipelineError::Recipe {
                path,
                expected: format!("feature {unknown}"),
                found: "no such feature".to_owned(),
            });
        }
        Ok(Self { path, detector, recipe, scaler })
    }
}

fn chosen_in(folder: &Path) -> Result<PathBuf, PipelineError> {
    if folder.join("workspace.json").is_file() {
        return crate::newest_model(&crate::Workspace::open(folder)?.runs());
    }
    crate::runs::chosen_in(folder)?.ok_or_else(|| PipelineError::NotReady {
        missing: format!("No finished run in {}", folder.display()),
        instead: "name a model file or the folder of a run that has a result.json".to_owned(),
    })
}

/// What was found of one file.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FilePrediction {
    /// It was scored.
    Scored(Box<ScoredFile>),
    /// The model has learnt from this footage: its score would say nothing.
    InTrainingCorpus {
        /// The file.
        path: PathBuf,
        /// Its content id.
        content_id: ContentId,
        /// What the model has learnt from.
        known_as: KnownAs,
    },
    /// It could not be read.
    Failed(Failure),
}

/// How footage is known to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownAs {
    /// The model was fitted on these very bytes.
    TheSameBytes,
    /// The workspace's index counts these bytes to a group that the model was fitted on: another
    /// copy, window or twin of the same footage.
    TheSameGroup,
}

/// A score with what is needed to judge it.
#[derive(Clone, Debug, Serialize)]
pub struct ScoredFile {
    /// The file.
    pub path: PathBuf,
    /// Its content id.
    pub content_id: ContentId,
    /// Probability, verdict, reasons.
    pub assessment: Assessment,
    /// How much of the file was looked at.
    pub checked: &'static str,
    /// Frames that were looked at.
    pub frames: usize,
    /// Pictures that show where the network saw what speaks for fake, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<PathBuf>,
}

impl ScoredFile {
    /// real, fake or uncertain.
    pub fn verdict(&self) -> Verdict {
        self.assessment.verdict
    }
}

/// What predicting gave.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// One for each file, in a fixed order; then folders that could not be read.
    pub files: Vec<FilePrediction>,
    /// Every file is in it, as a result (scored, or named as known) or as a failure.
    pub manifest: Manifest,
}

/// What predicting needs beside the model.
pub struct PredictOptions<'a> {
    /// Hash of the configuration, for the manifest.
    pub config_hash: String,
    /// What a file may cost.
    pub limits: Limits,
    /// What becomes of a damaged file.
    pub partial: PartialPolicy,
    /// The index of the corpus with its final groups ([`crate::group_sources`]), when there is one: it
    /// knows further files of the model's groups.
    pub index: Option<Index>,
    /// A media cache to use, when there is one.
    pub cache: Option<Arc<MediaCache>>,
    /// Where pictures go that explain what a network says; none are made where this is none.
    pub explain: Option<PathBuf>,
    /// Files at once; 0: one for each processor.
    pub parallel: usize,
    /// Set by Ctrl-C.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// Scores files and all files below folders, in a fixed order. A file that cannot be read is a row
/// of the result and no error. Each is given to `sink` as soon as it and those before it are there.
///
/// # Errors
/// There is nothing below the inputs, the threads cannot be started, or the user asked to stop.
pub fn predict(
    model: &LoadedModel,
    inputs: &[PathBuf],
    options: &PredictOptions<'_>,
    sink: &mut dyn FnMut(&FilePrediction),
) -> Result<Predictions, PipelineError> {
    let mut manifest = Manifest::begin("predict", &options.config_hash);
    let gathered = gather_files(inputs, "predict");
    if gathered.len() == 0 {
        let named: Vec<String> = inputs.iter().map(|input| input.display().to_string()).collect();
        return Err(PipelineError::NothingUsable {
            inputs: 0,
            first: format!("no video was found in {}", named.join(", ")),
        });
    }
    manifest.inputs(gathered.len());
    let mut reader = Reader::new(options.limits.clone())
        .with_partial(options.partial)
        .with_cancel(Arc::clone(&options.cancel));
    if options.explain.is_some() && matches!(model.detector, AnyDetector::Rows(_)) {
        return Err(PipelineError::Config {
            path: None,
            problem: format!(
                "--explain: expected a model of clips, found {}, whose reasons are printed anyway",
                model.detector.kind()
            ),
        });
    }
    if let Some(folder) = &options.explain {
        // Now: each video would be blamed for it.
        fs::create_dir_all(folder).map_err(|error| PipelineError::Config {
            path: None,
            problem: format!(
                "--explain: expected a folder that can be made and written to, found {}: {error}",
                folder.display()
            ),
        })?;
    }
    if let Some(cache) = &options.cache {
        reader = reader.with_cache(Arc::clone(cache));
    }
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(options.parallel)
        .build()
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    let part = Part::begin(options.progress, "files", gathered.files.len() as u64);
    let known_groups = groups_learnt_from(model, options.index.as_ref());
    let mut files = Vec::with_capacity(gathered.files.len());
    let mut tell = |file: FilePrediction| {
        match &file {
            FilePrediction::Failed(failure) => manifest.failed(&failure.reason),
            FilePrediction::Scored(_) | FilePrediction::InTrainingCorpus { .. } => {
                manifest.completed();
            }
        }
        sink(&file);
        files.push(file);
    };
    // In the order of the files, and as soon as it can be: whoever stops us has what was finished.
    for chunk in gathered.files.chunks(2 * threads.current_num_threads()) {
        let found: Vec<Option<FilePrediction>> = threads.install(|| {
            chunk
                .par_iter()
                .map(|path| {
                    if options.cancel.load(Ordering::Relaxed) {
                        return None;
                    }
                    let found = predict_file(
                        model,
                        &reader,
                        (options.index.as_ref(), &known_groups),
                        options.explain.as_deref(),
                        path,
                    );
                    part.advance(1);
                    // One that was cut off by the request to stop has no verdict.
                    (!options.cancel.load(Ordering::Relaxed)).then_some(found)
                })
                .collect()
        });
        let whole = found.iter().all(Option::is_some);
        found.into_iter().flatten().for_each(&mut tell);
        if !whole {
            return Err(PipelineError::Cancelled);
        }
    }
    drop(part);
    gathered.failures.into_iter().map(FilePrediction::Failed).for_each(&mut tell);
    let counters = reader.counters();
    manifest.decodes(DecodeCounts {
        sources: counters.sources(),
        own: counters.own(),
        probes: counters.probes(),
        reasons: BTreeMap::from([("a verdict".to_owned(), counters.sources())]),
    });
    manifest.finish()?;
    Ok(Predictions { files, manifest })
}

/// The groups of the index, as it stands, that hold a source which the model was fitted on. A group
/// that has grown or was joined has another name than when the model was fitted: sources tell, and the
/// names of then for those that have left the index.
fn groups_learnt_from(model: &LoadedModel, index: Option<&Index>) -> BTreeSet<GroupId> {
    let scope = model.detector.scope();
    let now = scope
        .content_ids()
        .filter_map(|content_id| index.and_then(|index| index.groups().group(content_id)));
    scope.groups().chain(now).cloned().collect()
}

fn predict_file(
    model: &LoadedModel,
    reader: &Reader,
    (index, known_groups): (Option<&Index>, &BTreeSet<GroupId>),
    explain: Option<&Path>,
    path: &Path,
) -> FilePrediction {
    let identity = match reader.identify(path) {
        Ok(identity) => identity,
        Err(error) => return FilePrediction::Failed(media_failure(&error, None, "predict")),
    };
    let content_id = identity.content_id;
    let known_as = if model.detector.scope().contains(&content_id) {
        Some(KnownAs::TheSameBytes)
    } else {
        let group = index.and_then(|index| index.groups().group(&content_id));
        group.is_some_and(|group| known_groups.contains(group)).then_some(KnownAs::TheSameGroup)
    };
    if let Some(known_as) = known_as {
        return FilePrediction::InTrainingCorpus { path: path.to_owned(), content_id, known_as };
    }
    let recipe = &model.recipe.recipe;
    let network = match &model.detector {
        AnyDetector::Rows(_) => None,
        AnyDetector::Clips(own) => Some(&**own),
    };
    let mut windows: Vec<Vec<Frame>> = Vec::new();
    let mut native = Extractor::new(&NATIVE);
    let mut forensic = ForensicExtractor::new();
    let mut scaled = Extractor::new(&SCALED);
    let mut scaled_size = None;
    let mut frames = 0_usize;
    let mut unscalable = None;
    let report = reader.read_clip(path, &recipe.sampling, ReadMode::WindowsOnly, &mut |window| {
        if let Some((_, _, size)) = network {
            let own: Result<Vec<Frame>, _> = window
                .frames
                .iter()
                .map(|frame| {
                    let small = model.scaler.scale(frame, size.without_bars())?;
                    let framed = if size.is_letterbox() { letterbox(small, *size)? } else { small };
                    as_stored(&framed)
                })
                .collect();
            match own {
                Ok(own) => {
                    frames += own.len();
                    windows.push(own);
                }
                Err(error) => {
                    unscalable = Some(error.to_string());
                    return ControlFlow::Break(());
                }
            }
            return ControlFlow::Continue(());
        }
        for frame in &window.frames {
            native.push(frame);
            forensic.push(frame);
            let small: Frame = match model.scaler.scale(frame, recipe.size) {
                Ok(small) => small,
                Err(error) => {
                    unscalable = Some(error.to_string());
                    return ControlFlow::Break(());
                }
            };
            scaled_size = Some((small.width(), small.height()));
            scaled.push(&small);
            frames += 1;
        }
        ControlFlow::Continue(())
    });
    let failed = |reason: &str, expected: &str, found: String| {
        FilePrediction::Failed(Failure {
            path: path.to_owned(),
            content_id: Some(content_id),
            stage: "predict".to_owned(),
            reason: reason.to_owned(),
            expected: expected.to_owned(),
            found,
        })
    };
    if let Some(found) = unscalable {
        return failed(Reason::Unsupported.code(), "a picture that can be scaled", found);
    }
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            return FilePrediction::Failed(media_failure(&error, Some(content_id), "predict"));
        }
    };
    if frames == 0 {
        return failed(Reason::Corrupt.code(), "at least one frame", "none".to_owned());
    }
    let checked = match report.verdict {
        DecodeVerdict::Ok => "whole file checked",
        DecodeVerdict::Partial { .. } => "damaged; whole windows used",
        DecodeVerdict::Sampled => "sampled, not fully checked",
    };
    let scored = |assessment: Assessment, pictures: Vec<PathBuf>| {
        FilePrediction::Scored(Box::new(ScoredFile {
            path: path.to_owned(),
            content_id,
            assessment,
            checked,
            frames,
            pictures,
        }))
    };
    let detector = match &model.detector {
        AnyDetector::Clips(own) => {
            let (detector, network, _) = &**own;
            let asked = detector.model().score_frames(network, &windows).and_then(|margin| {
                let pictures = match explain {
                    Some(folder) => {
                        pictures(detector.model(), &model.path, &windows, (content_id, folder))?
                    }
                    None => Vec::new(),
                };
                Ok((margin, pictures))
            });
            return match asked {
                Ok((margin, pictures)) => scored(detector.assess(margin), pictures),
                Err(error) => failed(
                    Reason::Unsupported.code(),
                    "frames that the network can be shown",
                    error.to_string(),
                ),
            };
        }
        AnyDetector::Rows(detector) => detector,
    };
    let mut values = native.finish(&clip_facts(&report.facts, false, None));
    values.extend(forensic.finish());
    values.extend(scaled.finish(&clip_facts(&report.facts, false, scaled_size)));
    values.extend(facts_of(&report.facts));
    let known = all_columns();
    let wanted: Option<Vec<f64>> = detector
        .columns()
        .iter()
        .map(|column| known.iter().position(|own| own == column).map(|at| values[at]))
        .collect();
    // Loading has checked that every column is known.
    let Some(wanted) = wanted else {
        return failed(Reason::Unsupported.code(), "known features", "another model".to_owned());
    };
    scored(detector.assess(&wanted), Vec::new())
}

/// Writes a picture of each window: its frame that speaks most for fake, with where it does.
fn pictures(
    saved: &SavedNetwork,
    model: &Path,
    windows: &[Vec<Frame>],
    (content_id, folder): (ContentId, &Path),
) -> Result<Vec<PathBuf>, NetworkError> {
    let weights = model.parent().unwrap_or_else(|| Path::new("."));
    let mut written = Vec::new();
    fs::create_dir_all(folder)
        .map_err(|source| NetworkError::Io { path: folder.to_owned(), source })?;
    for (number, (frame, heat)) in saved.explain(weights, windows)?.into_iter().enumerate() {
        let id = &content_id.to_hex()[..16];
        let path = folder.join(format!("{id}-window{number}-frame{}.png", frame.index));
        write_png(&path, &frame, &heat)?;
        written.push(path);
    }
    Ok(written)
}
