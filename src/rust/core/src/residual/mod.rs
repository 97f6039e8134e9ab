//! Residual structures: Var(ε) = σ² W^{-1/2} R(φ) W^{-1/2}.
//!
//! The moments are cross-products of *whitened* rows; a structure says how the rows of one block (the rows of one level of
//! the finest grouping factor, in the order of the data) are whitened. The identity is the one member now: whitening by the
//! prior weights alone. A structure with parameters φ gets its moments rebuilt, or extended, at each φ.

use std::fmt::Debug;

/// Whitening of the rows of one block.
pub trait Residual: Debug + Send + Sync {
    /// Name used by callers.
    fn name(&self) -> &'static str;
    /// Whitens `block` in place: `width` columns of `rows` values each, column-major; `weights` are the prior weights of the rows.
    fn whiten(&self, block: &mut [f64], rows: usize, width: usize, weights: Option<&[f64]>);
    /// log|W^{-1/2} R W^{-1/2}| of the block.
    fn log_det(&self, rows: usize, weights: Option<&[f64]>) -> f64;
}

/// Independent residuals, variance σ²/w.
#[derive(Debug)]
pub struct Identity;

impl Residual for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }
    fn whiten(&self, block: &mut [f64], rows: usize, width: usize, weights: Option<&[f64]>) {
        let Some(weights) = weights else { return };
        for column in block[..rows * width].chunks_exact_mut(rows) {
            for (value, weight) in column.iter_mut().zip(weights) {
                *value *= weight.sqrt();
            }
        }
    }
    fn log_det(&self, _rows: usize, weights: Option<&[f64]>) -> f64 {
        weights.map_or(0.0, |weights| -weights.iter().map(|w| w.ln()).sum::<f64>())
    }
}
