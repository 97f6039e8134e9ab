//! Criterion and exact derivatives for a chain of nested factors, by block elimination from the finest level to the root.
//!
//! A node with A = Z'V⁻¹Z and R = Z'V⁻¹[outer], V the part of the covariance already eliminated, is removed with
//! N = (I + AΨ)⁻¹, H = NA, B = NR, U = ΨB, T = ΨN: the outer columns' cross-products lose R'U and log|V| gains log|I + AΨ|.
//! Differentiating (V is linear in Ψ; ∂S = W'∂C W - B'∂Ψ B with W = [-U; I]) gives the exact gradient on the way up and, with the
//! adjoint of the root flowing down, the exact Hessian in two sweeps whose cost does not depend on the number of rows.
//! Formulas: vignette "Algorithms" and design/0003-derivatives.md; checked against dense brute force in `tests/`.

mod branches;
mod kernels;
mod leaf_moments;
mod leaves;
mod patterns;
mod visit;
mod work;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use rayon::prelude::*;

use self::kernels::{add, pair};
use self::leaf_moments::LeafMoments;
use self::patterns::Patterns;
use self::work::Work;
use super::root::Root;
use super::{Coordinate, Objective, Order, Pieces, FEW_LEVELS, MANY_NODES};
use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::moments::nested::NestedMoments;
use crate::stop::go_on;

/// Fewer nodes than this are not worth a second thread.
const PARALLEL_NODES: usize = 20_000;

/// See the module documentation.
pub struct NestedObjective<'m> {
    moments: &'m NestedMoments,
    coordinates: Vec<Coordinate>,
    /// First coordinate of every level, and the total.
    first: Vec<usize>,
    leaves: Leaves,
    /// Positions (a ≥ b) of the finest level's coordinates.
    own_leaf_coordinates: Vec<(usize, usize)>,
    reml: bool,
    p: usize,
    works: Vec<Mutex<Work>>,
    /// Where the stores of `works` were filled last, and the root there.
    last: Mutex<Option<(Vec<Vec<f64>>, Root)>>,
    stop: &'m AtomicBool,
}

/// Buffers of the chunks, worth keeping for those who evaluate one small model after the other.
#[derive(Debug, Default)]
pub struct Workspace(Vec<Mutex<Work>>);

/// The nodes of the finest level.
enum Leaves {
    /// One by one, that is, four side by side.
    Nodes(LeafMoments),
    /// Those that are alike together.
    Patterns(Patterns),
}

struct Up {
    s: Vec<f64>,
    tangents: Vec<Vec<f64>>,
    log_det: f64,
    gradient: Vec<f64>,
}

impl<'m> NestedObjective<'m> {
    /// `active` lists, per block of the basis, the entries of Ψ that are free; `workspace` is a new one, or one that another objective has left. Once
    /// `stop` is true, everything that can fail returns [`CoreError::Interrupted`].
    pub fn new(
        moments: &'m NestedMoments,
        active: &[Vec<(usize, usize)>],
        reml: bool,
        workspace: Workspace,
        stop: &'m AtomicBool,
    ) -> Self {
        let mut coordinates = Vec::new();
        let mut first = Vec::new();
        for &block in &moments.hierarchy.blocks {
            first.push(coordinates.len());
            coordinates.extend(active[block].iter().map(|&(a, b)| Coordinate { block, a, b }));
        }
        first.push(coordinates.len());
        let top = moments.levels.len() - 1;
        let p = moments.levels[top].f - 1;
        let mut works = workspace.0;
        works.resize_with(moments.chunks.len(), Default::default);
        let leaves = match Patterns::new(moments) {
            Some(patterns) => Leaves::Patterns(patterns),
            None => Leaves::Nodes(LeafMoments::new(moments)),
        };
        let own_leaf_coordinates = coordinates[..first[1]].iter().map(|c| (c.a, c.b)).collect();
        let last = Mutex::new(None);
        NestedObjective { moments, coordinates, first, leaves, own_leaf_coordinates, reml, p, works, last, stop }
    }

    /// Leaves its buffers to the next objective.
    pub fn into_workspace(self) -> Workspace {
        Workspace(self.works)
    }

    fn levels(&self) -> usize {
        self.moments.levels.len()
    }

    fn parallel(&self) -> bool {
        self.moments.hierarchy.nodes(0) >= PARALLEL_NODES && self.works.len() > 1 && rayon::current_num_threads() > 1
    }

