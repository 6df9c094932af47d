//! The exit codes of `fvc`.

use fvc_learn::LearnError;
use fvc_pipeline::PipelineError;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every input gave a result, or is known to what it was to be judged by.
    All,
    /// Some inputs failed; the failure table names them.
    Partial,
    /// What was checked is not whole.
    NotWhole,
}

/// 0: every input gave a result; for `predict`, or is known to training.
pub(crate) const ALL: u8 = 0;
/// 1: the command failed, no input at all could be used, or what it checked is not whole.
pub(crate) const FAILED: u8 = 1;
/// 2: the arguments or the configuration are wrong (clap's own code for the former), or what was to be
/// checked could not be.
pub(crate) const USAGE: u8 = 2;
/// 3: finished, with some inputs failed.
pub(crate) const PARTIAL: u8 = 3;
/// 130: stopped by Ctrl-C or SIGTERM, as shells expect.
pub(crate) const INTERRUPTED: u8 = 130;

/// The code for how a command ended.
pub(crate) fn of(ending: Ending, zero_on_partial: bool) -> u8 {
    match ending {
        Ending::All => ALL,
        Ending::Partial if zero_on_partial => ALL,
        Ending::Partial => PARTIAL,
        Ending::NotWhole => FAILED,
    }
}

/// The code for why a command failed.
pub(crate) fn of_error(error: &PipelineError) -> u8 {
    match error {
        PipelineError::Config { .. }
        | PipelineError::Shards { .. }
        | PipelineError::Learn(LearnError::Network { by_settings: true, .. }) => USAGE,
        PipelineError::Cancelled | PipelineError::Learn(LearnError::Cancelled) => INTERRUPTED,
        _ => FAILED,
    }
}
