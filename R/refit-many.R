# One model, many outcomes: the fits come from the core; what a user looks at is put together here.

#' Fit the same model to many outcomes
#'
#' Fits a model to many outcomes of the same rows, with a test of every coefficient each time: to outcomes drawn from the model itself (a simulation
#' study of this design: power, bias, coverage), or to outcomes that you give (other measures of the same sessions, plausible values,
#' permutations). A thousand fits take about a second, because predictors and groups are read once.
#'
#' Outcomes that are drawn come from new persons and new residuals at the estimates of `fit`. Every replicate has a stream of random numbers of its
#' own, so that the result is the same whatever the number of threads; replicates are those of [bootstrap()] of type `"parametric"` with the same
#' seed. Outcomes that are given are fitted as [refit()] would, one by one.
#'
#' @param fit A fitted model of class `hlm`.
#' @param outcomes `NULL` (default) to draw outcomes from the model; or the outcomes to fit, one a column of a matrix or data frame (such as
#'   [simulate()][simulate.hlm] returns), with one value per analysed row or per row of the data.
#' @param nsim Number of outcomes to draw.
#' @param seed A whole number from which all random numbers follow. By default one is drawn from R's own generator, so that [set.seed()] makes
#'   the result reproducible.
#' @param ddf Degrees of freedom of the tests: `"satterthwaite"` (default), `"kenward-roger"` (which also corrects the standard errors; a model fitted by
#'   maximum likelihood is then refitted by REML, as [summary()][summary.hlm] does), or `"none"` for the normal distribution.
#' @param reduced Smaller models to compare every replicate with, by the likelihood ratio: `NULL` (default) none; `TRUE` those of [ranova()], one
#'   random effect left out at a time; or a fit, or a (named) list of fits, with the same rows and fixed effects and other random effects.
#' @param threads Number of threads; by default [hlm_threads()].
#' @param x The result.
#' @param row.names,optional Not used.
#' @param what `"coefficients"`: one row per replicate and coefficient. `"parameters"`: one row per replicate, with all parameters as columns. `"lrt"`: one row
#'   per replicate and reduced model.
#' @param level Nominal level of the tests that the printed output counts.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return A list of class `hlm_refits`:
#'   * `beta`, `se`, `df`, `statistic`, `p.value`: matrices with one row per replicate and one named column per estimated coefficient (`df` is `Inf` with
#'     `ddf = "none"`);
#'   * `theta`, `sigma`, `criterion` (-2 log likelihood, restricted or not as in the fit), `parameters` (matrix: fixed effects, standard deviations and
#'     correlations, variances and covariances, named as in [bootstrap()]);
#'   * `lrt`, `lrt_status`: one column per reduced model: the likelihood ratio statistic, and how the fit of the reduced model ended;
#'   * `status`: how each fit ended: `"converged"`, `"boundary"` (a variance of zero or a correlation of -1 or 1: a valid estimate), `"failed"` or
#'     `"unidentified"`. Rows of the last two are `NA` in all matrices; `print()` counts them;
#'   * `truth`: the parameters that outcomes were drawn from (`NULL` for given outcomes); `ddf`, `reml`, `nsim`, `seed`, `fit`.
#' @section Errors: `hlm_error_data` for arguments out of range and outcomes of the wrong length, with missing values in an analysed row or that are not
#'   numeric; `hlm_error_design` when `reduced` is not nested in the model; `hlm_error_covariance` for a method that models with a residual structure do
#'   not have. `hlm_warning_bootstrap` when replicates could not be used.
#' @source Kuznetsova, Brockhoff and Christensen (2017), *Journal of Statistical Software* 82(13), and Kenward and Roger (1997), *Biometrics* 53, 983-997,
#'   for the tests.
#' @seealso [refit()] for one outcome, [bootstrap()] for intervals, [simulate()][simulate.hlm].
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' set.seed(1)
#' many <- refit_many(fit, nsim = 200)
#' many
#' # power of the test of Days at the estimates of this study
#' mean(many$p.value[, "Days"] < 0.05)
#' @export
refit_many <- function(fit, ...) UseMethod("refit_many")

#' @export
refit_many.default <- function(fit, ...) abort_not_hlm("refit_many", fit)

