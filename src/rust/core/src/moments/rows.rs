//! The one pass over the rows: cross-products of the distinct internal columns within each level of the finest factor.

use std::sync::atomic::{AtomicBool, Ordering};

use super::basis::Basis;
use crate::design::Design;
use crate::linalg::small;
use crate::residual::{BlockRows, Residual};

/// Rows of long blocks are taken in pieces of this many, so that rounding grows with the number of pieces, not of rows.
pub const PIECE: usize = 256;

/// Reads rows, maps them to the internal basis, whitens them and multiplies them out.
pub struct RowReader<'a> {
    design: &'a Design<'a>,
    basis: &'a Basis,
    residual: &'a dyn Residual,
    row_order: Option<&'a [u32]>,
    block: Vec<f64>,
    weights: Vec<f64>,
    /// Positions that `block` holds for [`RowReader::cross_products`], and where reading ahead ends.
    loaded: std::ops::Range<usize>,
    limit: usize,
    stop: &'a AtomicBool,
}

impl<'a> RowReader<'a> {
    /// A reader with buffers of its own (one per thread). Once `stop` is true it reads nothing any more, and what it was asked for is wrong.
    pub fn new(
        design: &'a Design<'a>,
        basis: &'a Basis,
        residual: &'a dyn Residual,
        row_order: Option<&'a [u32]>,
        stop: &'a AtomicBool,
    ) -> Self {
        RowReader { design, basis, residual, row_order, block: Vec::new(), weights: Vec::new(), loaded: 0..0, limit: 0, stop }
    }

