//! The design: what the R side hands over, validated once and immutable afterwards.

use std::sync::Arc;

use crate::covariance::Covariance;
use crate::error::{CoreError, Result};
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

    /// Checks every length, index and value.
    ///
    /// # Errors
    /// [`CoreError::Design`] for lengths and indices, [`CoreError::Data`] for values that cannot be analysed.
    pub fn validate(&self) -> Result<()> {
        let n = self.n();
        let bad = |what: String| Err(CoreError::Design { what });
        if n == 0 {
            return Err(CoreError::Data { what: "there are no rows to analyse".into() });
        }
        for (k, column) in self.columns.iter().enumerate() {
            if column.len() != n {
                return bad(format!("column {} has {} values for {n} rows", k + 1, column.len()));
            }
            finite(column, &format!("column {}", k + 1))?;
        }
        finite(self.y, "the outcome")?;
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
        for (g, group) in self.groups.iter().enumerate() {
            group.validate(n, g)?;
        }
        Ok(())
    }
}

impl Grouping<'_> {
    fn validate(&self, n: usize, g: usize) -> Result<()> {
        let bad = |what: String| Err(CoreError::Design { what });
        if self.codes.len() != n {
            return bad(format!("grouping factor {} has {} codes for {n} rows", g + 1, self.codes.len()));
        }
        let mut seen = vec![false; self.n_levels];
        for (row, &code) in self.codes.iter().enumerate() {
            if code < 1 || code as usize > self.n_levels {
                return bad(format!("grouping factor {} has code {code} in row {}", g + 1, row + 1));
            }
            seen[code as usize - 1] = true;
        }
        if seen.iter().any(|&s| !s) {
            return bad(format!("grouping factor {} has levels without rows", g + 1));
        }
        Ok(())
    }
}

fn finite(values: &[f64], what: &str) -> Result<()> {
    // whole blocks without a branch per value, which the compiler turns into vector instructions
    if values.chunks(1024).all(|block| block.iter().fold(true, |ok, v| ok & v.is_finite())) {
        return Ok(());
    }
    let row = values.iter().position(|v| !v.is_finite()).unwrap_or_default();
    Err(CoreError::Data { what: format!("{what} is not a finite number in row {}", row + 1) })
}