#' @rdname refit_many
#' @export
refit_many.hlm <- function(fit, outcomes = NULL, nsim = 1000, seed = NULL, ddf = c("satterthwaite", "kenward-roger", "none"), reduced = NULL,
                           threads = NULL, ...) {
  check_dots(...)
  tests <- check_refit_ddf(ddf, fit)
  reml <- isTRUE(fit$REML) || tests == "kenward-roger"
  smaller <- reduced_models(fit, reduced)
  drawn <- is.null(outcomes)
  if (drawn) {
    nsim <- check_nsim(nsim, 1L)
    seed <- check_boot_seed(seed)
  } else {
    if (!missing(nsim) || !is.null(seed)) abort_hlm("data", "{.arg nsim} and {.arg seed} are for outcomes that are drawn, not for those in {.arg outcomes}.")
    outcomes <- outcome_matrix(fit, outcomes)
    nsim <- ncol(outcomes)
  }
  options <- list(
    nsim = nsim, seed = seed %||% 0, tests = tests, reduced = smaller, threads = hlm_threads(threads), max_iter = fit$control$max_iter,
    tol = fit$control$tol, start = if (!drawn) fit$control$start
  )
  draws <- call_progress(nsim, "Refits", function(progress) {
    engine_refit_many(known_design(fit), reml, fit$core, outcomes, c(options, list(progress = progress)))
  })
  many <- new_refits(fit, draws, smaller, tests)
  many <- c(many, list(
    truth = if (drawn) drop_matrix(boot_parameters(fit, estimates_row(fit))$values), ddf = tests, reml = reml, nsim = nsim, seed = seed, fit = fit
  ))
  report_replicates(many, "matrices")
  structure(many, class = "hlm_refits")
}

# What the core calls it. Between-within and residual degrees of freedom do not change from replicate to replicate.
check_refit_ddf <- function(ddf, fit) {
  found <- match_ddf(if (is.character(ddf)) ddf[1L] else ddf)
  known <- c(Satterthwaite = "satterthwaite", `Kenward-Roger` = "kenward-roger", asymptotic = "none")
  if (!found %in% names(known)) {
    abort_hlm("data", c(
      "{.arg ddf} = {.val {found}} is not computed for every replicate: its degrees of freedom are those of the fit.",
      i = "Use {.code ddf = \"none\"} and {.code coef(summary(fit, ddf = \"{found}\"))} for the degrees of freedom."
    ))
  }
  if (found == "Kenward-Roger") {
    check_independent_residuals(fit, "Kenward-Roger's method is", "Use {.code ddf = \"Satterthwaite\"}.")
  }
  known[[found]]
}

# Outcomes --------------------------------------------------------------------------------------------------------------------------

# Rows x replicates, by the rules of refit() for each column.
outcome_matrix <- function(fit, outcomes) {
  if (is.numeric(outcomes) && is.null(dim(outcomes))) outcomes <- list(outcomes)
  if (is.matrix(outcomes)) outcomes <- lapply(seq_len(ncol(outcomes)), function(j) outcomes[, j])
  if (!is.list(outcomes) || !length(outcomes)) {
    abort_hlm("data", "{.arg outcomes} must be a matrix or data frame with one outcome per column, not {.obj_type_friendly {outcomes}}.")
  }
  values <- lapply(outcomes, function(column) new_response(fit, column))
  matrix(unlist(values, use.names = FALSE), n_rows(fit), length(values))
}

# Reduced models ----------------------------------------------------------------------------------------------------------------------

# Designs by name: other random effects for the rows and fixed effects of the fit.
reduced_models <- function(fit, reduced) {
  if (is.null(reduced) || isFALSE(reduced)) return(NULL)
  check_independent_residuals(fit, "Comparing every replicate with reduced models is", "Refit both models to the outcomes and compare them.")
  if (isTRUE(reduced)) {
    return(unlist(lapply(seq_along(fit$design$terms), function(t) reduced_designs(fit, t)), recursive = FALSE))
  }
  if (inherits(reduced, "hlm")) reduced <- list(reduced)
  if (!is.list(reduced) || !length(reduced) || !all(vapply(reduced, inherits, NA, "hlm"))) {
    abort_hlm("data", "{.arg reduced} must be {.code TRUE}, a fit, or a list of fits made with {.fn hlm}.")
  }
  labels <- vapply(reduced, function(model) paste0("(", vapply(model$design$terms, `[[`, "", "label"), ")", collapse = " + "), "")
  given <- names(reduced) %||% rep("", length(reduced))
  names(reduced) <- make.unique(ifelse(given == "", labels, given))
  for (name in names(reduced)) check_reduced_model(fit, reduced[[name]], name)
  lapply(reduced, `[[`, "design")
}

check_reduced_model <- function(fit, smaller, name) {
  check_independent_residuals(smaller, "Comparing every replicate with reduced models is", "Refit both models to the outcomes and compare them.")
  same_rows <- n_rows(fit) == n_rows(smaller) && isTRUE(all.equal(fit$design$y, smaller$design$y)) &&
    isTRUE(all.equal(design_weights(fit$design), design_weights(smaller$design))) &&
    isTRUE(all.equal(fit$design$offset %||% 0, smaller$design$offset %||% 0))
  same_x <- same_rows && isTRUE(all.equal(unname(kept_x(fit)), unname(kept_x(smaller))))
  if (!same_x) {
    abort_hlm("design", c(
      "The reduced model {.val {name}} differs from the fit in its {if (same_rows) 'fixed effects' else 'rows, weights or offset'}.",
      i = "Only its random effects may differ."
    ))
  }
  if (length(smaller$core$theta) >= length(fit$core$theta)) {
    abort_hlm("design", "The reduced model {.val {name}} has no fewer variance parameters than the fit.")
  }
}

