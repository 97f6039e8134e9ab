//! The design: what the R side hands over, validated once and immutable afterwards.

use std::sync::Arc;

use crate::covariance::Covariance;
use crate::error::{CoreError, Result};
use crate::linalg::lanes::with_vectors;
use crate::residual::Residual;

/// One grouping factor: the level of every row.
#[derive(Debug, Clone)]
pub struct Grouping<'a> {
    /// Level of each row, 1-based as R's factor codes; length n.
    pub codes: &'a [i32],
    /// Number of levels J; every level has at least one row.
    pub n_levels: usize,
}

/// One random-effect term `(columns | group)`.
#[derive(Debug, Clone)]
pub struct Term {
    /// Index into [`Design::groups`].
    pub group: usize,
    /// Indices into the pool: 0 is the constant 1, k is `columns[k - 1]`.
    pub columns: Vec<usize>,
    /// Structure of the relative covariance matrix of the term.
    pub structure: Arc<dyn Covariance>,
}

/// A linear mixed model's data: borrowed columns, no matrix formed.
#[derive(Debug, Clone)]
pub struct Design<'a> {
    /// Response, length n.
    pub y: &'a [f64],
    /// Known part of the linear predictor, length n.
    pub offset: Option<&'a [f64]>,
    /// Prior weights, positive, length n: Var(ε_i) = σ²/w_i.
    pub weights: Option<&'a [f64]>,
    /// Pool of distinct columns, each of length n.
    pub columns: Vec<&'a [f64]>,
    /// Pool index of each fixed-effect column.
    pub x: Vec<usize>,
    /// Grouping factors.
    pub groups: Vec<Grouping<'a>>,
    /// Random-effect terms, at least one.
    pub terms: Vec<Term>,
    /// Structure of the residuals, at some parameters. One that correlates rows does so within the levels of the finest grouping factor.
    pub residual: Arc<dyn Residual>,
}

impl Design<'_> {
    /// Number of rows.
    pub fn n(&self) -> usize {
        self.y.len()
    }

    /// Checks every length and index, weights, offset and codes. (Whether columns and outcome are finite is found out where their spread is:
    /// [`Spreads`](crate::moments::basis::Spreads).) Returns the [`Grouping::runs`] of every factor.
    ///
    /// # Errors
    /// [`CoreError::Design`] for lengths and indices, [`CoreError::Data`] for values that cannot be analysed.
    pub fn validate(&self) -> Result<Vec<Option<Vec<u32>>>> {
        let n = self.n();
        let bad = |what: String| Err(CoreError::Design { what });
        if n == 0 {
            return Err(CoreError::Data { what: "there are no rows to analyse".into() });
        }
        for (k, column) in self.columns.iter().enumerate() {
            if column.len() != n {
                return bad(format!("column {} has {} values for {n} rows", k + 1, column.len()));
            }
        }
        for (values, what) in [(self.offset, "the offset"), (self.weights, "the weights")] {
            if let Some(values) = values {
                if values.len() != n {
                    return bad(format!("{what} has {} values for {n} rows", values.len()));
                }
                finite(values, what)?;
            }
        }
        if self.weights.is_some_and(|w| w.iter().any(|&w| w <= 0.0)) {
            return Err(CoreError::Data { what: "weights must be positive".into() });
        }
        let pool = self.columns.len();
        if self.terms.is_empty() {
            return bad("no random-effect term".into());
        }
        if self.x.iter().chain(self.terms.iter().flat_map(|t| &t.columns)).any(|&k| k > pool) {
            return bad(format!("a column index is beyond the {pool} columns of the pool"));
        }
        for term in &self.terms {
            if term.group >= self.groups.len() || term.columns.is_empty() {
                return bad("a random-effect term has no columns or no grouping factor".into());
            }
        }
        if self.residual.n_rows().is_some_and(|rows| rows != n) {
            return bad(format!("the residual structure was made for another number of rows than {n}"));
        }
        self.groups.iter().enumerate().map(|(g, group)| group.validate(n, g)).collect()
    }
}

impl Grouping<'_> {
    /// Where the rows of every level start, and n, when levels 1, 2, ... come one after the other.
    pub fn runs(&self) -> Option<Vec<u32>> {
        let (codes, n) = (self.codes, self.codes.len());
        if codes.first() != Some(&1) || codes.last() != i32::try_from(self.n_levels).ok().as_ref() || !self.climbs() {
            return None;
        }
        let mut starts = Vec::with_capacity(self.n_levels + 1);
        let (mut start, mut length) = (0, 1);
        while start < n {
            starts.push(start as u32);
            // most often as many rows as the level before
            let level = codes[start];
            let mut end = start + length;
            if end > n || codes[end - 1] != level {
                end = start + 1;
            }
            while end < n && codes[end] == level {
                end += 1;
            }
            (start, length) = (end, end - start);
        }
        starts.push(n as u32);
        Some(starts)
    }

    /// Whether every code is that of the row before or the next one.
    fn climbs(&self) -> bool {
        let blocks = self.codes.chunks(1024).zip(self.codes[1..].chunks(1024));
        with_vectors!(blocks => {
            let mut blocks = blocks;
            blocks.all(|(before, after)| before.iter().zip(after).fold(true, |ok, (&b, &a)| ok & (a.wrapping_sub(b) & !1 == 0)))
        })
    }

    fn validate(&self, n: usize, g: usize) -> Result<Option<Vec<u32>>> {
        let bad = |what: String| Err(CoreError::Design { what });
        if self.codes.len() != n {
            return bad(format!("grouping factor {} has {} codes for {n} rows", g + 1, self.codes.len()));
        }
        if let Some(runs) = self.runs() {
            return Ok(Some(runs));
        }
        let mut seen = vec![false; self.n_levels];
        for (block, codes) in self.codes.chunks(1024).enumerate() {
            let wrong = |code: i32| code < 1 || code as usize > self.n_levels;
            if codes.iter().fold(false, |any, &code| any | wrong(code)) {
                let row = codes.iter().position(|&code| wrong(code)).unwrap_or_default();
                return bad(format!("grouping factor {} has code {} in row {}", g + 1, codes[row], block * 1024 + row + 1));
            }
            codes.iter().for_each(|&code| seen[code as usize - 1] = true);
        }
        if seen.iter().any(|&s| !s) {
            return bad(format!("grouping factor {} has levels without rows", g + 1));
        }
        Ok(None)
    }
}

pub(crate) fn finite(values: &[f64], what: &str) -> Result<()> {
    // whole blocks without a branch per value, which the compiler turns into vector instructions
    if values.chunks(1024).all(|block| block.iter().fold(true, |ok, v| ok & v.is_finite())) {
        return Ok(());
    }
    let row = values.iter().position(|v| !v.is_finite()).unwrap_or_default();
    Err(CoreError::Data { what: format!("{what} is not a finite number in row {}", row + 1) })
}
