# The real diary set through every analysis of processes: lags within the day (hours) and across the night (occasions).

test_that("a diary goes through every analysis", {
  a <- audit(hoebeke2022, y = negativity, x = brooding, id = id, time = occasion)
  expect_true("floor_ceiling" %in% names(a$findings))
  expect_false(any(c("duplicate_rows", "text_times", "trend_predictor") %in% names(a$findings)))

  # four hours before: never the evening before
  day <- hlm(negativity ~ wb(lagged(brooding, n = 4)) + (1 + within(lagged(brooding, n = 4)) | id), hoebeke2022, time = hour)
  night <- hlm(negativity ~ wb(lagged(brooding)) + (1 + within(lagged(brooding)) | id), hoebeke2022, time = occasion)
  first <- hoebeke2022$beep[as.integer(row.names(model.frame(day)))]
  expect_true(all(first > 1L))
  expect_gt(nobs(night), nobs(day))

  both <- reciprocal(hoebeke2022, brooding, negativity, id, hour, lags = 4)
  expect_output(print(both), "4 hours later")
  expect_true(all(both$effects$estimate[both$effects$role == "within"] > 0))
  skip_if_not_installed("ggplot2")
  expect_s3_class(plot(both), "ggplot")

  ways <- compare_disaggregation(night)
  table <- as.data.frame(ways)
  expect_identical(sum(table$effect == "within" & is.na(table$estimate)), 0L)
  expect_s3_class(plot(ways), "ggplot")

  moderated <- hlm(negativity ~ within(lagged(brooding)) * between(lagged(brooding)) + (1 | id), hoebeke2022, time = occasion)
  regions <- johnson_neyman(moderated, brooding_lag1_within, brooding_lag1_between)
  slopes <- as.data.frame(simple_slopes(moderated, brooding_lag1_within, brooding_lag1_between))
  # of one line: the slope at the mean is the coefficient
  expect_equal(slopes$Estimate[2L], fixef(moderated)[["brooding_lag1_within"]], tolerance = 1e-8)
  for (drawn in list(plot(regions), plot(night, "slopes"), plot(night, "forest"), plot(night, "within-between"), plot_spaghetti(night, fitted = TRUE),
                     plot_trajectories(night, shift = c(brooding_lag1 = 10)))) {
    expect_s3_class(drawn, "ggplot")
    expect_silent(ggplot2::ggplot_build(drawn))
  }
  expect_equal(mean(as.data.frame(person_slopes(night))$slope), fixef(night)[["brooding_lag1_within"]], tolerance = 1e-6)
  expect_error(therapist_effects(night), "therapist", class = "hlm_error_design")
})

test_that("a diary's own past and its residuals", {
  past <- hlm(negativity ~ within(lagged(negativity)) + within(lagged(brooding)) + (1 | id), hoebeke2022, time = occasion)
  bias <- nickell_bias(past)$table
  expect_lt(bias$bias, 0)
  expect_gt(bias$bias, -0.1)
  plain <- hlm(negativity ~ wb(lagged(brooding, n = 4)) + (1 | id), hoebeke2022, time = hour)
  carried <- update(plain, residual = "car1")
  expect_gte(as.numeric(logLik(carried)), as.numeric(logLik(plain)))
})
