//! [`run_pass`]: one decode of one source, for everything that is owed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_augment::Draw;
use fvc_clips::ClipStore;
use fvc_corpus::{Failure, Fingerprint, FingerprintBuilder, Source, write_atomically};
use fvc_features::{ClipFacts, Extractor, ForensicExtractor, NATIVE};
use fvc_media::{
    ContentId, DecodeVerdict, EncodeError, Facts, Frame, MediaError, Rational, ReadMode, Reader,
    Reason, Window,
};

use crate::file_sink::FileSink;
use crate::plan::{Owed, Task, Wanted};
use crate::scaled_sinks::ScaledSinks;
use crate::{Config, Output, Pass, PipelineError, Unit, Workspace};

/// What every pass of a command shares.
pub(crate) struct PassContext<'a> {
    pub(crate) config: &'a Config,
    pub(crate) workspace: &'a Workspace,
    pub(crate) reader: &'a Reader,
    pub(crate) store: &'a ClipStore,
    pub(crate) cancel: &'a Arc<AtomicBool>,
}

/// Why a pass gave nothing.
#[derive(Debug)]
pub(crate) enum PassError {
    /// The source's fault: a row of the failure table.
    Source(Box<Failure>),
    /// Ours, or the machine's.
    Pipeline(PipelineError),
}

impl From<PipelineError> for PassError {
    fn from(error: PipelineError) -> Self {
        Self::Pipeline(error)
    }
}

/// A failure row for what the media layer says of a source.
pub(crate) fn media_failure(
    error: &MediaError,
    content_id: Option<ContentId>,
    stage: &str,
) -> Failure {
    Failure {
        path: error.path.clone(),
        content_id,
        stage: stage.to_owned(),
        reason: error.reason.code().to_owned(),
        expected: error.expected.clone(),
        found: error.found.clone(),
    }
}

/// What the media layer says of a source is its failure, unless it is the machine's.
fn of_media(error: MediaError, source: &Source) -> PassError {
    match error.reason {
        Reason::Cancelled => PassError::Pipeline(PipelineError::Cancelled),
        Reason::CacheUnavailable => PassError::Pipeline(error.into()),
        _ => PassError::Source(Box::new(media_failure(&error, Some(source.content_id), "pass"))),
    }
}

/// A variant that could not be written: the machine's failure, or that of what was to be encoded.
fn of_encoding(error: EncodeError, row: &dyn Fn(&str, &str, String) -> PassError) -> PassError {
    match error {
        EncodeError::Io { path, source } => PassError::Pipeline(PipelineError::Io { path, source }),
        error => row("encode_failed", "an MP4 file", error.to_string()),
    }
}

/// What is made of one variant of the clip, window by window.
struct VariantSinks {
    draw: Option<Draw>,
    native: Option<Extractor>,
    forensic: Option<ForensicExtractor>,
    scaled: ScaledSinks,
    file: Option<FileSink>,
}

