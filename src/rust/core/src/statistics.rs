//! All that is kept of a design once its rows have been read: basis, layout of theta, moments. Portable (serde).

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::moments::basis::{Basis, Spreads};
use crate::moments::crossed::CrossedMoments;
use crate::moments::hierarchy::Hierarchy;
use crate::moments::nested::NestedMoments;
use crate::objective::parameters::Parameters;
use crate::residual::Residual;
use crate::stop::go_on;

/// The moments of a design: nested where the factors form a chain, crossed otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Moments {
    /// One chain of nested factors.
    Nested(NestedMoments),
    /// Anything else.
    Crossed(Box<CrossedMoments>),
}

/// All that is kept of a design, in portable form: whoever holds it can fit, profile and test without the rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Statistics {
    /// Internal basis.
    pub basis: Basis,
    /// theta's layout.
    pub parameters: Parameters,
    /// REML?
    pub reml: bool,
    /// Rows.
    pub n: usize,
    /// 0-based positions of aliased columns in the design's X.
    pub dropped: Vec<usize>,
    /// Cross-products.
    pub moments: Moments,
}

impl Statistics {
    /// Validates the design, drops aliased columns and takes the one pass over the rows.
    ///
    /// # Errors
    /// Those of [`Design::validate`]; [`CoreError::Interrupted`] once `stop` is true.
    pub fn new(design: &Design, reml: bool, stop: &AtomicBool) -> Result<Self> {
        let runs = design.validate()?;
        let spreads = Spreads::of(design)?;
        go_on(stop)?;
        let mut design = design.clone();
        let mut dropped = Vec::new();
        loop {
            let statistics = Self::build(&design, &spreads, &runs, reml, stop)?;
            let aliased = statistics.aliased(&design);
            if aliased.is_empty() {
                return Ok(Statistics { dropped, ..statistics });
            }
            // positions in the full X: those already dropped are counted back in
            let kept: Vec<usize> = (0..design.x.len() + dropped.len()).filter(|k| !dropped.contains(k)).collect();
            dropped.extend(aliased.iter().map(|&k| kept[k]));
            dropped.sort_unstable();
            design.x = design.x.iter().enumerate().filter(|(k, _)| !aliased.contains(k)).map(|(_, &c)| c).collect();
        }
    }

    fn build(design: &Design, spreads: &Spreads, runs: &[Option<Vec<u32>>], reml: bool, stop: &AtomicBool) -> Result<Self> {
        let basis = Basis::new(design, spreads);
        let parameters = Parameters::new(design, &basis);
        let n = design.n();
        if n <= design.x.len() {
            return Err(CoreError::Data {
                what: format!("{n} rows cannot identify {} fixed effects and a residual variance", design.x.len()),
            });
        }
        let mut order: Vec<usize> = (0..basis.blocks.len()).collect();
        order.sort_by_key(|&b| std::cmp::Reverse(design.groups[basis.blocks[b].group].n_levels));
        let groups: Vec<usize> = order.iter().map(|&b| basis.blocks[b].group).collect();
        let residual = design.residual.as_ref();
        let moments = match Hierarchy::build(design, runs[groups[0]].clone(), &groups, &order) {
            Some(hierarchy) => Moments::Nested(NestedMoments::new(design, &basis, residual, hierarchy, stop)?),
            None if !residual.is_by_row() => {
                return Err(CoreError::Covariance {
                    what: "residuals cannot be correlated in a model with crossed grouping factors".into(),
                })
            }
            None => Moments::Crossed(Box::new(CrossedMoments::new(design, &basis, residual, &order, stop)?)),
        };
        Ok(Statistics { basis, parameters, reml, n, dropped: Vec::new(), moments })
    }

    /// The design without the columns that were dropped.
    pub fn kept<'d>(&self, design: &Design<'d>) -> Design<'d> {
        let mut design = design.clone();
        design.x = design.x.iter().enumerate().filter(|(k, _)| !self.dropped.contains(k)).map(|(_, &c)| c).collect();
        design
    }

    /// The statistics at other parameters of the residual structure, or for another outcome of which the basis knows: what is aliased and the
    /// internal basis of X and Z depend on neither. `design` is without dropped columns ([`Statistics::kept`]).
    ///
    /// # Errors
    /// Those of the pass over the rows.
    pub fn whitened_by(&self, design: &Design, residual: &dyn Residual, stop: &AtomicBool) -> Result<Self> {
        let (basis, parameters) = (self.basis.clone(), self.parameters.clone());
        let moments = match &self.moments {
            Moments::Nested(m) => Moments::Nested(NestedMoments::new(design, &basis, residual, m.hierarchy.clone(), stop)?),
            Moments::Crossed(m) => {
                let order: Vec<usize> = std::iter::once(m.block).chain(m.core.iter().map(|core| core.block)).collect();
                Moments::Crossed(Box::new(CrossedMoments::new(design, &basis, residual, &order, stop)?))
            }
        };
        Ok(Statistics { basis, parameters, reml: self.reml, n: self.n, dropped: self.dropped.clone(), moments })
    }

    /// The same random effects with [X y] replaced by [X y] M, M of (p + 1) × `width`; the last column is the new outcome. What the basis says
    /// of X no longer holds: the result is for the criterion alone, by maximum likelihood.
    pub fn with_tail(&self, map: &[f64], width: usize) -> Self {
        let mut out = self.clone();
        out.reml = false;
        out.basis.x.truncate(width - 1);
        match &mut out.moments {
            Moments::Nested(m) => m.map_tail(map, width),
            Moments::Crossed(m) => m.map_tail(map, width),
        }
        out
    }

    /// Columns of X that are linear combinations of those before them (lme4's rule: pivoted QR, tolerance 1e-7 on the column).
    fn aliased(&self, design: &Design) -> Vec<usize> {
        let total = match &self.moments {
            Moments::Nested(m) => &m.total,
            Moments::Crossed(m) => &m.total,
        };
        crate::aliasing::aliased(design, &self.basis, total)
    }
}
