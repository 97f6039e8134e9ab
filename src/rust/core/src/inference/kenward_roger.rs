//! What Kenward & Roger's method (1997, Biometrics 53:983-997) needs, from the moments: no n × n matrix is formed, so there is no limit on
//! the number of rows.
//!
//! V = Σ γ_k V_k is linear in γ: the entries of σ²Ψ (coordinates of Ψ, block by block) and, last, σ² itself with V_0 = W⁻¹. What belongs
//! to σ² follows from V = Σ γ_k V_k; what belongs to Ψ are derivatives of S = [X y]'V⁻¹[X y].

use std::sync::atomic::AtomicUsize;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::estimates::{self, matrix};
use crate::linalg::small::sandwich;
use crate::linalg::{dense, small};
use crate::objective::profile::Profile;
use crate::objective::{Order, Pieces};
use crate::statistics::Statistics;

/// The pieces, r = m + 1 variance parameters γ in the user's units, p fixed effects. The p × p matrices belong to the columns of X of the
/// internal basis, centred and scaled (calendar time would cost all digits): a contrast l of the user's β is `l map` there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KenwardRoger {
    /// β of the user = `map` β of the internal basis (and a shift): p × p.
    pub map: Array2<f64>,
    /// Φ = (X'V⁻¹X)⁻¹, y in the user's units.
    pub phi: Array2<f64>,
    /// P_k = -X'V⁻¹V_kV⁻¹X, r of them.
    pub p: Vec<Array2<f64>>,
    /// Q_kl = X'V⁻¹V_kV⁻¹V_lV⁻¹X, symmetrised in k and l: r × r of them, row by row.
    pub q: Vec<Array2<f64>>,
    /// REML expected information ½ tr(PV_kPV_l) about γ: r × r.
    pub information: Array2<f64>,
    /// Block (factor), row and column of each γ but the last, as the coordinates of Ψ have them.
    pub coordinates: Vec<(usize, usize, usize)>,
}

impl KenwardRoger {
    /// Adjusted variance and degrees of freedom of every coefficient in the user's units: Φ_A = Φ + 2Φ{Σ W_kl (Q_kl - P_kΦP_l)}Φ (Kenward & Roger
    /// 1997, p. 986), and for one row l the F test has scaling 1 and 2(l'Φl)²/(g'Wg) degrees of freedom, g_k = l'ΦP_kΦl. W is the inverse of the
    /// information, taken at a unit diagonal without directions that have none.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Numerical`] when the information cannot be decomposed.
    pub fn coefficients(&self, contrasts: &[Vec<f64>]) -> Result<Vec<(f64, f64)>> {
        let (n, r) = (self.phi.nrows(), self.p.len());
        let w = self.variance_of_parameters()?;
        let flat = |m: &Array2<f64>| m.iter().copied().collect::<Vec<f64>>();
        let phi = flat(&self.phi);
        let slopes: Vec<Vec<f64>> = self.p.iter().map(|p| sandwich(n, n, &phi, &flat(p))).collect();
        let half: Vec<Vec<f64>> = self.p.iter().map(|p| small::product(n, n, n, &flat(p), &phi)).collect();
        let mut inner = vec![0.0; n * n];
        for k in 0..r {
            for l in 0..r {
                let product = small::product(n, n, n, &half[k], &flat(&self.p[l]));
                let members = self.q[k * r + l].iter().zip(&product);
                inner.iter_mut().zip(members).for_each(|(sum, (q, p))| *sum += w[k * r + l] * (q - p));
            }
        }
        let mut adjusted = sandwich(n, n, &phi, &inner);
        adjusted.iter_mut().zip(&phi).for_each(|(a, phi)| *a = phi + 2.0 * *a);
        let form = |l: &[f64], m: &[f64]| small::dot(l, &small::product(n, n, 1, m, l));
        let coefficient = |l: Vec<f64>| {
            let gradient: Vec<f64> = slopes.iter().map(|slope| form(&l, slope)).collect();
            let spread = small::dot(&gradient, &small::product(r, r, 1, &w, &gradient));
            (form(&l, &adjusted), 2.0 * form(&l, &phi).powi(2) / spread)
        };
        let combined = contrasts.iter().map(|l| {
            let sum = |k| l.iter().zip(self.map.column(k)).map(|(l, m)| l * m).sum();
            coefficient((0..n).map(sum).collect())
        });
        Ok(self.map.rows().into_iter().map(|row| coefficient(row.to_vec())).chain(combined).collect())
    }

