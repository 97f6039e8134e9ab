//! Structures one inside the other: R = D_1 ... D_k with D_1 the outermost, as SDs that differ around serial correlation,
//! R = S C S: rows are whitened by the outer structure first.

use std::sync::Arc;

use super::{BlockRows, Residual};
use crate::error::{CoreError, Result};

/// See the module documentation.
#[derive(Debug)]
pub struct Product {
    parts: Vec<Arc<dyn Residual>>,
}

impl Product {
    /// Structures that scale rows go outside those that correlate them, whatever the order given.
    ///
    /// # Errors
    /// [`CoreError::Design`] when they are not made for the same number of rows.
    pub fn new(mut parts: Vec<Arc<dyn Residual>>) -> Result<Self> {
        if parts.windows(2).any(|pair| pair[0].n_rows() != pair[1].n_rows()) {
            return Err(CoreError::Design { what: "parts of the residual structure have different numbers of rows".into() });
        }
        parts.sort_by_key(|part| !part.is_by_row());
        Ok(Product { parts })
    }

    fn gathered<T>(&self, values: impl Fn(&dyn Residual) -> Vec<T>) -> Vec<T> {
        self.parts.iter().flat_map(|part| values(part.as_ref())).collect()
    }
}

impl Residual for Product {
    fn name(&self) -> &'static str {
        "product"
    }
    fn n_rows(&self) -> Option<usize> {
        self.parts.iter().find_map(|part| part.n_rows())
    }
    fn is_by_row(&self) -> bool {
        self.parts.iter().all(|part| part.is_by_row())
    }
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        for (k, part) in self.parts.iter().enumerate() {
            part.whiten(rows, block, width, weights.filter(|_| k == 0));
        }
    }
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        for (k, part) in self.parts.iter().enumerate().rev() {
            part.colour(rows, block, width, weights.filter(|_| k == 0));
        }
    }
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        self.parts.iter().enumerate().map(|(k, part)| part.log_det(rows, weights.filter(|_| k == 0))).sum()
    }
    fn free(&self) -> Vec<f64> {
        self.gathered(|part| part.free())
    }
    fn at(&self, free: &[f64]) -> Arc<dyn Residual> {
        let mut first = 0;
        let parts = self.parts.iter().map(|part| {
            let size = part.free().len();
            first += size;
            part.at(&free[first - size..first])
        });
        Arc::new(Product { parts: parts.collect() })
    }
    fn natural(&self) -> Vec<f64> {
        self.gathered(|part| part.natural())
    }
    fn natural_derivative(&self) -> Vec<f64> {
        self.gathered(|part| part.natural_derivative())
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        self.parts.iter().fold(vec![Vec::new()], |all, part| {
            let more = part.starts();
            all.iter().flat_map(|first| more.iter().map(move |next| [first.as_slice(), next].concat())).collect()
        })
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        self.gathered(|part| part.reach())
    }
}
