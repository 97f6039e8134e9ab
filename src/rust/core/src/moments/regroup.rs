//! Moments of a sample of groups, each with all it contains, as often as it is drawn: no row is read again.
//!
//! A drawn group is a group of its own, so its cross-products and those of the groups inside it are copied; the groups it lies in get
//! the sums over what was drawn.

use std::sync::atomic::AtomicBool;

use super::hierarchy::{Hierarchy, RowOrder};
use super::nested::{LevelMoments, NestedMoments};
use super::outcome::WhitenedRows;
use crate::error::Result;
use crate::linalg::sum::CompensatedSums;
use crate::statistics::Statistics;
use crate::stop::go_on;

/// What is drawn: groups of one level of the chain of nested factors.
#[derive(Debug)]
pub struct Regroup<'m> {
    moments: &'m NestedMoments,
    level: usize,
    /// Columns outside the level.
    f: usize,
    /// Their cross-products per group, f × f.
    grams: Vec<f64>,
    /// log|Var(ε)/σ²| per group.
    log_det: Vec<f64>,
    /// Rows per group.
    rows: Vec<usize>,
}

/// Groups drawn, by position in the chain's order.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// Positions, those inside one group of the next level side by side.
    pub nodes: Vec<u32>,
    /// Where those of each group of the next level start, and their number; for the coarsest level 0 and the number.
    pub starts: Vec<u32>,
}

