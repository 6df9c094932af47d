//! Kinds that show other frames at the same times.

use fvc_augment::{Draw, Kind};
use fvc_media::Window;

use crate::clips::{apply, draw, frame, window};

/// A window of frames whose level is their index in the source.
fn counting(first: u64, frames: u64, step: u64) -> Window {
    let frame = |at| frame(3, 2, first + step * at, |_, _| [(first + step * at) as u8; 3]);
    window((0..frames).map(frame).collect())
}

/// Which frame of the source each place of the window shows.
fn shown(draw: &Draw, window: &Window) -> Vec<u64> {
    let made = apply(draw, window);
    assert_eq!(made.frames.len(), window.frames.len());
    for (own, before) in made.frames.iter().zip(&window.frames) {
        assert_eq!((own.index, own.time), (before.index, before.time), "places keep their times");
    }
    made.frames.iter().map(|frame| u64::from(frame.data()[0])).collect()
}

#[test]
fn a_reversed_window_runs_backwards_at_forward_times() {
    let clip = counting(40, 5, 1);
    let reverse = draw(Kind::TemporalReverse, &[]);
    assert_eq!(shown(&reverse, &clip), [44, 43, 42, 41, 40]);
    assert_eq!(apply(&reverse, &apply(&reverse, &clip)), clip);
}

#[test]
fn one_frame_of_each_run_is_lost_and_the_one_before_stands() {
    for every in 3..=8_u64 {
        for seed in 0..20 {
            let drop = draw(Kind::TemporalDrop, &[("every", every as f64)]);
            let drop = Draw { seed, ..drop };
            let shown = shown(&drop, &counting(0, 240, 1));
            let lost: Vec<u64> = (0..240).filter(|&at| shown[at as usize] != at).collect();
            for run in 1..240 / every {
                let of_run = lost.iter().filter(|&&at| at / every == run).count();
                assert_eq!(of_run, 1, "every {every}, seed {seed}, run {run}: {lost:?}");
            }
            for &at in &lost {
                assert_eq!(shown[at as usize], shown[at as usize - 1]);
            }
            // Not a beat: the place within the run differs.
            assert!(lost.iter().any(|at| at % every != lost[3] % every));
            // The same frames are lost in a window that begins elsewhere.
            let part = self::shown(&drop, &counting(100, 60, 1));
            assert_eq!(part[1..], shown[101..160], "every {every}, seed {seed}");
        }
    }
}

/// Which frames are picked is part of the version, as all bits are.
#[test]
fn the_lost_frames_are_those_of_this_version() {
    let drop = draw(Kind::TemporalDrop, &[("every", 5.0)]);
    let shown = shown(&drop, &counting(0, 40, 1));
    let lost: Vec<u64> = (0..40).filter(|&at| shown[at as usize] != at).collect();
    assert_eq!(lost, [4, 8, 10, 15, 23, 28, 32, 39]);
}

#[test]
fn one_frame_of_each_run_is_doubled_and_the_end_falls_off() {
    for every in 3..=8_u64 {
        let duplicate = draw(Kind::TemporalDuplicate, &[("every", every as f64)]);
        let shown = shown(&duplicate, &counting(0, 240, 1));
        let last = *shown.last().unwrap();
        // Everything up to the last shown frame is there, in order, once or twice.
        let mut kept = shown.clone();
        kept.dedup();
        assert_eq!(kept, (0..=last).collect::<Vec<_>>());
        for run in 0..last / every {
            let times = shown.iter().filter(|&&at| at / every == run).count() as u64;
            assert_eq!(times, every + 1, "every {every}, run {run}: {shown:?}");
        }
        assert!(last.abs_diff(240 * every / (every + 1)) <= 1, "every {every}: {last}");
    }
}

#[test]
fn a_lower_frame_rate_repeats_by_the_clock() {
    let at = |percent: f64, window: &Window| {
        shown(&draw(Kind::FrameRateConversion, &[("percent", percent)]), window)
    };
    assert_eq!(at(50.0, &counting(0, 8, 1)), [0, 0, 2, 2, 4, 4, 6, 6]);
    // Ticks of 0 to 9: 0 0 1 2 3 4 4 5 6 7.
    assert_eq!(at(80.0, &counting(0, 10, 1)), [0, 0, 2, 3, 4, 5, 5, 7, 8, 9]);
    // The clock is the source's, not the window's; a frame before the window is not to be had.
    assert_eq!(at(50.0, &counting(5, 6, 1)), [5, 6, 6, 8, 8, 10]);
    assert_eq!(at(40.0, &counting(1, 7, 1)), [1, 1, 3, 3, 5, 5, 5]);
    // Sampled at less than the lower rate there is nothing to repeat.
    assert_eq!(at(50.0, &counting(0, 6, 2)), [0, 2, 4, 6, 8, 10]);
    for percent in 40..=85_u64 {
        let clip = counting(0, 200, 1);
        let mut kept = at(percent as f64, &clip);
        kept.dedup();
        assert!((kept.len() as u64).abs_diff(2 * percent) <= 1, "{percent} %: {}", kept.len());
    }
}
