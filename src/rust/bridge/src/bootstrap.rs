//! Entry points of the bootstrap and the jackknife.

use crate::condition::guard;
use crate::convert::{count, flag, indices, numbers, wrong, DesignSource};
use crate::replicates::{parameters, Replication};
use extendr_api::prelude::*;
use wbhlm_core::bootstrap::{self, Options, Replicate, Sample, Scheme, Source};
use wbhlm_core::error::CoreError;

/// What R asks for.
struct Request {
    scheme: Box<dyn Scheme>,
    options: Options,
    replication: Replication,
}

/// `options`: those of [`Replication`], type, group.
fn request(options: &Robj) -> Result<Request, CoreError> {
    let (replication, fields) = Replication::of(options)?;
    let text = fields.get("type").and_then(Robj::as_str).ok_or_else(|| wrong("type must be text"))?;
    let group = match fields.get("group").filter(|g| !g.is_null()) {
        None => None,
        group => Some(count(group, 1, "group")? - 1),
    };
    let Replication { replicates, seed, ref control, .. } = replication;
    let options = Options { replicates, seed, group, control: control.clone() };
    Ok(Request { scheme: bootstrap::scheme(text)?, options, replication })
}

fn replicates_list(replicates: &[Replicate], p: usize, m: usize, residual: usize) -> List {
    List::from_pairs(parameters(replicates, p, m, residual, |replicate| replicate))
}

/// Draws replicates from a fit and fits each. `options`: type, nsim, seed, group (1-based or NULL), progress (function(done) or NULL), and
/// those of a control (max_iter, tol, threads).
#[extendr]
fn core_bootstrap(design: Robj, reml: Robj, theta: Robj, beta: Robj, sigma: Robj, options: Robj) -> Robj {
    guard(|| {
        let request = request(&options)?;
        let (theta, beta, sigma) = estimates(&theta, &beta, &sigma)?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let (scheme, wanted) = (request.scheme.as_ref(), &request.options);
        let replicates = request.replication.watched(|stop, done| {
            let source = Source::new(&design, reml, &theta, &beta, sigma, stop)?;
            bootstrap::run(&source, scheme, wanted, stop, done)
        })?;
        Ok(replicates_list(&replicates, beta.len(), theta.len(), design.residual.free().len()).into())
    })
}

/// What the replicates `which` (1-based) of core_bootstrap() draw: per replicate a double vector, the outcome, or an integer vector, the
/// 1-based levels of the factor whose groups are drawn.
#[extendr]
fn core_bootstrap_samples(design: Robj, reml: Robj, theta: Robj, beta: Robj, sigma: Robj, options: Robj, which: Robj) -> Robj {
    guard(|| {
        let request = request(&options)?;
        let (theta, beta, sigma) = estimates(&theta, &beta, &sigma)?;
        let which = indices(Some(&which), "which")?
            .into_iter()
            .map(|i| i.checked_sub(1).ok_or_else(|| wrong("which must be 1 or more")))
            .collect::<Result<Vec<usize>, CoreError>>()?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let (scheme, wanted) = (request.scheme.as_ref(), &request.options);
        let samples = request.replication.watched(|stop, done| {
            let source = Source::new(&design, reml, &theta, &beta, sigma, stop)?;
            bootstrap::samples(&source, scheme, wanted, &which, stop, done)
        })?;
        let values = samples.into_iter().map(|sample| match sample {
            Sample::Outcome(y) => Robj::from(y),
            Sample::Groups(levels) => Robj::from(levels.into_iter().map(|l| l as i32 + 1).collect::<Vec<i32>>()),
        });
        Ok(List::from_values(values).into())
    })
}

/// Fits without each block of groups in turn; `block` gives the block (1, 2, ...) of every level of the factor `options$group`.
#[extendr]
fn core_jackknife(design: Robj, reml: Robj, theta: Robj, beta: Robj, sigma: Robj, options: Robj, block: Robj) -> Robj {
    guard(|| {
        let request = request(&options)?;
        let (theta, beta, sigma) = estimates(&theta, &beta, &sigma)?;
        let block = indices(Some(&block), "block")?
            .into_iter()
            .map(|b| b.checked_sub(1).ok_or_else(|| wrong("block must be 1 or more")))
            .collect::<Result<Vec<usize>, CoreError>>()?;
        let (design, reml) = (DesignSource::new(&design)?.design()?, flag(&reml, "reml")?);
        let wanted = &request.options;
        let replicates = request.replication.watched(|stop, done| {
            let source = Source::new(&design, reml, &theta, &beta, sigma, stop)?;
            bootstrap::jackknife(&source, wanted.group, &block, &wanted.control, stop, done)
        })?;
        Ok(replicates_list(&replicates, beta.len(), theta.len(), 0).into())
    })
}

/// theta, beta over the kept columns, sigma.
pub fn estimates(theta: &Robj, beta: &Robj, sigma: &Robj) -> Result<(Vec<f64>, Vec<f64>, f64), CoreError> {
    let sigma = sigma.as_real().ok_or_else(|| wrong("sigma must be a number"))?;
    Ok((numbers(theta, "theta")?, numbers(beta, "beta")?, sigma))
}

extendr_module! {
    mod bootstrap;
    fn core_bootstrap;
    fn core_bootstrap_samples;
    fn core_jackknife;
}
