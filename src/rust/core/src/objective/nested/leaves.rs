//! Nodes of the finest level: the only code that runs once per person and evaluation, for four persons at a time.

use super::kernels::{pair, reset_lanes, triangle, unpack, with_columns};
use super::leaf_moments::LeafMoments;
use super::work::Work;
use super::{Leaves, NestedObjective};
use crate::linalg::lanes::{Lanes, LANES};
use crate::linalg::small;
use crate::objective::Order;

/// A parent's groups of nodes: their number, moments and, with many columns, N kept for the way down.
struct Groups<'g> {
    f: usize,
    psi: &'g [f64],
    a: &'g [Lanes],
    r: &'g [Lanes],
    kept: &'g mut [Lanes],
}

/// With so many columns N = (I + AΨ)⁻¹ is cheaper to keep than to compute again.
const KEEP_FROM: usize = 3;

/// Sums of the way up over the nodes of a parent, every lane by itself: S and its derivatives (packed upper triangles), H, H ⊗ H.
#[derive(Debug, Default)]
pub(super) struct UpSums {
    s: Vec<Lanes>,
    tangents: Vec<Lanes>,
    h: Vec<Lanes>,
    hh: Vec<Lanes>,
    /// Running product of determinants: a logarithm costs as much as a small node.
    determinants: Lanes,
    log_det: f64,
    pub(super) failed: bool,
}

