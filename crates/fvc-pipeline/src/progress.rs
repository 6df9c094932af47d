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

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, _units: u64) {}
    fn end(&self) {}
    fn note(&self, _text: &str) {}
}
