test_that("our generics pass lme4's fits on to lme4", {
  skip_without_lme4()
  theirs <- ref_sleep()
  expect_true(isREML(theirs))
  expect_false(isSingular(theirs))
  expect_equal(ngrps(theirs), c(Subject = 18L))
  expect_equal(getME(theirs, "theta"), lme4::getME(theirs, "theta"))
  expect_equal(contest(theirs, c(0, 1)), lmerTest::contest(theirs, c(0, 1)))
  y <- lme4::sleepstudy$Reaction * 2
  expect_equal(fixef(refit(theirs, y)), 2 * fixef(theirs), tolerance = 1e-3)
})

test_that("lme4's and lmerTest's generics know our fits", {
  skip_without_lme4()
  fit <- fit_sleep()
  expect_true(lme4::isREML(fit))
  expect_false(lme4::isSingular(fit))
  expect_equal(lme4::ngrps(fit), ngrps(fit))
  expect_equal(lme4::getME(fit, "theta"), getME(fit, "theta"))
  expect_equal(lme4::refit(fit, fit$design$y)$core, fit$core)
  expect_equal(lmerTest::contest(fit, c(0, 1)), contest(fit, c(0, 1)))
  expect_equal(lme4::fixef(fit), fixef(fit))
  expect_equal(lme4::VarCorr(fit), VarCorr(fit))
})

test_that("objects of other kinds give a readable error when nobody else knows them", {
  expect_error(pass_on("a.package.that.is.not.there", "icc", 1), "hlm", class = "hlm_error_data")
})

test_that("isSingular() looks at every standard deviation", {
  skip_if_not_installed("lme4")
  expect_true(isSingular(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)))
  fit <- fit_therapy()
  expect_false(isSingular(fit))
  fit$core$theta[[3]] <- 0
  expect_true(isSingular(fit))
})

test_that("isSingular() does not depend on the unit of a predictor", {
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy
  d$seconds <- d$Days * 86400
  expect_false(isSingular(hlm(Reaction ~ seconds + (seconds | Subject), d)))
})

test_that("what is not a model is refused in our words", {
  bad <- expression(
    vif(1), ranova(1), bootstrap(1), varcomp(1), reliability(1), refit(1, 2), r2(1), icc("a"), isREML(NULL), isSingular(mean), ngrps(list(1)),
    getME(data.frame(a = 1), "X"), contest(1, 1)
  )
  for (call in as.list(bad)) expect_error(eval(call), "needs a model fitted with", class = "hlm_error_data", label = deparse1(call))
})
