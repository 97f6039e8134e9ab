//! AR(1) in continuous time: corr = φ^|t - s|, 0 < φ < 1, any times (Jones 1993). Free: log(-log φ), the logarithm of the rate at which
//! correlation decays, which keeps its digits whatever the unit of time.

use std::sync::Arc;

use super::serial::{Law, Serial, Step};
use super::{Input, Residual};
use crate::error::{CoreError, Result};

#[derive(Debug)]
struct Car1 {
    unit: f64,
    shortest: f64,
    free: f64,
}

/// See [`super::registry`].
pub fn build(input: &Input) -> Result<Arc<dyn Residual>> {
    let positive = |distance: f64| distance.is_finite() && distance > 0.0;
    if input.time.iter().any(|t| !t.is_finite()) || !positive(input.unit) || !positive(input.shortest) {
        return Err(CoreError::Covariance { what: "\"car1\" needs a time for every row".into() });
    }
    let (unit, shortest) = (input.unit, input.shortest.min(input.unit));
    Ok(Arc::new(Serial { time: input.time.into(), law: Car1 { unit, shortest, free: free_of(0.02, unit) } }))
}

/// The free parameter at which neighbours have a correlation.
fn free_of(correlation: f64, unit: f64) -> f64 {
    (-correlation.ln() / unit).ln()
}

impl Law for Car1 {
    const NAME: &'static str = "car1";

    fn step(&self) -> impl Fn(f64) -> Step {
        let rate = self.free.exp();
        move |distance| Step { rho: (-rate * distance).exp(), rest: -(-2.0 * rate * distance).exp_m1() }
    }
    fn free(&self) -> f64 {
        self.free
    }
    fn at(&self, free: f64) -> Self {
        Car1 { unit: self.unit, shortest: self.shortest, free }
    }
    fn natural(&self) -> f64 {
        (-self.free.exp()).exp()
    }
    fn natural_derivative(&self) -> f64 {
        -self.free.exp() * (-self.free.exp()).exp()
    }
    fn starts(&self) -> Vec<f64> {
        [0.02, 0.2, 0.45, 0.7, 0.9].map(|correlation| free_of(correlation, self.unit)).to_vec()
    }
    fn reach(&self) -> (f64, f64) {
        // Correlations of neighbours of 1 - 2e-7, and of 1e-10 even of the nearest: at 1e-10 of typical neighbours those a quarter as far
        // apart would still be correlated by 0.003, and the criterion would still fall.
        (free_of(1.0 - 2e-7, self.unit), free_of(1e-10, self.shortest))
    }
}
