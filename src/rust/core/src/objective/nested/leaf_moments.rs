//! Moments of the finest level, four nodes side by side.

use crate::linalg::lanes::{Lanes, LANES};
use crate::moments::nested::NestedMoments;

use super::kernels::triangle;

/// Groups of four nodes with the same parent (the last group of a parent filled up with empty nodes, which add nothing).
#[derive(Debug)]
pub(super) struct LeafMoments {
    /// Where the groups of every parent start; parents are the nodes of the next level or, in a chain of one, the chunks.
    pub(super) starts: Vec<u32>,
    /// Z'Z per group, packed triangle.
    pub(super) a: Vec<Lanes>,
    /// Z'[outer] per group, q × f.
    pub(super) r: Vec<Lanes>,
}

impl LeafMoments {
    pub(super) fn new(moments: &NestedMoments) -> Self {
        let level = &moments.levels[0];
        let (q, f) = (level.q, level.f);
        let ends = moments.parent_ends();
        let most = moments.hierarchy.nodes(0) / LANES + ends.len();
        let mut out = LeafMoments {
            starts: Vec::with_capacity(ends.len() + 1),
            a: Vec::with_capacity(most * triangle(q)),
            r: Vec::with_capacity(most * q * f),
        };
        out.starts.push(0);
        let mut node = 0;
        for end in ends {
            while node < end {
                out.push(level.a.as_slice(), level.r.as_slice(), (q, f), node..(node + LANES).min(end));
                node = (node + LANES).min(end);
            }
            out.starts.push((out.r.len() / (q * f)) as u32);
        }
        out
    }

    fn push(&mut self, a: &[f64], r: &[f64], (q, f): (usize, usize), nodes: std::ops::Range<usize>) {
        let a = side_by_side(a, q * q, nodes.clone());
        (0..q).for_each(|i| self.a.extend((0..i + 1).map(|j| a(i * q + j))));
        let r = side_by_side(r, q * f, nodes);
        self.r.extend((0..q * f).map(r));
    }

    /// Groups of a parent.
    pub(super) fn groups(&self, parent: usize) -> std::ops::Range<usize> {
        self.starts[parent] as usize..self.starts[parent + 1] as usize
    }
}

/// The values of up to four nodes, `size` each, by entry.
fn side_by_side(values: &[f64], size: usize, nodes: std::ops::Range<usize>) -> impl Fn(usize) -> Lanes + '_ {
    // empty nodes in place of those that are not there
    let columns: [&[f64]; LANES] = std::array::from_fn(|lane| {
        let node = nodes.start + lane;
        values.get(node * size..(node + 1) * size).filter(|_| node < nodes.end).unwrap_or_default()
    });
    move |entry| Lanes(columns.map(|column| column.get(entry).copied().unwrap_or(0.0)))
}
