//! Nodes of the finest level with the same Z'Z (persons seen at the same times; with a random intercept alone: equally often) share N, H and
//! the determinant, and of their Z'[outer] only sums of products enter the criterion and its derivatives: one visit to the pattern
//! stands for a visit to each of its nodes.

use super::kernels::{accumulate_pairs, pair, reset, times_transposed, triangle, unpack, with_columns};
use super::work::Work;
use super::NestedObjective;
use crate::linalg::lanes::with_vectors;
use crate::linalg::small;
use crate::moments::nested::NestedMoments;
use crate::objective::Order;

/// Patterns of every parent's nodes.
#[derive(Debug)]
pub(super) struct Patterns {
    /// Entries of `a` and of `products` per pattern.
    square: usize,
    size: usize,
    /// Where the patterns of every parent start; parents are the nodes of the next level or, in a chain of one, the chunks.
    starts: Vec<u32>,
    /// Pattern of every node.
    of: Vec<u32>,
    /// Nodes of every pattern.
    count: Vec<f64>,
    /// Z'Z of every pattern, q × q.
    a: Vec<f64>,
    /// With rows r_k of Z'[outer], for every pair k ≥ l: the sum over nodes of r_k r_k', or of r_k r_l' + r_l r_k'; packed upper triangles.
    products: Vec<f64>,
}

/// A pattern costs as much as so many nodes, which are visited four at a time.
const COST: usize = 4;
/// So many patterns of a parent, the latest, are searched for one that a node has.
const SEARCHED: usize = 32;

/// Nodes that follow each other are added up so many at a time: what is read again for every pair of rows is near.
const RUN: usize = 64;

/// Blocks of the pattern at hand, q × q each, and packed sums.
#[derive(Debug, Default)]
pub(super) struct PatternBuffers {
    n: Vec<f64>,
    t: Vec<f64>,
    h: Vec<f64>,
    square: Vec<f64>,
    /// S, then its derivatives; on the way down S̄ and ww' with their off-diagonals doubled.
    packed: Vec<f64>,
}

impl Patterns {
    /// `None` when nodes are too different for patterns to pay.
    pub(super) fn new(moments: &NestedMoments) -> Option<Self> {
        let level = &moments.levels[0];
        let (q, f, nodes) = (level.q, level.f, moments.hierarchy.nodes(0));
        let size = triangle(q) * triangle(f);
        let mut out = Patterns {
            square: q * q,
            size,
            starts: vec![0],
            of: Vec::with_capacity(nodes),
            count: Vec::new(),
            a: Vec::new(),
            products: Vec::new(),
        };
        let mut sums = Vec::new();
        for end in moments.parent_ends() {
            let first = out.count.len();
            let mut node = out.of.len();
            while node < end {
                let a = &level.a[node * q * q..(node + 1) * q * q];
                let known = (first..out.count.len()).rev().take(SEARCHED).find(|&p| out.a[p * q * q..(p + 1) * q * q] == *a);
                let pattern = known.unwrap_or(out.count.len());
                if known.is_none() {
                    if COST * out.count.len() > node + 32 {
                        return None;
                    }
                    out.count.push(0.0);
                    out.a.extend_from_slice(a);
                    out.products.resize((pattern + 1) * size, 0.0);
                }
                let alike =
                    level.a[node * q * q..end.min(node + RUN) * q * q].chunks_exact(q * q).take_while(|other| *other == a);
                let run = node..node + alike.count();
                out.of.resize(run.end, pattern as u32);
                out.count[pattern] += run.len() as f64;
                node = run.end;
                let r = &level.r[run.start * q * f..run.end * q * f];
                add_products(q, f, r, &mut sums, &mut out.products[pattern * size..(pattern + 1) * size]);
            }
            out.starts.push(out.count.len() as u32);
        }
        (COST * out.count.len() <= nodes).then_some(out)
    }

    fn range(&self, parent: usize) -> std::ops::Range<usize> {
        self.starts[parent] as usize..self.starts[parent + 1] as usize
    }

