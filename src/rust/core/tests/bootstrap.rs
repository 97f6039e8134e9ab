//! The bootstrap: replicates are what a fresh fit of the same rows gives, whatever the number of threads, and are distributed as asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Owned, Random};
use wbhlm_core::bootstrap::{self, Options, Replicate, ReplicateStatus, Sample, Source};
use wbhlm_core::error::CoreError;
use wbhlm_core::fit::{Fit, Prepared, Status};
use wbhlm_core::optimize::Control;

/// Nobody interrupts a test.
static NEVER: AtomicBool = AtomicBool::new(false);

/// 40 persons in 8 groups, 3 to 7 rows each, rows shuffled; synthetic.
fn three_levels(weights: bool) -> Owned {
    let mut random = Random(11);
    let mut owned = Owned {
        columns: vec![Vec::new(), Vec::new()],
        x: vec![0, 1, 2],
        groups: vec![Vec::new(), Vec::new()],
        terms: vec![(0, vec![0, 1], "unstructured"), (1, vec![0], "unstructured")],
        ..Owned::default()
    };
    let top: Vec<f64> = (0..8).map(|_| random.normal()).collect();
    let mut rows = Vec::new();
    for person in 0..40 {
        let (a, b) = (1.5 * random.normal(), 0.6 * random.normal());
        for _ in 0..3 + person % 5 {
            let x = 3.0 + random.normal();
            let y = 5.0 + a + (1.0 + b) * x + top[person % 8] + random.normal();
            rows.push((random.uniform(), person as i32 + 1, (person % 8) as i32 + 1, x, (person % 3) as f64, y));
        }
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, person, group, x, w, y) in rows {
        owned.groups[0].push(person);
        owned.groups[1].push(group);
        owned.columns[0].push(x);
        owned.columns[1].push(w);
        owned.y.push(y);
    }
    if weights {
        let n = owned.y.len();
        owned.weights = Some((0..n).map(|i| [1.0, 2.0, 0.5][i % 3]).collect());
        owned.offset = Some((0..n).map(|i| (i % 4) as f64).collect());
    }
    owned
}

/// The same rows person by person: each person's are neighbours, while the groups' persons are not.
fn by_person(owned: &Owned) -> Owned {
    let mut order: Vec<usize> = (0..owned.y.len()).collect();
    order.sort_by_key(|&row| owned.groups[0][row]);
    let pick = |values: &[f64]| -> Vec<f64> { order.iter().map(|&row| values[row]).collect() };
    Owned {
        y: pick(&owned.y),
        offset: owned.offset.as_deref().map(pick),
        weights: owned.weights.as_deref().map(pick),
        columns: owned.columns.iter().map(|column| pick(column)).collect(),
        groups: owned.groups.iter().map(|codes| order.iter().map(|&row| codes[row]).collect()).collect(),
        ..owned.clone()
    }
}

fn crossed() -> Owned {
    let mut owned = three_levels(true);
    let n = owned.y.len();
    owned.groups[1] = (0..n).map(|i| 1 + (i as i32 * 5) % 9).collect();
    owned
}

fn fitted(owned: &Owned, reml: bool) -> Fit {
    Prepared::new(&owned.design(), reml, &NEVER).unwrap().fit(&Control::default()).unwrap()
}

/// Searches from different starts agree in as many digits as the stopping rule gives: here it gives more than usual.
fn tight() -> Control {
    Control { tol: 1e-14, ..Control::default() }
}

fn fitted_tightly(owned: &Owned) -> Fit {
    Prepared::new(&owned.design(), true, &NEVER).unwrap().fit(&tight()).unwrap()
}

fn options(replicates: usize) -> Options {
    Options { replicates, seed: 42, group: None, control: Control::default() }
}

fn replicates(owned: &Owned, reml: bool, scheme: &str, options: &Options, threads: usize) -> (Vec<Replicate>, Vec<Sample>) {
    let fit = fitted(owned, reml);
    let design = owned.design();
    let e = &fit.estimates;
    let source = Source::new(&design, reml, &e.theta, &e.beta, e.sigma, &NEVER).unwrap();
    let scheme = bootstrap::scheme(scheme).unwrap();
    let done = AtomicUsize::new(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let out = pool.install(|| bootstrap::run(&source, scheme.as_ref(), options, &NEVER, &done)).unwrap();
    assert_eq!(done.load(Ordering::Relaxed), options.replicates);
    let all: Vec<usize> = (0..options.replicates).collect();
    let samples = bootstrap::samples(&source, scheme.as_ref(), options, &all, &NEVER, &AtomicUsize::new(0)).unwrap();
    (out, samples)
}

fn status(fit: &Fit) -> ReplicateStatus {
    match fit.status {
        Status::Converged => ReplicateStatus::Converged,
        Status::Boundary => ReplicateStatus::Boundary,
        Status::Failed => ReplicateStatus::Failed,
    }
}

fn near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}: {ours:?} is not {theirs:?}");
    }
}

