//! Moments of factors that do not form one nested chain: the factor with most levels is eliminated node by node, the others
//! stay together in one *core* of K columns (one block of q columns per level).

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::basis::Basis;
use super::hierarchy::counting_sort;
use super::nested::mapped_row;
use super::rows::RowReader;
use crate::design::Design;
use crate::error::Result;
use crate::linalg::small;
use crate::linalg::sum::CompensatedSums;
use crate::residual::Residual;
use crate::stop::go_on;

/// Where a factor's columns stand in the core: level g has columns `first + g q .. first + (g + 1) q`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoreBlock {
    /// Block of the basis.
    pub block: usize,
    /// First column.
    pub first: usize,
    /// Columns per level.
    pub q: usize,
    /// Number of levels.
    pub levels: usize,
}

/// Cross-products for crossed factors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrossedMoments {
    /// Basis block of the eliminated factor.
    pub block: usize,
    /// Its columns per level.
    pub q: usize,
    /// Number of its levels.
    pub nodes: usize,
    /// p + 1: columns of [X y].
    pub tail: usize,
    /// Z'Z per node, q × q.
    pub a: Vec<f64>,
    /// Core columns that a node meets: `columns[start[i]..start[i + 1]]`, ascending.
    pub start: Vec<usize>,
    /// See `start`.
    pub columns: Vec<u32>,
    /// Z'[met core columns, X, y] per node, q × (met + tail) row-major, node after node.
    pub r: Vec<f64>,
    /// The other factors.
    pub core: Vec<CoreBlock>,
    /// Columns of the core.
    pub size: usize,
    /// Cross-products among core columns: (row, column, value), row ≥ column, sorted by column then row.
    pub core_products: Vec<(u32, u32, f64)>,
    /// Core'[X y], size × tail.
    pub core_tail: Vec<f64>,
    /// [X y]'[X y].
    pub total: Vec<f64>,
    /// log|Var(ε)/σ²|.
    pub log_det_residual: f64,
}

