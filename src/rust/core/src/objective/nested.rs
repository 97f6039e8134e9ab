//! Criterion and exact derivatives for a chain of nested factors, by block elimination from the finest level to the root.
//!
//! A node with A = Z'V⁻¹Z and R = Z'V⁻¹[outer], V the part of the covariance already eliminated, is removed with
//! N = (I + AΨ)⁻¹, H = NA, B = NR, U = ΨB, T = ΨN: the outer columns' cross-products lose R'U and log|V| gains log|I + AΨ|.
//! Differentiating (V is linear in Ψ; ∂S = W'∂C W - B'∂Ψ B with W = [-U; I]) gives the exact gradient on the way up and, with the
//! adjoint of the root flowing down, the exact Hessian in two sweeps whose cost does not depend on the number of rows.
//! Formulas: vignette "Algorithms" and design/0003-derivatives.md; checked against dense brute force in `tests/`.

use std::sync::Mutex;

use rayon::prelude::*;

use super::root::Root;
use super::{Coordinate, Objective, Order, Pieces};
use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::moments::nested::NestedMoments;

/// Fewer nodes than this are not worth a second thread.
const PARALLEL_NODES: usize = 20_000;

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

/// Blocks of every node kept from the sweep up for the sweep down.
#[derive(Debug, Default)]
struct LevelStore {
    h: Vec<f64>,
    n: Vec<f64>,
    b: Vec<f64>,
    /// (C_k W) top rows for every coordinate k below the level.
    k: Vec<f64>,
}

/// One chunk's workspace and partial sums.
#[derive(Debug, Default)]
struct Work {
    stores: Vec<LevelStore>,
    /// Per level ≥ 1, and the root last: what the children have handed up; upper triangles.
    sums: Vec<Vec<f64>>,
    /// The same for every coordinate below.
    tangents: Vec<Vec<f64>>,
    log_det: f64,
    log_det_gradient: Vec<f64>,
    log_det_hessian: Vec<f64>,
    r2_hessian: Vec<f64>,
    /// Per level: Σ h_s h_t, Σ h_s q_t, Σ h_s v_t over symmetric pairs s, t.
    hh: Vec<Vec<f64>>,
    hq: Vec<Vec<f64>>,
    hv: Vec<Vec<f64>>,
    scratch: Vec<f64>,
    failed: bool,
}

/// See the module documentation.
pub struct NestedObjective<'m> {
    moments: &'m NestedMoments,
    coordinates: Vec<Coordinate>,
    /// First coordinate of every level, and the total.
    first: Vec<usize>,
    reml: bool,
    p: usize,
    works: Vec<Mutex<Work>>,
    /// Where the stores of `works` were filled last, and the root there.
    last: Mutex<Option<(Vec<Vec<f64>>, Root)>>,
}

fn pair(i: usize, j: usize) -> usize {
    let (a, b) = if i >= j { (i, j) } else { (j, i) };
    a * (a + 1) / 2 + b
}

impl<'m> NestedObjective<'m> {
    /// `active` lists, per block of the basis, the entries of Ψ that are free.
    pub fn new(moments: &'m NestedMoments, active: &[Vec<(usize, usize)>], reml: bool) -> Self {
        let mut coordinates = Vec::new();
        let mut first = Vec::new();
        for &block in &moments.hierarchy.blocks {
            first.push(coordinates.len());
            coordinates.extend(active[block].iter().map(|&(a, b)| Coordinate { block, a, b }));
        }
        first.push(coordinates.len());
        let top = moments.levels.len() - 1;
        let p = moments.levels[top].f - 1;
        let works = moments.chunks.iter().map(|_| Mutex::new(Work::default())).collect();
        NestedObjective { moments, coordinates, first, reml, p, works, last: Mutex::new(None) }
    }

    fn levels(&self) -> usize {
        self.moments.levels.len()
    }

    fn parallel(&self) -> bool {
        self.moments.hierarchy.nodes(0) >= PARALLEL_NODES && self.works.len() > 1 && rayon::current_num_threads() > 1
    }

    fn for_chunks(&self, task: impl Fn(usize, &mut Work) + Sync + Send) {
        let run = |(index, work): (usize, &Mutex<Work>)| {
            let mut guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            task(index, &mut guard);
        };
        if self.parallel() { self.works.par_iter().enumerate().for_each(run) } else { self.works.iter().enumerate().for_each(run) }
    }

