# Generics that 'lme4', 'lmerTest' and 'performance' also define.
#
# Those packages are not needed to use this one, so the generics exist here too. Whichever package is attached last, the
# call works: our methods are registered with their generics when they are loaded, and our defaults hand every other
# object over to them.

#' Generics shared with 'lme4', 'lmerTest' and 'performance'
#'
#' `isREML()`, `isSingular()`, `ngrps()`, `refit()`, `getME()`, `contest()` and `icc()` are defined here so that they work
#' without 'lme4', 'lmerTest' or 'performance'. When those packages are installed, other objects (an `lmer()` fit, say) are
#' passed on to their functions, and their generics know fits of class `hlm`: the order in which packages are attached does
#' not matter.
#'
#' @param x,object A fitted model.
#' @param tol How close to zero a standard deviation, relative to the residual one and for a typical value of its predictor, counts as
#'   zero.
#' @param ... Passed to methods.
#' @return `isREML()` and `isSingular()`: `TRUE` or `FALSE`; `ngrps()`: the number of groups of each grouping factor, named.
#'   The others: see their own pages.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' isREML(fit)
#' isSingular(fit)
#' ngrps(fit)
#' @name hlm-generics
NULL

#' @rdname hlm-generics
#' @export
isREML <- function(x, ...) UseMethod("isREML")

#' @rdname hlm-generics
#' @export
isSingular <- function(x, tol = 1e-4) UseMethod("isSingular")

#' @rdname hlm-generics
#' @export
ngrps <- function(object, ...) UseMethod("ngrps")

pass_on <- function(package, name, object, ...) {
  if (!requireNamespace(package, quietly = TRUE)) {
    abort_hlm("data", c(
      "{.fn {name}} has no method for an object of class {.cls {class(object)}}.",
      i = "Give it a model fitted with {.fn hlm}; for other models install {.pkg {package}}."
    ))
  }
  # Called from the global environment: from here the other package's generic would find our default again, not its own.
  do.call(getExportedValue(package, name), list(object, ...), envir = globalenv())
}

# Objects that no package could take for a model get our words, not those of the other package.
check_is_model <- function(object, name) {
  bare <- is.list(object) && !is.object(object)
  if (is.null(object) || is.atomic(object) || is.function(object) || is.data.frame(object) || bare) abort_not_hlm(name, object)
}

abort_not_hlm <- function(name, object) {
  abort_hlm("data", "{.fn {name}} needs a model fitted with {.fn hlm}, not an object of class {.cls {class(object)}}.")
}

pass_on_model <- function(package, name, object, ...) {
  check_is_model(object, name)
  pass_on(package, name, object, ...)
}

#' @export
isREML.default <- function(x, ...) pass_on_model("lme4", "isREML", x, ...)

#' @export
isSingular.default <- function(x, tol = 1e-4) pass_on_model("lme4", "isSingular", x, tol = tol)

#' @export
ngrps.default <- function(object, ...) pass_on_model("lme4", "ngrps", object, ...)

#' @export
getME.default <- function(object, name, ...) pass_on_model("lme4", "getME", object, name, ...)

#' @export
refit.default <- function(object, newresp, ...) pass_on_model("lme4", "refit", object, newresp, ...)

#' @export
contest.default <- function(model, L, ...) pass_on_model("lmerTest", "contest", model, L, ...)

#' @export
icc.default <- function(fit, ...) pass_on_model("performance", "icc", fit, ...)

#' @rdname hlm-generics
#' @export
isREML.hlm <- function(x, ...) isTRUE(x$REML)

#' @rdname hlm-generics
#' @export
isSingular.hlm <- function(x, tol = 1e-4) {
  if (!is_number(tol) || tol < 0) abort_hlm("data", "{.arg tol} must be a number that is not negative.")
  if (length(x$core$boundary) > 0L) {
    return(TRUE)
  }
  # per typical value of the column, so that the unit of a predictor does not decide
  map <- theta_map(x$design)
  diagonal <- which(map$row == map$col)
  size <- vapply(diagonal, function(k) {
    term <- x$design$terms[[map$term[[k]]]]
    sqrt(mean(design_column(x$design, term$columns[[map$row[[k]]]])^2))
  }, 0)
  any(abs(x$core$theta[diagonal]) * size < tol)
}

#' @rdname hlm-generics
#' @export
ngrps.hlm <- function(object, ...) {
  stats::setNames(lengths(lapply(object$design$groups, `[[`, "levels")), group_names(object))
}
