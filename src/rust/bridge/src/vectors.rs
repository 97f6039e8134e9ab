//! R vectors as slices, and fresh R vectors to write results into.

use extendr_api::prelude::*;
use extendr_ffi::{Rf_allocVector, Rf_xlength, SEXP, SEXPTYPE, STRING_PTR_RO, TYPEOF};
use wbhlm_core::error::CoreError;

/// A fresh integer vector of `n` zeros.
pub fn integer_vector(n: usize) -> Result<Robj, CoreError> {
    let mut vector = fresh(SEXPTYPE::INTSXP, n)?;
    vector.as_integer_slice_mut().unwrap_or_default().fill(0);
    Ok(vector)
}

fn fresh(kind: SEXPTYPE, n: usize) -> Result<Robj, CoreError> {
    if n > i32::MAX as usize {
        return Err(CoreError::Data { what: format!("{n} rows are more than 2^31 - 1, the most this package handles") });
    }
    // SAFETY: on the R thread; `from_sexp` protects the vector at once
    Ok(single_threaded(|| unsafe { Robj::from_sexp(Rf_allocVector(kind, n as isize)) }))
}

/// The interned strings of a character vector, compared by address; `None` for other types.
pub fn string_pointers(x: &Robj) -> Option<&[SEXP]> {
    // SAFETY: the slice lives no longer than `x`, which protects the vector, and nothing writes to it
    unsafe {
        let sexp = x.get();
        if TYPEOF(sexp) != SEXPTYPE::STRSXP {
            return None;
        }
        let n = Rf_xlength(sexp) as usize;
        // R hands out an invalid address for an empty vector
        Some(if n == 0 { &[] } else { std::slice::from_raw_parts(STRING_PTR_RO(sexp), n) })
    }
}
