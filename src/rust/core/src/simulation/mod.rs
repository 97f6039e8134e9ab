//! Simulation: many outcomes for one design ([`refit_many`]), and whole studies drawn anew and analysed ([`study`]).
//!
//! Random numbers are those of [`crate::bootstrap::rng`]: the stream of a replicate is its number, so that replicates are the same whatever the threads, and
//! may be computed in parts ([`Options::first`]).

pub mod coefficients;
pub mod refit_many;
pub mod study;

use crate::error::{CoreError, Result};
use crate::optimize::Control;
use crate::replicates::{Replicate, ReplicateStatus};

pub use self::coefficients::Tests;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of replicates.
    pub replicates: usize,
    /// Number of the first one: its stream, and its place among the outcomes.
    pub first: usize,
    /// Seed of all streams.
    pub seed: u64,
    /// Settings of the optimiser.
    pub control: Control,
    /// Standard errors and degrees of freedom of the coefficients.
    pub tests: Tests,
    /// Combinations of the kept coefficients that are tested, too.
    pub contrasts: Vec<Vec<f64>>,
}

impl Options {
    /// Checks that every contrast has a weight for each of `p` coefficients.
    ///
    /// # Errors
    /// [`CoreError::Design`] otherwise.
    pub(crate) fn check_contrasts(&self, p: usize) -> Result<()> {
        if self.contrasts.iter().any(|l| l.len() != p) {
            return Err(CoreError::Design {
                what: format!("a contrast does not have one weight for each of the {p} coefficients"),
            });
        }
        Ok(())
    }
}

/// A replicate with the tests of its coefficients.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// Parameters and status.
    pub replicate: Replicate,
    /// Standard errors of the kept coefficients, then of the contrasts; empty where there are no parameters.
    pub se: Vec<f64>,
    /// Degrees of freedom; empty where none are known.
    pub df: Vec<f64>,
    /// Criterion and status of every reduced model.
    pub reduced: Vec<(f64, ReplicateStatus)>,
}

impl Tested {
    /// A replicate that does not identify the model, nor the `reduced` smaller ones.
    pub fn unidentified(reduced: usize) -> Self {
        let none = (f64::NAN, ReplicateStatus::Unidentified);
        Tested { replicate: Replicate::unidentified(), se: Vec::new(), df: Vec::new(), reduced: vec![none; reduced] }
    }
}
