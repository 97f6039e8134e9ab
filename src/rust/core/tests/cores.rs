//! The dense and the sparse core of crossed factors are two computations of one thing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::AtomicBool;

use common::{Owned, Random};
use wbhlm_core::moments::basis::{Basis, Spreads};
use wbhlm_core::moments::crossed::CrossedMoments;
use wbhlm_core::objective::crossed::{CoreKind, CrossedObjective};
use wbhlm_core::objective::{Objective, Order};
use wbhlm_core::residual::Identity;

static NEVER: AtomicBool = AtomicBool::new(false);

fn crossed(seed: u64) -> Owned {
    let mut random = Random(seed);
    let n = 400;
    let code = |random: &mut Random, levels: usize| -> Vec<i32> {
        (0..n).map(|i| if i < levels { i as i32 + 1 } else { 1 + random.below(levels) as i32 }).collect()
    };
    let groups = vec![code(&mut random, 60), code(&mut random, 40), code(&mut random, 7)];
    let columns: Vec<Vec<f64>> = (0..2).map(|_| (0..n).map(|_| random.normal()).collect()).collect();
    let y = (0..n).map(|i| random.normal() + columns[0][i] + f64::from(groups[1][i] % 5)).collect();
    let un = "unstructured";
    let terms = vec![(0, vec![0, 1], un), (1, vec![0, 2], un), (2, vec![0], un)];
    Owned { y, columns, x: vec![0, 1, 2], groups, terms, ..Owned::default() }
}

fn close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{what}: {x} is not {y}");
    }
}

#[test]
fn dense_and_sparse_cores_agree() {
    for seed in 1..4 {
        let owned = crossed(seed);
        let design = owned.design();
        let basis = Basis::new(&design, &Spreads::of(&design).unwrap());
        let moments = CrossedMoments::new(&design, &basis, &Identity, &[0, 1, 2], &NEVER).unwrap();
        let full = vec![(0, 0), (1, 0), (1, 1)];
        let active = vec![full.clone(), full, vec![(0, 0)]];
        for zero in [1.0, 1e-8, 0.0] {
            let psi = vec![vec![0.5, 0.1, 0.1, 0.3], vec![0.4, -0.1 * zero, -0.1 * zero, 0.2 * zero], vec![0.6]];
            for reml in [true, false] {
                let dense = CrossedObjective::with_core(&moments, &active, reml, CoreKind::Dense, &NEVER);
                let sparse = CrossedObjective::with_core(&moments, &active, reml, CoreKind::Sparse, &NEVER);
                let (a, b) = (dense.evaluate(&psi, Order::Gradient).unwrap(), sparse.evaluate(&psi, Order::Gradient).unwrap());
                close(&[a.log_det, a.r2], &[b.log_det, b.r2], 1e-11, "value");
                close(&a.log_det_gradient, &b.log_det_gradient, 1e-9, "gradient of the log-determinant");
                close(&a.r2_gradient, &b.r2_gradient, 1e-9, "gradient of r2");
                for (x, y) in dense.modes(&psi).unwrap().iter().zip(sparse.modes(&psi).unwrap()) {
                    close(x, &y, 1e-10, "modes");
                }
                for (x, y) in
                    dense.conditional_covariances(&psi).unwrap().iter().zip(sparse.conditional_covariances(&psi).unwrap())
                {
                    close(x, &y, 1e-10, "conditional covariances");
                }
                if zero == 1.0 {
                    let (a, b) = (dense.evaluate(&psi, Order::Exact).unwrap(), sparse.evaluate(&psi, Order::Exact).unwrap());
                    close(&a.r2_hessian, &b.r2_hessian, 1e-9, "Hessian of r2");
                    close(&a.log_det_hessian.unwrap(), &b.log_det_hessian.unwrap(), 1e-5, "Hessian of the log-determinant");
                }
            }
        }
    }
}
