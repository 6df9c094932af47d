//! [`Scaler`]: what brings pictures to a named size, and the registry of them.
//!
//! To add one: a file that holds its [`Scaler`] and one line of the registry below. The configuration's
//! `scale.scaler`, `--scaler`, the names of all outputs and the recipe of every model follow from its
//! name and version.

use std::fmt;
use std::str::FromStr;

use fvc_media::Frame;
use serde::{Deserialize, Serialize};

use crate::scale::AreaCubic;
use crate::{ClipStoreError, SizeSpec};

/// Brings pictures to a named size.
///
/// The same picture must give the same bits on every machine that a model is used on: what its name and
/// version stand for stands in the names of outputs and in the recipe of models.
pub trait Scaler: Send + Sync {
    /// Its name: lower-case letters, digits and underscores.
    fn name(&self) -> &'static str;

    /// What it does, in a few words for the list of scalers.
    fn about(&self) -> &'static str;

    /// Its version, letters, digits and dots: another one whenever any picture comes out with other bits.
    /// What is learned is part of it: a scaler with weights adds the first 16 hexadecimal digits of
    /// their BLAKE3.
    fn version(&self) -> String;

    /// The picture in the width and height of [`SizeSpec::picture`], without any bars, its index and
    /// time kept.
    ///
    /// # Errors
    /// The picture cannot be scaled. There is no second way: a picture is scaled by this scaler or
    /// not at all.
    fn scale(&self, frame: &Frame, size: SizeSpec) -> Result<Frame, ClipStoreError>;
}

/// The registry: the first is used where none is named.
static SCALERS: [&dyn Scaler; 1] = [&AreaCubic];

/// A scaler of the registry, written by its name.
#[derive(Clone, Copy)]
pub struct RegisteredScaler(&'static dyn Scaler);

impl RegisteredScaler {
    /// All scalers, in the order of the registry.
    pub fn all() -> impl Iterator<Item = Self> {
        SCALERS.iter().map(|scaler| Self(*scaler))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What it does, in a few words.
    pub fn about(self) -> &'static str {
        self.0.about()
    }

    /// Name and version, as they stand in the names of outputs and in recipes: `area_cubic-v2`.
    pub fn tag(self) -> String {
        format!("{}-v{}", self.0.name(), self.0.version())
    }

    /// Scales a picture, and checks that it came out as [`Scaler::scale`] promises.
    ///
    /// # Errors
    /// The picture cannot be scaled, or came out in another size.
    pub fn scale(self, frame: &Frame, size: SizeSpec) -> Result<Frame, ClipStoreError> {
        let scaled = self.0.scale(frame, size)?;
        let wanted = size.picture(frame.width(), frame.height());
        if (scaled.width(), scaled.height()) != wanted {
            return Err(ClipStoreError::Scale {
                from: format!("{}x{}", frame.width(), frame.height()),
                to: format!("{size}, {}x{}", wanted.0, wanted.1),
                found: format!("{} gave {}x{}", self.name(), scaled.width(), scaled.height()),
            });
        }
        Ok(scaled)
    }
}

impl Default for RegisteredScaler {
    fn default() -> Self {
        Self(SCALERS[0])
    }
}

impl PartialEq for RegisteredScaler {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for RegisteredScaler {}

impl fmt::Debug for RegisteredScaler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RegisteredScaler").field(&self.tag()).finish()
    }
}

impl fmt::Display for RegisteredScaler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for RegisteredScaler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all().find(|scaler| scaler.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::all().map(Self::name).collect();
            format!("expected a scaler ({}), found {text:?}", names.join(", "))
        })
    }
}

impl Serialize for RegisteredScaler {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RegisteredScaler {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
