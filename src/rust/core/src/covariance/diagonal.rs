//! Diagonal: independent random effects, theta is the diagonal of Λ.

use super::Covariance;

/// Variances free, covariances zero.
#[derive(Debug)]
pub struct Diagonal;

impl Covariance for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }
    fn n_theta(&self, q: usize) -> usize {
        q
    }
    fn lambda(&self, q: usize, theta: &[f64]) -> Vec<f64> {
        let mut lambda = vec![0.0; q * q];
        for (a, &value) in theta.iter().take(q).enumerate() {
            lambda[a * q + a] = value;
        }
        lambda
    }
    fn lambda_derivative(&self, q: usize, _theta: &[f64], k: usize) -> Vec<f64> {
        let mut derivative = vec![0.0; q * q];
        derivative[k * q + k] = 1.0;
        derivative
    }
    fn theta(&self, q: usize, lambda: &[f64]) -> Vec<f64> {
        (0..q).map(|a| lambda[a * q + a]).collect()
    }
    fn active(&self, q: usize) -> Vec<(usize, usize)> {
        (0..q).map(|a| (a, a)).collect()
    }
    fn closed_under_linear_maps(&self) -> bool {
        false
    }
}