    fn variance_of_parameters(&self) -> Result<Vec<f64>> {
        let size: Vec<f64> =
            self.information.diag().iter().map(|d| d.max(0.0).sqrt()).map(|s| if s == 0.0 { 1.0 } else { s }).collect();
        let flat: Vec<f64> = self.information.iter().copied().collect();
        dense::balanced_inverse(size.len(), &flat, &size, |largest| 1e-10 * largest)
    }
}

/// Computes them at theta (internal basis). The statistics must be those of a REML fit. `done` counts p (p + 1) / 2 steps.
///
/// # Errors
/// Those of the objective.
pub fn at(statistics: &Statistics, profile: &Profile, theta: &[f64], done: &AtomicUsize) -> Result<KenwardRoger> {
    let parameters = profile.parameters;
    let psi = parameters.psi(theta);
    let pieces = profile.at(theta, Order::Exact)?.pieces;
    let (p, m) = (statistics.basis.x.len(), profile.objective.coordinates().len());
    // y in the user's units, the columns of Z those of the internal basis until the end
    let s2 = statistics.basis.y.1.powi(2) * pieces.r2 / profile.nu;
    let gamma: Vec<f64> =
        profile.objective.coordinates().iter().map(|c| s2 * psi[c.block][c.a * parameters.q[c.block] + c.b]).collect();
    let mut first: Vec<Vec<f64>> = pieces.xx_gradient.iter().map(|c| scaled(c, 1.0 / (s2 * s2))).collect();
    let c = small::spd_inverse(p, &scaled(&pieces.xx_inverse, s2)).map(|(c, _)| c).unwrap_or_default();
    first.push(residual(&gamma, &first, &scaled(&c, -1.0), s2));
    let second = second(profile, &psi, p, s2, done)?;
    let mut q = vec![Vec::new(); (m + 1) * (m + 1)];
    for k in 0..m {
        (0..m).for_each(|l| q[k * (m + 1) + l] = second[k * m + l].clone());
        let own = residual(&gamma, &second[k * m..(k + 1) * m], &scaled(&first[k], -1.0), s2);
        q[k * (m + 1) + m] = own.clone();
        q[m * (m + 1) + k] = own;
    }
    let last: Vec<Vec<f64>> = (0..m).map(|k| q[k * (m + 1) + m].clone()).collect();
    q[m * (m + 1) + m] = residual(&gamma, &last, &scaled(&first[m], -1.0), s2);
    let jacobian = jacobian(statistics, profile);
    let square = |values: Vec<f64>| matrix(p, p, values);
    let mut information = sandwich(m + 1, m + 1, &jacobian, &information(&pieces, profile.nu, &gamma, s2));
    small::symmetrize(m + 1, &mut information);
    Ok(KenwardRoger {
        map: square(statistics.basis.beta_map())?,
        phi: square(scaled(&pieces.xx_inverse, s2))?,
        p: along(&jacobian, &first).into_iter().map(square).collect::<Result<_>>()?,
        q: twice_along(&jacobian, &q).into_iter().map(square).collect::<Result<_>>()?,
        information: matrix(m + 1, m + 1, information)?,
        coordinates: profile.objective.coordinates().iter().map(|c| (c.block, c.a, c.b)).collect(),
    })
}

/// ∂γ(internal basis)/∂γ(user), r × r.
fn jacobian(statistics: &Statistics, profile: &Profile) -> Vec<f64> {
    let m = profile.objective.coordinates().len();
    let map = estimates::psi_map(statistics, profile.objective.coordinates());
    let r = m + 1;
    let mut jacobian = vec![0.0; r * r];
    for k in 0..m {
        jacobian[k * r..k * r + m].copy_from_slice(&map[k * m..(k + 1) * m]);
    }
    jacobian[m * r + m] = 1.0;
    jacobian
}

