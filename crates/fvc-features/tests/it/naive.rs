//! The fused pass against each definition written out plainly, pixel by pixel.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use fvc_media::Frame;
use proptest::prelude::*;

use crate::measured::{assert_near, of_frame};

struct Grey {
    width: i64,
    height: i64,
    levels: Vec<f64>,
}

impl Grey {
    fn of(frame: &Frame) -> Self {
        let grey = |p: &[u8]| {
            let weighted =
                9798 * u64::from(p[0]) + 19235 * u64::from(p[1]) + 3735 * u64::from(p[2]);
            ((weighted + (1 << 14)) >> 15) as f64
        };
        Self {
            width: i64::from(frame.width()),
            height: i64::from(frame.height()),
            levels: frame.data().chunks(3).map(grey).collect(),
        }
    }

    fn mirrored(at: i64, length: i64) -> i64 {
        let period = (2 * (length - 1)).max(1);
        let at = at.rem_euclid(period);
        at.min(period - at).min(length - 1)
    }

    fn at(&self, x: i64, y: i64) -> f64 {
        let (x, y) = (Self::mirrored(x, self.width), Self::mirrored(y, self.height));
        self.levels[(y * self.width + x) as usize]
    }

    fn repeated(&self, x: i64, y: i64) -> f64 {
        let (x, y) = (x.clamp(0, self.width - 1), y.clamp(0, self.height - 1));
        self.levels[(y * self.width + x) as usize]
    }

