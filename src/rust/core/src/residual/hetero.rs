//! A residual SD for every stratum (occasion, rater, group of persons): σ in the first, σ δ_g in the others. Free: log δ_g.

use std::sync::Arc;

use super::{BlockRows, Identity, Input, Residual};
use crate::error::{CoreError, Result};

/// An SD this many powers of e away from the first is zero, or infinite.
const REACH: f64 = 12.0;

#[derive(Debug)]
struct Hetero {
    codes: Arc<[i32]>,
    free: Vec<f64>,
}

/// See [`super::registry`].
pub fn build(input: &Input) -> Result<Arc<dyn Residual>> {
    if input.n_levels < 2 || input.codes.iter().any(|&c| c < 1 || c as usize > input.n_levels) {
        return Err(CoreError::Covariance { what: "\"hetero\" needs two or more strata, and one for every row".into() });
    }
    Ok(Arc::new(Hetero { codes: input.codes.into(), free: vec![0.0; input.n_levels - 1] }))
}

impl Hetero {
    fn log_ratio(&self, row: usize) -> f64 {
        match self.codes[row] {
            1 => 0.0,
            code => self.free[code as usize - 2],
        }
    }

    fn scale(&self, rows: BlockRows, block: &mut [f64], width: usize, sign: f64) {
        let factors: Vec<f64> = (0..rows.len).map(|k| (sign * self.log_ratio(rows.row(k))).exp()).collect();
        for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
            column.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
        }
    }
}

impl Residual for Hetero {
    fn name(&self) -> &'static str {
        "hetero"
    }
    fn n_rows(&self) -> Option<usize> {
        Some(self.codes.len())
    }
    fn is_by_row(&self) -> bool {
        true
    }
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        Identity.whiten(rows, block, width, weights);
        self.scale(rows, block, width, -1.0);
    }
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        self.scale(rows, block, width, 1.0);
        Identity.colour(rows, block, width, weights);
    }
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        Identity.log_det(rows, weights) + 2.0 * (0..rows.len).map(|k| self.log_ratio(rows.row(k))).sum::<f64>()
    }
    fn free(&self) -> Vec<f64> {
        self.free.clone()
    }
    fn at(&self, free: &[f64]) -> Arc<dyn Residual> {
        Arc::new(Hetero { codes: self.codes.clone(), free: free.to_vec() })
    }
    fn natural(&self) -> Vec<f64> {
        self.free.iter().map(|f| f.exp()).collect()
    }
    fn natural_derivative(&self) -> Vec<f64> {
        self.natural()
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        vec![vec![0.0; self.free.len()]]
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        vec![(-REACH, REACH); self.free.len()]
    }
}
