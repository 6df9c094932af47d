//! `fvc`: arguments in, exit code out.

mod arguments;
mod commands;
mod display;
mod exit_code;
mod interrupt;
mod progress_bar;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // This program is also its own decoder child: with the child's hidden argument, nothing else
    // of it may run.
    fvc_media::child_main_if_requested();
    // And, in the same way, the process that trains a network.
    fvc_pipeline::network_child_if_requested();
    let arguments = arguments::Arguments::parse();
    commands::run(&arguments)
}
