//! Cross-products of the internal columns over the rows of a node, four columns side by side.
//!
//! Per group of four columns a row is one [`Lanes`], and its ten products are those with itself and with itself turned by one place and by
//! two. Nothing is summed across lanes, so that every product is summed row by row, whatever the width of the processor's
//! vectors (and as the products with a new outcome are, `outcome.rs`).

use super::basis::Basis;
use crate::design::Design;
use crate::linalg::lanes::{Lanes, LANES};

/// Where each pair of internal columns is found among a node's products, which are laid out as they fall out of the lanes: the number of
/// rows, then for every group of columns their sums, the products within the group, and those with each group that follows.
#[derive(Debug)]
pub struct Layout {
    /// Slot of every internal column, y the last; none for a constant, whose products are sums.
    slots: Vec<Option<usize>>,
    /// Internal column in every slot; slots left over repeat the last.
    columns: Vec<usize>,
}

impl Layout {
    /// `whitened`: rows are multiplied by something, so that a constant is a column like any other.
    pub fn new(basis: &Basis, whitened: bool) -> Self {
        let width = basis.columns.len() + 1;
        let constant = |column: usize| !whitened && basis.columns.get(column).is_some_and(|c| c.pool == 0);
        let mut columns: Vec<usize> = (0..width).filter(|&column| !constant(column)).collect();
        let mut slots = vec![None; width];
        columns.iter().enumerate().for_each(|(slot, &column)| slots[column] = Some(slot));
        columns.resize(columns.len().next_multiple_of(LANES), width - 1);
        Layout { slots, columns }
    }

    /// Groups of four columns.
    pub fn groups(&self) -> usize {
        self.columns.len() / LANES
    }

    /// Lanes per node.
    pub fn lanes(&self) -> usize {
        self.own(self.groups())
    }

    /// First of the lanes of a group.
    fn own(&self, group: usize) -> usize {
        (0..group).fold(1, |first, before| first + OWN + LANES * (self.groups() - 1 - before))
    }

    /// Place of the product of two internal columns among the numbers in the lanes.
    pub fn place(&self, i: usize, j: usize) -> usize {
        match (self.slots[i], self.slots[j]) {
            (None, None) => 0,
            (Some(slot), None) | (None, Some(slot)) => LANES * self.own(slot / LANES) + slot % LANES,
            (Some(i), Some(j)) => {
                let (i, j) = (i.min(j), i.max(j));
                let (first, second) = (i / LANES, j / LANES);
                let (i, j) = (i % LANES, j % LANES);
                let within = match second - first {
                    // turned by three places is turned back by one
                    0 if j - i == 3 => LANES + LANES + j,
                    0 => LANES + (j - i) * LANES + i,
                    ahead => (OWN + LANES * (ahead - 1) + i) * LANES + j,
                };
                LANES * self.own(first) + within
            }
        }
    }
}

/// Lanes of a group's own: sums, squares, products with the next column and with the next but one.
const OWN: usize = 4;

/// Four columns of a group with what makes them internal columns: v ↦ (v - location) · inverse.
#[derive(Debug, Clone, Copy)]
pub struct Quad<'a> {
    columns: [&'a [f64]; LANES],
    location: Lanes,
    inverse: Lanes,
}