impl NestedObjective<'_> {
    fn leaf_groups<'g>(
        &'g self,
        leaves: &'g LeafMoments,
        parent: usize,
        psi: &'g [f64],
        chunk: usize,
        kept: &'g mut [Lanes],
    ) -> Groups<'g> {
        let (q, f) = (self.moments.levels[0].q, self.moments.levels[0].f);
        let groups = leaves.groups(parent);
        let kept = if kept.is_empty() {
            kept
        } else {
            let first = self.first_group(leaves, chunk);
            &mut kept[(groups.start - first) * q * q..(groups.end - first) * q * q]
        };
        Groups {
            f,
            psi,
            a: &leaves.a[groups.start * triangle(q)..groups.end * triangle(q)],
            r: &leaves.r[groups.start * q * f..groups.end * q * f],
            kept,
        }
    }

    /// The first group of a chunk.
    fn first_group(&self, leaves: &LeafMoments, chunk: usize) -> usize {
        let parent = if self.levels() == 1 { chunk } else { self.moments.chunks[chunk][1].start };
        leaves.starts[parent] as usize
    }

    /// Blocks N of a chunk that are kept: those of its groups where that pays.
    pub(super) fn kept_blocks(&self, chunk: usize) -> usize {
        match &self.leaves {
            Leaves::Nodes(leaves) if self.moments.levels[0].q >= KEEP_FROM => {
                let end = if self.levels() == 1 { chunk + 1 } else { self.moments.chunks[chunk][1].end };
                leaves.starts[end] as usize - self.first_group(leaves, chunk)
            }
            _ => 0,
        }
    }

    fn leaf_psi<'p>(&self, psi: &'p [Vec<f64>]) -> &'p [f64] {
        &psi[self.moments.hierarchy.blocks[0]]
    }

    /// Eliminates the nodes of a parent.
    pub(super) fn leaves(&self, parent: usize, psi: &[Vec<f64>], order: Order, chunk: usize, work: &mut Work) {
        let (q, f) = (self.moments.levels[0].q, self.moments.levels[0].f);
        let (psi, own) = (self.leaf_psi(psi), &self.own_leaf_coordinates);
        let leaves = match &self.leaves {
            Leaves::Patterns(patterns) => return self.patterns_up(patterns, parent, psi, order, work),
            Leaves::Nodes(leaves) => leaves,
        };
        let Work { sums, tangents, log_det, log_det_gradient, hh, leaf_n, up_sums: up, lane_scratch: scratch, failed, .. } = work;
        reset_lanes(&mut up.s, triangle(f));
        reset_lanes(&mut up.tangents, own.len() * triangle(f));
        reset_lanes(&mut up.h, triangle(q));
        reset_lanes(&mut up.hh, triangle(q) * triangle(q));
        scratch.resize(2 * q * f + q * q + triangle(q), Lanes::ZERO);
        (up.determinants, up.log_det) = (Lanes::ONE, 0.0);
        let groups = self.leaf_groups(leaves, parent, psi, chunk, leaf_n);
        with_columns!(q, eliminate, groups, own, order, up, scratch);
        *failed |= up.failed;
        *log_det += up.log_det + up.determinants.0.iter().product::<f64>().ln();
        unpack(f, up.s.iter().map(|lanes| lanes.sum()), &mut sums[1]);
        if order == Order::Value {
            return;
        }
        for (k, &(i, j)) in own.iter().enumerate() {
            let tangent = &up.tangents[k * triangle(f)..(k + 1) * triangle(f)];
            unpack(f, tangent.iter().map(|lanes| lanes.sum()), &mut tangents[1][k * f * f..(k + 1) * f * f]);
            let share = if i == j { 1.0 } else { 2.0 };
            log_det_gradient[k] += share * up.h[pair(i, j)].sum();
        }
        hh[0].iter_mut().zip(&up.hh).for_each(|(sum, part)| *sum += part.sum());
    }

    /// Conditional modes of a parent's nodes, handed to `visit` with the position of the node.
    pub(super) fn leaf_modes(
        &self,
        parent: usize,
        psi: &[Vec<f64>],
        w: &[f64],
        chunk: usize,
        visit: &mut dyn FnMut(usize, &[f64]),
    ) {
        let (q, psi) = (self.moments.levels[0].q, self.leaf_psi(psi));
        let leaves = match &self.leaves {
            Leaves::Patterns(patterns) => return self.pattern_modes(patterns, self.leaf_nodes(parent), psi, w, visit),
            Leaves::Nodes(leaves) => leaves,
        };
        let groups = self.leaf_groups(leaves, parent, psi, chunk, &mut []);
        let mut out = vec![Lanes::ZERO; groups.r.len() / groups.f];
        with_columns!(q, modes, groups, w, &mut out);
        let mut mode = vec![0.0; q];
        for (k, node) in self.leaf_nodes(parent).enumerate() {
            let values = &out[k / LANES * q..(k / LANES + 1) * q];
            mode.iter_mut().zip(values).for_each(|(m, v)| *m = v.0[k % LANES]);
            visit(node, &mode);
        }
    }

    /// Positions of a parent's nodes.
    fn leaf_nodes(&self, parent: usize) -> std::ops::Range<usize> {
        match self.moments.hierarchy.children.get(1) {
            Some(children) => children[parent] as usize..children[parent + 1] as usize,
            None => self.moments.chunks[parent][0].clone(),
        }
    }

    /// Second derivatives of a parent's nodes, from the adjoint and w of the parent.
    pub(super) fn down_leaves(&self, parent: usize, psi: &[Vec<f64>], adjoint: &[f64], w: &[f64], chunk: usize, work: &mut Work) {
        let (q, f, psi) = (self.moments.levels[0].q, self.moments.levels[0].f, self.leaf_psi(psi));
        let leaves = match &self.leaves {
            Leaves::Patterns(patterns) => return self.patterns_down(patterns, parent, psi, (adjoint, w), work),
            Leaves::Nodes(leaves) => leaves,
        };
        let Work { hq, hv, leaf_n, down_sums, lane_scratch: scratch, .. } = work;
        let size = triangle(q) * triangle(q);
        reset_lanes(down_sums, 2 * size);
        scratch.resize(2 * q * f + 2 * q * q + 2 * triangle(q) + q, Lanes::ZERO);
        let groups = self.leaf_groups(leaves, parent, psi, chunk, leaf_n);
        with_columns!(q, curve, groups, adjoint, w, down_sums, scratch);
        let (quadratic, residual) = down_sums.split_at(size);
        hq[0].iter_mut().zip(quadratic).for_each(|(sum, part)| *sum += part.sum());
        hv[0].iter_mut().zip(residual).for_each(|(sum, part)| *sum += part.sum());
    }
}

/// Conditional modes Ψv, v = N(Rw), of every node.
#[inline(always)]
fn modes(q: usize, groups: Groups, w: &[f64], out: &mut [Lanes]) {
    let Groups { f, psi, a, r, .. } = groups;
    let mut blocks = vec![Lanes::ZERO; q * q + 2 * q];
    let (n, rest) = blocks.split_at_mut(q * q);
    let (rw, v) = rest.split_at_mut(q);
    for ((a, r), out) in a.chunks_exact(triangle(q)).zip(r.chunks_exact(q * f)).zip(out.chunks_exact_mut(q)) {
        // what could fail has failed on the way up
        inverse(q, a, psi, n, &mut 0.0, &mut false);
        for i in 0..q {
            rw[i] = Lanes::ZERO;
            for (&x, &w) in r[i * f..(i + 1) * f].iter().zip(w) {
                rw[i] += x * Lanes::splat(w);
            }
        }
        multiply(q, 1, n, rw, v);
        for i in 0..q {
            out[i] = Lanes::ZERO;
            for k in 0..q {
                out[i] += Lanes::splat(psi[i * q + k]) * v[k];
            }
        }
    }
}

