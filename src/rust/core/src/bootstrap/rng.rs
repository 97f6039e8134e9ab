//! Random numbers: one seed, and for every replicate a stream of its own, so that replicates are the same in whatever order, and on
//! however many threads, they are computed.

use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The stream of one replicate (ChaCha with 8 rounds: Bernstein 2008; the stream number is part of its counter).
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// Stream `replicate` of `seed`.
    pub fn new(seed: u64, replicate: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(replicate);
        Random(generator)
    }

    /// A standard normal number (ziggurat; Marsaglia & Tsang 2000, J Stat Softw 5(8)).
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// A number from [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`, each equally likely (Lemire 2019, ACM Trans Model Comput Simul 29:3): rejection, no remainder bias.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        let threshold = n.wrapping_neg() % n.max(1);
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_differ() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..5).map(|_| random.normal()).collect::<Vec<f64>>()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }

    #[test]
    fn whole_numbers_are_uniform_and_normal_numbers_normal() {
        let mut random = Random::new(7, 3);
        let mut counts = [0.0; 6];
        (0..60_000).for_each(|_| counts[random.below(6)] += 1.0);
        // chi-square with 5 degrees of freedom: 20.5 is its 99.9 % point
        let chi: f64 = counts.iter().map(|c| (c - 10_000.0f64).powi(2) / 10_000.0).sum();
        assert!(chi < 20.5, "{counts:?}");
        let draws: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let moment = |k: i32| draws.iter().map(|z| z.powi(k)).sum::<f64>() / 100_000.0;
        // 4 standard errors: 1, sqrt 2, sqrt 15, sqrt 96, each over sqrt n
        for (k, expected, spread) in [(1, 0.0, 1.0), (2, 1.0, 2.0f64), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(k) - expected).abs() < 4.0 * (spread / 100_000.0).sqrt(), "moment {k}: {}", moment(k));
        }
    }
}
