//! Named sizes.

use fvc_clips::SizeSpec;
use proptest::prelude::*;

#[test]
fn a_named_size_gives_these_pictures() {
    let cases = [
        ("256max", (1280, 720), (256, 144)),
        ("256max", (720, 1280), (144, 256)),
        ("224max", (1920, 1080), (224, 126)),
        ("224max", (1279, 719), (224, 126)),
        ("224max", (160, 120), (224, 168)),
        ("256min", (1280, 720), (456, 256)),
        ("256min", (720, 1280), (256, 456)),
        ("255max", (100, 100), (256, 256)),
        ("64max", (64, 64), (64, 64)),
        ("64max", (1, 1), (64, 64)),
        // Never less than two pixels.
        ("64max", (6000, 1), (64, 2)),
        ("224letterbox", (1280, 720), (224, 224)),
        ("223letterbox", (9, 700), (224, 224)),
    ];
    for (name, (width, height), expected) in cases {
        let size: SizeSpec = name.parse().unwrap();
        assert_eq!(size.target(width, height), expected, "{name} of {width}x{height}");
        assert_eq!(size.to_string(), name);
    }
}

/// The picture within the bars is the one without any.
#[test]
fn a_letterboxed_size_is_the_longer_side_on_a_square() {
    let letterbox: SizeSpec = "224letterbox".parse().unwrap();
    assert_eq!(SizeSpec::max_side(224).letterboxed(), Some(letterbox));
    assert_eq!(letterbox.letterboxed(), Some(letterbox));
    assert_eq!(SizeSpec::min_side(224).letterboxed(), None);
    assert_eq!(letterbox.without_bars(), SizeSpec::max_side(224));
    assert_eq!(SizeSpec::min_side(9).without_bars(), SizeSpec::min_side(9));
    assert_eq!(letterbox.picture(1280, 720), (224, 126));
    assert_eq!(letterbox.side(), 224);
    // A number alone is the longer side.
    assert_eq!("224".parse(), Ok(SizeSpec::max_side(224)));
    assert_eq!(serde_json::to_string(&letterbox).unwrap(), r#""224letterbox""#);
}

/// A picture of 10 x 60000 pixels asked for 256 x 1536000 of them, more than a gigabyte.
#[test]
fn the_longer_side_is_bounded_when_the_shorter_is_named() {
    let size = SizeSpec::min_side(256);
    assert_eq!(size.target(10, 60_000), (2, 2048));
    assert_eq!(size.target(60_000, 10), (2048, 2));
    assert_eq!(size.target(u32::MAX, 1), (2048, 2));
    // Up to 8 to 1 the name is kept; beyond, the aspect is.
    assert_eq!(size.target(800, 100), (2048, 256));
    assert_eq!(size.target(1600, 100), (2048, 128));
    assert_eq!(SizeSpec::min_side(16_384).target(1920, 1080), (16_384, 9216));
}

#[test]
fn sides_that_nothing_has_are_refused_or_brought_within_bounds() {
    for name in [
        "",
        "max",
        "1max",
        "0min",
        "16385max",
        "-5max",
        "+5max",
        "224mid",
        "2 24max",
        "1",
        "224boxes",
        "224maxmin",
        "224MAX",
        "٣٢max",
        "22é",
    ] {
        let error = name.parse::<SizeSpec>().unwrap_err();
        assert!(error.contains("224max") && error.contains(&format!("{name:?}")), "{error}");
    }
    for size in [SizeSpec::max_side(0), SizeSpec::min_side(0)] {
        assert_eq!(size.target(1280, 720).1, 2, "{size}");
    }
    // It once overflowed.
    assert_eq!(SizeSpec::max_side(u32::MAX).target(1, 1), (16_384, 16_384));
}

proptest! {
    #[test]
    fn any_picture_gets_even_sides_within_bounds(
        width in prop_oneof![1_u32..5000, any::<u32>()],
        height in prop_oneof![1_u32..5000, any::<u32>()],
        side in 2_u32..=16_384,
        longer in any::<bool>(),
    ) {
        let size = if longer { SizeSpec::max_side(side) } else { SizeSpec::min_side(side) };
        let (to_width, to_height) = size.target(width, height);
        let (long, short) = (to_width.max(to_height), to_width.min(to_height));
        prop_assert!(to_width % 2 == 0 && to_height % 2 == 0 && short >= 2);
        let even = side.next_multiple_of(2);
        if longer {
            prop_assert_eq!(long, even);
        } else {
            prop_assert!(long <= (8 * side).clamp(2, 16_384));
            prop_assert!(short <= even);
            prop_assert!(short == even || long == (8 * side).min(16_384));
        }
        // The aspect is kept as nearly as even numbers allow.
        let (from_long, from_short) = (width.max(height).max(1), width.min(height).max(1));
        let exact = f64::from(long) * f64::from(from_short) / f64::from(from_long);
        prop_assert!((f64::from(short) - exact).abs() <= 2.0 || short == 2, "{exact} {short}");
        prop_assert_eq!(size.target(height, width), (to_height, to_width));
    }
}
