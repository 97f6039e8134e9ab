//! Cholesky factor of a dense symmetric positive definite matrix of any size: faer's, or tile by tile where that takes long, so that the computation may
//! end in between (Golub & Van Loan 2013, Matrix Computations, section 4.2.9).

use std::sync::atomic::AtomicBool;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Llt, Solve};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatRef, Par, Side};

use crate::error::{CoreError, Result};
use crate::stop::go_on;

/// Matrices up to this size are factorised in one go.
const WHOLE: usize = 2048;
/// Rows and columns of a tile.
const TILE: usize = 256;

/// L of A = LL'.
pub enum Cholesky {
    /// Computed in one go.
    Whole(Llt<f64>),
    /// Computed tile by tile: L with zeros above the diagonal.
    Tiles(Mat<f64>),
}

fn factor(a: MatRef<'_, f64>) -> Result<Llt<f64>> {
    a.llt(Side::Lower).map_err(|_| CoreError::Numerical { what: "a covariance matrix is not positive definite".into() })
}

impl Cholesky {
    /// Factorises; the lower triangle of `a` is read.
    ///
    /// # Errors
    /// [`CoreError::Numerical`] when it is not positive definite, [`CoreError::Interrupted`] once `stop` is true.
    pub fn new(a: Mat<f64>, stop: &AtomicBool) -> Result<Self> {
        if a.nrows() <= WHOLE {
            return factor(a.as_ref()).map(Cholesky::Whole);
        }
        Self::by_tiles(a, TILE, stop).map(Cholesky::Tiles)
    }

    /// Column of tiles by column of tiles, each taken off the columns to its right at once.
    fn by_tiles(mut a: Mat<f64>, tile: usize, stop: &AtomicBool) -> Result<Mat<f64>> {
        let n = a.nrows();
        for first in (0..n).step_by(tile) {
            let width = tile.min(n - first);
            let (below, rest) = (first + width, n - first - width);
            let corner = factor(a.submatrix(first, first, width, width))?;
            a.submatrix_mut(first, first, width, width).copy_from(corner.L());
            a.submatrix_mut(0, first, first, width).fill(0.0);
            if rest == 0 {
                continue;
            }
            solve_lower_triangular_in_place(corner.L(), a.submatrix_mut(below, first, rest, width).transpose_mut(), Par::Seq);
            let panel = a.submatrix(below, first, rest, width).to_owned();
            for left in (0..rest).step_by(tile) {
                go_on(stop)?;
                let columns = tile.min(rest - left);
                let (lower, own) = (panel.subrows(left, rest - left), panel.subrows(left, columns));
                let target = a.submatrix_mut(below + left, below + left, rest - left, columns);
                matmul(target, Accum::Add, lower, own.transpose(), -1.0, Par::Seq);
            }
        }
        Ok(a)
    }

    /// log|A|.
    pub fn log_det(&self) -> f64 {
        let l = match self {
            Cholesky::Whole(llt) => llt.L(),
            Cholesky::Tiles(l) => l.as_ref(),
        };
        2.0 * (0..l.nrows()).map(|i| l[(i, i)].ln()).sum::<f64>()
    }

    /// A⁻¹B for a B of a few columns.
    pub fn solve(&self, b: MatRef<'_, f64>) -> Mat<f64> {
        match self {
            Cholesky::Whole(llt) => llt.solve(b),
            Cholesky::Tiles(l) => {
                let mut out = b.to_owned();
                solve_lower_triangular_in_place(l.as_ref(), out.as_mut(), Par::Seq);
                solve_upper_triangular_in_place(l.transpose(), out.as_mut(), Par::Seq);
                out
            }
        }
    }

    /// A⁻¹, both triangles.
    ///
    /// # Errors
    /// [`CoreError::Interrupted`] once `stop` is true.
    pub fn inverse(&self, stop: &AtomicBool) -> Result<Mat<f64>> {
        match self {
            Cholesky::Whole(llt) => Ok(llt.inverse()),
            Cholesky::Tiles(l) => Self::inverse_by_tiles(l, TILE, stop),
        }
    }

