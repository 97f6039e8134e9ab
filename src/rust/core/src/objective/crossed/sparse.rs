//! A sparse core: fill-reducing order (AMD) and pattern of the Cholesky factor by faer, and the entries of M⁻¹ on the factor's pattern
//! (Takahashi, Fagan & Chin 1973; Erisman & Tinney 1975), which are all that the gradient needs.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::sparse::linalg::cholesky::{
    factorize_symbolic_cholesky, CholeskySymbolicParams, LltRef, SymbolicCholesky, SymbolicCholeskyRaw, SymmetricOrdering,
};
use faer::sparse::linalg::SupernodalThreshold;
use faer::sparse::SymbolicSparseColMatRef;
use faer::{Conj, Mat, MatRef, Par, Side};

use super::lambda::CoreLambda;
use crate::error::{CoreError, Result};
use crate::linalg::{small, sparse_cholesky};
use crate::moments::crossed::{CoreBlock, CrossedMoments};
use crate::stop::go_on;

fn failed(what: &str) -> CoreError {
    CoreError::Numerical { what: format!("the sparse factorisation of the crossed factors failed ({what})") }
}

/// Cores up to this size mark their entries in a table of bits (8 MB).
const BITS_UP_TO: usize = 8192;

/// The lower triangle's pattern of A and its analysis, shared by every evaluation.
#[derive(Debug)]
pub struct Pattern {
    /// Column starts.
    pub start: Vec<usize>,
    /// Rows, ascending within a column.
    pub row: Vec<usize>,
    symbolic: SymbolicCholesky<usize>,
    /// New position of every column.
    position: Vec<usize>,
}

impl Pattern {
    /// Analyses what the raw products and the eliminated nodes touch.
    ///
    /// # Errors
    /// [`CoreError::Numerical`] when the analysis fails (out of memory), [`CoreError::Interrupted`] once `stop` is true.
    pub fn new(moments: &CrossedMoments, stop: &AtomicBool) -> Result<Self> {
        let (start, row) = touched(moments, stop)?;
        let size = moments.size;
        let symbolic = {
            let a = SymbolicSparseColMatRef::new_checked(size, size, &start, None, &row);
            let params = CholeskySymbolicParams {
                supernodal_flop_ratio_threshold: SupernodalThreshold::FORCE_SIMPLICIAL,
                ..Default::default()
            };
            factorize_symbolic_cholesky(a, Side::Lower, SymmetricOrdering::Amd, params).map_err(|_| failed("analysis"))?
        };
        let mut position: Vec<usize> = (0..size).collect();
        if let Some(permutation) = symbolic.perm() {
            for (new, &old) in permutation.arrays().0.iter().enumerate() {
                position[old] = new;
            }
        }
        Ok(Pattern { start, row, symbolic, position })
    }

    /// Column starts and rows of L in the new order.
    fn factor(&self) -> Result<(&[usize], &[usize])> {
        match self.symbolic.raw() {
            SymbolicCholeskyRaw::Simplicial(s) => Ok((s.col_ptr(), s.row_idx())),
            SymbolicCholeskyRaw::Supernodal(_) => Err(failed("not simplicial")),
        }
    }

    /// Multiplications of a numeric factorisation.
    ///
    /// # Errors
    /// None in practice.
    pub fn flops(&self) -> Result<f64> {
        Ok(self.factor()?.0.windows(2).map(|w| ((w[1] - w[0]) as f64).powi(2)).sum())
    }

    /// Index of entry (i, j), i ≥ j, of A.
    pub fn index(&self, i: usize, j: usize) -> Option<usize> {
        let rows = &self.row[self.start[j]..self.start[j + 1]];
        rows.binary_search(&i).ok().map(|k| self.start[j] + k)
    }
}

