//! The exact Hessian of log|V| (+ log|X'V⁻¹X|) for crossed factors with a dense core: the formulas of [`super::nested`] for a
//! tree of two levels whose upper level is one node, the core.

use faer::Mat;

use super::crossed::CrossedObjective;
use super::root::Root;
use super::schur::DenseCore;
use super::{Coordinate, Objective};
use crate::linalg::small;

/// The blocks of one evaluation.
pub(super) struct Dense<'a, 'm> {
    pub core: &'a DenseCore,
    pub objective: &'a CrossedObjective<'m>,
    pub n: &'a [f64],
    pub h: &'a [f64],
    pub b: &'a [f64],
}

/// What a coordinate of the eliminated factor needs.
struct Below {
    /// T C_k over the core.
    tc: Mat<f64>,
    /// N C_k N' - 2 N K_k S̄ B' over the core.
    mixed: Mat<f64>,
    /// K_k = (C_k W) top rows, K × tail.
    top: Mat<f64>,
}

impl Dense<'_, '_> {
    /// The Hessian over all coordinates.
    pub fn log_det_hessian(&self, root: &Root, u: &Mat<f64>, b_core: &Mat<f64>, tangents: &[Vec<f64>], reml: bool) -> Vec<f64> {
        let coordinates = self.objective.coordinates();
        let m = coordinates.len();
        let (mut hessian, _) = root.curvature(tangents, reml);
        let flat = root.adjoint(reml);
        let tail = self.objective.tail();
        let adjoint = Mat::from_fn(tail, tail, |i, j| flat[i * tail + j]);
        let size = self.core.a.nrows();
        let (n, h) = if self.core.at_zero() {
            (Mat::identity(size, size), self.core.a.clone())
        } else {
            let at = &self.core.a * &self.core.t;
            let n = Mat::from_fn(size, size, |i, j| if i == j { 1.0 } else { 0.0 } - at[(i, j)]);
            let h = &n * &self.core.a;
            (n, h)
        };
        // 2Q - H: every pair of own coordinates contracts with H once and with this once
        let q_less_h = Mat::from_fn(size, size, |i, j| -0.5 * (h[(i, j)] + h[(j, i)])) + (b_core * &adjoint * b_core.transpose()) * faer::Scale(2.0);
        let below: Vec<Option<Below>> =
            coordinates.iter().map(|c| self.objective.is_own(c).then(|| self.below(c, &n, u, b_core, &adjoint))).collect();
        let node_q = self.objective.node_q(self.b, self.core.t.as_ref(), u, &flat);
        for k in 0..m {
            for l in 0..=k {
                let value = match (&below[k], &below[l]) {
                    (Some(x), Some(y)) => {
                        self.objective.node_pairs(&coordinates[k], &coordinates[l], self.h, &node_q) + self.both_below(x, y, &adjoint)
                    }
                    (Some(x), None) => self.mixed(x, &coordinates[l]),
                    (None, Some(y)) => self.mixed(y, &coordinates[k]),
                    (None, None) => self.both_core(&coordinates[k], &coordinates[l], &h, &q_less_h),
                };
                hessian[k * m + l] += value;
                if k != l {
                    hessian[l * m + k] += value;
                }
            }
        }
        small::symmetrize(m, &mut hessian);
        debug_assert_eq!(self.n.len(), self.h.len());
        hessian
    }

    fn below(&self, c: &Coordinate, n: &Mat<f64>, u: &Mat<f64>, b_core: &Mat<f64>, adjoint: &Mat<f64>) -> Below {
        let (core, side) = self.objective.tangent(c, self.b);
        let top = &side - &core * u;
        let nk = if self.core.at_zero() { top.clone() } else { n * &top };
        let reduction = (&nk * adjoint * b_core.transpose()) * faer::Scale(2.0);
        if self.core.at_zero() {
            return Below { tc: Mat::zeros(core.nrows(), core.ncols()), mixed: &core - reduction, top };
        }
        let tc = &self.core.t * &core;
        let mixed = n * &core * n.transpose() - reduction;
        Below { tc, mixed, top }
    }

    /// -tr(T C_k T C_l) - 2 <S̄, K_k' T K_l>.
    fn both_below(&self, x: &Below, y: &Below, adjoint: &Mat<f64>) -> f64 {
        let size = x.tc.nrows();
        let mut trace = 0.0;
        for j in 0..size {
            for i in 0..size {
                trace += x.tc[(i, j)] * y.tc[(j, i)];
            }
        }
        let tk = &self.core.t * &y.top;
        let inner = x.top.transpose() * &tk;
        let mut product = 0.0;
        for i in 0..inner.nrows() {
            for j in 0..inner.ncols() {
                product += adjoint[(i, j)] * inner[(i, j)];
            }
        }
        -trace - 2.0 * product
    }

    /// tr(E_l (N C_k N' - 2 N K_k S̄ B')).
    fn mixed(&self, x: &Below, c: &Coordinate) -> f64 {
        let Some(block) = self.objective.place(c) else { return 0.0 };
        (0..block.levels)
            .map(|level| {
                let first = block.first + level * block.q;
                c.positions().map(|(a, b)| x.mixed[(first + b, first + a)]).sum::<f64>()
            })
            .sum()
    }

    /// tr(E_k H E_l (2Q - H)).
    fn both_core(&self, k: &Coordinate, l: &Coordinate, h: &Mat<f64>, other: &Mat<f64>) -> f64 {
        let (Some(x), Some(y)) = (self.objective.place(k), self.objective.place(l)) else { return 0.0 };
        let mut sum = 0.0;
        for g in 0..x.levels {
            let gx = x.first + g * x.q;
            for f in 0..y.levels {
                let fy = y.first + f * y.q;
                for (a, b) in k.positions() {
                    for (c, d) in l.positions() {
                        sum += h[(gx + b, fy + c)] * other[(fy + d, gx + a)];
                    }
                }
            }
        }
        sum
    }
}
