//! [`forge`]: manipulated twins of authentic clips, with the same final encode on both sides.

mod clip;
mod folder;
mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fvc_augment::{Forgery, ForgeryKind, PLATFORM_PROFILES};
use fvc_corpus::{DecodeCounts, Failure, FailureTable, Manifest};
use fvc_media::{ContentId, FrameSpan, Limits, PartialPolicy, Probe, Reader};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use self::clip::{ClipError, Partner};
use self::folder::{Folder, Record};
use crate::inputs::gather_files;
use crate::pass::media_failure;
use crate::progress::Part;
use crate::{PipelineError, Progress};

/// Version of how clips are cut and forgeries drawn and made: files of another one are others.
const VERSION: u32 = 2;

/// Where the pixels of a splice, a swap or an insertion come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Donors {
    /// Another window of the same clip: two clips are never tied to each other.
    #[default]
    Windows,
    /// Another clip. Clips are paired (three where their number is odd), and each pair is one
    /// group: what is in a forged twin of one is then never learnt from the other.
    Pairs,
}

/// What is forged, and how.
pub struct ForgeOptions<'a> {
    /// Where `real/`, `fake/`, `corpus.csv` and `forgeries.json` go.
    pub out: PathBuf,
    /// Windows cut from each clip, where it is long enough.
    pub windows: u32,
    /// Frames of every file that is written.
    pub frames: u32,
    /// Kinds of forgery, taken in turn.
    pub kinds: Vec<ForgeryKind>,
    /// Forged twins of each window. A clip with fewer windows than asked has as many more of each:
    /// every origin gives the same number of forged twins, and counts once.
    pub draws: u32,
    /// Seed of every draw.
    pub seed: u64,
    /// Constant rate factor of the final encode, drawn from this range within 0 to 51, the same for
    /// both twins.
    pub crf: RangeInclusive<u8>,
    /// Names of platform profiles. Where there are any, half of the draws are encoded as one of them
    /// would do it before the final encode, both twins alike.
    pub platforms: Vec<String>,
    /// Where other pixels come from.
    pub donors: Donors,
    /// Clips at once; 0: one for each processor. Each holds some three windows in memory.
    pub parallel: usize,
    /// What a source may cost.
    pub limits: Limits,
    /// What becomes of a damaged clip.
    pub partial: PartialPolicy,
    /// Set by Ctrl-C.
    pub cancel: Arc<AtomicBool>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// Where a forged twin has other pixels from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DonorCut {
    /// The clip.
    pub source: String,
    /// Its content id.
    pub content_id: ContentId,
    /// The frames of it that the forgery was given.
    pub cut: FrameSpan,
}

/// One written file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgedFile {
    /// Path from the output folder.
    pub path: String,
    /// `real` or `fake`.
    pub label: String,
    /// Content id of the clip it was cut from: windows and twins of one clip are one group. Of a
    /// pair of clips, the lesser of theirs.
    pub group: ContentId,
    /// The clip.
    pub source: String,
    /// The frames of the clip that were cut out.
    pub cut: FrameSpan,
    /// How much moves in them ([`fvc_augment::motion`]), in levels a frame.
    pub motion: f64,
    /// Whether that is below [`fvc_augment::MOTION_FLOOR`]: such are to be looked at apart.
    pub still: bool,
    /// Constant rate factor of the final encode.
    pub crf: u8,
    /// The platform profile before that, if any.
    pub platform: Option<String>,
    /// What was done; missing in the authentic twin.
    pub forgery: Option<Forgery>,
    /// Where other pixels come from, for a kind that takes some.
    pub donor: Option<DonorCut>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A kind of forgery that could not be made of a clip where its turn was; the next kind was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedKind {
    /// The clip.
    pub source: String,
    /// The kind.
    pub kind: ForgeryKind,
    /// `still`, `nothing_changed`, `too_short`, `too_small` or `no_donor`.
    pub reason: String,
    /// How often.
    pub times: u64,
    /// What it needs.
    pub expected: String,
    /// What it found the first time.
    pub found: String,
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
    /// Kinds that were not possible where their turn was.
    pub refused: Vec<RefusedKind>,
    /// Clips of which everything was there from an earlier run.
    pub resumed: u64,
}

