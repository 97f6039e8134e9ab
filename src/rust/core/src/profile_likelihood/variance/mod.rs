//! An SD, a correlation or σ held at a value. The free parameters are the entries of T = σΛ of every term and log σ. T belongs to the
//! columns of the internal basis, unless the parameter is about a column that is a combination of several of these (the intercept's SD, beside
//! centred slopes): then to the user's.
//! With the rows of T in the right order each condition is linear in T: the SD of the first row is its one entry; the correlation ρ of the
//! first two rows is that of (T_10, T_11) = t (ρ, √(1 - ρ²)), where T_00 and t may not change sign (-ρ would be held) and enter as squares.

mod surface;

use super::trace::Walk;
use super::{Constrained, Parameter, State};
use crate::error::{CoreError, Result};
use crate::linalg::small;
use crate::moments::basis::Block;
use crate::objective::profile::{Point, Profile};
use crate::objective::{Coordinate, Order};
use crate::optimize::{newton, Control, Surface};
use crate::statistics::Statistics;

/// An entry of T: row, column, and what a unit of the variable adds to it.
type Entry = (usize, usize, f64);

/// A free parameter: its place among all, and the entries that move with it.
type Variable = (usize, Vec<Entry>);

/// One term: T = base + Σ x_v scale · (entry of v), rows in `order` of the term's columns.
struct Term {
    block: usize,
    start: usize,
    q: usize,
    order: Vec<usize>,
    /// Whether T belongs to the columns of the internal basis.
    internal: bool,
    base: Vec<f64>,
    variables: Vec<Variable>,
}

/// The model with one variance parameter held.
pub struct Variance<'o> {
    statistics: &'o Statistics,
    profile: &'o Profile<'o>,
    parameter: Parameter,
    control: Control,
    terms: Vec<Term>,
    /// Typical size of a random effect per block and column: y's over the column's.
    sizes: Vec<Vec<f64>>,
    free: usize,
    /// Variables that enter as squares.
    squares: Vec<usize>,
    start: Vec<f64>,
    held: f64,
    map: Vec<f64>,
}

/// Whether a random effect of the user is one of the internal basis, but for its unit.
fn is_own(block: &Block, column: usize) -> bool {
    let q = block.columns.len();
    (0..q).all(|other| other == column || block.back[column * q + other] == 0.0)
}

impl<'o> Variance<'o> {
    /// Lays out the free parameters.
    ///
    /// # Errors
    /// [`CoreError::Design`] for a parameter that the model does not have.
    pub fn new(statistics: &'o Statistics, profile: &'o Profile<'o>, parameter: Parameter, control: &Control) -> Result<Self> {
        let basis = &statistics.basis;
        let sizes: Vec<Vec<f64>> =
            basis.blocks.iter().map(|b| b.columns.iter().map(|&c| 1.0 / basis.columns[c].scale).collect()).collect();
        let mut out = Variance {
            map: crate::estimates::psi_map(statistics, profile.objective.coordinates()),
            statistics,
            profile,
            parameter,
            control: control.clone(),
            terms: Vec::new(),
            sizes,
            free: 0,
            squares: Vec::new(),
            start: Vec::new(),
            held: 0.0,
        };
        for (index, term) in statistics.parameters.terms.iter().enumerate() {
            let first = match parameter {
                Parameter::Sd { term, column } if term == index => vec![column],
                Parameter::Correlation { term, columns } if term == index => vec![columns.0, columns.1],
                _ => Vec::new(),
            };
            let correlated = term.structure.active(term.q).len() > term.q;
            if first.iter().any(|&c| c >= term.q) || first.len() == 2 && (first[0] == first[1] || !correlated) {
                return Err(CoreError::Design { what: "the model does not have this variance parameter".into() });
            }
            let (block, start) = (term.block, term.start);
            let internal = first.iter().all(|&column| is_own(&basis.blocks[block], start + column));
            if internal {
                out.keep_inside(block, start..start + term.q);
            }
            let rest = (0..term.q).filter(|c| !first.contains(c));
            let order: Vec<usize> = first.iter().copied().chain(rest).collect();
            let variables = out.lay_out(block, start, &order, first.len(), correlated);
            let base = vec![0.0; term.q * term.q];
            out.terms.push(Term { block, start, q: term.q, order, internal, base, variables });
        }
        let known = match parameter {
            Parameter::Sd { term, .. } | Parameter::Correlation { term, .. } => term < out.terms.len(),
            Parameter::Sigma => true,
            Parameter::Coefficient(_) => false,
        };
        if !known {
            return Err(CoreError::Design { what: "the model does not have this variance parameter".into() });
        }
        Ok(out)
    }

