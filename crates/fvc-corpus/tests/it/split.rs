//! Groups, splits and views: what must hold for every corpus.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fvc_corpus::{
    Examples, ExamplesError, FeatureMatrix, FeatureRow, Fitted, GroupEvidence, GroupTable, Label,
    Part, Split, SplitConfig, SplitError,
};
use fvc_media::ContentId;
use proptest::prelude::*;

fn id(number: u32) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

/// A corpus as people have them: shared ids, null groups, twins, sources that bridge two groups.
#[derive(Clone, Debug)]
struct Corpus {
    evidence: Vec<GroupEvidence>,
    labels: BTreeMap<ContentId, Label>,
    variants: u32,
}

fn corpora() -> impl Strategy<Value = Corpus> {
    (
        prop::collection::vec(
            (0_u32..60, prop::collection::vec(0_u8..25, 0..3), any::<bool>()),
            1..80,
        ),
        0_u32..4,
    )
        .prop_map(|(rows, variants)| {
            let mut labels = BTreeMap::new();
            let evidence = rows
                .into_iter()
                .map(|(number, names, fake)| {
                    let label = if fake { Label::Fake } else { Label::Real };
                    labels.insert(id(number), label);
                    GroupEvidence {
                        content_id: id(number),
                        declared: names.iter().map(|name| format!("cascade{name}")).collect(),
                    }
                })
                .collect();
            Corpus { evidence, labels, variants }
        })
}

fn examples(corpus: &Corpus, groups: &GroupTable) -> Examples {
    let rows = groups
        .iter()
        .flat_map(|(&content_id, _)| {
            (0..=corpus.variants).map(move |variant| FeatureRow {
                content_id,
                variant,
                values: vec![f64::from(variant)],
            })
        })
        .collect();
    let matrix = FeatureMatrix { columns: vec!["x".to_owned()], rows };
    Examples::join(matrix, &corpus.labels, groups).unwrap()
}

