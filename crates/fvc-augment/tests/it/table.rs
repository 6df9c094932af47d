//! The documented table of kinds, `KINDS.md`.

use std::fmt::Write as _;

use fvc_augment::{Kind, PLATFORM_PROFILES, Parameter};

fn range(parameter: &Parameter) -> String {
    if !parameter.names.is_empty() {
        return format!("one of {} (below)", parameter.names.len());
    }
    let whole = if parameter.whole { ", whole" } else { "" };
    format!("{} to {} {}", parameter.low, parameter.high, parameter.unit).trim_end().to_owned()
        + whole
}

fn table() -> String {
    let mut text = String::from(
        "# Kinds of variants\n\n\
         A source's variants take their kinds in turn from those that are enabled; where none are named, \
         from the ones marked with a star.\nEach parameter is drawn once a clip, uniformly from its range. \
         Number, sizes, indices and times of the frames stay.\n\n\
         | kind | | parameter | range | |\n|---|---|---|---|---|\n",
    );
    for &kind in Kind::ALL {
        let star = if Kind::DEFAULT.contains(&kind) { " *" } else { "" };
        let mut first = format!("`{kind}`{star} | {}", kind.about());
        for parameter in kind.parameters() {
            let (name, meaning) = (parameter.name, parameter.meaning);
            let _ = writeln!(text, "| {first} | `{name}` | {} | {meaning} |", range(parameter));
            " | ".clone_into(&mut first);
        }
        if kind.parameters().is_empty() {
            let _ = writeln!(text, "| {first} | | | |");
        }
    }
    text.push_str(
        "\n## Profiles of `platform_transcode`\n\n\
         H.264 by x264, 4:2:0, BT.709. \"Published\" is what the platform says itself, \"reported\" what others \
         say of what it delivers,\n\"assumed\" our guess; none was measured by us. The settings under a name never \
         change.\n\n\
         | profile | shorter side, at most | frames/s, at most | crf | preset | GOP, at most | B-frames | origin |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for profile in &PLATFORM_PROFILES {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} s | {} | {} |",
            profile.name,
            profile.shorter_side,
            profile.frame_rate,
            profile.crf,
            profile.preset,
            profile.gop_seconds,
            profile.b_frames,
            profile.origin
        );
    }
    text
}

/// `FVC_WRITE_KINDS=1` writes the table anew.
#[test]
fn the_documented_table_is_the_registry() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/KINDS.md");
    if std::env::var_os("FVC_WRITE_KINDS").is_some() {
        std::fs::write(path, table()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!(written, table(), "run this test with FVC_WRITE_KINDS=1 to write KINDS.md anew");
}