    fn map(&self, value: impl Fn(i64, i64) -> f64) -> Vec<f64> {
        let rows = 0..self.height;
        rows.flat_map(|y| (0..self.width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect()
    }

    fn filtered(&self, kernel: [[f64; 3]; 3]) -> Vec<f64> {
        self.map(|x, y| {
            let taps = (0..9).map(|k| (k % 3, k / 3));
            taps.map(|(i, j)| {
                kernel[j as usize][i as usize] * self.at(x + i64::from(i) - 1, y + i64::from(j) - 1)
            })
            .sum()
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

fn spectrum(block: &[f64]) -> Vec<f64> {
    let basis = |u: usize, x: usize| {
        let scale = if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
        scale * ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()
    };
    (0..64)
        .map(|uv| (0..64).map(|yx| block[yx] * basis(uv / 8, yx / 8) * basis(uv % 8, yx % 8)).sum())
        .collect()
}

fn canny(grey: &Grey) -> f64 {
    let sobel = |x: i64, y: i64| {
        let p = |i: i64, j: i64| grey.repeated(x + i, y + j) as i64;
        let across = p(1, -1) + 2 * p(1, 0) + p(1, 1) - p(-1, -1) - 2 * p(-1, 0) - p(-1, 1);
        let down = p(-1, 1) + 2 * p(0, 1) + p(1, 1) - p(-1, -1) - 2 * p(0, -1) - p(1, -1);
        (across, down)
    };
    let strength = |x: i64, y: i64| {
        if x < 0 || y < 0 || x >= grey.width || y >= grey.height {
            return 0;
        }
        let (across, down) = sobel(x, y);
        across.abs() + down.abs()
    };
    let mut marks = grey.map(|x, y| {
        let (here, (across, down)) = (strength(x, y), sobel(x, y));
        let slope = down.abs() as f64 / across.abs() as f64;
        let peak = if slope < 13573.0 / 32768.0 {
            here > strength(x - 1, y) && here >= strength(x + 1, y)
        } else if slope > 2.0 + 13573.0 / 32768.0 {
            here > strength(x, y - 1) && here >= strength(x, y + 1)
        } else {
            let side = if (across < 0) == (down < 0) { 1 } else { -1 };
            here > strength(x - side, y - 1) && here > strength(x + side, y + 1)
        };
        if !peak || here <= 50 {
            0.0
        } else if here > 150 {
            2.0
        } else {
            1.0
        }
    });
    // Edges spread over candidates until nothing changes.
    loop {
        let mark = |x: i64, y: i64| {
            let inside = x >= 0 && y >= 0 && x < grey.width && y < grey.height;
            if inside { marks[(y * grey.width + x) as usize] } else { 0.0 }
        };
        let next = grey.map(|x, y| {
            let touches = (0..9).any(|k| mark(x + k % 3 - 1, y + k / 3 - 1) == 2.0);
            if mark(x, y) == 1.0 && touches { 2.0 } else { mark(x, y) }
        });
        if next == marks {
            break;
        }
        marks = next;
    }
    marks.iter().filter(|mark| **mark == 2.0).count() as f64 / marks.len() as f64
}

fn naive(frame: &Frame) -> BTreeMap<&'static str, f64> {
    let grey = Grey::of(frame);
    let (width, height) = (grey.width, grey.height);
    let squared: Vec<f64> = grey
        .filtered([[-1.0, -1.0, -1.0], [-1.0, 8.0, -1.0], [-1.0, -1.0, -1.0]])
        .iter()
        .map(|r| r * r)
        .collect();
    let laplacian = grey.filtered([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]);
    let across = grey.filtered([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]);
    let down = grey.filtered([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]);
    let gradient: Vec<f64> = across.iter().zip(&down).map(|(h, v)| h.hypot(*v)).collect();

    let (mut dc, mut ac) = (Vec::new(), Vec::new());
    for top in (0..height).step_by(8) {
        for left in (0..width).step_by(8) {
            let block: Vec<f64> =
                (0..64).map(|k| grey.repeated(left + k % 8, top + k / 8)).collect();
            let spectrum = spectrum(&block);
            dc.push(spectrum[0]);
            ac.extend_from_slice(&spectrum[1..]);
        }
    }

    let (mut border, mut inside, mut whole) = (Vec::new(), Vec::new(), 0.0);
    let (last_x, last_y) = (width / 8 * 8, height / 8 * 8);
    for y in 0..height {
        for x in 0..width {
            let here = grey.at(x, y);
            for (to_x, to_y) in [(x + 1, y), (x, y + 1)] {
                if to_x >= width || to_y >= height {
                    continue;
                }
                let step = (grey.at(to_x, to_y) - here).abs();
                if (x / 8, y / 8) == (to_x / 8, to_y / 8) {
                    inside.push(step);
                    if x < last_x && y < last_y {
                        whole += step;
                    }
                } else {
                    border.push(step);
                }
            }
        }
    }
    let blocks = (last_x / 8 * (last_y / 8)) as f64;

    let blurred =
        grey.map(|x, y| (0..25).map(|k| grey.at(x + k % 5 - 2, y + k / 5 - 2)).sum::<f64>() / 25.0);
    let channel = |channel: usize| -> f64 {
        let values: Vec<f64> = frame.data().chunks(3).map(|p| f64::from(p[channel])).collect();
        variance(&values).sqrt()
    };

    BTreeMap::from([
        ("noise_energy", mean(&squared).sqrt()),
        ("noise_mean", mean(&squared)),
        ("noise_std", variance(&squared).sqrt()),
        ("dct_dc_mean", mean(&dc)),
        ("dct_dc_std", variance(&dc).sqrt()),
        ("dct_ac_mean", mean(&ac)),
        ("dct_ac_std", variance(&ac).sqrt()),
        ("dct_ac_energy", mean(&ac.iter().map(|value| value * value).collect::<Vec<_>>())),
        ("laplacian_var", variance(&laplacian)),
        ("gradient_mean", mean(&gradient)),
        ("gradient_std", variance(&gradient).sqrt()),
        ("boundary_inconsistency", mean(&border) - mean(&inside)),
        ("edge_density", canny(&grey)),
        ("texture_uniformity", 1.0 / (1.0 + variance(&blurred).sqrt())),
        ("color_consistency_r", channel(0)),
        ("color_consistency_g", channel(1)),
        ("color_consistency_b", channel(2)),
        ("compression_artifacts", whole / (56.0 * blocks)),
    ])
}

/// Values of every size from one pixel up, with `levels` different bytes at most.
pub(crate) fn any_frame() -> impl Strategy<Value = Frame> {
    (1..40_u32, 1..40_u32, 0..8_u32).prop_flat_map(|(width, height, shift)| {
        let bytes = (3 * width * height) as usize;
        proptest::collection::vec(any::<u8>(), bytes).prop_map(move |pixels| {
            let pixels = pixels.into_iter().map(|byte| byte >> shift).collect();
            Frame::new(width, height, pixels, 0, 0.0).expect("the bytes fill the frame")
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn fused_equals_naive(frame in any_frame()) {
        let (found, expected) = (of_frame(&frame), naive(&frame));
        prop_assert_eq!(found.len(), expected.len());
        for (name, value) in found {
            assert_near(name, value, expected[name], 2e-6);
        }
    }
}

#[test]
fn fused_equals_naive_on_rows_longer_than_a_strip() {
    use crate::picture::{Kind, frame};
    for (width, height) in [(1023, 9), (1024, 3), (1025, 10), (2051, 2), (4100, 1), (9, 1100)] {
        for kind in [Kind::Scene, Kind::Static] {
            let frame = frame(kind, width, height, 4);
            let (found, expected) = (of_frame(&frame), naive(&frame));
            for (name, value) in found {
                assert_near(name, value, expected[name], 1e-6);
            }
        }
    }
}

#[test]
fn the_loudest_picture_overflows_nothing() {
    // A checkerboard and columns of 0 and 255 take every filter to its limit, on long rows.
    for (period_x, period_y) in [(1, 1), (1, 4096), (4096, 1), (2, 2), (3, 4096)] {
        let (width, height) = (3000_u32, 16_u32);
        let at =
            |x: u32, y: u32| if (x / period_x + y / period_y).is_multiple_of(2) { 255 } else { 0 };
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [at(x, y); 3]));
        let frame = Frame::new(width, height, pixels.collect(), 0, 0.0).unwrap();
        let (found, expected) = (of_frame(&frame), naive(&frame));
        for (name, value) in found {
            assert_near(name, value, expected[name], 2e-6);
        }
    }
}
