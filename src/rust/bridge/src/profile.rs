//! Entry point of profile likelihoods.

use crate::condition::guard;
use crate::convert::{count, flag, named, numbers, DesignSource};
use crate::fit::control_of;
use crate::interrupt::{progress_of, run_watched};
use extendr_api::prelude::*;
use std::sync::atomic::Ordering;
use wbhlm_core::error::CoreError;
use wbhlm_core::fit::Prepared;
use wbhlm_core::profile_likelihood::{profile, Curve, Parameter, Request};

fn index(value: &Robj, what: &str) -> Result<usize, CoreError> {
    count(Some(value), 1, what).map(|k| k - 1)
}

/// list(kind, term, column, other), places counted from 1.
fn parameter(value: &Robj) -> Result<Parameter, CoreError> {
    let fields = named(value, "a parameter")?;
    let place = |name: &str| index(fields.get(name).unwrap_or(&Robj::from(())), name);
    match fields.get("kind").and_then(Robj::as_str) {
        Some("sd") => Ok(Parameter::Sd { term: place("term")?, column: place("column")? }),
        Some("cor") => Ok(Parameter::Correlation { term: place("term")?, columns: (place("column")?, place("other")?) }),
        Some("sigma") => Ok(Parameter::Sigma),
        Some("coefficient") => Ok(Parameter::Coefficient(place("column")?)),
        _ => Err(CoreError::Design { what: "unknown kind of parameter".to_string() }),
    }
}

fn curve_list(curve: &Curve) -> List {
    let column = |pick: fn(&wbhlm_core::profile_likelihood::Step) -> f64| curve.steps.iter().map(pick).collect::<Vec<f64>>();
    let states = |pick: fn(&wbhlm_core::profile_likelihood::State) -> &[f64]| {
        curve.steps.iter().flat_map(|step| pick(&step.state).iter().copied()).collect::<Vec<f64>>()
    };
    list!(
        value = column(|step| step.value),
        zeta = column(|step| step.zeta),
        beta = states(|state| &state.beta),
        theta = states(|state| &state.theta),
        sigma = column(|step| step.state.sigma),
        lower = curve.limits.iter().map(|l| l.lower).collect::<Vec<f64>>(),
        upper = curve.limits.iter().map(|l| l.upper).collect::<Vec<f64>>(),
        shortfall = curve.shortfall
    )
}

/// The curves of parameters about the optimum at theta: list(parameters, zeta_max, cutoffs, points) asked for; `control$progress` (function(done)
/// or NULL) counts the curves.
#[extendr]
fn core_profile(design: Robj, reml: Robj, theta: Robj, request: Robj, control: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let progress = progress_of(&control)?;
        let (control, threads) = control_of(&control)?;
        let fields = named(&request, "the request")?;
        let field = |name: &str| fields.get(name).ok_or_else(|| CoreError::Design { what: format!("{name} is missing") });
        let parameters: Vec<Parameter> = field("parameters")?
            .as_list()
            .ok_or_else(|| CoreError::Design { what: "parameters must be a list".to_string() })?
            .values()
            .map(|value| parameter(&value))
            .collect::<Result<_, _>>()?;
        let zeta_max = numbers(field("zeta_max")?, "zeta_max")?.first().copied().unwrap_or(3.0);
        let cutoffs = numbers(field("cutoffs")?, "cutoffs")?;
        let points = count(fields.get("points"), 8, "points")?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let curves = run_watched(threads, progress.as_ref(), |stop, done| {
            let prepared = Prepared::new(&design, reml, stop)?;
            let curve = |&parameter: &Parameter| {
                let request = Request { parameter, zeta_max, cutoffs: cutoffs.clone(), points };
                let curve = profile(&prepared, &theta, &control, &request);
                done.fetch_add(1, Ordering::Relaxed);
                curve
            };
            parameters.iter().map(curve).collect::<Result<Vec<Curve>, CoreError>>()
        })?;
        Ok(List::from_values(curves.iter().map(curve_list)).into())
    })
}

extendr_module! {
    mod profile;
    fn core_profile;
}
