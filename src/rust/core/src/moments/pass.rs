//! The one pass over the rows of a chunk of a chain: products of the internal columns over each node of the finest level, summed on the way
//! up; each node leaves its A and R in their places.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::basis::Basis;
use super::gram::{products, Layout, Quad};
use super::hierarchy::{Hierarchy, RowOrder};
use super::nested::Places;
use super::rows::{RowReader, PIECE};
use crate::design::Design;
use crate::linalg::lanes::{with_vectors, Lanes, LANES};
use crate::linalg::sum::{BatchedSums, CompensatedSums};
use crate::residual::Residual;

/// What all chunks share.
pub struct Pass<'p> {
    design: &'p Design<'p>,
    basis: &'p Basis,
    residual: &'p dyn Residual,
    hierarchy: &'p Hierarchy,
    layout: Layout,
    /// Per level: where the entries of A and of R are among the products of a node.
    wanted: Vec<(Vec<usize>, Vec<usize>)>,
    /// Columns of the design as they stand, when rows can be taken straight from there.
    quads: Option<Vec<Quad<'p>>>,
    /// Where the nodes of the finest level are not in the order of the data: those of every chunk in that order, in which memory is read fastest.
    /// The children of a node are in the order of the data anyway, so that no sum depends on it.
    visits: Option<Vec<u32>>,
    stop: &'p AtomicBool,
}

impl<'p> Pass<'p> {
    /// Plans the pass.
    pub fn new(
        design: &'p Design<'p>,
        basis: &'p Basis,
        residual: &'p dyn Residual,
        hierarchy: &'p Hierarchy,
        chunks: &[Vec<Range<usize>>],
        stop: &'p AtomicBool,
    ) -> Self {
        let whitened = design.weights.is_some() || residual.name() != "identity";
        let layout = Layout::new(basis, whitened);
        let blocks: Vec<&[usize]> = hierarchy.blocks.iter().map(|&b| basis.blocks[b].columns.as_slice()).collect();
        let y = basis.columns.len();
        let places = |own: &[usize], others: &[usize]| -> Vec<usize> {
            own.iter().flat_map(|&i| others.iter().map(move |&j| (i, j))).map(|(i, j)| layout.place(i, j)).collect()
        };
        let wanted = (0..blocks.len())
            .map(|l| {
                let outer: Vec<usize> =
                    blocks[l + 1..].iter().flat_map(|b| b.iter()).chain(&basis.x).copied().chain([y]).collect();
                (places(blocks[l], blocks[l]), places(blocks[l], &outer))
            })
            .collect();
        let direct = !whitened && design.offset.is_none() && !matches!(hierarchy.row_order, RowOrder::Rows(_));
        let quads = direct.then(|| Quad::of_design(&layout, design, basis));
        let visits = matches!(hierarchy.row_order, RowOrder::Runs(_)).then(|| visits(&hierarchy.original[0], chunks));
        Pass { design, basis, residual, hierarchy, layout, wanted, quads, visits, stop }
    }

    /// Nodes, q and f of every level.
    pub fn sizes(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.hierarchy.blocks.iter().enumerate().map(|(l, &block)| {
            let q = self.basis.blocks[block].columns.len();
            (self.hierarchy.nodes(l), q, self.wanted[l].1.len() / q)
        })
    }

    /// Products per node.
    pub fn products(&self) -> usize {
        LANES * self.layout.lanes()
    }

    /// [X y]'[X y] from the products over all rows.
    pub fn total(&self, products: &[f64]) -> Vec<f64> {
        let columns: Vec<usize> = self.basis.x.iter().copied().chain([self.basis.columns.len()]).collect();
        let pairs = columns.iter().flat_map(|&i| columns.iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| products[self.layout.place(i, j)]).collect()
    }

    /// Reads the rows of a chunk; returns the products over all of them, and log|Var(ε)/σ²|. Once told to stop it reads nothing any more, and what it
    /// returns is wrong.
    pub fn chunk(&self, chunk: &[Range<usize>], places: Places) -> (Vec<f64>, f64) {
        if self.stop.load(Ordering::Relaxed) {
            return (vec![0.0; self.products()], 0.0);
        }
        let mut state = Chunk::new(self, chunk, places);
        let log_det = match &self.quads {
            Some(quads) => {
                let (nodes, to) = (chunk[0].clone(), &mut state);
                with_vectors!(nodes => self.straight(quads, nodes, to));
                0.0
            }
            None => self.gathered(chunk[0].clone(), &mut state),
        };
        (state.total(), log_det)
    }

