//! Moments of a chain of nested factors: per node Z'Z and Z'[outer Z, X, y], and [X y]'[X y] in all.

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::hierarchy::Hierarchy;
use super::rows::RowReader;
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

struct Partial {
    levels: Vec<(Vec<f64>, Vec<f64>)>,
    total: CompensatedSums,
    log_det: CompensatedSums,
}

impl NestedMoments {
    /// One pass over the rows.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(design: &Design, basis: &Basis, residual: &dyn Residual, hierarchy: Hierarchy, stop: &AtomicBool) -> Result<Self> {
        let blocks: Vec<&[usize]> = hierarchy.blocks.iter().map(|&b| basis.blocks[b].columns.as_slice()).collect();
        let y = basis.columns.len();
        // outer[l]: internal columns that stand outside level l, in order
        let outer: Vec<Vec<usize>> = (0..blocks.len())
            .map(|l| blocks[l + 1..].iter().flat_map(|b| b.iter()).chain(&basis.x).copied().chain([y]).collect())
            .collect();
        let chunks = hierarchy.chunks(64, 64);
        let pass = |chunk: &Vec<std::ops::Range<usize>>| {
            let mut reader = RowReader::new(design, basis, residual, hierarchy.row_order.as_deref(), stop);
            reader.read_ahead_to(hierarchy.children[0][chunk[0].end] as usize);
            let width = reader.width();
            let mut partial = Partial {
                levels: (0..blocks.len())
                    .map(|l| {
                        let (q, f, nodes) = (blocks[l].len(), outer[l].len(), chunk[l].len());
                        (Vec::with_capacity(nodes * q * q), Vec::with_capacity(nodes * q * f))
                    })
                    .collect(),
                total: CompensatedSums::new(width * width),
                log_det: CompensatedSums::new(1),
            };
            let mut grams = vec![vec![0.0; width * width]; blocks.len()];
            for node in chunk[blocks.len() - 1].clone() {
                walk(blocks.len() - 1, node, &hierarchy, &blocks, &outer, &mut reader, &mut grams, &mut partial);
                partial.total.add(&grams[blocks.len() - 1]);
            }
            partial
        };
        let parallel = design.n() >= 50_000 && rayon::current_num_threads() > 1;
        let partials: Vec<Partial> =
            if parallel { chunks.par_iter().map(pass).collect() } else { chunks.iter().map(pass).collect() };
        go_on(stop)?;
        Ok(Self::assemble(basis, hierarchy, chunks, partials, &blocks_sizes(&blocks, &outer)))
    }

    fn assemble(
        basis: &Basis,
        hierarchy: Hierarchy,
        chunks: Vec<Vec<std::ops::Range<usize>>>,
        partials: Vec<Partial>,
        sizes: &[(usize, usize)],
    ) -> Self {
        let width = basis.columns.len() + 1;
        let mut total = CompensatedSums::new(width * width);
        let mut log_det = CompensatedSums::new(1);
        for partial in &partials {
            total.add(&partial.total.total());
            log_det.add(&partial.log_det.total());
        }
        let gram = total.total();
        let outer: Vec<usize> = basis.x.iter().copied().chain([width - 1]).collect();
        let total = outer.iter().flat_map(|&i| outer.iter().map(move |&j| (i, j))).map(|(i, j)| gram[i * width + j]).collect();
        let mut levels: Vec<LevelMoments> = sizes
            .iter()
            .enumerate()
            .map(|(l, &(q, f))| LevelMoments {
                q,
                f,
                a: Vec::with_capacity(hierarchy.nodes(l) * q * q),
                r: Vec::with_capacity(hierarchy.nodes(l) * q * f),
            })
            .collect();
        for partial in partials {
            for (level, (a, r)) in levels.iter_mut().zip(partial.levels) {
                level.a.extend_from_slice(&a);
                level.r.extend_from_slice(&r);
            }
        }
        NestedMoments { hierarchy, levels, total, log_det_residual: log_det.total()[0], chunks }
    }
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

fn blocks_sizes(blocks: &[&[usize]], outer: &[Vec<usize>]) -> Vec<(usize, usize)> {
    blocks.iter().zip(outer).map(|(b, o)| (b.len(), o.len())).collect()
}

/// Cross-products of a node: of its rows at level 0, the sum over its children above; then its own A and R.
#[allow(clippy::too_many_arguments)] // a recursion: the arguments are its state
fn walk(
    level: usize,
    node: usize,
    hierarchy: &Hierarchy,
    blocks: &[&[usize]],
    outer: &[Vec<usize>],
    reader: &mut RowReader,
    grams: &mut [Vec<f64>],
    partial: &mut Partial,
) {
    if reader.stopped() {
        return;
    }
    let range = hierarchy.children[level][node] as usize..hierarchy.children[level][node + 1] as usize;
    grams[level].fill(0.0);
    if level == 0 {
        let log_det = reader.cross_products(range, &mut grams[0]);
        partial.log_det.add(&[log_det]);
    } else {
        for child in range {
            walk(level - 1, child, hierarchy, blocks, outer, reader, grams, partial);
            let (below, above) = grams.split_at_mut(level);
            above[0].iter_mut().zip(&below[level - 1]).for_each(|(g, c)| *g += c);
        }
    }
    let width = reader.width();
    let (a, r) = &mut partial.levels[level];
    for &i in blocks[level] {
        let row = &grams[level][i * width..(i + 1) * width];
        a.extend(blocks[level].iter().map(|&j| row[j]));
        r.extend(outer[level].iter().map(|&j| row[j]));
    }
}