#[test]
fn every_scheme_gives_the_same_bits_on_one_and_two_threads() {
    let owned = three_levels(true);
    for scheme in bootstrap::registry() {
        let one = replicates(&owned, true, scheme.name(), &options(20), 1).0;
        let two = replicates(&owned, true, scheme.name(), &options(20), 2).0;
        assert_eq!(one, two, "{}", scheme.name());
        let first = |r: &Replicate| r.parameters.as_ref().unwrap().sigma;
        assert_ne!(first(&one[0]), first(&one[1]));
    }
}

#[test]
fn a_new_outcome_gives_the_fit_of_rows_that_hold_it_to_the_last_bit() {
    let mut no_intercept = three_levels(true);
    no_intercept.x = vec![1, 2];
    let (plain, weighted) = (by_person(&three_levels(false)), by_person(&three_levels(true)));
    for owned in [three_levels(false), three_levels(true), plain, weighted, no_intercept, crossed()] {
        for scheme in ["parametric", "residual"] {
            for reml in [true, false] {
                let theta = fitted(&owned, reml).estimates.theta;
                let (fits, samples) = replicates(&owned, reml, scheme, &options(4), 1);
                for (replicate, sample) in fits.iter().zip(samples) {
                    let Sample::Outcome(y) = sample else { panic!("no outcome") };
                    let fresh = Owned { y, ..owned.clone() };
                    let control = Control { start: Some(theta.clone()), ..Control::default() };
                    let fresh = Prepared::new(&fresh.design(), reml, &NEVER).unwrap().fit(&control).unwrap();
                    let parameters = replicate.parameters.as_ref().unwrap();
                    assert_eq!(replicate.status, status(&fresh));
                    assert_eq!(parameters.beta, fresh.estimates.beta);
                    assert_eq!(parameters.theta, fresh.estimates.theta);
                    assert_eq!(parameters.sigma.to_bits(), fresh.estimates.sigma.to_bits());
                    assert_eq!(parameters.criterion.to_bits(), fresh.estimates.criterion.to_bits());
                }
            }
        }
    }
}

/// The rows of `owned` with the drawn levels of factor `group` as groups of their own. Levels of finer factors inside them become new ones,
/// too; coarser factors stay.
fn with_groups(owned: &Owned, group: usize, drawn: &[u32]) -> Owned {
    let mut out = Owned { x: owned.x.clone(), terms: owned.terms.clone(), ..Owned::default() };
    out.columns = vec![Vec::new(); owned.columns.len()];
    out.groups = vec![Vec::new(); owned.groups.len()];
    out.weights = owned.weights.as_ref().map(|_| Vec::new());
    out.offset = owned.offset.as_ref().map(|_| Vec::new());
    let mut new: Vec<std::collections::HashMap<(usize, i32), i32>> = vec![Default::default(); owned.groups.len()];
    for (copy, &level) in drawn.iter().enumerate() {
        for row in (0..owned.y.len()).filter(|&row| owned.groups[group][row] == level as i32 + 1) {
            out.y.push(owned.y[row]);
            owned.columns.iter().zip(&mut out.columns).for_each(|(from, to)| to.push(from[row]));
            for (g, codes) in owned.groups.iter().enumerate() {
                let key = (if g <= group { copy } else { 0 }, codes[row]);
                let next = new[g].len() as i32 + 1;
                out.groups[g].push(*new[g].entry(key).or_insert(next));
            }
            if let (Some(from), Some(to)) = (&owned.weights, &mut out.weights) {
                to.push(from[row]);
            }
            if let (Some(from), Some(to)) = (&owned.offset, &mut out.offset) {
                to.push(from[row]);
            }
        }
    }
    out
}

