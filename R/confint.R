# Confidence intervals.

#' Confidence intervals for the fixed effects
#'
#' Wald intervals: estimate plus and minus a quantile times the standard error. The quantile comes from the t distribution
#' with Satterthwaite's degrees of freedom, which is right for few patients or therapists; `ddf = "asymptotic"` takes
#' the normal distribution, as `confint(method = "Wald")` of 'lme4' does.
#'
#' @param object A fitted model of class `hlm`.
#' @param parm Names or positions of the coefficients; all by default.
#' @param level Confidence level.
#' @param method `"Wald"`, or `"boot"` for bootstrap intervals, also of standard deviations and correlations: see [confint.hlm_boot()].
#' @param ddf `"Satterthwaite"` (default), `"residual"` or `"asymptotic"`; in any case.
#' @param ... For `method = "boot"`: `boot.type`, and the arguments of [bootstrap()]; otherwise not used.
#' @return A matrix with one row per coefficient and the lower and upper limit in its columns.
#' @section Errors: `hlm_error_data` for an unknown coefficient, level or method.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' confint(fit)
#' @export
confint.hlm <- function(object, parm, level = 0.95, method = "Wald", ddf = "Satterthwaite", ...) {
  if (is.character(method) && identical(tolower(method[[1L]]), "boot")) return(confint_boot(object, parm, level, ...))
  check_dots(...)
  if (!is.character(method) || !identical(tolower(method[[1L]]), "wald")) {
    abort_hlm("data", c(
      "{.arg method} = {.val {method}} is not available.", i = "Use {.code method = \"Wald\"} or {.code method = \"boot\"}."
    ))
  }
  if (!is.numeric(level) || length(level) != 1L || !isTRUE(level > 0 && level < 1)) {
    abort_hlm("data", "{.arg level} must be one number between 0 and 1, for instance 0.95.")
  }
  coefficients <- names(fixef.hlm(object))
  chosen <- if (missing(parm)) seq_along(coefficients) else match_coefficients(parm, coefficients)
  table <- test_rows(object, coefficient_contrasts(object)[chosen, , drop = FALSE], 0, prepare_inference(object, ddf), level)
  limits <- as.matrix(table[c("lower", "upper")])
  tails <- c(1 - level, 1 + level) / 2
  colnames(limits) <- paste(format(100 * tails, trim = TRUE, scientific = FALSE, digits = 3), "%")
  limits
}

match_coefficients <- function(parm, coefficients) {
  if (identical(parm, "beta_")) return(seq_along(coefficients))
  found <- if (is.character(parm)) match(parm, coefficients) else match(parm, seq_along(coefficients))
  if (anyNA(found)) {
    abort_hlm("data", c(
      "{.arg parm} asks for {.val {parm[is.na(found)]}}, which {?is/are} not among the coefficients.",
      i = "Coefficients: {.val {coefficients}}."
    ))
  }
  found
}
