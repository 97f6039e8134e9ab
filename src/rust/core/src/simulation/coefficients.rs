//! Standard errors and degrees of freedom of the coefficients of a replicate.

use std::sync::atomic::AtomicUsize;

use crate::error::{CoreError, Result};
use crate::estimates::{covariance, Brief};
use crate::inference::satterthwaite::Satterthwaite;
use crate::inference::{kenward_roger, satterthwaite};
use crate::linalg::small;
use crate::objective::profile::{Point, Profile};
use crate::statistics::Statistics;

/// Which degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// Standard errors only.
    None,
    /// Satterthwaite's.
    Satterthwaite,
    /// Kenward & Roger's, with their standard errors; by REML only.
    KenwardRoger,
}

impl Tests {
    /// By name.
    ///
    /// # Errors
    /// [`CoreError::Design`] for an unknown one.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Tests::None),
            "satterthwaite" => Ok(Tests::Satterthwaite),
            "kenward-roger" => Ok(Tests::KenwardRoger),
            _ => Err(CoreError::Design { what: format!("there are no tests \"{name}\"") }),
        }
    }
}

/// Standard errors and degrees of freedom (none for [`Tests::None`]), in the user's units and order of kept columns, those of contrasts after them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coefficients {
    /// Standard errors.
    pub se: Vec<f64>,
    /// Degrees of freedom.
    pub df: Vec<f64>,
}

/// At an optimum. Degrees of freedom that cannot be computed are not a number.
///
/// # Errors
/// [`CoreError::Interrupted`]; [`CoreError::Design`] for Kenward & Roger's method without REML.
pub fn at(
    tests: Tests,
    contrasts: &[Vec<f64>],
    statistics: &Statistics,
    profile: &Profile,
    point: &Point,
    brief: &Brief,
) -> Result<Coefficients> {
    let vcov = covariance(statistics, &point.pieces.xx_inverse, brief.sigma * brief.sigma);
    let variances = model_variances(&vcov, brief.beta.len(), contrasts);
    let found = match tests {
        Tests::None => return Ok(Coefficients { se: roots(&variances), df: Vec::new() }),
        Tests::Satterthwaite => satterthwaite::at_point(statistics, profile, &brief.theta, point)
            .map(|pieces| with_satterthwaite(&variances, contrasts, &pieces)),
        Tests::KenwardRoger if !statistics.reml => {
            return Err(CoreError::Design { what: "Kenward and Roger's method is defined for REML".into() })
        }
        Tests::KenwardRoger => kenward_roger::at(statistics, profile, &point.theta, &AtomicUsize::new(0)).and_then(|pieces| {
            let (variances, df): (Vec<f64>, Vec<f64>) = pieces.coefficients(contrasts)?.into_iter().unzip();
            Ok(Coefficients { se: roots(&variances), df })
        }),
    };
    match found {
        Err(CoreError::Interrupted) => Err(CoreError::Interrupted),
        Err(_) => Ok(Coefficients { se: roots(&variances), df: vec![f64::NAN; variances.len()] }),
        found => found,
    }
}

/// From the variances of the coefficients, then of the contrasts, and Satterthwaite's pieces.
pub fn with_satterthwaite(variances: &[f64], contrasts: &[Vec<f64>], pieces: &Satterthwaite) -> Coefficients {
    let p = variances.len() - contrasts.len();
    let own = variances[..p].iter().enumerate().map(|(k, &variance)| pieces.df(k, variance));
    let combined = contrasts.iter().zip(&variances[p..]).map(|(l, &variance)| pieces.df_of(l, variance));
    Coefficients { se: roots(variances), df: own.chain(combined).collect() }
}

/// Diagonal of a covariance matrix (p × p) of coefficients, then l'Vl for every contrast l.
pub fn model_variances(vcov: &[f64], p: usize, contrasts: &[Vec<f64>]) -> Vec<f64> {
    let own = (0..p).map(|k| vcov[k * p + k]);
    let combined = contrasts.iter().map(|l| small::dot(l, &small::product(p, p, 1, vcov, l)));
    own.chain(combined).collect()
}

fn roots(variances: &[f64]) -> Vec<f64> {
    variances.iter().map(|v| v.sqrt()).collect()
}