/// Decodes `source` once and gives everything in `owed` to its sinks; the outputs are added to
/// `unit` (or to a new one). Nothing is saved here.
pub(crate) fn run_pass(
    context: &PassContext<'_>,
    source: &Source,
    draws: &[Draw],
    owed: Owed,
    unit: Option<Unit>,
) -> Result<Unit, PassError> {
    let config = context.config;
    let row = |reason: &str, expected: &str, found: String| {
        PassError::Source(Box::new(Failure {
            path: source.path.clone(),
            content_id: Some(source.content_id),
            stage: "pass".to_owned(),
            reason: reason.to_owned(),
            expected: expected.to_owned(),
            found,
        }))
    };
    // The bytes must still be those that were indexed: features of other bytes under this id
    // would be somebody else's.
    let identity =
        context.reader.identify(&source.path).map_err(|error| of_media(error, source))?;
    if identity.content_id != source.content_id {
        return Err(row(
            Reason::Changed.code(),
            &format!("content id {}", source.content_id),
            format!("{} (index again)", identity.content_id),
        ));
    }
    let mut sinks = make_sinks(context, source, draws, &owed)?;
    let frame_rate =
        source_frame_rate(context.reader, &source.path).map_err(|error| of_media(error, source))?;

    let mut stopped: Option<PassError> = None;
    let mut feed_sinks =
        |window: Window| match feed(context, source, &mut sinks, &window, frame_rate) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                stopped = Some(error);
                ControlFlow::Break(())
            }
        };
    let mut fingerprint = owed
        .outputs
        .iter()
        .any(|output| output.task == Task::Fingerprint)
        .then(|| FingerprintBuilder::new(config.limits.duration_seconds));
    let report = match &mut fingerprint {
        Some(builder) => context.reader.read_clip_and_thumbnails(
            &source.path,
            &config.sampling,
            &mut feed_sinks,
            &mut |thumbnail| builder.push(thumbnail),
        ),
        None => context.reader.read_clip(
            &source.path,
            &config.sampling,
            ReadMode::WholeFile,
            &mut feed_sinks,
        ),
    };
    if let Some(error) = stopped {
        return Err(error);
    }
    let report = report.map_err(|error| of_media(error, source))?;
    if report.sampling.windows.is_empty() {
        return Err(row(Reason::Corrupt.code(), "at least one frame", "none".to_owned()));
    }

    let mut unit = match unit {
        Some(mut unit) => {
            unit.facts = report.facts.clone();
            unit.verdict = report.verdict.clone();
            unit
        }
        None => Unit::new(source.content_id, report.facts.clone(), report.verdict.clone()),
    };
    for draw in draws {
        unit.draws.insert(draw.variant, draw.clone());
    }
    let mut names = Vec::with_capacity(owed.outputs.len());
    for output in &owed.outputs {
        if output.task == Task::Fingerprint
            && let Some(builder) = fingerprint.take()
        {
            let made = builder
                .finish()
                .map_err(|error| row(Reason::LimitExceeded.code(), &error.expected, error.found))?;
            let made = save_fingerprint(context, source, output, &made)?;
            unit.outputs.insert(output.name.clone(), made);
            names.push(output.name.clone());
            continue;
        }
        let Some(sink) = sinks.get_mut(&output.variant) else {
            return Err(
                PipelineError::Internal { what: format!("no sink for {}", output.name) }.into()
            );
        };
        let made = finish(context, sink, output.task, &report.facts)
            .map_err(|error| error.into_pass_error(&row))?;
        unit.outputs.insert(output.name.clone(), made);
        names.push(output.name.clone());
    }
    unit.passes.push(Pass {
        reason: owed.reason,
        decoded_frames: report.decoded_frames,
        outputs: names,
        settings: serde_json::to_string(&config.of_outputs()).ok(),
    });
    Ok(unit)
}

/// Writes a fingerprint to its file.
fn save_fingerprint(
    context: &PassContext<'_>,
    source: &Source,
    output: &Wanted,
    fingerprint: &Fingerprint,
) -> Result<Output, PipelineError> {
    let id = source.content_id.to_hex();
    let relative = format!("fingerprints/{}/{id}-{}.fvcprint", &id[..2], file_tag(output));
    let path = context.workspace.root().join(&relative);
    let bytes = fingerprint.to_bytes();
    write_atomically(&path, &bytes).map_err(|source| PipelineError::Io { path, source })?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok(Output::File { path: relative, bytes: bytes.len() as u64, hash })
}

/// The frame rate at which variants are encoded: the stream's own.
fn source_frame_rate(reader: &Reader, path: &Path) -> Result<Option<Rational>, MediaError> {
    let probe = reader.probe(path)?;
    Ok(probe.facts.frame_rate.or(probe.facts.nominal_frame_rate))
}

