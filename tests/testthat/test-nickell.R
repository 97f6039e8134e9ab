test_that("the centred lag: the mean estimate of a large panel is what the formula says, and rho is found from it", {
  d <- panel_series(4000, 6, 0.4, 1, 1)
  fit <- hlm(y ~ within(lagged(y)) + (1 | person), d, time = session)
  found <- nickell_bias(fit)
  expect_s3_class(found, "hlm_nickell")
  expect_identical(found$table$form, "within")
  # standard error of the estimate about 0.006
  expect_lt(abs(fixef(fit)[["y_lag1_within"]] - (0.4 + nickell_formula(0.4, 6))), 0.02)
  expect_lt(abs(found$table$rho - 0.4), 0.025)
  expect_equal(found$table$bias, found$table$estimate - found$table$rho)
  expect_lt(abs(found$table$bias - found$table$nickell), 0.02)
})

test_that("unequal numbers of sessions, and gaps, are averaged properly", {
  d <- panel_series(4000, 9, 0.5, 1, 2)
  d <- withr::with_seed(3, d[d$session <= 3 + d$person %% 7 & stats::runif(nrow(d)) > 0.15, ])
  fit <- hlm(y ~ within(lagged(y)) + (1 | person), d, time = session)
  found <- nickell_bias(fit)
  expect_lt(abs(found$table$rho - 0.5), 0.03)
  # one number of sessions for all, the mean, would be off by more
  expect_gt(abs(found$table$bias - nickell_formula(0.5, found$table$sessions)), 0.02)
})

test_that("the bias passed on to another within effect is predicted", {
  d <- panel_series(4000, 5, 0.5, 1, 4, effect = 0.6)
  # x that goes with the outcome of the session before
  d <- withr::with_seed(5, transform(d, x = x + 0))
  fit <- hlm(y ~ within(lagged(y)) + within(lagged(x)) + (1 | person), d, time = session)
  found <- nickell_bias(fit)
  effect <- found$effects
  expect_lt(abs(found$table$rho - 0.5), 0.03)
  expect_lt(abs(effect$estimate - effect$bias - 0.6), 0.03)
  # by hand: minus the regression of the lag on the other predictor, both centred, times the bias
  frame <- stats::model.frame(fit)
  slope <- sum(frame$y_lag1_within * frame$x_lag1_within) / sum(frame$x_lag1_within^2)
  expect_equal(effect$bias, -slope * found$table$bias, tolerance = 1e-6)
  expect_equal(effect$ratio, effect$bias / sqrt(diag(as.matrix(vcov(fit)))[["x_lag1_within"]]))
})

test_that("the raw lag: expected estimates of the likelihood, and back to the true value", {
  d <- panel_series(4000, 8, 0.3, 1, 6)
  fit <- hlm(y ~ lagged(y) + (1 | person), d, time = session)
  panel <- fit_panel(fit, 1L)
  # spread of levels in units of the variance of the series
  expected <- raw_expected(panel, 0.3, 1 * (1 - 0.3^2))
  expect_lt(abs(fixef(fit)[["y_lag1"]] - expected[["b"]]), 0.02)
  expect_lt(abs(intercept_ratio(fit) - expected[["lambda"]]), 0.06)
  found <- nickell_bias(fit)
  expect_identical(found$table$form, "raw")
  expect_lt(abs(found$table$rho - 0.3), 0.03)
  expect_true(is.na(found$table$note))
  # exact inversion of exact expectations, also when persons differ in sessions
  uneven <- panel_moments(rep(1:60, rep(c(3, 5, 9), 20)), unlist(rep(list(1:3, c(1:3, 6, 7), 1:9), 20)))
  for (rho in c(-0.2, 0, 0.1)) {
    truth <- raw_expected(uneven, rho, 1.5)
    scores <- raw_scores(uneven, rho, 1.5, truth[["b"]], truth[["lambda"]])
    expect_lt(max(abs(scores / uneven$rows)), 1e-5)
  }
  # at the boundary the score of the intercept variance points below zero
  truth <- raw_expected(uneven, 0.4, 1.5)
  expect_equal(truth[["lambda"]], 0)
  expect_equal(truth[["b"]], (0.4 + 1.5) / (1 + 1.5))
  expect_lt(raw_scores(uneven, 0.4, 1.5, truth[["b"]], 0)[["lambda"]], 0)
})

test_that("the raw lag without intercept variance: the true value comes from the deviations within persons, and the note says so", {
  d <- panel_series(3000, 8, 0.6, 1.5, 7)
  fit <- hlm(y ~ lagged(y) + (1 | person), d, time = session)
  expect_equal(intercept_ratio(fit), 0)
  found <- nickell_bias(fit)
  expect_lt(abs(found$table$rho - 0.6), 0.04)
  expect_gt(found$table$bias, 0.1)
  expect_match(found$table$note, "deviations within persons")
})

test_that("a lagged outcome is recognised in every form, from the specification", {
  d <- panel_series(60, 8, 0.3, 1, 8)
  forms <- list(
    raw = y ~ lagged(y) + (1 | person), within = y ~ within(lagged(y)) + (1 | person), within = y ~ wb(lagged(y)) + (1 | person),
    within = y ~ cx(lagged(y)) + (1 | person), within = y ~ within(lagged(y), detrend = TRUE) + (1 | person), raw = y ~ lagged(y, 2) + (1 | person)
  )
  for (i in seq_along(forms)) {
    fit <- hlm(forms[[i]], d, time = session)
    found <- lagged_outcome(fit)
    expect_identical(found$form, names(forms)[[i]])
    expect_true(is.finite(nickell_bias(fit)$table$rho))
  }
  # a later value is none; a column of that name is none; nor is the lag of something else
  d$y_lag1 <- stats::rnorm(nrow(d))
  expect_null(lagged_outcome(hlm(y ~ y_lag1 + (1 | person), d, time = session)))
  expect_null(lagged_outcome(hlm(y ~ wb(lagged(x)) + (1 | person), d, time = session)))
  expect_null(lagged_outcome(hlm(y ~ lagged(y, -1) + (1 | person), d, time = session)))
  expect_message(none <- nickell_bias(hlm(y ~ x + (1 | person), d)), class = "hlm_message_nickell")
  expect_null(none)
  expect_error(nickell_bias(1), class = "hlm_error_data")
})

