//! A study and its analysis as R lists (design/0011), read into the core's structures.

use crate::convert::{count, flag, indices, items, named, numbers, optional_items, wrong};
use crate::lists::Fields;
use extendr_api::prelude::*;
use wbhlm_core::covariance;
use wbhlm_core::error::CoreError;
use wbhlm_core::simulation::study::{
    Analysis, Group, Moderator, Part, Predictor, Product, RandomEffects, RandomTerm, Split, Study,
};

fn number(fields: &Fields, name: &str) -> Result<f64, CoreError> {
    let value = fields.get(name).and_then(|v| v.as_real().or_else(|| v.as_integer().map(f64::from)));
    value.filter(|v| v.is_finite()).ok_or_else(|| wrong(&format!("{name} must be a number")))
}

fn whole(fields: &Fields, name: &str) -> Result<usize, CoreError> {
    indices(fields.get(name), name)?.first().copied().ok_or_else(|| wrong(&format!("{name} must be a whole number")))
}

fn text<'f>(fields: &'f Fields<'_>, name: &str) -> Result<&'f str, CoreError> {
    fields.get(name).and_then(Robj::as_str).ok_or_else(|| wrong(&format!("{name} must be text")))
}

fn product(value: &Robj) -> Result<Product, CoreError> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let parts = value.as_str_vector().ok_or_else(|| wrong("parts must be text"))?;
    parts.into_iter().map(Part::named).collect()
}

fn products(value: Option<&Robj>, what: &str) -> Result<Vec<Product>, CoreError> {
    items(value, what)?.iter().map(product).collect()
}

fn group(fields: &Fields) -> Result<Group, CoreError> {
    match text(fields, "group")? {
        "patient" => Ok(Group::Patient),
        "therapist" => Ok(Group::Therapist),
        other => Err(wrong(&format!("there is no group \"{other}\""))),
    }
}

pub fn study(list: &Robj) -> Result<Study, CoreError> {
    let fields = named(list, "the study")?;
    let x = named(fields.get("x").ok_or_else(|| wrong("x is missing"))?, "x")?;
    let residual = named(fields.get("residual").ok_or_else(|| wrong("residual is missing"))?, "residual")?;
    let vector = |name: &str| numbers(fields.get(name).ok_or_else(|| wrong(&format!("{name} is missing")))?, name);
    let fixed = items(fields.get("fixed"), "fixed")?
        .iter()
        .map(|effect| {
            let effect = named(effect, "a fixed effect")?;
            Ok((product(effect.get("parts").unwrap_or(&Robj::from(())))?, number(&effect, "value")?))
        })
        .collect::<Result<_, CoreError>>()?;
    let random = items(fields.get("random"), "random")?.iter().map(random_effects).collect::<Result<_, CoreError>>()?;
    Ok(Study {
        patients: count(fields.get("patients"), 1, "patients")?,
        therapists: whole(&fields, "therapists")?,
        times: vector("times")?,
        x: Predictor {
            sd_within: number(&x, "sd_within")?,
            sd_between: number(&x, "sd_between")?,
            sd_therapist: number(&x, "sd_therapist")?,
            trend: number(&x, "trend")?,
            trend_sd: number(&x, "trend_sd")?,
            ar: number(&x, "ar")?,
            error_sd: number(&x, "error_sd")?,
        },
        moderator: moderator(fields.get("moderator"))?,
        dropout: vector("dropout")?,
        dropout_y: number(&fields, "dropout_y")?,
        missing: number(&fields, "missing")?,
        lag: whole(&fields, "lag")?,
        fixed,
        random,
        residual_sd: number(&residual, "sd")?,
        residual_ar: number(&residual, "ar")?,
    })
}

fn moderator(value: Option<&Robj>) -> Result<Moderator, CoreError> {
    let fields = named(value.ok_or_else(|| wrong("moderator is missing"))?, "moderator")?;
    match text(&fields, "kind")? {
        "none" => Ok(Moderator::None),
        "normal" => Ok(Moderator::Normal),
        "binary" => Ok(Moderator::Binary {
            share: number(&fields, "share")?,
            low: number(&fields, "low")?,
            high: number(&fields, "high")?,
        }),
        other => Err(wrong(&format!("there is no moderator of kind \"{other}\""))),
    }
}

fn random_effects(list: &Robj) -> Result<RandomEffects, CoreError> {
    let fields = named(list, "random effects")?;
    let columns = products(fields.get("columns"), "columns")?;
    let root = numbers(fields.get("root").ok_or_else(|| wrong("root is missing"))?, "root")?;
    let q = columns.len();
    if root.len() != q * q {
        return Err(wrong("the root of a covariance matrix does not fit its columns"));
    }
    let by_row = (0..q * q).map(|e| root[e % q * q + e / q]).collect();
    Ok(RandomEffects { group: group(&fields)?, columns, root: by_row })
}

pub fn analysis(list: &Robj) -> Result<Analysis, CoreError> {
    let fields = named(list, "the analysis")?;
    let split = match text(&fields, "split")? {
        "mean" => Split::Mean,
        "detrend" => Split::Detrend,
        other => return Err(wrong(&format!("there is no split \"{other}\""))),
    };
    Ok(Analysis {
        split,
        lag: whole(&fields, "lag")?,
        fixed: products(fields.get("fixed"), "fixed")?,
        random: terms(fields.get("random"))?,
        reml: flag(fields.get("reml").ok_or_else(|| wrong("reml is missing"))?, "reml")?,
        reduced: optional_items(fields.get("reduced"), "reduced")?
            .iter()
            .map(|list| terms(Some(list)))
            .collect::<Result<_, CoreError>>()?,
    })
}

fn terms(list: Option<&Robj>) -> Result<Vec<RandomTerm>, CoreError> {
    let term = |list: &Robj| {
        let fields = named(list, "a random-effect term")?;
        let structure = covariance::structure(text(&fields, "structure")?)?;
        Ok(RandomTerm { group: group(&fields)?, columns: products(fields.get("columns"), "columns")?, structure })
    };
    items(list, "random")?.iter().map(term).collect()
}
