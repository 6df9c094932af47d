//! Integration tests of fvc-corpus through its public face.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod declared_groups;
mod fake_video_corpus;
mod feature_tables;
mod labels;
mod ledger;
mod near_duplicates;
mod newcomers;
mod records;
mod split;
mod split_import;
mod support;
mod tables;