impl CrossedMoments {
    /// One pass over the rows; `order` lists the basis blocks by falling number of levels, the first is eliminated.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(design: &Design, basis: &Basis, residual: &dyn Residual, order: &[usize], stop: &AtomicBool) -> Result<Self> {
        let first = &basis.blocks[order[0]];
        let codes = design.groups[first.group].codes;
        let nodes = design.groups[first.group].n_levels;
        let key: Vec<u32> = codes.iter().map(|&c| c as u32 - 1).collect();
        let (rows, starts) = counting_sort(&key, nodes);
        let core = core_blocks(design, basis, &order[1..]);
        let size = core.last().map_or(0, |b| b.first + b.q * b.levels);
        let tail: Vec<usize> = basis.x.iter().copied().chain([basis.columns.len()]).collect();
        let mut m = CrossedMoments {
            block: order[0],
            q: first.columns.len(),
            nodes,
            tail: tail.len(),
            a: Vec::new(),
            start: vec![0],
            columns: Vec::new(),
            r: Vec::new(),
            core,
            size,
            core_products: Vec::new(),
            core_tail: vec![0.0; size * tail.len()],
            total: Vec::new(),
            log_det_residual: 0.0,
        };
        let mut products: HashMap<(u32, u32), f64> = HashMap::new();
        let mut total = CompensatedSums::new(tail.len() * tail.len());
        let mut log_det = CompensatedSums::new(1);
        let mut reader = RowReader::new(design, basis, residual, Some(&rows), stop);
        let mut place = vec![u32::MAX; size];
        for node in 0..nodes {
            go_on(stop)?;
            let range = starts[node] as usize..starts[node + 1] as usize;
            m.meet(design, basis, &rows[range.clone()], &mut place);
            log_det.add(&[m.add_rows(design, basis, &mut reader, range, &tail, &place, &mut products, &mut total)]);
        }
        go_on(stop)?;
        m.core_products = products.into_iter().map(|((i, j), v)| (i, j, v)).collect();
        m.core_products.sort_unstable_by_key(|&(i, j, _)| (j, i));
        m.total = total.total();
        m.log_det_residual = log_det.total()[0];
        Ok(m)
    }

    /// Lists the core columns that a node's rows meet; `place` gets their position.
    fn meet(&mut self, design: &Design, basis: &Basis, rows: &[u32], place: &mut [u32]) {
        let begin = self.columns.len();
        let before = self.start[self.start.len().saturating_sub(2)];
        self.columns[before..].iter().for_each(|&column| place[column as usize] = u32::MAX);
        for block in &self.core {
            let codes = design.groups[basis.blocks[block.block].group].codes;
            let from = self.columns.len();
            for &row in rows {
                let column = block.first + (codes[row as usize] as usize - 1) * block.q;
                if place[column] == u32::MAX {
                    place[column] = u32::MAX - 1;
                    self.columns.extend((column..column + block.q).map(|c| c as u32));
                }
            }
            self.columns[from..].sort_unstable();
        }
        for (k, &column) in self.columns[begin..].iter().enumerate() {
            place[column as usize] = k as u32;
        }
        self.start.push(self.columns.len());
    }

    #[allow(clippy::too_many_arguments)] // the state of one pass
    fn add_rows(
        &mut self,
        design: &Design,
        basis: &Basis,
        reader: &mut RowReader,
        range: std::ops::Range<usize>,
        tail: &[usize],
        place: &[u32],
        products: &mut HashMap<(u32, u32), f64>,
        total: &mut CompensatedSums,
    ) -> f64 {
        let node = self.start.len() - 2;
        let met = self.start[node + 1] - self.start[node];
        let (q, width) = (self.q, met + tail.len());
        let own = &basis.blocks[self.block].columns;
        let (a_at, r_at) = (self.a.len(), self.r.len());
        self.a.resize(a_at + q * q, 0.0);
        self.r.resize(r_at + q * width, 0.0);
        let mut gram = vec![0.0; tail.len() * tail.len()];
        let (core, a, r, core_tail) = (&self.core, &mut self.a[a_at..], &mut self.r[r_at..], &mut self.core_tail);
        // a row's non-zero core columns and their values
        let mut cells: Vec<(usize, f64)> = Vec::new();
        let log_det = reader.pieces(range, |at, values| {
            let rows = at.len;
            let value = |column: usize, row: usize| values[column * rows + row];
            for k in 0..rows {
                let row = at.row(k);
                cells.clear();
                for block in core {
                    let basis_block = &basis.blocks[block.block];
                    let first = block.first + (design.groups[basis_block.group].codes[row] as usize - 1) * block.q;
                    cells.extend(basis_block.columns.iter().enumerate().map(|(c, &column)| (first + c, value(column, k))));
                }
                for (i, &own_i) in own.iter().enumerate() {
                    let z = value(own_i, k);
                    for (j, &own_j) in own.iter().enumerate() {
                        a[i * q + j] += z * value(own_j, k);
                    }
                    let line = &mut r[i * width..(i + 1) * width];
                    cells.iter().for_each(|&(column, v)| line[place[column] as usize] += z * v);
                    tail.iter().enumerate().for_each(|(t, &column)| line[met + t] += z * value(column, k));
                }
                for &(i, vi) in &cells {
                    for &(j, vj) in cells.iter().filter(|&&(j, _)| j <= i) {
                        *products.entry((i as u32, j as u32)).or_insert(0.0) += vi * vj;
                    }
                    tail.iter().enumerate().for_each(|(t, &column)| core_tail[i * tail.len() + t] += vi * value(column, k));
                }
                for (i, &ci) in tail.iter().enumerate() {
                    for (j, &cj) in tail.iter().enumerate() {
                        gram[i * tail.len() + j] += value(ci, k) * value(cj, k);
                    }
                }
            }
        });
        total.add(&gram);
        log_det
    }
}

impl CrossedMoments {
    /// Replaces [X y] by [X y] M, M of (p + 1) × width.
    pub fn map_tail(&mut self, map: &[f64], width: usize) {
        let tail = self.tail;
        let mut r = Vec::with_capacity(self.r.len());
        let mut first = 0;
        for node in 0..self.nodes {
            let met = self.start[node + 1] - self.start[node];
            for line in 0..self.q {
                let at = first + line * (met + tail);
                r.extend(mapped_row(&self.r[at..at + met + tail], met, map, width));
            }
            first += self.q * (met + tail);
        }
        self.r = r;
        self.core_tail = self.core_tail.chunks_exact(tail).flat_map(|row| mapped_row(row, 0, map, width)).collect();
        self.total = small::sandwich(tail, width, map, &self.total);
        self.tail = width;
    }
}

fn core_blocks(design: &Design, basis: &Basis, order: &[usize]) -> Vec<CoreBlock> {
    let mut first = 0;
    order
        .iter()
        .map(|&block| {
            let (q, levels) = (basis.blocks[block].columns.len(), design.groups[basis.blocks[block].group].n_levels);
            let core = CoreBlock { block, first, q, levels };
            first += q * levels;
            core
        })
        .collect()
}