    fn for_chunks(&self, task: impl Fn(usize, &mut Work) + Sync + Send) -> Result<()> {
        let run = |(index, work): (usize, &Mutex<Work>)| {
            go_on(self.stop)?;
            let mut guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            task(index, &mut guard);
            Ok(())
        };
        if self.parallel() {
            self.works.par_iter().enumerate().try_for_each(run)
        } else {
            self.works.iter().enumerate().try_for_each(run)
        }
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

    /// The sweep up; returns S, its tangents, and the sums.
    fn sweep_up(&self, psi: &[Vec<f64>], order: Order) -> Result<Up> {
        let top = self.levels() - 1;
        self.for_chunks(|chunk, work| {
            self.prepare(work, chunk, order);
            if top == 0 {
                self.leaves(chunk, psi, order, chunk, work);
            } else {
                self.moments.chunks[chunk][top].clone().for_each(|node| self.up(top, node, psi, order, chunk, work));
            }
        })?;
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

    fn hessians(&self, psi: &[Vec<f64>], root: &Root, up: &Up) -> Result<(Vec<f64>, Vec<f64>)> {
        self.sweep_down(psi, &root.adjoint(self.reml), &root.w)?;
        Ok(self.collect(root.curvature(&up.tangents, self.reml)))
    }

    /// The sweep down, from an adjoint of S and a direction w.
    fn sweep_down(&self, psi: &[Vec<f64>], adjoint: &[f64], w: &[f64]) -> Result<()> {
        let top = self.levels() - 1;
        self.for_chunks(|chunk, work| {
            if top == 0 {
                self.down_leaves(chunk, psi, adjoint, w, chunk, work);
            } else {
                self.moments.chunks[chunk][top].clone().for_each(|node| self.down(top, node, psi, adjoint, w, chunk, work));
            }
        })
    }

    /// The second derivatives that the sweeps have left in the chunks, added to those of the root: log-determinant, r².
    fn collect(&self, (mut log_det, mut r2): (Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
        let m = self.coordinates.len();
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

    fn empty(&self, size: impl Fn(usize) -> usize) -> Vec<Vec<f64>> {
        let mut out = vec![Vec::new(); self.levels()];
        for (l, level) in self.moments.levels.iter().enumerate() {
            out[self.moments.hierarchy.blocks[l]] = vec![0.0; size(level.q) * self.moments.hierarchy.nodes(l)];
        }
        out
    }
}

impl Objective for NestedObjective<'_> {
    fn may_have_several_optima(&self) -> bool {
        let hierarchy = &self.moments.hierarchy;
        let few = |l: usize| self.moments.levels[l].q > 1 && hierarchy.nodes(l) <= FEW_LEVELS;
        hierarchy.nodes(0) <= MANY_NODES && (0..self.levels()).any(few)
    }

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
            let (log_det, r2) = self.hessians(psi, &root, &up)?;
            pieces.log_det_hessian = Some(log_det);
            pieces.r2_hessian = r2;
        }
        Ok(pieces)
    }

    fn second_derivatives(&self, psi: &[Vec<f64>], directions: &[Vec<f64>], done: &AtomicUsize) -> Result<Vec<Vec<f64>>> {
        self.root_at(psi)?;
        let (dim, m) = (self.p + 1, self.coordinates.len());
        let flat = vec![0.0; dim * dim];
        let mut out = Vec::with_capacity(directions.len());
        for w in directions {
            self.for_chunks(|_, work| work.clear_down())?;
            self.sweep_down(psi, &flat, w)?;
            out.push(self.collect((vec![0.0; m * m], vec![0.0; m * m])).1);
            done.fetch_add(1, Ordering::Relaxed);
        }
        // the sums of the sweep down no longer belong to its criterion
        self.remember(None);
        Ok(out)
    }

    fn modes(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let root = self.root_at(psi)?;
        let mut out = self.empty(|q| q);
        self.visit(psi, &root.w, false, &mut |l, original, _, mode| {
            let q = mode.len();
            out[self.moments.hierarchy.blocks[l]][original * q..(original + 1) * q].copy_from_slice(mode);
        })?;
        Ok(out)
    }

    fn conditional_covariances(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        let root = self.root_at(psi)?;
        let mut out = self.empty(|q| q * q);
        self.visit(psi, &root.w, true, &mut |l, original, own, _| {
            out[self.moments.hierarchy.blocks[l]][original * own.len()..(original + 1) * own.len()].copy_from_slice(own);
        })?;
        Ok(out)
    }
}
