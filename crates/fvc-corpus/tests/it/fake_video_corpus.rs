//! The Fake Video Corpus in miniature, with each of its oddities.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use fvc_corpus::{
    Candidate, ConflictRule, CorpusError, FakeVideoCorpus, Index, Label, LabelPolicy, LabelRule,
    LabelUse, read_fake_video_corpus,
};
use proptest::prelude::*;

use crate::support::{indexed, ties, tree};

const SEEDS: &str = "cascade_id,video_url,label\n\
    f0,https://www.youtube.com/watch?v=Seed_-0AAAA,fake\n\
    f1,https://www.youtube.com/watch?v=seed_-0aaaa,fake\n\
    f2,https://www.facebook.com/page/videos/100/,fake\n\
    r0,https://www.facebook.com/some.page/videos/101/,real\n\
    r1,https://www.youtube.com/watch?v=NotThere_-1,real\n\
    r2,https://www.youtube.com/watch?v=Lone-Seed_2,real\n";

/// f1 holds its earlier original too; Shared_Id-1 ties f0 to f1 and has no file; 102 stands twice.
const DUPLICATES: &str = "cascade_id,video_url,label\r\n\
    f0,https://www.youtube.com/watch?v=Shared_Id-1,fake\r\n\
    f1,https://www.youtube.com/watch?v=Shared_Id-1,fake\r\n\
    f1,https://twitter.com/someone/status/900,real\r\n\
    f0,https://www.youtube.com/watch?v=TwoLabels_1,fake\r\n\
    f0,https://www.youtube.com/watch?v=TwoLabels_1,debunked\r\n\
    r0,https://www.youtube.com/watch?v=TwoLabels_2,real\r\n\
    r0,https://www.youtube.com/watch?v=TwoLabels_2,parody\r\n\
    f2,https://www.facebook.com/page/videos/103/,uncertain\r\n\
    f2,https://www.facebook.com/page/videos/104/,debunked\r\n\
    r0,https://www.facebook.com/page/videos/105/,parody\r\n\
    f2,https://www.youtube.com/watch?v=TwoFiles__1,fake\r\n\
    r0,https://www.facebook.com/page/videos/102/,real\r\n\
    r0,https://www.facebook.com/other/videos/102,real\r\n\
    r0,,real\r\n\
    r0,https://vimeo.com/12345,real\r\n\
    r0,https://www.facebook.com/page/videos/106/,\r\n\
    r0,https://www.facebook.com/page/videos/107/,satire\r\n";

const FILES: [&str; 17] = [
    // Platform and id, id alone, any extension, capitals, or the id as the file's own name.
    "FVC1/youtube/Seed_-0AAAA/video.mp4",
    "FVC1/youtube/seed_-0aaaa/Video.WEBM",
    "FVC2/100/video.mkv",
    "FVC2/101/video.flv",
    "FVC3/Twitter/900/video",
    "FVC3/youtube/Lone-Seed_2.mp4",
    "FVC1/youtube/TwoLabels_1/video.mp4",
    "FVC1/youtube/TwoLabels_2/video.mp4",
    "FVC2/103/video.mp4",
    "FVC1/facebook/102/video.mp4",
    "FVC1/youtube/TwoFiles__1/video.mp4",
    "FVC2/TwoFiles__1/video.mp4",
    // An id in other letters, and a video of another platform.
    "FVC1/youtube/NOTTHERE_-1/video.mp4",
    "FVC1/twitter/102/video.mp4",
    // No videos, and what is hidden.
    "FVC1/youtube/Seed_-0AAAA/video.info.json",
    "FVC1/youtube/NotThere_-1/video.mp4.part",
    "__MACOSX/FVC1/youtube/NotThere_-1/._video.mp4",
];

fn corpus(folder: &Path) {
    tree(folder, &FILES);
    fs::create_dir_all(folder.join("Metadata")).unwrap();
    fs::write(folder.join("FVC.csv"), SEEDS).unwrap();
    fs::write(folder.join("Metadata/FVC_dup.csv"), DUPLICATES).unwrap();
}

fn read(folder: &Path, policy: LabelPolicy) -> FakeVideoCorpus {
    read_fake_video_corpus(folder, policy).unwrap()
}

