//! Rotation against OpenCV.

use fvc_augment::Kind;
use serde_json::Value;

use crate::clips::{apply, draw, frame, window};

#[test]
fn rotation_agrees_with_opencv() {
    let text = include_str!("../golden/rotation.json");
    let golden: Value = serde_json::from_str(text).unwrap();
    let (width, height) = (24, 17);
    assert_eq!((&golden["width"], &golden["height"]), (&width.into(), &height.into()));
    let source = frame(width, height, 0, |x, y| {
        [x * 255 / (width - 1), y * 255 / (height - 1), x * y * 255 / ((width - 1) * (height - 1))]
            .map(|level| level as u8)
    });
    let turned = golden["turned"].as_array().unwrap();
    assert_eq!(turned.len(), 6);
    for case in turned {
        let angle = case["angle"].as_f64().unwrap();
        let own = apply(&draw(Kind::Rotation, &[("angle", angle)]), &window(vec![source.clone()]));
        let differences: Vec<u64> = own.frames[0]
            .data()
            .iter()
            .zip(case["rgb"].as_array().unwrap())
            .map(|(&own, theirs)| u64::from(own).abs_diff(theirs.as_u64().unwrap()))
            .collect();
        assert_eq!(differences.len(), 3 * 24 * 17);
        // OpenCV places pixels to 1/32: beside the black border that is up to 255 / 64 levels
        // each way, elsewhere (11 to 16 levels a pixel) half a level.
        let mean = differences.iter().sum::<u64>() as f64 / differences.len() as f64;
        assert!(mean < 0.35, "{angle} degrees: {mean} levels on average");
        assert!(differences.iter().all(|&difference| difference <= 8), "{angle} degrees");
        let far = differences.iter().filter(|&&difference| difference > 1).count();
        assert!(far * 20 < differences.len(), "{angle} degrees: {far} samples differ by 2 or more");
    }
}
