# Power against closed forms, against lme4 and lmerTest, and type-I errors. All allowed differences are Monte-Carlo errors: 4 standard errors.

row_of <- function(result, name) as.list(result$table[result$table$effect == name, ])

expect_share <- function(row, truth, n = row$nsim) {
  expect_lt(abs(row$power - truth), 4 * sqrt(truth * (1 - truth) / n))
}

expect_mean <- function(row, truth) expect_lt(abs(row$estimate - truth), 4 * row$se_empirical / sqrt(row$usable))

expect_sd <- function(row, truth) expect_lt(abs(row$se_empirical / truth - 1), 4 / sqrt(2 * (row$usable - 1)))

rejects <- function(ncp, df) {
  critical <- stats::qt(0.975, df)
  stats::pt(critical, df, ncp, lower.tail = FALSE) + stats::pt(-critical, df, ncp)
}

# Averaged over a sum of squares that is chi-square with k df times a variance: ncp = size * sqrt(sum of squares).
rejects_random <- function(size, k, df) {
  at <- stats::qchisq((seq_len(400) - 0.5) / 400, k)
  mean(rejects(size * sqrt(at), df))
}

test_that("two arms, complete data: the t test of the patients' means", {
  design <- hlm_design(40, 4, within = NULL, between = NULL, moderator = "binary", moderator_effect = 0.7, icc = 0.6, variances = "residual")
  result <- power_hlm(design, nsim = 4000, seed = 1, variance_tests = FALSE)
  one <- row_of(result, "moderator")
  sd <- sqrt(0.6 + 0.4 / 4)
  expect_share(one, stats::power.t.test(20, 0.7, sd, strict = TRUE)$power)
  expect_mean(one, 0.7)
  expect_sd(one, sd * sqrt(1 / 20 + 1 / 20))
  expect_equal(one$df, 38, tolerance = 1e-4)
})

test_that("between effect in a balanced random-intercept design: noncentral t with n - 2 df on the means", {
  n <- 50
  m <- 5
  design <- hlm_design(n, m, within = 0.3, between = 0.3, icc = 0.5, icc_x = 0.4, variances = "residual")
  result <- power_hlm(design, nsim = 4000, seed = 2, variance_tests = FALSE)
  left <- sqrt(0.5 + 0.5 / m)
  spread <- sqrt(0.4 + 0.6 / m)
  expect_share(row_of(result, "between"), rejects_random(0.3 * spread / left, n - 1, n - 2))
  expect_mean(row_of(result, "between"), 0.3)
  # where within and between differ, the mean of m sessions attenuates, and what it misses joins the residual
  apart <- power_hlm(hlm_design(n, m, within = 0, between = 0.5, icc = 0.5, icc_x = 0.4, variances = "residual"), nsim = 4000, seed = 3, variance_tests = FALSE)
  reliable <- 0.4 / (0.4 + 0.6 / m)
  left <- sqrt(0.5 + 0.5 / m + 0.5^2 * 0.4 * (1 - reliable))
  expect_mean(row_of(apart, "between"), 0.5 * reliable)
  expect_share(row_of(apart, "between"), rejects_random(0.5 * reliable * spread / left, n - 1, n - 2))
  expect_identical(row_of(apart, "within")$quantity, "type-I error")
})

test_that("within effect in a balanced random-intercept design: regression within patients", {
  n <- 25
  m <- 5
  design <- hlm_design(n, m, within = 0.25, between = 0.25, icc = 0.5, icc_x = 0.4, variances = "residual")
  result <- power_hlm(design, nsim = 4000, seed = 4, variance_tests = FALSE)
  one <- row_of(result, "within")
  expect_share(one, rejects_random(0.25 * sqrt(0.6 / 0.5), n * (m - 1), n * (m - 1) - 1))
  expect_mean(one, 0.25)
  # measurement error: attenuated by W / (W + E), the rest joins the residual
  noisy <- power_hlm(update(design, reliability = 0.8), nsim = 4000, seed = 5, variance_tests = FALSE)
  expect_mean(row_of(noisy, "within"), 0.25 * 0.4 / 0.6)
  expect_lt(row_of(noisy, "within")$coverage, 0.9)
})

test_that("average of a random slope: its variance is (slope variance + sigma^2 / sum of squares) / n, with n - 1 df", {
  design <- hlm_design(20, 5, within = NULL, between = NULL, trend_y = c(mean = 0.2, sd = 0.3), icc = 0.6, variances = "residual")
  result <- power_hlm(design, nsim = 4000, seed = 6, variance_tests = FALSE)
  one <- row_of(result, "time")
  se <- sqrt((0.3^2 + 0.4 / 10) / 20)
  expect_sd(one, se)
  expect_share(one, rejects(0.2 / se, 19))
  expect_mean(one, 0.2)
})

test_that("type-I errors are near alpha", {
  none <- hlm_design(60, 5, interaction = 0, icc = 0.5, icc_x = 0.5)
  for (ddf in c("satterthwaite", "kenward-roger", "between-within")) {
    result <- power_hlm(none, nsim = 4000, seed = 7, ddf = ddf)
    for (effect in c("within", "between", "contextual")) expect_share(row_of(result, effect), 0.05)
    expect_identical(unique(result$table$quantity), "type-I error")
    expect_gt(min(result$table$coverage), 0.94)
  }
  # the residual df are too many for an effect between few patients
  few <- power_hlm(hlm_design(8, 10, icc = 0.9, icc_x = 0.9), nsim = 4000, seed = 8, ddf = "residual")
  expect_gt(row_of(few, "between")$power, 0.07)
  slope <- power_hlm(hlm_design(60, 8, within = 0.2, between = 0.2, analysis = list(random_slope = TRUE)), nsim = 2000, seed = 9)
  expect_gt(row_of(slope, "slope_sd")$power, 0.02)
  expect_lt(row_of(slope, "slope_sd")$power, 0.065)
})

