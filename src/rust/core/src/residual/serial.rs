//! Serial correlation that depends on the distance in time alone and is Markov: corr(ε_s, ε_t) = ρ(|t - s|), ρ(a + b) = ρ(a)ρ(b).
//!
//! Taken in the order of time each row depends on the one before it only, so that R = LL' is solved in closed form without being formed
//! (Pinheiro & Bates 2000, Mixed-Effects Models in S and S-PLUS, section 5.3.1, for AR(1); Jones 1993, Longitudinal Data with Serial
//! Correlation, for unequal distances): whitened row k is (x_k - ρ_k x_{k-1}) / sqrt(1 - ρ_k²).

use super::BlockRows;

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
pub fn whiten(rows: BlockRows, time: &[f64], block: &mut [f64], width: usize, step: impl Fn(f64) -> Step) {
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
pub fn colour(rows: BlockRows, time: &[f64], block: &mut [f64], width: usize, step: impl Fn(f64) -> Step) {
    let (order, steps) = steps(rows, time, step);
    let position = |k: usize| order.as_ref().map_or(k, |order| order[k]);
    for column in block[..rows.len * width].chunks_exact_mut(rows.len) {
        for k in 1..rows.len {
            column[position(k)] = steps[k].rho * column[position(k - 1)] + steps[k].rest.sqrt() * column[position(k)];
        }
    }
}

/// log|R| of a block.
pub fn log_det(rows: BlockRows, time: &[f64], step: impl Fn(f64) -> Step) -> f64 {
    steps(rows, time, step).1.iter().map(|s| s.rest.ln()).sum()
}
