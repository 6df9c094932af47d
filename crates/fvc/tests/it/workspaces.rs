//! What stands in a workspace, to compare two of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::footage::run;

/// Runs a command in a workspace and gives its exit code, standard output and standard error.
pub(crate) fn run_in(workspace: &Path, arguments: &[&str]) -> (i32, String, String) {
    run(&[&["--workspace", workspace.to_str().unwrap()], arguments].concat())
}

/// Every file below a folder, by name.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A manifest without its time, and without what a warm cache saves of looks.
pub(crate) fn manifest(path: &Path) -> Value {
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("started_unix_seconds").unwrap();
    manifest["decodes"].as_object_mut().unwrap().remove("probes").unwrap();
    manifest
}

/// Every artefact of a workspace that one run over a corpus leaves, by its path there: not the
/// databases, locks, shares, splits and runs, and not the records that say how it came to be.
pub(crate) fn bytes_of(workspace: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in files_below(workspace) {
        let name = path.strip_prefix(workspace).unwrap().to_str().unwrap().to_owned();
        let kept = ["index/", "units/", "clips/", "variants/", "features/", "stages/"];
        if !kept.iter().any(|kept| name.starts_with(kept))
            || name.contains("/shard-")
            || name.starts_with("stages/index/")
            || name.starts_with("stages/verify/")
            || name.ends_with("record.json")
            || name.ends_with("gathered.json")
        {
            continue;
        }
        let bytes = if name.ends_with("manifest.json") {
            manifest(&path).to_string().into_bytes()
        } else {
            std::fs::read(&path).unwrap()
        };
        all.insert(name, bytes);
    }
    all
}

/// Without what says how a source came to be computed: in one pass or in
/// several.
pub(crate) fn without_passes(mut all: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    for (_, bytes) in all.iter_mut().filter(|(name, _)| name.starts_with("units/")) {
        let mut file: Value = serde_json::from_slice(bytes).unwrap();
        file["unit"].as_object_mut().unwrap().remove("passes").unwrap();
        *bytes = file["unit"].to_string().into_bytes();
    }
    all
}
