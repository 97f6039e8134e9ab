test_that("what follows from a design", {
  implied <- hlm_design(100, 4, within = 0.1, dropout = "mcar 20% by session 4", missing = 0.1)$implied
  stay <- 0.8^((0:3) / 3)
  expect_equal(implied$retention, stay)
  expect_equal(implied$rows, 100 * 0.9 * sum(stay))
  # Luedtke et al. (2008), eq. 4
  full <- hlm_design(100, 8, sd_x = 2, icc_x = 0.3, reliability = 0.7)$implied
  expect_equal(full$reliability[["mean"]], 0.3 / (0.3 + 0.7 / 8))
  expect_equal(full$reliability[["within"]], 0.4 / 0.7)
  expect_equal(full$reliability[["session"]], 0.7)
})

test_that("the reliability of means of autocorrelated sessions is that of simulated ones", {
  x <- list(sd_between = 1, sd_within = 0.8, error_sd = 0.5, ar = 0.6)
  simulated <- withr::with_seed(2, {
    n <- 20000
    e <- matrix(stats::rnorm(5 * n), n)
    for (k in 2:5) e[, k] <- 0.6 * e[, k - 1L] + 0.8 * e[, k]
    person <- stats::rnorm(n)
    stats::cor(person, person + rowMeans(0.8 * e) + rowMeans(matrix(stats::rnorm(5 * n, sd = 0.5), n)))^2
  })
  expect_equal(mean_reliability(5L, x), simulated, tolerance = 0.015)
})

test_that("a design says what it assumes and what follows", {
  withr::local_options(width = 80, cli.unicode = FALSE)
  expect_snapshot(print(hlm_design(
    96, 4, within = -0.10, between = -0.23, interaction = -0.03, sd_y = 0.47, icc = 0.83, sd_x = 0.70, icc_x = 0.7, dropout = "mcar 22% by session 4"
  )))
  expect_snapshot(print(hlm_design(
    120, 10, 12, within = -0.2, between = -0.3, moderator = "binary 40%", moderation = 0.1, units = "level", icc_therapist = 0.05, reliability = 0.85,
    slope_sd = 0.1, slope_cor = 0.2, trend_y = c(mean = -0.1, sd = 0.05), autocorrelation = c(x = 0.3, y = 0.2), lag = 1,
    dropout = "mar 15% by session 4, 30% by session 10", missing = 0.05
  )))
})
