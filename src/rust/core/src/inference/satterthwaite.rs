//! Satterthwaite's method for fixed effects (Giesbrecht & Burns 1985; Kuznetsova et al. 2017), from exact derivatives.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::estimates::{self, matrix};
use crate::linalg::small::sandwich;
use crate::linalg::{dense, small, stencil};
use crate::objective::profile::{Point, Profile};
use crate::objective::{Order, Pieces};
use crate::statistics::Statistics;

/// Eigenvalues of the Hessian below this are directions without information (lmerTest's tolerance).
const TOLERANCE: f64 = 1e-8;

/// Asymptotic covariance of (theta, σ) and the derivatives of the fixed effects' covariance, in the user's units.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Satterthwaite {
    /// 2 H⁻¹ for (theta, σ), (m + 1) × (m + 1); directions of zero curvature are left out, as lmerTest does.
    pub vcov_varpar: Array2<f64>,
    /// ∂ vcov(β) / ∂(theta_k, σ): m + 1 matrices, p × p.
    pub jacobian: Vec<Array2<f64>>,
    /// Hessian of the criterion (not profiled over σ) in (theta, σ).
    pub hessian: Array2<f64>,
}

impl Satterthwaite {
    /// Degrees of freedom of coefficient `k` whose estimated variance is `variance`: 2v²/(g'Ag), g the gradient of v in (theta, σ) and A their
    /// asymptotic covariance (Kuznetsova, Brockhoff & Christensen 2017, J Stat Softw 82(13), equation 5).
    pub fn df(&self, k: usize, variance: f64) -> f64 {
        self.df_from(self.jacobian.iter().map(|j| j[[k, k]]).collect(), variance)
    }

    /// The same for the combination `l` of coefficients.
    pub fn df_of(&self, l: &[f64], variance: f64) -> f64 {
        let form = |j: &Array2<f64>| j.indexed_iter().map(|((a, b), v)| l[a] * v * l[b]).sum();
        self.df_from(self.jacobian.iter().map(form).collect(), variance)
    }

    fn df_from(&self, gradient: Vec<f64>, variance: f64) -> f64 {
        let spread: f64 = self.vcov_varpar.indexed_iter().map(|((a, b), v)| gradient[a] * v * gradient[b]).sum();
        2.0 * variance * variance / spread
    }
}

/// Computes it at theta (`theta` user's units, `inside` internal basis).
///
/// # Errors
/// Those of the objective.
pub fn at(statistics: &Statistics, profile: &Profile, theta: &[f64], inside: &[f64]) -> Result<Satterthwaite> {
    finish(derivatives(statistics, profile, theta, profile.at(inside, Order::Exact)?.pieces))
}

/// The same at a point that was evaluated already, with its exact Hessian or without.
///
/// # Errors
/// Those of the objective.
pub fn at_point(statistics: &Statistics, profile: &Profile, theta: &[f64], point: &Point) -> Result<Satterthwaite> {
    if point.pieces.log_det_hessian.is_none() {
        return at(statistics, profile, theta, &point.theta);
    }
    finish(derivatives(statistics, profile, theta, point.pieces.clone()))
}

/// The same with the free parameters of a residual structure after (theta, σ): `neighbour` gives the criterion's pieces, with gradients, at
/// `inside` and other parameters of the structure. Derivatives with respect to these are differences, see [`crate::linalg::stencil`].
///
/// # Errors
/// Those of the objective.
pub fn joint(
    statistics: &Statistics,
    profile: &Profile,
    theta: &[f64],
    inside: &[f64],
    free: &[f64],
    neighbour: &dyn Fn(&[f64]) -> Result<Pieces>,
) -> Result<Satterthwaite> {
    let base = derivatives(statistics, profile, theta, profile.at(inside, Order::Exact)?.pieces);
    let (known, extra, m) = (base.jacobian.len(), free.len(), profile.objective.coordinates().len());
    let (s2, sigma) = (base.s2, base.sigma);
    // criterion(theta, σ, φ) at theta and σ fixed, its gradient in theta and σ, and vcov(β)
    let table = stencil::differentiate(free, base.log_det + base.r2 / s2, true, |free| {
        let pieces = neighbour(free)?;
        let psi: Vec<f64> = pieces.log_det_gradient.iter().zip(&pieces.r2_gradient).map(|(l, r)| l + r / s2).collect();
        let mut values = vec![pieces.log_det + pieces.r2 / s2];
        values.extend(small::product(1, m, known - 1, &psi, &base.to_theta));
        values.push(-2.0 * pieces.r2 / (s2 * sigma));
        values.extend(estimates::covariance(statistics, &pieces.xx_inverse, sigma * sigma));
        Ok(values)
    })?;
    let dim = known + extra;
    let mut hessian = vec![0.0; dim * dim];
    for i in 0..known {
        hessian[i * dim..i * dim + known].copy_from_slice(&base.hessian[i * known..(i + 1) * known]);
    }
    for (e, row) in table.first.iter().enumerate() {
        for i in 0..known {
            hessian[i * dim + known + e] = row[i + 1];
            hessian[(known + e) * dim + i] = row[i + 1];
        }
        let own = &table.second[e * extra..(e + 1) * extra];
        hessian[(known + e) * dim + known..(known + e + 1) * dim].copy_from_slice(own);
    }
    let more = table.first.iter().map(|row| row[known + 1..].to_vec());
    let jacobian = base.jacobian.iter().cloned().chain(more).collect();
    finish(Derivatives { hessian, jacobian, ..base })
}

