//! [`TreeModel`]: a sum of trees, as arrays, scored in the library's own f32 arithmetic.

use serde::{Deserialize, Serialize};

use super::tree_shap;
use crate::Contributions;

/// Most trees of a model.
pub(super) const MAX_TREES: usize = 20_000;
/// Most nodes of all trees together.
pub(super) const MAX_NODES: usize = 1 << 22;
/// Deepest leaf: bounds the recursion of the explanation.
pub(super) const MAX_DEPTH: usize = 64;
/// Most inputs.
pub(super) const MAX_WIDTH: usize = 1 << 20;

/// In `left` and `right` of a leaf.
pub(super) const NO_CHILD: u32 = u32::MAX;

/// One binary tree as arrays over its nodes; node 0 is the root and children come after their
/// parent.
///
/// A row goes left when `value < threshold` in f32, right otherwise, and where `default_left` says
/// when the value is missing (NaN), until it meets a leaf, whose `threshold` is what it adds to the
/// margin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// The input that an inner node looks at; 0 at a leaf.
    pub(super) feature: Vec<u32>,
    /// Split value of an inner node; value of a leaf, in log odds.
    pub(super) threshold: Vec<f32>,
    /// Left child, `u32::MAX` at a leaf.
    pub(super) left: Vec<u32>,
    /// Right child, `u32::MAX` at a leaf.
    pub(super) right: Vec<u32>,
    /// Where a missing value goes.
    pub(super) default_left: Vec<bool>,
    /// Sum of the training rows' hessians in the node: what "on average" means in SHAP values.
    pub(super) cover: Vec<f32>,
    /// Loss reduction of an inner node's split; 0 at a leaf.
    pub(super) gain: Vec<f32>,
}

impl Tree {
    /// Number of nodes, leaves included.
    pub fn nodes(&self) -> usize {
        self.feature.len()
    }

    pub(super) fn is_leaf(&self, node: usize) -> bool {
        self.left[node] == NO_CHILD
    }

    /// The child of inner node `node` that a row goes to. Comparison is in f32, as at the fit.
    pub(super) fn next(&self, node: usize, row: &[f64]) -> usize {
        let value = row[self.feature[node] as usize] as f32;
        let goes_left =
            if value.is_nan() { self.default_left[node] } else { value < self.threshold[node] };
        (if goes_left { self.left[node] } else { self.right[node] }) as usize
    }

    fn value(&self, row: &[f64]) -> f32 {
        let mut node = 0;
        while !self.is_leaf(node) {
            node = self.next(node, row);
        }
        self.threshold[node]
    }

    fn check(&self, width: usize) -> Result<(), String> {
        let nodes = self.nodes();
        let lengths = [
            self.threshold.len(),
            self.left.len(),
            self.right.len(),
            self.default_left.len(),
            self.cover.len(),
            self.gain.len(),
        ];
        if nodes == 0 || lengths.iter().any(|&length| length != nodes) {
            return Err(format!("arrays of one length above 0, found {nodes} and {lengths:?}"));
        }
        // Depth 0 is "no parent seen yet": children come after their parent, so that one pass
        // forward sees every parent before its children, and a cycle cannot be written.
        let mut depth = vec![0_usize; nodes];
        depth[0] = 1;
        for node in 0..nodes {
            if depth[node] == 0 {
                return Err(format!("every node below the root, found node {node} without parent"));
            }
            if depth[node] > MAX_DEPTH + 1 {
                return Err(format!("a depth of at most {MAX_DEPTH}, found more at node {node}"));
            }
            if !self.threshold[node].is_finite() {
                return Err(format!("a finite threshold, found {}", self.threshold[node]));
            }
            if !(self.cover[node].is_finite() && self.cover[node] >= 0.0) {
                return Err(format!("a cover of at least 0, found {}", self.cover[node]));
            }
            if !self.gain[node].is_finite() {
                return Err(format!("a finite gain, found {}", self.gain[node]));
            }
            let (left, right) = (self.left[node], self.right[node]);
            if left == NO_CHILD && right == NO_CHILD {
                continue;
            }
            if self.feature[node] as usize >= width {
                return Err(format!(
                    "an input below {width}, found {} at node {node}",
                    self.feature[node]
                ));
            }
            // A node that no training row reached would make "on average" 0 / 0.
            if self.cover[node] <= 0.0 {
                return Err(format!("a cover above 0 at inner node {node}, found 0"));
            }
            for child in [left, right] {
                let at = child as usize;
                if child == NO_CHILD || at <= node || at >= nodes || depth[at] != 0 {
                    return Err(format!(
                        "two own children after node {node} and below {nodes}, found {left} and {right}"
                    ));
                }
                depth[at] = depth[node] + 1;
            }
        }
        Ok(())
    }
}

