sleep_models <- function() {
  list(
    slope = fit_sleep(), intercept = hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy),
    empty = hlm(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy)
  )
}

test_that("criteria are lme4's on ML refits when fixed effects differ, with AICc, deltas and Akaike weights", {
  skip_without_lme4()
  models <- sleep_models()
  table <- compare(models)
  expect_match(attr(table, "note"), "fixed effects differ")
  reference <- lapply(c(Reaction ~ Days + (Days | Subject), Reaction ~ Days + (1 | Subject), Reaction ~ 1 + (1 | Subject)), function(f) {
    lmer_tight(f, lme4::sleepstudy, REML = FALSE)
  })
  expect_identical(row.names(table), c("slope", "intercept", "empty"))
  expect_equal(table$AIC, vapply(reference, stats::AIC, 0), tolerance = 1e-8)
  expect_equal(table$BIC, vapply(reference, stats::BIC, 0), tolerance = 1e-8)
  # Burnham & Anderson (2002), eq. 2.13: AIC + 2 k (k + 1) / (n - k - 1)
  expect_equal(table$AICc, table$AIC + 2 * table$npar * (table$npar + 1) / (180 - table$npar - 1))
  expect_equal(table$delta, table$AIC - table$AIC[[1]])
  expect_equal(table$weight, exp(-table$delta / 2) / sum(exp(-table$delta / 2)))
  expect_equal(sum(table$weight), 1)
})

test_that("REML is kept with the same fixed effects, unless asked otherwise", {
  skip_if_not_installed("lme4")
  models <- sleep_models()
  table <- compare(models["slope"][[1]], models[["intercept"]])
  expect_match(attr(table, "note"), "Restricted likelihoods")
  expect_equal(table$logLik[[1]], as.double(logLik(fit_sleep())))
  expect_match(attr(compare(models[1:2], refit = TRUE), "note"), "maximum likelihood")
  expect_error(compare(models, refit = FALSE), class = "hlm_error_design")
})

test_that("the same space coded differently is no reason to compare restricted likelihoods", {
  # |X'V^-1X| depends on the coding: contextual and within/between models have the same fit but not the same REML criterion.
  d <- therapy_data()
  split <- hlm(distress ~ wb(alliance) + (1 | patient), d)
  contextual <- hlm(distress ~ cx(alliance) + (1 | patient), d)
  table <- compare(split, contextual)
  expect_match(attr(table, "note"), "maximum likelihood")
  expect_equal(table$logLik[[1]], table$logLik[[2]], tolerance = 1e-9)
  expect_error(anova(split, contextual, refit = FALSE), class = "hlm_error_design")
})

test_that("neighbours are tested where nested, variances with their mixture", {
  skip_if_not_installed("lme4")
  models <- sleep_models()
  tests <- attr(compare(models), "tests")
  expect_identical(tests$smaller, c("empty", "intercept"))
  ml <- lapply(models, update, REML = FALSE)
  expect_equal(tests$Chisq[[2]], 2 * (as.double(logLik(ml$slope)) - as.double(logLik(ml$intercept))), tolerance = 1e-7)
  expect_true(is.na(tests$weights[[1]]))
  expect_identical(tests$weights[[2]], "0.5 chi2(1) + 0.5 chi2(2)")
  expect_equal(tests$`Pr(>chibar)`[[2]], 0.5 * sum(stats::pchisq(tests$Chisq[[2]], 1:2, lower.tail = FALSE)))
  d <- therapy_data()
  a <- hlm(distress ~ session + (1 | patient), d)
  b <- hlm(distress ~ female + wb(alliance) + (1 | patient), d)
  tests <- attr(compare(a, b), "tests")
  expect_true(is.na(tests$Chisq))
  expect_match(tests$note, "fixed effects of the smaller model are not all")
})

test_that("order, names and arguments", {
  skip_if_not_installed("lme4")
  models <- sleep_models()
  by_bic <- compare(models, by = "BIC")
  expect_equal(by_bic$delta, by_bic$BIC - min(by_bic$BIC))
  small <- models$empty
  expect_setequal(row.names(compare(full = models$slope, small)), c("full", "small"))
  expect_error(compare(models$slope), class = "hlm_error_data")
  before <- serialize(models$slope, NULL)
  compare(models)
  expect_identical(serialize(models$slope, NULL), before)
})

test_that("printing shows both tables", {
  skip_if_not_installed("lme4")
  expect_output(print(compare(sleep_models())), "Models compared by AIC \\(180 rows\\)")
  expect_output(print(compare(sleep_models())), "intercept in slope +42[.]14 +2 +<0[.]0001 +0[.]5 chi2\\(1\\)")
})
