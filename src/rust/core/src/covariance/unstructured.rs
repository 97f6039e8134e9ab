//! Unstructured: theta is the lower triangle of Λ, column by column (lme4's order).

use super::Covariance;

/// Variances and covariances all free.
#[derive(Debug)]
pub struct Unstructured;

/// (row, column) of the k-th entry of a lower triangle stored column by column.
fn entries(q: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..q).flat_map(move |column| (column..q).map(move |row| (row, column)))
}

impl Covariance for Unstructured {
    fn name(&self) -> &'static str {
        "unstructured"
    }
    fn n_theta(&self, q: usize) -> usize {
        q * (q + 1) / 2
    }
    fn lambda(&self, q: usize, theta: &[f64]) -> Vec<f64> {
        let mut lambda = vec![0.0; q * q];
        for ((row, column), &value) in entries(q).zip(theta) {
            lambda[row * q + column] = value;
        }
        lambda
    }
    fn lambda_derivative(&self, q: usize, _theta: &[f64], k: usize) -> Vec<f64> {
        let mut derivative = vec![0.0; q * q];
        if let Some((row, column)) = entries(q).nth(k) {
            derivative[row * q + column] = 1.0;
        }
        derivative
    }
    fn theta(&self, q: usize, lambda: &[f64]) -> Vec<f64> {
        entries(q).map(|(row, column)| lambda[row * q + column]).collect()
    }
    fn active(&self, q: usize) -> Vec<(usize, usize)> {
        entries(q).collect()
    }
    fn closed_under_linear_maps(&self) -> bool {
        true
    }
}
