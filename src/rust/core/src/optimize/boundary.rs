//! The boundary of the parameter space, exactly: a diagonal element of Λ that Newton has driven towards zero is set to zero when the
//! criterion does not rise, the rest is optimised again, and the one-sided gradient is checked.

use super::{newton, noise, Control, Optimum};
use crate::error::Result;
use crate::linalg::small;
use crate::objective::parameters::TermParameters;
use crate::objective::profile::{Point, Profile};
use crate::objective::Order;

/// A diagonal element of Λ (internal basis, every column scaled) below this is tried at zero.
const CANDIDATE: f64 = 0.02;

/// Replaces near-boundary solutions by exact ones where the criterion is not higher for it and does not fall towards the interior.
///
/// # Errors
/// Those of the optimiser.
pub fn settle(profile: &Profile, control: &Control, optimum: &mut Optimum) -> Result<()> {
    let mut rejected = Vec::new();
    loop {
        canonical(profile, optimum)?;
        if let Some(candidate) = smallest_diagonal(profile, &optimum.point.theta, &rejected) {
            if !try_zero(profile, control, optimum, candidate)? {
                rejected.push(candidate);
            }
            continue;
        }
        if optimum.converged {
            return Ok(());
        }
        // paused, and every candidate that is left was rejected: on to the end in the interior
        let fixed = zeros(profile, &optimum.point.theta);
        let mut point = optimum.point.clone();
        if point.hessian.is_empty() {
            point = profile.at(&point.theta, Order::Step)?;
        }
        let (iterations, paused) = (optimum.iterations, rejected.clone());
        let next =
            newton::minimise(profile, point, control, optimum.evaluations, &fixed, &|theta| near(profile, theta, &paused))?;
        let stuck = !next.converged && smallest_diagonal(profile, &next.point.theta, &rejected).is_none();
        *optimum = Optimum { iterations: iterations + next.iterations, ..next };
        if stuck {
            return Ok(());
        }
    }
}

/// Tries a diagonal element at zero; true when that is where it belongs.
fn try_zero(profile: &Profile, control: &Control, optimum: &mut Optimum, candidate: usize) -> Result<bool> {
    let mut fixed = zeros(profile, &optimum.point.theta);
    fixed.push(candidate);
    let mut theta = optimum.point.theta.clone();
    theta[candidate] = 0.0;
    let Ok(point) = profile.at(&theta, Order::Step) else { return Ok(false) };
    let trial = newton::minimise(profile, point, control, optimum.evaluations + 1, &fixed, &|_| false)?;
    optimum.evaluations = trial.evaluations;
    if trial.point.value > optimum.point.value + noise(optimum.point.value) || leaves_inward(profile, &trial.point, candidate) {
        return Ok(false);
    }
    *optimum = Optimum { iterations: optimum.iterations + trial.iterations, ..trial };
    Ok(true)
}

/// Gradients into the interior that are taken as zero: (deviance units per unit of theta, per unit of Ψ).
const FLAT: (f64, f64) = (1e-4, 1e-6);

/// Whether the criterion falls somewhere from a singular Λ that is stationary in its own free elements. At a minimum over positive
/// semidefinite Ψ the gradient matrix G has GΛ = 0 and v'Gv ≥ 0 for v'Λ = 0 (Karush–Kuhn–Tucker); the search itself has made
/// the lower triangle of GΛ vanish.
fn leaves_inward(profile: &Profile, point: &Point, candidate: usize) -> bool {
    let Some(index) = profile.parameters.terms.iter().position(|term| diagonal(term).contains(&candidate)) else { return false };
    let term = &profile.parameters.terms[index];
    let q = term.q;
    let lambda = small::triangularize(q, q, &profile.parameters.lambdas(&point.theta)[index]);
    let g = gradient_matrix(profile, point, index);
    let gl = small::product(q, q, q, &g, &lambda);
    let free = term.structure.active(q).len() > q;
    let uneven = free && (0..q).any(|j| (0..j).any(|i| gl[i * q + j].abs() > FLAT.0));
    uneven || one_sided_gradients(q, &lambda, &g).iter().any(|&(_, slope)| slope < -FLAT.1)
}

/// The criterion's gradient with respect to a term's Ψ as a symmetric matrix (a coordinate off the diagonal moves two entries).
pub fn gradient_matrix(profile: &Profile, point: &Point, index: usize) -> Vec<f64> {
    let term = &profile.parameters.terms[index];
    let q = term.q;
    let mut g = vec![0.0; q * q];
    let coordinates = profile.objective.coordinates();
    for (c, a, b) in profile.parameters.inside(term, coordinates) {
        let share = if a == b { point.psi_gradient[c] } else { 0.5 * point.psi_gradient[c] };
        g[a * q + b] = share;
        g[b * q + a] = share;
    }
    g
}

