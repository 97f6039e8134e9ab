# The same model for another outcome.

#' Fit the same model to another outcome
#'
#' Keeps the rows, the predictors and the person means of a fitted model and replaces the outcome: for simulated outcomes
#' (see [simulate.hlm()]), or for a second measure on the same sessions. The original fit is not changed.
#'
#' For many outcomes at once use [refit_many()].
#'
#' @param object A fitted model of class `hlm`.
#' @param newresp The new outcome: a numeric vector, or a data frame with one column, with one value per analysed row or per
#'   row of the data.
#' @param ... Not used.
#' @return A new fit of class `hlm`.
#' @section Errors: `hlm_error_data` when the outcome has the wrong length, is not numeric or has missing values in an
#'   analysed row.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' fixef(refit(fit, 2 * lme4::sleepstudy$Reaction))
#' @export
refit <- function(object, newresp, ...) UseMethod("refit")

#' @rdname refit
#' @export
refit.hlm <- function(object, newresp, ...) {
  check_dots(...)
  object <- with_outcome(object, new_response(object, newresp))
  check_outcome_varies(object$design$y, object$design)
  object$core <- engine_fit(object$design, isTRUE(object$REML), object$control)
  warn_failed(object$core)
  object
}

# The outcome of the analysed rows replaced, the estimates not yet.
with_outcome <- function(object, y) {
  object$design$y <- y
  response <- object$formula[[2L]]
  if (is.name(response) && as.character(response) %in% names(object$data)) {
    object$data[[as.character(response)]][object$rows] <- y
  }
  object
}

new_response <- function(object, newresp) {
  if (is.list(newresp)) {
    if (length(newresp) != 1L) {
      abort_hlm("data", c(
        "{.arg newresp} has {length(newresp)} columns; one outcome is needed.",
        i = "For several outcomes use {.code refit_many(fit, newresp)}."
      ))
    }
    newresp <- newresp[[1L]]
  }
  if (!is.numeric(newresp)) abort_hlm("data", "{.arg newresp} must be numeric.")
  n <- n_rows(object)
  if (length(newresp) != n && length(newresp) == NROW(object$data)) newresp <- newresp[object$rows]
  if (length(newresp) != n) {
    abort_hlm("data", c(
      "{.arg newresp} has {length(newresp)} value{?s}.",
      i = "The model has {n} analysed row{?s} of {NROW(object$data)} row{?s} of data; give as many values."
    ))
  }
  if (any(!is.finite(newresp))) {
    abort_hlm("data", c(
      "{.arg newresp} has {sum(!is.finite(newresp))} missing or infinite value{?s} among the analysed rows.",
      i = "To analyse fewer rows, put the outcome into the data and fit again with {.fn hlm}."
    ))
  }
  as.double(newresp)
}