    fn prepare(&self, work: &mut Work, chunk: usize, order: Order) {
        let (levels, m) = (self.levels(), self.coordinates.len());
        work.stores.resize_with(levels, LevelStore::default);
        work.sums.resize(levels + 1, Vec::new());
        work.tangents.resize(levels + 1, Vec::new());
        for l in 0..levels {
            let level = &self.moments.levels[l];
            let (q, f, below) = (level.q, level.f, self.first[l]);
            let nodes = if order > Order::Value { self.moments.chunks[chunk][l].len() } else { 1 };
            let store = &mut work.stores[l];
            store.h.resize(nodes * q * q, 0.0);
            store.n.resize(nodes * q * q, 0.0);
            store.b.resize(nodes * q * f, 0.0);
            store.k.resize(nodes * below * q * f, 0.0);
            if l > 0 {
                work.sums[l].resize((q + f) * (q + f), 0.0);
                work.tangents[l].resize(below * (q + f) * (q + f), 0.0);
            }
        }
        let dim = self.p + 1;
        reset(&mut work.sums[levels], dim * dim);
        reset(&mut work.tangents[levels], if order > Order::Value { m * dim * dim } else { 0 });
        reset(&mut work.log_det_gradient, m);
        reset(&mut work.log_det_hessian, m * m);
        reset(&mut work.r2_hessian, m * m);
        for sums in [&mut work.hh, &mut work.hq, &mut work.hv] {
            sums.resize(levels, Vec::new());
            for (l, sum) in sums.iter_mut().enumerate() {
                let s = self.moments.levels[l].q * (self.moments.levels[l].q + 1) / 2;
                reset(sum, s * s);
            }
        }
        work.log_det = 0.0;
        work.failed = false;
    }

    /// Eliminates a node, its subtree first.
    fn up(&self, l: usize, node: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        if l > 0 {
            work.sums[l].fill(0.0);
            if order > Order::Value {
                work.tangents[l].fill(0.0);
            }
            let children = &self.moments.hierarchy.children[l];
            let range = children[node] as usize..children[node + 1] as usize;
            if l == 1 {
                self.leaves(range, psi, order, chunk, work);
            } else {
                range.for_each(|child| self.up(l - 1, child, psi, order, chunk, work));
            }
            self.branch(l, node, psi, order, chunk, work);
        } else {
            self.leaves(node..node + 1, psi, order, chunk, work);
        }
    }

