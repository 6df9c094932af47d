//! Matrix products.

use crate::element::{Element, ElementKind};
use crate::engine::Engine;
use crate::error::{KernelError, expect_length};
use crate::geometry::volume;
use crate::rows::gelu_forward;
use crate::{onednn, portable};

/// `c` = `a` `b`, with `a` [m, k] or, `turned[0]`, [k, m]; `b` [k, n] or, `turned[1]`, [n, k]; `c` [m, n];
/// rows one after the other. Sums are `f32`.
///
/// # Errors
///
/// A size of zero, a slice of another length; oneDNN asked for where it is not; a failure inside it.
pub fn matmul<T: Element>(
    engine: Engine,
    sizes: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    c: &mut [f32],
) -> Result<(), KernelError> {
    matmul_of_batch(engine, 1, sizes, turned, a, b, None, c)
}

/// As many products as [`matmul`] gives one, one after the other in each slice; `bias` [n] is added to every
/// row of all.
///
/// # Errors
///
/// As [`matmul`]'s.
#[allow(clippy::too_many_arguments, reason = "as a matrix product has everywhere")]
pub fn matmul_of_batch<T: Element>(
    engine: Engine,
    batch: usize,
    [m, n, k]: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
    c: &mut [f32],
) -> Result<(), KernelError> {
    check(batch, [m, n, k], a.len(), b.len(), bias)?;
    expect_length("c", volume("c", &[batch, m, n])?, c.len())?;
    engine.check()?;
    if engine == Engine::OneDnn && onednn::matmul(batch, [m, n, k], turned, a, b, bias, &mut *c)? {
        return Ok(());
    }
    let each = a.chunks_exact(m * k).zip(b.chunks_exact(k * n)).zip(c.chunks_exact_mut(m * n));
    for ((a, b), c) in each {
        portable::matmul([m, n, k], turned, a, b, bias, c);
    }
    Ok(())
}

fn check(
    batch: usize,
    [m, n, k]: [usize; 3],
    a: usize,
    b: usize,
    bias: Option<&[f32]>,
) -> Result<(), KernelError> {
    if batch == 0 || m == 0 || n == 0 || k == 0 {
        return Err(KernelError::Geometry(format!("{batch} products of {m} x {k} and {k} x {n}")));
    }
    expect_length("a", volume("a", &[batch, m, k])?, a)?;
    expect_length("b", volume("b", &[batch, k, n])?, b)?;
    if let Some(bias) = bias {
        expect_length("bias", n, bias.len())?;
    }
    Ok(())
}

/// [`matmul_of_batch`] into memory of its own: what a layer hands on. Filling it with zeros before would take
/// an eighth of a vision transformer's pass.
///
/// # Errors
///
/// As [`matmul`]'s.
pub fn product_of_batch<T: Element>(
    engine: Engine,
    batch: usize,
    [m, n, k]: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
) -> Result<Vec<f32>, KernelError> {
    check(batch, [m, n, k], a.len(), b.len(), bias)?;
    let count = volume("c", &[batch, m, n])?;
    engine.check()?;
    if engine == Engine::OneDnn
        && let Some(c) = onednn::matmul_new(batch, [m, n, k], turned, a, b, bias)?
    {
        return Ok(c);
    }
    let mut c = vec![0.0; count];
    matmul_of_batch(Engine::Portable, batch, [m, n, k], turned, a, b, bias, &mut c)?;
    Ok(c)
}

/// GELU (Hendrycks and Gimpel 2016) of a product, `a` [m, k] times the transpose of `b` [n, k] plus the bias,
/// rounded to the numbers that were multiplied: what a feed-forward layer hands to the next. In one pass where
/// the engine has one, which spares writing and reading the products as f32.
///
/// # Errors
///
/// As [`matmul`]'s.
pub fn gelu_of_product<T: Element>(
    engine: Engine,
    [m, n, k]: [usize; 3],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
) -> Result<Vec<T>, KernelError> {
    let turned = [false, true];
    check(1, [m, n, k], a.len(), b.len(), bias)?;
    engine.check()?;
    // In f32 nothing is rounded between the two, and scores stay those of training to the bit.
    if engine == Engine::OneDnn
        && T::KIND != ElementKind::F32
        && let Some(c) = onednn::gelu_of_matmul_new([m, n, k], turned, a, b, bias)?
    {
        return Ok(c);
    }
    let products = product_of_batch(engine, 1, [m, n, k], turned, a, b, bias)?;
    let mut own = vec![T::ZERO; products.len()];
    gelu_forward(&products, &mut own)?;
    Ok(own)
}
