//! Profile likelihood (Bates et al. 2015, §5.1; Venzon & Moolgavkar 1988): one parameter held at a value, the criterion minimised over all
//! others, from the moments. ζ = ± the square root of the rise of the criterion.
//!
//! [`variance`] holds an SD, a correlation or σ, [`coefficient`] a fixed effect, [`trace`] walks along a parameter and finds where ζ reaches
//! a bound.

pub mod coefficient;
pub mod trace;
pub mod variance;

use crate::error::{CoreError, Result};
use crate::fit::Prepared;
use crate::optimize::Control;
use serde::{Deserialize, Serialize};

pub use trace::{Curve, Limits, Step};

/// A parameter of the model, in the user's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameter {
    /// SD of a column of a term.
    Sd {
        /// Term of the design.
        term: usize,
        /// Column of the term.
        column: usize,
    },
    /// Correlation of two columns of a term.
    Correlation {
        /// Term of the design.
        term: usize,
        /// The two columns.
        columns: (usize, usize),
    },
    /// Residual SD.
    Sigma,
    /// Fixed effect, by its place among those that were estimated.
    Coefficient(usize),
}

/// All parameters at one point, in the user's units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Fixed effects.
    pub beta: Vec<f64>,
    /// Λ relative to σ.
    pub theta: Vec<f64>,
    /// Residual SD.
    pub sigma: f64,
}

/// The criterion minimised over all parameters but one.
pub trait Constrained {
    /// The criterion with the parameter held at `value`, searched from the state last reached; and where.
    ///
    /// # Errors
    /// Those of the objective; [`CoreError::Numerical`] when no minimum was found.
    fn at(&mut self, value: f64) -> Result<(f64, State)>;
    /// Starts the next search from this state.
    ///
    /// # Errors
    /// [`CoreError::Design`] when the state does not belong to the model.
    fn start_from(&mut self, state: &State) -> Result<()>;
}

/// What is asked of [`profile`].
#[derive(Debug, Clone)]
pub struct Request {
    /// The parameter.
    pub parameter: Parameter,
    /// ζ up to which the curve is followed.
    pub zeta_max: f64,
    /// Values of ζ whose parameter values are wanted, on both sides.
    pub cutoffs: Vec<f64>,
    /// Points per side that a curve aims at.
    pub points: usize,
}

/// The curve of a parameter about the estimates at `theta` (user's units; the optimum of the criterion of the statistics: REML or ML; fixed
/// effects need ML).
///
/// # Errors
/// Those of the objective; [`CoreError::Design`] for a parameter that the model does not have.
pub fn profile(prepared: &Prepared, theta: &[f64], control: &Control, request: &Request) -> Result<Curve> {
    let estimates = prepared.at(theta)?;
    let best = State { beta: estimates.beta.clone(), theta: theta.to_vec(), sigma: estimates.sigma };
    let statistics = &prepared.statistics;
    match request.parameter {
        Parameter::Coefficient(k) => {
            if statistics.reml || k >= best.beta.len() {
                return Err(CoreError::Design { what: "a fixed effect is profiled by maximum likelihood".into() });
            }
            let se = estimates.vcov[[k, k]].sqrt();
            let mut constrained = coefficient::Coefficient::new(prepared, k, theta, control);
            let walk = trace::Walk { estimate: best.beta[k], scale: se, lower: f64::NEG_INFINITY, upper: f64::INFINITY };
            trace::follow(&mut constrained, walk, estimates.criterion, &best, request)
        }
        parameter => prepared.with_profile(|profile| {
            let mut constrained = variance::Variance::new(statistics, profile, parameter, control)?;
            let walk = constrained.walk(&best)?;
            trace::follow(&mut constrained, walk, estimates.criterion, &best, request)
        }),
    }
}
