test_that("a design keeps its arguments and can be made again with others", {
  design <- hlm_design(96, 4, within = -0.1, between = -0.2, sd_y = 0.47, icc = 0.8, sd_x = 0.7)
  expect_s3_class(design, "hlm_study")
  expect_identical(design$effects$effect, c("intercept", "within", "between", "contextual"))
  expect_equal(design$effects$truth, c(0, -0.1, -0.2, -0.1))
  expect_identical(make_study(design$arguments), design)
  again <- make_study(utils::modifyList(design$arguments, list(n_patients = 50)))
  expect_identical(update(design, n_patients = 50), again)
  expect_error(update(design, patients = 50), "patients", class = "hlm_error_data")
  expect_error(update(design, 50), "no argument", class = "hlm_error_data")
  expect_identical(again, hlm_design(50, 4, within = -0.1, between = -0.2, sd_y = 0.47, icc = 0.8, sd_x = 0.7))
})

test_that("the analysis follows from the design, as far as it is not given", {
  formula <- function(...) hlm_design(50, 6, within = 0.1, between = 0.1, ...)$analysis$formula
  expect_identical(formula(), "y ~ within(x) + between(x) + (1 | patient)")
  expect_identical(formula(slope_sd = 0.1), "y ~ within(x) + between(x) + (1 + within(x) | patient)")
  expect_identical(formula(trend_y = 0.1, lag = 1), "y ~ session + within(lagged(x)) + between(lagged(x)) + (1 | patient)")
  expect_identical(
    formula(moderator = "binary", moderation = 0.1, analysis = list(random_slope = TRUE, correlated = FALSE)),
    "y ~ within(x) + between(x) + moderator + within(x):moderator + (1 + within(x) || patient)"
  )
  expect_identical(
    formula(n_therapists = 10, icc_x_therapist = 0.1, icc_therapist = 0.1),
    "y ~ within(x) + between(x, level = \"therapist\") + (1 | patient) + (1 | therapist)"
  )
  expect_identical(
    formula(trend_x = 0.1, analysis = list(time = FALSE, detrend = TRUE, lagged_outcome = TRUE)),
    "y ~ lagged(y) + within(x, detrend = TRUE) + between(x, detrend = TRUE) + (1 | patient)"
  )
  expect_identical(hlm_design(50, 6, within = NULL, between = NULL)$analysis$formula, "y ~ 1 + (1 | patient)")
})

test_that("every bad argument is an error that names it", {
  bad <- function(pattern, ...) {
    arguments <- list(n_patients = 50, n_sessions = 6)
    given <- list(...)
    arguments[names(given)] <- given
    expect_error(do.call(hlm_design, arguments), pattern, class = "hlm_error_data")
  }
  bad("n_patients", n_patients = 1.5)
  bad("n_patients", n_patients = "many")
  bad("n_sessions", n_sessions = 0)
  bad("n_sessions", n_sessions = 1)
  bad("n_therapists", n_therapists = 60)
  bad("within", within = "large")
  bad("between", between = c(1, 2))
  bad("sd_y", sd_y = 0)
  bad("sd_x", sd_x = -1)
  bad("icc", icc = 1.2)
  bad("icc_therapist", icc = 0.7, icc_therapist = 0.4, n_therapists = 5)
  bad("n_therapists", icc_therapist = 0.1)
  bad("n_therapists", between_therapist = 0.1)
  bad("icc_x_therapist", between_therapist = 0.1, n_therapists = 5)
  bad("reliability", reliability = 0)
  bad("reliability", reliability = 0.5, icc_x = 0.6)
  bad("slope_sd", slope_sd = -1)
  bad("slope_cor", slope_sd = 0.1, slope_cor = 1)
  bad("slope_cor", slope_cor = 0.5)
  bad("trend_y", trend_y = c(slope = 1))
  bad("trend_x", trend_x = "up")
  bad("autocorrelation", autocorrelation = 1)
  bad("lag", lag = 6)
  bad("moderator", moderator = "binary 120%")
  bad("moderator", moderation = 0.1)
  bad("missing", missing = 1)
  bad("units", units = "level", variances = "residual")
  bad("variances = \"residual\"", within = 5)
  bad("analysis", analysis = list(trend = TRUE))
  bad("n_therapists", analysis = list(therapist = TRUE))
  bad("interaction", within = NULL, interaction = 0.1)
  bad("contradict", trend_y = c(mean = 0, sd = 1, cor = 0.9), slope_sd = 0.1, slope_cor = -0.9)
  expect_error(hlm_design(n_sessions = 4), "n_patients", class = "hlm_error_data")
  expect_error(hlm_design(10, 4, units = "sd"), "units", class = "hlm_error_design")
  expect_error(hlm_design(10, 4, analysis = list(time = 1)), "time", class = "hlm_error_design")
  expect_warning(hlm_design(10, 4, withn = 1), class = "hlm_warning_arguments")
})
