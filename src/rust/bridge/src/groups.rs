//! Group codes and sums by group: the two passes over the rows that every model needs.

use crate::condition::guard;
use crate::hashing::{CodeMap, Dense, Hashed};
use crate::lists::Writer;
use crate::vectors::{integer_vector, string_pointers};
use extendr_api::prelude::*;
use extendr_ffi::{LENGTH, R_CHAR, SEXP};
use std::collections::HashMap;
use std::os::raw::{c_int, c_void};
use wbhlm_core::error::CoreError;

/// Codes 1..J in order of first appearance; missing values get code 0.
///
/// `x`: integer (factor codes too), double or character. Two strings are one group when they are the same text, however
/// each is encoded. Returns list(codes, first), `first` being the row where each group appears first.
#[extendr]
fn group_codes(x: Robj) -> Robj {
    guard(|| {
        let mut codes = integer_vector(x.len())?;
        let out = codes.as_integer_slice_mut().unwrap_or_default();
        let first = if let Some(values) = x.as_integer_slice() {
            code_integers(values, out)
        } else if let Some(values) = x.as_real_slice() {
            code_doubles(values, out)
        } else if let Some(values) = string_pointers(&x) {
            code_strings(values, out)
        } else {
            return Err(CoreError::Data { what: "a grouping variable must be a number, a text or a factor".to_string() });
        };
        Ok(Writer::new(2).object("codes", codes).integers("first", first.into_iter()).done())
    })
}

/// Sums and counts of the non-missing values of `x` (integer or double) by group.
///
/// `codes`: 1..n_groups, 0 or NA where the group is unknown (the row is skipped). Sums carry a compensation term (Neumaier 1974,
/// Z Angew Math Mech 54:39), so that they are right to the last digit or so at 10^6 rows. Returns list(sum, count).
#[extendr]
fn group_sums(x: Robj, codes: Robj, n_groups: Robj) -> Robj {
    guard(|| {
        let wrong = |what: &str| CoreError::Design { what: format!("group_sums: {what}") };
        let codes = codes.as_integer_slice().ok_or_else(|| wrong("`codes` must be integer"))?;
        let n_groups = n_groups.as_integer().filter(|&n| n >= 0).ok_or_else(|| wrong("`n_groups` must be a count"))?;
        if codes.len() != x.len() {
            return Err(wrong(&format!("{} values but {} codes", x.len(), codes.len())));
        }
        let groups = n_groups as usize;
        let sums = if let Some(values) = x.as_real_slice() {
            sum_by_group(values, codes, groups, |v| (!v.is_nan()).then_some(v))
        } else if let Some(values) = x.as_integer_slice() {
            sum_by_group(values, codes, groups, |v| (v != i32::MIN).then_some(f64::from(v)))
        } else {
            return Err(CoreError::Data { what: "only numbers can be summed by group".to_string() });
        };
        let sums = sums.ok_or_else(|| wrong(&format!("a code is not within 0 and {n_groups}")))?;
        let totals: Vec<f64> = sums.iter().map(|group| group.total()).collect();
        Ok(Writer::new(2).doubles("sum", &totals).integers("count", sums.iter().map(|group| group.count)).done())
    })
}

/// One pass: a row like the row before it takes its code without a look-up, so sorted ids cost a comparison each.
fn code_runs<V: Copy>(values: &[V], codes: &mut [i32], key: impl Fn(V) -> Option<u64>, mut map: impl CodeMap) -> Vec<i32> {
    let mut first = Vec::new();
    let mut previous = None;
    let mut code = 0;
    for (row, (&value, out)) in values.iter().zip(codes.iter_mut()).enumerate() {
        let this = key(value);
        if this != previous {
            previous = this;
            code = match this {
                None => 0,
                Some(this) => {
                    let next = first.len() as i32 + 1;
                    let found = map.code(this, next);
                    if found == next {
                        first.push(row as i32 + 1);
                    }
                    found
                }
            };
        }
        *out = code;
    }
    first
}

fn code_integers(values: &[i32], codes: &mut [i32]) -> Vec<i32> {
    // NA_integer_ is the smallest integer
    let number = |v: i32| (v != i32::MIN).then_some(i64::from(v));
    match small_range(values.iter().filter_map(|&v| number(v)), values.len()) {
        Some((low, size)) => code_runs(values, codes, |v| number(v).map(|v| (v - low) as u64), Dense::new(size)),
        None => code_runs(values, codes, |v| number(v).map(|v| v as u64), Hashed::new()),
    }
}

fn code_doubles(values: &[f64], codes: &mut [i32]) -> Vec<i32> {
    // ids read from a file are often whole numbers stored as doubles
    let number = |v: f64| (!v.is_nan()).then_some(v as i64);
    let whole = values.iter().all(|&v| v.is_nan() || (v.abs() < 4e9 && v == v.trunc()));
    let range = if whole { small_range(values.iter().filter_map(|&v| number(v)), values.len()) } else { None };
    match range {
        Some((low, size)) => code_runs(values, codes, |v| number(v).map(|v| (v - low) as u64), Dense::new(size)),
        // adding 0 turns -0 into 0: the two are one group
        None => code_runs(values, codes, |v| (!v.is_nan()).then(|| (v + 0.0).to_bits()), Hashed::new()),
    }
}

