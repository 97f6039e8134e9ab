//! Criterion for crossed factors.
use super::{Coordinate, Objective, Order, Pieces};
use crate::error::{CoreError, Result};
use crate::moments::crossed::CrossedMoments;
/// Criterion for crossed factors.
pub struct CrossedObjective;
impl CrossedObjective {
    /// New.
    pub fn new(_: &CrossedMoments, _: &[Vec<(usize, usize)>], _: bool) -> Self {
        CrossedObjective
    }
}
impl Objective for CrossedObjective {
    fn coordinates(&self) -> &[Coordinate] {
        &[]
    }
    fn evaluate(&self, _: &[Vec<f64>], _: Order) -> Result<Pieces> {
        Err(CoreError::Design { what: "crossed factors are not available yet".into() })
    }
    fn modes(&self, _: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        Err(CoreError::Design { what: "crossed factors are not available yet".into() })
    }
    fn conditional_covariances(&self, _: &[Vec<f64>]) -> Result<Vec<Vec<f64>>> {
        Err(CoreError::Design { what: "crossed factors are not available yet".into() })
    }
}
