//! Residual structures: Var(ε) = σ² W^{-1/2} R(φ) W^{-1/2}.
//!
//! The moments are cross-products of *whitened* rows; a structure says how the rows of one block (the rows of one level of
//! the finest grouping factor, in the order of the data) are whitened, and holds what it needs to know of each row of the data
//! (its session, its rater) and its parameters φ. It is immutable: at other parameters it is another structure
//! ([`Residual::at`]), for which the moments are taken anew.
//!
//! One file per structure plus one line in [`registry`]: nothing else in the core knows which structures exist.

mod ar1;
mod car1;
mod hetero;
mod product;
mod serial;

use std::fmt::Debug;
use std::sync::Arc;

pub use product::Product;

use crate::error::{CoreError, Result};

/// Which rows of the data a block holds.
#[derive(Debug, Clone, Copy)]
pub struct BlockRows<'a> {
    /// Rows of the data in the order in which they are read; `None`: that of the data.
    pub order: Option<&'a [u32]>,
    /// Position of the first row of the block in that order.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
}

impl BlockRows<'_> {
    /// The row of the data that is the k-th of the block.
    pub fn row(&self, k: usize) -> usize {
        self.order.map_or(self.start + k, |order| order[self.start + k] as usize)
    }
}

/// Whitening of the rows of one block. Parameters are *free* (any real number) inside the core and *natural* (a correlation, a ratio of
/// SDs) for the user.
pub trait Residual: Debug + Send + Sync {
    /// Name used by callers.
    fn name(&self) -> &'static str;
    /// Rows that it holds something of; `None` when it fits any data.
    fn n_rows(&self) -> Option<usize>;
    /// Whether rows are independent of each other, so that a long block may be whitened piece by piece (and rows of crossed factors one by
    /// one).
    fn is_by_row(&self) -> bool;
    /// Whitens `block` in place: `width` columns of `rows.len` values each, column-major; `weights` are the prior weights of the rows.
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>);
    /// The inverse of [`Residual::whiten`]: independent draws become draws from N(0, W^{-1/2} R W^{-1/2}).
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>);
    /// log|W^{-1/2} R W^{-1/2}| of the block.
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64;
    /// Free parameters.
    fn free(&self) -> Vec<f64>;
    /// The same structure at other free parameters, as many as [`Residual::free`] has.
    fn at(&self, free: &[f64]) -> Arc<dyn Residual>;
    /// Parameters as the user knows them.
    fn natural(&self) -> Vec<f64>;
    /// Their derivatives, each with respect to its own free parameter.
    fn natural_derivative(&self) -> Vec<f64>;
    /// Free parameters from which a search may start; the first is the model of independent rows with equal variances, or next to it.
    fn starts(&self) -> Vec<Vec<f64>>;
    /// Where a search ends: beyond, a free parameter cannot be told from infinity.
    fn reach(&self) -> Vec<(f64, f64)>;
}

/// Independent residuals, variance σ²/w.
#[derive(Debug)]
pub struct Identity;

impl Residual for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }
    fn n_rows(&self) -> Option<usize> {
        None
    }
    fn is_by_row(&self) -> bool {
        true
    }
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        let Some(weights) = weights else { return };
        for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
            for (value, weight) in column.iter_mut().zip(weights) {
                *value *= weight.sqrt();
            }
        }
    }
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        let Some(weights) = weights else { return };
        for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
            for (value, weight) in column.iter_mut().zip(weights) {
                *value /= weight.sqrt();
            }
        }
    }
    fn log_det(&self, _rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        weights.map_or(0.0, |weights| -weights.iter().map(|w| w.ln()).sum::<f64>())
    }
    fn free(&self) -> Vec<f64> {
        Vec::new()
    }
    fn at(&self, _free: &[f64]) -> Arc<dyn Residual> {
        Arc::new(Identity)
    }
    fn natural(&self) -> Vec<f64> {
        Vec::new()
    }
    fn natural_derivative(&self) -> Vec<f64> {
        Vec::new()
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        vec![Vec::new()]
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        Vec::new()
    }
}

/// What a structure is made from: a value or a code for every row of the data.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Time of every row, for serial correlation; distinct within a block.
    pub time: &'a [f64],
    /// A typical distance in time between neighbours.
    pub unit: f64,
    /// The shortest distance in time between rows of a block: where correlations end that fall to zero.
    pub shortest: f64,
    /// Stratum of every row, 1-based, for variances that differ; every stratum has rows.
    pub codes: &'a [i32],
    /// Number of strata.
    pub n_levels: usize,
}

/// A structure's entry in the registry: its name and how it is made, with parameters of its own choice.
pub type Entry = (&'static str, fn(&Input) -> Result<Arc<dyn Residual>>);

/// Every structure the core offers (contract tests loop over it).
pub fn registry() -> Vec<Entry> {
    vec![("ar1", ar1::build), ("car1", car1::build), ("hetero", hetero::build)]
}

/// The registry: structure by name.
///
/// # Errors
/// [`CoreError::Covariance`] when there is no such structure, or its input does not fit.
pub fn structure(name: &str, input: &Input) -> Result<Arc<dyn Residual>> {
    let entry = registry().into_iter().find(|(known, _)| *known == name);
    let (_, build) = entry.ok_or_else(|| CoreError::Covariance { what: format!("there is no residual structure \"{name}\"") })?;
    build(input)
}
