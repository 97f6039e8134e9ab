//! Models whose residual structure has parameters φ: the criterion is minimised over the covariance parameters inside, by the exact Newton
//! method on moments whitened at φ, and over φ (free, see [`crate::residual`]) outside.
//!
//! By the envelope theorem the gradient of the criterion profiled over theta is that of the criterion at theta-hat held fixed, and its
//! Hessian is D_φφ - D_φθ D_θθ⁻¹ D_θφ. Derivatives in theta are exact, those in φ are differences of the fourth order
//! ([`crate::linalg::stencil`]) of criteria and exact gradients: a structure needs to whiten, and nothing more.

use std::sync::atomic::AtomicBool;

use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::estimates::{self, Brief};
use crate::fit::{Fit, Prepared, Status};
use crate::inference::satterthwaite::{self, Satterthwaite};
use crate::linalg::{dense, small, stencil};
use crate::objective::Order;
use crate::optimize::{self, noise, Control, Optimum};
use crate::statistics::Statistics;

/// Longest step in a free parameter.
const RADIUS: f64 = 1.0;
/// Slope of the criterion at a limit that is none of a minimum.
const STEEP: f64 = 0.01;
/// Optima whose criteria differ by less are the same one.
const SAME: f64 = 1e-8;

/// A design ready to be whitened at any φ.
pub struct Structured<'d, 's> {
    design: Design<'d>,
    statistics: Statistics,
    stop: &'s AtomicBool,
}

/// A fit with the parameters of the residual structure.
#[derive(Debug, Clone)]
pub struct StructuredFit {
    /// Everything else.
    pub fit: Fit,
    /// Free parameters.
    pub free: Vec<f64>,
    /// The same as the user knows them.
    pub natural: Vec<f64>,
    /// Which of them ended at the limit of what can be told apart.
    pub at_limit: Vec<bool>,
    /// Gradient of the criterion in the free parameters.
    pub gradient: Vec<f64>,
}

/// The optimum over theta at one φ.
struct State<'s> {
    free: Vec<f64>,
    prepared: Prepared<'s>,
    optimum: Optimum,
}

/// The criterion profiled over theta about one φ, to second order.
struct Model {
    gradient: Vec<f64>,
    hessian: Vec<f64>,
}

/// Where the search over φ ended.
struct Search<'s> {
    state: State<'s>,
    gradient: Vec<f64>,
    converged: bool,
    decrement: f64,
    iterations: usize,
}

impl<'d, 's> Structured<'d, 's> {
    /// Validates the design and drops aliased columns.
    ///
    /// # Errors
    /// Those of [`Statistics::new`].
    pub fn new(design: &Design<'d>, reml: bool, stop: &'s AtomicBool) -> Result<Self> {
        Ok(Self::from_statistics(design, Statistics::new(design, reml, stop)?, stop))
    }

    /// For statistics of the same design, or of one that differs in its outcome alone.
    pub fn from_statistics(design: &Design<'d>, mut statistics: Statistics, stop: &'s AtomicBool) -> Self {
        let design = statistics.kept(design);
        statistics.basis.set_outcome(design.y, design.offset);
        Structured { design, statistics, stop }
    }