/// The lowest number and the length of the range, when a table of that length is no larger than a few columns.
fn small_range(numbers: impl Iterator<Item = i64>, rows: usize) -> Option<(i64, usize)> {
    let (low, high) = numbers.fold((i64::MAX, i64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return Some((0, 0));
    }
    let size = (high - low + 1) as usize;
    (size <= 4 * rows + 1024).then_some((low, size))
}

fn code_strings(values: &[SEXP], codes: &mut [i32]) -> Vec<i32> {
    // SAFETY: R's missing string is a constant once R has started
    let missing = unsafe { extendr_ffi::R_NaString } as u64;
    let key = |v: SEXP| Some(v as u64).filter(|&pointer| pointer != missing);
    let first = code_runs(values, codes, key, Hashed::new());
    merge_encodings(values, codes, first)
}

/// R keeps one copy of each string and encoding, so equal pointers are equal texts, but one text may have two pointers.
fn merge_encodings(values: &[SEXP], codes: &mut [i32], first: Vec<i32>) -> Vec<i32> {
    let texts: Vec<Vec<u8>> = first.iter().map(|&row| text_key(values[row as usize - 1])).collect();
    if texts.iter().all(|text| text.is_ascii()) {
        return first;
    }
    let (mut seen, mut merged, mut recode) = (HashMap::new(), Vec::new(), vec![0]);
    for (text, row) in texts.into_iter().zip(&first) {
        let code = *seen.entry(text).or_insert_with(|| {
            merged.push(*row);
            merged.len() as i32
        });
        recode.push(code);
    }
    if merged.len() < first.len() {
        for code in codes.iter_mut() {
            *code = recode[*code as usize];
        }
    }
    merged
}

extern "C" {
    #[link_name = "Rf_getCharCE"]
    fn get_char_encoding(x: *mut c_void) -> c_int;
}

/// The bytes of a string in UTF-8, where R says how it is encoded.
fn text_key(x: SEXP) -> Vec<u8> {
    const LATIN1: c_int = 2;
    // SAFETY: `x` is an element of a live character vector; neither function allocates or jumps
    let (bytes, encoding) =
        unsafe { (std::slice::from_raw_parts(R_CHAR(x).cast::<u8>(), LENGTH(x) as usize), get_char_encoding(x.cast())) };
    if encoding == LATIN1 {
        bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes()
    } else {
        bytes.to_vec()
    }
}

/// A compensated running sum.
#[derive(Clone, Copy, Default)]
struct Sum {
    plain: f64,
    lost: f64,
    count: i32,
}

impl Sum {
    #[inline]
    fn add(&mut self, value: f64) {
        // the two-sum of Knuth: branch-free, exact whichever term is larger
        let total = self.plain + value;
        let shadow = total - self.plain;
        self.lost += (self.plain - (total - shadow)) + (value - shadow);
        self.plain = total;
        self.count += 1;
    }

    fn total(&self) -> f64 {
        // with an infinite value the lost part is not a number, and the plain sum is right
        if self.lost.is_finite() {
            self.plain + self.lost
        } else {
            self.plain
        }
    }
}

/// `None` when a code is out of range.
fn sum_by_group<V: Copy>(values: &[V], codes: &[i32], groups: usize, number: impl Fn(V) -> Option<f64>) -> Option<Vec<Sum>> {
    let mut sums = vec![Sum::default(); groups];
    for (&value, &code) in values.iter().zip(codes) {
        if code == 0 || code == i32::MIN {
            continue;
        }
        let sum = sums.get_mut((code as usize).wrapping_sub(1))?;
        if let Some(number) = number(value) {
            sum.add(number);
        }
    }
    Some(sums)
}

/// Whether every value is known and finite: of a double vector, or of every vector of a list. FALSE also where a vector is neither double nor integer, which
/// R must look at itself.
#[extendr]
fn all_finite(x: Robj) -> Robj {
    guard(|| {
        let clean = match x.as_list() {
            Some(list) => list.values().all(|column| is_finite(&column)),
            None => is_finite(&x),
        };
        Ok(Robj::from(clean))
    })
}

fn is_finite(x: &Robj) -> bool {
    // an exponent of all ones is that of Inf, NaN and NA; counted without branches, so that the compiler can use vectors
    let exponent = f64::INFINITY.to_bits();
    let clean = |part: &[f64]| !part.iter().fold(false, |bad, v| bad | (v.to_bits() & exponent == exponent));
    match (x.as_real_slice(), x.as_integer_slice()) {
        (Some(values), _) => values.chunks(4096).all(clean),
        (None, Some(values)) => values.chunks(4096).all(|part| !part.iter().fold(false, |bad, &v| bad | (v == i32::MIN))),
        (None, None) => false,
    }
}

extendr_module! {
    mod groups;
    fn group_codes;
    fn group_sums;
    fn all_finite;
}
