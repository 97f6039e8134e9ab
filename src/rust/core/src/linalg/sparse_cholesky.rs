//! Numeric part of a sparse Cholesky factorisation whose pattern is known, column by column, so that the computation may end in between (left-looking:
//! Davis 2006, Direct Methods for Sparse Linear Systems, section 4.8).

use std::sync::atomic::AtomicBool;

use crate::error::{CoreError, Result};
use crate::stop::go_on;

/// No column, in the lists.
const NONE: usize = usize::MAX;

/// Values of L on its pattern: column starts, and rows ascending within a column, the diagonal first. `entries` calls its argument with row, column and value
/// of every entry of the lower triangle of the matrix, in any order.
///
/// # Errors
/// [`CoreError::Numerical`] when the matrix is not positive definite, [`CoreError::Interrupted`] once `stop` is true.
pub fn factorise(
    start: &[usize],
    row: &[usize],
    entries: impl Fn(&mut dyn FnMut(usize, usize, f64)),
    stop: &AtomicBool,
) -> Result<Vec<f64>> {
    let size = start.len() - 1;
    let (from, members) = by_column(size, &entries);
    let mut l = vec![0.0; row.len()];
    // the columns whose next entry is in a row, as a list: the first one per row, and the one after each column
    let (mut first, mut after) = (vec![NONE; size], vec![NONE; size]);
    let mut next: Vec<usize> = start[..size].to_vec();
    let mut sum = vec![0.0; size];
    for j in 0..size {
        go_on(stop)?;
        members[from[j]..from[j + 1]].iter().for_each(|&(i, value)| sum[i as usize] += value);
        let mut k = std::mem::replace(&mut first[j], NONE);
        while k != NONE {
            let following = after[k];
            let (at, end) = (next[k], start[k + 1]);
            let factor = l[at];
            row[at..end].iter().zip(&l[at..end]).for_each(|(&i, value)| sum[i] -= factor * value);
            queue(k, at + 1, end, row, (&mut next, &mut first, &mut after));
            k = following;
        }
        let (at, end) = (start[j], start[j + 1]);
        let pivot = sum[j];
        if !(pivot > 0.0 && pivot.is_finite()) {
            return Err(CoreError::Numerical {
                what: "the sparse factorisation of the crossed factors failed (not positive definite)".into(),
            });
        }
        let diagonal = pivot.sqrt();
        l[at] = diagonal;
        sum[j] = 0.0;
        row[at + 1..end].iter().zip(&mut l[at + 1..end]).for_each(|(&i, value)| *value = std::mem::take(&mut sum[i]) / diagonal);
        queue(j, at + 1, end, row, (&mut next, &mut first, &mut after));
    }
    Ok(l)
}

/// Puts a column into the list of the row of its entry `at`, if it has that many.
fn queue(column: usize, at: usize, end: usize, row: &[usize], (next, first, after): (&mut [usize], &mut [usize], &mut [usize])) {
    next[column] = at;
    if at < end {
        after[column] = std::mem::replace(&mut first[row[at]], column);
    }
}

/// The entries in the order of their columns: starts, then (row, value).
fn by_column(size: usize, entries: &impl Fn(&mut dyn FnMut(usize, usize, f64))) -> (Vec<usize>, Vec<(u32, f64)>) {
    let mut from = vec![0; size + 1];
    entries(&mut |_, j, _| from[j + 1] += 1);
    (0..size).for_each(|j| from[j + 1] += from[j]);
    let mut place = from.clone();
    let mut members = vec![(0, 0.0); from[size]];
    entries(&mut |i, j, value| {
        members[place[j]] = (i as u32, value);
        place[j] += 1;
    });
    (from, members)
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn a_factor_with_fill_in_is_that_of_the_definition() -> Result<()> {
        // an arrow that points the wrong way: every entry below the diagonal fills in
        let size = 5;
        let a = |i: usize, j: usize| {
            if i == j {
                10.0 + i as f64
            } else if j == 0 {
                1.0 + i as f64
            } else {
                0.0
            }
        };
        let start = [0, 5, 9, 12, 14, 15];
        let row = [0, 1, 2, 3, 4, 1, 2, 3, 4, 2, 3, 4, 3, 4, 4];
        let entries = |take: &mut dyn FnMut(usize, usize, f64)| {
            (0..size).rev().for_each(|i| take(i, i, a(i, i)));
            (1..size).for_each(|i| take(i, 0, a(i, 0)));
        };
        let l = factorise(&start, &row, entries, &NEVER)?;
        let entry = |i: usize, j: usize| if i < j { 0.0 } else { l[start[j] + i - j] };
        for i in 0..size {
            for j in 0..=i {
                let product: f64 = (0..size).map(|k| entry(i, k) * entry(j, k)).sum();
                assert!((product - a(i, j)).abs() < 1e-13, "{i}, {j}");
            }
        }
        let kind = |found: Result<Vec<f64>>| found.err().map(|e| e.kind());
        let indefinite =
            |take: &mut dyn FnMut(usize, usize, f64)| entries(&mut |i, j, v| take(i, j, if i == 3 && j == 3 { 0.1 } else { v }));
        assert_eq!(kind(factorise(&start, &row, indefinite, &NEVER)), Some("numerical"));
        assert_eq!(kind(factorise(&start, &row, entries, &AtomicBool::new(true))), Some("interrupt"));
        Ok(())
    }
}
