//! theta ↔ Λ ↔ Ψ in the internal basis, with first and second derivatives.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::Coordinate;
use crate::covariance::Covariance;
use crate::design::Design;
use crate::linalg::small;
use crate::moments::basis::Basis;

/// One term's place in its block and in theta.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TermParameters {
    /// Block (factor) of the basis.
    pub block: usize,
    /// First column of the term in the block.
    pub start: usize,
    /// Number of columns.
    pub q: usize,
    /// Column of the term (0..q) that each row of Λ belongs to: the identity, but for pivoted parameters.
    pub order: Vec<usize>,
    /// First element in theta.
    pub theta: usize,
    /// Structure.
    #[serde(with = "crate::covariance::by_name")]
    pub structure: Arc<dyn Covariance>,
}

/// Parametrisation of all terms.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
                    terms.push(TermParameters {
                        block: b,
                        start,
                        q,
                        order: (0..q).collect(),
                        theta: n_theta,
                        structure: term.structure.clone(),
                    });
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
                    psi[term.block][(term.start + term.order[a]) * full + term.start + term.order[b]] =
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
            let places: Vec<_> = self.inside(term, coordinates).collect();
            for k in 0..part.len() {
                let d = term.structure.lambda_derivative(term.q, part, k);
                for &(c, a, b) in &places {
                    jacobian[c * self.n_theta + term.theta + k] =
                        cross(term.q, &d, &lambda, a, b) + cross(term.q, &lambda, &d, a, b);
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
            let derivatives: Vec<Vec<f64>> = (0..part.len()).map(|k| term.structure.lambda_derivative(term.q, part, k)).collect();
            for (c, a, b) in self.inside(term, coordinates) {
                for (k, dk) in derivatives.iter().enumerate() {
                    for (l, dl) in derivatives.iter().enumerate().take(k + 1) {
                        let second = cross(term.q, dk, dl, a, b) + cross(term.q, dl, dk, a, b);
                        out[(term.theta + k) * self.n_theta + term.theta + l] += g[c] * second;
                    }
                }
            }
        }
        for k in 0..self.n_theta {
            (0..k).for_each(|l| out[l * self.n_theta + k] = out[k * self.n_theta + l]);
        }
        out
    }

    /// Coordinates of a term with the rows of Λ that they belong to.
    pub fn inside<'c>(
        &self,
        term: &TermParameters,
        coordinates: &'c [Coordinate],
    ) -> impl Iterator<Item = (usize, usize, usize)> + 'c {
        let (block, start, q) = (term.block, term.start, term.q);
        let mut row_of = vec![0; q];
        term.order.iter().enumerate().for_each(|(row, &column)| row_of[column] = row);
        let inside = move |k: usize| k >= start && k < start + q;
        coordinates
            .iter()
            .enumerate()
            .filter(move |(_, c)| c.block == block && inside(c.a) && inside(c.b))
            .map(move |(index, c)| (index, row_of[c.a - start], row_of[c.b - start]))
    }

    /// The same model with the rows of every unstructured Λ ordered by falling variance of `psi`: a Cholesky factor whose first
    /// pivots are small is a badly conditioned parametrisation (Higham 2002, §10.3).
    pub fn pivoted(&self, psi: &[Vec<f64>]) -> Self {
        let mut out = self.clone();
        for term in &mut out.terms {
            let full = self.q[term.block];
            let variance = |column: usize| psi[term.block][(term.start + column) * (full + 1)];
            if term.structure.closed_under_linear_maps() {
                term.order.sort_by(|&i, &j| variance(j).total_cmp(&variance(i)));
            }
        }
        out
    }

    /// theta of these parameters from theta of `other`, which orders rows differently.
    pub fn reordered(&self, other: &Parameters, theta: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n_theta];
        for ((term, from), lambda) in self.terms.iter().zip(&other.terms).zip(other.lambdas(theta)) {
            let q = term.q;
            let mut own = lambda.clone();
            if term.order != from.order {
                for (row, column) in from.order.iter().enumerate() {
                    let to = term.order.iter().position(|c| c == column).unwrap_or(row);
                    own[to * q..(to + 1) * q].copy_from_slice(&lambda[row * q..(row + 1) * q]);
                }
                own = small::triangularize(q, q, &own);
            }
            let part = term.structure.theta(q, &own);
            out[term.theta..term.theta + part.len()].copy_from_slice(&part);
        }
        out
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
