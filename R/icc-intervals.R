# Reliability of group means, and confidence intervals of intraclass correlations.

# How much of each variance (columns: grouping factors, residual) remains in the mean of a group's rows (rows: grouping factors), averaged over
# the groups. Factors in which the group lies are common to the group's rows and to its neighbours': they do not count as error.
mean_shares <- function(fit, size = NULL) {
  groups <- fit$design$groups
  if (!is.null(size)) return(given_shares(check_uncorrelated_residuals(fit, "The reliability of means of a given size is"), size))
  inverse <- 1 / design_weights(fit$design)
  noise <- inverse / mean(inverse)
  count <- length(groups)
  shares <- matrix(0, count, count + 1L)
  for (g in seq_len(count)) {
    n <- tabulate(groups[[g]]$codes, length(groups[[g]]$levels))
    total <- if (has_correlated_residuals(fit)) correlated_sums(fit, groups[[g]]) else engine_group_sums(noise, groups[[g]]$codes, length(n))$sum
    shares[g, count + 1L] <- mean(total / n^2)
    for (h in setdiff(seq_len(count), g)) {
      if (is_nested(groups[[g]], groups[[h]])) next
      pair <- combine_codes(groups[[g]], groups[[h]])
      together <- tabulate(pair$codes, length(pair$group))
      shares[g, h] <- mean(engine_group_sums(as.double(together)^2, pair$group, length(n))$sum / n^2)
    }
  }
  shares
}

# 1'R1 of the rows of every group, R with the mean variance 1: correlations are those within persons, who lie inside the groups.
correlated_sums <- function(fit, group) {
  part <- Filter(function(part) residual_registry()[[part$name]]$correlates, fit$design$residual$parts)[[1L]]
  correlation <- residual_registry()[[part$name]]$correlation
  phi <- fit$core$residual$natural[["phi"]]
  inverse <- 1 / sqrt(design_weights(fit$design))
  inverse <- inverse / sqrt(mean(inverse^2))
  blocks <- split(seq_along(inverse), residual_blocks(fit))
  sums <- vapply(blocks, function(rows) {
    sum(correlation(phi, abs(outer(part$time[rows], part$time[rows], "-"))) * tcrossprod(inverse[rows]))
  }, 0)
  first <- vapply(blocks, `[[`, 1L, 1L)
  engine_group_sums(unname(sums), group$codes[first], length(group$levels))$sum
}

# Codes of the combinations of two factors that occur, and the first factor's level of each.
combine_codes <- function(a, b) {
  key <- (a$codes - 1) * length(b$levels) + b$codes
  found <- engine_group_codes(key)
  list(codes = found$codes, group = a$codes[found$first])
}

# Balanced groups of the sizes asked for, levels nested.
given_shares <- function(fit, size) {
  names <- group_names(fit)
  if (!is.numeric(size) || any(!is.finite(size)) || any(size <= 0)) abort_hlm("data", "{.arg size} must hold numbers greater than 0.")
  if (is.null(names(size)) && length(names) == 1L && length(size) == 1L) names(size) <- names
  place <- match(names, names(size))
  plain <- match(plain_level(names), names(size))
  place[is.na(place)] <- plain[is.na(place)]
  if (anyNA(place) || !levels_are_nested(fit)) {
    abort_hlm("data", c(
      "{.arg size} needs one number for each grouping factor, in a model with nested factors.",
      i = "Name the numbers by the factors, from the finest on: {.val {names}}."
    ))
  }
  # rows (or groups of a finer factor) in one group: products of the sizes on the way up
  rows <- cumprod(size[place])
  count <- length(names)
  shares <- matrix(0, count, count + 1L)
  for (g in seq_len(count)) {
    shares[g, count + 1L] <- 1 / rows[[g]]
    for (h in seq_len(g - 1L)) shares[g, h] <- rows[[h]] / rows[[g]]
  }
  shares
}

icc2_value <- function(variance, shares) {
  own <- variance[seq_len(nrow(shares))]
  ifelse(own == 0, 0, own / (own + drop(shares %*% variance)))
}

