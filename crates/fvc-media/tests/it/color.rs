//! YUV to RGB, against the standards' formulas in floating point and against golden values.

use fvc_media::{Color, HdrTransfer, Layout, Matrix, Plane, YuvPicture, yuv_to_rgb};
use proptest::prelude::*;

/// One row of samples without subsampling; each pixel as (Y, U, V) codes of `bits` bits.
fn convert(codes: &[[u16; 3]], bits: u32, color: Color) -> Vec<[u8; 3]> {
    let bytes = |channel: usize| -> Vec<u8> {
        let codes = codes.iter().map(|code| code[channel]);
        if bits == 8 {
            codes.map(|code| code as u8).collect()
        } else {
            codes.flat_map(u16::to_le_bytes).collect()
        }
    };
    let planes = [bytes(0), bytes(1), bytes(2)];
    let plane = |index: usize| Plane { data: &planes[index], stride: planes[index].len() };
    let layout = Layout {
        chroma_shift_x: 0,
        chroma_shift_y: 0,
        interleaved_chroma: false,
        bits,
        padding_bits: 0,
    };
    let picture = YuvPicture {
        width: codes.len(),
        height: 1,
        layout,
        color,
        planes: [plane(0), plane(1), plane(2)],
    };
    let rgb = yuv_to_rgb(&picture).unwrap();
    rgb.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// ITU-T H.273, formulas of `MatrixCoefficients` and `VideoFullRangeFlag`, to 0..255.
fn by_formula(code: [u16; 3], bits: u32, (kr, kb): (f64, f64), full_range: bool) -> [f64; 3] {
    let scale = f64::from(1_u32 << (bits - 8));
    let top = f64::from((1_u32 << bits) - 1);
    let [y, u, v] = code.map(f64::from);
    let (y, u, v) = if full_range {
        (y / top, (u - 128.0 * scale) / top, (v - 128.0 * scale) / top)
    } else {
        (
            (y - 16.0 * scale) / (219.0 * scale),
            (u - 128.0 * scale) / (224.0 * scale),
            (v - 128.0 * scale) / (224.0 * scale),
        )
    };
    let red = y + 2.0 * (1.0 - kr) * v;
    let blue = y + 2.0 * (1.0 - kb) * u;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|value| (255.0 * value).clamp(0.0, 255.0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pictures_follow_the_formulas_of_their_standard(
        codes in prop::collection::vec([0_u16..4096, 0..4096, 0..4096], 1..70),
        depth in 0_usize..3,
        matrix in 0_usize..5,
        full_range: bool,
    ) {
        let bits = [8, 10, 12][depth];
        let (matrix, weights) = [
            (Matrix::Bt601, (0.299, 0.114)),
            (Matrix::Bt709, (0.2126, 0.0722)),
            (Matrix::Bt2020, (0.2627, 0.0593)),
            (Matrix::Smpte240, (0.212, 0.087)),
            (Matrix::Fcc, (0.30, 0.11)),
        ][matrix];
        let codes: Vec<[u16; 3]> =
            codes.iter().map(|code| code.map(|sample| sample >> (12 - bits))).collect();
        let found = convert(&codes, bits, Color { matrix, full_range, hdr: None });
        for (code, found) in codes.iter().zip(found) {
            let expected = by_formula(*code, bits, weights, full_range);
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!(
                    // Rounding, and coefficients of 16 bits below the point.
                    (f64::from(*found) - expected).abs() < 0.58,
                    "{code:?} of {bits} bits, {matrix:?}, full {full_range}: {found} for {expected}"
                );
            }
        }
    }
}

/// Dark light once fell into steps of an even table, with nothing between codes 0 and 8.
#[test]
fn hdr_pictures_become_what_the_standards_say() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden/hdr.json")).unwrap();
    let rows =
        |name: &str| -> Vec<Vec<f64>> { serde_json::from_value(golden[name].clone()).unwrap() };
    let codes: Vec<[u16; 3]> =
        rows("codes").iter().map(|row| [row[0] as u16, row[1] as u16, row[2] as u16]).collect();
    for (name, transfer) in [("pq", HdrTransfer::Pq), ("hlg", HdrTransfer::Hlg)] {
        let color = Color { matrix: Matrix::Bt2020, full_range: false, hdr: Some(transfer) };
        let found = convert(&codes, 10, color);
        let expected = rows(name);
        assert_eq!(found.len(), expected.len());
        for ((code, found), expected) in codes.iter().zip(&found).zip(&expected) {
            for (&found, &expected) in found.iter().zip(expected) {
                let off = (f64::from(found) - expected).abs();
                assert!(off < 1.0, "{name} {code:?}: {found:?} for {expected:?}");
            }
        }
        // Grey stays grey, and every step of light is a step of code or none.
        let greys: Vec<u8> = found[..70].iter().map(|pixel| pixel[1]).collect();
        assert!(greys.is_sorted(), "{name}: {greys:?}");
        assert_eq!((greys[0], greys[69] >= 250), (0, true), "{name}");
    }
}

