//! What the entry points that compute many replicates have in common: options, the watch over a computation, and replicates as flat vectors
//! in R's column-major order (replicates × parameters).

use crate::convert::wrong;
use crate::interrupt::run_watched;
use extendr_api::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wbhlm_core::error::CoreError;
use wbhlm_core::estimates::Brief;
use wbhlm_core::replicates::{Replicate, ReplicateStatus};

/// `options$seed`: a whole number, not negative.
pub fn seed_of(options: &HashMap<String, Robj>) -> Result<u64, CoreError> {
    let seed = options.get("seed").and_then(Robj::as_real).filter(|s| s.is_finite() && *s >= 0.0 && s.fract() == 0.0);
    Ok(seed.ok_or_else(|| wrong("seed must be a whole number, not negative"))? as u64)
}

/// `options$progress`: function(done), or NULL.
pub fn progress_of(options: &HashMap<String, Robj>) -> Result<Option<Function>, CoreError> {
    match options.get("progress").filter(|p| !p.is_null()) {
        None => Ok(None),
        Some(progress) => Ok(Some(progress.as_function().ok_or_else(|| wrong("progress must be a function"))?)),
    }
}

/// Runs `task` on the pool; the R thread hands the count of replicates done to `progress` now and then.
pub fn watched<T: Send>(
    threads: usize,
    progress: Option<&Function>,
    task: impl FnOnce(&AtomicBool, &AtomicUsize) -> Result<T, CoreError> + Send,
) -> Result<T, CoreError> {
    let done = AtomicUsize::new(0);
    let mut broken = false;
    // extendr evaluates at R's top level: neither an error nor an interrupt in the callback jumps out of here. It returns FALSE to stop; after an
    // error it is not called again.
    let mut watch = || match progress {
        Some(progress) if !broken => {
            let count = done.load(Ordering::Relaxed) as i32;
            let answer = progress.call(pairlist!(count));
            broken = answer.is_err();
            answer.ok().and_then(|answer| answer.as_bool()).unwrap_or(true)
        }
        _ => true,
    };
    run_watched(threads, &mut watch, |stop| task(stop, &done))
}

/// 1 converged, 2 boundary, 3 failed, 4 unidentified.
pub fn status_code(status: ReplicateStatus) -> i32 {
    match status {
        ReplicateStatus::Converged => 1,
        ReplicateStatus::Boundary => 2,
        ReplicateStatus::Failed => 3,
        ReplicateStatus::Unidentified => 4,
    }
}

/// `value(replicate, k)` for k = 0..width and all replicates.
pub fn by_column<R>(replicates: &[R], width: usize, value: impl Fn(&R, usize) -> f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(replicates.len() * width);
    for k in 0..width {
        out.extend(replicates.iter().map(|replicate| value(replicate, k)));
    }
    out
}

/// The parameters of replicates: beta, theta, sigma, criterion, status, free.
pub fn parameters<R>(
    replicates: &[R],
    p: usize,
    m: usize,
    residual: usize,
    of: impl Fn(&R) -> &Replicate,
) -> Vec<(&'static str, Robj)> {
    let brief = |r: &R, value: &dyn Fn(&Brief) -> f64| of(r).parameters.as_ref().map_or(f64::NAN, value);
    vec![
        ("beta", by_column(replicates, p, |r, k| brief(r, &|b| b.beta[k])).into()),
        ("theta", by_column(replicates, m, |r, k| brief(r, &|b| b.theta[k])).into()),
        ("sigma", by_column(replicates, 1, |r, _| brief(r, &|b| b.sigma)).into()),
        ("criterion", by_column(replicates, 1, |r, _| brief(r, &|b| b.criterion)).into()),
        ("status", replicates.iter().map(|r| status_code(of(r).status)).collect::<Vec<i32>>().into()),
        ("free", by_column(replicates, residual, |r, k| of(r).free.get(k).copied().unwrap_or(f64::NAN)).into()),
    ]
}