/// A sum of trees in log odds.
///
/// [`crate::ModelKind::Xgboost`] fits it; [`TreeModel::from_xgboost_json`] reads one that any
/// XGBoost wrote. Scoring follows the library to the bit: thresholds, values and the running sum
/// are f32, in the order of the trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredTreeModel")]
pub struct TreeModel {
    pub(super) width: usize,
    /// What is said before any tree, in log odds.
    pub(super) base: f32,
    pub(super) trees: Vec<Tree>,
}

/// [`TreeModel`] as it is read, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTreeModel {
    width: usize,
    base: f32,
    trees: Vec<Tree>,
}

impl TryFrom<StoredTreeModel> for TreeModel {
    type Error = String;

    fn try_from(stored: StoredTreeModel) -> Result<Self, String> {
        let StoredTreeModel { width, base, trees } = stored;
        let model = Self { width, base, trees };
        model.check()?;
        Ok(model)
    }
}

impl TreeModel {
    /// Number of inputs.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The trees, in the order of the rounds.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Log odds of fake.
    pub(crate) fn margin(&self, row: &[f64]) -> f64 {
        f64::from(self.trees.iter().fold(self.base, |sum, tree| sum + tree.value(row)))
    }

    /// The margin before the first tree, after the first, after the second, …
    #[cfg(feature = "xgboost")]
    pub(super) fn staged_margins(&self, row: &[f64]) -> Vec<f64> {
        let mut sum = self.base;
        let mut staged = vec![f64::from(sum)];
        for tree in &self.trees {
            sum += tree.value(row);
            staged.push(f64::from(sum));
        }
        staged
    }

    /// Exact SHAP values; see [`tree_shap`].
    pub(crate) fn contributions(&self, row: &[f64]) -> Contributions {
        let mut values = vec![0.0; self.width];
        let mut base = f64::from(self.base);
        for tree in &self.trees {
            base += tree_shap::add_contributions(tree, row, &mut values);
        }
        Contributions { base, values, standard_errors: None }
    }

    /// Loss reduction of all splits by each input.
    pub(crate) fn gains(&self) -> Vec<f64> {
        let mut gains = vec![0.0; self.width];
        for tree in &self.trees {
            for node in (0..tree.nodes()).filter(|&node| !tree.is_leaf(node)) {
                gains[tree.feature[node] as usize] += f64::from(tree.gain[node]).max(0.0);
            }
        }
        gains
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.width as u64).to_le_bytes());
        hasher.update(&self.base.to_le_bytes());
        for tree in &self.trees {
            hasher.update(&(tree.nodes() as u64).to_le_bytes());
            for node in 0..tree.nodes() {
                for number in [tree.feature[node], tree.left[node], tree.right[node]] {
                    hasher.update(&number.to_le_bytes());
                }
                for number in [tree.threshold[node], tree.cover[node], tree.gain[node]] {
                    hasher.update(&number.to_le_bytes());
                }
                hasher.update(&[u8::from(tree.default_left[node])]);
            }
        }
    }

    /// Whether every index is in range, every tree is one (no cycle, no orphan, at most 64 deep),
    /// every number finite, and all within 20,000 trees and 4,194,304 nodes.
    ///
    /// # Errors
    /// What is wrong, as `expected …, found …`.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MAX_WIDTH).contains(&self.width) {
            return Err(format!("expected 1 to {MAX_WIDTH} inputs, found {}", self.width));
        }
        if !self.base.is_finite() {
            return Err(format!("expected a finite base margin, found {}", self.base));
        }
        if self.trees.len() > MAX_TREES {
            return Err(format!("expected at most {MAX_TREES} trees, found {}", self.trees.len()));
        }
        let nodes: usize = self.trees.iter().map(Tree::nodes).sum();
        if nodes > MAX_NODES {
            return Err(format!("expected at most {MAX_NODES} nodes, found {nodes}"));
        }
        for (at, tree) in self.trees.iter().enumerate() {
            tree.check(self.width).map_err(|what| format!("tree {at}: expected {what}"))?;
        }
        Ok(())
    }
}