impl<'m> Regroup<'m> {
    /// One pass over the rows. `level` counts from the finest factor of the chain.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(
        moments: &'m NestedMoments,
        statistics: &Statistics,
        rows: &WhitenedRows,
        y: &[f64],
        level: usize,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let (basis, hierarchy) = (&statistics.basis, &moments.hierarchy);
        let outside = hierarchy.blocks[level + 1..].iter().flat_map(|&b| &basis.blocks[b].columns);
        let columns: Vec<usize> = outside.chain(&basis.x).copied().collect();
        let f = columns.len() + 1;
        let nodes = hierarchy.nodes(level);
        let mut out =
            Regroup { moments, level, f, grams: Vec::with_capacity(nodes * f * f), log_det: Vec::new(), rows: Vec::new() };
        let mut line = vec![0.0; f];
        for node in 0..nodes {
            go_on(stop)?;
            let leaves = leaves(hierarchy, level, node);
            let positions = rows.node(leaves.start).start..rows.node(leaves.end - 1).end;
            let mut sums = CompensatedSums::new(f * f);
            let mut gram = vec![0.0; f * f];
            for position in positions.clone() {
                let values = rows.at(position);
                columns.iter().zip(&mut line).for_each(|(&column, v)| *v = values[column]);
                line[f - 1] = y[position];
                for i in 0..f {
                    (0..f).for_each(|j| gram[i * f + j] = line[i] * line[j]);
                }
                sums.add(&gram);
            }
            out.grams.extend(sums.total());
            out.log_det.push(leaves.map(|leaf| rows.log_det(leaf)).sum());
            out.rows.push(positions.len());
        }
        Ok(out)
    }

    /// Number of groups that can be drawn.
    pub fn nodes(&self) -> usize {
        self.rows.len()
    }

    /// Where the groups inside each group of the next level start, and their number; for the coarsest level 0 and the number.
    pub fn strata(&self) -> Vec<u32> {
        match self.moments.hierarchy.children.get(self.level + 1) {
            Some(starts) => starts.clone(),
            None => vec![0, self.nodes() as u32],
        }
    }

    /// The 0-based level of the factor at each position.
    pub fn original(&self) -> &[u32] {
        &self.moments.hierarchy.original[self.level]
    }

    /// Number of rows and moments of the groups drawn.
    pub fn moments(&self, drawn: &Drawn) -> (usize, NestedMoments) {
        let (from, levels) = (self.moments, self.moments.levels.len());
        let mut hierarchy = Hierarchy {
            blocks: from.hierarchy.blocks.clone(),
            original: vec![Vec::new(); levels],
            children: vec![Vec::new(); levels],
            row_order: RowOrder::Data,
        };
        let mut out = vec![LevelMoments { q: 0, f: 0, a: Vec::new(), r: Vec::new() }; levels];
        self.copy_inside(drawn, &mut hierarchy, &mut out);
        let total = self.sum_outside(drawn, &mut hierarchy, &mut out);
        for (l, level) in out.iter().enumerate() {
            hierarchy.original[l] = (0..(level.a.len() / (level.q * level.q)) as u32).collect();
        }
        let chunks = hierarchy.chunks(64, 64);
        let log_det_residual = drawn.nodes.iter().map(|&node| self.log_det[node as usize]).sum();
        let rows = drawn.nodes.iter().map(|&node| self.rows[node as usize]).sum();
        (rows, NestedMoments { hierarchy, levels: out, total, log_det_residual, chunks })
    }

    /// The level itself and those below it.
    fn copy_inside(&self, drawn: &Drawn, hierarchy: &mut Hierarchy, out: &mut [LevelMoments]) {
        let mut nodes = drawn.nodes.clone();
        for l in (0..=self.level).rev() {
            let from = &self.moments.levels[l];
            let (q, f) = (from.q, from.f);
            let mut level =
                LevelMoments { q, f, a: Vec::with_capacity(nodes.len() * q * q), r: Vec::with_capacity(nodes.len() * q * f) };
            for &node in &nodes {
                let node = node as usize;
                level.a.extend_from_slice(&from.a[node * q * q..(node + 1) * q * q]);
                level.r.extend_from_slice(&from.r[node * q * f..(node + 1) * q * f]);
            }
            out[l] = level;
            let children = &self.moments.hierarchy.children[l];
            let mut below = Vec::new();
            let mut starts = Vec::with_capacity(nodes.len() + 1);
            starts.push(0);
            let mut count = 0;
            for &node in &nodes {
                let range = children[node as usize]..children[node as usize + 1];
                count += range.end - range.start;
                starts.push(count);
                if l > 0 {
                    below.extend(range);
                }
            }
            hierarchy.children[l] = starts;
            nodes = below;
        }
    }

    /// The levels above, from sums over what was drawn; returns [X y]'[X y].
    fn sum_outside(&self, drawn: &Drawn, hierarchy: &mut Hierarchy, out: &mut [LevelMoments]) -> Vec<f64> {
        let size = self.f * self.f;
        let mut grams: Vec<Vec<f64>> = drawn
            .starts
            .windows(2)
            .map(|range| {
                let mut sums = CompensatedSums::new(size);
                for &node in &drawn.nodes[range[0] as usize..range[1] as usize] {
                    sums.add(&self.grams[node as usize * size..(node as usize + 1) * size]);
                }
                sums.total()
            })
            .collect();
        let mut width = self.f;
        for (l, level) in out.iter_mut().enumerate().skip(self.level + 1) {
            let (q, f) = (self.moments.levels[l].q, self.moments.levels[l].f);
            *level = LevelMoments { q, f, a: Vec::new(), r: Vec::new() };
            for gram in &grams {
                for i in 0..q {
                    level.a.extend_from_slice(&gram[i * width..i * width + q]);
                    level.r.extend_from_slice(&gram[i * width + q..(i + 1) * width]);
                }
            }
            let inner = |gram: &Vec<f64>| -> Vec<f64> {
                (q..width).flat_map(|i| gram[i * width + q..(i + 1) * width].iter().copied()).collect()
            };
            hierarchy.children[l] =
                if l == self.level + 1 { drawn.starts.clone() } else { self.moments.hierarchy.children[l].clone() };
            let parents = match self.moments.hierarchy.children.get(l + 1) {
                Some(starts) => starts.clone(),
                None => vec![0, grams.len() as u32],
            };
            grams = parents
                .windows(2)
                .map(|range| {
                    let mut sums = CompensatedSums::new(f * f);
                    grams[range[0] as usize..range[1] as usize].iter().for_each(|gram| sums.add(&inner(gram)));
                    sums.total()
                })
                .collect();
            width = f;
        }
        grams.swap_remove(0)
    }
}

/// Nodes of the finest level inside a node.
fn leaves(hierarchy: &Hierarchy, level: usize, node: usize) -> std::ops::Range<usize> {
    let mut range = node..node + 1;
    for l in (1..=level).rev() {
        range = hierarchy.children[l][range.start] as usize..hierarchy.children[l][range.end] as usize;
    }
    range
}
