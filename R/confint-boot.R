# Confidence intervals from bootstrap replicates.

#' Bootstrap confidence intervals
#'
#' Intervals for fixed effects, standard deviations, correlations, variances and other statistics from the replicates of
#' [bootstrap()]. `confint(fit, method = "boot")` draws the replicates first.
#'
#' * `"percentile"`: quantiles of the replicates. Never leaves the range of the parameter.
#' * `"basic"`: the same quantiles reflected about the estimate.
#' * `"bca"`: percentiles moved for bias and for a standard error that changes with the parameter (bias-corrected and accelerated; Efron and Tibshirani 1993,
#'   section 14.3). The acceleration comes from fitting the model again without each group of the coarsest factor in turn (with more than 2,000 groups: without
#'   each of 1,000 blocks of groups). Replicates equal to the estimate, as at a variance of zero, count half as below it. Not for crossed factors.
#' * `"normal"`: estimate minus bias, plus and minus a normal quantile times the standard error of the replicates.
#'
#' Percentile and BCa intervals of a variance are the squares of those of the standard deviation; the others are not. Limits that would leave the
#' range of a parameter (a standard deviation below 0, a correlation beyond 1) are moved to its end. Quantiles between two
#' replicates are interpolated on the normal scale (Davison and Hinkley 1997, eq. 5.8), as in package 'boot'.
#'
#' @param object The result of [bootstrap()].
#' @param parm What to give intervals for: names or positions of columns of `object$t`, or `"beta_"` for the fixed effects, `"theta_"` for standard deviations
#'   and correlations, `"var_"` for variances and covariances. By default all but the variances.
#' @param level Confidence level.
#' @param boot.type `"percentile"` (default), `"basic"`, `"bca"` or `"normal"`.
#' @param threads Number of threads for `"bca"`; by default [hlm_threads()].
#' @param ... Not used.
#' @return A matrix with one row per parameter and the lower and upper limit in its columns.
#' @section Errors: `hlm_error_data` for an unknown parameter, level or type, and for `"bca"` with crossed factors. `hlm_warning_bootstrap` where there are
#'   too few replicates for the level, or where an interval does not exist (`NA`).
#' @source Efron and Tibshirani (1993), *An Introduction to the Bootstrap*, chapters 13 and 14; Davison and Hinkley (1997), *Bootstrap Methods and their
#'   Application*, chapter 5.
#' @seealso [bootstrap()]
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' boot <- bootstrap(fit, nsim = 500, seed = 1)
#' confint(boot)
#' confint(boot, "beta_", boot.type = "bca")
#' confint(fit, "Days", method = "boot", nsim = 500, seed = 1)
#' @export
confint.hlm_boot <- function(object, parm, level = 0.95, boot.type = c("percentile", "basic", "bca", "normal"), threads = NULL, ...) {
  check_dots(...)
  check_level(level)
  interval <- boot_intervals()[[match_boot_type(boot.type)]]
  chosen <- if (missing(parm)) which(object$kind != "vcov") else match_boot_parameters(parm, object)
  tails <- c(1 - level, 1 + level) / 2
  limits <- interval(object, chosen, tails, threads)
  dimnames(limits) <- list(names(object$t0)[chosen], interval_names(level))
  limits <- within_range(limits, object$kind[chosen])
  report_intervals(object, limits, tails)
  limits
}

# confint(fit, method = "boot").
confint_boot <- function(object, parm, level, boot.type = "percentile", nsim = 1000, type = "parametric", group = NULL, seed = NULL, threads = NULL,
                         statistic = NULL, ...) {
  check_dots(...)
  boot.type <- match_boot_type(boot.type)
  boot <- bootstrap.hlm(object, nsim = nsim, type = type, group = group, seed = seed, threads = threads, statistic = statistic)
  if (missing(parm)) return(confint.hlm_boot(boot, level = level, boot.type = boot.type, threads = threads))
  confint.hlm_boot(boot, parm, level, boot.type, threads)
}

# One entry per type: function(object, chosen, tails, threads) gives a matrix of limits.
boot_intervals <- function() {
  list(percentile = interval_percentile, basic = interval_basic, bca = interval_bca, normal = interval_normal)
}