/// For every zero pivot of a canonical Λ: the pivot and v'Gv / v'v along the null direction that belongs to it.
pub fn one_sided_gradients(q: usize, lambda: &[f64], g: &[f64]) -> Vec<(usize, f64)> {
    (0..q)
        .filter(|&a| lambda[a * q + a] == 0.0)
        .map(|a| {
            let v = null_direction(q, lambda, a);
            let gv = small::product(q, q, 1, g, &v);
            (a, small::dot(&v, &gv) / small::dot(&v, &v))
        })
        .collect()
}

/// v with v_a = 1, v_j = 0 for j > a and v'Λ = 0, for a zero pivot a of a canonical lower-triangular Λ.
fn null_direction(q: usize, lambda: &[f64], a: usize) -> Vec<f64> {
    let mut v = vec![0.0; q];
    v[a] = 1.0;
    for j in (0..a).rev() {
        let pivot = lambda[j * q + j];
        if pivot != 0.0 {
            let known: f64 = (j + 1..=a).map(|i| v[i] * lambda[i * q + j]).sum();
            v[j] = -known / pivot;
        }
    }
    v
}

/// Whether some diagonal element of Λ is small but not zero, and not among `rejected`.
pub fn near(profile: &Profile, theta: &[f64], rejected: &[usize]) -> bool {
    smallest_diagonal(profile, theta, rejected).is_some()
}

/// Indices of theta that are exactly zero on a diagonal of Λ.
fn zeros(profile: &Profile, theta: &[f64]) -> Vec<usize> {
    profile.parameters.terms.iter().flat_map(diagonal).filter(|&index| theta[index] == 0.0).collect()
}

/// Positions in theta of the diagonal of a term's Λ.
pub fn diagonal(term: &TermParameters) -> Vec<usize> {
    let q = term.q;
    let probe: Vec<f64> = (0..term.structure.n_theta(q)).map(|k| k as f64 + 1.0).collect();
    let lambda = term.structure.lambda(q, &probe);
    (0..q).map(|a| term.theta + lambda[a * q + a] as usize - 1).collect()
}

/// The smallest diagonal element that is near zero but not zero.
fn smallest_diagonal(profile: &Profile, theta: &[f64], rejected: &[usize]) -> Option<usize> {
    let near = |&index: &usize| theta[index] != 0.0 && theta[index].abs() < CANDIDATE && !rejected.contains(&index);
    let diagonals = profile.parameters.terms.iter().flat_map(diagonal);
    diagonals.filter(near).min_by(|&i, &j| theta[i].abs().total_cmp(&theta[j].abs()))
}

/// Rows of Λ (internal basis) below this are rows of zero variance.
const EMPTY: f64 = 1e-7;

fn row_size(q: usize, lambda: &[f64], row: usize) -> f64 {
    lambda[row * q..(row + 1) * q].iter().map(|v| v.abs()).fold(0.0, f64::max)
}

fn is_canonical(q: usize, lambda: &[f64]) -> bool {
    (0..q).all(|a| {
        let (pivot, size) = (lambda[a * q + a], row_size(q, lambda, a));
        pivot >= 0.0 && (size == 0.0 || size >= EMPTY) && (pivot != 0.0 || (a + 1..q).all(|i| lambda[i * q + a] == 0.0))
    })
}

/// Non-negative diagonals, rows of exact zero variance emptied, redundant rotations removed.
fn canonical(profile: &Profile, optimum: &mut Optimum) -> Result<()> {
    let parameters = profile.parameters;
    let mut theta = optimum.point.theta.clone();
    for (term, mut lambda) in parameters.terms.iter().zip(parameters.lambdas(&optimum.point.theta)) {
        let q = term.q;
        if is_canonical(q, &lambda) {
            continue;
        }
        for a in 0..q {
            if row_size(q, &lambda, a) < EMPTY {
                lambda[a * q..(a + 1) * q].fill(0.0);
            }
        }
        let lambda = small::triangularize(q, q, &lambda);
        let own = term.structure.theta(q, &lambda);
        theta[term.theta..term.theta + own.len()].copy_from_slice(&own);
    }
    if theta != optimum.point.theta {
        let point = profile.at(&theta, Order::Step)?;
        optimum.evaluations += 1;
        if point.value <= optimum.point.value + noise(optimum.point.value) {
            optimum.point = point;
        }
    }
    Ok(())
}
