//! theta ↔ Λ ↔ Ψ in the internal basis, with first and second derivatives.

use std::sync::Arc;

use super::Coordinate;
use crate::covariance::Covariance;
use crate::design::Design;
use crate::linalg::small;
use crate::moments::basis::Basis;

/// One term's place in its block and in theta.
#[derive(Debug, Clone)]
pub struct TermParameters {
    /// Block (factor) of the basis.
    pub block: usize,
    /// First column of the term in the block.
    pub start: usize,
    /// Number of columns.
    pub q: usize,
    /// First element in theta.
    pub theta: usize,
    /// Structure.
    pub structure: Arc<dyn Covariance>,
}

/// Parametrisation of all terms.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// In the order of the design's terms.
    pub terms: Vec<TermParameters>,
    /// Columns per block.
    pub q: Vec<usize>,
    /// Length of theta.
    pub n_theta: usize,
}

impl Parameters {
    /// Lays out theta: terms in the order of the design.
    pub fn new(design: &Design, basis: &Basis) -> Self {
        let mut terms = Vec::new();
        let mut n_theta = 0;
        for (index, term) in design.terms.iter().enumerate() {
            for (b, block) in basis.blocks.iter().enumerate() {
                if let Some(&(_, start)) = block.terms.iter().find(|&&(t, _)| t == index) {
                    let q = term.columns.len();
                    terms.push(TermParameters { block: b, start, q, theta: n_theta, structure: term.structure.clone() });
                    n_theta += term.structure.n_theta(q);
                }
            }
        }
        Parameters { terms, q: basis.blocks.iter().map(|b| b.columns.len()).collect(), n_theta }
    }

    /// Free entries of Ψ per block.
    pub fn active(&self) -> Vec<Vec<(usize, usize)>> {
        let mut active = vec![Vec::new(); self.q.len()];
        for term in &self.terms {
            active[term.block].extend(term.structure.active(term.q).into_iter().map(|(a, b)| (term.start + a, term.start + b)));
        }
        active
    }

    /// The part of theta that belongs to a term.
    pub fn slice<'t>(&self, term: &TermParameters, theta: &'t [f64]) -> &'t [f64] {
        &theta[term.theta..term.theta + term.structure.n_theta(term.q)]
    }

    /// Λ of every term.
    pub fn lambdas(&self, theta: &[f64]) -> Vec<Vec<f64>> {
        self.terms.iter().map(|t| t.structure.lambda(t.q, self.slice(t, theta))).collect()
    }

    /// Ψ per block from Λ per term.
    pub fn psi(&self, theta: &[f64]) -> Vec<Vec<f64>> {
        let mut psi: Vec<Vec<f64>> = self.q.iter().map(|q| vec![0.0; q * q]).collect();
        for (term, lambda) in self.terms.iter().zip(self.lambdas(theta)) {
            let (q, full) = (term.q, self.q[term.block]);
            for a in 0..q {
                for b in 0..q {
                    psi[term.block][(term.start + a) * full + term.start + b] =
                        small::dot(&lambda[a * q..(a + 1) * q], &lambda[b * q..(b + 1) * q]);
                }
            }
        }
        psi
    }

    /// ∂Ψ_c/∂theta_k for every coordinate c (rows) and k (columns).
    pub fn jacobian(&self, theta: &[f64], coordinates: &[Coordinate]) -> Vec<f64> {
        let mut jacobian = vec![0.0; coordinates.len() * self.n_theta];
        for (term, lambda) in self.terms.iter().zip(self.lambdas(theta)) {
            let part = self.slice(term, theta);
            for k in 0..part.len() {
                let d = term.structure.lambda_derivative(term.q, part, k);
                for (c, a, b) in self.inside(term, coordinates) {
                    jacobian[c * self.n_theta + term.theta + k] = cross(term.q, &d, &lambda, a, b) + cross(term.q, &lambda, &d, a, b);
                }
            }
        }
        jacobian
    }

    /// Σ_c g_c ∂²Ψ_c/∂theta∂theta'.
    pub fn curvature(&self, theta: &[f64], coordinates: &[Coordinate], g: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n_theta * self.n_theta];
        for term in &self.terms {
            let part = self.slice(term, theta);
            let derivatives: Vec<Vec<f64>> =
                (0..part.len()).map(|k| term.structure.lambda_derivative(term.q, part, k)).collect();
            for (c, a, b) in self.inside(term, coordinates) {
                for (k, dk) in derivatives.iter().enumerate() {
                    for (l, dl) in derivatives.iter().enumerate() {
                        let second = cross(term.q, dk, dl, a, b) + cross(term.q, dl, dk, a, b);
                        out[(term.theta + k) * self.n_theta + term.theta + l] += g[c] * second;
                    }
                }
            }
        }
        out
    }

    /// Coordinates of a term with their place in the term.
    fn inside<'c>(&self, term: &TermParameters, coordinates: &'c [Coordinate]) -> impl Iterator<Item = (usize, usize, usize)> + 'c {
        let (block, start, end) = (term.block, term.start, term.start + term.q);
        coordinates
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.block == block && c.a >= start && c.a < end && c.b >= start && c.b < end)
            .map(move |(index, c)| (index, c.a - start, c.b - start))
    }

    /// theta in the user's units (`forward = false`) from the internal basis, or the other way round (`forward = true`).
    pub fn convert(&self, basis: &Basis, theta: &[f64], forward: bool) -> Vec<f64> {
        let mut out = vec![0.0; self.n_theta];
        for (term, lambda) in self.terms.iter().zip(self.lambdas(theta)) {
            let mapped = basis.map_lambda(&basis.blocks[term.block], term.start, term.q, &lambda, forward);
            let part = term.structure.theta(term.q, &mapped);
            out[term.theta..term.theta + part.len()].copy_from_slice(&part);
        }
        out
    }
}

/// (X Y')_{ab} for q × q matrices.
fn cross(q: usize, x: &[f64], y: &[f64], a: usize, b: usize) -> f64 {
    small::dot(&x[a * q..(a + 1) * q], &y[b * q..(b + 1) * q])
}
