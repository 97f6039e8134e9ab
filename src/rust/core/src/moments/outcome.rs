//! A new outcome for moments that are there already: only the cross-products with y change, and they come out bit for bit as in a
//! pass over rows that hold the new outcome.

use std::sync::atomic::AtomicBool;

use super::basis::Basis;
use super::crossed::CrossedMoments;
use super::hierarchy::{counting_sort, Hierarchy};
use super::nested::NestedMoments;
use super::rows::{RowReader, PIECE};
use crate::design::Design;
use crate::error::Result;
use crate::linalg::sum::{BatchedSums, CompensatedSums};
use crate::residual::BlockRows;
use crate::statistics::{Moments, Statistics};
use crate::stop::go_on;

/// The whitened internal columns (without y) of a design, in the order in which its moments read the rows.
#[derive(Debug)]
pub struct WhitenedRows<'d> {
    design: &'d Design<'d>,
    order: Option<Vec<u32>>,
    /// First row of every level of the finest factor, and n.
    starts: Vec<u32>,
    /// Prior weights in that order.
    weights: Option<Vec<f64>>,
    width: usize,
    /// n × width, row-major: the loop over a row's columns is the one that runs side by side.
    values: Vec<f64>,
    /// log|Var(ε)/σ²| per level of the finest factor.
    log_det: Vec<f64>,
}

impl<'d> WhitenedRows<'d> {
    /// One pass over the rows.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(design: &'d Design<'d>, statistics: &Statistics, stop: &AtomicBool) -> Result<Self> {
        let basis = &statistics.basis;
        let (order, starts) = match &statistics.moments {
            Moments::Nested(m) => {
                let starts = &m.hierarchy.children[0];
                (m.hierarchy.row_order.rows(starts), starts.clone())
            }
            Moments::Crossed(m) => {
                let group = &design.groups[basis.blocks[m.block].group];
                let key: Vec<u32> = group.codes.iter().map(|&c| c as u32 - 1).collect();
                let (order, starts) = counting_sort(&key, m.nodes);
                (Some(order), starts)
            }
        };
        let width = basis.columns.len();
        let mut values = vec![0.0; design.n() * width];
        let mut log_det = Vec::with_capacity(starts.len() - 1);
        let mut reader = RowReader::new(design, basis, design.residual.as_ref(), order.as_deref(), stop);
        for node in starts.windows(2) {
            go_on(stop)?;
            log_det.push(reader.pieces(node[0] as usize..node[1] as usize, |at, block| {
                for (c, column) in block.chunks_exact(at.len).take(width).enumerate() {
                    column.iter().enumerate().for_each(|(k, &value)| values[(at.start + k) * width + c] = value);
                }
            }));
        }
        go_on(stop)?;
        let weights = design.weights.map(|w| match &order {
            None => w.to_vec(),
            Some(order) => order.iter().map(|&row| w[row as usize]).collect(),
        });
        Ok(WhitenedRows { design, order, starts, weights, width, values, log_det })
    }

    /// The row of the data at a position of the order.
    pub fn row(&self, position: usize) -> usize {
        self.order.as_ref().map_or(position, |order| order[position] as usize)
    }

    /// Number of internal columns, y not counted.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The whitened internal columns at a position of the order.
    pub fn at(&self, position: usize) -> &[f64] {
        &self.values[position * self.width..(position + 1) * self.width]
    }

    /// Rows of a level of the finest factor, as positions of the order.
    pub fn node(&self, node: usize) -> std::ops::Range<usize> {
        self.starts[node] as usize..self.starts[node + 1] as usize
    }

    /// log|Var(ε)/σ²| of the rows of a level of the finest factor.
    pub fn log_det(&self, node: usize) -> f64 {
        self.log_det[node]
    }

    /// An outcome (rows of the data, offset included) in the internal basis, whitened, in the order.
    pub fn outcome(&self, basis: &Basis, y: &[f64], out: &mut Vec<f64>) {
        out.clear();
        match &self.order {
            None => out.extend_from_slice(y),
            Some(order) => out.extend(order.iter().map(|&row| y[row as usize])),
        }
        if let Some(offset) = self.design.offset {
            out.iter_mut().enumerate().for_each(|(k, v)| *v -= offset[self.row(k)]);
        }
        let (location, scale) = basis.y;
        let inverse = 1.0 / scale;
        out.iter_mut().for_each(|v| *v = (*v - location) * inverse);
        let residual = self.design.residual.as_ref();
        if self.weights.is_none() && residual.name() == "identity" {
            return;
        }
        for node in self.starts.windows(2) {
            let range = node[0] as usize..node[1] as usize;
            let rows = BlockRows { order: self.order.as_deref(), start: range.start, len: range.len() };
            let weights = self.weights.as_ref().map(|weights| &weights[range.clone()]);
            residual.whiten(rows, &mut out[range.clone()], 1, weights);
        }
    }

    /// Independent draws by row of the data made residuals with the design's weights and structure, handed to `take` row by row.
    pub fn coloured(&self, draws: &[f64], mut take: impl FnMut(usize, f64)) {
        let mut values: Vec<f64> = (0..draws.len()).map(|position| draws[self.row(position)]).collect();
        for node in self.starts.windows(2) {
            let range = node[0] as usize..node[1] as usize;
            let rows = BlockRows { order: self.order.as_deref(), start: range.start, len: range.len() };
            let weights = self.weights.as_ref().map(|weights| &weights[range.clone()]);
            self.design.residual.colour(rows, &mut values[range], 1, weights);
        }
        values.iter().enumerate().for_each(|(position, &value)| take(self.row(position), value));
    }

    /// Puts the outcome `y` in the place of the one that `statistics` was made with; `scratch` is overwritten.
    ///
    /// # Errors
    /// None at present; kept for residual structures that depend on the outcome's units.
    pub fn replace(&self, y: &[f64], statistics: &mut Statistics, scratch: &mut Vec<f64>) -> Result<()> {
        statistics.basis.set_outcome(y, self.design.offset);
        self.outcome(&statistics.basis, y, scratch);
        match &mut statistics.moments {
            Moments::Nested(moments) => self.nested(&statistics.basis, scratch, moments),
            Moments::Crossed(moments) => self.crossed(&statistics.basis, scratch, moments),
        }
        Ok(())
    }

    fn nested(&self, basis: &Basis, y: &[f64], moments: &mut NestedMoments) {
        let NestedMoments { hierarchy, levels, total, chunks, .. } = moments;
        let top = levels.len() - 1;
        let mut walk = Walk {
            rows: self,
            basis,
            hierarchy,
            y,
            sums: vec![vec![0.0; self.width + 1]; levels.len()],
            piece: vec![0.0; self.width + 1],
            targets: levels.iter_mut().map(|level| (level.q, level.f, level.r.as_mut_slice())).collect(),
        };
        let mut products = CompensatedSums::new(self.width + 1);
        for chunk in chunks.iter() {
            let mut partial = BatchedSums::new(self.width + 1);
            for node in chunk[top].clone() {
                walk.visit(top, node);
                partial.add(&walk.sums[top]);
            }
            products.add(&partial.total());
        }
        place_outcome(basis, &products.total(), total);
    }

    fn crossed(&self, basis: &Basis, y: &[f64], m: &mut CrossedMoments) {
        let (q, tail) = (m.q, m.tail);
        let own = &basis.blocks[m.block].columns;
        (0..m.size).for_each(|i| m.core_tail[i * tail + tail - 1] = 0.0);
        let mut products = CompensatedSums::new(self.width + 1);
        let mut sums = vec![0.0; self.width + 1];
        for node in 0..m.nodes {
            sums.fill(0.0);
            for position in self.node(node) {
                let (values, y, row) = (self.at(position), y[position], self.row(position));
                values.iter().zip(&mut sums).for_each(|(v, sum)| *sum += v * y);
                sums[self.width] += y * y;
                for block in &m.core {
                    let basis_block = &basis.blocks[block.block];
                    let first = block.first + (self.design.groups[basis_block.group].codes[row] as usize - 1) * block.q;
                    for (c, &column) in basis_block.columns.iter().enumerate() {
                        m.core_tail[(first + c) * tail + tail - 1] += values[column] * y;
                    }
                }
            }
            let width = m.start[node + 1] - m.start[node] + tail;
            let first = q * (m.start[node] + node * tail);
            own.iter().enumerate().for_each(|(i, &column)| m.r[first + (i + 1) * width - 1] = sums[column]);
            products.add(&sums);
        }
        place_outcome(basis, &products.total(), &mut m.total);
    }
}