    /// Whether to end the pass.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Lets [`RowReader::cross_products`] read the rows of several nodes at once, up to position `limit`.
    pub fn read_ahead_to(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Number of internal columns, y (the last one) included.
    pub fn width(&self) -> usize {
        self.basis.columns.len() + 1
    }

    /// G += B'B (width × width, row-major, both triangles) over the rows at `positions` of the order; returns log|Var(ε)/σ²| of them.
    pub fn cross_products(&mut self, positions: std::ops::Range<usize>, gram: &mut [f64]) -> f64 {
        let width = self.width();
        if self.residual.is_by_row() && positions.len() <= PIECE && positions.end <= self.limit {
            return self.cross_products_within(positions, gram);
        }
        self.loaded = 0..0;
        self.pieces(positions, |at, block| add_gram(width, block, at.len, 0..at.len, gram))
    }

    /// The same for a short node of independent rows, from a piece that holds the rows of several.
    fn cross_products_within(&mut self, positions: std::ops::Range<usize>, gram: &mut [f64]) -> f64 {
        if positions.start < self.loaded.start || positions.end > self.loaded.end {
            let len = PIECE.min(self.limit - positions.start);
            self.load(BlockRows { order: self.row_order, start: positions.start, len });
            self.loaded = positions.start..positions.start + len;
        }
        let (width, length) = (self.width(), self.loaded.len());
        let (first, rows) = (positions.start - self.loaded.start, positions.len());
        add_gram(width, &self.block, length, first..first + rows, gram);
        let weights = self.design.weights.map(|_| &self.weights[first..first + rows]);
        self.residual.log_det(BlockRows { order: self.row_order, start: positions.start, len: rows }, weights)
    }

    /// Hands the whitened rows at `positions` to `task` in pieces: (rows, block with one column of `rows.len` values after another);
    /// returns log|Var(ε)/σ²| of them. A residual structure with correlations gets its block whole.
    pub fn pieces(&mut self, positions: std::ops::Range<usize>, mut task: impl FnMut(BlockRows, &[f64])) -> f64 {
        let mut log_det = 0.0;
        let mut start = positions.start;
        let longest = if self.residual.is_by_row() { PIECE } else { positions.len() };
        while start < positions.end && !self.stopped() {
            let rows = BlockRows { order: self.row_order, start, len: longest.min(positions.end - start) };
            self.load(rows);
            task(rows, &self.block[..self.width() * rows.len]);
            let weights = self.design.weights.map(|_| self.weights.as_slice());
            log_det += self.residual.log_det(rows, weights);
            start += rows.len;
        }
        log_det
    }

    fn load(&mut self, at: BlockRows) {
        let (start, rows) = (at.start, at.len);
        self.block.resize(self.width() * rows, 0.0);
        let order = self.row_order.map(|o| &o[start..start + rows]);
        let columns = self.block.chunks_exact_mut(rows);
        for (out, column) in columns.zip(&self.basis.columns) {
            if column.pool == 0 {
                out.fill(1.0);
            } else {
                gather(self.design.columns[column.pool - 1], order, start, out);
                let inverse = 1.0 / column.scale;
                out.iter_mut().for_each(|v| *v = (*v - column.location) * inverse);
            }
        }
        let last = &mut self.block[(self.basis.columns.len()) * rows..];
        gather(self.design.y, order, start, last);
        if let Some(offset) = self.design.offset {
            last.iter_mut().enumerate().for_each(|(k, v)| *v -= offset[at.row(k)]);
        }
        let (location, scale) = self.basis.y;
        let inverse = 1.0 / scale;
        last.iter_mut().for_each(|v| *v = (*v - location) * inverse);
        let width = self.basis.columns.len() + 1;
        if let Some(weights) = self.design.weights {
            self.weights.resize(rows, 0.0);
            gather(weights, order, start, &mut self.weights);
            self.residual.whiten(at, &mut self.block, width, Some(&self.weights));
        } else {
            self.residual.whiten(at, &mut self.block, width, None);
        }
    }
}

/// G += B'B over some of a block's rows, summed row by row (as the products with a new outcome are, `outcome.rs`). The number of columns is a
/// constant where it is a usual one: the sums then stay in registers.
fn add_gram(width: usize, block: &[f64], length: usize, rows: std::ops::Range<usize>, gram: &mut [f64]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || match width {
            3 => add_gram_of::<3>(block, length, rows, gram),
            4 => add_gram_of::<4>(block, length, rows, gram),
            5 => add_gram_of::<5>(block, length, rows, gram),
            6 => add_gram_of::<6>(block, length, rows, gram),
            7 => add_gram_of::<7>(block, length, rows, gram),
            8 => add_gram_of::<8>(block, length, rows, gram),
            _ => add_gram_of_any(width, block, length, rows, gram),
        },
    );
}

#[inline(always)]
fn add_gram_of<const W: usize>(block: &[f64], length: usize, rows: std::ops::Range<usize>, gram: &mut [f64]) {
    let columns: [&[f64]; W] = std::array::from_fn(|i| &block[i * length + rows.start..i * length + rows.end]);
    let mut sums = [[0.0; W]; W];
    (0..rows.len()).for_each(|row| {
        let values: [f64; W] = std::array::from_fn(|i| columns[i][row]);
        for (sums, x) in sums.iter_mut().zip(values) {
            sums.iter_mut().zip(values).for_each(|(sum, y)| *sum += x * y);
        }
    });
    gram.iter_mut().zip(sums.as_flattened()).for_each(|(g, s)| *g += s);
}

fn add_gram_of_any(width: usize, block: &[f64], length: usize, rows: std::ops::Range<usize>, gram: &mut [f64]) {
    let column = |i: usize| &block[i * length + rows.start..i * length + rows.end];
    for i in 0..width {
        for j in i..width {
            gram[i * width + j] += small::dot(column(i), column(j));
        }
    }
    small::mirror(width, gram);
}

fn gather(column: &[f64], order: Option<&[u32]>, start: usize, out: &mut [f64]) {
    match order {
        None => out.copy_from_slice(&column[start..start + out.len()]),
        Some(order) => out.iter_mut().zip(order).for_each(|(o, &row)| *o = column[row as usize]),
    }
}
