//! Nodes of the finest level: the only code that runs once per person and evaluation.

use super::kernels::{accumulate_pairs, subtract_outer};
use super::work::Work;
use super::NestedObjective;
use crate::linalg::small;
use crate::objective::Order;

/// Calls a method with its first two arguments, the numbers of own and outer columns of a node, as constants for the usual sizes: the
/// compiler then unrolls the loops, which are too short to run well otherwise.
macro_rules! with_sizes {
    (@outer $q:literal, $f:expr, $method:ident, $self:ident, $($rest:expr),*) => {
        match $f {
            2 => $self.$method($q, 2, $($rest),*),
            3 => $self.$method($q, 3, $($rest),*),
            4 => $self.$method($q, 4, $($rest),*),
            5 => $self.$method($q, 5, $($rest),*),
            6 => $self.$method($q, 6, $($rest),*),
            7 => $self.$method($q, 7, $($rest),*),
            8 => $self.$method($q, 8, $($rest),*),
            f => $self.$method($q, f, $($rest),*),
        }
    };
    ($q:expr, $f:expr, $method:ident, $self:ident, $($rest:expr),*) => {
        match $q {
            1 => with_sizes!(@outer 1, $f, $method, $self, $($rest),*),
            2 => with_sizes!(@outer 2, $f, $method, $self, $($rest),*),
            3 => with_sizes!(@outer 3, $f, $method, $self, $($rest),*),
            q => $self.$method(q, $f, $($rest),*),
        }
    };
}

impl NestedObjective<'_> {
    /// Eliminates nodes of the finest level.
    pub(super) fn leaves(&self, nodes: std::ops::Range<usize>, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        with_sizes!(self.moments.levels[0].q, self.moments.levels[0].f, leaves_of, self, nodes, psi, order, chunk, work);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // sizes first: constants where they are usual ones
    fn leaves_of(
        &self,
        q: usize,
        f: usize,
        nodes: std::ops::Range<usize>,
        psi: &[Vec<f64>],
        order: Order,
        chunk: usize,
        work: &mut Work,
    ) {
        let level = &self.moments.levels[0];
        let psi = psi[self.moments.hierarchy.blocks[0]].as_slice();
        let own = &self.coordinates[..self.first[1]];
        let base = self.moments.chunks[chunk][0].start;
        let (keep, curved) = (order > Order::Value, order > Order::Gradient);
        let Work { stores, sums, tangents, log_det, log_det_gradient, hh, scratch, failed, .. } = work;
        let store = &mut stores[0];
        let (sum, tangent, hh) = (&mut sums[1], &mut tangents[1], &mut hh[0]);
        scratch.resize(q * f, 0.0);
        // log-determinants are taken of products of several nodes: a logarithm costs as much as a small node
        let mut product = 1.0;
        for node in nodes {
            let at = if keep { node - base } else { 0 };
            let a = &level.a[node * q * q..(node + 1) * q * q];
            let r = &level.r[node * q * f..(node + 1) * q * f];
            let n = &mut store.n[at * q * q..(at + 1) * q * q];
            let b = &mut store.b[at * q * f..(at + 1) * q * f];
            let Some(ld) = determinant(q, a, psi, n) else {
                *failed = true;
                return;
            };
            match ld {
                Determinant::Plain(d) => {
                    product *= d;
                    if !(1e-200..1e200).contains(&product) {
                        *log_det += product.ln();
                        product = 1.0;
                    }
                }
                Determinant::Log(d) => *log_det += d,
            }
            small::multiply(q, q, f, n, r, b);
            small::multiply(q, q, f, psi, b, scratch);
            for i in 0..q {
                subtract_outer(f, &r[i * f..(i + 1) * f], &scratch[i * f..(i + 1) * f], sum);
            }
            if order == Order::Value {
                continue;
            }
            let h = &mut store.h[at * q * q..(at + 1) * q * q];
            small::multiply(q, q, q, n, a, h);
            small::symmetrize(q, h);
            for (k, c) in own.iter().enumerate() {
                let out = &mut tangent[k * f * f..(k + 1) * f * f];
                for (i, j) in c.positions() {
                    log_det_gradient[k] += h[i * q + j];
                    subtract_outer(f, &b[i * f..(i + 1) * f], &b[j * f..(j + 1) * f], out);
                }
            }
            if curved {
                accumulate_pairs(q, h, h, hh);
            }
        }
        *log_det += product.ln();
    }

    /// Second derivatives of the finest level, from the adjoint and w of its parent.
    pub(super) fn down_leaves(&self, nodes: std::ops::Range<usize>, adjoint: &[f64], w: &[f64], chunk: usize, work: &mut Work) {
        with_sizes!(self.moments.levels[0].q, self.moments.levels[0].f, down_leaves_of, self, nodes, adjoint, w, chunk, work);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // sizes first: constants where they are usual ones
    fn down_leaves_of(
        &self,
        q: usize,
        f: usize,
        nodes: std::ops::Range<usize>,
        adjoint: &[f64],
        w: &[f64],
        chunk: usize,
        work: &mut Work,
    ) {
        let base = self.moments.chunks[chunk][0].start;
        let Work { stores, hq, hv, scratch, .. } = work;
        let (hq, hv) = (&mut hq[0], &mut hv[0]);
        let flat = adjoint.iter().all(|&s| s == 0.0);
        scratch.resize((q * f).max(2 * q * q + q), 0.0);
        let mut squares = vec![0.0; 2 * q * q];
        let (qq, vv) = squares.split_at_mut(q * q);
        let mut v = vec![0.0; q];
        for node in nodes {
            let at = node - base;
            let h = &stores[0].h[at * q * q..(at + 1) * q * q];
            let b = &stores[0].b[at * q * f..(at + 1) * q * f];
            for i in 0..q {
                v[i] = small::dot(&b[i * f..(i + 1) * f], w);
            }
            for i in 0..q {
                for j in 0..q {
                    vv[i * q + j] = v[i] * v[j];
                }
            }
            accumulate_pairs(q, h, vv, hv);
            if !flat {
                small::multiply(q, f, f, b, adjoint, scratch);
                for i in 0..q {
                    for j in 0..=i {
                        let value = small::dot(&scratch[i * f..(i + 1) * f], &b[j * f..(j + 1) * f]);
                        qq[i * q + j] = value;
                        qq[j * q + i] = value;
                    }
                }
                accumulate_pairs(q, h, qq, hq);
            }
        }
    }
}

enum Determinant {
    Plain(f64),
    Log(f64),
}

/// As [`small::invert_i_plus`], with the determinant itself for one column.
#[inline(always)]
fn determinant(q: usize, a: &[f64], psi: &[f64], n: &mut [f64]) -> Option<Determinant> {
    if q == 1 {
        let m = 1.0 + a[0] * psi[0];
        n[0] = 1.0 / m;
        return (1.0 - 1e-9..1e100).contains(&m).then_some(Determinant::Plain(m));
    }
    small::invert_i_plus(q, a, psi, n).map(Determinant::Log)
}
