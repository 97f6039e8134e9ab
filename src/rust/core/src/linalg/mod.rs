//! Small dense kernels (blocks of a few columns) and wrappers around faer for everything larger.

pub mod cholesky;
pub mod dense;
pub mod jacobi;
pub mod lanes;
pub mod small;
pub mod sparse_cholesky;
pub mod stencil;
pub mod sum;