#[test]
fn drawn_groups_give_the_fit_of_their_rows() {
    let owned = three_levels(true);
    for group in [None, Some(0), Some(1)] {
        let options = Options { group, control: tight(), ..options(6) };
        let (fits, samples) = replicates(&owned, true, "cases", &options, 1);
        for (replicate, sample) in fits.iter().zip(samples) {
            let Sample::Groups(drawn) = sample else { panic!("no groups") };
            assert_eq!(drawn.len(), if group == Some(0) { 40 } else { 8 });
            if group == Some(0) {
                // persons are drawn inside their group: 5 in each
                let mut counts = [0; 8];
                drawn.iter().for_each(|&person| counts[person as usize % 8] += 1);
                assert_eq!(counts, [5; 8]);
            }
            let fresh = fitted_tightly(&with_groups(&owned, group.unwrap_or(1), &drawn));
            let parameters = replicate.parameters.as_ref().unwrap();
            assert_eq!(replicate.status, status(&fresh));
            near("criterion", &[parameters.criterion], &[fresh.estimates.criterion], 1e-10);
            near("beta", &parameters.beta, &fresh.estimates.beta, 1e-7);
            near("theta", &parameters.theta, &fresh.estimates.theta, 1e-6);
            near("sigma", &[parameters.sigma], &[fresh.estimates.sigma], 1e-8);
        }
    }
}

#[test]
fn the_jackknife_gives_the_fits_without_each_block() {
    let owned = three_levels(true);
    let fit = fitted(&owned, true);
    let design = owned.design();
    let e = &fit.estimates;
    let source = Source::new(&design, true, &e.theta, &e.beta, e.sigma, &NEVER).unwrap();
    for (group, levels) in [(None, 8), (Some(0), 40)] {
        let block: Vec<usize> = (0..levels).map(|level| level % 8).collect();
        let fits = bootstrap::jackknife(&source, group, &block, &tight(), &NEVER, &AtomicUsize::new(0)).unwrap();
        assert_eq!(fits.len(), 8);
        for (left_out, replicate) in fits.iter().enumerate() {
            // with persons, blocks that leave their whole group without a person
            let kept: Vec<u32> = (0..levels as u32).filter(|&level| block[level as usize] != left_out).collect();
            let fresh = fitted_tightly(&with_groups(&owned, group.unwrap_or(1), &kept));
            let parameters = replicate.parameters.as_ref().unwrap();
            near("criterion", &[parameters.criterion], &[fresh.estimates.criterion], 1e-10);
            near("beta", &parameters.beta, &fresh.estimates.beta, 1e-7);
            near("theta", &parameters.theta, &fresh.estimates.theta, 1e-6);
        }
    }
    assert!(bootstrap::jackknife(&source, None, &[0; 3], &Control::default(), &NEVER, &AtomicUsize::new(0)).is_err());
}

#[test]
fn parametric_outcomes_have_the_mean_and_covariance_of_the_model() {
    let owned = three_levels(true);
    let fit = fitted(&owned, true);
    let draws = 4000;
    let samples = replicates(&owned, true, "parametric", &options(draws), 2).1;
    let outcomes: Vec<Vec<f64>> =
        samples.into_iter().map(|s| if let Sample::Outcome(y) = s { y } else { panic!("no outcome") }).collect();
    let e = &fit.estimates;
    let n = owned.y.len();
    let columns: Vec<Vec<f64>> = owned.x.iter().map(|&k| owned.column(k)).collect();
    let mean: Vec<f64> = (0..n)
        .map(|i| owned.offset.as_ref().unwrap()[i] + e.beta.iter().zip(&columns).map(|(b, c)| b * c[i]).sum::<f64>())
        .collect();
    let t = &e.theta;
    let psi = [t[0] * t[0], t[0] * t[1], t[1] * t[1] + t[2] * t[2], t[3] * t[3]];
    let x = owned.column(1);
    let covariance = |i: usize, j: usize| {
        let mut v = 0.0;
        if owned.groups[0][i] == owned.groups[0][j] {
            v += psi[0] + psi[1] * (x[i] + x[j]) + psi[2] * x[i] * x[j];
        }
        if owned.groups[1][i] == owned.groups[1][j] {
            v += psi[3];
        }
        if i == j {
            v += 1.0 / owned.weights.as_ref().unwrap()[i];
        }
        e.sigma * e.sigma * v
    };
    // 5 standard errors, for some 600 comparisons
    let root = (draws as f64).sqrt();
    for i in 0..30 {
        let average = outcomes.iter().map(|y| y[i]).sum::<f64>() / draws as f64;
        assert!((average - mean[i]).abs() < 5.0 * covariance(i, i).sqrt() / root, "mean of row {i}");
        for j in 0..20 {
            let moment = outcomes.iter().map(|y| (y[i] - mean[i]) * (y[j] - mean[j])).sum::<f64>() / draws as f64;
            let spread = (covariance(i, i) * covariance(j, j) + covariance(i, j).powi(2)).sqrt();
            assert!((moment - covariance(i, j)).abs() < 5.0 * spread / root, "covariance of rows {i} and {j}");
        }
    }
}

