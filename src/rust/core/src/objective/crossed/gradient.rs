//! The gradient: sums over the levels of every factor.

use super::{CrossedObjective, Sweep};
use crate::error::Result;
use crate::linalg::small;
use crate::stop::go_on;

pub(super) struct Gradient {
    pub(super) log_det: Vec<f64>,
    pub(super) r2: Vec<f64>,
    pub(super) tangents: Vec<Vec<f64>>,
}

/// Sums over the levels of one factor: what the gradient and the root's tangents need.
struct BlockSums {
    q: usize,
    tail: usize,
    /// H - B T̄ B' with the root's adjoint included.
    log_det: Vec<f64>,
    /// v v'.
    vv: Vec<f64>,
    /// Per (a, b): b_a b_b' over [X y].
    tails: Vec<f64>,
}

impl BlockSums {
    fn new(q: usize, tail: usize) -> Self {
        BlockSums { q, tail, log_det: vec![0.0; q * q], vv: vec![0.0; q * q], tails: vec![0.0; q * q * tail * tail] }
    }
    fn add_h(&mut self, h: &[f64]) {
        self.log_det.iter_mut().zip(h).for_each(|(s, h)| *s += h);
    }
    fn subtract(&mut self, i: usize, j: usize, value: f64) {
        self.log_det[i * self.q + j] -= value;
        if i != j {
            self.log_det[j * self.q + i] -= value;
        }
    }
    /// Adds a level whose projected B over [X y] is `lines`.
    fn add_tail(&mut self, lines: &[f64], adjoint: &[f64], w: &[f64]) {
        let (q, tail) = (self.q, self.tail);
        for i in 0..q {
            let x = &lines[i * tail..(i + 1) * tail];
            let xs = small::product(1, tail, tail, x, adjoint);
            for j in 0..q {
                let y = &lines[j * tail..(j + 1) * tail];
                self.log_det[i * q + j] -= small::dot(&xs, y);
                self.vv[i * q + j] += small::dot(x, w) * small::dot(y, w);
                let part = &mut self.tails[(i * q + j) * tail * tail..(i * q + j + 1) * tail * tail];
                for (a, &xa) in x.iter().enumerate() {
                    part[a * tail..(a + 1) * tail].iter_mut().zip(y).for_each(|(p, yb)| *p += xa * yb);
                }
            }
        }
    }
}

impl CrossedObjective<'_> {
    /// B of a node with the core projected out: B_X - B_K U, q × tail.
    pub(super) fn projected(&self, sweep: &Sweep, node: usize, out: &mut [f64]) {
        let (span, width) = self.span(node);
        let (met, b) = (self.met(node), &sweep.b[span]);
        let tail = self.m.tail;
        for line in 0..self.m.q {
            for t in 0..tail {
                let mut value = b[line * width + met.len() + t];
                for (k, &column) in met.iter().enumerate() {
                    value -= b[line * width + k] * sweep.u[(column as usize, t)];
                }
                out[line * tail + t] = value;
            }
        }
    }

    /// Gradients of log|V| (+ log|X'V⁻¹X|) and r², and the tangents of the root.
    pub(super) fn gradient(&self, sweep: &Sweep) -> Result<Gradient> {
        let m = self.m;
        let (q, tail) = (m.q, m.tail);
        let adjoint = sweep.root.adjoint(self.reml);
        let mut own = BlockSums::new(q, tail);
        let mut projected = vec![0.0; q * tail];
        let mut t = Vec::new();
        for node in 0..m.nodes {
            go_on(self.stop)?;
            let (span, width) = self.span(node);
            let (met, b) = (self.met(node), &sweep.b[span]);
            let k = met.len();
            self.projected(sweep, node, &mut projected);
            own.add_h(&sweep.h[node * q * q..(node + 1) * q * q]);
            for i in 0..q {
                for j in 0..=i {
                    let (x, y) = (&b[i * width..i * width + k], &b[j * width..j * width + k]);
                    own.subtract(i, j, sweep.schur.form(met, x, y, &mut t));
                }
            }
            own.add_tail(&projected, &adjoint, &sweep.root.w);
        }
        let mut by_block = vec![(m.block, own)];
        for block in &m.core {
            let mut sums = BlockSums::new(block.q, tail);
            sums.add_h(&sweep.schur.h_sum(block, self.stop)?);
            let mut lines = vec![0.0; block.q * tail];
            for level in 0..block.levels {
                for i in 0..block.q {
                    (0..tail).for_each(|t| lines[i * tail + t] = sweep.b_core[(block.first + level * block.q + i, t)]);
                }
                sums.add_tail(&lines, &adjoint, &sweep.root.w);
            }
            by_block.push((block.block, sums));
        }
        let mut out = Gradient { log_det: Vec::new(), r2: Vec::new(), tangents: Vec::new() };
        for c in &self.coordinates {
            if let Some((_, sums)) = by_block.iter().find(|(block, _)| *block == c.block) {
                out.log_det.push(c.positions().map(|(a, b)| sums.log_det[a * sums.q + b]).sum());
                out.r2.push(-c.positions().map(|(a, b)| sums.vv[a * sums.q + b]).sum::<f64>());
                let mut tangent = vec![0.0; tail * tail];
                for (a, b) in c.positions() {
                    let part = &sums.tails[(a * sums.q + b) * tail * tail..(a * sums.q + b + 1) * tail * tail];
                    tangent.iter_mut().zip(part).for_each(|(t, v)| *t -= v);
                }
                small::symmetrize(tail, &mut tangent);
                out.tangents.push(tangent);
            }
        }
        Ok(out)
    }
}
