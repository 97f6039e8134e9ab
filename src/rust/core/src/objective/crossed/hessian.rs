//! The exact Hessian of log|V| (+ log|X'V⁻¹X|) for crossed factors with a dense core: the formulas of [`crate::objective::nested`] for a
//! tree of two levels whose upper level is one node, the core.

use faer::{Mat, MatRef};

use super::schur::DenseCore;
use super::CrossedObjective;
use crate::error::Result;
use crate::linalg::{dense, small};
use crate::moments::crossed::CoreBlock;
use crate::objective::root::Root;
use crate::objective::{Coordinate, Objective};
use crate::stop::go_on;

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
    pub fn log_det_hessian(
        &self,
        root: &Root,
        u: &Mat<f64>,
        b_core: &Mat<f64>,
        tangents: &[Vec<f64>],
        reml: bool,
    ) -> Result<Vec<f64>> {
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
            let at = self.product(&self.core.a, &self.core.t)?;
            let n = Mat::from_fn(size, size, |i, j| if i == j { 1.0 } else { 0.0 } - at[(i, j)]);
            let h = self.product(&n, &self.core.a)?;
            (n, h)
        };
        // 2Q - H: every pair of own coordinates contracts with H once and with this once
        let at_zero = self.core.at_zero();
        let q_less_h = Mat::from_fn(size, size, |i, j| if at_zero { -h[(i, j)] } else { -0.5 * (h[(i, j)] + h[(j, i)]) })
            + (b_core * &adjoint * b_core.transpose()) * faer::Scale(2.0);
        let below = coordinates
            .iter()
            .map(|c| self.objective.is_own(c).then(|| self.below(c, &n, u, b_core, &adjoint)).transpose())
            .collect::<Result<Vec<Option<Below>>>>()?;
        let node_q = self.objective.node_q(self.b, self.core.t.as_ref(), u, &flat)?;
        for k in 0..m {
            for l in 0..=k {
                let value = match (&below[k], &below[l]) {
                    (Some(x), Some(y)) => {
                        self.objective.node_pairs(&coordinates[k], &coordinates[l], self.h, &node_q)
                            + self.both_below(x, y, &adjoint)
                    }
                    (Some(x), None) => self.mixed(x, &coordinates[l]),
                    (None, Some(y)) => self.mixed(y, &coordinates[k]),
                    (None, None) => self.both_core(&coordinates[k], &coordinates[l], &h, &q_less_h)?,
                };
                hessian[k * m + l] += value;
                if k != l {
                    hessian[l * m + k] += value;
                }
            }
        }
        small::symmetrize(m, &mut hessian);
        debug_assert_eq!(self.n.len(), self.h.len());
        Ok(hessian)
    }

    fn product(&self, a: &Mat<f64>, b: &Mat<f64>) -> Result<Mat<f64>> {
        dense::product(a.as_ref(), b.as_ref(), self.objective.stop)
    }

    fn below(&self, c: &Coordinate, n: &Mat<f64>, u: &Mat<f64>, b_core: &Mat<f64>, adjoint: &Mat<f64>) -> Result<Below> {
        let (core, side) = self.objective.tangent(c, self.b)?;
        let top = &side - &core * u;
        let nk = if self.core.at_zero() { top.clone() } else { n * &top };
        let reduction = (&nk * adjoint * b_core.transpose()) * faer::Scale(2.0);
        if self.core.at_zero() {
            return Ok(Below { tc: Mat::zeros(core.nrows(), core.ncols()), mixed: &core - reduction, top });
        }
        let tc = self.product(&self.core.t, &core)?;
        let nc = self.product(n, &core)?;
        let mixed = dense::product(nc.as_ref(), n.transpose(), self.objective.stop)? - reduction;
        Ok(Below { tc, mixed, top })
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
    fn both_core(&self, k: &Coordinate, l: &Coordinate, h: &Mat<f64>, other: &Mat<f64>) -> Result<f64> {
        let (Some(x), Some(y)) = (self.objective.place(k), self.objective.place(l)) else { return Ok(0.0) };
        let mut sum = 0.0;
        for g in 0..x.levels {
            go_on(self.objective.stop)?;
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
        Ok(sum)
    }
}

impl CrossedObjective<'_> {
    /// -Σ_i B_i'E B_i over the core, and over core × [X y], for a coordinate of the eliminated factor.
    fn tangent(&self, c: &Coordinate, b: &[f64]) -> Result<(Mat<f64>, Mat<f64>)> {
        let (size, tail) = (self.m.size, self.m.tail);
        let (mut core, mut side) = (Mat::<f64>::zeros(size, size), Mat::<f64>::zeros(size, tail));
        for node in 0..self.m.nodes {
            go_on(self.stop)?;
            let (span, width) = self.span(node);
            let (met, b) = (self.met(node), &b[span]);
            let k = met.len();
            for (i, j) in c.positions() {
                let (x, y) = (&b[i * width..(i + 1) * width], &b[j * width..(j + 1) * width]);
                for (a, &column) in met.iter().enumerate() {
                    for (e, &row) in met.iter().enumerate() {
                        core[(row as usize, column as usize)] -= x[e] * y[a];
                    }
                    (0..tail).for_each(|t| side[(column as usize, t)] -= x[a] * y[k + t]);
                }
            }
        }
        Ok((core, side))
    }

    /// Sums over nodes of -tr(HE_kHE_l) + 2 tr(E_kHE_lQ) for coordinates of the eliminated factor.
    fn node_pairs(&self, k: &Coordinate, l: &Coordinate, h: &[f64], q_sums: &[Vec<f64>]) -> f64 {
        let q = self.m.q;
        let mut sum = 0.0;
        for (node, qq) in q_sums.iter().enumerate() {
            let h = &h[node * q * q..(node + 1) * q * q];
            for (a, b) in k.positions() {
                for (e, f) in l.positions() {
                    sum += h[b * q + e] * (2.0 * qq[f * q + a] - h[f * q + a]);
                }
            }
        }
        sum
    }

    /// Q_i = B_i C̄ B_i' per node, with the root's adjoint.
    fn node_q(&self, b: &[f64], t: MatRef<'_, f64>, u: &Mat<f64>, adjoint: &[f64]) -> Result<Vec<Vec<f64>>> {
        let (q, tail) = (self.m.q, self.m.tail);
        (0..self.m.nodes)
            .map(|node| {
                go_on(self.stop)?;
                let (span, width) = self.span(node);
                let (met, b) = (self.met(node), &b[span]);
                let k = met.len();
                let part: Vec<f64> = met.iter().flat_map(|&i| met.iter().map(move |&j| t[(i as usize, j as usize)])).collect();
                let lines: Vec<f64> = b.chunks_exact(width).flat_map(|line| line[..k].iter().copied()).collect();
                let mut out = small::product(q, k, q, &small::product(q, k, k, &lines, &part), &small::transpose(q, k, &lines));
                let mut projected = vec![0.0; q * tail];
                for i in 0..q {
                    for t in 0..tail {
                        projected[i * tail + t] = b[i * width + k + t]
                            - met.iter().enumerate().map(|(e, &column)| b[i * width + e] * u[(column as usize, t)]).sum::<f64>();
                    }
                }
                let right = small::product(q, tail, tail, &projected, adjoint);
                let more = small::product(q, tail, q, &right, &small::transpose(q, tail, &projected));
                out.iter_mut().zip(more).for_each(|(o, m)| *o += m);
                Ok(out)
            })
            .collect()
    }

    fn is_own(&self, c: &Coordinate) -> bool {
        c.block == self.m.block
    }

    fn place(&self, c: &Coordinate) -> Option<&CoreBlock> {
        self.core_block(c.block)
    }

    fn tail(&self) -> usize {
        self.m.tail
    }
}
