//! R lists as small models need them: read without claiming each element, and written element by element.
//!
//! An owned `Robj` costs two look-ups in a table of all objects that extendr keeps alive, which for the many small parts of a design and its
//! estimates takes as long as a small fit. What is part of a list is kept alive by the list.

use extendr_api::prelude::*;
use extendr_ffi::{
    cetype_t, R_NamesSymbol, Rf_allocVector, Rf_getAttrib, Rf_mkCharLenCE, Rf_setAttrib, Rf_xlength, INTEGER, REAL, R_CHAR,
    SET_STRING_ELT, SET_VECTOR_ELT, SEXP, SEXPTYPE, STRING_ELT, TYPEOF, VECTOR_ELT,
};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::c_int;

/// The elements of an R list, which keeps them alive.
pub struct Elements<'r> {
    pointers: Vec<SEXP>,
    list: PhantomData<&'r Robj>,
}

impl<'r> Elements<'r> {
    /// `None` for anything but a list.
    pub fn of(list: &'r Robj) -> Option<Self> {
        // SAFETY: the list lives for 'r
        unsafe { Self::of_sexp(list.get()) }
    }

    /// # Safety
    /// On the R thread; the list must live for `'r`.
    unsafe fn of_sexp(list: SEXP) -> Option<Self> {
        if TYPEOF(list) != SEXPTYPE::VECSXP {
            return None;
        }
        let pointers = (0..Rf_xlength(list)).map(|i| VECTOR_ELT(list, i)).collect();
        Some(Elements { pointers, list: PhantomData })
    }

    /// No elements.
    pub fn none() -> Self {
        Elements { pointers: Vec::new(), list: PhantomData }
    }

    /// The elements.
    pub fn iter(&self) -> std::slice::Iter<'_, Robj> {
        self.as_slice().iter()
    }

    fn as_slice(&self) -> &[Robj] {
        // SAFETY: an Robj is a transparent SEXP, and a reference to one neither claims nor releases the object
        unsafe { std::slice::from_raw_parts(self.pointers.as_ptr().cast::<Robj>(), self.pointers.len()) }
    }

    /// Every element as a list with names, `None` where one is something else.
    pub fn all_fields(&self) -> Option<Vec<Fields<'r>>> {
        // SAFETY: an element lives as long as the list
        self.pointers.iter().map(|&pointer| unsafe { Fields::of_sexp(pointer) }).collect()
    }

    /// Numbers of an element for as long as the list lives.
    fn doubles(&self, index: usize) -> Option<&'r [f64]> {
        let values = self.as_slice()[index].as_real_slice()?;
        // SAFETY: they belong to the element, which the list keeps alive for 'r
        Some(unsafe { std::slice::from_raw_parts(values.as_ptr(), values.len()) })
    }

    /// Integers of an element for as long as the list lives.
    fn integers(&self, index: usize) -> Option<&'r [i32]> {
        let values = self.as_slice()[index].as_integer_slice()?;
        // SAFETY: as above
        Some(unsafe { std::slice::from_raw_parts(values.as_ptr(), values.len()) })
    }

    /// All elements as numbers, `None` where one is something else.
    pub fn all_doubles(&self) -> Option<Vec<&'r [f64]>> {
        (0..self.pointers.len()).map(|i| self.doubles(i)).collect()
    }
}

/// The elements of an R list by name. They are few: looking through them is quicker than hashing their names.
pub struct Fields<'r> {
    names: Vec<&'r str>,
    elements: Elements<'r>,
}

impl<'r> Fields<'r> {
    /// `None` for anything but a list; elements without a name are not found.
    pub fn of(list: &'r Robj) -> Option<Self> {
        // SAFETY: the list lives for 'r
        unsafe { Self::of_sexp(list.get()) }
    }

