//! The whole way from a validated design to estimates.

use std::sync::atomic::AtomicBool;

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::estimates::{self, Estimates};
use crate::inference::satterthwaite::{self, Satterthwaite};
use crate::moments::basis::Basis;
use crate::moments::crossed::CrossedMoments;
use crate::moments::hierarchy::Hierarchy;
use crate::moments::nested::NestedMoments;
use crate::objective::crossed::CrossedObjective;
use crate::objective::nested::NestedObjective;
use crate::objective::parameters::Parameters;
use crate::objective::profile::Profile;
use crate::objective::{Objective, Order};
use crate::optimize::{self, Control};
use crate::residual::Identity;

/// How the optimiser ended, for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Interior optimum: the scaled gradient is zero.
    Converged,
    /// Optimum on the boundary of the parameter space.
    Boundary,
    /// No optimum was reached.
    Failed,
}

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

/// Statistics made ready for evaluation.
pub struct Prepared<'s> {
    /// What is evaluated.
    pub statistics: Statistics,
    stop: &'s AtomicBool,
}

/// A fitted model in the user's units.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fit {
    /// Estimates at the optimum.
    pub estimates: Estimates,
    /// How it ended.
    pub status: Status,
    /// Newton iterations.
    pub iterations: usize,
    /// Evaluations of the criterion.
    pub evaluations: usize,
    /// Newton decrement: the decrease of the criterion still to be expected.
    pub decrement: f64,
}

impl Statistics {
    /// Validates the design, drops aliased columns and takes the one pass over the rows.
    ///
    /// # Errors
    /// Those of [`Design::validate`].
    pub fn new(design: &Design, reml: bool) -> Result<Self> {
        design.validate()?;
        let mut design = design.clone();
        let mut dropped = Vec::new();
        loop {
            let statistics = Self::build(&design, reml)?;
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

    fn build(design: &Design, reml: bool) -> Result<Self> {
        let basis = Basis::new(design);
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
        let moments = match Hierarchy::build(design, &groups, &order) {
            Some(hierarchy) => Moments::Nested(NestedMoments::new(design, &basis, &Identity, hierarchy)),
            None => Moments::Crossed(Box::new(CrossedMoments::new(design, &basis, &Identity, &order)?)),
        };
        Ok(Statistics { basis, parameters, reml, n, dropped: Vec::new(), moments })
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

impl<'s> Prepared<'s> {
    /// Validates the design, drops aliased columns and takes the one pass over the rows.
    /// Once `stop` is true, every evaluation returns [`CoreError::Interrupted`].
    ///
    /// # Errors
    /// Those of [`Design::validate`].
    pub fn new(design: &Design, reml: bool, stop: &'s AtomicBool) -> Result<Self> {
        Ok(Self::from_statistics(Statistics::new(design, reml)?, stop))
    }

    /// From statistics made earlier, or elsewhere.
    pub fn from_statistics(statistics: Statistics, stop: &'s AtomicBool) -> Self {
        Prepared { statistics, stop }
    }

    /// Calls `task` with the profiled criterion.
    ///
    /// # Errors
    /// Those of `task`.
    pub fn with_profile<T>(&self, task: impl FnOnce(&Profile) -> Result<T>) -> Result<T> {
        let active = self.statistics.parameters.active();
        let nu = (self.statistics.n - if self.statistics.reml { self.statistics.basis.x.len() } else { 0 }) as f64;
        let run = |objective: &dyn Objective| {
            task(&Profile { objective, parameters: &self.statistics.parameters, nu, stop: self.stop })
        };
        match &self.statistics.moments {
            Moments::Nested(moments) => run(&NestedObjective::new(moments, &active, self.statistics.reml)),
            Moments::Crossed(moments) => run(&CrossedObjective::new(moments, &active, self.statistics.reml)),
        }
    }

    /// theta in the internal basis.
    ///
    /// # Errors
    /// [`CoreError::Design`] when theta has the wrong length or is not finite.
    pub fn theta_inside(&self, theta: &[f64]) -> Result<Vec<f64>> {
        if theta.len() != self.statistics.parameters.n_theta || theta.iter().any(|t| !t.is_finite()) {
            return Err(CoreError::Design {
                what: format!("theta must be {} finite numbers, not {}", self.statistics.parameters.n_theta, theta.len()),
            });
        }
        Ok(self.statistics.parameters.convert(&self.statistics.basis, theta, true))
    }

    /// Finds the optimum.
    ///
    /// # Errors
    /// Those of the objective at the start.
    pub fn fit(&self, control: &Control) -> Result<Fit> {
        let start = control.start.as_deref().map(|theta| self.theta_inside(theta)).transpose()?;
        self.with_profile(|profile| {
            let optimum = optimize::minimise(profile, control, start.as_deref())?;
            let estimates = estimates::at(&self.statistics, profile, &optimum.point)?;
            let status = match (optimum.converged, estimates.boundary.is_empty()) {
                (false, _) => Status::Failed,
                (true, true) => Status::Converged,
                (true, false) => Status::Boundary,
            };
            Ok(Fit {
                estimates,
                status,
                iterations: optimum.iterations,
                evaluations: optimum.evaluations,
                decrement: optimum.decrement,
            })
        })
    }

    /// Estimates at a given theta (user's units).
    ///
    /// # Errors
    /// As [`Prepared::theta_inside`] and the objective.
    pub fn at(&self, theta: &[f64]) -> Result<Estimates> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| estimates::at(&self.statistics, profile, &profile.at(&inside, Order::Gradient)?))
    }

    /// Criterion, gradient and Hessian with respect to theta in the user's units; order 0, 1 or 2.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn evaluate(&self, theta: &[f64], order: Order) -> Result<(f64, Vec<f64>, Array2<f64>)> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| {
            let point = profile.at(&inside, order)?;
            let (value, gradient, hessian) = estimates::derivatives(&self.statistics, profile, theta, &point)?;
            let side = if hessian.is_empty() { 0 } else { theta.len() };
            Ok((value, gradient, estimates::matrix(side, side, hessian)?))
        })
    }

    /// Conditional covariances of the random effects, Var(b | y) given theta and β, per block: levels × q × q, in the user's units.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn conditional_covariances(&self, theta: &[f64]) -> Result<Vec<Array3<f64>>> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| estimates::conditional_covariances(&self.statistics, profile, &inside))
    }

    /// What Satterthwaite's method needs.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn satterthwaite(&self, theta: &[f64]) -> Result<Satterthwaite> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| satterthwaite::at(&self.statistics, profile, theta, &inside))
    }
}
