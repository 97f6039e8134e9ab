//! Inference from exact derivatives of the criterion.

pub mod kenward_roger;
pub mod satterthwaite;