    /// Solves for one tile of the identity's columns after the other. Above its diagonal a column of L⁻¹ is zero, and one of A⁻¹ is known from those before it.
    fn inverse_by_tiles(l: &Mat<f64>, tile: usize, stop: &AtomicBool) -> Result<Mat<f64>> {
        let n = l.nrows();
        let mut out = Mat::zeros(n, n);
        let width = |first: usize| tile.min(n - first);
        for column in (0..n).step_by(tile) {
            let mut x = Mat::<f64>::zeros(n, width(column));
            (0..width(column)).for_each(|i| x[(column + i, i)] = 1.0);
            for first in (column..n).step_by(tile) {
                go_on(stop)?;
                let (size, below) = (width(first), first + width(first));
                let (upper, lower) = x.as_mut().split_at_row_mut(below);
                let mut own = upper.subrows_mut(first, size);
                solve_lower_triangular_in_place(l.submatrix(first, first, size, size), own.as_mut(), Par::Seq);
                matmul(lower, Accum::Add, l.submatrix(below, first, n - below, size), own.as_ref(), -1.0, Par::Seq);
            }
            for first in (column..n).step_by(tile).rev() {
                go_on(stop)?;
                let (size, below) = (width(first), first + width(first));
                let (upper, lower) = x.as_mut().split_at_row_mut(below);
                let mut own = upper.subrows_mut(first, size);
                let beside = l.submatrix(below, first, n - below, size);
                matmul(own.as_mut(), Accum::Add, beside.transpose(), lower.as_ref(), -1.0, Par::Seq);
                solve_upper_triangular_in_place(l.submatrix(first, first, size, size).transpose(), own, Par::Seq);
            }
            let (known, below) = (x.subrows(column, n - column), column + width(column));
            out.submatrix_mut(column, column, n - column, width(column)).copy_from(known);
            let beside = x.subrows(below, n - below).transpose();
            out.submatrix_mut(column, below, width(column), n - below).copy_from(beside);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// A well-conditioned matrix without structure.
    fn example(n: usize) -> Mat<f64> {
        let b = Mat::from_fn(n, n, |i, j| (((i * 37 + j * 61 + i * j) % 101) as f64 - 50.0) / 50.0);
        &b * b.transpose() + Mat::<f64>::identity(n, n) * faer::Scale(n as f64 / 4.0)
    }

    #[test]
    fn tiles_and_the_whole_agree() -> Result<()> {
        for (n, tile) in [(1, 4), (4, 4), (8, 4), (23, 5), (90, 16)] {
            let a = example(n);
            let whole = factor(a.as_ref())?;
            let tiles = Cholesky::by_tiles(a.clone(), tile, &NEVER)?;
            assert!((&tiles - whole.L()).norm_max() < 1e-12 * a.norm_max());
            let inverse = Cholesky::inverse_by_tiles(&tiles, tile, &NEVER)?;
            assert!((&a * &inverse - Mat::<f64>::identity(n, n)).norm_max() < 1e-11);
            assert!((&inverse - inverse.transpose()).norm_max() < 1e-13);
            let (whole, tiles) = (Cholesky::Whole(whole), Cholesky::Tiles(tiles));
            assert!((whole.log_det() - tiles.log_det()).abs() < 1e-10);
            let b = Mat::from_fn(n, 2, |i, j| (i + j) as f64);
            assert!((&a * tiles.solve(b.as_ref()) - &b).norm_max() < 1e-10 * n as f64);
        }
        Ok(())
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut a = example(40);
        a[(30, 30)] = -1.0;
        let kind = |found: Result<Mat<f64>>| found.err().map(|e| e.kind());
        assert_eq!(kind(Cholesky::by_tiles(a, 8, &NEVER)), Some("numerical"));
        let stopped = AtomicBool::new(true);
        assert_eq!(kind(Cholesky::by_tiles(example(40), 8, &stopped)), Some("interrupt"));
    }
}
