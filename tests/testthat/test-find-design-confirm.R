# A search over made-up results, without simulation.
made_search <- function(results, target = 0.8) {
  list(
    results = results, target = target, alpha = 0.05, effect = "within", space = list(n_patients = 20:200, n_sessions = 4L),
    cost = function(sizes) sizes$n_patients * sizes$n_sessions
  )
}

test_that("candidates whose own replicates fell short raise the number of patients", {
  n <- c(20, 60, 100, 140, 180)
  exact <- data.frame(n_patients = n, n_sessions = 4, effect = "within", nsim = 1e4, usable = 1e4, confirmed = FALSE,
    significant = round(1e4 * stats::pnorm(0.28 * sqrt(n) - 1.96)))
  search <- made_search(exact)
  table <- candidate_table(search, fit_curves(search))
  # qnorm(0.8) = 0.28 sqrt(n) - 1.96
  expect_identical(table$n_patients, as.integer(ceiling(((stats::qnorm(0.8) + 1.96) / 0.28)^2)))
  short <- rbind(exact, data.frame(n_patients = 101, n_sessions = 4, effect = "within", nsim = 1000, usable = 1000, confirmed = TRUE, significant = 770))
  search <- made_search(short)
  expect_gt(candidate_table(search, fit_curves(search))$n_patients, 101)
  expect_equal(confirmed_power(search, data.frame(n_patients = c(101, 105), n_sessions = 4))$power, c(0.77, NA))
})

test_that("with two effects the weaker one counts", {
  rows <- data.frame(n_patients = 50, n_sessions = 4, effect = c("within", "between"), nsim = 100, usable = 100, confirmed = TRUE, significant = c(90, 60))
  search <- made_search(rows)
  search$effect <- c("within", "between")
  expect_equal(confirmed_power(search, data.frame(n_patients = 50, n_sessions = 4))$power, 0.6)
})

test_that("the result is printed and drawn", {
  skip_if_not_installed("ggplot2")
  design <- hlm_design(40, 4, within = 0.25, between = 0.25)
  found <- find_design(design, "within", n_patients = c(15, 150), n_sessions = c(3, 6), nsim = 100, confirm = 400, seed = 2)
  withr::local_options(width = 84)
  expect_snapshot(print(found))
  expect_identical(as.data.frame(found), found$candidates)
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger("search for a design", plot(found))
})
