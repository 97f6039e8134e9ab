//! The criterion with β and σ profiled out, in theta: value, gradient, exact Hessian, expected information.

use super::parameters::Parameters;
use super::{Objective, Order, Pieces};
use crate::error::Result;
use crate::linalg::small::{self, sandwich};

/// Criterion as a function of theta (internal basis).
#[derive(Clone, Copy)]
pub struct Profile<'o> {
    /// Where the pieces come from.
    pub objective: &'o dyn Objective,
    /// theta → Ψ.
    pub parameters: &'o Parameters,
    /// n - p under REML, n under ML.
    pub nu: f64,
}

/// Value and derivatives at one theta.
#[derive(Debug, Clone)]
pub struct Point {
    /// Where.
    pub theta: Vec<f64>,
    /// The criterion.
    pub value: f64,
    /// Gradient in the coordinates of Ψ.
    pub psi_gradient: Vec<f64>,
    /// Gradient in theta.
    pub gradient: Vec<f64>,
    /// Hessian in theta (average information in place of the log-determinant's part where that was not computed).
    pub hessian: Vec<f64>,
    /// The pieces.
    pub pieces: Pieces,
}

impl Profile<'_> {
    /// Criterion from its pieces.
    pub fn value(&self, pieces: &Pieces) -> f64 {
        pieces.log_det + self.nu * (1.0 + (2.0 * std::f64::consts::PI * pieces.r2 / self.nu).ln())
    }

    /// Value and derivatives to the given order.
    ///
    /// # Errors
    /// Those of the objective.
    pub fn at(&self, theta: &[f64], order: Order) -> Result<Point> {
        let pieces = self.objective.evaluate(&self.parameters.psi(theta), order)?;
        let mut point = Point {
            theta: theta.to_vec(),
            value: self.value(&pieces),
            psi_gradient: Vec::new(),
            gradient: Vec::new(),
            hessian: Vec::new(),
            pieces,
        };
        if order == Order::Value {
            return Ok(point);
        }
        let pieces = &point.pieces;
        let scale = self.nu / pieces.r2;
        point.psi_gradient = pieces.log_det_gradient.iter().zip(&pieces.r2_gradient).map(|(l, r)| l + scale * r).collect();
        let theta = point.theta.clone();
        Ok(self.restated(point, theta))
    }

    /// The same point of Ψ with its gradient and Hessian in this parametrisation, whose theta there is `theta`.
    pub fn restated(&self, mut point: Point, theta: Vec<f64>) -> Point {
        let coordinates = self.objective.coordinates();
        let (m, k) = (coordinates.len(), self.parameters.n_theta);
        let jacobian = self.parameters.jacobian(&theta, coordinates);
        point.gradient = small::product(1, m, k, &point.psi_gradient, &jacobian);
        point.hessian = Vec::new();
        if !point.pieces.r2_hessian.is_empty() {
            let mut hessian = sandwich(m, k, &jacobian, &self.psi_hessian(&point.pieces));
            let curvature = self.parameters.curvature(&theta, coordinates, &point.psi_gradient);
            hessian.iter_mut().zip(&curvature).for_each(|(h, c)| *h += c);
            small::symmetrize(k, &mut hessian);
            point.hessian = hessian;
        }
        point.theta = theta;
        point
    }

    /// Hessian of the profiled criterion in the coordinates of Ψ.
    pub fn psi_hessian(&self, pieces: &Pieces) -> Vec<f64> {
        let m = pieces.r2_gradient.len();
        let scale = self.nu / pieces.r2;
        let mut hessian = vec![0.0; m * m];
        for k in 0..m {
            for l in 0..m {
                let i = k * m + l;
                let quadratic = scale * pieces.r2_hessian[i];
                // expectation of the quadratic part is -2 × the log-determinant's: half of it is the average information
                let log_det = pieces.log_det_hessian.as_ref().map_or(-0.5 * quadratic, |h| h[i]);
                let profiled = scale * pieces.r2_gradient[k] * pieces.r2_gradient[l] / pieces.r2;
                let expected = if pieces.log_det_hessian.is_some() { profiled } else { 0.5 * profiled };
                hessian[i] = log_det + quadratic - expected;
            }
        }
        hessian
    }

    /// One step of Fisher scoring on the absolute scale (σ², Σ), in which V is linear: the new Ψ per coordinate, or `None` where
    /// the information is singular. From Ψ = I this is the MINQUE (moment) estimate.
    pub fn scoring_step(&self, pieces: &Pieces, psi: &[f64]) -> Option<Vec<f64>> {
        let m = psi.len();
        let sigma2 = pieces.r2 / self.nu;
        let (t, r) = (&pieces.log_det_gradient, &pieces.r2_gradient);
        let information = |k: usize, l: usize| match &pieces.log_det_hessian {
            Some(h) => -h[k * m + l],
            None => 0.5 * pieces.r2_hessian[k * m + l] / sigma2,
        };
        let dim = m + 1;
        let mut f = vec![0.0; dim * dim];
        let mut u = vec![0.0; dim];
        for k in 0..m {
            let mut with_residual = t[k];
            for l in 0..m {
                f[(k + 1) * dim + l + 1] = information(k, l);
                with_residual -= psi[l] * information(k, l);
            }
            f[k + 1] = with_residual;
            f[(k + 1) * dim] = with_residual;
            u[k + 1] = -r[k] / sigma2;
        }
        f[0] = self.nu - (0..m).map(|k| psi[k] * (t[k] + f[k + 1])).sum::<f64>();
        u[0] = self.nu + small::dot(psi, r) / sigma2;
        let (inverse, _) = small::spd_inverse(dim, &f)?;
        let s = small::product(dim, dim, 1, &inverse, &u);
        (s[0] > 1e-8).then(|| s[1..].iter().map(|v| v / s[0]).collect())
    }
}
