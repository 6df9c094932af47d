//! [`forge_clip`]: the windows of one clip, each given to be forged as soon as it and its donor are
//! decoded.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fvc_corpus::Failure;
use fvc_media::{Frame, FrameSpan, MediaError, Probe, Rational, Reader, Reason};

use super::folder::{Folder, Record};
use super::twins::Twins;
use super::{Clip, DonorCut, ForgeOptions, media_failure};
use crate::PipelineError;

/// What ended the work on a clip: something about the clip, or about everything.
pub(super) enum ClipError {
    Source(Box<Failure>),
    Pipeline(PipelineError),
}

impl From<PipelineError> for ClipError {
    fn from(error: PipelineError) -> Self {
        Self::Pipeline(error)
    }
}

pub(super) fn media(error: MediaError) -> ClipError {
    if error.reason == Reason::Cancelled {
        ClipError::Pipeline(PipelineError::Cancelled)
    } else {
        ClipError::Source(Box::new(media_failure(&error, None, "forge")))
    }
}

/// Files of a window that is not finished: removed, unless it ends well. What is cut off by a kill
/// is written over when its turn comes again.
#[derive(Default)]
pub(super) struct Written(Vec<PathBuf>);

impl Written {
    pub(super) fn file(&mut self, path: PathBuf) -> PathBuf {
        self.0.push(path.clone());
        path
    }

    pub(super) fn keep(&mut self) {
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

/// A window of a clip in memory.
pub(super) struct Cut {
    pub(super) number: u64,
    pub(super) span: FrameSpan,
    pub(super) frames: Vec<Frame>,
}

/// Where a forgery may take other pixels from.
pub(super) struct Donor<'a> {
    pub(super) frames: &'a [Frame],
    pub(super) cut: DonorCut,
}

/// The clip that another one has its donors from.
#[derive(Clone, Copy)]
pub(super) struct Partner<'a> {
    pub(super) path: &'a Path,
    pub(super) probe: &'a Probe,
}

/// Half as many frames again as a file has, so that a clip from which frames were taken out is as
/// long as its authentic twin.
fn needed(options: &ForgeOptions<'_>) -> u64 {
    u64::from(options.frames) + u64::from(options.frames) / 2
}

