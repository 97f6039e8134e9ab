//! Criterion and derivatives for crossed factors: the largest factor is eliminated level by level as in [`super::nested`], the others
//! form one core ([`super::schur`]), the root holds the fixed effects.
//!
//! The gradient is exact at the cost of one factorisation and the entries of T where nodes meet. The Hessian of r² is exact by solving
//! with one vector per coordinate; the Hessian of the log-determinants is exact for dense cores, and by central differences of the
//! exact gradient for sparse ones. While optimising, large cores use the average information in its place (Gilmour et al. 1995).

use std::sync::Arc;

use faer::{Mat, MatRef};

use super::root::Root;
use super::schur::{CoreLambda, DenseCore, Schur};
use super::sparse::{Pattern, SparseCore};
use super::{Coordinate, Objective, Order, Pieces};
use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::moments::crossed::{CoreBlock, CrossedMoments};

/// Cores up to this size are dense whatever their pattern.
const DENSE_ALWAYS: usize = 600;
/// Cores above this size are never dense (memory).
const DENSE_NEVER: usize = 15_000;
/// A multiplication of the simplicial factorisation costs about this many of the dense one's.
const SPARSE_COST: f64 = 15.0;
/// Dense cores up to this size give the exact Hessian at every step of the optimiser.
const EXACT_STEPS: usize = 200;

/// How the core of crossed factors is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreKind {
    /// Whichever factorises with less work.
    Cheaper,
    /// Full matrices.
    Dense,
    /// Sparse Cholesky.
    Sparse,
}

/// See the module documentation.
pub struct CrossedObjective<'m> {
    m: &'m CrossedMoments,
    coordinates: Vec<Coordinate>,
    reml: bool,
    p: usize,
    pattern: std::result::Result<Option<Arc<Pattern>>, CoreError>,
}

/// State of one evaluation.
struct Sweep {
    n: Vec<f64>,
    h: Vec<f64>,
    b: Vec<f64>,
    log_det_v: f64,
    schur: Schur,
    /// Core'V⁻¹[X y] after the elimination of the nodes, K × (p + 1).
    s_tail: Mat<f64>,
    /// T · s_tail.
    u: Mat<f64>,
    /// Core'V⁻¹[X y] with everything eliminated: s_tail - A u.
    b_core: Mat<f64>,
    root: Root,
    /// u w: what the fit explains by the core, i.e. its conditional modes.
    modes: Vec<f64>,
}

impl<'m> CrossedObjective<'m> {
    /// `active` lists, per block of the basis, the entries of Ψ that are free.
    pub fn new(m: &'m CrossedMoments, active: &[Vec<(usize, usize)>], reml: bool) -> Self {
        Self::with_core(m, active, reml, CoreKind::Cheaper)
    }

    /// The same with a choice of the core.
    pub fn with_core(m: &'m CrossedMoments, active: &[Vec<(usize, usize)>], reml: bool, kind: CoreKind) -> Self {
        let blocks = std::iter::once(m.block).chain(m.core.iter().map(|b| b.block));
        let coordinates = blocks.flat_map(|block| active[block].iter().map(move |&(a, b)| Coordinate { block, a, b })).collect();
        CrossedObjective { m, coordinates, reml, p: m.tail - 1, pattern: choose(m, kind) }
    }

    fn core_block(&self, block: usize) -> Option<&CoreBlock> {
        self.m.core.iter().find(|b| b.block == block)
    }

    fn met(&self, node: usize) -> &[u32] {
        &self.m.columns[self.m.start[node]..self.m.start[node + 1]]
    }

    /// Range of a node's R and B, and their width.
    fn span(&self, node: usize) -> (std::ops::Range<usize>, usize) {
        let (q, tail) = (self.m.q, self.m.tail);
        let first = q * (self.m.start[node] + node * tail);
        let width = self.met(node).len() + tail;
        (first..first + q * width, width)
    }