    /// Rows as they stand in the data.
    #[inline(always)]
    fn straight(&self, quads: &[Quad], nodes: Range<usize>, to: &mut Chunk) {
        let starts = self.hierarchy.children[0].as_slice();
        match (&self.hierarchy.row_order, &self.visits) {
            (RowOrder::Runs(first), Some(visits)) => {
                for &node in &visits[nodes] {
                    let (node, start) = (node as usize, first[node as usize] as usize);
                    self.node(quads, node, start..start + (starts[node + 1] - starts[node]) as usize, to);
                }
            }
            _ => {
                for node in nodes {
                    self.node(quads, node, starts[node] as usize..starts[node + 1] as usize, to);
                }
            }
        }
    }

    #[inline(always)]
    fn node(&self, quads: &[Quad], node: usize, mut rows: Range<usize>, to: &mut Chunk) {
        let piece = |rows: &Range<usize>| rows.start..rows.end.min(rows.start + PIECE);
        products::<false>(quads, piece(&rows), &mut to.own);
        while rows.len() > PIECE {
            rows.start += PIECE;
            products::<true>(quads, piece(&rows), &mut to.own);
        }
        to.finish(node);
    }

    /// Rows that have to be gathered, whitened or freed of an offset first.
    fn gathered(&self, nodes: Range<usize>, to: &mut Chunk) -> f64 {
        let starts = &self.hierarchy.children[0];
        let rows = |nodes: Range<usize>| starts[nodes.start] as usize..starts[nodes.end] as usize;
        if let (RowOrder::Runs(first), Some(visits)) = (&self.hierarchy.row_order, &self.visits) {
            let mut reader = RowReader::new(self.design, self.basis, self.residual, None, self.stop);
            let mut log_det = CompensatedSums::new(1);
            for node in visits[nodes].iter().map(|&node| node as usize) {
                let start = first[node] as usize;
                log_det.add(&[self.whole(&mut reader, node, start..start + rows(node..node + 1).len(), to)]);
            }
            return log_det.total()[0];
        }
        let order = match &self.hierarchy.row_order {
            RowOrder::Rows(rows) => Some(rows.as_slice()),
            _ => None,
        };
        let mut reader = RowReader::new(self.design, self.basis, self.residual, order, self.stop);
        let mut log_det = CompensatedSums::new(1);
        let mut node = nodes.start;
        while node < nodes.end {
            // several short nodes at once
            let mut end = node + 1;
            while end < nodes.end && rows(node..end + 1).len() <= PIECE {
                end += 1;
            }
            let positions = rows(node..end);
            if self.residual.is_by_row() && positions.len() <= PIECE {
                let within =
                    |node: usize| rows(node..node + 1).start - positions.start..rows(node..node + 1).end - positions.start;
                let block = reader.block(positions.clone());
                self.add_nodes(block, positions.len(), (node..end).map(|node| (node, within(node))), to);
                (node..end).for_each(|node| log_det.add(&[reader.log_det(positions.start, rows(node..node + 1))]));
            } else {
                log_det.add(&[self.whole(&mut reader, node, rows(node..node + 1), to)]);
                end = node + 1;
            }
            node = end;
        }
        log_det.total()[0]
    }

    /// A node read by itself.
    fn whole(&self, reader: &mut RowReader, node: usize, positions: Range<usize>, to: &mut Chunk) -> f64 {
        to.own.fill([0.0; LANES]);
        let log_det = reader.pieces(positions, |at, block| self.add_piece(block, at.len, &mut to.own));
        to.finish(node);
        log_det
    }

    fn add_nodes(&self, block: &[f64], length: usize, nodes: impl Iterator<Item = (usize, Range<usize>)>, to: &mut Chunk) {
        let quads = Quad::of_block(&self.layout, block, length);
        with_vectors!(nodes => for (node, rows) in nodes {
            products::<false>(&quads, rows, &mut to.own);
            to.finish(node);
        });
    }

