//! The root of the elimination: what remains is S = [X y]'V⁻¹[X y]. Fixed effects, r², and the adjoints that flow back down.

use crate::error::{CoreError, Result};
use crate::linalg::small;

/// The root factorised.
#[derive(Debug, Clone)]
pub struct Root {
    /// Number of fixed effects.
    pub p: usize,
    /// (X'V⁻¹X)⁻¹.
    pub xx_inverse: Vec<f64>,
    /// log|X'V⁻¹X|.
    pub xx_log_det: f64,
    /// Generalised least squares estimate.
    pub beta: Vec<f64>,
    /// Residual quadratic form.
    pub r2: f64,
    /// w = (-β, 1): S w = (0, r²).
    pub w: Vec<f64>,
}

impl Root {
    /// Factorises S ((p + 1) × (p + 1), symmetric).
    ///
    /// # Errors
    /// [`CoreError::Numerical`] when X'V⁻¹X is singular, [`CoreError::Data`] when the model fits without residual.
    pub fn new(p: usize, s: &[f64]) -> Result<Self> {
        let dim = p + 1;
        let mut xx = vec![0.0; p * p];
        for i in 0..p {
            xx[i * p..(i + 1) * p].copy_from_slice(&s[i * dim..i * dim + p]);
        }
        let Some((xx_inverse, xx_log_det)) = small::spd_inverse(p, &xx) else {
            return Err(CoreError::Numerical { what: "the fixed-effect columns are collinear at this covariance".into() });
        };
        let xy: Vec<f64> = (0..p).map(|i| s[i * dim + p]).collect();
        let mut beta = small::product(p, p, 1, &xx_inverse, &xy);
        // one step of refinement: xx_inverse has the rounding of a Cholesky inverse
        let residual: Vec<f64> = (0..p).map(|i| xy[i] - small::dot(&xx[i * p..(i + 1) * p], &beta)).collect();
        let correction = small::product(p, p, 1, &xx_inverse, &residual);
        beta.iter_mut().zip(&correction).for_each(|(b, c)| *b += c);
        let yy = s[p * dim + p];
        let r2 = yy - small::dot(&xy, &beta);
        if !r2.is_finite() || r2 <= 1e-13 * yy.abs() {
            return Err(CoreError::Data {
                what: "the model reproduces the outcome without residual: there is nothing left to estimate a residual variance from".into(),
            });
        }
        let w = beta.iter().map(|b| -b).chain([1.0]).collect();
        Ok(Root { p, xx_inverse, xx_log_det, beta, r2, w })
    }

    /// The adjoint of log|X'V⁻¹X| with respect to S (zero row and column for y), or zero under ML.
    pub fn adjoint(&self, reml: bool) -> Vec<f64> {
        let dim = self.p + 1;
        let mut adjoint = vec![0.0; dim * dim];
        if reml {
            for i in 0..self.p {
                adjoint[i * dim..i * dim + self.p].copy_from_slice(&self.xx_inverse[i * self.p..(i + 1) * self.p]);
            }
        }
        adjoint
    }

    /// The X part of a matrix over [X y].
    pub fn xx_part(&self, s: &[f64]) -> Vec<f64> {
        (0..self.p).flat_map(|i| s[i * (self.p + 1)..i * (self.p + 1) + self.p].iter().copied()).collect()
    }

    /// Derivative of log|X'V⁻¹X| along a tangent of S.
    pub fn xx_log_det_along(&self, tangent: &[f64]) -> f64 {
        let (p, dim) = (self.p, self.p + 1);
        let mut trace = 0.0;
        for i in 0..p {
            for j in 0..p {
                trace += self.xx_inverse[i * p + j] * tangent[j * dim + i];
            }
        }
        trace
    }

    /// Derivative of r² along a tangent of S: w'Ṡw.
    pub fn r2_along(&self, tangent: &[f64]) -> f64 {
        tangent.chunks_exact(self.p + 1).zip(&self.w).map(|(row, w)| small::dot(row, &self.w) * w).sum()
    }

    /// Second-order terms of the root itself for all pairs of tangents: (log-determinant part, r² part), m × m each.
    /// -tr(C⁻¹C_kC⁻¹C_l) and -2 (S_k w)_X' C⁻¹ (S_l w)_X.
    pub fn curvature(&self, tangents: &[Vec<f64>], reml: bool) -> (Vec<f64>, Vec<f64>) {
        let (p, m, dim) = (self.p, tangents.len(), self.p + 1);
        // C⁻¹C_k, (S_k w)_X and C⁻¹(S_k w)_X, one tangent after the other
        let mut scaled = vec![0.0; if reml { m * p * p } else { 0 }];
        let mut pulls = vec![0.0; 2 * m * p];
        let (pulls, solved) = pulls.split_at_mut(m * p);
        for (k, tangent) in tangents.iter().enumerate() {
            let pull = &mut pulls[k * p..(k + 1) * p];
            pull.iter_mut().zip(tangent.chunks_exact(dim)).for_each(|(out, row)| *out = small::dot(row, &self.w));
            small::multiply(p, p, 1, &self.xx_inverse, pull, &mut solved[k * p..(k + 1) * p]);
            if !reml || p == 0 {
                continue;
            }
            for (inverse, out) in self.xx_inverse.chunks_exact(p).zip(scaled[k * p * p..].chunks_exact_mut(p)) {
                for (factor, row) in inverse.iter().zip(tangent.chunks_exact(dim)) {
                    out.iter_mut().zip(row).for_each(|(o, r)| *o += factor * r);
                }
            }
        }
        let (mut log_det, mut r2) = (vec![0.0; m * m], vec![0.0; m * m]);
        for k in 0..m {
            for l in 0..m {
                if reml {
                    log_det[k * m + l] = -small::trace_product(p, p, &scaled[k * p * p..], &scaled[l * p * p..]);
                }
                r2[k * m + l] = -2.0 * small::dot(&pulls[k * p..(k + 1) * p], &solved[l * p..(l + 1) * p]);
            }
        }
        (log_det, r2)
    }
}