/// Column starts and rows of the entries of A's lower triangle that are not zero: one bit per entry while that is little memory.
fn touched(moments: &CrossedMoments, stop: &AtomicBool) -> Result<(Vec<usize>, Vec<usize>)> {
    if moments.size > BITS_UP_TO {
        return touched_by_lists(moments, stop);
    }
    let words = moments.size.div_ceil(64);
    let mut bits = vec![0u64; words * moments.size];
    let mut set = |i: u32, j: u32| bits[j as usize * words + i as usize / 64] |= 1 << (i % 64);
    moments.core_products.iter().for_each(|&(i, j, _)| set(i, j));
    for node in 0..moments.nodes {
        go_on(stop)?;
        let met = &moments.columns[moments.start[node]..moments.start[node + 1]];
        for (k, &j) in met.iter().enumerate() {
            met[k..].iter().for_each(|&i| set(i, j));
        }
    }
    let (mut start, mut row) = (vec![0], Vec::new());
    for column in bits.chunks_exact(words) {
        for (w, &word) in column.iter().enumerate() {
            let mut left = word;
            while left != 0 {
                row.push(w * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
        start.push(row.len());
    }
    Ok((start, row))
}

/// The same for cores of any size.
fn touched_by_lists(moments: &CrossedMoments, stop: &AtomicBool) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut by_column: Vec<Vec<u32>> = vec![Vec::new(); moments.size];
    for &(i, j, _) in &moments.core_products {
        by_column[j as usize].push(i);
    }
    let mut clean: Vec<usize> = by_column.iter().map(|c| 2 * c.len() + 64).collect();
    for node in 0..moments.nodes {
        go_on(stop)?;
        let met = &moments.columns[moments.start[node]..moments.start[node + 1]];
        for (k, &j) in met.iter().enumerate() {
            let column = &mut by_column[j as usize];
            column.extend_from_slice(&met[k..]);
            if column.len() > clean[j as usize] {
                column.sort_unstable();
                column.dedup();
                clean[j as usize] = 2 * column.len() + 64;
            }
        }
    }
    let (mut start, mut row) = (vec![0], Vec::new());
    for mut rows in by_column {
        rows.sort_unstable();
        rows.dedup();
        row.extend(rows.into_iter().map(|i| i as usize));
        start.push(row.len());
    }
    Ok((start, row))
}

/// A, the factor of M and the selected inverse.
pub struct SparseCore {
    pattern: Arc<Pattern>,
    a: Vec<f64>,
    l: Vec<f64>,
    /// Entries of M⁻¹ on L's pattern; empty after a value-only evaluation.
    inverse: Vec<f64>,
    lambda: CoreLambda,
}

impl SparseCore {
    /// Factorises; returns log|M| too. `a` are the values of A on the pattern.
    ///
    /// # Errors
    /// [`CoreError::Numerical`] when M is not positive definite, [`CoreError::Interrupted`] once `stop` is true.
    pub fn new(pattern: Arc<Pattern>, a: Vec<f64>, lambda: CoreLambda, inverse: bool, stop: &AtomicBool) -> Result<(Self, f64)> {
        let size = pattern.position.len();
        let mut m = vec![0.0; a.len()];
        let entry = |i: usize, j: usize| pattern.index(i.max(j), i.min(j)).map_or(0.0, |k| a[k]);
        for j in 0..size {
            go_on(stop)?;
            for (k, value) in m.iter_mut().enumerate().take(pattern.start[j + 1]).skip(pattern.start[j]) {
                let i = pattern.row[k];
                *value = lambda.congruence(i, j, entry) + if i == j { 1.0 } else { 0.0 };
            }
        }
        let (start, row) = pattern.factor()?;
        let entries = |take: &mut dyn FnMut(usize, usize, f64)| {
            for j in 0..size {
                let column = pattern.position[j];
                let span = pattern.start[j]..pattern.start[j + 1];
                for (&i, &value) in pattern.row[span.clone()].iter().zip(&m[span]) {
                    let line = pattern.position[i];
                    take(line.max(column), line.min(column), value);
                }
            }
        };
        let l = sparse_cholesky::factorise(start, row, entries, stop)?;
        let log_det = 2.0 * (0..size).map(|j| l[start[j]].ln()).sum::<f64>();
        let mut core = SparseCore { pattern: pattern.clone(), a, l, inverse: Vec::new(), lambda };
        if inverse {
            core.inverse = core.selected_inverse(stop)?;
        }
        Ok((core, log_det))
    }

    /// Takahashi's recursion, last column first.
    fn selected_inverse(&self, stop: &AtomicBool) -> Result<Vec<f64>> {
        let (start, row) = self.pattern.factor()?;
        let size = start.len() - 1;
        let mut z = vec![0.0; self.l.len()];
        let mut mark = vec![usize::MAX; size];
        let mut sums: Vec<f64> = Vec::new();
        for j in (0..size).rev() {
            go_on(stop)?;
            let (first, end) = (start[j], start[j + 1]);
            let below = &row[first + 1..end];
            below.iter().enumerate().for_each(|(b, &i)| mark[i] = b);
            sums.clear();
            sums.resize(below.len(), 0.0);
            for (c, &column) in below.iter().enumerate() {
                let l_c = self.l[first + 1 + c];
                for k in start[column]..start[column + 1] {
                    let b = mark[row[k]];
                    if b != usize::MAX {
                        sums[b] += z[k] * l_c;
                        if row[k] != column {
                            sums[c] += z[k] * self.l[first + 1 + b];
                        }
                    }
                }
            }
            let pivot = self.l[first];
            let mut diagonal = 1.0 / pivot;
            for (b, sum) in sums.iter().enumerate() {
                z[first + 1 + b] = -sum / pivot;
                diagonal -= z[first + 1 + b] * self.l[first + 1 + b];
            }
            z[first] = diagonal / pivot;
            below.iter().for_each(|&i| mark[i] = usize::MAX);
        }
        Ok(z)
    }

    /// (M⁻¹)_{ij} where the pattern has it.
    fn inverse_entry(&self, i: usize, j: usize) -> f64 {
        let (a, b) = (self.pattern.position[i], self.pattern.position[j]);
        let (low, high) = (a.min(b), a.max(b));
        let Ok((start, row)) = self.pattern.factor() else { return f64::NAN };
        match row[start[low]..start[low + 1]].binary_search(&high) {
            Ok(k) => self.inverse[start[low] + k],
            Err(_) => 0.0,
        }
    }

    /// A X.
    pub fn times_a(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut out = Mat::zeros(x.nrows(), x.ncols());
        for c in 0..x.ncols() {
            for j in 0..x.nrows() {
                for k in self.pattern.start[j]..self.pattern.start[j + 1] {
                    let i = self.pattern.row[k];
                    out[(i, c)] += self.a[k] * x[(j, c)];
                    if i != j {
                        out[(j, c)] += self.a[k] * x[(i, c)];
                    }
                }
            }
        }
        out
    }

    /// T X.
    pub fn times_t(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        let mut v = x.to_owned();
        self.lambda.apply(true, &mut v);
        let scratch = self.pattern.symbolic.solve_in_place_scratch::<f64>(v.ncols(), Par::Seq);
        let mut memory = MemBuffer::new(scratch);
        LltRef::new(&self.pattern.symbolic, &self.l).solve_in_place_with_conj(
            Conj::No,
            v.as_mut(),
            Par::Seq,
            MemStack::new(&mut memory),
        );
        self.lambda.apply(false, &mut v);
        v
    }

    /// The part of T over `met`, row-major.
    pub fn t_part(&self, met: &[u32], out: &mut Vec<f64>) {
        let k = met.len();
        out.resize(k * k, 0.0);
        for (r, &i) in met.iter().enumerate() {
            for (c, &j) in met.iter().enumerate().take(r + 1) {
                let value = self.t_entry(i as usize, j as usize);
                out[r * k + c] = value;
                out[c * k + r] = value;
            }
        }
    }

    /// (ΛM⁻¹Λ')_{ij}.
    fn t_entry(&self, i: usize, j: usize) -> f64 {
        let ((fi, ci, si), (fj, cj, sj)) = (self.lambda.place[i], self.lambda.place[j]);
        let ((bi, li), (bj, lj)) = (&self.lambda.blocks[fi as usize], &self.lambda.blocks[fj as usize]);
        let mut sum = 0.0;
        for a in 0..=ci as usize {
            for b in 0..=cj as usize {
                let weight = li[ci as usize * bi.q + a] * lj[cj as usize * bj.q + b];
                if weight != 0.0 {
                    sum += weight * self.inverse_entry(si as usize + a, sj as usize + b);
                }
            }
        }
        sum
    }

    /// Adds the diagonal blocks of H of a factor's levels.
    ///
    /// # Errors
    /// [`CoreError::Interrupted`] once `stop` is true.
    pub fn h_sum(&self, block: &CoreBlock, sum: &mut [f64], stop: &AtomicBool) -> Result<()> {
        let q = block.q;
        let safe = self.lambda.safe(block);
        let inverse = if safe { self.lambda.psi_inverse(block) } else { Vec::new() };
        let mut t = Vec::new();
        for level in 0..block.levels {
            go_on(stop)?;
            let first = block.first + level * q;
            let h = if safe {
                // Ψ⁻¹ - Ψ⁻¹TΨ⁻¹
                let columns: Vec<u32> = (first..first + q).map(|c| c as u32).collect();
                self.t_part(&columns, &mut t);
                let pt = small::product(q, q, q, &inverse, &t);
                inverse.iter().zip(small::product(q, q, q, &pt, &inverse)).map(|(p, x)| p - x).collect()
            } else {
                self.h_by_solving(first, q)
            };
            sum.iter_mut().zip(&h).for_each(|(s, h)| *s += h);
        }
        Ok(())
    }

    fn h_by_solving(&self, first: usize, q: usize) -> Vec<f64> {
        let size = self.pattern.position.len();
        let unit = Mat::from_fn(size, q, |i, j| if i == first + j { 1.0 } else { 0.0 });
        let columns = self.times_a(unit.as_ref());
        let solved = self.times_t(columns.as_ref());
        let product = columns.transpose() * &solved;
        (0..q * q).map(|e| columns[(first + e / q, e % q)] - product[(e / q, e % q)]).collect()
    }
}
