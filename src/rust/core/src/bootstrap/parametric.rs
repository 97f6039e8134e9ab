//! Parametric bootstrap: new random effects b* ~ N(0, σ²ΛΛ') and residuals e* ~ N(0, σ²W^{-1/2}RW^{-1/2}) from the fitted model.

use super::rng::Random;
use super::source::Source;
use super::{Change, Resampler, Scheme};
use crate::error::Result;

/// See the module documentation.
#[derive(Debug)]
pub struct Parametric;

impl Scheme for Parametric {
    fn name(&self) -> &'static str {
        "parametric"
    }

    fn prepare<'s>(&self, source: &'s Source<'s>, _group: Option<usize>) -> Result<Box<dyn Resampler + 's>> {
        Ok(Box::new(Normal(source)))
    }
}

struct Normal<'s>(&'s Source<'s>);

impl Resampler for Normal<'_> {
    fn draw(&self, random: &mut Random, change: &mut Change) {
        let source = self.0;
        change.y.clear();
        change.y.extend_from_slice(&source.fixed);
        for (term, lambda) in source.lambdas.iter().enumerate() {
            let (levels, q) = source.size(term);
            let mut u = vec![0.0; q];
            let mut b = vec![0.0; levels * q];
            for own in b.chunks_exact_mut(q) {
                u.iter_mut().for_each(|v| *v = source.sigma * random.normal());
                for (i, v) in own.iter_mut().enumerate() {
                    *v = (0..=i).map(|k| lambda[i * q + k] * u[k]).sum();
                }
            }
            source.add_random(term, &b, &mut change.y);
        }
        source.add_residuals(random, &mut change.y);
    }
}
