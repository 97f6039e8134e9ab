# Kenward & Roger's (1997, Biometrics 53:983) adjusted covariance matrix, t tests and scaled F tests, as Halekoh & Hojsgaard
# (2014, J Stat Softw 59(9), section 4) write them for V = sum_i gamma_i V_i: gamma are the free entries of the covariance matrices
# of the random effects, and the residual variance. V is linear in gamma, so that second derivatives drop out, and the result does
# not depend on which linear parametrisation is chosen.

ddf_kenward_roger <- function(fit) {
  check_independent_residuals(
    fit, "Kenward-Roger's method is",
    "Use {.code ddf = \"Satterthwaite\"}, which takes the uncertainty of the residual parameters into account."
  )
  reml <- as_reml(fit)
  new_kenward_roger(reml, engine_kenward_roger(reml$design, reml$core$theta), refitted = !isTRUE(fit$REML))
}

# From the pieces of the core: list(phi, P, Q, info, map), see kenward_roger_vcov(). They belong to the core's own basis of X, where l'beta
# is (l map)'beta; without `map` to X as it is.
new_kenward_roger <- function(fit, pieces, refitted = FALSE) {
  phi <- pieces$phi
  map <- pieces$map %||% diag(nrow(phi))
  w <- scaled_inverse(pieces$info)
  state <- list(
    phi = phi, w = w, adjusted = kenward_roger_vcov(phi, pieces$P, pieces$Q, w),
    # phi P_i phi = -d phi / d gamma_i
    slopes = lapply(pieces$P, function(p) phi %*% p %*% phi)
  )
  # For one row the F test has scaling 1 and den_df 2 / A2 (put q = 1 into kenward_roger_moments()).
  state$df <- function(l) {
    gradient <- vapply(state$slopes, function(s) sum(l * (s %*% l)), 0)
    2 * sum(l * (phi %*% l))^2 / sum(gradient * (w %*% gradient))
  }
  beta <- fixef.hlm(fit)
  label <- "Kenward-Roger's method"
  if (refitted) label <- paste(label, "after a refit by REML")
  new_inference(
    function(l) state$df(drop(l %*% map)), label, map %*% state$adjusted %*% t(map),
    joint = function(l, rhs) kenward_roger_test(l %*% map, drop(l %*% beta) - rhs, state),
    beta = if (refitted) beta
  )
}

# The covariance of the estimates of gamma from their expected information. Entries of gamma have different units, so the
# matrix is brought to a unit diagonal before its rank is judged: the units of the outcome must not decide which
# directions count (pbkrtest 0.5.2 compares eigenvalues with 1e-10 as they are).
scaled_inverse <- function(info) {
  size <- sqrt(pmax(diag(info), 0))
  size[size == 0] <- 1
  spectrum <- eigen(info / outer(size, size), symmetric = TRUE)
  keep <- spectrum$values > 1e-10 * max(spectrum$values)
  root <- spectrum$vectors[, keep, drop = FALSE] / rep(sqrt(spectrum$values[keep]), each = nrow(info))
  tcrossprod(root) / outer(size, size)
}

# Phi_A = Phi + 2 Phi {sum_ij W_ij (Q_ij - P_i Phi P_j)} Phi (Kenward & Roger 1997, p. 986).
# P_i = -X'V^-1 V_i V^-1 X, Q_ij = X'V^-1 V_i V^-1 V_j V^-1 X, as lists; Q by columns of (i, j).
kenward_roger_vcov <- function(phi, p, q, w) {
  r <- length(p)
  inner <- matrix(0, nrow(phi), ncol(phi))
  for (i in seq_len(r)) {
    for (j in seq_len(r)) {
      inner <- inner + w[i, j] * (piece_q(q, i, j, r) - p[[i]] %*% phi %*% p[[j]])
    }
  }
  adjusted <- phi + 2 * phi %*% inner %*% phi
  unname((adjusted + t(adjusted)) / 2)
}

piece_q <- function(q, i, j, r) if (is.function(q)) q(i, j) else q[[(j - 1L) * r + i]]

