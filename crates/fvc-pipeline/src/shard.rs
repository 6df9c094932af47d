//! [`Shard`]: one of N shares of the work, for N processes or machines.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use fvc_media::ContentId;
use serde::{Deserialize, Serialize};

/// The most shares that work is dealt to.
const MAX_SHARDS: u32 = 100_000;

/// Share I of N. What belongs to it depends on N and on what is dealt, and on nothing that exists
/// already: a source belongs to share `1 + h mod N`, where `h` is the first 8 bytes of its content id,
/// and a file that has no content id yet likewise by the BLAKE3 of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    count: u32,
    number: u32,
}

/// A text that names no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Shard: expected I/N with I from 1 to N and N to {MAX_SHARDS}, such as 3/8, found {found:?}"
)]
pub struct ShardError {
    /// The text.
    pub found: String,
}

impl Shard {
    /// All of it, as the one share of one.
    pub const WHOLE: Self = Self { count: 1, number: 1 };

    /// From 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many shares there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Every share of as many.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |number| Self { number, ..self })
    }

    /// Whether a source belongs to it.
    pub fn has_source(self, content_id: &ContentId) -> bool {
        self.has(content_id.as_bytes())
    }

    /// Whether a file that has no content id yet belongs to it.
    pub fn has_path(self, path: &Path) -> bool {
        self.has(blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes())
    }

    fn has(self, hash: &[u8; 32]) -> bool {
        let place = hash[..8].iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        place % u64::from(self.count) == u64::from(self.number - 1)
    }

    /// The folder of its records within those of a command.
    pub(crate) fn folder(self) -> String {
        format!("shard-{}-of-{}", self.number, self.count)
    }

    /// The share whose folder has this name.
    pub(crate) fn of_folder(name: &str) -> Option<Self> {
        let (number, count) = name.strip_prefix("shard-")?.split_once("-of-")?;
        let shard: Self = format!("{number}/{count}").parse().ok()?;
        (shard.folder() == name).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ShardError { found: text.to_owned() };
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let number_of = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let (number, count) = (number_of(number)?, number_of(count)?);
        if !(1..=MAX_SHARDS).contains(&count) || !(1..=count).contains(&number) {
            return Err(wrong());
        }
        Ok(Self { count, number })
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}
