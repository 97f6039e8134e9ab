//! Internal basis: columns are centred and scaled before any cross-product is taken.
//!
//! Cross-products of uncentred columns lose digits (time stamps of 1e6 cost whole deviance units), so X columns are centred
//! when X holds the constant, Z columns when their term holds it and its structure allows (TΨT' again of the structure), and
//! everything is scaled. The maps back to the user's units are kept here and nowhere else.

use crate::design::{finite, Design};
use crate::error::Result;
use crate::linalg::lanes::{with_vectors, Lanes, LANES};
use crate::linalg::small;
use serde::{Deserialize, Serialize};

/// A distinct column of the internal basis: (pool[column] - location) / scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BasisColumn {
    /// Pool index; 0 is the constant.
    pub pool: usize,
    /// Subtracted first.
    pub location: f64,
    /// Divided by second.
    pub scale: f64,
}

/// All random-effect columns of one grouping factor: its terms side by side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Block {
    /// Index into the design's groups.
    pub group: usize,
    /// Terms of the design on this factor, with the first of their columns in the block.
    pub terms: Vec<(usize, usize)>,
    /// Basis columns of the block, q of them.
    pub columns: Vec<usize>,
    /// T (q × q): b in the user's units (of y's scale) = T b in the internal basis.
    pub back: Vec<f64>,
    /// T^{-1}.
    pub forward: Vec<f64>,
}

/// The internal basis of a design.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Basis {
    /// Distinct internal columns.
    pub columns: Vec<BasisColumn>,
    /// Basis column of each fixed-effect column.
    pub x: Vec<usize>,
    /// Whether X holds the constant (then X and y are centred); its position in X.
    pub intercept: Option<usize>,
    /// Location and scale of y - offset.
    pub y: (f64, f64),
    /// One block per grouping factor used, in the order of the design's groups.
    pub blocks: Vec<Block>,
}

impl Basis {
    /// Chooses locations and scales from the spreads of the columns.
    pub fn new(design: &Design, spreads: &Spreads) -> Self {
        let spread = spreads.columns.as_slice();
        let intercept = design.x.iter().position(|&k| k == 0);
        let mut basis = Basis { columns: Vec::new(), x: Vec::new(), intercept, y: (0.0, 1.0), blocks: Vec::new() };
        for &k in &design.x {
            let column = scaled(k, spread, intercept.is_some());
            let index = basis.intern(column);
            basis.x.push(index);
        }
        basis.place_outcome(&spreads.y);
        for group in 0..design.groups.len() {
            if design.terms.iter().any(|t| t.group == group) {
                let block = basis.block(design, group, spread);
                basis.blocks.push(block);
            }
        }
        basis
    }

    /// Location and scale for an outcome; nothing else of the basis depends on it.
    pub fn set_outcome(&mut self, y: &[f64], offset: Option<&[f64]>) {
        self.place_outcome(&Spread::of(y, offset));
    }

    fn place_outcome(&mut self, y: &Spread) {
        self.y = if self.intercept.is_some() { (y.mean, y.sd()) } else { (0.0, y.rms()) };
    }

    fn block(&mut self, design: &Design, group: usize, spread: &[Spread]) -> Block {
        let mut block = Block { group, terms: Vec::new(), columns: Vec::new(), back: Vec::new(), forward: Vec::new() };
        let mut maps = Vec::new();
        for (t, term) in design.terms.iter().enumerate().filter(|(_, t)| t.group == group) {
            block.terms.push((t, block.columns.len()));
            let constant = term.columns.iter().position(|&k| k == 0);
            let centre = constant.filter(|_| term.structure.closed_under_linear_maps());
            for &k in &term.columns {
                let column = scaled(k, spread, centre.is_some());
                block.columns.push(self.intern(column));
            }
            maps.push((term.columns.len(), centre));
        }
        let q = block.columns.len();
        block.back = vec![0.0; q * q];
        block.forward = vec![0.0; q * q];
        let mut start = 0;
        for (width, centre) in maps {
            for a in start..start + width {
                let BasisColumn { location, scale, .. } = self.columns[block.columns[a]];
                block.back[a * q + a] = 1.0 / scale;
                block.forward[a * q + a] = scale;
                if let Some(c) = centre.map(|c| start + c).filter(|&c| c != a) {
                    block.back[c * q + a] = -location / scale;
                    block.forward[c * q + a] = location;
                }
            }
            start += width;
        }
        block
    }

    fn intern(&mut self, column: BasisColumn) -> usize {
        self.columns.iter().position(|c| *c == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        })
    }

    /// K (p × p) with beta in the user's units = y-scale · K beta in the internal basis + y-location at the constant.
    pub fn beta_map(&self) -> Vec<f64> {
        let p = self.x.len();
        let mut map = vec![0.0; p * p];
        for (j, &column) in self.x.iter().enumerate() {
            let BasisColumn { location, scale, .. } = self.columns[column];
            map[j * p + j] = 1.0 / scale;
            if let Some(i) = self.intercept.filter(|&i| i != j) {
                map[i * p + j] = -location / scale;
            }
        }
        map
    }

    /// K⁻¹ of [`Basis::beta_map`].
    pub fn beta_map_inverse(&self) -> Vec<f64> {
        let p = self.x.len();
        let mut map = vec![0.0; p * p];
        for (j, &column) in self.x.iter().enumerate() {
            let BasisColumn { location, scale, .. } = self.columns[column];
            map[j * p + j] = scale;
            if let Some(i) = self.intercept.filter(|&i| i != j) {
                map[i * p + j] = location;
            }
        }
        map
    }

    /// Lower-triangular Λ (q × q) of a term in the user's units from Λ in the internal basis, or back (`forward`).
    pub fn map_lambda(&self, block: &Block, term_start: usize, q: usize, lambda: &[f64], forward: bool) -> Vec<f64> {
        let full = block.columns.len();
        let map = if forward { &block.forward } else { &block.back };
        let mut part = vec![0.0; q * q];
        for a in 0..q {
            for b in 0..q {
                part[a * q + b] = map[(term_start + a) * full + term_start + b];
            }
        }
        let mut out = small::triangularize(q, q, &small::product(q, q, q, &part, lambda));
        // a row that is rounding dust of the map is an exact zero: the boundary must survive the change of units
        for a in 0..q {
            let size: f64 = (0..q).map(|b| out[a * q + b].abs()).fold(0.0, f64::max);
            let reach: f64 = (0..q).map(|b| part[a * q + b].abs() * row_size(lambda, q, b)).fold(0.0, f64::max);
            for b in 0..q {
                if out[a * q + b].abs() <= 4e-16 * reach.max(size) {
                    out[a * q + b] = 0.0;
                }
            }
        }
        out
    }
}

