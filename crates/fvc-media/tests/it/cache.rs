//! The media cache: what is put in comes out, whatever happens in between.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use fvc_media::{
    CacheError, CachedFailure, ContentId, DecodeVerdict, Facts, FailedDuring, FileKey, FrameCount,
    FrameCountOrigin, FrameIndex, Limits, MediaCache, MediaRecord, PacketFacts, PictureType,
    Rational, Reason, ResolvedSampling,
};
use proptest::prelude::*;
use rusqlite::Connection;

fn id(number: u64) -> ContentId {
    ContentId::of_bytes(&number.to_le_bytes())
}

fn facts() -> Facts {
    Facts {
        bytes: 123_456,
        container: "matroska,webm".to_owned(),
        streams: 2,
        has_audio: true,
        codec: "vp9".to_owned(),
        profile: Some("Profile 0".to_owned()),
        width: 640,
        height: 360,
        rotation: 90,
        mirrored: false,
        sample_aspect_ratio: Some(Rational::new(1, 1)),
        frame_rate: Some(Rational::new(30_000, 1_001)),
        nominal_frame_rate: None,
        pixel_format: Some("yuv420p".to_owned()),
        color_range: Some("tv".to_owned()),
        color_matrix: None,
        color_primaries: None,
        color_transfer: Some("bt709".to_owned()),
        duration_seconds: Some(1.0 / 3.0),
        stream_bit_rate: None,
        container_bit_rate: Some(987_654),
        encoder: None,
        frame_count: FrameCount { frames: 3, origin: FrameCountOrigin::Demuxed },
    }
}

fn record(seed: i64, verdict: Option<DecodeVerdict>) -> MediaRecord {
    let packet = |at: i64| PacketFacts {
        presentation: (at != 1).then_some(seed + 40 * at),
        decoding: Some(seed + 40 * at - 80),
        position: Some(1000 + 500 * at as u64),
        bytes: 500 - at as u32,
        key: at == 0,
        discarded: at == 2,
        picture: [PictureType::I, PictureType::B, PictureType::P][at as usize % 3],
    };
    MediaRecord {
        facts: facts(),
        index: FrameIndex {
            time_base: Rational::new(1, 1000),
            packets: (0..3).map(packet).collect(),
            frame_times: vec![seed, seed + 40, seed + 80],
        },
        verdict,
    }
}

fn failure(reason: Reason, during: FailedDuring) -> CachedFailure {
    CachedFailure {
        reason,
        expected: "a video".to_owned(),
        found: format!("{reason} in a test"),
        during,
    }
}

fn sampling(policy: &str, first: u64) -> ResolvedSampling {
    ResolvedSampling {
        policy: policy.to_owned(),
        windows: vec![vec![first, first + 1, first + 1], vec![], vec![first + 900, first + 901]],
    }
}

#[test]
fn what_is_put_in_comes_out_also_from_another_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/media.sqlite");
    let cache = MediaCache::open(&path).unwrap();
    let limits = Limits::default();
    assert_eq!(cache.record(&id(1)).unwrap(), None);
    assert_eq!(cache.failure(&id(1), &limits).unwrap(), None);
    assert_eq!(cache.sampling(&id(1), "v1").unwrap(), None);

    let partial = DecodeVerdict::Partial { decoded: 7, promised: 9, detail: "cut".to_owned() };
    let whole = record(-5, Some(partial));
    cache.put_record(&id(1), &whole).unwrap();
    cache.put_sampling(&id(1), &sampling("v1-3x2-native", 0)).unwrap();
    cache.put_sampling(&id(1), &sampling("v1-3x2-12/1", u64::MAX - 2000)).unwrap();
    let broken = failure(Reason::Corrupt, FailedDuring::Decode);
    cache.put_failure(&id(2), &limits, &broken).unwrap();

    for cache in [&cache, &MediaCache::open(&path).unwrap()] {
        assert_eq!(cache.record(&id(1)).unwrap().as_ref(), Some(&whole));
        assert_eq!(
            cache.sampling(&id(1), "v1-3x2-native").unwrap(),
            Some(sampling("v1-3x2-native", 0))
        );
        assert_eq!(
            cache.sampling(&id(1), "v1-3x2-12/1").unwrap(),
            Some(sampling("v1-3x2-12/1", u64::MAX - 2000))
        );
        assert_eq!(cache.sampling(&id(2), "v1-3x2-native").unwrap(), None);
        assert_eq!(cache.failure(&id(2), &limits).unwrap().as_ref(), Some(&broken));
        assert_eq!(cache.failure(&id(1), &limits).unwrap(), None);
    }
}