/// The way up: N, B = NR, H = NA of every node, and the sums.
#[inline(always)]
fn eliminate(q: usize, groups: Groups, own: &[(usize, usize)], order: Order, up: &mut UpSums, scratch: &mut [Lanes]) {
    let Groups { f, psi, a, r, kept } = groups;
    let s = triangle(q);
    let (b, scratch) = scratch.split_at_mut(q * f);
    let (u, scratch) = scratch.split_at_mut(q * f);
    let (n, h) = scratch.split_at_mut(q * q);
    for (g, (a, r)) in a.chunks_exact(s).zip(r.chunks_exact(q * f)).enumerate() {
        let determinant = inverse(q, a, psi, n, &mut up.log_det, &mut up.failed);
        let product = up.determinants * determinant;
        if product.0.iter().all(|d| (1e-60..1e60).contains(d)) {
            up.determinants = product;
        } else {
            let logs = |d: Lanes| d.0.iter().map(|v| v.ln()).sum::<f64>();
            up.log_det += logs(up.determinants) + logs(determinant);
            up.determinants = Lanes::ONE;
        }
        if q >= KEEP_FROM && !kept.is_empty() {
            kept[g * q * q..(g + 1) * q * q].copy_from_slice(n);
        }
        multiply(q, f, n, r, b);
        for i in 0..q {
            for j in 0..f {
                let mut value = Lanes::splat(psi[i * q]) * b[j];
                for k in 1..q {
                    value += Lanes::splat(psi[i * q + k]) * b[k * f + j];
                }
                u[i * f + j] = value;
            }
        }
        let mut sums = up.s.iter_mut();
        for j in 0..f {
            for (k, sum) in (j..f).zip(&mut sums) {
                for i in 0..q {
                    *sum -= r[i * f + j] * u[i * f + k];
                }
            }
        }
        if order == Order::Value {
            continue;
        }
        symmetric_product(q, n, a, h);
        up.h.iter_mut().zip(&*h).for_each(|(sum, &h)| *sum += h);
        for (&(i, j), tangent) in own.iter().zip(up.tangents.chunks_exact_mut(triangle(f))) {
            let (x, y) = (&b[i * f..(i + 1) * f], &b[j * f..(j + 1) * f]);
            let mut sums = tangent.iter_mut();
            if i == j {
                for c in 0..f {
                    x[c..].iter().zip(&mut sums).for_each(|(&v, sum)| *sum -= x[c] * v);
                }
            } else {
                for c in 0..f {
                    x[c..].iter().zip(&y[c..]).zip(&mut sums).for_each(|((&v, &z), sum)| *sum -= x[c] * z + y[c] * v);
                }
            }
        }
        if order > Order::Gradient {
            accumulate(s, h, h, &mut up.hh);
        }
    }
}

/// The way down: H ⊗ BS̄B' and H ⊗ vv', v = Bw.
#[inline(always)]
fn curve(q: usize, groups: Groups, adjoint: &[f64], w: &[f64], sums: &mut [Lanes], scratch: &mut [Lanes]) {
    let Groups { f, psi, a, r, kept } = groups;
    let s = triangle(q);
    let (quadratic, residual) = sums.split_at_mut(s * s);
    let (b, scratch) = scratch.split_at_mut(q * f);
    let (bs, scratch) = scratch.split_at_mut(q * f);
    let (n, scratch) = scratch.split_at_mut(q * q);
    let (h, scratch) = scratch.split_at_mut(s);
    let (pairs, v) = scratch.split_at_mut(s);
    let flat = adjoint.iter().all(|&s| s == 0.0);
    for (g, (a, r)) in a.chunks_exact(s).zip(r.chunks_exact(q * f)).enumerate() {
        if q >= KEEP_FROM && !kept.is_empty() {
            n.copy_from_slice(&kept[g * q * q..(g + 1) * q * q]);
        } else {
            // what could fail has failed on the way up
            inverse(q, a, psi, n, &mut 0.0, &mut false);
        }
        multiply(q, f, n, r, b);
        symmetric_product(q, n, a, h);
        for i in 0..q {
            v[i] = Lanes::ZERO;
            for (&x, &w) in b[i * f..(i + 1) * f].iter().zip(w) {
                v[i] += x * Lanes::splat(w);
            }
        }
        for i in 0..q {
            (0..i + 1).for_each(|j| pairs[pair(i, j)] = v[i] * v[j]);
        }
        accumulate(s, h, pairs, residual);
        if flat {
            continue;
        }
        bs.fill(Lanes::ZERO);
        for i in 0..q {
            for (k, row) in adjoint.chunks_exact(f).enumerate() {
                let factor = b[i * f + k];
                bs[i * f..(i + 1) * f].iter_mut().zip(row).for_each(|(out, &s)| *out += factor * Lanes::splat(s));
            }
        }
        for i in 0..q {
            for j in 0..i + 1 {
                let mut value = Lanes::ZERO;
                for (&x, &y) in bs[i * f..(i + 1) * f].iter().zip(&b[j * f..(j + 1) * f]) {
                    value += x * y;
                }
                pairs[pair(i, j)] = value;
            }
        }
        accumulate(s, h, pairs, quadratic);
    }
}