# The scaled F test of several rows and its degrees of freedom (Kenward & Roger 1997, pp. 987-988). `distance`: estimates of the rows
# minus their values under the null hypothesis.
kenward_roger_test <- function(l, distance, state) {
  rows <- independent_rows(l, distance, sqrt(diag(state$phi)))
  q <- length(rows)
  if (q == 0L) return(list(f = NA_real_, num_df = NA_real_, den_df = NA_real_, scaling = 1))
  l <- l[rows, , drop = FALSE]
  distance <- distance[rows]
  f <- sum(distance * solve(l %*% state$adjusted %*% t(l), distance)) / q
  theta <- solve(l %*% state$phi %*% t(l))
  parts <- lapply(state$slopes, function(s) theta %*% (l %*% s %*% t(l)))
  traces <- vapply(parts, function(m) sum(diag(m)), 0)
  cross <- vapply(parts, function(a) vapply(parts, function(b) sum(a * t(b)), 0), traces)
  moments <- kenward_roger_moments(sum(traces * (state$w %*% traces)), sum(state$w * cross), q)
  if (!isTRUE(moments$df > 0)) {
    # The moments of no F distribution: independent parts, each with its own df.
    spectrum <- eigen(l %*% state$adjusted %*% t(l), symmetric = TRUE)
    parts <- apply(crossprod(spectrum$vectors, l), 1L, state$df)
    return(list(f = f, num_df = q, den_df = combine_ddf(parts), scaling = 1))
  }
  # A scaling at or below zero has no meaning; the unscaled statistic is used then, as pbkrtest advises.
  scaling <- if (moments$scaling > 0) moments$scaling else 1
  list(f = scaling * f, num_df = q, den_df = moments$df, scaling = scaling)
}

# Degrees of freedom and scaling from the first two moments of the Wald statistic, A1 and A2 (p. 988, with the corrections
# that make balanced designs exact).
kenward_roger_moments <- function(a1, a2, q) {
  if (a2 < 1e-14) return(list(df = Inf, scaling = 1))
  b <- (a1 + 6 * a2) / (2 * q)
  g <- ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
  c <- c(g, q - g, q + 2 - g) / (3 * q + 2 * (1 - g))
  v0 <- 1 + c[[1L]] * b
  v1 <- 1 - c[[2L]] * b
  v2 <- 1 - c[[3L]] * b
  if (abs(v0) < 1e-10) v0 <- 0
  e <- 1 - a2 / q
  ratio <- if (abs(e) < 1e-14 && abs(v1) < 1e-14) 1 else e / v1
  rho <- ratio^2 * v0 / (q * v2)
  df <- 4 + (q + 2) / (q * rho - 1)
  list(df = df, scaling = if (abs(df - 2) < 0.01) 1 else df * e / (df - 2))
}

# Rows of l that are not combinations of others; those that are must say the same as the rest.
independent_rows <- function(l, distance, scale) {
  weighted <- t(l) * scale
  size <- sqrt(colSums(weighted^2))
  weighted <- weighted / rep(ifelse(size > 0, size, 1), each = nrow(weighted))
  decomposition <- qr(weighted, tol = 1e-7)
  rows <- sort(decomposition$pivot[seq_len(decomposition$rank)])
  others <- setdiff(seq_len(nrow(l)), rows)
  if (!length(others)) return(rows)
  distance <- distance / ifelse(size > 0, size, 1)
  implied <- if (length(rows)) {
    drop(crossprod(qr.coef(qr(weighted[, rows, drop = FALSE]), weighted[, others, drop = FALSE]), distance[rows]))
  } else {
    numeric(length(others))
  }
  if (any(abs(implied - distance[others]) > 1e-6 * max(1, abs(distance)))) {
    abort_hlm("data", c(
      "Rows of {.arg L} are combinations of each other, but their values in {.arg rhs} contradict that.",
      i = "Leave out the rows that follow from the others."
    ))
  }
  rows
}
