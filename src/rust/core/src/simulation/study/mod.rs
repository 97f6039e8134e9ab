//! Whole studies: persons, predictors, sessions and outcomes drawn from a known truth, and analysed as a model would analyse them.
//!
//! [`draw`] makes the data of one replicate, [`observed`] what an analyst sees of them (persons' means over the rows that are there), [`fit`] the model.

pub mod draw;
pub mod fit;
pub mod observed;

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::Arc;

use super::{Options, Tested, Tests};
use crate::bootstrap::rng::Random;
use crate::covariance::Covariance;
use crate::error::{CoreError, Result};
use crate::replicates::each;

pub use self::draw::{draw, Data};

/// A factor of a product that predicts the outcome. In the truth the parts are those of the data-generating process, in an analysis those that
/// can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The session's time.
    Time,
    /// The session's deviation from the person's course (truth) or from the person's mean or trend (analysis), `lag` sessions before.
    Within,
    /// The person's mean as a deviation from the grand mean or, with therapists, from the therapist's mean.
    Between,
    /// The therapist's mean as a deviation from the grand mean.
    Therapist,
    /// The person-level moderator.
    Moderator,
    /// The outcome one session before; in an analysis only.
    OutcomeBefore,
}

impl Part {
    /// By name.
    ///
    /// # Errors
    /// [`CoreError::Design`] for an unknown one.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "time" => Ok(Part::Time),
            "within" => Ok(Part::Within),
            "between" => Ok(Part::Between),
            "therapist" => Ok(Part::Therapist),
            "moderator" => Ok(Part::Moderator),
            "y_lag" => Ok(Part::OutcomeBefore),
            _ => Err(CoreError::Design { what: format!("there is no part \"{name}\" of a predictor") }),
        }
    }
}

/// A product of parts; none: the constant 1.
pub type Product = Vec<Part>;

/// Whose random effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Patients.
    Patient,
    /// Therapists.
    Therapist,
}

/// The predictor x: therapist's mean + person's deviation from it + person's trend × (time - mean of the planned times) + deviation of the session.
#[derive(Debug, Clone, Default)]
pub struct Predictor {
    /// SD of the sessions' deviations.
    pub sd_within: f64,
    /// SD of the persons' means (about their therapists', where there are therapists).
    pub sd_between: f64,
    /// SD of the therapists' means.
    pub sd_therapist: f64,
    /// Mean trend per unit of time.
    pub trend: f64,
    /// SD of the trends between persons.
    pub trend_sd: f64,
    /// Correlation of the deviations of neighbouring sessions (stationary, of order 1).
    pub ar: f64,
    /// SD of the measurement error of one session's x, in what is observed only.
    pub error_sd: f64,
}

/// A variable of persons that changes effects.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moderator {
    /// None.
    None,
    /// A group of the share of the persons nearest to `share`, spread evenly, has `high`, the others `low`.
    Binary {
        /// Share of the persons.
        share: f64,
        /// Value of the others.
        low: f64,
        /// Value of the share.
        high: f64,
    },
    /// Standard normal.
    Normal,
}

/// Random effects of the truth.
#[derive(Debug, Clone)]
pub struct RandomEffects {
    /// Whose.
    pub group: Group,
    /// Columns, q of them.
    pub columns: Vec<Product>,
    /// Lower-triangular root L (q × q, row-major) of their covariance LL'.
    pub root: Vec<f64>,
}

/// A study's truth and plan. Units of the outcome throughout; variances are not relative to the residual's.
#[derive(Debug, Clone)]
pub struct Study {
    /// Patients.
    pub patients: usize,
    /// Therapists (0: none); patient i of n (from 1) belongs to therapist ⌈iK/n⌉.
    pub therapists: usize,
    /// Time of every planned session.
    pub times: Vec<f64>,
    /// The predictor.
    pub x: Predictor,
    /// The moderator.
    pub moderator: Moderator,
    /// Per session the chance not to come to it or any later one, given still there before.
    pub dropout: Vec<f64>,
    /// Change of the log-odds of dropping out per SD (of all persons' outcomes at that session) of the last outcome observed.
    pub dropout_y: f64,
    /// Chance that a single session is missed.
    pub missing: f64,
    /// Sessions by which x precedes y.
    pub lag: usize,
    /// Fixed effects: products and their coefficients.
    pub fixed: Vec<(Product, f64)>,
    /// Random effects.
    pub random: Vec<RandomEffects>,
    /// SD of the residuals.
    pub residual_sd: f64,
    /// Correlation of the residuals of neighbouring sessions.
    pub residual_ar: f64,
}

/// How persons' parts of x are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Their means.
    Mean,
    /// Their straight lines over time, with the level at time 0.
    Detrend,
}

/// One random-effect term of an analysis.
#[derive(Debug, Clone)]
pub struct RandomTerm {
    /// Whose.
    pub group: Group,
    /// Columns.
    pub columns: Vec<Product>,
    /// Structure of their covariance.
    pub structure: Arc<dyn Covariance>,
}

