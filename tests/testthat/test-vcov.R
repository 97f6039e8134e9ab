test_that("vcov() is lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    expect_equal(vcov(pair[[1L]]), as.matrix(vcov(pair[[2L]])), tolerance = 1e-4, ignore_attr = FALSE)
  }
})

test_that("correlations are those of the covariances", {
  v <- vcov(fit_therapy())
  expect_equal(vcov(fit_therapy(), correlation = TRUE), stats::cov2cor(v))
  expect_equal(dimnames(v), list(names(fixef(fit_therapy())), names(fixef(fit_therapy()))))
})
