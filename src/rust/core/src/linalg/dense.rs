//! Dense symmetric matrices of a few rows, and products of any size, through faer.

use std::sync::atomic::AtomicBool;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

use super::jacobi;
use crate::error::{CoreError, Result};
use crate::stop::go_on;

/// Multiplications between two looks at the flag: about a tenth of a second.
const UNWATCHED: usize = 2_000_000_000;

/// Eigenvalues (ascending) and eigenvectors (columns of a row-major n × n matrix) of a symmetric matrix.
///
/// # Errors
/// [`CoreError::Numerical`] when the iteration does not converge (values that are not finite).
pub fn symmetric_eigen(n: usize, a: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    let failed = || CoreError::Numerical { what: "an eigenvalue decomposition did not converge".into() };
    if n == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    if n == 1 {
        return if a[0].is_finite() { Ok((vec![a[0]], vec![1.0])) } else { Err(failed()) };
    }
    if a.iter().any(|v| !v.is_finite()) {
        return Err(failed());
    }
    if n <= jacobi::LARGEST {
        return Ok(jacobi::symmetric_eigen(n, a));
    }
    let eigen = Mat::from_fn(n, n, |i, j| a[i * n + j]).self_adjoint_eigen(Side::Lower).map_err(|_| failed())?;
    let values = (0..n).map(|i| eigen.S()[i]).collect();
    let vectors = (0..n * n).map(|k| eigen.U()[(k / n, k % n)]).collect();
    Ok((values, vectors))
}

/// Inverse of a symmetric matrix over the eigenvectors that carry information: those of D⁻¹AD⁻¹, D = diag(`scale`), whose values exceed what `least`
/// makes of the largest one. Balanced, because parameters may differ by many orders of magnitude.
///
/// # Errors
/// Those of [`symmetric_eigen`].
pub fn balanced_inverse(n: usize, a: &[f64], scale: &[f64], least: impl Fn(f64) -> f64) -> Result<Vec<f64>> {
    let balanced: Vec<f64> = (0..n * n).map(|e| a[e] / (scale[e / n] * scale[e % n])).collect();
    let (values, vectors) = symmetric_eigen(n, &balanced)?;
    let least = least(values.iter().fold(0.0f64, |m, &v| m.max(v)));
    let mut out = vec![0.0; n * n];
    for (c, &value) in values.iter().enumerate().filter(|(_, &value)| value > least) {
        for i in 0..n {
            for j in 0..n {
                out[i * n + j] += vectors[i * n + c] * vectors[j * n + c] / (value * scale[i] * scale[j]);
            }
        }
    }
    Ok(out)
}

/// AB, in pieces between which the computation may end.
///
/// # Errors
/// [`CoreError::Interrupted`] once `stop` is true.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>, stop: &AtomicBool) -> Result<Mat<f64>> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    let piece = (UNWATCHED / (a.nrows() * a.ncols()).max(1)).max(8);
    for first in (0..b.ncols()).step_by(piece) {
        go_on(stop)?;
        let columns = piece.min(b.ncols() - first);
        let target = out.as_mut().subcols_mut(first, columns);
        matmul(target, Accum::Replace, a, b.subcols(first, columns), 1.0, Par::Seq);
    }
    Ok(out)
}
