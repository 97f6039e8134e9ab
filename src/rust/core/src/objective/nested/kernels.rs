//! Block operations shared by the levels.

use crate::linalg::lanes::Lanes;
use crate::linalg::small;

/// Entries of a packed triangle.
#[inline(always)]
pub(super) fn triangle(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Place of a symmetric pair in a packed triangle.
#[inline(always)]
pub(super) fn pair(i: usize, j: usize) -> usize {
    let (a, b) = if i >= j { (i, j) } else { (j, i) };
    a * (a + 1) / 2 + b
}

/// out -= x y' on the upper triangle.
#[inline(always)]
pub(super) fn subtract_outer(f: usize, x: &[f64], y: &[f64], out: &mut [f64]) {
    for i in 0..f {
        let factor = x[i];
        for (o, v) in out[i * f + i..(i + 1) * f].iter_mut().zip(&y[i..f]) {
            *o -= factor * v;
        }
    }
}

/// sums[s, t] += x_s y_t over symmetric pairs.
#[inline(always)]
pub(super) fn accumulate_pairs(q: usize, x: &[f64], y: &[f64], sums: &mut [f64]) {
    let s = q * (q + 1) / 2;
    for i in 0..q {
        for j in 0..=i {
            let factor = x[i * q + j];
            let row = &mut sums[pair(i, j) * s..(pair(i, j) + 1) * s];
            for a in 0..q {
                for b in 0..=a {
                    row[a * (a + 1) / 2 + b] += factor * y[a * q + b];
                }
            }
        }
    }
}

/// Carries a tangent C ((q + f)², symmetric) through the elimination: `out` (upper triangle) += W'CW. Returns C's own block and
/// the top rows of CW.
pub(super) fn carry(q: usize, f: usize, c: &[f64], u: &[f64], out: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = q + f;
    let own: Vec<f64> = (0..q).flat_map(|i| c[i * dim..i * dim + q].iter().copied()).collect();
    let mut top = small::product(q, q, f, &own, u);
    for i in 0..q {
        for j in 0..f {
            top[i * f + j] = c[i * dim + q + j] - top[i * f + j];
        }
    }
    for i in 0..f {
        for j in i..f {
            let mut value = c[(q + i) * dim + q + j];
            for a in 0..q {
                value -= c[(q + i) * dim + a] * u[a * f + j] + u[a * f + i] * top[a * f + j];
            }
            out[i * f + j] += value;
        }
    }
    (own, top)
}

/// Adjoint and w of the children: W S̄ W' + T ⊕ 0 and W w, with W = [-U; I], U = ΨB.
pub(super) fn descend(q: usize, f: usize, psi: &[f64], b: &[f64], t: &[f64], adjoint: &[f64], w: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = q + f;
    let u = small::product(q, q, f, psi, b);
    let us = small::product(q, f, f, &u, adjoint);
    let usu = small::product(q, f, q, &us, &small::transpose(q, f, &u));
    let mut out = vec![0.0; dim * dim];
    for i in 0..q {
        for j in 0..q {
            out[i * dim + j] = 0.5 * (usu[i * q + j] + usu[j * q + i] + t[i * q + j] + t[j * q + i]);
        }
        for j in 0..f {
            out[i * dim + q + j] = -us[i * f + j];
            out[(q + j) * dim + i] = -us[i * f + j];
        }
    }
    for i in 0..f {
        out[(q + i) * dim + q..(q + i + 1) * dim].copy_from_slice(&adjoint[i * f..(i + 1) * f]);
    }
    let mut child_w: Vec<f64> = small::product(q, f, 1, &u, w).iter().map(|x| -x).collect();
    child_w.extend_from_slice(w);
    (out, child_w)
}

/// Clears and sizes.
pub(super) fn reset(values: &mut Vec<f64>, len: usize) {
    values.clear();
    values.resize(len, 0.0);
}

/// As [`reset`], for lanes.
pub(super) fn reset_lanes(values: &mut Vec<Lanes>, len: usize) {
    values.clear();
    values.resize(len, Lanes::ZERO);
}

/// to += from.
pub(super) fn add(to: &mut [f64], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
}
