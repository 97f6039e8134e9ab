//! Nodes above the finest level: elimination with tangents on the way up, adjoints on the way down.

use super::kernels::{accumulate_pairs, add, carry, descend, subtract_outer};
use super::work::Work;
use super::NestedObjective;
use crate::linalg::small;
use crate::objective::Order;

impl NestedObjective<'_> {
    /// Eliminates a node, its subtree first.
    pub(super) fn up(&self, l: usize, node: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        work.sums[l].fill(0.0);
        if order > Order::Value {
            work.tangents[l].fill(0.0);
        }
        if l == 1 {
            self.leaves(node, psi, order, chunk, work);
        } else {
            let children = &self.moments.hierarchy.children[l];
            let range = children[node] as usize..children[node + 1] as usize;
            range.for_each(|child| self.up(l - 1, child, psi, order, chunk, work));
        }
        self.branch(l, node, psi, order, chunk, work);
    }

    /// Eliminates a node above the finest level; its children are in `work.sums[l]`.
    fn branch(&self, l: usize, node: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        let level = &self.moments.levels[l];
        let (q, f, dim) = (level.q, level.f, level.q + level.f);
        let psi = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let at = if order > Order::Value { node - self.moments.chunks[chunk][l].start } else { 0 };
        let (mut a, mut r) =
            (level.a[node * q * q..(node + 1) * q * q].to_vec(), level.r[node * q * f..(node + 1) * q * f].to_vec());
        let (lower, upper) = work.sums.split_at_mut(l + 1);
        let (from, to) = (&lower[l], &mut upper[0]);
        for i in 0..q {
            for j in 0..q {
                a[i * q + j] += from[i.min(j) * dim + i.max(j)];
            }
            for j in 0..f {
                r[i * f + j] += from[i * dim + q + j];
            }
        }
        let store = &mut work.stores[l];
        let n = &mut store.n[at * q * q..(at + 1) * q * q];
        let b = &mut store.b[at * q * f..(at + 1) * q * f];
        let Some(ld) = small::invert_i_plus(q, &a, psi, n) else {
            work.failed = true;
            return;
        };
        work.log_det += ld;
        small::multiply(q, q, f, n, &r, b);
        let u = small::product(q, q, f, psi, b);
        for i in 0..f {
            for j in i..f {
                to[i * f + j] += from[(q + i) * dim + q + j];
            }
        }
        for i in 0..q {
            subtract_outer(f, &r[i * f..(i + 1) * f], &u[i * f..(i + 1) * f], to);
        }
        if order == Order::Value {
            return;
        }
        let h = &mut store.h[at * q * q..(at + 1) * q * q];
        small::multiply(q, q, q, n, &a, h);
        small::symmetrize(q, h);
        let t = small::product(q, q, q, psi, n);
        let (below, m) = (self.first[l], self.coordinates.len());
        let (lower, upper) = work.tangents.split_at_mut(l + 1);
        let mut tops = Vec::with_capacity(if order > Order::Gradient { below } else { 0 });
        for k in 0..below {
            let c = &mut lower[l][k * dim * dim..(k + 1) * dim * dim];
            small::mirror(dim, c);
            let (c_aa, top) = carry(q, f, c, &u, &mut upper[0][k * f * f..(k + 1) * f * f]);
            work.log_det_gradient[k] += small::trace_product(q, q, &t, &c_aa);
            if order > Order::Value {
                let at = (at * below + k) * q * f;
                store.k[at..at + q * f].copy_from_slice(&top);
                tops.push(c_aa);
            }
        }
        for (k, c) in self.coordinates[below..self.first[l + 1]].iter().enumerate() {
            let out = &mut upper[0][(below + k) * f * f..(below + k + 1) * f * f];
            for (i, j) in c.positions() {
                work.log_det_gradient[below + k] += h[i * q + j];
                subtract_outer(f, &b[i * f..(i + 1) * f], &b[j * f..(j + 1) * f], out);
            }
        }
        if order > Order::Gradient {
            accumulate_pairs(q, h, h, &mut work.hh[l]);
            self.log_det_pairs(l, &tops, &t, n, m, &mut work.log_det_hessian);
        }
    }

    /// Second derivatives of log|I + AΨ| that involve coordinates below: -tr(T C_k T C_l) and tr(E_l N C_k N').
    fn log_det_pairs(&self, l: usize, tops: &[Vec<f64>], t: &[f64], n: &[f64], m: usize, hessian: &mut [f64]) {
        let q = self.moments.levels[l].q;
        let tc: Vec<Vec<f64>> = tops.iter().map(|c| small::product(q, q, q, t, c)).collect();
        for k in 0..tops.len() {
            for j in 0..tops.len() {
                hessian[k * m + j] -= small::trace_product(q, q, &tc[k], &tc[j]);
            }
            let ncn = small::product(q, q, q, &small::product(q, q, q, n, &tops[k]), &small::transpose(q, q, n));
            for (j, c) in self.coordinates.iter().enumerate().take(self.first[l + 1]).skip(self.first[l]) {
                let value: f64 = c.positions().map(|(a, b)| ncn[b * q + a]).sum();
                hessian[k * m + j] += value;
                hessian[j * m + k] += value;
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // a recursion: the arguments are its state
    /// Sends the adjoint of S (f × f) and w (f) down through a node and its subtree, collecting second derivatives.
    pub(super) fn down(
        &self,
        l: usize,
        node: usize,
        psi: &[Vec<f64>],
        adjoint: &[f64],
        w: &[f64],
        chunk: usize,
        work: &mut Work,
    ) {
        let level = &self.moments.levels[l];
        let (q, f) = (level.q, level.f);
        let at = node - self.moments.chunks[chunk][l].start;
        let b = work.stores[l].b[at * q * f..(at + 1) * q * f].to_vec();
        let h = &work.stores[l].h[at * q * q..(at + 1) * q * q];
        let v = small::product(q, f, 1, &b, w);
        let vv: Vec<f64> = v.iter().flat_map(|x| v.iter().map(move |y| x * y)).collect();
        let bs = small::product(q, f, f, &b, adjoint);
        let qq = small::product(q, f, q, &bs, &small::transpose(q, f, &b));
        accumulate_pairs(q, h, &qq, &mut work.hq[l]);
        accumulate_pairs(q, h, &vv, &mut work.hv[l]);
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let n = work.stores[l].n[at * q * q..(at + 1) * q * q].to_vec();
        let t = small::product(q, q, q, psi_l, &n);
        self.mixed_pairs(l, at, adjoint, w, &bs, &v, &n, &t, work);
        let (child_adjoint, child_w) = descend(q, f, psi_l, &b, &t, adjoint, w);
        if l == 1 {
            self.down_leaves(node, psi, &child_adjoint, &child_w, chunk, work);
        } else {
            let children = &self.moments.hierarchy.children[l];
            let range = children[node] as usize..children[node + 1] as usize;
            range.for_each(|child| self.down(l - 1, child, psi, &child_adjoint, &child_w, chunk, work));
        }
    }

    /// Second derivatives through a node for a coordinate below and one of its own, or two below.
    #[allow(clippy::too_many_arguments)] // the node's blocks
    fn mixed_pairs(
        &self,
        l: usize,
        at: usize,
        adjoint: &[f64],
        w: &[f64],
        bs: &[f64],
        v: &[f64],
        n: &[f64],
        t: &[f64],
        work: &mut Work,
    ) {
        let level = &self.moments.levels[l];
        let (q, f, below, m) = (level.q, level.f, self.first[l], self.coordinates.len());
        let top = |k: usize| &work.stores[l].k[(at * below + k) * q * f..(at * below + k + 1) * q * f];
        let (mut log_det, mut r2) = (vec![0.0; m * m], vec![0.0; m * m]);
        let pulled: Vec<Vec<f64>> = (0..below).map(|k| small::product(q, f, 1, top(k), w)).collect();
        for k in 0..below {
            // own coordinate: -2 tr(E N K_k S̄ B') and -2 v'E N (K_k w)
            let nk = small::product(q, q, f, n, top(k));
            let m1 = small::product(q, f, q, &nk, &small::transpose(q, f, bs));
            let nw = small::product(q, q, 1, n, &pulled[k]);
            for (j, c) in self.coordinates.iter().enumerate().take(self.first[l + 1]).skip(below) {
                for (a, b) in c.positions() {
                    let (x, y) = (-2.0 * m1[b * q + a], -2.0 * v[a] * nw[b]);
                    log_det[k * m + j] += x;
                    log_det[j * m + k] += x;
                    r2[k * m + j] += y;
                    r2[j * m + k] += y;
                }
            }
            let tk = small::product(q, q, f, t, top(k));
            let tw = small::product(q, q, 1, t, &pulled[k]);
            let tks = small::product(q, f, f, &tk, adjoint);
            for j in 0..below {
                log_det[k * m + j] -= 2.0 * small::dot(&tks, top(j));
                r2[k * m + j] -= 2.0 * small::dot(&tw, &pulled[j]);
            }
        }
        add(&mut work.log_det_hessian, &log_det);
        add(&mut work.r2_hessian, &r2);
    }
}
