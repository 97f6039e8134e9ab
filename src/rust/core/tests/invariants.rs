//! Random small designs: criterion against dense brute force, derivatives against finite differences, invariances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Owned, Random};
use wbhlm_core::fit::Prepared;
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;

/// Nobody interrupts a test.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The shapes that every invariant is tried on.
const SHAPES: [&str; 14] = [
    "two",
    "two-slopes",
    "diagonal",
    "three",
    "three-slopes",
    "uneven",
    "four",
    "crossed",
    "crossed-slopes",
    "partial",
    "visits",
    "visits-curved",
    "visits-diagonal",
    "visits-three",
];

fn random_theta(owned: &Owned, random: &mut Random) -> Vec<f64> {
    owned
        .terms
        .iter()
        .flat_map(|(_, columns, name)| {
            let structure = wbhlm_core::covariance::structure(name).unwrap();
            let diagonal: Vec<bool> = {
                let q = columns.len();
                let probe: Vec<f64> = (0..structure.n_theta(q)).map(|k| k as f64 + 1.0).collect();
                let lambda = structure.lambda(q, &probe);
                probe.iter().map(|p| (0..q).any(|a| lambda[a * q + a] == *p)).collect()
            };
            diagonal.into_iter().map(|d| if d { 0.2 + random.uniform() } else { random.uniform() - 0.5 }).collect::<Vec<_>>()
        })
        .collect()
}

fn random_design(shape: &str, seed: u64) -> Owned {
    let mut random = Random(seed * 7919 + 17);
    let n = 60;
    let patient: Vec<i32> = (0..n).map(|i| 1 + (i % 12) as i32).collect();
    let therapist: Vec<i32> = patient.iter().map(|&p| 1 + (p - 1) % 4).collect();
    let clinic: Vec<i32> = therapist.iter().map(|&t| 1 + (t - 1) % 2).collect();
    let item: Vec<i32> = (0..n).map(|i| if i < 5 { i as i32 + 1 } else { 1 + random.below(5) as i32 }).collect();
    let mut owned = Owned {
        columns: (0..2).map(|_| (0..n).map(|_| random.normal()).collect()).collect(),
        x: vec![0, 1, 2],
        weights: (seed % 2 == 0).then(|| (0..n).map(|_| 0.5 + random.uniform()).collect()),
        offset: (seed % 3 == 0).then(|| (0..n).map(|_| random.normal()).collect()),
        ..Owned::default()
    };
    let un = "unstructured";
    (owned.groups, owned.terms) = match shape {
        "two" => (vec![patient], vec![(0, vec![0], un)]),
        "two-slopes" => (vec![patient], vec![(0, vec![0, 1], un)]),
        "diagonal" => (vec![patient], vec![(0, vec![0, 1, 2], "diagonal")]),
        "three" => (vec![patient, therapist], vec![(0, vec![0, 1], un), (1, vec![0], un)]),
        "three-slopes" => (vec![patient, therapist], vec![(0, vec![0, 1], un), (1, vec![0, 2], un), (0, vec![2], un)]),
        "uneven" => {
            // the finest level is computed four at a time: therapists with 7, 5 and 1 patients
            let patient: Vec<i32> = (0..n).map(|i| 1 + (i % 13) as i32).collect();
            let therapist = patient.iter().map(|&p| if p <= 7 { 1 } else { 2 + i32::from(p == 13) }).collect();
            (vec![patient, therapist], vec![(0, vec![0, 1], un), (1, vec![0, 2], un)])
        }
        "four" => (vec![patient, therapist, clinic], vec![(0, vec![0], un), (1, vec![0, 1], un), (2, vec![0], un)]),
        "crossed" => (vec![patient, item], vec![(0, vec![0], un), (1, vec![0], un)]),
        "crossed-slopes" => (vec![patient, item], vec![(0, vec![0, 1], un), (1, vec![0, 2], un)]),
        _ => (vec![patient, therapist, item], vec![(0, vec![0, 1], un), (1, vec![0], un), (2, vec![0], un)]),
    };
    if shape.starts_with("visits") {
        // all patients seen at the same times: one pattern, of each therapist
        owned.columns =
            vec![(0..n).map(|i| (i / 12) as f64).collect(), (0..n).map(|i| ((i / 12) as f64 - 2.0).powi(2)).collect()];
        owned.weights = None;
        let visits: Vec<i32> = (0..n).map(|i| 1 + (i % 12) as i32).collect();
        let therapist = visits.iter().map(|&p| 1 + i32::from(p > 6)).collect();
        (owned.groups, owned.terms) = match shape {
            "visits" => (vec![visits], vec![(0, vec![0, 1], un)]),
            "visits-curved" => (vec![visits], vec![(0, vec![0, 1, 2], un)]),
            "visits-diagonal" => (vec![visits], vec![(0, vec![0, 1, 2], "diagonal")]),
            _ => (vec![visits, therapist], vec![(0, vec![0, 1], un), (1, vec![0, 2], un)]),
        };
    }
    let effects: Vec<f64> = (0..12).map(|_| random.normal()).collect();
    owned.y =
        (0..n).map(|i| 2.0 + owned.columns[0][i] * (1.0 + effects[(i + 5) % 12]) + effects[i % 12] + random.normal()).collect();
    owned
}