    fn sweep(&self, psi: &[Vec<f64>], order: Order) -> Result<Sweep> {
        let m = self.m;
        let (q, tail) = (m.q, m.tail);
        let own = psi[m.block].as_slice();
        let lambda = CoreLambda::new(&m.core, psi);
        let pattern = self.pattern.clone()?;
        let mut target = Target::new(m, pattern);
        let mut s_tail = Mat::from_fn(m.size, tail, |i, j| m.core_tail[i * tail + j]);
        let mut s = m.total.clone();
        let mut log_det = 0.0;
        let (mut n, mut h, mut b) = (vec![0.0; m.nodes * q * q], vec![0.0; m.nodes * q * q], vec![0.0; m.r.len()]);
        let mut u = Vec::new();
        for node in 0..m.nodes {
            let a = &m.a[node * q * q..(node + 1) * q * q];
            let n_i = &mut n[node * q * q..(node + 1) * q * q];
            let ld = small::invert_i_plus(q, a, own, n_i);
            log_det += ld.ok_or_else(|| CoreError::Numerical { what: "a level's covariance matrix could not be inverted".into() })?;
            let (span, width) = self.span(node);
            let (r, b) = (&m.r[span.clone()], &mut b[span]);
            small::multiply(q, q, width, n_i, r, b);
            u.resize(q * width, 0.0);
            small::multiply(q, q, width, own, b, &mut u);
            let h_i = &mut h[node * q * q..(node + 1) * q * q];
            small::multiply(q, q, q, n_i, a, h_i);
            small::symmetrize(q, h_i);
            let met = self.met(node);
            let k = met.len();
            for line in 0..q {
                let (x, y) = (&r[line * width..(line + 1) * width], &u[line * width..(line + 1) * width]);
                target.subtract(met, x, y);
                for (i, &column) in met.iter().enumerate() {
                    (0..tail).for_each(|t| s_tail[(column as usize, t)] -= x[i] * y[k + t]);
                }
                for i in 0..tail {
                    (0..tail).for_each(|j| s[i * tail + j] -= x[k + i] * y[k + j]);
                }
            }
        }
        let (schur, ld) = target.factorise(lambda, order > Order::Value)?;
        let u = schur.times_t(s_tail.as_ref());
        let reduction = s_tail.transpose() * &u;
        (0..tail * tail).for_each(|e| s[e] -= reduction[(e / tail, e % tail)]);
        small::symmetrize(tail, &mut s);
        let root = Root::new(self.p, &s)?;
        let b_core = &s_tail - schur.times_a(u.as_ref());
        let modes = (0..m.size).map(|i| (0..tail).map(|t| u[(i, t)] * root.w[t]).sum()).collect();
        Ok(Sweep { n, h, b, log_det_v: log_det + ld + m.log_det_residual, schur, s_tail, u, b_core, root, modes })
    }

