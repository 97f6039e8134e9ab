//! The flag by which a computation is told to end: set by whoever waits for the result, looked at by every loop that may take longer than a fraction of a
//! second, once per chunk of work. What holds the rows ([`crate::moments::rows`]) and what holds the factors ([`crate::objective`]) carry it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{CoreError, Result};

/// Lets a computation go on, or ends it.
///
/// # Errors
/// [`CoreError::Interrupted`] once `stop` is true.
#[inline]
pub fn go_on(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(CoreError::Interrupted);
    }
    Ok(())
}
