//! The core of crossed factors after the largest factor has been eliminated: A = Z'V⁻¹Z (K × K), factorised as M = I + Λ'AΛ.
//!
//! Dense for small or full cores, sparse (faer's sparse Cholesky) for large ones. Both give the same operations: log|M|, products
//! with A and with T = ΛM⁻¹Λ' = (Ψ⁻¹ + A)⁻¹, entries of T where nodes meet, and the diagonal blocks of H = A - ATA.

use std::sync::atomic::AtomicBool;

use faer::{Mat, MatRef};

use super::lambda::CoreLambda;
use super::sparse::SparseCore;
use crate::error::Result;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::{dense, small};
use crate::moments::crossed::CoreBlock;
use crate::stop::go_on;

/// Factorised core.
pub enum Schur {
    /// Full matrices.
    Dense(Box<DenseCore>),
    /// Sparse factor and selected inverse.
    Sparse(Box<SparseCore>),
}

/// Dense A and T.
pub struct DenseCore {
    /// A, both triangles.
    pub a: Mat<f64>,
    /// T, both triangles; empty after a value-only evaluation.
    pub t: Mat<f64>,
    factor: Cholesky,
    lambda: CoreLambda,
}

impl DenseCore {
    /// Whether Ψ of the core is zero: then T = 0, N = I and H = A.
    pub fn at_zero(&self) -> bool {
        self.lambda.blocks.iter().all(|(_, lambda)| lambda.iter().all(|&v| v == 0.0))
    }

    /// Factorises; returns log|M| too. `inverse` asks for T.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Numerical`] when M is not positive definite (values that are not finite),
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn new(mut a: Mat<f64>, lambda: CoreLambda, inverse: bool, stop: &AtomicBool) -> Result<(Self, f64)> {
        let k = a.nrows();
        mirror(&mut a);
        let mut m = a.clone();
        congruent(&lambda, &mut m);
        for i in 0..k {
            m[(i, i)] += 1.0;
        }
        let factor = Cholesky::new(m, stop)?;
        let log_det = factor.log_det();
        let mut t = Mat::zeros(0, 0);
        if inverse {
            t = if lambda.blocks.iter().all(|(_, l)| l.iter().all(|&v| v == 0.0)) {
                Mat::zeros(k, k)
            } else {
                factor.inverse(stop)?
            };
            // ΛM⁻¹Λ'
            match lambda.diagonal() {
                Some(d) => scale_both(&d, &mut t),
                None => {
                    lambda.apply(false, &mut t);
                    t = t.transpose().to_owned();
                    lambda.apply(false, &mut t);
                }
            }
        }
        Ok((DenseCore { a, t, factor, lambda }, log_det))
    }
}

/// Copies the lower triangle onto the upper one, tile by tile: a row of a large matrix lies in as many pages as it has columns.
fn mirror(a: &mut Mat<f64>) {
    const TILE: usize = 32;
    let k = a.nrows();
    for left in (0..k).step_by(TILE) {
        for top in (0..left + 1).step_by(TILE) {
            for j in left..(left + TILE).min(k) {
                for i in top..(top + TILE).min(j) {
                    a[(i, j)] = a[(j, i)];
                }
            }
        }
    }
}

/// M ← Λ'MΛ for symmetric M.
fn congruent(lambda: &CoreLambda, m: &mut Mat<f64>) {
    if let Some(d) = lambda.diagonal() {
        return scale_both(&d, m);
    }
    lambda.apply(true, m);
    let mut transposed = m.transpose().to_owned();
    lambda.apply(true, &mut transposed);
    *m = transposed;
}

/// M ← DMD.
fn scale_both(d: &[f64], m: &mut Mat<f64>) {
    for (j, &dj) in d.iter().enumerate() {
        for (value, &di) in m.col_mut(j).iter_mut().zip(d) {
            *value *= di * dj;
        }
    }
}

impl Schur {
    /// A X.
    pub fn times_a(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        match self {
            Schur::Dense(core) => &core.a * x,
            Schur::Sparse(core) => core.times_a(x),
        }
    }

