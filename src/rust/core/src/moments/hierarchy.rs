//! Which grouping factors nest in which, and the order of nodes and rows that makes every subtree contiguous.

use crate::design::{Design, Grouping};
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
    /// Rows in the order of level 0; `None` when that is the order of the data.
    pub row_order: Option<Vec<u32>>,
}

impl Hierarchy {
    /// Number of nodes at a level.
    pub fn nodes(&self, level: usize) -> usize {
        self.original[level].len()
    }

    /// Builds the chain for factors `groups` (indices into the design), finest first, or `None` when they do not nest.
    pub fn build(design: &Design, groups: &[usize], blocks: &[usize]) -> Option<Self> {
        let mut parents = Vec::new();
        for pair in groups.windows(2) {
            parents.push(parent_of(&design.groups[pair[0]], &design.groups[pair[1]])?);
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
        let position = positions(&original[0]);
        let codes = design.groups[groups[0]].codes;
        let sorted = codes.windows(2).all(|w| position[w[0] as usize - 1] <= position[w[1] as usize - 1]);
        let key: Vec<u32> = codes.iter().map(|&c| position[c as usize - 1]).collect();
        let (order, starts) = if sorted {
            (None, starts_of(&key, original[0].len()))
        } else {
            let (order, starts) = counting_sort(&key, original[0].len());
            (Some(order), starts)
        };
        children[0] = starts;
        Some(Hierarchy { blocks: blocks.to_vec(), original, children, row_order: order })
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
