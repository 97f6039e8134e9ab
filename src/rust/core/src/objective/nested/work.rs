//! What one chunk of the hierarchy keeps between the sweeps.

use super::kernels::reset;
use super::leaves::UpSums;
use super::patterns::PatternBuffers;
use super::NestedObjective;
use crate::linalg::lanes::Lanes;
use crate::objective::Order;

/// Blocks of every node above the finest level, kept from the sweep up for the sweep down.
#[derive(Debug, Default)]
pub(super) struct LevelStore {
    pub(super) h: Vec<f64>,
    pub(super) n: Vec<f64>,
    pub(super) b: Vec<f64>,
    /// (C_k W) top rows for every coordinate k below the level.
    pub(super) k: Vec<f64>,
}

/// Blocks of the node at hand, of any level above the finest: each as large as the largest level needs it.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// q × q.
    pub(super) a: Vec<f64>,
    pub(super) t: Vec<f64>,
    pub(super) square: Vec<f64>,
    pub(super) squares: Vec<f64>,
    /// q × f.
    pub(super) r: Vec<f64>,
    pub(super) u: Vec<f64>,
    pub(super) x: Vec<f64>,
    /// q.
    pub(super) v: Vec<f64>,
    /// q × q for every coordinate below.
    pub(super) own: Vec<f64>,
    pub(super) scaled: Vec<f64>,
    /// q for every coordinate below.
    pub(super) pulled: Vec<f64>,
}

impl Buffers {
    fn grow(&mut self, q: usize, f: usize, below: usize) {
        let grow = |buffer: &mut Vec<f64>, len: usize| buffer.resize(buffer.len().max(len), 0.0);
        [&mut self.a, &mut self.t, &mut self.square, &mut self.squares].into_iter().for_each(|b| grow(b, q * q));
        [&mut self.r, &mut self.u, &mut self.x].into_iter().for_each(|b| grow(b, q * f));
        [&mut self.own, &mut self.scaled].into_iter().for_each(|b| grow(b, below * q * q));
        grow(&mut self.v, q);
        grow(&mut self.pulled, below * q);
    }
}

/// One chunk's workspace and partial sums.
#[derive(Debug, Default)]
pub struct Work {
    pub(super) stores: Vec<LevelStore>,
    /// Per level ≥ 1, and the root last: what the children have handed up; upper triangles.
    pub(super) sums: Vec<Vec<f64>>,
    /// The same for every coordinate below.
    pub(super) tangents: Vec<Vec<f64>>,
    pub(super) log_det: f64,
    pub(super) log_det_gradient: Vec<f64>,
    pub(super) log_det_hessian: Vec<f64>,
    pub(super) r2_hessian: Vec<f64>,
    /// Per level: Σ h_s h_t, Σ h_s q_t, Σ h_s v_t over symmetric pairs s, t.
    pub(super) hh: Vec<Vec<f64>>,
    pub(super) hq: Vec<Vec<f64>>,
    pub(super) hv: Vec<Vec<f64>>,
    /// N of the finest level's nodes, where it is kept.
    pub(super) leaf_n: Vec<Lanes>,
    pub(super) buffers: Buffers,
    /// Adjoint and w of the children of the node at hand, per level.
    pub(super) descents: Vec<(Vec<f64>, Vec<f64>)>,
    pub(super) up_sums: UpSums,
    pub(super) down_sums: Vec<Lanes>,
    pub(super) lane_scratch: Vec<Lanes>,
    pub(super) pattern_buffers: PatternBuffers,
    pub(super) failed: bool,
}

impl Work {
    /// Clears the sums that the sweep down adds to.
    pub(super) fn clear_down(&mut self) {
        self.r2_hessian.fill(0.0);
        self.hq.iter_mut().chain(&mut self.hv).for_each(|sum| sum.fill(0.0));
    }
}

impl NestedObjective<'_> {
    /// Sizes and clears the workspace for an evaluation.
    pub(super) fn prepare(&self, work: &mut Work, chunk: usize, order: Order) {
        let (levels, m) = (self.levels(), self.coordinates.len());
        work.stores.resize_with(levels, LevelStore::default);
        work.sums.resize(levels + 1, Vec::new());
        work.tangents.resize(levels + 1, Vec::new());
        work.descents.resize(levels, Default::default());
        let q = self.moments.levels[0].q;
        let kept = if order > Order::Value { self.kept_blocks(chunk) * q * q } else { 0 };
        work.leaf_n.resize(kept, Lanes::ZERO);
        work.up_sums.failed = false;
        for l in 1..levels {
            let level = &self.moments.levels[l];
            let (q, f, below) = (level.q, level.f, self.first[l]);
            let nodes = if order > Order::Value { self.moments.chunks[chunk][l].len() } else { 1 };
            let store = &mut work.stores[l];
            store.h.resize(nodes * q * q, 0.0);
            store.n.resize(nodes * q * q, 0.0);
            store.b.resize(nodes * q * f, 0.0);
            store.k.resize(nodes * below * q * f, 0.0);
            work.buffers.grow(q, f, below);
            work.sums[l].resize((q + f) * (q + f), 0.0);
            work.tangents[l].resize(below * (q + f) * (q + f), 0.0);
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
}
