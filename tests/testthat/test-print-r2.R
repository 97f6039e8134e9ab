shown <- function(x) paste(utils::capture.output(print(x)), collapse = "\n")

test_that("the decomposition reads in words, with shares of the total and of each level", {
  out <- shown(r2(fit_implement_two()))
  expect_match(out, "Rights and Sterba \\(2019")
  expect_match(out, "predictors, within-id \\(f1\\) +3.9 % +9.4 %")
  expect_match(out, "slopes that differ by id \\(v\\) +3.1 %")
  expect_match(out, "share of the total +100.0 %")
  expect_no_match(out, "Not centred")
})

test_that("a predictor that is not centred is named", {
  skip_if_not_installed("lme4")
  expect_match(shown(r2(fit_therapy_session())), "counted at each level at which it varies: session")
})

test_that("intervals are printed beside the shares", {
  out <- shown(r2(fit_implement_ml(), conf.int = TRUE, nsim = 10, seed = 1))
  expect_match(out, "% \\[[0-9.]+, [0-9.]+\\]")
  expect_match(out, "parametric bootstrap \\(10 samples\\)")
})

test_that("the other methods name what they compare", {
  expect_match(shown(r2(fit_implement_ml(), "nakagawa")), "conditional: predictors and random effects")
  expect_match(shown(r2(fit_implement_ml(), "snijders-bosker")), "level 2: the mean per id")
})
