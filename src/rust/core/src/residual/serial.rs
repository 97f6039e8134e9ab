//! Serial correlation that depends on the distance in time alone and is Markov: corr(ε_s, ε_t) = ρ(|t - s|), ρ(a + b) = ρ(a)ρ(b).
//!
//! Taken in the order of time each row depends on the one before it only, so that R = LL' is solved in closed form without being formed
//! (Pinheiro & Bates 2000, Mixed-Effects Models in S and S-PLUS, section 5.3.1, for AR(1); Jones 1993, Longitudinal Data with Serial
//! Correlation, for unequal distances): whitened row k is (x_k - ρ_k x_{k-1}) / sqrt(1 - ρ_k²).

use std::fmt::Debug;
use std::sync::Arc;

use super::{BlockRows, Identity, Residual};

/// How correlation falls with distance: what one serial structure has of its own. It has one free parameter.
pub trait Law: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// The step over a distance in time.
    fn step(&self) -> impl Fn(f64) -> Step;
    fn free(&self) -> f64;
    /// The same law at another free parameter.
    fn at(&self, free: f64) -> Self;
    fn natural(&self) -> f64;
    fn natural_derivative(&self) -> f64;
    fn starts(&self) -> Vec<f64>;
    fn reach(&self) -> (f64, f64);
}

/// Rows correlated by a law of their times.
#[derive(Debug)]
pub struct Serial<L> {
    pub time: Arc<[f64]>,
    pub law: L,
}

impl<L: Law> Residual for Serial<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }
    fn n_rows(&self) -> Option<usize> {
        Some(self.time.len())
    }
    fn is_by_row(&self) -> bool {
        false
    }
    fn whiten(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        Identity.whiten(rows, block, width, weights);
        whiten(rows, &self.time, block, width, self.law.step());
    }
    fn colour(&self, rows: BlockRows, block: &mut [f64], width: usize, weights: Option<&[f64]>) {
        colour(rows, &self.time, block, width, self.law.step());
        Identity.colour(rows, block, width, weights);
    }
    fn log_det(&self, rows: BlockRows, weights: Option<&[f64]>) -> f64 {
        Identity.log_det(rows, weights) + log_det(rows, &self.time, self.law.step())
    }
    fn free(&self) -> Vec<f64> {
        vec![self.law.free()]
    }
    fn at(&self, free: &[f64]) -> Arc<dyn Residual> {
        Arc::new(Serial { time: self.time.clone(), law: self.law.at(free[0]) })
    }
    fn natural(&self) -> Vec<f64> {
        vec![self.law.natural()]
    }
    fn natural_derivative(&self) -> Vec<f64> {
        vec![self.law.natural_derivative()]
    }
    fn starts(&self) -> Vec<Vec<f64>> {
        self.law.starts().into_iter().map(|start| vec![start]).collect()
    }
    fn reach(&self) -> Vec<(f64, f64)> {
        vec![self.law.reach()]
    }
}

/// Correlation of neighbours and the share of variance that is new, 1 - ρ².
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub rho: f64,
    pub rest: f64,
}

/// The rows of a block in the order of time; `None` when that is the block's own.
fn order(rows: BlockRows, time: &[f64]) -> Option<Vec<usize>> {
    let at = |k: usize| time[rows.row(k)];
    if (1..rows.len).all(|k| at(k - 1) < at(k)) {
        return None;
    }
    let mut order: Vec<usize> = (0..rows.len).collect();
    order.sort_by(|&i, &j| at(i).total_cmp(&at(j)));
    Some(order)
}

/// Position in the block of every row by time, and the step to it from the one before.
fn steps(rows: BlockRows, time: &[f64], step: impl Fn(f64) -> Step) -> (Option<Vec<usize>>, Vec<Step>) {
    let order = order(rows, time);
    let position = |k: usize| order.as_ref().map_or(k, |order| order[k]);
    let mut known = (f64::NAN, Step { rho: 0.0, rest: 1.0 });
    let mut out = Vec::with_capacity(rows.len);
    out.push(known.1);
    for k in 1..rows.len {
        let distance = time[rows.row(position(k))] - time[rows.row(position(k - 1))];
        if distance != known.0 {
            known = (distance, step(distance));
        }
        out.push(known.1);
    }
    (order, out)
}

/// Whitens in place: L⁻¹x, row k of L in the place of row k.
fn whiten(rows: BlockRows, time: &[f64], block: &mut [f64], width: usize, step: impl Fn(f64) -> Step) {
    let (order, steps) = steps(rows, time, step);
    let scales: Vec<f64> = steps.iter().map(|s| 1.0 / s.rest.sqrt()).collect();
    let position = |k: usize| order.as_ref().map_or(k, |order| order[k]);
    for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
        for k in (1..rows.len).rev() {
            column[position(k)] = (column[position(k)] - steps[k].rho * column[position(k - 1)]) * scales[k];
        }
    }
}

/// The inverse of [`whiten`]: Lx in place.
fn colour(rows: BlockRows, time: &[f64], block: &mut [f64], width: usize, step: impl Fn(f64) -> Step) {
    let (order, steps) = steps(rows, time, step);
    let position = |k: usize| order.as_ref().map_or(k, |order| order[k]);
    for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
        for k in 1..rows.len {
            column[position(k)] = steps[k].rho * column[position(k - 1)] + steps[k].rest.sqrt() * column[position(k)];
        }
    }
}

/// log|R| of a block.
fn log_det(rows: BlockRows, time: &[f64], step: impl Fn(f64) -> Step) -> f64 {
    steps(rows, time, step).1.iter().map(|s| s.rest.ln()).sum()
}
