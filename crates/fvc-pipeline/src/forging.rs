//! [`forge`]: manipulated twins of authentic clips, with the same final encode on both sides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_augment::{AugmentError, Forgery, ForgeryKind};
use fvc_corpus::{DecodeCounts, Failure, FailureTable, Manifest, write_atomically};
use fvc_media::{
    ColorTags, ContentId, EncodeError, EncodeSettings, Encoder, Frame, FrameSpan, Limits,
    MediaError, PartialPolicy, Rational, Reader, Reason,
};
use serde::{Deserialize, Serialize};

use crate::inputs::gather_files;
use crate::pass::media_failure;
use crate::progress::Part;
use crate::{PipelineError, Progress};

/// How often an invisible forgery is drawn again.
const ATTEMPTS: u32 = 16;

/// What is forged, and how.
pub struct ForgeOptions<'a> {
    /// Where `real/`, `fake/`, `corpus.csv` and `forgeries.json` go.
    pub out: PathBuf,
    /// Windows cut from each clip.
    pub windows: u32,
    /// Frames of every file that is written.
    pub frames: u32,
    /// Kinds of forgery, taken in turn.
    pub kinds: Vec<ForgeryKind>,
    /// Forged twins of each window.
    pub twins: u32,
    /// Seed of every draw.
    pub seed: u64,
    /// Constant rate factor of the final encode of both twins, 0 to 51.
    pub crf: u8,
    /// What a source may cost.
    pub limits: Limits,
    /// What becomes of a damaged clip.
    pub partial: PartialPolicy,
    /// Set by Ctrl-C.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// One written file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgedFile {
    /// Path from the output folder.
    pub path: String,
    /// `real` or `fake`.
    pub label: String,
    /// Content id of the clip it was cut from: windows and twins of one clip are one group.
    pub group: ContentId,
    /// The clip.
    pub source: String,
    /// The frames of the clip that were cut out.
    pub cut: FrameSpan,
    /// What was done; missing in the authentic twin.
    pub forgery: Option<Forgery>,
}

/// What was forged.
#[derive(Clone, Debug)]
pub struct ForgeOutcome {
    /// Every clip is in it, as done or as a failure.
    pub manifest: Manifest,
    /// Clips of which nothing was made.
    pub failures: Vec<Failure>,
    /// Every file.
    pub files: Vec<ForgedFile>,
}

/// Cuts windows from authentic clips and writes each twice: as it is, and forged, with the same
/// encoder settings, so that compression tells nothing. Donors of a splice come from another
/// window of the same clip: two clips are never tied to each other.
///
/// # Errors
/// The output folder holds something already, no clip could be used, or the user asked to stop.
pub fn forge(
    inputs: &[PathBuf],
    options: &ForgeOptions<'_>,
) -> Result<ForgeOutcome, PipelineError> {
    check(options)?;
    let gathered = gather_files(inputs, "forge");
    let total = gathered.len();
    let clips = gathered.files;
    std::fs::create_dir_all(&options.out)
        .map_err(|source| PipelineError::Io { path: options.out.clone(), source })?;
    let reader = Reader::new(options.limits.clone())
        .with_partial(options.partial)
        .with_cancel(Arc::clone(&options.cancel));
    let mut manifest = Manifest::begin("forge", &settings_hash(options));
    manifest.inputs(total);
    let mut failures: Vec<Failure> = gathered.failures;
    for failure in &failures {
        manifest.failed(&failure.reason);
    }
    let mut files: Vec<ForgedFile> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let part = Part::begin(options.progress, "clips", clips.len() as u64);
    for clip in &clips {
        if options.cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Cancelled);
        }
        let mut written = Written::default();
        match forge_clip(&reader, clip, options, &mut seen, &mut written) {
            Ok(made) => {
                written.keep();
                manifest.completed();
                files.extend(made);
            }
            Err(ClipError::Source(failure)) => {
                manifest.failed(&failure.reason);
                failures.push(*failure);
            }
            Err(ClipError::Pipeline(error)) => return Err(error),
        }
        part.advance(1);
    }
    drop(part);
    let counters = reader.counters();
    manifest.decodes(DecodeCounts {
        sources: counters.sources(),
        own: counters.own(),
        probes: counters.probes(),
        reasons: BTreeMap::from([("cut windows".to_owned(), counters.sources())]),
    });
    manifest.finish()?;
    if files.is_empty() {
        return Err(PipelineError::NothingUsable {
            inputs: total,
            first: failures
                .first()
                .map_or_else(|| "no clip was found".to_owned(), ToString::to_string),
        });
    }
    write_records(&options.out, &files)?;
    FailureTable::from(failures.clone()).save(&options.out)?;
    manifest.save(&options.out.join("manifest.json"))?;
    Ok(ForgeOutcome { manifest, failures, files })
}

