# Expected moments of a stationary autoregression y_t = m_i + z_t, z_t = rho z_(t-1) + e_t, over the sessions that were analysed.
#
# Rows of a person are the times t at which y_t and y_(t-1) are both there. With H the projection on the person's constant (or trend) over these rows
# and I - H on the deviations, every moment is a sum over pairs of rows of an entry of H times a power of rho, which depends on the
# time between the two rows only:
#   E sum z_(t-1) e_t within = -sigma^2 sum_(d >= 1) C_d rho^(d-1),          C_d = sum of H_ts over pairs with s - t = d
#   E sum z_(t-1)^2 within = gamma (rows - tr H - 2 sum_d C_d rho^d),          gamma = sigma^2/(1 - rho^2)
# For the person's mean (H = 1/T) and T sessions without gaps C_d = (T - d)/T, and the ratio of the two is Nickell's (1981) eq. 18.

# Per person's number of rows: persons, sessions, trace of H, and the matrix C (one row per number of sessions, column d).
# Times in units of the lag; rows between which lies no whole number of lags are independent.
panel_moments <- function(person, time, degree = 0L) {
  order <- order(person, time)
  person <- person[order]
  time <- time[order]
  start <- !duplicated(person)
  step <- c(0, diff(time))
  step[start] <- 0
  keys <- vapply(split(round(step, 6L), person), paste, "", collapse = " ")
  first <- split(time, person)
  patterns <- table(keys)
  pieces <- lapply(names(patterns), function(key) {
    one <- pattern_moments(first[[match(key, keys)]], degree)
    one$persons <- patterns[[key]]
    one
  })
  sessions <- vapply(pieces, `[[`, 1L, "rows")
  persons <- vapply(pieces, function(piece) as.integer(piece$persons), 1L)
  sizes <- sort(unique(sessions))
  deepest <- max(vapply(pieces, function(piece) length(piece$c), 1L), 1L)
  c <- matrix(0, length(sizes), deepest)
  trace <- numeric(length(sizes))
  for (k in seq_along(pieces)) {
    row <- match(sessions[[k]], sizes)
    own <- pieces[[k]]$c
    c[row, seq_along(own)] <- c[row, seq_along(own)] + persons[[k]] * own
    trace[[row]] <- trace[[row]] + persons[[k]] * pieces[[k]]$trace
  }
  counts <- as.integer(tapply(persons, factor(sessions, sizes), sum))
  list(sessions = sizes, persons = counts, trace = trace, c = c, rows = sum(counts * sizes))
}

pattern_moments <- function(time, degree) {
  n <- length(time)
  basis <- if (degree == 0L || n == 1L) matrix(1, n) else stats::poly(time, min(degree, n - 1L))
  if (degree > 0L && n > 1L) basis <- cbind(1, basis)
  q <- qr.Q(qr(basis))
  h <- tcrossprod(q)
  between <- outer(time, time, function(a, b) b - a)
  whole <- between > 0.5 & abs(between - round(between)) < 1e-6
  d <- round(between[whole])
  c <- if (length(d)) as.double(tapply(h[whole], factor(d, seq_len(max(d))), sum, default = 0)) else numeric()
  list(rows = n, trace = ncol(q), c = c)
}

# The sessions of the analysed rows of a fit; time in units of the lag.
fit_panel <- function(fit, lag, degree = 0L) {
  panel_moments(as.integer(person_factor(fit)$codes), fit_times(fit) / lag, degree)
}

powers <- function(panel, rho, shift = 0L) rho^(seq_len(ncol(panel$c)) + shift)

# In units of sigma^2: the covariance of the centred earlier value and error, and the sum of squares of the former.
panel_covariance <- function(panel, rho) -sum(panel$c %*% powers(panel, rho, -1L))

panel_squares <- function(panel, rho) (panel$rows - sum(panel$trace) - 2 * sum(panel$c %*% powers(panel, rho))) / (1 - rho^2)

panel_bias <- function(panel, rho) panel_covariance(panel, rho) / panel_squares(panel, rho)

