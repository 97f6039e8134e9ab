# A model of every kind: one term, uncorrelated effects with weights, nested, crossed; REML and ML.
information_fits <- function() {
  list(
    slope = fit_sleep(), slope_ml = update(fit_sleep(), REML = FALSE), weights = fit_gaps(), nested = fit_pastes(), crossed = fit_penicillin(),
    three = fit_therapy()
  )
}

test_that("the determinant's derivatives come out of the core whatever the outcome", {
  skip_if_not_installed("lme4")
  for (fit in information_fits()) {
    reml <- isTRUE(fit$REML)
    theta <- fit$core$theta * 0.9 + 0.05
    ours <- logdet_curvature(fit$design, reml, theta, kept_x(fit))
    dense <- dense_derivatives(dense_setup(fit$design, reml), theta)
    expect_equal(ours$gradient, dense$g_det, tolerance = 1e-9)
    expect_equal(ours$hessian, dense$h_det, tolerance = 1e-8)
  }
})

test_that("expected information is tr(Q V_i Q V_j) / 2, REML and ML", {
  skip_if_not_installed("lme4")
  for (fit in information_fits()) {
    expect_equal(attr(varcomp(fit, information = "expected"), "vcov"), solve(dense_information_of(fit)), tolerance = 1e-7)
  }
})

test_that("expected information is that of the core's Kenward-Roger pieces", {
  skip_if_not_installed("lme4")
  for (fit in list(fit_sleep(), fit_pastes(), fit_penicillin())) {
    pieces <- engine_kenward_roger(fit$design, fit$core$theta)
    map <- theta_map(fit$design)
    group <- term_group(fit)[map$term]
    place <- match(paste(group, map$row, map$col), paste(pieces$parameters$group, pieces$parameters$row, pieces$parameters$col))
    place <- c(place, nrow(pieces$info))
    expect_equal(solve(attr(varcomp(fit, information = "expected"), "vcov")), pieces$info[place, place], tolerance = 1e-7)
  }
})

test_that("derivatives of Psi in theta are right", {
  map <- theta_map(list(terms = list(list(columns = 1:3, structure = "unstructured"), list(columns = 1:2, structure = "diagonal"))))
  theta <- c(1.1, -0.3, 0.4, 0.8, 0.2, 0.5, 0.7, 1.3)
  psi <- function(theta) {
    unlist(lapply(1:2, function(t) {
      mine <- map$term == t
      lambda <- matrix(0, max(map$row[mine]), max(map$row[mine]))
      lambda[cbind(map$row[mine], map$col[mine])] <- theta[mine]
      tcrossprod(lambda)[cbind(map$row[mine], map$col[mine])]
    }))
  }
  step <- 1e-5
  unit <- function(k) replace(numeric(8), k, step)
  numeric <- vapply(1:8, function(k) (psi(theta + unit(k)) - psi(theta - unit(k))) / (2 * step), numeric(8))
  expect_equal(psi_jacobian(map, theta), numeric, tolerance = 1e-9)
  g <- c(0.3, -1, 2, 0.7, 0.1, 1.4, -0.6, 0.9)
  gradient <- function(theta) drop(crossprod(psi_jacobian(map, theta), g))
  second <- vapply(1:8, function(k) (gradient(theta + unit(k)) - gradient(theta - unit(k))) / (2 * step), numeric(8))
  expect_equal(psi_curvature(map, g), second, tolerance = 1e-9)
})

test_that("the gradient in Psi is found on the boundary, too", {
  # tr(Q V_i) from dense matrices, at a zero variance and at a correlation of 1
  fit <- fit_correlation_boundary()
  map <- theta_map(fit$design)
  for (start in list(fit$core$theta, c(0.7, 0, 0), c(0, 0.3, 0), c(0, 0, 0), c(0, 0, 0.4))) {
    theta <- canonical_theta(map, start)
    curvature <- logdet_curvature(fit$design, TRUE, theta, kept_x(fit))
    setup <- dense_setup(fit$design, TRUE)
    p <- dense_state(setup, theta)$p_mat
    expected <- vapply(dense_components(setup)[1:3], function(v) sum(p * v), 0)
    expect_equal(psi_gradient(map, theta, effect_scale(fit$design, map, theta), curvature), expected, tolerance = 1e-7)
  }
})

test_that("the canonical Lambda has the same Psi", {
  map <- theta_map(list(terms = list(list(columns = 1:3, structure = "unstructured"))))
  psi <- function(theta) {
    lambda <- matrix(0, 3, 3)
    lambda[lower.tri(lambda, diag = TRUE)] <- theta
    tcrossprod(lambda)
  }
  for (theta in list(c(1, 0.3, -0.2, 0, 0.4, 0.7), c(0, 0.3, 0.1, 0, 0.4, 0.7), c(0, 0, 0, 0.5, 0.2, 0), c(1, 2, 3, 0, 0, 0), numeric(6))) {
    canonical <- canonical_theta(map, theta)
    expect_equal(psi(canonical), psi(theta))
    lambda <- matrix(0, 3, 3)
    lambda[lower.tri(lambda, diag = TRUE)] <- canonical
    expect_true(all(lambda[, diag(lambda) == 0] == 0))
  }
})

test_that("units do not matter: a predictor times 1e6", {
  skip_if_not_installed("lme4")
  d <- transform(lme4::sleepstudy, x = Days * 1e6)
  scaled <- varcomp(hlm(Reaction ~ x + (x | Subject), d), information = "expected")
  plain <- varcomp(fit_sleep(), information = "expected")
  expect_equal(scaled$std.error * c(1, 1e12, 1e6, 1), plain$std.error, tolerance = 1e-6)
  scaled <- varcomp(hlm(Reaction ~ x + (x | Subject), d))
  expect_equal(scaled$std.error * c(1, 1e12, 1e6, 1), varcomp(fit_sleep())$std.error, tolerance = 1e-6)
})
