//! The real binary on real encoded video, made by FFmpeg's own sources.

// Helpers outside of `#[test]` functions are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod commands;
mod decoder;
mod devices;
mod disks;
mod fake_video_corpus;
mod footage;
mod main_job;
mod memory;
mod model_types;
mod near_duplicates;
mod network_faults;
mod network_reports;
mod networks;
mod portable_jobs;
mod processes;
mod refusals;
mod resume;
mod scaled_files;
mod scaled_sizes;
mod scaler_of_models;
mod shards;
mod slurm;
mod variant_facts;
mod verify;
mod workspaces;
