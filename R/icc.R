# How the variance is shared between the levels.

#' Intraclass correlation at each level
#'
#' The share of the variance that lies between patients, between therapists, and so on. For a model with random intercepts
#' only, this is the intercept variance divided by the total; with random slopes the variance of a level is its average over
#' the analysed rows (Johnson 2014).
#'
#' `icc` sets the variance of a level against the random and residual variance (the "adjusted" ICC: what is left once the
#' predictors are accounted for); `icc_unadjusted` sets it against the total variance including that of the predictors. For
#' nested levels, `icc_cumulative` is the correlation expected between two outcomes of the same group: two sessions of one
#' patient share the patient and the therapist.
#'
#' `icc2`, also called ICC(2) or ICC(k), is the reliability of a group's mean: how well the mean over its rows tells the group apart
#' from others. It rises with the number of rows. By default the groups have the sizes they have in the data (at two levels their harmonic
#' mean); `size` asks for others.
#'
#' Intervals: `"delta"` from the standard errors of the variances on the logit scale (fast, for many groups); `"boot"` by refitting
#' simulated outcomes (percentiles); `"exact"` from the F distribution, for a balanced one-way model only (one grouping factor, no
#' predictors). With few groups prefer `"exact"` or `"boot"`.
#'
#' @param fit A fitted model of class `hlm`.
#' @param conf.int Add confidence limits? They take longer.
#' @param level Confidence level.
#' @param method How to compute the limits: `"delta"` (default), `"boot"` or `"exact"`.
#' @param size For `icc2`: the number of units per group, a vector named by the grouping factors: rows per group for the finest
#'   factor, groups of the next finer factor for the others (`c(patient = 12, therapist = 8)`).
#' @param nsim,seed Number of simulated outcomes, and seed, for `"boot"`.
#' @param x The result.
#' @param digits Number of decimals of the printed percentages.
#' @param ... Not used.
#' @return A data frame of class `hlm_icc` with one row per grouping factor, from the finest to the coarsest, and a last row
#'   `Residual`: `group`, `variance`, `icc`, `icc_unadjusted`, `icc_cumulative`, `icc2`; with `conf.int = TRUE` also `icc_lower`, `icc_upper`,
#'   `icc2_lower`, `icc2_upper` (`NA` where a variance is estimated as zero and `method` is `"delta"`); attribute `interval`
#'   says how, for `"boot"` with the `status` of each fit as in [bootstrap()].
#' @section Errors: `hlm_error_design` when the exact interval does not exist for the model; `hlm_error_data` for a wrong `size` or `level`.
#'   `hlm_warning_bootstrap` when simulated outcomes could not be used.
#' @source Johnson (2014), *Methods in Ecology and Evolution* 5, 944-946; Nakagawa, Johnson and Schielzeth (2017), *Journal of
#'   the Royal Society Interface* 14, 20170213; Hox, Moerbeek and van de Schoot (2018), *Multilevel Analysis*, section 2.4; Bliese (2000), in Klein
#'   and Kozlowski, *Multilevel Theory, Research, and Methods in Organizations*, 349-381; McGraw and Wong (1996), *Psychological Methods* 1,
#'   30-46, table 7.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(strength ~ 1 + (1 | batch/cask), lme4::Pastes)
#' icc(fit)
#' icc(fit, conf.int = TRUE)
#' @export
icc <- function(fit, ...) UseMethod("icc")

#' @rdname icc
#' @export
icc.hlm <- function(fit, conf.int = FALSE, level = 0.95, method = c("delta", "boot", "exact"), size = NULL, nsim = 500, seed = NULL, ...) {
  check_flag(conf.int, "conf.int")
  method <- check_choice(method, c("delta", "boot", "exact"), "method")
  check_session_seed(seed)
  check_one_residual_variance(
    fit, "Intraclass correlations are",
    "{.fn VarCorr} has the variances; {.code summary(fit)} the SD of each group of rows."
  )
  variances <- level_variances(fit, estimates_row(fit))
  variance <- drop(variances)
  random <- sum(variance)
  by_group <- variance[-length(variance)]
  fixed <- stats::var(fixed_predictor(fit) - design_offset(fit$design))
  cumulative <- rep(NA_real_, length(by_group))
  if (levels_are_nested(fit)) cumulative <- rev(cumsum(rev(by_group))) / random
  shares <- mean_shares(fit, size)
  value <- icc_values(variances, shares)
  table <- data.frame(
    group = c(group_names(fit), "Residual"), variance = variance, icc = drop(value$icc), icc_unadjusted = variance / (random + fixed),
    icc_cumulative = c(cumulative, NA_real_), icc2 = c(value$icc2, NA_real_), row.names = NULL
  )
  if (conf.int) {
    check_level(level)
    limits <- switch(method,
      delta = icc_delta(fit, variance, shares, level), boot = icc_boot(fit, shares, level, nsim, seed), exact = icc_exact(fit, level)
    )
    table <- cbind(table, limits)
    attr(table, "interval") <- list(method = method, level = level, status = attr(limits, "status"))
  }
  class(table) <- c("hlm_icc", "data.frame")
  table
}

