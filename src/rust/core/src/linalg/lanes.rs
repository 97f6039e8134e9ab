//! Four numbers side by side: the same small computation for four nodes at once. Plain arrays, which the compiler turns into vector
//! instructions; results are those of one number at a time, whatever the processor.

use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};

/// Numbers in a [`Lanes`].
pub const LANES: usize = 4;

/// One number for each of four nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C, align(32))]
pub struct Lanes(pub [f64; LANES]);

impl Lanes {
    /// Zeros.
    pub const ZERO: Lanes = Lanes([0.0; LANES]);
    /// Ones.
    pub const ONE: Lanes = Lanes([1.0; LANES]);

    /// The same number in every lane.
    #[inline(always)]
    pub fn splat(value: f64) -> Self {
        Lanes([value; LANES])
    }

    /// The sum over the lanes, in a fixed order.
    #[inline(always)]
    pub fn sum(self) -> f64 {
        (self.0[0] + self.0[1]) + (self.0[2] + self.0[3])
    }

    /// The larger of each lane and a number.
    #[inline(always)]
    pub fn max(self, value: f64) -> Self {
        Lanes(self.0.map(|v| if v > value { v } else { value }))
    }
}

/// Runs an expression with the vector instructions of the processor at hand. It has to use up the variable named first (something that cannot
/// be copied): only the body of a closure that can be called but once is certain to be compiled with these instructions.
macro_rules! with_vectors {
    ($used:ident => $body:expr) => {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            move || $body,
        )
    };
}
pub(crate) use with_vectors;

macro_rules! elementwise {
    ($trait:ident, $method:ident, $op:tt) => {
        impl $trait for Lanes {
            type Output = Lanes;
            #[inline(always)]
            fn $method(self, other: Lanes) -> Lanes {
                let (a, b) = (self.0, other.0);
                Lanes([a[0] $op b[0], a[1] $op b[1], a[2] $op b[2], a[3] $op b[3]])
            }
        }
    };
}

elementwise!(Add, add, +);
elementwise!(Sub, sub, -);
elementwise!(Mul, mul, *);
elementwise!(Div, div, /);

impl AddAssign for Lanes {
    #[inline(always)]
    fn add_assign(&mut self, other: Lanes) {
        *self = *self + other;
    }
}

impl SubAssign for Lanes {
    #[inline(always)]
    fn sub_assign(&mut self, other: Lanes) {
        *self = *self - other;
    }
}