fn policy(rules: &[&str]) -> LabelPolicy {
    rules.iter().fold(LabelPolicy::default(), |policy, rule| {
        policy.with(rule.parse::<LabelRule>().unwrap())
    })
}

/// Candidates as path below the folder and label, in order of paths.
fn candidates(folder: &Path, corpus: &FakeVideoCorpus) -> Vec<(String, Label)> {
    let name = |row: &Candidate| {
        let path = row.path.strip_prefix(folder).unwrap();
        (path.to_str().unwrap().to_owned(), row.label)
    };
    let mut names: Vec<_> = corpus.gathered.candidates.iter().map(name).collect();
    names.sort();
    names
}

/// Failures by reason, as the ends of their paths.
fn refused<'a>(folder: &Path, corpus: &'a FakeVideoCorpus) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    for row in &corpus.gathered.failures {
        let path = row.path.strip_prefix(folder).unwrap().to_str().unwrap();
        reasons.entry(&row.reason).or_default().push(path);
    }
    reasons
}

#[test]
fn every_row_and_file_of_the_corpus_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let corpus = read(folder, LabelPolicy::default());
    assert_eq!(
        candidates(folder, &corpus),
        [
            ("FVC1/facebook/102/video.mp4", Label::Real),
            ("FVC1/youtube/Seed_-0AAAA/video.mp4", Label::Fake),
            ("FVC1/youtube/seed_-0aaaa/Video.WEBM", Label::Fake),
            ("FVC2/100/video.mkv", Label::Fake),
            ("FVC2/101/video.flv", Label::Real),
            ("FVC3/Twitter/900/video", Label::Real),
            ("FVC3/youtube/Lone-Seed_2.mp4", Label::Real),
        ]
        .map(|(path, label)| (path.to_owned(), label))
    );
    let expected: [(&str, &[&str]); 12] = [
        ("duplicate_row", &["Metadata/FVC_dup.csv row 3", "Metadata/FVC_dup.csv row 14"]),
        ("excluded_debunked", &["Metadata/FVC_dup.csv row 10"]),
        ("excluded_parody", &["Metadata/FVC_dup.csv row 11"]),
        ("excluded_uncertain", &["Metadata/FVC_dup.csv row 9"]),
        ("missing_label", &["Metadata/FVC_dup.csv row 17"]),
        ("missing_url", &["Metadata/FVC_dup.csv row 15"]),
        ("no_video_file", &["FVC.csv row 6", "Metadata/FVC_dup.csv row 2"]),
        ("not_in_tables", &["FVC1/twitter/102/video.mp4", "FVC1/youtube/NOTTHERE_-1/video.mp4"]),
        ("several_video_files", &["Metadata/FVC_dup.csv row 12"]),
        ("unknown_label", &["Metadata/FVC_dup.csv row 18"]),
        ("unknown_url", &["Metadata/FVC_dup.csv row 16"]),
        (
            "video_label_conflict",
            &[
                "Metadata/FVC_dup.csv row 5",
                "Metadata/FVC_dup.csv row 6",
                "Metadata/FVC_dup.csv row 7",
                "Metadata/FVC_dup.csv row 8",
            ],
        ),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(reason, paths)| (reason, paths.to_vec())).collect();
    assert_eq!(refused(folder, &corpus), expected);
    // 6 and 17 rows, and 2 files that none of them names.
    assert_eq!(corpus.gathered.inputs, 25);
    assert_eq!(corpus.gathered.ignored, 2);
    let find = |reason: &str| {
        corpus
            .gathered
            .failures
            .iter()
            .find(|failure| failure.reason == reason)
            .unwrap()
            .to_string()
    };
    for (reason, words) in [
        ("several_video_files", &["TwoFiles__1 of youtube", "FVC2/TwoFiles__1/video.mp4"][..]),
        ("video_label_conflict", &["TwoLabels_1 of youtube", "fake (", "row 5)", "debunked ("]),
        ("unknown_url", &["https://vimeo.com/12345"]),
        ("no_video_file", &["NotThere_-1"]),
        ("not_in_tables", &["102 of twitter"]),
    ] {
        let text = find(reason);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[test]
fn a_candidate_has_its_platform_its_archive_and_its_cascades() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let corpus = read(folder.path(), LabelPolicy::default());
    let of = |end: &str| {
        corpus.gathered.candidates.iter().find(|row| row.path.ends_with(end)).unwrap().clone()
    };
    let text = |text: &str| Some(text.to_owned());
    let whole = Candidate {
        path: folder.path().join("FVC3/Twitter/900/video"),
        label: Label::Real,
        groups: vec!["cascade_id=f1".to_owned(), "merged_cascade_id=f0".to_owned()],
        platform: text("twitter"),
        subset: text("FVC3"),
        manipulation: None,
        generator: None,
        origin: format!("{} row 4", folder.path().join("Metadata/FVC_dup.csv").display()),
    };
    assert_eq!(of("900/video"), whole);
    let flat = of("100/video.mkv");
    assert_eq!((flat.platform, flat.subset), (text("facebook"), text("FVC2")));
    assert_eq!(flat.groups, ["cascade_id=f2"]);
    assert_eq!(of("Lone-Seed_2.mp4").platform, text("youtube"));
}

