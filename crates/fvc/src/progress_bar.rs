//! Progress on a terminal: how many, how fast, how long still.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fvc_pipeline::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A bar on a terminal, a line every ten seconds in a log file. On standard error, so that the
/// result alone is on standard output.
pub(crate) struct Bars {
    terminal: bool,
    current: Mutex<Option<Current>>,
}

struct Current {
    bar: ProgressBar,
    what: String,
    total: u64,
    done: u64,
    begun: Instant,
    last_line: Instant,
}

impl Bars {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), current: Mutex::new(None) }
    }
}

#[allow(clippy::print_stderr)] // progress belongs on standard error, and only here
fn line(text: &str) {
    eprintln!("{text}");
}

impl Progress for Bars {
    fn begin(&self, what: &str, total: u64) {
        let bar = if self.terminal {
            let bar = ProgressBar::new(total);
            // The template is ours and correct; were it not, the default look is no loss.
            if let Ok(style) = ProgressStyle::with_template(
                "{msg:<22} {wide_bar} {pos}/{len}  {per_sec}  {eta} left",
            ) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        } else {
            ProgressBar::hidden()
        };
        if let Ok(mut current) = self.current.lock() {
            let now = Instant::now();
            *current = Some(Current {
                bar,
                what: what.to_owned(),
                total,
                done: 0,
                begun: now,
                last_line: now,
            });
        }
    }

    fn advance(&self, units: u64) {
        let Ok(mut current) = self.current.lock() else { return };
        let Some(current) = current.as_mut() else { return };
        current.done += units;
        current.bar.inc(units);
        if !self.terminal && current.last_line.elapsed() >= LINE_EVERY {
            current.last_line = Instant::now();
            let seconds = current.begun.elapsed().as_secs_f64();
            let rate = current.done as f64 / seconds;
            let left = current.total.saturating_sub(current.done) as f64 / rate;
            line(&format!(
                "{}: {}/{}, {rate:.2} a second, {left:.0} s left",
                current.what, current.done, current.total
            ));
        }
    }

    fn end(&self) {
        if let Ok(mut current) = self.current.lock()
            && let Some(current) = current.take()
        {
            current.bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        match self.current.lock() {
            Ok(current) if self.terminal => match current.as_ref() {
                Some(current) => current.bar.suspend(|| line(text)),
                None => line(text),
            },
            _ => line(text),
        }
    }
}
