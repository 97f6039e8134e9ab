//! The whole way from a validated design to estimates.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::estimates::{self, Estimates};
use crate::inference::satterthwaite::{self, Satterthwaite};
use crate::moments::basis::Basis;
use crate::moments::crossed::CrossedMoments;
use crate::moments::hierarchy::{parent_of, Hierarchy};
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
enum Moments {
    Nested(NestedMoments),
    Crossed(Box<CrossedMoments>),
}

/// A design made ready for evaluation: basis, moments and parametrisation.
pub struct Prepared<'s> {
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
    moments: Moments,
    stop: &'s AtomicBool,
}

/// A fitted model in the user's units.
#[derive(Debug, Clone)]
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

impl<'s> Prepared<'s> {
    /// Validates the design, drops aliased columns and takes the one pass over the rows.
    /// Once `stop` is true, every evaluation returns [`CoreError::Interrupted`].
    ///
    /// # Errors
    /// Those of [`Design::validate`].
    pub fn new(design: &Design, reml: bool, stop: &'s AtomicBool) -> Result<Self> {
        design.validate()?;
        let mut design = design.clone();
        let mut dropped = Vec::new();
        loop {
            let prepared = Self::build(&design, reml, stop)?;
            let aliased = prepared.aliased(&design);
            if aliased.is_empty() {
                return Ok(Prepared { dropped, ..prepared });
            }
            // positions in the full X: those already dropped are counted back in
            let kept: Vec<usize> = (0..design.x.len() + dropped.len()).filter(|k| !dropped.contains(k)).collect();
            dropped.extend(aliased.iter().map(|&k| kept[k]));
            dropped.sort_unstable();
            design.x = design.x.iter().enumerate().filter(|(k, _)| !aliased.contains(k)).map(|(_, &c)| c).collect();
        }
    }

    fn build(design: &Design, reml: bool, stop: &'s AtomicBool) -> Result<Self> {
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
        let nested = groups.windows(2).all(|g| parent_of(&design.groups[g[0]], &design.groups[g[1]]).is_some());
        let hierarchy = if nested { Hierarchy::build(design, &groups, &order) } else { None };
        let moments = match hierarchy {
            Some(hierarchy) => Moments::Nested(NestedMoments::new(design, &basis, &Identity, hierarchy)),
            None => Moments::Crossed(Box::new(CrossedMoments::new(design, &basis, &Identity, &order)?)),
        };
        Ok(Prepared { basis, parameters, reml, n, dropped: Vec::new(), moments, stop })
    }

    /// Columns of X that are linear combinations of those before them (lme4's rule: pivoted QR, tolerance 1e-7 on the column).
    fn aliased(&self, design: &Design) -> Vec<usize> {
        let total = match &self.moments {
            Moments::Nested(m) => &m.total,
            Moments::Crossed(m) => &m.total,
        };
        crate::aliasing::aliased(design, &self.basis, total)
    }

    /// Calls `task` with the profiled criterion.
    ///
    /// # Errors
    /// Those of `task`.
    pub fn with_profile<T>(&self, task: impl FnOnce(&Profile) -> Result<T>) -> Result<T> {
        let active = self.parameters.active();
        let nu = (self.n - if self.reml { self.basis.x.len() } else { 0 }) as f64;
        let run = |objective: &dyn Objective| task(&Profile { objective, parameters: &self.parameters, nu, stop: self.stop });
        match &self.moments {
            Moments::Nested(moments) => run(&NestedObjective::new(moments, &active, self.reml)),
            Moments::Crossed(moments) => run(&CrossedObjective::new(moments, &active, self.reml)),
        }
    }

    /// theta in the internal basis.
    ///
    /// # Errors
    /// [`CoreError::Design`] when theta has the wrong length or is not finite.
    pub fn theta_inside(&self, theta: &[f64]) -> Result<Vec<f64>> {
        if theta.len() != self.parameters.n_theta || theta.iter().any(|t| !t.is_finite()) {
            return Err(CoreError::Design {
                what: format!("theta must be {} finite numbers, not {}", self.parameters.n_theta, theta.len()),
            });
        }
        Ok(self.parameters.convert(&self.basis, theta, true))
    }

    /// Finds the optimum.
    ///
    /// # Errors
    /// Those of the objective at the start.
    pub fn fit(&self, control: &Control) -> Result<Fit> {
        let start = control.start.as_deref().map(|theta| self.theta_inside(theta)).transpose()?;
        self.with_profile(|profile| {
            let optimum = optimize::minimise(profile, control, start.as_deref())?;
            let estimates = estimates::at(self, profile, &optimum.point)?;
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
        self.with_profile(|profile| estimates::at(self, profile, &profile.at(&inside, Order::Gradient)?))
    }

    /// Criterion, gradient and Hessian with respect to theta in the user's units; order 0, 1 or 2.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn evaluate(&self, theta: &[f64], order: Order) -> Result<(f64, Vec<f64>, Vec<f64>)> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| {
            let point = profile.at(&inside, order)?;
            estimates::derivatives(self, profile, theta, &point)
        })
    }

    /// Conditional covariances of the random effects, Var(b | y) given theta and β, per block: levels × q × q, user's units.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn conditional_covariances(&self, theta: &[f64]) -> Result<Vec<Vec<f64>>> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| estimates::conditional_covariances(self, profile, &inside))
    }

    /// What Satterthwaite's method needs.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn satterthwaite(&self, theta: &[f64]) -> Result<Satterthwaite> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| satterthwaite::at(self, profile, theta, &inside))
    }
}
