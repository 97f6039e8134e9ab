# The bootstrap: replicates come from the core; what is read off them is put together here.

#' Bootstrap a fitted model
#'
#' Draws many data sets that could have been observed instead of yours, fits the model to each, and keeps the estimates. Their spread
#' is a standard error that does not rely on approximations, and [confint()][confint.hlm_boot] turns them into confidence intervals, also for
#' standard deviations, correlations and any quantity you can compute from a fit.
#'
#' * `"parametric"`: new persons and new residuals from the estimated normal distributions. Right when the model is; the most precise.
#' * `"residual"`: the estimated random effects and residuals themselves are drawn, after centring and reflating them to the estimated
#'   covariance (Carpenter, Goldstein and Rasbash 2003). Does not need normal distributions, but needs equal variances. Effects of one
#'   random-effect term are drawn together; terms and grouping factors separately.
#' * `"cases"`: whole groups with all their rows (van der Leeden, Meijer and Busing 2008). Needs neither normal distributions nor equal variances, but many
#'   groups: with fewer than about 30 its intervals are too short. A group drawn twice counts as two groups. Person means and their
#'   centring stay as they are in the fit. Not for crossed factors.
#'
#' Every replicate is fitted exactly, from the cross-products of the original fit and starting at its estimates; thousands take about a second. The
#' result is the same whatever the number of threads: each replicate has its own stream of random numbers.
#'
#' @param fit A fitted model of class `hlm`.
#' @param nsim Number of replicates; 1,000 is the least for intervals.
#' @param type `"parametric"` (default), `"residual"` or `"cases"`.
#' @param group For `type = "cases"`: the grouping factor whose groups are drawn; by default the coarsest one (therapists, when patients are
#'   nested in therapists), whose groups are independent. Groups of a finer factor are drawn within each group of the next one.
#' @param seed A whole number from which all random numbers follow. By default one is drawn from R's own generator, so that [set.seed()] makes the
#'   result reproducible.
#' @param threads Number of threads; by default [hlm_threads()].
#' @param statistic A function of a fit that returns a (named) numeric vector, evaluated on every replicate's fit in addition to the
#'   parameters: `function(fit) icc(fit)$icc`, for instance. This runs in R and takes some milliseconds per replicate. With `type = "cases"` the fit
#'   it gets holds the rows that were drawn, and copies of groups have names of their own.
#' @param x The result.
#' @param row.names,optional Not used.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return A list of class `hlm_boot`:
#'   * `t0`: named vector of estimates; `t`: matrix with one row per replicate and the same columns. First the fixed effects; then, named as 'lme4' does,
#'     standard deviations and correlations (`sd_(Intercept)|patient`, `cor_x.(Intercept)|patient`, `sigma`), variances and covariances
#'     (`var_(Intercept)|patient`, `cov_x.(Intercept)|patient`, `sigma^2`); then the values of `statistic`.
#'   * `kind`: what each column is: `"fixed"`, `"sdcor"`, `"vcov"` or `"statistic"`.
#'   * `status`: how each replicate ended: `"converged"`, `"boundary"` (a variance of zero or a correlation of -1 or 1: a valid estimate), `"failed"` (no
#'     optimum found) or `"unidentified"` (the sample does not identify the model, as when a predictor does not vary in it). Rows of the last two
#'     are `NA` in `t`; a correlation is `NA` where a variance is zero.
#'   * `theta`, `criterion`: covariance parameters and criterion of each replicate; `type`, `group`, `nsim`, `seed`, `statistic`, `fit`.
#'
#'   `as.data.frame()`: columns `replicate`, `status` and one per column of `t`.
#' @section Residual structures: models with argument `residual` of [hlm()] have the parametric bootstrap; `t` then has their parameters, too (`phi__session`,
#'   `sd_ratio__phase.level`).
#' @section Errors: `hlm_error_data` for arguments out of range, an unknown or crossed grouping factor with `type = "cases"`, too few groups to draw
#'   effects from with `type = "residual"`, or a `statistic` that is not numeric. `hlm_warning_bootstrap` when replicates could not be used.
#' @source Carpenter, Goldstein and Rasbash (2003), *Journal of the Royal Statistical Society C* 52, 431-443; van der Leeden, Meijer and Busing (2008),
#'   in de Leeuw and Meijer (eds.), *Handbook of Multilevel Analysis*, chapter 11; Davison and Hinkley (1997), *Bootstrap Methods and their Application*.
#' @seealso [confint.hlm_boot()] for intervals, [plot.hlm_boot()]
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' set.seed(1)
#' boot <- bootstrap(fit, nsim = 200)
#' boot
#' confint(boot, "Days")
#' @export
bootstrap <- function(fit, ...) UseMethod("bootstrap")