    /// B of a node with the core projected out: B_X - B_K U, q × tail.
    fn projected(&self, sweep: &Sweep, node: usize, out: &mut [f64]) {
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
    fn gradient(&self, sweep: &Sweep) -> Gradient {
        let m = self.m;
        let (q, tail) = (m.q, m.tail);
        let adjoint = sweep.root.adjoint(self.reml);
        let mut own = BlockSums::new(q, tail);
        let mut projected = vec![0.0; q * tail];
        let mut t = Vec::new();
        for node in 0..m.nodes {
            let (span, width) = self.span(node);
            let (met, b) = (self.met(node), &sweep.b[span]);
            let k = met.len();
            sweep.schur.t_part(met, &mut t);
            self.projected(sweep, node, &mut projected);
            own.add_h(&sweep.h[node * q * q..(node + 1) * q * q]);
            for i in 0..q {
                let bt = small::product(1, k, k, &b[i * width..i * width + k], &t);
                for j in 0..=i {
                    own.subtract(i, j, small::dot(&bt, &b[j * width..j * width + k]));
                }
            }
            own.add_tail(&projected, &adjoint, &sweep.root.w);
        }
        let mut by_block = vec![(m.block, own)];
        for block in &m.core {
            let mut sums = BlockSums::new(block.q, tail);
            sums.add_h(&sweep.schur.h_sum(block));
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
        out
    }

    /// Z'V⁻¹(y - Xβ) per level: eliminated nodes, then the core.
    fn scores(&self, sweep: &Sweep) -> (Vec<f64>, Vec<f64>) {
        let (q, tail) = (self.m.q, self.m.tail);
        let mut nodes = vec![0.0; self.m.nodes * q];
        let mut projected = vec![0.0; q * tail];
        for node in 0..self.m.nodes {
            self.projected(sweep, node, &mut projected);
            for i in 0..q {
                nodes[node * q + i] = small::dot(&projected[i * tail..(i + 1) * tail], &sweep.root.w);
            }
        }
        let core = (0..self.m.size).map(|i| (0..tail).map(|t| sweep.b_core[(i, t)] * sweep.root.w[t]).sum()).collect();
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

    /// Z'PZ s for s over (nodes, core): the elimination with Zs in the place of y.
    fn project(&self, sweep: &Sweep, psi: &[Vec<f64>], s: &(Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
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
        let gamma = small::product(p, p, 1, &sweep.root.xx_inverse, &fixed);
        // fitted core effects of the column Zs
        let fitted: Vec<f64> = (0..m.size).map(|i| u[(i, 0)] - (0..p).map(|t| sweep.u[(i, t)] * gamma[t]).sum::<f64>()).collect();
        let au = sweep.schur.times_a(u.as_ref());
        let core_out: Vec<f64> =
            (0..m.size).map(|i| core[(i, 0)] - au[(i, 0)] - (0..p).map(|t| sweep.b_core[(i, t)] * gamma[t]).sum::<f64>()).collect();
        for node in 0..m.nodes {
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
        (solved, core_out)
    }

    /// ∂²r²/∂Ψ_k∂Ψ_l = 2 (E_k v)' Z'PZ (E_l v).
    fn r2_hessian(&self, sweep: &Sweep, psi: &[Vec<f64>]) -> Vec<f64> {
        let m = self.coordinates.len();
        let scores = self.scores(sweep);
        let directions: Vec<_> = self.coordinates.iter().map(|c| self.direction(c, &scores)).collect();
        let mut hessian = vec![0.0; m * m];
        for (k, direction) in directions.iter().enumerate() {
            let image = self.project(sweep, psi, direction);
            for (l, other) in directions.iter().enumerate() {
                hessian[k * m + l] = 2.0 * (small::dot(&other.0, &image.0) + small::dot(&other.1, &image.1));
            }
        }
        small::symmetrize(m, &mut hessian);
        hessian
    }

    /// Hessian of the log-determinants by central differences of the exact gradient (sparse cores).
    fn differenced(&self, psi: &[Vec<f64>]) -> Result<Vec<f64>> {
        let m = self.coordinates.len();
        let mut hessian = vec![0.0; m * m];
        for (k, c) in self.coordinates.iter().enumerate() {
            let q = if c.block == self.m.block { self.m.q } else { self.core_block(c.block).map_or(1, |b| b.q) };
            let scale = (psi[c.block][c.a * q + c.a] * psi[c.block][c.b * q + c.b]).sqrt();
            let step = 1e-4 * scale.max(1e-4);
            let shifted = |sign: f64| -> Result<Vec<f64>> {
                let mut moved = psi.to_vec();
                c.positions().for_each(|(a, b)| moved[c.block][a * q + b] += sign * step);
                Ok(self.gradient(&self.sweep(&moved, Order::Gradient)?).log_det)
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

/// Chooses how the core is kept.
fn choose(m: &CrossedMoments, kind: CoreKind) -> std::result::Result<Option<Arc<Pattern>>, CoreError> {
    match kind {
        CoreKind::Dense => return Ok(None),
        CoreKind::Sparse => return Ok(Some(Arc::new(Pattern::new(m)?))),
        CoreKind::Cheaper if m.size <= DENSE_ALWAYS => return Ok(None),
        CoreKind::Cheaper => {}
    }
    let pattern = Pattern::new(m)?;
    let dense = (m.size as f64).powi(3);
    let sparse = SPARSE_COST * pattern.flops()?;
    Ok((m.size > DENSE_NEVER || sparse < dense).then(|| Arc::new(pattern)))
}

/// Where the core's A is collected.
enum Target {
    Dense(Mat<f64>),
    Sparse(Arc<Pattern>, Vec<f64>),
}

impl Target {
    fn new(m: &CrossedMoments, pattern: Option<Arc<Pattern>>) -> Self {
        match pattern {
            None => {
                let mut a = Mat::zeros(m.size, m.size);
                m.core_products.iter().for_each(|&(i, j, v)| a[(i as usize, j as usize)] = v);
                Target::Dense(a)
            }
            Some(pattern) => {
                let mut a = vec![0.0; pattern.row.len()];
                for &(i, j, v) in &m.core_products {
                    if let Some(k) = pattern.index(i as usize, j as usize) {
                        a[k] = v;
                    }
                }
                Target::Sparse(pattern, a)
            }
        }
    }

    /// A -= x y' over the columns met (lower triangle; x and y symmetric in the sum over lines).
    fn subtract(&mut self, met: &[u32], x: &[f64], y: &[f64]) {
        match self {
            Target::Dense(a) => {
                for (c, &column) in met.iter().enumerate() {
                    let factor = y[c];
                    let lower = a.as_mut().col_mut(column as usize);
                    let Some(lower) = lower.try_as_col_major_mut() else { continue };
                    let lower = lower.as_slice_mut();
                    for (r, &row) in met.iter().enumerate().skip(c) {
                        lower[row as usize] -= x[r] * factor;
                    }
                }
            }
            Target::Sparse(pattern, a) => {
                for (c, &column) in met.iter().enumerate() {
                    let (mut at, factor) = (pattern.start[column as usize], y[c]);
                    for (r, &row) in met.iter().enumerate().skip(c) {
                        while pattern.row[at] < row as usize {
                            at += 1;
                        }
                        a[at] -= x[r] * factor;
                    }
                }
            }
        }
    }

    fn factorise(self, lambda: CoreLambda, inverse: bool) -> Result<(Schur, f64)> {
        match self {
            Target::Dense(a) => DenseCore::new(a, lambda, inverse).map(|(core, ld)| (Schur::Dense(core), ld)),
            Target::Sparse(pattern, a) => {
                SparseCore::new(pattern, a, lambda, inverse).map(|(core, ld)| (Schur::Sparse(Box::new(core)), ld))
            }
        }
    }
}

struct Gradient {
    log_det: Vec<f64>,
    r2: Vec<f64>,
    tangents: Vec<Vec<f64>>,
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

impl Objective for CrossedObjective<'_> {
    fn starts_at_zero(&self) -> bool {
        self.m.size > EXACT_STEPS && matches!(self.pattern, Ok(None))
    }

    fn coordinates(&self) -> &[Coordinate] {
        &self.coordinates
    }

    fn evaluate(&self, psi: &[Vec<f64>], order: Order) -> Result<Pieces> {
        let sweep = self.sweep(psi, order)?;
        let mut pieces = Pieces {
            log_det: sweep.log_det_v + if self.reml { sweep.root.xx_log_det } else { 0.0 },
            log_det_v: sweep.log_det_v,
            r2: sweep.root.r2,
            beta: sweep.root.beta.clone(),
            xx_inverse: sweep.root.xx_inverse.clone(),
            ..Pieces::default()
        };
        if order == Order::Value {
            return Ok(pieces);
        }
        let gradient = self.gradient(&sweep);
        pieces.xx_gradient = gradient.tangents.iter().map(|t| sweep.root.xx_part(t)).collect();
        pieces.r2_gradient = gradient.r2;
        pieces.log_det_gradient = gradient.log_det;
        if order > Order::Gradient {
            pieces.r2_hessian = self.r2_hessian(&sweep, psi);
            match &sweep.schur {
                Schur::Dense(core) if order == Order::Exact || self.m.size <= EXACT_STEPS => {
                    let work = super::crossed_hessian::Dense { core, objective: self, n: &sweep.n, h: &sweep.h, b: &sweep.b };
                    pieces.log_det_hessian = Some(work.log_det_hessian(&sweep.root, &sweep.u, &sweep.b_core, &gradient.tangents, self.reml));
                }
                Schur::Sparse(_) if order == Order::Exact => pieces.log_det_hessian = Some(self.differenced(psi)?),
                _ => {}
            }
        }
        Ok(pieces)
    }

    fn modes(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let sweep = self.sweep(psi, Order::Value)?;
        let scores = self.scores(&sweep);
        let (q, own) = (self.m.q, &psi[self.m.block]);
        let mut out = vec![Vec::new(); self.m.core.len() + 1];
        out[self.m.block] = scores.0.chunks_exact(q).flat_map(|v| small::product(q, q, 1, own, v)).collect();
        for block in &self.m.core {
            out[block.block] = sweep.modes[block.first..block.first + block.q * block.levels].to_vec();
        }
        Ok(out)
    }

    fn conditional_covariances(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let sweep = self.sweep(psi, Order::Gradient)?;
        let (q, own) = (self.m.q, psi[self.m.block].as_slice());
        let mut out = vec![Vec::new(); self.m.core.len() + 1];
        let mut t = Vec::new();
        for node in 0..self.m.nodes {
            let (span, width) = self.span(node);
            let met = self.met(node);
            let k = met.len();
            sweep.schur.t_part(met, &mut t);
            let b: Vec<f64> = sweep.b[span].chunks_exact(width).flat_map(|line| line[..k].iter().copied()).collect();
            let u = small::product(q, q, k, own, &b);
            let spread = small::product(q, k, q, &small::product(q, k, k, &u, &t), &small::transpose(q, k, &u));
            let alone = small::product(q, q, q, own, &sweep.n[node * q * q..(node + 1) * q * q]);
            out[self.m.block].extend(spread.iter().zip(&alone).map(|(s, a)| s + a));
        }
        for block in &self.m.core {
            for level in 0..block.levels {
                let first = (block.first + level * block.q) as u32;
                let columns: Vec<u32> = (first..first + block.q as u32).collect();
                sweep.schur.t_part(&columns, &mut t);
                out[block.block].extend_from_slice(&t);
            }
        }
        Ok(out)
    }
}

impl CrossedObjective<'_> {
    /// -Σ_i B_i'E B_i over the core, and over core × [X y], for a coordinate of the eliminated factor.
    pub(super) fn tangent(&self, c: &Coordinate, b: &[f64]) -> (Mat<f64>, Mat<f64>) {
        let (size, tail) = (self.m.size, self.m.tail);
        let (mut core, mut side) = (Mat::<f64>::zeros(size, size), Mat::<f64>::zeros(size, tail));
        for node in 0..self.m.nodes {
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
        (core, side)
    }

    /// Sums over nodes of -tr(HE_kHE_l) + 2 tr(E_kHE_lQ) for coordinates of the eliminated factor.
    pub(super) fn node_pairs(&self, k: &Coordinate, l: &Coordinate, h: &[f64], q_sums: &[Vec<f64>]) -> f64 {
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
    pub(super) fn node_q(&self, b: &[f64], t: MatRef<'_, f64>, u: &Mat<f64>, adjoint: &[f64]) -> Vec<Vec<f64>> {
        let (q, tail) = (self.m.q, self.m.tail);
        (0..self.m.nodes)
            .map(|node| {
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
                out
            })
            .collect()
    }

    pub(super) fn is_own(&self, c: &Coordinate) -> bool {
        c.block == self.m.block
    }

    pub(super) fn place(&self, c: &Coordinate) -> Option<&CoreBlock> {
        self.core_block(c.block)
    }

    pub(super) fn tail(&self) -> usize {
        self.m.tail
    }
}