#[test]
fn criterion_equals_dense_brute_force() {
    for shape in SHAPES {
        for seed in 1..5 {
            let owned = random_design(shape, seed);
            let theta = random_theta(&owned, &mut Random(seed + 99));
            for reml in [true, false] {
                let ours = Prepared::new(&owned.design(), reml, &NEVER).unwrap().evaluate(&theta, Order::Value).unwrap().0;
                let dense = owned.brute_force(reml, &theta);
                assert!((ours - dense).abs() < 1e-9 * dense.abs(), "{shape} {seed} {reml}: {ours} is not {dense}");
            }
        }
    }
}

#[test]
fn derivatives_equal_finite_differences() {
    for shape in SHAPES {
        for seed in 1..4 {
            let owned = random_design(shape, seed);
            let theta = random_theta(&owned, &mut Random(seed + 5));
            for reml in [true, false] {
                let prepared = Prepared::new(&owned.design(), reml, &NEVER).unwrap();
                let (_, gradient, hessian) = prepared.evaluate(&theta, Order::Exact).unwrap();
                let m = theta.len();
                let h = 1e-5;
                for k in 0..m {
                    let mut shifted = theta.clone();
                    shifted[k] += h;
                    let (up, gradient_up, _) = prepared.evaluate(&shifted, Order::Gradient).unwrap();
                    shifted[k] -= 2.0 * h;
                    let (down, gradient_down, _) = prepared.evaluate(&shifted, Order::Gradient).unwrap();
                    let slope = (up - down) / (2.0 * h);
                    assert!(
                        (slope - gradient[k]).abs() < 1e-5 * (1.0 + slope.abs()),
                        "{shape} {seed} gradient {k}: {} {slope}",
                        gradient[k]
                    );
                    for l in 0..m {
                        let bend = (gradient_up[l] - gradient_down[l]) / (2.0 * h);
                        let ours = hessian[[k, l]];
                        assert!(
                            (bend - ours).abs() < 1e-5 * (1.0 + bend.abs()),
                            "{shape} {seed} {reml} hessian {k} {l}: {ours} {bend}"
                        );
                    }
                }
            }
        }
    }
}

fn fitted(owned: &Owned) -> wbhlm_core::fit::Fit {
    Prepared::new(&owned.design(), true, &NEVER).unwrap().fit(&Control::default()).unwrap()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{a:?} is not {b:?}");
    }
}

#[test]
fn the_order_of_the_rows_does_not_matter() {
    for shape in SHAPES {
        let owned = random_design(shape, 3);
        let n = owned.y.len();
        let order: Vec<usize> = (0..n).map(|i| (i * 37 + 11) % n).collect();
        let shuffle = |v: &Vec<f64>| order.iter().map(|&i| v[i]).collect::<Vec<f64>>();
        let shuffled = Owned {
            y: shuffle(&owned.y),
            weights: owned.weights.as_ref().map(shuffle),
            offset: owned.offset.as_ref().map(shuffle),
            columns: owned.columns.iter().map(shuffle).collect(),
            groups: owned.groups.iter().map(|g| order.iter().map(|&i| g[i]).collect()).collect(),
            ..owned.clone()
        };
        let (a, b) = (fitted(&owned), fitted(&shuffled));
        close(&[a.estimates.criterion], &[b.estimates.criterion], 1e-10);
        close(&a.estimates.beta, &b.estimates.beta, 1e-7);
        close(&a.estimates.theta, &b.estimates.theta, 1e-5);
    }
}

