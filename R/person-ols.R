# Each unit's own least-squares slope, from its rows alone.

# For unit j the outcome of its rows is regressed on the columns of the fixed part; what is constant in the unit joins its intercept, and
# l_j'b is the slope if these rows determine it. In a unit that contains units with random effects (the patients of a therapist) each of those has
# an intercept of its own, provided the slope is one within them. Data frame ols, ols_se, ols_df; NA where the rows do not give them.
#
# Under weights or a residual structure the rows are whitened first (`ones` is the constant then): least squares becomes generalised least squares
# with the covariance of the model's residuals, and its standard errors are right.
#
# own = "adjusted": only the unit's random effects are estimated from its rows; for all other effects those of the model count.
unit_ols <- function(fit, g, rows, own = "alone") {
  group <- fit$design$groups[[g]]
  inner <- inner_factors(fit$design, g)
  line <- if (own == "alone") ols_alone(fit, rows) else ols_adjusted(fit, g, inner, rows)
  l <- line$l
  white <- whiten_rows(fit, cbind(line$y, 1, line$x))
  plain <- list(x = white[, -(1:2), drop = FALSE], y = white[, 1L], lost = integer(length(line$y)))
  inside <- if (length(inner)) {
    sizes <- vapply(fit$design$groups[inner], function(one) length(one$levels), 1L)
    centred_rows(plain, fit$design$groups[[inner[[which.max(sizes)]]]], white[, 2L])
  }
  rows_of <- split(seq_along(line$y), factor(group$codes, levels = seq_along(group$levels)))
  one <- function(data, rows, l) {
    own_line(data$x[rows, , drop = FALSE], data$y[rows], l, sum(data$lost[rows]))
  }
  lines <- vapply(seq_along(rows_of), function(j) {
    rows <- rows_of[[j]]
    found <- if (!is.null(inside)) one(inside, rows, l[j, ]) else NULL
    if (is.null(found) || is.na(found[[1L]])) one(plain, rows, l[j, ]) else found
  }, numeric(3L))
  data.frame(ols = lines[1L, ] + line$known, ols_se = lines[2L, ], ols_df = lines[3L, ])
}

ols_alone <- function(fit, rows) {
  list(x = unname(kept_x(fit)), y = fit$design$y - design_offset(fit$design), l = rows$x, known = 0)
}

# r, what the fixed effects and the random effects of other factors leave over, on the unit's own random-effect columns.
ols_adjusted <- function(fit, g, inner, rows) {
  own <- which(term_group(fit) == g)
  other <- which(!term_group(fit) %in% c(g, inner))
  known <- drop(rows$x %*% fixef.hlm(fit))
  for (t in other) known <- known + new_random(fit, rows, t, rows$chosen[[t]])
  list(
    x = do.call(cbind, lapply(fit$design$terms[own], function(term) unname(term_matrix(fit, term)))), l = do.call(cbind, rows$z[own]),
    y = fit$design$y - fixed_predictor(fit) - random_predictor(fit, other), known = known
  )
}

# Whitened rows freed of a constant for each level of a factor, `ones` the whitened constant; `lost` marks one degree of freedom per level.
centred_rows <- function(data, factor, ones) {
  codes <- factor$codes
  total <- engine_group_sums(ones^2, codes, length(factor$levels))$sum
  centre <- function(v) v - ones * (engine_group_sums(ones * v, codes, length(factor$levels))$sum / total)[codes]
  x <- data$x
  for (k in seq_len(ncol(x))) {
    x[, k] <- centre(data$x[, k])
    # Rounding is no variation.
    x[abs(x[, k]) <= 1e-10 * max(abs(data$x[, k])), k] <- 0
  }
  list(x = x, y = centre(data$y), lost = as.integer(!duplicated(codes)))
}

# The combination l of the coefficients, its standard error and degrees of freedom. Rank and estimability from the QR decomposition with
# the collinear columns last: with R = (R11, R12), l is estimable if l2' = l1' R11^-1 R12 (Searle 1971, Linear Models, section 5.4).
own_line <- function(x, y, l, lost = 0L) {
  none <- c(NA_real_, NA_real_, NA_real_)
  parts <- qr(x, tol = 1e-7)
  rank <- parts$rank
  if (rank == 0L) return(none)
  first <- seq_len(rank)
  r <- qr.R(parts)
  l <- l[parts$pivot]
  solved <- backsolve(r[first, first, drop = FALSE], l[first], transpose = TRUE)
  implied <- crossprod(r[first, -first, drop = FALSE], solved)
  if (any(abs(l[-first] - implied) > 1e-6 * max(abs(l)))) return(none)
  effects <- qr.qty(parts, y)
  df <- length(y) - rank - lost
  slope <- sum(solved * effects[first])
  if (df < 1L) return(c(slope, NA_real_, df))
  sigma2 <- sum(effects[-first]^2) / df
  c(slope, sqrt(sigma2 * sum(solved^2)), df)
}
