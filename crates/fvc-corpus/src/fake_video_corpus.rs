//! [`read_fake_video_corpus`]: the tables and video folders of the Fake Video Corpus.
//!
//! `FVC.csv` holds the seeds of cascades and `FVC_dup.csv` their near-duplicates. They name videos by
//! URL and have no video in common: only the cascade ids tie them. Archives unpack to folders named
//! by video ids, with or without a folder for the platform above them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::candidate::{failure, group_name, is_sidecar, read_csv, said};
use crate::failure::columns_found;
use crate::groups::DisjointSets;
use crate::{
    Candidate, ConflictRule, CorpusError, Failure, Gathered, Label, LabelPolicy, LabelUse,
};

/// The seeds of the cascades, and their near-duplicates.
const TABLES: [&str; 2] = ["FVC.csv", "FVC_dup.csv"];
/// Where a table may be below the corpus's folder.
const PLACES: [&str; 5] = ["", "Metadata", "videos/Metadata", "archive", "videos"];

const CASCADES: [&str; 3] = ["cascade_id", "cascadeid", "group_id"];
const URLS: [&str; 3] = ["video_url", "url", "videourl"];
const LABELS: [&str; 3] = ["label", "class", "truth_label"];

/// One table of the Fake Video Corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FvcTable {
    /// Where it is.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
}

/// What the tables of the Fake Video Corpus hold, whether or not there are videos.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FvcTables {
    /// Each table with its rows, seeds first.
    pub tables: Vec<FvcTable>,
    /// Rows in all.
    pub rows: u64,
    /// Rows by platform and label: the five words of the corpus, `other` for words that are none of
    /// them, and `none`.
    pub labels_by_platform: BTreeMap<String, BTreeMap<String, u64>>,
    /// Different videos: platform and id.
    pub videos: u64,
    /// Videos that stand in both tables.
    pub videos_in_both_tables: u64,
    /// Videos that stand in several cascades.
    pub videos_in_several_cascades: u64,
    /// Videos with several labels, as they are written.
    pub videos_with_several_labels: u64,
    /// Cascades.
    pub cascades: u64,
    /// Cascades with real and fake rows.
    pub cascades_with_both_labels: u64,
    /// What is left of the cascades, and of videos in none, when those that share a video are one.
    pub groups: u64,
    /// What words other than real and fake count as.
    pub policy: LabelPolicy,
    /// Videos that are real under the policy.
    pub real: u64,
    /// Videos that are fake under the policy.
    pub fake: u64,
    /// Video files below the folder.
    pub files: u64,
}

impl FvcTables {
    /// Rows by label, as they are written.
    pub fn labels(&self) -> BTreeMap<&str, u64> {
        let mut labels = BTreeMap::new();
        for (label, rows) in self.labels_by_platform.values().flatten() {
            *labels.entry(label.as_str()).or_insert(0) += rows;
        }
        labels
    }
}

/// The corpus as read.
#[derive(Clone, Debug)]
pub struct FakeVideoCorpus {
    /// What its tables hold.
    pub tables: FvcTables,
    /// Every row, and every video file that no row names, as a candidate or a failure.
    pub gathered: Gathered,
}

/// Where a video was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Platform {
    Facebook,
    Twitter,
    YouTube,
}

impl Platform {
    const ALL: [Self; 3] = [Self::Facebook, Self::Twitter, Self::YouTube];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Facebook => "facebook",
            Self::Twitter => "twitter",
            Self::YouTube => "youtube",
        }
    }

    /// The platform that a folder is named by.
    fn of_folder(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str().eq_ignore_ascii_case(name))
    }
}

/// A video: its platform, and its id there. Ids that differ in case are different videos.
type Video = (Platform, String);

/// The video that a URL leads to.
fn video_of(url: &str) -> Option<Video> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/')?;
    let host = host.to_ascii_lowercase();
    let site = ["www.", "m.", "web.", "mobile."]
        .iter()
        .find_map(|prefix| host.strip_prefix(prefix))
        .unwrap_or(&host);
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("v="));
    let (platform, id) = match (site, parts.as_slice()) {
        ("youtube.com", ["watch"]) => (Platform::YouTube, asked?),
        ("youtube.com", ["embed" | "shorts" | "v", id, ..]) | ("youtu.be", [id]) => {
            (Platform::YouTube, *id)
        }
        ("facebook.com", ["watch" | "video.php"]) => (Platform::Facebook, asked?),
        // The id stands last: a set of videos may stand between.
        ("facebook.com", [_, "videos", .., id]) => (Platform::Facebook, *id),
        ("twitter.com" | "x.com", [_, "status", id, ..]) => (Platform::Twitter, *id),
        _ => return None,
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_id = match platform {
        Platform::YouTube => id.len() == 11 && id.bytes().all(letter),
        Platform::Facebook | Platform::Twitter => {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
        }
    };
    is_id.then(|| (platform, id.to_owned()))
}

