//! Residual structures: Var(ε) = σ² W^{-1/2} R(φ) W^{-1/2}.
//!
//! The moments are cross-products of *whitened* rows; a structure says how the rows of one block (the rows of one level of
//! the finest grouping factor, in the order of the data) are whitened, and holds what it needs to know of each row of the data
//! (its session, its rater). The identity is the one member now: whitening by the prior weights alone. A structure with
//! parameters φ gets its moments rebuilt, or extended, at each φ.

use std::fmt::Debug;

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

/// Whitening of the rows of one block.
pub trait Residual: Debug + Send + Sync {
    /// Name used by callers.
    fn name(&self) -> &'static str;
    /// Whether rows are independent of each other, so that a long block may be whitened piece by piece (and rows of crossed factors one by
    /// one).
    fn is_by_row(&self) -> bool;
    /// Whitens `block` in place: `width` columns of `rows.len` values each, column-major; `weights` are the prior weights of the rows.
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>);
    /// log|W^{-1/2} R W^{-1/2}| of the block.
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64;
}

/// Independent residuals, variance σ²/w.
#[derive(Debug)]
pub struct Identity;

impl Residual for Identity {
    fn name(&self) -> &'static str {
        "identity"
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
    fn log_det(&self, _rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        weights.map_or(0.0, |weights| -weights.iter().map(|w| w.ln()).sum::<f64>())
    }
}
