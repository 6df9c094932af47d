//! Exact SHAP values of one tree (path-dependent TreeSHAP).
//!
//! The SHAP value of input *j* is its Shapley value in the game whose pay-off for a set *S* of
//! known inputs is the tree's expected value when a row goes its own way at splits on *S* and both
//! ways, weighted by the training rows that went there (cover), at the others. Summing over all
//! sets takes exponential time; Algorithm 2 of Lundberg et al. 2018 ("Consistent individualized
//! feature attribution for tree ensembles", arXiv 1802.03888) tracks, along one path from the root,
//! how many sets of each size reach a node, in O(L D²) time a tree with L leaves of depth D, and
//! O(D²) memory.
//!
//! Same as `pred_contribs` of XGBoost, here in f64 where the library uses f32.

use super::tree_model::Tree;

/// One input on the path from the root to a node.
#[derive(Clone, Copy)]
struct Step {
    /// The input; none for the root.
    feature: Option<u32>,
    /// Share of the sets without this input that flow down here.
    zero: f64,
    /// Share of the sets with this input that flow down here: 1 or 0.
    one: f64,
    /// Sum of the permutation weights of the sets with as many inputs as this step's position.
    weight: f64,
}

/// Adds the SHAP values of `row` in `tree` to `values` and gives the tree's expected value.
pub(super) fn add_contributions(tree: &Tree, row: &[f64], values: &mut [f64]) -> f64 {
    let mut expected: Vec<f64> = tree.threshold.iter().map(|&value| f64::from(value)).collect();
    for node in (0..tree.nodes()).rev().filter(|&node| !tree.is_leaf(node)) {
        let (left, right) = (tree.left[node] as usize, tree.right[node] as usize);
        let (left_share, right_share) = shares(tree, node);
        expected[node] = left_share * expected[left] + right_share * expected[right];
    }
    descend(
        tree,
        row,
        0,
        Vec::new(),
        Step { feature: None, zero: 1.0, one: 1.0, weight: 0.0 },
        values,
    );
    expected[0]
}

/// The shares of the training rows at `node` that went left and right.
fn shares(tree: &Tree, node: usize) -> (f64, f64) {
    let cover = f64::from(tree.cover[node]);
    (
        f64::from(tree.cover[tree.left[node] as usize]) / cover,
        f64::from(tree.cover[tree.right[node] as usize]) / cover,
    )
}

/// Visits `node`, reached over `path` and then `step`. The recursion is as deep as the tree, which
/// [`super::TreeModel::check`] bounds.
fn descend(
    tree: &Tree,
    row: &[f64],
    node: usize,
    mut path: Vec<Step>,
    step: Step,
    values: &mut [f64],
) {
    extend(&mut path, step);
    if tree.is_leaf(node) {
        let leaf = f64::from(tree.threshold[node]);
        for at in 1..path.len() {
            let Step { feature, zero, one, .. } = path[at];
            if let Some(feature) = feature {
                values[feature as usize] += unwound_weight(&path, at) * (one - zero) * leaf;
            }
        }
        return;
    }
    let feature = Some(tree.feature[node]);
    let hot = tree.next(node, row);
    let left = tree.left[node] as usize;
    let right = tree.right[node] as usize;
    let (left_share, right_share) = shares(tree, node);
    // An input that was split on before counts once: its earlier step is taken out again and its
    // shares carried on.
    let (mut zero, mut one) = (1.0, 1.0);
    if let Some(at) = path.iter().position(|known| known.feature == feature) {
        zero = path[at].zero;
        one = path[at].one;
        unwind(&mut path, at);
    }
    for (child, share) in [(left, left_share), (right, right_share)] {
        let step = Step {
            feature,
            zero: zero * share,
            one: if child == hot { one } else { 0.0 },
            weight: 0.0,
        };
        descend(tree, row, child, path.clone(), step, values);
    }
}

/// Puts a step at the end of the path and updates how many sets of each size reach it.
fn extend(path: &mut Vec<Step>, step: Step) {
    let depth = path.len();
    path.push(Step { weight: if depth == 0 { 1.0 } else { 0.0 }, ..step });
    let length = (depth + 1) as f64;
    for at in (0..depth).rev() {
        path[at + 1].weight += step.one * path[at].weight * (at + 1) as f64 / length;
        path[at].weight *= step.zero * (depth - at) as f64 / length;
    }
}

/// Takes step `at` out of the path: undoes its [`extend`], which commutes with the others.
fn unwind(path: &mut Vec<Step>, at: usize) {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[at];
    let length = (depth + 1) as f64;
    let mut next = path[depth].weight;
    for i in (0..depth).rev() {
        if one == 0.0 {
            path[i].weight = path[i].weight * length / (zero * (depth - i) as f64);
        } else {
            let kept = path[i].weight;
            path[i].weight = next * length / ((i + 1) as f64 * one);
            next = kept - path[i].weight * zero * (depth - i) as f64 / length;
        }
    }
    for i in at..depth {
        path[i] = Step { weight: path[i].weight, ..path[i + 1] };
    }
    path.pop();
}

/// The sum of all weights of the path without step `at`.
fn unwound_weight(path: &[Step], at: usize) -> f64 {
    let depth = path.len() - 1;
    let Step { zero, one, .. } = path[at];
    let length = (depth + 1) as f64;
    let mut next = path[depth].weight;
    let mut total = 0.0;
    for i in (0..depth).rev() {
        if one != 0.0 {
            let weight = next * length / ((i + 1) as f64 * one);
            total += weight;
            next = path[i].weight - weight * zero * (depth - i) as f64 / length;
        } else if zero != 0.0 {
            total += path[i].weight * length / (zero * (depth - i) as f64);
        }
    }
    total
}