fn check(options: &ForgeOptions<'_>) -> Result<(), PipelineError> {
    let wrong = |key: &str, expected: &str, found: String| PipelineError::Config {
        path: None,
        problem: format!("{key}: expected {expected}, found {found}"),
    };
    if options.windows == 0 || options.windows > 1000 {
        return Err(wrong("windows", "1 to 1000", options.windows.to_string()));
    }
    if !(8..=512).contains(&options.frames) {
        return Err(wrong("frames", "8 to 512", options.frames.to_string()));
    }
    if options.crf > 51 {
        return Err(wrong("crf", "0 to 51", options.crf.to_string()));
    }
    if options.kinds.is_empty() || options.twins == 0 {
        return Err(wrong("kinds and twins", "at least one of each", "none".to_owned()));
    }
    // What an earlier run left there would be counted to this one's corpus, without its groups.
    let occupied = match std::fs::read_dir(&options.out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(PipelineError::Io { path: options.out.clone(), source }),
    };
    if occupied {
        return Err(PipelineError::Corrupt {
            path: options.out.clone(),
            expected: "an empty output folder, or none yet".to_owned(),
            found: "one with files in it (remove them, or name another --out)".to_owned(),
        });
    }
    Ok(())
}

fn settings_hash(options: &ForgeOptions<'_>) -> String {
    let kinds: Vec<String> = options.kinds.iter().map(ToString::to_string).collect();
    let text = format!(
        "{} {} {} {} {} {}",
        options.windows,
        options.frames,
        kinds.join(","),
        options.twins,
        options.seed,
        options.crf
    );
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

enum ClipError {
    Source(Box<Failure>),
    Pipeline(PipelineError),
}

impl From<PipelineError> for ClipError {
    fn from(error: PipelineError) -> Self {
        Self::Pipeline(error)
    }
}

/// Files of a clip that is not finished: removed, unless it ends well. A clip that fails at a later
/// window leaves no file behind that no table names.
#[derive(Default)]
struct Written(Vec<PathBuf>);

impl Written {
    fn file(&mut self, path: PathBuf) -> PathBuf {
        self.0.push(path.clone());
        path
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that was never made is not there; what is wrong with the clip was reported.
            drop(std::fs::remove_file(path));
        }
    }
}

/// A window of the clip in memory, with what was asked for.
struct Cut {
    number: usize,
    span: FrameSpan,
    frames: Vec<Frame>,
}

