//! AR(1) over whole-numbered sessions: corr = φ^|t - s|, -1 < φ < 1; sessions that are missing count as steps. Free: artanh φ.

use std::sync::Arc;

use super::serial::{self, Step};
use super::{BlockRows, Identity, Input, Residual};
use crate::error::{CoreError, Result};

/// Beyond, 1 - |φ| is below 2e-7.
const REACH: f64 = 8.0;

#[derive(Debug)]
struct Ar1 {
    time: Arc<[f64]>,
    unit: f64,
    free: f64,
}

/// See [`super::registry`].
pub fn build(input: &Input) -> Result<Arc<dyn Residual>> {
    if input.time.iter().any(|t| !t.is_finite() || t.fract() != 0.0) {
        return Err(CoreError::Covariance { what: "\"ar1\" needs sessions that are whole numbers".into() });
    }
    Ok(Arc::new(Ar1 { time: input.time.into(), unit: input.unit.max(1.0), free: 0.0 }))
}

impl Ar1 {
    fn step(&self) -> impl Fn(f64) -> Step {
        // log|φ| = log tanh|free| without loss where φ is nearly 0 or nearly 1
        let twice = -2.0 * self.free.abs();
        let log_size = (-twice.exp_m1()).ln() - twice.exp().ln_1p();
        let negative = self.free < 0.0;
        move |distance| {
            let size = (distance * log_size).exp();
            let odd = distance % 2.0 == 1.0;
            Step { rho: if negative && odd { -size } else { size }, rest: -(2.0 * distance * log_size).exp_m1() }
        }
    }
}

impl Residual for Ar1 {
    fn name(&self) -> &'static str {
        "ar1"
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
        Arc::new(Ar1 { time: self.time.clone(), unit: self.unit, free: free[0] })
    }
    fn natural(&self) -> Vec<f64> {
        vec![self.free.tanh()]
    }
    fn natural_derivative(&self) -> Vec<f64> {
        vec![1.0 / self.free.cosh().powi(2)]
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        // correlations of neighbours; φ and the random effects of a person compete, and each side may have an optimum of its own
        let start = |correlation: f64| vec![(correlation.abs().powf(1.0 / self.unit) * correlation.signum()).atanh()];
        [0.0, 0.25, 0.5, 0.7, 0.9, -0.25, -0.5].map(start).to_vec()
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        vec![(-REACH, REACH)]
    }
}
