//! Which grouping factors nest in which, and the order of nodes and rows that makes every subtree contiguous.

use crate::design::{Design, Grouping};
use crate::linalg::lanes::with_vectors;
use serde::{Deserialize, Serialize};

/// A chain of nested factors, finest first, laid out so that the children of a node are neighbours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Blocks of the basis (one per factor), finest first.
    pub blocks: Vec<usize>,
    /// Per level: the original 0-based level of the factor at each position.
    pub original: Vec<Vec<u32>>,
    /// Per level ≥ 1 of the chain: `children[l][j]..children[l][j + 1]` are the positions of node j's children one level below;
    /// for level 0 the ranges are rows in `row_order`.
    pub children: Vec<Vec<u32>>,
    /// Where the rows of level 0 are.
    pub row_order: RowOrder,
}

/// The rows of the data in the order of level 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RowOrder {
    /// That of the data.
    Data,
    /// The rows of every node are neighbours in the data; this is the first of each.
    Runs(Vec<u32>),
    /// Row by row.
    Rows(Vec<u32>),
}

impl RowOrder {
    /// The row at every position, `None` when that is the order of the data; `starts` are the positions where the nodes start, and n.
    pub fn rows(&self, starts: &[u32]) -> Option<Vec<u32>> {
        match self {
            RowOrder::Data => None,
            RowOrder::Rows(rows) => Some(rows.clone()),
            RowOrder::Runs(first) => {
                Some(first.iter().zip(starts.windows(2)).flat_map(|(&row, node)| row..row + node[1] - node[0]).collect())
            }
        }
    }
}

impl Hierarchy {
    /// Number of nodes at a level.
    pub fn nodes(&self, level: usize) -> usize {
        self.original[level].len()
    }

    /// Builds the chain for factors `groups` (indices into the design), finest first, or `None` when they do not nest; `runs` are the
    /// [`Grouping::runs`] of the finest.
    pub fn build(design: &Design, runs: Option<Vec<u32>>, groups: &[usize], blocks: &[usize]) -> Option<Self> {
        let mut parents = Vec::new();
        for (level, pair) in groups.windows(2).enumerate() {
            let (fine, coarse) = (&design.groups[pair[0]], &design.groups[pair[1]]);
            parents.push(match &runs {
                Some(runs) if level == 0 => parent_of_runs(fine, runs, coarse)?,
                _ => parent_of(fine, coarse)?,
            });
        }
        let levels = groups.len();
        let mut original: Vec<Vec<u32>> = vec![Vec::new(); levels];
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); levels];
        let top = design.groups[groups[levels - 1]].n_levels;
        original[levels - 1] = (0..top as u32).collect();
        for level in (0..levels - 1).rev() {
            let position = positions(&original[level + 1]);
            let key: Vec<u32> = parents[level].iter().map(|&parent| position[parent as usize]).collect();
            let (order, starts) = counting_sort(&key, original[level + 1].len());
            original[level] = order;
            children[level + 1] = starts;
        }
        let (row_order, starts) = match runs {
            Some(runs) => order_of_runs(runs, &original[0]),
            None => order_of_rows(design.groups[groups[0]].codes, &original[0]),
        };
        children[0] = starts;
        Some(Hierarchy { blocks: blocks.to_vec(), original, children, row_order })
    }

    /// Contiguous chunks of top-level nodes with about equal numbers of level-0 nodes, as ranges of positions per level.
    /// The chunks depend on the data only, never on the number of threads: sums are the same bit for bit.
    pub fn chunks(&self, at_most: usize, least: usize) -> Vec<Vec<std::ops::Range<usize>>> {
        let top = self.original.len() - 1;
        let size = (self.nodes(0).div_ceil(at_most)).max(least);
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < self.nodes(top) {
            let mut end = start + 1;
            while end < self.nodes(top) && self.ranges(start..end)[0].len() < size {
                end += 1;
            }
            chunks.push(self.ranges(start..end));
            start = end;
        }
        chunks
    }

    fn ranges(&self, top: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let levels = self.original.len();
        let mut ranges = vec![top; levels];
        for level in (0..levels - 1).rev() {
            let above = ranges[level + 1].clone();
            let starts = &self.children[level + 1];
            ranges[level] = starts[above.start] as usize..starts[above.end] as usize;
        }
        ranges
    }
}

