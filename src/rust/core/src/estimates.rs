//! Estimates in the user's units, from a point in the internal basis.

use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::linalg::small::sandwich;
use crate::objective::profile::{Point, Profile};
use crate::objective::{Coordinate, Order};
use crate::optimize::boundary::{gradient_matrix, one_sided_gradients};
use crate::statistics::Statistics;
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

/// A component of the covariance matrix that lies on the boundary of the parameter space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundaryComponent {
    /// Term of the design (0-based).
    pub term: usize,
    /// Column of the term whose variance is zero; `None` when the matrix is singular otherwise (a correlation of ±1).
    pub column: Option<usize>,
    /// Smallest eigenvalue of the criterion's gradient in the directions closed by the boundary (internal basis): not negative at an
    /// optimum.
    pub one_sided_gradient: f64,
}

/// Everything estimated at one theta.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Estimates {
    /// Fixed effects (kept columns).
    pub beta: Vec<f64>,
    /// σ²(X'V⁻¹X)⁻¹, p × p.
    pub vcov: Array2<f64>,
    /// Residual SD.
    pub sigma: f64,
    /// Covariance parameters: Λ relative to σ.
    pub theta: Vec<f64>,
    /// -2 log (restricted) likelihood.
    pub criterion: f64,
    /// Gradient of the criterion in theta (user's units).
    pub gradient: Vec<f64>,
    /// log|V/σ²|, prior weights included.
    pub log_det_v: f64,
    /// log|X'V⁻¹X σ²|.
    pub log_det_x: f64,
    /// Penalised weighted residual sum of squares.
    pub r2: f64,
    /// n - p (REML) or n.
    pub nu: f64,
    /// Conditional modes per block: levels × q.
    pub modes: Vec<Array2<f64>>,
    /// What lies on the boundary.
    pub boundary: Vec<BoundaryComponent>,
}

impl Estimates {
    /// The parameters alone.
    pub fn brief(&self) -> Brief {
        Brief {
            beta: self.beta.clone(),
            sigma: self.sigma,
            theta: self.theta.clone(),
            criterion: self.criterion,
            on_boundary: !self.boundary.is_empty(),
        }
    }
}

/// A row-major vector as a matrix.
///
/// # Errors
/// [`CoreError::Internal`] when the sizes do not fit.
pub fn matrix(rows: usize, columns: usize, values: Vec<f64>) -> Result<Array2<f64>> {
    Array2::from_shape_vec((rows, columns), values).map_err(|e| CoreError::Internal { what: e.to_string() })
}

/// What a change of units adds to the criterion: log|X'X| and ν log y².
pub fn criterion_shift(statistics: &Statistics, nu: f64) -> f64 {
    log_det_x_shift(statistics) * f64::from(u8::from(statistics.reml)) + 2.0 * nu * statistics.basis.y.1.ln()
}

fn log_det_x_shift(statistics: &Statistics) -> f64 {
    statistics.basis.x.iter().map(|&c| 2.0 * statistics.basis.columns[c].scale.ln()).sum()
}

/// The parameters alone: what a replicate of a bootstrap is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// Fixed effects (kept columns).
    pub beta: Vec<f64>,
    /// Residual SD.
    pub sigma: f64,
    /// Covariance parameters: Λ relative to σ.
    pub theta: Vec<f64>,
    /// -2 log (restricted) likelihood.
    pub criterion: f64,
    /// Whether some covariance matrix is singular.
    pub on_boundary: bool,
}

/// The parameters at a point that carries at least the gradient.
pub fn brief(statistics: &Statistics, profile: &Profile, point: &Point) -> Brief {
    let (basis, pieces) = (&statistics.basis, &point.pieces);
    let p = basis.x.len();
    let (y_location, y_scale) = basis.y;
    let mut beta: Vec<f64> = small::product(p, p, 1, &basis.beta_map(), &pieces.beta).iter().map(|b| y_scale * b).collect();
    if let Some(i) = basis.intercept {
        beta[i] += y_location;
    }
    Brief {
        beta,
        sigma: y_scale * (pieces.r2 / profile.nu).sqrt(),
        theta: profile.parameters.convert(basis, &point.theta, false),
        criterion: point.value + criterion_shift(statistics, profile.nu),
        on_boundary: !boundary(profile, point).is_empty(),
    }
}

/// A p × p matrix over β of the internal basis in the user's units, times `factor`.
pub fn covariance(statistics: &Statistics, inside: &[f64], factor: f64) -> Vec<f64> {
    let p = statistics.basis.x.len();
    let map = small::transpose(p, p, &statistics.basis.beta_map());
    let mut out = sandwich(p, p, &map, inside);
    out.iter_mut().for_each(|v| *v *= factor);
    small::symmetrize(p, &mut out);
    out
}

/// Estimates at a point that carries at least the gradient.
///
/// # Errors
/// Those of the objective.
pub fn at(statistics: &Statistics, profile: &Profile, point: &Point) -> Result<Estimates> {
    let (basis, pieces) = (&statistics.basis, &point.pieces);
    let p = basis.x.len();
    let y_scale = basis.y.1;
    let Brief { beta, sigma, theta, criterion, .. } = brief(statistics, profile, point);
    let vcov = covariance(statistics, &pieces.xx_inverse, sigma * sigma);
    let log_det_x = if p == 0 { 0.0 } else { small::spd_inverse(p, &pieces.xx_inverse).map_or(f64::NAN, |(_, d)| -d) };
    Ok(Estimates {
        gradient: derivatives(statistics, profile, &theta, point)?.1,
        beta,
        vcov: matrix(p, p, vcov)?,
        sigma,
        theta,
        criterion,
        log_det_v: pieces.log_det_v,
        log_det_x: log_det_x + log_det_x_shift(statistics),
        r2: pieces.r2 * y_scale * y_scale,
        nu: profile.nu,
        modes: modes(statistics, profile, &point.theta)?,
        boundary: boundary(profile, point),
    })
}

