//! [`SealedOpening`]: the receipt without which no sealed test opens.

/// A recorded opening of a split's sealed part. Only the ledger makes one, after the record is on
/// disk:
///
/// ```
/// # use fvc_corpus::{CorpusError, Ledger, SealedOpening, Split};
/// fn open(ledger: &Ledger, split: &Split) -> Result<SealedOpening, CorpusError> {
///     ledger.record_opening(split, "run", "purpose")
/// }
/// ```
///
/// ```compile_fail,E0624
/// # use fvc_corpus::{CorpusError, Ledger, SealedOpening};
/// fn open(ledger: &Ledger, split_hash: &str) -> Result<SealedOpening, CorpusError> {
///     Ok(SealedOpening::new(split_hash.to_owned(), 1))
/// }
/// ```
///
/// ```compile_fail,E0451
/// # use fvc_corpus::{CorpusError, Ledger, SealedOpening};
/// fn open(ledger: &Ledger, split_hash: &str) -> Result<SealedOpening, CorpusError> {
///     Ok(SealedOpening { split_hash: split_hash.to_owned(), number: 1 })
/// }
/// ```
///
/// Without it no view of the sealed part is handed out:
///
/// ```
/// # use fvc_corpus::{EvalView, Examples, SealedOpening, Split, SplitError};
/// fn sealed<'a>(
///     split: &Split,
///     opening: &SealedOpening,
///     all: &'a Examples,
/// ) -> Result<EvalView<'a>, SplitError> {
///     split.open_sealed(opening, all)
/// }
/// ```
///
/// ```compile_fail,E0061
/// # use fvc_corpus::{EvalView, Examples, SealedOpening, Split, SplitError};
/// fn sealed<'a>(
///     split: &Split,
///     opening: &SealedOpening,
///     all: &'a Examples,
/// ) -> Result<EvalView<'a>, SplitError> {
///     split.open_sealed(all)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedOpening {
    split_hash: String,
    number: u64,
}

impl SealedOpening {
    /// The receipt of opening `number` (from 1) of the split with this hash.
    pub(crate) fn new(split_hash: String, number: u64) -> Self {
        Self { split_hash, number }
    }

    /// The split that was opened.
    pub fn split_hash(&self) -> &str {
        &self.split_hash
    }

    /// Which opening of these sealed sources it is, from 1, over all runs of the workspace and over all
    /// splits that seal one of them.
    pub fn number(&self) -> u64 {
        self.number
    }
}
