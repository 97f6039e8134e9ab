//! Walking along a parameter: steps of about equal ζ outwards from the estimate, then the exact places where ζ reaches the cutoffs.

use serde::{Deserialize, Serialize};

use super::{Constrained, Request, State};
use crate::error::{CoreError, Result};

/// A point of the curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Value of the parameter.
    pub value: f64,
    /// Signed square root of the rise of the criterion.
    pub zeta: f64,
    /// All parameters there.
    pub state: State,
}

/// The values between which |ζ| is below a cutoff. A side on which the curve ends at a bound of the parameter first has the bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Lower value.
    pub lower: f64,
    /// Upper value.
    pub upper: f64,
}

/// The curve of one parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    /// From the lowest to the highest value, the estimate among them.
    pub steps: Vec<Step>,
    /// One per cutoff asked for.
    pub limits: Vec<Limits>,
    /// How far the criterion fell below that of the estimates: 0 unless those were no minimum.
    pub shortfall: f64,
}

/// Where to walk.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// The estimate.
    pub estimate: f64,
    /// A distance of about one ζ.
    pub scale: f64,
    /// Lowest value there is.
    pub lower: f64,
    /// Highest value there is.
    pub upper: f64,
}

/// Evaluations that one side may take.
const MOST: usize = 200;

/// Follows the curve on both sides.
///
/// # Errors
/// Interruption; a failure at the very first steps. Later ones end the side.
pub fn follow(constrained: &mut dyn Constrained, walk: Walk, best: f64, state: &State, request: &Request) -> Result<Curve> {
    let centre = Step { value: walk.estimate, zeta: 0.0, state: state.clone() };
    let mut curve = Curve { steps: Vec::new(), limits: Vec::new(), shortfall: 0.0 };
    let mut sides = Vec::new();
    for sign in [-1.0, 1.0] {
        constrained.start_from(state)?;
        sides.push(side(constrained, walk, best, sign, &centre, request, &mut curve.shortfall)?);
    }
    for &cutoff in &request.cutoffs {
        let lower = limit(constrained, walk, best, -1.0, &centre, &sides[0], cutoff)?;
        let upper = limit(constrained, walk, best, 1.0, &centre, &sides[1], cutoff)?;
        curve.limits.push(Limits { lower, upper });
    }
    let mut upper = sides.pop().unwrap_or_default();
    let mut lower = sides.pop().unwrap_or_default();
    lower.reverse();
    curve.steps.append(&mut lower);
    curve.steps.push(centre);
    curve.steps.append(&mut upper);
    Ok(curve)
}

fn zeta(value: f64, best: f64, sign: f64, shortfall: &mut f64) -> f64 {
    *shortfall = shortfall.max(best - value);
    sign * (value - best).max(0.0).sqrt()
}

/// One side, from the estimate outwards, until ζ reaches its bound or the parameter its own.
fn side(
    constrained: &mut dyn Constrained,
    walk: Walk,
    best: f64,
    sign: f64,
    centre: &Step,
    request: &Request,
    shortfall: &mut f64,
) -> Result<Vec<Step>> {
    let bound = if sign < 0.0 { walk.lower } else { walk.upper };
    let mut steps: Vec<Step> = Vec::new();
    if walk.estimate == bound {
        return Ok(steps);
    }
    let aim = request.zeta_max / request.points as f64;
    let mut length = aim * walk.scale;
    for _ in 0..MOST {
        let last = steps.last().unwrap_or(centre);
        let mut value = last.value + sign * length;
        let ends = sign * (value - bound) >= -1e-3 * length;
        if ends {
            value = bound;
        }
        constrained.start_from(&last.state)?;
        let found = match constrained.at(value) {
            Ok((criterion, state)) => Some((zeta(criterion, best, sign, shortfall), state)),
            Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
            Err(error) if steps.is_empty() && length < 1e-6 * walk.scale => return Err(error),
            Err(_) => None,
        };
        let gained = found.as_ref().map(|(z, _)| sign * (z - last.zeta));
        let (Some((z, state)), Some(gained)) = (found, gained) else {
            length *= 0.25;
            if length < 1e-9 * walk.scale {
                break;
            }
            continue;
        };
        if gained > 3.0 * aim && length > 1e-6 * walk.scale {
            length *= (aim / gained).max(0.1);
            continue;
        }
        steps.push(Step { value, zeta: z, state });
        if ends || z.abs() >= request.zeta_max {
            break;
        }
        length *= (aim / gained.max(0.05 * aim)).clamp(0.3, 3.0);
    }
    Ok(steps)
}

/// Where ζ reaches a cutoff on one side: regula falsi (Illinois) between the steps that enclose it; the bound of the parameter when the
/// curve ends there first; NaN when it could not be followed so far.
fn limit(
    constrained: &mut dyn Constrained,
    walk: Walk,
    best: f64,
    sign: f64,
    centre: &Step,
    steps: &[Step],
    cutoff: f64,
) -> Result<f64> {
    let bound = if sign < 0.0 { walk.lower } else { walk.upper };
    let Some(outer) = steps.iter().position(|step| step.zeta.abs() >= cutoff) else {
        let ended = walk.estimate == bound || steps.last().is_some_and(|step| step.value == bound);
        return Ok(if ended { bound } else { f64::NAN });
    };
    let inner = if outer == 0 { centre } else { &steps[outer - 1] };
    let (mut a, mut fa) = (inner.value, inner.zeta.abs() - cutoff);
    let (mut b, mut fb) = (steps[outer].value, steps[outer].zeta.abs() - cutoff);
    let mut ignored = 0.0;
    let mut start = inner.state.clone();
    let mut side = 0;
    for _ in 0..100 {
        if fb.abs() < 1e-9 || (b - a).abs() <= 1e-12 * a.abs().max(b.abs()) {
            return Ok(b);
        }
        let mut c = b - fb * (b - a) / (fb - fa);
        let mut found = None;
        // a search that fails is tried again half-way; a limit that cannot be found is NaN, never a guess
        for _ in 0..3 {
            constrained.start_from(&start)?;
            match constrained.at(c) {
                Ok(point) => {
                    found = Some(point);
                    break;
                }
                Err(CoreError::Interrupted) => return Err(CoreError::Interrupted),
                Err(_) => c = 0.5 * (a + c),
            }
        }
        let Some((criterion, state)) = found else { return Ok(f64::NAN) };
        let fc = zeta(criterion, best, sign, &mut ignored).abs() - cutoff;
        if fc.abs() < 1e-9 {
            return Ok(c);
        }
        if fc > 0.0 {
            (b, fb) = (c, fc);
            if side == 1 {
                fa *= 0.5;
            }
            side = 1;
        } else {
            (a, fa) = (c, fc);
            start = state;
            if side == -1 {
                fb *= 0.5;
            }
            side = -1;
        }
    }
    Ok(b)
}
