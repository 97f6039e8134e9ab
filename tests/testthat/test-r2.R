test_that("bootstrap intervals are reproducible, hold the estimate and leave the generator alone", {
  fit <- fit_implement_ml()
  set.seed(3)
  before <- .Random.seed
  r <- r2(fit, conf.int = TRUE, nsim = 30, seed = 1)
  expect_identical(.Random.seed, before)
  expect_equal(r2(fit, conf.int = TRUE, nsim = 30, seed = 1), r)
  f <- r$measures[r$measures$measure == "f" & r$measures$of == "total", ]
  expect_lt(f$lower, f$upper)
  expect_true(all(r$measures$lower >= 0 & r$measures$upper <= 1))
  fvm <- r$measures[r$measures$measure == "fvm", ]
  expect_true(fvm$lower < fvm$estimate && fvm$estimate < fvm$upper)
  expect_equal(r$failed, 0L)
})

test_that("every method has intervals, na.exclude included", {
  skip_if_not_installed("lme4")
  fit <- fit_gaps()
  for (method in c("rights-sterba", "nakagawa", "snijders-bosker", "reduction")) {
    r <- r2(fit, method, conf.int = TRUE, nsim = 5, seed = 1)
    expect_false(anyNA(r$measures$lower))
  }
})

test_that("a baseline is fitted anew to every sample, too", {
  fit <- fit_implement_ml()
  null <- hlm(bai ~ 1 + (1 | id), implement_rows(), REML = FALSE)
  given <- r2(fit, "reduction", baseline = null, conf.int = TRUE, nsim = 8, seed = 2)$measures
  own <- r2(fit, "reduction", conf.int = TRUE, nsim = 8, seed = 2)$measures
  expect_equal(given[c("estimate", "lower", "upper")], own[c("estimate", "lower", "upper")], tolerance = 1e-5)
})

test_that("arguments that make no sense are refused", {
  fit <- fit_implement_ml()
  expect_error(r2(fit, "mystery"), class = "hlm_error_design")
  expect_error(r2(fit, baseline = fit), "reduction", class = "hlm_error_data")
  expect_error(r2(fit, conf.int = TRUE, nsim = 0), class = "hlm_error_data")
  expect_error(r2(fit, conf.int = TRUE, conf.level = 2), class = "hlm_error_data")
})

test_that("crossed groups: Nakagawa's only, and the error says so", {
  skip_if_not_installed("lme4")
  expect_error(r2(fit_penicillin()), "nakagawa", class = "hlm_error_design")
  expect_error(r2(fit_penicillin(), "snijders-bosker"), "nakagawa", class = "hlm_error_design")
  expect_s3_class(r2(fit_penicillin(), "nakagawa"), "hlm_r2")
})

test_that("performance's generic knows our fits, and ours passes others on", {
  skip_if_not_installed("performance")
  skip_without_lme4()
  expect_equal(performance::r2(fit_sleep()), r2(fit_sleep()))
  expect_equal(as.numeric(r2(ref_sleep())$R2_marginal), measure(r2(fit_sleep(), "nakagawa"), "marginal", "total"), tolerance = 1e-5)
})
