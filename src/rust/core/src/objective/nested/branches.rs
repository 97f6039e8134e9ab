//! Nodes above the finest level: elimination with tangents on the way up, adjoints on the way down.

use super::kernels::{accumulate_pairs, carry, descend, outer_product, subtract_outer, times_transposed};
use super::work::{Buffers, Work};
use super::NestedObjective;
use crate::linalg::small;
use crate::objective::Order;

/// Calls a method with its first argument, the number of own columns, as a constant for the usual sizes.
macro_rules! with_columns {
    ($q:expr, $self:ident . $method:ident, $($rest:expr),*) => {
        match $q {
            1 => $self.$method(1, $($rest),*),
            2 => $self.$method(2, $($rest),*),
            q => $self.$method(q, $($rest),*),
        }
    };
}

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
        with_columns!(self.moments.levels[l].q, self.branch, l, node, psi, order, chunk, work);
    }

    /// Eliminates a node above the finest level; its children are in `work.sums[l]`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the number of columns first: a constant where it is a usual one
    fn branch(&self, q: usize, l: usize, node: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        let level = &self.moments.levels[l];
        let (f, dim) = (level.f, q + level.f);
        let psi = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let at = if order > Order::Value { node - self.moments.chunks[chunk][l].start } else { 0 };
        let Work { stores, sums, tangents, buffers, log_det, log_det_gradient, log_det_hessian, hh, failed, .. } = work;
        let Buffers { a, r, u, t, own, .. } = buffers;
        let (a, r, u, t) = (&mut a[..q * q], &mut r[..q * f], &mut u[..q * f], &mut t[..q * q]);
        let (lower, upper) = sums.split_at_mut(l + 1);
        let (from, to) = (&lower[l], &mut upper[0]);
        for i in 0..q {
            for j in 0..q {
                a[i * q + j] = level.a[(node * q + i) * q + j] + from[i.min(j) * dim + i.max(j)];
            }
            for j in 0..f {
                r[i * f + j] = level.r[(node * q + i) * f + j] + from[i * dim + q + j];
            }
        }
        let store = &mut stores[l];
        let n = &mut store.n[at * q * q..(at + 1) * q * q];
        let b = &mut store.b[at * q * f..(at + 1) * q * f];
        let Some(ld) = small::invert_i_plus(q, a, psi, n) else {
            *failed = true;
            return;
        };
        *log_det += ld;
        small::multiply(q, q, f, n, r, b);
        small::multiply(q, q, f, psi, b, u);
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
        small::multiply(q, q, q, n, a, h);
        small::symmetrize(q, h);
        small::multiply(q, q, q, psi, n, t);
        let below = self.first[l];
        let (lower, upper) = tangents.split_at_mut(l + 1);
        for k in 0..below {
            let c = &lower[l][k * dim * dim..(k + 1) * dim * dim];
            let own = &mut own[k * q * q..(k + 1) * q * q];
            let top = &mut store.k[(at * below + k) * q * f..(at * below + k + 1) * q * f];
            carry(q, f, c, u, own, top, &mut upper[0][k * f * f..(k + 1) * f * f]);
            log_det_gradient[k] += small::trace_product(q, q, t, own);
        }
        for (k, c) in self.coordinates[below..self.first[l + 1]].iter().enumerate() {
            let out = &mut upper[0][(below + k) * f * f..(below + k + 1) * f * f];
            for (i, j) in c.positions() {
                log_det_gradient[below + k] += h[i * q + j];
                subtract_outer(f, &b[i * f..(i + 1) * f], &b[j * f..(j + 1) * f], out);
            }
        }
        if order > Order::Gradient {
            accumulate_pairs(q, h, h, &mut hh[l]);
            self.log_det_pairs(q, l, n, buffers, log_det_hessian);
        }
    }

    /// Second derivatives of log|I + AΨ| that involve coordinates below, whose own blocks are in `buffers`: -tr(T C_k T C_l) and
    /// tr(E_l N C_k N').
    #[inline(always)]
    fn log_det_pairs(&self, q: usize, l: usize, n: &[f64], buffers: &mut Buffers, hessian: &mut [f64]) {
        let (below, m) = (self.first[l], self.coordinates.len());
        let Buffers { t, own, scaled, square, squares, .. } = buffers;
        let (t, nc, ncn) = (&t[..q * q], &mut square[..q * q], &mut squares[..q * q]);
        for k in 0..below {
            small::multiply(q, q, q, t, &own[k * q * q..(k + 1) * q * q], &mut scaled[k * q * q..(k + 1) * q * q]);
        }
        for k in 0..below {
            for j in 0..below {
                hessian[k * m + j] -=
                    small::trace_product(q, q, &scaled[k * q * q..(k + 1) * q * q], &scaled[j * q * q..(j + 1) * q * q]);
            }
            small::multiply(q, q, q, n, &own[k * q * q..(k + 1) * q * q], nc);
            times_transposed(q, q, q, nc, n, ncn);
            for (j, c) in self.coordinates.iter().enumerate().take(self.first[l + 1]).skip(below) {
                let value: f64 = c.positions().map(|(a, b)| ncn[b * q + a]).sum();
                hessian[k * m + j] += value;
                hessian[j * m + k] += value;
            }
        }
    }

    /// Sends the adjoint of S (f × f) and w (f) down through a node and its subtree, collecting second derivatives.
    #[allow(clippy::too_many_arguments)] // a recursion: the arguments are its state
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
        // taken out of the workspace while the subtree uses the rest of it
        let mut inner = std::mem::take(&mut work.descents[l]);
        let at = node - self.moments.chunks[chunk][l].start;
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        with_columns!(self.moments.levels[l].q, self.pass_down, l, at, psi_l, adjoint, w, &mut inner, work);
        let (child_adjoint, child_w) = &inner;
        if l == 1 {
            self.down_leaves(node, psi, child_adjoint, child_w, chunk, work);
        } else {
            let children = &self.moments.hierarchy.children[l];
            let range = children[node] as usize..children[node + 1] as usize;
            range.for_each(|child| self.down(l - 1, child, psi, child_adjoint, child_w, chunk, work));
        }
        work.descents[l] = inner;
    }

    /// A node's own share of the second derivatives, and adjoint and w for its children.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the number of columns first: a constant where it is a usual one
    fn pass_down(
        &self,
        q: usize,
        l: usize,
        at: usize,
        psi: &[f64],
        adjoint: &[f64],
        w: &[f64],
        inner: &mut (Vec<f64>, Vec<f64>),
        work: &mut Work,
    ) {
        let (f, below) = (self.moments.levels[l].f, self.first[l]);
        let Work { stores, hq, hv, buffers, log_det_hessian, r2_hessian, .. } = work;
        let Buffers { r: bs, t, square, v, .. } = buffers;
        let store = &stores[l];
        let (n, h) = (&store.n[at * q * q..(at + 1) * q * q], &store.h[at * q * q..(at + 1) * q * q]);
        let b = &store.b[at * q * f..(at + 1) * q * f];
        let (bs, t, square, v) = (&mut bs[..q * f], &mut t[..q * q], &mut square[..q * q], &mut v[..q]);
        small::multiply(q, f, 1, b, w, v);
        outer_product(q, v, square);
        accumulate_pairs(q, h, square, &mut hv[l]);
        small::multiply(q, f, f, b, adjoint, bs);
        times_transposed(q, f, q, bs, b, square);
        accumulate_pairs(q, h, square, &mut hq[l]);
        small::multiply(q, q, q, psi, n, t);
        let tops = &store.k[at * below * q * f..(at + 1) * below * q * f];
        self.mixed_pairs(q, l, (adjoint, w), (n, tops), buffers, (log_det_hessian, r2_hessian));
        let Buffers { t, u, x, square, .. } = buffers;
        descend(q, f, psi, b, &t[..q * q], (adjoint, w), inner, (&mut u[..q * f], &mut x[..q * f], &mut square[..q * q]));
    }

    /// Second derivatives through a node for a coordinate below and one of its own, or two below. `buffers` hold BS̄ (as `r`), v and T.
    #[inline(always)]
    fn mixed_pairs(
        &self,
        q: usize,
        l: usize,
        (adjoint, w): (&[f64], &[f64]),
        (n, tops): (&[f64], &[f64]),
        buffers: &mut Buffers,
        (log_det, r2): (&mut [f64], &mut [f64]),
    ) {
        let (f, below, m) = (self.moments.levels[l].f, self.first[l], self.coordinates.len());
        let Buffers { r: bs, t, v, u, x, square, pulled, scaled, .. } = buffers;
        let (bs, t, v, square) = (&bs[..q * f], &t[..q * q], &v[..q], &mut square[..q * q]);
        let (x, y) = (&mut x[..q * f], &mut u[..q * f]);
        for (k, top) in tops.chunks_exact(q * f).enumerate() {
            small::multiply(q, f, 1, top, w, &mut pulled[k * q..(k + 1) * q]);
        }
        for (k, top) in tops.chunks_exact(q * f).enumerate() {
            // own coordinate: -2 tr(E N K_k S̄ B') and -2 v'E N (K_k w)
            small::multiply(q, q, f, n, top, x);
            times_transposed(q, f, q, x, bs, square);
            let nw = &mut scaled[..q];
            small::multiply(q, q, 1, n, &pulled[k * q..(k + 1) * q], nw);
            for (j, c) in self.coordinates.iter().enumerate().take(self.first[l + 1]).skip(below) {
                for (a, b) in c.positions() {
                    let (first, second) = (-2.0 * square[b * q + a], -2.0 * v[a] * nw[b]);
                    log_det[k * m + j] += first;
                    log_det[j * m + k] += first;
                    r2[k * m + j] += second;
                    r2[j * m + k] += second;
                }
            }
            small::multiply(q, q, f, t, top, x);
            small::multiply(q, f, f, x, adjoint, y);
            let tw = &mut scaled[..q];
            small::multiply(q, q, 1, t, &pulled[k * q..(k + 1) * q], tw);
            for (j, other) in tops.chunks_exact(q * f).enumerate() {
                log_det[k * m + j] -= 2.0 * small::dot(y, other);
                r2[k * m + j] -= 2.0 * small::dot(tw, &pulled[j * q..(j + 1) * q]);
            }
        }
    }
}