/// What a row says of its video under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Label(Label),
    /// A word that the policy excludes.
    Excluded(&'static str),
    Unknown(String),
    Nothing,
}

impl Said {
    /// What a word says under a policy, and the word itself as it is counted.
    fn of(word: Option<&str>, policy: LabelPolicy) -> (Self, &'static str) {
        let Some(word) = word else { return (Self::Nothing, "none") };
        let under = |counts_as: LabelUse, word| {
            (counts_as.label().map_or(Self::Excluded(word), Self::Label), word)
        };
        match word.to_ascii_lowercase().as_str() {
            "uncertain" => under(policy.uncertain, "uncertain"),
            "debunked" => under(policy.debunked, "debunked"),
            "parody" => under(policy.parody, "parody"),
            _ => match word.parse::<Label>() {
                Ok(label) => (Self::Label(label), label.as_str()),
                Err(error) => (Self::Unknown(error.found), "other"),
            },
        }
    }
}

/// One row of a table.
struct Row {
    /// Which of the tables it is of.
    table: usize,
    /// The table, and its row.
    origin: String,
    /// The cascade's name, as a group.
    cascade: Option<String>,
    url: Option<String>,
    video: Option<Video>,
    /// Its label's word; `other` for one that is not known, and `none`.
    written: &'static str,
    said: Said,
}

impl Row {
    fn refuse(&self, reason: &str, expected: String, found: String) -> Box<Failure> {
        Box::new(failure(PathBuf::from(&self.origin), reason, expected, found))
    }

    fn words(&self) -> String {
        format!("{} ({})", self.written, self.origin)
    }
}

/// What the rows of one video come to.
enum Verdict {
    /// Rows with this label hold.
    Holds(Label),
    /// Rows contradict each other.
    Conflict,
    /// No row has a label.
    None,
}

fn verdict(said: &[&Said], rule: ConflictRule) -> Verdict {
    let has = |label: Label| said.contains(&&Said::Label(label));
    let excluded = said.iter().any(|said| matches!(said, Said::Excluded(_)));
    match (has(Label::Real), has(Label::Fake), rule) {
        (false, false, _) => Verdict::None,
        (true, true, ConflictRule::Exclude | ConflictRule::Usable) => Verdict::Conflict,
        (_, _, ConflictRule::Exclude) if excluded => Verdict::Conflict,
        (true, false, _) | (true, true, ConflictRule::Real) => Verdict::Holds(Label::Real),
        (false, true, _) | (true, true, ConflictRule::Fake) => Verdict::Holds(Label::Fake),
    }
}