match_boot_type <- function(boot.type) {
  types <- names(boot_intervals())
  found <- if (is.character(boot.type) && length(boot.type)) pmatch(tolower(boot.type[[1L]]), types) else NA
  if (is.na(found)) abort_hlm("data", "{.arg boot.type} must be one of {.val {types}}, not {.val {boot.type}}.")
  types[[found]]
}

match_boot_parameters <- function(parm, object) {
  names <- names(object$t0)
  groups <- c(beta_ = "fixed", theta_ = "sdcor", var_ = "vcov")
  if (is.character(parm) && length(parm) == 1L && parm %in% names(groups)) return(which(object$kind == groups[[parm]]))
  found <- if (is.character(parm)) match(parm, names) else match(parm, seq_along(names))
  if (anyNA(found)) {
    abort_hlm("data", c(
      "{.arg parm} asks for {.val {parm[is.na(found)]}}, which {?is/are} not among the parameters.",
      i = "Parameters: {.val {names}}; or {.val {names(groups)}} for fixed effects, for standard deviations and correlations, and for variances."
    ))
  }
  found
}

# Types ------------------------------------------------------------------------------------------------------------------------------

interval_percentile <- function(object, chosen, tails, threads) {
  t(vapply(chosen, function(k) boot_quantile(object$t[, k], tails), c(0, 0)))
}

interval_basic <- function(object, chosen, tails, threads) {
  t(vapply(chosen, function(k) 2 * object$t0[[k]] - rev(boot_quantile(object$t[, k], tails)), c(0, 0)))
}

interval_normal <- function(object, chosen, tails, threads) {
  t(vapply(chosen, function(k) {
    t <- object$t[is.finite(object$t[, k]), k]
    2 * object$t0[[k]] - mean(t) + stats::qnorm(tails) * stats::sd(t)
  }, c(0, 0)))
}

interval_bca <- function(object, chosen, tails, threads) {
  check_independent_residuals(object$fit, "BCa intervals are", "Use {.code boot.type = \"percentile\"}.")
  influence <- jackknife_influence(object, chosen, threads)
  t(vapply(seq_along(chosen), function(k) {
    t <- object$t[is.finite(object$t[, chosen[[k]]]), chosen[[k]]]
    bca_limits(t, object$t0[[chosen[[k]]]], influence[, k], tails)
  }, c(0, 0)))
}

# Efron & Tibshirani (1993), eqs. 14.9, 14.10 and 14.14.
bca_limits <- function(t, t0, influence, tails) {
  if (!length(t) || is.na(t0)) return(c(NA_real_, NA_real_))
  bias <- stats::qnorm((sum(t < t0) + sum(t == t0) / 2) / length(t))
  if (!is.finite(bias)) return(c(NA_real_, NA_real_))
  influence <- influence[is.finite(influence)]
  spread <- sum(influence^2)
  acceleration <- if (spread > 0) sum(influence^3) / (6 * spread^1.5) else 0
  z <- bias + stats::qnorm(tails)
  moved <- stats::pnorm(bias + z / (1 - acceleration * z))
  # where 1 - az changes sign the transformation behind the interval is not monotone
  if (any(acceleration * z >= 1)) return(c(NA_real_, NA_real_))
  boot_quantile(t, moved)
}

# Quantiles on the normal scale (Davison & Hinkley 1997, eq. 5.8).
boot_quantile <- function(t, probability) {
  t <- sort(t[is.finite(t)])
  n <- length(t)
  if (n == 0L) return(rep(NA_real_, length(probability)))
  rank <- (n + 1) * probability
  lower <- trunc(rank)
  inside <- lower > 0 & lower < n
  out <- t[pmin(pmax(lower, 1), n)]
  k <- lower[inside]
  z <- function(p) stats::qnorm(p)
  share <- (z(probability[inside]) - z(k / (n + 1))) / (z((k + 1) / (n + 1)) - z(k / (n + 1)))
  out[inside] <- t[k] + ifelse(rank[inside] == k, 0, share * (t[k + 1] - t[k]))
  out
}

