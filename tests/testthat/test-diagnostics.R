test_that("level-1 residuals are those of residuals()", {
  found <- level_residuals(fit_clinic())
  expect_equal(found$residual, unname(residuals(fit_clinic())))
  expect_equal(found$standardized, unname(residuals(fit_clinic(), "scaled")))
  expect_equal(found$fixed, unname(predict(fit_clinic(), re.form = NA)))
  expect_identical(found$patient, as.character(clinic_data()$patient))
})

test_that("predictions have, under the model, the covariance they are set against", {
  # Cov(b-hat) = sigma^2 Psi Z'V^-1Z Psi with beta known, in dense algebra
  fit <- fit_clinic()
  parts <- dense_parts(fit)
  z <- dense_z_term(fit$design, fit$design$terms[[1L]])[, 7:8]
  psi <- tcrossprod(wbhlm:::term_lambda(fit, 1L))
  expected <- sigma(fit)^2 * psi %*% t(z) %*% parts$w %*% z %*% psi
  expect_equal(wbhlm:::prediction_covariance(fit, 1L)[, , 4L], expected, tolerance = 1e-8)
  found <- level_residuals(fit, "patient")
  mine <- found[found$group == fit$design$groups[[1L]]$levels[[4L]], ]
  expect_equal(mine$se, sqrt(diag(expected)), tolerance = 1e-8)
  expect_equal(mine$mahalanobis[[1L]], drop(mine$estimate %*% solve(expected) %*% mine$estimate), tolerance = 1e-8)
  expect_identical(mine$df, c(2, 2))
  expect_equal(mine$p_value, stats::pchisq(mine$mahalanobis, 2, lower.tail = FALSE))
})

test_that("directions without variance are left out of the distance", {
  skip_if_not_installed("lme4")
  found <- level_residuals(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2), "Batch")
  expect_true(all(is.na(found$mahalanobis)))
  modes <- rbind(c(1, 2), c(2, 4))
  spread <- array(c(1, 2, 2, 4), c(2, 2, 2))
  distance <- wbhlm:::mahalanobis_zero(modes, spread)
  expect_equal(distance, list(value = c(1, 4), df = c(1, 1)))
})

test_that("unknown levels are refused", {
  expect_error(level_residuals(fit_clinic(), "ward"), class = "hlm_error_data")
  expect_error(level_residuals(3), class = "hlm_error_data")
})

test_that("each person's residual variance is that of its own regression", {
  skip_if_not_installed("lme4")
  found <- wbhlm:::group_variances(fit_sleep(), 1L)
  own <- vapply(split(lme4::sleepstudy, lme4::sleepstudy$Subject), function(part) summary(stats::lm(Reaction ~ Days, part))$sigma^2, 0)
  expect_equal(found$variance, unname(own), tolerance = 1e-8)
  expect_identical(found$df, rep(8, 18))
  # weighted, with rows missing; a random intercept and slope as separate terms
  gaps <- wbhlm:::group_variances(fit_gaps(), 1L)
  part <- subset(sleep_gaps(), Subject == "308" & !is.na(Reaction))
  expect_equal(gaps$variance[[1L]], summary(stats::lm(Reaction - known ~ Days, part, weights = w))$sigma^2, tolerance = 1e-8)
})

test_that("the test of equal variances keeps its size and sees differences", {
  skip_on_cran()
  p_values <- withr::with_seed(11, vapply(1:200, function(i) {
    g <- rep(1:30, sample(4:8, 30, TRUE))
    d <- data.frame(g = g, y = stats::rnorm(30)[g] + stats::rnorm(length(g)))
    wbhlm:::variance_homogeneity(hlm(y ~ 1 + (1 | g), d), 1L)$p_value
  }, 0))
  # 200 draws: 0.05 plus and minus three standard errors
  expect_lt(mean(p_values < 0.05), 0.05 + 3 * sqrt(0.05 * 0.95 / 200))
  expect_gt(stats::median(p_values), 0.35)
  d <- withr::with_seed(12, {
    g <- rep(1:30, each = 8)
    data.frame(g = g, y = stats::rnorm(30)[g] + stats::rnorm(240) * rep(c(1, 3), each = 120))
  })
  expect_lt(wbhlm:::variance_homogeneity(hlm(y ~ 1 + (1 | g), d), 1L)$p_value, 1e-4)
})

test_that("with many df per group the statistic is Raudenbush and Bryk's", {
  # digamma(v/2) - log(v/2) -> 0 and trigamma(v/2) -> 2/v
  withr::with_seed(13, d <- data.frame(g = rep(1:6, each = 400), y = stats::rnorm(2400)))
  fit <- hlm(y ~ 1 + (1 | g), d)
  test <- wbhlm:::variance_homogeneity(fit, 1L)
  variance <- tapply(d$y, d$g, stats::var)
  v <- 399
  h <- sum((log(variance) - mean(log(variance)))^2) / (2 / v)
  expect_equal(test$statistic, h, tolerance = 0.01)
  expect_equal(test$p_value, stats::pchisq(h, 5, lower.tail = FALSE), tolerance = 0.02)
})

test_that("the simultaneous band holds with its probability", {
  # two uniforms: P(l1 < U(1) < u1, l2 < U(2) < u2) by integration
  local <- 0.04
  l <- stats::qbeta(local / 2, 1:2, 2:1)
  u <- stats::qbeta(local / 2, 1:2, 2:1, lower.tail = FALSE)
  area <- stats::integrate(function(a) 2 * pmax(u[2] - pmax(a, l[2]), 0), l[1], min(u[1], u[2]), rel.tol = 1e-10)$value
  expect_equal(wbhlm:::band_probability(2L, local), area, tolerance = 1e-6)
  for (n in c(2L, 50L)) expect_equal(wbhlm:::band_probability(n, wbhlm:::local_level(n, 0.95)), 0.95, tolerance = 1e-4)
  expect_identical(wbhlm:::local_level(1L, 0.9), 1 - 0.9)
  covered <- withr::with_seed(4, {
    limits <- wbhlm:::qq_band(3000L)
    mean(replicate(400, {
      z <- sort(stats::rnorm(3000))
      all(z > limits$low & z < limits$high)
    }))
  })
  expect_gt(covered, 0.95 - 4 * sqrt(0.05 * 0.95 / 400))
})

test_that("the pointwise band is narrower", {
  one <- wbhlm:::qq_band(50L, band = "pointwise")
  all <- wbhlm:::qq_band(50L)
  expect_true(all(one$high < all$high & one$low > all$low))
  expect_equal(stats::pbeta(stats::pnorm(one$low[10]), 10, 41), 0.025)
})
