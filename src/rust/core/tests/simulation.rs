//! Refits of many outcomes, and whole studies: reproducibility, agreement with single fits, moments of what is drawn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize};

use common::{Owned, Random};
use wbhlm_core::bootstrap::rng::Random as Stream;
use wbhlm_core::bootstrap::Source;
use wbhlm_core::covariance;
use wbhlm_core::error::CoreError;
use wbhlm_core::fit::{Fit, Prepared};
use wbhlm_core::optimize::Control;
use wbhlm_core::replicates::ReplicateStatus;
use wbhlm_core::simulation::refit_many::{self, Reduced};
use wbhlm_core::simulation::study::{
    self, Analysis, Data, Group, Moderator, Part, Predictor, RandomEffects, RandomTerm, Split, Study,
};
use wbhlm_core::simulation::{Options, Tests};

static NEVER: AtomicBool = AtomicBool::new(false);

/// Synthetic: 40 persons, 5 rows each, a random slope.
fn slopes() -> Owned {
    let mut random = Random(5);
    let (persons, sessions) = (40, 5);
    let x: Vec<f64> = (0..persons * sessions).map(|_| random.normal()).collect();
    let b: Vec<f64> = (0..2 * persons).map(|_| random.normal()).collect();
    let y = x
        .iter()
        .enumerate()
        .map(|(row, x)| {
            let person = row / sessions;
            1.0 + b[person] + (0.5 + 0.6 * b[persons + person]) * x + random.normal()
        })
        .collect();
    Owned {
        y,
        columns: vec![x],
        x: vec![0, 1],
        groups: vec![(0..persons * sessions).map(|row| (row / sessions) as i32 + 1).collect()],
        terms: vec![(0, vec![0, 1], "unstructured")],
        ..Owned::default()
    }
}

fn options(replicates: usize, tests: Tests) -> Options {
    Options { replicates, first: 0, seed: 3, control: Control::default(), tests, contrasts: Vec::new() }
}

fn fitted(owned: &Owned) -> Fit {
    Prepared::new(&owned.design(), true, &NEVER).unwrap().fit(&Control::default()).unwrap()
}

fn on_threads<T: Send>(threads: usize, task: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(task)
}

fn refits(
    owned: &Owned,
    reduced: &[&Owned],
    outcomes: Option<&[f64]>,
    options: &Options,
    threads: usize,
) -> Vec<wbhlm_core::simulation::Tested> {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (fit, design) = (fitted(owned).estimates, owned.design());
    let designs: Vec<_> = reduced.iter().map(|r| r.design()).collect();
    on_threads(threads, || {
        let source = Source::new(&design, true, &fit.theta, &fit.beta, fit.sigma, &NEVER).unwrap();
        let reduced: Vec<Reduced> = designs.iter().map(|design| Reduced::new(design, true, &NEVER).unwrap()).collect();
        refit_many::run(&source, &reduced, outcomes, options, &stop, &done).unwrap()
    })
}

#[test]
fn refits_are_the_same_on_one_and_two_threads_and_in_parts() {
    let owned = slopes();
    let whole = refits(&owned, &[], None, &options(12, Tests::Satterthwaite), 1);
    assert_eq!(whole, refits(&owned, &[], None, &options(12, Tests::Satterthwaite), 2));
    let mut part = options(5, Tests::Satterthwaite);
    part.first = 7;
    assert_eq!(whole[7..], refits(&owned, &[], None, &part, 1));
}

