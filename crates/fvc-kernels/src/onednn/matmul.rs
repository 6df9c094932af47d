//! Matrix products through oneDNN.

#![allow(unsafe_code)]

use std::ptr::null;

use super::library::{MemoryDescriptor, OperationDescriptor, check, library};
use super::plan::{After, Binding, Key, Plan, PrimitiveDescription, cached, code, data_type, lock};
use crate::element::{Element, ElementKind};
use crate::error::KernelError;

/// One kind of product: `batch` of [m, n, k], in which numbers, and what becomes of the results.
#[derive(Clone, Copy)]
struct Product {
    batch: usize,
    sizes: [usize; 3],
    turned: [bool; 2],
    biased: bool,
    after: After,
    element: ElementKind,
    output: ElementKind,
}

fn make(product: Product) -> Result<Option<Plan>, KernelError> {
    let Product { batch, sizes: [m, n, k], turned: [turn_a, turn_b], biased, after, .. } = product;
    let library = library()?;
    let matrix = |rows: usize, columns: usize, turned: bool, number: i32| {
        let each = (rows * columns) as i64;
        let strides = if turned { [each, 1, rows as i64] } else { [each, columns as i64, 1] };
        let dims = [batch as i64, rows as i64, columns as i64];
        // One product alone is of two axes, for which there are faster implementations.
        let first = usize::from(batch == 1);
        MemoryDescriptor::by_strides(&dims[first..], number, &strides[first..])
    };
    let number = data_type(product.element);
    let a = matrix(m, k, turn_a, number)?;
    let b = matrix(k, n, turn_b, number)?;
    let c = matrix(m, n, false, data_type(product.output))?;
    let ones = [1, 1, n as i64];
    let axes = usize::from(batch == 1);
    let bias =
        MemoryDescriptor::by_strides(&ones[axes..], code::F32, &[n as i64, n as i64, 1][axes..])?;
    let mut operation = OperationDescriptor::new();
    // SAFETY: room for the descriptor; layouts filled by the library; the bias may be null.
    let status = unsafe {
        (library.call.matmul_desc_init)(
            operation.as_mut_ptr(),
            a.as_ptr(),
            b.as_ptr(),
            if biased { bias.as_ptr() } else { null() },
            c.as_ptr(),
        )
    };
    check("dnnl_matmul_desc_init", status)?;
    let description = PrimitiveDescription::new(&operation, after, None)?;
    if description.implementation().starts_with("ref") {
        return Ok(None);
    }
    let mut slots = vec![(code::ARG_SRC, &a), (code::ARG_WEIGHTS, &b), (code::ARG_DST, &c)];
    if biased {
        slots.push((code::ARG_BIAS, &bias));
    }
    Plan::new(&description, &slots, None).map(Some)
}

/// The products; false where oneDNN has nothing fast, and nothing was written.
pub(crate) fn matmul<T: Element>(
    batch: usize,
    sizes: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
    c: &mut [f32],
) -> Result<bool, KernelError> {
    let product = Product::plain::<T>(batch, sizes, turned, bias);
    run(product, a, b, bias, Binding::write(code::ARG_DST, c))
}

/// The products in memory of their own, which is not filled with zeros before; none where oneDNN has nothing
/// fast.
pub(crate) fn matmul_new<T: Element>(
    batch: usize,
    sizes: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
) -> Result<Option<Vec<f32>>, KernelError> {
    run_new(Product::plain::<T>(batch, sizes, turned, bias), a, b, bias)
}

/// GELU of one product, rounded to its factors' numbers as it is written; none where oneDNN has nothing fast.
pub(crate) fn gelu_of_matmul_new<T: Element>(
    sizes: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
) -> Result<Option<Vec<T>>, KernelError> {
    let product = Product {
        after: After::Gelu,
        output: T::KIND,
        ..Product::plain::<T>(1, sizes, turned, bias)
    };
    run_new(product, a, b, bias)
}

impl Product {
    fn plain<T: Element>(
        batch: usize,
        sizes: [usize; 3],
        turned: [bool; 2],
        bias: Option<&[f32]>,
    ) -> Self {
        let (element, output) = (T::KIND, ElementKind::F32);
        Self {
            batch,
            sizes,
            turned,
            biased: bias.is_some(),
            after: After::Nothing,
            element,
            output,
        }
    }
}

/// `R` must be the product's output.
fn run_new<T: Element, R: Element>(
    product: Product,
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
) -> Result<Option<Vec<R>>, KernelError> {
    let count = product.batch * product.sizes[0] * product.sizes[1];
    let mut c: Vec<R> = Vec::with_capacity(count);
    let to = Binding::write_new(code::ARG_DST, &mut c.spare_capacity_mut()[..count]);
    if !run(product, a, b, bias, to)? {
        return Ok(None);
    }
    // SAFETY: the vector has room for as many, and the primitive, which adds to nothing and has succeeded,
    // has written every number of its destination (whose bytes `run` compares with those of the layout).
    unsafe { c.set_len(count) };
    Ok(Some(c))
}

fn run<T: Element>(
    product: Product,
    a: &[T],
    b: &[T],
    bias: Option<&[f32]>,
    c: Binding<'_>,
) -> Result<bool, KernelError> {
    let threads = library()?.settle_threads();
    let Product { batch, sizes, turned, biased, after, element, output } = product;
    let key = Key::Matmul { batch, sizes, turned, biased, after, element, output, threads };
    let Some(plan) = cached(&key, || make(product))? else { return Ok(false) };
    let mut bindings =
        vec![Binding::read(code::ARG_SRC, a), Binding::read(code::ARG_WEIGHTS, b), c];
    bindings.extend(bias.map(|bias| Binding::read(code::ARG_BIAS, bias)));
    lock(&plan).run(&bindings)?;
    Ok(true)
}
