result_for_print <- function() {
  fit_once("power_print", function() {
    power_hlm(hlm_design(40, 4, within = 0.2, between = 0.3, interaction = 0, slope_sd = 0.2, dropout = "mcar 20% by session 4"), nsim = 200, seed = 1)
  })
}

test_that("a single design is printed in full, a grid as a table of shares", {
  withr::local_options(width = 90, cli.unicode = FALSE)
  expect_snapshot(print(result_for_print()))
  grid <- power_hlm(hlm_design(40, 4, within = 0.2, between = 0.3), nsim = 100, seed = 1, vary = list(n_patients = c(20, 40), n_sessions = c(3, 5)))
  expect_snapshot(print(grid))
  expect_output(print(power_hlm(hlm(oq ~ wb(ans) + (1 | patient), manubens2023), nsim = 50, seed = 1)), "pilot fit")
})

test_that("data frames hold every figure with its interval", {
  result <- result_for_print()
  table <- as.data.frame(result)
  for (name in c("power", "power_usable", "estimate", "bias", "se_empirical", "se_model", "coverage", "type_s", "type_m")) {
    inside <- table[[name]] >= table[[paste0(name, "_lower")]] & table[[name]] <= table[[paste0(name, "_upper")]]
    expect_true(all(inside, na.rm = TRUE), info = name)
  }
  long <- tidy(result)
  expect_true(all(c("effect", "statistic", "estimate", "conf.low", "conf.high") %in% names(long)))
  one <- long[long$effect == "within" & long$statistic == "power", ]
  expect_equal(one$estimate, table$power[table$effect == "within"])
  expect_identical(sum(long$effect == "interaction" & long$statistic == "type_s"), 0L)
})