    /// Puts A and R of a node in their places.
    #[inline(always)]
    fn leave(&self, level: usize, node: usize, products: &[[f64; LANES]], (a, r): &mut (&mut [f64], &mut [f64])) {
        let products = products.as_flattened();
        let fill = |wanted: &[usize], place: &mut [f64]| {
            let out = &mut place[node * wanted.len()..(node + 1) * wanted.len()];
            out.iter_mut().zip(wanted).for_each(|(out, &k)| *out = products[k]);
        };
        fill(&self.wanted[level].0, a);
        fill(&self.wanted[level].1, r);
    }

    fn add_piece(&self, block: &[f64], length: usize, sums: &mut [[f64; LANES]]) {
        let quads = Quad::of_block(&self.layout, block, length);
        let pieces = (0..length).step_by(PIECE);
        with_vectors!(pieces => for start in pieces {
            products::<true>(&quads, start..length.min(start + PIECE), sums);
        });
    }
}

/// Positions of the nodes of the finest level, chunk by chunk, in the order of `original` within each.
fn visits(original: &[u32], chunks: &[Vec<Range<usize>>]) -> Vec<u32> {
    let mut position = vec![0u32; original.len()];
    original.iter().enumerate().for_each(|(p, &level)| position[level as usize] = p as u32);
    let mut chunk_of = vec![0u16; original.len()];
    chunks.iter().enumerate().for_each(|(index, chunk)| chunk_of[chunk[0].clone()].fill(index as u16));
    let mut next: Vec<usize> = chunks.iter().map(|chunk| chunk[0].start).collect();
    let mut out = vec![0u32; original.len()];
    for p in position {
        let slot = &mut next[usize::from(chunk_of[p as usize])];
        out[*slot] = p;
        *slot += 1;
    }
    out
}

/// The sums of a chunk, and where its moments go.
struct Chunk<'c> {
    pass: &'c Pass<'c>,
    /// First node of every level.
    first: Vec<usize>,
    /// Products over the rows of the node of the finest level at hand.
    own: Vec<[f64; LANES]>,
    /// The same of all nodes of the levels above, from the second level on.
    above: Vec<Vec<[f64; LANES]>>,
    /// Parent of every node within the chunk, per level but the last.
    parents: Vec<Vec<u32>>,
    places: Places<'c>,
    total: BatchedSums,
}

impl<'c> Chunk<'c> {
    fn new(pass: &'c Pass<'c>, chunk: &[Range<usize>], places: Places<'c>) -> Self {
        let lanes = pass.layout.lanes();
        let parents = (1..chunk.len()).map(|level| {
            let starts = &pass.hierarchy.children[level][chunk[level].start..=chunk[level].end];
            let children = starts.windows(2).map(|node| (node[1] - node[0]) as usize);
            children.enumerate().flat_map(|(parent, count)| std::iter::repeat_n(parent as u32, count)).collect()
        });
        Chunk {
            pass,
            first: chunk.iter().map(|nodes| nodes.start).collect(),
            own: vec![[0.0; LANES]; lanes],
            above: chunk[1..].iter().map(|nodes| vec![[0.0; LANES]; nodes.len() * lanes]).collect(),
            parents: parents.collect(),
            places,
            total: BatchedSums::new(LANES * lanes),
        }
    }

    /// Leaves the moments of the node of the finest level, and adds its products to those of its parent.
    #[inline(always)]
    fn finish(&mut self, node: usize) {
        let local = node - self.first[0];
        self.pass.leave(0, local, &self.own, &mut self.places[0]);
        match self.above.first_mut() {
            None => self.total.add(self.own.as_flattened()),
            Some(above) => add(self.parents[0][local] as usize, &self.own, above),
        }
    }

    /// Leaves the moments of the levels above; returns the products over all rows.
    fn total(mut self) -> Vec<f64> {
        let lanes = self.own.len();
        for level in 0..self.above.len() {
            let (below, above) = self.above[level..].split_at_mut(1);
            for (node, products) in below[0].chunks_exact(lanes).enumerate() {
                self.pass.leave(level + 1, node, products, &mut self.places[level + 1]);
                match above.first_mut() {
                    None => self.total.add(products.as_flattened()),
                    Some(above) => add(self.parents[level + 1][node] as usize, products, above),
                }
            }
        }
        self.total.total()
    }
}

#[inline(always)]
fn add(parent: usize, products: &[[f64; LANES]], above: &mut [[f64; LANES]]) {
    let sums = &mut above[parent * products.len()..(parent + 1) * products.len()];
    sums.iter_mut().zip(products).for_each(|(sum, &part)| *sum = (Lanes(*sum) + Lanes(part)).0);
}