    /// A, the number of nodes and the products of a pattern, pair after pair.
    #[inline(always)]
    fn at(&self, pattern: usize) -> (&[f64], f64, &[f64]) {
        let (square, size) = (self.square, self.size);
        let a = &self.a[pattern * square..(pattern + 1) * square];
        (a, self.count[pattern], &self.products[pattern * size..(pattern + 1) * size])
    }
}

impl PatternBuffers {
    fn clear(&mut self, q: usize, packed: usize) {
        [&mut self.n, &mut self.t, &mut self.h, &mut self.square].into_iter().for_each(|block| block.resize(q * q, 0.0));
        reset(&mut self.packed, packed);
    }
}

/// Adds the products of rows of several nodes.
fn add_products(q: usize, f: usize, r: &[f64], square: &mut Vec<f64>, sums: &mut [f64]) {
    let mut sums = sums.iter_mut();
    for k in 0..q {
        for l in 0..k + 1 {
            square.clear();
            square.resize(f * f, 0.0);
            add_outer(q, f, r, (k, l), square);
            for i in 0..f {
                let twice = |j: usize| if k == l { square[i * f + j] } else { square[i * f + j] + square[j * f + i] };
                (i..f).zip(&mut sums).for_each(|(j, sum)| *sum += twice(j));
            }
        }
    }
}

/// square (f × f) = Σ r_k r_l' over the nodes; the usual numbers of columns are constants, so that the sums stay in registers.
fn add_outer(q: usize, f: usize, r: &[f64], pair: (usize, usize), square: &mut [f64]) {
    let nodes = r.chunks_exact(q * f);
    with_vectors!(nodes => match f {
        2 => add_outer_of::<2>(nodes, pair, square),
        3 => add_outer_of::<3>(nodes, pair, square),
        4 => add_outer_of::<4>(nodes, pair, square),
        5 => add_outer_of::<5>(nodes, pair, square),
        6 => add_outer_of::<6>(nodes, pair, square),
        7 => add_outer_of::<7>(nodes, pair, square),
        8 => add_outer_of::<8>(nodes, pair, square),
        _ => nodes.for_each(|r| {
            let (x, y) = (&r[pair.0 * f..(pair.0 + 1) * f], &r[pair.1 * f..(pair.1 + 1) * f]);
            for (row, x) in square.chunks_exact_mut(f).zip(x) {
                row.iter_mut().zip(y).for_each(|(sum, y)| *sum += x * y);
            }
        }),
    });
}

#[inline(always)]
fn add_outer_of<const F: usize>(nodes: std::slice::ChunksExact<f64>, (k, l): (usize, usize), square: &mut [f64]) {
    let mut sums = [[0.0; F]; F];
    for r in nodes {
        let (x, y): (&[f64; F], &[f64; F]) = match (r[k * F..].first_chunk(), r[l * F..].first_chunk()) {
            (Some(x), Some(y)) => (x, y),
            _ => return,
        };
        for (row, x) in sums.iter_mut().zip(x) {
            row.iter_mut().zip(y).for_each(|(sum, y)| *sum += x * y);
        }
    }
    square.copy_from_slice(sums.as_flattened());
}

/// sums -= Σ_kl factor(k, l) · products of the pair k ≥ l.
#[inline(always)]
fn subtract(q: usize, factor: impl Fn(usize, usize) -> f64, products: &[f64], sums: &mut [f64]) {
    let size = sums.len();
    for k in 0..q {
        for l in 0..k + 1 {
            let (factor, first) = (factor(k, l), pair(k, l) * size);
            sums.iter_mut().zip(&products[first..first + size]).for_each(|(sum, product)| *sum -= factor * product);
        }
    }
}

