//! The bootstrap: replicates drawn from a fit, each fitted again from where the fit ended.
//!
//! A scheme draws either a new outcome or a sample of groups. Neither reads the design again: a new outcome changes the
//! cross-products with y and nothing else, a sample of groups is a choice among cross-products that are there already.
//! One file per scheme plus one line in [`registry`].

mod cases;
mod jackknife;
mod parametric;
mod refit;
mod residual;
pub mod rng;
mod source;

use std::sync::atomic::{AtomicBool, AtomicUsize};

use self::refit::Worker;
use self::rng::Random;
use crate::error::{CoreError, Result};
use crate::moments::regroup::{Drawn, Regroup};
use crate::optimize::Control;
use crate::replicates::each;

pub use self::jackknife::jackknife;
pub use self::source::Source;
pub use crate::replicates::{Replicate, ReplicateStatus};

/// What a replicate changes: the outcome, or the groups.
#[derive(Debug, Default)]
pub struct Change {
    /// The new outcome, by row of the data.
    pub y: Vec<f64>,
    /// The groups drawn.
    pub groups: Option<Drawn>,
}

/// A way of drawing replicates.
pub trait Scheme: Send + Sync {
    /// Name used by callers.
    fn name(&self) -> &'static str;
    /// What is computed once; `group` is the factor whose groups are drawn, where groups are.
    ///
    /// # Errors
    /// [`CoreError::Data`] where the scheme does not apply to the model.
    fn prepare<'s>(&self, source: &'s Source<'s>, group: Option<usize>) -> Result<Box<dyn Resampler + 's>>;
}

/// A scheme made ready for a fit.
pub trait Resampler: Sync {
    /// Draws one replicate.
    fn draw(&self, random: &mut Random, change: &mut Change);
    /// The groups, where groups are drawn.
    fn regroup(&self) -> Option<&Regroup<'_>> {
        None
    }
}

/// Every scheme there is.
pub fn registry() -> Vec<Box<dyn Scheme>> {
    vec![Box::new(parametric::Parametric), Box::new(residual::Residual), Box::new(cases::Cases)]
}

/// The scheme of a name.
///
/// # Errors
/// [`CoreError::Design`] when there is none.
pub fn scheme(name: &str) -> Result<Box<dyn Scheme>> {
    registry()
        .into_iter()
        .find(|s| s.name() == name)
        .ok_or_else(|| CoreError::Design { what: format!("there is no bootstrap \"{name}\"") })
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of replicates.
    pub replicates: usize,
    /// Seed of all streams.
    pub seed: u64,
    /// The factor whose groups are drawn (index into the design's), where groups are.
    pub group: Option<usize>,
    /// Settings of the optimiser; its start is the fit.
    pub control: Control,
}

/// Draws and fits all replicates on the pool it is called in; `done` counts them.
///
/// # Errors
/// Those of [`Scheme::prepare`]; [`CoreError::Interrupted`] once `stop` is true. A replicate that cannot be fitted is no error: its status says so.
pub fn run(
    source: &Source,
    scheme: &dyn Scheme,
    options: &Options,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Result<Vec<Replicate>> {
    independent_or(scheme.name() == "parametric", source)?;
    let resampler = scheme.prepare(source, options.group)?;
    each(
        options.replicates,
        stop,
        done,
        || Worker::new(source, &options.control, stop),
        |worker, i| {
            let mut random = Random::new(options.seed, i as u64);
            resampler.draw(&mut random, &mut worker.change);
            worker.fit(resampler.regroup())
        },
    )
}

/// Schemes that draw rows or groups from moments at one φ, or residuals as if they were exchangeable, would be wrong for a residual structure.
fn independent_or(fits: bool, source: &Source) -> Result<()> {
    if fits || source.free.is_empty() {
        return Ok(());
    }
    Err(CoreError::Covariance { what: "only the parametric bootstrap knows residual structures".into() })
}

/// What replicate `index` of [`run`] draws, for those who compute more from it than the parameters: the outcome by row of the data, or for
/// drawn groups the 0-based level of the factor behind each of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A new outcome.
    Outcome(Vec<f64>),
    /// Levels of the factor.
    Groups(Vec<u32>),
}

/// The samples of some replicates of [`run`].
///
/// # Errors
/// Those of [`Scheme::prepare`]; [`CoreError::Interrupted`] once `stop` is true.
pub fn samples(
    source: &Source,
    scheme: &dyn Scheme,
    options: &Options,
    replicates: &[usize],
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Result<Vec<Sample>> {
    let resampler = scheme.prepare(source, options.group)?;
    each(
        replicates.len(),
        stop,
        done,
        || (),
        |(), i| {
            let mut change = Change::default();
            resampler.draw(&mut Random::new(options.seed, replicates[i] as u64), &mut change);
            Ok(match (resampler.regroup(), change.groups) {
                (Some(regroup), Some(drawn)) => {
                    Sample::Groups(drawn.nodes.iter().map(|&node| regroup.original()[node as usize]).collect())
                }
                _ => Sample::Outcome(change.y),
            })
        },
    )
}
