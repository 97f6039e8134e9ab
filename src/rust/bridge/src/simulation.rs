//! Entry points of simulation: many outcomes for one design, and whole studies.

use crate::bootstrap::estimates;
use crate::condition::guard;
use crate::convert::{count, flag, indices, optional_items, present, wrong, DesignSource};
use crate::replicates::{by_column, parameters, seed_of, status_code, Replication};
use crate::study;
use extendr_api::prelude::*;
use wbhlm_core::bootstrap::rng::Random;
use wbhlm_core::bootstrap::Source;
use wbhlm_core::error::CoreError;
use wbhlm_core::simulation::refit_many::{self, Reduced};
use wbhlm_core::simulation::study::{self as core_study, Studied};
use wbhlm_core::simulation::{Options, Tested, Tests};

struct Request {
    options: Options,
    replication: Replication,
    /// Designs of smaller models, where there are any.
    reduced: Vec<Robj>,
}

/// `options`: those of [`Replication`], first (0-based number of the first replicate), tests, contrasts, reduced.
fn request(options: &Robj) -> Result<Request, CoreError> {
    let (replication, fields) = Replication::of(options)?;
    let tests = fields.get("tests").and_then(Robj::as_str).ok_or_else(|| wrong("tests must be text"))?;
    let first = match present(fields.get("first")) {
        None => 0,
        Some(first) => indices(Some(first), "first")?.first().copied().ok_or_else(|| wrong("first must be a number"))?,
    };
    let Replication { replicates, seed, ref control, .. } = replication;
    let contrasts = contrasts_of(fields.get("contrasts"))?;
    let options = Options { replicates, first, seed, control: control.clone(), tests: Tests::named(tests)?, contrasts };
    Ok(Request { options, replication, reduced: optional_items(fields.get("reduced"), "reduced")?.iter().cloned().collect() })
}

/// A list with the weights of one combination of the coefficients in each element.
fn contrasts_of(given: Option<&Robj>) -> Result<Vec<Vec<f64>>, CoreError> {
    let weights = |row: &Robj| row.as_real_slice().map(<[f64]>::to_vec).ok_or_else(|| wrong("contrasts must be double vectors"));
    optional_items(given, "contrasts")?.iter().map(weights).collect()
}

/// `tested` columns: coefficients and contrasts.
fn tested_list(replicates: &[Tested], p: usize, tested: usize, m: usize, residual: usize, reduced: usize) -> List {
    let value = |values: &[f64], k: usize| values.get(k).copied().unwrap_or(f64::NAN);
    let mut fields = parameters(replicates, p, m, residual, |r| &r.replicate);
    fields.push(("se", by_column(replicates, tested, |r, k| value(&r.se, k)).into()));
    fields.push(("df", by_column(replicates, tested, |r, k| value(&r.df, k)).into()));
    let smaller = (0..reduced).map(|k| {
        let status: Vec<i32> = replicates.iter().map(|r| status_code(r.reduced[k].1)).collect();
        Robj::from(list!(criterion = by_column(replicates, 1, |r, _| r.reduced[k].0), status = status))
    });
    fields.push(("reduced", List::from_values(smaller).into()));
    List::from_pairs(fields)
}

/// Fits one design to many outcomes: the columns of `outcomes` (rows × replicates), or with NULL drawn from the model at the estimates.
/// `options`: nsim, seed, first (0-based number of the first replicate), tests ("none", "satterthwaite", "kenward-roger"), reduced (list of designs with
/// the same rows and X and other random terms, possibly none), contrasts (list of combinations of the coefficients, whose se and df follow theirs), threads, progress, max_iter, tol, start.
#[extendr]
fn core_refit_many(design: Robj, reml: Robj, theta: Robj, beta: Robj, sigma: Robj, outcomes: Robj, options: Robj) -> Robj {
    guard(|| {
        let request = request(&options)?;
        let (theta, beta, sigma) = estimates(&theta, &beta, &sigma)?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let designs = request.reduced.iter().map(|list| DesignSource::new(list)?.design()).collect::<Result<Vec<_>, _>>()?;
        let outcomes = match outcomes.is_null() {
            true => None,
            false => Some(outcomes.as_real_slice().ok_or_else(|| wrong("outcomes must be double"))?),
        };
        let wanted = &request.options;
        let replicates = request.replication.watched(|stop, done| {
            let source = Source::new(&design, reml, &theta, &beta, sigma, stop)?;
            let reduced = designs.iter().map(|design| Reduced::new(design, reml, stop)).collect::<Result<Vec<_>, CoreError>>()?;
            refit_many::run(&source, &reduced, outcomes, wanted, stop, done)
        })?;
        let tested = beta.len() + wanted.contrasts.len();
        let residual = design.residual.free().len();
        Ok(tested_list(&replicates, beta.len(), tested, theta.len(), residual, designs.len()).into())
    })
}

/// Draws whole studies and fits the analysis to each: see design/0011. `options` as in core_refit_many(), without reduced and start.
#[extendr]
fn core_study(study: Robj, analysis: Robj, options: Robj) -> Robj {
    guard(|| {
        let request = request(&options)?;
        let (study, analysis) = (study::study(&study)?, study::analysis(&analysis)?);
        let wanted = &request.options;
        let replicates = request.replication.watched(|stop, done| core_study::run(&study, &analysis, wanted, stop, done))?;
        let p = analysis.fixed.len();
        let m = analysis.random.iter().map(|term| term.structure.n_theta(term.columns.len())).sum();
        let size = |pick: fn(&Studied) -> usize| replicates.iter().map(|r| pick(r) as i32).collect::<Vec<i32>>();
        let (rows, persons, therapists) = (size(|r| r.rows), size(|r| r.persons), size(|r| r.therapists));
        let tested: Vec<Tested> = replicates.into_iter().map(|r| r.tested).collect();
        Ok(list!(
            fits = tested_list(&tested, p, p + wanted.contrasts.len(), m, 0, analysis.reduced.len()),
            rows = rows,
            persons = persons,
            therapists = therapists
        )
        .into())
    })
}

/// The data of replicate `replicate` (1-based) of core_study(): patient, therapist (0: none), session, time, x, y, moderator, one row per patient and
/// planned session; x and y are NaN where it did not take place.
#[extendr]
fn core_study_data(study: Robj, seed: Robj, replicate: Robj) -> Robj {
    guard(|| {
        let study = study::study(&study)?;
        study.validate()?;
        let seed = seed_of(Some(&seed))?;
        let replicate = count(Some(&replicate), 1, "replicate")? - 1;
        let mut data = core_study::Data::default();
        core_study::draw(&study, &mut Random::new(seed, replicate as u64), &mut data);
        let sessions = study.times.len();
        let rows = 0..study.patients * sessions;
        let by_row = |value: &dyn Fn(usize) -> i32| rows.clone().map(value).collect::<Vec<i32>>();
        Ok(list!(
            patient = by_row(&|row| (row / sessions) as i32 + 1),
            therapist = by_row(&|row| data.therapist.get(row / sessions).map_or(0, |&k| k as i32 + 1)),
            session = by_row(&|row| (row % sessions) as i32 + 1),
            time = rows.clone().map(|row| study.times[row % sessions]).collect::<Vec<f64>>(),
            x = data.x.clone(),
            y = data.y.clone(),
            moderator = rows.clone().map(|row| data.moderator[row / sessions]).collect::<Vec<f64>>()
        )
        .into())
    })
}

extendr_module! {
    mod simulation;
    fn core_refit_many;
    fn core_study;
    fn core_study_data;
}
