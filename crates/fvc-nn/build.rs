//! Tells tests where libxgboost.so is. This crate never calls it; but a build of the whole workspace has one
//! fvc-learn for all, with all of its features, and what is linked into a test is then loaded with it.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FVC_XGBOOST_LIB_DIR");
    println!("cargo::rerun-if-env-changed=CARGO_MANIFEST_DIR");
    let folder = env::var_os("FVC_XGBOOST_LIB_DIR").map_or_else(
        // Of this run, not of this script's build: checkouts may share a target folder.
        || {
            let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
            PathBuf::from(package).join("../../.deps/xgboost/lib")
        },
        PathBuf::from,
    );
    println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{}", folder.display());
    println!("cargo::rustc-link-arg-benches=-Wl,-rpath,{}", folder.display());
}
