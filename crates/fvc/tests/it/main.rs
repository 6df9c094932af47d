//! The real binary on real encoded video, made by FFmpeg's own sources.

mod decoder;
mod footage;
mod main_job;
mod refusals;
mod resume;
