fit_formula <- function(...) {
  r <- suppressWarnings(suppressMessages(reciprocal(reciprocal_panel(), x, y, person, session, ...)))
  vapply(r$fits, function(fit) deparse1(fit$formula), "")
}

test_that("the formulas are those of the documentation", {
  expect_identical(fit_formula(), c(
    xy = "y ~ lagged(y) + within(lagged(x)) + between(lagged(x)) + (1 + within(lagged(x)) | person)",
    yx = "x ~ lagged(x) + within(lagged(y)) + between(lagged(y)) + (1 + within(lagged(y)) | person)"
  ))
  expect_identical(fit_formula(lags = c(yx = 0, xy = 2), autoregression = "within", random = "intercept", covariates = c(session, group)), c(
    xy = "y ~ session + group + within(lagged(y, 2)) + within(lagged(x, 2)) + between(lagged(x, 2)) + (1 | person)",
    yx = "x ~ session + group + within(lagged(x)) + within(y) + between(y) + (1 | person)"
  ))
  expect_identical(
    fit_formula(level = "therapist", random = "uncorrelated", autoregression = FALSE, moderators = ~ group + within(session), concurrent = TRUE)[["xy"]], paste(
      "y ~ within(lagged(x)) + within(x) + between(lagged(x), level = \"therapist\") + (group + within(session)) +",
      "within(lagged(x)):(group + within(session)) + (1 + within(lagged(x)) || person) + (1 | therapist)"
    )
  )
})

test_that("the level of a trend is taken at a time of the predictor's own session", {
  # by default the first session, 1: for a predictor one session before that is row 2, for one of the same session row 1
  made <- fit_formula(detrend = TRUE, lags = c(xy = 1, yx = 0), random = ~ 0 + slope | person)
  expect_match(made[["xy"]], "between(lagged(x), detrend = TRUE, at = 2)", fixed = TRUE)
  expect_match(made[["yx"]], "between(y, detrend = TRUE, at = 1)", fixed = TRUE)
  expect_match(made[["xy"]], "y_detrended ~ lagged(y_detrended)", fixed = TRUE)
  made <- fit_formula(detrend = c(x = 2), at = 3, random = ~ 0 + slope | person)
  expect_match(made[["xy"]], "y ~ lagged(y) + within(lagged(x), detrend = 2) + between(lagged(x), detrend = 2, at = 4)", fixed = TRUE)
  expect_match(made[["yx"]], "x_detrended ~ lagged(x_detrended) + within(lagged(y)) +", fixed = TRUE)
})

test_that("a detrended outcome is the residual from the person's own polynomial plus the person's mean, over all its values", {
  d <- reciprocal_panel()
  codes <- match(d$person, unique(d$person))
  panel <- list(codes = codes, levels = unique(d$person), id = "person", time = d$session)
  for (degree in 1:2) {
    found <- suppressWarnings(detrended_outcome(d$y, panel, degree, "y"), classes = "hlm_warning")
    expected <- rep(NA_real_, nrow(d))
    for (p in unique(d$person)) {
      rows <- which(d$person == p & !is.na(d$y))
      if (length(rows) < degree + 2L) next
      expected[rows] <- stats::residuals(stats::lm(y ~ stats::poly(session, degree), d[rows, ])) + mean(d$y[rows])
    }
    expect_equal(found, expected)
  }
  few <- list(codes = c(1L, 1L, 2L, 2L, 2L), levels = c("a", "b"), id = "person", time = c(1, 2, 1, 2, 3))
  expect_warning(found <- detrended_outcome(c(1, 2, 1, 5, 3), few, 1L, "y"), class = "hlm_warning_data")
  # 1, 5, 3 about the line 1 + t: residuals -1, 2, -1; the mean is 3
  expect_equal(found, c(NA, NA, 2, 5, 2))
  expect_error(suppressWarnings(detrended_outcome(1:4, list(codes = c(1L, 1L, 2L, 2L), levels = 1:2, id = "p", time = c(1, 2, 1, 2)), 1L, "y")),
    class = "hlm_error_data"
  )
})

test_that("the residualised change is the residual of one regression over all pairs", {
  values <- c(3, 5, 4, NA, 8, 6)
  earlier <- c(NA, 3, 5, 4, NA, 8)
  pairs <- c(2, 3, 6)
  expected <- rep(NA_real_, 6)
  slope <- stats::cov(earlier[pairs], values[pairs]) / stats::var(earlier[pairs])
  expected[pairs] <- values[pairs] - mean(values[pairs]) - slope * (earlier[pairs] - mean(earlier[pairs]))
  expect_equal(residual_change(values, earlier, "y"), expected)
  expect_error(residual_change(values[1:3], earlier[1:3], "y"), class = "hlm_error_data")
})

test_that("computed columns do not overwrite columns of the data", {
  d <- reciprocal_panel()
  d$y_change <- 1
  r <- reciprocal(d, x, y, person, session, outcome = "change", random = ~ 0 + slope | person, covariates = ~ I(y_change * session))
  expect_identical(r$effects$outcome[[1L]], "y_change.1")
})
