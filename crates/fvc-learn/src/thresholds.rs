//! [`Thresholds`]: when a verdict may be given at a fixed error rate.

use std::collections::BTreeMap;
use std::fmt;

use fvc_corpus::{GroupId, Label};
use serde::{Deserialize, Serialize};

/// What is said of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Authentic, at the promised error rate.
    Real,
    /// Manipulated, at the promised error rate.
    Fake,
    /// The data do not carry a verdict.
    Uncertain,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Real => "real",
            Self::Fake => "fake",
            Self::Uncertain => "uncertain",
        })
    }
}

/// Thresholds on the calibrated probability, from grouped out-of-fold scores.
///
/// Split-conformal with the group as the unit: of the `n` groups that hold real sources take each
/// one's highest probability; the ⌈(1 - e)(n + 1)⌉-th smallest of these is exceeded by the next
/// real group with probability at most `e`. The same from below for fake groups. That needs at
/// least ⌈1/e⌉ - 1 groups of a class; with fewer no verdict is given. The scores come from the
/// models of several folds and the verdict from one fitted on all, so the promise is approximate
/// (cross-conformal prediction, Vovk 2015), and holds for videos like those of the corpus only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// The error that is promised.
    pub max_error: f64,
    /// Fake above this.
    pub fake_above: Option<f64>,
    /// Real below this.
    pub real_below: Option<f64>,
    /// Groups that hold a real and a fake source.
    pub groups: [usize; 2],
}

impl Thresholds {
    /// From one row a source: group, label, calibrated out-of-fold probability. Rows without one
    /// (NaN) are left out: such a source gets no verdict, which is no error.
    pub fn fit<'a>(rows: impl Iterator<Item = (&'a GroupId, Label, f64)>, max_error: f64) -> Self {
        let mut highest_real: BTreeMap<&GroupId, f64> = BTreeMap::new();
        let mut lowest_fake: BTreeMap<&GroupId, f64> = BTreeMap::new();
        for (group, label, probability) in rows.filter(|(_, _, probability)| !probability.is_nan())
        {
            match label {
                Label::Real => {
                    let known = highest_real.entry(group).or_insert(probability);
                    *known = known.max(probability);
                }
                Label::Fake => {
                    let known = lowest_fake.entry(group).or_insert(probability);
                    *known = known.min(probability);
                }
            }
        }
        let sorted = |scores: &BTreeMap<&GroupId, f64>| {
            let mut scores: Vec<f64> = scores.values().copied().collect();
            scores.sort_by(f64::total_cmp);
            scores
        };
        let (reals, fakes) = (sorted(&highest_real), sorted(&lowest_fake));
        let above = ((1.0 - max_error) * (reals.len() as f64 + 1.0) - 1e-9).ceil() as usize;
        let below = (max_error * (fakes.len() as f64 + 1.0) + 1e-9).floor() as usize;
        Self {
            max_error,
            fake_above: above.checked_sub(1).and_then(|at| reals.get(at)).copied(),
            real_below: below.checked_sub(1).and_then(|at| fakes.get(at)).copied(),
            groups: [reals.len(), fakes.len()],
        }
    }

    /// The verdict on a probability. One class without enough groups leaves every verdict open: an
    /// error rate that holds for one answer only is no promise.
    pub fn verdict(&self, probability: f64) -> Verdict {
        let (Some(fake_above), Some(real_below)) = (self.fake_above, self.real_below) else {
            return Verdict::Uncertain;
        };
        if probability > fake_above && probability >= real_below {
            Verdict::Fake
        } else if probability < real_below && probability <= fake_above {
            Verdict::Real
        } else {
            Verdict::Uncertain
        }
    }

    /// What the data can promise, in a sentence. Shares are rounded up: rounded down, they would
    /// promise more than the data carry, and a promise that is asked for as printed would fail.
    pub fn promise(&self) -> String {
        let percent = |share: f64| (1000.0 * share - 1e-9).ceil() / 10.0;
        let [real, fake] = self.groups;
        if self.fake_above.is_some() && self.real_below.is_some() {
            return format!(
                "verdicts err on at most {:.1} % of groups like the training corpus's \
                 ({real} groups with real, {fake} with fake sources)",
                percent(self.max_error)
            );
        }
        let can = match real.min(fake) {
            0 => "these data carry no promise".to_owned(),
            groups => format!(
                "the smallest promise these data carry is {:.1} %",
                percent(1.0 / (groups as f64 + 1.0))
            ),
        };
        format!(
            "too few groups to promise an error of {:.1} % ({real} with real, {fake} with fake \
             sources): {can}",
            percent(self.max_error)
        )
    }
}