#[test]
fn a_refit_of_a_given_outcome_is_the_fit_of_it() {
    let mut owned = slopes();
    let n = owned.y.len();
    let mut intercepts = slopes();
    intercepts.terms = vec![(0, vec![0], "unstructured")];
    let mut none = slopes();
    none.terms = Vec::new();
    let mut random = Random(9);
    let outcomes: Vec<f64> = (0..3 * n).map(|e| owned.y[e % n] + 2.0 * random.normal()).collect();
    let stop = AtomicBool::new(false);
    let satterthwaite = refits(&owned, &[&intercepts, &none], Some(&outcomes), &options(3, Tests::Satterthwaite), 2);
    let kenward_roger = refits(&owned, &[], Some(&outcomes), &options(3, Tests::KenwardRoger), 2);
    for (i, tested) in satterthwaite.iter().enumerate() {
        owned.y = outcomes[i * n..(i + 1) * n].to_vec();
        let design = owned.design();
        let prepared = Prepared::new(&design, true, &stop).unwrap();
        let fit = prepared.fit(&Control::default()).unwrap();
        assert_eq!(tested.replicate.parameters.as_ref().unwrap(), &fit.estimates.brief());
        let pieces = prepared.satterthwaite(&fit.estimates.theta).unwrap();
        for k in 0..2 {
            let variance = fit.estimates.vcov[[k, k]];
            assert!((tested.se[k] - variance.sqrt()).abs() < 1e-12);
            // twice the squared variance over its own variance, spelled out
            let spread: f64 = (0..4)
                .flat_map(|a| (0..4).map(move |b| (a, b)))
                .map(|(a, b)| pieces.jacobian[a][[k, k]] * pieces.vcov_varpar[[a, b]] * pieces.jacobian[b][[k, k]])
                .sum();
            assert!((tested.df[k] / (2.0 * variance * variance / spread) - 1.0).abs() < 1e-9);
        }
        // a small-sample correction makes standard errors larger here, and the intercept alone is nested
        assert!(kenward_roger[i].se[1] >= tested.se[1] && kenward_roger[i].df[1] > 1.0);
        intercepts.y = owned.y.clone();
        let smaller = fitted(&intercepts).estimates.criterion;
        assert!((tested.reduced[0].0 - smaller).abs() < 1e-8 && smaller >= fit.estimates.criterion - 1e-8);
        let (linear, _, _) = prepared.evaluate(&[0.0; 3], wbhlm_core::objective::Order::Gradient).unwrap();
        assert_eq!(tested.reduced[1], (linear, ReplicateStatus::Converged));
    }
}

#[test]
fn what_cannot_be_refitted_is_told_apart_from_what_is_wrong() {
    let owned = slopes();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (fit, design) = (fitted(&owned).estimates, owned.design());
    let source = Source::new(&design, false, &fit.theta, &fit.beta, fit.sigma, &NEVER).unwrap();
    let run = |outcomes: Option<&[f64]>, tests| refit_many::run(&source, &[], outcomes, &options(1, tests), &stop, &done);
    assert!(matches!(run(None, Tests::KenwardRoger), Err(CoreError::Design { .. })));
    assert!(matches!(run(Some(&[1.0, 2.0]), Tests::None), Err(CoreError::Design { .. })));
    let mut y = owned.y.clone();
    y[3] = f64::NAN;
    assert!(matches!(run(Some(&y), Tests::None), Err(CoreError::Data { .. })));
    let stopped = AtomicBool::new(true);
    let found = refit_many::run(&source, &[], None, &options(1, Tests::None), &stopped, &done);
    assert_eq!(found, Err(CoreError::Interrupted));
}

fn plan() -> Study {
    Study {
        patients: 60,
        therapists: 7,
        times: (0..6).map(f64::from).collect(),
        x: Predictor { sd_within: 1.0, sd_between: 0.8, sd_therapist: 0.5, trend: 0.2, trend_sd: 0.1, ar: 0.4, error_sd: 0.3 },
        moderator: Moderator::Binary { share: 0.4, low: -1.0, high: 1.0 },
        dropout: vec![0.0, 0.1, 0.1, 0.1, 0.1, 0.1],
        dropout_y: 0.0,
        missing: 0.05,
        lag: 1,
        fixed: vec![(vec![], 10.0), (vec![Part::Within], -0.6), (vec![Part::Within, Part::Moderator], 0.3)],
        random: vec![
            RandomEffects { group: Group::Patient, columns: vec![vec![], vec![Part::Within]], root: vec![1.0, 0.0, 0.2, 0.5] },
            RandomEffects { group: Group::Therapist, columns: vec![vec![]], root: vec![0.6] },
        ],
        residual_sd: 1.0,
        residual_ar: 0.3,
    }
}

