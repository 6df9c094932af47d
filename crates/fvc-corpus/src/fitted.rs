//! [`Fitted`]: a model and what it was fitted on, which cannot be parted from it and scored.

use std::collections::BTreeSet;
use std::ops::Deref;

use fvc_media::ContentId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{GroupId, TrainView};

/// What a model was fitted on: the groups and sources of a [`TrainView`].
///
/// It can be looked at and written, and nobody can make one up:
///
/// ```
/// # use fvc_corpus::FitScope;
/// fn write(seen: &FitScope) -> serde_json::Result<String> {
///     serde_json::to_string(seen)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use fvc_corpus::FitScope;
/// fn read(text: &str) -> serde_json::Result<FitScope> {
///     serde_json::from_str(text)
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use fvc_corpus::FitScope;
/// fn none() -> FitScope {
///     FitScope::default()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FitScope {
    pub(crate) split_hash: String,
    pub(crate) groups: BTreeSet<GroupId>,
    pub(crate) content_ids: BTreeSet<ContentId>,
}

impl FitScope {
    /// The split whose training side this is, by hash.
    pub fn split_hash(&self) -> &str {
        &self.split_hash
    }

    /// Whether a source was fitted on.
    pub fn contains(&self, content_id: &ContentId) -> bool {
        self.content_ids.contains(content_id)
    }

    /// The sources that were fitted on.
    pub fn content_ids(&self) -> impl Iterator<Item = &ContentId> {
        self.content_ids.iter()
    }

    /// The groups that were fitted on.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.iter()
    }
}

/// A model with what it was fitted on. [`TrainView::fit`] makes it, and [`Fitted::from_json`] from
/// what [`Fitted::to_json`] wrote; [`crate::EvalView::score_with`] takes nothing else. Everything
/// that a score depends on belongs into it: preprocessing as well as weights.
///
/// ```
/// # use fvc_corpus::{Fitted, TrainView};
/// fn mean(to_learn_from: &TrainView<'_>) -> Result<Fitted<f64>, String> {
///     to_learn_from.fit(|view| {
///         let sum: f64 = view.rows().map(|row| row.weight * row.values[0]).sum();
///         Ok(sum / view.rows().map(|row| row.weight).sum::<f64>())
///     })
/// }
/// ```
///
/// A model and the scope of another one make none:
///
/// ```compile_fail,E0451
/// # use fvc_corpus::{FitScope, Fitted};
/// fn tie(model: f64, seen: &FitScope) -> Fitted<f64> {
///     Fitted { model, scope: seen.clone() }
/// }
/// ```
///
/// and it is not read from anything but a whole file with its hash:
///
/// ```
/// # use fvc_corpus::{Fitted, StoredError};
/// fn read(bytes: &[u8]) -> Result<Fitted<f64>, StoredError> {
///     Ok(Fitted::from_json(bytes, "mean", 1)?.0)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use fvc_corpus::Fitted;
/// fn read(bytes: &[u8]) -> serde_json::Result<Fitted<f64>> {
///     serde_json::from_slice(bytes)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<T> {
    model: T,
    scope: FitScope,
}

impl<T> Fitted<T> {
    /// What it was fitted on.
    pub fn scope(&self) -> &FitScope {
        &self.scope
    }

    /// The model alone, as a part of a larger one that is fitted on the same view. Alone it scores
    /// no view.
    pub fn into_inner(self) -> T {
        self.model
    }
}

impl<T> Deref for Fitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.model
    }
}

impl TrainView<'_> {
    /// Ties what `fit` makes of this view to what the view holds. What `fit` learns from must come
    /// from the view that it is given.
    ///
    /// # Errors
    /// Those of `fit`.
    pub fn fit<T, E>(&self, fit: impl FnOnce(&Self) -> Result<T, E>) -> Result<Fitted<T>, E> {
        Ok(Fitted { model: fit(self)?, scope: self.scope().clone() })
    }
}

/// Bytes that are no stored model of the wanted format, or were changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Stored model: expected {expected}, found {found}")]
pub struct StoredError {
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// What every version of a file begins with: read before the rest, so that a file of another
/// version is told as such, whatever has changed behind it.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// A model as it is written.
#[derive(Serialize)]
struct Out<'a, T> {
    model: &'a T,
    scope: &'a FitScope,
}

#[derive(Serialize)]
struct FileOut<'a, T> {
    format: &'a str,
    version: u32,
    hash: String,
    recipe: &'a serde_json::Value,
    fitted: Out<'a, T>,
}

/// The only form in which a scope is read.
#[derive(Deserialize)]
struct ScopeIn {
    split_hash: String,
    groups: BTreeSet<GroupId>,
    content_ids: BTreeSet<ContentId>,
}

#[derive(Deserialize)]
struct In<T> {
    model: T,
    scope: ScopeIn,
}

#[derive(Deserialize)]
struct FileIn<T> {
    hash: String,
    recipe: serde_json::Value,
    fitted: In<T>,
}

impl<T: Serialize> Fitted<T> {
    fn out(&self) -> Out<'_, T> {
        Out { model: &self.model, scope: &self.scope }
    }

    fn hash(&self, recipe: &serde_json::Value) -> serde_json::Result<String> {
        let bytes = serde_json::to_vec(&(recipe, self.out()))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// The bytes of a file: the model, what it was fitted on and a recipe, with a BLAKE3 hash over
    /// all three.
    ///
    /// # Errors
    /// The model cannot be written as JSON.
    pub fn to_json(
        &self,
        format: &str,
        version: u32,
        recipe: &serde_json::Value,
    ) -> serde_json::Result<Vec<u8>> {
        let hash = self.hash(recipe)?;
        serde_json::to_vec(&FileOut { format, version, hash, recipe, fitted: self.out() })
    }
}

impl<T: Serialize + DeserializeOwned> Fitted<T> {
    /// Reads what [`Fitted::to_json`] wrote: the one way in which a scope comes from outside. The
    /// hash shows that the model and its scope are those that were written together; who forges a
    /// whole file has not slipped.
    ///
    /// # Errors
    /// Another format or version, no JSON of such a model, or another hash.
    pub fn from_json(
        bytes: &[u8],
        format: &str,
        version: u32,
    ) -> Result<(Self, serde_json::Value), StoredError> {
        let wrong =
            |expected: &str, found: String| StoredError { expected: expected.to_owned(), found };
        let no_json = |error: serde_json::Error| wrong("a model file as JSON", error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(no_json)?;
        if head.format != format || head.version != version {
            let found: String = head.format.chars().take(80).collect();
            return Err(wrong(
                &format!("{format}, version {version}"),
                format!("{found}, version {}", head.version),
            ));
        }
        let FileIn { hash, recipe, fitted } = serde_json::from_slice(bytes).map_err(no_json)?;
        let In { model, scope: ScopeIn { split_hash, groups, content_ids } } = fitted;
        let read = Self { model, scope: FitScope { split_hash, groups, content_ids } };
        let own = read
            .hash(&recipe)
            .map_err(|error| wrong("a model that can be hashed", error.to_string()))?;
        if own != hash {
            return Err(wrong(&format!("hash {own}"), format!("hash {hash}")));
        }
        Ok((read, recipe))
    }
}
