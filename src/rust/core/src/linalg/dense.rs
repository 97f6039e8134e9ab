//! Dense symmetric linear algebra through faer.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef, Side};

use super::jacobi;
use crate::error::{CoreError, Result};

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

/// Cholesky factor of a symmetric positive definite matrix (its lower triangle is read).
///
/// # Errors
/// [`CoreError::Numerical`] when it is not positive definite.
pub fn cholesky(a: MatRef<'_, f64>) -> Result<faer::linalg::solvers::Llt<f64>> {
    a.llt(Side::Lower).map_err(|_| CoreError::Numerical { what: "a covariance matrix is not positive definite".into() })
}

/// log-determinant from a Cholesky factor.
pub fn log_det(llt: &faer::linalg::solvers::Llt<f64>) -> f64 {
    let l = llt.L();
    2.0 * (0..l.nrows()).map(|i| l[(i, i)].ln()).sum::<f64>()
}

/// A⁻¹B from a Cholesky factor of A.
pub fn solve(llt: &faer::linalg::solvers::Llt<f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    llt.solve(b)
}
