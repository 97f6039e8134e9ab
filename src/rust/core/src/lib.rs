//! Exact estimation of hierarchical linear models from cross-products.
//!
//! y = Xβ + Zb + ε, b ~ N(0, σ²Ψ), Ψ = ΛΛ', ε ~ N(0, σ²W⁻¹) or, with a [`residual`] structure R(φ), ε ~ N(0, σ²W^{-1/2}RW^{-1/2}) (Bates et al. 2015, J Stat Softw 67(1); Demidenko 2013).
//!
//! | symbol | meaning |
//! |---|---|
//! | `theta` | covariance parameters: lower triangle of Λ, term by term |
//! | `lambda`, `psi` | relative Cholesky factor Λ and Ψ = ΛΛ' (relative to σ²) |
//! | `a`, `r`, `total` | Z'Z and Z'[outer X y] per node, [X y]'[X y] |
//! | `n`, `h`, `b`, `u`, `t` | (I + AΨ)⁻¹, NA, NR, ΨB, ΨN |
//! | `nu` | n - p (REML) or n (ML) |
//!
//! The way through: [`design`] → [`moments`] (one pass over the rows; kept as [`statistics`]) → [`objective`] (criterion, exact derivatives) →
//! [`optimize`] → [`estimates`] → [`inference`]; [`fit`] puts them together ([`structured`] where φ is estimated), [`bootstrap`], [`simulation`] and [`profile_likelihood`] do it again and again. No R types, no printing, no globals.

mod aliasing;
pub mod bootstrap;
pub mod covariance;
pub mod design;
pub mod error;
pub mod estimates;
pub mod fit;
pub mod inference;
pub mod linalg;
pub mod moments;
pub mod objective;
pub mod optimize;
pub mod profile_likelihood;
pub mod replicates;
pub mod residual;
pub mod simulation;
pub mod statistics;
pub mod stop;
pub mod structured;