/// Reads the Fake Video Corpus below a folder: `FVC.csv` and `FVC_dup.csv`, in the folder itself or
/// in its `Metadata/`, `videos/Metadata/`, `archive/` or `videos/`, and the unpacked archives,
/// wherever they are below it.
///
/// A video's file is `<id>/video.<any extension>`, as the archives have it, or `<id>.<any extension>`,
/// where the id is spelled exactly as in the URL. A folder of the platform's name directly above it
/// counts: the file is of no other platform.
///
/// Every row is an input, and so is every `<id>/video.*` that no row names. The first row of a video
/// that has one label and one file is a candidate; all else are failures: `missing_url`,
/// `unknown_url`, `missing_label`, `unknown_label`, `excluded_uncertain`, `excluded_debunked`,
/// `excluded_parody`, `video_label_conflict`, `duplicate_row`, `no_video_file`,
/// `several_video_files`, `not_in_tables`.
///
/// Cascades are declared groups. Cascades that share a video are one, also where that video itself
/// cannot be used.
///
/// # Errors
/// A folder or table cannot be read, or is not there, or a table lacks one of its columns.
pub fn read_fake_video_corpus(
    folder: &Path,
    policy: LabelPolicy,
) -> Result<FakeVideoCorpus, CorpusError> {
    fs::read_dir(folder).map_err(|source| CorpusError::Io { path: folder.to_owned(), source })?;
    let mut tables = Vec::new();
    let mut rows = Vec::new();
    for (at, name) in TABLES.into_iter().enumerate() {
        let path = find_table(folder, name)?;
        let before = rows.len();
        read_rows(&path, at, policy, &mut rows)?;
        tables.push(FvcTable { path, rows: (rows.len() - before) as u64 });
    }
    let mut by_video: BTreeMap<&Video, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        if let Some(video) = &row.video {
            by_video.entry(video).or_default().push(at);
        }
    }
    let ids: HashSet<&str> = by_video.keys().map(|(_, id)| id.as_str()).collect();
    let mut walk = Walk { ids: &ids, visited: HashSet::new(), files: Files::default() };
    walk.folder(folder, &mut Vec::new())?;
    let files = walk.files;
    let cascades = Cascades::of(&rows, &by_video);

    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    outcomes.resize_with(rows.len(), || None);
    let mut usable = [0_u64; 2];
    for (video, members) in &by_video {
        let said: Vec<&Said> = members.iter().map(|&at| &rows[at].said).collect();
        let verdict = verdict(&said, policy.conflict);
        let mut first: Option<&Row> = None;
        for &at in members {
            let row = &rows[at];
            let outcome = match (&row.said, &verdict) {
                (Said::Nothing | Said::Unknown(_), _) => Err(unlabelled(row)),
                (Said::Label(_) | Said::Excluded(_), Verdict::Conflict) => {
                    let all: Vec<String> = members.iter().map(|&at| rows[at].words()).collect();
                    let expected = format!("one label for {}", named(video));
                    Err(row.refuse("video_label_conflict", expected, all.join(", ")))
                }
                (Said::Excluded(word), _) => Err(row.refuse(
                    &format!("excluded_{word}"),
                    format!("a label for {} that the policy counts as real or fake", named(video)),
                    (*word).to_owned(),
                )),
                (Said::Label(label), Verdict::Holds(holds)) if label != holds => Err(row.refuse(
                    "video_label_conflict",
                    format!("{holds}, which wins for {}", named(video)),
                    row.words(),
                )),
                (Said::Label(label), _) => {
                    if let Some(first) = first {
                        let expected = format!("{} once", named(video));
                        Err(row.refuse("duplicate_row", expected, first.origin.clone()))
                    } else {
                        first = Some(row);
                        usable[label.index()] += 1;
                        files.only(video, row).map(|file| Candidate {
                            path: file.path.clone(),
                            label: *label,
                            groups: cascades.declared(members.iter().map(|&at| &rows[at])),
                            platform: Some(video.0.as_str().to_owned()),
                            subset: file.subset.clone(),
                            manipulation: None,
                            generator: None,
                            origin: row.origin.clone(),
                        })
                    }
                }
            };
            outcomes[at] = Some(outcome);
        }
    }

    let mut gathered = Gathered::default();
    for (row, outcome) in rows.iter().zip(outcomes) {
        match outcome {
            Some(Ok(candidate)) => gathered.candidates.push(candidate),
            Some(Err(failure)) => gathered.failures.push(*failure),
            None => gathered.failures.push(*without_video(row)),
        }
    }
    for (id, file) in files.all() {
        let known = |platform| by_video.contains_key(&(platform, id.to_owned()));
        if !Platform::ALL.into_iter().any(|platform| file.may_be_of(platform) && known(platform)) {
            let expected = format!("a video that {} names", TABLES.join(" or "));
            let platform = file.platform.map_or("no platform", Platform::as_str);
            let found = format!("{id} of {platform}");
            gathered.failures.push(failure(file.path.clone(), "not_in_tables", expected, found));
        }
    }
    // The tables themselves were not left alone.
    gathered.ignored = files.ignored.saturating_sub(tables.len() as u64);
    gathered.finish();

    let mut labels_by_platform: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in &rows {
        let platform = row.video.as_ref().map_or("none", |video| video.0.as_str());
        let labels = labels_by_platform.entry(platform.to_owned()).or_default();
        *labels.entry(row.written.to_owned()).or_insert(0) += 1;
    }
    let members_of: Vec<Vec<&Row>> =
        by_video.values().map(|members| members.iter().map(|&at| &rows[at]).collect()).collect();
    let count = |holds: &dyn Fn(&[&Row]) -> bool| {
        members_of.iter().filter(|members| holds(members)).count() as u64
    };
    let tables = FvcTables {
        tables,
        rows: rows.len() as u64,
        labels_by_platform,
        videos: by_video.len() as u64,
        videos_in_both_tables: count(&|rows| several(rows.iter().map(|row| row.table))),
        videos_in_several_cascades: count(&|rows| {
            several(rows.iter().filter_map(|row| row.cascade.as_deref()))
        }),
        videos_with_several_labels: count(&|rows| several(rows.iter().map(|row| row.written))),
        cascades: cascades.first_of.len() as u64,
        cascades_with_both_labels: cascades_with_both_labels(&rows),
        groups: cascades.groups() + count(&|rows| rows.iter().all(|row| row.cascade.is_none())),
        policy,
        real: usable[0],
        fake: usable[1],
        files: files.all().count() as u64,
    };
    Ok(FakeVideoCorpus { tables, gathered })
}