#' @export
bootstrap.default <- function(fit, ...) abort_not_hlm("bootstrap", fit)

#' @rdname bootstrap
#' @export
bootstrap.hlm <- function(fit, nsim = 1000, type = c("parametric", "residual", "cases"), group = NULL, seed = NULL, threads = NULL,
                          statistic = NULL, ...) {
  check_dots(...)
  type <- check_boot_type(type)
  if (type != "parametric") check_independent_residuals(fit, paste("The bootstrap of", type, "is"), "Use {.code type = \"parametric\"}.")
  nsim <- check_nsim(nsim)
  boot <- list(
    t0 = NULL, t = NULL, kind = NULL, status = NULL, theta = NULL, criterion = NULL, type = type,
    group = if (type == "cases") check_boot_group(fit, group), nsim = nsim, seed = check_boot_seed(seed), statistic = statistic, fit = fit
  )
  if (type != "cases" && !is.null(group)) abort_hlm("data", "{.arg group} is only for {.code type = \"cases\"}.")
  if (!is.null(statistic)) extra0 <- without_own_progress(check_statistic(statistic, fit))
  draws <- boot_draws(boot, threads)
  boot$status <- draws$status
  boot$theta <- draws$theta
  boot$free <- draws$free
  boot$criterion <- draws$criterion
  table <- boot_parameters(fit, draws)
  boot$t0 <- drop_matrix(boot_parameters(fit, estimates_row(fit))$values)
  boot$t <- table$values
  boot$t[!boot_usable(boot$status), ] <- NA_real_
  boot$kind <- table$kind
  if (!is.null(statistic)) boot <- add_statistic(boot, extra0)
  report_replicates(boot)
  structure(boot, class = "hlm_boot")
}

# Arguments ------------------------------------------------------------------------------------------------------------------------

check_boot_type <- function(type) {
  types <- c("parametric", "residual", "cases")
  found <- if (is.character(type) && length(type)) pmatch(tolower(type[[1L]]), types) else NA
  if (is.na(found)) abort_hlm("data", "{.arg type} must be one of {.val {types}}, not {.val {type}}.")
  types[[found]]
}

check_nsim <- function(nsim, least = 2L) {
  if (!is.numeric(nsim) || length(nsim) != 1L || !isTRUE(nsim >= least && nsim <= 1e7) || nsim != round(nsim)) {
    abort_hlm("data", "{.arg nsim} must be a whole number of at least {least}, not {.val {nsim}}.")
  }
  as.integer(nsim)
}

check_boot_seed <- function(seed) {
  if (is.null(seed)) return(sample.int(.Machine$integer.max, 1L))
  if (!is.numeric(seed) || length(seed) != 1L || !isTRUE(seed >= 0 && seed < 2^53) || seed != round(seed)) {
    shown <- if (is.numeric(seed)) seed else class(seed)[1L]
    abort_hlm("data", "{.arg seed} must be a whole number that is not negative, not {.val {shown}}.")
  }
  seed
}

