//! Entry points of estimation. Matrices go to R as plain vectors in column-major order; R/engine.R gives them their dimensions.

use crate::condition::guard;
use crate::convert::{column_major, count, flag, indices, named, numbers, DesignSource};
use crate::interrupt::{progress_of, run_interruptible, run_watched};
use crate::lists::Writer;
use extendr_api::prelude::*;
use ndarray::Array2;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use wbhlm_core::design::Design;
use wbhlm_core::error::CoreError;
use wbhlm_core::estimates::Estimates;
use wbhlm_core::fit::{Fit, Prepared, Status};
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;
use wbhlm_core::residual::BlockRows;
use wbhlm_core::stop::go_on;
use wbhlm_core::structured::Structured;

/// Reads the design, prepares it and runs `task`, see [`run_one`].
fn prepared<T: Send>(
    design: &Robj,
    reml: &Robj,
    threads: usize,
    task: impl FnOnce(&Prepared) -> Result<T, CoreError> + Send,
) -> Result<T, CoreError> {
    let design = DesignSource::new(design)?.design()?;
    let reml = flag(reml, "reml")?;
    run_one(&design, threads, None, |stop, _| task(&Prepared::new(&design, reml, stop)?))
}

/// Runs a single fit or evaluation: a small one on this thread. It ends within milliseconds, so that there is nothing to interrupt, while waking a
/// worker would cost it a quarter of its time. (With so few rows the core never asks for threads.)
fn run_one<T: Send>(
    design: &Design,
    threads: usize,
    progress: Option<&Function>,
    task: impl FnOnce(&AtomicBool, &AtomicUsize) -> Result<T, CoreError> + Send,
) -> Result<T, CoreError> {
    let levels = design.groups.iter().map(|g| g.n_levels);
    let (all, largest) = (levels.clone().sum::<usize>(), levels.max().unwrap_or(0));
    if design.n() > QUICK_ROWS || all - largest > QUICK_LEVELS {
        return run_watched(threads, progress, task);
    }
    task(&AtomicBool::new(false), &AtomicUsize::new(0))
}

/// Rows, and levels of all factors but the largest, of a design that is small.
const QUICK_ROWS: usize = 5_000;
const QUICK_LEVELS: usize = 100;

/// Settings of the optimiser and the number of threads.
pub fn control_of(control: &Robj) -> Result<(Control, usize), CoreError> {
    let fields = named(control, "control")?;
    let default = Control::default();
    let tol = match fields.get("tol").and_then(Robj::as_real) {
        Some(tol) if tol > 0.0 => tol,
        Some(_) => return Err(CoreError::Design { what: "tol must be positive".to_string() }),
        None => default.tol,
    };
    let start = fields.get("start").filter(|s| !s.is_null()).map(|s| numbers(s, "start")).transpose()?;
    let max_iter = count(fields.get("max_iter"), default.max_iter, "max_iter")?;
    Ok((Control { max_iter, tol, start }, count(fields.get("threads"), 1, "threads")?))
}

fn estimates_list(e: &Estimates, shape: &Shape) -> Robj {
    let modes: Vec<Robj> = e.modes.iter().map(|m| Robj::from(column_major(m))).collect();
    let boundary: Vec<Robj> = e
        .boundary
        .iter()
        .map(|b| {
            let column = b.column.map_or(0, |c| c as i32 + 1);
            list!(term = b.term as i32 + 1, column = column, one_sided_gradient = b.one_sided_gradient).into()
        })
        .collect();
    Writer::new(14)
        .doubles("beta", &e.beta)
        .doubles("vcov", &column_major(&e.vcov))
        .doubles("sigma", &[e.sigma])
        .doubles("theta", &e.theta)
        .doubles("criterion", &[e.criterion])
        .doubles("logdet_v", &[e.log_det_v])
        .doubles("logdet_x", &[e.log_det_x])
        .doubles("r2", &[e.r2])
        .doubles("nu", &[e.nu])
        .doubles("gradient", &e.gradient)
        .object("b", List::from_values(modes))
        .integers("q", shape.q.iter().map(|&q| q as i32))
        .object("boundary", List::from_values(boundary))
        .integers("dropped", shape.dropped.iter().map(|&k| k as i32 + 1))
        .done()
}

