//! Owned designs for tests, random ones and those of the fixtures, and a dense brute-force criterion.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use wbhlm_core::covariance;
use wbhlm_core::design::{Design, Grouping, Term};
use wbhlm_core::residual::{Identity, Residual};

/// A design that owns its columns.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    pub y: Vec<f64>,
    pub offset: Option<Vec<f64>>,
    pub weights: Option<Vec<f64>>,
    pub columns: Vec<Vec<f64>>,
    pub x: Vec<usize>,
    pub groups: Vec<Vec<i32>>,
    pub terms: Vec<(usize, Vec<usize>, &'static str)>,
    pub residual: Option<Arc<dyn Residual>>,
}

impl Owned {
    pub fn design(&self) -> Design<'_> {
        Design {
            y: &self.y,
            offset: self.offset.as_deref(),
            weights: self.weights.as_deref(),
            columns: self.columns.iter().map(Vec::as_slice).collect(),
            x: self.x.clone(),
            groups: self
                .groups
                .iter()
                .map(|g| Grouping { codes: g, n_levels: g.iter().copied().max().unwrap() as usize })
                .collect(),
            terms: self
                .terms
                .iter()
                .map(|(group, columns, name)| Term {
                    group: *group,
                    columns: columns.clone(),
                    structure: covariance::structure(name).unwrap(),
                })
                .collect(),
            residual: self.residual.clone().unwrap_or_else(|| Arc::new(Identity)),
        }
    }

    pub fn column(&self, k: usize) -> Vec<f64> {
        if k == 0 {
            vec![1.0; self.y.len()]
        } else {
            self.columns[k - 1].clone()
        }
    }

    /// The criterion from the n × n covariance matrix: slow and independent of the core's algebra.
    pub fn brute_force(&self, reml: bool, theta: &[f64]) -> f64 {
        let (pieces, nu) = self.brute_pieces(reml, theta, &|i, j| f64::from(u8::from(i == j)));
        pieces.0 + nu * (1.0 + (2.0 * std::f64::consts::PI * pieces.1 / nu).ln())
    }

    /// The log-determinants and the residual sum of squares, and ν, for residuals whose R has the entries `r`.
    pub fn brute_pieces(&self, reml: bool, theta: &[f64], r: &dyn Fn(usize, usize) -> f64) -> ((f64, f64), f64) {
        let n = self.y.len();
        let mut v = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                v[i * n + j] = r(i, j) * self.weights.as_ref().map_or(1.0, |w| 1.0 / (w[i] * w[j]).sqrt());
            }
        }
        let mut first = 0;
        for (group, columns, name) in &self.terms {
            let structure = covariance::structure(name).unwrap();
            let q = columns.len();
            let lambda = structure.lambda(q, &theta[first..first + structure.n_theta(q)]);
            first += structure.n_theta(q);
            let z: Vec<Vec<f64>> = columns.iter().map(|&k| self.column(k)).collect();
            for i in 0..n {
                for j in 0..n {
                    if self.groups[*group][i] == self.groups[*group][j] {
                        for a in 0..q {
                            for b in 0..q {
                                let psi: f64 = (0..q).map(|c| lambda[a * q + c] * lambda[b * q + c]).sum();
                                v[i * n + j] += z[a][i] * psi * z[b][j];
                            }
                        }
                    }
                }
            }
        }
        let p = self.x.len();
        let mut rhs: Vec<Vec<f64>> = self.x.iter().map(|&k| self.column(k)).collect();
        rhs.push((0..n).map(|i| self.y[i] - self.offset.as_ref().map_or(0.0, |o| o[i])).collect());
        let mut log_det = 0.0;
        eliminate(n, &mut v, &mut rhs, &mut log_det);
        // rhs now holds L^{-1}[X y]
        let mut s = vec![0.0; (p + 1) * (p + 1)];
        for i in 0..=p {
            for j in 0..=p {
                s[i * (p + 1) + j] = (0..n).map(|k| rhs[i][k] * rhs[j][k]).sum();
            }
        }
        let mut xx: Vec<f64> = (0..p * p).map(|e| s[(e / p) * (p + 1) + e % p]).collect();
        let mut xy = vec![(0..p).map(|i| s[i * (p + 1) + p]).collect::<Vec<f64>>()];
        let mut log_det_x = 0.0;
        eliminate(p, &mut xx, &mut xy, &mut log_det_x);
        let r2 = s[p * (p + 1) + p] - xy[0].iter().map(|v| v * v).sum::<f64>();
        let nu = (n - if reml { p } else { 0 }) as f64;
        ((log_det + if reml { log_det_x } else { 0.0 }, r2), nu)
    }
}

/// Cholesky A = LL' in place; every right-hand side becomes L^{-1}b; adds log|A|.
pub fn eliminate(n: usize, a: &mut [f64], rhs: &mut [Vec<f64>], log_det: &mut f64) {
    for j in 0..n {
        for k in 0..j {
            let factor = a[j * n + k];
            for i in j..n {
                a[i * n + j] -= factor * a[i * n + k];
            }
        }
        let root = a[j * n + j].sqrt();
        *log_det += 2.0 * root.ln();
        for i in j..n {
            a[i * n + j] /= root;
        }
    }
    for b in rhs.iter_mut() {
        for i in 0..n {
            let known: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
            b[i] = (b[i] - known) / a[i * n + i];
        }
    }
}

/// A small deterministic generator (xorshift64*): tests need no more.
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n - 1)
    }
}
