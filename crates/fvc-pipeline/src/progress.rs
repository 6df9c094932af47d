//! [`Progress`]: how a long command says how far it is.

/// How a long command says how far it is. The binary draws bars; `--json` and tests are silent.
pub trait Progress: Sync {
    /// A part of the work begins: what it is, and of how many units.
    fn begin(&self, what: &str, total: u64);
    /// That many units more are done.
    fn advance(&self, units: u64);
    /// The part has ended.
    fn end(&self);
    /// Something that a person should read.
    fn note(&self, text: &str);
}

/// A part of the work that is shown until this is dropped: an error on the way ends it too, and nothing
/// is left on the screen of what goes on no more.
pub(crate) struct Part<'a>(&'a dyn Progress);

impl<'a> Part<'a> {
    /// Begins to show it.
    pub(crate) fn begin(progress: &'a dyn Progress, what: &str, total: u64) -> Self {
        progress.begin(what, total);
        Self(progress)
    }

    /// That many units more are done.
    pub(crate) fn advance(&self, units: u64) {
        self.0.advance(units);
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, _units: u64) {}
    fn end(&self) {}
    fn note(&self, _text: &str) {}
}
