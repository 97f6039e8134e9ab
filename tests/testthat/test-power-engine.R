# Replicates against hlm() on the same data.

test_that("a replicate of a study is hlm()'s fit of its data, contrasts included", {
  design <- hlm_design(40, 5, within = 0.2, between = 0.5, interaction = 0.1, slope_sd = 0.2, dropout = "mcar 30% by session 5", missing = 0.1)
  for (ddf in c("Satterthwaite", "Kenward-Roger")) {
    draws <- power_hlm(design, nsim = 3, seed = 7, ddf = ddf, keep = TRUE)$replicates[[1L]]
    d <- engine_study_data(study_core(design), 7, 3)
    fit <- hlm(y ~ wb(x) + within(x):between(x) + (1 + within(x) | patient), d)
    table <- summary(fit, ddf = ddf)$coefficients
    difference <- contextual(fit, ddf)$effects
    expect_equal(draws$beta[3L, ], unname(c(table[, "Estimate"], difference$Estimate)), tolerance = 1e-7)
    expect_equal(draws$se[3L, ], unname(c(table[, "Std. Error"], difference$`Std. Error`)), tolerance = 1e-6)
    expect_equal(draws$df[3L, ], unname(c(table[, "df"], difference$df)), tolerance = 1e-5)
    smaller <- hlm(y ~ wb(x) + within(x):between(x) + (1 | patient), d)
    expect_equal(draws$reduced[[1L]]$criterion[[3L]], smaller$core$criterion, tolerance = 1e-8)
    expect_equal(c(draws$rows[[3L]], draws$persons[[3L]]), c(nobs(fit), unname(ngrps(fit))))
  }
})

test_that("so is a replicate of a pilot fit", {
  fit <- hlm(oq ~ wb(ans) + (1 + within(ans) | patient), manubens2023)
  cell <- fit_cell(fit, NULL, list(), power_settings(2, 0.05, "satterthwaite", TRUE, 0.95, 3, NULL, FALSE))
  draws <- run_chunk(cell, list(first = 1L, n = 1L, seed = 3), list(ddf = "Satterthwaite"), 1L, NULL)
  y <- engine_bootstrap_samples(known_design(fit), TRUE, fit$core, list(type = "parametric", seed = 3, nsim = 2L), 2L)[[1L]]
  again <- refit(fit, y)
  difference <- contextual(again)$effects
  table <- summary(again)$coefficients
  expect_equal(drop(draws$beta), unname(c(table[, "Estimate"], difference$Estimate)), tolerance = 1e-7)
  expect_equal(drop(draws$se), unname(c(table[, "Std. Error"], difference$`Std. Error`)), tolerance = 1e-6)
  expect_equal(drop(draws$df), unname(c(table[, "df"], difference$df)), tolerance = 1e-5)
})

test_that("10,000 replicates of the Manubens design take seconds", {
  skip_on_cran()
  design <- hlm_design(
    96, 4, within = -0.10, between = -0.23, interaction = -0.03, sd_y = 0.47, icc = 0.83, sd_x = 0.70, icc_x = 0.6, slope_sd = 0.2,
    dropout = "mcar 22% by session 4"
  )
  # processor time, so that a busy machine does not matter
  time <- system.time(result <- power_hlm(design, nsim = 10000, seed = 1, threads = 1))
  expect_lt(time[["user.self"]], 20)
  expect_identical(sum(result$cells[status_names]), 10000L)
  # the article: within and between appropriate, the interaction's power very low
  power <- stats::setNames(result$table$power, result$table$effect)
  expect_true(all(power[c("within", "between")] > 0.7))
  expect_lt(power[["interaction"]], 0.12)
})
