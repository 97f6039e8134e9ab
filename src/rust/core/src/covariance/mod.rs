//! Covariance structures of a random-effect term: theta to Λ, the relative Cholesky factor, Ψ = ΛΛ'.
//!
//! One file per structure plus one line in [`structure`]: nothing else in the core knows which structures exist.

mod diagonal;
mod unstructured;

use std::fmt::Debug;
use std::sync::Arc;

pub use diagonal::Diagonal;
pub use unstructured::Unstructured;

use crate::error::{CoreError, Result};

/// A covariance structure for q columns. Matrices are q × q, row-major.
pub trait Covariance: Debug + Send + Sync {
    /// Name used by callers.
    fn name(&self) -> &'static str;
    /// Number of covariance parameters for q columns.
    fn n_theta(&self, q: usize) -> usize;
    /// Λ(theta), lower triangular.
    fn lambda(&self, q: usize, theta: &[f64]) -> Vec<f64>;
    /// ∂Λ/∂theta_k.
    fn lambda_derivative(&self, q: usize, theta: &[f64], k: usize) -> Vec<f64>;
    /// Theta of a lower-triangular Λ that has the structure.
    fn theta(&self, q: usize, lambda: &[f64]) -> Vec<f64>;
    /// Entries (a, b), a ≥ b, of Ψ that the structure can make non-zero.
    fn active(&self, q: usize) -> Vec<(usize, usize)>;
    /// Whether TΨT' has the structure for every invertible T: then columns of the term may be centred.
    fn closed_under_linear_maps(&self) -> bool;
}

/// Structures in portable form: by name.
pub mod by_name {
    use std::sync::Arc;

    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    use super::Covariance;

    /// Writes the name.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(structure: &Arc<dyn Covariance>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(structure.name())
    }

    /// Looks the name up in the registry.
    ///
    /// # Errors
    /// Those of the deserializer, and an unknown name.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<dyn Covariance>, D::Error> {
        super::structure(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The registry: structure by name.
///
/// # Errors
/// [`CoreError::Covariance`] when there is no such structure.
pub fn structure(name: &str) -> Result<Arc<dyn Covariance>> {
    registry()
        .into_iter()
        .find(|s| s.name() == name)
        .ok_or_else(|| CoreError::Covariance { what: format!("there is no structure \"{name}\"") })
}

/// Every structure the core offers (contract tests loop over it).
pub fn registry() -> Vec<Arc<dyn Covariance>> {
    vec![Arc::new(Unstructured), Arc::new(Diagonal)]
}
