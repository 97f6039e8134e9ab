//! Derivatives by central differences of the fourth order, for parameters whose natural scale is 1 and functions known to the last digits.

use crate::error::Result;

/// Truncation (h⁴) and rounding (1e-15 / h, 1e-15 / h²) are both small against what they are added to.
pub const STEP: f64 = 0.01;

/// Derivatives of a vector-valued function.
#[derive(Debug, Clone)]
pub struct Derivatives {
    /// By parameter: the first derivatives of all components.
    pub first: Vec<Vec<f64>>,
    /// Second derivatives of the first component, k × k.
    pub second: Vec<f64>,
}

/// Differentiates `f` at `at`, where its first component is `centre`. With `fine` mixed derivatives are of the fourth order, too.
///
/// # Errors
/// Those of `f`.
pub fn differentiate(at: &[f64], centre: f64, fine: bool, mut f: impl FnMut(&[f64]) -> Result<Vec<f64>>) -> Result<Derivatives> {
    let k = at.len();
    let mut first = Vec::with_capacity(k);
    let mut second = vec![0.0; k * k];
    let moved = |moves: &[(usize, f64)]| {
        let mut point = at.to_vec();
        moves.iter().for_each(|&(i, steps)| point[i] += steps * STEP);
        point
    };
    for i in 0..k {
        let [a, b, c, d] = [-2.0, -1.0, 1.0, 2.0].map(|steps| f(&moved(&[(i, steps)])));
        let (a, b, c, d) = (a?, b?, c?, d?);
        first.push((0..a.len()).map(|e| (8.0 * (c[e] - b[e]) - (d[e] - a[e])) / (12.0 * STEP)).collect());
        second[i * k + i] =
            (16.0 * ((b[0] - centre) + (c[0] - centre)) - ((a[0] - centre) + (d[0] - centre))) / (12.0 * STEP * STEP);
        for j in 0..i {
            let mut mixed = |size: f64| -> Result<f64> {
                let mut at = |p: f64, q: f64| -> Result<f64> { Ok(f(&moved(&[(i, p * size), (j, q * size)]))?[0] - centre) };
                Ok((at(1.0, 1.0)? - at(1.0, -1.0)? - at(-1.0, 1.0)? + at(-1.0, -1.0)?) / (4.0 * size * size * STEP * STEP))
            };
            // Richardson's extrapolation removes the error in h²
            let value = if fine { (4.0 * mixed(1.0)? - mixed(2.0)?) / 3.0 } else { mixed(1.0)? };
            second[i * k + j] = value;
            second[j * k + i] = value;
        }
    }
    Ok(Derivatives { first, second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_of_a_known_function() {
        let f = |x: &[f64]| Ok(vec![(x[0] + 2.0 * x[1]).exp() * x[0].sin(), x[1].powi(3)]);
        let at = [0.3, -0.2];
        let centre = f(&at).unwrap_or_default()[0];
        let d = differentiate(&at, centre, true, f).unwrap_or(Derivatives { first: Vec::new(), second: Vec::new() });
        let (e, s, c) = ((0.3f64 - 0.4).exp(), 0.3f64.sin(), 0.3f64.cos());
        let want = [e * (s + c), 0.0, 2.0 * e * s, 3.0 * 0.04];
        let got = [d.first[0][0], d.first[0][1], d.first[1][0], d.first[1][1]];
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-8, "{g} {w}"));
        let want = [2.0 * e * c, 2.0 * e * (s + c), 2.0 * e * (s + c), 4.0 * e * s];
        d.second.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-7, "{g} {w}"));
    }
}
