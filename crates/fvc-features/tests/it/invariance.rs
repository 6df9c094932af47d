//! What must not change a value, and what bounds it.

use std::collections::BTreeMap;

use fvc_features::{Extractor, NATIVE, SCALED};
use fvc_media::Frame;
use proptest::prelude::*;

use crate::measured::{NO_FACTS, assert_near, means, of_frame};
use crate::naive::any_frame;
use crate::picture::{Kind, frame};

/// Every per-frame feature's range, as its schema states it.
const RANGES: [(&str, f64, f64); 18] = [
    ("noise_energy", 0.0, 2040.0),
    ("noise_mean", 0.0, 4_161_600.0),
    ("noise_std", 0.0, 2_080_800.0),
    ("dct_dc_mean", 0.0, 2040.0),
    ("dct_dc_std", 0.0, 1020.0),
    ("dct_ac_mean", -52.0, 52.0),
    ("dct_ac_std", 0.0, 129.0),
    ("dct_ac_energy", 0.0, 16515.0),
    ("laplacian_var", 0.0, 1_040_400.0),
    ("gradient_mean", 0.0, 1443.0),
    ("gradient_std", 0.0, 722.0),
    ("boundary_inconsistency", -255.0, 255.0),
    ("edge_density", 0.0, 1.0),
    ("texture_uniformity", 0.0, 1.0),
    ("color_consistency_r", 0.0, 127.5),
    ("color_consistency_g", 0.0, 127.5),
    ("color_consistency_b", 0.0, 127.5),
    ("compression_artifacts", 0.0, 510.0),
];

fn flipped(frame: &Frame, across: bool, down: bool) -> Frame {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut pixels = Vec::with_capacity(frame.data().len());
    for y in 0..height {
        for x in 0..width {
            let from_x = if across { width - 1 - x } else { x };
            let from_y = if down { height - 1 - y } else { y };
            let at = 3 * (from_y * width + from_x);
            pixels.extend_from_slice(&frame.data()[at..at + 3]);
        }
    }
    Frame::new(frame.width(), frame.height(), pixels, 0, 0.0).unwrap()
}

/// Features a mirrored picture shares; those on the 8x8 grid only when whole blocks are mirrored.
fn assert_flip_invariant(frame: &Frame) {
    let grid_kept = frame.width().is_multiple_of(8) && frame.height().is_multiple_of(8);
    let here = of_frame(frame);
    for (across, down) in [(true, false), (false, true), (true, true)] {
        let there = of_frame(&flipped(frame, across, down));
        for (name, value) in &here {
            match *name {
                // The AC mean weighs positions; of two equal edge neighbours the left one wins.
                "dct_ac_mean" | "dct_ac_std" | "edge_density" => {}
                name if name.starts_with("gradient") => {
                    assert_near(name, there[name], *value, 1e-6);
                }
                name if grid_kept || !(name.starts_with("dct") || is_on_grid(name)) => {
                    assert!(there[name] == *value || value.is_nan(), "{name}");
                }
                _ => {}
            }
        }
    }
}

