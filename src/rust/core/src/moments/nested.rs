//! Moments of a chain of nested factors: per node Z'Z and Z'[outer Z, X, y], and [X y]'[X y] in all.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::hierarchy::Hierarchy;
use super::pass::Pass;
use crate::design::Design;
use crate::error::Result;
use crate::linalg::small;
use crate::linalg::small::sandwich;
use crate::linalg::sum::CompensatedSums;
use crate::residual::Residual;
use crate::stop::go_on;

/// Cross-products of one level of the chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LevelMoments {
    /// Random-effect columns q of a node.
    pub q: usize,
    /// Outer columns f: Z of the coarser levels (next level first), then X, then y.
    pub f: usize,
    /// Z'Z per node, q × q each.
    pub a: Vec<f64>,
    /// Z'[outer] per node, q × f each.
    pub r: Vec<f64>,
}

/// All that estimation needs to know of the data, for nested factors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NestedMoments {
    /// Order of the nodes.
    pub hierarchy: Hierarchy,
    /// Finest level first.
    pub levels: Vec<LevelMoments>,
    /// [X y]'[X y], (p + 1) × (p + 1).
    pub total: Vec<f64>,
    /// log|Var(ε)/σ²|: minus the sum of the log weights.
    pub log_det_residual: f64,
    /// Chunks of the hierarchy for parallel, ordered sums.
    pub chunks: Vec<Vec<std::ops::Range<usize>>>,
}

/// A and R of the nodes of a chunk, per level.
pub type Places<'m> = Vec<(&'m mut [f64], &'m mut [f64])>;

impl NestedMoments {
    /// One pass over the rows.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(design: &Design, basis: &Basis, residual: &dyn Residual, hierarchy: Hierarchy, stop: &AtomicBool) -> Result<Self> {
        let chunks = hierarchy.chunks(64, 64);
        let pass = Pass::new(design, basis, residual, &hierarchy, &chunks, stop);
        let mut levels: Vec<LevelMoments> = pass
            .sizes()
            .map(|(nodes, q, f)| LevelMoments { q, f, a: vec![0.0; nodes * q * q], r: vec![0.0; nodes * q * f] })
            .collect();
        let jobs: Vec<_> = chunks.iter().zip(places(&mut levels, &chunks)).collect();
        let run = |(chunk, places): (&Vec<std::ops::Range<usize>>, Places)| pass.chunk(chunk, places);
        let parallel = design.n() >= 50_000 && rayon::current_num_threads() > 1;
        let sums: Vec<(Vec<f64>, f64)> =
            if parallel { jobs.into_par_iter().map(run).collect() } else { jobs.into_iter().map(run).collect() };
        let mut total = CompensatedSums::new(pass.products());
        let mut log_det = CompensatedSums::new(1);
        for (products, part) in &sums {
            total.add(products);
            log_det.add(&[*part]);
        }
        go_on(stop)?;
        let total = pass.total(&total.total());
        Ok(NestedMoments { hierarchy, levels, total, log_det_residual: log_det.total()[0], chunks })
    }
}

/// What every chunk fills.
fn places<'m>(levels: &'m mut [LevelMoments], chunks: &[Vec<std::ops::Range<usize>>]) -> Vec<Places<'m>> {
    let mut out: Vec<Places> = chunks.iter().map(|_| Vec::with_capacity(levels.len())).collect();
    for (l, level) in levels.iter_mut().enumerate() {
        let (mut a, mut r) = (level.a.as_mut_slice(), level.r.as_mut_slice());
        for (chunk, places) in chunks.iter().zip(&mut out) {
            let nodes = chunk[l].len();
            let (own_a, rest_a) = a.split_at_mut(nodes * level.q * level.q);
            let (own_r, rest_r) = r.split_at_mut(nodes * level.q * level.f);
            places.push((own_a, own_r));
            (a, r) = (rest_a, rest_r);
        }
    }
    out
}

impl NestedMoments {
    /// Where the nodes of the finest level end that belong to each node of the next level or, in a chain of one, to each chunk.
    pub fn parent_ends(&self) -> Vec<usize> {
        match self.hierarchy.children.get(1) {
            Some(children) => children[1..].iter().map(|&end| end as usize).collect(),
            None => self.chunks.iter().map(|chunk| chunk[0].end).collect(),
        }
    }

    /// Replaces [X y] by [X y] M, M of (p + 1) × width.
    pub fn map_tail(&mut self, map: &[f64], width: usize) {
        let tail = map.len() / width;
        for level in &mut self.levels {
            let kept = level.f - tail;
            let rows = level.r.chunks_exact(level.f);
            level.r = rows.flat_map(|row| mapped_row(row, kept, map, width)).collect();
            level.f = kept + width;
        }
        self.total = sandwich(tail, width, map, &self.total);
    }
}

/// A row with its first `kept` values as they are and the others times M.
pub fn mapped_row(row: &[f64], kept: usize, map: &[f64], width: usize) -> Vec<f64> {
    let mut out = row[..kept].to_vec();
    out.extend(small::product(1, row.len() - kept, width, &row[kept..], map));
    out
}
