# The vignette "A real trial, session by session" is run as it stands, and what its text and its last table state is held against what it computed.

run_trial <- function() {
  skip_if_not_installed("knitr")
  skip_if_not_installed("ggplot2")
  path <- c(test_path("..", "..", "vignettes", "real-trial.Rmd"), system.file("doc", "real-trial.Rmd", package = "wbhlm"))
  path <- path[file.exists(path)]
  skip_if(!length(path), "the vignette is not at hand")
  script <- withr::local_tempfile(fileext = ".R")
  withr::local_options(knitr.purl.inline = FALSE)
  knitr::purl(path[[1L]], script, documentation = 0L, quiet = TRUE)
  withr::local_pdf(NULL)
  withr::local_output_sink(withr::local_tempfile())
  made <- new.env(parent = globalenv())
  source(script, local = made)
  made
}

includes_zero <- function(row) row$conf.low < 0 && row$conf.high > 0

test_that("the vignette says of the real trial what the models find", {
  trial <- run_trial()

  # the lagged effect within patients: near zero, interval on both sides, within a tenth of a point
  within_lag <- trial$within_lag
  expect_true(includes_zero(within_lag))
  expect_lt(max(abs(c(within_lag$conf.low, within_lag$conf.high))), 0.1)
  expect_gt(within_lag$p.value, 0.4)
  expect_true(includes_zero(trial$between_lag))
  expect_lt(fixef(trial$lagged_fit)[["session"]], 0)

  # both directions: symptoms -> alliance only without time, the same sign with it
  expect_true(includes_zero(trial$xy))
  expect_lt(trial$yx$conf.high, 0)
  expect_gt(trial$unequal$p.value, 0.05)
  expect_true(includes_zero(trial$xy_time))
  expect_true(includes_zero(trial$yx_time))
  expect_lt(trial$yx_time$estimate, 0)
  expect_lt(abs(trial$yx_time$estimate), abs(trial$yx$estimate) / 2)

  # the bias of the earlier anxiety is upwards, and small beside the standard error of the alliance
  expect_gt(trial$nickell_first$table$bias, 0)
  expect_lt(abs(trial$nickell_within$ratio), 1)
  expect_lt(abs(trial$nickell_time$ratio), 0.2)

  # no differences between patients; no moderation
  expect_gt(trial$slope_p, 0.05)
  expect_lt(trial$apart_sd, 1e-4)
  expect_gt(nrow(trial$clear), 0)
  expect_gt(trial$tied, 0.7)
  expect_false(any(trial$own_clear))
  expect_true(includes_zero(trial$product))
  expect_false(any(trial$regions$regions$significant[trial$regions$regions$data != "none"]))

  # the only significant split is the one without time
  within_rows <- subset(as.data.frame(trial$splits), effect == "within" & !is.na(p.value))
  expect_identical(unique(within_rows$variant[within_rows$p.value < 0.05]), "mean")
  expect_lt(trial$no_time$conf.high, 0)
  expect_identical(trial$verdict$significant[[1L]], 1L)

  # residuals are correlated, the answer stays
  expect_lt(trial$ar1_test[["Pr(>Chisq)"]][[2L]], 0.001)
  expect_true(includes_zero(trial$within_ar1))

  # therapists: no variance, little excluded
  expect_identical(trial$spread$variance, 0)
  expect_gt(trial$spread$share_upper, 0.1)
  expect_true(includes_zero(trial$at_therapists))

  # components: none clear, goal the largest and upwards
  expect_true(all(trial$part_rows$p.value > 0.05))
  expect_identical(trial$part_rows$name[[which.max(abs(trial$part_rows$estimate))]], "goal")
  expect_gt(trial$part_rows$estimate[[2L]], 0)
})

test_that("the items of the audit are those that the vignette goes through", {
  trial <- audit(implement, y = bai, x = wai, id = id, time = session, level = therapist)
  expect_identical(
    as.data.frame(trial)$id,
    c(
      "common_trend", "missing_values", "trend_predictor", "own_trends", "dropout", "few_groups", "singletons", "outliers", "trend_outcome", "nickell"
    )
  )
  expect_identical(nrow(trial$findings$outliers$who), 2L)
  # "many of those who stop do so after session 14"
  expect_gt(mean(trial$findings$dropout$who$last == 14), 0.4)
})
