//! [`Twins`]: what is written of the windows of one clip.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fvc_augment::{
    AugmentError, Draw, Extent, Forgery, ForgeryKind, Kind, MOTION_FLOOR, PLATFORM_PROFILES, motion,
};
use fvc_corpus::Failure;
use fvc_media::{
    ColorTags, ContentId, DecodeCounters, EncodeError, EncodeSettings, Encoder, Frame, FrameSpan,
    Rational, Reader, Window,
};

use super::clip::{ClipError, Cut, Donor, Written};
use super::folder::{Folder, Part, Record};
use super::{Clip, ForgeOptions, ForgedFile, RefusedKind};
use crate::PipelineError;

/// How often a forgery that nobody could see is drawn again.
const ATTEMPTS: u32 = 16;

/// How both twins of a draw are encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ending {
    crf: u8,
    /// Its number among all profiles.
    platform: Option<usize>,
}

impl Ending {
    fn platform_name(self) -> Option<&'static str> {
        self.platform.and_then(|at| PLATFORM_PROFILES.get(at)).map(|profile| profile.name)
    }

    /// For names of files.
    fn name(self) -> String {
        let platform = self.platform_name().map_or_else(String::new, |name| format!("_{name}"));
        format!("_crf{}{platform}", self.crf)
    }
}

/// Why a kind was not possible.
enum Refusal {
    Kind { reason: &'static str, expected: String, found: String },
    Clip(ClipError),
}

/// Writes the windows of a clip, authentic and forged.
pub(super) struct Twins<'a> {
    path: &'a Path,
    content_id: ContentId,
    group: ContentId,
    partner: Option<ContentId>,
    rate: Rational,
    windows: u64,
    options: &'a ForgeOptions<'a>,
    folder: &'a Folder,
    counters: Arc<DecodeCounters>,
    /// Of the windows that are finished.
    files: Vec<ForgedFile>,
    refused: Refusals,
}

/// What could not be made, by kind and reason.
type Refusals = BTreeMap<(ForgeryKind, String), RefusedKind>;

/// What one window gave so far.
#[derive(Default)]
struct Unfinished {
    written: Written,
    files: Vec<ForgedFile>,
    refused: Refusals,
}

impl<'a> Twins<'a> {
    pub(super) fn new(
        clip: &'a Clip,
        partner: Option<ContentId>,
        rate: Rational,
        windows: u64,
        options: &'a ForgeOptions<'a>,
        reader: &Reader,
        folder: &'a Folder,
    ) -> Self {
        Self {
            path: &clip.path,
            content_id: clip.probe.content_id,
            group: clip.group,
            partner,
            rate,
            windows,
            options,
            folder,
            counters: reader.counters(),
            files: Vec::new(),
            refused: Refusals::new(),
        }
    }

    /// Ends a clip: from now on it has one record.
    pub(super) fn finish(self, donor_decodes: u64) -> Result<Record, PipelineError> {
        let record = Record {
            group: self.group,
            partner: self.partner,
            files: self.files,
            refused: self.refused.into_values().collect(),
            donor_decodes,
        };
        if !record.files.is_empty() {
            self.folder.keep(self.content_id, Part::Clip, &record)?;
        }
        self.folder.forget_windows(self.content_id, self.windows)?;
        Ok(record)
    }

    /// Removes what was made of the clip.
    pub(super) fn discard(&self) -> Result<(), PipelineError> {
        for file in &self.files {
            // It is there: it was written, or seen to be there.
            let path = self.options.out.join(&file.path);
            std::fs::remove_file(&path).map_err(|source| PipelineError::Io { path, source })?;
        }
        self.folder.forget_windows(self.content_id, self.windows)
    }

    /// Writes one window: every forged twin, and the authentic one once for each way in which they
    /// are encoded. A window that an earlier run finished is taken as it is.
    pub(super) fn write(&mut self, cut: &Cut, donor: Option<&Donor<'_>>) -> Result<(), ClipError> {
        let part = Part::Window(cut.number);
        let known = self.folder.recall(self.content_id, part, self.group, self.partner)?;
        let record = match known {
            Some(record) => record,
            None => {
                let mut made = Unfinished::default();
                self.make(cut, donor, &mut made)?;
                let record = Record {
                    group: self.group,
                    partner: self.partner,
                    files: made.files,
                    refused: made.refused.into_values().collect(),
                    donor_decodes: 0,
                };
                self.folder.keep(self.content_id, part, &record)?;
                made.written.keep();
                record
            }
        };
        self.files.extend(record.files);
        for refused in record.refused {
            let key = (refused.kind, refused.reason.clone());
            match self.refused.get_mut(&key) {
                Some(known) => known.times += refused.times,
                None => drop(self.refused.insert(key, refused)),
            }
        }
        Ok(())
    }

