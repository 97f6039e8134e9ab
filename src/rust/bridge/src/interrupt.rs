//! Long computations that the user can watch and stop: workers compute, the R thread waits, listens and shows progress.
//!
//! Between two looks at the workers the R thread lets R check for interrupts and time limits and calls the R function that shows progress. Whatever
//! wants to jump out of either (an interrupt, an error, an exiting handler of the user's) is caught in C and kept; the workers are told to stop;
//! when the entry point has returned to R as a plain value, R/engine.R lets the jump go on. So no jump ever skips a Rust frame, and the user's
//! handlers see what they would have seen without us.

use crate::condition::panic_message;
use crate::convert::{named, present};
use crate::pool::pool;
use extendr_api::prelude::*;
use extendr_ffi::{R_NilValue, SEXP};
use std::cell::RefCell;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, RecvTimeoutError};
use std::time::Duration;
use wbhlm_core::error::CoreError;

/// How often the R thread looks for interrupts (Ctrl-C, Esc, time limits) and shows progress.
const POLL: Duration = Duration::from_millis(50);

extern "C" {
    /// entrypoint.c. R thread only.
    fn wbhlm_poll(callback: *mut c_void, done: c_int) -> *mut c_void;
}

thread_local! {
    /// The jump that ended the last computation, until the entry point hands it to R.
    static JUMP: RefCell<Option<Robj>> = const { RefCell::new(None) };
}

/// The jump behind [`CoreError::Interrupted`], for R to go on with.
pub fn take_jump() -> Option<Robj> {
    JUMP.with_borrow_mut(Option::take)
}

/// The function `progress` of a list of options, if there is one: it is called with the count of steps done.
pub fn progress_of(options: &Robj) -> Result<Option<Function>, CoreError> {
    let fields = named(options, "options")?;
    let Some(progress) = present(fields.get("progress")) else {
        return Ok(None);
    };
    let function = progress.as_function();
    function.map(Some).ok_or_else(|| CoreError::Design { what: "progress must be a function".to_string() })
}

/// Runs `work` on the pool with `threads` workers while the calling (R) thread polls for interrupts.
///
/// After an interrupt the flag handed to `work` is true: `work` should look at it now and then and return
/// `CoreError::Interrupted`. Whatever it returns then, the caller gets `CoreError::Interrupted`. `work` must not touch R.
pub fn run_interruptible<T, F>(threads: usize, work: F) -> Result<T, CoreError>
where
    T: Send,
    F: FnOnce(&AtomicBool) -> Result<T, CoreError> + Send,
{
    run_watched(threads, None, |stop, _| work(stop))
}

/// As [`run_interruptible`]; `work` counts the steps it has done, and at each poll the R thread hands the count to `progress`.
pub fn run_watched<T, F>(threads: usize, progress: Option<&Function>, work: F) -> Result<T, CoreError>
where
    T: Send,
    F: FnOnce(&AtomicBool, &AtomicUsize) -> Result<T, CoreError> + Send,
{
    let pool = pool(threads)?;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (sender, receiver) = sync_channel(1);
    // the closure given to in_place_scope runs on this thread, only the spawned task on a worker
    pool.in_place_scope(|scope| {
        let (flag, count) = (&stop, &done);
        scope.spawn(move |_| {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(flag, count)))
                .unwrap_or_else(|payload| Err(CoreError::Internal { what: panic_message(payload.as_ref()) }));
            // the receiver outlives the scope, so the send cannot fail
            let _ = sender.send(outcome);
        });
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(outcome) => return if stop.load(Ordering::Relaxed) { Err(CoreError::Interrupted) } else { outcome },
                Err(RecvTimeoutError::Timeout) => {
                    if !stop.load(Ordering::Relaxed) && !poll(progress, done.load(Ordering::Relaxed)) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CoreError::Internal { what: "a computation ended without a result".to_string() })
                }
            }
        }
    })
}

/// Whether to go on.
fn poll(progress: Option<&Function>, done: usize) -> bool {
    let count = c_int::try_from(done).unwrap_or(c_int::MAX);
    // SAFETY: called on the R thread only; the C function lets no longjmp out, and what it returns is protected at once
    let jump = unsafe {
        let callback = progress.map_or(R_NilValue, |function| function.get());
        let token: SEXP = wbhlm_poll(callback.cast(), count).cast();
        if token == R_NilValue {
            return true;
        }
        Robj::from_sexp(token)
    };
    JUMP.set(Some(jump));
    false
}
