estimate_of <- function(b, term, column = "estimate") b$coefficients[b$coefficients$term == term, column]

# Synthetic: true effects -0.5 within, -1.5 between, cross-level -0.3; four sessions unless n says otherwise.
simulated_alliance <- function(seed, persons = 120, n = 4, cross = 0) {
  withr::with_seed(seed, {
    n <- rep_len(n, persons)
    patient <- rep(seq_len(persons), n)
    level <- stats::rnorm(persons)
    within <- stats::rnorm(sum(n), sd = 1.5)
    d <- data.frame(patient, x = level[patient] + within)
    d$y <- 10 - 0.5 * within - 1.5 * level[patient] + cross * within * level[patient] + stats::rnorm(persons)[patient] + stats::rnorm(sum(n))
    d
  })
}

test_that("the correction and its standard errors are those of lavaan's latent-mean model (balanced, ML against moments)", {
  for (reference in r2_reference()$latent) {
    d <- NULL
    eval(parse(text = reference$generate))
    names <- setdiff(names(d), c("patient", "y"))
    formula <- switch(paste(names, collapse = " "), x = y ~ wb(x) + (1 | patient), `x z` = y ~ wb(x) + z + (1 | patient),
      `x w` = y ~ wb(x) + wb(w) + (1 | patient))
    fit <- hlm(formula, d, REML = FALSE)
    b <- between_correction(fit)
    # Maximum likelihood divides by J where moments divide by J - k; with its divisor the estimates are the same.
    problem <- calibration_problem(fit)
    moments <- calibration_moments(problem)
    moments$observed <- moments$observed * moments$df / 150
    likelihood <- corrected_fit(fit, problem, add_between(moments))$beta
    suffix <- ifelse(reference$level == 1, "_within", ifelse(reference$rhs == "z", "", "_between"))
    for (i in seq_along(reference$rhs)) {
      term <- paste0(reference$rhs[[i]], suffix[[i]])
      expect_within(likelihood[[term]], reference$est[[i]], 1e-3 * reference$se[[i]], term)
      expect_within(estimate_of(b, term), reference$est[[i]], 0.1 * reference$se[[i]], term)
      expect_within(estimate_of(b, term, "std.error"), reference$se[[i]], 0.02 * reference$se[[i]], paste("SE of", term))
    }
  }
})

test_that("balanced, one variable: the formula of Luedtke et al. and Gottfredson", {
  fit <- hlm(y ~ wb(x) + (1 | patient), simulated_alliance(1))
  b <- between_correction(fit)
  beta <- fixef(fit)
  expect_equal(estimate_of(b, "x_between"), beta[["x_within"]] + (beta[["x_between"]] - beta[["x_within"]]) / b$reliability$mean)
  expect_equal(estimate_of(b, "x_within"), beta[["x_within"]])
  # delta method by hand: V(corrected | lambda) + contextual^2 Var(lambda) / lambda^2, contextual being the corrected one
  lambda <- b$reliability$mean
  variance <- (1 - lambda)^2 * (2 / 119 + 2 / (120 * 3)) / lambda^2
  contextual <- (beta[["x_between"]] - beta[["x_within"]]) / lambda
  expect_equal(estimate_of(b, "x_between", "std.error")^2, estimate_of(b, "x_between", "se.given")^2 + contextual^2 * variance, tolerance = 1e-5)
  expect_equal(b$contextual$estimate, contextual)
})

test_that("cx() gives the same model", {
  d <- simulated_alliance(2, n = c(2, 3, 6))
  split <- between_correction(hlm(y ~ wb(x) + (1 | patient), d))
  own <- between_correction(hlm(y ~ cx(x) + (1 | patient), d))
  expect_equal(estimate_of(own, "x"), estimate_of(split, "x_within"), tolerance = 1e-6)
  expect_equal(estimate_of(own, "x_between"), estimate_of(split, "x_between") - estimate_of(split, "x_within"), tolerance = 1e-6)
  expect_equal(own$contextual$std.error, split$contextual$std.error, tolerance = 1e-5)
})

test_that("the bias is gone: between, contextual and cross-level effects over 120 samples", {
  skip_on_cran()
  draws <- vapply(1:120, function(seed) {
    d <- simulated_alliance(seed, n = c(2, 3, 4, 7), cross = -0.3)
    fit <- hlm(y ~ wb(x) + within(x):between(x) + (1 | patient), d)
    b <- suppressWarnings(between_correction(fit), classes = "hlm_warning")
    terms <- c("x_within", "x_between", "x_within:x_between")
    c(fixef(fit)[terms], b$coefficients$estimate[match(terms, b$coefficients$term)], b$coefficients$std.error[match(terms, b$coefficients$term)])
  }, numeric(9))
  truth <- c(-0.5, -1.5, -0.3)
  error <- rowMeans(draws[1:6, ]) - truth
  mc <- apply(draws[1:6, ], 1, stats::sd) / sqrt(120)
  # naive: far off, towards the within effect and towards zero
  expect_gt(error[[2]], 0.3)
  expect_gt(error[[3]], 0.1)
  # corrected: within three Monte Carlo standard errors and a small-sample ratio bias of at most 4 %
  expect_true(all(abs(error[4:6]) < 3 * mc[4:6] + 0.04 * abs(truth)))
  # the standard errors are the spread of the estimates (the spread of 120 draws is known to about 7 %)
  expect_equal(sqrt(rowMeans(draws[7:9, ]^2)), apply(draws[4:6, ], 1, stats::sd), tolerance = 0.2, ignore_attr = TRUE)
})

