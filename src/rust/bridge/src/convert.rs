//! The design list of R (design/0001-contract.md) as a core design that borrows R's vectors, and results as R lists.

use crate::lists::{Elements, Fields};
use extendr_api::prelude::*;
use ndarray::Array2;
use std::sync::Arc;
use wbhlm_core::covariance;
use wbhlm_core::design::{Design, Grouping, Term};
use wbhlm_core::error::CoreError;
use wbhlm_core::residual::{self, Identity, Input, Product, Residual};

/// A design that borrows the vectors of R's list.
pub struct DesignSource<'r> {
    design: Design<'r>,
    residual_known: bool,
}

/// An error of what R handed over.
pub fn wrong(what: &str) -> CoreError {
    CoreError::Design { what: what.to_string() }
}

/// The elements of an R list by name.
pub fn named<'r>(list: &'r Robj, what: &str) -> Result<Fields<'r>, CoreError> {
    Fields::of(list).ok_or_else(|| wrong(&format!("{what} must be a list")))
}

/// The elements of an R list.
pub fn items<'r>(list: Option<&'r Robj>, what: &str) -> Result<Elements<'r>, CoreError> {
    list.and_then(Elements::of).ok_or_else(|| wrong(&format!("{what} must be a list")))
}

/// The same, none where there is no list.
pub fn optional_items<'r>(list: Option<&'r Robj>, what: &str) -> Result<Elements<'r>, CoreError> {
    match present(list) {
        None => Ok(Elements::none()),
        list => items(list, what),
    }
}

/// A value that is there and not NULL.
pub fn present(value: Option<&Robj>) -> Option<&Robj> {
    value.filter(|v| !v.is_null())
}

/// Non-negative integers (integer or double vector).
pub fn indices(value: Option<&Robj>, what: &str) -> Result<Vec<usize>, CoreError> {
    let value = value.ok_or_else(|| wrong(&format!("{what} is missing")))?;
    if let Some(values) = value.as_integer_slice() {
        return values.iter().map(|&v| usize::try_from(v).map_err(|_| wrong(&format!("{what} is negative")))).collect();
    }
    let values = value.as_real_slice().ok_or_else(|| wrong(&format!("{what} must be whole numbers")))?;
    values
        .iter()
        .map(
            |&v| if v >= 0.0 && v.fract() == 0.0 { Ok(v as usize) } else { Err(wrong(&format!("{what} must be whole numbers"))) },
        )
        .collect()
}

fn doubles<'r>(value: &'r Robj, what: &str) -> Result<&'r [f64], CoreError> {
    value.as_real_slice().ok_or_else(|| wrong(&format!("{what} must be double")))
}

/// list(parts = list of list(name, time, unit, codes, levels), free = their free parameters or NULL), or NULL; the structure, and whether its
/// parameters are known.
fn residual_of(value: Option<&Robj>) -> Result<(Arc<dyn Residual>, bool), CoreError> {
    let Some(value) = present(value) else { return Ok((Arc::new(Identity), true)) };
    let fields = named(value, "the residual structure")?;
    let mut parts = Vec::new();
    for part in items(fields.get("parts"), "parts of the residual structure")?.iter() {
        let part = named(part, "a part of the residual structure")?;
        let name =
            part.get("name").and_then(Robj::as_str).ok_or_else(|| wrong("a part of the residual structure has no name"))?;
        let time = present(part.get("time")).map(|time| numbers(time, "time")).transpose()?.unwrap_or_default();
        let codes = match present(part.get("codes")) {
            None => Vec::new(),
            Some(codes) => codes.as_integer_slice().ok_or_else(|| wrong("codes of strata must be integer"))?.to_vec(),
        };
        let input = Input {
            time: &time,
            unit: part.get("unit").and_then(Robj::as_real).unwrap_or(1.0),
            shortest: part.get("shortest").or_else(|| part.get("unit")).and_then(Robj::as_real).unwrap_or(1.0),
            codes: &codes,
            n_levels: part.get("levels").map_or(0, Robj::len),
        };
        parts.push(residual::structure(name, &input)?);
    }
    let structure: Arc<dyn Residual> = match parts.len() {
        1 => parts.swap_remove(0),
        _ => Arc::new(Product::new(parts)?),
    };
    let Some(free) = present(fields.get("free")) else { return Ok((structure, false)) };
    let free = numbers(free, "free")?;
    if free.len() != structure.free().len() || free.iter().any(|f| !f.is_finite()) {
        return Err(wrong("the parameters of the residual structure do not fit it"));
    }
    Ok((structure.at(&free), true))
}

