//! Residual structures against dense matrices: whitening, criterion, derivatives, optima.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{eliminate, Owned, Random};
use wbhlm_core::bootstrap::{self, Options, Source};
use wbhlm_core::fit::{Prepared, Status};
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;
use wbhlm_core::residual::{registry, structure, BlockRows, Input, Product, Residual};
use wbhlm_core::structured::{Structured, StructuredFit};

/// Nobody interrupts a test.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Persons with gaps in their sessions, rows of all persons mixed.
struct Data {
    owned: Owned,
    time: Vec<f64>,
    codes: Vec<i32>,
}

fn data(persons: usize, sessions: usize, phi: f64, spread: f64, seed: u64) -> Data {
    let mut random = Random(seed);
    let mut rows: Vec<(i32, f64, f64, f64, i32)> = Vec::new();
    for person in 0..persons {
        let level = spread * random.normal();
        let mut noise = random.normal();
        for session in 0..sessions {
            noise = phi * noise + (1.0 - phi * phi).sqrt() * random.normal();
            let x = random.normal();
            let stratum = (session % 3) as i32 + 1;
            // a quarter of the sessions is missing
            if session < 2 || random.uniform() < 0.75 {
                let y = 2.0 + level + 0.5 * x + [1.0, 1.6, 0.7][stratum as usize - 1] * noise;
                rows.push((person as i32 + 1, session as f64, x, y, stratum));
            }
        }
    }
    for i in (1..rows.len()).rev() {
        let j = random.below(i + 1);
        rows.swap(i, j);
    }
    let owned = Owned {
        y: rows.iter().map(|r| r.3).collect(),
        weights: Some(rows.iter().map(|_| 0.5 + random.uniform()).collect()),
        columns: vec![rows.iter().map(|r| r.2).collect(), rows.iter().map(|r| r.1).collect()],
        x: vec![0, 1, 2],
        groups: vec![rows.iter().map(|r| r.0).collect()],
        terms: vec![(0, vec![0, 1], "unstructured")],
        ..Owned::default()
    };
    Data { owned, time: rows.iter().map(|r| r.1).collect(), codes: rows.iter().map(|r| r.4).collect() }
}

impl Data {
    fn input(&self) -> Input<'_> {
        Input { time: &self.time, unit: 1.0, shortest: 1.0, codes: &self.codes, n_levels: 3 }
    }

    /// Every structure alone, and variances that differ around serial correlation; at parameters that are no default.
    fn structures(&self) -> Vec<(&'static str, Arc<dyn Residual>)> {
        let make = |name: &str| structure(name, &self.input()).unwrap();
        let product: Arc<dyn Residual> = Arc::new(Product::new(vec![make("ar1"), make("hetero")]).unwrap());
        vec![
            ("ar1", make("ar1").at(&[0.6])),
            ("ar1", make("ar1").at(&[-0.4])),
            ("car1", make("car1").at(&[-0.7])),
            ("hetero", make("hetero").at(&[0.5, -0.3])),
            ("product", product.at(&[0.5, -0.3, 0.6])),
        ]
    }

    /// R written down from its definition; φ as the user knows it.
    fn r(&self, name: &str, natural: &[f64], i: usize, j: usize) -> f64 {
        let same = self.owned.groups[0][i] == self.owned.groups[0][j];
        let serial = |phi: f64| if same { phi.powi((self.time[i] - self.time[j]).abs() as i32) } else { 0.0 };
        let sd = |row: usize| if self.codes[row] == 1 { 1.0 } else { natural[self.codes[row] as usize - 2] };
        match name {
            "ar1" | "car1" => serial(natural[0]),
            "hetero" => f64::from(u8::from(i == j)) * sd(i) * sd(j),
            _ => serial(natural[2]) * sd(i) * sd(j),
        }
    }
}

fn close(ours: f64, theirs: f64, relative: f64, what: &str) {
    assert!((ours - theirs).abs() <= relative * (1.0 + theirs.abs()), "{what}: {ours} is not {theirs}");
}

