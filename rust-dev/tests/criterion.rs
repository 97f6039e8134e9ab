//! Random small designs of every shape: the criterion against dense brute force, its derivatives against finite differences.

use proptest::prelude::*;
use std::sync::atomic::AtomicBool;
use wbhlm_core::covariance;
use wbhlm_core::fit::Prepared;
use wbhlm_core::objective::Order;

#[path = "../../src/rust/core/tests/common/mod.rs"]
mod common;

use common::Owned;

/// Nobody interrupts a test.
static NEVER: AtomicBool = AtomicBool::new(false);

/// Codes 1..J without gaps, in order of first appearance.
fn relabel(codes: &[usize]) -> Vec<i32> {
    let mut seen = Vec::new();
    let position = |code: &usize, seen: &mut Vec<usize>| match seen.iter().position(|s| s == code) {
        Some(k) => k as i32 + 1,
        None => {
            seen.push(*code);
            seen.len() as i32
        }
    };
    codes.iter().map(|code| position(code, &mut seen)).collect()
}

fn values(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-3.0..3.0f64, n)
}

/// One to three factors, each above the one before it (nested) or, half the time, unrelated to it (crossed); one to three terms.
fn designs() -> impl Strategy<Value = Owned> {
    let relation = any::<bool>();
    (10usize..50, prop::collection::vec((2usize..9, relation), 1..4)).prop_flat_map(|(n, factors)| {
        let codes = factors.iter().map(|&(j, _)| prop::collection::vec(0..j, n)).collect::<Vec<_>>();
        let terms = prop::collection::vec((0..factors.len(), 0usize..4, any::<bool>()), 1..4);
        let weights = prop::option::of(prop::collection::vec(0.2..4.0f64, n));
        (codes, terms, values(n), values(n), values(n), prop::option::of(values(n)), weights).prop_map(
            move |(codes, terms, y, first, second, offset, weights)| {
                let mut groups: Vec<Vec<i32>> = Vec::new();
                for (k, code) in codes.iter().enumerate() {
                    let raw = match (factors[k].1, groups.last()) {
                        // a level of the factor below belongs to one level of this one: take that of its first row
                        (false, Some(below)) => {
                            let owner = |level: i32| below.iter().position(|&l| l == level).map_or(0, |row| code[row]);
                            below.iter().map(|&level| owner(level)).collect()
                        }
                        _ => code.clone(),
                    };
                    groups.push(relabel(&raw));
                }
                let shape = |kind: usize| [vec![0], vec![0, 1], vec![1], vec![0, 1, 2]][kind].clone();
                let name = |diagonal: bool| if diagonal { "diagonal" } else { "unstructured" };
                Owned {
                    residual: None,
                    y,
                    offset,
                    weights,
                    columns: vec![first, second],
                    x: vec![0, 1, 2],
                    groups,
                    terms: terms.iter().map(|&(group, kind, diagonal)| (group, shape(kind), name(diagonal))).collect(),
                }
            },
        )
    })
}

/// theta between -1 and 1 from `draws`, its diagonal entries made positive.
fn theta_of(owned: &Owned, draws: &[f64]) -> Vec<f64> {
    let mut theta = Vec::new();
    for (_, columns, name) in &owned.terms {
        let structure = covariance::structure(name).expect("a known structure");
        let q = columns.len();
        let probe: Vec<f64> = (0..structure.n_theta(q)).map(|k| k as f64 + 1.0).collect();
        let lambda = structure.lambda(q, &probe);
        for p in probe {
            let draw = draws[theta.len() % draws.len()];
            let diagonal = (0..q).any(|a| lambda[a * q + a] == p);
            theta.push(if diagonal { 0.1 + draw.abs() } else { draw });
        }
    }
    theta
}

fn close(a: f64, b: f64, relative: f64, absolute: f64) -> bool {
    (a - b).abs() <= relative * b.abs() + absolute
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn criterion_equals_dense_brute_force(
        owned in designs(), draws in prop::collection::vec(-1.0..1.0f64, 8), reml in any::<bool>(),
    ) {
        let theta = theta_of(&owned, &draws);
        let design = owned.design();
        let prepared = Prepared::new(&design, reml, &NEVER).expect("a valid design");
        prop_assume!(prepared.statistics.dropped.is_empty());
        let ours = prepared.evaluate(&theta, Order::Value).expect("a finite criterion").0;
        let dense = owned.brute_force(reml, &theta);
        prop_assert!(close(ours, dense, 1e-9, 1e-8), "{ours} is not {dense}");
    }

    #[test]
    fn derivatives_equal_finite_differences(
        owned in designs(), draws in prop::collection::vec(-1.0..1.0f64, 8), reml in any::<bool>(),
    ) {
        let theta = theta_of(&owned, &draws);
        let design = owned.design();
        let prepared = Prepared::new(&design, reml, &NEVER).expect("a valid design");
        let (_, gradient, hessian) = prepared.evaluate(&theta, Order::Exact).expect("derivatives");
        let m = theta.len();
        for k in 0..m {
            let at = |h: f64| {
                let mut moved = theta.clone();
                moved[k] += h;
                prepared.evaluate(&moved, Order::Gradient).expect("a gradient")
            };
            // fourth order, so that the steps can be wide enough for rounding hardly to matter; how far two steps agree says how much it does (in one of ten
            // thousand designs, nearly a perfect fit, more than the tolerance)
            let slope = |f: &dyn Fn(f64) -> f64| {
                let [fine, coarse] = [1e-4, 3e-4].map(|step| (8.0 * (f(step) - f(-step)) - (f(2.0 * step) - f(-2.0 * step))) / (12.0 * step));
                (fine, 1e-6 + 10.0 * (fine - coarse).abs())
            };
            let (numeric, error) = slope(&|h| at(h).0);
            prop_assert!(close(gradient[k], numeric, 1e-6, error), "gradient {k}: {} is not {numeric}", gradient[k]);
            for l in 0..m {
                let (numeric, error) = slope(&|h| at(h).1[l]);
                prop_assert!(close(hessian[[k, l]], numeric, 1e-6, error), "hessian {k} {l}: {} is not {numeric}", hessian[[k, l]]);
            }
        }
    }
}
