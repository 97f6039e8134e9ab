# What every cluster contributes to a standardised cross-effect: the effect as a function of the clusters' weights, differentiated at equal weights (the
# infinitesimal jackknife; Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 21), so that the sum of squares is the sandwich variance.
# With few clusters that is too small, as CR0 is; the contributions used are those of the jackknife proper, which leaves the cluster out.
#
# The effect is T = mean over persons of r_i (beta + b_i), r_i the ratio of the person's SDs. A cluster moves it in three ways: through the coefficients
# and the persons' deviations at given variances (cross_influence()), through its own persons' share of the mean (sampling of persons, their SDs
# included), and through the variances of the random effects. The last is zero in expectation when the predictors are given in advance; a lagged outcome
# is not: it carries the random intercept, and how much of it is taken off depends on the estimated variance.

# The contributions, named by cluster. left_out = FALSE: the derivatives, which sum to zero; TRUE: (J - 1)/J times what the estimate changes by when the
# cluster is left out, up to terms of second order in the shares and in theta.
cross_contributions <- function(made, unit, left_out = TRUE) {
  parts <- influence_parts(made, unit, left_out)
  j <- length(unit$labels)
  factor <- if (left_out) (j - 1) / j else 1
  factor * parts$coefficients + parts$deviations + person_shares(made, unit) + variance_influence(made, unit)
}

# Sum over the cluster's persons of (r_i beta - T)/N. The rest of their share, r_i b_i / N, is the last term of cross_influence().
person_shares <- function(made, unit) {
  name <- made$roles$within
  weights <- cross_weights(made$fit, name)
  share <- weights * fixef.hlm(made$fit)[[name]] - cross_value(made$fit, name) * (weights > 0) / sum(weights > 0)
  first <- match(seq_along(weights), cross_person(made$fit)$codes)
  engine_group_sums(share, as.integer(unit$codes)[first], length(unit$labels))$sum
}

# dT/dtheta times the cluster's influence on theta. With the criterion d(theta, beta, s) = log|V| + nu log s + e'V^-1e / s (REML: + log|X'V^-1X|, its
# derivative summed over clusters) the cluster's gradient in theta is freed of what beta and s = sigma^2 take up, and the Hessian is that of the profiled
# criterion. The parameters of a residual structure are taken as given, variances of zero stay zero.
variance_influence <- function(made, unit) {
  fit <- whitened_fit(made$fit)
  information <- theta_information(fit)
  if (all(information == 0)) return(0)
  basis <- tree_basis(fit)
  tree <- tree_of(fit, unit)
  pass <- tree_pass(fit, tree, basis, derivatives = TRUE)
  top <- pass$levels[[length(tree$levels)]]
  gradient <- cluster_gradient(top, pass$total, isTRUE(fit$REML), tabulate(unit$codes, length(unit$labels)))
  drop(gradient %*% (-information %*% value_gradient(made, fit, diag(information) > 0)))
}

# Clusters x theta. `top`: moments of [X e] of the clusters with their derivatives, e in units of sigma.
cluster_gradient <- function(top, total, reml, rows) {
  t <- top$after$t
  p <- dim(t)[[2L]] - 1L
  x <- seq_len(p)
  m <- solve(matrix(total$t[1L, x, x], p))
  trace <- function(a) if (reml) drop(matrix(a[, x, x], ncol = p * p) %*% as.vector(m)) else 0
  own_scale <- rows - t[, p + 1L, p + 1L] - trace(t)
  xe <- matrix(t[, x, p + 1L], ncol = p)
  nu <- sum(t[, p + 1L, p + 1L])
  vapply(seq_along(top$after$dt), function(k) {
    dt <- top$after$dt[[k]]
    total_dt <- total$dt[[k]]
    top$subtree$d_log_det[, k] + dt[, p + 1L, p + 1L] + trace(dt) - 2 * drop(xe %*% (m %*% total_dt[1L, x, p + 1L])) +
      total_dt[1L, p + 1L, p + 1L] / nu * own_scale
  }, numeric(length(rows)))
}