/// A clip that may be forged.
struct Clip {
    path: PathBuf,
    probe: Probe,
    group: ContentId,
    /// The clip that it has its donors from, in pairs.
    partner: Option<usize>,
}

/// Cuts windows from authentic clips and writes each as it is and forged, with the same encoder
/// settings, so that compression tells nothing.
///
/// What a window gave is written down as soon as it is done. The same command in the same
/// folder goes on after the last of them, wherever the first was stopped, and with more clips than
/// before it makes what is missing.
///
/// # Errors
/// The output folder holds something else already, no clip could be used, or the user asked to stop.
pub fn forge(
    inputs: &[PathBuf],
    options: &ForgeOptions<'_>,
) -> Result<ForgeOutcome, PipelineError> {
    check(options)?;
    let gathered = gather_files(inputs, "forge");
    let hash = settings_hash(options);
    let folder = Folder::open(&options.out, &hash, &options.cancel)?;
    let reader = Reader::new(options.limits.clone())
        .with_partial(options.partial)
        .with_cancel(Arc::clone(&options.cancel));
    let mut manifest = Manifest::begin("forge", &hash);
    manifest.inputs(gathered.len());
    let mut failures = gathered.failures;

    let mut clips: Vec<Clip> = Vec::new();
    let mut seen = BTreeSet::new();
    for path in gathered.files {
        stop_if_cancelled(options)?;
        match probed(&reader, &path, &mut seen) {
            Ok(probe) => {
                let group = probe.content_id;
                clips.push(Clip { path, probe, group, partner: None });
            }
            Err(ClipError::Source(failure)) => failures.push(*failure),
            Err(ClipError::Pipeline(error)) => return Err(error),
        }
    }
    if options.donors == Donors::Pairs {
        pair(&mut clips, options.seed);
    }

    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(options.parallel)
        .build()
        .map_err(|error| PipelineError::Internal { what: error.to_string() })?;
    let part = Part::begin(options.progress, "clips", clips.len() as u64);
    let made: Vec<Result<(Record, bool), Failure>> = threads.install(|| {
        clips
            .par_iter()
            .map(|clip| {
                let made = forge_or_recall(&reader, clip, &clips, options, &folder);
                part.advance(1);
                match made {
                    Ok(record) => Ok(Ok(record)),
                    Err(ClipError::Source(failure)) => Ok(Err(*failure)),
                    Err(ClipError::Pipeline(error)) => Err(error),
                }
            })
            .collect::<Result<_, PipelineError>>()
    })?;
    drop(part);

    let (mut files, mut refused) = (Vec::new(), Vec::new());
    let (mut resumed, mut donor_decodes) = (0, 0);
    for made in made {
        match made {
            Ok((record, recalled)) => {
                manifest.completed();
                resumed += u64::from(recalled);
                donor_decodes += if recalled { 0 } else { record.donor_decodes };
                files.extend(record.files);
                refused.extend(record.refused);
            }
            Err(failure) => failures.push(failure),
        }
    }
    for failure in &failures {
        manifest.failed(&failure.reason);
    }
    let counters = reader.counters();
    let donor_decodes = donor_decodes.min(counters.sources());
    manifest.decodes(DecodeCounts {
        sources: counters.sources(),
        own: counters.own(),
        probes: counters.probes(),
        reasons: BTreeMap::from([
            ("cut windows".to_owned(), counters.sources() - donor_decodes),
            ("donor windows".to_owned(), donor_decodes),
        ]),
    });
    manifest.finish()?;
    if files.is_empty() {
        let first = failures.first();
        return Err(PipelineError::NothingUsable {
            inputs: (clips.len() + failures.len()) as u64,
            first: first.map_or_else(|| "no clip was found".to_owned(), ToString::to_string),
        });
    }
    folder.write_tables(&files, &refused)?;
    FailureTable::from(failures.clone()).save(&options.out)?;
    manifest.save(&options.out.join("manifest.json"))?;
    Ok(ForgeOutcome { manifest, failures, files, refused, resumed })
}

