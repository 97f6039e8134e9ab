# Residuals of every level, what they should look like under the model, and tests of it.

#' Residuals at each level
#'
#' Level 1: what is left of each row after fixed and random effects. Higher levels: the random effects predicted for each group (empirical
#' Bayes), which are shrunken towards zero and therefore less spread out than the random effects themselves. They are set against
#' the spread that *predictions* have under the model (their "diagnostic" standard error), so that standardised values have variance 1.
#'
#' @param fit A fitted model of class `hlm`.
#' @param level `1`, or the name of a grouping factor.
#' @return A data frame. Level 1: `row`, one column per grouping factor, `fitted`, `fixed` (fitted from the fixed effects alone), `residual`, `standardized`
#'   (times the root of the prior weight, divided by the row's residual SD). Higher levels: `group`, `n` (rows), `effect`, `estimate`, `se`
#'   (diagnostic), `standardized`, `mahalanobis` (squared distance of all effects of the group from zero), `df` (its degrees of freedom)
#'   and `p_value` (chi-square); one row per group and effect.
#' @section Errors: `hlm_error_data` when `level` is not a grouping factor with random effects.
#' @source Skrondal and Rabe-Hesketh (2009), *Journal of the Royal Statistical Society A* 172, 659-687, section 5; Snijders and Bosker
#'   (2012), *Multilevel Analysis*, chapter 10.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' head(level_residuals(fit))
#' head(level_residuals(fit, "Subject"))
#' @export
level_residuals <- function(fit, level = 1) {
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  if (length(level) == 1L && level %in% c(1, "1")) return(row_residuals(fit))
  group_residuals(fit, check_group(fit, level))
}

row_residuals <- function(fit) {
  groups <- lapply(fit$design$groups, function(group) group$levels[group$codes])
  fixed <- fixed_predictor(fit)
  fitted <- fixed + random_predictor(fit)
  residual <- fit$design$y - fitted
  out <- c(
    list(row = row_names(fit)), stats::setNames(groups, group_names(fit)),
    list(fitted = fitted, fixed = fixed, residual = residual, standardized = residual * residual_root(fit) / fit$core$sigma)
  )
  structure(out, class = "data.frame", row.names = seq_along(fitted))
}

group_residuals <- function(fit, group) {
  g <- match(group, group_names(fit))
  if (!g %in% used_groups(fit$design)) abort_hlm("data", "{.val {group}} has no random effects in this model.")
  frame <- ranef_frames(fit)[[g]]
  spread <- prediction_covariance(fit, g)
  variance <- t(apply(spread, 3L, diag))
  if (ncol(frame) == 1L) variance <- t(variance)
  modes <- as.matrix(frame)
  distance <- mahalanobis_zero(modes, spread)
  se <- sqrt(pmax(variance, 0))
  n <- tabulate(fit$design$groups[[g]]$codes, nrow(modes))
  data.frame(
    group = rep(row.names(frame), ncol(modes)), n = rep(n, ncol(modes)), effect = factor(rep(names(frame), each = nrow(modes)), levels = names(frame)),
    estimate = as.double(modes), se = as.double(se), standardized = as.double(ifelse(se > 0, modes / se, NA)),
    mahalanobis = rep(distance$value, ncol(modes)), df = rep(distance$df, ncol(modes)),
    p_value = rep(stats::pchisq(distance$value, distance$df, lower.tail = FALSE), ncol(modes))
  )
}

# Var(b) - Var(b | y) = Cov of the predictions (Skrondal & Rabe-Hesketh 2009, eq. 14, beta taken as known): q x q x J.
prediction_covariance <- function(fit, g) {
  terms <- which(term_group(fit) == g)
  conditional <- engine_condvar(known_design(fit), isTRUE(fit$REML), fit$core$theta)[[g]]
  q <- dim(conditional)[[1L]]
  prior <- matrix(0, q, q)
  for (t in terms) {
    place <- term_places(fit, t)
    prior[place, place] <- fit$core$sigma^2 * tcrossprod(term_lambda(fit, t))
  }
  array(as.double(prior), dim(conditional)) - conditional
}

# b'S^-b per group and the rank of S; directions in which nothing varies (a variance of zero, a perfect correlation) are left out.
mahalanobis_zero <- function(modes, spread) {
  value <- df <- numeric(nrow(modes))
  for (j in seq_len(nrow(modes))) {
    s <- matrix(spread[, , j], ncol(modes))
    scale <- sqrt(pmax(diag(s), 0))
    known <- scale > 0
    if (!any(known)) next
    spectrum <- eigen(s[known, known, drop = FALSE] / tcrossprod(scale[known]), symmetric = TRUE)
    keep <- spectrum$values > 1e-8
    score <- crossprod(spectrum$vectors[, keep, drop = FALSE], (modes[j, ] / scale)[known])
    value[[j]] <- sum(score^2 / spectrum$values[keep])
    df[[j]] <- sum(keep)
  }
  list(value = ifelse(df > 0, value, NA), df = df)
}

# Variance of the residuals from person to person -------------------------------------------------------------------------------------

