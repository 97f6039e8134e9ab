# Where along a moderator a slope differs from zero: bounds (roots of |t| - critical value) and the regions between them.
#
# A *curve* is list(at, line, centre, scale): at(m) gives rows of coefficients; `line` (NULL when the rows are no straight line in m) is a matrix of two rows
# (a, b) with rows = a + b (m - centre) / scale. On a straight line the whole axis is searched by m = centre + scale tan(phi): t and its degrees of freedom
# do not change when a row is multiplied, so cos(phi) a + sin(phi) b stands for every m, infinity included.

new_curve <- function(setup, contrast, mod2 = NULL) {
  x <- setup$focals$modx$x
  centre <- mean(range(x))
  scale <- diff(range(x)) / 2
  at <- function(m) slope_rows(setup, m, rep(mod2, length(m)))[[contrast]]
  line <- NULL
  if (slope_is_line(setup, mod2)) {
    ends <- at(centre + c(-1, 1) * scale)
    line <- rbind((ends[1L, ] + ends[2L, ]) / 2, (ends[2L, ] - ends[1L, ]) / 2)
    at <- function(m) {
      z <- (m - centre) / scale
      rep(line[1L, ], each = length(m)) + outer(z, line[2L, ])
    }
  }
  list(at = at, line = line, centre = centre, scale = scale, range = range(x))
}

# How a test decides: list(p, critical(df), constant, label). `constant`: one critical value for all rows, whatever their df.
new_rule <- function(adjust, alpha, curve, fit, inference, grid) {
  switch(adjust,
    none = list(alpha = alpha, critical = function(df) stats::qt(1 - alpha / 2, df)),
    fdr = fdr_rule(curve, fit, inference, alpha, grid),
    simultaneous = simultaneous_rule(curve, fit, inference, alpha)
  )
}

# Esarey & Sumner (2018, Comp Polit Stud 51:1144): Benjamini and Hochberg's (1995) step-up over the tests at the values of the moderator. The largest i with
# p_(i) <= alpha i / n sets the level alpha i / n of each test; with none it is alpha / n, at which no value is significant.
fdr_rule <- function(curve, fit, inference, alpha, grid) {
  p <- slope_tests(curve$at(grid), fit, inference)$p
  n <- length(p)
  passed <- which(sort(p) <= alpha * seq_len(n) / n)
  level <- alpha * max(passed, 1L) / n
  list(alpha = level, critical = function(df) stats::qt(1 - level / 2, df), tests = n, found = length(passed) > 0L)
}

# Scheffe's method over the slopes at all values of the moderator together (Potthoff 1964, Psychometrika 29:241, for Johnson-Neyman regions): t^2 against the
# critical value of the joint test of the space that the rows span. The ratio of Wald's statistic to the method's own F does not depend on the data.
simultaneous_rule <- function(curve, fit, inference, alpha) {
  rows <- if (!is.null(curve$line)) curve$line else curve$at(seq(curve$range[[1L]], curve$range[[2L]], length.out = 50L))
  rows <- spanning_rows(rows, sqrt(diag(as.matrix(inference$vcov))))
  estimate <- drop(rows %*% tested_estimates(fit, inference))
  v <- rows %*% inference$vcov %*% t(rows)
  step <- sqrt(diag(v))
  test <- test_joint(fit, rows, estimate - step, inference)
  wald <- sum(step * solve(v, step))
  limit <- sqrt(wald / test$`F value` * stats::qf(1 - alpha, test$NumDF, test$DenDF))
  list(alpha = alpha, critical = function(df) rep(limit, length(df)), constant = limit, num_df = test$NumDF, den_df = test$DenDF)
}

spanning_rows <- function(rows, scale) {
  decomposition <- qr(t(rows) * scale, tol = 1e-7)
  rows[decomposition$pivot[seq_len(decomposition$rank)], , drop = FALSE]
}

slope_tests <- function(rows, fit, inference) {
  estimate <- drop(rows %*% tested_estimates(fit, inference))
  se <- sqrt(rowSums((rows %*% inference$vcov) * rows))
  df <- apply(rows, 1L, inference$df)
  list(estimate = estimate, se = se, df = df, p = 2 * stats::pt(abs(estimate / se), df, lower.tail = FALSE))
}

# |t| minus its critical value: positive where the slope differs from zero.
excess <- function(rows, fit, inference, rule) {
  tests <- slope_tests(rows, fit, inference)
  abs(tests$estimate / tests$se) - rule$critical(tests$df)
}

# Bounds -----------------------------------------------------------------------------------------------------------------------------

# All bounds, in increasing order: on the whole axis for a straight line, else within `range`.
find_bounds <- function(curve, fit, inference, rule, range) {
  if (is.null(curve$line)) {
    return(search_roots(function(m) excess(curve$at(m), fit, inference, rule), seq(range[[1L]], range[[2L]], length.out = 401L)))
  }
  limit <- rule$constant %||% constant_limit(curve, inference, rule)
  if (!is.null(limit)) return(closed_bounds(curve, fit, inference, limit))
  turn <- function(phi) outer(cos(phi), curve$line[1L, ]) + outer(sin(phi), curve$line[2L, ])
  # half a turn, and a little more at both ends, so that nothing is hidden next to infinity; bounds found twice count once
  step <- pi / 720
  phi <- search_roots(function(phi) excess(turn(phi), fit, inference, rule), seq(-pi / 2 - 2 * step, pi / 2 + 2 * step, by = step))
  phi <- phi[phi > -pi / 2 + 1e-9 & phi < pi / 2 - 1e-9]
  curve$centre + curve$scale * tan(phi)
}