/// Σ_k J_kl M_k for every l.
fn along(jacobian: &[f64], members: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let r = members.len();
    (0..r)
        .map(|l| {
            let mut out = vec![0.0; members[0].len()];
            for (k, member) in members.iter().enumerate() {
                out.iter_mut().zip(member).for_each(|(o, v)| *o += jacobian[k * r + l] * v);
            }
            out
        })
        .collect()
}

/// Σ_kl J_ki J_lj M_kl for every i and j.
fn twice_along(jacobian: &[f64], members: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let r = (members.len() as f64).sqrt().round() as usize;
    let rows: Vec<Vec<Vec<f64>>> = members.chunks_exact(r).map(|row| along(jacobian, row)).collect();
    let columns: Vec<Vec<Vec<f64>>> =
        (0..r).map(|j| along(jacobian, &rows.iter().map(|row| row[j].clone()).collect::<Vec<_>>())).collect();
    (0..r).flat_map(|i| columns.iter().map(move |column| column[i].clone())).collect()
}

fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|v| factor * v).collect()
}

/// The member of σ² from Σ γ_k M_k + σ² M_0 = `total`.
fn residual(gamma: &[f64], members: &[Vec<f64>], total: &[f64], s2: f64) -> Vec<f64> {
    let mut out = total.to_vec();
    for (g, member) in gamma.iter().zip(members) {
        out.iter_mut().zip(member).for_each(|(o, v)| *o -= g * v);
    }
    scaled(&out, 1.0 / s2)
}

/// Q_kl over Ψ: half the second derivatives of X'V⁻¹X, entry by entry from quadratic forms (polarisation).
fn second(profile: &Profile, psi: &[Vec<f64>], p: usize, s2: f64, done: &AtomicUsize) -> Result<Vec<Vec<f64>>> {
    let m = profile.objective.coordinates().len();
    let pairs: Vec<(usize, usize)> = (0..p).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
    let directions: Vec<Vec<f64>> = pairs
        .iter()
        .map(|&(i, j)| {
            let mut w = vec![0.0; p + 1];
            w[i] = 1.0;
            w[j] = 1.0;
            w
        })
        .collect();
    let forms = profile.objective.second_derivatives(psi, &directions, done)?;
    let diagonal = |i: usize| &forms[i * (i + 1) / 2 + i];
    let mut out = vec![vec![0.0; p * p]; m * m];
    let factor = 0.5 / (s2 * s2 * s2);
    for (&(i, j), form) in pairs.iter().zip(&forms) {
        for (e, value) in form.iter().enumerate() {
            let entry = if i == j { *value } else { 0.5 * (value - diagonal(i)[e] - diagonal(j)[e]) };
            out[e][i * p + j] = factor * entry;
            out[e][j * p + i] = factor * entry;
        }
    }
    Ok(out)
}

/// ½ tr(PV_kPV_l) by coordinates of the internal basis and σ².
fn information(pieces: &Pieces, nu: f64, gamma: &[f64], s2: f64) -> Vec<f64> {
    let m = gamma.len();
    let hessian = pieces.log_det_hessian.clone().unwrap_or_else(|| vec![0.0; m * m]);
    let r = m + 1;
    let mut inside = vec![0.0; r * r];
    for k in 0..m {
        let mut rest = 0.5 * pieces.log_det_gradient[k] / s2;
        for l in 0..m {
            inside[k * r + l] = -0.5 * hessian[k * m + l] / (s2 * s2);
            rest -= gamma[l] * inside[k * r + l];
        }
        inside[k * r + m] = rest / s2;
        inside[m * r + k] = rest / s2;
    }
    let trace: f64 = nu - gamma.iter().zip(&pieces.log_det_gradient).map(|(g, t)| g * t / s2).sum::<f64>();
    let rest = 0.5 * trace / s2 - (0..m).map(|k| gamma[k] * inside[k * r + m]).sum::<f64>();
    inside[m * r + m] = rest / s2;
    inside
}