/// What becomes of a row.
type Outcome = Result<Candidate, Box<Failure>>;

fn named((platform, id): &Video) -> String {
    format!("{id} of {}", platform.as_str())
}

fn several<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    values.next().is_some_and(|first| values.any(|other| other != first))
}

fn cascades_with_both_labels(rows: &[Row]) -> u64 {
    let mut labels: HashMap<&str, [bool; 2]> = HashMap::new();
    for row in rows {
        if let (Some(cascade), Ok(label)) = (&row.cascade, row.written.parse::<Label>()) {
            labels.entry(cascade).or_default()[label.index()] = true;
        }
    }
    labels.values().filter(|has| has[0] && has[1]).count() as u64
}

fn find_table(folder: &Path, name: &str) -> Result<PathBuf, CorpusError> {
    PLACES
        .into_iter()
        .map(|place| folder.join(place).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| CorpusError::Table {
            path: folder.join(name),
            expected: format!("the table {name} there or in {}", PLACES[1..].join(", ")),
            found: "none".to_owned(),
        })
}

fn read_rows(
    path: &Path,
    table: usize,
    policy: LabelPolicy,
    rows: &mut Vec<Row>,
) -> Result<(), CorpusError> {
    let texts = read_csv(path)?;
    let need = |names: &[&str]| {
        names.iter().find_map(|name| texts.heads.iter().position(|head| head == name)).ok_or_else(
            || CorpusError::Table {
                path: path.to_owned(),
                expected: format!("a column named {}", names.join(" or ")),
                found: columns_found(&texts.heads),
            },
        )
    };
    let (cascade_at, url_at, label_at) = (need(&CASCADES)?, need(&URLS)?, need(&LABELS)?);
    for (number, row) in texts.rows.iter().enumerate() {
        let cell = |at: usize| said(row.get(at).and_then(Option::as_ref));
        let url = cell(url_at);
        let (said, written) = Said::of(cell(label_at).as_deref(), policy);
        rows.push(Row {
            table,
            // The head is line 1.
            origin: format!("{} row {}", path.display(), number + 2),
            cascade: cell(cascade_at).map(|value| group_name("cascade_id", &value)),
            video: url.as_deref().and_then(video_of),
            url,
            written,
            said,
        });
    }
    Ok(())
}

/// Why a row whose URL leads to no video cannot be used.
fn without_video(row: &Row) -> Box<Failure> {
    match &row.url {
        None => row.refuse("missing_url", "the URL of a video".to_owned(), "none".to_owned()),
        Some(url) => row.refuse(
            "unknown_url",
            "the URL of a video on YouTube, Facebook or Twitter".to_owned(),
            url.chars().take(200).collect(),
        ),
    }
}

/// Why a row without a label that is known cannot be used.
fn unlabelled(row: &Row) -> Box<Failure> {
    let expected = "real, fake, uncertain, debunked or parody".to_owned();
    match &row.said {
        Said::Unknown(found) => row.refuse("unknown_label", expected, found.clone()),
        _ => row.refuse("missing_label", expected, "none".to_owned()),
    }
}

/// Which cascades are one, because they share a video.
struct Cascades<'a> {
    /// Every cascade, and the first by name of those that are one with it.
    first_of: BTreeMap<&'a str, &'a str>,
    /// How many cascades are one with the first.
    sizes: HashMap<&'a str, u64>,
}

