# The reference itself is held against lme4 before anything is held against it.

reference_models <- function() {
  sleep <- lme4::sleepstudy
  sleep$w <- rep(c(1, 2, 0.5), length.out = nrow(sleep))
  list(
    list(formula = Reaction ~ Days + (Days | Subject), data = sleep),
    list(formula = Reaction ~ Days + (Days || Subject), data = sleep),
    list(formula = Reaction ~ Days + (Days | Subject), data = sleep, weights = sleep$w),
    list(formula = strength ~ 1 + (1 | batch / cask), data = lme4::Pastes),
    list(formula = diameter ~ 1 + (1 | plate) + (1 | sample), data = lme4::Penicillin),
    list(formula = Yield ~ 1 + (1 | Batch), data = lme4::Dyestuff2)
  )
}

fit_lme4 <- function(model, reml) {
  data <- model$data
  data$.weights <- if (is.null(model$weights)) 1 else model$weights
  suppressMessages(lme4::lmer(
    model$formula, data, REML = reml, weights = .weights,
    control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
  ))
}

test_that("the dense reference reaches lme4's optimum and its estimates", {
  skip_if_not_installed("lme4")
  for (model in reference_models()) {
    for (reml in c(TRUE, FALSE)) {
      theirs <- fit_lme4(model, reml)
      design <- design_from_lme4(model$formula, model$data, model$weights)
      ours <- dense_fit(design, reml)
      expect_lt(ours$criterion, -2 * c(logLik(theirs)) + 1e-8)
      expect_equal(ours$beta, lme4::fixef(theirs), tolerance = 1e-6)
      expect_equal(ours$vcov, as.matrix(vcov(theirs)), tolerance = 1e-4)
      expect_equal(ours$theta, unname(lme4::getME(theirs, "theta")), tolerance = 1e-3)
      at_theirs <- dense_at(design, reml, unname(lme4::getME(theirs, "theta")))
      expect_equal(at_theirs$criterion, -2 * c(logLik(theirs)), tolerance = 1e-12)
      re <- lme4::ranef(theirs, condVar = FALSE)
      for (g in seq_along(re)) {
        expect_equal(at_theirs$b[[g]], as.matrix(re[[g]]), tolerance = 1e-7, ignore_attr = TRUE)
      }
    }
  }
})

test_that("the conditional variances are lme4's", {
  skip_if_not_installed("lme4")
  for (model in reference_models()[c(1, 3, 4, 5)]) {
    theirs <- fit_lme4(model, TRUE)
    design <- design_from_lme4(model$formula, model$data, model$weights)
    ours <- dense_condvar(design, TRUE, unname(lme4::getME(theirs, "theta")))
    re <- lme4::ranef(theirs, condVar = TRUE)
    for (g in seq_along(re)) expect_equal(ours[[g]], attr(re[[g]], "postVar"), tolerance = 1e-7, ignore_attr = TRUE)
  }
})

test_that("the derivatives of the dense criterion agree with finite differences", {
  skip_if_not_installed("numDeriv")
  skip_if_not_installed("lme4")
  for (model in reference_models()[c(1, 3, 4)]) {
    design <- design_from_lme4(model$formula, model$data, model$weights)
    for (reml in c(TRUE, FALSE)) {
      theta <- seq(0.9, 0.4, length.out = nrow(dense_theta_map(design)))
      ours <- dense_evaluate(design, reml, theta)
      value <- function(theta) dense_criterion(design, reml, theta)
      expect_equal(ours$gradient, numDeriv::grad(value, theta), tolerance = 1e-7)
      expect_equal(ours$hessian, numDeriv::hessian(value, theta), tolerance = 1e-5)
    }
  }
})

test_that("the Satterthwaite pieces are lmerTest's", {
  skip_if_not_installed("lmerTest")
  theirs <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  design <- design_from_lme4(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  ours <- dense_satterthwaite(design, TRUE, unname(lme4::getME(theirs, "theta")))
  expect_equal(ours$vcov_varpar, theirs@vcov_varpar, tolerance = 1e-4, ignore_attr = TRUE)
  for (k in seq_along(ours$jacobian)) {
    expect_equal(ours$jacobian[[k]], theirs@Jac_list[[k]], tolerance = 1e-5, ignore_attr = TRUE)
  }
})
