//! `platform_transcode`: every window encoded as a named platform would do it, and decoded again.
//!
//! A profile ([`PLATFORM_PROFILES`]) says how: pictures above its size are made smaller (the clip
//! store's scaler) and brought back afterwards, frames above its frame rate are left out and the ones
//! before them stand instead; number, sizes, indices and times of the frames stay. Each window is a
//! stream of its own.
//!
//! What comes out is frames, and no file that anyone sent: bit rate, frame rate and container of such
//! a variant are missing in the feature tables, as for any other kind. Those of our own encode of some
//! windows would tell of us, and not of the platform.
//!
//! Quality is a constant rate factor also where a platform is known by its bit rates: a window of
//! some frames is too short for rate control to settle, and its keyframe would take all the bits.

use fvc_clips::scale_frame_to;
use fvc_media::{EncodeSettings, Frame, Rational, Window};
use serde::Serialize;

use crate::frames::{show, ticks};
use crate::kind::{Occasion, Recipe};
use crate::transcode::encoded_again;
use crate::{AugmentError, Parameter};

/// What a platform does to a video: H.264 by x264, 4:2:0, BT.709. The settings under a name never
/// change; others get another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformProfile {
    /// Its name in records.
    pub name: &'static str,
    /// The longest that the shorter side of a picture stays, in pixels.
    pub shorter_side: u32,
    /// The highest frame rate that stays, in frames a second.
    pub frame_rate: u32,
    /// x264's constant rate factor.
    pub crf: u8,
    /// x264's preset.
    pub preset: &'static str,
    /// Most time from one keyframe to the next, in seconds.
    pub gop_seconds: u32,
    /// Most B-frames in a row.
    pub b_frames: u32,
    /// Where the settings come from: "published" by the platform, "reported" by those who looked at
    /// what it delivers, or "assumed" by us. None was measured by us.
    pub origin: &'static str,
}

/// All profiles, by the number that is drawn.
pub const PLATFORM_PROFILES: [PlatformProfile; 7] = [
    PlatformProfile {
        name: "youtube_720p",
        shorter_side: 720,
        frame_rate: 60,
        crf: 25,
        preset: "medium",
        gop_seconds: 5,
        b_frames: 2,
        origin: "size and frame rate reported (formats 136 and 298), the rest assumed",
    },
    PlatformProfile {
        name: "youtube_360p",
        shorter_side: 360,
        frame_rate: 30,
        crf: 27,
        preset: "medium",
        gop_seconds: 5,
        b_frames: 2,
        origin: "size and frame rate reported (format 134), the rest assumed",
    },
    PlatformProfile {
        name: "facebook",
        shorter_side: 720,
        frame_rate: 30,
        crf: 28,
        preset: "fast",
        gop_seconds: 2,
        b_frames: 2,
        origin: "assumed",
    },
    PlatformProfile {
        name: "twitter_x",
        shorter_side: 720,
        frame_rate: 60,
        crf: 27,
        preset: "fast",
        gop_seconds: 3,
        b_frames: 2,
        origin: "size and frame rate published (X developer documentation, media best practices), \
                 the rest assumed",
    },
    PlatformProfile {
        name: "whatsapp",
        shorter_side: 480,
        frame_rate: 30,
        crf: 30,
        preset: "veryfast",
        gop_seconds: 2,
        b_frames: 0,
        origin: "size and frame rate reported (standard quality), the rest assumed",
    },
    PlatformProfile {
        name: "telegram",
        shorter_side: 720,
        frame_rate: 30,
        crf: 27,
        preset: "veryfast",
        gop_seconds: 1,
        b_frames: 0,
        origin: "assumed",
    },
    PlatformProfile {
        name: "tiktok",
        shorter_side: 576,
        frame_rate: 30,
        crf: 28,
        preset: "medium",
        gop_seconds: 5,
        b_frames: 2,
        origin: "assumed",
    },
];

const NAMES: [&str; PLATFORM_PROFILES.len()] = {
    let mut names = [""; PLATFORM_PROFILES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PLATFORM_PROFILES[at].name;
        at += 1;
    }
    names
};

pub(crate) const RECIPE: Recipe = Recipe {
    name: "platform_transcode",
    about: "encoded as a named platform would do it, and decoded again",
    parameters: &[Parameter {
        name: "profile",
        unit: "",
        low: 0.0,
        high: (PLATFORM_PROFILES.len() - 1) as f64,
        whole: true,
        names: &NAMES,
        meaning: "whose size, frame rate, quality and stream",
    }],
    encodes: true,
    apply,
};

fn apply(occasion: &Occasion<'_>, window: &Window) -> Result<Window, AugmentError> {
    // A whole number within its range: the table was checked against it.
    let profile = &PLATFORM_PROFILES[occasion.value("profile")? as usize];
    let (rate, shown) = slower(window, occasion.frame_rate, profile.frame_rate);
    let mut sent = shown.clone();
    sent.dedup();
    let pictures = sent.iter().map(|&at| smaller(&window.frames[at], profile.shorter_side));
    let pictures = pictures.collect::<Result<Vec<Frame>, _>>()?;
    let settings = EncodeSettings {
        crf: profile.crf,
        preset: profile.preset.to_owned(),
        gop: Some(frames_in(profile.gop_seconds, rate)),
        b_frames: Some(profile.b_frames),
        ..EncodeSettings::new(rate)
    };
    let mut transcoded = window.clone();
    for (own, &at) in encoded_again(&pictures, &settings, occasion.counters)?.iter().zip(&sent) {
        let into = &mut transcoded.frames[at];
        let own = scale_frame_to(own, into.width(), into.height())?;
        into.data_mut().copy_from_slice(own.data());
    }
    Ok(show(&transcoded, &shown))
}

/// The rate at which the profile shows the window, and for each place the place that stands there.
fn slower(window: &Window, rate: Rational, most: u32) -> (Rational, Vec<usize>) {
    let (frames, seconds) = (i128::from(rate.numerator), i128::from(rate.denominator));
    let most_frames = i128::from(most) * seconds;
    // What is no rate is the encoder's to refuse.
    if frames <= 0 || seconds <= 0 || frames <= most_frames {
        return (rate, (0..window.frames.len()).collect());
    }
    let shown = ticks(window, most_frames.unsigned_abs(), frames.unsigned_abs());
    (Rational::new(i64::from(most), 1), shown)
}

/// The picture with its shorter side brought down to `most`, the other one in proportion, both even.
fn smaller(frame: &Frame, most: u32) -> Result<Frame, AugmentError> {
    let (width, height) = (frame.width(), frame.height());
    let shorter = width.min(height);
    if shorter <= most {
        return Ok(frame.clone());
    }
    let less = |side: u32| {
        let pairs =
            (u64::from(side) * u64::from(most) + u64::from(shorter)) / (2 * u64::from(shorter));
        2 * pairs.max(1) as u32
    };
    Ok(scale_frame_to(frame, less(width), less(height))?)
}

fn frames_in(seconds: u32, rate: Rational) -> u32 {
    let (frames, unit) = (i128::from(rate.numerator), i128::from(rate.denominator).max(1));
    ((i128::from(seconds) * frames + unit / 2) / unit).clamp(1, 10_000) as u32
}