# The factor whose groups are drawn or left out: one with random effects, in a chain of nested ones.
check_boot_group <- function(fit, group, what = "The cases bootstrap") {
  used <- used_groups(fit$design)
  names <- group_names(fit)
  if (!groups_are_chained(fit$design$groups[used])) {
    abort_hlm("data", c(
      "{what} needs groups that are independent of each other; {.val {names[used]}} are crossed.",
      i = "For crossed factors use {.code type = \"parametric\"} or {.code type = \"residual\"} with percentile, basic or normal intervals."
    ))
  }
  if (is.null(group)) return(names[used][[which.min(lengths(lapply(fit$design$groups[used], `[[`, "levels")))]])
  if (!is.character(group) || length(group) != 1L || !group %in% names[used]) {
    abort_hlm("data", c(
      "{.arg group} = {.val {group}} is not a grouping factor with random effects in this model.",
      i = "Grouping factors: {.val {names[used]}}."
    ))
  }
  group
}

# Sorted by falling number of levels, is each level of a factor inside one level of the next?
groups_are_chained <- function(groups) {
  groups <- groups[order(-lengths(lapply(groups, `[[`, "levels")))]
  all(vapply(seq_along(groups)[-1L], function(g) group_is_inside(groups[[g - 1L]], groups[[g]]), TRUE))
}

group_is_inside <- function(fine, coarse) {
  first <- match(seq_along(fine$levels), fine$codes)
  all(coarse$codes == coarse$codes[first][fine$codes])
}

check_statistic <- function(statistic, fit) {
  if (!is.function(statistic)) abort_hlm("data", "{.arg statistic} must be a function of a fit that returns numbers.")
  value <- statistic(fit)
  if (!is.numeric(value) || !length(value)) {
    abort_hlm("data", "{.arg statistic} must return numbers; for this fit it returns {.obj_type_friendly {value}}.")
  }
  names <- names(value) %||% rep("", length(value))
  names[names == ""] <- paste0("statistic", if (length(value) > 1L) seq_along(value))[names == ""]
  stats::setNames(as.double(value), make.unique(names))
}

boot_options <- function(boot, threads = NULL) {
  fit <- boot$fit
  list(
    type = boot$type, nsim = boot$nsim, seed = boot$seed, group = if (!is.null(boot$group)) match(boot$group, group_names(fit)),
    threads = hlm_threads(threads), max_iter = fit$control$max_iter, tol = fit$control$tol
  )
}

# Parameters -----------------------------------------------------------------------------------------------------------------------

boot_usable <- function(status) status %in% c("converged", "boundary")

drop_matrix <- function(x) stats::setNames(x[1L, ], colnames(x))

# Everything that follows from beta, theta and sigma, for all replicates (rows) at once.
boot_parameters <- function(fit, draws) {
  fixed <- draws$beta
  colnames(fixed) <- fit$design$x_names[kept_columns(fit)]
  covariances <- effect_covariances(fit, draws)
  terms <- lapply(seq_along(fit$design$terms), function(t) boot_term(fit, t, covariances))
  sdcor <- do.call(cbind, c(lapply(terms, `[[`, "sdcor"), list(sigma = draws$sigma), boot_residual(fit, draws$free)))
  vcov <- do.call(cbind, c(lapply(terms, `[[`, "vcov"), list(`sigma^2` = draws$sigma^2)))
  values <- cbind(fixed, sdcor, vcov)
  colnames(values) <- make.unique(colnames(values))
  list(values = values, kind = rep(c("fixed", "sdcor", "vcov"), c(ncol(fixed), ncol(sdcor), ncol(vcov))))
}

# Parameters of the residual structure as tidy() names them.
boot_residual <- function(fit, free) {
  names <- tidy_residual(fit)$term
  structure <- residual_estimates(fit)$structure
  values <- lapply(seq_along(names), function(k) residual_registry()[[structure[[k]]]]$natural(free[, k]))
  stats::setNames(values, names)
}

