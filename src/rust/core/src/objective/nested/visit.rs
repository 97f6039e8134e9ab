//! Conditional modes and covariances: one walk from the root down.

use super::kernels::descend;
use super::work::Work;
use super::NestedObjective;
use crate::linalg::small;

/// Receives (level of the hierarchy, original level of the factor, conditional covariance, mode).
pub(super) type Visitor<'v> = dyn FnMut(usize, usize, &[f64], &[f64]) + 'v;

impl NestedObjective<'_> {
    /// Walks down from the root, handing every node's conditional covariance T + U M U' (`spread`, else empty) and mode to `visit`.
    pub(super) fn visit(&self, psi: &[Vec<f64>], w: &[f64], spread: bool, visit: &mut Visitor) {
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
        &self,
        l: usize,
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
        let psi_l = psi[self.moments.hierarchy.blocks[l]].as_slice();
        let (mut v, mut mode, mut own) = (vec![0.0; q], vec![0.0; q], Vec::new());
        let (mut leaf_n, mut leaf_b) = (vec![0.0; q * q], Vec::new());
        let mut child_adjoint = Vec::new();
        for node in nodes {
            // v = Bw = N(Rw), with what the way up has kept or, at the finest level, from the moments
            if l == 0 {
                let (a, r) = (&level.a[node * q * q..(node + 1) * q * q], &level.r[node * q * f..(node + 1) * q * f]);
                // what could fail has failed on the way up
                small::invert_i_plus(q, a, psi_l, &mut leaf_n);
                if adjoint.is_some() {
                    leaf_b = small::product(q, q, f, &leaf_n, r);
                }
                small::multiply(q, f, 1, r, w, &mut mode);
                small::multiply(q, q, 1, &leaf_n, &mode, &mut v);
            } else {
                small::multiply(q, f, 1, &store.b[(node - base) * q * f..(node - base + 1) * q * f], w, &mut v);
            }
            small::multiply(q, q, 1, psi_l, &v, &mut mode);
            if let Some(adjoint) = adjoint {
                let at = node - base;
                let (n, b) = match l {
                    0 => (leaf_n.as_slice(), leaf_b.as_slice()),
                    _ => (&store.n[at * q * q..(at + 1) * q * q], &store.b[at * q * f..(at + 1) * q * f]),
                };
                let t = small::product(q, q, q, psi_l, n);
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
}
