//! Tells the binary where libxgboost.so is at run time.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FVC_XGBOOST_LIB_DIR");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    // DT_RPATH and not DT_RUNPATH: it also holds for the libraries that FFmpeg's libraries need,
    // which `make dist` puts beside them.
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags");
    // As installed: <prefix>/bin/fvc and <prefix>/lib/fvc.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/fvc/xgboost/lib");
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/fvc");
    // As built: the folder that fvc-learn linked to. tools/install takes this one out.
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", xgboost_folder().display());
}

/// `FVC_XGBOOST_LIB_DIR`, else where `make setup` puts the library.
fn xgboost_folder() -> PathBuf {
    env::var_os("FVC_XGBOOST_LIB_DIR").map_or_else(
        // Of this run, not of this script's build: checkouts may share a target folder.
        || {
            let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
            PathBuf::from(package).join("../../.deps/xgboost/lib")
        },
        PathBuf::from,
    )
}
