settings_for <- function(n, ...) utils::modifyList(list(nsim = n, alpha = 0.05, conf.level = 0.95, ddf = "Satterthwaite"), list(...))

test_that("figures of an effect are those counted by hand", {
  estimate <- c(1, 2, -1, 0.5, 3)
  se <- rep(0.5, 5)
  critical <- stats::qt(0.975, 10)
  one <- summarise_coefficient(estimate, se, rep(10, 5), rep(TRUE, 5), 1, settings_for(5L))
  found <- abs(estimate / 0.5) > critical
  expect_identical(found, c(FALSE, TRUE, FALSE, FALSE, TRUE))
  expect_equal(one$power, 0.4)
  expect_equal(one$estimate, mean(estimate))
  expect_equal(one$bias, mean(estimate) - 1)
  expect_equal(one$se_empirical, stats::sd(estimate))
  expect_equal(one$coverage, mean(abs(estimate - 1) <= critical * 0.5))
  expect_equal(one$type_s, 0)
  expect_equal(one$type_m, mean(c(2, 3)))
  wrong <- summarise_coefficient(c(-2, 2, 3), rep(0.5, 3), rep(Inf, 3), rep(TRUE, 3), 1, settings_for(3L))
  expect_equal(wrong$type_s, 1 / 3)
  zero <- summarise_coefficient(estimate, se, rep(10, 5), rep(TRUE, 5), 0, settings_for(5L))
  expect_true(is.na(zero$type_s) && is.na(zero$type_m))
})

test_that("replicates without a result count as not significant, and are there", {
  usable <- c(TRUE, TRUE, FALSE, TRUE, TRUE)
  one <- summarise_coefficient(c(9, 9, 9, 9, 0), rep(1, 5), c(10, 10, 10, NaN, 10), usable, 1, settings_for(5L))
  expect_identical(c(one$nsim, one$usable, one$significant), c(5L, 3L, 2L))
  expect_equal(one$power, 2 / 5)
  expect_equal(one$power_usable, 2 / 3)
  none <- summarise_coefficient(NaN, NaN, NaN, FALSE, 1, settings_for(1L))
  expect_equal(none$power, 0)
  expect_true(is.na(none$power_usable) && is.na(none$estimate))
})

test_that("intervals are Wilson's, the t interval and the chi-square interval", {
  expect_equal(share_interval(80, 100, 0.95)[-1L], as.double(stats::prop.test(80, 100, correct = FALSE)$conf.int))
  expect_equal(share_interval(0, 10, 0.95)[-1L], as.double(stats::prop.test(0, 10, correct = FALSE)$conf.int))
  expect_identical(share_interval(10, 10, 0.9)[[3L]], 1)
  x <- c(3, 5, 4, 8)
  expect_equal(mean_interval(x, 0.9)[-1L], as.double(stats::t.test(x, conf.level = 0.9)$conf.int))
  expect_equal(sd_interval(x, 0.95)[2:3]^2, 3 * stats::var(x) / stats::qchisq(c(0.975, 0.025), 3))
})

test_that("SDs of random effects come from theta and sigma", {
  draws <- list(theta = rbind(c(2, 0.6, 0.8, 0.3), c(1, 0, 0.5, 0)), sigma = c(0.5, 2))
  shapes <- list(list(q = 2L, structure = "unstructured"), list(q = 1L, structure = "unstructured"))
  expect_equal(column_sd(draws, shapes, 1L, 2L), c(0.5 * 1, 2 * 0.5))
  expect_equal(column_sd(draws, shapes, 2L, 1L), c(0.15, 0))
  diagonal <- list(list(q = 3L, structure = "diagonal"), list(q = 1L, structure = "diagonal"))
  expect_equal(column_sd(draws, diagonal, 1L, 3L), c(0.4, 1))
})

test_that("a variance is tested by the half-half mixture", {
  cell <- list(variances = list(list(t = 1L, k = 1L, base = 0L)), shapes = list(list(q = 1L, structure = "unstructured")))
  # the 10 % point of chi-square with 1 df is the 5 % point of the mixture
  lrt <- c(0, stats::qchisq(0.90, 1) + c(-0.01, 0.01), 5)
  draws <- list(theta = matrix(0.5, 5L), sigma = rep(1, 5), criterion = rep(10, 5), status = status_factor(c(1, 1, 1, 2, 3)),
    reduced = list(list(criterion = 10 + c(lrt, 9), status = status_factor(rep(1, 5)))))
  one <- summarise_variance(cell, draws, 1L, 0.5, settings_for(5L))
  expect_identical(c(one$usable, one$significant), c(4L, 2L))
  expect_equal(one$estimate, 0.5)
})

test_that("between-within df follow the sizes of each replicate, as for a fit", {
  draws <- list(rows = c(300, 280), persons = c(60, 50), therapists = c(10, 10), beta = matrix(0, 2L, 5L))
  cell <- list(levels = list(level = c(0L, 1L, 2L, 1L), therapist = FALSE), contrasts = matrix(c(0, -1, 1, 0), 1L))
  df <- replicate_df(cell, draws, "between-within")
  expect_equal(df[1L, ], c(238, 238, 58, 238, 58))
  expect_equal(df[2L, 3L], 48)
  expect_equal(replicate_df(cell, draws, "residual")[, 1L], c(296, 276))
  expect_true(all(replicate_df(cell, draws, "asymptotic") == Inf))
  design <- hlm_design(30, 5, 6, within = 0.1, between = 0.2, icc_x_therapist = 0.2, icc_therapist = 0.1)
  d <- withr::with_seed(3, r_study_data(study_core(design)))
  fit <- hlm(y ~ within(x) + between(x, level = "therapist") + (1 | therapist / patient), d)
  ours <- replicate_bw_df(effect_levels(design$analysis), list(rows = 150, persons = 30, therapists = 6, beta = matrix(0, 1L, 4L)))
  expect_equal(drop(ours), unname(summary(fit, ddf = "between-within")$coefficients[, "df"]))
})