    fn make(
        &self,
        cut: &Cut,
        donor: Option<&Donor<'_>>,
        made: &mut Unfinished,
    ) -> Result<(), ClipError> {
        let options = self.options;
        let keep = options.frames as usize;
        let own = cut.frames.get(..keep).ok_or_else(|| self.row("fewer frames".to_owned()))?;
        let moves = motion(own);
        // Every clip gives the same number of forged twins, whatever the number of its windows.
        let total = u64::from(options.windows) * u64::from(options.draws);
        let before = total * cut.number / self.windows;
        let draws = total * (cut.number + 1) / self.windows - before;
        let mut authentic: Vec<Ending> = Vec::new();
        for draw in 0..draws {
            if options.cancel.load(Ordering::Relaxed) {
                return Err(PipelineError::Cancelled.into());
            }
            let ending = self.ending(cut, draw);
            if !authentic.contains(&ending) {
                authentic.push(ending);
                self.write_file(made, "", own, cut, moves, ending, None)?;
            }
            let (forgery, mut frames) =
                self.forged(&mut made.refused, cut, donor, moves, before, draw)?;
            if frames.len() < keep {
                return Err(self.row(format!("{} frames of {keep}", frames.len())));
            }
            frames.truncate(keep);
            let number = if draws == 1 { String::new() } else { format!("_d{draw}") };
            let name = format!("{number}_{}", forgery.kind);
            let donor = donor.filter(|_| forgery.needs_donor());
            self.write_file(made, &name, &frames, cut, moves, ending, Some((forgery, donor)))?;
        }
        Ok(())
    }

    fn seed(&self, cut: &Cut, draw: u64, what: &str) -> u64 {
        let (seed, window) = (self.options.seed, cut.number);
        self.content_id.seed(&format!("forge {seed} window {window} draw {draw} {what}"))
    }

    fn ending(&self, cut: &Cut, draw: u64) -> Ending {
        let crf = &self.options.crf;
        let steps = u64::from(crf.end() - crf.start()) + 1;
        let platforms: Vec<usize> = (0..PLATFORM_PROFILES.len())
            .filter(|&at| {
                let name = PLATFORM_PROFILES[at].name;
                self.options.platforms.iter().any(|wanted| wanted == name)
            })
            .collect();
        // Half of the draws go through one, the rest only through the final encode.
        let through = self.seed(cut, draw, "platform");
        let platform = platforms.get((through / 2 % (platforms.len() as u64).max(1)) as usize);
        Ending {
            crf: crf.start() + (self.seed(cut, draw, "crf") % steps) as u8,
            platform: platform.copied().filter(|_| through % 2 == 0),
        }
    }

    /// The draw's forgery: of the kind whose turn it is, or of the next one that is possible.
    fn forged(
        &self,
        refused: &mut Refusals,
        cut: &Cut,
        donor: Option<&Donor<'_>>,
        moves: f64,
        before: u64,
        draw: u64,
    ) -> Result<(Forgery, Vec<Frame>), ClipError> {
        let kinds = &self.options.kinds;
        // In turn over all draws of the clip, from a start that its bytes draw.
        let start = self.content_id.seed(&format!("forge {} kinds", self.options.seed));
        let start = start % kinds.len().max(1) as u64 + before + draw;
        for step in 0..kinds.len() as u64 {
            let kind = kinds[((start + step) % kinds.len() as u64) as usize];
            match self.draw_visible(kind, cut, donor, moves, draw) {
                Ok(made) => return Ok(made),
                Err(Refusal::Clip(error)) => return Err(error),
                Err(Refusal::Kind { reason, expected, found }) => {
                    let source = self.path.display().to_string();
                    let first = RefusedKind {
                        source,
                        kind,
                        reason: reason.to_owned(),
                        times: 0,
                        expected,
                        found,
                    };
                    refused.entry((kind, reason.to_owned())).or_insert(first).times += 1;
                }
            }
        }
        let last = refused.values().next_back();
        let found = last.map_or_else(String::new, |refused| {
            let RefusedKind { kind, reason, expected, found, .. } = refused;
            format!("{kind}: {reason}: expected {expected}, found {found}")
        });
        Err(self.row(format!("no kind that is possible here; {found}")))
    }

