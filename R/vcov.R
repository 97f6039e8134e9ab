# Sampling covariance of the fixed effects.

#' Covariance matrix of the fixed effects
#'
#' By default the covariance matrix of the estimated fixed effects given the estimated variance components (the convention of 'lme4').
#' `type = "CR2"` and its relatives give cluster-robust ("sandwich") covariances: right, with enough clusters, also when the
#' random effects or the residuals do not have the structure that the model says.
#'
#' `"CR0"` is the plain sandwich, too small with few clusters; `"CR1"`, `"CR1p"` and `"CR1S"` multiply it by J/(J - 1), J/(J - p) and Stata's
#' J(N - 1)/((J - 1)(N - p)) (J clusters, N rows, p coefficients); `"CR2"` removes the bias under the fitted model and is the one to
#' use; `"CR3"` is close to the jackknife and errs on the large side. The values are those of `clubSandwich::vcovCR()` for the same `lmer()` fit, also for
#' models with prior weights, which that function does not take. The cost grows with the cube of the size of a cluster for CR2, counted in
#' rows or in random effects plus coefficients, whichever are fewer; the others cost the same whatever the clusters.
#'
#' @param object A fitted model of class `hlm`.
#' @param correlation Return correlations instead of covariances?
#' @param type `"model"` (default), or one of `"CR0"`, `"CR1"`, `"CR1p"`, `"CR1S"`, `"CR2"`, `"CR3"`.
#' @param cluster For robust types, what is independent of each other: `NULL` for the coarsest grouping factor, the name of a variable
#'   of the model (bare or as a string), or a vector with one value per analysed row. All random effects must be nested in the clusters.
#' @param ... Not used.
#' @return A symmetric matrix named by the coefficients.
#' @section Errors: `hlm_error_data` for an unknown type or cluster; `hlm_error_covariance` when clusters cut across random effects;
#'   `hlm_error_numerical` when CR3 does not exist.
#' @source Bell and McCaffrey (2002), *Survey Methodology* 28, 169-181; Pustejovsky and Tipton (2018), *Journal of Business and
#'   Economic Statistics* 36, 672-683.
#' @seealso [robust_inference()] for tests with these standard errors.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' vcov(fit)
#' vcov(fit, type = "CR2")
#' @export
vcov.hlm <- function(object, correlation = FALSE, type = "model", cluster = NULL, ...) {
  v <- if (identical(type, "model") || is.null(type)) {
    name_vcov(object, object$core$vcov)
  } else {
    robust_vcov(object, type, cluster_argument(object, substitute(cluster), parent.frame()))
  }
  if (correlation) stats::cov2cor(v) else v
}

name_vcov <- function(object, v) {
  names <- object$design$x_names[kept_columns(object)]
  matrix(as.double(v), length(names), length(names), dimnames = list(names, names))
}
