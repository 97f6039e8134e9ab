# Dense references for the information about the variance parameters and for each group's own estimates: n x n matrices, no cross-products.

# d V / d Sigma_k for the entries of the terms' covariance matrices (lower triangles), and W^-1 for sigma^2.
dense_components <- function(setup) {
  map <- setup$map
  c(lapply(seq_len(nrow(map)), function(k) {
    q <- length(setup$design$terms[[map$term[k]]]$columns)
    unit <- matrix(0, q, q)
    unit[map$row[k], map$col[k]] <- unit[map$col[k], map$row[k]] <- 1
    dense_expand(setup, map$term[k], unit)
  }), list(diag(1 / setup$weights)))
}

# Expected information about (Sigma, sigma^2): tr(Q V_i Q V_j) / 2, Q = P (REML) or V^-1 (ML) on the absolute scale.
dense_information <- function(design, reml, theta, s2) {
  setup <- dense_setup(design, reml)
  state <- dense_state(setup, theta)
  q <- (if (reml) state$p_mat else state$v_inv) / s2
  products <- lapply(dense_components(setup), function(v) q %*% v)
  m <- length(products)
  out <- matrix(0, m, m)
  for (i in seq_len(m)) for (j in seq_len(m)) out[i, j] <- sum(products[[i]] * t(products[[j]])) / 2
  out
}

# Without fixed effects Q is V^-1 whatever the method.
dense_information_none <- function(fit) {
  setup <- list(
    design = fit$design, n = length(fit$design$y), weights = rep(1, length(fit$design$y)), map = dense_theta_map(fit$design),
    z = lapply(fit$design$terms, function(term) dense_z_term(fit$design, term))
  )
  q <- solve(dense_v(setup, fit$core$theta)) / fit$core$sigma^2
  products <- lapply(dense_components(setup), function(v) q %*% v)
  outer(seq_along(products), seq_along(products), Vectorize(function(i, j) sum(products[[i]] * t(products[[j]])) / 2))
}

dense_information_of <- function(fit) dense_information(fit$design, isTRUE(fit$REML), fit$core$theta, fit$core$sigma^2)

# Own estimate of level j of a factor: V holds the residual and the factors `inside` only, r the outcome without everything outside.
dense_own_level <- function(fit, g, inside, j) {
  setup <- dense_setup(fit$design, isTRUE(fit$REML))
  groups <- vapply(fit$design$terms, function(term) as.integer(term$group), 1L)
  v <- diag(1 / setup$weights, setup$n)
  for (t in which(groups %in% inside)) v <- v + dense_expand(setup, t, tcrossprod(dense_lambda_term(fit$design, setup$map, fit$core$theta, t)))
  r <- drop(setup$y - setup$x %*% fit$core$beta[setup$kept])
  for (t in which(!groups %in% c(g, inside))) {
    before <- sum(lengths(lapply(fit$design$terms[groups == groups[t] & seq_along(groups) < t], `[[`, "columns")))
    modes <- fit$core$b[[groups[t]]][, before + seq_along(fit$design$terms[[t]]$columns), drop = FALSE]
    r <- r - drop(setup$z[[t]] %*% as.vector(t(modes)))
  }
  rows <- which(fit$design$groups[[g]]$codes == j)
  z <- do.call(cbind, lapply(fit$design$terms[groups == g], function(term) {
    vapply(term$columns, function(i) dense_column(fit$design, i)[rows], numeric(length(rows)))
  }))
  inverse <- solve(v[rows, rows])
  m <- solve(crossprod(z, inverse %*% z))
  list(estimate = drop(m %*% crossprod(z, inverse %*% r[rows])), variance = fit$core$sigma^2 * diag(m))
}

# A few levels are enough for a comparison with dense matrices.
sample_levels <- function(n) unique(round(seq(1, n, length.out = 6L)))

# Synthetic: a model on the boundary, the correlation of intercept and slope estimated at +1 or -1.
fit_correlation_boundary <- function() {
  fit_once("correlation_boundary", function() {
    withr::with_seed(4, {
      d <- data.frame(g = rep(1:12, each = 5), x = rep(1:5, 12))
      u <- stats::rnorm(12)
      d$y <- u[d$g] * (1 + 0.4 * d$x) + stats::rnorm(60, sd = 2)
    })
    hlm(y ~ x + (x | g), d)
  })
}

# Synthetic: no differences between slopes, whose variance is estimated as zero.
fit_slope_boundary <- function() {
  fit_once("slope_boundary", function() {
    d <- withr::with_seed(11, {
      d <- data.frame(g = rep(1:15, each = 6), x = rep(-2:3, 15))
      d$y <- stats::rnorm(15)[d$g] + stats::rnorm(90)
      d
    })
    hlm(y ~ x + (1 | g) + (0 + x | g), d)
  })
}

# The Hessian of the criterion in (theta, sigma), as dense_satterthwaite() forms it.
dense_satterthwaite_hessian <- function(fit) {
  setup <- dense_setup(fit$design, isTRUE(fit$REML))
  state <- dense_state(setup, fit$core$theta)
  d <- dense_derivatives(setup, fit$core$theta, state)
  sigma <- sqrt(state$r2 / setup$nu)
  cross <- -2 * d$g_r2 / sigma^3
  rbind(cbind(d$h_det + d$h_r2 / sigma^2, cross), c(cross, -2 * setup$nu / sigma^2 + 6 * state$r2 / sigma^4))
}
