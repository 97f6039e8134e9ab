//! Compensated summation (Neumaier 1974), the rounding error of each sum by Knuth's TwoSum (TAOCP 2, 4.2.2, theorem B), which needs no
//! comparison: 10^7 rows lose no digits.

/// A vector of running sums with their compensations.
#[derive(Debug, Clone)]
pub struct CompensatedSums {
    sum: Vec<f64>,
    lost: Vec<f64>,
}

impl CompensatedSums {
    /// `len` sums, all zero.
    pub fn new(len: usize) -> Self {
        Self { sum: vec![0.0; len], lost: vec![0.0; len] }
    }

    /// Adds one vector of terms.
    pub fn add(&mut self, terms: &[f64]) {
        for ((sum, lost), &term) in self.sum.iter_mut().zip(&mut self.lost).zip(terms) {
            let total = *sum + term;
            let rest = total - *sum;
            *lost += (*sum - (total - rest)) + (term - rest);
            *sum = total;
        }
    }

    /// The sums.
    pub fn total(&self) -> Vec<f64> {
        self.sum.iter().zip(&self.lost).map(|(s, l)| s + l).collect()
    }
}

/// So many terms are summed plainly before the sums are compensated.
const BATCH: usize = 64;

/// Sums of many vectors of short sums: plain within a batch, compensated between batches.
///
/// A term is the products of a node: plain sums over the m rows of a piece and the c pieces or children of the node. With u the unit of
/// rounding, the sum over a batch is off by at most (m + c + [`BATCH`])u Σ|products| to first order (Higham 2002, Accuracy and Stability
/// of Numerical Algorithms, §4.2); the node alone contributes (m + c)u of that, whatever is done here. The compensated sum of the
/// batches adds no more than about 2u, however many there are, so that the bound does not grow with the number of nodes. Internal
/// columns have a mean square of one, so that Σ|products| is at most the number of rows (Cauchy-Schwarz).
#[derive(Debug, Clone)]
pub struct BatchedSums {
    batch: Vec<f64>,
    terms: usize,
    sums: CompensatedSums,
}

impl BatchedSums {
    /// `len` sums, all zero.
    pub fn new(len: usize) -> Self {
        Self { batch: vec![0.0; len], terms: 0, sums: CompensatedSums::new(len) }
    }

    /// Adds one vector of terms.
    #[inline(always)]
    pub fn add(&mut self, terms: &[f64]) {
        self.batch.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        self.terms += 1;
        if self.terms == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.sums.add(&self.batch);
        self.batch.fill(0.0);
        self.terms = 0;
    }

    /// The sums.
    pub fn total(mut self) -> Vec<f64> {
        self.flush();
        self.sums.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovers_what_plain_summation_loses() {
        let mut sums = CompensatedSums::new(1);
        for term in [1.0, 1e100, 1.0, -1e100] {
            sums.add(&[term]);
        }
        assert_eq!(sums.total(), vec![2.0]);
    }

    #[test]
    fn batches_keep_the_digits_of_a_million_terms() {
        // 0.1 is not a binary fraction: plain summation of 10^6 of them is off by 1e-6
        let mut sums = BatchedSums::new(1);
        (0..1_000_001).for_each(|_| sums.add(&[0.1]));
        let exact = 1_000_001.0 * 0.1;
        assert!((sums.total()[0] - exact).abs() <= 64.0 * f64::EPSILON * exact);
        let mut plain = 0.0;
        (0..1_000_001).for_each(|_| plain += 0.1);
        assert!((plain - exact).abs() > 64.0 * f64::EPSILON * exact, "the test tells nothing");
    }
}