/// In the earlier system no seed was ever tied to its duplicates, since no id is in both tables, and
/// cascades that share a video were two groups.
#[test]
fn cascades_tie_seeds_to_duplicates_and_shared_videos_tie_cascades() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let corpus = read(folder.path(), LabelPolicy::default());
    let tables = corpus.tables.clone();
    let (index, failures) = indexed(corpus.gathered);
    assert!(failures.is_empty());
    // f0 and f1 are one through a video that has no file; r0 has a seed and a duplicate.
    assert_eq!(
        ties(&index),
        [vec!["Video.WEBM", "video", "video.mp4"], vec!["video.flv", "video.mp4"]]
    );
    assert_eq!((tables.cascades, tables.groups), (6, 5));
}

#[test]
fn what_the_tables_hold_is_told_without_videos() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let with = read(folder.path(), LabelPolicy::default());
    for archive in ["FVC1", "FVC2", "FVC3"] {
        fs::remove_dir_all(folder.path().join(archive)).unwrap();
    }
    let without = read(folder.path(), LabelPolicy::default());
    assert_eq!((with.tables.files, without.tables.files), (14, 0));
    let mut tables = with.tables;
    tables.files = 0;
    assert_eq!(without.tables, tables);
    let text = serde_json::to_value(&tables).unwrap();
    let of = |fake: u64, real: u64| serde_json::json!({"fake": fake, "real": real});
    assert_eq!(text["rows"], 23);
    assert_eq!(text["tables"][0]["rows"], 6);
    assert_eq!(text["labels_by_platform"]["twitter"], serde_json::json!({"real": 1}));
    assert_eq!(
        text["labels_by_platform"]["youtube"],
        serde_json::json!({"fake": 6, "real": 3, "debunked": 1, "parody": 1})
    );
    assert_eq!(
        text["labels_by_platform"]["facebook"],
        serde_json::json!({"fake": 1, "real": 3, "debunked": 1, "parody": 1, "uncertain": 1,
            "none": 1, "other": 1})
    );
    assert_eq!(text["labels_by_platform"]["none"], serde_json::json!({"real": 2}));
    let labels = tables.labels();
    assert_eq!(of(labels["fake"], labels["real"]), of(7, 9));
    assert_eq!(labels.values().sum::<u64>(), tables.rows);
    // 21 of the rows lead to a video, and 4 videos stand in two.
    for (key, expected) in [
        ("videos", 17),
        ("videos_in_both_tables", 0),
        ("videos_in_several_cascades", 1),
        ("videos_with_several_labels", 2),
        ("cascades", 6),
        ("cascades_with_both_labels", 1),
        ("groups", 5),
        ("fake", 5),
        ("real", 5),
    ] {
        assert_eq!(text[key], expected, "{key}");
    }
    assert_eq!(without.gathered.inputs, 23);
    assert!(without.gathered.candidates.is_empty());
    assert_eq!(refused(folder.path(), &without)["no_video_file"].len(), 10);
}

