test_that("refit() gives the fit of the new outcome", {
  skip_without_lme4()
  data <- lme4::sleepstudy
  data$Reaction <- data$Reaction + sin(seq_len(nrow(data))) * 30
  ours <- refit(fit_sleep(), data$Reaction)
  fresh <- hlm(Reaction ~ Days + (Days | Subject), data)
  expect_equal(fixef(ours), fixef(fresh), tolerance = 1e-7)
  expect_equal(ours$core$criterion, fresh$core$criterion, tolerance = 1e-10)
  expect_equal(model.frame(ours)$Reaction, data$Reaction)
  expect_equal(refit(fit_sleep(), data["Reaction"])$core, ours$core)
})

test_that("peers: refit() does not change the original fit (lme4)", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  # Bytes, not a second name for the same memory: compiled code could write into that.
  before <- serialize(fit, NULL)
  refit(fit, rev(lme4::sleepstudy$Reaction))
  expect_identical(serialize(fit, NULL), before)
})

test_that("the outcome may have one value per analysed row or per row of the data", {
  skip_if_not_installed("lme4")
  y <- simulate(fit_gaps(), seed = 4)$sim_1
  expect_length(y, 180)
  expect_equal(refit(fit_gaps(), y)$core, refit(fit_gaps(), y[!is.na(y)])$core)
})

test_that("outcomes that cannot be used are refused", {
  fit <- fit_therapy()
  expect_error(refit(fit, 1:10), class = "hlm_error_data")
  expect_error(refit(fit, rep("a", nobs(fit))), class = "hlm_error_data")
  expect_error(refit(fit, data.frame(a = 1:238, b = 1:238)), class = "hlm_error_data")
  expect_error(refit(fit, c(NA, fit$design$y[-1])), class = "hlm_error_data")
})

test_that("refit() checks the outcome as hlm() does", {
  fit <- fit_therapy()
  patient <- fit$design$groups[[1L]]$codes
  expect_error(refit(fit, as.double(patient)), "never varies", class = "hlm_error_data")
})
