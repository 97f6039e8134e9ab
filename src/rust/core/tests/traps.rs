//! Data on which optimisers of mixed models go wrong, each with what must come out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Owned, Random};
use wbhlm_core::fit::{Fit, Prepared, Status};
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;

/// Nobody interrupts a test.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn fit(owned: &Owned) -> Fit {
    Prepared::new(&owned.design(), true, &NEVER).unwrap().fit(&Control::default()).unwrap()
}

/// No point of a grid of theta, nor any point near the optimum, may lie below it.
fn is_minimum(owned: &Owned, fit: &Fit) {
    let prepared = Prepared::new(&owned.design(), true, &NEVER).unwrap();
    let mut random = Random(5);
    let m = fit.estimates.theta.len();
    for attempt in 0..300 {
        let size = [1e-3, 0.05, 0.5][attempt % 3];
        let theta: Vec<f64> =
            (0..m).map(|k| fit.estimates.theta[k] + size * random.normal() * (0.1 + fit.estimates.theta[k].abs())).collect();
        let value = prepared.evaluate(&theta, Order::Value).unwrap().0;
        assert!(value >= fit.estimates.criterion - 1e-7, "{value} at {theta:?} is below {}", fit.estimates.criterion);
    }
    assert!(fit.estimates.boundary.iter().all(|b| b.one_sided_gradient > -1e-6), "{:?}", fit.estimates.boundary);
}

/// Persons × sessions with given effects per person, `x` = session.
fn growth(persons: usize, sessions: usize, effect: impl Fn(usize, &mut Random) -> (f64, f64), noise: f64, seed: u64) -> Owned {
    let mut random = Random(seed);
    let mut owned = Owned {
        columns: vec![Vec::new()],
        x: vec![0, 1],
        groups: vec![Vec::new()],
        terms: vec![(0, vec![0, 1], "unstructured")],
        ..Owned::default()
    };
    for person in 0..persons {
        let (intercept, slope) = effect(person, &mut random);
        for session in 0..sessions {
            let x = session as f64;
            owned.columns[0].push(x);
            owned.groups[0].push(person as i32 + 1);
            owned.y.push(10.0 + intercept + (0.5 + slope) * x + noise * random.normal());
        }
    }
    owned
}

#[test]
fn a_zero_slope_variance_is_exactly_zero() {
    let mut found = 0;
    for seed in 1..30 {
        let owned = growth(20, 6, |_, r| (2.0 * r.normal(), 0.0), 1.0, seed);
        let fit = fit(&owned);
        is_minimum(&owned, &fit);
        assert_ne!(fit.status, Status::Failed);
        if fit.status == Status::Boundary {
            found += 1;
            assert_eq!(fit.estimates.theta[2], 0.0);
        }
    }
    assert!(found > 5, "the boundary was met {found} times only");
}

#[test]
fn no_variance_at_all_gives_least_squares() {
    // every person has the same mean: the between variance is below chance
    let mut owned = growth(10, 4, |_, _| (0.0, 0.0), 0.0, 3);
    owned.y = (0..40).map(|i| [1.0, -1.0, 1.0, -1.0][(i + i / 4) % 4] + 0.01 * (i as f64).sin()).collect();
    owned.terms = vec![(0, vec![0], "unstructured")];
    let fit = fit(&owned);
    assert_eq!(fit.status, Status::Boundary);
    assert_eq!(fit.estimates.theta, vec![0.0]);
    assert!(fit.estimates.boundary[0].one_sided_gradient > 0.0);
    assert!(fit.estimates.modes[0].iter().all(|&b| b == 0.0));
}

#[test]
fn a_correlation_of_one_is_exact() {
    let owned = growth(
        40,
        5,
        |_, r| {
            let u = r.normal();
            (u, 0.5 * u)
        },
        0.5,
        11,
    );
    let mut owned = owned;
    // slopes follow intercepts without error: the sample's optimum has rank one or nearly
    let fit_first = fit(&owned);
    is_minimum(&owned, &fit_first);
    owned.y.iter_mut().enumerate().for_each(|(i, y)| *y -= 0.35 * (((i * 7919) % 13) as f64 - 6.0) / 6.0);
    let again = fit(&owned);
    is_minimum(&owned, &again);
    if again.status == Status::Boundary {
        assert_eq!(again.estimates.theta[2], 0.0);
        assert!(again.estimates.theta[1] != 0.0);
    }
}

#[test]
fn calendar_years_and_raw_days_give_the_fit_of_centred_time() {
    for (shift, scale) in [(2010.0, 1.0), (738_000.0, 7.0), (1.6e9, 604_800.0)] {
        let owned = growth(30, 6, |_, r| (r.normal(), 0.3 * r.normal()), 0.7, 21);
        let mut raw = owned.clone();
        raw.columns[0].iter_mut().for_each(|x| *x = shift + scale * *x);
        let (a, b) = (fit(&owned), fit(&raw));
        // the criterion differs by the determinant of the change of units alone
        let shifted = b.estimates.criterion - 2.0 * f64::ln(scale);
        assert!((a.estimates.criterion - shifted).abs() < 1e-5, "{} {shifted}", a.estimates.criterion);
        assert!((a.estimates.beta[1] - scale * b.estimates.beta[1]).abs() < 1e-6 * a.estimates.beta[1].abs());
        assert!((a.estimates.sigma - b.estimates.sigma).abs() < 1e-6 * a.estimates.sigma);
        assert_eq!(a.status, b.status);
    }
}