    /// Draws again, from another seed, where a forgery would not show (a still region copied onto
    /// itself): an unchanged clip must never be labelled fake.
    fn draw_visible(
        &self,
        kind: ForgeryKind,
        cut: &Cut,
        donor: Option<&Donor<'_>>,
        moves: f64,
        draw: u64,
    ) -> Result<(Forgery, Vec<Frame>), Refusal> {
        let still = |found: f64| Refusal::Kind {
            reason: "still",
            expected: format!("a motion of {MOTION_FLOOR} levels a frame or more"),
            found: format!("{found:.2}"),
        };
        if kind.needs_motion() && moves < MOTION_FLOOR {
            return Err(still(moves));
        }
        let shape = cut.frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()));
        let extent = Extent {
            frames: self.options.frames.into(),
            width: shape.0,
            height: shape.1,
            frame_rate: self.rate,
        };
        let mut attempt = 0;
        loop {
            let seed = self.seed(cut, draw, &format!("{kind} attempt {attempt}"));
            let forgery = Forgery::draw(kind, seed, extent).map_err(|error| self.refusal(error))?;
            attempt += 1;
            // Also where it lies something must move.
            if kind.needs_motion() {
                let FrameSpan { first, last } = forgery.span;
                let first = first.saturating_sub(1) as usize;
                let last = (last as usize + 2).min(cut.frames.len());
                let moves = motion(&cut.frames[first..last]);
                if moves < MOTION_FLOOR {
                    if attempt <= ATTEMPTS {
                        continue;
                    }
                    return Err(still(moves));
                }
            }
            let donor = donor.map(|donor| donor.frames);
            match forgery.apply(&cut.frames, donor, &self.counters) {
                Ok(frames) => return Ok((forgery, frames)),
                Err(AugmentError::NothingChanged { .. }) if attempt <= ATTEMPTS => {}
                Err(error) => return Err(self.refusal(error)),
            }
        }
    }

    /// What is not possible with this clip is the kind's affair; what should be is the clip's.
    fn refusal(&self, error: AugmentError) -> Refusal {
        let (reason, expected, found) = match error {
            AugmentError::Frames { expected, found, .. } => ("too_short", expected, found),
            AugmentError::Picture { expected, found, .. } => ("too_small", expected, found),
            AugmentError::Donor { expected, found, .. } => ("no_donor", expected, found),
            AugmentError::NothingChanged { expected, found, .. } => {
                ("nothing_changed", expected, found)
            }
            error => return Refusal::Clip(self.row(error.to_string())),
        };
        Refusal::Kind { reason, expected, found }
    }

    fn row(&self, found: String) -> ClipError {
        ClipError::Source(Box::new(Failure {
            path: self.path.to_owned(),
            content_id: Some(self.content_id),
            stage: "forge".to_owned(),
            reason: "forge_failed".to_owned(),
            expected: "a forged twin".to_owned(),
            found,
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are of one file")]
    fn write_file(
        &self,
        made: &mut Unfinished,
        name: &str,
        frames: &[Frame],
        cut: &Cut,
        moves: f64,
        ending: Ending,
        forged: Option<(Forgery, Option<&Donor<'_>>)>,
    ) -> Result<(), ClipError> {
        let options = self.options;
        let label = if forged.is_some() { "fake" } else { "real" };
        let stem: String = self.path.file_stem().map_or_else(String::new, |stem| {
            stem.to_string_lossy()
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
                .take(60)
                .collect()
        });
        let id = &self.content_id.to_hex()[..8];
        let drawn = options.crf.start() < options.crf.end() || !options.platforms.is_empty();
        let end = if drawn { ending.name() } else { String::new() };
        let path = format!("{label}/{stem}_{id}_w{}{name}{end}.mp4", cut.number);
        let frames = match ending.platform {
            Some(profile) => &self.through(profile, frames, cut)?,
            None => frames,
        };
        let file = made.written.file(options.out.join(&path));
        let bytes = encode(&file, frames, self.rate, ending.crf).map_err(|error| match error {
            // A full disk is not the clip's fault.
            EncodeError::Io { path, source } => {
                ClipError::Pipeline(PipelineError::Io { path, source })
            }
            error => ClipError::Source(Box::new(Failure {
                path: self.path.to_owned(),
                content_id: Some(self.content_id),
                stage: "forge".to_owned(),
                reason: "encode_failed".to_owned(),
                expected: "an encoded twin".to_owned(),
                found: error.to_string(),
            })),
        })?;
        let (forgery, donor) = match forged {
            Some((forgery, donor)) => (Some(forgery), donor.map(|donor| donor.cut.clone())),
            None => (None, None),
        };
        let first = cut.span.first;
        made.files.push(ForgedFile {
            path,
            label: label.to_owned(),
            group: self.group,
            source: self.path.display().to_string(),
            cut: FrameSpan { first, last: first + u64::from(options.frames) - 1 },
            motion: moves,
            still: moves < MOTION_FLOOR,
            crf: ending.crf,
            platform: ending.platform_name().map(ToOwned::to_owned),
            forgery,
            donor,
            bytes,
        });
        Ok(())
    }

    /// The frames as the platform would have encoded them.
    fn through(
        &self,
        profile: usize,
        frames: &[Frame],
        cut: &Cut,
    ) -> Result<Vec<Frame>, ClipError> {
        let draw = Draw {
            variant: 1,
            kind: Kind::PlatformTranscode,
            seed: 0,
            parameters: BTreeMap::from([("profile".to_owned(), profile as f64)]),
        };
        let window = Window { index: cut.number as usize, frames: frames.to_vec() };
        let sent = draw.apply(&window, self.rate, &self.counters);
        sent.map(|window| window.frames).map_err(|error| self.row(error.to_string()))
    }
}

fn encode(path: &Path, frames: &[Frame], rate: Rational, crf: u8) -> Result<u64, EncodeError> {
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
    encoder.finish()
}
