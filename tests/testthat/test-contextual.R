test_that("between minus within is contest()'s, with any method for the df", {
  fit <- fit_therapy()
  for (ddf in c("Satterthwaite", "asymptotic")) {
    found <- contextual(fit, ddf = ddf)$effects
    theirs <- contest(fit, c(alliance_between = 1, alliance_within = -1), joint = FALSE, ddf = ddf)
    expect_equal(found$Estimate, theirs$Estimate)
    expect_equal(found$df, theirs$df)
    expect_equal(found$`Pr(>|t|)`, theirs$`Pr(>|t|)`)
  }
})

test_that("cx() has the same contextual effect as wb(), as a coefficient", {
  d <- therapy_data()
  split <- contextual(hlm(distress ~ wb(alliance) + (1 | patient), d))
  fit <- hlm(distress ~ cx(alliance) + (1 | patient), d)
  own <- contextual(fit)
  expect_equal(own$effects, split$effects, tolerance = 1e-6)
  expect_equal(own$effects$Estimate, fixef(fit)[["alliance_between"]])
})

test_that("with random intercepts it is the Hausman test", {
  # Hausman's statistic (b_within - b_gls)^2 / (Var b_within - Var b_gls), all at the same variances; unbalanced data.
  fit <- hlm(distress ~ wb(alliance) + (1 | patient), therapy_data())
  gls <- fit$design
  x <- therapy_data()$alliance[fit$rows]
  gls$columns <- list(x)
  gls$x <- c(0L, 1L)
  gls$x_names <- c("(Intercept)", "alliance")
  gls$x_assign <- 0:1
  at <- engine_at(gls, TRUE, fit$core$theta)
  variance <- at$vcov[2, 2] / at$sigma^2 * stats::sigma(fit)^2
  within <- c(fixef(fit)[["alliance_within"]], stats::vcov(fit)["alliance_within", "alliance_within"])
  hausman <- (within[[1]] - at$beta[[2]])^2 / (within[[2]] - variance)
  expect_equal(contextual(fit)$joint$`F value`, hausman, tolerance = 1e-8)
})

test_that("three levels: therapist minus person as well, and one test of all", {
  d <- therapy_data()
  d$mood <- withr::with_seed(4, stats::rnorm(nrow(d)))
  fit <- hlm(distress ~ wb(alliance, level = "therapist") + wb(mood) + (1 | therapist / patient), d, id = patient)
  found <- contextual(fit)
  expect_equal(found$effects$variable, c("alliance", "alliance", "mood"))
  expect_equal(found$effects$contrast[1:2], c("between-patient minus within-patient", "between-therapist minus between-patient"))
  b <- fixef(fit)
  expect_equal(found$effects$Estimate[1:2], unname(c(
    b["alliance_between"] - b["alliance_within"], b["alliance_between_therapist"] - b["alliance_between"]
  )))
  expect_equal(found$joint, contest(fit, found$L))
  # the same three coefficients in the contextual parametrisation
  other <- hlm(distress ~ cx(alliance, level = "therapist") + cx(mood) + (1 | therapist / patient), d, id = patient)
  expect_equal(contextual(other)$joint$`F value`, found$joint$`F value`, tolerance = 1e-5)
})

test_that("lagged variables and functions of a variable", {
  d <- therapy_data()
  d$positive <- d$alliance + 10
  fit <- hlm(distress ~ cx(lagged(alliance)) + cx(log(positive)) + (1 | patient), d, time = session)
  found <- contextual(fit)$effects
  expect_equal(found$Estimate, unname(fixef(fit)[c("alliance_lag1_between", "log_positive_between")]))
})

test_that("the level of a trend at two times is compared once", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance, detrend = TRUE) + between(alliance, detrend = TRUE, at = 5) + (1 | patient), d, time = session)
  found <- contextual(fit)
  expect_equal(nrow(found$effects), 1L)
  expect_equal(summary(fit)$contextual$effects, found$effects)
})

test_that("nothing to compare is an error for contextual() and silence for summary()", {
  fit <- hlm(distress ~ within(alliance) + (1 | patient), therapy_data())
  expect_error(contextual(fit), "wb\\(x\\)", class = "hlm_error_data")
  expect_null(summary(fit)$contextual)
  expect_error(contextual(1), class = "hlm_error_data")
})

test_that("a coefficient that could not be estimated is left out", {
  d <- therapy_data()
  d$average <- stats::ave(d$alliance, d$patient)
  d <- d[!is.na(d$distress), ]
  d$average <- stats::ave(d$alliance, d$patient)
  fit <- suppressMessages(hlm(distress ~ average + wb(alliance) + (1 | patient), d))
  expect_null(contextual_contrasts(fit))
})

test_that("summary() shows the block, print() the joint test", {
  out <- paste(utils::capture.output(print(summary(fit_therapy()))), collapse = "\n")
  expect_match(out, "Contextual effects")
  expect_match(out, "alliance: between-patient minus within-patient")
  expect_output(print(contextual(fit_therapy())), "Hausman")
  # with cx() the difference is a coefficient already
  plain <- utils::capture.output(print(summary(hlm(distress ~ cx(alliance) + (1 | patient), therapy_data()))))
  expect_false(any(grepl("do the between and the within", plain)))
})

test_that("variables whose names need backticks have contextual effects", {
  d <- spaced_data()
  plain <- contextual(hlm(y ~ wb(x) + (1 | patient), d))
  expect_equal(contextual(hlm(y ~ wb(`my x`) + (1 | patient), d))$effects[-1L], plain$effects[-1L])
  expect_equal(contextual(hlm(y ~ cx(`my x`) + (1 | patient), d))$effects$Estimate, plain$effects$Estimate, tolerance = 1e-6)
  lagged <- contextual(hlm(y ~ cx(lagged(`my x`)) + (1 | patient), d, time = session))
  expect_equal(lagged$effects$Estimate, contextual(hlm(y ~ cx(lagged(x)) + (1 | patient), d, time = session))$effects$Estimate)
})
