//! Matrix products through oneDNN.

#![allow(unsafe_code)]

use std::ptr::null;

use super::library::{MemoryDescriptor, OperationDescriptor, check, library};
use super::plan::{Binding, Key, Plan, PrimitiveDescription, cached, code, data_type, lock};
use crate::element::{Element, ElementKind};
use crate::error::KernelError;

fn make(
    [m, n, k]: [usize; 3],
    [turn_a, turn_b]: [bool; 2],
    element: ElementKind,
) -> Result<Option<Plan>, KernelError> {
    let library = library()?;
    let matrix = |rows: usize, columns: usize, turned: bool, number: i32| {
        let strides = if turned { [1, rows as i64] } else { [columns as i64, 1] };
        MemoryDescriptor::by_strides(&[rows as i64, columns as i64], number, &strides)
    };
    let number = data_type(element);
    let a = matrix(m, k, turn_a, number)?;
    let b = matrix(k, n, turn_b, number)?;
    let c = matrix(m, n, false, code::F32)?;
    let mut operation = OperationDescriptor::new();
    // SAFETY: room for the descriptor; layouts filled by the library; no bias.
    let status = unsafe {
        (library.call.matmul_desc_init)(
            operation.as_mut_ptr(),
            a.as_ptr(),
            b.as_ptr(),
            null(),
            c.as_ptr(),
        )
    };
    check("dnnl_matmul_desc_init", status)?;
    let description = PrimitiveDescription::new(&operation, false, None)?;
    if description.implementation().starts_with("ref") {
        return Ok(None);
    }
    let slots = [(code::ARG_SRC, &a), (code::ARG_WEIGHTS, &b), (code::ARG_DST, &c)];
    Plan::new(&description, &slots, None).map(Some)
}

/// The product; false where oneDNN has nothing fast, and nothing was written.
pub(crate) fn matmul<T: Element>(
    sizes: [usize; 3],
    turned: [bool; 2],
    a: &[T],
    b: &[T],
    c: &mut [f32],
) -> Result<bool, KernelError> {
    let threads = library()?.settle_threads();
    let key = Key::Matmul { sizes, turned, element: T::KIND, threads };
    let Some(plan) = cached(&key, || make(sizes, turned, T::KIND))? else { return Ok(false) };
    lock(&plan).run(&[
        Binding::read(code::ARG_SRC, a),
        Binding::read(code::ARG_WEIGHTS, b),
        Binding::write(code::ARG_DST, c),
    ])?;
    Ok(true)
}
