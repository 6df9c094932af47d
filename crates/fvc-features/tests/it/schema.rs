//! The schema: names, columns, families, the documentation made from it.

use std::collections::BTreeSet;

use fvc_features::{Extractor, Family, FeatureSet, NATIVE, SCALED};

use crate::measured::NO_FACTS;

const BASE: [&str; 15] = [
    "noise_energy",
    "noise_mean",
    "noise_std",
    "dct_dc_mean",
    "dct_dc_std",
    "dct_ac_mean",
    "dct_ac_std",
    "dct_ac_energy",
    "laplacian_var",
    "gradient_mean",
    "gradient_std",
    "boundary_inconsistency",
    "codec_bitrate",
    "codec_fps",
    "codec_resolution",
];
const FURTHER: [&str; 8] = [
    "edge_density",
    "texture_uniformity",
    "color_consistency_r",
    "color_consistency_g",
    "color_consistency_b",
    "compression_artifacts",
    "is_upscaled",
    "is_downscaled",
];

fn names(set: &FeatureSet) -> Vec<&str> {
    set.specs.iter().map(|spec| spec.name).collect()
}

#[test]
fn the_reference_names_in_the_reference_order() {
    assert_eq!(names(&NATIVE), BASE);
    assert_eq!(names(&SCALED), [&BASE[..], &FURTHER[..]].concat());
    assert_eq!((NATIVE.name, SCALED.name), ("native", "scaled"));
}

#[test]
fn columns_are_distinct_and_as_many_as_values() {
    for (set, count) in [(&NATIVE, 27), (&SCALED, 41)] {
        let columns = set.columns(set.name);
        assert_eq!(columns.len(), count);
        assert_eq!(columns.iter().collect::<BTreeSet<_>>().len(), count);
        assert_eq!(Extractor::new(set).finish(&NO_FACTS).len(), count);
    }
    let columns = NATIVE.columns("native");
    assert_eq!(columns[..2], ["native_noise_energy_mean", "native_noise_energy_spread"]);
    assert_eq!(columns[26], "native_codec_resolution");
}

#[test]
fn every_column_has_the_family_of_its_feature() {
    for set in [&NATIVE, &SCALED] {
        let expected = set.specs.iter().flat_map(|spec| {
            spec.columns("a_b").into_iter().map(|column| (column, spec.name, spec.family))
        });
        for (column, name, family) in expected {
            assert_eq!(set.family_of_column("a_b", &column), Some(family));
            assert_eq!(set.spec_of_column("a_b", &column).unwrap().name, name);
        }
        for other in [
            "",
            "a_b",
            "a_b_",
            "noise_mean_mean",
            "a_b_noise_mean",
            "a_b_noise_mean_",
            "a_bnoise_mean_mean",
            "a_b_codec_fps_mean",
            "a_b_noise_mean_mean_mean",
            "A_b_codec_fps",
        ] {
            assert_eq!(set.family_of_column("a_b", other), None, "{other:?}");
        }
    }
    let family = |name: &str| SCALED.family_of_column("s", name);
    assert_eq!(family("s_codec_bitrate"), Some(Family::Container));
    assert_eq!(family("s_codec_fps"), Some(Family::Container));
    for scale in ["s_codec_resolution", "s_is_upscaled", "s_is_downscaled"] {
        assert_eq!(family(scale), Some(Family::Scale));
    }
    // Nothing measured on pixels is filed under the families that training leaves out.
    for spec in SCALED.specs {
        assert_eq!(spec.per_frame, !matches!(spec.family, Family::Container | Family::Scale));
    }
}

#[test]
fn families_are_written_in_lower_case() {
    for family in [
        Family::Pixel,
        Family::Noise,
        Family::Frequency,
        Family::Temporal,
        Family::Bitstream,
        Family::Container,
        Family::Scale,
    ] {
        assert_eq!(serde_json::to_string(&family).unwrap(), format!("\"{family}\""));
    }
}

#[test]
fn the_table_has_a_whole_row_for_each_feature() {
    for set in [&NATIVE, &SCALED] {
        let table = set.markdown_table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2 + set.specs.len());
        for (line, spec) in lines[2..].iter().zip(set.specs) {
            assert!(line.starts_with(&format!("| `{}` | {} |", spec.name, spec.unit)), "{line}");
            let cells = line.replace("\\|", "").matches('|').count();
            assert_eq!(cells, 7, "{line}");
        }
    }
}

#[test]
fn every_feature_says_what_it_is() {
    for spec in SCALED.specs {
        assert!(spec.definition.len() > 20 && !spec.unit.is_empty() && !spec.range.is_empty());
        assert!(!spec.definition.contains("  "), "{}", spec.definition);
    }
}
