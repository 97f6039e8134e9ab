//! Moments of crossed factors.
use super::basis::Basis;
use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::residual::Residual;
/// Moments of crossed factors.
#[derive(Debug, Clone)]
pub struct CrossedMoments {
    /// [X y]'[X y].
    pub total: Vec<f64>,
}
impl CrossedMoments {
    /// One pass.
    ///
    /// # Errors
    /// Always, for the moment.
    pub fn new(_: &Design, _: &Basis, _: &dyn Residual, _: &[usize]) -> Result<Self> {
        Err(CoreError::Design { what: "crossed factors are not available yet".into() })
    }
}