/// The model that is fitted to a study.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// How x is split.
    pub split: Split,
    /// Sessions by which x precedes y.
    pub lag: usize,
    /// Columns of the fixed effects.
    pub fixed: Vec<Product>,
    /// Random-effect terms, at least one.
    pub random: Vec<RandomTerm>,
    /// REML?
    pub reml: bool,
    /// Other sets of terms for the same rows, possibly empty.
    pub reduced: Vec<Vec<RandomTerm>>,
}

/// A replicate analysed.
#[derive(Debug, Clone, PartialEq)]
pub struct Studied {
    /// The fit.
    pub tested: Tested,
    /// Rows analysed.
    pub rows: usize,
    /// Persons with rows.
    pub persons: usize,
    /// Therapists with rows.
    pub therapists: usize,
}

impl Study {
    /// Checks lengths, ranges and parts.
    ///
    /// # Errors
    /// [`CoreError::Design`], saying what does not fit.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: &str| Err(CoreError::Design { what: what.to_string() });
        if self.patients == 0 || self.times.is_empty() {
            return bad("a study needs patients and sessions");
        }
        if self.therapists > self.patients {
            return bad("there are more therapists than patients");
        }
        if self.dropout.len() != self.times.len() {
            return bad("there must be one dropout hazard per session");
        }
        let share = |v: f64| (0.0..=1.0).contains(&v);
        if self.dropout.iter().any(|&h| !share(h)) || !share(self.missing) {
            return bad("dropout hazards and the chance to miss a session must be between 0 and 1");
        }
        let x = &self.x;
        let sds = [x.sd_within, x.sd_between, x.sd_therapist, x.trend_sd, x.error_sd, self.residual_sd];
        if sds.iter().any(|sd| !sd.is_finite() || *sd < 0.0) {
            return bad("standard deviations must be numbers that are not negative");
        }
        if [x.ar, self.residual_ar].iter().any(|ar| ar.is_nan() || ar.abs() >= 1.0) {
            return bad("autocorrelations must be between -1 and 1");
        }
        let roots = self.random.iter().flat_map(|r| &r.root).copied();
        let numbers = self.times.iter().copied().chain(self.fixed.iter().map(|f| f.1)).chain(roots);
        if numbers.chain([x.trend, self.dropout_y]).any(|v| !v.is_finite()) {
            return bad("times, coefficients and covariances must be finite");
        }
        for effects in &self.random {
            if effects.root.len() != effects.columns.len() * effects.columns.len() {
                return bad("the root of a covariance matrix does not fit its columns");
            }
        }
        let products = self.fixed.iter().map(|f| &f.0).chain(self.random.iter().flat_map(|r| &r.columns));
        if products.flatten().any(|&part| part == Part::OutcomeBefore) {
            return bad("the outcome of the session before is part of an analysis, not of the truth");
        }
        self.check_groups(self.random.iter().map(|r| r.group))
    }

    fn check_groups(&self, mut groups: impl Iterator<Item = Group>) -> Result<()> {
        match self.therapists == 0 && groups.any(|group| group == Group::Therapist) {
            true => Err(CoreError::Design { what: "effects of therapists in a study without therapists".into() }),
            false => Ok(()),
        }
    }
}

impl Analysis {
    /// Checks that the study has what the analysis asks for.
    ///
    /// # Errors
    /// [`CoreError::Design`], saying what does not fit.
    pub fn validate(&self, study: &Study, tests: Tests) -> Result<()> {
        let bad = |what: &str| Err(CoreError::Design { what: what.to_string() });
        if self.random.is_empty() {
            return bad("an analysis needs a random effect");
        }
        if self.terms().any(|term| term.columns.is_empty()) {
            return bad("a random-effect term has no columns");
        }
        if study.therapists == 0 && self.uses(Part::Therapist) {
            return bad("means of therapists in a study without therapists");
        }
        if study.moderator == Moderator::None && self.uses(Part::Moderator) {
            return bad("a moderator in a study without one");
        }
        if tests == Tests::KenwardRoger && !self.reml {
            return bad("Kenward and Roger's method is defined for REML");
        }
        study.check_groups(self.terms().map(|term| term.group))
    }

    /// All random-effect terms, those of reduced models included.
    pub fn terms(&self) -> impl Iterator<Item = &RandomTerm> {
        self.random.iter().chain(self.reduced.iter().flatten())
    }

    /// Whether a part is in the model.
    pub fn uses(&self, part: Part) -> bool {
        self.fixed.iter().chain(self.terms().flat_map(|term| &term.columns)).any(|product| product.contains(&part))
    }
}

/// Draws and analyses `options.replicates` studies, from number `options.first` on.
///
/// # Errors
/// Those of the two `validate`; [`CoreError::Interrupted`] once `stop` is true. A study that cannot be analysed is no error: its status says so.
pub fn run(study: &Study, analysis: &Analysis, options: &Options, stop: &AtomicBool, done: &AtomicUsize) -> Result<Vec<Studied>> {
    study.validate()?;
    analysis.validate(study, options.tests)?;
    options.check_contrasts(analysis.fixed.len())?;
    each(options.replicates, stop, done, Data::default, |data, i| {
        draw(study, &mut Random::new(options.seed, (options.first + i) as u64), data);
        fit::fit(study, analysis, data, options, stop)
    })
}