# Jackknife --------------------------------------------------------------------------------------------------------------------------

# Up to here every group is left out by itself; with more, in blocks: the third and second moments of sums over blocks of independent influences grow
# alike, so their ratio estimates the same acceleration.
jackknife_groups <- 2000L
jackknife_blocks <- 1000L

# (n - 1)(mean - value without i) per left-out group and chosen parameter (Efron & Tibshirani 1993, eq. 14.15).
jackknife_influence <- function(object, chosen, threads = NULL) {
  fit <- object$fit
  group <- check_boot_group(fit, object$group, "A BCa interval")
  g <- match(group, group_names(fit))
  levels <- length(fit$design$groups[[g]]$levels)
  block <- if (levels <= jackknife_groups) seq_len(levels) else rep_len(seq_len(jackknife_blocks), levels)
  options <- boot_options(list(fit = fit, group = group), threads)
  options <- options[c("group", "threads", "max_iter", "tol")]
  draws <- call_progress(max(block), "Jackknife", function(progress) {
    engine_jackknife(fit$design, isTRUE(fit$REML), fit$core, c(options, list(progress = progress)), block)
  })
  values <- boot_parameters(fit, draws)$values
  usable <- boot_usable(draws$status)
  values[!usable, ] <- NA_real_
  if (any(object$kind[chosen] == "statistic")) values <- cbind(values, jackknife_statistic(object, draws, g, block))
  if (any(!usable)) {
    warn_hlm("bootstrap", c(
      "Without {sum(!usable)} of {length(usable)} group{?s} of {.val {group}} the model is not identified; they do not count in the acceleration of the
       BCa intervals."
    ))
  }
  values <- values[, chosen, drop = FALSE]
  (nrow(values) - 1) * (rep(colMeans(values, na.rm = TRUE), each = nrow(values)) - values)
}

# Any function of a fit, so that the fit without each block is put together.
jackknife_statistic <- function(object, draws, g, block) {
  wanted <- sum(object$kind == "statistic")
  step <- local_progress(max(block), "Jackknife of the statistic")
  values <- vapply(seq_len(max(block)), function(i) {
    step(i)
    if (!boot_usable(draws$status[[i]])) return(rep(NA_real_, wanted))
    without <- sample_fit(object$fit, which(block != i), g, draws$theta[i, ], as.character(draws$status[[i]]))
    value <- tryCatch(as.double(object$statistic(without)), error = function(cnd) NULL)
    if (length(value) == wanted) value else rep(NA_real_, wanted)
  }, double(wanted))
  matrix(values, ncol = wanted, byrow = TRUE)
}

# Range and reports ----------------------------------------------------------------------------------------------------------------

within_range <- function(limits, kind) {
  names <- rownames(limits)
  spread <- kind != "fixed" & kind != "statistic" & grepl("^(sd_|var_|sigma)", names)
  limits[spread, ] <- pmax(limits[spread, ], 0)
  correlation <- kind == "sdcor" & grepl("^(cor_|phi__)", names)
  limits[correlation, ] <- pmax(-1, pmin(1, limits[correlation, ]))
  limits
}

report_intervals <- function(object, limits, tails) {
  usable <- sum(boot_usable(object$status))
  if ((usable + 1) * min(tails, 1 - tails) < 1) {
    warn_hlm("bootstrap", c(
      "{usable} replicate{?s} {?is/are} too few for this level: the limits are the smallest and largest replicate.",
      i = "Use {.arg nsim} of 1,000 or more."
    ))
  }
  missing <- rownames(limits)[is.na(limits[, 1L]) | is.na(limits[, 2L])]
  if (length(missing)) {
    warn_hlm("bootstrap", c(
      "There is no interval of this type for {.val {missing}}.",
      i = "The estimate is undefined or lies outside all replicates; see {.code plot(x)} and {.code boot.type = \"percentile\"}."
    ))
  }
  some <- names(object$t0) %in% rownames(limits) & colSums(is.na(object$t[boot_usable(object$status), , drop = FALSE])) > 0L
  report_undefined(names(object$t0)[some], "A correlation is undefined where a variance is estimated as zero.")
}