    /// Moments whitened at φ.
    ///
    /// # Errors
    /// Those of the pass over the rows.
    pub fn prepared(&self, free: &[f64]) -> Result<Prepared<'s>> {
        let residual = self.design.residual.at(free);
        Ok(Prepared::from_statistics(self.statistics.whitened_by(&self.design, residual.as_ref(), self.stop)?, self.stop))
    }

    /// Finds the optimum over theta and φ: φ and the random effects of a person compete, so the criterion is looked at from all
    /// starts of the structure and each optimum that shows is followed to its end; the lowest is kept.
    ///
    /// # Errors
    /// Those of the objective at the starts.
    pub fn fit(&self, control: &Control) -> Result<StructuredFit> {
        let mut starts = self.design.residual.starts();
        starts.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let theta = control.start.as_deref().map(|theta| self.theta_inside(theta)).transpose()?;
        let mut states = Vec::new();
        let mut failure = None;
        for free in starts {
            match self.state(free, control, theta.as_deref()) {
                Ok(state) => states.push(state),
                Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let values: Vec<f64> = states.iter().map(|state| state.optimum.point.value).collect();
        let low = |i: usize, j: usize| values.get(j).is_none_or(|&other| values[i] <= other);
        // of optima that are the same (φ and -φ when all distances are even) the last is kept, the positive one
        let mut best: Option<Search> = None;
        let (mut iterations, mut evaluations) = (0, 0);
        for (i, state) in states.into_iter().enumerate() {
            iterations += state.optimum.iterations;
            evaluations += state.optimum.evaluations;
            if !(low(i, i + 1) && (i == 0 || low(i, i - 1))) {
                continue;
            }
            let found = self.thorough(state, control)?;
            iterations += found.iterations;
            evaluations += found.state.optimum.evaluations;
            let value = |search: &Search| search.state.optimum.point.value;
            if best.as_ref().is_none_or(|best| {
                (found.converged && !best.converged) || (found.converged == best.converged && value(&found) < value(best) + SAME)
            }) {
                best = Some(found);
            }
        }
        let Some(best) = best else {
            return Err(failure.unwrap_or(CoreError::Internal { what: "a residual structure without a start".into() }));
        };
        self.finish(best, iterations, evaluations)
    }

    /// Finds the optimum from one point (theta in the internal basis) and reports the parameters alone, those of the structure free.
    ///
    /// # Errors
    /// Those of the objective at the start.
    pub fn refit(&self, control: &Control, inside: &[f64], free: &[f64]) -> Result<(Status, Brief, Vec<f64>)> {
        let found = self.search(self.state(free.to_vec(), control, Some(inside))?, control)?;
        let State { free, prepared, optimum } = &found.state;
        let brief = prepared.with_profile(|profile| Ok(estimates::brief(&prepared.statistics, profile, &optimum.point)))?;
        let on_boundary = brief.on_boundary || self.at_limit(free).contains(&true);
        Ok((status(found.converged && !self.runs_away(&found), on_boundary), brief, free.clone()))
    }

    /// What Satterthwaite's method needs, with the uncertainty of φ: parameters are (theta, σ, φ free).
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn satterthwaite(&self, theta: &[f64]) -> Result<Satterthwaite> {
        let free = self.design.residual.free();
        let prepared = self.prepared(&free)?;
        let inside = prepared.theta_inside(theta)?;
        prepared.with_profile(|profile| {
            satterthwaite::joint(&prepared.statistics, profile, theta, &inside, &free, &|free| {
                self.prepared(free)?.with_profile(|profile| Ok(profile.at(&inside, Order::Gradient)?.pieces))
            })
        })
    }

    fn theta_inside(&self, theta: &[f64]) -> Result<Vec<f64>> {
        Prepared::from_statistics(self.statistics.clone(), self.stop).theta_inside(theta)
    }

    fn state(&self, free: Vec<f64>, control: &Control, theta: Option<&[f64]>) -> Result<State<'s>> {
        let prepared = self.prepared(&free)?;
        let optimum = prepared.with_profile(|profile| optimize::minimise(profile, control, theta))?;
        Ok(State { free, prepared, optimum })
    }

    fn model(&self, state: &State) -> Result<Model> {
        let theta = &state.optimum.point.theta;
        let (k, m) = (state.free.len(), theta.len());
        let centre = state.prepared.with_profile(|profile| profile.at(theta, Order::Step))?;
        let derivatives = stencil::differentiate(&state.free, centre.value, false, |free| {
            self.prepared(free)?.with_profile(|profile| {
                let point = profile.at(theta, Order::Gradient)?;
                Ok([vec![point.value], point.gradient].concat())
            })
        })?;
        let gradient: Vec<f64> = derivatives.first.iter().map(|row| row[0]).collect();
        let mut hessian = derivatives.second;
        let (values, vectors) = dense::symmetric_eigen(m, &centre.hessian)?;
        let largest = values.iter().fold(0.0f64, |largest, v| largest.max(v.abs()));
        for (c, &value) in values.iter().enumerate().filter(|(_, &value)| value > 1e-8 * largest) {
            let along: Vec<f64> =
                derivatives.first.iter().map(|row| (0..m).map(|i| row[i + 1] * vectors[i * m + c]).sum()).collect();
            (0..k * k).for_each(|e| hessian[e] -= along[e / k] * along[e % k] / value);
        }
        Ok(Model { gradient, hessian })
    }

    /// A search in which theta does not stay with the optimum that it was led to from the start: where there may be several, the criterion
    /// at the φ found is minimised again from all starts, and the search goes on from a lower one.
    fn thorough(&self, state: State<'s>, control: &Control) -> Result<Search<'s>> {
        let mut found = self.search(state, control)?;
        for _ in 0..5 {
            if !found.state.prepared.with_profile(|profile| Ok(profile.objective.may_have_several_optima()))? {
                break;
            }
            let again = self.state(found.state.free.clone(), control, None)?;
            if again.optimum.point.value >= found.state.optimum.point.value - SAME {
                break;
            }
            let iterations = found.iterations;
            found = self.search(again, control)?;
            found.iterations += iterations;
        }
        Ok(found)
    }

    /// Trust-region Newton over the free parameters, limits included.
    fn search(&self, mut state: State<'s>, control: &Control) -> Result<Search<'s>> {
        let reach = self.design.residual.reach();
        let (mut iterations, mut radius) = (0, RADIUS);
        let mut model = self.model(&state)?;
        loop {
            let (step, decrement, convex) = newton_step(&model, &state.free, &reach, radius)?;
            let done = decrement <= control.tol && convex;
            let length = small::dot(&step, &step).sqrt();
            let floor = noise(state.optimum.point.value);
            if (done && decrement <= 1e-3 * control.tol) || length == 0.0 || radius < 1e-9 || iterations >= control.max_iter {
                let converged = state.optimum.converged && (done || decrement <= 10.0 * floor);
                return Ok(Search { gradient: model.gradient, state, converged, decrement, iterations });
            }
            let free: Vec<f64> = state
                .free
                .iter()
                .zip(&step)
                .zip(&reach)
                .map(|((f, s), &(lowest, highest))| (f + s).clamp(lowest, highest))
                .collect();
            iterations += 1;
            let spent = state.optimum.evaluations;
            match self.state(free, control, Some(&state.optimum.point.theta)) {
                Ok(mut candidate) if candidate.optimum.point.value <= state.optimum.point.value + floor => {
                    candidate.optimum.evaluations += spent;
                    state = candidate;
                    model = self.model(&state)?;
                    radius = if length > 0.9 * radius { 2.0 * radius } else { radius };
                }
                Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
                _ => radius = 0.25 * length.min(radius),
            }
        }
    }

    fn at_limit(&self, free: &[f64]) -> Vec<bool> {
        free.iter().zip(self.design.residual.reach()).map(|(f, (lowest, highest))| *f <= lowest || *f >= highest).collect()
    }

    /// Whether the criterion still falls at a limit: it has no minimum there, as when a stratum can be reproduced exactly. (Where a correlation
    /// goes to 0 or 1 the criterion becomes flat instead.)
    fn runs_away(&self, found: &Search) -> bool {
        self.at_limit(&found.state.free).iter().zip(&found.gradient).any(|(&limit, gradient)| limit && gradient.abs() > STEEP)
    }

    fn finish(&self, found: Search, iterations: usize, evaluations: usize) -> Result<StructuredFit> {
        let runs_away = self.runs_away(&found);
        let State { free, prepared, optimum } = found.state;
        let estimates = prepared.with_profile(|profile| estimates::at(&prepared.statistics, profile, &optimum.point))?;
        let at_limit = self.at_limit(&free);
        let status = status(found.converged && !runs_away, !estimates.boundary.is_empty() || at_limit.contains(&true));
        let decrement = optimum.decrement + found.decrement;
        let natural = self.design.residual.at(&free).natural();
        let fit = Fit { estimates, status, iterations, evaluations, decrement };
        Ok(StructuredFit { fit, free, natural, at_limit, gradient: found.gradient })
    }
}

fn status(converged: bool, on_boundary: bool) -> Status {
    match (converged, on_boundary) {
        (false, _) => Status::Failed,
        (true, false) => Status::Converged,
        (true, true) => Status::Boundary,
    }
}

/// The step within the radius, the decrease that the quadratic model expects without it, and whether the model is convex. A parameter
/// at its limit that wants to go further stays.
fn newton_step(model: &Model, free: &[f64], reach: &[(f64, f64)], radius: f64) -> Result<(Vec<f64>, f64, bool)> {
    let k = free.len();
    let moving: Vec<usize> = (0..k)
        .filter(|&i| {
            let (lowest, highest) = reach[i];
            !(free[i] <= lowest && model.gradient[i] > 0.0 || free[i] >= highest && model.gradient[i] < 0.0)
        })
        .collect();
    let m = moving.len();
    let hessian: Vec<f64> = (0..m * m).map(|e| model.hessian[moving[e / m.max(1)] * k + moving[e % m.max(1)]]).collect();
    let (values, vectors) = dense::symmetric_eigen(m, &hessian)?;
    let largest = values.iter().fold(1e-8f64, |largest, v| largest.max(v.abs()));
    let (mut step, mut decrement) = (vec![0.0; k], 0.0);
    for (c, &value) in values.iter().enumerate() {
        let slope: f64 = (0..m).map(|i| model.gradient[moving[i]] * vectors[i * m + c]).sum();
        // away from where the curvature is negative, and not beyond reason where there is hardly any
        let curvature = value.abs().max(1e-6 * largest);
        decrement += 0.5 * slope * slope / curvature;
        (0..m).for_each(|i| step[moving[i]] -= slope / curvature * vectors[i * m + c]);
    }
    let length = small::dot(&step, &step).sqrt();
    if length > radius {
        step.iter_mut().for_each(|s| *s *= radius / length);
    }
    Ok((step, decrement, values.iter().all(|&v| v > -1e-6 * largest)))
}
