//! Finds libxgboost.so for the feature `xgboost` and says what to do when it is not there.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FVC_XGBOOST_LIB_DIR");
    if env::var_os("CARGO_FEATURE_XGBOOST").is_none() {
        return;
    }
    let folder = library_folder();
    let library = folder.join("libxgboost.so");
    println!("cargo::rerun-if-changed={}", library.display());
    if !library.is_file() {
        println!(
            "cargo::error={} is not there. `make setup` fetches it; or set FVC_XGBOOST_LIB_DIR to \
             the folder of a libxgboost.so 3.2; or build without the cargo feature `xgboost`.",
            library.display()
        );
        return;
    }
    println!("cargo::rustc-link-search=native={}", folder.display());
    // For the tests and examples of this crate. Link arguments do not reach the crates that
    // depend on this one: a binary sets its own (see the crate's documentation).
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

/// `FVC_XGBOOST_LIB_DIR`, else `.deps/xgboost/lib` in the workspace.
fn library_folder() -> PathBuf {
    if let Some(folder) = env::var_os("FVC_XGBOOST_LIB_DIR") {
        return PathBuf::from(folder);
    }
    let own = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let folder = own.join("../../.deps/xgboost/lib");
    folder.canonicalize().unwrap_or(folder)
}
