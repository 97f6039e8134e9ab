# Denominator degrees of freedom, one method an entry of the registry.
#
# A method is a function of the fit that returns an *inference*: list(vcov, df, joint, label, beta, joint_df, term_df).
# vcov      covariance matrix of the estimated fixed effects that its standard errors come from
# df        function(l): degrees of freedom of the one-dimensional contrast l'beta, l over the estimated coefficients
# joint     NULL, or function(l, rhs): list(f, num_df, den_df, scaling), the method's own test of several rows; with NULL the generic one
#           is made from vcov and df (test_joint())
# label     how the printed output names the method
# beta      NULL for the estimates of the fit, or the estimates that the method's tests are about (Kenward-Roger refits by REML)
# joint_df  NULL, or function(l): degrees of freedom of the generic test of several rows; with NULL those of its parts are combined
# term_df   NULL, or function(columns): degrees of freedom of the test of a term of the model with these columns
# What is costly is done once, when the inference is prepared. Robust covariances are inferences, too.

#' Degrees of freedom of the tests of fixed effects
#'
#' [summary()][summary.hlm], [anova()][anova.hlm], [drop1()][drop1.hlm], [contest()], [confint()][confint.hlm], `tidy()` and
#' 'emmeans' take the argument `ddf`, which says how the degrees of freedom (and, for Kenward-Roger, the standard errors) are
#' found. Case, hyphens and spaces do not matter, and enough letters to be unique will do.
#'
#' * `"Satterthwaite"` (default): matches the mean and variance of the estimated variance of each estimate, with exact derivatives. Good
#'   for most designs.
#' * `"Kenward-Roger"` or `"KR"`: also corrects the standard errors for the uncertainty of the variance components, and scales F tests of
#'   several coefficients. The most careful choice for few persons or therapists. It is defined for REML: a model fitted by maximum
#'   likelihood is refitted by REML for the test, estimates included, and the output says so.
#' * `"between-within"`, `"bw"` or `"containment"`: counts groups and predictors at each level, as 'nlme', 'HLM' and 'SAS' do for nested
#'   models: a predictor of persons has the number of persons minus the predictors of persons minus 1. The level of each predictor is
#'   read from the formula (`within()`, `between()`), not guessed from its values. See the section below.
#' * `"residual"`: rows minus coefficients; too many for predictors of persons or therapists.
#' * `"none"`, `"asymptotic"` or `"z"`: the normal distribution.
#'
#' `options(wbhlm.ddf = "Kenward-Roger")` changes the default of a session.
#'
#' @section Covariance matrices of one's own:
#' The argument `vcov` of the same functions replaces the covariance matrix of the fixed effects: a matrix (named, or in the order of
#' `fixef(fit)`), a function of the fit that returns one, or `"CR0"` to `"CR3"` for cluster-robust ones, with `cluster` the name of a variable of
#' the model as text, or one value per row; these have methods for the degrees of freedom of their own. With a matrix or a function
#' the degrees of freedom are those that `ddf` asks for, and F tests of several coefficients are Wald tests.
#'
#' @section The between-within rule:
#' With groups of `m_1 < m_2 < ...` units from the highest level to the lowest, `m_0 = 1` (0 without an intercept) and `m_(Q+1)`
#' rows, a coefficient of a predictor of level `i` has `m_i - m_(i-1) - p_i` degrees of freedom, where `p_i` predictors belong to
#' that level (Pinheiro and Bates 2000, p. 91). The intercept has, as in 'nlme', the largest number of all levels; estimated means in
#' 'emmeans' have, as 'emmeans' does for 'nlme', no more than the number of the highest groups minus 1. An interaction belongs to the
#' lowest level among its variables. A contrast of several coefficients has the smallest number among those with a weight that is not
#' zero, and a test of a term that of the term's own coefficients.
#'
#' The rule looks at the predictor only: the average of a random slope has the degrees of freedom of the rows, as in 'nlme', although its
#' information comes from the persons. Satterthwaite and Kenward-Roger take that into account.
#'
#' In two places 'nlme' differs and is not followed. It guesses levels from the values, so that a predictor of sessions that happens not
#' to change within any person of the data counts as one of persons; and without an intercept it counts one too many at all levels but the
#' highest, even if factors stand for the intercept. Here the same model has the same numbers however it is written.
#'
#' When grouping factors are crossed (patients and raters), each has the number of its groups minus one, minus what the groups that contain
#' it have already (Tjur 1984), which is the containment rule of 'SAS' for connected designs.
#'
#' @source Satterthwaite (1946), *Biometrics Bulletin* 2, 110-114; Kenward and Roger (1997), *Biometrics* 53, 983-997; Pinheiro and Bates
#'   (2000), *Mixed-Effects Models in S and S-PLUS*, Springer; Schluchter and Elashoff (1990), *Journal of Statistical Computation and Simulation*
#'   37, 69-87; Tjur (1984), *International Statistical Review* 52, 33-65.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' coef(summary(fit, ddf = "between-within"))
#' old <- options(wbhlm.ddf = "none")
#' coef(summary(fit))
#' options(old)
#' @name hlm-ddf
NULL