#[test]
fn whitening_is_that_of_the_dense_matrix_and_colouring_undoes_it() {
    let d = data(4, 9, 0.5, 1.0, 3);
    let n = d.owned.y.len();
    let weights = d.owned.weights.clone().unwrap();
    for (name, residual) in d.structures() {
        for person in 1..=4 {
            let rows: Vec<u32> = (0..n as u32).filter(|&row| d.owned.groups[0][row as usize] == person).collect();
            let m = rows.len();
            let own: Vec<f64> = rows.iter().map(|&row| weights[row as usize]).collect();
            let at = BlockRows { order: Some(&rows), start: 0, len: m };
            let original: Vec<f64> = (0..3 * m).map(|k| ((k * 7 + 3) % 11) as f64 - 4.0).collect();
            let mut block = original.clone();
            residual.whiten(at, &mut block, 3, Some(&own));
            let mut v: Vec<f64> = (0..m * m)
                .map(|e| {
                    let (i, j) = (rows[e / m] as usize, rows[e % m] as usize);
                    d.r(name, &residual.natural(), i, j) / (weights[i] * weights[j]).sqrt()
                })
                .collect();
            let mut dense: Vec<Vec<f64>> = original.chunks(m).map(<[f64]>::to_vec).collect();
            let mut log_det = 0.0;
            eliminate(m, &mut v, &mut dense, &mut log_det);
            close(residual.log_det(at, Some(&own)), log_det, 1e-12, name);
            for a in 0..3 {
                for b in 0..3 {
                    let gram: f64 = (0..m).map(|k| block[a * m + k] * block[b * m + k]).sum();
                    let want: f64 = (0..m).map(|k| dense[a][k] * dense[b][k]).sum();
                    close(gram, want, 1e-11, name);
                }
            }
            residual.colour(at, &mut block, 3, Some(&own));
            block.iter().zip(&original).for_each(|(a, b)| close(*a, *b, 1e-12, name));
        }
    }
}

#[test]
fn structures_keep_their_contract() {
    let d = data(4, 9, 0.5, 1.0, 3);
    assert_eq!(registry().len(), 3);
    for (_, residual) in d.structures() {
        let (free, reach) = (residual.free(), residual.reach());
        assert_eq!((free.len(), free.len()), (residual.natural().len(), reach.len()));
        for start in residual.starts() {
            assert!(start.iter().zip(&reach).all(|(s, (lowest, highest))| lowest < s && s < highest));
        }
        for k in 0..free.len() {
            let h = 1e-6;
            let moved = |step: f64| {
                let mut at = free.clone();
                at[k] += step;
                residual.at(&at).natural()[k]
            };
            close(residual.natural_derivative()[k], (moved(h) - moved(-h)) / (2.0 * h), 1e-8, "derivative of the parameters");
        }
    }
    // a design with other rows than the structure's is refused, not read beyond its end
    let mut shorter = data(4, 9, 0.5, 1.0, 4);
    for (_, residual) in d.structures() {
        shorter.owned.residual = Some(residual);
        assert_ne!(shorter.owned.y.len(), d.owned.y.len());
        assert_eq!(Prepared::new(&shorter.owned.design(), true, &NEVER).err().map(|e| e.kind()), Some("design"));
    }
    let broken = Input { time: &[0.0, 0.5], unit: 1.0, shortest: 0.5, codes: &[1, 4], n_levels: 3 };
    for name in ["ar1", "hetero", "toeplitz"] {
        assert_eq!(structure(name, &broken).unwrap_err().kind(), "covariance");
    }
}

#[test]
fn criterion_is_that_of_the_dense_likelihood() {
    let mut d = data(8, 7, 0.5, 1.0, 5);
    for (name, residual) in d.structures() {
        d.owned.residual = Some(residual.clone());
        for reml in [true, false] {
            for theta in [[0.8, 0.1, 0.4], [0.0, 0.0, 0.5]] {
                let prepared = Prepared::new(&d.owned.design(), reml, &NEVER).unwrap();
                let ours = prepared.evaluate(&theta, Order::Value).unwrap().0;
                let ((log_det, r2), nu) = d.owned.brute_pieces(reml, &theta, &|i, j| d.r(name, &residual.natural(), i, j));
                close(ours, log_det + nu * (1.0 + (2.0 * std::f64::consts::PI * r2 / nu).ln()), 1e-11, name);
            }
        }
    }
}

fn fit(owned: &Owned, reml: bool) -> StructuredFit {
    Structured::new(&owned.design(), reml, &NEVER).unwrap().fit(&Control::default()).unwrap()
}

/// The criterion optimised over theta at one φ.
fn at_free(owned: &Owned, reml: bool, free: &[f64]) -> f64 {
    let mut moved = owned.clone();
    moved.residual = Some(owned.residual.as_ref().unwrap().at(free));
    Prepared::new(&moved.design(), reml, &NEVER).unwrap().fit(&Control::default()).unwrap().estimates.criterion
}

#[test]
fn no_point_near_or_far_lies_below_the_optimum() {
    let mut random = Random(17);
    for seed in 1..6 {
        let mut d = data(15, 8, 0.4, 0.8, 20 + seed);
        for (name, residual) in d.structures() {
            d.owned.residual = Some(residual.clone());
            let found = fit(&d.owned, seed % 2 == 0);
            assert_ne!(found.fit.status, Status::Failed, "{name}");
            for attempt in 0..30 {
                let size = [1e-3, 0.1, 1.0][attempt % 3];
                let free: Vec<f64> = found.free.iter().map(|f| f + size * random.normal()).collect();
                let value = at_free(&d.owned, seed % 2 == 0, &free);
                assert!(value >= found.fit.estimates.criterion - 1e-7, "{name}: {value} at {free:?} is below");
            }
            let interior = found.at_limit.iter().all(|&limit| !limit);
            assert!(!interior || found.gradient.iter().all(|g| g.abs() < 1e-3), "{name}: {:?}", found.gradient);
        }
    }
}

