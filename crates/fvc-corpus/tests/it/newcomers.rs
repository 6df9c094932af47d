//! A split never changes: what becomes of sources that come after it.

use std::path::PathBuf;

use fvc_corpus::{
    Candidate, Index, Label, NearDuplicate, Newcomer, Part, Split, SplitConfig, SplitError,
};
use fvc_media::ContentId;

fn id(number: u32) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

fn candidate(number: u32, groups: &[&str]) -> (Candidate, ContentId, u64) {
    let candidate = Candidate {
        path: PathBuf::from(format!("/footage/{number}.mp4")),
        label: if number.is_multiple_of(2) { Label::Real } else { Label::Fake },
        groups: groups.iter().map(|name| format!("group={name}")).collect(),
        platform: None,
        subset: None,
        manipulation: None,
        generator: None,
        origin: "test".to_owned(),
    };
    (candidate, id(number), 1)
}

/// Twelve sources, each of an origin of its own, and what came later.
fn index(later: &[(u32, &[&str])]) -> Index {
    let mut identified: Vec<_> =
        (0..12).map(|number| candidate(number, &[&format!("origin{number}")])).collect();
    identified.extend(later.iter().map(|(number, groups)| candidate(*number, groups)));
    Index::build(identified, &[]).0
}

fn split() -> Split {
    let index = index(&[]);
    let config = SplitConfig { folds: 2, test_fraction: 0.34, seed: 1 };
    Split::plan(index.groups(), &index.labels(), &config).unwrap()
}

/// Some source of a part.
fn one_of(split: &Split, wanted: Part) -> u32 {
    (0..12).find(|&number| split.part(&id(number)) == Some(wanted)).unwrap()
}

fn tie(left: u32, right: u32) -> NearDuplicate {
    NearDuplicate {
        first: id(left).min(id(right)),
        second: id(left).max(id(right)),
        mirrored: false,
        first_from: 0,
        first_to: 3000,
        second_from: 0,
        second_to: 3000,
        shared: 3000,
        similarity: 0.9,
    }
}

#[test]
fn newcomers_stand_by_what_they_share_with_the_split() {
    let split = split();
    let sealed = one_of(&split, Part::Sealed);
    let (first, second) = (one_of(&split, Part::Fold(0)), one_of(&split, Part::Fold(1)));
    let name = |number: u32| format!("origin{number}");
    let (of_sealed, of_first) = (name(sealed), name(first));
    let grown = index(&[
        (100, &["elsewhere"]),
        (101, &[&of_sealed]),
        (102, &[]),
        (103, &[]),
        (104, &[&of_first]),
    ]);
    // 102 shows what 101 and fold 0 show; 103 what both folds show: one by a name and content, one by
    // content alone.
    let ties = [tie(103, first), tie(103, second), tie(102, 104)];
    let grown = grown.with_near_duplicates(&ties);
    let admitted = split.admit(&grown, &ties, &[]).unwrap();
    let standing = |number: u32| admitted.newcomers.get(&id(number)).copied();
    let bridge = Some(Newcomer::BridgesSplit(Part::Fold(0), Part::Fold(1)));
    assert_eq!(standing(100), Some(Newcomer::NewOrigin));
    assert_eq!(standing(101), Some(Newcomer::MatchesSealed));
    assert_eq!(standing(103), bridge);
    // 103 bridges the component that they are of, and they do not: their own ties tell.
    let matches = Some(Newcomer::MatchesTraining);
    assert_eq!((standing(102), standing(104)), (matches, matches));
    assert_eq!(admitted.newcomers.len(), 5);
    // The split's own sources are as they were, each in a group of its own.
    assert_eq!(admitted.groups.group_count(), 12);
    assert!((0..12).all(|number| admitted.groups.group(&id(number)).is_some()));

    let alone = split.admit(&index(&[(104, &[&of_first])]), &[], &[]).unwrap();
    assert_eq!(alone.newcomers[&id(104)], Newcomer::MatchesTraining);
    assert_eq!(Newcomer::MatchesTraining.reason(), "matches_training");
}

