//! Inference from exact derivatives of the criterion.

pub mod satterthwaite;