#[test]
fn the_policy_says_what_other_words_count_as() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let label = |corpus: &FakeVideoCorpus, path: &str| {
        candidates(folder, corpus).into_iter().find(|row| row.0 == path).map(|row| row.1)
    };
    let (one, two) = ("FVC1/youtube/TwoLabels_1/video.mp4", "FVC1/youtube/TwoLabels_2/video.mp4");

    let uncertain = read(folder, policy(&["uncertain=real"]));
    assert_eq!(label(&uncertain, "FVC2/103/video.mp4"), Some(Label::Real));
    assert!(!refused(folder, &uncertain).contains_key("excluded_uncertain"));
    assert_eq!(uncertain.gathered.inputs, 25);

    // Each word has its own setting.
    for (word, path) in [("debunked", "FVC2/104/video.mp4"), ("parody", "FVC2/105/video.mp4")] {
        tree(folder, &[path]);
        let corpus = read(folder, policy(&[&format!("{word}=real")]));
        assert_eq!(label(&corpus, path), Some(Label::Real), "{word}");
        assert!(!refused(folder, &corpus).contains_key(format!("excluded_{word}").as_str()));
        assert_eq!(refused(folder, &corpus)["excluded_uncertain"].len(), 1, "{word}");
    }

    // A word that counts as the other row's label is no conflict, and the second row one too many.
    let agreed = read(folder, policy(&["debunked=fake", "parody=fake"]));
    assert_eq!((label(&agreed, one), label(&agreed, two)), (Some(Label::Fake), None));
    assert_eq!(refused(folder, &agreed)["duplicate_row"].len(), 3);
    assert_eq!(refused(folder, &agreed)["video_label_conflict"].len(), 2);

    // Excluded words are passed over.
    let usable = read(folder, policy(&["conflict=usable"]));
    assert_eq!((label(&usable, one), label(&usable, two)), (Some(Label::Fake), Some(Label::Real)));
    let refused_rows = refused(folder, &usable);
    assert!(!refused_rows.contains_key("video_label_conflict"));
    assert_eq!(refused_rows["excluded_debunked"].len(), 2);
    assert_eq!(refused_rows["excluded_parody"].len(), 2);

    // Real against fake is none the less a conflict, unless one of them wins.
    for (rule, found) in [
        ("conflict=usable", None),
        ("conflict=real", Some(Label::Real)),
        ("conflict=fake", Some(Label::Fake)),
    ] {
        let won = read(folder, policy(&["parody=fake", rule]));
        assert_eq!(label(&won, two), found, "{rule}");
        let conflicts = refused(folder, &won)["video_label_conflict"].len();
        assert_eq!(conflicts, if found.is_none() { 2 } else { 1 }, "{rule}");
        assert_eq!(won.gathered.inputs, 25);
    }
}

#[test]
fn label_rules_are_read_and_what_is_none_is_refused() {
    let all = policy(&["uncertain=fake", " parody = real ", "debunked=exclude", "conflict=usable"]);
    assert_eq!(
        all,
        LabelPolicy {
            uncertain: LabelUse::Fake,
            debunked: LabelUse::Exclude,
            parody: LabelUse::Real,
            conflict: ConflictRule::Usable,
        }
    );
    assert_eq!(all.to_string(), "uncertain=fake,debunked=exclude,parody=real,conflict=usable");
    for text in ["", "parody", "parody=", "parody=usable", "real=fake", "Parody=fake"] {
        let error = text.parse::<LabelRule>().unwrap_err();
        assert_eq!(error.found, text);
    }
}

/// The index says which policy it was made under, and changing that by hand is noticed.
#[test]
fn the_policy_is_kept_with_the_index() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let policy = policy(&["parody=fake"]);
    let (index, _) = indexed(read(folder.path(), policy).gathered);
    let plain = index.clone();
    let index = index.with_label_policy(Some(policy));
    assert_eq!(index.hash(), plain.hash());
    let kept = tempfile::tempdir().unwrap();
    index.save(kept.path()).unwrap();
    let read = Index::load(kept.path()).unwrap();
    assert_eq!((&read, read.label_policy()), (&index, Some(policy)));
    let path = kept.path().join("sources.json");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("\"parody\":\"fake\"", "\"parody\":\"real\"");
    assert_ne!(changed, text);
    fs::write(&path, changed).unwrap();
    assert!(matches!(Index::load(kept.path()), Err(CorpusError::Table { .. })));
    plain.save(kept.path()).unwrap();
    assert_eq!(Index::load(kept.path()).unwrap().label_policy(), None);
}