/// A chroma sample covers its block: odd sizes end in part of a block.
#[test]
fn chroma_covers_its_block_and_nothing_is_read_outside() {
    let luma = [128_u8; 15];
    let (u, v) = ([90_u8, 160, 200, 100, 30, 220], [200_u8, 90, 40, 130, 250, 10]);
    let layout = Layout {
        chroma_shift_x: 1,
        chroma_shift_y: 1,
        interleaved_chroma: false,
        bits: 8,
        padding_bits: 0,
    };
    let color = Color { matrix: Matrix::Bt709, full_range: true, hdr: None };
    let plane = |data, stride| Plane { data, stride };
    let picture = |luma, u, v| YuvPicture {
        width: 5,
        height: 3,
        layout,
        color,
        planes: [plane(luma, 5), plane(u, 3), plane(v, 3)],
    };
    let rgb = yuv_to_rgb(&picture(&luma[..], &u[..], &v[..])).unwrap();
    for y in 0..3 {
        for x in 0..5 {
            let at = (y / 2) * 3 + x / 2;
            let expected = convert(&[[128, u[at].into(), v[at].into()]], 8, color)[0];
            assert_eq!(rgb[3 * (5 * y + x)..][..3], expected, "{x}, {y}");
        }
    }
    for short in [
        picture(&luma[..14], &u[..], &v[..]),
        picture(&luma[..], &u[..5], &v[..]),
        picture(&luma[..], &u[..], &v[..5]),
        YuvPicture { width: 0, ..picture(&luma[..], &u[..], &v[..]) },
        YuvPicture { width: usize::MAX, ..picture(&luma[..], &u[..], &v[..]) },
        YuvPicture { layout: Layout { bits: 7, ..layout }, ..picture(&luma[..], &u[..], &v[..]) },
        YuvPicture { layout: Layout { bits: 17, ..layout }, ..picture(&luma[..], &u[..], &v[..]) },
    ] {
        assert_eq!(yuv_to_rgb(&short), None);
    }
}

/// The bits of HDR pictures, the same in every build: features are computed from them, and nothing in
/// their names would tell other bits apart.
#[test]
fn hdr_pictures_are_these_bits_in_every_build() {
    let mut draw = 7_u32;
    let mut next = |below: u32| {
        draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (draw >> 8) % below
    };
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for hdr in [HdrTransfer::Pq, HdrTransfer::Hlg] {
        for (bits, full_range) in [(10, false), (12, true), (16, false)] {
            let color = Color { matrix: Matrix::Bt2020, full_range, hdr: Some(hdr) };
            let top = 1_u32 << bits;
            let codes: Vec<[u16; 3]> = (0..20_000)
                .map(|at| {
                    // All codes, and such as pictures have: chroma near the middle.
                    let span = if at % 2 == 0 { top } else { top / 8 };
                    let chroma = top / 2 - span / 2;
                    [next(top) as u16, (chroma + next(span)) as u16, (chroma + next(span)) as u16]
                })
                .collect();
            for pixel in convert(&codes, bits, color) {
                for level in pixel {
                    hash = (hash ^ u64::from(level)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    assert_eq!(hash, 0xb788_f296_89a7_26bd, "{hash:#018x}");
}
