//! The profiled criterion and its exact derivatives, computed from moments alone.
//!
//! Everything is differentiated with respect to the entries of Ψ = ΛΛ' (relative to σ²), in which V = I + ZΨZ' is linear:
//! no division by theta, so nothing special happens at the boundary. Chain rules to theta are in [`parameters`].

pub mod crossed;
pub mod nested;
pub mod parameters;
pub mod profile;
pub mod root;

use std::sync::atomic::AtomicUsize;

use crate::error::Result;

/// Several random effects of a factor with at most so many levels may have several optima (with 20 levels none was found in thousands of
/// simulated samples).
pub(crate) const FEW_LEVELS: usize = 30;
/// With more levels than these in the finest factor another search is not cheap.
pub(crate) const MANY_NODES: usize = 2000;

/// A free entry of Ψ: (a, b), a ≥ b, of the covariance matrix of one block (factor).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coordinate {
    /// Index into the basis' blocks.
    pub block: usize,
    /// Row.
    pub a: usize,
    /// Column.
    pub b: usize,
}

impl Coordinate {
    /// The positions (row, column) of Ψ that move with this coordinate: one on the diagonal, two off it.
    pub fn positions(&self) -> impl Iterator<Item = (usize, usize)> {
        let twin = (self.a != self.b).then_some((self.b, self.a));
        [Some((self.a, self.b)), twin].into_iter().flatten()
    }
}

/// How much an evaluation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// The value alone.
    Value,
    /// And the gradient.
    Gradient,
    /// And what an optimisation step needs: the exact Hessian where that is cheap, else its average-information part.
    Step,
    /// And the exact Hessian.
    Exact,
}

/// The pieces of the criterion in the internal basis. With ν = n - p (REML) or n (ML),
/// criterion = log_det + ν (1 + log(2π r2 / ν)).
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    /// log|V|, prior weights included, and under REML plus log|X'V⁻¹X|.
    pub log_det: f64,
    /// log|V| alone.
    pub log_det_v: f64,
    /// r'V⁻¹r at the generalised least squares fit.
    pub r2: f64,
    /// Gradients by coordinate.
    pub log_det_gradient: Vec<f64>,
    /// See `log_det_gradient`.
    pub r2_gradient: Vec<f64>,
    /// Hessian of `log_det` (m × m); `None` when only r2's was computed (average information).
    pub log_det_hessian: Option<Vec<f64>>,
    /// Hessian of `r2` (m × m).
    pub r2_hessian: Vec<f64>,
    /// Generalised least squares estimate in the internal basis.
    pub beta: Vec<f64>,
    /// (X'V⁻¹X)⁻¹ in the internal basis.
    pub xx_inverse: Vec<f64>,
    /// ∂(X'V⁻¹X) by coordinate.
    pub xx_gradient: Vec<Vec<f64>>,
}

/// An evaluator of the criterion at Ψ (one q × q matrix per block).
pub trait Objective: Sync {
    /// Whether the exact Hessian costs little at Ψ = 0 and much elsewhere: then the search starts there (MIVQUE(0); Rao 1971).
    fn starts_at_zero(&self) -> bool {
        false
    }
    /// Whether few levels leave room for several optima while another search costs little: then more than one start is tried.
    fn may_have_several_optima(&self) -> bool;
    /// Free entries of Ψ.
    fn coordinates(&self) -> &[Coordinate];
    /// The criterion's pieces.
    ///
    /// # Errors
    /// [`crate::error::CoreError::Numerical`] when a factorisation fails, [`crate::error::CoreError::Interrupted`] once the flag that the objective
    /// was given is true.
    fn evaluate(&self, psi: &[Vec<f64>], order: Order) -> Result<Pieces>;
    /// For every direction w over [X y]: the second derivatives of w'Sw, S = [X y]'V⁻¹[X y], by pairs of coordinates (m × m each).
    /// `done` counts the directions.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    fn second_derivatives(&self, psi: &[Vec<f64>], directions: &[Vec<f64>], done: &AtomicUsize) -> Result<Vec<Vec<f64>>>;
    /// Conditional modes b per block (original level × q) in the internal basis.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    fn modes(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>>;
    /// Conditional covariances Var(b | y, β)/σ² per block (original level × q × q) in the internal basis.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    fn conditional_covariances(&self, psi: &[Vec<f64>]) -> Result<Vec<Vec<f64>>>;
}
