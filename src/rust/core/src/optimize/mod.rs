//! Finding the minimum of the profiled criterion: moment-based start, scoring, trust-region Newton, exact boundary.

pub mod boundary;
pub mod newton;
pub mod start;

use serde::{Deserialize, Serialize};

use crate::error::{CoreError, Result};
use crate::objective::profile::{Point, Profile};
use crate::objective::Order;

/// A smooth function to be minimised.
pub trait Surface {
    /// Value, gradient and Hessian at `theta`, as far as `order` asks.
    ///
    /// # Errors
    /// Those of the objective.
    fn at(&self, theta: &[f64], order: Order) -> Result<Point>;
}

impl Surface for Profile<'_> {
    fn at(&self, theta: &[f64], order: Order) -> Result<Point> {
        Profile::at(self, theta, order)
    }
}

/// Settings of the optimiser.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Control {
    /// Largest number of Newton iterations.
    pub max_iter: usize,
    /// Newton decrement (expected decrease of the criterion) below which the optimum is accepted.
    pub tol: f64,
    /// theta to start from, in the user's units.
    pub start: Option<Vec<f64>>,
}

impl Default for Control {
    fn default() -> Self {
        Control { max_iter: 200, tol: 1e-10, start: None }
    }
}

/// How the search ended.
#[derive(Debug, Clone)]
pub struct Optimum {
    /// The last point, with exact derivatives as far as they were computed.
    pub point: Point,
    /// Whether the Newton decrement is below the tolerance.
    pub converged: bool,
    /// Newton decrement at the end.
    pub decrement: f64,
    /// Newton iterations.
    pub iterations: usize,
    /// Evaluations of the criterion in all.
    pub evaluations: usize,
}

/// Minimises the criterion. A search that does not converge, from a start that was given or chosen, is followed by others:
/// from the start that would be chosen, then from inside the parameter space next to the lowest point found. Where there may be several
/// optima and no start was given, the lowest of several searches is taken.
///
/// # Errors
/// Those of the objective at the start; later failures shorten the step.
pub fn minimise(profile: &Profile, control: &Control, start: Option<&[f64]>) -> Result<Optimum> {
    let mut best = match (search(profile, control, start), start) {
        (Err(error), Some(_)) if error != CoreError::Interrupted => return search(profile, control, None),
        (first, _) => first?,
    };
    for attempt in 0..2 {
        if best.converged {
            break;
        }
        let nearby = best.point.theta.clone();
        let again = search(profile, control, if attempt == 0 && start.is_some() { None } else { Some(&nearby) })?;
        let (iterations, evaluations) = (best.iterations + again.iterations, best.evaluations + again.evaluations);
        if again.point.value < best.point.value + noise(best.point.value) {
            best = again;
        }
        best = Optimum { iterations, evaluations, ..best };
    }
    if start.is_none() && profile.objective.may_have_several_optima() {
        for theta in start::others(profile) {
            best = lower(best, search(profile, control, Some(&theta)))?;
        }
    }
    Ok(best)
}

/// The lower of two optima; the first when they are the same or the second search failed.
fn lower(best: Optimum, other: Result<Optimum>) -> Result<Optimum> {
    let other = match other {
        Ok(other) => other,
        Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
        Err(_) => return Ok(best),
    };
    let (iterations, evaluations) = (best.iterations + other.iterations, best.evaluations + other.evaluations);
    let better = other.converged && (!best.converged || other.point.value < best.point.value - SAME);
    Ok(Optimum { iterations, evaluations, ..if better { other } else { best } })
}

/// Optima whose criteria differ by less are the same one.
const SAME: f64 = 1e-8;

/// One search.
fn search(profile: &Profile, control: &Control, start: Option<&[f64]>) -> Result<Optimum> {
    let first = start::start(profile, start)?;
    let pivoted = profile.parameters.pivoted(&profile.parameters.psi(&first.point.theta));
    let inner = Profile { parameters: &pivoted, ..*profile };
    let theta = pivoted.reordered(profile.parameters, &first.point.theta);
    let point = inner.restated(first.point, theta);
    // near the boundary the search pauses: the exact boundary is tried before the interior is searched to the last digit
    let mut optimum =
        newton::minimise(&inner, point, control, first.evaluations, &[], &|theta| boundary::near(&inner, theta, &[]))?;
    boundary::settle(&inner, control, &mut optimum)?;
    let theta = profile.parameters.reordered(&pivoted, &optimum.point.theta);
    optimum.point = profile.restated(optimum.point, theta);
    Ok(optimum)
}

/// Size of rounding noise in a criterion value.
pub fn noise(value: f64) -> f64 {
    1e-12 * (1.0 + value.abs())
}
