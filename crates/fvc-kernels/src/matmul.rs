//! Matrix products.

use crate::element::Element;
use crate::engine::Engine;
use crate::error::{KernelError, expect_length};
use crate::geometry::volume;
use crate::{onednn, portable};

/// `c` = `a` `b`, with `a` [m, k] or, `turned[0]`, [k, m]; `b` [k, n] or, `turned[1]`, [n, k]; `c` [m, n];
/// rows one after the other. Sums are `f32`.
///
/// # Errors
///
/// A size of zero, a slice of another length; oneDNN asked for where it is not; a failure inside it.
pub fn matmul<T: Element>(
    engine: Engine,
    [m, n, k]: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    c: &mut [f32],
) -> Result<(), KernelError> {
    if m == 0 || n == 0 || k == 0 {
        return Err(KernelError::Geometry(format!("a product of {m} x {k} and {k} x {n}")));
    }
    expect_length("a", volume("a", &[m, k])?, a.len())?;
    expect_length("b", volume("b", &[k, n])?, b.len())?;
    expect_length("c", volume("c", &[m, n])?, c.len())?;
    engine.check()?;
    if engine == Engine::OneDnn && onednn::matmul([m, n, k], turned, a, b, c)? {
        return Ok(());
    }
    portable::matmul([m, n, k], turned, a, b, c);
    Ok(())
}
