//! The criterion over the free parameters, with its exact derivatives: the chain rule through Ψ = TT'/σ².

use super::{Entry, Term, Variance};
use crate::error::Result;
use crate::linalg::small::{self, sandwich};
use crate::objective::profile::Point;
use crate::objective::Order;
use crate::optimize::Surface;

impl Surface for Variance<'_> {
    fn at(&self, x: &[f64], order: Order) -> Result<Point> {
        let objective = self.profile.objective;
        let coordinates = objective.coordinates();
        let m = coordinates.len();
        let lambda = self.log_sigma(x);
        let shrink = (-2.0 * lambda).exp();
        let factors: Vec<Vec<f64>> = self.terms.iter().map(|term| self.factor(term, x)).collect();
        let mut user = vec![0.0; m];
        for (term, t) in self.terms.iter().zip(&factors) {
            for (c, a, b) in self.inside(term) {
                user[c] = shrink * small::dot(&t[a * term.q..(a + 1) * term.q], &t[b * term.q..(b + 1) * term.q]);
            }
        }
        let inside = small::product(m, m, 1, &self.map, &user);
        let mut psi: Vec<Vec<f64>> = self.statistics.parameters.q.iter().map(|q| vec![0.0; q * q]).collect();
        for (c, value) in coordinates.iter().zip(&inside) {
            let q = self.statistics.parameters.q[c.block];
            c.positions().for_each(|(a, b)| psi[c.block][a * q + b] = *value);
        }
        let pieces = objective.evaluate(&psi, order)?;
        let nu = self.profile.nu;
        let value = pieces.log_det + shrink * pieces.r2 + nu * ((2.0 * std::f64::consts::PI).ln() + 2.0 * lambda);
        let mut point =
            Point { theta: x.to_vec(), value, psi_gradient: Vec::new(), gradient: Vec::new(), hessian: Vec::new(), pieces };
        if order > Order::Value {
            self.differentiate(&mut point, x, &factors, &user, shrink);
        }
        Ok(point)
    }
}

impl Variance<'_> {
    fn differentiate(&self, point: &mut Point, x: &[f64], factors: &[Vec<f64>], user: &[f64], shrink: f64) {
        let pieces = &point.pieces;
        let (m, k) = (user.len(), self.size());
        let with_sigma = k > self.free;
        let inside: Vec<f64> = pieces.log_det_gradient.iter().zip(&pieces.r2_gradient).map(|(l, r)| l + shrink * r).collect();
        let g = small::product(1, m, m, &inside, &self.map);
        let mut jacobian = vec![0.0; m * k];
        let mut curvature = vec![0.0; k * k];
        for (term, t) in self.terms.iter().zip(factors) {
            self.term_derivatives(term, t, shrink, &g, &mut jacobian, &mut curvature);
        }
        let last = self.free;
        if with_sigma {
            (0..m).for_each(|c| jacobian[c * k + last] = -2.0 * user[c]);
        }
        let mut gradient = small::product(1, m, k, &g, &jacobian);
        if with_sigma {
            gradient[last] += 2.0 * self.profile.nu - 2.0 * shrink * pieces.r2;
        }
        if !pieces.r2_hessian.is_empty() {
            let quadratic = |e: usize| shrink * pieces.r2_hessian[e];
            let in_psi: Vec<f64> = (0..m * m)
                .map(|e| quadratic(e) + pieces.log_det_hessian.as_ref().map_or(-0.5 * quadratic(e), |h| h[e]))
                .collect();
            let mut hessian = sandwich(m, k, &jacobian, &sandwich(m, m, &self.map, &in_psi));
            hessian.iter_mut().zip(&curvature).for_each(|(h, c)| *h += c);
            if with_sigma {
                let cross: Vec<f64> = pieces.r2_gradient.iter().map(|r| -2.0 * shrink * r).collect();
                let cross = small::product(1, m, k, &small::product(1, m, m, &cross, &self.map), &jacobian);
                for j in 0..k {
                    // the coordinates shrink with σ: ∂²Ψ/∂x∂log σ = -2 ∂Ψ/∂x, ∂²Ψ/∂(log σ)² = 4Ψ
                    let along: f64 = (0..m).map(|c| g[c] * jacobian[c * k + j]).sum();
                    hessian[j * k + last] += cross[j] - 2.0 * along;
                    if j != last {
                        hessian[last * k + j] += cross[j] - 2.0 * along;
                    }
                }
                hessian[last * k + last] += cross[last] + 4.0 * shrink * pieces.r2;
            }
            for &v in &self.squares {
                for j in 0..k {
                    hessian[v * k + j] *= 2.0 * x[v];
                    hessian[j * k + v] *= 2.0 * x[v];
                }
                hessian[v * k + v] += 2.0 * gradient[v];
            }
            small::symmetrize(k, &mut hessian);
            point.hessian = hessian;
        }
        self.squares.iter().for_each(|&v| gradient[v] *= 2.0 * x[v]);
        point.psi_gradient = inside;
        point.gradient = gradient;
    }

    /// ∂Ψ/∂x and Σ_c g_c ∂²Ψ_c/∂x∂x' of a term.
    fn term_derivatives(&self, term: &Term, t: &[f64], shrink: f64, g: &[f64], jacobian: &mut [f64], curvature: &mut [f64]) {
        let (q, k) = (term.q, self.size());
        let unit = |entries: &[Entry]| {
            let mut e = vec![0.0; q * q];
            entries.iter().for_each(|&(row, column, size)| e[row * q + column] = size);
            e
        };
        let units: Vec<(usize, Vec<f64>)> = term.variables.iter().map(|(v, entries)| (*v, unit(entries))).collect();
        let row = |a: usize| a * q..(a + 1) * q;
        for (c, a, b) in self.inside(term) {
            for (v, e) in &units {
                jacobian[c * k + v] = shrink * (small::dot(&e[row(a)], &t[row(b)]) + small::dot(&t[row(a)], &e[row(b)]));
                for (w, f) in &units {
                    let second = small::dot(&e[row(a)], &f[row(b)]) + small::dot(&f[row(a)], &e[row(b)]);
                    curvature[v * k + w] += g[c] * shrink * second;
                }
            }
        }
    }
}