fn is_on_grid(name: &str) -> bool {
    ["boundary_inconsistency", "compression_artifacts"].contains(&name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flips_change_nothing_that_has_no_direction(frame in any_frame()) {
        assert_flip_invariant(&frame);
    }

    #[test]
    fn values_are_finite_and_in_range(frame in any_frame()) {
        let missing_border = frame.width() <= 8 && frame.height() <= 8;
        let missing_block = frame.width() < 8 || frame.height() < 8;
        let found = of_frame(&frame);
        for (name, low, high) in RANGES {
            let missing = name == "boundary_inconsistency" && missing_border
                || name == "compression_artifacts" && missing_block;
            prop_assert_eq!(found[name].is_nan(), missing, "{} {}", name, found[name]);
            prop_assert!(missing || (low..=high).contains(&found[name]), "{name} {}", found[name]);
        }
        prop_assert_eq!(found.len(), RANGES.len());
    }

    #[test]
    fn what_was_measured_before_leaves_no_trace(frames in proptest::collection::vec(any_frame(), 1..5)) {
        let mut used = Extractor::new(&SCALED);
        for frame in &frames {
            used.push(frame);
            let again: Vec<u64> = used.finish(&NO_FACTS).iter().map(|v| v.to_bits()).collect();
            let mut fresh = Extractor::new(&SCALED);
            fresh.push(frame);
            let first: Vec<u64> = fresh.finish(&NO_FACTS).iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(again, first);
        }
    }
}

#[test]
fn flips_of_whole_blocks_change_nothing_on_the_grid() {
    for kind in [Kind::Scene, Kind::Static, Kind::Blocks] {
        assert_flip_invariant(&frame(kind, 64, 48, 3));
        assert_flip_invariant(&frame(kind, 224, 128, 4));
    }
}

#[test]
fn four_mirrored_copies_have_the_values_of_one() {
    let one = frame(Kind::Scene, 160, 128, 5);
    let mut pixels = Vec::new();
    for (rows, lower) in [(0..128_usize, false), (0..128, true)] {
        for y in rows {
            let y = if lower { 127 - y } else { y };
            let row = &one.data()[3 * 160 * y..3 * 160 * (y + 1)];
            pixels.extend_from_slice(row);
            pixels.extend(row.chunks(3).rev().flatten());
        }
    }
    let four = of_frame(&Frame::new(320, 256, pixels, 0, 0.0).unwrap());
    for (name, value) in of_frame(&one) {
        match name {
            // Signed or differences of near equals: no relative measure.
            "dct_ac_mean" => assert!(four[name].abs() < 1.0),
            "boundary_inconsistency" => assert!((four[name] - value).abs() < 0.5),
            // A sum over the frame would come out four times as large.
            _ => assert_near(name, four[name], value, 0.05),
        }
    }
}

#[test]
fn a_blocky_picture_is_told_from_a_noisy_one() {
    let noisy = of_frame(&frame(Kind::Static, 128, 96, 1));
    let blocky = of_frame(&frame(Kind::Blocks, 128, 96, 1));
    assert!(noisy["boundary_inconsistency"].abs() < 3.0, "{noisy:?}");
    assert!(blocky["boundary_inconsistency"] > 30.0, "{blocky:?}");
    assert_eq!(blocky["compression_artifacts"], 0.0);
    assert_eq!(blocky["dct_ac_energy"], 0.0);
    // The grid, not blocks as such: moved by four pixels it lies inside.
    let moved = {
        let blocks = frame(Kind::Blocks, 136, 104, 1);
        let rows =
            (4..100).flat_map(|y| blocks.data()[3 * (136 * y + 4)..3 * (136 * y + 132)].to_vec());
        of_frame(&Frame::new(128, 96, rows.collect(), 0, 0.0).unwrap())
    };
    assert!(moved["boundary_inconsistency"] < -3.0, "{moved:?}");
}

#[test]
fn flat_pictures_are_exactly_flat() {
    for (width, height) in [(1, 1), (1, 30), (31, 1), (2, 2), (13, 7), (64, 48), (1281, 9)] {
        for level in [0_u8, 1, 77, 255] {
            let pixels = vec![level; 3 * width as usize * height as usize];
            let found = of_frame(&Frame::new(width, height, pixels, 0, 0.0).unwrap());
            for (name, value) in &found {
                let expected = match *name {
                    "dct_dc_mean" => 8.0 * f64::from(level),
                    "texture_uniformity" => 1.0,
                    "boundary_inconsistency" if width <= 8 && height <= 8 => continue,
                    "compression_artifacts" if width < 8 || height < 8 => continue,
                    _ => 0.0,
                };
                assert_eq!(*value, expected, "{name} at {width}x{height}, level {level}");
            }
        }
    }
}

#[test]
fn the_order_of_frames_does_not_matter() {
    let frames: Vec<Frame> = (0..12).map(|seed| frame(Kind::Scene, 96, 64, seed)).collect();
    let values = |order: &[usize]| {
        let mut extractor = Extractor::new(&NATIVE);
        for at in order {
            extractor.push(&frames[*at]);
        }
        extractor.finish(&NO_FACTS)
    };
    let forwards: Vec<usize> = (0..12).collect();
    let shuffled = [7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 4, 6];
    for (found, expected) in values(&shuffled).iter().zip(values(&forwards)) {
        assert_near("a column", *found, expected, 1e-11);
    }
}

#[test]
fn no_two_features_are_the_same() {
    let pictures: Vec<BTreeMap<&str, f64>> =
        (0..6).map(|seed| of_frame(&frame(Kind::Scene, 120, 90, seed))).collect();
    for (position, (a, ..)) in RANGES.iter().enumerate() {
        for (b, ..) in &RANGES[position + 1..] {
            assert!(pictures.iter().any(|found| (found[a] - found[b]).abs() > 1e-3), "{a} {b}");
        }
    }
}

#[test]
fn both_sets_measure_the_fifteen_alike() {
    let picture = frame(Kind::Scene, 200, 113, 9);
    let mut extractor = Extractor::new(&NATIVE);
    extractor.push(&picture);
    let native = means(&NATIVE, &extractor.finish(&NO_FACTS));
    let scaled = of_frame(&picture);
    assert_eq!(native.len(), 12);
    for (name, value) in native {
        assert_eq!(value.to_bits(), scaled[name].to_bits(), "{name}");
    }
}
