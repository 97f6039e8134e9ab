//! The boundary of the parameter space, exactly: a diagonal element of Λ that Newton has driven towards zero is set to zero when the
//! criterion does not rise, the rest is optimised again, and the one-sided gradient is checked.

use super::{newton, noise, Control, Optimum};
use crate::error::Result;
use crate::linalg::small;
use crate::objective::parameters::TermParameters;
use crate::objective::profile::Profile;
use crate::objective::Order;

/// A diagonal element of Λ (internal basis, every column scaled) below this is tried at zero.
const CANDIDATE: f64 = 0.02;

/// Replaces near-boundary solutions by exact ones, as long as the criterion is not higher for it.
///
/// # Errors
/// Those of the optimiser.
pub fn settle(profile: &Profile, control: &Control, optimum: &mut Optimum) -> Result<()> {
    canonical(profile, optimum)?;
    let mut rejected = Vec::new();
    while let Some(candidate) = smallest_diagonal(profile, &optimum.point.theta, &rejected) {
        let mut fixed = zeros(profile, &optimum.point.theta);
        fixed.push(candidate);
        let mut theta = optimum.point.theta.clone();
        theta[candidate] = 0.0;
        let Ok(point) = profile.at(&theta, Order::Step) else { break };
        let trial = newton::minimise(profile, point, control, optimum.evaluations + 1, &fixed)?;
        optimum.evaluations = trial.evaluations;
        if trial.point.value > optimum.point.value + noise(optimum.point.value) {
            rejected.push(candidate);
            continue;
        }
        let (iterations, converged) = (optimum.iterations + trial.iterations, trial.converged);
        *optimum = Optimum { iterations, converged, ..trial };
        canonical(profile, optimum)?;
    }
    Ok(())
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

/// Non-negative diagonals, rows of exact zero variance emptied, redundant rotations removed.
fn canonical(profile: &Profile, optimum: &mut Optimum) -> Result<()> {
    let parameters = profile.parameters;
    let mut theta = optimum.point.theta.clone();
    for (term, mut lambda) in parameters.terms.iter().zip(parameters.lambdas(&optimum.point.theta)) {
        let q = term.q;
        for a in 0..q {
            let size = lambda[a * q..(a + 1) * q].iter().map(|v| v.abs()).fold(0.0, f64::max);
            if size < 1e-7 {
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
