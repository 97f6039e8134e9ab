//! Kernels on small row-major matrices (q is the number of random effects per level: 1 to a handful).

/// N = (I + AΨ)^{-1} for symmetric positive semidefinite A and Ψ; returns log|I + AΨ|.
///
/// I + AΨ has eigenvalues ≥ 1, so it is invertible even where A or Ψ is singular: the boundary needs no special case.
/// Returns `None` when rounding has destroyed that (values that are not finite).
#[inline(always)]
pub fn invert_i_plus(q: usize, a: &[f64], psi: &[f64], n: &mut [f64]) -> Option<f64> {
    match q {
        1 => {
            let m = 1.0 + a[0] * psi[0];
            n[0] = 1.0 / m;
            (m >= 1.0 - 1e-9 && m.is_finite()).then(|| m.ln())
        }
        2 => {
            let (m00, m01) = (1.0 + a[0] * psi[0] + a[1] * psi[2], a[0] * psi[1] + a[1] * psi[3]);
            let (m10, m11) = (a[2] * psi[0] + a[3] * psi[2], 1.0 + a[2] * psi[1] + a[3] * psi[3]);
            // det(I + AΨ) = 1 + tr(AΨ) + |A||Ψ|: no cancellation between products of the entries of I + AΨ
            let det_a = (a[0] * a[3] - a[1] * a[2]).max(0.0);
            let det_psi = (psi[0] * psi[3] - psi[1] * psi[2]).max(0.0);
            let det = m00 + m11 - 1.0 + det_a * det_psi;
            let inverse = 1.0 / det;
            n[0] = m11 * inverse;
            n[1] = -m01 * inverse;
            n[2] = -m10 * inverse;
            n[3] = m00 * inverse;
            (det >= 1.0 - 1e-9 && det.is_finite()).then(|| det.ln())
        }
        _ => invert_i_plus_general(q, a, psi, n),
    }
}

fn invert_i_plus_general(q: usize, a: &[f64], psi: &[f64], n: &mut [f64]) -> Option<f64> {
    let mut m = vec![0.0; q * q];
    multiply(q, q, q, a, psi, &mut m);
    for i in 0..q {
        m[i * q + i] += 1.0;
    }
    n.fill(0.0);
    for i in 0..q {
        n[i * q + i] = 1.0;
    }
    let mut log_det = 0.0;
    for k in 0..q {
        let pivot_row = (k..q).max_by(|&i, &j| m[i * q + k].abs().total_cmp(&m[j * q + k].abs()))?;
        let pivot = m[pivot_row * q + k];
        if pivot == 0.0 || !pivot.is_finite() {
            return None;
        }
        log_det += pivot.abs().ln();
        for j in 0..q {
            m.swap(k * q + j, pivot_row * q + j);
            n.swap(k * q + j, pivot_row * q + j);
        }
        for j in 0..q {
            m[k * q + j] /= pivot;
            n[k * q + j] /= pivot;
        }
        for i in (0..q).filter(|&i| i != k) {
            let factor = m[i * q + k];
            if factor != 0.0 {
                for j in 0..q {
                    m[i * q + j] -= factor * m[k * q + j];
                    n[i * q + j] -= factor * n[k * q + j];
                }
            }
        }
    }
    Some(log_det)
}

/// out (m × n) = left (m × k) · right (k × n).
#[inline(always)]
pub fn multiply(m: usize, k: usize, n: usize, left: &[f64], right: &[f64], out: &mut [f64]) {
    out[..m * n].fill(0.0);
    for i in 0..m {
        let row = &mut out[i * n..(i + 1) * n];
        for l in 0..k {
            let factor = left[i * k + l];
            for (o, r) in row.iter_mut().zip(&right[l * n..(l + 1) * n]) {
                *o += factor * r;
            }
        }
    }
}

/// The transpose of an m × n matrix.
pub fn transpose(m: usize, n: usize, a: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            out[j * m + i] = a[i * n + j];
        }
    }
    out
}

/// Product as a new matrix.
pub fn product(m: usize, k: usize, n: usize, left: &[f64], right: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    multiply(m, k, n, left, right, &mut out);
    out
}

/// Dot product.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// tr(AB) for an m × n and an n × m matrix.
pub fn trace_product(m: usize, n: usize, a: &[f64], b: &[f64]) -> f64 {
    let mut trace = 0.0;
    for i in 0..m {
        for j in 0..n {
            trace += a[i * n + j] * b[j * m + i];
        }
    }
    trace
}

/// Copies the upper triangle onto the lower one.
pub fn mirror(n: usize, a: &mut [f64]) {
    for i in 0..n {
        for j in 0..i {
            a[i * n + j] = a[j * n + i];
        }
    }
}

/// Replaces a by (a + a') / 2.
#[inline(always)]
pub fn symmetrize(n: usize, a: &mut [f64]) {
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i * n + j] + a[j * n + i]);
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
}

/// Lower Cholesky factor of a symmetric positive definite matrix; `None` when a pivot is not positive.
pub fn cholesky(n: usize, a: &[f64]) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for j in 0..n {
        let pivot = a[j * n + j] - dot(&l[j * n..j * n + j], &l[j * n..j * n + j]);
        if pivot <= 0.0 || !pivot.is_finite() {
            return None;
        }
        let root = pivot.sqrt();
        l[j * n + j] = root;
        for i in j + 1..n {
            let value = a[i * n + j] - dot(&l[i * n..i * n + j], &l[j * n..j * n + j]);
            l[i * n + j] = value / root;
        }
    }
    Some(l)
}

