//! Transcodes by platform profile.

use fvc_augment::{AUGMENT_VERSION, AugmentError, Draw, Kind, PLATFORM_PROFILES, PlatformProfile};
use fvc_media::{DecodeCounters, Frame, Rational, Window};

use crate::clips::{RATE, apply, draw, frame, moving, psnr, window};

fn platform(name: &str) -> (PlatformProfile, Draw) {
    let at = PLATFORM_PROFILES.iter().position(|profile| profile.name == name).unwrap();
    (PLATFORM_PROFILES[at], draw(Kind::PlatformTranscode, &[("profile", at as f64)]))
}

#[test]
fn profiles_are_recorded_by_name() {
    for (at, profile) in PLATFORM_PROFILES.iter().enumerate() {
        let (_, draw) = platform(profile.name);
        let record = serde_json::to_value(&draw).unwrap();
        assert_eq!(record["parameters"]["profile"], profile.name);
        let replayed: Draw = serde_json::from_value(record).unwrap();
        assert_eq!(replayed, draw);
        assert_eq!(replayed.parameters["profile"], at as f64);
    }
    let read = |kind: &str, parameters: &str| {
        let record =
            format!(r#"{{"variant":1,"kind":"{kind}","seed":1,"parameters":{{{parameters}}}}}"#);
        serde_json::from_str::<Draw>(&record).map_err(|error| error.to_string())
    };
    assert!(read("platform_transcode", r#""profile":"whatsapp""#).is_ok());
    for wrong in [r#""profile":"myspace""#, r#""profile":4"#, r#""profile":4.0"#] {
        let refused = read("platform_transcode", wrong).unwrap_err();
        assert!(refused.contains("one of youtube_720p"), "{refused}");
    }
    // Numbers stay numbers, to the last bit, and a name is none.
    let brighter = read("brightness", r#""factor":1.1000000000000003"#).unwrap();
    assert_eq!(brighter.parameters["factor"], 1.100_000_000_000_000_3);
    assert!(read("brightness", r#""factor":"whatsapp""#).unwrap_err().contains("0.7 to 1.3"));
    assert!(read("flip", r#""factor":"whatsapp""#).unwrap_err().contains("no such parameter"));
    // Out of range it has no name, and is refused where it is used.
    let beyond = draw(Kind::PlatformTranscode, &[("profile", PLATFORM_PROFILES.len() as f64)]);
    let clip = window(moving(16, 16, 0, 1));
    let refused = beyond.apply(&clip, RATE, &DecodeCounters::default());
    assert!(matches!(refused, Err(AugmentError::Parameter { .. })), "{refused:?}");
    assert!(serde_json::to_string(&beyond).unwrap().contains("7.0"));
}

/// What a name stands for never changes: old records would give other pictures.
#[test]
fn the_profiles_are_those_of_this_version() {
    assert_eq!(AUGMENT_VERSION, 1);
    let found: Vec<String> = PLATFORM_PROFILES
        .iter()
        .map(|p| {
            let PlatformProfile { name, shorter_side, frame_rate, crf, preset, .. } = p;
            let (gop, b_frames) = (p.gop_seconds, p.b_frames);
            format!("{name} {shorter_side}p{frame_rate} crf {crf} {preset} {gop} s {b_frames} B")
        })
        .collect();
    assert_eq!(
        found,
        [
            "youtube_720p 720p60 crf 25 medium 5 s 2 B",
            "youtube_360p 360p30 crf 27 medium 5 s 2 B",
            "facebook 720p30 crf 28 fast 2 s 2 B",
            "twitter_x 720p60 crf 27 fast 3 s 2 B",
            "whatsapp 480p30 crf 30 veryfast 2 s 0 B",
            "telegram 720p30 crf 27 veryfast 1 s 0 B",
            "tiktok 576p30 crf 28 medium 5 s 2 B",
        ]
    );
    assert!(PLATFORM_PROFILES.iter().all(|profile| !profile.origin.is_empty()));
}

#[test]
fn every_profile_costs_quality_and_counts_as_our_own_decode() {
    for (width, height) in [(96, 64), (97, 65), (1, 1)] {
        let clip = window(moving(width, height, 20, 8));
        for profile in &PLATFORM_PROFILES {
            let counters = DecodeCounters::default();
            let (_, draw) = platform(profile.name);
            let made = draw.apply(&clip, RATE, &counters).unwrap();
            let found = psnr(&clip.frames, &made.frames);
            assert!(width == 1 || (24.0..45.0).contains(&found), "{}: {found} dB", profile.name);
            assert_eq!((counters.own(), counters.sources()), (1, 0));
        }
    }
    let (_, draw) = platform("facebook");
    let clip = window(moving(32, 32, 0, 2));
    let no_rate = draw.apply(&clip, Rational::new(0, 0), &DecodeCounters::default());
    assert!(matches!(no_rate, Err(AugmentError::Encode(_))), "{no_rate:?}");
}

/// Contrast of upright stripes of two columns each, in the middle of the picture.
fn stripes_left(frame: &Frame) -> f64 {
    let (width, middle) = (frame.width() as usize, frame.height() as usize / 2);
    let row: Vec<f64> =
        (0..width).map(|x| f64::from(frame.data()[3 * (width * middle + x) + 1])).collect();
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    (row.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / row.len() as f64).sqrt()
}

#[test]
fn a_profile_keeps_no_more_than_its_size() {
    // Stripes of one column in a picture of 720 rows and of 720 columns: at 360 gone, at 720 there.
    let stripes = |x: u32, _| if x % 2 < 1 { [40; 3] } else { [200; 3] };
    for (width, height) in [(800, 720), (720, 804)] {
        let clip = window(vec![frame(width, height, 0, stripes)]);
        let left = |name: &str| stripes_left(&apply(&platform(name).1, &clip).frames[0]);
        for profile in PLATFORM_PROFILES.iter().filter(|profile| profile.shorter_side == 720) {
            assert!(left(profile.name) > 70.0, "{}: {}", profile.name, left(profile.name));
        }
        // In between, what is left is a beat; half the size is their mean.
        let [tiktok, whatsapp, youtube] = ["tiktok", "whatsapp", "youtube_360p"].map(left);
        assert!((20.0..40.0).contains(&tiktok), "{tiktok}");
        assert!((10.0..tiktok).contains(&whatsapp), "{whatsapp}");
        assert!(youtube < 1.0, "{youtube}");
    }
}

#[test]
fn a_profile_shows_no_more_than_its_frame_rate() {
    let clip = window(moving(64, 48, 10, 8));
    let at = |name: &str, rate: Rational| -> Window {
        platform(name).1.apply(&clip, rate, &DecodeCounters::default()).unwrap()
    };
    let stands = |window: &Window| -> Vec<bool> {
        window.frames.windows(2).map(|two| two[0].data() == two[1].data()).collect()
    };
    let pairs = [true, false, true, false, true, false, true];
    assert_eq!(stands(&at("telegram", Rational::new(60, 1))), pairs);
    assert_eq!(stands(&at("telegram", Rational::new(60_000, 1_001))), pairs);
    assert_eq!(stands(&at("youtube_720p", Rational::new(60, 1))), [false; 7]);
    assert_eq!(stands(&at("telegram", Rational::new(30, 1))), [false; 7]);
    // 40 frames a second at 30: three of four, by the source's clock (frames 10 to 17: ticks 7 8 9
    // 9 10 11 12 12).
    let quarter = [false, false, true, false, false, false, true];
    assert_eq!(stands(&at("whatsapp", Rational::new(40, 1))), quarter);
    // And each picture is that of its own place.
    let made = at("telegram", Rational::new(60, 1));
    assert!(
        psnr(&made.frames[4..5], &clip.frames[4..5]) > psnr(&made.frames[5..6], &clip.frames[5..6])
    );
}