/// One newcomer that showed a sealed and a training video a bridge
/// of every newcomer in its group, in what was told: also of a mirrored copy of the training video alone.
#[test]
fn each_newcomer_has_the_reason_of_its_own_ties() {
    let split = split();
    let sealed = one_of(&split, Part::Sealed);
    let (first, second) = (one_of(&split, Part::Fold(0)), one_of(&split, Part::Fold(1)));
    let of_second = format!("origin{second}");
    let grown = index(&[
        (200, &[]),
        (201, &[]),
        (202, &[]),
        (203, &[]),
        (204, &[&of_second]),
        (205, &["both"]),
        (206, &["both"]),
        (207, &["other"]),
    ]);
    let ties = [
        // A bridge, a copy of each of its sides that is a copy of what the bridge shows too, and one that
        // shows nothing but what the bridge shows.
        tie(200, sealed),
        tie(200, second),
        tie(201, second),
        tie(201, 200),
        tie(202, sealed),
        tie(202, 200),
        tie(203, 200),
        tie(204, 200),
        // Two that are a bridge only together.
        tie(205, first),
        tie(206, second),
    ];
    let grown = grown.with_near_duplicates(&ties);
    let admitted = split.admit(&grown, &ties, &[]).unwrap();
    let standing = |number: u32| admitted.newcomers[&id(number)];
    assert_eq!(standing(200), Newcomer::BridgesSplit(Part::Sealed, Part::Fold(1)));
    assert_eq!(standing(201), Newcomer::MatchesTraining);
    assert_eq!(standing(202), Newcomer::MatchesSealed);
    let joined = standing(203);
    assert!(matches!(joined, Newcomer::JoinedByBridge(Part::Sealed, _)), "{joined:?}");
    assert_eq!(joined.reason(), "joined_by_bridge");
    assert!(joined.found().contains("with others of these that tie sealed to fold_"), "{joined:?}");
    assert_eq!(standing(204), Newcomer::MatchesTraining);
    let both = Newcomer::BridgesSplit(Part::Fold(0), Part::Fold(1));
    assert_eq!((standing(205), standing(206)), (both, both));
    assert_eq!(standing(207), Newcomer::NewOrigin);
    // None of them is in a part, whatever it is told.
    assert!((200..208).all(|number| admitted.groups.group(&id(number)).is_none()));
}

#[test]
fn a_bridge_from_training_to_sealed_is_kept_from_both() {
    let split = split();
    let sealed = one_of(&split, Part::Sealed);
    let first = one_of(&split, Part::Fold(0));
    let ties = [tie(200, sealed), tie(200, first)];
    let grown = index(&[(200, &[])]).with_near_duplicates(&ties);
    let admitted = split.admit(&grown, &ties, &[]).unwrap();
    let bridge = admitted.newcomers[&id(200)];
    assert_eq!(bridge, Newcomer::BridgesSplit(Part::Sealed, Part::Fold(0)));
    assert_eq!(bridge.reason(), "bridges_split");
}

/// When the split's own sources turn out to be copies of one another, there is nobody to keep out.
#[test]
fn members_that_turn_out_to_be_copies_over_two_sides_end_the_split() {
    let split = split();
    let (sealed, first) = (one_of(&split, Part::Sealed), one_of(&split, Part::Fold(0)));
    let ties = [tie(sealed, first)];
    let refused = split.admit(&index(&[]).with_near_duplicates(&ties), &ties, &[]);
    assert!(matches!(refused, Err(SplitError::GroupOnTwoSides { .. })), "{refused:?}");
    // The same by a row that names both groups and whose file is gone: no source, and still a tie.
    let identified =
        (0..12).map(|number| candidate(number, &[&format!("origin{number}")])).collect();
    let names = [sealed, first].map(|number| format!("group=origin{number}")).to_vec();
    let (tied, _) = Index::build(identified, std::slice::from_ref(&names));
    let refused = split.admit(&tied, &[], std::slice::from_ref(&names));
    assert!(matches!(refused, Err(SplitError::GroupOnTwoSides { .. })), "{refused:?}");
    // No newcomer of either group makes it one that bridges: they are one without it.
    let mut identified: Vec<_> =
        (0..12).map(|number| candidate(number, &[&format!("origin{number}")])).collect();
    identified.push(candidate(300, &[&format!("origin{first}")]));
    let (tied, _) = Index::build(identified, std::slice::from_ref(&names));
    let refused = split.admit(&tied, &[], &[names]);
    assert!(matches!(refused, Err(SplitError::GroupOnTwoSides { .. })), "{refused:?}");
}
