#' wbhlm: hierarchical linear models with within- and between-person effects
#'
#' Session-by-session data have two stories in every predictor: what happens when a patient moves away from their own
#' average (within), and how patients differ from each other (between). [hlm()] fits linear mixed models in which both are
#' estimated separately, for patients within therapists within clinics, or for crossed factors.
#'
#' @section Where to start:
#' `vignette("get-started", package = "wbhlm")` with your own CSV file in mind; `?hlm` for the formula.
#'
#' @section Options:
#' * `options(wbhlm.threads = 1)` sets the number of processor threads; see [hlm_threads()].
#' * `options(wbhlm.ddf = "Kenward-Roger")` sets the default method for the degrees of freedom of all tests of fixed effects; see [hlm-ddf].
#'
#' @useDynLib wbhlm, .registration = TRUE
#' @importFrom stats anova coef confint deviance df.residual drop1 extractAIC family fitted formula logLik model.frame
#' @importFrom stats model.matrix nobs predict residuals setNames sigma simulate terms update vcov weights
#' @importFrom methods is
#' @importFrom rlang %||%
#' @keywords internal
"_PACKAGE"

# Methods for the generics of other packages, whichever is attached last. Those of suggested packages are registered when these
# are loaded; roxygen2 has no tag for a method of both our own generic and another package's.
#' @rawNamespace S3method(lme4::getME, hlm)
#' @rawNamespace S3method(lme4::isREML, hlm)
#' @rawNamespace S3method(lme4::ngrps, hlm)
#' @rawNamespace S3method(lme4::refit, hlm)
#' @rawNamespace S3method(lmerTest::contest, hlm)
#' @rawNamespace S3method(emmeans::recover_data, hlm)
#' @rawNamespace S3method(emmeans::emm_basis, hlm)
#' @rawNamespace S3method(performance::icc, hlm)
#' @rawNamespace S3method(datawizard::standardize, hlm)
#' @rawNamespace S3method(performance::r2, hlm)
#' @rawNamespace S3method(clubSandwich::vcovCR, hlm)
#' @rawNamespace S3method(car::vif, hlm)
#' @rawNamespace S3method(augment, hlm)
#' @rawNamespace S3method(glance, hlm)
#' @rawNamespace S3method(tidy, hlm)
#' @rawNamespace S3method(tidy, hlm_reciprocal)
NULL
