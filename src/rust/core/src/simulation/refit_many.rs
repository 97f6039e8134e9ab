//! One design, many outcomes: each fitted exactly from the cross-products of the design, with tests of its coefficients and, for likelihood ratio
//! tests of variances, smaller sets of random effects.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::coefficients::{self, Coefficients, Tests};
use super::{Options, Tested};
use crate::bootstrap::rng::Random;
use crate::bootstrap::{self, Change, Source};
use crate::design::Design;
use crate::error::{CoreError, Result};
use crate::fit::{Prepared, Status};
use crate::moments::outcome::WhitenedRows;
use crate::objective::Order;
use crate::optimize::Control;
use crate::replicates::{each, identified, Replicate, ReplicateStatus};
use crate::statistics::Statistics;
use crate::structured::Structured;

/// A smaller model of the same rows, by other random effects.
pub enum Reduced<'d> {
    /// None at all: the criterion of the full model at theta = 0.
    Linear,
    /// Some.
    Mixed(Box<Statistics>, WhitenedRows<'d>),
}

impl<'d> Reduced<'d> {
    /// Reads the rows of a design. One without terms is the linear model.
    ///
    /// # Errors
    /// Those of [`Statistics::new`].
    pub fn new(design: &'d Design<'d>, reml: bool, stop: &AtomicBool) -> Result<Self> {
        if design.terms.is_empty() {
            return Ok(Reduced::Linear);
        }
        let statistics = Statistics::new(design, reml, stop)?;
        let rows = WhitenedRows::new(design, &statistics, stop)?;
        Ok(Reduced::Mixed(Box::new(statistics), rows))
    }
}

struct Worker<'w> {
    full: Prepared<'w>,
    /// Whether the criterion may have several optima.
    several: bool,
    reduced: Vec<Option<Prepared<'w>>>,
    change: Change,
    scratch: Vec<f64>,
}

