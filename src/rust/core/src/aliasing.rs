//! Rank of the fixed effects.

use crate::design::Design;
use crate::linalg::small;
use crate::moments::basis::Basis;

/// A column of which less than this share (in norm) is left after the columns before it is aliased, as in R's `lm` and in lme4.
const TOLERANCE: f64 = 1e-7;
/// Cross-products square the share: below this they cannot decide, and the columns themselves are orthogonalised.
const DOUBT: f64 = 1e-9;

/// Positions in X of columns that are linear combinations of those before them.
///
/// `total` is [X y]'[X y] in the internal basis (centred and scaled).
pub fn aliased(design: &Design, basis: &Basis, total: &[f64]) -> Vec<usize> {
    if doubtful(basis.x.len(), total) {
        by_columns(design, basis)
    } else {
        Vec::new()
    }
}

/// Whether the cross-products `total` ((p + 1) × (p + 1)) leave room for doubt that all p columns are independent.
pub fn doubtful(p: usize, total: &[f64]) -> bool {
    let mut l = vec![0.0; p * p];
    for j in 0..p {
        let size = total[j * (p + 1) + j];
        let left = size - small::dot(&l[j * p..j * p + j], &l[j * p..j * p + j]);
        if left <= DOUBT * size || left.is_nan() {
            return true;
        }
        l[j * p + j] = left.sqrt();
        for i in j + 1..p {
            let value = total[i * (p + 1) + j] - small::dot(&l[i * p..i * p + j], &l[j * p..j * p + j]);
            l[i * p + j] = value / l[j * p + j];
        }
    }
    false
}

/// Modified Gram–Schmidt, twice, on the columns themselves.
fn by_columns(design: &Design, basis: &Basis) -> Vec<usize> {
    let mut directions: Vec<Vec<f64>> = Vec::new();
    let mut aliased = Vec::new();
    for (position, &index) in basis.x.iter().enumerate() {
        let column = basis.columns[index];
        let mut values: Vec<f64> = match column.pool {
            0 => vec![1.0; design.n()],
            k => design.columns[k - 1].iter().map(|v| (v - column.location) / column.scale).collect(),
        };
        if let Some(weights) = design.weights {
            values.iter_mut().zip(weights).for_each(|(v, w)| *v *= w.sqrt());
        }
        let size = small::dot(&values, &values).sqrt();
        for _ in 0..2 {
            for direction in &directions {
                let share = small::dot(&values, direction);
                values.iter_mut().zip(direction).for_each(|(v, d)| *v -= share * d);
            }
        }
        let left = small::dot(&values, &values).sqrt();
        if left > TOLERANCE * size && size > 0.0 {
            values.iter_mut().for_each(|v| *v /= left);
            directions.push(values);
        } else {
            aliased.push(position);
        }
    }
    aliased
}
