//! The fitted model that replicates are drawn from.

use std::sync::atomic::AtomicBool;

use super::rng::Random;
use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::fit::Prepared;
use crate::linalg::small;
use crate::moments::outcome::WhitenedRows;
use crate::statistics::Statistics;

/// A design with the estimates of a fit to it.
pub struct Source<'d> {
    /// The design.
    pub design: &'d Design<'d>,
    /// Its statistics.
    pub statistics: Statistics,
    /// Its rows, ready for other outcomes.
    pub rows: WhitenedRows<'d>,
    /// Fixed part of the linear predictor, offset included.
    pub fixed: Vec<f64>,
    /// Λ of every term.
    pub lambdas: Vec<Vec<f64>>,
    /// Residual SD.
    pub sigma: f64,
    /// Covariance parameters.
    pub theta: Vec<f64>,
    /// The same in the internal basis.
    pub inside: Vec<f64>,
    /// Free parameters of the residual structure; none where rows are independent with equal variances.
    pub free: Vec<f64>,
    /// Set from outside to end what is computed from it.
    pub stop: &'d AtomicBool,
}

impl<'d> Source<'d> {
    /// `beta` over the kept columns, `theta` and `sigma` in the user's units. Once `stop` is true, this and what is made of it end.
    ///
    /// # Errors
    /// Those of [`Statistics::new`]; [`CoreError::Design`] when the estimates do not belong to the design.
    pub fn new(
        design: &'d Design<'d>,
        reml: bool,
        theta: &[f64],
        beta: &[f64],
        sigma: f64,
        stop: &'d AtomicBool,
    ) -> Result<Self> {
        let statistics = Statistics::new(design, reml, stop)?;
        let parameters = &statistics.parameters;
        let kept: Vec<usize> = (0..design.x.len()).filter(|k| !statistics.dropped.contains(k)).map(|k| design.x[k]).collect();
        if beta.len() != kept.len() || theta.len() != parameters.n_theta || sigma <= 0.0 {
            return Err(CoreError::Design {
                what: format!(
                    "the estimates ({} fixed effects, {} covariance parameters, residual SD {sigma}) do not belong to the design ({}, {})",
                    beta.len(),
                    theta.len(),
                    kept.len(),
                    parameters.n_theta
                ),
            });
        }
        if beta.iter().chain(theta).any(|v| !v.is_finite()) || !sigma.is_finite() {
            return Err(CoreError::Design { what: "the estimates must be finite".into() });
        }
        let mut fixed = design.offset.map_or_else(|| vec![0.0; design.n()], <[f64]>::to_vec);
        for (&column, &b) in kept.iter().zip(beta) {
            match column {
                0 => fixed.iter_mut().for_each(|v| *v += b),
                k => fixed.iter_mut().zip(design.columns[k - 1]).for_each(|(v, x)| *v += b * x),
            }
        }
        let lambdas = parameters.lambdas(theta);
        let inside = parameters.convert(&statistics.basis, theta, true);
        let rows = WhitenedRows::new(design, &statistics, stop)?;
        let free = design.residual.free();
        Ok(Source { design, statistics, rows, fixed, lambdas, sigma, theta: theta.to_vec(), inside, free, stop })
    }

    /// Levels of a term's grouping factor and columns of the term.
    pub fn size(&self, term: usize) -> (usize, usize) {
        let term = &self.design.terms[term];
        (self.design.groups[term.group].n_levels, term.columns.len())
    }

    /// y += Z b for a term; `b` is levels × q.
    pub fn add_random(&self, term: usize, b: &[f64], y: &mut [f64]) {
        let term = &self.design.terms[term];
        let (codes, q) = (self.design.groups[term.group].codes, term.columns.len());
        for (j, &column) in term.columns.iter().enumerate() {
            let effect = |code: i32| b[(code as usize - 1) * q + j];
            match column {
                0 => y.iter_mut().zip(codes).for_each(|(v, &code)| *v += effect(code)),
                k => y.iter_mut().zip(codes).zip(self.design.columns[k - 1]).for_each(|((v, &code), x)| *v += effect(code) * x),
            }
        }
    }

    /// SD of a row's residual.
    pub fn residual_sd(&self, row: usize) -> f64 {
        self.design.weights.map_or(self.sigma, |w| self.sigma / w[row].sqrt())
    }

    /// y += residuals drawn from the fit, with the correlations and variances of the residual structure.
    pub fn add_residuals(&self, random: &mut Random, y: &mut [f64]) {
        if self.free.is_empty() {
            return y.iter_mut().enumerate().for_each(|(row, v)| *v += self.residual_sd(row) * random.normal());
        }
        let draws: Vec<f64> = y.iter().map(|_| self.sigma * random.normal()).collect();
        self.rows.coloured(&draws, |row, value| y[row] += value);
    }

    /// Conditional modes of every term, levels × q.
    ///
    /// # Errors
    /// Those of the objective.
    pub fn modes(&self) -> Result<Vec<Vec<f64>>> {
        let estimates = Prepared::from_statistics(self.statistics.clone(), self.stop).at(&self.theta)?;
        let mut out = vec![Vec::new(); self.design.terms.len()];
        for (block, modes) in self.statistics.basis.blocks.iter().zip(&estimates.modes) {
            for &(term, start) in &block.terms {
                let q = self.design.terms[term].columns.len();
                out[term] = modes.rows().into_iter().flat_map(|row| (start..start + q).map(move |k| row[k])).collect();
            }
        }
        Ok(out)
    }

    /// σΛ of a term as the lower-triangular matrix whose columns of zero pivots are zero.
    pub fn root(&self, term: usize) -> Vec<f64> {
        let q = self.size(term).1;
        small::triangularize(q, q, &self.lambdas[term]).iter().map(|v| self.sigma * v).collect()
    }
}
