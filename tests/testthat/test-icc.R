test_that("with random intercepts the shares are those of the variances", {
  skip_if_not_installed("lme4")
  table <- as.data.frame(VarCorr(fit_pastes()))
  share <- icc(fit_pastes())
  expect_equal(share$icc, table$vcov / sum(table$vcov))
  expect_equal(sum(share$icc), 1)
  expect_equal(share$icc_cumulative, c(sum(share$icc[1:2]), share$icc[2], NA))
  # An intercept-only model explains nothing.
  expect_equal(share$icc_unadjusted, share$icc)
})

test_that("crossed factors have no cumulative correlation", {
  skip_if_not_installed("lme4")
  expect_true(all(is.na(icc(fit_penicillin())$icc_cumulative)))
})

test_that("with random slopes the variance is averaged over the rows", {
  fit <- fit_therapy()
  z <- cbind(1, model.frame(fit)$alliance_within)
  sigma <- matrix(VarCorr(fit)$patient, 2)
  share <- icc(fit)
  expect_equal(share$variance[[1L]], mean(rowSums((z %*% sigma) * z)))
  fixed <- stats::var(drop(model.matrix(fit) %*% fixef(fit)))
  expect_equal(share$icc_unadjusted, share$variance / (sum(share$variance) + fixed))
})

test_that("the shares print as percentages", {
  skip_if_not_installed("lme4")
  expect_output(print(icc(fit_pastes())), "Expected correlation of two rows of the same cask")
  expect_output(print(icc(fit_pastes())), "between groups of batch +[0-9.]+ %")
})