fn forge_or_recall(
    reader: &Reader,
    clip: &Clip,
    clips: &[Clip],
    options: &ForgeOptions<'_>,
    folder: &Folder,
) -> Result<(Record, bool), ClipError> {
    stop_if_cancelled(options)?;
    let partner = clip.partner.and_then(|at| clips.get(at));
    let partner_id = partner.map(|partner| partner.probe.content_id);
    let id = clip.probe.content_id;
    if let Some(record) = folder.recall(id, folder::Part::Clip, clip.group, partner_id)? {
        return Ok((record, true));
    }
    let partner = partner.map(|partner| Partner { path: &partner.path, probe: &partner.probe });
    Ok((clip::forge_clip(reader, clip, partner, options, folder)?, false))
}

fn probed(
    reader: &Reader,
    path: &Path,
    seen: &mut BTreeSet<ContentId>,
) -> Result<Probe, ClipError> {
    let probe = reader.probe(path).map_err(clip::media)?;
    if seen.insert(probe.content_id) {
        return Ok(probe);
    }
    Err(ClipError::Source(Box::new(Failure {
        path: path.to_owned(),
        content_id: None,
        stage: "forge".to_owned(),
        reason: "duplicate_content".to_owned(),
        expected: "a clip of its own".to_owned(),
        found: "the same bytes as another clip".to_owned(),
    })))
}

/// Pairs the clips in an order that their bytes and the seed draw; three are the last ones of an odd
/// number. One clip alone has nobody.
fn pair(clips: &mut [Clip], seed: u64) {
    let mut order: Vec<usize> = (0..clips.len()).collect();
    order.sort_by_key(|&at| {
        let id = clips[at].probe.content_id;
        (id.seed(&format!("forge {seed} pairs")), id)
    });
    while !order.is_empty() {
        let size = if order.len() == 3 { 3 } else { order.len().min(2) };
        let together: Vec<usize> = order.drain(..size).collect();
        let group = together.iter().map(|&at| clips[at].probe.content_id).min();
        for (place, &at) in together.iter().enumerate() {
            clips[at].group = group.unwrap_or(clips[at].group);
            let other = together[(place + 1) % together.len()];
            clips[at].partner = (other != at).then_some(other);
        }
    }
}

fn stop_if_cancelled(options: &ForgeOptions<'_>) -> Result<(), PipelineError> {
    if options.cancel.load(Ordering::Relaxed) { Err(PipelineError::Cancelled) } else { Ok(()) }
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
    let (low, high) = (*options.crf.start(), *options.crf.end());
    if low > high || high > 51 {
        return Err(wrong("crf", "a range within 0 to 51", format!("{low}-{high}")));
    }
    if options.kinds.is_empty() || options.draws == 0 {
        return Err(wrong("kinds and draws", "at least one of each", "none".to_owned()));
    }
    if options.draws > 100_000 {
        return Err(wrong("draws", "1 to 100000", options.draws.to_string()));
    }
    for name in &options.platforms {
        if !PLATFORM_PROFILES.iter().any(|profile| profile.name == name) {
            let names: Vec<&str> = PLATFORM_PROFILES.iter().map(|profile| profile.name).collect();
            return Err(wrong("platforms", &names.join(", "), name.clone()));
        }
    }
    Ok(())
}

/// Of everything that the files depend on, but the clips.
fn settings_hash(options: &ForgeOptions<'_>) -> String {
    let kinds: Vec<&str> = options.kinds.iter().map(|kind| kind.name()).collect();
    let text = format!(
        "forge {VERSION}: {} windows of {} frames, {} draws of {}, seed {}, crf {:?}, platforms {}, \
         donors {:?}, partial {:?}",
        options.windows,
        options.frames,
        options.draws,
        kinds.join(","),
        options.seed,
        options.crf,
        options.platforms.join(","),
        options.donors,
        options.partial,
    );
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