/// The groups by brute force: join until nothing changes.
fn components(evidence: &[GroupEvidence]) -> HashMap<ContentId, ContentId> {
    let mut component: HashMap<ContentId, ContentId> =
        evidence.iter().map(|item| (item.content_id, item.content_id)).collect();
    loop {
        let mut changed = false;
        for left in evidence {
            for right in evidence {
                let tied = left.content_id == right.content_id
                    || left.declared.iter().any(|name| right.declared.contains(name));
                let (a, b) = (component[&left.content_id], component[&right.content_id]);
                if tied && a != b {
                    let smaller = a.min(b);
                    component.insert(left.content_id, smaller);
                    component.insert(right.content_id, smaller);
                    changed = true;
                }
            }
        }
        if !changed {
            return component;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Thousands of random corpora: no group on two sides, every source on exactly one, both
    /// classes in every fold; or a refusal that names a number of folds that does work.
    #[test]
    fn no_group_stands_on_two_sides(
        corpus in corpora(),
        folds in 2_u32..6,
        test in prop::sample::select(vec![0.0, 0.1, 0.25]),
        seed in any::<u64>(),
    ) {
        let groups = GroupTable::build(&corpus.evidence);
        let config = SplitConfig { folds, test_fraction: test, seed };
        match Split::plan(&groups, &corpus.labels, &config) {
            Ok(split) => {
                let examples = examples(&corpus, &groups);
                let mut scored: BTreeSet<ContentId> = BTreeSet::new();
                for fold in 0..folds {
                    let (train, eval) = split.fold(fold, &examples).unwrap();
                    let learnt: BTreeSet<_> = train.rows().map(|row| row.group.clone()).collect();
                    let mut classes = BTreeSet::new();
                    for row in eval.rows() {
                        prop_assert!(!learnt.contains(row.group));
                        prop_assert!(scored.insert(row.content_id), "a source scored twice");
                        classes.insert(corpus.labels[&row.content_id]);
                    }
                    prop_assert_eq!(classes.len(), 2, "a fold without a class");
                    // Each source weighs one, whatever its variants.
                    let mut weight: BTreeMap<ContentId, f64> = BTreeMap::new();
                    for row in train.rows() {
                        *weight.entry(row.content_id).or_default() += row.weight;
                    }
                    prop_assert!(weight.values().all(|sum| (sum - 1.0).abs() < 1e-12));
                    let sealed = |content_id: &ContentId| split.part(content_id) == Some(Part::Sealed);
                    prop_assert!(!weight.keys().any(sealed));
                    if let Ok(inner) = train.inner_folds(2, seed) {
                        for (inner_train, inner_eval) in inner {
                            let inside: BTreeSet<_> = inner_train.rows().map(|row| row.group.clone()).collect();
                            for row in inner_eval.rows() {
                                prop_assert!(!inside.contains(row.group));
                                prop_assert!(learnt.contains(row.group), "an inner fold left the training side");
                            }
                        }
                    }
                }
                let sealed = split.iter().filter(|(_, _, part)| *part == Part::Sealed).count();
                prop_assert_eq!(scored.len() + sealed, groups.len());
                prop_assert_eq!(split.has_sealed(), test > 0.0);
            }
            Err(SplitError::MissingClass { largest: Some(k), .. }) => {
                prop_assert!(k < folds);
                let smaller = SplitConfig { folds: k, ..config };
                prop_assert!(Split::plan(&groups, &corpus.labels, &smaller).is_ok());
            }
            Err(SplitError::MissingClass { largest: None, .. }) => {}
            Err(other) => prop_assert!(false, "unexpected: {}", other),
        }
    }
}

/// A corpus of groups with so many real and fake sources each.
fn corpus_of(counts: &[(u32, u32)]) -> (GroupTable, BTreeMap<ContentId, Label>) {
    let (mut evidence, mut labels) = (Vec::new(), BTreeMap::new());
    for (group, &(real, fake)) in counts.iter().enumerate() {
        for at in 0..real + fake {
            let content_id = id(1000 * group as u32 + at);
            evidence.push(GroupEvidence { content_id, declared: vec![format!("origin{group}")] });
            labels.insert(content_id, if at < real { Label::Real } else { Label::Fake });
        }
    }
    (GroupTable::build(&evidence), labels)
}

/// Whether any way to deal the groups gives every one of `parts` parts both classes: all ways are
/// gone through, each as the classes that the parts then hold.
fn can_be_dealt(counts: &[(u32, u32)], parts: usize) -> bool {
    let mut reached = BTreeSet::from([vec![0_u8; parts]]);
    for &(real, fake) in counts {
        let own = u8::from(real > 0) | u8::from(fake > 0) << 1;
        let mut next = BTreeSet::new();
        for held in &reached {
            for part in 0..parts {
                let mut held = held.clone();
                held[part] |= own;
                held.sort_unstable();
                next.insert(held);
            }
        }
        reached = next;
    }
    reached.iter().any(|held| held.iter().all(|&classes| classes == 3))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A plan is refused only where going through all plans finds none, with a sealed test and
    /// without; the number of folds that the refusal names works, and one more does not.
    #[test]
    fn a_split_is_refused_only_where_there_is_none(
        counts in prop::collection::vec((0_u32..10, 0_u32..10), 1..9),
        few in any::<bool>(),
        folds in 2_u32..6,
        test in prop::sample::select(vec![0.0, 0.1, 0.5]),
        seed in any::<u64>(),
    ) {
        // Groups of one class are what makes plans rare: in every second corpus most are that.
        let counts: Vec<(u32, u32)> = counts
            .into_iter()
            .map(|(real, fake)| match (few, real % 3) {
                (true, 0) => (real + 1, 0),
                (true, 1) => (0, fake + 1),
                _ => (real, fake.max(u32::from(real == 0))),
            })
            .collect();
        let (groups, labels) = corpus_of(&counts);
        let exists = |folds: u32| can_be_dealt(&counts, folds as usize + usize::from(test > 0.0));
        let plan = |folds| Split::plan(&groups, &labels, &SplitConfig { folds, test_fraction: test, seed });
        match plan(folds) {
            Ok(split) => {
                let parts: BTreeSet<(Part, Label)> =
                    split.iter().map(|(id, _, part)| (part, labels[id])).collect();
                prop_assert_eq!(parts.len(), 2 * (folds as usize + usize::from(test > 0.0)));
            }
            Err(SplitError::MissingClass { largest, .. }) => {
                prop_assert!(!exists(folds), "refused, but there is one");
                prop_assert!(largest.is_none_or(|largest| (2..folds).contains(&largest)));
                let largest = largest.unwrap_or(1);
                prop_assert!(!exists(largest + 1), "{} folds work too", largest + 1);
                if largest > 1 {
                    prop_assert!(exists(largest) && plan(largest).is_ok());
                }
            }
            Err(other) => prop_assert!(false, "unexpected: {}", other),
        }
    }
}

/// The deal by balance alone put the fakes of the first group into a fold of their own and kept
/// adding to the other one: "no number of folds works", of a corpus that has a split. The same deal
/// makes inner folds, where a refusal that is wrong means a model that is not calibrated.
#[test]
fn a_split_that_exists_is_found_although_balance_speaks_against_it() {
    let (groups, labels) = corpus_of(&[(0, 9), (9, 1), (2, 8)]);
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let alone = split.iter().filter(|(_, _, part)| *part == split.part(&id(1000)).unwrap());
    assert_eq!(alone.count(), 10, "the group of nine real sources and one fake has its own fold");

    // Twice the same corpus: a fold's training side is what could not be dealt above.
    let twice = [(0, 9), (9, 1), (2, 8), (0, 9), (9, 1), (2, 8)];
    let (groups, labels) = corpus_of(&twice);
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let examples = examples(&Corpus { evidence: vec![], labels, variants: 0 }, &groups);
    for fold in 0..2 {
        let (train, _) = split.fold(fold, &examples).unwrap();
        let [real, fake] = train.group_counts();
        let inner = train.inner_folds(real.min(fake) as u32, 1).unwrap();
        assert_eq!(inner.len(), real.min(fake));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn groups_are_the_connected_components(corpus in corpora()) {
        let groups = GroupTable::build(&corpus.evidence);
        let truth = components(&corpus.evidence);
        prop_assert_eq!(groups.len(), truth.len());
        for (left, group) in groups.iter() {
            for (right, other) in groups.iter() {
                prop_assert_eq!(group == other, truth[left] == truth[right]);
            }
        }
        let mut reversed = corpus.evidence.clone();
        reversed.reverse();
        prop_assert_eq!(GroupTable::build(&reversed), groups);
    }
}

fn plain_corpus(sources: u32) -> (GroupTable, BTreeMap<ContentId, Label>) {
    let evidence: Vec<_> = (0..sources)
        .map(|number| GroupEvidence { content_id: id(number), declared: vec![] })
        .collect();
    let labels = (0..sources)
        .map(|number| (id(number), if number % 2 == 0 { Label::Real } else { Label::Fake }))
        .collect();
    (GroupTable::build(&evidence), labels)
}

/// In the earlier system (L2) every source without a declared group fell into one giant group, or
/// vanished from the split.
#[test]
fn sources_without_a_declared_group_are_groups_of_their_own() {
    let (groups, labels) = plain_corpus(40);
    assert_eq!(groups.group_count(), 40);
    let config = SplitConfig { folds: 4, test_fraction: 0.0, seed: 1 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    for fold in 0..4 {
        let held = split.iter().filter(|(_, _, part)| *part == Part::Fold(fold)).count();
        assert_eq!(held, 10);
    }
}

#[test]
fn a_refused_split_names_the_largest_number_of_folds() {
    let (groups, labels) = plain_corpus(6);
    let config = SplitConfig { folds: 5, test_fraction: 0.0, seed: 1 };
    let error = Split::plan(&groups, &labels, &config).unwrap_err();
    assert!(matches!(error, SplitError::MissingClass { largest: Some(3), .. }), "{error}");
    assert!(error.to_string().contains("the largest number of folds that works is 3"), "{error}");
    let one_class: BTreeMap<_, _> = labels.keys().map(|&id| (id, Label::Fake)).collect();
    let error = Split::plan(&groups, &one_class, &config).unwrap_err();
    assert!(error.to_string().contains("no number of folds works"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_split_and_another_seed_another() {
    let (groups, labels) = plain_corpus(60);
    let plan = |seed| {
        let config = SplitConfig { folds: 3, test_fraction: 0.2, seed };
        Split::plan(&groups, &labels, &config).unwrap()
    };
    assert_eq!(plan(7).hash(), plan(7).hash());
    assert_ne!(plan(7).hash(), plan(8).hash());
}

#[test]
fn a_split_file_that_was_edited_is_refused() {
    let (groups, labels) = plain_corpus(20);
    let config = SplitConfig { folds: 2, test_fraction: 0.2, seed: 3 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("split.json");
    split.save(&path).unwrap();
    assert_eq!(Split::load(&path).unwrap(), split);

    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replacen("\"sealed\"", "\"fold_0\"", 1);
    assert_ne!(edited, text);
    std::fs::write(&path, &edited).unwrap();
    assert!(matches!(Split::load(&path), Err(SplitError::Corrupt { .. })));
    for cut in [0, 1, text.len() / 2, text.len() - 2] {
        std::fs::write(&path, &text[..cut]).unwrap();
        assert!(matches!(Split::load(&path), Err(SplitError::Corrupt { .. })), "cut at {cut}");
    }
}

#[test]
fn an_imported_split_may_not_cut_a_group() {
    let evidence: Vec<_> = (0..12_u32)
        .map(|number| GroupEvidence {
            content_id: id(number),
            declared: vec![format!("pair{}", number / 2)],
        })
        .collect();
    let groups = GroupTable::build(&evidence);
    let labels: BTreeMap<_, _> = (0..12)
        .map(|number| (id(number), if number % 2 == 0 { Label::Real } else { Label::Fake }))
        .collect();
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 1 };
    let path = std::path::Path::new("official.csv");
    let mut assignment: BTreeMap<_, _> =
        (0..12).map(|number| (id(number), (number < 4).then_some(Part::Sealed))).collect();
    let split = Split::import(&groups, &labels, &assignment, &config, path).unwrap();
    assert_eq!(split.iter().filter(|(_, _, part)| *part == Part::Sealed).count(), 4);
    assert_eq!(split.origin(), "imported");

    assignment.insert(id(4), Some(Part::Sealed));
    let error = Split::import(&groups, &labels, &assignment, &config, path).unwrap_err();
    assert!(error.to_string().contains("share an origin"), "{error}");
    assignment.remove(&id(4));
    let error = Split::import(&groups, &labels, &assignment, &config, path).unwrap_err();
    assert!(
        error.to_string().contains("no row for 1 (") && error.to_string().contains("of 12 sources"),
        "{error}"
    );
}

#[test]
fn a_row_without_a_group_a_label_or_an_original_is_refused() {
    let (groups, labels) = plain_corpus(3);
    let row = |number, variant| FeatureRow { content_id: id(number), variant, values: vec![1.0] };
    let join = |rows: Vec<FeatureRow>, labels| {
        Examples::join(FeatureMatrix { columns: vec!["x".into()], rows }, labels, &groups)
    };
    assert!(matches!(join(vec![row(9, 0)], &labels), Err(ExamplesError::NoGroup { .. })));
    let empty = BTreeMap::new();
    assert!(matches!(join(vec![row(1, 0)], &empty), Err(ExamplesError::NoLabel { .. })));
    assert!(matches!(join(vec![row(1, 1)], &labels), Err(ExamplesError::NoOriginal { .. })));
    let twice = vec![row(1, 0), row(1, 0)];
    assert!(matches!(join(twice, &labels), Err(ExamplesError::DuplicateRow { .. })));
}

/// New evidence may join groups that a split has put on two sides: then nothing is handed out.
#[test]
fn a_bridge_found_later_closes_the_views() {
    let (groups, labels) = plain_corpus(12);
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 5 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let bridged = GroupTable::build(
        &(0..12)
            .map(|number| GroupEvidence {
                content_id: id(number),
                declared: vec!["all one".to_owned()],
            })
            .collect::<Vec<_>>(),
    );
    let corpus = Corpus { evidence: vec![], labels, variants: 0 };
    let examples = examples(&corpus, &bridged);
    assert!(matches!(split.fold(0, &examples), Err(SplitError::GroupOnTwoSides { .. })));
    assert!(split.training(&examples).is_err());
}

/// Scoring a source of a fitted group is refused even where the types would let it pass: a view of
/// one fold, a model of another.
#[test]
fn a_model_cannot_score_a_group_that_it_was_fitted_on() {
    let (groups, labels) = plain_corpus(12);
    let config = SplitConfig { folds: 2, test_fraction: 0.0, seed: 5 };
    let split = Split::plan(&groups, &labels, &config).unwrap();
    let corpus = Corpus { evidence: vec![], labels, variants: 1 };
    let examples = examples(&corpus, &groups);
    let (train, eval) = split.fold(0, &examples).unwrap();
    let (_, other) = split.fold(1, &examples).unwrap();
    let fitted = train.fit(|view| Ok::<_, ()>(view.len() as f64)).unwrap();
    assert_eq!(fitted.scope(), train.scope());
    assert!(eval.score_with(&fitted, |model, values| model * values[0]).is_ok());
    assert!(other.score_with(&fitted, |model, values| model * values[0]).is_err());
    // A model that was written and read has seen the same.
    let bytes = fitted.to_json("count", 1, &serde_json::Value::Null).unwrap();
    let (read, _) = Fitted::<f64>::from_json(&bytes, "count", 1).unwrap();
    assert_eq!(read, fitted);
    assert!(other.score_with(&read, |model, values| model * values[0]).is_err());
    let text = String::from_utf8(bytes).unwrap();
    let (before, groups) = text.split_once("\"groups\":[").unwrap();
    let (_, after) = groups.split_once(']').unwrap();
    let forged = format!("{before}\"groups\":[]{after}");
    assert_ne!(forged, text);
    let refused = Fitted::<f64>::from_json(forged.as_bytes(), "count", 1).unwrap_err();
    assert!(refused.expected.starts_with("hash "), "{refused}");
}
