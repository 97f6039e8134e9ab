//! What the entry points that compute many replicates have in common: options, and replicates as flat vectors
//! in R's column-major order (replicates × parameters).

use crate::convert::{count, named, wrong};
use crate::fit::control_of;
use crate::interrupt::{progress_of, run_watched};
use crate::lists::Fields;
use extendr_api::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use wbhlm_core::error::CoreError;
use wbhlm_core::estimates::Brief;
use wbhlm_core::optimize::Control;
use wbhlm_core::replicates::{Replicate, ReplicateStatus};

/// How many replicates, from which random numbers, and how they are computed.
pub struct Replication {
    pub replicates: usize,
    pub seed: u64,
    pub control: Control,
    threads: usize,
    progress: Option<Function>,
}

impl Replication {
    /// From R's options: nsim, seed, threads, progress, max_iter, tol, start; and all options by name.
    pub fn of(options: &Robj) -> Result<(Self, Fields<'_>), CoreError> {
        let fields = named(options, "options")?;
        let (control, threads) = control_of(options)?;
        let replication = Replication {
            replicates: count(fields.get("nsim"), 1, "nsim")?,
            seed: seed_of(fields.get("seed"))?,
            control,
            threads,
            progress: progress_of(options)?,
        };
        Ok((replication, fields))
    }

    /// Runs `task` on the pool, watched from R.
    pub fn watched<T: Send>(
        &self,
        task: impl FnOnce(&AtomicBool, &AtomicUsize) -> Result<T, CoreError> + Send,
    ) -> Result<T, CoreError> {
        run_watched(self.threads, self.progress.as_ref(), task)
    }
}

/// A seed: a whole number, not negative.
pub fn seed_of(seed: Option<&Robj>) -> Result<u64, CoreError> {
    let seed = seed.and_then(Robj::as_real).filter(|s| s.is_finite() && *s >= 0.0 && s.fract() == 0.0);
    Ok(seed.ok_or_else(|| wrong("seed must be a whole number, not negative"))? as u64)
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
