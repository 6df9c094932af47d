//! Labels from folder names and from texts.

use std::path::{Path, PathBuf};

use fvc_corpus::{Gathered, Label, gather};

use crate::support::{indexed, tree};

/// Every candidate with its label, and every file that failed with its reason, by path in `folder`.
fn found(folder: &Path, gathered: &Gathered) -> Vec<(String, String)> {
    let name =
        |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
    let mut found: Vec<(String, String)> = gathered
        .candidates
        .iter()
        .map(|candidate| (name(&candidate.path), candidate.label.to_string()))
        .chain(gathered.failures.iter().map(|row| (name(&row.path), row.reason.clone())))
        .collect();
    found.sort();
    found
}

fn expect(folder: &Path, input: &str, expected: &[(&str, &str)]) {
    let gathered = gather(&[folder.join(input)]).unwrap();
    let expected: Vec<_> =
        expected.iter().map(|(file, what)| ((*file).to_owned(), (*what).to_owned())).collect();
    assert_eq!(found(folder, &gathered), expected, "input {input:?}");
    assert_eq!(gathered.inputs, expected.len() as u64);
}

#[test]
fn every_documented_spelling_is_read_in_any_case() {
    for (label, spellings) in [
        (
            Label::Real,
            &["real", "authentic", "genuine", "original", "pristine", "0", "0.0", "false"][..],
        ),
        (
            Label::Fake,
            &[
                "fake",
                "manipulated",
                "tampered",
                "forged",
                "synthetic",
                "generated",
                "deepfake",
                "1",
                "1.0",
                "true",
            ],
        ),
    ] {
        for spelling in spellings {
            for text in [(*spelling).to_owned(), spelling.to_uppercase(), format!(" {spelling}\t")]
            {
                assert_eq!(text.parse::<Label>().unwrap(), label, "{text:?}");
            }
        }
    }
    for text in ["", "uncertain", "debunked", "parody", "2", "-1", "realistic", "not fake", "０"] {
        assert_eq!(text.parse::<Label>().unwrap_err().found, text);
    }
    // What a hostile table holds is cut before it is shown.
    assert_eq!("ä".repeat(500).parse::<Label>().unwrap_err().found, "ä".repeat(80));
}

#[test]
fn the_nearest_folder_that_spells_a_label_in_words_counts_at_any_depth() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(
        folder,
        &[
            "in/real/a.mp4",
            "in/x/y/Authentic/z/b.mp4",
            "in/fake/pristine/c.mp4",
            "in/Deepfake/d",
            "in/other/e.mp4",
            "in/f.mp4",
            "in/.hidden/real/g.mp4",
            "in/real/.h.mp4",
            "in/real/notes.TXT",
        ],
    );
    expect(
        folder,
        "in",
        &[
            ("in/Deepfake/d", "fake"),
            ("in/f.mp4", "no_label"),
            ("in/fake/pristine/c.mp4", "real"),
            ("in/other/e.mp4", "no_label"),
            ("in/real/a.mp4", "real"),
            ("in/x/y/Authentic/z/b.mp4", "real"),
        ],
    );
    expect(folder, "in/real", &[("in/real/a.mp4", "real")]);
    assert_eq!(gather(&[folder.join("in")]).unwrap().ignored, 3);
}

/// `real/1/clip.mp4` was learnt as fake: a corpus whose clips lie in numbered folders had `0` and
/// `1` read as labels at any depth, and with them one of every so many clips turned around.
#[test]
fn numbers_are_labels_only_directly_below_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(
        folder,
        &[
            "in/0/a.mp4",
            "in/1/b.mp4",
            "in/1/0/c.mp4",
            "in/1/real/d.mp4",
            "in/True/e.mp4",
            "in/false/f.mp4",
            "in/1.0/g.mp4",
            "in/2/h.mp4",
            "in/2/1/i.mp4",
            "in/real/1/j.mp4",
            "in/fake/0/k.mp4",
            "in/fake/x/false/l.mp4",
        ],
    );
    expect(
        folder,
        "in",
        &[
            ("in/0/a.mp4", "real"),
            ("in/1.0/g.mp4", "fake"),
            ("in/1/0/c.mp4", "fake"),
            ("in/1/b.mp4", "fake"),
            ("in/1/real/d.mp4", "real"),
            ("in/2/1/i.mp4", "no_label"),
            ("in/2/h.mp4", "no_label"),
            ("in/True/e.mp4", "fake"),
            ("in/fake/0/k.mp4", "fake"),
            ("in/fake/x/false/l.mp4", "fake"),
            ("in/false/f.mp4", "real"),
            ("in/real/1/j.mp4", "real"),
        ],
    );
    // Below an input that is a label itself, numbers are clips too; an input of that name is none.
    expect(folder, "in/real", &[("in/real/1/j.mp4", "real")]);
    expect(folder, "in/2", &[("in/2/1/i.mp4", "fake"), ("in/2/h.mp4", "no_label")]);
    let gathered = gather(&[folder.join("in/1")]).unwrap();
    let b = folder.join("in/1/b.mp4");
    assert!(gathered.failures.iter().any(|row| row.path == b && row.reason == "no_label"));
}

/// One folder that both `real/` and `fake/` link to was read under the first of them only: its
/// videos were learnt as what the alphabet said.
#[cfg(unix)]
#[test]
fn a_folder_reached_under_two_labels_is_a_conflict() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    tree(outside.path(), &["shared/a.mp4", "shared/deep/b.mp4"]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &["real/c.mp4", "fake/d.mp4"]);
    for link in ["real/link", "real/again", "fake/link"] {
        symlink(outside.path().join("shared"), folder.join(link)).unwrap();
    }
    let gathered = gather(&[folder.to_owned()]).unwrap();
    // Under one label a folder is read once, however many links lead there.
    assert_eq!(gathered.candidates.len(), 2 + 2 * 2);
    let (index, failures) = indexed(gathered);
    let kept: Vec<Label> = index.sources().iter().map(|source| source.label).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.contains(&Label::Real) && kept.contains(&Label::Fake));
    let reasons: Vec<&str> = failures.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(reasons, ["label_conflict"; 4]);
    assert!(failures[0].found.contains("real (") && failures[0].found.contains("fake ("));
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_back_up_ends() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &["real/a.mp4", "fake/b.mp4", "c.mp4"]);
    for link in ["real/up", "fake/up"] {
        symlink(folder, folder.join(link)).unwrap();
    }
    symlink(folder.join("real"), folder.join("real/self")).unwrap();
    expect(folder, "", &[("c.mp4", "no_label"), ("fake/b.mp4", "fake"), ("real/a.mp4", "real")]);
}
