//! Trust-region Newton with the exact Hessian (Moré & Sorensen 1983; Conn, Gould & Toint 2000, §7.3): the eigenvalue decomposition
//! of the small Hessian gives the exact step also where the curvature is negative, as it is at a zero variance that should grow.

use super::{noise, Control, Optimum, Surface};
use crate::error::{CoreError, Result};
use crate::linalg::{dense, small};
use crate::objective::profile::Point;
use crate::objective::Order;

/// With a decrement this small (theta is right to some 1e-6 of a standard error) the last step is not worth an evaluation.
const FINE: f64 = 1e-11;
/// Expected decrease below which a search that may pause does, when the caller's test says so.
const PAUSE: f64 = 0.05;

/// Minimises from `point`; parameters in `fixed` stay where they are. Pauses short of convergence where `pause` is true of theta.
///
/// # Errors
/// Failure of an eigenvalue decomposition; failures of the objective at a trial point shorten the step instead.
pub fn minimise(
    surface: &dyn Surface,
    mut point: Point,
    control: &Control,
    spent: usize,
    fixed: &[usize],
    pause: &dyn Fn(&[f64]) -> bool,
) -> Result<Optimum> {
    let free: Vec<usize> = (0..point.theta.len()).filter(|k| !fixed.contains(k)).collect();
    if free.is_empty() {
        return Ok(Optimum { converged: true, decrement: 0.0, point, iterations: 0, evaluations: spent });
    }
    let mut radius = small::dot(&point.theta, &point.theta).sqrt().max(1.0);
    let (mut iterations, mut evaluations) = (0, spent);
    let mut secant = Secant::new(point.theta.len());
    let mut state = model(&point, &secant, &free)?;
    while iterations < control.max_iter {
        let done = state.decrement <= control.tol && state.values.iter().all(|&v| v > -1e-6 * state.largest());
        if !done && state.decrement < PAUSE && pause(&point.theta) {
            break;
        }
        let step = state.step(radius);
        if done && state.decrement <= FINE {
            return Ok(Optimum { converged: true, decrement: state.decrement, point, iterations, evaluations });
        }
        let trial = moved(&point.theta, &free, &step.step);
        iterations += 1;
        evaluations += 1;
        // the last step is not followed by another: its Hessian is not needed
        let candidate = match surface.at(&trial, if done { Order::Gradient } else { Order::Step }) {
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
                let hessian = std::mem::take(&mut point.hessian);
                point = Point { hessian, ..candidate };
                state = model(&point, &secant, &free)?;
            }
            return Ok(Optimum { converged: true, decrement: state.decrement, point, iterations, evaluations });
        }
        let ratio = if step.predicted.abs() < floor { 1.0 } else { gain / step.predicted };
        if ratio > 0.75 && step.length > 0.9 * radius {
            radius *= 2.5;
        } else if ratio < 0.25 {
            radius = 0.3 * step.length;
        }
        if !candidate.hessian.is_empty() && candidate.pieces.log_det_hessian.is_none() {
            secant.update(&point, &candidate);
        }
        let accepted = gain > 0.0 || (gain >= -floor && step.predicted < 10.0 * floor);
        if accepted {
            point = candidate;
            state = model(&point, &secant, &free)?;
        } else if radius < 1e-12 || step.predicted < floor {
            break;
        }
    }
    // at the end of what rounding lets through, the decrement decides with the noise of the criterion added
    let converged = state.decrement <= control.tol.max(10.0 * noise(point.value))
        && state.values.iter().all(|&v| v > -1e-4 * state.largest());
    Ok(Optimum { converged, decrement: state.decrement, point, iterations, evaluations })
}

fn moved(theta: &[f64], free: &[usize], step: &[f64]) -> Vec<f64> {
    let mut out = theta.to_vec();
    free.iter().zip(step).for_each(|(&k, s)| out[k] += s);
    out
}

/// What the average information misses of the Hessian, learnt from gradients (symmetric rank one; Conn, Gould & Toint 1991).
/// Exact Hessians need no correction and get none.
struct Secant {
    size: usize,
    correction: Vec<f64>,
}

impl Secant {
    fn new(size: usize) -> Self {
        Secant { size, correction: vec![0.0; size * size] }
    }

    fn of(&self, point: &Point, i: usize, j: usize) -> f64 {
        if point.pieces.log_det_hessian.is_some() {
            0.0
        } else {
            self.correction[i * self.size + j]
        }
    }

    /// (H(to) + correction) (to - from) = difference of the gradients, from now on.
    fn update(&mut self, from: &Point, to: &Point) {
        let m = self.size;
        let step: Vec<f64> = to.theta.iter().zip(&from.theta).map(|(t, f)| t - f).collect();
        // the average information halfway is that of the mean of the two ends
        let model: Vec<f64> = (0..m * m)
            .map(|e| 0.5 * (to.hessian[e] + from.hessian.get(e).unwrap_or(&to.hessian[e])) + self.correction[e])
            .collect();
        let predicted = small::product(m, m, 1, &model, &step);
        let rest: Vec<f64> = (0..m).map(|k| to.gradient[k] - from.gradient[k] - predicted[k]).collect();
        let curvature = small::dot(&rest, &step);
        if curvature.abs() > 1e-8 * (small::dot(&rest, &rest) * small::dot(&step, &step)).sqrt() {
            for i in 0..m {
                for j in 0..m {
                    self.correction[i * m + j] += rest[i] * rest[j] / curvature;
                }
            }
        }
    }
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

fn model(point: &Point, secant: &Secant, free: &[usize]) -> Result<Model> {
    let (m, full) = (free.len(), point.theta.len());
    let hessian: Vec<f64> = free
        .iter()
        .flat_map(|&i| free.iter().map(move |&j| (i, j)))
        .map(|(i, j)| point.hessian[i * full + j] + secant.of(point, i, j))
        .collect();
    let (values, vectors) = dense::symmetric_eigen(m, &hessian)?;
    let raw: Vec<f64> = free.iter().map(|&k| point.gradient[k]).collect();
    let gradient = small::product(1, m, m, &raw, &vectors);
    let mut model = Model { values, vectors, gradient, decrement: 0.0 };
    let tiny = 1e-10 * model.largest();
    model.decrement =
        model.values.iter().zip(&model.gradient).map(|(v, g)| 0.5 * g * g / v.abs().max(tiny).max(f64::MIN_POSITIVE)).sum();
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
                if norm(&at(middle)) > radius {
                    low = middle
                } else {
                    high = middle
                }
            }
            at(high)
        };
        // hard case: negative curvature that the gradient does not see (a zero variance that wants to grow)
        let slack = radius * radius - small::dot(&inner, &inner);
        if lowest < -tiny && slack > 0.01 * radius * radius {
            let sign = if inner[0] < 0.0 { -1.0 } else { 1.0 };
            inner[0] += sign * slack.sqrt();
        }
        let predicted =
            -inner.iter().zip(&self.gradient).zip(&self.values).map(|((s, g), v)| s * g + 0.5 * v * s * s).sum::<f64>();
        let step = small::product(m, m, 1, &self.vectors, &inner);
        Step { length: norm(&step), step, predicted }
    }
}
