//! Letterboxed frames: where the picture lies, and that nothing else is there.

use fvc_clips::{ClipStore, ClipStoreError, PictureArea, SizeSpec, letterbox, scale_frame};
use fvc_media::Frame;
use proptest::prelude::*;

use crate::picture::{Kind, frame};
use crate::store::id;

fn size(name: &str) -> SizeSpec {
    name.parse().unwrap()
}

#[test]
fn a_picture_lies_in_the_middle_on_even_pixels() {
    let area = |name: &str, width, height| PictureArea::of(size(name), width, height).unwrap();
    let at = |left, top, width, height| PictureArea { left, top, width, height };
    assert_eq!(area("224letterbox", 224, 126), at(0, 48, 224, 126));
    assert_eq!(area("224letterbox", 126, 224), at(48, 0, 126, 224));
    // Of 2 rows too many none is above, of 6 there are two.
    assert_eq!(area("64letterbox", 64, 62), at(0, 0, 64, 62));
    assert_eq!(area("64letterbox", 64, 58), at(0, 2, 64, 58));
    assert_eq!(area("64letterbox", 64, 64), at(0, 0, 64, 64));
    assert_eq!(PictureArea::of(size("64max"), 64, 32), None);
    assert_eq!(PictureArea::of(size("64letterbox"), 66, 32), None);
}

#[test]
fn a_picture_that_is_larger_than_its_square_is_refused() {
    let error = letterbox(frame(Kind::Static, 66, 32, 1), size("64letterbox")).unwrap_err();
    assert!(matches!(error, ClipStoreError::Scale { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("66x32") && text.contains("at most 64x64"), "{text}");
    let untouched = frame(Kind::Static, 66, 32, 1);
    assert_eq!(letterbox(untouched.clone(), size("64max")).unwrap(), untouched);
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let mut writer = store.writer(&id(), 0, size("64letterbox")).unwrap();
    let error = writer.push_window(std::slice::from_ref(&untouched)).unwrap_err().to_string();
    assert!(error.contains("at most 64x64, found 66x32"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Inside its area the scaled picture, bit for bit; black everywhere else.
    #[test]
    fn a_letterboxed_frame_is_the_picture_and_black(
        width in 1_u32..120, height in 1_u32..120, side in 2_u32..70, seed in 0_u32..50,
    ) {
        let size = SizeSpec::max_side(side).letterboxed().unwrap();
        let mut source = frame(Kind::Static, width, height, seed);
        // No black of its own.
        source.data_mut().iter_mut().for_each(|level| *level = (*level).max(9));
        (source.index, source.time) = (7, 0.5);
        let scaled = scale_frame(&source, size).unwrap();
        prop_assert_eq!((scaled.width(), scaled.height()), size.picture(width, height));
        let framed = letterbox(scaled.clone(), size).unwrap();
        prop_assert_eq!((framed.width(), framed.height()), size.target(width, height));
        prop_assert_eq!((framed.index, framed.time), (7, 0.5));
        let area = PictureArea::of(size, scaled.width(), scaled.height()).unwrap();
        let bars = framed.width() - area.width;
        prop_assert!(area.left.abs_diff(bars - area.left) <= 2);
        let (columns, rows) = (area.left..area.left + area.width, area.top..area.top + area.height);
        for y in 0..framed.height() {
            for x in 0..framed.width() {
                let pixel = |frame: &Frame, x: u32, y: u32| {
                    let at = 3 * (y * frame.width() + x) as usize;
                    [frame.data()[at], frame.data()[at + 1], frame.data()[at + 2]]
                };
                let expected = if columns.contains(&x) && rows.contains(&y) {
                    pixel(&scaled, x - area.left, y - area.top)
                } else {
                    [0; 3]
                };
                prop_assert_eq!(pixel(&framed, x, y), expected, "{} {}", x, y);
            }
        }
    }
}

/// The file says where the picture is; its planes are those of a clip without bars, and black.
#[test]
fn a_letterboxed_clip_says_where_its_picture_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = ClipStore::open(folder.path()).unwrap();
    let pictures: Vec<Frame> = (0..3).map(|seed| frame(Kind::Blocks, 32, 18, seed)).collect();
    let write = |size: SizeSpec| {
        let mut writer = store.writer(&id(), 0, size).unwrap();
        writer.push_window(&pictures[..2]).unwrap();
        writer.push_window(&pictures[2..]).unwrap();
        let entry = writer.finish().unwrap();
        store.verify(&entry).unwrap();
        entry
    };
    let (plain, boxed) = (write(size("32max")), write(size("32letterbox")));
    assert!(boxed.path.ends_with("-0-32letterbox.fvcclip"), "{}", boxed.path);
    assert!(boxed.bytes <= ClipStore::estimated_bytes(size("32letterbox"), 1, 3));
    let reader = store.read(&id(), 0, size("32letterbox")).unwrap();
    let area = PictureArea { left: 0, top: 6, width: 32, height: 18 };
    assert_eq!(reader.header().picture, Some(area));
    assert_eq!((reader.header().width, reader.header().height), (32, 32));
    let without = store.read(&id(), 0, size("32max")).unwrap();
    assert_eq!(without.header().picture, None);
    let row = 3 * 32;
    for window in 0..2 {
        let (own, other) =
            (reader.window(window).unwrap().unwrap(), without.window(window).unwrap().unwrap());
        assert_eq!(own.len(), other.len());
        for (own, other) in own.iter().zip(&other) {
            assert_eq!(&own.data()[6 * row..24 * row], other.data());
            assert!(own.data()[..6 * row].iter().all(|level| *level == 0));
            assert!(own.data()[24 * row..].iter().all(|level| *level == 0));
        }
    }
    assert_ne!(plain.hash, boxed.hash);
}
