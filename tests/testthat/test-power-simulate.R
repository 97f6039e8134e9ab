# Data of planned studies.

test_that("the data of a design are those that power_hlm() analyses", {
  design <- hlm_design(30, 5, 5, within = 0.2, between = 0.4, trend_y = -0.1, moderator = "binary", dropout = "mcar 30% by session 5")
  draws <- power_hlm(design, nsim = 2, seed = 11, keep = TRUE)$replicates[[1L]]
  d <- simulate(design, nsim = 2, seed = 11)
  expect_named(d, c("replicate", "patient", "therapist", "session", "x", "y", "moderator"))
  expect_identical(nrow(d), 2L * 30L * 5L)
  expect_identical(is.na(d$x), is.na(d$y))
  for (i in 1:2) {
    fit <- suppressMessages(hlm(stats::as.formula(design$analysis$formula), d[d$replicate == i, ]))
    expect_equal(draws$beta[i, seq_along(fixef(fit))], unname(fixef(fit)), tolerance = 1e-7)
  }
  expect_identical(withr::with_seed(1, simulate(design)), withr::with_seed(1, simulate(design)))
  expect_false(identical(d$y[d$replicate == 1L], d$y[d$replicate == 2L]))
})

test_that("numbers of studies and seeds that are none are refused", {
  design <- hlm_design(30, 5)
  expect_error(simulate(design, nsim = 0), class = "hlm_error_data")
  expect_error(simulate(design, seed = -1), class = "hlm_error_data")
})