#[test]
fn urls_lead_to_videos_in_every_form_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = |url: &str| {
        fs::write(folder.join("FVC.csv"), "cascade_id,video_url,label\n").unwrap();
        let row = format!("cascade_id,video_url,label\nf0,\"{url}\",fake\n");
        fs::write(folder.join("FVC_dup.csv"), row).unwrap();
        let corpus = read(folder, LabelPolicy::default());
        let platforms: Vec<String> = corpus.tables.labels_by_platform.into_keys().collect();
        let failure = corpus.gathered.failures[0].clone();
        let id = failure.expected.split(' ').nth(2).unwrap_or_default().to_owned();
        (failure.reason == "no_video_file").then_some((platforms[0].clone(), id))
    };
    for (url, platform, id) in [
        ("https://www.youtube.com/watch?v=abcDEF12_-x", "youtube", "abcDEF12_-x"),
        ("http://m.YouTube.com/watch?t=3&v=abcDEF12_-x&list=1#a", "youtube", "abcDEF12_-x"),
        ("youtube.com/watch?v=abcDEF12_-x", "youtube", "abcDEF12_-x"),
        ("https://youtu.be/abcDEF12_-x?t=4", "youtube", "abcDEF12_-x"),
        ("https://www.youtube.com/shorts/abcDEF12_-x", "youtube", "abcDEF12_-x"),
        ("https://www.facebook.com/a.b/videos/123/", "facebook", "123"),
        ("https://www.facebook.com/a.b/videos/vb.9/123/?type=2", "facebook", "123"),
        ("https://www.facebook.com/watch/?v=123", "facebook", "123"),
        ("https://twitter.com/someone/status/123", "twitter", "123"),
        ("https://mobile.twitter.com/someone/status/123/video/1", "twitter", "123"),
        ("https://x.com/someone/status/123", "twitter", "123"),
    ] {
        assert_eq!(at(url), Some((platform.to_owned(), id.to_owned())), "{url}");
    }
    for url in [
        "https://www.youtube.com/watch?v=tooshort",
        "https://www.youtube.com/watch?v=../../../..",
        "https://www.youtube.com/channel/abcDEF12_-x",
        "https://www.facebook.com/a.b/videos/12x/",
        "https://www.facebook.com/a.b/posts/123",
        "https://twitter.com/someone",
        "https://twitter.com/someone/status/",
        "https://notyoutube.com/watch?v=abcDEF12_-x",
        "https://example.com/?u=https://youtu.be/abcDEF12_-x",
        "abcDEF12_-x",
        "//",
    ] {
        assert_eq!(at(url), None, "{url}");
    }
}

#[test]
fn tables_that_are_not_those_of_the_corpus_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fails = |words: &[&str]| {
        let error = read_fake_video_corpus(folder, LabelPolicy::default()).unwrap_err();
        assert!(matches!(error, CorpusError::Table { .. }), "{error}");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let error = read_fake_video_corpus(&folder.join("none"), LabelPolicy::default()).unwrap_err();
    assert!(matches!(&error, CorpusError::Io { path, .. } if path.ends_with("none")), "{error}");
    fails(&["FVC.csv", "found none"]);
    fs::write(folder.join("FVC.csv"), SEEDS).unwrap();
    fails(&["FVC_dup.csv", "Metadata", "found none"]);
    for (bytes, words) in [
        (&b""[..], "cascade_id"),
        (b"video_url,label\nx,fake\n", "cascade_id or"),
        (b"cascade_id,label\nf0,fake\n", "video_url or"),
        (b"cascade_id,video_url\nf0,x\n", "label or"),
        (b"cascade_id;video_url;label\nf0;x;fake\n", "columns cascade_id;video_url;label"),
        (b"cascade_id,video_url,label\nf0,x\n", "CSV error"),
        (b"cascade_id,video_url,label\nf0,\xff\xfe,fake\n", "invalid utf-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "expected"),
    ] {
        fs::write(folder.join("FVC_dup.csv"), bytes).unwrap();
        fails(&["FVC_dup.csv", words]);
    }
    // The columns in another order and case, a byte order mark, quotes, and columns more.
    let csv = "\u{feff}\"Label\",note,URL,Cascade_ID\r\n\
               fake,\"a,\r\nb\",https://youtu.be/abcDEF12_-x,f0\r\n";
    fs::write(folder.join("FVC_dup.csv"), csv).unwrap();
    let corpus = read(folder, LabelPolicy::default());
    assert_eq!((corpus.tables.rows, corpus.tables.videos, corpus.tables.cascades), (7, 7, 6));
}

/// Links may name one folder by two ids, name an archive twice, and lead back up.
#[cfg(unix)]
#[test]
fn links_between_folders_end_and_each_video_is_found_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tree(folder, &["FVC1/youtube/abcDEF12_-x/video.mp4"]);
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, folder.join(from)).unwrap();
    link("abcDEF12_-x", "FVC1/youtube/abcDEF12_-y");
    link("FVC1", "FVC2");
    link("../..", "FVC1/youtube/up");
    fs::write(folder.join("FVC_dup.csv"), "cascade_id,video_url,label\n").unwrap();
    let rows = "cascade_id,video_url,label\n\
                f0,https://youtu.be/abcDEF12_-x,fake\nf1,https://youtu.be/abcDEF12_-y,fake\n";
    fs::write(folder.join("FVC.csv"), rows).unwrap();
    let corpus = read(folder, LabelPolicy::default());
    assert_eq!(corpus.gathered.failures, []);
    let (index, failures) = indexed(corpus.gathered);
    // The same bytes under two ids tie their cascades, as everywhere.
    assert_eq!(index.sources().len(), 1);
    assert_eq!(index.sources()[0].declared_groups, ["cascade_id=f0", "cascade_id=f1"]);
    assert_eq!(failures[0].reason, "duplicate_content");
}

