//! Exact estimation of hierarchical linear models from cross-products.
pub mod error;