# The result --------------------------------------------------------------------------------------------------------------------------

new_refits <- function(fit, draws, smaller, tests) {
  usable <- boot_usable(draws$status)
  names <- fit$design$x_names[kept_columns(fit)]
  named <- function(values) {
    values <- replace_rows(values, !usable)
    dimnames(values) <- list(NULL, names)
    values
  }
  beta <- named(draws$beta)
  se <- named(draws$se)
  df <- named(if (tests == "none") array(Inf, dim(draws$df)) else draws$df)
  statistic <- beta / se
  parameters <- boot_parameters(fit, draws)
  criterion <- replace(draws$criterion, !usable, NA_real_)
  lrt <- vapply(draws$reduced, function(r) {
    # a reduced model cannot fit better; rounding of two searches can say so
    pmax(0, ifelse(boot_usable(r$status), r$criterion, NA_real_) - criterion)
  }, criterion)
  list(
    beta = beta, se = se, df = df, statistic = statistic, p.value = 2 * stats::pt(abs(statistic), df, lower.tail = FALSE),
    theta = replace_rows(draws$theta, !usable), sigma = replace(draws$sigma, !usable, NA_real_), criterion = criterion,
    parameters = replace_rows(parameters$values, !usable), kind = parameters$kind,
    lrt = if (length(smaller)) matrix(lrt, length(criterion), dimnames = list(NULL, names(smaller))),
    lrt_status = if (length(smaller)) as.data.frame(lapply(stats::setNames(draws$reduced, names(smaller)), `[[`, "status"), optional = TRUE),
    status = draws$status
  )
}

replace_rows <- function(values, rows) {
  values[rows, ] <- NA_real_
  values
}

# The estimates of the fit in the shape of one replicate.
estimates_row <- function(fit) {
  list(
    beta = t(kept_beta(fit$core)), theta = t(fit$core$theta), sigma = fit$core$sigma, free = if (has_residual_structure(fit)) t(fit$core$residual$free)
  )
}

#' @rdname refit_many
#' @export
as.data.frame.hlm_refits <- function(x, row.names = NULL, optional = FALSE, what = c("coefficients", "parameters", "lrt"), ...) {
  what <- check_choice(what, c("coefficients", "parameters", "lrt"), "what")
  replicate <- seq_len(x$nsim)
  if (what == "parameters") {
    return(cbind(data.frame(replicate = replicate, status = x$status), as.data.frame(x$parameters, optional = TRUE)))
  }
  if (what == "lrt") {
    if (is.null(x$lrt)) abort_hlm("data", c("There are no reduced models.", i = "Ask for them: {.code refit_many(fit, reduced = TRUE)}."))
    return(data.frame(
      replicate = rep(replicate, ncol(x$lrt)), model = rep(colnames(x$lrt), each = x$nsim), statistic = as.vector(x$lrt),
      status = unlist(x$lrt_status, use.names = FALSE)
    ))
  }
  data.frame(
    replicate = rep(replicate, ncol(x$beta)), status = rep(x$status, ncol(x$beta)), term = rep(colnames(x$beta), each = x$nsim),
    estimate = as.vector(x$beta), std.error = as.vector(x$se), df = as.vector(x$df), statistic = as.vector(x$statistic),
    p.value = as.vector(x$p.value)
  )
}

#' @rdname refit_many
#' @export
print.hlm_refits <- function(x, digits = max(3L, getOption("digits") - 3L), level = 0.05, ...) {
  method <- c(satterthwaite = "Satterthwaite's", `kenward-roger` = "Kenward-Roger's", none = "the normal distribution's")[[x$ddf]]
  cat(
    count(x$nsim, "outcome"), if (is.null(x$truth)) " given" else paste0(" drawn from the fit, seed ", format(x$seed, scientific = FALSE)),
    "; tests with ", method, " degrees of freedom\n", sep = ""
  )
  print_replicate_counts(x)
  cat("\n")
  usable <- boot_usable(x$status)
  rejected <- x$p.value[usable, , drop = FALSE] < level
  table <- cbind(
    Name = colnames(x$beta),
    if (!is.null(x$truth)) cbind(Truth = format_column(x$truth[colnames(x$beta)], digits)),
    Mean = format_column(colMeans(x$beta, na.rm = TRUE), digits), SD = format_column(apply(x$beta, 2L, stats::sd, na.rm = TRUE), digits),
    `Mean SE` = format_column(colMeans(x$se, na.rm = TRUE), digits), `Median df` = format_column(apply(x$df, 2L, stats::median, na.rm = TRUE), digits),
    significant = sprintf("%.1f %%", 100 * colMeans(rejected))
  )
  colnames(table)[ncol(table)] <- paste("p <", format(level))
  print_table(table)
  if (!is.null(x$lrt)) {
    means <- colMeans(x$lrt, na.rm = TRUE)
    cat("\nMean likelihood ratio of leaving out: ", paste0(names(means), " ", format(means, digits = digits), collapse = "; "), "\n", sep = "")
  }
  invisible(x)
}
