# Confidence intervals: one door to the methods, each in a file of its own.

#' Confidence intervals
#'
#' * `"profile"`: the values of a parameter at which the deviance, all other parameters estimated again, has risen by the chi-squared
#'   quantile. Right for skewed likelihoods; for fixed effects and for standard deviations, correlations and variances. Where a side does
#'   not exist the limit is the bound of the parameter: 0 for a standard deviation, ±1 for a correlation. See [profile()][profile.hlm].
#' * `"Wald"`: estimate plus and minus a quantile times the standard error, for the fixed effects. The quantile comes from the t distribution with
#'   degrees of freedom `ddf`, which is right for few patients or therapists; `ddf = "none"` takes the normal distribution, as
#'   `confint(method = "Wald")` of 'lme4' does.
#' * `"boot"`: bootstrap intervals, see [bootstrap()] and [confint.hlm_boot()].
#'
#' By default intervals are profile intervals, as in 'lme4'; Wald intervals when one of `ddf`, `vcov` or `cluster` is given, or when there are more than
#' 50,000 rows (a message says so).
#'
#' @param object A fitted model of class `hlm`.
#' @param parm Names or positions of parameters; `"beta_"` for the fixed effects, `"theta_"` for the variance parameters; all that the method
#'   knows by default.
#' @param level Confidence level.
#' @param method `"profile"`, `"Wald"` or `"boot"`, in any case.
#' @param ddf Method for the degrees of freedom of Wald intervals, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster For Wald intervals, another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`,
#'   cluster-robust by `cluster`; see [hlm-ddf].
#' @param scale For profile intervals of standard deviations: `"sd"`, or `"variance"` for their squares.
#' @param REML For profile intervals: profile the variance parameters by the restricted likelihood? The default, as in 'lme4', is the full
#'   likelihood. Fixed effects always have the full one.
#' @param ... For `method = "boot"`: `boot.type`, and the arguments of [bootstrap()]; otherwise not used.
#' @return A matrix with one row per parameter and the lower and upper limit in its columns. Standard deviations are called `sd_x|group`,
#'   correlations `cor_x.y|group`.
#' @section Residual structures: with argument `residual` of [hlm()] the default is `"Wald"`; profiles are not available yet.
#' @section Errors: `hlm_error_data` for an unknown parameter, level or method; `hlm_error_numerical` for profiles of a fit that did not converge.
#' @source Profile: Venzon and Moolgavkar (1988), *Applied Statistics* 37, 87-94; Bates et al. (2015), *Journal of Statistical Software* 67(1).
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' confint(fit)
#' confint(fit, method = "Wald", ddf = "Kenward-Roger")
#' @export
confint.hlm <- function(object, parm = NULL, level = 0.95, method = NULL, ddf = NULL, vcov = NULL, cluster = NULL,
                        scale = c("sd", "variance"), REML = FALSE, ...) {
  cluster <- cluster_argument(object, substitute(cluster), parent.frame())
  method <- confint_method(object, method, is.null(ddf) && is.null(vcov) && is.null(cluster))
  if (method == "boot") {
    return(if (is.null(parm)) confint_boot(object, level = level, ...) else confint_boot(object, parm, level, ...))
  }
  check_dots(...)
  check_level(level)
  check_flag(REML, "REML")
  scale <- check_choice(scale, c("sd", "variance"), "scale")
  if (method == "profile") {
    return(confint_profile(object, parm, level, scale, REML))
  }
  confint_wald(object, parm, level, resolve_inference(object, ddf, vcov, cluster))
}

# Rows up to which curves of all parameters take less than a few seconds.
profile_rows <- 50000L

confint_method <- function(object, method, plain) {
  if (is.null(method)) {
    if (has_residual_structure(object)) return("wald")
    if (plain && n_rows(object) <= profile_rows) {
      return("profile")
    }
    if (plain) inform_hlm("confint", "Wald intervals, because the data are large; {.code method = \"profile\"} gives profile intervals.")
    return("wald")
  }
  known <- c("profile", "wald", "boot")
  found <- if (is.character(method)) match(tolower(method[[1L]]), known) else NA
  if (is.na(found)) {
    abort_hlm("data", c(
      "{.arg method} = {.val {method}} is not available.", i = "Choose {.val profile}, {.val Wald} or {.val boot}."
    ))
  }
  known[[found]]
}

confint_wald <- function(object, parm, level, inference) {
  coefficients <- names(fixef.hlm(object))
  chosen <- if (is.null(parm)) seq_along(coefficients) else match_coefficients(parm, coefficients)
  table <- test_rows(object, coefficient_contrasts(object)[chosen, , drop = FALSE], 0, inference, level)
  limits <- as.matrix(table[c("lower", "upper")])
  colnames(limits) <- interval_names(level)
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