#[test]
fn a_hugely_rescaled_predictor_and_outcome_change_only_units() {
    let owned = growth(30, 6, |_, r| (r.normal(), 0.3 * r.normal()), 0.7, 23);
    let mut scaled = owned.clone();
    scaled.columns[0].iter_mut().for_each(|x| *x *= 1e6);
    scaled.y.iter_mut().for_each(|y| *y *= 1e-6);
    let (a, b) = (fit(&owned), fit(&scaled));
    assert!((a.estimates.theta[0] - b.estimates.theta[0]).abs() < 1e-6);
    assert!((a.estimates.theta[2] - 1e6 * b.estimates.theta[2]).abs() < 1e-6);
    assert!((a.estimates.beta[1] - 1e12 * b.estimates.beta[1]).abs() < 1e-6 * a.estimates.beta[1].abs());
}

#[test]
fn thousands_of_persons_with_identical_visits_are_fitted() {
    let owned = growth(5_000, 4, |_, r| (r.normal(), 0.4 * r.normal()), 1.0, 31);
    let fit = fit(&owned);
    assert_eq!(fit.status, Status::Converged);
    assert!((fit.estimates.sigma - 1.0).abs() < 0.05);
    assert!(fit.evaluations <= 12, "{} evaluations", fit.evaluations);
}

#[test]
fn a_million_rows_lose_no_digits() {
    // y has a mean of 1e4 and an SD of about 1: plain cross-products would lose eight digits
    let owned = growth(100_000, 10, |_, r| (r.normal(), 0.2 * r.normal()), 1.0, 41);
    let mut far = owned.clone();
    far.y.iter_mut().for_each(|y| *y += 1e4);
    let (a, b) = (fit(&owned), fit(&far));
    assert!((a.estimates.criterion - b.estimates.criterion).abs() < 1e-4, "{} {}", a.estimates.criterion, b.estimates.criterion);
    assert!((a.estimates.beta[0] + 1e4 - b.estimates.beta[0]).abs() < 1e-8);
    assert!((a.estimates.theta[0] - b.estimates.theta[0]).abs() < 1e-9);
}

#[test]
fn one_row_per_person_leaves_the_residual_variance_to_be_guessed_and_still_ends() {
    let mut owned = growth(50, 1, |_, r| (r.normal(), 0.0), 1.0, 51);
    let mut random = Random(9);
    owned.columns[0] = (0..50).map(|_| random.normal()).collect();
    let prepared = Prepared::new(&owned.design(), true, &NEVER).unwrap();
    let fit = prepared.fit(&Control::default()).unwrap();
    assert!(fit.estimates.criterion.is_finite());
}

#[test]
fn a_perfect_fit_is_an_error_not_a_number() {
    let owned = growth(10, 4, |_, _| (0.0, 0.0), 0.0, 1);
    let prepared = Prepared::new(&owned.design(), true, &NEVER).unwrap();
    let error = prepared.fit(&Control::default()).unwrap_err();
    assert_eq!(error.kind(), "data");
}

#[test]
fn aliased_columns_are_dropped_and_named() {
    let mut owned = growth(20, 5, |_, r| (r.normal(), 0.0), 1.0, 61);
    let double: Vec<f64> = owned.columns[0].iter().map(|x| 3.0 - 2.0 * x).collect();
    owned.columns.push(double);
    owned.columns.push(vec![4.0; 100]);
    owned.x = vec![0, 1, 2, 3];
    let prepared = Prepared::new(&owned.design(), true, &NEVER).unwrap();
    assert_eq!(prepared.statistics.dropped, vec![2, 3]);
}

#[test]
fn a_tiny_first_variance_with_a_correlation_of_one_converges() {
    // the intercept varies little and exactly with the slope: a Cholesky factor with the intercept first is nearly singular in its first pivot
    for seed in 1..40 {
        let owned = growth(
            17,
            6,
            |_, r| {
                let u = r.normal();
                (0.03 * u, -0.6 * u)
            },
            1.0,
            100 + seed,
        );
        let fit = fit(&owned);
        assert_ne!(fit.status, Status::Failed, "seed {seed}: {:?}", fit.estimates.theta);
        is_minimum(&owned, &fit);
    }
}

#[test]
fn an_absurd_start_does_no_harm() {
    let mut owned = growth(30, 6, |_, r| (r.normal(), 0.3 * r.normal()), 0.7, 71);
    owned.columns[0].iter_mut().for_each(|x| *x += 738_000.0);
    let own = fit(&owned);
    for start in [[1.5, 0.0, 1.5], [0.0, 0.0, 0.0], [1e6, -1e3, 1e-6]] {
        let control = Control { start: Some(start.to_vec()), ..Control::default() };
        let given = Prepared::new(&owned.design(), true, &NEVER).unwrap().fit(&control).unwrap();
        assert_ne!(given.status, Status::Failed, "{start:?}");
        assert!((given.estimates.criterion - own.estimates.criterion).abs() < 1e-6, "{start:?}");
    }
}