    /// Coordinates of a term stay in the internal basis, with columns of size one.
    fn keep_inside(&mut self, block: usize, columns: std::ops::Range<usize>) {
        let coordinates = self.profile.objective.coordinates();
        let m = coordinates.len();
        for (k, c) in coordinates.iter().enumerate() {
            if c.block == block && columns.contains(&c.a) {
                (0..m).for_each(|l| self.map[k * m + l] = f64::from(u8::from(k == l)));
            }
        }
        self.sizes[block][columns].fill(1.0);
    }

    /// Variables of a term; `held` of its first rows belong to the parameter.
    fn lay_out(&mut self, block: usize, start: usize, order: &[usize], held: usize, correlated: bool) -> Vec<Variable> {
        let mut variables = Vec::new();
        let size = |column: usize| self.sizes[block][start + order[column]];
        for row in 0..order.len() {
            for column in 0..=row {
                let entries = match (held, row, column) {
                    (1, 0, 0) | (2, 1, 0) => continue,
                    // filled by `place`, which knows ρ
                    (2, 1, 1) => vec![(1, 0, 0.0), (1, 1, 0.0)],
                    _ if row != column && !correlated => continue,
                    _ => vec![(row, column, size(row))],
                };
                if held == 2 && row < 2 {
                    self.squares.push(self.free);
                }
                variables.push((self.free, entries));
                self.free += 1;
            }
        }
        variables
    }

    /// Number of variables: the free entries of T and, unless it is held, log σ.
    fn size(&self) -> usize {
        self.free + usize::from(self.parameter != Parameter::Sigma)
    }

    /// Puts the held value into the layout.
    fn place(&mut self, value: f64) {
        self.held = value;
        let scale = self.statistics.basis.y.1;
        match self.parameter {
            Parameter::Sd { term, column } => {
                let Term { block, start, internal, .. } = self.terms[term];
                let basis = &self.statistics.basis;
                let unit = if internal { basis.columns[basis.blocks[block].columns[start + column]].scale } else { 1.0 };
                self.terms[term].base[0] = value * unit / scale;
            }
            Parameter::Correlation { term, .. } => {
                let (block, start) = (self.terms[term].block, self.terms[term].start);
                let size = self.sizes[block][start + self.terms[term].order[1]];
                for (_, entries) in &mut self.terms[term].variables {
                    if entries.len() == 2 {
                        entries[0].2 = size * value;
                        entries[1].2 = size * (1.0 - value * value).max(0.0).sqrt();
                    }
                }
            }
            _ => {}
        }
    }

    /// log σ (y scaled): the last variable, unless σ is held.
    fn log_sigma(&self, x: &[f64]) -> f64 {
        match self.parameter {
            Parameter::Sigma => (self.held / self.statistics.basis.y.1).ln(),
            _ => x[self.free],
        }
    }

    fn factor(&self, term: &Term, x: &[f64]) -> Vec<f64> {
        let mut t = term.base.clone();
        for (variable, entries) in &term.variables {
            let value = if self.squares.contains(variable) { x[*variable] * x[*variable] } else { x[*variable] };
            entries.iter().for_each(|&(row, column, size)| t[row * term.q + column] += value * size);
        }
        t
    }

    /// Coordinates of a term with their rows in T.
    fn inside(&self, term: &Term) -> Vec<(usize, usize, usize)> {
        let mut row_of = vec![0; term.q];
        term.order.iter().enumerate().for_each(|(row, &column)| row_of[column] = row);
        let own = |k: usize| k >= term.start && k < term.start + term.q;
        let coordinates: &[Coordinate] = self.profile.objective.coordinates();
        coordinates
            .iter()
            .enumerate()
            .filter(|(_, c)| c.block == term.block && own(c.a) && own(c.b))
            .map(|(index, c)| (index, row_of[c.a - term.start], row_of[c.b - term.start]))
            .collect()
    }

    /// The state of a point.
    fn state(&self, x: &[f64], point: &Point) -> State {
        let basis = &self.statistics.basis;
        let (location, scale) = basis.y;
        let sigma = self.log_sigma(x).exp();
        let mut theta = vec![0.0; self.statistics.parameters.n_theta];
        for (term, own) in self.terms.iter().zip(&self.statistics.parameters.terms) {
            let q = term.q;
            let t = self.factor(term, x);
            let mut rows = vec![0.0; q * q];
            for (row, &column) in term.order.iter().enumerate() {
                (0..q).for_each(|k| rows[column * q + k] = t[row * q + k] / sigma);
            }
            let mut lambda = small::triangularize(q, q, &rows);
            if term.internal {
                lambda = basis.map_lambda(&basis.blocks[term.block], term.start, q, &lambda, false);
            }
            let part = own.structure.theta(q, &lambda);
            theta[own.theta..own.theta + part.len()].copy_from_slice(&part);
        }
        let p = basis.x.len();
        let mut beta: Vec<f64> =
            small::product(p, p, 1, &basis.beta_map(), &point.pieces.beta).iter().map(|b| scale * b).collect();
        if let Some(i) = basis.intercept {
            beta[i] += location;
        }
        State { beta, theta, sigma: sigma * scale }
    }

