//! [`LabelPolicy`]: what words that are neither real nor fake count as.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Label;

/// What the labels of the Fake Video Corpus other than real and fake count as, and what becomes of a
/// video with two labels. By default all of these are excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelPolicy {
    /// Videos whose claim could not be settled.
    pub uncertain: LabelUse,
    /// Videos that show a fake in order to refute it.
    pub debunked: LabelUse,
    /// Videos made of a fake or real one in jest.
    pub parody: LabelUse,
    /// Videos to which different rows give different labels.
    pub conflict: ConflictRule,
}

/// What one word counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelUse {
    /// No label: its rows are failures of the reason `excluded_` and the word.
    #[default]
    Exclude,
    /// Real.
    Real,
    /// Fake.
    Fake,
}

/// What becomes of a video to which different rows give different labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictRule {
    /// It is excluded, also where one of its rows says real or fake and another an excluded word.
    #[default]
    Exclude,
    /// Rows of excluded words are passed over; a video that is real and fake is excluded.
    Usable,
    /// As usable, and a video that is real and fake is real.
    Real,
    /// As usable, and a video that is real and fake is fake.
    Fake,
}

/// One setting of a [`LabelPolicy`], written `parody=fake`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelRule {
    /// [`LabelPolicy::uncertain`].
    Uncertain(LabelUse),
    /// [`LabelPolicy::debunked`].
    Debunked(LabelUse),
    /// [`LabelPolicy::parody`].
    Parody(LabelUse),
    /// [`LabelPolicy::conflict`].
    Conflict(ConflictRule),
}

/// A text that is no [`LabelRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unknown label rule (expected uncertain, debunked or parody = exclude, real or fake; or \
     conflict = exclude, usable, real or fake): {found:?}"
)]
pub struct LabelRuleError {
    /// What was found instead.
    pub found: String,
}

impl LabelUse {
    /// The label, where there is one.
    pub const fn label(self) -> Option<Label> {
        match self {
            Self::Exclude => None,
            Self::Real => Some(Label::Real),
            Self::Fake => Some(Label::Fake),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Real => "real",
            Self::Fake => "fake",
        }
    }
}

impl ConflictRule {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Usable => "usable",
            Self::Real => "real",
            Self::Fake => "fake",
        }
    }
}

impl LabelPolicy {
    /// The policy with one setting changed.
    #[must_use]
    pub const fn with(mut self, rule: LabelRule) -> Self {
        match rule {
            LabelRule::Uncertain(counts_as) => self.uncertain = counts_as,
            LabelRule::Debunked(counts_as) => self.debunked = counts_as,
            LabelRule::Parody(counts_as) => self.parody = counts_as,
            LabelRule::Conflict(rule) => self.conflict = rule,
        }
        self
    }
}

impl fmt::Display for LabelPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uncertain, debunked, parody, conflict } = self;
        write!(
            formatter,
            "uncertain={},debunked={},parody={},conflict={}",
            uncertain.as_str(),
            debunked.as_str(),
            parody.as_str(),
            conflict.as_str()
        )
    }
}

impl FromStr for LabelRule {
    type Err = LabelRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || LabelRuleError { found: text.chars().take(80).collect() };
        let (word, value) = text.split_once('=').ok_or_else(unknown)?;
        let (word, value) = (word.trim(), value.trim());
        let counts_as = [LabelUse::Exclude, LabelUse::Real, LabelUse::Fake]
            .into_iter()
            .find(|counts_as| counts_as.as_str() == value);
        let rule =
            [ConflictRule::Exclude, ConflictRule::Usable, ConflictRule::Real, ConflictRule::Fake]
                .into_iter()
                .find(|rule| rule.as_str() == value);
        match word {
            "uncertain" => counts_as.map(Self::Uncertain),
            "debunked" => counts_as.map(Self::Debunked),
            "parody" => counts_as.map(Self::Parody),
            "conflict" => rule.map(Self::Conflict),
            _ => None,
        }
        .ok_or_else(unknown)
    }
}
