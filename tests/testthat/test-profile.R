test_that("limits of a fixed effect are where the likelihood has fallen by the chi-squared quantile", {
  d <- therapy_data()
  fit <- hlm(distress ~ session + wb(alliance) + (1 + session | patient), d)
  best <- -2 * as.double(logLik(as_ml(fit)))
  limits <- confint_profile(fit, c("session", "alliance_between"))
  rise <- function(name, value) {
    rest <- list(session = distress ~ wb(alliance) + (1 + session | patient), alliance_between = distress ~ session + within(alliance) +
      (1 + session | patient))
    # the effect held at the value is a known part of the outcome
    held <- fit$design$columns[[fit$design$x[match(name, fit$design$x_names)]]]
    smaller <- hlm(rest[[name]], d[fit$rows, ], offset = value * held, REML = FALSE)
    smaller$core$criterion - best
  }
  for (name in rownames(limits)) {
    for (value in limits[name, ]) expect_equal(rise(name, value), stats::qchisq(0.95, 1), tolerance = 1e-6)
  }
})

test_that("limits of variance parameters are where the dense likelihood has risen", {
  # plain R, no shared code: sigma and the intercept's SD by a one-dimensional search over the other
  fit <- hlm(Yield ~ 1 + (1 | Batch), data.frame(
    Yield = c(1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560), Batch = rep(1:3, each = 5)
  ), REML = FALSE)
  y <- fit$design$y
  z <- outer(fit$design$groups[[1L]]$codes, 1:3, "==") + 0
  deviance <- function(sd, sigma) {
    v <- sigma^2 * diag(length(y)) + sd^2 * tcrossprod(z)
    inverse <- solve(v)
    mean <- sum(inverse %*% y) / sum(inverse)
    length(y) * log(2 * pi) + as.double(determinant(v)$modulus) + drop(t(y - mean) %*% inverse %*% (y - mean))
  }
  best <- fit$core$criterion
  limits <- confint_profile(fit, "theta_")
  upper <- limits["sd_(Intercept)|Batch", 2L]
  rise <- stats::optimize(function(sigma) deviance(upper, sigma), c(5, 200), tol = 1e-9)$objective - best
  expect_equal(rise, stats::qchisq(0.95, 1), tolerance = 1e-6)
  for (sigma in limits["sigma", ]) {
    rise <- stats::optimize(function(sd) deviance(sd, sigma), c(0, 400), tol = 1e-9)$objective - best
    expect_equal(rise, stats::qchisq(0.95, 1), tolerance = 1e-6)
  }
})

test_that("a profile has the shape of lme4's, and leaves the fit as it was", {
  fit <- fit_therapy()
  before <- serialize(fit, NULL)
  p <- profile(fit)
  expect_identical(serialize(fit, NULL), before)
  names <- profile_parameters(fit)$name
  expect_named(p, c(".zeta", names, ".par"))
  for (name in names) {
    rows <- p[p$.par == name, ]
    expect_false(is.unsorted(rows[[name]]))
    expect_true(all(diff(rows$.zeta) > -1e-6))
    expect_true(any(rows$.zeta == 0))
  }
  expect_gt(max(p$.zeta), stats::qnorm(0.995))
  expect_output(print(p), "Profile likelihood of")
  expect_s3_class(p[1:3, ], "data.frame", exact = TRUE)
})

test_that("confint() of a profile interpolates what is found exactly otherwise", {
  fit <- fit_therapy()
  exact <- confint_profile(fit, level = 0.9)
  near <- confint(profile(fit), level = 0.9)
  expect_equal(dimnames(near), dimnames(exact))
  width <- exact[, 2L] - exact[, 1L]
  expect_lt(max(abs(near - exact) / width), 0.01)
})

test_that("a correlation is held at its value, not at the value with the other sign", {
  # synthetic; before this was a test, the curve jumped to the mirror image of the correlation
  d <- therapy_data()
  fit <- hlm(distress ~ session + alliance + (1 + session + alliance | patient), d, REML = FALSE)
  p <- profile(fit, which = grep("^cor_", profile_parameters(fit)$name))
  for (name in unique(as.character(p$.par))) {
    rows <- p[p$.par == name, ]
    expect_true(all(diff(rows$.zeta) > -1e-6))
    expect_true(all(abs(rows[[name]]) <= 1))
  }
})

test_that("at the boundary a side ends at zero, and a correlation without SDs has no curve", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  p <- profile(fit)
  sd <- p[p$.par == "sd_(Intercept)|Batch", ]
  expect_equal(min(sd[["sd_(Intercept)|Batch"]]), 0)
  expect_equal(sd$.zeta[[1L]], 0)
  d <- data.frame(person = rep(1:10, each = 4), x = rep(c(-1, 0, 0, 1), 10))
  d$y <- rep(1:10, each = 4) + 0.1 * rep(c(1, -1, -1, 1), 10)
  singular <- hlm(y ~ x + (x | person), d)
  expect_message(limits <- confint_profile(singular), "not defined", class = "hlm_message_profile")
  expect_true(all(is.na(limits["cor_x.(Intercept)|person", ])))
  expect_equal(unname(limits["sd_x|person", 1L]), 0)
})

test_that("weights, offset, crossed and nested factors, dropped columns", {
  skip_if_not_installed("lme4")
  for (fit in list(fit_gaps(), fit_penicillin(), fit_pastes())) {
    limits <- confint_profile(fit)
    estimates <- c(theta_to_sdcor(as_ml(fit), as_ml(fit)$core$theta, sigma(as_ml(fit))), sigma(as_ml(fit)), fixef(as_ml(fit)))
    expect_true(all(limits[, 1L] <= estimates & estimates <= limits[, 2L]))
  }
  d <- therapy_data()
  d$twice <- 2 * d$session
  expect_message(fit <- hlm(distress ~ session + twice + (1 | patient), d), class = "hlm_message_rank")
  expect_equal(rownames(confint_profile(fit, "beta_")), c("(Intercept)", "session"))
})

test_that("parameters that do not exist are refused", {
  expect_error(profile(fit_therapy(), "nothere"), "nothere", class = "hlm_error_data")
  expect_error(profile(fit_therapy(), level.max = 1), class = "hlm_error_data")
  failed <- fit_therapy()
  failed$core$status <- "failed"
  expect_error(profile(failed), class = "hlm_error_numerical")
})

test_that("a profile gives no limits beyond the level it was followed to", {
  p <- profile(fit_therapy(), "sigma", level.max = 0.8)
  expect_error(confint(p, "sigma", level = 0.9), "level.max", class = "hlm_error_data")
  expect_output(print(p), "10 %")
})

test_that("pairs without contours are left out", {
  skip_if_not_installed("ggplot2")
  d <- therapy_data()
  d$even <- d$session %% 2
  fit <- hlm(distress ~ session + (even | patient), d)
  expect_s3_class(ggplot2::ggplot_build(plot(profile(fit, level.max = 0.999), "pairs")), "ggplot_built")
})