# Standard deviations and correlations, and (co)variances, of one term: column by column of the lower triangle, as 'lme4' lists them.
boot_term <- function(fit, t, covariances) {
  term <- fit$design$terms[[t]]
  map <- theta_map(fit$design)
  row <- map$row[map$term == t]
  col <- map$col[map$term == t]
  vcov <- covariances[, map$term == t, drop = FALSE]
  variance <- function(i) vcov[, row == i & col == i]
  sdcor <- vapply(seq_along(row), function(k) {
    # a variance of zero leaves its correlations undefined
    if (row[[k]] == col[[k]]) sqrt(vcov[, k]) else bounded_ratio(vcov[, k], variance(row[[k]]) * variance(col[[k]]))
  }, vcov[, 1L])
  sdcor <- matrix(sdcor, nrow(vcov))
  what <- paste0(ifelse(row == col, term$names[row], paste0(term$names[row], ".", term$names[col])), "|", fit$design$groups[[term$group]]$name)
  colnames(vcov) <- paste0(ifelse(row == col, "var_", "cov_"), what)
  colnames(sdcor) <- paste0(ifelse(row == col, "sd_", "cor_"), what)
  list(sdcor = sdcor, vcov = vcov)
}

bounded_ratio <- function(covariance, variances) {
  ifelse(is.na(variances) | variances == 0, NA_real_, pmax(-1, pmin(1, covariance / sqrt(variances))))
}

# Statistics computed in R -----------------------------------------------------------------------------------------------------------

# Adds the columns of `statistic`: any function of a fit, so that the fit of every replicate is put together.
add_statistic <- function(boot, extra0) {
  problems <- character()
  values <- over_samples(boot, length(extra0), "Statistic", function(sample, i) {
    refitted <- replicate_fit(boot, sample, i)
    value <- tryCatch(as.double(boot$statistic(refitted)), error = function(cnd) cnd)
    if (is.numeric(value) && length(value) == length(extra0)) return(value)
    problems <<- c(problems, if (is.numeric(value)) "another number of values" else conditionMessage(value))
    NA_real_
  })
  colnames(values) <- names(extra0)
  if (length(problems)) {
    warn_hlm("bootstrap", c(
      "{.arg statistic} could not be computed in {length(problems)} of {boot$nsim} replicate{?s}, which {?is/are} missing in its columns.",
      i = "The first problem: {problems[[1L]]}"
    ))
  }
  boot$t0 <- c(boot$t0, extra0)
  boot$t <- cbind(boot$t, values)
  boot$kind <- c(boot$kind, rep("statistic", length(extra0)))
  boot
}

# The fit of a sample whose theta is known: an outcome (double) or levels of a factor (integer).
sample_fit <- function(fit, sample, group, theta, status, free = NULL) {
  fit <- if (is.integer(sample)) with_groups(fit, group, sample) else with_outcome(fit, sample)
  residual <- sample_residual(fit, free)
  core <- engine_at(known_design(fit, list(residual = residual)), isTRUE(fit$REML), theta)
  core$residual <- residual
  core <- c(core, list(status = status, iterations = NA_integer_, evaluations = NA_integer_, decrement = NA_real_))
  core$message <- status_message(core, fit$design$y)
  fit$core <- core
  fit
}

# The parameters of the residual structure in a replicate.
sample_residual <- function(fit, free) {
  residual <- fit$core$residual
  if (is.null(residual)) return(NULL)
  residual$free[] <- free
  residual$natural[] <- vapply(boot_residual(fit, t(free)), identity, 0)
  residual$at_limit[] <- FALSE
  residual$gradient[] <- NA_real_
  residual
}