fn forge_clip(
    reader: &Reader,
    clip: &Path,
    options: &ForgeOptions<'_>,
    seen: &mut std::collections::BTreeSet<ContentId>,
    written: &mut Written,
) -> Result<Vec<ForgedFile>, ClipError> {
    let media = |error: MediaError| {
        if error.reason == Reason::Cancelled {
            ClipError::Pipeline(PipelineError::Cancelled)
        } else {
            ClipError::Source(Box::new(media_failure(&error, None, "forge")))
        }
    };
    let row = |reason: &str, expected: String, found: String| {
        ClipError::Source(Box::new(Failure {
            path: clip.to_owned(),
            content_id: None,
            stage: "forge".to_owned(),
            reason: reason.to_owned(),
            expected,
            found,
        }))
    };
    let probe = reader.probe(clip).map_err(media)?;
    if !seen.insert(probe.content_id) {
        return Err(row(
            "duplicate_content",
            "a clip of its own".to_owned(),
            "the same bytes as another clip".to_owned(),
        ));
    }
    let total = probe.index.frames();
    // Half as many frames again, so that a clip from which frames were taken out is as long as its
    // authentic twin.
    let needed = u64::from(options.frames) + u64::from(options.frames) / 2;
    let windows = u64::from(options.windows).min(total / needed);
    if windows == 0 {
        return Err(row(
            "too_short",
            format!("at least {needed} frames"),
            format!("{total} frames"),
        ));
    }
    let spans: Vec<FrameSpan> = (0..windows)
        .map(|window| {
            let start = window * total / windows;
            let room = (window + 1) * total / windows - start - needed;
            let draw = probe.content_id.seed(&format!("forge {} window {window}", options.seed));
            let first = start + draw % (room + 1);
            FrameSpan { first, last: first + needed - 1 }
        })
        .collect();
    let rate = probe
        .facts
        .frame_rate
        .or(probe.facts.nominal_frame_rate)
        .filter(|rate| rate.numerator > 0 && rate.denominator > 0)
        .ok_or_else(|| row("no_frame_rate", "a frame rate".to_owned(), "none".to_owned()))?;

    // Two windows are in memory at most: the one that is forged and its donor.
    let mut waiting: Option<Cut> = None;
    let mut gathering: Option<Cut> = None;
    let mut made = Vec::new();
    let mut stopped: Option<ClipError> = None;
    let mut number = 0_usize;
    let report = reader.read_frames(clip, &spans, &mut |frame| {
        let Some(span) = spans.get(number).copied() else { return ControlFlow::Continue(()) };
        let cut = gathering.get_or_insert_with(|| Cut { number, span, frames: Vec::new() });
        cut.frames.push(frame);
        if cut.frames.len() as u64 == needed {
            number += 1;
            let complete = gathering.take();
            if let (Some(earlier), Some(donor)) = (waiting.take(), complete.as_ref()) {
                match write_twins(
                    clip,
                    &probe.content_id,
                    &earlier,
                    Some(&donor.frames),
                    rate,
                    options,
                    written,
                ) {
                    Ok(files) => made.extend(files),
                    Err(error) => {
                        stopped = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                // The last window has no later one: the one before it is its donor.
                if number == spans.len()
                    && let Some(last) = complete.as_ref()
                {
                    match write_twins(
                        clip,
                        &probe.content_id,
                        last,
                        Some(&earlier.frames),
                        rate,
                        options,
                        written,
                    ) {
                        Ok(files) => made.extend(files),
                        Err(error) => {
                            stopped = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                    return ControlFlow::Continue(());
                }
            }
            waiting = complete;
        }
        ControlFlow::Continue(())
    });
    if let Some(error) = stopped {
        return Err(error);
    }
    report.map_err(media)?;
    if let Some(only) = waiting.take()
        && spans.len() == 1
    {
        made.extend(write_twins(clip, &probe.content_id, &only, None, rate, options, written)?);
    }
    if made.is_empty() {
        return Err(row("too_short", format!("{needed} frames that decode"), "fewer".to_owned()));
    }
    Ok(made)
}

fn write_twins(
    clip: &Path,
    content_id: &ContentId,
    cut: &Cut,
    donor: Option<&[Frame]>,
    rate: Rational,
    options: &ForgeOptions<'_>,
    written: &mut Written,
) -> Result<Vec<ForgedFile>, ClipError> {
    let stem = clip.file_stem().map_or_else(String::new, |stem| {
        stem.to_string_lossy()
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
            .take(60)
            .collect()
    });
    let name = format!("{stem}_{}_w{}", &content_id.to_hex()[..8], cut.number);
    let keep = options.frames as usize;
    let row = |reason: &str, found: String| {
        ClipError::Source(Box::new(Failure {
            path: clip.to_owned(),
            content_id: Some(*content_id),
            stage: "forge".to_owned(),
            reason: reason.to_owned(),
            expected: "a forged twin".to_owned(),
            found,
        }))
    };
    // A full disk is not the clip's fault.
    let refused = |error: EncodeError| match error {
        EncodeError::Io { path, source } => ClipError::Pipeline(PipelineError::Io { path, source }),
        error => row("encode_failed", error.to_string()),
    };
    let kept =
        FrameSpan { first: cut.span.first, last: cut.span.first + u64::from(options.frames) - 1 };
    let mut files = Vec::new();
    let authentic = format!("real/{name}.mp4");
    encode(&written.file(options.out.join(&authentic)), &cut.frames[..keep], rate, options.crf)
        .map_err(refused)?;
    files.push(ForgedFile {
        path: authentic,
        label: "real".to_owned(),
        group: *content_id,
        source: clip.display().to_string(),
        cut: kept,
        forgery: None,
    });
    for twin in 0..options.twins {
        if options.cancel.load(Ordering::Relaxed) {
            return Err(PipelineError::Cancelled.into());
        }
        // Kinds in turn over windows and twins, from a start that the clip's bytes draw.
        let start = content_id.seed(&format!("forge {} kinds", options.seed));
        let turn = start
            .wrapping_add(cut.number as u64 * u64::from(options.twins))
            .wrapping_add(u64::from(twin));
        let possible: Vec<ForgeryKind> = options
            .kinds
            .iter()
            .copied()
            .filter(|kind| donor.is_some() || !kind.needs_donor())
            .collect();
        let Some(&kind) = possible.get((turn % (possible.len().max(1) as u64)) as usize) else {
            return Err(row(
                "no_donor",
                "a clip with one window, and only kinds that need a donor".to_owned(),
            ));
        };
        let (forgery, mut frames) = draw_visible(kind, content_id, cut, donor, twin, options)
            .map_err(|error| row("forge_failed", error.to_string()))?;
        if frames.len() < keep {
            return Err(row("forge_failed", format!("{} frames of {keep}", frames.len())));
        }
        frames.truncate(keep);
        let path = if options.twins == 1 {
            format!("fake/{name}_{kind}.mp4")
        } else {
            format!("fake/{name}_t{twin}_{kind}.mp4")
        };
        encode(&written.file(options.out.join(&path)), &frames, rate, options.crf)
            .map_err(refused)?;
        files.push(ForgedFile {
            path,
            label: "fake".to_owned(),
            group: *content_id,
            source: clip.display().to_string(),
            cut: kept,
            forgery: Some(forgery),
        });
    }
    Ok(files)
}

/// Draws again, from another seed, where a forgery would not show (a still region copied onto
/// itself): an unchanged clip must never be labelled fake.
fn draw_visible(
    kind: ForgeryKind,
    content_id: &ContentId,
    cut: &Cut,
    donor: Option<&[Frame]>,
    twin: u32,
    options: &ForgeOptions<'_>,
) -> Result<(Forgery, Vec<Frame>), AugmentError> {
    let mut attempt = 0;
    loop {
        let seed = content_id.seed(&format!(
            "forge {} window {} twin {twin} {kind} attempt {attempt}",
            options.seed, cut.number
        ));
        let shape = cut.frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()));
        let made = Forgery::draw(kind, seed, options.frames, shape.0, shape.1)
            .and_then(|forgery| Ok((forgery.apply(&cut.frames, donor)?, forgery)));
        match made {
            Ok((frames, forgery)) => return Ok((forgery, frames)),
            Err(AugmentError::NothingChanged { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn encode(path: &Path, frames: &[Frame], rate: Rational, crf: u8) -> Result<(), EncodeError> {
    let settings = EncodeSettings {
        crf,
        preset: "medium".to_owned(),
        gop: None,
        b_frames: None,
        frame_rate: rate,
        color: ColorTags::default(),
    };
    let Some(first) = frames.first() else { return Err(EncodeError::NoFrames) };
    let mut encoder = Encoder::create(path, first.width(), first.height(), &settings)?;
    for frame in frames {
        encoder.push(frame)?;
    }
    encoder.finish().map(drop)
}

/// `forgeries.json` with everything, and `corpus.csv` as `fvc index` reads it; the table last,
/// since a folder with it counts as made.
fn write_records(out: &Path, files: &[ForgedFile]) -> Result<(), PipelineError> {
    let internal = |error: String| PipelineError::Internal { what: error };
    let details = out.join("forgeries.json");
    let bytes = serde_json::to_vec_pretty(files).map_err(|error| internal(error.to_string()))?;
    write_atomically(&details, &bytes)
        .map_err(|source| PipelineError::Io { path: details.clone(), source })?;
    let mut table = String::from("path,label,group,manipulation\n");
    for file in files {
        let kind =
            file.forgery.as_ref().map_or_else(String::new, |forgery| forgery.kind.to_string());
        // Names hold letters, digits and _ only: nothing to quote.
        let _ = writeln!(table, "{},{},{},{kind}", file.path, file.label, file.group);
    }
    let path = out.join("corpus.csv");
    write_atomically(&path, table.as_bytes())
        .map_err(|source| PipelineError::Io { path: path.clone(), source })
}
