//! Eigenvalues of the smallest symmetric matrices by rotations: cyclic Jacobi (Golub & Van Loan 2013, §8.5). Small eigenvalues of a positive definite
//! matrix keep their digits (Demmel & Veselić 1992).

/// Up to this size rotations are several times as quick as reduction to tridiagonal form.
pub const LARGEST: usize = 4;

/// Eigenvalues (ascending) and eigenvectors (columns of a row-major n × n matrix) of a symmetric matrix of finite numbers, of which the lower triangle
/// is read.
pub fn symmetric_eigen(n: usize, lower: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut a: Vec<f64> = (0..n * n).map(|k| if k / n >= k % n { lower[k] } else { lower[k % n * n + k / n] }).collect();
    let mut v: Vec<f64> = (0..n * n).map(|k| if k / n == k % n { 1.0 } else { 0.0 }).collect();
    // quadratic convergence: half a dozen sweeps are enough for any matrix
    for _ in 0..30 {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
                if apq.abs() <= f64::EPSILON * app.abs().sqrt() * aqq.abs().sqrt() || apq == 0.0 {
                    continue;
                }
                rotated = true;
                let tau = (aqq - app) / (2.0 * apq);
                let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i * n + i].total_cmp(&a[j * n + j]));
    let values = order.iter().map(|&k| a[k * n + k]).collect();
    let vectors = (0..n * n).map(|k| v[k / n * n + order[k % n]]).collect();
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::small::{product, transpose};

    /// A = VDV', V'V = I and ascending values, whatever the scale and rank.
    #[test]
    fn the_decomposition_gives_the_matrix_back() {
        let singular = [4.0, 2.0, -2.0, 2.0, 1.0, -1.0, -2.0, -1.0, 1.0];
        let indefinite = [0.0, 3.0, -1.0, 3.0, 0.0, 2.0, -1.0, 2.0, 5.0];
        let graded = [1e12, 1e3, 1e-4, 1e3, 2e2, 1e-6, 1e-4, 1e-6, 1e-9];
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        for (a, scale) in [(singular, 1.0), (indefinite, 1e250), (graded, 1.0), (identity, 1e-250), (singular, 1e-200)] {
            let a = a.map(|v| v * scale);
            let (values, v) = symmetric_eigen(3, &a);
            assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
            let scaled: Vec<f64> = (0..9).map(|k| v[k] * values[k % 3]).collect();
            let (back, unit) = (product(3, 3, 3, &scaled, &transpose(3, 3, &v)), product(3, 3, 3, &transpose(3, 3, &v), &v));
            let largest = a.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            for k in 0..9 {
                assert!((back[k] - a[k]).abs() <= 1e-14 * largest, "{a:?}: {back:?}");
                assert!((unit[k] - f64::from(u8::from(k % 4 == 0))).abs() <= 1e-14);
            }
        }
    }

    /// The product of the pivots of elimination is that of the values, to full relative precision.
    #[test]
    fn the_smallest_value_of_a_graded_matrix_keeps_its_digits() {
        let (values, _) = symmetric_eigen(2, &[1e16, 1e7, 1e7, 1.0]);
        let determinant = 1e16 - 1e14;
        assert!((values[0] * values[1] / determinant - 1.0).abs() < 1e-14);
    }
}