impl<'r> DesignSource<'r> {
    /// Reads the list; nothing is copied but indices.
    pub fn new(list: &'r Robj) -> Result<Self, CoreError> {
        let fields = named(list, "the design")?;
        let doubles = |name: &str| fields.doubles(name).ok_or_else(|| wrong(&format!("{name} must be double")));
        let optional = |name: &str| present(fields.get(name)).map(|_| doubles(name)).transpose();
        let mut groups = Vec::new();
        for group in
            fields.list("groups").and_then(|list| list.all_fields()).ok_or_else(|| wrong("groups must be a list of lists"))?
        {
            let codes = group.integers("codes").ok_or_else(|| wrong("group codes must be integer"))?;
            let n_levels = group.get("levels").map(Robj::len).ok_or_else(|| wrong("a group has no levels"))?;
            groups.push(Grouping { codes, n_levels });
        }
        let mut terms = Vec::new();
        for term in items(fields.get("terms"), "terms")?.iter() {
            let term = named(term, "a term")?;
            let group = indices(term.get("group"), "a term's group")?;
            let group = group.first().and_then(|g| g.checked_sub(1)).ok_or_else(|| wrong("a term's group must be 1 or more"))?;
            let name = term.get("structure").and_then(Robj::as_str).ok_or_else(|| wrong("a term has no structure"))?;
            terms.push(Term {
                group,
                columns: indices(term.get("columns"), "a term's columns")?,
                structure: covariance::structure(name)?,
            });
        }
        let (residual, residual_known) = residual_of(fields.get("residual"))?;
        let columns = fields.list("columns").and_then(|list| list.all_doubles());
        let design = Design {
            y: doubles("y")?,
            offset: optional("offset")?,
            weights: optional("weights")?,
            columns: columns.ok_or_else(|| wrong("columns must be a list of double vectors"))?,
            x: indices(fields.get("x"), "x")?,
            groups,
            terms,
            residual,
        };
        Ok(DesignSource { design, residual_known })
    }

    /// The design as the core sees it, everything but theta known.
    pub fn design(self) -> Result<Design<'r>, CoreError> {
        if !self.residual_known {
            let what = "what was asked for is not available for a model with a residual structure yet".to_string();
            return Err(CoreError::Covariance { what });
        }
        Ok(self.design)
    }

    /// The design of which the parameters of the residual structure may still have to be estimated.
    pub fn design_to_fit(self) -> Design<'r> {
        self.design
    }
}

/// A logical, with a name for the error.
pub fn flag(value: &Robj, what: &str) -> Result<bool, CoreError> {
    value.as_bool().ok_or_else(|| wrong(&format!("{what} must be TRUE or FALSE")))
}

/// A double vector as numbers.
pub fn numbers(value: &Robj, what: &str) -> Result<Vec<f64>, CoreError> {
    doubles(value, what).map(<[f64]>::to_vec)
}

/// A count of at least one.
pub fn count(value: Option<&Robj>, default: usize, what: &str) -> Result<usize, CoreError> {
    match present(value) {
        None => Ok(default),
        Some(value) => indices(Some(value), what)?
            .first()
            .copied()
            .filter(|&v| v > 0)
            .ok_or_else(|| wrong(&format!("{what} must be positive"))),
    }
}

/// A matrix in R's column-major order.
pub fn column_major(matrix: &Array2<f64>) -> Vec<f64> {
    matrix.t().iter().copied().collect()
}
