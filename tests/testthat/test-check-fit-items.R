verdict_of <- function(fit, check, about = NULL) {
  found <- check_fit(fit)
  rows <- found$check == check & (is.null(about) | found$about %in% about)
  found[rows, , drop = FALSE]
}

# Synthetic: 40 patients, 6 sessions, nothing wrong with them.
sound <- function() {
  fit_once("sound", function() {
    withr::with_seed(31, {
      d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
      d$x <- stats::rnorm(40)[d$patient] + stats::rnorm(240)
      d$y <- d$x + stats::rnorm(40)[d$patient] + stats::rnorm(240)
      d
    })
  })
}
fit_to <- function(d, formula = y ~ session + wb(x) + (1 | patient)) hlm(formula, d, id = patient, time = session)

test_that("sound data raise no problem", {
  found <- check_fit(fit_to(sound()))
  expect_identical(sum(found$verdict == "problem"), 0L)
})

test_that("a single wild row is named", {
  d <- sound()
  d$y[[77L]] <- 60
  found <- verdict_of(fit_to(d), "Outlying rows")
  expect_identical(as.character(found$verdict), "problem")
  expect_match(found$finding, "rows 77")
})

test_that("a person unlike the others is named", {
  d <- sound()
  d$y[d$patient == 9] <- d$y[d$patient == 9] + 15
  fit <- fit_to(d)
  outlying <- verdict_of(fit, "Outlying groups")
  expect_identical(as.character(outlying$verdict), "problem")
  expect_match(outlying$finding, "^9 ")
  expect_match(verdict_of(fit, "Influential groups")$finding, "most influential: 9")
})

test_that("a person on whom an effect hangs is named", {
  d <- sound()
  d$x[d$patient == 5] <- d$x[d$patient == 5] + 30
  d$y[d$patient == 5] <- d$y[d$patient == 5] - 10
  found <- verdict_of(fit_to(d), "Influential groups")
  expect_identical(as.character(found$verdict), "problem")
  expect_match(found$finding, "5 \\(x_between\\)")
})

test_that("unequal residual variances are seen", {
  d <- sound()
  d$y <- d$y + stats::ave(d$y, d$patient, FUN = function(v) (v - mean(v))) * (d$patient > 20) * 4
  found <- verdict_of(fit_to(d), "Equal residual variance")
  expect_identical(as.character(found$verdict), "problem")
})

test_that("a mixed predictor is told to be split, a centred or a time variable is not", {
  d <- sound()
  found <- verdict_of(fit_to(d, y ~ session + x + (1 | patient)), "Within and between not separated")
  expect_identical(found$about, "x")
  # half of the variance of x lies between persons
  expect_equal(found$value, 0.5, tolerance = 0.3)
  expect_match(found$advice, "wb(x)", fixed = TRUE)
  expect_identical(nrow(verdict_of(fit_to(d), "Within and between not separated")), 0L)
})

test_that("a predictor that hardly moves within persons is flagged", {
  d <- sound()
  d$x <- d$patient + ifelse(d$patient < 8, d$session / 10, 0)
  found <- verdict_of(fit_to(d), "Variation within persons")
  expect_identical(as.character(found$verdict), "problem")
  expect_match(found$finding, "82 % of the groups show no change")
})

test_that("few groups, lost rows, aliased predictors and boundaries", {
  d <- sound()
  expect_identical(as.character(verdict_of(fit_to(d[d$patient <= 8, ]), "Number of groups")$verdict), "problem")
  gaps <- d
  gaps$x[1:40] <- NA
  lost <- verdict_of(fit_to(gaps), "Rows left out")
  expect_match(lost$finding, "40 of 240 rows (16.7 %) have missing values (x: 40)", fixed = TRUE)
  d$double <- 2 * d$x
  aliased <- suppressMessages(fit_to(d, y ~ x + double + (1 | patient)))
  expect_match(verdict_of(aliased, "Predictors estimable")$finding, "double")
  skip_if_not_installed("lme4")
  zero <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  expect_identical(as.character(verdict_of(zero, "Random effects at the limit")$verdict), "look")
})

test_that("overlap is reported for its own level", {
  d <- sound()
  withr::with_seed(2, d$z <- d$x + stats::rnorm(240, sd = 0.1))
  found <- verdict_of(fit_to(d, y ~ within(x) + within(z) + (1 | patient)), "Overlapping predictors")
  expect_identical(found$about, "level 1")
  expect_identical(as.character(found$verdict), "problem")
})

test_that("skewed and heavy-tailed residuals", {
  d <- sound()
  withr::with_seed(9, d$y <- d$y + stats::rexp(240)^3)
  expect_identical(as.character(verdict_of(fit_to(d), "Normality of residuals (rows)")$verdict), "problem")
})

test_that("the between part of a variable whose name needs backticks is found", {
  d <- spaced_data()
  plain <- hlm(y ~ wb(x) + (1 | patient), d)
  spaced <- hlm(y ~ wb(`my x`) + (1 | patient), d)
  expect_identical(partner_columns(spaced, "`my x_within`"), "`my x_between`")
  expect_equal(verdict_of(spaced, "Variation within persons")$value, verdict_of(plain, "Variation within persons")$value)
})