    /// Where to walk from a state.
    ///
    /// # Errors
    /// [`CoreError::Design`] for a correlation with an SD of zero.
    pub fn walk(&self, state: &State) -> Result<Walk> {
        let scale = self.statistics.basis.y.1;
        let covariance = |index: usize| {
            let own = &self.statistics.parameters.terms[index];
            let lambda = own.structure.lambda(own.q, self.statistics.parameters.slice(own, &state.theta));
            let q = own.q;
            let dot = move |a: usize, b: usize| small::dot(&lambda[a * q..(a + 1) * q], &lambda[b * q..(b + 1) * q]);
            (dot, own.block, own.start)
        };
        let n = self.statistics.n as f64;
        match self.parameter {
            Parameter::Sd { term, column } => {
                let (dot, block, start) = covariance(term);
                let typical = scale * self.sizes[block][start + column];
                let estimate = state.sigma * dot(column, column).sqrt();
                Ok(Walk { estimate, scale: (0.15 * estimate).max(0.02 * typical), lower: 0.0, upper: f64::INFINITY })
            }
            Parameter::Correlation { term, columns: (a, b) } => {
                let (dot, ..) = covariance(term);
                let size = (dot(a, a) * dot(b, b)).sqrt();
                if size <= 0.0 {
                    return Err(CoreError::Design { what: "a correlation with an SD of zero does not exist".into() });
                }
                let estimate = (dot(a, b) / size).clamp(-1.0, 1.0);
                let estimate = if 1.0 - estimate.abs() < 1e-12 { estimate.signum() } else { estimate };
                Ok(Walk { estimate, scale: 0.15, lower: -1.0, upper: 1.0 })
            }
            _ => {
                let step = state.sigma / (2.0 * n).sqrt();
                Ok(Walk { estimate: state.sigma, scale: step, lower: 0.0, upper: f64::INFINITY })
            }
        }
    }
}

impl Constrained for Variance<'_> {
    fn at(&mut self, value: f64) -> Result<(f64, State)> {
        self.place(value);
        let x = self.start.clone();
        let point = Surface::at(self, &x, Order::Step)?;
        let optimum = newton::minimise(self, point, &self.control, 1, &[], &|_| false)?;
        if !optimum.converged {
            return Err(CoreError::Numerical { what: "the profile of a variance parameter has no minimum here".into() });
        }
        let x = optimum.point.theta.clone();
        let state = self.state(&x, &optimum.point);
        // to the scale of the user's criterion
        let shift = crate::estimates::criterion_shift(self.statistics, self.profile.nu);
        self.start = x;
        Ok((optimum.point.value + shift, state))
    }

    fn start_from(&mut self, state: &State) -> Result<()> {
        let scale = self.statistics.basis.y.1;
        let mut x = vec![0.0; self.size()];
        for (term, own) in self.terms.iter().zip(&self.statistics.parameters.terms) {
            let q = term.q;
            let mut lambda = own.structure.lambda(q, self.statistics.parameters.slice(own, &state.theta));
            if term.internal {
                let basis = &self.statistics.basis;
                lambda = basis.map_lambda(&basis.blocks[term.block], term.start, q, &lambda, true);
            }
            let mut rows = vec![0.0; q * q];
            for (row, &column) in term.order.iter().enumerate() {
                (0..q).for_each(|k| rows[row * q + k] = lambda[column * q + k] * state.sigma / scale);
            }
            let t = if term.order.iter().enumerate().all(|(row, &column)| row == column) {
                rows
            } else {
                small::triangularize(q, q, &rows)
            };
            for (variable, entries) in &term.variables {
                x[*variable] = if entries.len() == 2 {
                    let size = self.sizes[term.block][term.start + term.order[1]];
                    small::dot(&t[q..2 * q], &t[q..2 * q]).sqrt() / size
                } else {
                    let (row, column, size) = entries[0];
                    t[row * q + column] / size
                };
                if self.squares.contains(variable) {
                    x[*variable] = x[*variable].abs().sqrt();
                }
            }
        }
        if x.len() > self.free {
            x[self.free] = (state.sigma / scale).ln();
        }
        self.start = x;
        Ok(())
    }
}