fn model() -> Analysis {
    let term = |group, columns| RandomTerm { group, columns, structure: covariance::structure("unstructured").unwrap() };
    Analysis {
        split: Split::Mean,
        lag: 1,
        fixed: vec![vec![], vec![Part::Within], vec![Part::Between], vec![Part::Within, Part::Moderator]],
        random: vec![term(Group::Patient, vec![vec![], vec![Part::Within]]), term(Group::Therapist, vec![vec![]])],
        reml: true,
        reduced: vec![vec![term(Group::Patient, vec![vec![]])], Vec::new()],
    }
}

#[test]
fn studies_are_the_same_on_one_and_two_threads_and_in_parts() {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let run = |options: &Options, threads| on_threads(threads, || study::run(&plan(), &model(), options, &stop, &done).unwrap());
    let whole = run(&options(8, Tests::Satterthwaite), 1);
    assert_eq!(whole, run(&options(8, Tests::Satterthwaite), 2));
    let mut part = options(3, Tests::Satterthwaite);
    part.first = 5;
    assert_eq!(whole[5..], run(&part, 2));
    assert!(whole.iter().all(|s| s.persons <= 60 && s.therapists == 7 && s.rows < 300 && s.tested.df.len() == 4));
    // smaller models never fit better
    for studied in &whole {
        let criterion = studied.tested.replicate.parameters.as_ref().unwrap().criterion;
        assert!(studied.tested.reduced.iter().all(|r| r.0 >= criterion - 1e-7));
    }
    let stopped = AtomicBool::new(true);
    assert_eq!(study::run(&plan(), &model(), &options(2, Tests::None), &stopped, &done), Err(CoreError::Interrupted));
}

#[test]
fn every_therapist_and_the_moderator_are_spread_evenly() {
    let mut data = Data::default();
    study::draw(&plan(), &mut Stream::new(1, 0), &mut data);
    let mut sizes = [0; 7];
    data.therapist.iter().for_each(|&k| sizes[k as usize] += 1);
    assert!(sizes.iter().all(|&size| size == 8 || size == 9), "{sizes:?}");
    assert_eq!(data.moderator.iter().filter(|&&m| m == 1.0).count(), 24);
    assert_eq!(data.moderator[..10].iter().filter(|&&m| m == 1.0).count(), 4);
}

#[test]
fn studies_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut Study)| {
        let mut study = plan();
        change(&mut study);
        matches!(study.validate(), Err(CoreError::Design { .. }))
    };
    assert!(plan().validate().is_ok());
    assert!(refused(&|s| s.dropout = vec![0.1]));
    assert!(refused(&|s| s.missing = 1.2));
    assert!(refused(&|s| s.x.ar = 1.0));
    assert!(refused(&|s| s.residual_sd = f64::NAN));
    assert!(refused(&|s| s.therapists = 0));
    assert!(refused(&|s| s.fixed.push((vec![Part::OutcomeBefore], 1.0))));
    assert!(refused(&|s| s.random[0].root = vec![1.0]));
    let mut analysis = model();
    analysis.reml = false;
    assert!(matches!(analysis.validate(&plan(), Tests::KenwardRoger), Err(CoreError::Design { .. })));
}

#[test]
fn a_study_without_enough_data_is_unidentified() {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut study = plan();
    study.dropout = vec![1.0; 6];
    let found = study::run(&study, &model(), &options(2, Tests::Satterthwaite), &stop, &done).unwrap();
    assert!(found.iter().all(|s| s.tested.replicate.status == ReplicateStatus::Unidentified && s.rows == 0));
    assert!(found.iter().all(|s| s.tested.reduced.len() == 2));
}