/// The coarse level of each fine level, when every fine level lies in one coarse level.
pub fn parent_of(fine: &Grouping, coarse: &Grouping) -> Option<Vec<u32>> {
    let mut parent = vec![0u32; fine.n_levels];
    for (&f, &c) in fine.codes.iter().zip(coarse.codes) {
        let slot = &mut parent[f as usize - 1];
        if *slot == 0 {
            *slot = c as u32;
        } else if *slot != c as u32 {
            return None;
        }
    }
    parent.iter_mut().for_each(|p| *p -= 1);
    Some(parent)
}

/// The same where the rows of every fine level are neighbours: whether the coarse level changes within one is seen row by row.
fn parent_of_runs(fine: &Grouping, runs: &[u32], coarse: &Grouping) -> Option<Vec<u32>> {
    let (inside, outside) = (fine.codes, coarse.codes);
    let changes = |rows: std::ops::Range<usize>| {
        let before = inside[rows.start..].iter().zip(&outside[rows.start..]);
        let after = inside[rows.start + 1..rows.end].iter().zip(&outside[rows.start + 1..rows.end]);
        after.zip(before).fold(false, |changes, ((f, c), (g, d))| changes | ((f == g) & (c != d)))
    };
    let last = inside.len() - 1;
    let mut starts = (0..last).step_by(1024);
    if with_vectors!(starts => starts.any(|start| changes(start..(start + 1024).min(last) + 1))) {
        return None;
    }
    Some(runs[..runs.len() - 1].iter().map(|&row| outside[row as usize] as u32 - 1).collect())
}

/// Order and starts of level 0 where the rows of every level of the factor are neighbours, `runs` says where.
fn order_of_runs(runs: Vec<u32>, original: &[u32]) -> (RowOrder, Vec<u32>) {
    if original.iter().enumerate().all(|(position, &level)| position as u32 == level) {
        return (RowOrder::Data, runs);
    }
    let mut starts = Vec::with_capacity(original.len() + 1);
    let mut end = 0;
    starts.push(0);
    for &level in original {
        end += runs[level as usize + 1] - runs[level as usize];
        starts.push(end);
    }
    (RowOrder::Runs(original.iter().map(|&level| runs[level as usize]).collect()), starts)
}

/// The same for rows in any order.
fn order_of_rows(codes: &[i32], original: &[u32]) -> (RowOrder, Vec<u32>) {
    let position = positions(original);
    let key: Vec<u32> = codes.iter().map(|&c| position[c as usize - 1]).collect();
    if key.windows(2).all(|w| w[0] <= w[1]) {
        return (RowOrder::Data, starts_of(&key, original.len()));
    }
    let (order, starts) = counting_sort(&key, original.len());
    (RowOrder::Rows(order), starts)
}

fn positions(order: &[u32]) -> Vec<u32> {
    let mut position = vec![0u32; order.len()];
    for (p, &original) in order.iter().enumerate() {
        position[original as usize] = p as u32;
    }
    position
}

fn starts_of(key: &[u32], buckets: usize) -> Vec<u32> {
    let mut starts = vec![0u32; buckets + 1];
    for &k in key {
        starts[k as usize + 1] += 1;
    }
    for b in 0..buckets {
        starts[b + 1] += starts[b];
    }
    starts
}

/// Stable order of the items by key, and the start of every bucket.
pub fn counting_sort(key: &[u32], buckets: usize) -> (Vec<u32>, Vec<u32>) {
    let starts = starts_of(key, buckets);
    let mut next = starts.clone();
    let mut order = vec![0u32; key.len()];
    for (item, &k) in key.iter().enumerate() {
        order[next[k as usize] as usize] = item as u32;
        next[k as usize] += 1;
    }
    (order, starts)
}
