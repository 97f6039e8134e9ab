//! Statistics sent elsewhere give the same fit there, bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Owned, Random};
use wbhlm_core::fit::{Fit, Prepared};
use wbhlm_core::optimize::Control;
use wbhlm_core::statistics::Statistics;

/// Nobody interrupts a test.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[test]
fn statistics_and_fits_survive_the_journey() {
    let mut random = Random(77);
    let n = 240;
    let columns: Vec<Vec<f64>> = (0..2).map(|_| (0..n).map(|_| random.normal()).collect()).collect();
    let y = (0..n).map(|i| random.normal() + columns[0][i] + ((i / 6) % 7) as f64).collect();
    let nested = Owned {
        y,
        columns,
        x: vec![0, 1, 2],
        groups: vec![(0..n).map(|i| 1 + i as i32 / 6).collect(), (0..n).map(|i| 1 + i as i32 / 60).collect()],
        terms: vec![(0, vec![0, 1], "unstructured"), (1, vec![0, 2], "diagonal")],
        ..Owned::default()
    };
    let mut crossed = nested.clone();
    crossed.groups[1] = (0..n).map(|i| 1 + (i as i32 * 7) % 11).collect();
    for owned in [nested, crossed] {
        let here = Statistics::new(&owned.design(), true, &NEVER).unwrap();
        let bytes = postcard::to_allocvec(&here).unwrap();
        let there: Statistics = postcard::from_bytes(&bytes).unwrap();
        let a = Prepared::from_statistics(here, &NEVER).fit(&Control::default()).unwrap();
        let b = Prepared::from_statistics(there, &NEVER).fit(&Control::default()).unwrap();
        assert_eq!(a.estimates.criterion.to_bits(), b.estimates.criterion.to_bits());
        assert_eq!(a.estimates.theta, b.estimates.theta);
        let again: Fit = postcard::from_bytes(&postcard::to_allocvec(&a).unwrap()).unwrap();
        assert_eq!(again.estimates.vcov, a.estimates.vcov);
        assert_eq!(again.estimates.modes, a.estimates.modes);
        assert_eq!(again.status, a.status);
    }
}
