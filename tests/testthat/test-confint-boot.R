test_that("all types give the intervals of package boot for the same replicates", {
  fixture <- read_fixture(test_path("fixtures", "bootstrap-intervals.json"))
  object <- list(t = matrix(fixture$t, dimnames = list(NULL, "r")), t0 = c(r = fixture$t0))
  for (i in seq_along(fixture$level)) {
    tails <- c(1 - fixture$level[[i]], 1 + fixture$level[[i]]) / 2
    for (type in c("percentile", "basic", "normal")) {
      expect_equal(as.double(boot_intervals()[[type]](object, 1L, tails, NULL)), fixture[[type]][i, ], tolerance = 1e-12)
    }
    expect_equal(bca_limits(fixture$t, fixture$t0, fixture$influence, tails), fixture$bca[i, ], tolerance = 1e-12)
  }
})

test_that("quantiles: whole ranks, ranks between replicates, ranks beyond them", {
  t <- c(5, 1, 4, 2, 3, 9, 8, 7, 6)
  expect_equal(boot_quantile(t, c(0.1, 0.5, 0.9)), c(1, 5, 9))
  between <- boot_quantile(t, 0.25)
  expect_equal(between, 2 + (stats::qnorm(0.25) - stats::qnorm(0.2)) / (stats::qnorm(0.3) - stats::qnorm(0.2)))
  expect_equal(boot_quantile(t, c(0.01, 0.99)), c(1, 9))
  expect_equal(boot_quantile(c(NA, NaN, t), c(0.1, 0.9)), c(1, 9))
  expect_identical(boot_quantile(NA_real_, 0.5), NA_real_)
})

test_that("the influence of a group comes from fits without it", {
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 20, seed = 1, statistic = function(fit) c(theta = fit$core$theta[[1L]]))
  chosen <- match(c("Days", "sd_Days|Subject", "theta"), names(boot$t0))
  influence <- jackknife_influence(boot, chosen)
  d <- lme4::sleepstudy
  without <- vapply(levels(d$Subject), function(s) {
    fit <- hlm(Reaction ~ Days + (Days | Subject), d[d$Subject != s, ])
    c(fixef(fit)[["Days"]], as.data.frame(VarCorr(fit))$sdcor[[2L]], fit$core$theta[[1L]])
  }, c(0, 0, 0))
  expect_equal(unname(influence), 17 * unname(t(rowMeans(without) - without)), tolerance = 1e-4)
  # with three levels the coarsest factor is left out
  expect_equal(nrow(jackknife_influence(bootstrap(fit_therapy(), 5, seed = 1), 1L)), 8L)
})

test_that("blocks of groups stand in for groups when there are thousands", {
  # Synthetic: skewed random effects of 2,400 persons, one row each of two.
  d <- withr::with_seed(3, {
    d <- data.frame(id = rep(1:2400, each = 2))
    d$y <- stats::rexp(2400)[d$id]^1.5 + 0.3 * stats::rnorm(4800)
    d
  })
  fit <- hlm(y ~ 1 + (1 | id), d)
  influence <- jackknife_influence(bootstrap(fit, 5, seed = 1), 1:2)
  expect_equal(nrow(influence), 1000L)
  acceleration <- function(l) sum(l^3) / (6 * sum(l^2)^1.5)
  # of a mean of balanced groups: skewness / (6 sqrt n) of the persons' means
  means <- rowsum(d$y, d$id)[, 1] / 2
  expect_equal(acceleration(influence[, 1L]), acceleration(means - mean(means)), tolerance = 0.1)
})

test_that("confint(fit, method = \"boot\") draws and gives all parameters in lme4's names", {
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 200, seed = 3)
  limits <- confint(fit_sleep(), method = "boot", nsim = 200, seed = 3)
  expect_identical(limits, confint(boot))
  expect_identical(rownames(limits), names(boot$t0)[1:6])
  expect_identical(colnames(limits), c("2.5 %", "97.5 %"))
  expect_identical(
    confint(fit_sleep(), "Days", level = 0.8, method = "boot", nsim = 200, seed = 3, boot.type = "norm", type = "residual"),
    confint(bootstrap(fit_sleep(), 200, "residual", seed = 3), "Days", level = 0.8, boot.type = "normal")
  )
  expect_identical(rownames(confint(boot, "var_")), c("var_(Intercept)|Subject", "cov_Days.(Intercept)|Subject", "var_Days|Subject", "sigma^2"))
  expect_identical(rownames(confint(boot, "theta_")), names(boot$t0)[3:6])
  expect_identical(confint(boot, 2), confint(boot, "Days"))
  expect_error(confint(boot, "age"), class = "hlm_error_data")
  expect_error(confint(boot, boot.type = "exact"), class = "hlm_error_data")
  expect_error(confint(boot, level = 95), class = "hlm_error_data")
  expect_error(confint(bootstrap(fit_penicillin(), 50, seed = 1), boot.type = "bca", level = 0.5), "crossed", class = "hlm_error_data")
})

test_that("percentile and BCa intervals of variances are the squares of those of standard deviations", {
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 500, seed = 3)
  for (type in c("percentile", "bca")) {
    sd <- confint(boot, "sd_Days|Subject", boot.type = type)
    variance <- confint(boot, "var_Days|Subject", boot.type = type)
    # quantiles are interpolated between neighbours, and BCa's acceleration differs a little by scale
    expect_equal(unname(variance), unname(sd^2), tolerance = if (type == "bca") 0.05 else 1e-3)
  }
})

test_that("limits stay inside the range of a parameter and boundaries are handled", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  boot <- bootstrap(fit, 300, seed = 2)
  for (type in c("percentile", "basic", "bca", "normal")) {
    limits <- confint(boot, "theta_", boot.type = type)
    expect_true(all(limits >= 0))
    expect_lte(limits[1L, 1L], 0)
    expect_gt(limits[2L, 1L], 0)
  }
  # basic: 2 * 0 - quantile is below zero for both limits
  expect_equal(unname(confint(boot, "sd_(Intercept)|Batch", boot.type = "basic")[1L, ]), c(0, 0))
})

test_that("correlations that are undefined in some replicates are said", {
  skip_if_not_installed("lme4")
  # Synthetic: hardly any variance between persons; some replicates find none at all.
  d <- withr::with_seed(6, {
    d <- data.frame(id = rep(1:12, each = 4), x = rep(c(-1, 0, 0, 1), 12))
    d$y <- stats::rnorm(48) + 0.6 * stats::rnorm(12)[d$id]
    d
  })
  fit <- hlm(y ~ x + (x | id), d)
  boot <- bootstrap(fit, 200, seed = 1)
  expect_gt(sum(is.na(boot$t[, "cor_x.(Intercept)|id"])), 0)
  expect_warning(confint(boot, "cor_x.(Intercept)|id"), "undefined in some replicates", class = "hlm_warning_bootstrap")
  expect_no_warning(confint(boot, "beta_"))
})

test_that("too few replicates for a level are said", {
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 20, seed = 1)
  expect_warning(confint(boot, "Days"), "too few", class = "hlm_warning_bootstrap")
  expect_no_warning(confint(boot, "Days", level = 0.5))
  # an estimate outside all replicates has no BCa interval
  boot$t0[["Days"]] <- 1e6
  expect_warning(limits <- confint(boot, "Days", level = 0.5, boot.type = "bca"), "no interval", class = "hlm_warning_bootstrap")
  expect_true(all(is.na(limits)))
})
