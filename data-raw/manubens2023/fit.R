# A small, fast, exact fit of the models that the calibration evaluates thousands of times: one grouping factor, a random
# intercept and at most one random slope. The criterion is lme4's profiled one (Bates et al. 2015, J Stat Softw 67(1),
# eqs. 34 and 41), the degrees of freedom are lmerTest's (Kuznetsova et al. 2017). The finished data set is judged by lme4 and
# lmerTest themselves (publish.R), never by this file.

# Cross-products per patient; `g` are patient numbers 1..J, `z` the random-slope column or NULL.
fit_moments <- function(y, x, z, g) {
  c_all <- cbind(x, y)
  one <- rowsum(c_all, g)
  m <- list(n = length(y), p = ncol(x), cc = crossprod(c_all), zc1 = one, n_i = tabulate(g), slope = !is.null(z))
  if (m$slope) {
    m$zc2 <- rowsum(z * c_all, g)
    m$s1 <- rowsum(z, g)[, 1]
    m$s2 <- rowsum(z^2, g)[, 1]
  }
  m
}

# The pieces of the criterion at theta = lme4's theta.
fit_pieces <- function(m, theta) {
  l11 <- theta[1]
  l21 <- if (m$slope) theta[2] else 0
  # The first column of Lambda'Z'(...) needs both columns of Z.
  zz11 <- m$n_i
  w1 <- l11 * m$zc1
  a11 <- 1 + l11^2 * zz11
  if (m$slope) {
    l22 <- theta[3]
    w1 <- w1 + l21 * m$zc2
    a11 <- a11 + 2 * l11 * l21 * m$s1 + l21^2 * m$s2
    a12 <- l22 * (l11 * m$s1 + l21 * m$s2)
    a22 <- 1 + l22^2 * m$s2
    c11 <- sqrt(a11)
    c21 <- a12 / c11
    c22 <- sqrt(a22 - c21^2)
    w1 <- w1 / c11
    w2 <- (l22 * m$zc2 - c21 * w1) / c22
    reduced <- m$cc - crossprod(w1) - crossprod(w2)
    logdet <- 2 * sum(log(c11), log(c22))
  } else {
    reduced <- m$cc - crossprod(w1 / sqrt(a11))
    logdet <- sum(log(a11))
  }
  k <- seq_len(m$p)
  r <- chol(reduced[k, k, drop = FALSE])
  cu <- backsolve(r, reduced[k, m$p + 1], transpose = TRUE)
  list(logdet = logdet, r = r, cu = cu, r2 = reduced[m$p + 1, m$p + 1] - sum(cu^2), logdet_x = 2 * sum(log(diag(r))))
}

fit_criterion <- function(m, theta, reml) {
  q <- fit_pieces(m, theta)
  nu <- if (reml) m$n - m$p else m$n
  q$logdet + (if (reml) q$logdet_x else 0) + nu * (1 + log(2 * pi * q$r2 / nu))
}

fit_theta <- function(m, reml, start) {
  fun <- function(theta) fit_criterion(m, theta, reml)
  lower <- if (m$slope) c(0, -Inf, 0) else 0
  search <- function(from) stats::nlminb(from, fun, lower = lower, control = list(rel.tol = 1e-14, x.tol = 1e-10))
  best <- search(start)
  if (m$slope && best$par[3] < 0.02) {
    # The boundary can hold a search that passed near it: look again from inside.
    for (slope in c(0.2, 0.5, 1)) {
      again <- search(c(best$par[1], 0, slope))
      if (again$objective < best$objective - 1e-9) best <- again
    }
  }
  best$par
}

# Hessian and gradient by central differences.
num_derivs <- function(fun, x, h) {
  k <- length(x)
  f0 <- fun(x)
  up <- down <- numeric(k)
  step <- function(i, d) replace(numeric(k), i, d)
  for (i in seq_len(k)) {
    up[i] <- fun(x + step(i, h[i]))
    down[i] <- fun(x - step(i, h[i]))
  }
  hess <- diag((up + down - 2 * f0) / h^2, k)
  for (i in seq_len(k)) for (j in seq_len(i - 1)) {
    plus <- fun(x + step(i, h[i]) + step(j, h[j]))
    minus <- fun(x - step(i, h[i]) - step(j, h[j]))
    hess[i, j] <- hess[j, i] <- (plus + minus - up[i] - down[i] - up[j] - down[j] + 2 * f0) / (2 * h[i] * h[j])
  }
  hess
}

# Satterthwaite df of each coefficient (lmerTest's route: asymptotic covariance of (theta, sigma), delta method on vcov).
fit_df <- function(m, theta, sigma) {
  k <- length(theta)
  dev <- function(v) {
    q <- fit_pieces(m, v[seq_len(k)])
    q$logdet + q$logdet_x + (m$n - m$p) * log(2 * pi * v[k + 1]^2) + q$r2 / v[k + 1]^2
  }
  variances <- function(v) v[k + 1]^2 * diag(chol2inv(fit_pieces(m, v[seq_len(k)])$r))
  v <- c(theta, sigma)
  h <- pmax(abs(v), 0.1) * 1e-3
  a <- 2 * solve(num_derivs(dev, v, h))
  jac <- vapply(seq_along(v), function(i) {
    d <- replace(numeric(k + 1), i, h[i])
    (variances(v + d) - variances(v - d)) / (2 * h[i])
  }, numeric(m$p))
  jac <- matrix(jac, m$p)
  2 * variances(v)^2 / rowSums((jac %*% a) * jac)
}

# One REML fit with its coefficient table.
fit_reml <- function(y, x, z, g, start) {
  m <- fit_moments(y, x, z, g)
  theta <- fit_theta(m, TRUE, start)
  q <- fit_pieces(m, theta)
  sigma <- sqrt(q$r2 / (m$n - m$p))
  beta <- backsolve(q$r, q$cu)
  se <- sigma * sqrt(diag(chol2inv(q$r)))
  df <- tryCatch(fit_df(m, theta, sigma), error = function(e) rep(NA_real_, m$p))
  list(theta = theta, sigma = sigma, beta = beta, se = se, t = beta / se, df = df, m = m)
}

fit_ml_deviance <- function(m, start) fit_criterion(m, fit_theta(m, FALSE, start), FALSE)
