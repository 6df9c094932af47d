//! What people read: tables on standard output, errors on standard error.

use std::io::{self, Write};

use std::fmt::Write as _;

use fvc_corpus::{Failure, Manifest};
use serde::Serialize;

/// Writes to standard output. A reader that has gone away (`fvc … | head`) is no error of ours.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes one JSON value on one line.
pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Text that does nothing to a terminal: names of files may hold any control character.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let kept = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

/// A table with aligned columns; numbers to the right.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these heads; a head that ends in `>` has its column aligned to the right.
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self {
            right: heads.iter().map(|head| head.ends_with('>')).collect(),
            rows: vec![heads.iter().map(|head| head.trim_end_matches('>').to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.right.len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut lines = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(
                    |((cell, &width), &right)| {
                        if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            lines.push(cells.join("  ").trim_end().to_owned());
        }
        lines.join("\n")
    }
}

/// Failures by reason, with the first few paths of each.
pub(crate) fn failures(failures: &[Failure], table: &std::path::Path) -> String {
    if failures.is_empty() {
        return "No failures.".to_owned();
    }
    let mut by_reason: std::collections::BTreeMap<&str, Vec<&Failure>> =
        std::collections::BTreeMap::new();
    for failure in failures {
        by_reason.entry(&failure.reason).or_default().push(failure);
    }
    let mut lines = vec![format!("{} failed ({}):", failures.len(), table.display())];
    for (reason, rows) in by_reason {
        lines.push(format!("  {reason}: {}", rows.len()));
        for failure in rows.iter().take(3) {
            lines.push(plain(&format!(
                "    {}: expected {}, found {}",
                failure.path.display(),
                failure.expected,
                failure.found
            )));
        }
        if rows.len() > 3 {
            lines.push(format!("    … and {} more", rows.len() - 3));
        }
    }
    lines.join("\n")
}

/// The decodes of a command, and why.
pub(crate) fn decodes(manifest: &Manifest) -> String {
    let decodes = manifest.decode_counts();
    let mut text =
        format!("Decodes: {} of sources, {} of our own encodes", decodes.sources, decodes.own);
    for (reason, count) in &decodes.reasons {
        let _ = write!(text, "\n  {count} for: {reason}");
    }
    text
}

/// An interval as `0.71 [0.55, 0.84]`.
pub(crate) fn interval(value: Option<f64>, bounds: Option<(f64, f64)>) -> String {
    match (value, bounds) {
        (None, _) => "undefined".to_owned(),
        (Some(value), None) => thousandths(value),
        (Some(value), Some((low, high))) => {
            format!("{} [{}, {}]", thousandths(value), thousandths(low), thousandths(high))
        }
    }
}

/// A number to three places; what rounds to nothing has no sign.
fn thousandths(value: f64) -> String {
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(super::plain("a\u{1b}[31m\nb ü…"), "a\\u{1b}[31m\\nb ü…");
    }

    /// Gains of nothing were shown as losses of nothing.
    #[test]
    fn nothing_has_no_sign() {
        assert_eq!(interval(Some(-1e-9), Some((-0.0, 0.0))), "0.000 [0.000, 0.000]");
        assert_eq!(interval(Some(-0.000_51), None), "-0.001");
    }
}