fn make_sinks(
    context: &PassContext<'_>,
    source: &Source,
    draws: &[Draw],
    owed: &Owed,
) -> Result<BTreeMap<u32, VariantSinks>, PassError> {
    let mut sinks: BTreeMap<u32, VariantSinks> = BTreeMap::new();
    for output in owed.outputs.iter().filter(|output| output.task != Task::Fingerprint) {
        let draw = draws.iter().find(|draw| draw.variant == output.variant).cloned();
        let sink = sinks.entry(output.variant).or_insert_with(|| VariantSinks {
            draw,
            native: None,
            forensic: None,
            scaled: ScaledSinks::default(),
            file: None,
        });
        match output.task {
            Task::Fingerprint => {}
            Task::Native => sink.native = Some(Extractor::new(&NATIVE)),
            Task::Forensic => sink.forensic = Some(ForensicExtractor::new()),
            Task::Scaled(size) => sink.scaled.measure(size),
            Task::Clip(size) => {
                let writer = context
                    .store
                    .with_tag(&file_tag(output))
                    .writer(&source.content_id, output.variant, size)
                    .map_err(PipelineError::from)?;
                sink.scaled.keep(size, writer);
            }
            Task::File => {
                let who = FileSink::who(&source.content_id, output.variant, sink.draw.as_ref());
                let relative = format!("variants/{who}-{}.mp4", file_tag(output));
                sink.file = Some(FileSink::new(relative));
            }
            Task::ScaledFile(size) => {
                let who = FileSink::who(&source.content_id, output.variant, sink.draw.as_ref());
                let relative = format!("scaled/{who}-{size}-{}.mp4", file_tag(output));
                sink.scaled.materialise(size, FileSink::new(relative));
            }
        }
    }
    Ok(sinks)
}

/// What tells the files of two settings apart: a hash of the output's whole name.
fn file_tag(output: &Wanted) -> String {
    blake3::hash(output.name.as_bytes()).to_hex()[..8].to_owned()
}

/// Gives one window to every sink of every variant.
fn feed(
    context: &PassContext<'_>,
    source: &Source,
    sinks: &mut BTreeMap<u32, VariantSinks>,
    window: &Window,
    frame_rate: Option<Rational>,
) -> Result<(), PassError> {
    let row = |reason: &str, expected: &str, found: String| {
        PassError::Source(Box::new(Failure {
            path: source.path.clone(),
            content_id: Some(source.content_id),
            stage: "pass".to_owned(),
            reason: reason.to_owned(),
            expected: expected.to_owned(),
            found,
        }))
    };
    for sink in sinks.values_mut() {
        if context.cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Cancelled.into());
        }
        let augmented = match &sink.draw {
            None => None,
            Some(draw) => {
                // A stream that states no rate is encoded at the rate its frames are shown at.
                let rate = frame_rate.unwrap_or_else(|| shown_rate(window));
                Some(
                    draw.apply(window, rate, &context.reader.counters())
                        .map_err(|error| row("augment_failed", "a variant", error.to_string()))?,
                )
            }
        };
        let frames: &[Frame] = augmented.as_ref().map_or(&window.frames, |window| &window.frames);
        if let Some(native) = &mut sink.native {
            for frame in frames {
                native.push(frame);
            }
        }
        if let Some(forensic) = &mut sink.forensic {
            for frame in frames {
                forensic.push(frame);
            }
        }
        let root = context.workspace.root();
        let rate = frame_rate.unwrap_or_else(|| shown_rate(window));
        let scaler = context.config.scale.scaler;
        sink.scaled
            .push(frames, scaler, root, rate)
            .map_err(|error| error.into_pass_error(&row))?;
        if let Some(file) = &mut sink.file {
            file.push(root, frames, rate).map_err(|error| of_encoding(error, &row))?;
        }
    }
    Ok(())
}