/// Lower-triangular L with LL' = A for a positive semidefinite A; a pivot that is rounding dust is zero, and its column with it.
pub fn semidefinite_root(n: usize, a: &[f64]) -> Vec<f64> {
    let mut l = vec![0.0; n * n];
    for j in 0..n {
        let pivot = a[j * n + j] - dot(&l[j * n..j * n + j], &l[j * n..j * n + j]);
        if pivot <= 4e-16 * a[j * n + j] {
            continue;
        }
        l[j * n + j] = pivot.sqrt();
        for i in j + 1..n {
            let value = a[i * n + j] - dot(&l[i * n..i * n + j], &l[j * n..j * n + j]);
            l[i * n + j] = value / l[j * n + j];
        }
    }
    l
}

/// Inverse and log-determinant of a symmetric positive definite matrix.
pub fn spd_inverse(n: usize, a: &[f64]) -> Option<(Vec<f64>, f64)> {
    let l = cholesky(n, a)?;
    let log_det = 2.0 * (0..n).map(|i| l[i * n + i].ln()).sum::<f64>();
    let mut inverse = vec![0.0; n * n];
    for column in 0..n {
        let mut x = vec![0.0; n];
        x[column] = 1.0;
        solve_lower(n, &l, &mut x);
        solve_lower_transposed(n, &l, &mut x);
        for row in 0..n {
            inverse[row * n + column] = x[row];
        }
    }
    symmetrize(n, &mut inverse);
    Some((inverse, log_det))
}

/// Solves L x = b in place.
pub fn solve_lower(n: usize, l: &[f64], x: &mut [f64]) {
    for i in 0..n {
        let known = dot(&l[i * n..i * n + i], &x[..i]);
        x[i] = (x[i] - known) / l[i * n + i];
    }
}

/// Solves L' x = b in place.
pub fn solve_lower_transposed(n: usize, l: &[f64], x: &mut [f64]) {
    for i in (0..n).rev() {
        let mut value = x[i];
        for k in i + 1..n {
            value -= l[k * n + i] * x[k];
        }
        x[i] = value / l[i * n + i];
    }
}

/// What is left of a row, relative to it, below which the row is taken as a combination of the rows before it.
const DEPENDENT: f64 = 1e-13;

/// The lower-triangular L with non-negative diagonal and LL' = MM', for any M (n × m), singular or not: the Cholesky factor whose
/// columns of zero pivots are zero. Gram–Schmidt on the rows, each orthogonalised twice.
pub fn triangularize(n: usize, m: usize, matrix: &[f64]) -> Vec<f64> {
    let mut l = vec![0.0; n * n];
    let mut directions: Vec<Option<Vec<f64>>> = Vec::with_capacity(n);
    for i in 0..n {
        let mut row = matrix[i * m..(i + 1) * m].to_vec();
        let size = dot(&row, &row).sqrt();
        for _ in 0..2 {
            for (j, direction) in directions.iter().enumerate() {
                if let Some(d) = direction {
                    let share = dot(&row, d);
                    l[i * n + j] += share;
                    row.iter_mut().zip(d).for_each(|(r, d)| *r -= share * d);
                }
            }
        }
        let left = dot(&row, &row).sqrt();
        directions.push((left > DEPENDENT * size).then(|| {
            l[i * n + i] = left;
            row.iter().map(|r| r / left).collect()
        }));
    }
    l
}

/// J'HJ for an m × k Jacobian.
pub fn sandwich(m: usize, k: usize, jacobian: &[f64], h: &[f64]) -> Vec<f64> {
    let hj = product(m, m, k, h, jacobian);
    product(k, m, k, &transpose(m, k, jacobian), &hj)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_of_i_plus_agrees_between_the_closed_forms_and_elimination() {
        let a = [4.0, 1.0, 1.0, 3.0];
        let psi = [0.5, -0.2, -0.2, 0.7];
        let (mut closed, mut general) = ([0.0; 4], [0.0; 4]);
        let d1 = invert_i_plus(2, &a, &psi, &mut closed);
        let d2 = invert_i_plus_general(2, &a, &psi, &mut general);
        assert!((d1.unwrap_or(0.0) - d2.unwrap_or(1.0)).abs() < 1e-14);
        for (x, y) in closed.iter().zip(&general) {
            assert!((x - y).abs() < 1e-14);
        }
    }

    #[test]
    fn triangularize_keeps_the_gram_matrix_even_when_singular() {
        for m in [vec![1.0, 2.0, 3.0, 4.0], vec![0.0, 0.0, 3.0, 4.0], vec![1.0, 2.0, 2.0, 4.0]] {
            let l = triangularize(2, 2, &m);
            assert_eq!(l[1], 0.0);
            for i in 0..2 {
                for j in 0..2 {
                    let want = dot(&m[i * 2..i * 2 + 2], &m[j * 2..j * 2 + 2]);
                    let got = dot(&l[i * 2..i * 2 + 2], &l[j * 2..j * 2 + 2]);
                    assert!((want - got).abs() < 1e-13);
                }
            }
        }
    }
}
