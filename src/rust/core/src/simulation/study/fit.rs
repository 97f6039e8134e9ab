//! The model of an analysis fitted to one study.

use std::sync::atomic::AtomicBool;

use super::observed::Observed;
use super::{Analysis, Data, Group, Product, RandomTerm, Studied, Study};
use crate::design::{Design, Grouping, Term};
use crate::error::Result;
use crate::fit::Prepared;
use crate::replicates::identified;
use crate::residual::Identity;
use crate::simulation::refit_many::{fit_linear, fit_reduced, fit_tested};
use crate::simulation::{Options, Tested};
use std::sync::Arc;

/// Columns by what they are the product of.
#[derive(Default)]
struct Pool {
    products: Vec<Product>,
    values: Vec<Vec<f64>>,
}

impl Pool {
    /// Pool index of a product: 0 is the constant.
    fn index(&mut self, product: &Product, observed: &Observed) -> usize {
        if product.is_empty() {
            return 0;
        }
        let mut sorted = product.clone();
        sorted.sort_unstable();
        let known = self.products.iter().position(|other| *other == sorted);
        1 + known.unwrap_or_else(|| {
            self.values.push(observed.column(&sorted));
            self.products.push(sorted);
            self.products.len() - 1
        })
    }

    /// Columns without correlations are terms of their own, as `hlm()` expands `||`: the search is then the same to the last digit.
    fn terms(&mut self, terms: &[RandomTerm], observed: &Observed) -> Vec<Term> {
        let mut out = Vec::new();
        for term in terms {
            let columns: Vec<usize> = term.columns.iter().map(|product| self.index(product, observed)).collect();
            let width = if term.structure.name() == "diagonal" { 1 } else { columns.len() };
            out.extend(columns.chunks(width.max(1)).map(|columns| Term {
                group: usize::from(term.group == Group::Therapist),
                columns: columns.to_vec(),
                structure: term.structure.clone(),
            }));
        }
        out
    }
}

/// Fits the data of one study. A study in which a coefficient cannot be told from others, or for whose random effects there are too few rows, is
/// unidentified.
///
/// # Errors
/// Those of the fit that are not of the data.
pub fn fit(study: &Study, analysis: &Analysis, data: &Data, options: &Options, stop: &AtomicBool) -> Result<Studied> {
    let observed = Observed::new(study, analysis, data);
    let found = |tested| Studied { tested, rows: observed.y.len(), persons: observed.persons, therapists: observed.therapists };
    let nothing = || found(Tested::unidentified(analysis.reduced.len()));
    if observed.y.is_empty() {
        return Ok(nothing());
    }
    let mut pool = Pool::default();
    let x: Vec<usize> = analysis.fixed.iter().map(|product| pool.index(product, &observed)).collect();
    let terms = pool.terms(&analysis.random, &observed);
    let reduced: Vec<Vec<Term>> = analysis.reduced.iter().map(|terms| pool.terms(terms, &observed)).collect();
    let mut groups = vec![Grouping { codes: &observed.person, n_levels: observed.persons }];
    if study.therapists > 0 {
        groups.push(Grouping { codes: &observed.therapist, n_levels: observed.therapists });
    }
    let design = Design {
        y: &observed.y,
        offset: None,
        weights: None,
        columns: pool.values.iter().map(Vec::as_slice).collect(),
        x,
        groups,
        terms,
        residual: Arc::new(Identity),
    };
    if !estimable(&design) {
        return Ok(nothing());
    }
    let Some(prepared) = identified(Prepared::new(&design, analysis.reml, stop))? else { return Ok(nothing()) };
    if !prepared.statistics.dropped.is_empty() {
        return Ok(nothing());
    }
    let mut tested = fit_tested(&prepared, options, None, reduced.len())?;
    for (k, terms) in reduced.into_iter().enumerate() {
        tested.reduced[k] = match terms.is_empty() {
            true => fit_linear(&prepared)?,
            false => {
                let smaller = Design { terms, ..design.clone() };
                match identified(Prepared::new(&smaller, analysis.reml, stop))?.filter(|_| estimable(&smaller)) {
                    Some(prepared) => fit_reduced(&prepared, &options.control)?,
                    None => continue,
                }
            }
        };
    }
    Ok(found(tested))
}

/// What `hlm()` asks of the random effects of a model (R/checks.R): several groups, fewer of them, and fewer effects of a term, than rows, and no slope of a
/// predictor that is zero throughout.
fn estimable(design: &Design) -> bool {
    design.terms.iter().all(|term| {
        let levels = design.groups[term.group].n_levels;
        let zero = |&column: &usize| column > 0 && design.columns[column - 1].iter().all(|&v| v == 0.0);
        levels > 1 && term.columns.len() * levels < design.n() && !term.columns.iter().any(zero)
    })
}
