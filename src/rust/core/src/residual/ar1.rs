//! AR(1) over whole-numbered sessions: corr = φ^|t - s|, -1 < φ < 1; sessions that are missing count as steps. Free: artanh φ.

use std::sync::Arc;

use super::serial::{Law, Serial, Step};
use super::{Input, Residual};
use crate::error::{CoreError, Result};

/// Beyond, 1 - |φ| is below 2e-7.
const REACH: f64 = 8.0;

#[derive(Debug)]
struct Ar1 {
    unit: f64,
    free: f64,
}

/// See [`super::registry`].
pub fn build(input: &Input) -> Result<Arc<dyn Residual>> {
    if input.time.iter().any(|t| !t.is_finite() || t.fract() != 0.0) {
        return Err(CoreError::Covariance { what: "\"ar1\" needs sessions that are whole numbers".into() });
    }
    Ok(Arc::new(Serial { time: input.time.into(), law: Ar1 { unit: input.unit.max(1.0), free: 0.0 } }))
}

impl Law for Ar1 {
    const NAME: &'static str = "ar1";

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
    fn free(&self) -> f64 {
        self.free
    }
    fn at(&self, free: f64) -> Self {
        Ar1 { unit: self.unit, free }
    }
    fn natural(&self) -> f64 {
        self.free.tanh()
    }
    fn natural_derivative(&self) -> f64 {
        1.0 / self.free.cosh().powi(2)
    }
    fn starts(&self) -> Vec<f64> {
        // correlations of neighbours; φ and the random effects of a person compete, and each side may have an optimum of its own
        let start = |correlation: f64| (correlation.abs().powf(1.0 / self.unit) * correlation.signum()).atanh();
        [0.0, 0.25, 0.5, 0.7, 0.9, -0.25, -0.5].map(start).to_vec()
    }
    fn reach(&self) -> (f64, f64) {
        (-REACH, REACH)
    }
}
