//! [`Parameter`]: a number that is drawn once a clip, and its range.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::random::Random;

/// A number that is drawn once a clip, uniformly from its range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name in records.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The least value.
    pub low: f64,
    /// The greatest value; drawn only when `whole`.
    pub high: f64,
    /// Whether only whole numbers are drawn.
    pub whole: bool,
    /// What the whole numbers from 0 on stand for; records hold the name. Empty: numbers are
    /// numbers.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub names: &'static [&'static str],
    /// What it does.
    pub meaning: &'static str,
}

/// A drawn parameter in a record: its value, or its name where values have names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Recorded {
    Number(f64),
    Name(String),
}

impl Recorded {
    pub(crate) fn of(table: &[Parameter], name: &str, value: f64) -> Self {
        let parameter = table.iter().find(|parameter| parameter.name == name);
        let named = parameter
            .filter(|parameter| parameter.allows(value))
            .and_then(|parameter| parameter.names.get(value as usize));
        named.map_or(Self::Number(value), |named| Self::Name((*named).to_owned()))
    }

    pub(crate) fn value(
        self,
        kind: &'static str,
        table: &[Parameter],
        name: &str,
    ) -> Result<f64, AugmentError> {
        let refuse = |expected: String, found: String| AugmentError::Parameter {
            kind,
            name: name.to_owned(),
            expected,
            found,
        };
        let Some(parameter) = table.iter().find(|parameter| parameter.name == name) else {
            let found = match self {
                Self::Number(value) => value.to_string(),
                Self::Name(name) => name,
            };
            return Err(refuse("no such parameter".to_owned(), found));
        };
        match self {
            Self::Number(value) if parameter.names.is_empty() => Ok(value),
            Self::Number(value) => Err(refuse(parameter.range(), value.to_string())),
            Self::Name(found) => parameter
                .names
                .iter()
                .position(|known| *known == found)
                .map(|place| place as f64)
                .ok_or_else(|| refuse(parameter.range(), found)),
        }
    }
}

/// Drawn parameters by name.
pub(crate) type Values = BTreeMap<String, f64>;

impl Parameter {
    pub(crate) fn draw(&self, random: &mut Random) -> f64 {
        if self.whole {
            self.low + random.below((self.high - self.low) as u64 + 1) as f64
        } else {
            self.low + (self.high - self.low) * random.unit()
        }
    }

    fn allows(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value) && (!self.whole || value.fract() == 0.0)
    }

    fn range(&self) -> String {
        if !self.names.is_empty() {
            return format!("one of {}", self.names.join(", "));
        }
        let whole = if self.whole { "a whole number from " } else { "" };
        format!("{whole}{} to {} {}", self.low, self.high, self.unit).trim_end().to_owned()
    }
}

/// Checks that `values` are just the ones of `table`, each in its range.
pub(crate) fn check<'a>(
    kind: &'static str,
    table: &(impl Iterator<Item = &'a Parameter> + Clone),
    values: &Values,
) -> Result<(), AugmentError> {
    let refuse = |name: &str, expected: String, found: String| {
        Err(AugmentError::Parameter { kind, name: name.to_owned(), expected, found })
    };
    for parameter in table.clone() {
        match values.get(parameter.name) {
            None => return refuse(parameter.name, parameter.range(), "nothing".to_owned()),
            Some(&value) if !parameter.allows(value) => {
                return refuse(parameter.name, parameter.range(), value.to_string());
            }
            Some(_) => {}
        }
    }
    for (name, value) in values {
        if !table.clone().any(|parameter| parameter.name == name) {
            return refuse(name, "no such parameter".to_owned(), value.to_string());
        }
    }
    Ok(())
}

/// A value that [`check`] has seen to be there.
pub(crate) fn value(
    kind: &'static str,
    values: &Values,
    name: &'static str,
) -> Result<f64, AugmentError> {
    values.get(name).copied().ok_or_else(|| AugmentError::Parameter {
        kind,
        name: name.to_owned(),
        expected: "a number".to_owned(),
        found: "nothing".to_owned(),
    })
}
