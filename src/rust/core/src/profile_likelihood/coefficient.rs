//! A fixed effect held at a value: its column leaves X and what it explains leaves y, a linear map of the last columns of the moments. No
//! row is touched.

use super::{Constrained, State};
use crate::error::{CoreError, Result};
use crate::fit::Prepared;
use crate::linalg::small;
use crate::objective::Order;
use crate::optimize::{self, Control};
use crate::statistics::Statistics;

/// The model with one fixed effect held.
pub struct Coefficient<'p, 's> {
    prepared: &'p Prepared<'s>,
    k: usize,
    control: Control,
    theta: Vec<f64>,
}

impl<'p, 's> Coefficient<'p, 's> {
    /// Coefficient k; `theta` in the user's units.
    pub fn new(prepared: &'p Prepared<'s>, k: usize, theta: &[f64], control: &Control) -> Self {
        Coefficient { prepared, k, control: control.clone(), theta: theta.to_vec() }
    }
}

/// β_k of the user = value as a condition on the internal basis: β*_pivot = c - Σ_j share_j β*_j. The pivot is the coefficient that weighs
/// most in it, so that no column is enlarged (an intercept far outside the data hangs on the slopes).
struct Condition {
    pivot: usize,
    share: Vec<f64>,
    c: f64,
}

fn condition(statistics: &Statistics, k: usize, value: f64) -> Condition {
    let basis = &statistics.basis;
    let p = basis.x.len();
    let map = basis.beta_map();
    let (location, scale) = basis.y;
    let shift = if basis.intercept == Some(k) { location } else { 0.0 };
    let row = &map[k * p..(k + 1) * p];
    let pivot = (0..p).fold(k, |best, j| if row[j].abs() > row[best].abs() { j } else { best });
    let share = (0..p).map(|j| if j == pivot { 0.0 } else { row[j] / row[pivot] }).collect();
    Condition { pivot, share, c: (value - shift) / (scale * row[pivot]) }
}

impl Constrained for Coefficient<'_, '_> {
    fn at(&mut self, value: f64) -> Result<(f64, State)> {
        let whole = &self.prepared.statistics;
        let p = whole.basis.x.len();
        let Condition { pivot, share, c } = condition(whole, self.k, value);
        // [X y] M: the pivot's column goes, the others take their share of it, y loses c times it
        let mut map = vec![0.0; (p + 1) * p];
        for (new, old) in (0..=p).filter(|&j| j != pivot).enumerate() {
            map[old * p + new] = 1.0;
            map[pivot * p + new] = if old == p { -c } else { -share[old] };
        }
        let reduced = Prepared::from_statistics(whole.with_tail(&map, p), self.prepared.stop);
        let start = reduced.theta_inside(&self.theta)?;
        reduced.with_profile(|profile| {
            let optimum = optimize::minimise(profile, &self.control, Some(&start))?;
            if !optimum.converged {
                return Err(CoreError::Numerical { what: "the profile of a fixed effect has no minimum here".into() });
            }
            let pieces = profile.at(&optimum.point.theta, Order::Value)?.pieces;
            let mut inside: Vec<f64> = pieces.beta;
            let held = c - share
                .iter()
                .enumerate()
                .filter(|&(j, _)| j != pivot)
                .map(|(_, s)| s)
                .zip(&inside)
                .map(|(s, b)| s * b)
                .sum::<f64>();
            inside.insert(pivot, held);
            let (location, scale) = whole.basis.y;
            let mut beta: Vec<f64> =
                small::product(p, p, 1, &whole.basis.beta_map(), &inside).iter().map(|b| scale * b).collect();
            if let Some(i) = whole.basis.intercept {
                beta[i] += location;
            }
            let state = State {
                beta,
                theta: profile.parameters.convert(&whole.basis, &optimum.point.theta, false),
                sigma: scale * (pieces.r2 / profile.nu).sqrt(),
            };
            Ok((optimum.point.value + 2.0 * profile.nu * scale.ln(), state))
        })
    }

    fn start_from(&mut self, state: &State) -> Result<()> {
        self.theta = state.theta.clone();
        Ok(())
    }
}
