test_that("normal Wald intervals are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- confint(pair[[1L]], ddf = "asymptotic")
    theirs <- confint(pair[[2L]], method = "Wald", parm = "beta_")
    expect_equal(ours, theirs, tolerance = 1e-4)
  }
})

test_that("Wald intervals use the t distribution with Satterthwaite's df", {
  table <- summary(fit_therapy())$coefficients
  half <- stats::qt(0.95, table[, "df"]) * table[, "Std. Error"]
  limits <- confint(fit_therapy(), level = 0.9, method = "wald")
  expect_equal(unname(limits[, 1]), unname(table[, "Estimate"] - half))
  expect_equal(colnames(limits), c("5 %", "95 %"))
})

test_that("the default is the profile, Wald when df or a covariance are asked for or the data are large", {
  fit <- fit_therapy()
  expect_equal(confint(fit), confint_profile(fit))
  expect_equal(confint(fit, "theta_", scale = "variance", REML = TRUE), confint_profile(fit, "theta_", 0.95, "variance", TRUE))
  expect_equal(confint(fit, ddf = "residual"), confint(fit, method = "Wald", ddf = "residual"))
  expect_equal(confint_method(fit, NULL, TRUE), "profile")
  large <- fit
  large$design$y <- double(profile_rows + 1L)
  expect_message(method <- confint_method(large, NULL, TRUE), "profile", class = "hlm_message_confint")
  expect_equal(method, "wald")
})

test_that("coefficients are chosen by name or position", {
  fit <- fit_therapy()
  for (method in c("profile", "Wald")) {
    all <- confint(fit, method = method)
    expect_equal(confint(fit, "session", method = method), all["session", , drop = FALSE])
    expect_equal(confint(fit, 2, method = method), all[2, , drop = FALSE])
    expect_error(confint(fit, "age", method = method), class = "hlm_error_data")
  }
  expect_error(confint(fit, level = 95), class = "hlm_error_data")
  expect_error(confint(fit, method = "exact"), class = "hlm_error_data")
})