#[test]
fn a_sample_that_does_not_identify_the_model_is_told_apart() {
    // a predictor that varies in one group only: samples without that group cannot estimate its effect
    let mut owned = three_levels(false);
    owned.terms = vec![(1, vec![0], "unstructured")];
    owned.columns[1] = owned.groups[1].iter().map(|&g| if g == 3 { 1.0 } else { 0.0 }).collect();
    let (fits, samples) = replicates(&owned, true, "cases", &options(60), 2);
    let mut without = 0;
    for (replicate, sample) in fits.iter().zip(samples) {
        let Sample::Groups(drawn) = sample else { panic!("no groups") };
        let absent = !drawn.contains(&2);
        without += usize::from(absent);
        assert_eq!(replicate.status == ReplicateStatus::Unidentified, absent);
        assert_eq!(replicate.parameters.is_none(), absent);
    }
    assert!(without > 5, "{without}");
}

#[test]
fn replicates_of_a_fit_on_the_boundary_find_their_optimum() {
    // no variance between groups: the fit is at zero, half of the replicates are not
    let mut owned = three_levels(false);
    let mut random = Random(5);
    owned.terms = vec![(1, vec![0], "unstructured")];
    owned.y.iter_mut().for_each(|y| *y = random.normal());
    let mut groups = [0.0; 8];
    let mut counts = [0.0; 8];
    owned.groups[1].iter().zip(&owned.y).for_each(|(&g, y)| {
        groups[g as usize - 1] += y;
        counts[g as usize - 1] += 1.0;
    });
    owned.y.iter_mut().zip(&owned.groups[1]).for_each(|(y, &g)| *y -= groups[g as usize - 1] / counts[g as usize - 1]);
    assert_eq!(fitted(&owned, true).status, Status::Boundary);
    let (fits, samples) = replicates(&owned, true, "parametric", &options(60), 2);
    let inside = fits.iter().filter(|r| r.status == ReplicateStatus::Converged).count();
    assert!((15..45).contains(&inside), "{inside}");
    for (replicate, sample) in fits.iter().zip(samples) {
        let Sample::Outcome(y) = sample else { panic!("no outcome") };
        let cold = fitted(&Owned { y, ..owned.clone() }, true);
        let parameters = replicate.parameters.as_ref().unwrap();
        assert_eq!(replicate.status, status(&cold));
        near("criterion", &[parameters.criterion], &[cold.estimates.criterion], 1e-9);
    }
    // random effects without variance have nothing to be drawn from, and nothing is drawn
    let residual = replicates(&owned, true, "residual", &options(5), 1).0;
    assert!(residual.iter().all(|r| r.status != ReplicateStatus::Failed));
}

#[test]
fn what_cannot_be_drawn_is_refused_and_an_interrupt_ends_it() {
    let owned = crossed();
    let fit = fitted(&owned, true);
    let design = owned.design();
    let e = &fit.estimates;
    let source = Source::new(&design, true, &e.theta, &e.beta, e.sigma, &NEVER).unwrap();
    let cases = bootstrap::scheme("cases").unwrap();
    assert!(matches!(cases.prepare(&source, None), Err(CoreError::Data { .. })));
    assert!(bootstrap::scheme("wild").is_err());
    assert!(Source::new(&design, true, &e.theta, &e.beta[1..], e.sigma, &NEVER).is_err());
    assert!(Source::new(&design, true, &e.theta, &e.beta, f64::NAN, &NEVER).is_err());
    let parametric = bootstrap::scheme("parametric").unwrap();
    let stopped = AtomicBool::new(true);
    let result = bootstrap::run(&source, parametric.as_ref(), &options(5), &stopped, &AtomicUsize::new(0));
    assert_eq!(result, Err(CoreError::Interrupted));
}
