# The conclusions of "Session by session": the directions of Falkenström et al. (2013) in the synthetic data, by every tool that the article uses. (The
# models of the findings themselves are tested in test-data-published.R.)

test_that("both directions are negative and clear, and patients differ in the first", {
  both <- suppressMessages(suppressWarnings(reciprocal(
    falkenstrom2013, x = wai, y = core, id = patient, time = session, covariates = session, autoregression = FALSE, random = ~ 1 + session + slope | patient
  )))
  cross <- subset(both$effects, role == "within")
  expect_true(all(cross$estimate < 0))
  expect_true(all(cross$p.value < 0.001))
  expect_true(all(cross$std.high < 0))
})

test_that("the effect is stronger with personality problems", {
  fit <- suppressWarnings(hlm(
    core ~ session + within(lagged(wai)) * personality + (1 + session + within(lagged(wai)) | patient), falkenstrom2013, time = session
  ))
  slopes <- as.data.frame(simple_slopes(fit, wai_lag1_within, personality, at = c(0, 1)))
  expect_identical(sum(slopes$Estimate < 0), 2L)
  expect_lt(slopes$Estimate[2L], slopes$Estimate[1L])
  expect_lt(coef(summary(fit))["wai_lag1_within:personality", "Pr(>|t|)"], 0.001)
})

test_that("the effect holds in early and middle sessions, after the adjustment for many values", {
  fit <- suppressWarnings(hlm(core ~ session * within(lagged(wai)) + (1 + session + within(lagged(wai)) | patient), falkenstrom2013, time = session))
  regions <- johnson_neyman(fit, wai_lag1_within, session, adjust = "fdr")
  expect_output(print(regions), "negative")
  plain <- simple_slopes(fit, wai_lag1_within, session, at = c(2, 6, 10))
  expect_identical(sum(as.data.frame(plain)$upper < 0), 3L)
})

test_that("the sign holds under every way of splitting, and with autocorrelated residuals", {
  fit <- hlm(core ~ session + wb(lagged(wai)) + (1 + session + within(lagged(wai)) | patient), falkenstrom2013, time = session)
  ways <- subset(as.data.frame(compare_disaggregation(fit)), effect == "within" & x != "raw")
  expect_gte(nrow(ways), 9L)
  expect_true(all(ways$estimate < 0 & ways$p.value < 0.05))
  carried <- coef(summary(suppressWarnings(update(fit, residual = "ar1"))))
  expect_lt(carried["wai_lag1_within", "Estimate"], 0)
  expect_lt(carried["wai_lag1_within", "Pr(>|t|)"], 0.001)
})