# The one critical value when the degrees of freedom are the same everywhere.
constant_limit <- function(curve, inference, rule) {
  phi <- seq(-pi / 2, pi / 2, length.out = 33L)[-1L] - 0.01
  df <- apply(outer(cos(phi), curve$line[1L, ]) + outer(sin(phi), curve$line[2L, ]), 1L, inference$df)
  if (anyNA(df)) abort_no_df()
  if (all(is.infinite(df)) || diff(range(df)) < 1e-8 * df[[1L]]) rule$critical(df[[1L]])
}

abort_no_df <- function() {
  abort_hlm("numerical", c(
    "No degrees of freedom are left for the slope at some values of the moderator.", i = "Choose another {.arg ddf}."
  ))
}

# The quadratic equation (a + b z)' beta = +- c se (Johnson & Neyman 1936; Bauer & Curran 2005, Multivariate Behav Res 40:373, eq. 17 ff.).
closed_bounds <- function(curve, fit, inference, limit) {
  beta <- drop(curve$line %*% tested_estimates(fit, inference))
  v <- curve$line %*% inference$vcov %*% t(curve$line)
  a <- limit^2 * v[2L, 2L] - beta[[2L]]^2
  b <- 2 * (limit^2 * v[1L, 2L] - beta[[1L]] * beta[[2L]])
  c <- limit^2 * v[1L, 1L] - beta[[1L]]^2
  discriminant <- b^2 - 4 * a * c
  if (discriminant <= 0) return(numeric())
  # without cancellation
  q <- -(b + (if (b < 0) -1 else 1) * sqrt(discriminant)) / 2
  z <- c(if (abs(a) > 1e-14 * abs(q)) q / a, if (q != 0) c / q)
  sort(curve$centre + curve$scale * z)
}

# Sign changes between neighbours on the grid, and pairs of roots hidden between them, refined to machine precision.
search_roots <- function(f, grid) {
  value <- f(grid)
  if (anyNA(value)) abort_no_df()
  n <- length(grid)
  i <- seq_len(n)[-c(1L, n)]
  low <- abs(value)[i] <= pmin(abs(value)[i - 1L], abs(value)[i + 1L]) & value[i] * value[i - 1L] > 0 & value[i] * value[i + 1L] > 0
  extra <- vapply(i[low], function(k) {
    sign <- sign(value[[k]])
    stats::optimize(function(m) sign * f(m), grid[c(k - 1L, k + 1L)], tol = 1e-8)$minimum
  }, 0)
  if (length(extra)) {
    value <- c(value, f(extra))[order(c(grid, extra))]
    grid <- sort(c(grid, extra))
  }
  crossing <- which(value[-1L] * value[-length(value)] < 0)
  roots <- vapply(crossing, function(k) {
    stats::uniroot(f, grid[c(k, k + 1L)], f.lower = value[[k]], f.upper = value[[k + 1L]], tol = .Machine$double.eps^0.75)$root
  }, 0)
  sort(c(roots, grid[value == 0]))
}

# Regions ----------------------------------------------------------------------------------------------------------------------------

# The intervals between the bounds, clipped to `range`: from, to, significant, sign ("positive", "negative", NA), n and share of the units in them (of those
# whose values are `counted`), and data: does the interval hold observed values ("all" of it lies between the lowest and highest, "part", "none")?
find_regions <- function(curve, fit, inference, rule, bounds, range, x, counted) {
  bounds <- bounds[bounds > range[[1L]] & bounds < range[[2L]]]
  from <- c(range[[1L]], bounds)
  to <- c(bounds, range[[2L]])
  inner <- region_points(from, to, curve)
  rows <- curve$at(inner)
  significant <- excess(rows, fit, inference, rule) > 0
  estimate <- drop(rows %*% tested_estimates(fit, inference))
  n <- vapply(seq_along(from), function(k) sum(counted >= from[[k]] & (counted < to[[k]] | k == length(from) & counted <= to[[k]])), 0L)
  seen <- range(x)
  data <- ifelse(from >= seen[[2L]] | to <= seen[[1L]], "none", ifelse(from >= seen[[1L]] & to <= seen[[2L]], "all", "part"))
  data.frame(
    from = from, to = to, significant = significant, sign = ifelse(significant, ifelse(estimate > 0, "positive", "negative"), NA_character_),
    n = n, share = n / length(counted), data = data
  )
}

# A value inside each interval.
region_points <- function(from, to, curve) {
  ifelse(is.finite(from) & is.finite(to), (from + to) / 2, ifelse(
    is.finite(from), from + pmax(curve$scale, abs(from) * 1e-3), ifelse(is.finite(to), to - pmax(curve$scale, abs(to) * 1e-3), curve$centre)
  ))
}

bounds_table <- function(curve, fit, inference, bounds, x) {
  if (!length(bounds)) {
    return(data.frame(bound = numeric(), Estimate = numeric(), `Std. Error` = numeric(), df = numeric(), inside = logical(), check.names = FALSE))
  }
  tests <- slope_tests(curve$at(bounds), fit, inference)
  data.frame(
    bound = bounds, Estimate = tests$estimate, `Std. Error` = tests$se, df = tests$df, inside = bounds >= min(x) & bounds <= max(x), check.names = FALSE
  )
}