test_that("cx() and wb() of the lag give the bias of within()", {
  d <- panel_series(200, 6, 0.3, 1, 9)
  one <- nickell_bias(hlm(y ~ wb(lagged(y)) + (1 | person), d, time = session))$table
  two <- nickell_bias(hlm(y ~ cx(lagged(y)) + (1 | person), d, time = session))$table
  expect_equal(two[c("estimate", "rho", "bias")], one[c("estimate", "rho", "bias")], tolerance = 1e-5)
})

test_that("dates count in days and a lag of seven days is one step", {
  d <- panel_series(200, 6, 0.3, 1, 10)
  weekly <- d
  weekly$session <- as.Date("2024-01-01") + 7 * d$session
  one <- nickell_bias(hlm(y ~ within(lagged(y)) + (1 | person), d, time = session))$table
  two <- nickell_bias(hlm(y ~ within(lagged(y, 7)) + (1 | person), weekly, time = session))$table
  expect_equal(two$rho, one$rho)
})

test_that("estimates that no stationary series is expected to give, and models without a random intercept, are said", {
  d <- withr::with_seed(11, {
    data.frame(person = rep(1:50, each = 8), session = rep(1:8, 50), y = rep(stats::rnorm(50), each = 8) * rep(1:8, 50) + stats::rnorm(400, 0, 0.1))
  })
  found <- nickell_bias(hlm(y ~ within(lagged(y)) + (1 | person), d, time = session))
  expect_true(is.na(found$table$rho))
  expect_match(found$table$note, "near 1")
  fit <- hlm(y ~ lagged(y) + (0 + session | person), d, time = session)
  expect_match(nickell_bias(fit)$table$note, "no random intercept")
})

test_that("summary() says how large the bias is, print() that there is one, other models nothing", {
  d <- panel_series(60, 8, 0.3, 1, 8)
  fit <- hlm(y ~ within(lagged(y)) + (1 | person), d, time = session)
  bias <- formatC(nickell_bias(fit)$table$bias, format = "f", digits = 2L)
  expect_output(print(summary(fit)), paste0("biased, here by about\\s+", bias))
  expect_output(print(fit), "nickell_bias")
  other <- hlm(y ~ x + (1 | person), d)
  expect_null(summary(other)$nickell)
  expect_false(any(grepl("nickell", utils::capture.output(print(other), print(summary(other))))))
  expect_output(print(nickell_bias(fit)), "RI-CLPM|cross-lagged")
})

test_that("a reciprocal model reports the bias of each direction; the change model that of the level", {
  d <- reciprocal_panel()
  level <- reciprocal(d, x, y, person, session, random = "intercept", autoregression = "within")
  expect_equal(level$nickell$xy, nickell_bias(level$fits$xy))
  level <- reciprocal(d, x, y, person, session, random = "intercept")
  change <- reciprocal(d, x, y, person, session, random = "intercept", outcome = "change", autoregression = TRUE)
  expect_equal(change$nickell$xy$table$rho, level$nickell$xy$table$rho, tolerance = 1e-4)
  expect_null(reciprocal(d, x, y, person, session, outcome = "residualised", random = "intercept")$nickell$xy)
})

test_that("many persons take no time", {
  d <- panel_series(10000, 10, 0.3, 1, 12)
  d <- withr::with_seed(13, d[stats::runif(nrow(d)) > 0.2, ])
  fit <- hlm(y ~ within(lagged(y)) + (1 | person), d, time = session)
  expect_lt(system.time(nickell_bias(fit))[["elapsed"]], 5)
})

test_that("with a detrended lag the error variance is that around the persons' own trends", {
  d <- panel_series(3000L, 10L, 0.4, 1, 91L)
  d <- d[withr::with_seed(92L, stats::runif(nrow(d))) > 0.2, ]
  # persons with one session left have no trend
  expect_warning(fit <- hlm(y ~ within(lagged(y), detrend = TRUE) + (1 | person), d, time = session), class = "hlm_warning")
  found <- nickell_bias(fit)$table
  expect_lt(abs(found$rho - 0.4), 0.03)
  # the residual variance of the model also holds the trends of the outcome
  left <- fit$core$sigma^2 / fit$core$vcov[2L, 2L]
  expect_gt(solve_within(fit_panel(fit, 1, 1L), found$estimate, left, fit$core$sigma^2)$rho, 0.45)
  # the same from base R, person by person
  residual <- fit$design$y - drop(kept_x(fit) %*% fixef(fit))
  time <- fit$data$session[fit$rows]
  rows <- split(seq_along(time), fit$data$person[fit$rows])
  squares <- vapply(rows, function(r) sum(stats::lm.fit(cbind(1, time[r]), residual[r])$residuals^2), 0)
  spent <- vapply(rows, function(r) min(length(r), 2L), 0L)
  expect_equal(
    error_variance(fit, fit_panel(fit, 1, 1L), data.frame(degree = 1L)), sum(squares) / (length(time) - sum(spent) - 1), tolerance = 1e-10
  )
})
