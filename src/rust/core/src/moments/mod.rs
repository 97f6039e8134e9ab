//! The waist of the program: cross-products of the (scaled, whitened) columns, free of theta.

pub mod basis;
pub mod crossed;
pub mod gram;
pub mod hierarchy;
pub mod nested;
pub mod outcome;
mod pass;
pub mod regroup;
pub mod rows;
