//! [`FeatureSet`]: what features there are, what they mean and which columns they fill.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// What kind of evidence a feature is. [`Family::Container`] and [`Family::Scale`] tell who
/// uploaded a video rather than what is in it: training leaves them out unless asked, and the
/// shortcut baselines are made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Brightness, colour and shapes of the picture.
    Pixel,
    /// What a high-pass filter leaves.
    Noise,
    /// Spectra, DCT coefficients.
    Frequency,
    /// Changes from frame to frame.
    Temporal,
    /// Packets, picture types, motion vectors of the coded stream.
    Bitstream,
    /// Facts of the file: bit rate, frame rate.
    Container,
    /// Facts of the picture's size.
    Scale,
}

impl Family {
    /// Its name as written in tables and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixel => "pixel",
            Self::Noise => "noise",
            Self::Frequency => "frequency",
            Self::Temporal => "temporal",
            Self::Bitstream => "bitstream",
            Self::Container => "container",
            Self::Scale => "scale",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One feature. The crate's sets hold all there are; others cannot be made outside it.
#[derive(Clone, Copy, Debug)]
pub struct FeatureSpec {
    /// Its name, without prefix or suffix.
    pub name: &'static str,
    /// Its unit; `1` for plain numbers.
    pub unit: &'static str,
    /// The values it can take.
    pub range: &'static str,
    /// What kind of evidence it is.
    pub family: Family,
    /// How it is computed, where the definition comes from, and how it differs from that.
    pub definition: &'static str,
    /// Measured on each frame, and filling two columns (mean and spread over the clip's frames);
    /// else a fact of the clip, filling one.
    pub per_frame: bool,
    pub(crate) quantity: Quantity,
}

impl FeatureSpec {
    /// The columns it fills: `<prefix>_<name>_mean` and `<prefix>_<name>_spread` when measured
    /// per frame, else `<prefix>_<name>`.
    pub fn columns(&self, prefix: &str) -> Vec<String> {
        if self.per_frame {
            vec![format!("{prefix}_{}_mean", self.name), format!("{prefix}_{}_spread", self.name)]
        } else {
            vec![format!("{prefix}_{}", self.name)]
        }
    }
}

/// A versioned list of features.
#[derive(Clone, Copy, Debug)]
pub struct FeatureSet {
    /// Its name: the usual prefix of its columns.
    pub name: &'static str,
    /// Goes up whenever any value of the set would come out differently for the same frames.
    pub version: u32,
    /// Its features, in the order of their columns.
    pub specs: &'static [FeatureSpec],
}

impl FeatureSet {
    /// Its columns' names, in the order of [`crate::Extractor::finish`]'s values.
    pub fn columns(&self, prefix: &str) -> Vec<String> {
        self.specs.iter().flat_map(|spec| spec.columns(prefix)).collect()
    }

    /// The feature that fills a column; `None` for a column that is none of the set's.
    pub fn spec_of_column(&self, prefix: &str, column: &str) -> Option<&'static FeatureSpec> {
        let stem = column.strip_prefix(prefix)?.strip_prefix('_')?;
        self.specs.iter().find(|spec| {
            let rest = stem.strip_prefix(spec.name);
            if spec.per_frame {
                matches!(rest, Some("_mean" | "_spread"))
            } else {
                rest == Some("")
            }
        })
    }

    /// The family of a column's feature; `None` for a column that is none of the set's.
    pub fn family_of_column(&self, prefix: &str, column: &str) -> Option<Family> {
        self.spec_of_column(prefix, column).map(|spec| spec.family)
    }

    /// The schema as a Markdown table: name, unit, range, family, columns it fills, definition.
    pub fn markdown_table(&self) -> String {
        let header = "| feature | unit | range | family | columns | definition |\n|---|---|---|---|---|---|\n";
        let rows = self.specs.iter().map(|spec| {
            let columns = if spec.per_frame { "mean, spread" } else { "one" };
            // A bar would end the cell.
            let definition = spec.definition.replace('|', "\\|");
            format!(
                "| `{}` | {} | {} | {} | {columns} | {definition} |\n",
                spec.name, spec.unit, spec.range, spec.family
            )
        });
        std::iter::once(header.to_owned()).chain(rows).collect()
    }
}
