//! The one error type of the core: structured fields, no strings assembled by callers.

use thiserror::Error;

/// Everything that can go wrong before or during estimation.
///
/// Non-convergence is not an error: it is a [`crate::fit::Status`].
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CoreError {
    /// Lengths or indices of the design do not fit together.
    #[error("the design is inconsistent: {what}")]
    Design {
        /// What does not fit.
        what: String,
    },
    /// The data cannot identify the model.
    #[error("{what}")]
    Data {
        /// What was found and what to do.
        what: String,
    },
    /// A covariance structure was asked for that does not exist or does not fit.
    #[error("covariance structure: {what}")]
    Covariance {
        /// What was found.
        what: String,
    },
    /// A matrix that must be positive definite is not.
    #[error("numerical failure: {what}")]
    Numerical {
        /// Where.
        what: String,
    },
    /// The user interrupted the computation.
    #[error("interrupted")]
    Interrupted,
    /// A broken invariant of the program itself.
    #[error("internal error: {what}; please report it")]
    Internal {
        /// Where.
        what: String,
    },
}

impl CoreError {
    /// The kind that becomes the R condition class `hlm_error_<kind>`.
    pub fn kind(&self) -> &'static str {
        match self {
            CoreError::Design { .. } => "design",
            CoreError::Data { .. } => "data",
            CoreError::Covariance { .. } => "covariance",
            CoreError::Numerical { .. } => "numerical",
            CoreError::Interrupted => "interrupt",
            CoreError::Internal { .. } => "internal",
        }
    }
}

/// Result of every fallible function in the core.
pub type Result<T> = std::result::Result<T, CoreError>;