# Nickell (1981), eq. 18, for n_times sessions of every person without gaps (the first earlier value not counted); its limit at rho = 1 is
# -3/(n_times + 1) (Harris & Tzavalis 1999, J Econometrics 91:201).
nickell_formula <- function(rho, n_times) {
  n <- max(length(rho), length(n_times))
  rho <- rep_len(as.double(rho), n)
  t <- rep_len(as.double(n_times), n)
  value <- nickell_closed(rho, t)
  # near 1 the closed form loses digits: straight from 0.999 to the limit
  near <- which(rho > 0.999 & rho <= 1)
  share <- (rho[near] - 0.999) / 0.001
  value[near] <- (1 - share) * nickell_closed(rep(0.999, length(near)), t[near]) - share * 3 / (t[near] + 1)
  value[t < 2 | abs(rho) > 1] <- NA_real_
  value
}

nickell_closed <- function(rho, t) {
  part <- 1 - (1 - rho^t) / (t * (1 - rho))
  -(1 + rho) / (t - 1) * part / (1 - 2 * rho / ((1 - rho) * (t - 1)) * part)
}

rho_limit <- 0.999

# The true value whose expected estimate is `estimate`. `left`: sum of squares that the other predictors leave of the earlier value. The numerator of
# the bias is the panel's, the denominator is `left`; `variance` is itself too small, by bias^2 left / (rows - tr H). With `left` given there can be
# two solutions; the one next to Nickell's, without other predictors, is meant.
solve_within <- function(panel, estimate, left, variance) {
  free <- panel$rows - sum(panel$trace)
  if (free <= 0) return(list(rho = NA_real_, note = "No person has two analysed sessions."))
  plain <- solve_rho(function(rho) rho + panel_bias(panel, rho) - estimate)
  if (is.na(plain$rho)) return(plain)
  bias <- function(rho) {
    slope <- panel_covariance(panel, rho) / left
    # s = sigma^2: s = variance + (s slope)^2 left / free, the smaller root
    a <- slope^2 * left / free
    s <- if (a == 0) variance else (1 - sqrt(max(1 - 4 * a * variance, 0))) / (2 * a)
    s * slope
  }
  roots <- grid_roots(function(rho) rho + bias(rho) - estimate)
  if (!length(roots)) {
    plain$note <- "Without regard to the other predictors, with which there is no solution."
    return(plain)
  }
  list(rho = roots[[which.min(abs(roots - plain$rho))]], note = NA_character_)
}

grid_roots <- function(gap) {
  grid <- seq(-rho_limit, rho_limit, length.out = 200L)
  values <- vapply(grid, gap, 0)
  turn <- which(diff(sign(values)) != 0)
  vapply(turn, function(k) stats::uniroot(gap, grid[k + 0:1], tol = 1e-10)$root, 0)
}

# Nickell's bias is smaller than what rho grows: there is one solution.
solve_rho <- function(gap) {
  ends <- c(gap(-rho_limit), gap(rho_limit))
  if (ends[[2L]] < 0) {
    note <- "The estimate is larger than a stationary autoregression with so few sessions is expected to give: a trend, or a true value near 1."
    return(list(rho = NA_real_, note = note))
  }
  if (ends[[1L]] > 0) return(list(rho = NA_real_, note = "The estimate is smaller than any stationary autoregression is expected to give."))
  list(rho = stats::uniroot(gap, c(-rho_limit, rho_limit), tol = 1e-10)$root, note = NA_character_)
}

# The raw lag with a random intercept -------------------------------------------------------------------------------------------------

# Per number of sessions, in units of gamma: sums of squares and products of (y_(t-1), y_t) within persons and of the persons' means; `spread` is
# the variance of the persons' levels in the same unit.
raw_moments <- function(panel, rho, spread) {
  n <- panel$persons
  same <- 2 * drop(panel$c %*% powers(panel, rho))
  cross <- drop(panel$c %*% (powers(panel, rho, -1L) + powers(panel, rho, 1L)))
  level <- n * panel$sessions * spread
  list(
    within_xx = n * panel$sessions - n - same, within_xy = n * panel$sessions * rho - n * rho - cross,
    between_xx = n + same + level, between_xy = n * rho + cross + level
  )
}

# Expected score equations of GLS with intercept variance lambda sigma^2, at autoregression b: for b itself, and for lambda.
raw_scores <- function(panel, rho, spread, b, lambda) {
  m <- raw_moments(panel, rho, spread)
  shrink <- 1 / (1 + panel$sessions * lambda)
  slope <- sum(m$within_xy - b * m$within_xx + shrink * (m$between_xy - b * m$between_xx))
  within <- m$within_xx * (1 + b^2) - 2 * b * m$within_xy
  between <- m$between_xx * (1 + b^2) - 2 * b * m$between_xy
  residual <- sum(within + shrink * between) / panel$rows
  c(slope = slope, lambda = sum(panel$sessions * shrink^2 * between) / residual - sum(panel$persons * panel$sessions * shrink))
}

