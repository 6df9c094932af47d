//! Sources that show the same footage are tied by it, strangers are not.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fvc_corpus::{
    Fingerprint, FingerprintBuilder, FingerprintError, HashedSources, NearDuplicate, SHARED_SECONDS,
};
use fvc_media::{ContentId, THUMBNAIL_SIDE, Thumbnail};
use proptest::prelude::*;

const SIDE: usize = THUMBNAIL_SIDE;

/// A scene: soft blobs that wander over a gradient, drawn from a seed.
#[derive(Clone, Copy, Debug)]
struct Scene(u64);

impl Scene {
    fn number(self, which: u64) -> f64 {
        let mut state =
            self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ which.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((state ^ (state >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Level at a place (shares of width and height) and time in seconds.
    fn level(self, x: f64, y: f64, time: f64) -> f64 {
        let mut level =
            120.0 + 40.0 * (self.number(0) - 0.5) * x + 40.0 * (self.number(1) - 0.5) * y;
        for blob in 0..14_u64 {
            let of = |part: u64| self.number(2 + 8 * blob + part);
            let (cx, cy) = (
                of(0) + 0.1 * (time * (0.5 + of(1)) + 6.0 * of(2)).sin(),
                of(3) + 0.1 * (time * (0.5 + of(4)) + 6.0 * of(5)).cos(),
            );
            let width = 0.04 + 0.08 * of(6);
            let distance = ((x - cx).powi(2) + (y - cy).powi(2)) / (width * width);
            level += 160.0 * (of(7) - 0.5) * (-distance).exp();
        }
        level.clamp(0.0, 255.0)
    }
}

/// What was done to a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Treatment {
    mirrored: bool,
    crop: f64,
    bars: f64,
    caption: bool,
    gain: f64,
    speed: f64,
    /// Seconds of the scene that are shown, from and to.
    shown: (f64, f64),
}

const UNTOUCHED: Treatment = Treatment {
    mirrored: false,
    crop: 0.0,
    bars: 0.0,
    caption: false,
    gain: 1.0,
    speed: 1.0,
    shown: (0.0, 6.0),
};

fn thumbnails(scene: Scene, treatment: Treatment) -> Vec<Thumbnail> {
    let length = (treatment.shown.1 - treatment.shown.0) / treatment.speed;
    (0..(length * 8.0) as u32)
        .map(|at| {
            let time = treatment.shown.0 + treatment.speed * f64::from(at) / 8.0;
            let mut cells = Vec::with_capacity(SIDE * SIDE);
            for row in 0..SIDE {
                for column in 0..SIDE {
                    let (x, y) = (share(column), share(row));
                    let inner = (y - treatment.bars) / (1.0 - 2.0 * treatment.bars);
                    if !(0.0..1.0).contains(&inner) {
                        cells.push(0);
                        continue;
                    }
                    if treatment.caption && inner > 0.8 && (0.1..0.9).contains(&x) {
                        cells.push(if (column / 2 + row / 2) % 2 == 0 { 230 } else { 30 });
                        continue;
                    }
                    let x = if treatment.mirrored { 1.0 - x } else { x };
                    let within = |place: f64| treatment.crop + (1.0 - 2.0 * treatment.crop) * place;
                    let level = scene.level(within(x), within(inner), time);
                    cells.push((128.0 + treatment.gain * (level - 128.0)).round() as u8);
                }
            }
            Thumbnail { milliseconds: at * 125, cells }
        })
        .collect()
}

fn share(cell: usize) -> f64 {
    (cell as f64 + 0.5) / SIDE as f64
}

fn fingerprint(thumbnails: Vec<Thumbnail>) -> Fingerprint {
    within(f64::INFINITY, thumbnails).unwrap()
}

fn within(seconds: f64, thumbnails: Vec<Thumbnail>) -> Result<Fingerprint, FingerprintError> {
    let mut builder = FingerprintBuilder::new(seconds);
    for thumbnail in thumbnails {
        builder.push(thumbnail);
    }
    builder.finish()
}

/// Nothing bounded what a decoder could send: a thumbnail of every millisecond of 49 days.
#[test]
fn a_fingerprint_is_no_longer_than_the_limit_of_the_duration() {
    let thumbnails = |count: u32, step: u32| -> Vec<Thumbnail> {
        let cells = vec![7; SIDE * SIDE];
        let one = |at| Thumbnail { milliseconds: at * step, cells: cells.clone() };
        (0..count).map(one).collect()
    };
    // The first frame and one of every eighth of a second after it.
    for (seconds, most) in [(0.0, 1), (2.0, 17), (61.3, 492)] {
        let whole = within(seconds, thumbnails(most, 125)).unwrap();
        assert_eq!(whole.samples().len(), most as usize);
        let error = within(seconds, thumbnails(most + 1, 1)).unwrap_err();
        assert_eq!(error.expected, format!("at most {most} samples"));
    }
}

fn id(number: usize) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

/// Ties between fingerprints that are named by their place.
fn ties(fingerprints: &[Fingerprint]) -> Vec<NearDuplicate> {
    let by_id: BTreeMap<ContentId, &Fingerprint> =
        fingerprints.iter().enumerate().map(|(at, fingerprint)| (id(at), fingerprint)).collect();
    let sources: Vec<ContentId> = (0..fingerprints.len()).map(id).collect();
    find(&sources, &|source| Ok::<_, ()>(by_id[source].clone()), &|| Ok(())).unwrap()
}

fn find<E: Send>(
    sources: &[ContentId],
    load: &(dyn Fn(&ContentId) -> Result<Fingerprint, E> + Sync),
    go_on: &dyn Fn() -> Result<(), E>,
) -> Result<Vec<NearDuplicate>, E> {
    let hashed = HashedSources::of(sources, &|source| load(source).map(Some))?;
    hashed.likely_copies(go_on)?.ties(load, &|| ())
}

#[test]
fn copies_are_tied_however_they_were_treated_and_strangers_are_not() {
    let treatments = [
        ("mirrored", Treatment { mirrored: true, ..UNTOUCHED }),
        ("cropped by 5 %", Treatment { crop: 0.05, ..UNTOUCHED }),
        ("cropped by 10 %", Treatment { crop: 0.1, ..UNTOUCHED }),
        ("with bars", Treatment { bars: 0.13, ..UNTOUCHED }),
        ("captioned", Treatment { caption: true, ..UNTOUCHED }),
        ("less contrast", Treatment { gain: 0.6, ..UNTOUCHED }),
        ("faster", Treatment { speed: 1.05, ..UNTOUCHED }),
        ("slower", Treatment { speed: 0.95, ..UNTOUCHED }),
        ("cut", Treatment { shown: (2.3, 5.2), ..UNTOUCHED }),
        (
            "all of it",
            Treatment {
                mirrored: true,
                crop: 0.04,
                bars: 0.1,
                caption: false,
                gain: 0.8,
                speed: 1.03,
                shown: (1.1, 5.9),
            },
        ),
    ];
    let scenes = [Scene(11), Scene(12), Scene(13)];
    let mut all = Vec::new();
    for scene in scenes {
        all.push(fingerprint(thumbnails(scene, UNTOUCHED)));
        all.extend(
            treatments.iter().map(|(_, treatment)| fingerprint(thumbnails(scene, *treatment))),
        );
    }
    let each = treatments.len() + 1;
    let found = ties(&all);
    let places: BTreeMap<ContentId, usize> = (0..all.len()).map(|at| (id(at), at)).collect();
    for tie in &found {
        let (first, second) = (places[&tie.first], places[&tie.second]);
        assert_eq!(first / each, second / each, "strangers are tied: {tie:?}");
        assert!(tie.first < tie.second && f64::from(tie.shared) >= SHARED_SECONDS * 1000.0);
    }
    for scene in 0..scenes.len() {
        for (at, (name, treatment)) in treatments.iter().enumerate() {
            let (original, copy) = (id(each * scene), id(each * scene + at + 1));
            let tie = found
                .iter()
                .find(|tie| [tie.first, tie.second] == [original.min(copy), original.max(copy)])
                .unwrap_or_else(|| panic!("scene {scene}, {name}: not tied"));
            assert_eq!(tie.mirrored, treatment.mirrored, "{name}");
            // Where it is said to be is where it is.
            let (of_original, of_copy) = if tie.first == original {
                (tie.first_from, tie.second_from)
            } else {
                (tie.second_from, tie.first_from)
            };
            let expected = treatment.shown.0 + treatment.speed * f64::from(of_copy) / 1000.0;
            let away = (f64::from(of_original) / 1000.0 - expected).abs();
            assert!(away < 0.3, "{name}: {tie:?} is {away} s away");
        }
    }
}

/// Two seconds must be shared: less is a shot of the same newsreel, and no origin.
#[test]
fn less_than_two_seconds_tie_nothing() {
    let whole = fingerprint(thumbnails(Scene(5), UNTOUCHED));
    let seconds = |length: f64| {
        fingerprint(thumbnails(Scene(5), Treatment { shown: (2.0, 2.0 + length), ..UNTOUCHED }))
    };
    assert_eq!(ties(&[whole.clone(), seconds(1.75)]), []);
    assert_eq!(ties(&[whole, seconds(2.25)]).len(), 1);
}

/// A title card, a still, black: the same in countless videos, and no evidence that they are copies.
#[test]
fn flat_black_and_frozen_frames_are_no_evidence() {
    let own = |scene: u64| thumbnails(Scene(scene), Treatment { shown: (0.0, 3.0), ..UNTOUCHED });
    let after = |mut first: Vec<Thumbnail>, second: Vec<Thumbnail>| {
        for thumbnail in second {
            let milliseconds = first.last().map_or(0, |last: &Thumbnail| last.milliseconds + 125);
            first.push(Thumbnail { milliseconds, cells: thumbnail.cells });
        }
        fingerprint(first)
    };
    let still = thumbnails(Scene(99), UNTOUCHED)[0].cells.clone();
    for (name, cells) in
        [("black", vec![0; SIDE * SIDE]), ("grey", vec![128; SIDE * SIDE]), ("a still", still)]
    {
        let shared: Vec<Thumbnail> =
            (0..40).map(|at| Thumbnail { milliseconds: at * 125, cells: cells.clone() }).collect();
        let both = [after(shared.clone(), own(1)), after(shared, own(2))];
        assert!(both.iter().all(|fingerprint| fingerprint.informative_seconds() > 2.0), "{name}");
        assert_eq!(ties(&both), [], "{name}");
    }
}

/// The same caption, large and full of contrast, lies over two smooth pictures that have nothing else
/// in common.
#[test]
fn a_caption_that_two_strangers_share_ties_nothing() {
    let captioned = |scene: u64| {
        fingerprint(thumbnails(Scene(scene), Treatment { caption: true, ..UNTOUCHED }))
    };
    let all: Vec<Fingerprint> = (20..28).map(captioned).collect();
    assert_eq!(ties(&all), []);
}

/// Many copies of one clip are one component, although no hash is compared with more than a few.
#[test]
fn a_crowd_of_copies_is_one_component() {
    let all: Vec<Fingerprint> = (0..60)
        .map(|at| {
            let treatment = Treatment {
                gain: 1.0 - 0.005 * f64::from(at % 30),
                mirrored: at % 7 == 0,
                shown: (0.0, 3.0),
                ..UNTOUCHED
            };
            fingerprint(thumbnails(Scene(3), treatment))
        })
        .collect();
    let rows =
        (0..all.len()).map(|at| (id(at), fvc_corpus::GroupId::new(&at.to_string()))).collect();
    let table = fvc_corpus::GroupTable::from_rows(rows);
    let joined = table.joined(ties(&all).iter().map(|tie| (tie.first, tie.second)));
    assert_eq!(joined.group_count(), 1);
}

#[test]
fn bars_are_no_part_of_the_picture() {
    let cells_of = |bars: f64| {
        let made = fingerprint(thumbnails(Scene(8), Treatment { bars, ..UNTOUCHED }));
        made.samples()[4].cells
    };
    let (whole, inside) = (cells_of(0.0), cells_of(0.125));
    let away: f64 =
        whole.iter().zip(inside).map(|(&left, right)| f64::from(left.abs_diff(right))).sum::<f64>()
            / 256.0;
    assert!(away < 6.0, "the cells differ by {away} levels in the mean");
}

#[test]
fn ties_do_not_depend_on_the_order_of_sources() {
    let all: Vec<Fingerprint> = [(1, false), (1, true), (2, false), (2, true)]
        .map(|(scene, mirrored)| {
            fingerprint(thumbnails(Scene(scene), Treatment { mirrored, ..UNTOUCHED }))
        })
        .to_vec();
    let by_id: BTreeMap<ContentId, &Fingerprint> =
        all.iter().enumerate().map(|(at, fingerprint)| (id(at), fingerprint)).collect();
    let of = |order: [usize; 4]| {
        find(&order.map(id), &|source| Ok::<_, ()>(by_id[source].clone()), &|| Ok(())).unwrap()
    };
    let expected = of([0, 1, 2, 3]);
    assert_eq!(expected.len(), 2);
    assert_eq!(of([3, 1, 0, 2]), expected);
    assert_eq!(of([2, 3, 1, 0]), expected);
}

/// Every fingerprint was read and hashed twice, once to be checked and once to be compared; and what was
/// compared with many was read for each of them.
#[test]
fn a_fingerprint_is_read_once_and_again_only_for_likely_copies() {
    let scenes = [1, 1, 1, 2, 3, 4];
    let all: BTreeMap<ContentId, Fingerprint> = scenes
        .iter()
        .enumerate()
        .map(|(at, &scene)| {
            let treatment = Treatment { gain: 1.0 - 0.05 * at as f64, ..UNTOUCHED };
            (id(at), fingerprint(thumbnails(Scene(scene), treatment)))
        })
        .collect();
    let sources: Vec<ContentId> = all.keys().copied().collect();
    let reads = Mutex::new(BTreeMap::new());
    let load = |source: &ContentId| {
        *reads.lock().unwrap().entry(*source).or_insert(0) += 1;
        // The last is not as it was written.
        Ok::<_, ()>((*source != id(5)).then(|| all[source].clone()))
    };
    let hashed = HashedSources::of(&sources, &load).unwrap();
    let tables = Mutex::new(0);
    let go_on = || {
        *tables.lock().unwrap() += 1;
        Ok::<_, ()>(())
    };
    let likely = hashed.likely_copies(&go_on).unwrap();
    assert_eq!(*tables.lock().unwrap(), HashedSources::TABLES);
    assert_eq!(reads.lock().unwrap().values().copied().collect::<Vec<i32>>(), [1; 6]);

    let compared = Mutex::new(0);
    let ties = likely.ties(&|source| load(source).map(Option::unwrap), &|| {
        *compared.lock().unwrap() += 1;
    });
    assert_eq!(ties.unwrap().len(), 3);
    assert_eq!(*compared.lock().unwrap(), likely.len());
    let reads = reads.into_inner().unwrap();
    assert_eq!(reads[&id(5)], 1, "what has no fingerprint is asked for again");
    // Three copies: the first of them is read for both others, the second for the third.
    let again: i32 = (0..3).map(|at| reads[&id(at)] - 1).sum();
    assert_eq!(again, 2 + 3);
    assert!((3..5).all(|at| reads[&id(at)] == 1), "{reads:?}");
}

#[test]
fn what_cannot_be_loaded_is_the_callers_error() {
    let failed = find(&[id(1)], &|_| Err::<Fingerprint, _>("gone"), &|| Ok(()));
    assert_eq!(failed, Err("gone"));
    let stopped = find(&[id(1)], &|_| Ok(Fingerprint::default()), &|| Err("stopped"));
    assert_eq!(stopped, Err("stopped"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A fingerprint is read back as it was written, and no change of its bytes is believed or fatal.
    #[test]
    fn fingerprints_survive_their_file(seed in 0_u64..50, cut in 0_usize..4000, flip in any::<(usize, u8)>()) {
        let made = fingerprint(thumbnails(Scene(seed), Treatment { shown: (0.0, 1.5), ..UNTOUCHED }));
        let bytes = made.to_bytes();
        prop_assert_eq!(Fingerprint::from_bytes(&bytes).unwrap(), made);
        if cut < bytes.len() {
            prop_assert!(Fingerprint::from_bytes(&bytes[..cut]).is_err());
        }
        let mut changed = bytes;
        let at = flip.0 % changed.len();
        changed[at] ^= flip.1;
        // Some bytes are cells, and any value is one; the rest is refused. Nothing panics.
        drop(Fingerprint::from_bytes(&changed));
    }
}

/// A minute of a scene of its own: waves that wander, in the cells of a fingerprint's file.
fn minute(seed: u64) -> Fingerprint {
    let scene = Scene(seed);
    let mut file = b"FVCPRINT".to_vec();
    file.extend_from_slice(&fvc_corpus::FINGERPRINT_VERSION.to_le_bytes());
    file.extend_from_slice(&480_u32.to_le_bytes());
    for at in 0..480_u32 {
        // Another shot every four seconds.
        let shot = u64::from(at / 32);
        let time = f64::from(at) / 8.0;
        file.extend_from_slice(&(125 * at).to_le_bytes());
        file.push(1);
        for cell in 0..256_u32 {
            let (x, y) = (f64::from(cell % 16), f64::from(cell / 16));
            let mut level = 128.0;
            for wave in 0..12_u64 {
                let of = |part: u64| scene.number(1009 * shot + 8 * wave + part) - 0.5;
                level += 70.0
                    * of(0)
                    * (3.0 * of(1) * x + 3.0 * of(2) * y + of(3) * time + 9.0 * of(4)).cos();
            }
            file.push(level.clamp(0.0, 255.0) as u8);
        }
    }
    Fingerprint::from_bytes(&file).unwrap()
}

/// Never all pairs: with twice as many strangers, the search takes about twice as long, and not four
/// times. The one copy among them is found all the same.
#[test]
fn slow_the_search_grows_with_the_sources_and_not_with_their_pairs() {
    if std::env::var_os("FVC_SLOW").is_none() {
        let line = "SKIP slow_the_search_grows_with_the_sources_and_not_with_their_pairs: slow: run by `make test-slow`\n";
        eprint!("{line}");
        if let Ok(log) = std::env::var("FVC_SKIP_LOG") {
            use std::io::Write as _;
            let mut log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            log.write_all(line.as_bytes()).unwrap();
        }
        return;
    }
    let mut all: Vec<Fingerprint> = (0..400).map(minute).collect();
    all[199] = all[17].clone();
    let seconds = |count: usize| {
        let started = std::time::Instant::now();
        let found = ties(&all[..count]);
        let copy = [id(17), id(199)];
        let is_copy = |tie: &NearDuplicate| copy.contains(&tie.first) && copy.contains(&tie.second);
        assert!(found.iter().any(is_copy), "{count}");
        // Among so many scenes of waves a few are alike: of 79,800 pairs with 225 pairs of shots each.
        assert!(found.len() < count / 10, "{} ties among {count}", found.len());
        started.elapsed().as_secs_f64()
    };
    let (half, whole) = (seconds(200), seconds(400));
    eprintln!("200 sources of a minute: {half:.1} s; 400: {whole:.1} s");
    assert!(whole < 3.0 * half, "{whole} s for {half} s");
}
