//! What the feature tables say of a variant's file: nothing, since it has none.

use fvc_augment::Kind;
use fvc_corpus::read_feature_matrix;
use fvc_media::ContentId;

use crate::footage::can_make_footage;
use crate::scaled_sizes::OddCorpus;

/// A variant's columns of container and bitstream are missing whatever made it: a platform's profile, too,
/// encodes some windows one by one, and neither bit rate nor frame rate of such scraps is that of a file
/// that was ever sent. The table of facts has originals only.
#[test]
fn no_row_of_a_variant_has_facts_of_a_file() {
    if !can_make_footage("no_row_of_a_variant_has_facts_of_a_file") {
        return;
    }
    let corpus = OddCorpus::new();
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let (kinds, count) = (names.join(","), names.len().to_string());
    let variants = ["--kinds", &kinds, "--variants", &count, "--size", "32"];
    corpus.decodes(&[&["run", "--stages", "1-4"][..], &variants].concat());
    let draws = corpus.workspace().join("variants/draws.jsonl");
    let draws: Vec<serde_json::Value> = std::fs::read_to_string(draws)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let drawn = |id: &ContentId, variant: u32| {
        let own = draws
            .iter()
            .find(|draw| draw["content_id"] == id.to_hex() && draw["variant"] == variant)
            .unwrap();
        own["kind"].as_str().unwrap().to_owned()
    };
    let mut platforms = 0;
    for name in ["stage2", "stage4"] {
        let path = corpus.workspace().join(format!("features/{name}.parquet"));
        let matrix = read_feature_matrix(&path).unwrap();
        assert_eq!(matrix.rows.len(), 2 * (1 + names.len()));
        let of_a_file: Vec<usize> = (0..matrix.columns.len())
            .filter(|&at| {
                let column = &matrix.columns[at];
                column.contains("codec_bitrate") || column.contains("codec_fps")
            })
            .collect();
        assert_eq!(of_a_file.len(), 2, "{:?}", matrix.columns);
        for row in &matrix.rows {
            let missing: Vec<bool> = row.values.iter().map(|value| value.is_nan()).collect();
            for (at, &missing) in missing.iter().enumerate() {
                let expected = row.variant > 0 && of_a_file.contains(&at);
                assert_eq!(missing, expected, "{} of variant {}", matrix.columns[at], row.variant);
            }
            if row.variant > 0 && drawn(&row.content_id, row.variant) == "platform_transcode" {
                platforms += 1;
            }
        }
    }
    assert_eq!(platforms, 4, "one of each source, in both tables");
    let facts = read_feature_matrix(&corpus.workspace().join("features/facts.parquet")).unwrap();
    assert_eq!(facts.rows.len(), 2);
    assert!(facts.rows.iter().all(|row| row.variant == 0));
}