/// Fits `options.replicates` outcomes: columns `options.first`, ... of `outcomes` (rows × any number, column-major), or drawn from the source's
/// estimates. A given outcome is fitted as if it were the only one; the fit of a drawn one starts at the parameters that it was drawn from (where few groups
/// leave room for several optima, it does not).
///
/// # Errors
/// [`CoreError::Design`] when the outcomes do not fit, [`CoreError::Covariance`] for Kenward & Roger's method or reduced models with a residual
/// structure; [`CoreError::Interrupted`] once `stop` is true. A replicate that cannot be fitted is no error: its status says so.
pub fn run(
    source: &Source,
    reduced: &[Reduced],
    outcomes: Option<&[f64]>,
    options: &Options,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Result<Vec<Tested>> {
    check(source, reduced, outcomes, options)?;
    let n = source.design.n();
    let scheme = bootstrap::scheme("parametric")?;
    let resampler = scheme.prepare(source, None)?;
    let original = Prepared::from_statistics(source.statistics.clone(), stop);
    let several = original.with_profile(|profile| Ok(profile.objective.may_have_several_optima()))?;
    let make = || Worker {
        full: Prepared::from_statistics(source.statistics.clone(), stop),
        several,
        reduced: reduced
            .iter()
            .map(|reduced| match reduced {
                Reduced::Linear => None,
                Reduced::Mixed(statistics, _) => Some(Prepared::from_statistics(statistics.as_ref().clone(), stop)),
            })
            .collect(),
        change: Change::default(),
        scratch: Vec::new(),
    };
    each(options.replicates, stop, done, make, |worker, i| {
        let replicate = options.first + i;
        match outcomes {
            Some(values) => {
                worker.change.y.clear();
                worker.change.y.extend_from_slice(&values[replicate * n..(replicate + 1) * n]);
            }
            None => resampler.draw(&mut Random::new(options.seed, replicate as u64), &mut worker.change),
        }
        worker.fit(source, reduced, options, outcomes.is_none())
    })
}

fn check(source: &Source, reduced: &[Reduced], outcomes: Option<&[f64]>, options: &Options) -> Result<()> {
    options.check_contrasts(source.statistics.basis.x.len())?;
    let wanted = source.design.n() * (options.first + options.replicates);
    if let Some(values) = outcomes {
        if values.len() < wanted || values.len() % source.design.n() != 0 {
            return Err(CoreError::Design { what: format!("{} values of outcomes where {wanted} are needed", values.len()) });
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(CoreError::Data { what: "the outcomes have missing or infinite values".into() });
        }
    }
    if options.tests == Tests::KenwardRoger && !source.statistics.reml {
        return Err(CoreError::Design { what: "Kenward and Roger's method is defined for REML".into() });
    }
    if !source.free.is_empty() && (options.tests == Tests::KenwardRoger || !reduced.is_empty()) {
        return Err(CoreError::Covariance {
            what: "a model with a residual structure has Satterthwaite's degrees of freedom only, and no reduced models".into(),
        });
    }
    Ok(())
}

impl Worker<'_> {
    fn fit(&mut self, source: &Source, reduced: &[Reduced], options: &Options, drawn: bool) -> Result<Tested> {
        if !source.free.is_empty() {
            return self.fit_structured(source, options, drawn);
        }
        source.rows.replace(&self.change.y, &mut self.full.statistics, &mut self.scratch)?;
        let start = (drawn && !self.several).then_some(source.inside.as_slice());
        let mut tested = fit_tested(&self.full, options, start, reduced.len())?;
        for (k, model) in reduced.iter().enumerate() {
            tested.reduced[k] = match (model, &mut self.reduced[k]) {
                (Reduced::Mixed(_, rows), Some(prepared)) => {
                    rows.replace(&self.change.y, &mut prepared.statistics, &mut self.scratch)?;
                    fit_reduced(prepared, &options.control)?
                }
                _ => fit_linear(&self.full)?,
            };
        }
        Ok(tested)
    }

    /// A residual structure is estimated anew: the moments of the design hold for one φ only.
    fn fit_structured(&self, source: &Source, options: &Options, drawn: bool) -> Result<Tested> {
        let mut design = source.design.clone();
        design.y = &self.change.y;
        let structured = Structured::from_statistics(&design, source.statistics.clone(), self.full.stop);
        let found = match drawn {
            true => structured.refit(&options.control, &source.inside, &source.free),
            false => structured.fit(&options.control).map(|found| {
                let estimates = &found.fit.estimates;
                (found.fit.status, estimates.brief(), found.free)
            }),
        };
        let replicate = Replicate::of(found)?;
        let Some(brief) = &replicate.parameters else { return Ok(Tested::unidentified(0)) };
        design.residual = source.design.residual.at(&replicate.free);
        let structured = Structured::from_statistics(&design, source.statistics.clone(), self.full.stop);
        let vcov: Vec<f64> = structured.prepared(&replicate.free)?.at(&brief.theta)?.vcov.iter().copied().collect();
        let variances = coefficients::model_variances(&vcov, brief.beta.len(), &options.contrasts);
        let se = variances.iter().map(|v| v.sqrt()).collect();
        let found = match options.tests {
            Tests::None => Coefficients { se, df: Vec::new() },
            _ => match identified(structured.satterthwaite(&brief.theta))? {
                Some(pieces) => coefficients::with_satterthwaite(&variances, &options.contrasts, &pieces),
                None => Coefficients { se, df: vec![f64::NAN; variances.len()] },
            },
        };
        Ok(Tested { replicate, se: found.se, df: found.df, reduced: Vec::new() })
    }
}

/// A model fitted, with tests of its coefficients and room for `reduced` smaller models.
///
/// # Errors
/// All but those of data that do not identify the model.
pub fn fit_tested(prepared: &Prepared, options: &Options, start: Option<&[f64]>, reduced: usize) -> Result<Tested> {
    let found = prepared.refit(&options.control, start, |profile, point, brief| {
        coefficients::at(options.tests, &options.contrasts, &prepared.statistics, profile, point, brief)
    });
    let Some((status, brief, Coefficients { se, df })) = identified(found)? else { return Ok(Tested::unidentified(reduced)) };
    let replicate = Replicate { status: status.into(), parameters: Some(brief), free: Vec::new() };
    Ok(Tested { replicate, se, df, reduced: vec![(f64::NAN, ReplicateStatus::Unidentified); reduced] })
}

/// Criterion and status of a reduced model.
///
/// # Errors
/// All but those of data that do not identify the model.
pub fn fit_reduced(prepared: &Prepared, control: &Control) -> Result<(f64, ReplicateStatus)> {
    let found = identified(prepared.refit(control, None, |_, _, _| Ok(())))?;
    Ok(found.map_or((f64::NAN, ReplicateStatus::Unidentified), |(status, brief, ())| (brief.criterion, status.into())))
}

/// The criterion of the model without random effects, from the moments of one with some.
///
/// # Errors
/// All but those of data that do not identify the model.
pub fn fit_linear(prepared: &Prepared) -> Result<(f64, ReplicateStatus)> {
    let theta = vec![0.0; prepared.statistics.parameters.n_theta];
    let found = identified(prepared.evaluate(&theta, Order::Gradient))?;
    Ok(found.map_or((f64::NAN, ReplicateStatus::Unidentified), |(value, _, _)| (value, Status::Converged.into())))
}
