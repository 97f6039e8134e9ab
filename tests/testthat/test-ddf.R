test_that("Satterthwaite df are those of the dense reference", {
  fit <- fit_therapy()
  pieces <- dense_satterthwaite(fit$design, TRUE, fit$core$theta)
  ours <- prepare_inference(fit, "Satterthwaite")$df
  v <- fit$core$vcov
  for (k in seq_along(fixef(fit))) {
    l <- as.double(seq_along(fixef(fit)) == k)
    gradient <- vapply(pieces$jacobian, function(j) sum(l * (j %*% l)), 0)
    expect_equal(ours(l), drop(2 * v[k, k]^2 / (gradient %*% pieces$vcov_varpar %*% gradient)), tolerance = 1e-6)
  }
})

test_that("a balanced design gives the exact df", {
  skip_if_not_installed("lme4")
  # 18 persons with 10 common occasions: the slope has 17 df whatever the estimates.
  expect_equal(summary(fit_sleep())$coefficients[, "df"], c(`(Intercept)` = 17, Days = 17), tolerance = 1e-5)
})

test_that("combine_ddf() is lmerTest's rule", {
  skip_if_not_installed("lmerTest")
  theirs <- utils::getFromNamespace("get_Fstat_ddf", "lmerTest")
  for (nu in list(12, c(10, 10), c(3, 8, 20), c(1.5, 10))) expect_equal(combine_ddf(nu), theirs(nu))
  expect_equal(combine_ddf(c(Inf, Inf)), Inf)
})

test_that("every registered method gives df to every contrast", {
  for (name in ddf_names()) {
    df <- prepare_inference(fit_therapy(), name)$df
    expect_gt(df(c(1, rep(0, length(fixef(fit_therapy())) - 1L))), 0)
    expect_equal(match_ddf(toupper(name)), name)
  }
})
