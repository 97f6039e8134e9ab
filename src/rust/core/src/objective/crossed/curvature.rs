//! The Hessian of r², exact by solving with one vector per coordinate; that of the log-determinants by differences (sparse cores).

use faer::Mat;

use super::{CrossedObjective, Sweep};
use crate::error::Result;
use crate::linalg::small;
use crate::objective::{Coordinate, Order};
use crate::stop::go_on;

impl CrossedObjective<'_> {
    /// Z'V⁻¹[X y]w per level: eliminated nodes, then the core.
    pub(super) fn scores(&self, sweep: &Sweep, w: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (q, tail) = (self.m.q, self.m.tail);
        let mut nodes = vec![0.0; self.m.nodes * q];
        let mut projected = vec![0.0; q * tail];
        for node in 0..self.m.nodes {
            self.projected(sweep, node, &mut projected);
            for i in 0..q {
                nodes[node * q + i] = small::dot(&projected[i * tail..(i + 1) * tail], w);
            }
        }
        let core = (0..self.m.size).map(|i| (0..tail).map(|t| sweep.b_core[(i, t)] * w[t]).sum()).collect();
        (nodes, core)
    }

    /// E_c v: the scores of a coordinate's factor with their components exchanged.
    fn direction(&self, c: &Coordinate, scores: &(Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
        let (mut nodes, mut core) = (vec![0.0; scores.0.len()], vec![0.0; scores.1.len()]);
        let (from, to, q, first, levels) = match self.core_block(c.block) {
            None => (&scores.0, &mut nodes, self.m.q, 0, self.m.nodes),
            Some(block) => (&scores.1, &mut core, block.q, block.first, block.levels),
        };
        for level in 0..levels {
            let at = first + level * q;
            c.positions().for_each(|(a, b)| to[at + a] += from[at + b]);
        }
        (nodes, core)
    }

    /// Z'PZ s for s over (nodes, core): the elimination with Zs in the place of y. With `given` true Z'V⁻¹Z s, the fixed effects taken as
    /// known.
    fn project(&self, sweep: &Sweep, psi: &[Vec<f64>], s: &(Vec<f64>, Vec<f64>), given: bool) -> Result<(Vec<f64>, Vec<f64>)> {
        let m = self.m;
        let (q, tail, p) = (m.q, m.tail, self.p);
        let mut core = Mat::<f64>::zeros(m.size, 1);
        for &(i, j, v) in &m.core_products {
            core[(i as usize, 0)] += v * s.1[j as usize];
            if i != j {
                core[(j as usize, 0)] += v * s.1[i as usize];
            }
        }
        let mut fixed: Vec<f64> = (0..p).map(|t| (0..m.size).map(|i| m.core_tail[i * tail + t] * s.1[i]).sum()).collect();
        let mut solved = vec![0.0; m.nodes * q];
        for node in 0..m.nodes {
            go_on(self.stop)?;
            let (span, width) = self.span(node);
            let (met, r, b) = (self.met(node), &m.r[span.clone()], &sweep.b[span]);
            let s_i = &s.0[node * q..(node + 1) * q];
            let mut rhs = small::product(q, q, 1, &m.a[node * q * q..(node + 1) * q * q], s_i);
            for line in 0..q {
                for (k, &column) in met.iter().enumerate() {
                    rhs[line] += r[line * width + k] * s.1[column as usize];
                }
            }
            let reduced = small::product(q, q, 1, &psi[m.block], &rhs);
            for line in 0..q {
                for (k, &column) in met.iter().enumerate() {
                    core[(column as usize, 0)] += r[line * width + k] * s_i[line] - b[line * width + k] * reduced[line];
                }
                for (t, f) in fixed.iter_mut().enumerate() {
                    *f += r[line * width + met.len() + t] * s_i[line] - b[line * width + met.len() + t] * reduced[line];
                }
            }
            let n = &sweep.n[node * q * q..(node + 1) * q * q];
            solved[node * q..(node + 1) * q].copy_from_slice(&small::product(q, q, 1, n, &rhs));
        }
        let u = sweep.schur.times_t(core.as_ref());
        for (t, f) in fixed.iter_mut().enumerate() {
            *f -= (0..m.size).map(|i| sweep.s_tail[(i, t)] * u[(i, 0)]).sum::<f64>();
        }
        let gamma = if given { vec![0.0; p] } else { small::product(p, p, 1, &sweep.root.xx_inverse, &fixed) };
        // fitted core effects of the column Zs
        let fitted: Vec<f64> = (0..m.size).map(|i| u[(i, 0)] - (0..p).map(|t| sweep.u[(i, t)] * gamma[t]).sum::<f64>()).collect();
        let au = sweep.schur.times_a(u.as_ref());
        let core_out: Vec<f64> = (0..m.size)
            .map(|i| core[(i, 0)] - au[(i, 0)] - (0..p).map(|t| sweep.b_core[(i, t)] * gamma[t]).sum::<f64>())
            .collect();
        for node in 0..m.nodes {
            go_on(self.stop)?;
            let (span, width) = self.span(node);
            let (met, b) = (self.met(node), &sweep.b[span]);
            for line in 0..q {
                let mut value = solved[node * q + line];
                for (k, &column) in met.iter().enumerate() {
                    value -= b[line * width + k] * fitted[column as usize];
                }
                for (t, g) in gamma.iter().enumerate() {
                    value -= b[line * width + met.len() + t] * g;
                }
                solved[node * q + line] = value;
            }
        }
        Ok((solved, core_out))
    }

    /// ∂²r²/∂Ψ_k∂Ψ_l = 2 (E_k v)' Z'PZ (E_l v).
    pub(super) fn r2_hessian(&self, sweep: &Sweep, psi: &[Vec<f64>]) -> Result<Vec<f64>> {
        self.quadratic_hessian(sweep, psi, &sweep.root.w, false)
    }

    /// The same for w'Sw with another w, which does not follow the fixed effects when `given` is true.
    pub(super) fn quadratic_hessian(&self, sweep: &Sweep, psi: &[Vec<f64>], w: &[f64], given: bool) -> Result<Vec<f64>> {
        let m = self.coordinates.len();
        let scores = self.scores(sweep, w);
        let directions: Vec<_> = self.coordinates.iter().map(|c| self.direction(c, &scores)).collect();
        let mut hessian = vec![0.0; m * m];
        for (k, direction) in directions.iter().enumerate() {
            let image = self.project(sweep, psi, direction, given)?;
            for (l, other) in directions.iter().enumerate() {
                hessian[k * m + l] = 2.0 * (small::dot(&other.0, &image.0) + small::dot(&other.1, &image.1));
            }
        }
        small::symmetrize(m, &mut hessian);
        Ok(hessian)
    }

    /// Hessian of the log-determinants by central differences of the exact gradient (sparse cores).
    pub(super) fn differenced(&self, psi: &[Vec<f64>]) -> Result<Vec<f64>> {
        let m = self.coordinates.len();
        let mut hessian = vec![0.0; m * m];
        for (k, c) in self.coordinates.iter().enumerate() {
            let q = if c.block == self.m.block { self.m.q } else { self.core_block(c.block).map_or(1, |b| b.q) };
            let scale = (psi[c.block][c.a * q + c.a] * psi[c.block][c.b * q + c.b]).sqrt();
            let step = 1e-4 * scale.max(1e-4);
            let shifted = |sign: f64| -> Result<Vec<f64>> {
                let mut moved = psi.to_vec();
                c.positions().for_each(|(a, b)| moved[c.block][a * q + b] += sign * step);
                Ok(self.gradient(&self.sweep(&moved, Order::Gradient)?)?.log_det)
            };
            if scale > 0.0 {
                let (up, down) = (shifted(1.0)?, shifted(-1.0)?);
                (0..m).for_each(|l| hessian[k * m + l] = (up[l] - down[l]) / (2.0 * step));
            } else if c.a == c.b {
                // a variance of zero: differences into the interior, of second order too
                let (here, one, two) = (shifted(0.0)?, shifted(1.0)?, shifted(2.0)?);
                (0..m).for_each(|l| hessian[k * m + l] = (4.0 * one[l] - 3.0 * here[l] - two[l]) / (2.0 * step));
            }
        }
        small::symmetrize(m, &mut hessian);
        Ok(hessian)
    }
}