impl<'a> Quad<'a> {
    /// The groups of a layout, read from the design's columns as they stand.
    pub fn of_design(layout: &Layout, design: &Design<'a>, basis: &Basis) -> Vec<Self> {
        let one = |column: usize| match basis.columns.get(column) {
            None => (design.y, basis.y.0, basis.y.1),
            Some(column) => (design.columns[column.pool - 1], column.location, column.scale),
        };
        let quad = |columns: &[usize]| {
            let parts: [(&'a [f64], f64, f64); LANES] = std::array::from_fn(|lane| one(columns[lane]));
            let (location, inverse) = (Lanes(parts.map(|part| part.1)), Lanes(parts.map(|part| 1.0 / part.2)));
            Quad { columns: parts.map(|part| part.0), location, inverse }
        };
        layout.columns.chunks_exact(LANES).map(quad).collect()
    }

    /// The groups of a layout over a block of `length` rows that holds internal columns one after the other.
    pub fn of_block(layout: &Layout, block: &'a [f64], length: usize) -> Vec<Self> {
        let quad = |columns: &[usize]| Quad {
            columns: std::array::from_fn(|lane| &block[columns[lane] * length..(columns[lane] + 1) * length]),
            location: Lanes::ZERO,
            inverse: Lanes::ONE,
        };
        layout.columns.chunks_exact(LANES).map(quad).collect()
    }

    #[inline(always)]
    fn within(&self, rows: &std::ops::Range<usize>) -> Self {
        Quad { columns: std::array::from_fn(|lane| &self.columns[lane][rows.start..rows.end]), ..*self }
    }

    #[inline(always)]
    fn at(&self, row: usize) -> Lanes {
        (Lanes(std::array::from_fn(|lane| self.columns[lane][row])) - self.location) * self.inverse
    }
}

/// Puts the products over the rows into `products` ([`Layout`]), or adds them to what is there.
#[inline(always)]
pub fn products<const ADD: bool>(quads: &[Quad], rows: std::ops::Range<usize>, products: &mut [[f64; LANES]]) {
    let Some((count, mut rest)) = products.split_first_mut() else { return };
    put::<ADD>(std::slice::from_mut(count), &[Lanes([rows.len() as f64, 0.0, 0.0, 0.0])]);
    for (first, quad) in quads.iter().enumerate() {
        let quad = quad.within(&rows);
        let (own, others) = rest.split_at_mut(OWN);
        put::<ADD>(own, &own_products(&quad, rows.len()));
        let (others, after) = others.split_at_mut(LANES * (quads.len() - 1 - first));
        for (second, sums) in quads[first + 1..].iter().zip(others.chunks_exact_mut(LANES)) {
            put::<ADD>(sums, &mixed_products(&quad, &second.within(&rows), rows.len()));
        }
        rest = after;
    }
}

#[inline(always)]
fn put<const ADD: bool>(sums: &mut [[f64; LANES]], parts: &[Lanes]) {
    sums.iter_mut().zip(parts).for_each(|(sum, &part)| *sum = if ADD { (Lanes(*sum) + part).0 } else { part.0 });
}

#[inline(always)]
fn own_products(quad: &Quad, rows: usize) -> [Lanes; OWN] {
    let quad = Quad { columns: quad.columns.map(|column| &column[..rows]), ..*quad };
    let (mut sum, mut squares, mut next, mut opposite) = (Lanes::ZERO, Lanes::ZERO, Lanes::ZERO, [0.0; 2]);
    for row in 0..rows {
        let v = quad.at(row);
        let [a, b, c, d] = v.0;
        sum += v;
        squares += v * v;
        next += v * Lanes([b, c, d, a]);
        opposite = [opposite[0] + a * c, opposite[1] + b * d];
    }
    [sum, squares, next, Lanes([opposite[0], opposite[1], 0.0, 0.0])]
}

#[inline(always)]
fn mixed_products(first: &Quad, second: &Quad, rows: usize) -> [Lanes; LANES] {
    let [first, second] = [first, second].map(|quad| Quad { columns: quad.columns.map(|column| &column[..rows]), ..*quad });
    let mut products = [Lanes::ZERO; LANES];
    for row in 0..rows {
        let right = second.at(row);
        products.iter_mut().zip(first.at(row).0).for_each(|(product, v)| *product += Lanes::splat(v) * right);
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::basis::BasisColumn;

    #[test]
    fn every_pair_of_columns_is_found_where_it_is_put() {
        for (width, whitened) in [(2, false), (5, false), (5, true), (6, false), (9, false), (14, true)] {
            // internal columns one after the other, the first the constant, y the last
            let rows = 7;
            let value = |row: usize, column: usize| if column == 0 { 1.0 } else { (1.0 + (row * 31 + column * 17) as f64).sin() };
            let block: Vec<f64> = (0..width).flat_map(|c| (0..rows).map(move |row| value(row, c))).collect();
            let columns = (0..width - 1).map(|pool| BasisColumn { pool, location: 0.0, scale: 1.0 }).collect();
            let basis = Basis { columns, x: Vec::new(), intercept: None, y: (0.0, 1.0), blocks: Vec::new() };
            let layout = Layout::new(&basis, whitened);
            let quads = Quad::of_block(&layout, &block, rows);
            let mut sums = vec![[f64::NAN; LANES]; layout.lanes()];
            products::<false>(&quads, 1..4, &mut sums);
            products::<true>(&quads, 4..rows, &mut sums);
            for (i, j) in (0..width).flat_map(|i| (0..width).map(move |j| (i, j))) {
                let wanted: f64 = (1..rows).map(|row| value(row, i) * value(row, j)).sum();
                let found = sums.as_flattened()[layout.place(i, j)];
                assert!((found - wanted).abs() < 1e-14, "{i}, {j} of {width}: {found} is not {wanted}");
            }
        }
    }
}
