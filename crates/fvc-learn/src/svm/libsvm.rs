//! The fit of a machine with Gaussian kernel by LIBSVM: the only module that calls it, and the only
//! one of this crate with `unsafe` in it.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::Once;

use libsvm_sys::{
    C_SVC, RBF, svm_check_parameter, svm_free_and_destroy_model, svm_model, svm_node,
    svm_parameter, svm_problem, svm_set_print_string_function, svm_train,
};

use super::library::Problem;
use crate::LearnError;

/// Label of a fake row; a real one has -1.
const FAKE: c_int = 1;
/// Room for the kernel matrix in MiB.
const CACHE_MIB: f64 = 200.0;

// The crate compiles LIBSVM without naming the library that its C++ needs.
#[link(name = "stdc++")]
unsafe extern "C" {}

/// What LIBSVM found.
pub(super) struct Dual {
    /// Rows of the table with what they count, by position.
    pub(super) support: Vec<(usize, f64)>,
    pub(super) intercept: f64,
}

fn failed(message: String) -> LearnError {
    LearnError::Library { library: "LIBSVM", doing: "fit a Gaussian machine", message }
}

extern "C" fn nothing(_: *const c_char) {}

/// Gives a model back to LIBSVM.
struct Owned(*mut svm_model);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the pointer is from `svm_train` and is freed here only; null is allowed. The model
        // does not own the nodes (`free_sv` is 0).
        unsafe { svm_free_and_destroy_model(&raw mut self.0) };
    }
}

pub(super) fn fit(problem: &Problem<'_>, gamma: f64) -> Result<Dual, LearnError> {
    with_model(problem, gamma, |found| read(problem, found))
}

/// Has LIBSVM fit a model, shows it to `look`, and gives it back.
fn with_model<T>(
    problem: &Problem<'_>,
    gamma: f64,
    look: impl FnOnce(&svm_model) -> Result<T, LearnError>,
) -> Result<T, LearnError> {
    static SILENT: Once = Once::new();
    SILENT.call_once(|| {
        // SAFETY: the function lives for ever and looks at nothing; the call only stores it, and
        // `Once` has it stored before any fit and by one thread.
        unsafe { svm_set_print_string_function(Some(nothing)) };
    });
    let table = problem.table;
    // One node a value and an end mark a row. Repeated rows share their nodes.
    let stride = table.width + 1;
    let mut nodes: Vec<svm_node> = Vec::with_capacity(table.len() * stride);
    for row in table.rows() {
        nodes.extend((1..).zip(row).map(|(index, &value)| svm_node { index, value }));
        nodes.push(svm_node { index: -1, value: 0.0 });
    }
    let mut labels: Vec<f64> = problem
        .rows
        .iter()
        .map(|&at| f64::from(if table.targets[at] > 0.5 { FAKE } else { -FAKE }))
        .collect();
    let base = nodes.as_mut_ptr();
    let mut starts: Vec<*mut svm_node> =
        problem.rows.iter().map(|&at| base.wrapping_add(at * stride)).collect();
    let rows = svm_problem {
        l: c_int::try_from(problem.rows.len()).map_err(|error| failed(error.to_string()))?,
        y: labels.as_mut_ptr(),
        x: starts.as_mut_ptr(),
    };
    let mut weight_labels = [-FAKE, FAKE];
    let mut weights = problem.cost;
    let parameters = svm_parameter {
        svm_type: C_SVC as c_int,
        kernel_type: RBF as c_int,
        degree: 0,
        gamma,
        coef0: 0.0,
        cache_size: CACHE_MIB,
        eps: problem.tol,
        C: 1.0,
        nr_weight: 2,
        weight_label: weight_labels.as_mut_ptr(),
        weight: weights.as_mut_ptr(),
        nu: 0.0,
        p: 0.0,
        shrinking: 1,
        // Never LIBSVM's own probabilities: it splits rows without regard to groups.
        probability: 0,
    };
    // SAFETY: `rows` and `parameters` point into vectors and arrays that outlive the call and are
    // as long as their counts say.
    let complaint = unsafe { svm_check_parameter(&raw const rows, &raw const parameters) };
    if !complaint.is_null() {
        // SAFETY: LIBSVM answers with a string literal of its own.
        let text = unsafe { CStr::from_ptr(complaint) };
        return Err(failed(text.to_string_lossy().into_owned()));
    }
    // SAFETY: as above; every start is that of a row of `nodes` that ends with index -1. A fit
    // without probabilities touches no state of the process (`rand`).
    let model = Owned(unsafe { svm_train(&raw const rows, &raw const parameters) });
    // SAFETY: null or a whole model, owned by `model`.
    match unsafe { model.0.as_ref() } {
        Some(found) => look(found),
        None => Err(failed("expected a model, found none".to_owned())),
    }
}