ddf_registry <- function() {
  list(
    Satterthwaite = ddf_satterthwaite,
    `Kenward-Roger` = ddf_kenward_roger,
    `between-within` = ddf_between_within,
    residual = ddf_residual,
    asymptotic = ddf_asymptotic
  )
}

ddf_aliases <- c(
  KR = "Kenward-Roger", containment = "between-within", bw = "between-within", none = "asymptotic", z = "asymptotic"
)

new_inference <- function(df, label, vcov, joint = NULL, beta = NULL, joint_df = NULL, term_df = NULL) {
  list(vcov = vcov, df = df, joint = joint, label = label, beta = beta, joint_df = joint_df, term_df = term_df)
}

ddf_names <- function() names(ddf_registry())

# The name in the registry. NULL: the default of the session.
match_ddf <- function(ddf = NULL) {
  from_option <- is.null(ddf)
  if (from_option) ddf <- getOption("wbhlm.ddf", "Satterthwaite")
  names <- ddf_names()
  known <- c(stats::setNames(names, names), ddf_aliases)
  found <- if (is.character(ddf) && length(ddf) >= 1L && !is.na(ddf[[1L]])) find_ddf(ddf[[1L]], known)
  if (length(found) != 1L) {
    what <- if (from_option) "The option {.code wbhlm.ddf} is {.val {ddf}}, which" else "{.arg ddf} = {.val {ddf}}"
    abort_hlm("data", c(
      paste(what, "is not a known method for the degrees of freedom."),
      i = "Choose one of {.val {names}}, or {.val none}.",
      i = if (from_option) "{.code options(wbhlm.ddf = NULL)} brings the default back."
    ))
  }
  found
}

# Any case, with or without hyphens and spaces, and enough letters to be unique.
find_ddf <- function(wanted, known) {
  plain <- function(x) tolower(gsub("[^[:alnum:]]", "", x))
  wanted <- plain(wanted)
  if (!nzchar(wanted)) return(character())
  keys <- plain(names(known))
  if (wanted %in% keys) return(known[[match(wanted, keys)]])
  unique(unname(known[startsWith(keys, wanted)]))
}

prepare_inference <- function(fit, ddf = NULL) ddf_registry()[[match_ddf(ddf)]](fit)

