test_that("a fit is read from itself: the same findings as from its data", {
  d <- changed(audit_data_cases()$dropout$change)
  fit <- hlm(y ~ wb(lagged(x)) + (1 | therapist / patient), d, time = session)
  from_data <- audit_call(d)
  rm(d)
  a <- audit(fit)
  expect_identical(a$read$persons, 60L)
  expect_identical(names(a$data$columns), c("y", "x"))
  expect_identical(a$data$role, c(y = "outcome", x = "predictor"))
  expect_identical(a$findings$dropout$evidence, from_data$findings$dropout$evidence)
})

test_that("columns that the fit does not keep come from `data`", {
  d <- audit_clean()
  fit <- hlm(y ~ wb(lagged(x)) + (1 | patient), d, time = session)
  expect_error(audit(fit, level = therapist), class = "hlm_error")
  expect_error(audit(fit, level = "therapist"), class = "hlm_error")
  expect_error(audit(fit, level = "clinic", data = d), class = "hlm_error")
  a <- audit(fit, level = therapist, covariates = c(arm, age), data = d)
  expect_identical(a$read$levels, c(therapist = 20L))
  expect_identical(nrow(a$skipped), 0L)
})

test_that("variables of the person are read as such, crossed factors are no levels above", {
  d <- audit_clean()
  fit <- hlm(y ~ wb(lagged(x)) + arm + age + (1 | patient), d, time = session)
  expect_true(all(c("covariate_changes", "small_categories") %in% names(audit(fit)$passed)))
  crossed <- audit(hlm(strength ~ 1 + (1 | batch / cask), lme4::Pastes))
  expect_identical(names(crossed$read$levels), "batch")
  penicillin <- audit(hlm(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
  expect_length(penicillin$read$levels, 0L)
})

test_that("what the model does about time is not raised again", {
  d <- changed(audit_data_cases()$common_trend$change)
  ids <- function(formula) names(audit(hlm(formula, d, time = session))$findings)
  without <- ids(y ~ wb(lagged(x)) + (1 | therapist / patient))
  with <- ids(y ~ session + wb(lagged(x)) + (1 | therapist / patient))
  expect_true("trend_outcome" %in% without)
  expect_false(any(c("trend_outcome", "common_trend") %in% with))
  detrended <- ids(y ~ session + within(lagged(x), detrend = TRUE) + (1 | therapist / patient))
  expect_false("trend_predictor" %in% detrended)
})

test_that("a random slope of time is found by its name, not by a part of another", {
  d <- audit_clean()
  names(d)[names(d) == "x"] <- "sessions_late"
  fit <- hlm(y ~ session + sessions_late + (1 + sessions_late | patient), d, time = session)
  expect_false(fit_facts(fit, "session")$time_slope)
  expect_true(fit_facts(hlm(y ~ session + (1 + session | patient), d), "session")$time_slope)
})

test_that("weights, an offset, missing values and a predictor that is left out", {
  expect_s3_class(audit(fit_gaps()), "hlm_audit")
  d <- audit_clean()
  d$x2 <- 2 * d$x
  fit <- suppressMessages(hlm(y ~ wb(x) + wb(x2) + (1 | patient), d, time = session))
  expect_true(all(c("overlap", "fit_problems") %in% names(audit(fit)$findings)))
})

test_that("a subset is named: its rows are not in the fit", {
  fit <- hlm(y ~ wb(lagged(x)) + (1 | patient), audit_clean(), time = session, subset = session < 10)
  expect_output(print(audit(fit)), "Rows that subset removed")
})

test_that("a fit that was saved and read again is audited alike", {
  fit <- hlm(bai ~ session + wb(lagged(wai)) + (1 + session | id), implement, time = session)
  saved <- unserialize(serialize(fit, NULL))
  expect_identical(as.data.frame(audit(saved)), as.data.frame(audit(fit)))
})