    /// Eliminates nodes of the finest level.
    fn leaves(&self, nodes: std::ops::Range<usize>, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        with_sizes!(self.moments.levels[0].q, self.moments.levels[0].f, leaves_of, self, nodes, psi, order, chunk, work);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // sizes first: constants where they are usual ones
    fn leaves_of(
        &self, q: usize, f: usize, nodes: std::ops::Range<usize>, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work,
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

    /// Eliminates a node above the finest level; its children are in `work.sums[l]`.
    fn branch(&self, l: usize, node: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        let level = &self.moments.levels[l];
        let (q, f, dim) = (level.q, level.f, level.q + level.f);
        let psi = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let at = if order > Order::Value { node - self.moments.chunks[chunk][l].start } else { 0 };
        let (mut a, mut r) = (level.a[node * q * q..(node + 1) * q * q].to_vec(), level.r[node * q * f..(node + 1) * q * f].to_vec());
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

    /// Sends the adjoint of S (f × f) and w (f) down through a node and its subtree, collecting second derivatives.
    fn down(&self, l: usize, node: usize, psi: &[Vec<f64>], adjoint: &[f64], w: &[f64], chunk: usize, work: &mut Work) {
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
        if l == 0 {
            return;
        }
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let n = work.stores[l].n[at * q * q..(at + 1) * q * q].to_vec();
        let t = small::product(q, q, q, psi_l, &n);
        self.mixed_pairs(l, at, adjoint, w, &bs, &v, &n, &t, work);
        let (child_adjoint, child_w) = descend(q, f, psi_l, &b, &t, adjoint, w);
        let children = &self.moments.hierarchy.children[l];
        let range = children[node] as usize..children[node + 1] as usize;
        if l == 1 {
            self.down_leaves(range, &child_adjoint, &child_w, chunk, work);
        } else {
            range.for_each(|child| self.down(l - 1, child, psi, &child_adjoint, &child_w, chunk, work));
        }
    }

    fn down_leaves(&self, nodes: std::ops::Range<usize>, adjoint: &[f64], w: &[f64], chunk: usize, work: &mut Work) {
        with_sizes!(self.moments.levels[0].q, self.moments.levels[0].f, down_leaves_of, self, nodes, adjoint, w, chunk, work);
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // sizes first: constants where they are usual ones
    fn down_leaves_of(
        &self, q: usize, f: usize, nodes: std::ops::Range<usize>, adjoint: &[f64], w: &[f64], chunk: usize, work: &mut Work,
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

    /// Second derivatives through a node for a coordinate below and one of its own, or two below.
    #[allow(clippy::too_many_arguments)] // the node's blocks
    fn mixed_pairs(&self, l: usize, at: usize, adjoint: &[f64], w: &[f64], bs: &[f64], v: &[f64], n: &[f64], t: &[f64], work: &mut Work) {
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

    fn remember(&self, state: Option<(Vec<Vec<f64>>, Root)>) {
        *self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = state;
    }

    /// The root at Ψ, with the stores filled for it.
    fn root_at(&self, psi: &[Vec<f64>]) -> Result<Root> {
        if let Some((at, root)) = &*self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            if at == psi {
                return Ok(root.clone());
            }
        }
        let up = self.sweep_up(psi, Order::Gradient)?;
        let root = Root::new(self.p, &up.s)?;
        self.remember(Some((psi.to_vec(), root.clone())));
        Ok(root)
    }

    /// Walks down from the root, handing every node's conditional covariance T + U M U' (`spread`, else empty) and mode to `visit`.
    fn visit(&self, psi: &[Vec<f64>], w: &[f64], spread: bool, visit: &mut dyn FnMut(usize, usize, &[f64], &[f64])) {
        let top = self.levels() - 1;
        let flat = vec![0.0; w.len() * w.len()];
        for (chunk, work) in self.works.iter().enumerate() {
            let guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let nodes = self.moments.chunks[chunk][top].clone();
            self.visit_nodes(top, nodes, psi, spread.then_some(flat.as_slice()), w, chunk, &guard, visit);
        }
    }

    #[allow(clippy::too_many_arguments)] // a recursion: the arguments are its state
    fn visit_nodes(
        &self, l: usize, nodes: std::ops::Range<usize>, psi: &[Vec<f64>], adjoint: Option<&[f64]>, w: &[f64], chunk: usize, work: &Work,
        visit: &mut dyn FnMut(usize, usize, &[f64], &[f64]),
    ) {
        let (q, f) = (self.moments.levels[l].q, self.moments.levels[l].f);
        let (base, original) = (self.moments.chunks[chunk][l].start, &self.moments.hierarchy.original[l]);
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let (mut v, mut mode, mut own) = (vec![0.0; q], vec![0.0; q], Vec::new());
        let mut child_adjoint = Vec::new();
        for node in nodes {
            let at = node - base;
            let b = &work.stores[l].b[at * q * f..(at + 1) * q * f];
            small::multiply(q, f, 1, b, w, &mut v);
            small::multiply(q, q, 1, psi_l, &v, &mut mode);
            if let Some(adjoint) = adjoint {
                let t = small::product(q, q, q, psi_l, &work.stores[l].n[at * q * q..(at + 1) * q * q]);
                child_adjoint = descend(q, f, psi_l, b, &t, adjoint, w).0;
                own.clear();
                (0..q).for_each(|i| own.extend_from_slice(&child_adjoint[i * (q + f)..i * (q + f) + q]));
            }
            visit(l, original[node] as usize, &own, &mode);
            if l > 0 {
                let mut child_w: Vec<f64> = mode.iter().map(|m| -m).collect();
                child_w.extend_from_slice(w);
                let children = &self.moments.hierarchy.children[l];
                let range = children[node] as usize..children[node + 1] as usize;
                self.visit_nodes(l - 1, range, psi, adjoint.map(|_| child_adjoint.as_slice()), &child_w, chunk, work, visit);
            }
        }
    }

    /// The sweep up; returns S, its tangents, and the sums.
    fn sweep_up(&self, psi: &[Vec<f64>], order: Order) -> Result<Up> {
        let top = self.levels() - 1;
        self.for_chunks(|chunk, work| {
            self.prepare(work, chunk, order);
            let nodes = self.moments.chunks[chunk][top].clone();
            if top == 0 {
                self.leaves(nodes, psi, order, chunk, work);
            } else {
                nodes.for_each(|node| self.up(top, node, psi, order, chunk, work));
            }
        });
        let (dim, m) = (self.p + 1, self.coordinates.len());
        let mut up = Up { s: self.moments.total.clone(), tangents: Vec::new(), log_det: 0.0, gradient: vec![0.0; m] };
        let mut tangents = vec![0.0; if order > Order::Value { m * dim * dim } else { 0 }];
        for work in &self.works {
            let guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if guard.failed || !guard.log_det.is_finite() {
                return Err(CoreError::Numerical { what: "a level's covariance matrix could not be inverted".into() });
            }
            add(&mut up.s, &guard.sums[top + 1]);
            add(&mut tangents, &guard.tangents[top + 1]);
            add(&mut up.gradient, &guard.log_det_gradient);
            up.log_det += guard.log_det;
        }
        small::mirror(dim, &mut up.s);
        up.tangents = tangents.chunks_exact(dim * dim).map(<[f64]>::to_vec).collect();
        up.tangents.iter_mut().for_each(|t| small::mirror(dim, t));
        up.log_det += self.moments.log_det_residual;
        Ok(up)
    }

    fn hessians(&self, psi: &[Vec<f64>], root: &Root, up: &Up) -> (Vec<f64>, Vec<f64>) {
        let (top, m) = (self.levels() - 1, self.coordinates.len());
        let adjoint = root.adjoint(self.reml);
        self.for_chunks(|chunk, work| {
            let nodes = self.moments.chunks[chunk][top].clone();
            if top == 0 {
                self.down_leaves(nodes, &adjoint, &root.w, chunk, work);
            } else {
                nodes.for_each(|node| self.down(top, node, psi, &adjoint, &root.w, chunk, work));
            }
        });
        let (mut log_det, mut r2) = root.curvature(&up.tangents, self.reml);
        for work in &self.works {
            let guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            add(&mut log_det, &guard.log_det_hessian);
            add(&mut r2, &guard.r2_hessian);
            for l in 0..self.levels() {
                let s = self.moments.levels[l].q * (self.moments.levels[l].q + 1) / 2;
                for k in self.first[l]..self.first[l + 1] {
                    for j in self.first[l]..self.first[l + 1] {
                        for (a, b) in self.coordinates[k].positions() {
                            for (e, g) in self.coordinates[j].positions() {
                                log_det[k * m + j] -= guard.hh[l][pair(g, a) * s + pair(b, e)];
                                log_det[k * m + j] += 2.0 * guard.hq[l][pair(b, e) * s + pair(g, a)];
                                r2[k * m + j] += 2.0 * guard.hv[l][pair(b, e) * s + pair(g, a)];
                            }
                        }
                    }
                }
            }
        }
        small::symmetrize(m, &mut log_det);
        small::symmetrize(m, &mut r2);
        (log_det, r2)
    }
}

struct Up {
    s: Vec<f64>,
    tangents: Vec<Vec<f64>>,
    log_det: f64,
    gradient: Vec<f64>,
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
        return (m >= 1.0 - 1e-9 && m < 1e100).then_some(Determinant::Plain(m));
    }
    small::invert_i_plus(q, a, psi, n).map(Determinant::Log)
}

/// out -= x y' on the upper triangle.
#[inline(always)]
fn subtract_outer(f: usize, x: &[f64], y: &[f64], out: &mut [f64]) {
    for i in 0..f {
        let factor = x[i];
        for (o, v) in out[i * f + i..(i + 1) * f].iter_mut().zip(&y[i..f]) {
            *o -= factor * v;
        }
    }
}

/// sums[s, t] += x_s y_t over symmetric pairs.
#[inline(always)]
fn accumulate_pairs(q: usize, x: &[f64], y: &[f64], sums: &mut [f64]) {
    let s = q * (q + 1) / 2;
    for i in 0..q {
        for j in 0..=i {
            let factor = x[i * q + j];
            let row = &mut sums[pair(i, j) * s..(pair(i, j) + 1) * s];
            for a in 0..q {
                for b in 0..=a {
                    row[a * (a + 1) / 2 + b] += factor * y[a * q + b];
                }
            }
        }
    }
}

/// Carries a tangent C ((q + f)², symmetric) through the elimination: `out` (upper triangle) += W'CW. Returns C's own block and
/// the top rows of CW.
fn carry(q: usize, f: usize, c: &[f64], u: &[f64], out: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = q + f;
    let own: Vec<f64> = (0..q).flat_map(|i| c[i * dim..i * dim + q].iter().copied()).collect();
    let mut top = small::product(q, q, f, &own, u);
    for i in 0..q {
        for j in 0..f {
            top[i * f + j] = c[i * dim + q + j] - top[i * f + j];
        }
    }
    for i in 0..f {
        for j in i..f {
            let mut value = c[(q + i) * dim + q + j];
            for a in 0..q {
                value -= c[(q + i) * dim + a] * u[a * f + j] + u[a * f + i] * top[a * f + j];
            }
            out[i * f + j] += value;
        }
    }
    (own, top)
}

/// Adjoint and w of the children: W S̄ W' + T ⊕ 0 and W w, with W = [-U; I], U = ΨB.
fn descend(q: usize, f: usize, psi: &[f64], b: &[f64], t: &[f64], adjoint: &[f64], w: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = q + f;
    let u = small::product(q, q, f, psi, b);
    let us = small::product(q, f, f, &u, adjoint);
    let usu = small::product(q, f, q, &us, &small::transpose(q, f, &u));
    let mut out = vec![0.0; dim * dim];
    for i in 0..q {
        for j in 0..q {
            out[i * dim + j] = 0.5 * (usu[i * q + j] + usu[j * q + i] + t[i * q + j] + t[j * q + i]);
        }
        for j in 0..f {
            out[i * dim + q + j] = -us[i * f + j];
            out[(q + j) * dim + i] = -us[i * f + j];
        }
    }
    for i in 0..f {
        out[(q + i) * dim + q..(q + i + 1) * dim].copy_from_slice(&adjoint[i * f..(i + 1) * f]);
    }
    let mut child_w: Vec<f64> = small::product(q, f, 1, &u, w).iter().map(|x| -x).collect();
    child_w.extend_from_slice(w);
    (out, child_w)
}

fn reset(values: &mut Vec<f64>, len: usize) {
    values.clear();
    values.resize(len, 0.0);
}

fn add(to: &mut [f64], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
}

impl Objective for NestedObjective<'_> {
    fn coordinates(&self) -> &[Coordinate] {
        &self.coordinates
    }

    fn evaluate(&self, psi: &[Vec<f64>], order: Order) -> Result<Pieces> {
        let up = self.sweep_up(psi, order)?;
        let root = Root::new(self.p, &up.s)?;
        self.remember((order > Order::Value).then(|| (psi.to_vec(), root.clone())));
        let mut pieces = Pieces {
            log_det: up.log_det + if self.reml { root.xx_log_det } else { 0.0 },
            log_det_v: up.log_det,
            r2: root.r2,
            beta: root.beta.clone(),
            xx_inverse: root.xx_inverse.clone(),
            ..Pieces::default()
        };
        if order > Order::Value {
            pieces.r2_gradient = up.tangents.iter().map(|t| root.r2_along(t)).collect();
            pieces.log_det_gradient = up
                .gradient
                .iter()
                .zip(&up.tangents)
                .map(|(g, t)| g + if self.reml { root.xx_log_det_along(t) } else { 0.0 })
                .collect();
            pieces.xx_gradient = up.tangents.iter().map(|t| root.xx_part(t)).collect();
        }
        if order > Order::Gradient {
            let (log_det, r2) = self.hessians(psi, &root, &up);
            pieces.log_det_hessian = Some(log_det);
            pieces.r2_hessian = r2;
        }
        Ok(pieces)
    }

    fn modes(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let root = self.root_at(psi)?;
        let mut out = self.empty(|q| q);
        self.visit(psi, &root.w, false, &mut |l, original, _, mode| {
            let q = mode.len();
            out[self.moments.hierarchy.blocks[l]][original * q..(original + 1) * q].copy_from_slice(mode);
        });
        Ok(out)
    }

    fn conditional_covariances(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let root = self.root_at(psi)?;
        let mut out = self.empty(|q| q * q);
        self.visit(psi, &root.w, true, &mut |l, original, own, _| {
            out[self.moments.hierarchy.blocks[l]][original * own.len()..(original + 1) * own.len()].copy_from_slice(own);
        });
        Ok(out)
    }
}

impl NestedObjective<'_> {
    fn empty(&self, size: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
        let mut out = vec![Vec::new(); self.levels()];
        for (l, level) in self.moments.levels.iter().enumerate() {
            out[self.moments.hierarchy.blocks[l]] = vec![0.0; size(level.q) * self.moments.hierarchy.nodes(l)];
        }
        out
    }
}
