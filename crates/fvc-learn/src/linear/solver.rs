//! The optimiser of penalised logistic regression: proximal Newton with a line search.

/// How strongly coefficients are held back: `l1 * |b|_1 + l2 / 2 * |b|_2^2`; never the intercept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Penalty {
    pub(super) l1: f64,
    pub(super) l2: f64,
}

/// The minimum that was found.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    pub(super) intercept: f64,
    pub(super) coefficients: Vec<f64>,
    pub(super) iterations: u32,
    /// Largest component of the minimum-norm subgradient of the mean objective.
    pub(super) gradient: f64,
    pub(super) converged: bool,
}

/// Rows with targets 0 or 1 and weights of the loss that add up to 1.
pub(super) struct Problem<'a> {
    pub(super) width: usize,
    /// Row-major, `rows x width`.
    pub(super) values: &'a [f64],
    pub(super) targets: &'a [f64],
    pub(super) weights: &'a [f64],
    pub(super) penalty: Penalty,
}

/// Most halvings of a step.
const MAX_HALVINGS: u32 = 40;
/// Most sweeps of coordinate descent in one Newton step.
const MAX_SWEEPS: u32 = 1_000;
/// Share of the predicted decrease that a step must bring (Armijo).
const ARMIJO: f64 = 1e-4;

impl Problem<'_> {
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// `X b + b0`, one value a row. `point` holds the coefficients, then the intercept.
    fn margins(&self, point: &[f64]) -> Vec<f64> {
        self.rows()
            .map(|row| row.iter().zip(point).map(|(x, b)| x * b).sum::<f64>() + point[self.width])
            .collect()
    }

    fn loss(&self, margins: &[f64]) -> f64 {
        margins
            .iter()
            .zip(self.targets)
            .zip(self.weights)
            .map(|((&margin, &target), &weight)| {
                // log(1 + e^m) - y m, written so that neither side overflows.
                weight * (margin.max(0.0) - target * margin + (-margin.abs()).exp().ln_1p())
            })
            .sum()
    }

    fn penalty_of(&self, point: &[f64]) -> f64 {
        let Penalty { l1, l2 } = self.penalty;
        point[..self.width].iter().map(|b| l1 * b.abs() + 0.5 * l2 * b * b).sum()
    }

    /// Gradient and upper triangle (stored whole) of the Hessian of the loss, without the penalty.
    fn derivatives(&self, margins: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let size = self.width + 1;
        let mut gradient = vec![0.0; size];
        let mut hessian = vec![0.0; size * size];
        for (((row, &margin), &target), &weight) in
            self.rows().zip(margins).zip(self.targets).zip(self.weights)
        {
            let probability = crate::model_body::logistic(margin);
            let slope = weight * (probability - target);
            let curvature = weight * probability * (1.0 - probability);
            for (at, &x) in row.iter().enumerate() {
                gradient[at] += slope * x;
                let scaled = curvature * x;
                for (entry, &y) in
                    hessian[at * size + at..at * size + self.width].iter_mut().zip(&row[at..])
                {
                    *entry += scaled * y;
                }
                hessian[at * size + self.width] += scaled;
            }
            gradient[self.width] += slope;
            hessian[size * size - 1] += curvature;
        }
        for row in 0..size {
            for column in 0..row {
                hessian[row * size + column] = hessian[column * size + row];
            }
        }
        (gradient, hessian)
    }

    /// The subgradient of smallest norm, by component: 0 everywhere exactly at the minimum.
    fn violation(&self, at: usize, value: f64, slope: f64) -> f64 {
        if at == self.width {
            return slope.abs();
        }
        let Penalty { l1, l2 } = self.penalty;
        let smooth = slope + l2 * value;
        if value > 0.0 {
            (smooth + l1).abs()
        } else if value < 0.0 {
            (smooth - l1).abs()
        } else {
            (smooth.abs() - l1).max(0.0)
        }
    }

    fn largest_violation(&self, point: &[f64], gradient: &[f64]) -> f64 {
        point
            .iter()
            .zip(gradient)
            .enumerate()
            .map(|(at, (&value, &slope))| self.violation(at, value, slope))
            .fold(0.0, f64::max)
    }

    /// Minimises the mean objective until its subgradient is at most `tolerance`.
    pub(super) fn solve(&self, tolerance: f64, max_iterations: u32) -> Solution {
        let size = self.width + 1;
        let mut point = vec![0.0; size];
        let mut margins = vec![0.0; self.targets.len()];
        let mut objective = self.loss(&margins);
        let mut iterations = 0;
        let (mut gradient, mut hessian) = self.derivatives(&margins);
        let mut violation = self.largest_violation(&point, &gradient);
        while violation > tolerance && iterations < max_iterations {
            iterations += 1;
            let step = if self.penalty.l1 == 0.0 {
                self.newton_step(&point, &gradient, hessian)
            } else {
                self.proximal_step(
                    &point,
                    &gradient,
                    &hessian,
                    (0.1 * violation).min(violation * violation).max(0.1 * tolerance),
                )
            };
            let along = self.margins(&step);
            let full: Vec<f64> =
                point.iter().zip(&step).map(|(value, move_by)| value + move_by).collect();
            // What the step promises: the slope of the smooth loss along it and the whole change
            // of the penalty (Lee, Sun and Saunders 2014, eq. 2.11).
            let promised =
                gradient.iter().zip(&step).map(|(slope, move_by)| slope * move_by).sum::<f64>()
                    + self.penalty_of(&full)
                    - self.penalty_of(&point);
            let mut length = 1.0;
            let mut taken = None;
            for _ in 0..MAX_HALVINGS {
                let tried: Vec<f64> = point
                    .iter()
                    .zip(&step)
                    .map(|(value, move_by)| value + length * move_by)
                    .collect();
                let tried_margins: Vec<f64> = margins
                    .iter()
                    .zip(&along)
                    .map(|(margin, move_by)| margin + length * move_by)
                    .collect();
                let value = self.loss(&tried_margins) + self.penalty_of(&tried);
                // The last steps are lost in the rounding of the objective: equal is good enough.
                if value
                    <= objective
                        + ARMIJO * length * promised.min(0.0)
                        + 4.0 * f64::EPSILON * objective.abs()
                {
                    taken = Some((tried, value));
                    break;
                }
                length *= 0.5;
            }
            let Some((tried, value)) = taken else { break };
            point = tried;
            objective = value;
            // Anew rather than by adding: rounding must not pile up over the iterations.
            margins = self.margins(&point);
            (gradient, hessian) = self.derivatives(&margins);
            violation = self.largest_violation(&point, &gradient);
        }
        let intercept = point[self.width];
        point.truncate(self.width);
        Solution {
            intercept,
            coefficients: point,
            iterations,
            gradient: violation,
            converged: violation <= tolerance,
        }
    }

    /// The Newton step of the smooth objective: `-(H + l2 I)^-1 (g + l2 b)`.
    fn newton_step(&self, point: &[f64], gradient: &[f64], mut hessian: Vec<f64>) -> Vec<f64> {
        let size = self.width + 1;
        let l2 = self.penalty.l2;
        let mut right = vec![0.0; size];
        for at in 0..size {
            let inside = at < self.width;
            right[at] = -gradient[at] - if inside { l2 * point[at] } else { 0.0 };
            if inside {
                hessian[at * size + at] += l2;
            }
        }
        let largest = (0..size).map(|at| hessian[at * size + at]).fold(f64::MIN_POSITIVE, f64::max);
        // Without a penalty the Hessian may be singular (dependent columns, separated classes);
        // the smallest ridge that makes it solvable keeps the step a direction of descent.
        let mut ridge = 0.0;
        loop {
            if let Some(solved) = solve_positive(&hessian, size, ridge, &right) {
                return solved;
            }
            ridge = if ridge == 0.0 { largest * 1e-14 } else { ridge * 100.0 };
            if !(ridge.is_finite() && ridge < largest * 1e6) {
                return right;
            }
        }
    }

    /// Minimises the quadratic model of the loss plus the penalty by cyclic coordinate descent
    /// with covariance updates, until no component violates it by more than `tolerance`.
    fn proximal_step(
        &self,
        point: &[f64],
        gradient: &[f64],
        hessian: &[f64],
        tolerance: f64,
    ) -> Vec<f64> {
        let size = self.width + 1;
        let Penalty { l1, l2 } = self.penalty;
        let largest = (0..size).map(|at| hessian[at * size + at]).fold(f64::MIN_POSITIVE, f64::max);
        let mut step = vec![0.0; size];
        // The gradient of the quadratic model at point + step.
        let mut slope = gradient.to_vec();
        for _ in 0..MAX_SWEEPS {
            let mut worst = 0.0_f64;
            for at in 0..size {
                let value = point[at] + step[at];
                worst = worst.max(self.violation(at, value, slope[at]));
                // A floor for columns that no undecided row reaches.
                let curvature = hessian[at * size + at] + 1e-14 * largest;
                let moved = if at == self.width {
                    value - slope[at] / curvature
                } else {
                    soft(curvature * value - slope[at], l1) / (curvature + l2)
                };
                let change = moved - value;
                if change != 0.0 {
                    step[at] += change;
                    for (own, entry) in slope.iter_mut().zip(&hessian[at * size..(at + 1) * size]) {
                        *own += entry * change;
                    }
                }
            }
            if worst <= tolerance {
                break;
            }
        }
        step
    }
}