#[test]
fn joint_derivatives_are_those_of_the_dense_likelihood() {
    let mut d = data(8, 7, 0.5, 1.0, 9);
    d.owned.terms = vec![(0, vec![0], "unstructured")];
    for (name, residual) in d.structures() {
        d.owned.residual = Some(residual.clone());
        let (theta, reml) = (0.7, true);
        let prepared = Prepared::new(&d.owned.design(), reml, &NEVER).unwrap();
        let sigma = prepared.at(&[theta]).unwrap().sigma;
        let exact = Structured::new(&d.owned.design(), reml, &NEVER).unwrap().satterthwaite(&[theta]).unwrap();
        let centre: Vec<f64> = [vec![theta, sigma], residual.free()].concat();
        let value = |at: &[f64]| {
            let natural = residual.at(&at[2..]).natural();
            let ((log_det, r2), nu) = d.owned.brute_pieces(reml, &at[..1], &|i, j| d.r(name, &natural, i, j));
            log_det + r2 / (at[1] * at[1]) + 2.0 * nu * at[1].ln()
        };
        let dim = centre.len();
        assert_eq!(exact.jacobian.len(), dim);
        for i in 0..dim {
            for j in 0..dim {
                // fourth order in both directions
                let h = 5e-3;
                let slope = |point: &[f64]| {
                    let moved = |steps: f64| {
                        let mut at = point.to_vec();
                        at[j] += steps * h;
                        value(&at)
                    };
                    (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * h)
                };
                let at = |steps: f64| {
                    let mut point = centre.clone();
                    point[i] += steps * h;
                    slope(&point)
                };
                let second = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
                close(exact.hessian[[i, j]], second, 2e-5, name);
            }
        }
        // d vcov(β) / d parameters, from the core's own vcov at other parameters
        for (k, jacobian) in exact.jacobian.iter().enumerate().skip(2) {
            let h = 1e-4;
            let vcov = |step: f64| {
                let mut free = residual.free();
                free[k - 2] += step;
                let mut moved = d.owned.clone();
                moved.residual = Some(residual.at(&free));
                let e = Prepared::new(&moved.design(), reml, &NEVER).unwrap().at(&[theta]).unwrap();
                e.vcov * (sigma / e.sigma).powi(2)
            };
            let slope = (vcov(h) - vcov(-h)) / (2.0 * h);
            slope.iter().zip(jacobian).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{name}: {b} is not {a}"));
        }
    }
}

