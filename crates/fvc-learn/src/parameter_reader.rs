//! [`ParameterReader`]: unchecked [`Parameters`] to checked values, with errors that name both.

use std::ops::RangeInclusive;

use crate::{LearnError, ParameterValue, Parameters};

/// Takes the parameters of one model one by one.
pub(crate) struct ParameterReader<'a> {
    model: &'static str,
    given: &'a Parameters,
    names: &'static [&'static str],
}

impl<'a> ParameterReader<'a> {
    /// # Errors
    /// A name that is not among `names`.
    pub(crate) fn new(
        model: &'static str,
        names: &'static [&'static str],
        given: &'a Parameters,
    ) -> Result<Self, LearnError> {
        for name in given.keys() {
            if !names.contains(&name.as_str()) {
                return Err(LearnError::UnknownParameter {
                    model,
                    expected: names.join(", "),
                    found: crate::with_nearest(name, names),
                });
            }
        }
        Ok(Self { model, given, names })
    }

    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value of a parameter, if it was given. A name that is not in the model's list is a slip
    /// of ours, which the tests of the models' parameters show.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'a ParameterValue> {
        debug_assert!(self.names.contains(&name), "{name} is not listed");
        self.given.get(name)
    }

    pub(crate) fn error(
        &self,
        name: &'static str,
        expected: impl Into<String>,
        found: &dyn std::fmt::Display,
    ) -> LearnError {
        LearnError::Parameter {
            model: self.model,
            name,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// A number within `range`.
    pub(crate) fn number(
        &self,
        name: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Result<f64, LearnError> {
        match self.get(name) {
            None => Ok(default),
            Some(ParameterValue::Number(value)) if range.contains(value) => Ok(*value),
            Some(other) => Err(self.error(
                name,
                format!("a number from {} to {}", range.start(), range.end()),
                other,
            )),
        }
    }

    /// A whole number within `range`.
    pub(crate) fn count(
        &self,
        name: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, LearnError> {
        match self.get(name) {
            None => Ok(default),
            Some(ParameterValue::Number(value))
                if value.fract() == 0.0
                    && *value >= f64::from(*range.start())
                    && *value <= f64::from(*range.end()) =>
            {
                Ok(*value as u32)
            }
            Some(other) => Err(self.error(
                name,
                format!("a whole number from {} to {}", range.start(), range.end()),
                other,
            )),
        }
    }

    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool, LearnError> {
        match self.get(name) {
            None => Ok(default),
            Some(ParameterValue::Flag(value)) => Ok(*value),
            Some(other) => Err(self.error(name, "true or false", other)),
        }
    }

    /// One of `choices`, by its name.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> Result<T, LearnError> {
        let Some(given) = self.get(name) else { return Ok(default) };
        if let ParameterValue::Text(text) = given
            && let Some((_, value)) = choices.iter().find(|(choice, _)| choice == text)
        {
            return Ok(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        Err(self.error(name, format!("one of {}", names.join(", ")), given))
    }
}
