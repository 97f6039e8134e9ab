# What "A real trial, session by session" says of the data holds.

test_that("the lagged effect of the alliance is near zero, whatever the split once time is in the model", {
  fit <- hlm(bai ~ session + wb(lagged(wai)) + (1 + session | id), implement, time = session)
  limits <- confint(fit, "wai_lag1_within", method = "Wald")
  expect_lt(limits[1L], 0)
  expect_gt(limits[2L], 0)
  ways <- subset(as.data.frame(compare_disaggregation(fit)), effect == "within" & x != "raw")
  expect_true(all(ways$p.value[ways$time] > 0.05))
  # the one clear effect: without time in the model
  clear <- subset(ways, p.value < 0.05)
  expect_identical(nrow(clear), 1L)
  expect_false(clear$time)
  expect_lt(clear$estimate, 0)
  # correlated residuals, clearly; the effect stays
  carried <- update(fit, residual = "ar1")
  expect_lt(anova(fit, carried)[["Pr(>Chisq)"]][2L], 0.001)
  expect_gt(coef(summary(carried))["wai_lag1_within", "Pr(>|t|)"], 0.05)
})

test_that("the reverse direction is a tendency, and the two directions cannot be called different", {
  both <- reciprocal(
    implement, x = wai, y = bai, id = id, time = session, lags = c(xy = 1, yx = 0), covariates = session, autoregression = FALSE, random = ~ 1 + session | id
  )
  cross <- subset(both$effects, role == "within")
  expect_lt(cross$estimate[cross$direction == "yx"], 0)
  expect_true(all(cross$p.value > 0.05))
  expect_true(all(both$difference$p.value > 0.05))
})

test_that("no differences between patients in the effect, no region, no therapists", {
  random <- suppressWarnings(hlm(bai ~ session + wb(lagged(wai)) + (1 + session + within(lagged(wai)) | id), implement, time = session))
  expect_gt(ranova(random)[["Pr(>chibar)"]][3L], 0.05)
  moderated <- hlm(bai ~ session + within(lagged(wai)) * between(lagged(wai)) + (1 + session | id), implement, time = session)
  expect_output(print(johnson_neyman(moderated, wai_lag1_within, wai_lag1_between)), "at no observed value")
  therapists <- hlm(bai ~ session + within(lagged(wai)) + between(lagged(wai), level = "therapist") + (1 | therapist / id), implement, time = session)
  expect_output(print(therapist_effects(therapists, nsim = 200, seed = 1)), "estimated as zero")
  for (part in c("task", "goal", "bond")) {
    formula <- stats::as.formula(sprintf("bai ~ session + wb(lagged(%s)) + (1 + session | id)", part))
    expect_gt(coef(summary(hlm(formula, implement, time = session)))[3L, "Pr(>|t|)"], 0.05)
  }
})
