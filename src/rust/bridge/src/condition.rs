//! Errors as values: what R receives instead of a jump through Rust frames.

use crate::interrupt::take_jump;
use extendr_api::prelude::*;
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use wbhlm_core::error::CoreError;

/// Runs the body of an entry point. Its error, or its panic, comes back as an R condition object that the R side raises.
pub fn guard<F>(body: F) -> Robj
where
    F: FnOnce() -> Result<Robj, CoreError>,
{
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => condition(error.kind(), &error.to_string(), take_jump()),
        Err(payload) => {
            let error = CoreError::Internal { what: panic_message(payload.as_ref()) };
            condition(error.kind(), &error.to_string(), None)
        }
    }
}

/// The text of a caught panic.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_string()
    }
}

/// `jump`: what ended the computation from R's side, for R/engine.R to go on with.
fn condition(kind: &str, message: &str, jump: Option<Robj>) -> Robj {
    // R strings cannot hold NUL: R would jump out of here
    let message = message.replace('\0', " ");
    let specific = format!("hlm_error_{kind}");
    let mut object = match jump {
        None => list!(message = message, call = NULL),
        Some(jump) => list!(message = message, call = NULL, jump = jump),
    };
    // only a lack of memory can refuse a class on a fresh list, and then the plain list still tells the R side
    match object.set_class([specific.as_str(), "hlm_error", "error", "condition"]) {
        Ok(_) => object.into(),
        Err(_) => list!(hlm_error = specific).into(),
    }
}
