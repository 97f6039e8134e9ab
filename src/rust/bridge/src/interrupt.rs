//! Long computations that the user can stop: workers compute, the R thread waits and listens.

use crate::condition::panic_message;
use crate::pool::pool;
use std::os::raw::c_int;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{sync_channel, RecvTimeoutError};
use std::time::Duration;
use wbhlm_core::error::CoreError;

/// How often the R thread asks whether the user pressed Ctrl-C or Esc.
const POLL: Duration = Duration::from_millis(50);

extern "C" {
    /// entrypoint.c: `R_CheckUserInterrupt` inside `R_ToplevelExec`. R thread only.
    fn wbhlm_interrupt_pending() -> c_int;
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
    run_watched(threads, &mut || true, work)
}

/// As [`run_interruptible`]; between two polls the R thread calls `watch`, which may touch R (to show progress), must let no longjmp out, and
/// ends the computation by returning false.
pub fn run_watched<T, F>(threads: usize, watch: &mut dyn FnMut() -> bool, work: F) -> Result<T, CoreError>
where
    T: Send,
    F: FnOnce(&AtomicBool) -> Result<T, CoreError> + Send,
{
    let pool = pool(threads)?;
    let stop = AtomicBool::new(false);
    let (sender, receiver) = sync_channel(1);
    // the closure given to in_place_scope runs on this thread, only the spawned task on a worker
    pool.in_place_scope(|scope| {
        let flag = &stop;
        scope.spawn(move |_| {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(flag)))
                .unwrap_or_else(|payload| Err(CoreError::Internal { what: panic_message(payload.as_ref()) }));
            // the receiver outlives the scope, so the send cannot fail
            let _ = sender.send(outcome);
        });
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(outcome) => return if stop.load(Ordering::Relaxed) { Err(CoreError::Interrupted) } else { outcome },
                Err(RecvTimeoutError::Timeout) => {
                    if !stop.load(Ordering::Relaxed) && (interrupt_pending() || !watch()) {
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

fn interrupt_pending() -> bool {
    // SAFETY: called on the R thread only, and the C function lets no longjmp out
    unsafe { wbhlm_interrupt_pending() != 0 }
}
