# Reliability of group means, and confidence intervals of intraclass correlations.

# How much of each variance (columns: grouping factors, residual) remains in the mean of a group's rows (rows: grouping factors), averaged over
# the groups. Factors in which the group lies are common to the group's rows and to its neighbours': they do not count as error.
mean_shares <- function(fit, size = NULL) {
  groups <- fit$design$groups
  if (!is.null(size)) return(given_shares(check_uncorrelated_residuals(fit, "The reliability of means of a given size is"), size))
  inverse <- 1 / design_weights(fit$design)
  inverse <- inverse / mean(inverse)
  count <- length(groups)
  shares <- matrix(0, count, count + 1L)
  for (g in seq_len(count)) {
    n <- tabulate(groups[[g]]$codes, length(groups[[g]]$levels))
    shares[g, count + 1L] <- mean(engine_group_sums(inverse, groups[[g]]$codes, length(n))$sum / n^2)
    for (h in setdiff(seq_len(count), g)) {
      if (is_nested(groups[[g]], groups[[h]])) next
      pair <- combine_codes(groups[[g]], groups[[h]])
      together <- tabulate(pair$codes, length(pair$group))
      shares[g, h] <- mean(engine_group_sums(as.double(together)^2, pair$group, length(n))$sum / n^2)
    }
  }
  if (has_correlated_residuals(fit)) shares[, count + 1L] <- correlated_shares(fit, fit$core$residual$natural[["phi"]])
  shares
}

# Average over the groups of each factor (columns) of 1'R1 / n^2, R the correlations of a group's rows with the mean variance 1, for each value of phi (rows).
# Correlations are those within persons, who lie inside the groups, and are multiplied from row to row: with S = w + (correlation with the row before) (S of the
# row before), w = 1 / sqrt(weight), 1'R1 is the sum of w (2 S - w).
correlated_shares <- function(fit, phi) {
  part <- Filter(function(part) residual_registry()[[part$name]]$correlates, fit$design$residual$parts)[[1L]]
  correlation <- residual_registry()[[part$name]]$correlation
  blocks <- residual_blocks(fit)
  order <- order(blocks, part$time)
  blocks <- blocks[order]
  w <- 1 / sqrt(design_weights(fit$design))
  w <- (w / sqrt(mean(w^2)))[order]
  gap <- c(0, diff(part$time[order]))
  place <- sequence(rle(blocks)$lengths)
  at <- split(seq_along(place), place)
  scale <- lapply(fit$design$groups, function(group) (length(group$levels) * tabulate(group$codes)^2)[group$codes[order]])
  values <- vapply(phi, function(phi) {
    s <- w
    for (rows in at[-1L]) s[rows] <- w[rows] + correlation(phi, gap[rows]) * s[rows - 1L]
    vapply(scale, function(size) sum(w * (2 * s - w) / size), 0)
  }, numeric(length(scale)))
  matrix(values, length(phi), byrow = TRUE)
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

# Shares of the variances of all levels (list element icc, replicates x levels and residual) and reliabilities of group means (icc2, replicates x levels).
# `noise`: what remains of the residual variance in the means, by replicate where it changes.
icc_values <- function(variances, shares, noise = matrix(shares[, ncol(shares)], nrow(variances), nrow(shares), byrow = TRUE)) {
  last <- ncol(variances)
  own <- variances[, -last, drop = FALSE]
  error <- own %*% t(shares[, -last, drop = FALSE]) + variances[, last] * noise
  list(icc = variances / rowSums(variances), icc2 = ifelse(own == 0, 0, own / (own + error)))
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

# Percentiles over replicates.
icc_boot <- function(fit, shares, level, nsim, seed) {
  boot <- draw_replicates(fit, nsim, seed)
  variances <- level_variances(fit, boot)
  values <- if (has_correlated_residuals(fit)) {
    icc_values(variances, shares, correlated_shares(fit, boot_residual(fit, boot$free)[[1L]]))
  } else {
    icc_values(variances, shares)
  }
  limits <- percentile_limits(boot, cbind(values$icc, values$icc2), level)
  one <- seq_len(ncol(values$icc))
  structure(
    data.frame(icc_lower = limits[1L, one], icc_upper = limits[2L, one], icc2_lower = c(limits[1L, -one], NA), icc2_upper = c(limits[2L, -one], NA)),
    status = boot$status
  )
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