/// Everything in (theta, σ), row-major, and what it was made from.
struct Derivatives {
    hessian: Vec<f64>,
    jacobian: Vec<Vec<f64>>,
    to_theta: Vec<f64>,
    log_det: f64,
    r2: f64,
    s2: f64,
    sigma: f64,
}

fn finish(found: Derivatives) -> Result<Satterthwaite> {
    let Derivatives { mut hessian, jacobian, .. } = found;
    let dim = jacobian.len();
    small::symmetrize(dim, &mut hessian);
    let vcov_varpar = matrix(dim, dim, twice_inverse(dim, &hessian)?)?;
    let p = (jacobian[0].len() as f64).sqrt().round() as usize;
    let jacobian = jacobian.into_iter().map(|j| matrix(p, p, j)).collect::<Result<_>>()?;
    Ok(Satterthwaite { vcov_varpar, jacobian, hessian: matrix(dim, dim, hessian)? })
}

/// From the criterion's pieces with exact Hessians.
fn derivatives(statistics: &Statistics, profile: &Profile, theta: &[f64], pieces: Pieces) -> Derivatives {
    let coordinates = profile.objective.coordinates();
    let (m, k) = (coordinates.len(), profile.parameters.n_theta);
    let y_scale = statistics.basis.y.1;
    let s2 = pieces.r2 / profile.nu;
    let sigma = y_scale * s2.sqrt();
    let map = estimates::psi_map(statistics, coordinates);
    let jacobian = profile.parameters.jacobian(theta, coordinates);
    let to_theta = small::product(m, m, k, &map, &jacobian);
    // criterion(theta, σ) = log_det + r²/σ² + ν log σ²; derivatives at σ² = r²/ν
    let log_det_hessian = pieces.log_det_hessian.clone().unwrap_or_else(|| vec![0.0; m * m]);
    let in_psi: Vec<f64> = log_det_hessian.iter().zip(&pieces.r2_hessian).map(|(l, r)| l + r / s2).collect();
    let psi_gradient: Vec<f64> = pieces.log_det_gradient.iter().zip(&pieces.r2_gradient).map(|(l, r)| l + r / s2).collect();
    let theta_hessian = {
        let mut h = sandwich(m, k, &to_theta, &in_psi);
        let user_gradient = small::product(1, m, m, &psi_gradient, &map);
        let curvature = profile.parameters.curvature(theta, coordinates, &user_gradient);
        h.iter_mut().zip(&curvature).for_each(|(h, c)| *h += c);
        h
    };
    let r2_theta = small::product(1, m, k, &pieces.r2_gradient, &to_theta);
    let dim = k + 1;
    let mut hessian = vec![0.0; dim * dim];
    for i in 0..k {
        hessian[i * dim..i * dim + k].copy_from_slice(&theta_hessian[i * k..(i + 1) * k]);
        // ∂²/∂theta∂σ = -2 r²_θ/σ³, with r² in units of y²
        let mixed = -2.0 * r2_theta[i] / (s2 * sigma);
        hessian[i * dim + k] = mixed;
        hessian[k * dim + i] = mixed;
    }
    hessian[k * dim + k] = 4.0 * profile.nu / (sigma * sigma);
    let jacobian = vcov_jacobian(statistics, &pieces, &to_theta, m, k, sigma);
    Derivatives { hessian, jacobian, to_theta, log_det: pieces.log_det, r2: pieces.r2, s2, sigma }
}

/// 2 × the inverse over the eigenvectors of positive curvature; the tolerance is relative to a unit diagonal.
fn twice_inverse(dim: usize, hessian: &[f64]) -> Result<Vec<f64>> {
    let scale: Vec<f64> = (0..dim).map(|i| hessian[i * dim + i].abs().sqrt()).map(|d| if d > 0.0 { d } else { 1.0 }).collect();
    let mut out = dense::balanced_inverse(dim, hessian, &scale, |_| TOLERANCE)?;
    out.iter_mut().for_each(|v| *v *= 2.0);
    Ok(out)
}

/// ∂/∂theta_k of σ²C⁻¹ is -σ²C⁻¹C_kC⁻¹; ∂/∂σ is 2σC⁻¹.
fn vcov_jacobian(statistics: &Statistics, pieces: &Pieces, to_theta: &[f64], m: usize, k: usize, sigma: f64) -> Vec<Vec<f64>> {
    let p = statistics.basis.x.len();
    let user = |matrix: &[f64], factor: f64| estimates::covariance(statistics, matrix, factor);
    let by_coordinate: Vec<Vec<f64>> =
        pieces.xx_gradient.iter().map(|c| user(&sandwich(p, p, &pieces.xx_inverse, c), -sigma * sigma)).collect();
    let mut jacobian: Vec<Vec<f64>> = (0..k)
        .map(|t| {
            let mut out = vec![0.0; p * p];
            for c in 0..m {
                out.iter_mut().zip(&by_coordinate[c]).for_each(|(o, v)| *o += to_theta[c * k + t] * v);
            }
            out
        })
        .collect();
    jacobian.push(user(&pieces.xx_inverse, 2.0 * sigma));
    jacobian
}
