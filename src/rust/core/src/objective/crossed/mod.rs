//! Criterion and derivatives for crossed factors: the largest factor is eliminated level by level as in [`super::nested`], the others
//! form one core ([`schur`]), the root holds the fixed effects.
//!
//! The gradient is exact at the cost of one factorisation and the entries of T where nodes meet. The Hessian of r² is exact by solving
//! with one vector per coordinate; the Hessian of the log-determinants is exact for dense cores, and by central differences of the
//! exact gradient for sparse ones. While optimising, large cores use the average information in its place (Gilmour et al. 1995).

mod curvature;
mod gradient;
mod hessian;
mod lambda;
mod schur;
mod sparse;
mod target;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use faer::Mat;

use self::lambda::CoreLambda;
use self::schur::Schur;
use self::sparse::Pattern;
pub use self::target::CoreKind;
use self::target::{choose, Target};
use super::root::Root;
use super::{Coordinate, Objective, Order, Pieces, FEW_LEVELS, MANY_NODES};
use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::moments::crossed::{CoreBlock, CrossedMoments};
use crate::stop::go_on;

/// Dense cores up to this size give the exact Hessian at every step of the optimiser.
const EXACT_STEPS: usize = 200;

/// See the module documentation.
pub struct CrossedObjective<'m> {
    m: &'m CrossedMoments,
    coordinates: Vec<Coordinate>,
    reml: bool,
    p: usize,
    pattern: std::result::Result<Option<Arc<Pattern>>, CoreError>,
    /// Where the modes were evaluated last, and the modes: they cost a factorisation.
    last: Mutex<Option<Modes>>,
    stop: &'m AtomicBool,
}

/// Ψ and the conditional modes there, per block.
type Modes = (Vec<Vec<f64>>, Vec<Vec<f64>>);

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
    /// `active` lists, per block of the basis, the entries of Ψ that are free. Once `stop` is true, everything that can fail returns
    /// [`CoreError::Interrupted`].
    pub fn new(m: &'m CrossedMoments, active: &[Vec<(usize, usize)>], reml: bool, stop: &'m AtomicBool) -> Self {
        Self::with_core(m, active, reml, CoreKind::Cheaper, stop)
    }

    /// The same with a choice of the core.
    pub fn with_core(
        m: &'m CrossedMoments,
        active: &[Vec<(usize, usize)>],
        reml: bool,
        kind: CoreKind,
        stop: &'m AtomicBool,
    ) -> Self {
        let blocks = std::iter::once(m.block).chain(m.core.iter().map(|b| b.block));
        let coordinates = blocks.flat_map(|block| active[block].iter().map(move |&(a, b)| Coordinate { block, a, b })).collect();
        CrossedObjective { m, coordinates, reml, p: m.tail - 1, pattern: choose(m, kind, stop), last: Mutex::new(None), stop }
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
            go_on(self.stop)?;
            let a = &m.a[node * q * q..(node + 1) * q * q];
            let n_i = &mut n[node * q * q..(node + 1) * q * q];
            let ld = small::invert_i_plus(q, a, own, n_i);
            log_det +=
                ld.ok_or_else(|| CoreError::Numerical { what: "a level's covariance matrix could not be inverted".into() })?;
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
        let (schur, ld) = target.factorise(lambda, order > Order::Value, self.stop)?;
        let u = schur.times_t(s_tail.as_ref());
        let reduction = s_tail.transpose() * &u;
        (0..tail * tail).for_each(|e| s[e] -= reduction[(e / tail, e % tail)]);
        small::symmetrize(tail, &mut s);
        let root = Root::new(self.p, &s)?;
        let b_core = &s_tail - schur.times_a(u.as_ref());
        let modes = (0..m.size).map(|i| (0..tail).map(|t| u[(i, t)] * root.w[t]).sum()).collect();
        Ok(Sweep { n, h, b, log_det_v: log_det + ld + m.log_det_residual, schur, s_tail, u, b_core, root, modes })
    }

    /// Conditional modes per block.
    fn modes_of(&self, sweep: &Sweep, psi: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let scores = self.scores(sweep, &sweep.root.w);
        let (q, own) = (self.m.q, &psi[self.m.block]);
        let mut out = vec![Vec::new(); self.m.core.len() + 1];
        out[self.m.block] = scores.0.chunks_exact(q).flat_map(|v| small::product(q, q, 1, own, v)).collect();
        for block in &self.m.core {
            out[block.block] = sweep.modes[block.first..block.first + block.q * block.levels].to_vec();
        }
        out
    }
}

impl Objective for CrossedObjective<'_> {
    fn starts_at_zero(&self) -> bool {
        self.m.size > EXACT_STEPS && matches!(self.pattern, Ok(None))
    }

    fn may_have_several_optima(&self) -> bool {
        let own = self.m.q > 1 && self.m.nodes <= FEW_LEVELS;
        let few = own || self.m.core.iter().any(|b| b.q > 1 && b.levels <= FEW_LEVELS);
        self.m.nodes <= MANY_NODES && self.m.size <= EXACT_STEPS && few
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
        if order == Order::Gradient {
            // the optimiser's last step: its modes will be asked for
            *self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some((psi.to_vec(), self.modes_of(&sweep, psi)));
        }
        let gradient = self.gradient(&sweep)?;
        pieces.xx_gradient = gradient.tangents.iter().map(|t| sweep.root.xx_part(t)).collect();
        pieces.r2_gradient = gradient.r2;
        pieces.log_det_gradient = gradient.log_det;
        if order > Order::Gradient {
            pieces.r2_hessian = self.r2_hessian(&sweep, psi)?;
            match &sweep.schur {
                Schur::Dense(core) if order == Order::Exact || self.m.size <= EXACT_STEPS => {
                    let work = hessian::Dense { core, objective: self, n: &sweep.n, h: &sweep.h, b: &sweep.b };
                    let hessian = work.log_det_hessian(&sweep.root, &sweep.u, &sweep.b_core, &gradient.tangents, self.reml);
                    pieces.log_det_hessian = Some(hessian?);
                }
                Schur::Sparse(_) if order == Order::Exact => pieces.log_det_hessian = Some(self.differenced(psi)?),
                _ => {}
            }
        }
        Ok(pieces)
    }

    fn second_derivatives(&self, psi: &[Vec<f64>], directions: &[Vec<f64>], done: &AtomicUsize) -> Result<Vec<Vec<f64>>> {
        let sweep = self.sweep(psi, Order::Gradient)?;
        let mut out = Vec::with_capacity(directions.len());
        for w in directions {
            out.push(self.quadratic_hessian(&sweep, psi, w, true)?);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(out)
    }

    fn modes(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        if let Some((at, modes)) = &*self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            if at == psi {
                return Ok(modes.clone());
            }
        }
        Ok(self.modes_of(&self.sweep(psi, Order::Value)?, psi))
    }

    fn conditional_covariances(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let sweep = self.sweep(psi, Order::Gradient)?;
        let (q, own) = (self.m.q, psi[self.m.block].as_slice());
        let mut out = vec![Vec::new(); self.m.core.len() + 1];
        let mut t = Vec::new();
        for node in 0..self.m.nodes {
            go_on(self.stop)?;
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