# The inference that the arguments `ddf`, `vcov` and `cluster` of the methods ask for: the one place where a covariance
# matrix other than the method's own comes in. Adds `method`, the name of the method for the degrees of freedom.
resolve_inference <- function(fit, ddf = NULL, vcov = NULL, cluster = NULL) {
  if (is.character(vcov)) {
    # The default of the session is meant for model-based tests; robust ones have their own.
    method <- ddf %||% "Satterthwaite"
    inference <- robust_inference_of(fit, vcov, cluster, method)
    inference$method <- method
    return(inference)
  }
  if (!is.null(cluster)) {
    abort_hlm("data", c(
      "{.arg cluster} is used by cluster-robust covariance matrices only.", i = "Add, for instance, {.code vcov = \"CR2\"}."
    ))
  }
  inference <- prepare_inference(fit, ddf)
  inference$method <- match_ddf(ddf)
  if (is.null(vcov)) return(inference)
  inference$vcov <- given_vcov(fit, if (is.function(vcov)) vcov(fit) else vcov)
  inference$label <- paste(inference$label, "and the covariance matrix given")
  # What belongs to the method's own covariance matrix does not belong to another one.
  inference["joint"] <- list(NULL)
  inference["beta"] <- list(NULL)
  inference
}

# A covariance matrix of the estimated coefficients, in their order.
given_vcov <- function(fit, v) {
  coefficients <- names(fixef.hlm(fit))
  if (inherits(v, "Matrix")) v <- as.matrix(v)
  if (!is.numeric(v) || !is.matrix(v) || nrow(v) != ncol(v)) {
    abort_hlm("data", "{.arg vcov} must be a square matrix, a function that returns one, or {.val CR0} to {.val CR3}.")
  }
  names <- rownames(v) %||% colnames(v)
  if (!is.null(names)) {
    missing <- setdiff(coefficients, names)
    if (length(missing)) {
      abort_hlm("data", c(
        "{.arg vcov} has no row for {cli::qty(length(missing))}coefficient{?s} {.val {missing}}.",
        i = "Its rows: {.val {names}}."
      ))
    }
    place <- match(coefficients, names)
    v <- v[place, place, drop = FALSE]
  } else if (nrow(v) != length(coefficients)) {
    abort_hlm("data", c(
      "{.arg vcov} has {nrow(v)} row{?s}, but the model has {length(coefficients)} estimated coefficient{?s}.",
      i = "Coefficients, in order: {.val {coefficients}}."
    ))
  }
  if (!all(is.finite(v)) || !isSymmetric(unname(v), tol = 1e-8) || any(diag(v) < 0)) {
    abort_hlm("data", "{.arg vcov} is not a covariance matrix: it must be symmetric, without missing values or negative variances.")
  }
  unname(v)
}

# Satterthwaite (1946), as Kuznetsova, Brockhoff & Christensen (2017) J Stat Softw 82(13), eq. 5:
# df = 2 (l'Vl)^2 / (g'Ag), g the gradient of l'V(theta, sigma)l, A the asymptotic covariance of (theta, sigma).
ddf_satterthwaite <- function(fit) {
  pieces <- engine_satterthwaite(known_design(fit), isTRUE(fit$REML), fit$core$theta)
  v <- fit$core$vcov
  df <- function(l) {
    gradient <- vapply(pieces$jacobian, function(j) sum(l * (j %*% l)), 0)
    variance <- sum(l * (v %*% l))
    2 * variance^2 / sum(gradient * (pieces$vcov_varpar %*% gradient))
  }
  new_inference(df, "Satterthwaite's method", v)
}

ddf_residual <- function(fit) {
  df <- n_rows(fit) - length(kept_columns(fit))
  new_inference(function(l) df, "residual degrees of freedom", fit$core$vcov)
}

ddf_asymptotic <- function(fit) {
  new_inference(function(l) Inf, "the normal distribution", fit$core$vcov)
}

# The denominator df of an F test from those of its independent one-dimensional parts (Fai & Cornelius 1996, J Stat
# Comput Simul 54:363; lmerTest's get_Fstat_ddf).
combine_ddf <- function(nu, tol = 1e-8) {
  if (length(nu) == 1L || all(!is.finite(nu)) || all(abs(diff(nu)) < tol)) return(mean(nu))
  if (any(nu <= 2)) return(2)
  expectation <- sum(ifelse(is.finite(nu), nu / (nu - 2), 1))
  2 * expectation / (expectation - length(nu))
}