# The fit's rows of the drawn levels of a factor, every draw a group of its own; so are the groups inside it.
with_groups <- function(fit, group, drawn) {
  groups <- fit$design$groups
  chosen <- groups[[group]]
  of_level <- split(seq_along(chosen$codes), factor(chosen$codes, levels = seq_along(chosen$levels)))
  rows <- unlist(of_level[drawn], use.names = FALSE)
  copy <- rep.int(seq_along(drawn), lengths(of_level[drawn]))
  fit$data <- fit$data[fit$rows[rows], , drop = FALSE]
  row.names(fit$data) <- NULL
  fit$design$groups <- lapply(groups, function(g) {
    key <- if (group_is_inside(g, chosen)) (copy - 1) * length(g$levels) + g$codes[rows] else g$codes[rows]
    codes <- match(key, unique(key))
    levels <- make.unique(g$levels[g$codes[rows]][match(unique(codes), codes)])
    list(name = g$name, codes = codes, levels = levels)
  })
  for (g in fit$design$groups) {
    if (g$name %in% names(fit$data)) fit$data[[g$name]] <- g$levels[g$codes]
  }
  fit$design$y <- fit$design$y[rows]
  fit$design$columns <- lapply(fit$design$columns, `[`, rows)
  fit$design$offset <- fit$design$offset[rows]
  fit$design$weights <- fit$design$weights[rows]
  fit$design$residual <- residual_of_rows(fit$design$residual, rows)
  fit$rows <- seq_along(rows)
  fit$na.action <- NULL
  fit
}

# Reports ----------------------------------------------------------------------------------------------------------------------------

report_replicates <- function(boot, where = "t") {
  lost <- sum(!boot_usable(boot$status))
  if (lost == 0L) return(invisible())
  counts <- table(boot$status)
  left_out <- "left out of standard errors and intervals, which describe the other replicates only."
  warn_hlm("bootstrap", c(
    "{lost} of {boot$nsim} replicate{?s} cannot be used: {counts[['unidentified']]} did not identify the model, {counts[['failed']]} found no optimum.",
    i = if (is.null(where)) paste("They are", left_out) else paste("They are {.val {NA}} in {.field {where}} and", left_out)
  ))
}

#' @rdname bootstrap
#' @export
print.hlm_boot <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  what <- switch(x$type,
    parametric = "Parametric bootstrap", residual = "Residual bootstrap", cases = paste0("Cases bootstrap, groups of ", plain_group(x$group))
  )
  cat(what, ": ", count(x$nsim, "replicate"), ", seed ", format(x$seed, scientific = FALSE), "\n", sep = "")
  print_replicate_counts(x)
  cat("\n")
  shown <- which(x$kind != "vcov")
  table <- boot_summary(x)[shown, ]
  print_table(cbind(
    Name = row.names(table), Estimate = format_column(table$estimate, digits), Bias = format_column(table$bias, digits),
    SE = format_column(table$std.error, digits)
  ))
  cat("\nIntervals: confint(x)\n")
  invisible(x)
}

print_replicate_counts <- function(x) {
  counts <- table(x$status)
  if (counts[["boundary"]] > 0L) {
    cat(count(counts[["boundary"]], "replicate"), " on the boundary (a variance of zero or a correlation of -1 or 1)\n", sep = "")
  }
  lost <- counts[["failed"]] + counts[["unidentified"]]
  if (lost > 0L) {
    cat(count(lost, "replicate"), " not used: ", counts[["unidentified"]], " did not identify the model, ", counts[["failed"]], " found no optimum\n", sep = "")
  }
}

boot_summary <- function(x) {
  data.frame(
    estimate = x$t0, bias = colMeans(x$t, na.rm = TRUE) - x$t0, std.error = apply(x$t, 2L, stats::sd, na.rm = TRUE), row.names = names(x$t0)
  )
}

#' @rdname bootstrap
#' @export
as.data.frame.hlm_boot <- function(x, row.names = NULL, optional = FALSE, ...) {
  cbind(data.frame(replicate = seq_len(x$nsim), status = x$status), as.data.frame(x$t, optional = TRUE))
}
