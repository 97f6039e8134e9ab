//! The whole way from a validated design to estimates.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard};

use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::estimates::{self, Brief, Estimates};
use crate::inference::kenward_roger::{self, KenwardRoger};
use crate::inference::satterthwaite::{self, Satterthwaite};
use crate::objective::crossed::CrossedObjective;
use crate::objective::nested::{NestedObjective, Workspace};
use crate::objective::profile::{Point, Profile};
use crate::objective::{Objective, Order};
use crate::optimize::{self, Control};
use crate::statistics::{Moments, Statistics};

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

/// Statistics made ready for evaluation.
pub struct Prepared<'s> {
    /// What is evaluated.
    pub statistics: Statistics,
    pub(crate) stop: &'s AtomicBool,
    /// Buffers of the last objective, for the next one.
    spare: Mutex<Workspace>,
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

impl<'s> Prepared<'s> {
    /// Validates the design, drops aliased columns and takes the one pass over the rows.
    /// Once `stop` is true, this and every evaluation returns [`CoreError::Interrupted`].
    ///
    /// # Errors
    /// Those of [`Design::validate`].
    pub fn new(design: &Design, reml: bool, stop: &'s AtomicBool) -> Result<Self> {
        Ok(Self::from_statistics(Statistics::new(design, reml, stop)?, stop))
    }

    /// From statistics made earlier, or elsewhere.
    pub fn from_statistics(statistics: Statistics, stop: &'s AtomicBool) -> Self {
        Prepared { statistics, stop, spare: Mutex::default() }
    }

    fn spare(&self) -> MutexGuard<'_, Workspace> {
        self.spare.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Calls `task` with the profiled criterion.
    ///
    /// # Errors
    /// Those of `task`.
    pub fn with_profile<T>(&self, task: impl FnOnce(&Profile) -> Result<T>) -> Result<T> {
        let active = self.statistics.parameters.active();
        let nu = (self.statistics.n - if self.statistics.reml { self.statistics.basis.x.len() } else { 0 }) as f64;
        let run = |objective: &dyn Objective| task(&Profile { objective, parameters: &self.statistics.parameters, nu });
        match &self.statistics.moments {
            Moments::Nested(moments) => {
                let spare = std::mem::take(&mut *self.spare());
                let objective = NestedObjective::new(moments, &active, self.statistics.reml, spare, self.stop);
                let out = run(&objective);
                *self.spare() = objective.into_workspace();
                out
            }
            Moments::Crossed(moments) => run(&CrossedObjective::new(moments, &active, self.statistics.reml, self.stop)),
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

    /// Finds the optimum, from `start` (internal basis) where there is one, and reports the parameters and what `more` makes of the optimum.
    ///
    /// # Errors
    /// Those of the objective at the start, and of `more`.
    pub fn refit<T>(
        &self,
        control: &Control,
        start: Option<&[f64]>,
        more: impl FnOnce(&Profile, &Point, &Brief) -> Result<T>,
    ) -> Result<(Status, Brief, T)> {
        self.with_profile(|profile| {
            let optimum = optimize::minimise(profile, control, start)?;
            let brief = estimates::brief(&self.statistics, profile, &optimum.point);
            let status = match (optimum.converged, brief.on_boundary) {
                (false, _) => Status::Failed,
                (true, false) => Status::Converged,
                (true, true) => Status::Boundary,
            };
            let more = more(profile, &optimum.point, &brief)?;
            Ok((status, brief, more))
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

    /// What Kenward & Roger's method needs; for statistics of a REML fit. `done` counts p (p + 1) / 2 steps.
    ///
    /// # Errors
    /// As [`Prepared::at`].
    pub fn kenward_roger(&self, theta: &[f64], done: &AtomicUsize) -> Result<KenwardRoger> {
        let inside = self.theta_inside(theta)?;
        self.with_profile(|profile| kenward_roger::at(&self.statistics, profile, &inside, done))
    }
}
