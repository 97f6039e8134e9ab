# Sampling covariance of the fixed effects.

#' Covariance matrix of the fixed effects
#'
#' The covariance matrix of the estimated fixed effects given the estimated variance components (the convention of 'lme4').
#'
#' @param object A fitted model of class `hlm`.
#' @param correlation Return correlations instead of covariances?
#' @param ... Not used.
#' @return A symmetric matrix named by the coefficients.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' vcov(fit)
#' @export
vcov.hlm <- function(object, correlation = FALSE, ...) {
  v <- name_vcov(object, object$core$vcov)
  if (correlation) stats::cov2cor(v) else v
}

name_vcov <- function(object, v) {
  names <- object$design$x_names[kept_columns(object)]
  matrix(as.double(v), length(names), length(names), dimnames = list(names, names))
}