# Delta method on the logit scale (Fisher's transformation of a share): logit icc_g = log v_g - log(sum of the others), logit icc2_g = log v_g -
# log(error of the mean). Covariances of the variances from the observed information.
icc_delta <- function(fit, variance, shares, level) {
  pieces <- sigma_covariance(fit, "observed")
  last <- length(variance)
  to_levels <- rbind(cbind(level_coefficients(fit), 0), c(numeric(nrow(pieces$map)), mean(1 / design_weights(fit$design))))
  spread <- to_levels %*% pieces$vcov %*% t(to_levels)
  z <- stats::qnorm((1 + level) / 2)
  limits <- function(g, error, gradient) {
    if (variance[[g]] <= 0 || error <= 0) return(c(NA_real_, NA_real_))
    gradient <- -gradient / error
    gradient[[g]] <- gradient[[g]] + 1 / variance[[g]]
    centre <- log(variance[[g]] / error)
    stats::plogis(centre + c(-1, 1) * z * sqrt(sum(gradient * (spread %*% gradient))))
  }
  one <- vapply(seq_along(variance), function(g) {
    others <- replace(rep(1, last), g, 0)
    limits(g, sum(variance[-g]), others)
  }, numeric(2L))
  two <- vapply(seq_len(nrow(shares)), function(g) limits(g, sum(shares[g, ] * variance), shares[g, ]), numeric(2L))
  data.frame(icc_lower = one[1L, ], icc_upper = one[2L, ], icc2_lower = c(two[1L, ], NA), icc2_upper = c(two[2L, ], NA))
}

# Percentiles over outcomes simulated from the fitted model.
icc_boot <- function(fit, shares, level, nsim, seed) {
  if (!is.numeric(nsim) || length(nsim) != 1L || !isTRUE(nsim >= 2) || nsim != round(nsim)) {
    abort_hlm("data", "{.arg nsim} must be a whole number of at least 2.")
  }
  coefficients <- level_coefficients(fit)
  count <- nrow(shares)
  step <- local_progress(nsim, "Bootstrap")
  draws <- keep_seed(seed, vapply(seq_len(nsim), function(i) {
    step(i)
    again <- refit.hlm(fit, simulate.hlm(fit)[[1L]])
    variance <- c(level_variances(again, coefficients), residual_variance(again))
    c(variance / sum(variance), icc2_value(variance, shares))
  }, numeric(2L * count + 1L)))
  tails <- apply(draws, 1L, stats::quantile, probs = c(1 - level, 1 + level) / 2, names = FALSE)
  one <- tails[, seq_len(count + 1L), drop = FALSE]
  two <- cbind(tails[, count + 1L + seq_len(count), drop = FALSE], NA_real_)
  data.frame(icc_lower = one[1L, ], icc_upper = one[2L, ], icc2_lower = two[1L, ], icc2_upper = two[2L, ])
}

# One-way random effects, balanced (McGraw & Wong 1996, table 7, case 1): F = MSB / MSW times its quantiles.
icc_exact <- function(fit, level) {
  check_independent_residuals(fit, "The exact interval is", "Use {.code method = \"delta\"} or {.code method = \"boot\"}.")
  design <- fit$design
  codes <- design$groups[[1L]]$codes
  n <- tabulate(codes, length(design$groups[[1L]]$levels))
  one_way <- length(design$terms) == 1L && identical(as.integer(design$terms[[1L]]$columns), 0L) &&
    identical(as.integer(design$x[kept_columns(fit)]), 0L) && is.null(design$weights) && length(unique(design_offset(design))) == 1L
  if (!one_way || length(unique(n)) != 1L || n[[1L]] < 2L || length(n) < 2L) {
    abort_hlm("design", c(
      "The exact interval exists only for groups of one size, one random intercept and no predictors or weights.",
      i = "Use {.code method = \"boot\"} or {.code method = \"delta\"}."
    ))
  }
  size <- n[[1L]]
  df <- c(length(n) - 1, length(n) * (size - 1))
  means <- engine_group_sums(design$y, codes, length(n))$sum / size
  f <- size * stats::var(means) / (sum((design$y - means[codes])^2) / df[[2L]])
  low <- f / stats::qf((1 + level) / 2, df[[1L]], df[[2L]])
  high <- f * stats::qf((1 + level) / 2, df[[2L]], df[[1L]])
  # a share cannot be negative
  one <- pmax(c((low - 1) / (low + size - 1), (high - 1) / (high + size - 1)), 0)
  two <- pmax(1 - 1 / c(low, high), 0)
  data.frame(icc_lower = c(one[[1L]], 1 - one[[2L]]), icc_upper = c(one[[2L]], 1 - one[[1L]]), icc2_lower = c(two[[1L]], NA), icc2_upper = c(two[[2L]], NA))
}