# Per group of factor g: the residual variance about the group's own regression on the random effects' columns, the fixed effects taken as known,
# with its degrees of freedom.
group_variances <- function(fit, g) {
  group <- fit$design$groups[[g]]
  basis <- tree_basis(fit)
  unit <- as_unit(group$name, as.integer(group$codes), group$levels)
  unit$terms <- unlist(lapply(used_groups(fit$design), function(k) which(term_group(fit) == k)))
  moments <- tree_rows(fit, list(levels = list(unit)), basis)
  q <- sum(vapply(fit$design$terms[unit$terms], function(term) length(term$columns), 1L))
  last <- dim(moments)[[2L]]
  swept <- batch_regress(moments[, c(seq_len(q), last), c(seq_len(q), last), drop = FALSE], q)
  df <- tabulate(unit$codes, length(unit$labels)) - swept$rank
  list(variance = ifelse(df > 0, fit$core$sigma^2 * pmax(swept$rss, 0) / df, NA), df = df, labels = group$levels)
}

# Residual sum of squares of the last column on the first q, and the rank of these, for all groups at once.
batch_regress <- function(a, q, tol = 1e-7) {
  n <- dim(a)[[1L]]
  rank <- numeric(n)
  original <- vapply(seq_len(q), function(k) a[, k, k], double(n))
  original <- matrix(original, n)
  for (k in seq_len(q)) {
    pivot <- a[, k, k]
    use <- pivot > tol * original[, k] & pivot > 0
    rank <- rank + use
    rest <- (k + 1L):(q + 1L)
    column <- matrix(a[, rest, k], n)
    scaled <- ifelse(use, 1 / pivot, 0) * column
    for (j in seq_along(rest)) a[, rest, rest[[j]]] <- matrix(a[, rest, rest[[j]]], n) - column * scaled[, j]
  }
  list(rss = a[, q + 1L, q + 1L], rank = rank)
}

# Do all groups have the same residual variance? Sum of squared standardised log-variances (Raudenbush & Bryk 2002, Hierarchical Linear
# Models, eq. 9.4), with the exact mean and variance of a log chi-square (Bartlett & Kendall 1946, J R Stat Soc Suppl 8:128) in place of
# 0 and 2/v, and the reference chi-square scaled to the exact variance of the sum, so that short series (few df) do not reject too often.
variance_homogeneity <- function(fit, g, min_df = 2) {
  by_group <- group_variances(fit, g)
  use <- which(by_group$df >= min_df & by_group$variance > 0)
  if (length(use) < 3L) return(NULL)
  half <- by_group$df[use] / 2
  log_variance <- log(by_group$variance[use]) - (digamma(half) - log(half))
  spread <- trigamma(half)
  centre <- sum(log_variance / spread) / sum(1 / spread)
  d <- (log_variance - centre) / sqrt(spread)
  df <- length(use) - 1
  # Var(d^2) = 2 + excess kurtosis of the log chi-square
  kurtosis <- psigamma(half, 3L) / spread^2
  scale <- 1 + mean(kurtosis) / 2
  list(
    statistic = sum(d^2), df = df, p_value = stats::pchisq(sum(d^2) / scale, df / scale, lower.tail = FALSE),
    groups = data.frame(group = by_group$labels[use], sd = sqrt(by_group$variance[use]), df = by_group$df[use], z = d)
  )
}

# Bands of a normal quantile plot -------------------------------------------------------------------------------------------------------

# Limits for the i-th smallest of n normal values: beta quantiles at the local level that gives `level` for each value alone
# (pointwise) or for all of them together (simultaneous; equal local levels, Aldor-Noiman et al. 2013, Am Stat 67:249).
qq_band <- function(n, level = 0.95, band = "simultaneous") {
  local <- 1 - level
  if (band == "simultaneous") local <- local_level(n, level)
  i <- seq_len(n)
  list(
    low = stats::qnorm(stats::qbeta(local / 2, i, n - i + 1)), high = stats::qnorm(stats::qbeta(local / 2, i, n - i + 1, lower.tail = FALSE))
  )
}

# Beyond 500 values the local level falls like 1 / (log n log log n) (Gontscharuk & Finner 2017, Stat Neerl 71:2).
local_level <- function(n, level) {
  m <- min(n, 500L)
  if (m == 1L) return(1 - level)
  miss <- function(log_local) band_probability(m, exp(log_local)) - level
  local <- exp(stats::uniroot(miss, log(c((1 - level) / (2 * m), 1 - level)), tol = 1e-4)$root)
  if (n > m) local * log(m) * log(log(m)) / (log(n) * log(log(n))) else local
}

# P(all order statistics of n uniforms lie between their limits): the uniforms as a Poisson process conditioned on n points, whose count
# must stay between the bounds (Moscovich & Nadler 2017, Stat Probab Lett 123:177).
band_probability <- function(n, local) {
  i <- seq_len(n)
  lower <- stats::qbeta(local / 2, i, n - i + 1)
  upper <- stats::qbeta(local / 2, i, n - i + 1, lower.tail = FALSE)
  times <- sort(c(lower, upper))
  # just before `lower[i]` fewer than i points; at `upper[i]` at least i
  most <- findInterval(times, lower, left.open = TRUE)
  least <- findInterval(times, upper)
  probability <- c(1, numeric(n))
  before <- 0
  for (k in seq_along(times)) {
    rate <- n * (times[[k]] - before)
    before <- times[[k]]
    allowed <- (least[[k]]:max(most[[k]], least[[k]])) + 1L
    if (most[[k]] < least[[k]]) return(0)
    jumps <- 0:stats::qpois(1e-14, rate, lower.tail = FALSE)
    new <- numeric(n + 1L)
    for (jump in jumps) {
      from <- allowed - jump
      some <- from >= 1L
      new[allowed[some]] <- new[allowed[some]] + probability[from[some]] * stats::dpois(jump, rate)
    }
    probability <- new
  }
  rate <- n * (1 - before)
  sum(probability * stats::dpois(n - 0:n, rate)) / stats::dpois(n, n)
}