/// One row of the property below.
#[derive(Clone, Debug)]
struct Row {
    duplicates: bool,
    cascade: Option<u8>,
    url: Url,
    word: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Url {
    None,
    Elsewhere,
    Facebook(u8),
    Twitter(u8),
}

impl Url {
    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Elsewhere => "https://example.org/1".to_owned(),
            Self::Facebook(id) => format!("https://www.facebook.com/a/videos/{id}/"),
            Self::Twitter(id) => format!("https://twitter.com/a/status/{id}"),
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let url = prop_oneof![
        1 => Just(Url::None),
        1 => Just(Url::Elsewhere),
        8 => (0_u8..6).prop_map(Url::Facebook),
        4 => (0_u8..6).prop_map(Url::Twitter),
    ];
    let word = prop::sample::select(vec![
        "fake",
        "fake",
        "fake",
        "real",
        "real",
        "uncertain",
        "debunked",
        "parody",
        "",
        "odd",
    ]);
    let row = (any::<bool>(), prop::option::weighted(0.8, 0_u8..8), url, word)
        .prop_map(|(duplicates, cascade, url, word)| Row { duplicates, cascade, url, word });
    prop::collection::vec(row, 0..24)
}

fn policies() -> impl Strategy<Value = LabelPolicy> {
    let counts_as =
        || prop::sample::select(vec![LabelUse::Exclude, LabelUse::Real, LabelUse::Fake]);
    let rules =
        [ConflictRule::Exclude, ConflictRule::Usable, ConflictRule::Real, ConflictRule::Fake];
    (counts_as(), counts_as(), counts_as(), prop::sample::select(rules.to_vec())).prop_map(
        |(uncertain, debunked, parody, conflict)| LabelPolicy {
            uncertain,
            debunked,
            parody,
            conflict,
        },
    )
}

/// The components of cascades that share a video, found by spreading the smallest name.
fn components(rows: &[Row]) -> BTreeMap<u8, u8> {
    let mut of: BTreeMap<u8, u8> =
        rows.iter().filter_map(|row| Some((row.cascade?, row.cascade?))).collect();
    loop {
        let before = of.clone();
        for (left, right) in rows.iter().flat_map(|a| rows.iter().map(move |b| (a, b))) {
            let video = |row: &Row| matches!(row.url, Url::Facebook(_) | Url::Twitter(_));
            if let (Some(a), Some(b)) = (left.cascade, right.cascade)
                && video(left)
                && left.url.text() == right.url.text()
            {
                let least = of[&a].min(of[&b]);
                of.insert(a, least);
                of.insert(b, least);
            }
        }
        if of == before {
            return of;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_row_ends_once_and_groups_are_those_of_shared_videos(
        rows in rows(),
        files in prop::collection::btree_set((0_u8..4, 0_u8..8), 0..10),
        policy in policies(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut tables = ["cascade_id,video_url,label\n".to_owned(), "cascade_id,video_url,label\r\n".to_owned()];
        let mut origins = Vec::new();
        for row in &rows {
            let (at, end) = if row.duplicates { (1, "\r\n") } else { (0, "\n") };
            let cascade = row.cascade.map_or_else(String::new, |cascade| format!("c{cascade}"));
            let _ = write!(tables[at], "{cascade},{},{}{end}", row.url.text(), row.word);
            let name = ["FVC.csv", "FVC_dup.csv"][at];
            origins.push(format!("{name} row {}", tables[at].lines().count()));
        }
        fs::write(folder.join("FVC.csv"), &tables[0]).unwrap();
        fs::write(folder.join("FVC_dup.csv"), &tables[1]).unwrap();
        for (kind, id) in files {
            let path = match kind {
                0 => format!("FVC1/facebook/{id}/video.mp4"),
                1 => format!("FVC1/twitter/{id}/video.mkv"),
                2 => format!("FVC2/{id}/video.webm"),
                _ => format!("FVC3/{id}.mov"),
            };
            tree(folder, &[&path]);
        }
        let FakeVideoCorpus { tables, gathered } = read(folder, policy);

        // Every row is one candidate or one failure, and nothing else is but files of no row.
        let mut ends: Vec<String> =
            gathered.candidates.iter().map(|row| row.origin.rsplit('/').next().unwrap().to_owned()).collect();
        let mut strays = 0;
        for failure in &gathered.failures {
            if failure.reason == "not_in_tables" {
                strays += 1;
                prop_assert!(failure.path.is_file());
            } else {
                ends.push(failure.path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        ends.sort();
        origins.sort();
        prop_assert_eq!(ends, origins);
        prop_assert_eq!(gathered.inputs, rows.len() as u64 + strays);
        prop_assert_eq!(gathered.inputs as usize, gathered.candidates.len() + gathered.failures.len());
        prop_assert_eq!(tables.rows, rows.len() as u64);
        prop_assert_eq!(tables.labels().values().sum::<u64>(), tables.rows);

        // A video that has a label has one row that asked for its file.
        let asked = gathered.candidates.len()
            + gathered.failures.iter().filter(|row| row.reason.ends_with("_video_file") || row.reason.ends_with("_video_files")).count();
        prop_assert_eq!(tables.real + tables.fake, asked as u64);

        let components = components(&rows);
        let with: BTreeSet<String> = rows.iter().filter(|row| row.cascade.is_some()).map(|row| row.url.text()).collect();
        let alone: BTreeSet<String> = rows.iter()
            .filter(|row| matches!(row.url, Url::Facebook(_) | Url::Twitter(_)))
            .map(|row| row.url.text())
            .filter(|url| !with.contains(url))
            .collect();
        let distinct: BTreeSet<u8> = components.values().copied().collect();
        prop_assert_eq!(tables.groups, (distinct.len() + alone.len()) as u64);
        let component = |row: &Candidate| row.groups.iter().find_map(|group| {
            Some(components[&group.strip_prefix("cascade_id=c")?.parse::<u8>().unwrap()])
        });
        for (left, right) in gathered.candidates.iter().flat_map(|a| gathered.candidates.iter().map(move |b| (a, b))) {
            let tied = left.groups.iter().any(|group| right.groups.contains(group));
            let meant = component(left).is_some() && component(left) == component(right);
            prop_assert_eq!(tied, meant, "{:?} {:?}", left, right);
        }
    }

    /// Whatever the bytes of a table, there is an answer or an error that names it.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        head in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut table = if head { b"cascade_id,video_url,label\n".to_vec() } else { Vec::new() };
        table.extend(&bytes);
        fs::write(folder.path().join("FVC.csv"), &table).unwrap();
        fs::write(folder.path().join("FVC_dup.csv"), "cascade_id,video_url,label\n").unwrap();
        match read_fake_video_corpus(folder.path(), LabelPolicy::default()) {
            Ok(corpus) => prop_assert_eq!(corpus.gathered.inputs, corpus.tables.rows),
            Err(error) => prop_assert!(error.to_string().contains("FVC.csv"), "{}", error),
        }
    }
}
