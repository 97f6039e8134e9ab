//! The bridge between R and `wbhlm-core`: thin, and every error a value.
//!
//! Rules of this crate, each learnt from a crash:
//! - an entry point takes `Robj` and returns `guard(|| ...)`: conversions fail as values, a panic becomes a value,
//!   and extendr never has an error of its own to throw (it would use our message as a format string);
//! - worker threads never touch R; the R thread stays outside the pool and polls for interrupts;
//! - arguments are read as slices and never written to: R objects may be shared.
//!
//! Each module with entry points has its own `extendr_module!` block and one `use` line below.

mod bootstrap;
mod condition;
mod convert;
mod fit;
mod groups;
mod hashing;
mod interrupt;
mod lists;
mod pool;
mod probe;
mod profile;
mod replicates;
mod simulation;
mod study;
mod vectors;

use extendr_api::prelude::*;

extendr_module! {
    mod wbhlm;
    use bootstrap;
    use fit;
    use groups;
    use pool;
    use probe;
    use profile;
    use simulation;
}
