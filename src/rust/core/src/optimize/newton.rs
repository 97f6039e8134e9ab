//! Trust-region Newton with the exact Hessian (Moré & Sorensen 1983; Conn, Gould & Toint 2000, §7.3): the eigenvalue decomposition
//! of the small Hessian gives the exact step also where the curvature is negative, as it is at a zero variance that should grow.

use super::{noise, Control, Optimum};
use crate::error::{CoreError, Result};
use crate::linalg::{dense, small};
use crate::objective::profile::{Point, Profile};
use crate::objective::Order;

/// Minimises from `point`; parameters in `fixed` stay where they are.
///
/// # Errors
/// Failure of an eigenvalue decomposition; failures of the objective at a trial point shorten the step instead.
pub fn minimise(profile: &Profile, mut point: Point, control: &Control, spent: usize, fixed: &[usize]) -> Result<Optimum> {
    let free: Vec<usize> = (0..point.theta.len()).filter(|k| !fixed.contains(k)).collect();
    let mut radius = small::dot(&point.theta, &point.theta).sqrt().max(1.0);
    let (mut iterations, mut evaluations) = (0, spent);
    let mut state = model(&point, &free)?;
    while iterations < control.max_iter {
        let done = state.decrement <= control.tol && state.values.iter().all(|&v| v > -1e-6 * state.largest());
        let step = state.step(radius);
        let trial = moved(&point.theta, &free, &step.step);
        iterations += 1;
        evaluations += 1;
        let candidate = match profile.at(&trial, Order::Step) {
            Ok(candidate) => candidate,
            Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
            Err(_) => {
                radius = 0.25 * step.length;
                continue;
            }
        };
        let gain = point.value - candidate.value;
        let floor = noise(point.value);
        // the last, tiny, step is taken when rounding allows it: it squares the remaining error
        if done {
            if gain >= -floor && step.length > 0.0 {
                point = candidate;
                state = model(&point, &free)?;
            }
            return Ok(Optimum { converged: true, decrement: state.decrement, point, iterations, evaluations });
        }
        let ratio = if step.predicted.abs() < floor { 1.0 } else { gain / step.predicted };
        if ratio > 0.75 && step.length > 0.9 * radius {
            radius *= 2.5;
        } else if ratio < 0.25 {
            radius = 0.3 * step.length;
        }
        let accepted = gain > 0.0 || (gain >= -floor && step.predicted < 10.0 * floor);
        if accepted {
            point = candidate;
            state = model(&point, &free)?;
        } else if radius < 1e-12 || step.predicted < floor {
            break;
        }
    }
    // at the end of what rounding lets through, the decrement decides with the noise of the criterion added
    let converged = state.decrement <= control.tol.max(10.0 * noise(point.value)) && state.values.iter().all(|&v| v > -1e-4 * state.largest());
    Ok(Optimum { converged, decrement: state.decrement, point, iterations, evaluations })
}

fn moved(theta: &[f64], free: &[usize], step: &[f64]) -> Vec<f64> {
    let mut out = theta.to_vec();
    free.iter().zip(step).for_each(|(&k, s)| out[k] += s);
    out
}

/// The quadratic model in its eigenbasis.
struct Model {
    values: Vec<f64>,
    vectors: Vec<f64>,
    gradient: Vec<f64>,
    /// g'|H|⁻¹g / 2.
    decrement: f64,
}

/// A step, its length and the decrease it promises.
struct Step {
    step: Vec<f64>,
    length: f64,
    predicted: f64,
}

fn model(point: &Point, free: &[usize]) -> Result<Model> {
    let (m, full) = (free.len(), point.theta.len());
    let hessian: Vec<f64> = free.iter().flat_map(|&i| free.iter().map(move |&j| (i, j))).map(|(i, j)| point.hessian[i * full + j]).collect();
    let (values, vectors) = dense::symmetric_eigen(m, &hessian)?;
    let raw: Vec<f64> = free.iter().map(|&k| point.gradient[k]).collect();
    let gradient = small::product(1, m, m, &raw, &vectors);
    let mut model = Model { values, vectors, gradient, decrement: 0.0 };
    let tiny = 1e-10 * model.largest();
    model.decrement = model.values.iter().zip(&model.gradient).map(|(v, g)| 0.5 * g * g / v.abs().max(tiny).max(f64::MIN_POSITIVE)).sum();
    Ok(model)
}

impl Model {
    fn largest(&self) -> f64 {
        self.values.iter().fold(0.0f64, |m, v| m.max(v.abs()))
    }

    /// Minimiser of the model within the radius.
    fn step(&self, radius: f64) -> Step {
        let m = self.values.len();
        let lowest = self.values.first().copied().unwrap_or(1.0);
        let tiny = 1e-10 * self.largest().max(f64::MIN_POSITIVE);
        let at = |shift: f64| -> Vec<f64> {
            self.values.iter().zip(&self.gradient).map(|(v, g)| -g / (v + shift).max(tiny)).collect()
        };
        let norm = |s: &[f64]| small::dot(s, s).sqrt();
        let newton = at(0.0);
        let mut inner = if lowest > -tiny && norm(&newton) <= radius {
            newton
        } else {
            let (mut low, mut high) = ((-lowest).max(0.0), (-lowest).max(0.0) + norm(&self.gradient) / radius + tiny);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                if norm(&at(middle)) > radius { low = middle } else { high = middle }
            }
            at(high)
        };
        // hard case: negative curvature that the gradient does not see (a zero variance that wants to grow)
        let slack = radius * radius - small::dot(&inner, &inner);
        if lowest < -tiny && slack > 0.01 * radius * radius {
            let sign = if inner[0] < 0.0 { -1.0 } else { 1.0 };
            inner[0] += sign * slack.sqrt();
        }
        let predicted = -inner.iter().zip(&self.gradient).zip(&self.values).map(|((s, g), v)| s * g + 0.5 * v * s * s).sum::<f64>();
        let step = small::product(m, m, 1, &self.vectors, &inner);
        Step { length: norm(&step), step, predicted }
    }
}
