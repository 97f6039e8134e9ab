//! The one pass over the rows: cross-products of the distinct internal columns within each level of the finest factor.

use super::basis::Basis;
use crate::design::Design;
use crate::linalg::small;
use crate::residual::Residual;

/// Rows of long blocks are taken in pieces of this many, so that rounding grows with the number of pieces, not of rows.
const PIECE: usize = 256;

/// Reads rows, maps them to the internal basis, whitens them and multiplies them out.
pub struct RowReader<'a> {
    design: &'a Design<'a>,
    basis: &'a Basis,
    residual: &'a dyn Residual,
    row_order: Option<&'a [u32]>,
    block: Vec<f64>,
    weights: Vec<f64>,
}

impl<'a> RowReader<'a> {
    /// A reader with buffers of its own (one per thread).
    pub fn new(design: &'a Design<'a>, basis: &'a Basis, residual: &'a dyn Residual, row_order: Option<&'a [u32]>) -> Self {
        RowReader { design, basis, residual, row_order, block: Vec::new(), weights: Vec::new() }
    }

    /// Number of internal columns, y (the last one) included.
    pub fn width(&self) -> usize {
        self.basis.columns.len() + 1
    }

    /// G += B'B (width × width, row-major, both triangles) over the rows at `positions` of the order; returns log|Var(ε)/σ²| of them.
    pub fn cross_products(&mut self, positions: std::ops::Range<usize>, gram: &mut [f64]) -> f64 {
        let width = self.width();
        let log_det = self.pieces(positions, |_, block, rows| {
            for i in 0..width {
                for j in i..width {
                    gram[i * width + j] += small::dot(&block[i * rows..(i + 1) * rows], &block[j * rows..(j + 1) * rows]);
                }
            }
        });
        small::mirror(width, gram);
        log_det
    }

    /// Hands the whitened rows at `positions` to `task` in pieces: (row numbers of the data, block with one column of `rows` values after
    /// another); returns log|Var(ε)/σ²| of them.
    pub fn pieces(
        &mut self,
        positions: std::ops::Range<usize>,
        mut task: impl FnMut(&mut dyn FnMut(usize) -> usize, &[f64], usize),
    ) -> f64 {
        let mut log_det = 0.0;
        let mut start = positions.start;
        while start < positions.end {
            let end = (start + PIECE).min(positions.end);
            let rows = end - start;
            self.load(start..end);
            let order = self.row_order;
            task(&mut |k| order.map_or(start + k, |o| o[start + k] as usize), &self.block[..self.width() * rows], rows);
            let weights = self.design.weights.map(|_| self.weights.as_slice());
            log_det += self.residual.log_det(rows, weights);
            start = end;
        }
        log_det
    }

    fn load(&mut self, positions: std::ops::Range<usize>) {
        let rows = positions.len();
        self.block.resize(self.width() * rows, 0.0);
        let order = self.row_order.map(|o| &o[positions.clone()]);
        let columns = self.block.chunks_exact_mut(rows);
        for (out, column) in columns.zip(&self.basis.columns) {
            if column.pool == 0 {
                out.fill(1.0);
            } else {
                gather(self.design.columns[column.pool - 1], order, positions.start, out);
                let inverse = 1.0 / column.scale;
                out.iter_mut().for_each(|v| *v = (*v - column.location) * inverse);
            }
        }
        let last = &mut self.block[(self.basis.columns.len()) * rows..];
        gather(self.design.y, order, positions.start, last);
        if let Some(offset) = self.design.offset {
            let at = |k: usize| order.map_or(positions.start + k, |o| o[k] as usize);
            last.iter_mut().enumerate().for_each(|(k, v)| *v -= offset[at(k)]);
        }
        let (location, scale) = self.basis.y;
        let inverse = 1.0 / scale;
        last.iter_mut().for_each(|v| *v = (*v - location) * inverse);
        let width = self.basis.columns.len() + 1;
        if let Some(weights) = self.design.weights {
            self.weights.resize(rows, 0.0);
            gather(weights, order, positions.start, &mut self.weights);
            self.residual.whiten(&mut self.block, rows, width, Some(&self.weights));
        } else {
            self.residual.whiten(&mut self.block, rows, width, None);
        }
    }
}

fn gather(column: &[f64], order: Option<&[u32]>, start: usize, out: &mut [f64]) {
    match order {
        None => out.copy_from_slice(&column[start..start + out.len()]),
        Some(order) => out.iter_mut().zip(order).for_each(|(o, &row)| *o = column[row as usize]),
    }
}
