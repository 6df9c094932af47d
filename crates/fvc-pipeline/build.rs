//! Lets the tests of this crate find libxgboost.so where `make setup` put it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=FVC_XGBOOST_LIB_DIR");
    let folder = std::env::var("FVC_XGBOOST_LIB_DIR").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../.deps/xgboost/lib").to_owned()
    });
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
}
