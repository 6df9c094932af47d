//! Order statistics: medians and spreads that a few outliers cannot move.

/// Median; of an even number the mean of the two in the middle. NaN of none. Reorders its input.
pub(crate) fn median(values: &mut [f32]) -> f32 {
    let count = values.len();
    if count == 0 {
        return f32::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(count / 2, f32::total_cmp);
    if count % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f32::midpoint(lower, upper)
}

/// Median and 1.4826 · median |x − median|, the standard deviation of a normal distribution.
pub(crate) fn centre_and_spread(values: &[f32], scratch: &mut Vec<f32>) -> (f32, f32) {
    scratch.clear();
    scratch.extend_from_slice(values);
    let centre = median(scratch);
    for value in scratch.iter_mut() {
        *value = (*value - centre).abs();
    }
    (centre, 1.4826 * median(scratch))
}

/// The value below which a share of the values lies (the nearest rank). NaN of none.
pub(crate) fn quantile(values: &mut [f32], share: f32) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let rank = ((values.len() - 1) as f32 * share + 0.5) as usize;
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Natural logarithm, the same bits on every machine: the C library's differs by instruction set.
pub(crate) fn ln(value: f32) -> f32 {
    libm::logf(value)
}