test_that("posterior covariances go into products: exact conditional expectation by simulation", {
  d <- simulated_alliance(3, persons = 6, n = c(2, 5))
  fit <- suppressWarnings(hlm(y ~ wb(x) + within(x):between(x) + (1 | patient), d))
  problem <- calibration_problem(fit)
  moments <- calibration_moments(problem)
  moments$between[] <- 1
  moments$within[] <- 2
  prediction <- predict_levels(problem, moments)
  made <- calibrated_columns(fit, problem, prediction)
  grand <- fit$means$x$columns$x_between$grand
  for (row in c(1, 4, 9)) {
    j <- problem$person$codes[[row]]
    mu <- withr::with_seed(5, stats::rnorm(4e5, prediction$level[j, 1], sqrt(prediction$covariance[j, 1, 1])))
    expect_equal(made$`x_within:x_between`[[row]], mean((d$x[row] - mu) * (mu - grand)), tolerance = 0.02)
  }
})

test_that("random slopes, factors, missing rows, weights, ML and available means", {
  d <- therapy_data()
  d$sex <- factor(d$female)
  d$wt <- rep(c(1, 2), 120)
  fit <- hlm(distress ~ session + sex * within(alliance) + between(alliance) + (1 + within(alliance) | patient), d, weights = wt, REML = FALSE)
  b <- between_correction(fit)
  expect_equal(b$coefficients$term, names(fixef(fit)))
  expect_true(all(b$coefficients$std.error >= b$coefficients$se.given))
  expect_true(estimate_of(b, "sex1:alliance_within", "affected"))
  expect_false(estimate_of(b, "session", "affected"))
  available <- hlm(distress ~ wb(alliance) + (1 | patient), d, control = hlm_control(means = "available"))
  expect_equal(between_correction(available)$reliability$highest, with(between_correction(available)$reliability, tau2 / (tau2 + sigma2 / 6)))
})

test_that("a column left out and a crossed factor are no obstacle", {
  d <- therapy_data()
  d$twice <- 2 * d$female
  dropped <- suppressMessages(hlm(distress ~ female + twice + wb(alliance) + (1 | patient), d))
  kept <- hlm(distress ~ female + wb(alliance) + (1 | patient), d)
  expect_equal(between_correction(dropped)$coefficients, between_correction(kept)$coefficients)
  crossed <- hlm(distress ~ wb(alliance) + (1 | patient) + (1 | session), d, id = patient)
  expect_s3_class(between_correction(crossed), "hlm_between_correction")
})

test_that("what cannot be corrected is said", {
  d <- therapy_data()
  expect_error(between_correction(hlm(distress ~ session + (1 | patient), d)), "nothing to correct", class = "hlm_error_data")
  detrended <- hlm(distress ~ wb(alliance, detrend = TRUE) + (1 | patient), d, time = session)
  expect_error(between_correction(detrended), "trend", class = "hlm_error_design")
  squared <- hlm(distress ~ wb(alliance) + I(between(alliance)^2) + (1 | patient), d)
  expect_error(between_correction(squared), "function", class = "hlm_error_design")
  three <- hlm(distress ~ wb(alliance) + (1 | therapist / patient), d, id = patient)
  expect_error(between_correction(three), "above them", class = "hlm_error_design")
  triple <- hlm(distress ~ within(alliance):between(alliance):between(session_length) + (1 | patient), transform(d, session_length = sin(seq_along(patient))))
  expect_error(between_correction(triple), "more than two", class = "hlm_error_design")
  d$noise <- withr::with_seed(1, stats::rnorm(240))
  d$noise <- d$noise - 0.95 * stats::ave(d$noise, d$patient)
  expect_error(between_correction(hlm(distress ~ wb(noise) + (1 | patient), d)), "beyond", class = "hlm_error_data")
  expect_error(between_correction(1), class = "hlm_error_data")
})

test_that("a low reliability is warned of", {
  d <- simulated_alliance(4, n = 2)
  d$x <- d$x + withr::with_seed(2, stats::rnorm(nrow(d), sd = 1.7))
  expect_warning(between_correction(hlm(y ~ wb(x) + (1 | patient), d)), class = "hlm_warning_reliability")
})

test_that("print() shows before and after", {
  out <- paste(utils::capture.output(print(between_correction(hlm(y ~ wb(x) + (1 | patient), simulated_alliance(1))))), collapse = "\n")
  expect_match(out, "Reliability of a person's mean")
  expect_match(out, "x_between +-[0-9.]+ +[0-9.]+ +-[0-9.]+")
  expect_match(out, "Contextual effects, corrected")
})

test_that("a variable whose name needs backticks is corrected like any other", {
  d <- spaced_data()
  for (pair in list(
    list(y ~ wb(x) + (1 | patient), y ~ wb(`my x`) + (1 | patient)),
    list(y ~ within(x) * between(x) + (1 | patient), y ~ within(`my x`) * between(`my x`) + (1 | patient))
  )) {
    plain <- between_correction(hlm(pair[[1L]], d))
    spaced <- between_correction(hlm(pair[[2L]], d))
    expect_equal(spaced$coefficients[-1L], plain$coefficients[-1L])
    expect_equal(spaced$contextual[-1L], plain$contextual[-1L])
  }
})

test_that("a column that the model lacks is an error, not left as it was", {
  fit <- hlm(y ~ wb(x) + (1 | patient), spaced_data())
  problem <- calibration_problem(fit)
  prediction <- predict_levels(problem, calibration_moments(problem))
  fit$design$x_names[[2L]] <- "other"
  expect_error(corrected_design(fit, problem, prediction), "x_within", class = "hlm_error_design")
})