# Variance at each level and of the rows, for all replicates (rows) at once: average of z' Sigma z over the rows, per grouping factor, and the residual.
level_variances <- function(fit, draws, coefficients = level_coefficients(fit)) {
  cbind(effect_covariances(fit, draws) %*% t(coefficients), residual_variance(fit, draws$sigma))
}

residual_variance <- function(fit, sigma = fit$core$sigma) sigma^2 * mean(1 / design_weights(fit$design))

# What each variance and covariance (in the order of theta_map()) adds to the variance of its level: moments of the columns.
level_coefficients <- function(fit) {
  map <- theta_map(fit$design)
  groups <- term_group(fit)
  coefficients <- matrix(0, length(fit$design$groups), nrow(map))
  for (k in seq_len(nrow(map))) {
    columns <- fit$design$terms[[map$term[[k]]]]$columns[c(map$row[[k]], map$col[[k]])]
    moment <- mean(design_column(fit$design, columns[[1L]]) * design_column(fit$design, columns[[2L]]))
    coefficients[groups[[map$term[[k]]]], k] <- (if (map$row[[k]] == map$col[[k]]) 1 else 2) * moment
  }
  coefficients
}

# Is each grouping factor nested in the next one?
levels_are_nested <- function(fit) {
  groups <- fit$design$groups
  all(vapply(seq_along(groups)[-1L], function(g) {
    fine <- groups[[g - 1L]]$codes
    first <- match(seq_along(groups[[g - 1L]]$levels), fine)
    all(groups[[g]]$codes == groups[[g]]$codes[first][fine])
  }, TRUE))
}

#' @rdname icc
#' @export
print.hlm_icc <- function(x, digits = 1L, ...) {
  percent <- function(value) ifelse(is.na(value), "", paste0(formatC(100 * value, format = "f", digits = digits), " %"))
  span <- function(low, high) ifelse(is.na(low) | is.na(high), "", paste(percent(low), "to", percent(high)))
  levels <- x[x$group != "Residual", , drop = FALSE]
  cat("Share of the variance at each level (intraclass correlation):\n")
  where <- c(paste("between groups of", plain_group(levels$group)), "within (from row to row)")
  table <- cbind(Level = where, Share = percent(x$icc))
  interval <- attr(x, "interval")
  if (!is.null(interval)) table <- cbind(table, Interval = span(x$icc_lower, x$icc_upper))
  table <- cbind(table, `of total` = percent(x$icc_unadjusted), `Group mean` = percent(x$icc2))
  if (!is.null(interval)) table <- cbind(table, Interval = span(x$icc2_lower, x$icc2_upper))
  print_table(table, right = seq_len(ncol(table))[-1L])
  cat("\"of total\" also counts the variance explained by the predictors; \"Group mean\" is the reliability of a group's mean, ICC(2).\n")
  if (!is.null(interval)) {
    how <- switch(interval$method, delta = "delta method on the logit scale", boot = boot_words(interval$status), exact = "F distribution")
    cat(format(100 * interval$level), " % confidence limits: ", how, ".\n", sep = "")
    if (anyNA(levels$icc_lower)) cat("No limits where a variance is estimated as zero; use method = \"boot\".\n")
  }
  if (nrow(levels) > 1L && !anyNA(levels$icc_cumulative)) {
    for (i in seq_len(nrow(levels))) {
      cat("Expected correlation of two rows of the same ", plain_level(levels$group[[i]]), ": ",
          formatC(levels$icc_cumulative[[i]], format = "f", digits = 2L), "\n", sep = "")
    }
  }
  invisible(x)
}