impl<'a> Cascades<'a> {
    fn of(rows: &'a [Row], by_video: &BTreeMap<&Video, Vec<usize>>) -> Self {
        let names: BTreeSet<&str> = rows.iter().filter_map(|row| row.cascade.as_deref()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let at: HashMap<&str, usize> =
            names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let mut sets = DisjointSets::new(names.len());
        for members in by_video.values() {
            let mut own =
                members.iter().filter_map(|&row| at.get(rows[row].cascade.as_deref()?).copied());
            if let Some(first) = own.next() {
                own.for_each(|other| sets.union(first, other));
            }
        }
        // In order of names: the first of each set is met first.
        let mut firsts: HashMap<usize, &str> = HashMap::new();
        let mut first_of = BTreeMap::new();
        let mut sizes = HashMap::new();
        for (at, name) in names.into_iter().enumerate() {
            let first = *firsts.entry(sets.find(at)).or_insert(name);
            first_of.insert(name, first);
            *sizes.entry(first).or_insert(0) += 1;
        }
        Self { first_of, sizes }
    }

    fn groups(&self) -> u64 {
        self.sizes.len() as u64
    }

    /// The groups that the rows of one video declare: their cascades, and where these are one with
    /// others, what all of those have in common. The video that ties them may have no file.
    fn declared<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> Vec<String> {
        let own: BTreeSet<&str> = rows.filter_map(|row| row.cascade.as_deref()).collect();
        let merged: BTreeSet<&str> = own
            .iter()
            .filter_map(|cascade| self.first_of.get(cascade).copied())
            .filter(|first| self.sizes.get(first).is_some_and(|&size| size > 1))
            .collect();
        let merged = merged.into_iter().map(|first| format!("merged_{first}"));
        own.into_iter().map(str::to_owned).chain(merged).collect()
    }
}

/// A video file.
struct VideoFile {
    path: PathBuf,
    /// The platform that the folder above it names.
    platform: Option<Platform>,
    /// The archive it was in.
    subset: Option<String>,
}

impl VideoFile {
    fn may_be_of(&self, platform: Platform) -> bool {
        self.platform.is_none_or(|own| own == platform)
    }
}

/// The video files below the folder.
#[derive(Default)]
struct Files {
    by_id: BTreeMap<String, Vec<VideoFile>>,
    /// Files that are no video's.
    ignored: u64,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = (&str, &VideoFile)> {
        self.by_id.iter().flat_map(|(id, files)| files.iter().map(move |file| (id.as_str(), file)))
    }

    /// The one file of a video that a row names.
    fn only(&self, video: &Video, row: &Row) -> Result<&VideoFile, Box<Failure>> {
        let (platform, id) = video;
        let files: Vec<&VideoFile> = self
            .by_id
            .get(id)
            .into_iter()
            .flatten()
            .filter(|file| file.may_be_of(*platform))
            .collect();
        match files.as_slice() {
            [file] => Ok(file),
            [] => {
                let expected = format!("a folder {id} with a file video.*, or a file {id}.*");
                Err(row.refuse("no_video_file", expected, "none".to_owned()))
            }
            several => {
                let paths: Vec<String> =
                    several.iter().take(5).map(|file| file.path.display().to_string()).collect();
                let found = format!("{}: {}", several.len(), paths.join(", "));
                let expected = format!("one file of {}", named(video));
                Err(row.refuse("several_video_files", expected, found))
            }
        }
    }
}

/// Looks for video files by what they and the folders above them are named. Names are compared as
/// they are listed, so that ids that differ in case stay apart on every file system.
struct Walk<'a> {
    /// Ids of the tables.
    ids: &'a HashSet<&'a str>,
    /// Folders that were read, and the name they were read under: links may name one folder by
    /// several ids, and may lead back up.
    visited: HashSet<(PathBuf, Option<String>)>,
    files: Files,
}

impl Walk<'_> {
    /// Reads one folder; `names` are those of the folders from the corpus's own down to it.
    fn folder(&mut self, folder: &Path, names: &mut Vec<String>) -> Result<(), CorpusError> {
        let io = |source| CorpusError::Io { path: folder.to_owned(), source };
        let place = fs::canonicalize(folder).map_err(io)?;
        if !self.visited.insert((place, names.last().cloned())) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                entries.push((entry.path(), name));
            }
        }
        entries.sort();
        for (path, name) in entries {
            if path.is_dir() {
                names.push(name);
                self.folder(&path, names)?;
                names.pop();
            } else {
                self.file(path, names);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, names: &[String]) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let place = match (stem, names.split_last()) {
            _ if is_sidecar(&path) => None,
            (Some(stem), Some((own, above))) if stem.eq_ignore_ascii_case("video") => {
                Some((own.clone(), above))
            }
            (Some(stem), _) if self.ids.contains(stem.as_str()) => Some((stem, names)),
            _ => None,
        };
        let Some((id, above)) = place else {
            self.files.ignored += 1;
            return;
        };
        let platform = above.last().and_then(|name| Platform::of_folder(name));
        let subset = above.iter().rev().find(|name| is_archive(name)).cloned();
        self.files.by_id.entry(id).or_default().push(VideoFile { path, platform, subset });
    }
}

/// Whether a folder is named as the archives of the corpus are: FVC1, FVC2, FVC3.
fn is_archive(name: &str) -> bool {
    name.strip_prefix("FVC").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
