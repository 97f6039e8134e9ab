//! Rows that cannot be taken from the data as they stand: gathered in the order of the finest factor, mapped to the internal basis, whitened.

use std::sync::atomic::{AtomicBool, Ordering};

use super::basis::Basis;
use crate::design::Design;
use crate::residual::{BlockRows, Residual};

/// Rows of long blocks are taken in pieces of this many, so that rounding grows with the number of pieces, not of rows.
pub const PIECE: usize = 256;

/// Reads rows, maps them to the internal basis and whitens them.
pub struct RowReader<'a> {
    design: &'a Design<'a>,
    basis: &'a Basis,
    residual: &'a dyn Residual,
    row_order: Option<&'a [u32]>,
    block: Vec<f64>,
    weights: Vec<f64>,
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
        RowReader { design, basis, residual, row_order, block: Vec::new(), weights: Vec::new(), stop }
    }

    /// Whether to end the pass.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Number of internal columns, y (the last one) included.
    pub fn width(&self) -> usize {
        self.basis.columns.len() + 1
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

    /// The whitened rows of neighbouring nodes of independent rows, at most [`PIECE`] in all: column after column.
    pub fn block(&mut self, positions: std::ops::Range<usize>) -> &[f64] {
        self.load(BlockRows { order: self.row_order, start: positions.start, len: positions.len() });
        &self.block[..self.width() * positions.len()]
    }

    /// log|Var(ε)/σ²| of some of the rows that [`RowReader::block`] has read from position `first` on.
    pub fn log_det(&self, first: usize, positions: std::ops::Range<usize>) -> f64 {
        let weights = self.design.weights.map(|_| &self.weights[positions.start - first..positions.end - first]);
        self.residual.log_det(BlockRows { order: self.row_order, start: positions.start, len: positions.len() }, weights)
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

fn gather(column: &[f64], order: Option<&[u32]>, start: usize, out: &mut [f64]) {
    match order {
        None => out.copy_from_slice(&column[start..start + out.len()]),
        Some(order) => out.iter_mut().zip(order).for_each(|(o, &row)| *o = column[row as usize]),
    }
}
