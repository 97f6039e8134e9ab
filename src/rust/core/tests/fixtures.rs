//! The core against lme4 and lmerTest on real data: designs and reference values from `tests/testthat/fixtures/core-*.json`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Owned;
use serde_json::Value;
use wbhlm_core::fit::Prepared;
use wbhlm_core::optimize::Control;

/// Nobody interrupts a test.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn optional(v: &Value) -> Option<Vec<f64>> {
    if v.is_null() {
        None
    } else {
        Some(numbers(v))
    }
}

fn indices(v: &Value) -> Vec<usize> {
    numbers(v).iter().map(|&x| x as usize).collect()
}

fn read(design: &Value) -> Owned {
    Owned {
        y: numbers(&design["y"]),
        offset: optional(&design["offset"]),
        weights: optional(&design["weights"]),
        columns: design["columns"].as_array().unwrap().iter().map(numbers).collect(),
        x: indices(&design["x"]),
        groups: design["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| numbers(&g["codes"]).iter().map(|&c| c as i32).collect())
            .collect(),
        terms: design["terms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| {
                let name = if t["structure"] == "diagonal" { "diagonal" } else { "unstructured" };
                (t["group"].as_u64().unwrap() as usize - 1, indices(&t["columns"]), name)
            })
            .collect(),
        residual: None,
    }
}

fn near(what: &str, name: &str, ours: &[f64], theirs: &[f64], relative: f64, absolute: f64) {
    assert_eq!(ours.len(), theirs.len(), "{name}: {what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= relative * b.abs() + absolute, "{name}: {what} {a} is not {b}");
    }
}

#[test]
fn estimates_agree_with_lme4_and_the_criterion_is_never_above_its() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/testthat/fixtures");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the fixtures are part of the repository") {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        if !name.starts_with("core-") {
            continue;
        }
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let owned = read(&fixture["design"]);
        let reml = fixture["reml"].as_bool().unwrap();
        let prepared = Prepared::new(&owned.design(), reml, &NEVER).unwrap();
        let fit = prepared.fit(&Control::default()).unwrap();
        let (e, reference) = (&fit.estimates, &fixture["reference"]);
        let theirs = reference["criterion"].as_f64().unwrap();
        assert!(e.criterion <= theirs + 1e-6, "{name}: criterion {} above {theirs}", e.criterion);
        let at_start =
            prepared.evaluate(&numbers(&reference["at_start"]["theta"]), wbhlm_core::objective::Order::Value).unwrap().0;
        near(
            "criterion at lme4's start",
            &name,
            &[at_start],
            &[reference["at_start"]["criterion"].as_f64().unwrap()],
            1e-10,
            0.0,
        );
        near("beta", &name, &e.beta, &numbers(&reference["beta"]), 1e-5, 1e-8);
        let p = e.beta.len();
        let se: Vec<f64> = (0..p).map(|i| e.vcov[[i, i]].sqrt()).collect();
        near("standard errors", &name, &se, &numbers(&reference["se"]), 1e-4, 0.0);
        near("sigma", &name, &[e.sigma], &[reference["sigma"].as_f64().unwrap()], 1e-4, 0.0);
        near("theta", &name, &e.theta, &numbers(&reference["theta"]), 1e-4, 1e-4);
        let s = prepared.satterthwaite(&e.theta).unwrap();
        let dim = s.jacobian.len();
        let df: Vec<f64> = (0..p)
            .map(|i| {
                let g: Vec<f64> = s.jacobian.iter().map(|j| j[[i, i]]).collect();
                let denominator: f64 = (0..dim * dim).map(|k| g[k / dim] * s.vcov_varpar[[k / dim, k % dim]] * g[k % dim]).sum();
                2.0 * (e.vcov[[i, i]]).powi(2) / denominator
            })
            .collect();
        near("Satterthwaite df", &name, &df, &numbers(&reference["df"]), 1e-3, 0.0);
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} fixtures found");
}
