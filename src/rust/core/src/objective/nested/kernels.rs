//! Block operations shared by the levels.

use crate::linalg::lanes::Lanes;
use crate::linalg::small;

/// Calls a function with its first argument, the number of own columns of a node, as a constant for the usual sizes: the compiler then
/// unrolls the loops, which are too short to run well otherwise. Vector instructions are those of the processor at hand.
macro_rules! with_columns {
    ($q:expr, $function:ident, $($rest:expr),*) => {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || match $q {
                1 => $function(1, $($rest),*),
                2 => $function(2, $($rest),*),
                3 => $function(3, $($rest),*),
                q => $function(q, $($rest),*),
            },
        )
    };
}
pub(super) use with_columns;

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

/// out (m × n) = X Y' for X (m × k) and Y (n × k).
#[inline(always)]
pub(super) fn times_transposed(m: usize, k: usize, n: usize, x: &[f64], y: &[f64], out: &mut [f64]) {
    for i in 0..m {
        for j in 0..n {
            out[i * n + j] = small::dot(&x[i * k..(i + 1) * k], &y[j * k..(j + 1) * k]);
        }
    }
}

/// out (n × n) = v v'.
#[inline(always)]
pub(super) fn outer_product(n: usize, v: &[f64], out: &mut [f64]) {
    for i in 0..n {
        (0..n).for_each(|j| out[i * n + j] = v[i] * v[j]);
    }
}

/// Carries a tangent C ((q + f)², symmetric; its upper triangle is read) through the elimination: `out` (upper triangle) += W'CW. C's own
/// block goes to `own`, the top rows of CW to `top`.
#[inline(always)]
pub(super) fn carry(q: usize, f: usize, c: &[f64], u: &[f64], own: &mut [f64], top: &mut [f64], out: &mut [f64]) {
    let dim = q + f;
    for i in 0..q {
        (0..q).for_each(|j| own[i * q + j] = c[i.min(j) * dim + i.max(j)]);
    }
    small::multiply(q, q, f, own, u, top);
    for i in 0..q {
        top[i * f..(i + 1) * f].iter_mut().zip(&c[i * dim + q..(i + 1) * dim]).for_each(|(t, &c)| *t = c - *t);
    }
    for i in 0..f {
        let row = &mut out[i * f + i..(i + 1) * f];
        row.iter_mut().zip(&c[(q + i) * dim + q + i..(q + i + 1) * dim]).for_each(|(o, &c)| *o += c);
        for a in 0..q {
            let (left, right) = (c[a * dim + q + i], u[a * f + i]);
            let (u, top) = (&u[a * f + i..(a + 1) * f], &top[a * f + i..(a + 1) * f]);
            row.iter_mut().zip(u).zip(top).for_each(|((o, &u), &t)| *o -= left * u + right * t);
        }
    }
}

/// Adjoint and w of the children: W S̄ W' + T ⊕ 0 and W w, with W = [-U; I], U = ΨB. `scratch`: q × f, q × f and q × q.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // a node's blocks
pub(super) fn descend(
    q: usize,
    f: usize,
    psi: &[f64],
    b: &[f64],
    t: &[f64],
    (adjoint, w): (&[f64], &[f64]),
    (out, child_w): &mut (Vec<f64>, Vec<f64>),
    (u, us, usu): (&mut [f64], &mut [f64], &mut [f64]),
) {
    let dim = q + f;
    small::multiply(q, q, f, psi, b, u);
    small::multiply(q, f, f, u, adjoint, us);
    times_transposed(q, f, q, us, u, usu);
    out.resize(dim * dim, 0.0);
    child_w.resize(dim, 0.0);
    for i in 0..q {
        for j in 0..q {
            out[i * dim + j] = 0.5 * (usu[i * q + j] + usu[j * q + i] + t[i * q + j] + t[j * q + i]);
        }
        for j in 0..f {
            out[i * dim + q + j] = -us[i * f + j];
            out[(q + j) * dim + i] = -us[i * f + j];
        }
        child_w[i] = -small::dot(&u[i * f..(i + 1) * f], w);
    }
    for i in 0..f {
        out[(q + i) * dim + q..(q + i + 1) * dim].copy_from_slice(&adjoint[i * f..(i + 1) * f]);
    }
    child_w[q..].copy_from_slice(w);
}

/// Adds a packed upper triangle to a full one.
pub(super) fn unpack(f: usize, mut packed: impl Iterator<Item = f64>, full: &mut [f64]) {
    for i in 0..f {
        full[i * f + i..(i + 1) * f].iter_mut().zip(&mut packed).for_each(|(sum, part)| *sum += part);
    }
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
