unbalanced_pair <- function(seed = 8, persons = 300) {
  # Synthetic: two variables with correlated levels and correlated errors, 2 to 7 sessions.
  withr::with_seed(seed, {
    n <- sample(2:7, persons, TRUE)
    patient <- rep(seq_len(persons), n)
    level <- stats::rnorm(persons)
    other <- 0.5 * level + stats::rnorm(persons)
    noise <- stats::rnorm(sum(n))
    d <- data.frame(
      patient, session = sequence(n), x = level[patient] + 1.5 * noise, w = other[patient] + 0.6 * noise + stats::rnorm(sum(n)),
      female = rep(stats::rbinom(persons, 1, 0.5), n)
    )
    d$y <- -0.5 * (d$x - level[patient]) - 1.5 * level[patient] + 0.5 * d$w + stats::rnorm(persons)[patient] + stats::rnorm(sum(n))
    attr(d, "level") <- level
    d
  })
}

test_that("balanced data: the moments are the REML estimates, the reliability tau2 / (tau2 + sigma2 / n)", {
  d <- therapy_data()
  d <- d[!d$patient %in% d$patient[is.na(d$distress)], ]
  fit <- hlm(distress ~ wb(alliance) + (1 | patient), d)
  own <- hlm(alliance ~ 1 + (1 | patient), d)
  r <- between_correction(fit)$reliability
  expect_equal(r$tau2, VarCorr(own)$patient[[1]], tolerance = 1e-6)
  expect_equal(r$sigma2, stats::sigma(own)^2, tolerance = 1e-6)
  expect_equal(r$mean, r$tau2 / (r$tau2 + r$sigma2 / 6))
})

test_that("balanced data: the predicted levels are lme4's conditional modes, person-level predictors and all", {
  d <- therapy_data()
  d <- d[!d$patient %in% d$patient[is.na(d$distress)], ]
  fit <- hlm(distress ~ female + wb(alliance) + (1 | patient), d)
  own <- hlm(alliance ~ female + (1 | patient), d)
  expected <- coef(own)$patient
  female <- tapply(d$female, d$patient, mean)
  expect_equal(between_correction(fit)$persons$alliance, expected[["(Intercept)"]] + expected$female * as.numeric(female), tolerance = 1e-6)
})

test_that("unbalanced data: the moments are unbiased (their expectation, computed exactly)", {
  problem <- calibration_problem(hlm(y ~ female + wb(x) + wb(w) + (1 | patient), unbalanced_pair()))
  moments <- calibration_moments(problem)
  n <- problem$sessions[, 1L]
  w <- problem$w
  m <- diag(nrow(w)) - w %*% solve(crossprod(w), t(w))
  expect_equal(moments$df, sum(diag(m)))
  expect_equal(moments$noise, matrix(sum(diag(m) / n) / moments$df, 2, 2))
  expect_equal(moments$observed, t(problem$means) %*% m %*% problem$means / moments$df)
})

test_that("the prediction is the conditional expectation of the joint normal distribution", {
  problem <- calibration_problem(hlm(y ~ wb(x) + wb(w) + (1 | patient), unbalanced_pair()))
  moments <- calibration_moments(problem)
  found <- predict_levels(problem, moments)
  for (j in c(1, 5, 9)) {
    n <- problem$sessions[j, 1L]
    total <- moments$between + moments$within / n
    gain <- moments$between %*% solve(total)
    centre <- drop(moments$intercepts)
    expect_equal(found$level[j, ], centre + drop(gain %*% (problem$means[j, ] - centre)), ignore_attr = TRUE)
    expect_equal(found$covariance[j, , ], moments$between - gain %*% moments$between)
  }
})

test_that("the covariance matrix of the moments is that of normal theory (dense algebra)", {
  problem <- calibration_problem(hlm(y ~ female + wb(x) + wb(w) + (1 | patient), unbalanced_pair(persons = 25)))
  moments <- calibration_moments(problem)
  found <- calibration_parameters(problem, moments)
  w <- problem$w
  n <- problem$sessions[, 1L]
  m <- diag(nrow(w)) - w %*% solve(crossprod(w), t(w))
  omega <- function(a, b) diag(moments$between[a, b] + moments$within[a, b] / n)
  k <- ncol(w) * 2
  # Cov(x'Mx, x'Mw) = tr(M O_xx M O_xw) 2, and so on (Searle 1971)
  cov_b <- function(a, b, c, d) {
    sum(diag(m %*% omega(a, c) %*% m %*% omega(b, d))) + sum(diag(m %*% omega(a, d) %*% m %*% omega(b, c)))
  }
  expect_equal(found$covariance[k + 1, k + 1], cov_b(1, 1, 1, 1) / moments$df^2)
  expect_equal(found$covariance[k + 2, k + 1], cov_b(2, 1, 1, 1) / moments$df^2)
  expect_equal(found$covariance[k + 3, k + 2], cov_b(2, 2, 2, 1) / moments$df^2)
  expect_equal(found$covariance[k + 6, k + 6], 2 * moments$within[2, 2]^2 / moments$within_df)
  hat <- solve(crossprod(w), t(w))
  expect_equal(found$covariance[1:2, 3:4], hat %*% omega(1, 2) %*% t(hat), ignore_attr = TRUE)
  expect_equal(found$moments(found$value)$between, moments$between)
})

test_that("a predictor that varies within persons and is not split takes part; the session is one", {
  d <- unbalanced_pair()
  problem <- calibration_problem(hlm(y ~ session + wb(x) + (1 | patient), d, time = session))
  expect_named(problem$auxiliary, "session")
  expect_equal(ncol(problem$w), 1L)
  # sessions run from 1 to n_j: persons with more sessions have later ones on average, and no more than that
  moments <- calibration_moments(problem)
  expect_equal(dim(moments$between), c(2L, 2L))
  expect_gte(min(eigen(moments$between)$values), -1e-12)
})