/// The rate at which the frames of a window follow one another, in thousandths of a frame a second.
fn shown_rate(window: &Window) -> Rational {
    let (Some(first), Some(last)) = (window.frames.first(), window.frames.last()) else {
        return Rational::new(25, 1);
    };
    let seconds = last.time - first.time;
    if window.frames.len() < 2 || seconds <= 0.0 {
        // One picture has no rate; the container still needs one to be written.
        return Rational::new(25, 1);
    }
    let rate = (window.frames.len() - 1) as f64 / seconds;
    Rational::new(((rate * 1000.0).round() as i64).max(1), 1000)
}

/// Why a sink did not take frames, or could not end.
pub(crate) enum SinkError {
    /// An MP4 file: the source's frames cannot be encoded, or not be written.
    Encode(EncodeError),
    /// Ours, or the machine's.
    Pipeline(PipelineError),
}

impl SinkError {
    /// What a task that nobody asked for gives.
    pub(crate) fn lost() -> Self {
        Self::Pipeline(PipelineError::Internal {
            what: "an output was asked for twice in one pass".to_owned(),
        })
    }

    fn into_pass_error(self, row: &dyn Fn(&str, &str, String) -> PassError) -> PassError {
        match self {
            Self::Encode(error) => of_encoding(error, row),
            Self::Pipeline(error) => PassError::Pipeline(error),
        }
    }
}

impl<T: Into<PipelineError>> From<T> for SinkError {
    fn from(error: T) -> Self {
        Self::Pipeline(error.into())
    }
}

fn finish(
    context: &PassContext<'_>,
    sink: &mut VariantSinks,
    task: Task,
    facts: &Facts,
) -> Result<Output, SinkError> {
    let is_variant = sink.draw.is_some();
    let root = context.workspace.root();
    match task {
        // It is of the whole source and no sink of a variant.
        Task::Fingerprint => Err(SinkError::lost()),
        Task::Native => {
            let mut extractor = sink.native.take().ok_or_else(SinkError::lost)?;
            let facts = clip_facts(facts, is_variant, None);
            Ok(Output::Features(present(extractor.finish(&facts))))
        }
        Task::Forensic => {
            let mut extractor = sink.forensic.take().ok_or_else(SinkError::lost)?;
            Ok(Output::Features(present(extractor.finish())))
        }
        Task::File => sink.file.take().ok_or_else(SinkError::lost)?.finish(root),
        Task::Scaled(size) => {
            sink.scaled.finish_features(size, |scaled| clip_facts(facts, is_variant, scaled))
        }
        Task::Clip(size) => sink.scaled.finish_clip(size),
        Task::ScaledFile(size) => sink.scaled.finish_file(size, root),
    }
}

/// What the extractors are told of the file. A variant has no stream of its own: its codec facts
/// are missing, never those of the file it came from.
pub(crate) fn clip_facts(facts: &Facts, is_variant: bool, scaled: Option<(u32, u32)>) -> ClipFacts {
    let (native_width, native_height) = facts.upright_size();
    ClipFacts {
        stream_bit_rate: if is_variant {
            None
        } else {
            facts.stream_bit_rate.map(|rate| rate as f64)
        },
        frame_rate: if is_variant { None } else { facts.frame_rate.and_then(Rational::value) },
        native_width,
        native_height,
        scaled,
    }
}

pub(crate) fn present(values: Vec<f64>) -> Vec<Option<f64>> {
    values.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect()
}

/// Whether a source whose decode ended with this verdict may be used under the configuration.
pub(crate) fn acceptable(
    config: &Config,
    source: &Source,
    verdict: &DecodeVerdict,
) -> Result<(), Box<Failure>> {
    match verdict {
        DecodeVerdict::Partial { decoded, promised, detail }
            if config.reading.partial == fvc_media::PartialPolicy::Refuse =>
        {
            Err(Box::new(Failure {
                path: source.path.clone(),
                content_id: Some(source.content_id),
                stage: "pass".to_owned(),
                reason: Reason::Partial.code().to_owned(),
                expected: format!("{promised} frames"),
                found: format!("{decoded} frames; {detail}"),
            }))
        }
        _ => Ok(()),
    }
}
