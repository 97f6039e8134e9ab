//! Residual (semi-parametric) bootstrap: the estimated random effects and residuals themselves are drawn, with replacement.
//!
//! Estimated random effects are shrunken, so their covariance is smaller than the estimated one: they are centred and *reflated*
//! (Carpenter, Goldstein & Rasbash 2003, J R Stat Soc C 52:431, section 3.2): û* = ûA with A = (L_R L_S⁻¹)', L_R L_R' = Σ the estimated
//! and L_S L_S' = û'û/J the realised covariance. One draw takes all effects of a term for a group; terms and factors are drawn independently of
//! each other, as the model has it. Residuals are drawn whitened (times √w) and put back on the scale of their row.

use super::rng::Random;
use super::source::Source;
use super::{Change, Resampler, Scheme};
use crate::error::{CoreError, Result};
use crate::linalg::small;

/// What is left of an effect once those before it are accounted for, relative to it, below which it has no distribution of its own.
const DEPENDENT: f64 = 1e-10;

/// See the module documentation.
#[derive(Debug)]
pub struct Residual;

impl Scheme for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn prepare<'s>(&self, source: &'s Source<'s>, _group: Option<usize>) -> Result<Box<dyn Resampler + 's>> {
        let mut fitted = source.fixed.clone();
        let mut effects = Vec::new();
        for (term, modes) in source.modes()?.iter().enumerate() {
            source.add_random(term, modes, &mut fitted);
            let (levels, q) = source.size(term);
            effects.push(reflate(levels, q, modes, &source.root(term)).ok_or_else(|| CoreError::Data {
                what: format!(
                    "the residual bootstrap has too few different random effects in term {} ({levels} groups, {q} effects each) to draw from",
                    term + 1
                ),
            })?);
        }
        let whitened: Vec<f64> =
            (0..fitted.len()).map(|row| (source.design.y[row] - fitted[row]) / source.residual_sd(row)).collect();
        let residuals = reflate(whitened.len(), 1, &whitened, &[1.0])
            .ok_or_else(|| CoreError::Data { what: "the residual bootstrap has no residuals to draw from".into() })?;
        Ok(Box::new(Empirical { source, effects, residuals }))
    }
}

/// Rows of `values` (n × q) centred and transformed to the covariance LL' for a lower-triangular `root` L whose columns of zero pivots are zero;
/// `None` when they span fewer dimensions than L.
///
/// Modified Gram–Schmidt on the columns is L_S⁻¹ without forming the covariance matrix; pivots that are zero in L (an effect without variance, or
/// a correlation of ±1) are left out, and the effect comes back through the other columns of L.
pub fn reflate(n: usize, q: usize, values: &[f64], root: &[f64]) -> Option<Vec<f64>> {
    let mut scores: Vec<Option<Vec<f64>>> = Vec::new();
    for j in 0..q {
        if root[j * q + j] == 0.0 {
            scores.push(None);
            continue;
        }
        let mean = (0..n).map(|i| values[i * q + j]).sum::<f64>() / n as f64;
        let mut column: Vec<f64> = (0..n).map(|i| values[i * q + j] - mean).collect();
        let size = small::dot(&column, &column).sqrt();
        for _ in 0..2 {
            for score in scores.iter().flatten() {
                let share = small::dot(&column, score) / n as f64;
                column.iter_mut().zip(score).for_each(|(c, s)| *c -= share * s);
            }
        }
        let left = small::dot(&column, &column).sqrt();
        if left <= DEPENDENT * size || left.is_nan() {
            return None;
        }
        let scale = (n as f64).sqrt() / left;
        scores.push(Some(column.iter().map(|c| c * scale).collect()));
    }
    let mut out = vec![0.0; n * q];
    for (k, score) in scores.iter().enumerate() {
        let Some(score) = score else { continue };
        for i in k..q {
            let factor = root[i * q + k];
            (0..n).for_each(|row| out[row * q + i] += factor * score[row]);
        }
    }
    Some(out)
}

struct Empirical<'s> {
    source: &'s Source<'s>,
    /// Per term, levels × q.
    effects: Vec<Vec<f64>>,
    /// Whitened, SD 1.
    residuals: Vec<f64>,
}

impl Resampler for Empirical<'_> {
    fn draw(&self, random: &mut Random, change: &mut Change) {
        let source = self.source;
        change.y.clear();
        change.y.extend_from_slice(&source.fixed);
        for (term, effects) in self.effects.iter().enumerate() {
            let (levels, q) = source.size(term);
            let mut b = Vec::with_capacity(levels * q);
            for _ in 0..levels {
                let drawn = random.below(levels);
                b.extend_from_slice(&effects[drawn * q..(drawn + 1) * q]);
            }
            source.add_random(term, &b, &mut change.y);
        }
        let n = self.residuals.len();
        change.y.iter_mut().enumerate().for_each(|(row, v)| *v += source.residual_sd(row) * self.residuals[random.below(n)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflated_values_have_mean_zero_and_the_covariance_asked_for() {
        let n = 50;
        let mut random = Random::new(3, 0);
        let values: Vec<f64> =
            (0..n * 2).map(|k| if k % 2 == 0 { random.normal() } else { 0.1 * random.normal() + 3.0 }).collect();
        for root in [[2.0, 0.0, -0.6, 0.8], [2.0, 0.0, 1.5, 0.0], [0.0, 0.0, 0.0, 0.5]] {
            let out = reflate(n, 2, &values, &root).unwrap_or_default();
            for i in 0..2 {
                let mean: f64 = (0..n).map(|k| out[k * 2 + i]).sum::<f64>() / n as f64;
                assert!(mean.abs() < 1e-12);
                for j in 0..2 {
                    let got: f64 = (0..n).map(|k| out[k * 2 + i] * out[k * 2 + j]).sum::<f64>() / n as f64;
                    let want = small::dot(&root[i * 2..i * 2 + 2], &root[j * 2..j * 2 + 2]);
                    assert!((got - want).abs() < 1e-12, "{root:?}: {got} is not {want}");
                }
            }
        }
        // the first effect is only rescaled: Carpenter et al. use Cholesky factors
        let out = reflate(n, 2, &values, &[2.0, 0.0, -0.6, 0.8]).unwrap_or_default();
        let mean: f64 = (0..n).map(|k| values[k * 2]).sum::<f64>() / n as f64;
        let factor = out[0] / (values[0] - mean);
        assert!((0..n).all(|k| (out[k * 2] - factor * (values[k * 2] - mean)).abs() < 1e-12));
        assert!(reflate(n, 2, &vec![1.0; 2 * n], &[1.0, 0.0, 0.0, 1.0]).is_none());
    }
}