fn modes(statistics: &Statistics, profile: &Profile, theta: &[f64]) -> Result<Vec<Array2<f64>>> {
    let mut modes = profile.objective.modes(&profile.parameters.psi(theta))?;
    let y_scale = statistics.basis.y.1;
    for (block, values) in statistics.basis.blocks.iter().zip(&mut modes) {
        let q = block.columns.len();
        let back: Vec<f64> = block.back.iter().map(|v| y_scale * v).collect();
        let mut mapped = vec![0.0; q];
        for node in values.chunks_exact_mut(q) {
            small::multiply(q, q, 1, &back, node, &mut mapped);
            node.copy_from_slice(&mapped);
        }
    }
    let q = |block: usize| statistics.basis.blocks[block].columns.len();
    modes.into_iter().enumerate().map(|(block, values)| matrix(values.len() / q(block), q(block), values)).collect()
}

/// See [`Prepared::conditional_covariances`].
///
/// # Errors
/// Those of the objective.
pub fn conditional_covariances(statistics: &Statistics, profile: &Profile, theta: &[f64]) -> Result<Vec<Array3<f64>>> {
    let psi = profile.parameters.psi(theta);
    let r2 = profile.objective.evaluate(&psi, Order::Value)?.r2;
    let variance = statistics.basis.y.1.powi(2) * r2 / profile.nu;
    let mut out = profile.objective.conditional_covariances(&psi)?;
    for (block, values) in statistics.basis.blocks.iter().zip(&mut out) {
        let q = block.columns.len();
        let back = small::transpose(q, q, &block.back);
        for node in values.chunks_exact_mut(q * q) {
            let mapped = sandwich(q, q, &back, node);
            node.iter_mut().zip(mapped).for_each(|(v, m)| *v = variance * m);
        }
    }
    let q = |block: usize| statistics.basis.blocks[block].columns.len();
    let shaped = |(block, values): (usize, Vec<f64>)| {
        let q = q(block);
        Array3::from_shape_vec((values.len() / (q * q), q, q), values).map_err(|e| CoreError::Internal { what: e.to_string() })
    };
    out.into_iter().enumerate().map(shaped).collect()
}

/// The linear map from the coordinates of Ψ in the user's units to those in the internal basis (Ψ* = FΨF'): m × m.
pub fn psi_map(statistics: &Statistics, coordinates: &[Coordinate]) -> Vec<f64> {
    let m = coordinates.len();
    let mut map = vec![0.0; m * m];
    for (row, inside) in coordinates.iter().enumerate() {
        let block = &statistics.basis.blocks[inside.block];
        let q = block.columns.len();
        for (column, user) in coordinates.iter().enumerate().filter(|(_, c)| c.block == inside.block) {
            map[row * m + column] =
                user.positions().map(|(a, b)| block.forward[inside.a * q + a] * block.forward[inside.b * q + b]).sum();
        }
    }
    map
}

/// Criterion, gradient and Hessian (empty where the point lacks it) in theta of the user's units.
///
/// # Errors
/// None at present; kept for objectives that differentiate numerically.
pub fn derivatives(
    statistics: &Statistics,
    profile: &Profile,
    theta: &[f64],
    point: &Point,
) -> Result<(f64, Vec<f64>, Vec<f64>)> {
    let value = point.value + criterion_shift(statistics, profile.nu);
    if point.psi_gradient.is_empty() {
        return Ok((value, Vec::new(), Vec::new()));
    }
    let coordinates = profile.objective.coordinates();
    let (m, k) = (coordinates.len(), profile.parameters.n_theta);
    let map = psi_map(statistics, coordinates);
    let psi_gradient = small::product(1, m, m, &point.psi_gradient, &map);
    let jacobian = profile.parameters.jacobian(theta, coordinates);
    let gradient = small::product(1, m, k, &psi_gradient, &jacobian);
    let mut hessian = Vec::new();
    if !point.pieces.r2_hessian.is_empty() {
        let in_psi = sandwich(m, m, &map, &profile.psi_hessian(&point.pieces));
        hessian = sandwich(m, k, &jacobian, &in_psi);
        let curvature = profile.parameters.curvature(theta, coordinates, &psi_gradient);
        hessian.iter_mut().zip(&curvature).for_each(|(h, c)| *h += c);
        small::symmetrize(k, &mut hessian);
    }
    Ok((value, gradient, hessian))
}

/// Terms whose covariance matrix is singular, with the one-sided gradient into the interior.
fn boundary(profile: &Profile, point: &Point) -> Vec<BoundaryComponent> {
    let lambdas = profile.parameters.lambdas(&point.theta);
    let mut out = Vec::new();
    for (index, (term, lambda)) in profile.parameters.terms.iter().zip(lambdas).enumerate() {
        let q = term.q;
        let g = gradient_matrix(profile, point, index);
        for (a, one_sided_gradient) in one_sided_gradients(q, &lambda, &g) {
            let empty = (0..q).all(|b| lambda[a * q + b] == 0.0);
            out.push(BoundaryComponent { term: index, column: empty.then_some(a), one_sided_gradient });
        }
    }
    out
}
