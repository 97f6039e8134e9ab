//! The waist of the program: cross-products of the (scaled, whitened) columns, free of theta.

pub mod basis;
pub mod crossed;
pub mod hierarchy;
pub mod nested;
pub mod outcome;
pub mod regroup;
pub mod rows;
