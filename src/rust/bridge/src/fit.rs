//! Entry points of estimation. Matrices go to R as plain vectors in column-major order; R/engine.R gives them their dimensions.

use crate::condition::guard;
use crate::convert::{column_major, count, flag, named, numbers, DesignSource};
use crate::interrupt::run_interruptible;
use extendr_api::prelude::*;
use ndarray::Array2;
use std::sync::atomic::AtomicBool;
use wbhlm_core::error::CoreError;
use wbhlm_core::estimates::Estimates;
use wbhlm_core::fit::{Fit, Prepared, Status};
use wbhlm_core::objective::Order;
use wbhlm_core::optimize::Control;

/// Reads the design, prepares it and runs `task` on the pool.
pub fn prepared<T: Send>(
    design: &Robj,
    reml: &Robj,
    threads: usize,
    task: impl FnOnce(&Prepared, &AtomicBool) -> Result<T, CoreError> + Send,
) -> Result<T, CoreError> {
    let source = DesignSource::new(design)?;
    let design = source.design()?;
    let reml = flag(reml, "reml")?;
    run_interruptible(threads, |stop| task(&Prepared::new(&design, reml, stop)?, stop))
}

/// The same for a single fit or evaluation: a small one is done on this thread. It ends within milliseconds, so that there is nothing to interrupt,
/// while waking a worker would cost it a quarter of its time. (With so few rows the core never asks for threads.)
fn prepared_for_one<T: Send>(
    design: &Robj,
    reml: &Robj,
    threads: usize,
    task: impl FnOnce(&Prepared) -> Result<T, CoreError> + Send,
) -> Result<T, CoreError> {
    let source = DesignSource::new(design)?;
    let view = source.design()?;
    let levels = view.groups.iter().map(|g| g.n_levels);
    let (all, largest) = (levels.clone().sum::<usize>(), levels.max().unwrap_or(0));
    if view.n() > QUICK_ROWS || all - largest > QUICK_LEVELS {
        return prepared(design, reml, threads, |p, _| task(p));
    }
    task(&Prepared::new(&view, flag(reml, "reml")?, &AtomicBool::new(false))?)
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

fn estimates_list(e: &Estimates, shape: &Shape) -> List {
    let modes: Vec<Robj> = e.modes.iter().map(|m| Robj::from(column_major(m))).collect();
    let boundary: Vec<Robj> = e
        .boundary
        .iter()
        .map(|b| {
            let column = b.column.map_or(0, |c| c as i32 + 1);
            list!(term = b.term as i32 + 1, column = column, one_sided_gradient = b.one_sided_gradient).into()
        })
        .collect();
    list!(
        beta = e.beta.clone(),
        vcov = column_major(&e.vcov),
        sigma = e.sigma,
        theta = e.theta.clone(),
        criterion = e.criterion,
        logdet_v = e.log_det_v,
        logdet_x = e.log_det_x,
        r2 = e.r2,
        nu = e.nu,
        gradient = e.gradient.clone(),
        b = List::from_values(modes),
        q = shape.q.iter().map(|&q| q as i32).collect::<Vec<i32>>(),
        boundary = List::from_values(boundary),
        dropped = shape.dropped.iter().map(|&k| k as i32 + 1).collect::<Vec<i32>>()
    )
}

fn status_name(fit: &Fit) -> &'static str {
    match fit.status {
        Status::Converged => "converged",
        Status::Boundary => "boundary",
        Status::Failed => "failed",
    }
}

/// Sizes that the lists need and that live in the prepared design.
struct Shape {
    q: Vec<usize>,
    dropped: Vec<usize>,
}

fn shape(p: &Prepared) -> Shape {
    Shape { q: p.statistics.basis.blocks.iter().map(|b| b.columns.len()).collect(), dropped: p.statistics.dropped.clone() }
}

/// Fits the model. See design/0001-contract.md.
#[extendr]
fn core_fit(design: Robj, reml: Robj, control: Robj) -> Robj {
    guard(|| {
        let (control, threads) = control_of(&control)?;
        let (fit, shape) = prepared_for_one(&design, &reml, threads, |p| Ok((p.fit(&control)?, shape(p))))?;
        let estimates = estimates_list(&fit.estimates, &shape);
        let how = list!(
            status = status_name(&fit),
            iterations = fit.iterations as i32,
            evaluations = fit.evaluations as i32,
            decrement = fit.decrement
        );
        Ok(list!(estimates = estimates, how = how).into())
    })
}

/// Estimates at theta, without optimisation.
#[extendr]
fn core_at(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let (estimates, shape) = prepared_for_one(&design, &reml, threads, |p| Ok((p.at(&theta)?, shape(p))))?;
        Ok(estimates_list(&estimates, &shape).into())
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
        let (criterion, gradient, hessian) = prepared_for_one(&design, &reml, threads, |p| p.evaluate(&theta, order))?;
        Ok(list!(criterion = criterion, gradient = gradient, hessian = column_major(&hessian)).into())
    })
}

/// Conditional covariances of the random effects: per group q x q x J.
#[extendr]
fn core_condvar(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let (values, shape) = prepared(&design, &reml, threads, |p, _| Ok((p.conditional_covariances(&theta)?, shape(p))))?;
        // symmetric blocks: row-major is column-major
        let values: Vec<Robj> = values.into_iter().map(|v| Robj::from(v.into_raw_vec_and_offset().0)).collect();
        let q = shape.q.iter().map(|&q| q as i32).collect::<Vec<i32>>();
        Ok(list!(condvar = List::from_values(values), q = q).into())
    })
}

/// What Satterthwaite's method needs.
#[extendr]
fn core_satterthwaite(design: Robj, reml: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let result = prepared(&design, &reml, threads, |p, _| p.satterthwaite(&theta))?;
        let jacobian: Vec<Robj> = result.jacobian.iter().map(|j| Robj::from(column_major(j))).collect();
        Ok(list!(
            vcov_varpar = column_major(&result.vcov_varpar),
            jacobian = List::from_values(jacobian),
            hessian = column_major(&result.hessian)
        )
        .into())
    })
}

/// What Kenward & Roger's method needs.
#[extendr]
fn core_kenward_roger(design: Robj, theta: Robj, threads: Robj) -> Robj {
    guard(|| {
        let theta = numbers(&theta, "theta")?;
        let threads = count(Some(&threads), 1, "threads")?;
        let result = prepared(&design, &Robj::from(true), threads, |p, _| p.kenward_roger(&theta))?;
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

extendr_module! {
    mod fit;
    fn core_fit;
    fn core_at;
    fn core_evaluate;
    fn core_condvar;
    fn core_satterthwaite;
    fn core_kenward_roger;
}
