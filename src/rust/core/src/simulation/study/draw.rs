//! The data of one study.

use super::{Group, Moderator, Part, Product, RandomEffects, Study};
use crate::bootstrap::rng::Random;

/// One row per patient and planned session, patient by patient; x and y are not a number where a session did not take place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Data {
    /// Therapist of every patient, from 0; empty where there are none.
    pub therapist: Vec<u32>,
    /// Moderator of every patient.
    pub moderator: Vec<f64>,
    /// Predictor as observed.
    pub x: Vec<f64>,
    /// Outcome.
    pub y: Vec<f64>,
    /// True time, within (`lag` sessions before), between, therapist and moderator of every row.
    parts: Vec<[f64; 5]>,
}

/// Draws one study into `data`.
pub fn draw(study: &Study, random: &mut Random, data: &mut Data) {
    let (n, sessions) = (study.patients, study.times.len());
    data.therapist.clear();
    if study.therapists > 0 {
        // ⌈iK/n⌉ for i = 1..n, counted from 0
        data.therapist.extend((1..=n).map(|i| ((i * study.therapists).div_ceil(n) - 1) as u32));
    }
    for values in [&mut data.x, &mut data.y] {
        values.clear();
        values.resize(n * sessions, 0.0);
    }
    moderators(study, random, &mut data.moderator);
    let therapists: Vec<f64> = (0..study.therapists).map(|_| study.x.sd_therapist * random.normal()).collect();
    predictors(study, &therapists, random, data);
    outcomes(study, random, data);
    absences(study, random, data);
}

fn moderators(study: &Study, random: &mut Random, out: &mut Vec<f64>) {
    let n = study.patients;
    out.clear();
    match study.moderator {
        Moderator::None => out.resize(n, 0.0),
        Moderator::Normal => out.extend((0..n).map(|_| random.normal())),
        Moderator::Binary { share, low, high } => {
            let count = (share * n as f64).round() as usize;
            out.extend((0..n).map(|i| if (i + 1) * count / n > i * count / n { high } else { low }));
        }
    }
}

/// x as observed, and the true parts of every row: time, within, between, therapist, moderator.
fn predictors(study: &Study, therapists: &[f64], random: &mut Random, data: &mut Data) {
    let (x, sessions, lag) = (&study.x, study.times.len(), study.lag);
    let centre = study.times.iter().sum::<f64>() / sessions as f64;
    data.parts.clear();
    let mut deviations = vec![0.0; sessions + lag];
    for patient in 0..study.patients {
        let therapist = data.therapist.get(patient).map_or(0.0, |&k| therapists[k as usize]);
        let between = x.sd_between * random.normal();
        let trend = x.trend + x.trend_sd * random.normal();
        series(x.sd_within, x.ar, random, &mut deviations);
        for (session, &time) in study.times.iter().enumerate() {
            let truth = therapist + between + trend * (time - centre) + deviations[session + lag];
            data.x[patient * sessions + session] = truth + x.error_sd * random.normal();
            data.parts.push([time, deviations[session], between, therapist, data.moderator[patient]]);
        }
    }
}

/// A stationary series of order 1.
fn series(sd: f64, ar: f64, random: &mut Random, out: &mut [f64]) {
    let innovation = sd * (1.0 - ar * ar).sqrt();
    let mut last = 0.0;
    for (k, value) in out.iter_mut().enumerate() {
        last = if k == 0 { sd * random.normal() } else { ar * last + innovation * random.normal() };
        *value = last;
    }
}

fn product(parts: &[f64; 5], product: &Product) -> f64 {
    let value = |part: &Part| match part {
        Part::Time => parts[0],
        Part::Within => parts[1],
        Part::Between => parts[2],
        Part::Therapist => parts[3],
        Part::Moderator | Part::OutcomeBefore => parts[4],
    };
    product.iter().map(value).product()
}

fn outcomes(study: &Study, random: &mut Random, data: &mut Data) {
    let sessions = study.times.len();
    for (y, parts) in data.y.iter_mut().zip(&data.parts) {
        *y = study.fixed.iter().map(|(columns, value)| value * product(parts, columns)).sum();
    }
    for effects in &study.random {
        let q = effects.columns.len();
        let groups = if effects.group == Group::Therapist { study.therapists } else { study.patients };
        let b = random_effects(effects, groups, random);
        for (row, (y, parts)) in data.y.iter_mut().zip(&data.parts).enumerate() {
            let patient = row / sessions;
            let group = if effects.group == Group::Therapist { data.therapist[patient] as usize } else { patient };
            let own = &b[group * q..(group + 1) * q];
            *y += effects.columns.iter().zip(own).map(|(columns, b)| b * product(parts, columns)).sum::<f64>();
        }
    }
    let mut residuals = vec![0.0; sessions];
    for own in data.y.chunks_exact_mut(sessions) {
        series(study.residual_sd, study.residual_ar, random, &mut residuals);
        own.iter_mut().zip(&residuals).for_each(|(y, residual)| *y += residual);
    }
}

/// groups × q draws from N(0, LL').
fn random_effects(effects: &RandomEffects, groups: usize, random: &mut Random) -> Vec<f64> {
    let q = effects.columns.len();
    let mut u = vec![0.0; q];
    let mut b = vec![0.0; groups * q];
    for own in b.chunks_exact_mut(q) {
        u.iter_mut().for_each(|v| *v = random.normal());
        for (i, value) in own.iter_mut().enumerate() {
            *value = (0..=i).map(|k| effects.root[i * q + k] * u[k]).sum();
        }
    }
    b
}

/// Sessions that are missed one by one, and those after dropping out. Dropout depends on outcomes that were observed, so that it is missing at
/// random; the last of them is compared with what all persons would have had in that session.
fn absences(study: &Study, random: &mut Random, data: &mut Data) {
    let sessions = study.times.len();
    if study.missing == 0.0 && study.dropout.iter().all(|&h| h == 0.0) {
        return;
    }
    let scale: Vec<(f64, f64)> = match study.dropout_y == 0.0 {
        true => Vec::new(),
        false => (0..sessions).map(|session| spread(&data.y, session, sessions)).collect(),
    };
    for patient in 0..study.patients {
        let (mut gone, mut last) = (false, None);
        for session in 0..sessions {
            let row = patient * sessions + session;
            gone = gone || random.uniform() < hazard(study.dropout[session], last.unwrap_or(0.0));
            let missed = random.uniform() < study.missing;
            if gone || missed {
                data.x[row] = f64::NAN;
                data.y[row] = f64::NAN;
            } else if let Some(&(mean, sd)) = scale.get(session) {
                last = Some(if sd > 0.0 { study.dropout_y * (data.y[row] - mean) / sd } else { 0.0 });
            }
        }
    }
}

/// The hazard with its log-odds moved.
fn hazard(hazard: f64, shift: f64) -> f64 {
    if shift == 0.0 || hazard <= 0.0 || hazard >= 1.0 {
        return hazard;
    }
    1.0 / (1.0 + (1.0 - hazard) / hazard * (-shift).exp())
}

fn spread(y: &[f64], session: usize, sessions: usize) -> (f64, f64) {
    let values = || y.iter().skip(session).step_by(sessions);
    let n = values().count() as f64;
    let mean = values().sum::<f64>() / n;
    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}
