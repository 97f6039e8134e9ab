//! Conditional modes and covariances: one walk from the root down.

use super::kernels::descend;
use super::work::Work;
use super::NestedObjective;
use crate::error::Result;
use crate::linalg::small;
use crate::stop::go_on;

/// Receives (level of the hierarchy, original level of the factor, conditional covariance, mode).
pub(super) type Visitor<'v> = dyn FnMut(usize, usize, &[f64], &[f64]) + 'v;

impl NestedObjective<'_> {
    /// Walks down from the root, handing every node's conditional covariance T + U M U' (`spread`, else empty) and mode to `visit`.
    pub(super) fn visit(&self, psi: &[Vec<f64>], w: &[f64], spread: bool, visit: &mut Visitor) -> Result<()> {
        let top = self.levels() - 1;
        let flat = vec![0.0; w.len() * w.len()];
        for (chunk, work) in self.works.iter().enumerate() {
            go_on(self.stop)?;
            let guard = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let nodes = self.moments.chunks[chunk][top].clone();
            self.visit_nodes(top, chunk, nodes, psi, spread.then_some(flat.as_slice()), w, chunk, &guard, visit);
        }
        Ok(())
    }

    /// `parent` is that of the nodes: a node of the next level or, at the top, the chunk.
    #[allow(clippy::too_many_arguments)] // a recursion: the arguments are its state
    fn visit_nodes(
        &self,
        l: usize,
        parent: usize,
        nodes: std::ops::Range<usize>,
        psi: &[Vec<f64>],
        adjoint: Option<&[f64]>,
        w: &[f64],
        chunk: usize,
        work: &Work,
        visit: &mut Visitor,
    ) {
        let (level, store) = (&self.moments.levels[l], &work.stores[l]);
        let (q, f) = (level.q, level.f);
        let (base, original) = (self.moments.chunks[chunk][l].start, &self.moments.hierarchy.original[l]);
        if l == 0 && adjoint.is_none() {
            self.leaf_modes(parent, psi, w, chunk, &mut |node, mode| visit(0, original[node] as usize, &[], mode));
            return;
        }
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let (mut v, mut mode, mut own) = (vec![0.0; q], vec![0.0; q], Vec::new());
        let (mut leaf_n, mut leaf_b) = (vec![0.0; q * q], vec![0.0; q * f]);
        let mut inner = (Vec::new(), Vec::new());
        let mut scratch = vec![0.0; 2 * q * f + q * q];
        let (u, scratch) = scratch.split_at_mut(q * f);
        let (us, usu) = scratch.split_at_mut(q * f);
        for node in nodes {
            let (n, b): (&[f64], &[f64]) = if l == 0 {
                let (a, r) = (&level.a[node * q * q..(node + 1) * q * q], &level.r[node * q * f..(node + 1) * q * f]);
                // what could fail has failed on the way up
                small::invert_i_plus(q, a, psi_l, &mut leaf_n);
                small::multiply(q, q, f, &leaf_n, r, &mut leaf_b);
                (&leaf_n, &leaf_b)
            } else {
                let at = node - base;
                (&store.n[at * q * q..(at + 1) * q * q], &store.b[at * q * f..(at + 1) * q * f])
            };
            small::multiply(q, f, 1, b, w, &mut v);
            small::multiply(q, q, 1, psi_l, &v, &mut mode);
            if let Some(adjoint) = adjoint {
                let t = small::product(q, q, q, psi_l, n);
                descend(q, f, psi_l, b, &t, (adjoint, w), &mut inner, (u, us, usu));
                own.clear();
                (0..q).for_each(|i| own.extend_from_slice(&inner.0[i * (q + f)..i * (q + f) + q]));
            }
            visit(l, original[node] as usize, &own, &mode);
            if l > 0 {
                let mut child_w: Vec<f64> = mode.iter().map(|m| -m).collect();
                child_w.extend_from_slice(w);
                let children = &self.moments.hierarchy.children[l];
                let range = children[node] as usize..children[node + 1] as usize;
                let inner = adjoint.map(|_| inner.0.as_slice());
                self.visit_nodes(l - 1, node, range, psi, inner, &child_w, chunk, work, visit);
            }
        }
    }
}
