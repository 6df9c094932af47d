//! Reads the JSON model that XGBoost writes, and nothing but what [`TreeModel`] needs of it.

use std::fmt::Display;

use serde::Deserialize;

use super::tree_model::{MAX_DEPTH, MAX_NODES, MAX_TREES, MAX_WIDTH, NO_CHILD, Tree, TreeModel};
use crate::LearnError;

/// Largest model that is looked at.
const MAX_BYTES: usize = 256 << 20;

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    parameters: LearnerParameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

/// Numbers are texts here, as the library writes its parameters.
#[derive(Deserialize)]
struct LearnerParameters {
    base_score: String,
    num_feature: String,
    num_class: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    tree_info: Vec<i32>,
    trees: Vec<StoredTree>,
}

#[derive(Deserialize)]
struct StoredTree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    /// 0 or 1; older versions write booleans.
    default_left: Vec<Flag>,
    sum_hessian: Vec<f32>,
    loss_changes: Vec<f32>,
    #[serde(default)]
    split_type: Vec<i32>,
    #[serde(default)]
    categories: Vec<i32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Flag {
    Flag(bool),
    Number(u8),
}

impl Flag {
    fn is_set(self) -> bool {
        match self {
            Self::Flag(set) => set,
            Self::Number(number) => number != 0,
        }
    }
}

fn refused(expected: impl Into<String>, found: &dyn Display) -> LearnError {
    LearnError::Model { expected: expected.into(), found: found.to_string() }
}

impl TreeModel {
    /// Reads a JSON model of XGBoost (1.x to 3.x): `gbtree` with objective `binary:logistic`,
    /// numerical splits.
    ///
    /// `base_score` is a probability; 3.x writes it as an array (`[5E-1]`), older versions as a
    /// number (`5E-1`).
    ///
    /// # Errors
    /// More than 256 MiB, no such JSON, another booster or objective, categorical splits, or
    /// anything that [`TreeModel::check`] refuses.
    pub fn from_xgboost_json(bytes: &[u8]) -> Result<Self, LearnError> {
        if bytes.len() > MAX_BYTES {
            return Err(refused(
                format!("at most {MAX_BYTES} bytes"),
                &format!("{} bytes", bytes.len()),
            ));
        }
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| refused("a model of XGBoost as JSON", &error))?;
        let Learner { gradient_booster, parameters, objective } = file.learner;
        if gradient_booster.name != "gbtree" {
            return Err(refused("booster gbtree", &gradient_booster.name));
        }
        if objective.name != "binary:logistic" {
            return Err(refused("objective binary:logistic", &objective.name));
        }
        if !matches!(parameters.num_class.as_str(), "0" | "1") {
            return Err(refused("one score a row", &parameters.num_class));
        }
        let width: usize = parameters
            .num_feature
            .parse()
            .ok()
            .filter(|width| (1..=MAX_WIDTH).contains(width))
            .ok_or_else(|| refused(format!("1 to {MAX_WIDTH} inputs"), &parameters.num_feature))?;
        let Model { tree_info, trees } = gradient_booster.model;
        if trees.len() > MAX_TREES {
            return Err(refused(format!("at most {MAX_TREES} trees"), &trees.len()));
        }
        if tree_info.len() != trees.len() || tree_info.iter().any(|&class| class != 0) {
            return Err(refused(
                "every tree for one output",
                &format!("{} entries", tree_info.len()),
            ));
        }
        let model = Self {
            width,
            base: base_margin(&parameters.base_score)?,
            trees: trees.iter().map(read_tree).collect::<Result<_, _>>()?,
        };
        model.check().map_err(|found| refused("a model within its bounds", &found))?;
        Ok(model)
    }
}

/// The margin of a `base_score`, in f32 as the library takes it; the logarithm is rounded once
/// from f64, so that it is the same on every machine.
fn base_margin(text: &str) -> Result<f32, LearnError> {
    let inner = text.trim();
    let inner = inner.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(inner);
    let probability: f32 = inner
        .trim()
        .parse()
        .ok()
        .filter(|probability: &f32| *probability > 0.0 && *probability < 1.0)
        .ok_or_else(|| {
            refused(
                "one base_score above 0 and below 1",
                &text.chars().take(80).collect::<String>(),
            )
        })?;
    let odds = 1.0_f32 / probability - 1.0;
    Ok((-f64::from(odds).ln()) as f32)
}

/// A node, its depth, and where its new number belongs: the new number of its parent and whether it
/// is the left child.
type Open = (usize, usize, Option<(usize, bool)>);

/// Renumbers a tree so that children come after their parents and nodes that were pruned away
/// are gone.
fn read_tree(stored: &StoredTree) -> Result<Tree, LearnError> {
    let nodes = stored.left_children.len();
    let lengths = [
        stored.right_children.len(),
        stored.split_indices.len(),
        stored.split_conditions.len(),
        stored.default_left.len(),
        stored.sum_hessian.len(),
        stored.loss_changes.len(),
    ];
    if nodes == 0 || nodes > MAX_NODES || lengths.iter().any(|&length| length != nodes) {
        return Err(refused("arrays of one length in a tree", &format!("{nodes} and {lengths:?}")));
    }
    if !stored.categories.is_empty() || stored.split_type.iter().any(|&kind| kind != 0) {
        return Err(refused("numerical splits", &"a categorical one"));
    }
    let mut tree = Tree::default();
    let mut seen = vec![false; nodes];
    // Nodes to be looked at, the left child before the right one.
    let mut open: Vec<Open> = vec![(0, 0, None)];
    while let Some((node, depth, parent)) = open.pop() {
        let own = tree.nodes();
        if seen[node] || depth > MAX_DEPTH {
            return Err(refused(
                format!("every node reached once, at a depth of at most {MAX_DEPTH}"),
                &format!("node {node} again or deeper"),
            ));
        }
        seen[node] = true;
        let number = own as u32;
        match parent {
            Some((parent, true)) => tree.left[parent] = number,
            Some((parent, false)) => tree.right[parent] = number,
            None => {}
        }
        let (left, right) = (stored.left_children[node], stored.right_children[node]);
        let leaf = left == -1 && right == -1;
        let child = |at: i32| {
            usize::try_from(at)
                .ok()
                .filter(|&at| at < nodes)
                .ok_or_else(|| refused(format!("a child below {nodes}"), &at))
        };
        if !leaf {
            open.push((child(right)?, depth + 1, Some((own, false))));
            open.push((child(left)?, depth + 1, Some((own, true))));
        }
        tree.feature.push(if leaf { 0 } else { stored.split_indices[node] });
        tree.threshold.push(stored.split_conditions[node]);
        tree.left.push(NO_CHILD);
        tree.right.push(NO_CHILD);
        tree.default_left.push(!leaf && stored.default_left[node].is_set());
        tree.cover.push(stored.sum_hessian[node]);
        tree.gain.push(if leaf { 0.0 } else { stored.loss_changes[node] });
    }
    Ok(tree)
}