test_that("four designs agree with loops of lme4 and lmerTest", {
  path <- test_path("fixtures", "power.json")
  skip_if(!file.exists(path))
  reference <- read_fixture(path)
  for (name in setdiff(names(reference), "software")) {
    peer <- reference[[name]]
    design <- do.call(hlm_design, eval(parse(text = peer$arguments)))
    result <- power_hlm(design, nsim = 3000, seed = 10, ddf = peer$ddf)
    expect_equal(result$cells$rows, peer$rows, tolerance = 0.02, info = name)
    table <- result$table[match(peer$effect, result$table$effect), ]
    share <- peer$significant / peer$fitted
    pooled <- (peer$significant + table$significant) / (peer$fitted + table$nsim)
    allowed <- 4 * sqrt(pmax(pooled * (1 - pooled), 1e-4) * (1 / peer$fitted + 1 / table$nsim))
    expect_true(all(abs(share - table$power) <= allowed), info = paste(name, "power"))
    k <- seq_along(peer$estimate)
    allowed <- 4 * peer$sd * sqrt(1 / peer$fitted + 1 / table$nsim[k])
    expect_true(all(abs(peer$estimate - table$estimate[k]) <= allowed), info = paste(name, "estimates"))
    # an SD of normal draws has a relative error of 1 / sqrt(2 n)
    expect_true(all(abs(peer$sd / table$se_empirical[k] - 1) <= 4 * sqrt(1 / (2 * peer$fitted) + 1 / (2 * table$nsim[k]))), info = paste(name, "SD"))
    expect_true(all(abs(peer$se / table$se_model[k] - 1) <= 0.05), info = paste(name, "SE"))
    covered <- peer$covered / peer$fitted
    expect_true(all(abs(covered - table$coverage[k]) <= 4 * sqrt(0.05 * 0.95 * (1 / peer$fitted + 1 / table$nsim[k]))), info = paste(name, "coverage"))
  }
})

test_that("a grid varies any argument, and effects are replaced by name", {
  design <- hlm_design(30, 4, within = 0.3, between = 0.3)
  result <- power_hlm(design, nsim = 50, seed = 1, variance_tests = FALSE, vary = list(n_patients = c(20, 40), dropout = list("none", half = 0.5)))
  expect_identical(nrow(result$cells), 4L)
  expect_identical(result$cells$n_patients, c(20, 20, 40, 40))
  expect_identical(as.character(result$cells$dropout), c("none", "half", "none", "half"))
  expect_true(all(result$cells$rows[c(1, 3)] == c(80, 160)))
  expect_true(all(result$cells$rows[c(2, 4)] < c(70, 140)))
  table <- as.data.frame(result)
  expect_identical(nrow(table), 16L)
  changed <- power_hlm(design, nsim = 20, seed = 1, effects = c(within = 0))
  expect_identical(changed$table$quantity[changed$table$effect == "within"], "type-I error")
  # the first cell is the design alone
  alone <- power_hlm(design, nsim = 50, seed = 1, variance_tests = FALSE)
  grid <- power_hlm(design, nsim = 50, seed = 1, variance_tests = FALSE, vary = list(n_patients = c(30, 50)))
  expect_equal(grid$table[grid$table$n_patients == 30, -1L], alone$table, ignore_attr = TRUE)
})

test_that("replicates without a result are counted and shown", {
  # two patients left at most sessions: often the model is not identified
  design <- hlm_design(3, 2, within = 0.3, between = 0.3, interaction = 0.1, dropout = 0.6)
  result <- power_hlm(design, nsim = 200, seed = 1)
  expect_gt(result$cells$unidentified + result$cells$failed, 20)
  expect_identical(sum(result$cells[status_names]), 200L)
  expect_true(all(result$table$power_usable >= result$table$power, na.rm = TRUE))
  expect_output(print(result), "did not (identify|converge)")
  expect_output(print(result), "count as not significant")
})

test_that("bad arguments are errors that name them", {
  design <- hlm_design(30, 4, within = 0.3)
  expect_error(power_hlm(mtcars), "design or a fitted model", class = "hlm_error_data")
  expect_error(power_hlm(design, nsim = 1), "nsim", class = "hlm_error_data")
  expect_error(power_hlm(design, alpha = 5), "alpha", class = "hlm_error_data")
  expect_error(power_hlm(design, ddf = "guess"), "ddf", class = "hlm_error_data")
  expect_error(power_hlm(design, vary = c(10, 20)), "vary", class = "hlm_error_data")
  expect_error(power_hlm(design, vary = list(patients = 10)), "patients", class = "hlm_error_data")
  expect_error(power_hlm(design, vary = list(n_patients = numeric())), "no values", class = "hlm_error_data")
  expect_error(power_hlm(design, vary = list(n_patients = 1:3)), "n_patients", class = "hlm_error_data")
  expect_error(power_hlm(design, effects = 0.2), "names", class = "hlm_error_data")
  expect_error(power_hlm(design, effects = c(x_within = 0.2)), "x_within", class = "hlm_error_data")
  expect_error(power_hlm(hlm_design(30, 4, analysis = list(REML = FALSE)), ddf = "kr"), "REML", class = "hlm_error_data")
  expect_error(power_hlm(design, threads = 0), "threads", class = "hlm_error_data")
  expect_error(power_hlm(design, seed = -1), "seed", class = "hlm_error_data")
})