fn row_size(lambda: &[f64], q: usize, row: usize) -> f64 {
    lambda[row * q..(row + 1) * q].iter().map(|v| v.abs()).fold(0.0, f64::max)
}

fn scaled(pool: usize, spread: &[Spread], centre: bool) -> BasisColumn {
    if pool == 0 {
        return BasisColumn { pool, location: 0.0, scale: 1.0 };
    }
    let s = &spread[pool - 1];
    if centre {
        BasisColumn { pool, location: s.mean, scale: s.sd() }
    } else {
        BasisColumn { pool, location: 0.0, scale: s.rms() }
    }
}

/// Mean and variance of a column, in one pass about its first value: exact enough for a basis, which may stand anywhere near.
#[derive(Debug)]
struct Spread {
    mean: f64,
    variance: f64,
    /// Whether the sums were numbers: not where a value was none, nor where squares overflow.
    finite: bool,
}

/// Where the columns and the outcome of a design stand.
#[derive(Debug)]
pub struct Spreads {
    columns: Vec<Spread>,
    y: Spread,
}

impl Spreads {
    /// One pass over the columns, which also tells whether all values are finite.
    ///
    /// # Errors
    /// [`CoreError::Data`](crate::error::CoreError::Data) for a value that is not.
    pub fn of(design: &Design) -> Result<Self> {
        let mut columns = Vec::with_capacity(design.columns.len());
        for (k, column) in design.columns.iter().enumerate() {
            let spread = Spread::of(column, None);
            if !spread.finite {
                finite(column, &format!("column {}", k + 1))?;
            }
            columns.push(spread);
        }
        let y = Spread::of(design.y, design.offset);
        if !y.finite {
            finite(design.y, "the outcome")?;
        }
        Ok(Spreads { columns, y })
    }
}

impl Spread {
    fn of(column: &[f64], offset: Option<&[f64]>) -> Self {
        let n = column.len() as f64;
        let first = column[0] - offset.map_or(0.0, |o| o[0]);
        let blocks = column.chunks(BLOCK);
        let (sum, squares) = with_vectors!(blocks => match offset {
            None => sums(blocks, first),
            Some(offset) => {
                let mut without = [0.0; BLOCK];
                blocks.zip(offset.chunks(BLOCK)).fold((0.0, 0.0), |total, (column, offset)| {
                    let difference = column.iter().zip(offset).map(|(v, o)| v - o);
                    without.iter_mut().zip(difference).for_each(|(out, v)| *out = v);
                    let part = sums([&without[..column.len()]].into_iter(), first);
                    (total.0 + part.0, total.1 + part.1)
                })
            }
        });
        let (mean, variance) = (first + sum / n, (squares / n - (sum / n).powi(2)).max(0.0));
        // rounding dust is no location (of a within column, centred already) and no spread (of a constant column)
        let (dust, sd) = (1e-14, variance.sqrt());
        Spread {
            mean: if mean.abs() <= dust * sd { 0.0 } else { mean },
            variance: if sd <= dust * mean.abs() { 0.0 } else { variance },
            finite: squares.is_finite(),
        }
    }
    fn sd(&self) -> f64 {
        positive(self.variance.sqrt())
    }
    fn rms(&self) -> f64 {
        positive((self.variance + self.mean * self.mean).sqrt())
    }
}

fn positive(scale: f64) -> f64 {
    if scale > 0.0 && scale.is_finite() {
        scale
    } else {
        1.0
    }
}

/// Values summed plainly, and lanes of them side by side: enough that no sum waits for the one before.
const BLOCK: usize = 1024;
const STEP: usize = 4;

/// Sum and sum of squares about `first`, in blocks so that rounding grows with the number of blocks.
#[inline(always)]
fn sums<'v>(blocks: impl Iterator<Item = &'v [f64]>, first: f64) -> (f64, f64) {
    let mut total = (0.0, 0.0);
    for block in blocks {
        let (mut sums, mut squares) = ([Lanes::ZERO; STEP], [Lanes::ZERO; STEP]);
        let steps = block.chunks_exact(STEP * LANES);
        let rest = steps.remainder();
        for step in steps {
            for ((values, sum), square) in step.chunks_exact(LANES).zip(&mut sums).zip(&mut squares) {
                let value = Lanes(std::array::from_fn(|lane| values[lane])) - Lanes::splat(first);
                *sum += value;
                *square += value * value;
            }
        }
        let [mut sum, mut square] = [sums, squares].map(|[a, b, c, d]| ((a + b) + (c + d)).sum());
        for value in rest.iter().map(|v| v - first) {
            sum += value;
            square += value * value;
        }
        total = (total.0 + sum, total.1 + square);
    }
    total
}
