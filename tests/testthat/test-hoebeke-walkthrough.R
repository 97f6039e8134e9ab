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

# A loop over the rows: the form `n` hours before, of the same person.
value_before <- function(d, name, n) {
  vapply(seq_len(nrow(d)), function(i) {
    hit <- which(d$id == d$id[[i]] & d$hour == d$hour[[i]] - n)
    if (length(hit)) as.double(d[[name]][[hit]]) else NA_real_
  }, 0)
}

test_that("lags within the day are those of a loop, and so are the split and the trend", {
  d <- hoebeke2022
  d$before <- value_before(d, "brooding", 4)
  fit <- hlm(
    negativity ~ beep + within(lagged(brooding, n = 4), detrend = TRUE) + between(lagged(brooding, n = 4), detrend = TRUE) + (1 | id), d, time = hour
  )
  rows <- which(!is.na(d$before) & !is.na(d$negativity))
  expect_identical(as.integer(row.names(model.frame(fit))), rows)
  own <- lapply(split(d[rows, ], d$id[rows]), function(person) stats::lm(before ~ hour, person))
  columns <- model.matrix(fit)
  expect_equal(unname(columns[, "brooding_lag4_within"]), unname(unlist(lapply(own, stats::residuals))), tolerance = 1e-9)
  start <- vapply(own, function(line) stats::coef(line)[[1L]], 0)
  expect_equal(unname(columns[, "brooding_lag4_between"]), rep(unname(start) - mean(start), lengths(lapply(own, stats::residuals))), tolerance = 1e-8)
  # the other clock: the evening before counts, and only for the first form of a day
  night <- hlm(negativity ~ wb(lagged(brooding)) + (1 | id), d, time = occasion)
  across <- setdiff(as.integer(row.names(model.frame(night))), rows)
  expect_identical(unique(d$beep[across]), 1L)
  expect_gt(length(across), 300L)
})

test_that("both directions within the day: the session before is four hours before", {
  # criticism of a form precedes its negativity, negativity the criticism of the next form
  both <- reciprocal(
    hoebeke2022, x = criticism, y = negativity, id = id, time = hour, lags = c(xy = 0, yx = 4), concurrent = TRUE, covariates = beep, random = "intercept"
  )
  expect_true(all(c("criticism_lag4_within", "negativity_lag4") %in% both$effects$term[both$effects$direction == "xy"]))
  by_hand <- hlm(
    negativity ~ lagged(negativity, n = 4) + within(criticism) + within(lagged(criticism, n = 4)) + between(criticism) + beep + (1 | id),
    hoebeke2022, time = hour
  )
  xy <- both$effects[both$effects$direction == "xy", ]
  expect_equal(stats::setNames(xy$estimate, xy$term), fixef(by_hand)[xy$term], tolerance = 1e-5)
  expect_equal(nobs(both$fits$xy), nobs(by_hand))
  expect_output(print(both), "the same hour.*4 hours later")
  expect_s3_class(ggplot2::ggplot_build(plot(both)), "ggplot_built")
  # a clock by another name counts sessions, and says how long they are
  other <- hoebeke2022
  other$clock <- other$hour
  expect_output(print(reciprocal(other, brooding, negativity, id, clock, lags = 4, random = "intercept")), "the next session (4 in clock)", fixed = TRUE)
  detrended <- reciprocal(hoebeke2022, brooding, negativity, id, occasion, detrend = "both", random = "intercept", autoregression = "within")
  expect_false(is.null(detrended$nickell$xy))
  expect_true(all(detrended$effects$std.low < detrended$effects$std.high, na.rm = TRUE))
})

test_that("the split is compared by the same clock", {
  now <- hlm(negativity ~ wb(brooding) + (1 | id), hoebeke2022, time = hour)
  ways <- compare_disaggregation(now)
  table <- as.data.frame(ways)
  lagged <- table[table$variant == "lagged" & table$effect == "within", ]
  expect_identical(lagged$lag, 4L)
  by_hand <- hlm(negativity ~ wb(lagged(brooding, n = 4)) + (1 | id), hoebeke2022, time = hour)
  expect_equal(lagged$estimate, fixef(by_hand)[["brooding_lag4_within"]], tolerance = 1e-6)
  expect_true(all(ways$specifications$status %in% c("converged", "boundary")))
  expect_output(print(compare_disaggregation(by_hand)), "the value 1 session before (4 in hour)", fixed = TRUE)
  # four hours later the association is weaker than at the same form, whatever the split
  within <- table[table$effect == "within" & table$x != "raw", ]
  expect_true(all(within$estimate > 0 & within$p.value < 0.05))
  expect_lt(lagged$estimate, min(within$estimate[within$lag == 0]))
})

test_that("the audit of a diary fit knows its plan and its clock", {
  fit <- hlm(negativity ~ beep + wb(lagged(brooding, n = 4)) + (1 | id), hoebeke2022, time = hour)
  a <- audit(fit)
  # the number of the form is part of the plan: no predictor that is missed, trends or lacks differences between persons
  expect_false("beep" %in% names(a$data$columns))
  expect_false(any(grepl("beep", unlist(lapply(a$findings, `[[`, "evidence")))))
  # the nights are uneven, but each lag spans four hours
  expect_identical(a$findings$unequal_spacing$severity, "low")
  expect_match(paste(a$findings$unequal_spacing$evidence, collapse = " "), "lags go by hour")
  expect_true("random_slope" %in% names(a$findings))
  for (which in c("map", "dropout", "trend", "bounds")) expect_s3_class(ggplot2::ggplot_build(plot(a, which)), "ggplot_built")
  # by the data alone the clock is uneven for any lag that counts rows
  alone <- audit(hoebeke2022, y = negativity, x = c(brooding, criticism), id = id, time = hour, scale = c(0, 100))
  expect_identical(alone$findings$unequal_spacing$severity, "medium")
  expect_null(alone$findings$out_of_range)
})

test_that("residuals of a diary fade with the hours", {
  plain <- hlm(negativity ~ wb(brooding) + (1 | id), hoebeke2022, time = occasion)
  ar1 <- update(plain, residual = "ar1")
  expect_lt(anova(plain, ar1)[["Pr(>Chisq)"]][2L], 1e-4)
  car1 <- hlm(negativity ~ wb(brooding) + (1 | id), hoebeke2022, time = hour, residual = "car1")
  # on a grid of whole hours and with a positive correlation the continuous and the discrete process are one
  hours <- hlm(negativity ~ wb(brooding) + (1 | id), hoebeke2022, time = hour, residual = "ar1")
  expect_equal(as.numeric(logLik(car1)), as.numeric(logLik(hours)), tolerance = 1e-8)
  expect_equal(fixef(car1), fixef(hours), tolerance = 1e-5)
  # both are better than independence, and the association within persons does not hang on it
  expect_gt(as.numeric(logLik(car1)), as.numeric(logLik(plain)) + 10)
  for (fit in list(plain, ar1, car1)) expect_gt(summary(fit)$coefficients["brooding_within", "t value"], 10)
})