    /// T X, by solving.
    pub fn times_t(&self, x: MatRef<'_, f64>) -> Mat<f64> {
        match self {
            Schur::Dense(core) => {
                let mut v = x.to_owned();
                core.lambda.apply(true, &mut v);
                let mut v = core.factor.solve(v.as_ref());
                core.lambda.apply(false, &mut v);
                v
            }
            Schur::Sparse(core) => core.times_t(x),
        }
    }

    /// The part of T over the columns `met`, row-major.
    pub fn t_part(&self, met: &[u32], out: &mut Vec<f64>) {
        out.clear();
        match self {
            Schur::Dense(core) => {
                for &i in met {
                    out.extend(met.iter().map(|&j| core.t[(j as usize, i as usize)]));
                }
            }
            Schur::Sparse(core) => core.t_part(met, out),
        }
    }

    /// x'Ty over the columns `met` (ascending); `buffer` is scratch.
    pub fn form(&self, met: &[u32], x: &[f64], y: &[f64], buffer: &mut Vec<f64>) -> f64 {
        match self {
            Schur::Dense(core) => {
                let mut sum = 0.0;
                let same = std::ptr::eq(x, y);
                for (i, &column) in met.iter().enumerate() {
                    let Some(t) = core.t.col(column as usize).try_as_col_major().map(|c| c.as_slice()) else { continue };
                    let row = |v: &[f64]| {
                        let below = met[i + 1..].iter().zip(&v[i + 1..]);
                        below.fold(0.5 * t[column as usize] * v[i], |sum, (&row, v)| sum + t[row as usize] * v)
                    };
                    let with_x = row(x);
                    sum += x[i] * if same { with_x } else { row(y) } + y[i] * with_x;
                }
                sum
            }
            Schur::Sparse(core) => {
                core.t_part(met, buffer);
                buffer.chunks_exact(met.len().max(1)).zip(x).map(|(row, x)| x * small::dot(row, y)).sum()
            }
        }
    }

    /// Σ over the levels of a factor of the diagonal blocks of H = A - ATA, q × q.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Interrupted`] once `stop` is true.
    pub fn h_sum(&self, block: &CoreBlock, stop: &AtomicBool) -> Result<Vec<f64>> {
        let q = block.q;
        let mut sum = vec![0.0; q * q];
        match self {
            Schur::Dense(core) if core.lambda.safe(block) => {
                // H = Λ⁻ᵀ(I - M⁻¹)Λ⁻¹ = Ψ⁻¹ - Ψ⁻¹TΨ⁻¹ within a level
                let inverse = core.lambda.psi_inverse(block);
                for level in 0..block.levels {
                    let first = block.first + level * q;
                    let t: Vec<f64> = (0..q * q).map(|e| core.t[(first + e / q, first + e % q)]).collect();
                    let pt = small::product(q, q, q, &inverse, &t);
                    let ptp = small::product(q, q, q, &pt, &inverse);
                    (0..q * q).for_each(|e| sum[e] += inverse[e] - ptp[e]);
                }
            }
            Schur::Dense(core) => {
                let span = block.first..block.first + q * block.levels;
                let columns = core.a.as_ref().subcols(span.start, span.len());
                let ta = if core.at_zero() {
                    Mat::zeros(columns.nrows(), columns.ncols())
                } else {
                    dense::product(core.t.as_ref(), columns, stop)?
                };
                for level in 0..block.levels {
                    go_on(stop)?;
                    let first = block.first + level * q;
                    for i in 0..q {
                        for j in 0..q {
                            let product: f64 = (columns.col(level * q + i).transpose() * ta.col(level * q + j)).to_owned();
                            sum[i * q + j] += core.a[(first + i, first + j)] - product;
                        }
                    }
                }
            }
            Schur::Sparse(core) => core.h_sum(block, &mut sum, stop)?,
        }
        small::symmetrize(q, &mut sum);
        Ok(sum)
    }
}
