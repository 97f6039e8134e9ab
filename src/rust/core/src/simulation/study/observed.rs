//! What an analyst sees of a study: the rows that the model can use, and the parts of x computed from these rows, as `hlm()` does it (design/0001 and
//! R/disaggregate.R): first the rows, then persons' means, each person counting once in higher means.

use super::{Analysis, Data, Part, Product, Split, Study};

/// A value off its person's trend by less than this share of it is rounding.
const DUST: f64 = 64.0 * f64::EPSILON;

/// The rows analysed and their parts.
#[derive(Debug, Default)]
pub struct Observed {
    /// Outcome.
    pub y: Vec<f64>,
    /// Person of every row, from 1.
    pub person: Vec<i32>,
    /// Number of persons.
    pub persons: usize,
    /// Therapist of every row, from 1; empty where there are none.
    pub therapist: Vec<i32>,
    /// Number of therapists.
    pub therapists: usize,
    time: Vec<f64>,
    within: Vec<f64>,
    between: Vec<f64>,
    mean: Vec<f64>,
    moderator: Vec<f64>,
    before: Vec<f64>,
}

/// Means of one person's rows.
struct Line {
    level: f64,
    mean: f64,
    slope: f64,
    centre: f64,
}

impl Observed {
    /// Of the data of a study.
    pub fn new(study: &Study, analysis: &Analysis, data: &Data) -> Self {
        let splits = [Part::Within, Part::Between, Part::Therapist].iter().any(|&part| analysis.uses(part));
        let before = analysis.uses(Part::OutcomeBefore);
        let sessions = study.times.len();
        let first = (if splits { analysis.lag } else { 0 }).max(usize::from(before));
        let least = if splits && analysis.split == Split::Detrend { 2 } else { 1 };
        let mut out = Observed::default();
        let (mut lines, mut of_therapist) = (Vec::new(), Vec::new());
        let mut last_therapist = None;
        let mut rows = Vec::with_capacity(sessions);
        for patient in 0..study.patients {
            let (x, y) = (&data.x[patient * sessions..], &data.y[patient * sessions..]);
            let there = |&session: &usize| {
                !y[session].is_nan() && (!splits || !x[session - analysis.lag].is_nan()) && (!before || !y[session - 1].is_nan())
            };
            rows.clear();
            rows.extend((first..sessions).filter(there));
            if rows.len() < least {
                continue;
            }
            out.persons += 1;
            if let Some(&therapist) = data.therapist.get(patient) {
                if last_therapist != Some(therapist) {
                    out.therapists += 1;
                    last_therapist = Some(therapist);
                }
                of_therapist.push(out.therapists - 1);
            }
            let lagged = |session: usize| if splits { x[session - analysis.lag] } else { 0.0 };
            let line = Line::new(&rows, &study.times, lagged, analysis.split);
            for &session in &rows {
                out.y.push(y[session]);
                out.person.push(out.persons as i32);
                if !of_therapist.is_empty() {
                    out.therapist.push(out.therapists as i32);
                }
                out.time.push(study.times[session]);
                out.moderator.push(data.moderator[patient]);
                out.within.push(line.off(lagged(session), study.times[session], analysis.split));
                if before {
                    out.before.push(y[session - 1]);
                }
            }
            lines.push(line.level);
        }
        out.between(&lines, &of_therapist, analysis.uses(Part::Therapist));
        out
    }

    /// Levels of persons as deviations from the next level's mean, and therapists' means from the grand mean.
    fn between(&mut self, levels: &[f64], of_therapist: &[usize], chain: bool) {
        let grand = levels.iter().sum::<f64>() / levels.len() as f64;
        let (mut sums, mut counts) = (vec![0.0; self.therapists], vec![0.0; self.therapists]);
        for (&therapist, &level) in of_therapist.iter().zip(levels) {
            sums[therapist] += level;
            counts[therapist] += 1.0;
        }
        let means: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
        for (row, &person) in self.person.iter().enumerate() {
            let level = levels[person as usize - 1];
            let above = if chain { means[self.therapist[row] as usize - 1] } else { grand };
            self.between.push(level - above);
            self.mean.push(above - grand);
        }
    }

    /// The column of a product.
    pub fn column(&self, product: &Product) -> Vec<f64> {
        let mut out = vec![1.0; self.y.len()];
        for part in product {
            let values = match part {
                Part::Time => &self.time,
                Part::Within => &self.within,
                Part::Between => &self.between,
                Part::Therapist => &self.mean,
                Part::Moderator => &self.moderator,
                Part::OutcomeBefore => &self.before,
            };
            out.iter_mut().zip(values).for_each(|(o, v)| *o *= v);
        }
        out
    }
}

impl Line {
    fn new(rows: &[usize], times: &[f64], x: impl Fn(usize) -> f64, split: Split) -> Self {
        let n = rows.len() as f64;
        let mean = rows.iter().map(|&row| x(row)).sum::<f64>() / n;
        if split == Split::Mean {
            return Line { level: mean, mean, slope: 0.0, centre: 0.0 };
        }
        let centre = rows.iter().map(|&row| times[row]).sum::<f64>() / n;
        let (mut cross, mut square) = (0.0, 0.0);
        for &row in rows {
            let s = times[row] - centre;
            cross += s * (x(row) - mean);
            square += s * s;
        }
        let slope = cross / square;
        Line { level: mean - slope * centre, mean, slope, centre }
    }

    fn off(&self, x: f64, time: f64, split: Split) -> f64 {
        let s = time - self.centre;
        let out = x - (self.mean + self.slope * s);
        let size = x.abs() + self.mean.abs() + (self.slope * s).abs();
        if split == Split::Detrend && out.abs() <= DUST * size {
            return 0.0;
        }
        out
    }
}