# dT/dtheta for the elements of theta that may move, the coefficients and deviations being those estimated at theta: central differences.
value_gradient <- function(made, fit, moves) {
  theta <- fit$core$theta
  weights <- cross_weights(made$fit, made$roles$within)
  person <- cross_person(made$fit)
  value <- function(at) {
    core <- engine_at(fit$design, isTRUE(fit$REML), at)
    fit$core[names(core)] <- core
    sum(weights * (fixef.hlm(fit)[[made$roles$within]] + person_deviation(fit, made$roles$within, person)))
  }
  scale <- effect_scale(fit$design, theta_map(fit$design), theta)
  vapply(seq_along(theta), function(k) {
    if (!moves[[k]]) return(0)
    h <- 1e-4 * scale[[k]]
    (value(replace(theta, k, theta[[k]] + h)) - value(replace(theta, k, theta[[k]] - h))) / (2 * h)
  }, 0)
}

# Contribution of every cluster (named by its label) to the estimated cross-effect sum_i w_i (beta + b_i): with u_j = X_j'V_j^-1 e_j, M = (X'V^-1X)^-1,
# a = Z G m (m the weights of the persons' deviations) it is s e'M u_j + a_j'V_j^-1 e_j - (a'V^-1X) M u_j; variances and SDs are taken as given.
cross_influence <- function(made, unit) {
  parts <- influence_parts(made, unit)
  parts$coefficients + parts$deviations
}

# With left_out, u_j becomes (I - X_j'V_j^-1X_j M)^-1 u_j: then M u_j is exactly what beta changes by without the cluster (as in CR3).
influence_parts <- function(made, unit, left_out = FALSE) {
  weights <- cross_weights(made$fit, made$roles$within)
  # the pass up the tree is for independent residuals
  fit <- whitened_fit(made$fit)
  check_clusters(fit, unit)
  basis <- tree_basis(fit)
  p <- ncol(basis$x)
  a <- deviation_column(fit, made$roles$within, cross_person(fit), weights)
  if (!is.null(a)) basis$x <- cbind(basis$x, a)
  tree <- tree_of(fit, unit)
  pass <- tree_pass(fit, tree, basis)
  t <- pass$levels[[length(tree$levels)]]$after$t
  x <- seq_len(p)
  d <- dim(t)[[2L]]
  total <- apply(t, 2:3, sum)
  u <- matrix(t[, x, d], ncol = p)
  if (left_out) u <- left_out_scores(t[, x, x, drop = FALSE], u, total[x, x, drop = FALSE])
  pick <- as.double(names(fixef.hlm(fit)) == made$roles$within)
  direction <- sum(weights) * drop(backsolve(basis$r, pick, transpose = TRUE))
  own <- numeric(nrow(u))
  if (!is.null(a)) {
    direction <- direction - total[x, p + 1L]
    own <- t[, p + 1L, d]
  }
  sigma <- fit$core$sigma
  list(
    coefficients = stats::setNames(sigma * drop(u %*% solve(total[x, x, drop = FALSE], direction)), unit$labels),
    deviations = stats::setNames(sigma * own, unit$labels)
  )
}

# A cluster without which a coefficient cannot be estimated stays as it is.
left_out_scores <- function(a, u, total) {
  p <- ncol(u)
  left <- array(-matrix(a, ncol = p) %*% solve(total), dim(a))
  for (k in seq_len(p)) left[, k, k] <- left[, k, k] + 1
  solved <- batch_inverse(left)
  out <- batch_apply(solved$inverse, u)
  out[solved$singular, ] <- u[solved$singular, ]
  out
}

# Weights of the persons: the ratio of SDs of predictor and outcome over the number of persons in whom both vary.
cross_weights <- function(fit, name) {
  person <- cross_person(fit)
  ratio <- person_sd(x_column(fit, name), person) / person_sd(fit$design$y - design_offset(fit$design), person)
  usable <- is.finite(ratio) & ratio > 0
  ifelse(usable, ratio, 0) / sum(usable)
}

cross_person <- function(fit) {
  person <- person_factor(fit)
  person$codes <- as.integer(person$codes)
  person
}

# The standardised cross-effect from the design alone (a drawn sample has no history to take lags from); equal to standardize()'s.
cross_value <- function(fit, name) {
  weights <- cross_weights(fit, name)
  sum(weights * (fixef.hlm(fit)[[name]] + person_deviation(fit, name, cross_person(fit))))
}