#[test]
fn a_change_of_units_changes_nothing_but_units() {
    for shape in SHAPES {
        let owned = random_design(shape, 4);
        let mut scaled = owned.clone();
        scaled.y.iter_mut().for_each(|v| *v *= 1e-6);
        if let Some(offset) = &mut scaled.offset {
            offset.iter_mut().for_each(|v| *v *= 1e-6);
        }
        scaled.columns[0].iter_mut().for_each(|v| *v *= 1e6);
        let (a, b) = (fitted(&owned), fitted(&scaled));
        close(&[a.estimates.sigma], &[b.estimates.sigma * 1e6], 1e-7);
        close(&[a.estimates.beta[1]], &[b.estimates.beta[1] * 1e12], 1e-7);
        close(&[a.estimates.beta[2]], &[b.estimates.beta[2] * 1e6], 1e-7);
        assert_eq!(a.status, b.status);
    }
}

#[test]
fn threads_change_no_bit() {
    let mut random = Random(42);
    let n = 60_000;
    let owned = Owned {
        columns: vec![(0..n).map(|_| random.normal()).collect()],
        y: (0..n).map(|_| random.normal()).collect(),
        x: vec![0, 1],
        groups: vec![(0..n).map(|i| 1 + i / 2).collect(), (0..n).map(|i| 1 + i / 200).collect()],
        terms: vec![(0, vec![0], "unstructured"), (1, vec![0, 1], "unstructured")],
        ..Owned::default()
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fitted(&owned))
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(one.estimates.criterion.to_bits(), two.estimates.criterion.to_bits());
    assert_eq!(one.estimates.theta, two.estimates.theta);
    assert_eq!(one.estimates.beta, two.estimates.beta);
    assert_eq!(one.estimates.modes, two.estimates.modes);
}

/// Persons one after the other, dealt out to raters in turn, so that the chain is not in the order of the data; six columns.
fn dealt_out(persons: usize) -> Owned {
    let mut random = Random(83);
    let rows: Vec<usize> = (0..persons).flat_map(|person| vec![person; 3 + person % 4]).collect();
    let columns: Vec<Vec<f64>> = (0..6).map(|k| rows.iter().map(|_| f64::from(k) + random.normal()).collect()).collect();
    let effects: Vec<f64> = (0..persons).map(|_| random.normal()).collect();
    let y = rows.iter().enumerate().map(|(i, &person)| 3.0 + effects[person] + columns[0][i] + random.normal()).collect();
    Owned {
        y,
        columns,
        x: vec![0, 1, 2, 3, 4, 5, 6],
        groups: vec![rows.iter().map(|&p| p as i32 + 1).collect(), rows.iter().map(|&p| 1 + p as i32 % 7).collect()],
        terms: vec![(0, vec![0, 2], "unstructured"), (1, vec![0], "unstructured")],
        ..Owned::default()
    }
}

#[test]
fn every_way_to_the_rows_gives_the_same_moments() {
    let straight = dealt_out(150);
    let n = straight.y.len();
    // rows in another order have to be gathered; weights of one are multiplied in; an offset is subtracted first
    let order: Vec<usize> = (0..n).map(|i| (i * 7_919) % n).collect();
    let pick = |values: &[f64]| -> Vec<f64> { order.iter().map(|&i| values[i]).collect() };
    let mut gathered = straight.clone();
    gathered.y = pick(&straight.y);
    gathered.columns = straight.columns.iter().map(|c| pick(c)).collect();
    gathered.groups = straight.groups.iter().map(|g| order.iter().map(|&i| g[i]).collect()).collect();
    assert_ne!(n % 7_919, 0);
    let weighted = Owned { weights: Some(vec![1.0; n]), ..straight.clone() };
    let offset: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
    let shifted =
        Owned { y: straight.y.iter().zip(&offset).map(|(y, o)| y + o).collect(), offset: Some(offset), ..straight.clone() };
    let theta = [0.9, 0.1, 0.4, 0.5];
    let value = |owned: &Owned| Prepared::new(&owned.design(), true, &NEVER).unwrap().evaluate(&theta, Order::Exact).unwrap();
    let (wanted, gradient, _) = value(&straight);
    for other in [gathered, weighted, shifted] {
        let (found, slopes, _) = value(&other);
        assert!((found - wanted).abs() < 1e-10 * wanted.abs(), "{found} is not {wanted}");
        gradient.iter().zip(slopes).for_each(|(a, b)| assert!((a - b).abs() < 1e-8 * (1.0 + a.abs()), "{b} is not {a}"));
    }
    let brute = straight.brute_force(true, &theta);
    assert!((brute - wanted).abs() < 1e-9 * wanted.abs(), "{wanted} is not {brute}");
}