/// Soft threshold.
fn soft(value: f64, by: f64) -> f64 {
    if value > by {
        value - by
    } else if value < -by {
        value + by
    } else {
        0.0
    }
}

/// Solves `(A + ridge I) x = b` by Cholesky; nothing when that matrix is not positive definite.
fn solve_positive(matrix: &[f64], size: usize, ridge: f64, right: &[f64]) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let (above, below) = (
                &lower[column * size..column * size + column],
                &lower[row * size..row * size + column],
            );
            let mut value = matrix[row * size + column]
                - above.iter().zip(below).map(|(a, b)| a * b).sum::<f64>();
            if row == column {
                value += ridge;
                // Below this a pivot is rounding of what was subtracted.
                if value.is_nan() || value <= 1e-14 * matrix[row * size + row].abs() {
                    return None;
                }
                lower[row * size + row] = value.sqrt();
            } else {
                lower[row * size + column] = value / lower[column * size + column];
            }
        }
    }
    let mut solved = right.to_vec();
    for row in 0..size {
        let known: f64 = (0..row).map(|at| lower[row * size + at] * solved[at]).sum();
        solved[row] = (solved[row] - known) / lower[row * size + row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|at| lower[at * size + row] * solved[at]).sum();
        solved[row] = (solved[row] - known) / lower[row * size + row];
    }
    solved.iter().all(|value| value.is_finite()).then_some(solved)
}
