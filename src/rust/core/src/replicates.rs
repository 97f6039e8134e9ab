//! Many independent tasks of the same kind: on the pool they are called in, with workers handed on from task to task.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::estimates::Brief;
use crate::fit::Status;
use crate::stop::go_on;

/// Runs `task` for 0..count; `done` counts. A worker (buffers, a copy of the moments) is made where none is idle; what a task finds must not depend
/// on it.
///
/// # Errors
/// The task's; [`CoreError::Interrupted`] once `stop` is true.
pub fn each<W: Send, T: Send>(
    count: usize,
    stop: &AtomicBool,
    done: &AtomicUsize,
    worker: impl Fn() -> W + Sync,
    task: impl Fn(&mut W, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let idle: Mutex<Vec<W>> = Mutex::new(Vec::new());
    let lock = || idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    (0..count)
        .into_par_iter()
        .map(|i| {
            go_on(stop)?;
            let waiting = lock().pop();
            let mut worker_here = waiting.unwrap_or_else(&worker);
            let result = task(&mut worker_here, i);
            lock().push(worker_here);
            done.fetch_add(1, Ordering::Relaxed);
            result
        })
        .collect()
}

/// How the fit of a replicate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicateStatus {
    /// Interior optimum.
    Converged,
    /// Optimum on the boundary.
    Boundary,
    /// No optimum was found; the parameters are those of the last point.
    Failed,
    /// The sample does not identify the model (a predictor without variation, no residual): there are no parameters.
    Unidentified,
}

impl From<Status> for ReplicateStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Converged => ReplicateStatus::Converged,
            Status::Boundary => ReplicateStatus::Boundary,
            Status::Failed => ReplicateStatus::Failed,
        }
    }
}

/// A replicate's status and parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicate {
    /// How it ended.
    pub status: ReplicateStatus,
    /// Its parameters.
    pub parameters: Option<Brief>,
    /// Free parameters of its residual structure.
    pub free: Vec<f64>,
}

impl Replicate {
    /// One that does not identify the model.
    pub fn unidentified() -> Self {
        Replicate { status: ReplicateStatus::Unidentified, parameters: None, free: Vec::new() }
    }

    /// From a fit. Data that cannot be fitted are no error but a status.
    ///
    /// # Errors
    /// All others.
    pub fn of(found: Result<(Status, Brief, Vec<f64>)>) -> Result<Self> {
        Ok(identified(found)?.map_or_else(Self::unidentified, |(status, parameters, free)| Replicate {
            status: status.into(),
            parameters: Some(parameters),
            free,
        }))
    }
}

/// What was found, or `None` where the data cannot identify it.
///
/// # Errors
/// All but [`CoreError::Data`] and [`CoreError::Numerical`].
pub fn identified<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(CoreError::Data { .. } | CoreError::Numerical { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
