test_that("information about the tested block at the null hypothesis is that of dense matrices", {
  skip_if_not_installed("lme4")
  full <- fit_sleep()
  x <- kept_x(full)
  cases <- list(
    whole = fit_reduced(full, without_columns(full$design, 1L, 1:2)), slope = fit_reduced(full, without_columns(full$design, 1L, 2L))
  )
  for (reml in c(TRUE, FALSE)) {
    # no random effects at all: every entry is tested
    psi <- null_covariances(cases$whole, full)
    expect_equal(psi, list(matrix(0, 2, 2)))
    ours <- cone_information(full, psi, null_spaces(full, psi), reml)
    dense <- dense_information(full$design, reml, c(0, 0, 0), 1)
    expected <- dense[1:3, 1:3] - tcrossprod(dense[1:3, 4]) / dense[4, 4]
    # the null space has a basis of its own; compare what does not depend on it
    expect_equal(sort(cone2_weights(ours)), sort(cone2_weights(expected)), tolerance = 1e-5)
    expect_equal(cone2_weights(ours), cone2_weights(expected), tolerance = 1e-5)
    # one column dropped: the slope's variance given everything else
    psi <- null_covariances(cases$slope, full)
    ours <- cone_information(full, psi, null_spaces(full, psi), reml)
    theta <- c(cases$slope$core$theta, 0, 0)
    dense <- dense_information(full$design, reml, theta, 1)
    schur <- dense[3, 3] - dense[3, -3] %*% solve(dense[-3, -3], dense[-3, 3])
    unit <- null_spaces(full, psi)[[1]]$size[[2]]^2
    expect_equal(drop(ours), drop(schur) * unit^2, tolerance = 1e-5)
  }
})

test_that("the smaller model is found in the larger one, also in other words", {
  skip_if_not_installed("lme4")
  large <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  late <- hlm(Reaction ~ Days + (0 + I(Days - 4) | Subject), lme4::sleepstudy)
  psi <- null_covariances(late, large)[[1]]
  # b (x - 4) = -4 b + b x
  expect_equal(psi, late$core$theta^2 * outer(c(-4, 1), c(-4, 1)), tolerance = 1e-8)
  expect_null(null_covariances(hlm(strength ~ 1 + (1 | cask), lme4::Pastes), hlm(strength ~ 1 + (1 | batch), lme4::Pastes)))
})

test_that("base and cone of nested random parts", {
  skip_if_not_installed("lme4")
  data <- lme4::sleepstudy
  full <- hlm(Reaction ~ Days + (Days | Subject), data)
  diagonal <- hlm(Reaction ~ Days + (Days || Subject), data)
  intercept <- hlm(Reaction ~ Days + (1 | Subject), data)
  fixed <- hlm(Reaction ~ 1 + (1 | Subject), data, REML = FALSE)
  # only a covariance: an ordinary test
  expect_identical(chibar_test(diagonal, full, 1, TRUE)$weights, "1 chi2(1)")
  expect_identical(chibar_test(intercept, diagonal, 1, TRUE)$weights, "0.5 chi2(0) + 0.5 chi2(1)")
  expect_identical(chibar_test(intercept, full, 1, TRUE)$weights, "0.5 chi2(1) + 0.5 chi2(2)")
  # a fixed effect more
  expect_identical(chibar_test(fixed, update(full, REML = FALSE), 1, FALSE)$weights, "0.5 chi2(2) + 0.5 chi2(3)")
})

test_that("a variance of zero in the smaller model makes the mixture invalid, and the note says so", {
  small <- fit_slope_boundary()
  large <- hlm(y ~ x + (x | g), small$data)
  test <- chibar_test(small, large, 0, TRUE)
  expect_true(is.na(test$p))
  expect_match(test$note, "variance is zero")
})

test_that("variances that cannot be told apart, or a failed fit, have no mixture", {
  d <- therapy_data()
  full <- hlm(distress ~ 1 + (1 | patient) + (0 + session | patient), d)
  # the same column twice: the two variances are confounded
  twin <- full
  twin$design$terms[[2]]$columns <- 0L
  empty <- full$design
  empty$terms <- list()
  test <- chibar_test(fit_reduced(twin, empty), twin, 1, TRUE)
  expect_true(is.na(test$p))
  expect_match(test$note, "cannot tell")
  full$core$status <- "failed"
  expect_match(chibar_test(fit_reduced(full, empty), full, 1, TRUE)$note, "did not converge")
})

test_that("under the null hypothesis the statistic follows the mixture (seeded simulation)", {
  # No random effects in truth; a 2 x 2 covariance matrix and two uncorrelated variances are tested. 20 persons x 4 sessions, uneven times.
  d <- data.frame(g = rep(1:60, each = 4), x = rep(c(0, 1, 2, 4), 60))
  d$y <- withr::with_seed(1, stats::rnorm(240))
  for (formula in list(y ~ x + (x | g), y ~ x + (x || g))) {
    full <- hlm(formula, d)
    empty <- full$design
    empty$terms <- list()
    weights <- if (length(full$design$terms) == 1L) 4L else 3L
    null <- fit_reduced(full, empty)
    psi <- null_covariances(null, full)
    w <- chibar_weights(cone_information(full, psi, null_spaces(full, psi), TRUE), if (weights == 4L) 2L else c(1L, 1L))$weights
    expect_length(w, weights)
    statistics <- withr::with_seed(2, vapply(1:300, function(i) {
      again <- refit(full, stats::rnorm(240))
      max(0, fit_reduced(again, empty)$core$criterion - again$core$criterion)
    }, 0))
    # mean of the mixture and mass at zero, within four Monte Carlo standard errors and the finite-sample shift of the mass
    df <- seq_along(w) - 1
    mean <- sum(w * df)
    variance <- sum(w * (2 * df + df^2)) - mean^2
    expect_lt(abs(mean(statistics) - mean), 4 * sqrt(variance / 300))
    expect_lt(abs(mean(statistics < 1e-7) - w[[1]]), 4 * sqrt(w[[1]] * (1 - w[[1]]) / 300) + 0.02)
  }
})