fn status_name(fit: &Fit) -> &'static str {
    match fit.status {
        Status::Converged => "converged",
        Status::Boundary => "boundary",
        Status::Failed => "failed",
    }
}

fn how_list(fit: &Fit) -> Robj {
    Writer::new(4)
        .object("status", status_name(fit))
        .integers("iterations", [fit.iterations as i32].into_iter())
        .integers("evaluations", [fit.evaluations as i32].into_iter())
        .doubles("decrement", &[fit.decrement])
        .done()
}

/// Sizes that the lists need and that live in the prepared design.
struct Shape {
    q: Vec<usize>,
    dropped: Vec<usize>,
}

fn shape(p: &Prepared) -> Shape {
    Shape { q: p.statistics.basis.blocks.iter().map(|b| b.columns.len()).collect(), dropped: p.statistics.dropped.clone() }
}

/// Fits the model. See design/0001-contract.md. `control$progress` (function(done) or NULL) gets 0 while the rows are read, then 1.
#[extendr]
fn core_fit(design: Robj, reml: Robj, control: Robj) -> Robj {
    guard(|| {
        let progress = progress_of(&control)?;
        let (control, threads) = control_of(&control)?;
        let (design, reml) = (DesignSource::new(&design)?.design_to_fit(), flag(&reml, "reml")?);
        if design.residual.free().is_empty() {
            let (fit, shape) = run_one(&design, threads, progress.as_ref(), |stop, done| {
                let p = Prepared::new(&design, reml, stop)?;
                done.store(1, Ordering::Relaxed);
                Ok((p.fit(&control)?, shape(&p)))
            })?;
            let estimates = estimates_list(&fit.estimates, &shape);
            return Ok(Writer::new(2).object("estimates", estimates).object("how", how_list(&fit)).done());
        }
        let (found, shape) = run_watched(threads, progress.as_ref(), |stop, done| {
            let structured = Structured::new(&design, reml, stop)?;
            done.store(1, Ordering::Relaxed);
            let found = structured.fit(&control)?;
            let shape = shape(&structured.prepared(&found.free)?);
            Ok((found, shape))
        })?;
        let at_limit: Vec<bool> = found.at_limit;
        let residual = list!(free = found.free, natural = found.natural, at_limit = at_limit, gradient = found.gradient);
        let estimates = estimates_list(&found.fit.estimates, &shape);
        Ok(list!(estimates = estimates, how = how_list(&found.fit), residual = residual).into())
    })
}

/// Estimates at theta, without optimisation.
#[extendr]
fn core_at(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let (estimates, shape) = prepared(&design, &reml, threads, |p| Ok((p.at(&theta)?, shape(p))))?;
        Ok(estimates_list(&estimates, &shape))
    })
}

/// Criterion, gradient and Hessian in theta.
#[extendr]
fn core_evaluate(design: Robj, reml: Robj, theta: Robj, order: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let order = match order.as_integer() {
            Some(0) => Order::Value,
            Some(1) => Order::Gradient,
            Some(2) => Order::Exact,
            _ => return Err(CoreError::Design { what: "order must be 0, 1 or 2".to_string() }),
        };
        let (criterion, gradient, hessian) = prepared(&design, &reml, threads, |p| p.evaluate(&theta, order))?;
        Ok(list!(criterion = criterion, gradient = gradient, hessian = column_major(&hessian)).into())
    })
}

/// Conditional covariances of the random effects: per group q x q x J.
#[extendr]
fn core_condvar(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let (values, shape) = prepared(&design, &reml, threads, |p| Ok((p.conditional_covariances(&theta)?, shape(p))))?;
        // symmetric blocks: row-major is column-major
        let values: Vec<Robj> = values.into_iter().map(|v| Robj::from(v.into_raw_vec_and_offset().0)).collect();
        let q = shape.q.iter().map(|&q| q as i32).collect::<Vec<i32>>();
        Ok(list!(condvar = List::from_values(values), q = q).into())
    })
}

