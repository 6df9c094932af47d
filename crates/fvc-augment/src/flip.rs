//! Flip: mirrored left to right, every frame of the clip.

use std::collections::BTreeMap;

use fvc_media::Window;

use crate::random::Random;

pub(crate) fn draw(_random: &mut Random) -> BTreeMap<String, f64> {
    BTreeMap::new()
}

pub(crate) fn apply(window: &mut Window) {
    for frame in &mut window.frames {
        let row = 3 * frame.width() as usize;
        for line in frame.data_mut().chunks_exact_mut(row) {
            let (mut left, mut right) = (0, row - 3);
            while left < right {
                for channel in 0..3 {
                    line.swap(left + channel, right + channel);
                }
                left += 3;
                right -= 3;
            }
        }
    }
}