    /// # Safety
    /// On the R thread; the list must live for `'r`, and its names with it.
    unsafe fn of_sexp(list: SEXP) -> Option<Self> {
        let elements = Elements::of_sexp(list)?;
        let names = Rf_getAttrib(list, R_NamesSymbol);
        let n = if TYPEOF(names) == SEXPTYPE::STRSXP { Rf_xlength(names) } else { 0 };
        let names = (0..n).map(|i| CStr::from_ptr(R_CHAR(STRING_ELT(names, i))).to_str().unwrap_or_default()).collect();
        Some(Fields { names, elements })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|&known| known == name)
    }

    /// The first element of that name.
    pub fn get(&self, name: &str) -> Option<&Robj> {
        self.place(name).map(|place| &self.elements.as_slice()[place])
    }

    /// Its elements; `None` where it is no list.
    pub fn list(&self, name: &str) -> Option<Elements<'r>> {
        // SAFETY: it lives as long as this list
        self.place(name).and_then(|place| unsafe { Elements::of_sexp(self.elements.pointers[place]) })
    }

    /// Its numbers; `None` where it is no double vector.
    pub fn doubles(&self, name: &str) -> Option<&'r [f64]> {
        self.place(name).and_then(|place| self.elements.doubles(place))
    }

    /// Its integers; `None` where it is no integer vector.
    pub fn integers(&self, name: &str) -> Option<&'r [i32]> {
        self.place(name).and_then(|place| self.elements.integers(place))
    }
}

/// A named list being written.
pub struct Writer {
    list: Robj,
    names: Robj,
    written: isize,
}

impl Writer {
    /// A list of `n` elements, all NULL.
    pub fn new(n: usize) -> Self {
        // SAFETY: on the R thread; each vector is protected before the next allocation
        single_threaded(|| unsafe {
            let list = Robj::from_sexp(Rf_allocVector(SEXPTYPE::VECSXP, n as isize));
            let names = Robj::from_sexp(Rf_allocVector(SEXPTYPE::STRSXP, n as isize));
            Rf_setAttrib(list.get(), R_NamesSymbol, names.get());
            Writer { list, names, written: 0 }
        })
    }

    /// The next element, any R object.
    pub fn object(self, name: &str, value: impl Into<Robj>) -> Self {
        let value: Robj = value.into();
        // SAFETY: `value` is alive, and lives on in the list
        self.put(name, || unsafe { value.get() })
    }

    /// The next element, a double vector.
    pub fn doubles(self, name: &str, values: &[f64]) -> Self {
        // SAFETY: nothing is allocated between the vector and its place in the list
        self.put(name, || unsafe {
            let vector = Rf_allocVector(SEXPTYPE::REALSXP, values.len() as isize);
            // R hands out an invalid address for an empty vector
            if !values.is_empty() {
                std::slice::from_raw_parts_mut(REAL(vector), values.len()).copy_from_slice(values);
            }
            vector
        })
    }

    /// The next element, an integer vector.
    pub fn integers(self, name: &str, values: impl ExactSizeIterator<Item = i32>) -> Self {
        // SAFETY: as above
        self.put(name, || unsafe {
            let vector = Rf_allocVector(SEXPTYPE::INTSXP, values.len() as isize);
            if values.len() > 0 {
                let out = std::slice::from_raw_parts_mut(INTEGER(vector), values.len());
                out.iter_mut().zip(values).for_each(|(out, value)| *out = value);
            }
            vector
        })
    }

    fn put(mut self, name: &str, value: impl FnOnce() -> SEXP) -> Self {
        // SAFETY: on the R thread; the list takes the value before the name is allocated
        single_threaded(|| unsafe {
            SET_VECTOR_ELT(self.list.get(), self.written, value());
            let name = Rf_mkCharLenCE(name.as_ptr().cast(), name.len() as c_int, cetype_t::CE_UTF8);
            SET_STRING_ELT(self.names.get(), self.written, name);
        });
        self.written += 1;
        self
    }

    /// The list.
    pub fn done(self) -> Robj {
        self.list
    }
}
