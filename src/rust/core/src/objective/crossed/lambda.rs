//! Λ of the core: block diagonal, one block repeated for every level of a factor.

use faer::Mat;

use crate::linalg::small;
use crate::moments::crossed::CoreBlock;

/// Pivots of Λ below this (internal basis) cannot be divided by without losing digits.
pub const SMALL_PIVOT: f64 = 1e-3;

/// Λ of the core: one q × q block repeated for every level of a factor.
#[derive(Debug, Clone)]
pub struct CoreLambda {
    /// Per factor: its place and its Λ.
    pub blocks: Vec<(CoreBlock, Vec<f64>)>,
    /// Per column of the core: (factor, position within the level, first column of the level).
    pub place: Vec<(u32, u32, u32)>,
}

impl CoreLambda {
    /// From Ψ per basis block.
    pub fn new(core: &[CoreBlock], psi: &[Vec<f64>]) -> Self {
        let mut place = Vec::new();
        let mut blocks = Vec::new();
        for (index, block) in core.iter().enumerate() {
            for level in 0..block.levels {
                let first = (block.first + level * block.q) as u32;
                place.extend((0..block.q as u32).map(|c| (index as u32, c, first)));
            }
            blocks.push((block.clone(), small::semidefinite_root(block.q, &psi[block.block])));
        }
        CoreLambda { blocks, place }
    }

    /// Λ'X (`transposed`) or ΛX in place, X being K × c.
    pub fn apply(&self, transposed: bool, x: &mut Mat<f64>) {
        for column in 0..x.ncols() {
            for (block, lambda) in &self.blocks {
                let q = block.q;
                let mut old = vec![0.0; q];
                for level in 0..block.levels {
                    let first = block.first + level * q;
                    (0..q).for_each(|i| old[i] = x[(first + i, column)]);
                    for i in 0..q {
                        x[(first + i, column)] =
                            (0..q).map(|j| if transposed { lambda[j * q + i] } else { lambda[i * q + j] } * old[j]).sum();
                    }
                }
            }
        }
    }

    /// Whether Λ of a factor can be divided by without losing digits.
    pub fn safe(&self, block: &CoreBlock) -> bool {
        self.of(block).is_some_and(|lambda| (0..block.q).all(|i| lambda[i * block.q + i] > SMALL_PIVOT))
    }

    fn of(&self, block: &CoreBlock) -> Option<&Vec<f64>> {
        self.blocks.iter().find(|(b, _)| b.first == block.first).map(|(_, lambda)| lambda)
    }

    /// Ψ⁻¹ of a factor (of a safe one).
    pub fn psi_inverse(&self, block: &CoreBlock) -> Vec<f64> {
        let q = block.q;
        let psi = self.of(block).map(|l| small::product(q, q, q, l, &small::transpose(q, q, l))).unwrap_or_default();
        small::spd_inverse(q, &psi).map(|(inverse, _)| inverse).unwrap_or_default()
    }

    /// Λ as a diagonal, when every factor has one column.
    pub fn diagonal(&self) -> Option<Vec<f64>> {
        self.blocks
            .iter()
            .all(|(b, _)| b.q == 1)
            .then(|| self.blocks.iter().flat_map(|(b, lambda)| std::iter::repeat_n(lambda[0], b.levels)).collect())
    }

    /// (Λ'AΛ)_{ij} needs the entries of A in the rows of i's level and the columns of j's: calls `entry` for them.
    pub fn congruence(&self, i: usize, j: usize, entry: impl Fn(usize, usize) -> f64) -> f64 {
        let ((fi, ci, si), (fj, cj, sj)) = (self.place[i], self.place[j]);
        let ((bi, li), (bj, lj)) = (&self.blocks[fi as usize], &self.blocks[fj as usize]);
        let mut sum = 0.0;
        for a in ci as usize..bi.q {
            let left = li[a * bi.q + ci as usize];
            if left != 0.0 {
                for b in cj as usize..bj.q {
                    sum += left * lj[b * bj.q + cj as usize] * entry(si as usize + a, sj as usize + b);
                }
            }
        }
        sum
    }
}