/// What Satterthwaite's method needs; after (theta, sigma) come the free parameters of a residual structure.
#[extendr]
fn core_satterthwaite(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let result = run_interruptible(threads, |stop| match design.residual.free().is_empty() {
            true => Prepared::new(&design, reml, stop)?.satterthwaite(&theta),
            false => Structured::new(&design, reml, stop)?.satterthwaite(&theta),
        })?;
        let jacobian: Vec<Robj> = result.jacobian.iter().map(|j| Robj::from(column_major(j))).collect();
        Ok(list!(
            vcov_varpar = column_major(&result.vcov_varpar),
            jacobian = List::from_values(jacobian),
            hessian = column_major(&result.hessian)
        )
        .into())
    })
}

/// What Kenward & Roger's method needs. `control`: threads, and progress (function(done) or NULL), which counts p (p + 1) / 2 steps for p fixed effects.
#[extendr]
fn core_kenward_roger(design: Robj, theta: Robj, control: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let progress = progress_of(&control)?;
        let (_, threads) = control_of(&control)?;
        let design = DesignSource::new(&design)?.design()?;
        let result = run_watched(threads, progress.as_ref(), |stop, done| {
            Prepared::new(&design, true, stop)?.kenward_roger(&theta, done)
        })?;
        let matrices = |all: &[Array2<f64>]| List::from_values(all.iter().map(column_major));
        let index = |pick: fn(&(usize, usize, usize)) -> usize| {
            result.coordinates.iter().map(|c| pick(c) as i32 + 1).collect::<Vec<i32>>()
        };
        Ok(list!(
            map = column_major(&result.map),
            phi = column_major(&result.phi),
            p = matrices(&result.p),
            q = matrices(&result.q),
            information = column_major(&result.information),
            block = index(|c| c.0),
            row = index(|c| c.1),
            column = index(|c| c.2)
        )
        .into())
    })
}

/// Values (one or more per row, column after column) whitened by the residual structure of a design, or the other way round: independent
/// draws made residuals of variance 1 and with the design's weights and correlations. `codes`: the block of every row, 1-based, in
/// which rows may be correlated.
#[extendr]
fn core_whiten(design: Robj, values: Robj, codes: Robj, forward: Robj) -> Robj {
    guard(|| {
        let (design, forward, values) =
            (DesignSource::new(&design)?.design()?, flag(&forward, "forward")?, numbers(&values, "values")?);
        let (n, codes) = (design.n(), indices(Some(&codes), "codes")?);
        if codes.len() != n || values.len() % n != 0 || design.residual.n_rows().is_some_and(|rows| rows != n) {
            return Err(CoreError::Design { what: "values and codes must have one entry per row".to_string() });
        }
        let out = run_one(&design, 1, None, |stop, _| whitened(&design, &values, &codes, forward, stop))?;
        Ok(out.into())
    })
}

fn whitened(design: &Design, values: &[f64], codes: &[usize], forward: bool, stop: &AtomicBool) -> Result<Vec<f64>, CoreError> {
    let n = design.n();
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by_key(|&row| codes[row as usize]);
    let (width, mut out) = (values.len() / n, values.to_vec());
    for rows in order.chunk_by(|&a, &b| codes[a as usize] == codes[b as usize]) {
        go_on(stop)?;
        let at = BlockRows { order: Some(rows), start: 0, len: rows.len() };
        let weights = design.weights.map(|w| rows.iter().map(|&row| w[row as usize]).collect::<Vec<f64>>());
        let cell = |k: usize, column: usize| column * n + rows[k] as usize;
        let mut block: Vec<f64> =
            (0..width).flat_map(|c| (0..rows.len()).map(move |k| (k, c))).map(|(k, c)| values[cell(k, c)]).collect();
        if forward {
            design.residual.whiten(at, &mut block, width, weights.as_deref());
        } else {
            design.residual.colour(at, &mut block, width, weights.as_deref());
        }
        for c in 0..width {
            (0..rows.len()).for_each(|k| out[cell(k, c)] = block[c * rows.len() + k]);
        }
    }
    Ok(out)
}

extendr_module! {
    mod fit;
    fn core_fit;
    fn core_at;
    fn core_evaluate;
    fn core_condvar;
    fn core_satterthwaite;
    fn core_kenward_roger;
    fn core_whiten;
}