/// The patterns of a parent on the way up, with B = NR; false where a pattern could not be eliminated.
#[inline(always)]
fn eliminate(
    q: usize,
    (patterns, range): (&Patterns, std::ops::Range<usize>),
    psi: &[f64],
    own: &[(usize, usize)],
    order: Order,
    buffers: &mut PatternBuffers,
    (log_det, gradient, hh): (&mut f64, &mut [f64], &mut [f64]),
) -> bool {
    let PatternBuffers { n, t, h, packed, .. } = buffers;
    let (n, t, h) = (&mut n[..q * q], &mut t[..q * q], &mut h[..q * q]);
    let size = packed.len() / (1 + own.len());
    let (s, derivatives) = packed.split_at_mut(size);
    for pattern in range {
        let (a, count, products) = patterns.at(pattern);
        let Some(ld) = small::invert_i_plus(q, a, psi, n) else { return false };
        *log_det += count * ld;
        small::multiply(q, q, q, psi, n, t);
        small::symmetrize(q, t);
        subtract(q, |k, l| t[k * q + l], products, s);
        if order == Order::Value {
            continue;
        }
        small::multiply(q, q, q, n, a, h);
        small::symmetrize(q, h);
        for ((&(i, j), sums), gradient) in own.iter().zip(derivatives.chunks_exact_mut(size)).zip(&mut *gradient) {
            *gradient += if i == j { count } else { 2.0 * count } * h[i * q + j];
            let twice = if i == j { 0.5 } else { 1.0 };
            let factor = |k: usize, l: usize| twice * (n[i * q + k] * n[j * q + l] + n[j * q + k] * n[i * q + l]);
            subtract(q, factor, products, sums);
        }
        if order > Order::Gradient {
            t.iter_mut().zip(&*h).for_each(|(t, h)| *t = count * h);
            accumulate_pairs(q, t, h, hh);
        }
    }
    true
}

/// The way down: H ⊗ BS̄B' and H ⊗ vv', v = Bw, from S̄ and ww' packed.
#[inline(always)]
fn curve(
    q: usize,
    (patterns, range): (&Patterns, std::ops::Range<usize>),
    psi: &[f64],
    buffers: &mut PatternBuffers,
    (hq, hv): (&mut [f64], &mut [f64]),
) {
    let PatternBuffers { n, t, h, square, packed } = buffers;
    let (n, t, h, square) = (&mut n[..q * q], &mut t[..q * q], &mut h[..q * q], &mut square[..q * q]);
    let (quadratic, residual) = packed.split_at(packed.len() / 2);
    for pattern in range {
        let (a, _, products) = patterns.at(pattern);
        // what could fail has failed on the way up
        small::invert_i_plus(q, a, psi, n);
        small::multiply(q, q, q, n, a, h);
        small::symmetrize(q, h);
        for (weights, sums) in [(quadratic, &mut *hq), (residual, &mut *hv)] {
            for k in 0..q {
                for l in 0..k + 1 {
                    let first = pair(k, l) * weights.len();
                    let value = small::dot(weights, &products[first..first + weights.len()]);
                    let value = if k == l { value } else { 0.5 * value };
                    (square[k * q + l], square[l * q + k]) = (value, value);
                }
            }
            small::multiply(q, q, q, n, square, t);
            times_transposed(q, q, q, t, n, square);
            accumulate_pairs(q, h, square, sums);
        }
    }
}

