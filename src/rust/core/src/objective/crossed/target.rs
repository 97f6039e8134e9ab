//! How the core is kept, and where its A is collected.

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use faer::Mat;

use super::lambda::CoreLambda;
use super::schur::{DenseCore, Schur};
use super::sparse::{Pattern, SparseCore};
use crate::error::Result;
use crate::moments::crossed::CrossedMoments;

/// Cores up to this size are dense whatever their pattern.
const DENSE_ALWAYS: usize = 600;

/// Cores above this size are never dense (memory).
const DENSE_NEVER: usize = 15_000;

/// A multiplication of the simplicial factorisation costs about this many of the dense one's.
const SPARSE_COST: f64 = 15.0;

/// How the core of crossed factors is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreKind {
    /// Whichever factorises with less work.
    Cheaper,
    /// Full matrices.
    Dense,
    /// Sparse Cholesky.
    Sparse,
}

/// Chooses how the core is kept.
pub(super) fn choose(m: &CrossedMoments, kind: CoreKind, stop: &AtomicBool) -> Result<Option<Arc<Pattern>>> {
    match kind {
        CoreKind::Dense => return Ok(None),
        CoreKind::Sparse => return Ok(Some(Arc::new(Pattern::new(m, stop)?))),
        CoreKind::Cheaper if m.size <= DENSE_ALWAYS => return Ok(None),
        CoreKind::Cheaper => {}
    }
    let pattern = Pattern::new(m, stop)?;
    let dense = (m.size as f64).powi(3);
    let sparse = SPARSE_COST * pattern.flops()?;
    Ok((m.size > DENSE_NEVER || sparse < dense).then(|| Arc::new(pattern)))
}

/// Where the core's A is collected.
pub(super) enum Target {
    Dense(Mat<f64>),
    Sparse(Arc<Pattern>, Vec<f64>),
}

impl Target {
    pub(super) fn new(m: &CrossedMoments, pattern: Option<Arc<Pattern>>) -> Self {
        match pattern {
            None => {
                let mut a = Mat::zeros(m.size, m.size);
                m.core_products.iter().for_each(|&(i, j, v)| a[(i as usize, j as usize)] = v);
                Target::Dense(a)
            }
            Some(pattern) => {
                let mut a = vec![0.0; pattern.row.len()];
                for &(i, j, v) in &m.core_products {
                    if let Some(k) = pattern.index(i as usize, j as usize) {
                        a[k] = v;
                    }
                }
                Target::Sparse(pattern, a)
            }
        }
    }

    /// A -= x y' over the columns met (lower triangle; x and y symmetric in the sum over lines).
    pub(super) fn subtract(&mut self, met: &[u32], x: &[f64], y: &[f64]) {
        match self {
            Target::Dense(a) => {
                for (c, &column) in met.iter().enumerate() {
                    let factor = y[c];
                    let lower = a.as_mut().col_mut(column as usize);
                    let Some(lower) = lower.try_as_col_major_mut() else { continue };
                    let lower = lower.as_slice_mut();
                    for (r, &row) in met.iter().enumerate().skip(c) {
                        lower[row as usize] -= x[r] * factor;
                    }
                }
            }
            Target::Sparse(pattern, a) => {
                for (c, &column) in met.iter().enumerate() {
                    let (mut at, factor) = (pattern.start[column as usize], y[c]);
                    for (r, &row) in met.iter().enumerate().skip(c) {
                        while pattern.row[at] < row as usize {
                            at += 1;
                        }
                        a[at] -= x[r] * factor;
                    }
                }
            }
        }
    }

    pub(super) fn factorise(self, lambda: CoreLambda, inverse: bool, stop: &AtomicBool) -> Result<(Schur, f64)> {
        match self {
            Target::Dense(a) => DenseCore::new(a, lambda, inverse, stop).map(|(core, ld)| (Schur::Dense(Box::new(core)), ld)),
            Target::Sparse(pattern, a) => {
                SparseCore::new(pattern, a, lambda, inverse, stop).map(|(core, ld)| (Schur::Sparse(Box::new(core)), ld))
            }
        }
    }
}
