//! [`Label`]: what a source is said to be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a source is said to be. The positive class of every metric is [`Label::Fake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Authentic; 0 in tables.
    Real,
    /// Manipulated, synthetic or presented falsely; 1 in tables.
    Fake,
}

/// A text that is no label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown label (expected real or fake, or a usual spelling of them): {found:?}")]
pub struct LabelError {
    /// What was found instead.
    pub found: String,
}

impl Label {
    /// Both labels, negative class first.
    pub const ALL: [Self; 2] = [Self::Real, Self::Fake];

    /// 0 for real, 1 for fake.
    pub const fn index(self) -> usize {
        match self {
            Self::Real => 0,
            Self::Fake => 1,
        }
    }

    /// 0.0 for real, 1.0 for fake.
    pub const fn target(self) -> f64 {
        match self {
            Self::Real => 0.0,
            Self::Fake => 1.0,
        }
    }

    /// `real` or `fake`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Fake => "fake",
        }
    }
}

impl Label {
    /// The label that a word spells; see [`Label::from_str`].
    pub(crate) fn from_word(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "real" | "authentic" | "genuine" | "original" | "pristine" => Some(Self::Real),
            "fake" | "manipulated" | "tampered" | "forged" | "synthetic" | "generated"
            | "deepfake" => Some(Self::Fake),
            _ => None,
        }
    }

    /// The label that a number or truth value spells; see [`Label::from_str`].
    pub(crate) fn from_number(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "0" | "0.0" | "false" => Some(Self::Real),
            "1" | "1.0" | "true" => Some(Self::Fake),
            _ => None,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Label {
    type Err = LabelError;

    /// Reads the usual spellings, whatever their case: real, authentic, genuine, original,
    /// pristine, true-negative spellings `0` and `false`; fake, manipulated, tampered, forged,
    /// synthetic, generated, deepfake, `1` and `true`. Uncertain, debunked and parody are no labels.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_word(text)
            .or_else(|| Self::from_number(text))
            .ok_or_else(|| LabelError { found: text.chars().take(80).collect() })
    }
}