impl NestedObjective<'_> {
    /// The way up through the patterns of a parent: what `leaves` does with its nodes.
    pub(super) fn patterns_up(&self, patterns: &Patterns, parent: usize, psi: &[f64], order: Order, work: &mut Work) {
        let (q, f) = (self.moments.levels[0].q, self.moments.levels[0].f);
        let (own, size) = (self.own_leaf_coordinates.as_slice(), triangle(f));
        let Work { sums, tangents, log_det, log_det_gradient, hh, pattern_buffers: buffers, failed, .. } = work;
        buffers.clear(q, (1 + own.len()) * size);
        let sums_of_nodes = (&mut *log_det, log_det_gradient.as_mut_slice(), hh[0].as_mut_slice());
        *failed |= !with_columns!(q, eliminate, (patterns, patterns.range(parent)), psi, own, order, buffers, sums_of_nodes);
        let (s, derivatives) = buffers.packed.split_at(size);
        unpack(f, s.iter().copied(), &mut sums[1]);
        for (derivative, tangent) in derivatives.chunks_exact(size).zip(tangents[1].chunks_exact_mut(f * f)) {
            unpack(f, derivative.iter().copied(), tangent);
        }
    }

    /// The way down: what `down_leaves` does with the nodes.
    pub(super) fn patterns_down(
        &self,
        patterns: &Patterns,
        parent: usize,
        psi: &[f64],
        (adjoint, w): (&[f64], &[f64]),
        work: &mut Work,
    ) {
        let (q, f) = (self.moments.levels[0].q, self.moments.levels[0].f);
        let Work { hq, hv, pattern_buffers: buffers, .. } = work;
        buffers.clear(q, 2 * triangle(f));
        // entries off the diagonal stand for two
        let (quadratic, residual) = buffers.packed.split_at_mut(triangle(f));
        let mut start = 0;
        for i in 0..f {
            for j in i..f {
                let share = if i == j { 1.0 } else { 2.0 };
                (quadratic[start + j - i], residual[start + j - i]) = (share * adjoint[i * f + j], share * w[i] * w[j]);
            }
            start += f - i;
        }
        let sums = (hq[0].as_mut_slice(), hv[0].as_mut_slice());
        with_columns!(q, curve, (patterns, patterns.range(parent)), psi, buffers, sums);
    }

    /// Conditional modes ΨNRw of a parent's nodes.
    pub(super) fn pattern_modes(
        &self,
        patterns: &Patterns,
        nodes: std::ops::Range<usize>,
        psi: &[f64],
        w: &[f64],
        visit: &mut dyn FnMut(usize, &[f64]),
    ) {
        let level = &self.moments.levels[0];
        let (q, f) = (level.q, level.f);
        let (mut n, mut t, mut rw, mut mode) = (vec![0.0; q * q], vec![0.0; q * q], vec![0.0; q], vec![0.0; q]);
        let mut last = None;
        for node in nodes {
            let pattern = patterns.of[node];
            if last != Some(pattern) {
                small::invert_i_plus(q, patterns.at(pattern as usize).0, psi, &mut n);
                small::multiply(q, q, q, psi, &n, &mut t);
                last = Some(pattern);
            }
            small::multiply(q, f, 1, &level.r[node * q * f..(node + 1) * q * f], w, &mut rw);
            small::multiply(q, q, 1, &t, &rw, &mut mode);
            visit(node, &mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::hierarchy::{Hierarchy, RowOrder};
    use crate::moments::nested::LevelMoments;

    /// Nodes with Z'Z of their own (`a`), in one chunk.
    fn moments(a: Vec<f64>) -> NestedMoments {
        let nodes = a.len();
        let hierarchy = Hierarchy {
            blocks: vec![0],
            original: vec![(0..nodes as u32).collect()],
            children: vec![(0..=nodes as u32).collect()],
            row_order: RowOrder::Data,
        };
        let r = (0..2 * nodes).map(|i| (i as f64).sin()).collect();
        let chunks = vec![vec![0..nodes]];
        NestedMoments {
            hierarchy,
            levels: vec![LevelMoments { q: 1, f: 2, a, r }],
            total: vec![0.0; 4],
            log_det_residual: 0.0,
            chunks,
        }
    }

    #[test]
    fn nodes_with_the_same_cross_products_are_one_pattern() {
        let few = moments((0..40).map(|node| f64::from(4 + node % 3)).collect());
        let patterns = Patterns::new(&few).unwrap_or_else(|| unreachable!("three patterns of 40 nodes pay"));
        assert_eq!(patterns.count, [14.0, 13.0, 13.0]);
        let wanted: f64 = few.levels[0].r.chunks(6).map(|r| r[0] * r[1]).sum();
        assert!((patterns.at(0).2[1] - wanted).abs() < 1e-12);
    }

    #[test]
    fn nodes_that_differ_are_visited_one_by_one() {
        assert!(Patterns::new(&moments((0..40).map(f64::from).collect())).is_none());
        assert!(Patterns::new(&moments((0..40).map(|node| f64::from(node % 11)).collect())).is_none());
    }
}