fn any_packet() -> impl Strategy<Value = PacketFacts> {
    let picture = prop_oneof![
        Just(PictureType::I),
        Just(PictureType::P),
        Just(PictureType::B),
        Just(PictureType::Unknown)
    ];
    (
        any::<Option<i64>>(),
        any::<Option<i64>>(),
        any::<Option<u64>>(),
        any::<u32>(),
        any::<(bool, bool)>(),
        picture,
    )
        .prop_map(|(presentation, decoding, position, bytes, (key, discarded), picture)| {
            PacketFacts { presentation, decoding, position, bytes, key, discarded, picture }
        })
}

#[test]
fn any_frame_index_survives() {
    let folder = tempfile::tempdir().unwrap();
    let cache = MediaCache::open(&folder.path().join("media.sqlite")).unwrap();
    let index = (
        any::<(i64, i64)>(),
        prop::collection::vec(any_packet(), 0..40),
        prop::collection::vec(any::<i64>(), 0..40),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&index, |((numerator, denominator), packets, frame_times)| {
            let time_base = Rational::new(numerator, denominator);
            let index = FrameIndex { time_base, packets, frame_times };
            let record = MediaRecord { facts: facts(), index, verdict: None };
            cache.put_record(&id(0), &record).unwrap();
            prop_assert_eq!(cache.record(&id(0)).unwrap(), Some(record));
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_hour_of_frames_takes_less_than_a_megabyte() {
    let folder = tempfile::tempdir().unwrap();
    let cache = MediaCache::open(&folder.path().join("media.sqlite")).unwrap();
    let frames = 30 * 3600;
    let packets = (0..frames)
        .map(|at| PacketFacts {
            presentation: Some(512 * at),
            decoding: Some(512 * at - 1024),
            position: Some(7000 * at as u64),
            bytes: 7000 + (at % 300) as u32,
            key: at % 250 == 0,
            discarded: false,
            picture: PictureType::Unknown,
        })
        .collect();
    let index = FrameIndex {
        time_base: Rational::new(1, 15_360),
        packets,
        frame_times: (0..frames).map(|at| 512 * at).collect(),
    };
    let record = MediaRecord { facts: facts(), index, verdict: Some(DecodeVerdict::Ok) };
    cache.put_record(&id(0), &record).unwrap();
    assert_eq!(cache.record(&id(0)).unwrap(), Some(record));
    drop(cache);
    let bytes = fs::metadata(folder.path().join("media.sqlite")).unwrap().len();
    assert!(bytes < 1_300_000, "{bytes} bytes for {frames} frames");
}

#[test]
fn a_file_is_known_by_path_size_time_and_inode() {
    let folder = tempfile::tempdir().unwrap();
    let cache = MediaCache::open(&folder.path().join("media.sqlite")).unwrap();
    let video = folder.path().join("clip.mp4");
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    };
    write(&video, b"first");
    let key = FileKey::of(&video).unwrap();
    assert_eq!((key.bytes(), key.modified()), (5, 1_700_000_000_123_456_789));
    assert_eq!(cache.identity(&key).unwrap(), None);
    cache.put_identity(&key, &id(1)).unwrap();
    assert_eq!(cache.identity(&FileKey::of(&video).unwrap()).unwrap(), Some(id(1)));

    // Another name of the same bytes is another path.
    let copy = folder.path().join("copy.mp4");
    fs::hard_link(&video, &copy).unwrap();
    assert_eq!(cache.identity(&FileKey::of(&copy).unwrap()).unwrap(), None);

    // Time alone.
    let later = then + Duration::from_nanos(1);
    File::options().write(true).open(&video).unwrap().set_modified(later).unwrap();
    assert_eq!(cache.identity(&FileKey::of(&video).unwrap()).unwrap(), None);
    // Size alone.
    write(&video, b"longer");
    assert_eq!(cache.identity(&FileKey::of(&video).unwrap()).unwrap(), None);
    // Back to what it was.
    write(&video, b"first");
    assert_eq!(cache.identity(&FileKey::of(&video).unwrap()).unwrap(), Some(id(1)));
    // Inode alone: another file is moved into its place.
    let other = folder.path().join("other.mp4");
    write(&other, b"other");
    fs::rename(&other, &video).unwrap();
    let moved = FileKey::of(&video).unwrap();
    assert_eq!((moved.bytes(), moved.modified()), (key.bytes(), key.modified()));
    assert_eq!(cache.identity(&moved).unwrap(), None);

    cache.put_identity(&moved, &id(2)).unwrap();
    assert_eq!(cache.identity(&moved).unwrap(), Some(id(2)));
    assert_eq!(cache.identity(&key).unwrap(), None, "one identity a path");
    assert_eq!(cache.stats().unwrap().identities, 1);
    assert!(FileKey::of(&folder.path().join("missing.mp4")).is_err());
}

#[test]
fn a_record_that_knows_less_never_replaces_one_that_knows_more() {
    let folder = tempfile::tempdir().unwrap();
    let cache = MediaCache::open(&folder.path().join("media.sqlite")).unwrap();
    let partial = DecodeVerdict::Partial { decoded: 1, promised: 2, detail: String::new() };
    let ranked = [
        vec![None],
        vec![Some(DecodeVerdict::Sampled)],
        vec![Some(DecodeVerdict::Ok), Some(partial)],
    ];
    let mut number = 0;
    for (old_rank, olds) in ranked.iter().enumerate() {
        for old in olds {
            for (new_rank, news) in ranked.iter().enumerate() {
                for new in news {
                    number += 1;
                    let (old, new) = (record(1, old.clone()), record(2, new.clone()));
                    cache.put_record(&id(number), &old).unwrap();
                    cache.put_record(&id(number), &new).unwrap();
                    let kept = if new_rank >= old_rank { new } else { old };
                    assert_eq!(cache.record(&id(number)).unwrap(), Some(kept));
                }
            }
        }
    }
    assert_eq!(number, 16);
    // All but the nine pairs without a whole decode in them, less sampled or none twice.
    assert_eq!(cache.stats().unwrap().decoded, 12);
}

#[test]
fn failures_are_remembered_with_the_limits_that_had_a_part_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let cache = MediaCache::open(&folder.path().join("media.sqlite")).unwrap();
    let narrow = Limits { wall_clock_seconds: 1.0, ..Limits::default() };
    let wide = Limits { wall_clock_seconds: 2.0, ..Limits::default() };
    let limited = [Reason::LimitExceeded, Reason::Crashed, Reason::OutOfMemory, Reason::TimedOut];
    let of_the_bytes = [
        Reason::Empty,
        Reason::NotAVideo,
        Reason::FormatRefused,
        Reason::NoVideoStream,
        Reason::Unsupported,
        Reason::Corrupt,
        Reason::Partial,
    ];
    for (number, &reason) in limited.iter().chain(&of_the_bytes).enumerate() {
        let (id, failure) = (id(number as u64), failure(reason, FailedDuring::Probe));
        cache.put_failure(&id, &narrow, &failure).unwrap();
        assert_eq!(cache.failure(&id, &narrow).unwrap().as_ref(), Some(&failure), "{reason}");
        let elsewhere = cache.failure(&id, &wide).unwrap();
        assert_eq!(elsewhere.is_some(), !limited.contains(&reason), "{reason}");
    }
    for reason in [
        Reason::Missing,
        Reason::Unreadable,
        Reason::NotAFile,
        Reason::Changed,
        Reason::DecoderUnavailable,
        Reason::Cancelled,
    ] {
        let refused = cache.put_failure(&id(99), &narrow, &failure(reason, FailedDuring::Probe));
        assert!(matches!(refused, Err(CacheError::NotRememberable { .. })), "{reason}");
    }
    assert_eq!(cache.failure(&id(99), &narrow).unwrap(), None);

    // A decode that failed for the bytes and a probe that failed for the limits: the probe comes
    // first, and alone it is gone under other limits.
    let (decode, probe) = (
        failure(Reason::Corrupt, FailedDuring::Decode),
        failure(Reason::TimedOut, FailedDuring::Probe),
    );
    cache.put_failure(&id(100), &narrow, &decode).unwrap();
    cache.put_failure(&id(100), &narrow, &probe).unwrap();
    assert_eq!(cache.failure(&id(100), &narrow).unwrap(), Some(probe));
    assert_eq!(cache.failure(&id(100), &wide).unwrap(), Some(decode));
}

#[test]
fn older_versions_are_emptied_newer_and_foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    let fill = || {
        let cache = MediaCache::open(&path).unwrap();
        cache.put_record(&id(1), &record(1, None)).unwrap();
        assert_eq!(cache.stats().unwrap().records, 1);
    };
    let set_version = |version: i64| {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
    };
    fill();
    let current = MediaCache::open(&path).unwrap().stats().unwrap().version;

    // As an older program would have left it, with a table that is no longer used.
    set_version(current - 1);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE \"of old\" (x)").unwrap();
    let cache = MediaCache::open(&path).unwrap();
    let stats = cache.stats().unwrap();
    assert_eq!((stats.version, stats.records), (current, 0));
    drop(cache);

    fill();
    set_version(current + 1);
    for _ in 0..2 {
        match MediaCache::open(&path) {
            Err(CacheError::Newer { expected, found, .. }) => {
                assert_eq!((expected, found), (current, current + 1));
            }
            other => panic!("{other:?}"),
        }
    }
    set_version(current);
    assert!(MediaCache::open(&path).unwrap().record(&id(1)).unwrap().is_some());

    let foreign = folder.path().join("foreign.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let before = fs::read(&foreign).unwrap();
    let refused = MediaCache::open(&foreign);
    assert!(matches!(refused, Err(CacheError::NotACache { .. })), "{refused:?}");
    assert_eq!(fs::read(&foreign).unwrap(), before);

    let text = folder.path().join("notes.txt");
    let before = "not a database, but a text that is longer than a header. ".repeat(100);
    fs::write(&text, &before).unwrap();
    let refused = MediaCache::open(&text);
    assert!(matches!(refused, Err(CacheError::NotACache { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(&text).unwrap(), before);

    let refused = MediaCache::open(&text.join("below a file"));
    assert!(matches!(refused, Err(CacheError::Io { .. })), "{refused:?}");
    let refused = MediaCache::open(folder.path());
    assert!(matches!(refused, Err(CacheError::Database { .. })), "{refused:?}");
}

#[test]
fn a_damaged_database_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    {
        let cache = MediaCache::open(&path).unwrap();
        for number in 0..200 {
            cache.put_record(&id(number), &record(number as i64, None)).unwrap();
        }
    }
    let sound = fs::read(&path).unwrap();
    let mut errors = 0;
    for at in (0..sound.len()).step_by(sound.len() / 40) {
        let mut bytes = sound.clone();
        for byte in bytes.iter_mut().skip(at).take(600) {
            *byte ^= 0x5a;
        }
        let damaged = folder.path().join(format!("{at}.sqlite"));
        fs::write(&damaged, &bytes).unwrap();
        let Ok(cache) = MediaCache::open(&damaged) else {
            errors += 1;
            continue;
        };
        for number in 0..200 {
            match cache.record(&id(number)) {
                // A row may be lost with its page, but never come out as another one.
                Ok(found) => {
                    assert!(found.is_none_or(|found| found == record(number as i64, None)));
                }
                Err(_) => errors += 1,
            }
        }
    }
    assert!(errors > 20, "only {errors} errors");
    for length in [1, 50, 99, 4096, sound.len() / 2] {
        let cut = folder.path().join(format!("cut{length}.sqlite"));
        fs::write(&cut, &sound[..length]).unwrap();
        let seen = MediaCache::open(&cut).and_then(|cache| cache.record(&id(3)));
        assert!(seen.is_err(), "cut after {length} bytes: {seen:?}");
    }
}

#[test]
fn damaged_entries_are_named_and_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    let cache = MediaCache::open(&path).unwrap();
    let limits = Limits::default();
    let mut keys = Vec::new();
    for number in 0..3 {
        let video = folder.path().join(format!("{number}.mp4"));
        fs::write(&video, [number as u8]).unwrap();
        let key = FileKey::of(&video).unwrap();
        cache.put_identity(&key, &id(number)).unwrap();
        keys.push(key);
        cache.put_record(&id(number), &record(1, None)).unwrap();
        cache.put_sampling(&id(number), &sampling("policy", number)).unwrap();
        let failure = failure(Reason::Corrupt, FailedDuring::Decode);
        cache.put_failure(&id(number), &limits, &failure).unwrap();
    }
    let tamper = |statement: &str, number: u64| {
        let changed = Connection::open(&path)
            .unwrap()
            .execute(statement, [id(number).as_bytes().as_slice()])
            .unwrap();
        assert_eq!(changed, 1, "{statement}");
    };
    tamper("UPDATE record SET frames = x'00ff' WHERE content_id = ?1", 0);
    tamper("UPDATE record SET rank = 2 WHERE content_id = ?1", 1);
    tamper("UPDATE sampling SET windows = x'01' WHERE content_id = ?1", 0);
    tamper("UPDATE failure SET failure = '{}' WHERE content_id = ?1", 0);
    tamper("UPDATE identity SET content_id = zeroblob(32) WHERE content_id = ?1", 2);
    let damaged = |error: CacheError| {
        assert!(error.to_string().contains("fvc cache prune"), "{error}");
        match error {
            CacheError::DamagedEntry { table, .. } => table,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(damaged(cache.record(&id(0)).unwrap_err()), "record");
    assert_eq!(damaged(cache.record(&id(1)).unwrap_err()), "record");
    assert_eq!(damaged(cache.sampling(&id(0), "policy").unwrap_err()), "sampling");
    assert_eq!(damaged(cache.failure(&id(0), &limits).unwrap_err()), "failure");
    assert_eq!(damaged(cache.identity(&keys[2]).unwrap_err()), "identity");

    // The damaged ones, and the three entries of the content id that nobody points to any more.
    assert_eq!(cache.prune().unwrap(), 5 + 3);
    assert_eq!(cache.record(&id(0)).unwrap(), None);
    assert_eq!(cache.identity(&keys[2]).unwrap(), None);
    assert_eq!(cache.sampling(&id(1), "policy").unwrap(), Some(sampling("policy", 1)));
    assert_eq!(cache.prune().unwrap(), 0);
}

#[test]
fn pruning_drops_what_belongs_to_no_file_and_clearing_drops_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    let cache = MediaCache::open(&path).unwrap();
    let limits = Limits::default();
    let mut videos = Vec::new();
    for number in 0..4 {
        let video = folder.path().join(format!("{number}.mp4"));
        fs::write(&video, vec![1; number as usize + 1]).unwrap();
        cache.put_identity(&FileKey::of(&video).unwrap(), &id(number)).unwrap();
        cache.put_record(&id(number), &record(1, Some(DecodeVerdict::Ok))).unwrap();
        cache.put_sampling(&id(number), &sampling("policy", 1)).unwrap();
        videos.push(video);
    }
    // A second path to the content of the first.
    let twin = folder.path().join("twin.mp4");
    fs::write(&twin, [1]).unwrap();
    cache.put_identity(&FileKey::of(&twin).unwrap(), &id(0)).unwrap();
    cache.put_failure(&id(7), &limits, &failure(Reason::Empty, FailedDuring::Probe)).unwrap();
    let stats = cache.stats().unwrap();
    assert_eq!((stats.identities, stats.records, stats.decoded), (5, 4, 4));
    assert_eq!((stats.samplings, stats.failures), (4, 1));
    assert!(stats.bytes > 0);

    fs::remove_file(&videos[0]).unwrap();
    fs::remove_file(&videos[1]).unwrap();
    fs::write(&videos[2], b"something else").unwrap();
    // Three identities, the records and samplings of 1 and 2, and the failure of nobody.
    assert_eq!(cache.prune().unwrap(), 3 + 2 + 2 + 1);
    assert!(cache.record(&id(0)).unwrap().is_some(), "its twin is still there");
    assert_eq!(cache.record(&id(1)).unwrap(), None);
    assert!(cache.record(&id(3)).unwrap().is_some());

    cache.clear().unwrap();
    let stats = cache.stats().unwrap();
    let counts = [stats.identities, stats.records, stats.samplings, stats.failures];
    assert_eq!(counts, [0; 4]);
}

const WORKER: &str = "FVC_TEST_CACHE_WORKER";

fn worker(path: &Path, first: u64, count: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cache::a_process_of_its_own", "--ignored", "--nocapture"])
        .env(WORKER, format!("{first} {count} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What [`worker`] runs: puts `count` entries in and says so after each.
#[test]
#[ignore = "a part of the tests below, which start it"]
fn a_process_of_its_own() {
    let task = std::env::var(WORKER).expect("started by another test");
    let mut parts = task.splitn(3, ' ');
    let first: u64 = parts.next().unwrap().parse().unwrap();
    let count: u64 = parts.next().unwrap().parse().unwrap();
    let cache = MediaCache::open(&PathBuf::from(parts.next().unwrap())).unwrap();
    for number in first..first + count {
        cache.put_record(&id(number), &record(number as i64, Some(DecodeVerdict::Ok))).unwrap();
        println!("\nput {number}");
        // Everybody's entry: all are as good.
        cache.put_sampling(&id(0), &sampling("shared", number)).unwrap();
    }
}

#[test]
fn many_processes_and_threads_fill_one_new_cache_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    let (processes, threads, each) = (6, 4, 40);
    let mut children: Vec<Child> =
        (0..processes).map(|at| worker(&path, 1000 * (at + 1), each)).collect();
    // No file is there yet: all of them make it at once.
    let cache = MediaCache::open(&path).unwrap();
    thread::scope(|scope| {
        for at in 0..threads {
            let cache = &cache;
            scope.spawn(move || {
                for number in 100_000 + 1000 * at..100_000 + 1000 * at + each {
                    let record = record(number as i64, None);
                    cache.put_record(&id(number), &record).unwrap();
                    assert_eq!(cache.record(&id(number)).unwrap(), Some(record));
                }
            });
        }
    });
    for child in &mut children {
        // What it says is little: it fits the pipe.
        assert!(child.wait().unwrap().success());
    }
    for at in 0..processes {
        for number in 1000 * (at + 1)..1000 * (at + 1) + each {
            let expected = record(number as i64, Some(DecodeVerdict::Ok));
            assert_eq!(cache.record(&id(number)).unwrap(), Some(expected));
        }
    }
    let stats = cache.stats().unwrap();
    assert_eq!((stats.records, stats.samplings), (processes * each + threads * each, 1));
    let shared = cache.sampling(&id(0), "shared").unwrap().unwrap();
    assert!(shared.windows[0][0] >= 1000);
}

#[test]
fn kill_9_in_the_middle_of_writing_loses_nothing_that_was_put() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media.sqlite");
    let mut put = 0;
    for (round, lines) in [1_usize, 2, 7, 30, 100, 301].into_iter().enumerate() {
        let first = 1_000_000 * (round as u64 + 1);
        let mut child = worker(&path, first, 1_000_000);
        let mut last = None;
        let output = BufReader::new(child.stdout.take().unwrap());
        for line in output.lines() {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("put ") {
                last = Some(number.parse::<u64>().unwrap());
                if number.parse::<u64>().unwrap() == first + lines as u64 {
                    // SIGKILL: no handler, no destructor.
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        // It went on writing until the signal came: all that it said is there.
        let last = last.unwrap();
        put += last - first + 1;
        let cache = MediaCache::open(&path).unwrap();
        for number in first..=last {
            let expected = record(number as i64, Some(DecodeVerdict::Ok));
            assert_eq!(cache.record(&id(number)).unwrap(), Some(expected), "round {round}");
        }
        let records = cache.stats().unwrap().records;
        // Of each round the one entry that was put and not yet said may be there as well.
        assert!((put..=put + round as u64 + 1).contains(&records), "{records} of {put}");
        let check: String = Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
    }
}