/// Puts X'y and y'y into [X y]'[X y]; `products` holds the cross-products of y with every internal column, itself last.
fn place_outcome(basis: &Basis, products: &[f64], total: &mut [f64]) {
    let p = basis.x.len();
    for (i, &column) in basis.x.iter().enumerate() {
        total[i * (p + 1) + p] = products[column];
        total[p * (p + 1) + i] = products[column];
    }
    total[(p + 1) * (p + 1) - 1] = products[products.len() - 1];
}

/// The walk over the hierarchy: children before their parents, as in the pass that makes the moments.
struct Walk<'w> {
    rows: &'w WhitenedRows<'w>,
    basis: &'w Basis,
    hierarchy: &'w Hierarchy,
    y: &'w [f64],
    /// Per level: products of y with every internal column over the rows of the node visited last.
    sums: Vec<Vec<f64>>,
    piece: Vec<f64>,
    /// q, f and R of every level.
    targets: Vec<(usize, usize, &'w mut [f64])>,
}

impl Walk<'_> {
    fn visit(&mut self, level: usize, node: usize) {
        self.sums[level].fill(0.0);
        if level == 0 {
            self.leaf(node);
        } else {
            let children = &self.hierarchy.children[level];
            for child in children[node] as usize..children[node + 1] as usize {
                self.visit(level - 1, child);
                let (below, above) = self.sums.split_at_mut(level);
                above[0].iter_mut().zip(&below[level - 1]).for_each(|(sum, part)| *sum += part);
            }
        }
        let (q, f, r) = &mut self.targets[level];
        let columns = &self.basis.blocks[self.hierarchy.blocks[level]].columns;
        columns.iter().enumerate().for_each(|(i, &column)| r[(node * *q + i + 1) * *f - 1] = self.sums[level][column]);
    }

    fn leaf(&mut self, node: usize) {
        let (width, positions) = (self.rows.width, self.rows.node(node));
        let mut start = positions.start;
        while start < positions.end {
            let end = (start + PIECE).min(positions.end);
            self.piece.fill(0.0);
            for (values, &y) in self.rows.values[start * width..end * width].chunks_exact(width).zip(&self.y[start..end]) {
                self.piece.iter_mut().zip(values).for_each(|(sum, v)| *sum += v * y);
                self.piece[width] += y * y;
            }
            self.sums[0].iter_mut().zip(&self.piece).for_each(|(sum, part)| *sum += part);
            start = end;
        }
    }
}