/// sums[i, j] += x_i y_j over packed triangles.
#[inline(always)]
fn accumulate(s: usize, x: &[Lanes], y: &[Lanes], sums: &mut [Lanes]) {
    for (&x, row) in x.iter().zip(sums.chunks_exact_mut(s)) {
        row.iter_mut().zip(y).for_each(|(sum, &y)| *sum += x * y);
    }
}

/// b (q × f) = N R.
#[inline(always)]
fn multiply(q: usize, f: usize, n: &[Lanes], r: &[Lanes], b: &mut [Lanes]) {
    for i in 0..q {
        for j in 0..f {
            let mut value = n[i * q] * r[j];
            for k in 1..q {
                value += n[i * q + k] * r[k * f + j];
            }
            b[i * f + j] = value;
        }
    }
}

/// H = NA, symmetric but for rounding, packed.
#[inline(always)]
fn symmetric_product(q: usize, n: &[Lanes], a: &[Lanes], h: &mut [Lanes]) {
    for i in 0..q {
        for j in 0..i + 1 {
            let (mut lower, mut upper) = (Lanes::ZERO, Lanes::ZERO);
            for k in 0..q {
                lower += n[i * q + k] * a[pair(k, j)];
                upper += n[j * q + k] * a[pair(k, i)];
            }
            h[pair(i, j)] = if i == j { lower } else { Lanes::splat(0.5) * (lower + upper) };
        }
    }
}

/// As [`small::invert_i_plus`], the determinants themselves returned; with many columns their logarithms are added to `log_det` instead.
#[inline(always)]
fn inverse(q: usize, a: &[Lanes], psi: &[f64], n: &mut [Lanes], log_det: &mut f64, failed: &mut bool) -> Lanes {
    let determinant = match q {
        1 => {
            let m = Lanes::ONE + a[0] * Lanes::splat(psi[0]);
            n[0] = Lanes::ONE / m;
            m
        }
        2 => {
            let p = [psi[0], psi[1], psi[3]].map(Lanes::splat);
            let (m00, m01) = (Lanes::ONE + a[0] * p[0] + a[1] * p[1], a[0] * p[1] + a[1] * p[2]);
            let (m10, m11) = (a[1] * p[0] + a[2] * p[1], Lanes::ONE + a[1] * p[1] + a[2] * p[2]);
            // det(I + AΨ) = 1 + tr(AΨ) + |A||Ψ|: no cancellation between products of the entries of I + AΨ
            let det_a = (a[0] * a[2] - a[1] * a[1]).max(0.0);
            let det_psi = (psi[0] * psi[3] - psi[1] * psi[2]).max(0.0);
            let det = m00 + m11 - Lanes::ONE + det_a * Lanes::splat(det_psi);
            let inverse = Lanes::ONE / det;
            n[0] = m11 * inverse;
            n[1] = Lanes::ZERO - m01 * inverse;
            n[2] = Lanes::ZERO - m10 * inverse;
            n[3] = m00 * inverse;
            det
        }
        _ => {
            inverse_by_node(q, a, psi, n, log_det, failed);
            return Lanes::ONE;
        }
    };
    *failed |= determinant.0.iter().any(|d| !(1.0 - 1e-9..f64::INFINITY).contains(d));
    determinant
}

fn inverse_by_node(q: usize, packed: &[Lanes], psi: &[f64], n: &mut [Lanes], log_det: &mut f64, failed: &mut bool) {
    let mut a = vec![0.0; q * q];
    let mut inverse = vec![0.0; q * q];
    for lane in 0..LANES {
        for i in 0..q {
            (0..q).for_each(|j| a[i * q + j] = packed[pair(i, j)].0[lane]);
        }
        match small::invert_i_plus(q, &a, psi, &mut inverse) {
            Some(ld) => *log_det += ld,
            None => *failed = true,
        }
        n.iter_mut().zip(&inverse).for_each(|(out, &value)| out.0[lane] = value);
    }
}
