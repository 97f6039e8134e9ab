//! Everything that may take long ends when it is told to. (How fast: tests/testthat/test-progress.R, from a process of its own.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use common::{Owned, Random};
use wbhlm_core::bootstrap::Source;
use wbhlm_core::error::{CoreError, Result};
use wbhlm_core::fit::Prepared;
use wbhlm_core::moments::outcome::WhitenedRows;
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;
use wbhlm_core::profile_likelihood::{profile, Parameter, Request};
use wbhlm_core::simulation::refit_many::Reduced;
use wbhlm_core::statistics::Statistics;

static STOPPED: AtomicBool = AtomicBool::new(true);
static NEVER: AtomicBool = AtomicBool::new(false);

/// Two factors, of which the second contains the first unless they are crossed.
fn model(crossed: bool) -> Owned {
    let mut random = Random(3);
    let n = 300;
    let first: Vec<i32> = (0..n).map(|i| i % 50 + 1).collect();
    let second = first.iter().map(|&code| if crossed { 1 + random.below(8) as i32 } else { (code - 1) % 8 + 1 }).collect();
    let columns = vec![(0..n).map(|_| random.normal()).collect()];
    let y = (0..n).map(|_| random.normal()).collect();
    let terms = vec![(0, vec![0, 1], "unstructured"), (1, vec![0], "unstructured")];
    Owned { y, columns, x: vec![0, 1], groups: vec![first, second], terms, ..Owned::default() }
}

fn interrupted<T: Debug>(found: Result<T>, what: &str) {
    assert_eq!(found.map(|_| ()), Err(CoreError::Interrupted), "{what}");
}

#[test]
fn no_computation_goes_on_after_the_flag() {
    for crossed in [false, true] {
        let owned = model(crossed);
        let design = owned.design();
        let statistics = Statistics::new(&design, true, &NEVER).unwrap();
        interrupted(Statistics::new(&design, true, &STOPPED), "moments");
        interrupted(statistics.whitened_by(&design, design.residual.as_ref(), &STOPPED), "moments again");
        interrupted(WhitenedRows::new(&design, &statistics, &STOPPED), "rows");
        let theta = [0.8, 0.1, 0.5, 0.4];
        interrupted(Source::new(&design, true, &theta, &[0.0, 0.0], 1.0, &STOPPED).map(|_| ()), "source");
        interrupted(Reduced::new(&design, true, &STOPPED).map(|_| ()), "reduced model");
        let prepared = Prepared::from_statistics(statistics, &STOPPED);
        for order in [Order::Value, Order::Gradient, Order::Step, Order::Exact] {
            interrupted(prepared.evaluate(&theta, order), "evaluation");
        }
        interrupted(prepared.fit(&Control::default()), "fit");
        interrupted(prepared.at(&theta), "estimates");
        interrupted(prepared.conditional_covariances(&theta), "conditional covariances");
        interrupted(prepared.satterthwaite(&theta), "Satterthwaite");
        interrupted(prepared.kenward_roger(&theta, &AtomicUsize::new(0)), "Kenward-Roger");
        for parameter in [Parameter::Sigma, Parameter::Coefficient(1), Parameter::Sd { term: 0, column: 0 }] {
            let request = Request { parameter, zeta_max: 3.0, cutoffs: vec![1.96], points: 4 };
            interrupted(profile(&prepared, &theta, &Control::default(), &request), "profile");
        }
        let source = Source { stop: &STOPPED, ..Source::new(&design, true, &theta, &[0.0, 0.0], 1.0, &NEVER).unwrap() };
        interrupted(source.modes(), "modes");
    }
}
