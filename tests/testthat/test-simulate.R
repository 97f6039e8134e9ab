test_that("simulation is reproducible and leaves the generator as it was", {
  fit <- fit_therapy()
  withr::local_seed(5)
  before <- .Random.seed
  a <- simulate(fit, nsim = 2, seed = 9)
  expect_identical(.Random.seed, before)
  expect_equal(a, simulate(fit, nsim = 2, seed = 9))
  expect_named(a, c("sim_1", "sim_2"))
  expect_equal(nrow(a), nobs(fit))
  expect_false(isTRUE(all.equal(a$sim_1, a$sim_2)))
  simulate(fit)
  expect_false(identical(.Random.seed, before))
})

test_that("new persons have the model's mean and covariance", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  y <- as.matrix(simulate(fit, nsim = 4000, seed = 1))
  n <- ncol(y)
  mean <- unname(predict(fit, re.form = NA))
  z <- as.matrix(getME(fit, "Z")) %*% as.matrix(getME(fit, "Lambda"))
  v <- sigma(fit)^2 * (tcrossprod(z) + diag(nrow(y)))
  expect_lt(max(abs(rowMeans(y) - mean) / sqrt(diag(v) / n)), 4.5)
  # First person's rows: standard error of a covariance is sqrt((v_ii v_jj + v_ij^2) / n).
  s <- stats::cov(t(y[1:10, ]))
  se <- sqrt((outer(diag(v)[1:10], diag(v)[1:10]) + v[1:10, 1:10]^2) / n)
  expect_lt(max(abs(s - v[1:10, 1:10]) / se), 4.5)
  expect_lt(max(abs(stats::cov(t(y[1:10, ]), t(y[11:20, ]))) / se), 4.5)
})

test_that("the same persons again keep their random effects", {
  fit <- fit_therapy()
  y <- as.matrix(simulate(fit, nsim = 2000, seed = 2, re.form = NULL))
  z <- (rowMeans(y) - unname(fitted(fit))) / (sigma(fit) / sqrt(2000))
  expect_lt(max(abs(z)), 4.5)
  expect_equal(mean(apply(y, 1, stats::var)), sigma(fit)^2, tolerance = 0.02)
  some <- as.matrix(simulate(fit, nsim = 2000, seed = 2, re.form = ~ (1 | therapist)))
  expect_lt(max(abs(rowMeans(some) - predict(fit, re.form = ~ (1 | therapist))) / apply(some, 1, stats::sd) * sqrt(2000)), 4.5)
})

test_that("weights enter the residual variance, and na.exclude pads", {
  skip_if_not_installed("lme4")
  fit <- fit_gaps()
  y <- simulate(fit, nsim = 3000, seed = 3, re.form = NULL)
  expect_equal(nrow(y), 180)
  expect_true(all(is.na(y[c(4, 50, 51), ])))
  variance <- apply(as.matrix(y)[-c(4, 50, 51), ], 1, stats::var)
  expect_equal(mean(variance * weights(fit)), sigma(fit)^2, tolerance = 0.02)
})

test_that("nsim must be a count", {
  expect_error(simulate(fit_therapy(), nsim = 0), class = "hlm_error_data")
  expect_error(simulate(fit_therapy(), nsim = 1.5), class = "hlm_error_data")
})
