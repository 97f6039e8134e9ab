//! An entry point that misbehaves on request, so that the tests can see what the bridge makes of it.

use crate::condition::guard;
use crate::interrupt::run_interruptible;
use extendr_api::prelude::*;
use rayon::prelude::*;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use wbhlm_core::error::CoreError;

/// `what`: "error", "panic", "worker panic" (each with format characters in the message), "spin" (runs up to `amount` seconds
/// or until interrupted, and returns the seconds) or "sum" (1 + 2 + ... + `amount` on the pool).
#[extendr]
fn bridge_probe(what: Robj, threads: Robj, amount: Robj) -> Robj {
    guard(|| {
        let bad = |name: &str| CoreError::Internal { what: format!("bridge_probe: bad `{name}`") };
        let what = what.as_str().ok_or_else(|| bad("what"))?;
        let threads = threads.as_integer().ok_or_else(|| bad("threads"))?.max(1) as usize;
        let amount = amount.as_real().ok_or_else(|| bad("amount"))?;
        misbehave(what, threads, amount).map(Robj::from)
    })
}

#[allow(clippy::panic, reason = "the panic is what is being tested")]
fn misbehave(what: &str, threads: usize, amount: f64) -> Result<f64, CoreError> {
    match what {
        "error" => Err(CoreError::Data { what: "100 %s of %n\0".to_string() }),
        "panic" => panic!("panic %s %n"),
        "worker panic" => run_interruptible(threads, |_| panic!("worker panic %s %n")),
        "spin" => run_interruptible(threads, |stop| {
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < amount {
                if stop.load(Ordering::Relaxed) {
                    return Err(CoreError::Interrupted);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(start.elapsed().as_secs_f64())
        }),
        "sum" => run_interruptible(threads, |_| Ok((1..=amount as u64).into_par_iter().sum::<u64>() as f64)),
        _ => Err(CoreError::Internal { what: format!("bridge_probe: unknown `{what}`") }),
    }
}

extendr_module! {
    mod probe;
    fn bridge_probe;
}
