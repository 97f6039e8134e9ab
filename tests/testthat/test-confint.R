test_that("normal Wald intervals are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- confint(pair[[1L]], ddf = "asymptotic")
    theirs <- confint(pair[[2L]], method = "Wald", parm = "beta_")
    expect_equal(ours, theirs, tolerance = 1e-4)
  }
})

test_that("the default interval uses the t distribution with Satterthwaite's df", {
  table <- summary(fit_therapy())$coefficients
  half <- stats::qt(0.95, table[, "df"]) * table[, "Std. Error"]
  limits <- confint(fit_therapy(), level = 0.9)
  expect_equal(unname(limits[, 1]), unname(table[, "Estimate"] - half))
  expect_equal(colnames(limits), c("5 %", "95 %"))
})

test_that("coefficients are chosen by name or position", {
  fit <- fit_therapy()
  expect_equal(confint(fit, "session"), confint(fit)["session", , drop = FALSE])
  expect_equal(confint(fit, 2), confint(fit)[2, , drop = FALSE])
  expect_error(confint(fit, "age"), class = "hlm_error_data")
  expect_error(confint(fit, level = 95), class = "hlm_error_data")
  expect_error(confint(fit, method = "profile"), class = "hlm_error_data")
})
