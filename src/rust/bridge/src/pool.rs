//! Thread pools that survive a fork.
//!
//! rayon's global pool hangs in a forked child (`parallel::mclapply`): its threads exist only in the parent. So pools are
//! kept by process and size, and a child builds its own. A pool is never dropped: joining threads that a fork
//! left behind would wait for ever.

use crate::condition::guard;
use extendr_api::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;
use wbhlm_core::error::CoreError;

struct Kept {
    pid: u32,
    threads: usize,
    pool: &'static ThreadPool,
}

static POOLS: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// The pool of this process with `threads` workers (at least one), built at first use.
pub fn pool(threads: usize) -> Result<&'static ThreadPool, CoreError> {
    let threads = threads.max(1);
    let pid = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|kept| kept.pid == pid);
    if let Some(kept) = pools.iter().find(|kept| kept.threads == threads) {
        return Ok(kept.pool);
    }
    let built = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("wbhlm-{index}"))
        .build()
        .map_err(|error| CoreError::Internal { what: format!("no threads could be started ({error})") })?;
    let pool: &'static ThreadPool = Box::leak(Box::new(built));
    pools.push(Kept { pid, threads, pool });
    Ok(pool)
}

/// The processor cores this process may use, asked for once: the affinity mask and the limits of a container count.
#[extendr]
fn available_cores() -> Robj {
    static CORES: OnceLock<i32> = OnceLock::new();
    guard(|| Ok(Robj::from(*CORES.get_or_init(|| available_parallelism().map_or(1, |cores| cores.get() as i32)))))
}

extendr_module! {
    mod pool;
    fn available_cores;
}