pub(super) fn forge_clip(
    reader: &Reader,
    clip: &Clip,
    partner: Option<Partner<'_>>,
    options: &ForgeOptions<'_>,
    folder: &Folder,
) -> Result<Record, ClipError> {
    let Clip { path, probe, .. } = clip;
    let row = |reason: &str, expected: String, found: String| {
        ClipError::Source(Box::new(Failure {
            path: path.clone(),
            content_id: Some(probe.content_id),
            stage: "forge".to_owned(),
            reason: reason.to_owned(),
            expected,
            found,
        }))
    };
    let needed = needed(options);
    let spans = windows(probe, options);
    if spans.is_empty() {
        return Err(row(
            "too_short",
            format!("at least {needed} frames"),
            format!("{} frames", probe.index.frames()),
        ));
    }
    let rate = frame_rate(probe)
        .ok_or_else(|| row("no_frame_rate", "a frame rate".to_owned(), "none".to_owned()))?;
    let takes_donors = options.kinds.iter().any(|kind| kind.needs_donor());
    let other = match partner.filter(|_| takes_donors) {
        Some(partner) => donor_window(reader, partner, options)?,
        None => None,
    };
    let partner_id = partner.map(|partner| partner.probe.content_id);
    let windows = spans.len() as u64;
    let mut twins = Twins::new(clip, partner_id, rate, windows, options, reader, folder);
    let own = |cut: &Cut| DonorCut {
        source: path.display().to_string(),
        content_id: probe.content_id,
        cut: cut.span,
    };

    // Two windows of the clip are in memory at most: the one that is forged and its donor.
    let mut waiting: Option<Cut> = None;
    let mut gathering: Option<Cut> = None;
    let mut stopped: Option<ClipError> = None;
    let mut number = 0_usize;
    let report = reader.read_frames(path, &spans, &mut |frame| {
        let Some(&span) = spans.get(number) else { return ControlFlow::Continue(()) };
        let cut = gathering.get_or_insert_with(|| Cut {
            number: number as u64,
            span,
            frames: Vec::new(),
        });
        cut.frames.push(frame);
        if (cut.frames.len() as u64) < needed {
            return ControlFlow::Continue(());
        }
        number += 1;
        let Some(complete) = gathering.take() else { return ControlFlow::Continue(()) };
        let done = if partner.is_some() || spans.len() == 1 {
            let donor = other
                .as_ref()
                .map(|(cut, donor)| Donor { frames: &cut.frames, cut: donor.clone() });
            twins.write(&complete, donor.as_ref())
        } else if let Some(earlier) = waiting.take() {
            let later = Donor { frames: &complete.frames, cut: own(&complete) };
            let done = twins.write(&earlier, Some(&later));
            // The last window has no later one: the one before it is its donor.
            if done.is_ok() && number == spans.len() {
                let before = Donor { frames: &earlier.frames, cut: own(&earlier) };
                twins.write(&complete, Some(&before))
            } else {
                waiting = Some(complete);
                done
            }
        } else {
            waiting = Some(complete);
            Ok(())
        };
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                stopped = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    let done = match stopped {
        Some(error) => Err(error),
        None => report.map(drop).map_err(media),
    };
    // A clip that fails at a later window leaves no file behind that no table names.
    if let Err(ClipError::Source(_)) = &done {
        twins.discard()?;
    }
    done?;
    let record = twins.finish(u64::from(other.is_some()))?;
    if record.files.is_empty() {
        return Err(row("too_short", format!("{needed} frames that decode"), "fewer".to_owned()));
    }
    Ok(record)
}

/// Where the windows of a clip are: as many as were asked for, or as many as it has room for.
fn windows(probe: &Probe, options: &ForgeOptions<'_>) -> Vec<FrameSpan> {
    let (total, needed) = (probe.index.frames(), needed(options));
    let windows = u64::from(options.windows).min(total / needed);
    (0..windows)
        .map(|window| {
            let start = window * total / windows;
            let room = ((window + 1) * total / windows - start).saturating_sub(needed);
            let draw = probe.content_id.seed(&format!("forge {} window {window}", options.seed));
            let first = start + draw % (room + 1);
            FrameSpan { first, last: first + needed - 1 }
        })
        .collect()
}

fn frame_rate(probe: &Probe) -> Option<Rational> {
    let rate = probe.facts.frame_rate.or(probe.facts.nominal_frame_rate);
    rate.filter(|rate| rate.numerator > 0 && rate.denominator > 0)
}

/// One window of the partner, none where it has none: kinds that need a donor are then refused. What
/// is wrong with the partner is said where its own turn is.
fn donor_window(
    reader: &Reader,
    partner: Partner<'_>,
    options: &ForgeOptions<'_>,
) -> Result<Option<(Cut, DonorCut)>, ClipError> {
    let spans = windows(partner.probe, options);
    let draw = partner.probe.content_id.seed(&format!("forge {} donor", options.seed));
    let Some(&span) = spans.get((draw % (spans.len() as u64).max(1)) as usize) else {
        return Ok(None);
    };
    let mut cut = Cut { number: 0, span, frames: Vec::new() };
    let report = reader.read_frames(partner.path, &[span], &mut |frame| {
        cut.frames.push(frame);
        ControlFlow::Continue(())
    });
    if let Err(error) = report {
        return match media(error) {
            ClipError::Source(_) => Ok(None),
            error @ ClipError::Pipeline(_) => Err(error),
        };
    }
    let donor = DonorCut {
        source: partner.path.display().to_string(),
        content_id: partner.probe.content_id,
        cut: span,
    };
    Ok(Some((cut, donor)))
}