#[test]
fn the_lowest_of_several_optima_is_found() {
    // few persons: strong autocorrelation without differences between them, or differences with weak autocorrelation; and, at one φ, several optima
    // of the random effects (the last two lines: the search that stays with the first ends up to 0.09 too high)
    type Trap = (usize, usize, f64, f64, bool, &'static [u64]);
    let traps: [Trap; 6] = [
        (7, 5, 0.75, 0.9, false, &[19, 138, 234]),
        (6, 8, 0.7, 0.5, true, &[19, 215]),
        (5, 6, 0.3, 1.0, true, &[5, 77, 135, 158, 176]),
        (10, 6, 0.5, 0.5, true, &[22, 88]),
        (6, 8, 0.7, 0.5, true, &[60]),
        (8, 12, 0.8, 0.5, true, &[58]),
    ];
    let mut several = 0;
    for (persons, sessions, phi, spread, slope, seeds) in traps {
        for &seed in seeds {
            let mut d = data(persons, sessions, phi, spread, 1000 + 7 * seed);
            if !slope {
                d.owned.terms = vec![(0, vec![0], "unstructured")];
            }
            d.owned.weights = None;
            d.owned.residual = Some(structure("ar1", &d.input()).unwrap());
            let found = fit(&d.owned, true);
            let grid: Vec<f64> = (-20..=40).map(|k| at_free(&d.owned, true, &[0.075 * f64::from(k)])).collect();
            let lowest = grid.iter().copied().fold(f64::INFINITY, f64::min);
            let value = found.fit.estimates.criterion;
            assert!(value <= lowest + 1e-7, "{persons} persons, seed {seed}: {value} above {lowest}");
            several += usize::from(grid.windows(3).filter(|w| w[1] < w[0] - 1e-6 && w[1] < w[2] - 1e-6).count() > 1);
        }
    }
    assert!(several >= 8, "several optima were met {several} times only");
}

#[test]
fn correlation_at_even_distances_alone_is_reported_as_positive() {
    let mut d = data(20, 8, 0.6, 0.5, 77);
    d.time.iter_mut().for_each(|t| *t *= 2.0);
    let mut input = d.input();
    input.unit = 2.0;
    d.owned.residual = Some(structure("ar1", &input).unwrap());
    assert!(fit(&d.owned, true).natural[0] > 0.0);
}

#[test]
fn continuous_time_reaches_independence_whatever_the_shortest_distance() {
    // neighbours are alternately 1.8 and 0.2 apart, and correlated negatively, which car1 has not: the best it can do is no correlation
    let mut d = data(20, 8, -0.6, 0.5, 5);
    d.time.iter_mut().for_each(|t| *t += 0.8 * (*t % 2.0));
    let mut input = d.input();
    input.shortest = 0.2;
    d.owned.residual = Some(structure("car1", &input).unwrap());
    let serial = fit(&d.owned, true);
    assert_eq!(serial.at_limit, vec![true]);
    assert_eq!(serial.fit.status, Status::Boundary);
    d.owned.residual = None;
    let plain = Prepared::new(&d.owned.design(), true, &NEVER).unwrap().fit(&Control::default()).unwrap();
    close(serial.fit.estimates.criterion, plain.estimates.criterion, 1e-8, "independence");
}

#[test]
fn crossed_factors_take_variances_that_differ_but_no_correlations() {
    let mut d = data(12, 8, 0.0, 1.0, 31);
    d.owned.groups.push(d.codes.iter().zip(&d.owned.groups[0]).map(|(c, g)| (c + g) % 4 + 1).collect());
    d.owned.terms = vec![(0, vec![0], "unstructured"), (1, vec![0], "unstructured")];
    for (name, residual) in d.structures() {
        d.owned.residual = Some(residual.clone());
        let prepared = Prepared::new(&d.owned.design(), true, &NEVER);
        if name != "hetero" {
            assert_eq!(prepared.err().map(|e| e.kind()), Some("covariance"));
            continue;
        }
        let ours = prepared.unwrap().evaluate(&[0.7, 0.3], Order::Value).unwrap().0;
        let ((log_det, r2), nu) = d.owned.brute_pieces(true, &[0.7, 0.3], &|i, j| d.r(name, &residual.natural(), i, j));
        close(ours, log_det + nu * (1.0 + (2.0 * std::f64::consts::PI * r2 / nu).ln()), 1e-11, name);
        assert_ne!(fit(&d.owned, true).fit.status, Status::Failed);
    }
}

#[test]
fn the_parametric_bootstrap_draws_from_the_structure_and_estimates_it_again() {
    let mut d = data(60, 6, 0.5, 0.7, 41);
    d.owned.terms = vec![(0, vec![0], "unstructured")];
    d.owned.residual = Some(structure("ar1", &d.input()).unwrap());
    let found = fit(&d.owned, true);
    let mut known = d.owned.clone();
    known.residual = Some(d.owned.residual.as_ref().unwrap().at(&found.free));
    let design = known.design();
    let e = &found.fit.estimates;
    let source = Source::new(&design, true, &e.theta, &e.beta, e.sigma, &NEVER).unwrap();
    let options = Options { replicates: 200, seed: 3, group: None, control: Control::default() };
    let done = std::sync::atomic::AtomicUsize::new(0);
    let scheme = |name: &str| bootstrap::scheme(name).unwrap();
    let replicates = bootstrap::run(&source, scheme("parametric").as_ref(), &options, &NEVER, &done).unwrap();
    let mean = replicates.iter().map(|r| r.free[0]).sum::<f64>() / 200.0;
    let sd = (replicates.iter().map(|r| (r.free[0] - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
    // the error of the mean, and the bias of φ in short series, which is of the order of 1 / sessions / persons
    assert!((mean - found.free[0]).abs() < 4.0 * sd / 200f64.sqrt() + 0.03, "{mean} {}", found.free[0]);
    for name in ["residual", "cases"] {
        let refused = bootstrap::run(&source, scheme(name).as_ref(), &options, &NEVER, &done);
        assert_eq!(refused.unwrap_err().kind(), "covariance");
    }
    // a replicate is the fit of what it draws
    let drawn = bootstrap::samples(&source, scheme("parametric").as_ref(), &options, &[4], &NEVER, &done).unwrap();
    let bootstrap::Sample::Outcome(y) = &drawn[0] else { panic!("an outcome") };
    let mut again = d.owned.clone();
    again.y = y.clone();
    let direct = fit(&again, true);
    let brief = replicates[4].parameters.as_ref().unwrap();
    close(brief.criterion, direct.fit.estimates.criterion, 1e-9, "criterion of a replicate");
    close(replicates[4].free[0], direct.free[0], 1e-5, "parameter of a replicate");
}