# The estimates that the likelihood expects for given true values: b and lambda (0 at the boundary).
raw_expected <- function(panel, rho, spread) {
  slope_at <- function(lambda) {
    m <- raw_moments(panel, rho, spread)
    shrink <- 1 / (1 + panel$sessions * lambda)
    sum(m$within_xy + shrink * m$between_xy) / sum(m$within_xx + shrink * m$between_xx)
  }
  criterion <- function(lambda) {
    b <- slope_at(lambda)
    m <- raw_moments(panel, rho, spread)
    shrink <- 1 / (1 + panel$sessions * lambda)
    rss <- sum(m$within_xx * (1 + b^2) - 2 * b * m$within_xy + shrink * (m$between_xx * (1 + b^2) - 2 * b * m$between_xy))
    panel$rows * log(rss) - sum(panel$persons * log(shrink))
  }
  # the criterion may have two valleys; a grid finds the deeper one
  grid <- c(0, exp(seq(log(1e-4), log(1e4), length.out = 200L)))
  values <- vapply(grid, criterion, 0)
  best <- which.min(values)
  if (best == 1L) return(c(b = slope_at(0), lambda = 0))
  range <- c(grid[[best - 1L]], grid[[min(best + 1L, length(grid))]])
  lambda <- stats::optimize(criterion, range, tol = 1e-10)$minimum
  c(b = slope_at(lambda), lambda = lambda)
}

# For each rho the first equation is linear in the spread; the second then has one unknown.
solve_raw <- function(fit, panel, estimate, column, shift = 0) {
  lambda <- intercept_ratio(fit)
  if (is.na(lambda)) return(list(rho = NA_real_, note = "The model has no random intercept of persons: the bias is not of this kind."))
  if (lambda > 1e-8) {
    spread_at <- function(rho) {
      at <- c(raw_scores(panel, rho, 0, estimate, lambda)[["slope"]], raw_scores(panel, rho, 1, estimate, lambda)[["slope"]])
      -at[[1L]] / (at[[2L]] - at[[1L]])
    }
    gap <- function(rho) {
      spread <- spread_at(rho)
      if (!is.finite(spread) || spread < 0) return(NA_real_)
      raw_scores(panel, rho, spread, estimate, lambda)[["lambda"]]
    }
    roots <- grid_roots(gap)
    # of several solutions the one that claims the smallest bias
    if (length(roots)) return(list(rho = roots[[which.min(abs(roots - estimate))]], note = NA_character_))
  }
  from_within(fit, panel, column, shift)
}

# Variance of the persons' random intercepts, of all levels, over the residual variance.
intercept_ratio <- function(fit) {
  person <- person_factor(fit)
  places <- if (!is.null(person)) slope_places(fit, "(Intercept)", person)
  if (!length(places)) return(NA_real_)
  sum(vapply(places, function(place) tcrossprod(term_lambda(fit, place$term))[place$column, place$column], 0))
}

# With no intercept variance left the raw estimate says nothing about the true one; the deviations within persons do.
from_within <- function(fit, panel, column, shift) {
  person <- person_factor(fit)
  x <- kept_x(fit)
  centred <- apply(x, 2L, group_mean, group = person)
  x <- x - centred
  y <- fit$design$y - design_offset(fit$design)
  y <- y - group_mean(y, person)
  place <- match(column$term, names(fixef.hlm(fit)))
  keep <- unique(c(place, which(sqrt(colSums(x^2)) > 1e-8 * sqrt(colSums((x + centred)^2)))))
  made <- stats::lm.fit(x[, keep, drop = FALSE], y)
  if (is.na(made$coefficients[[1L]])) return(list(rho = NA_real_, note = "The earlier value does not vary within persons."))
  kept <- keep[!is.na(made$coefficients)]
  left <- stats::lm.fit(x[, setdiff(kept, place), drop = FALSE], x[, place])$residuals
  variance <- sum(made$residuals^2) / (nrow(x) - sum(panel$persons) - length(kept))
  out <- solve_within(panel, made$coefficients[[1L]] + shift, sum(left^2), variance)
  out$note <- paste(
    c("The intercept variance does not tell how far persons' levels differ; the true value is from the deviations within persons.", stats::na.omit(out$note)),
    collapse = " "
  )
  out
}