/// Support vectors and intercept of a model that was fitted on `problem`.
fn read(problem: &Problem<'_>, found: &svm_model) -> Result<Dual, LearnError> {
    let count = usize::try_from(found.l).unwrap_or(0);
    if found.nr_class != 2 || count == 0 || count > problem.rows.len() {
        return Err(failed(format!(
            "expected 2 classes and 1 to {} support vectors, found {} and {count}",
            problem.rows.len(),
            found.nr_class
        )));
    }
    // SAFETY: a model of two classes has two labels, one row of `l` coefficients, `l` positions and
    // one rho.
    let (first_label, coefficients, positions, rho) = unsafe {
        (
            ptr::read(found.label),
            std::slice::from_raw_parts(ptr::read(found.sv_coef).cast_const(), count),
            std::slice::from_raw_parts(found.sv_indices.cast_const(), count),
            ptr::read(found.rho),
        )
    };
    // The first label is the positive one.
    let sign = if first_label == FAKE { 1.0 } else { -1.0 };
    let mut support: BTreeMap<usize, f64> = BTreeMap::new();
    for (&position, coefficient) in positions.iter().zip(coefficients) {
        // Positions count from 1.
        let at = usize::try_from(position).ok().and_then(|at| problem.rows.get(at.checked_sub(1)?));
        let Some(&at) = at else {
            return Err(failed(format!(
                "expected a position from 1 to {}, found {position}",
                problem.rows.len()
            )));
        };
        *support.entry(at).or_default() += sign * coefficient;
    }
    Ok(Dual { support: support.into_iter().collect(), intercept: -sign * rho })
}

#[cfg(test)]
mod tests {
    use libsvm_sys::svm_predict_values;

    use super::super::kernel_model::KernelModel;
    use super::super::library::table;
    use super::*;

    #[test]
    fn our_scores_are_the_librarys() {
        let table = table();
        let rows: Vec<usize> = (0..table.len()).chain(0..10).collect();
        for (gamma, cost) in [(0.3, [1.0, 1.0]), (2.0, [10.0, 20.0]), (0.01, [0.1, 0.1])] {
            let problem = Problem { table: &table, rows: &rows, cost, tol: 1e-3 };
            let mut theirs = Vec::new();
            let dual = with_model(&problem, gamma, |found| {
                // SAFETY: a model of two classes has a label.
                let sign = if unsafe { ptr::read(found.label) } == FAKE { 1.0 } else { -1.0 };
                for row in table.rows() {
                    let mut nodes: Vec<svm_node> =
                        (1..).zip(row).map(|(index, &value)| svm_node { index, value }).collect();
                    nodes.push(svm_node { index: -1, value: 0.0 });
                    let mut decided = 0.0;
                    // SAFETY: the nodes end with index -1, and two classes have one decision value.
                    unsafe { svm_predict_values(found, nodes.as_ptr(), &raw mut decided) };
                    theirs.push(sign * decided);
                }
                read(&problem, found)
            })
            .unwrap();
            let model = KernelModel::of(
                gamma,
                dual.intercept,
                dual.support.iter().map(|&(_, coefficient)| coefficient).collect(),
                dual.support.iter().flat_map(|&(at, _)| table.row(at)).copied().collect(),
                &table,
                vec![1.0; 3],
            );
            assert!(theirs.iter().any(|score| (score - theirs[0]).abs() > 0.1 * gamma * cost[0]));
            for (row, theirs) in table.rows().zip(theirs) {
                let ours = model.margin(row);
                assert!((ours - theirs).abs() < 1e-9, "expected {theirs}, found {ours}");
            }
        }
    }
}
