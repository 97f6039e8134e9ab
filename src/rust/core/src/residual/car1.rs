//! AR(1) in continuous time: corr = φ^|t - s|, 0 < φ < 1, any times (Jones 1993). Free: log(-log φ), the logarithm of the rate at which
//! correlation decays, which keeps its digits whatever the unit of time.

use std::sync::Arc;

use super::serial::{self, Step};
use super::{BlockRows, Identity, Input, Residual};
use crate::error::{CoreError, Result};

#[derive(Debug)]
struct Car1 {
    time: Arc<[f64]>,
    unit: f64,
    free: f64,
}

/// See [`super::registry`].
pub fn build(input: &Input) -> Result<Arc<dyn Residual>> {
    if input.time.iter().any(|t| !t.is_finite()) || input.unit.is_nan() || input.unit <= 0.0 {
        return Err(CoreError::Covariance { what: "\"car1\" needs a time for every row".into() });
    }
    let unit = input.unit;
    Ok(Arc::new(Car1 { time: input.time.into(), unit, free: free_of(0.02, unit) }))
}

/// The free parameter at which neighbours have a correlation.
fn free_of(correlation: f64, unit: f64) -> f64 {
    (-correlation.ln() / unit).ln()
}

impl Car1 {
    fn step(&self) -> impl Fn(f64) -> Step {
        let rate = self.free.exp();
        move |distance| Step { rho: (-rate * distance).exp(), rest: -(-2.0 * rate * distance).exp_m1() }
    }
}

impl Residual for Car1 {
    fn name(&self) -> &'static str {
        "car1"
    }
    fn n_rows(&self) -> Option<usize> {
        Some(self.time.len())
    }
    fn is_by_row(&self) -> bool {
        false
    }
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        Identity.whiten(rows, block, width, weights);
        serial::whiten(rows, &self.time, block, width, self.step());
    }
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        serial::colour(rows, &self.time, block, width, self.step());
        Identity.colour(rows, block, width, weights);
    }
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        Identity.log_det(rows, weights) + serial::log_det(rows, &self.time, self.step())
    }
    fn free(&self) -> Vec<f64> {
        vec![self.free]
    }
    fn at(&self, free: &[f64]) -> Arc<dyn Residual> {
        Arc::new(Car1 { time: self.time.clone(), unit: self.unit, free: free[0] })
    }
    fn natural(&self) -> Vec<f64> {
        vec![(-self.free.exp()).exp()]
    }
    fn natural_derivative(&self) -> Vec<f64> {
        vec![-self.free.exp() * (-self.free.exp()).exp()]
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        [0.02, 0.2, 0.45, 0.7, 0.9].map(|correlation| vec![free_of(correlation, self.unit)]).to_vec()
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        // correlations of neighbours of 1 - 2e-7 and of 1e-10
        vec![(free_of(1.0 - 2e-7, self.unit), free_of(1e-10, self.unit))]
    }
}
