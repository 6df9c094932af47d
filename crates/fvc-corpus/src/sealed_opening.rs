//! [`SealedOpening`]: the receipt without which no sealed test opens.

/// A recorded opening of a split's sealed part. Only the ledger makes one, after the record is on
/// disk.
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

    /// Which opening of this split it is, from 1, over all runs of the workspace.
    pub fn number(&self) -> u64 {
        self.number
    }
}
