test_that("the accessors have lme4's values and shapes", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- pair[[1L]]
    theirs <- pair[[2L]]
    expect_equal(fixef(ours), fixef(theirs), tolerance = 1e-6)
    expect_equal(sigma(ours), sigma(theirs), tolerance = 1e-5)
    expect_equal(nobs(ours), nobs(theirs))
    expect_equal(ngrps(ours), ngrps(theirs))
    expect_equal(df.residual(ours), df.residual(theirs))
    expect_equal(logLik(ours), logLik(theirs), tolerance = 1e-8)
    expect_equal(logLik(ours, REML = FALSE), logLik(theirs, REML = FALSE), tolerance = 1e-7)
    expect_equal(AIC(ours), AIC(theirs), tolerance = 1e-8)
    expect_equal(BIC(ours), BIC(theirs), tolerance = 1e-8)
    expect_equal(extractAIC(ours), extractAIC(theirs), tolerance = 1e-7)
    expect_equal(weights(ours), weights(theirs))
    expect_equal(isREML(ours), lme4::isREML(theirs))
    expect_equal(isSingular(ours), lme4::isSingular(theirs))
    expect_equal(family(ours)$family, "gaussian")
  }
})

test_that("coef() gives each group's coefficients as lme4 does", {
  skip_without_lme4()
  for (pair in every_pair()) {
    expect_equal(coef(pair[[1L]]), unclass(coef(pair[[2L]])), tolerance = 1e-4)
  }
})

test_that("coef() fills in zero for a random effect without a fixed one", {
  skip_without_lme4()
  ours <- hlm(Reaction ~ 1 + (Days | Subject), lme4::sleepstudy)
  theirs <- lmer_tight(Reaction ~ 1 + (Days | Subject), lme4::sleepstudy)
  expect_equal(coef(ours)$Subject, coef(theirs)$Subject, tolerance = 1e-4)
})

test_that("deviance() of a REML fit asks which one is meant", {
  skip_without_lme4()
  expect_warning(value <- deviance(fit_sleep()), class = "hlm_warning_deviance")
  expect_equal(value, lme4::REMLcrit(ref_sleep()), tolerance = 1e-9)
  expect_equal(deviance(fit_sleep(), REML = FALSE), deviance(ref_sleep(), REML = FALSE), tolerance = 1e-7)
  ml <- update(fit_sleep(), REML = FALSE)
  expect_equal(deviance(ml), -2 * as.double(logLik(ml)))
})

test_that("fitted values follow na.exclude", {
  skip_without_lme4()
  for (pair in every_pair()) expect_equal(fitted(pair[[1L]]), fitted(pair[[2L]]), tolerance = 1e-5)
  expect_true(all(is.na(fitted(fit_gaps())[c("4", "50", "51")])))
})

test_that("formula(), terms(), model.frame() and model.matrix() agree with lme4", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- pair[[1L]]
    theirs <- pair[[2L]]
    expect_equal(attr(terms(ours), "term.labels"), attr(terms(theirs), "term.labels"))
    x <- model.matrix(ours)
    expect_equal(x, model.matrix(theirs), ignore_attr = TRUE)
    expect_equal(dimnames(x), dimnames(model.matrix(theirs)))
    expect_equal(attr(x, "assign"), attr(model.matrix(theirs), "assign"))
    frame <- model.frame(ours)
    expect_equal(nrow(frame), nobs(ours))
    shared <- intersect(names(frame), names(model.frame(theirs)))
    expect_true(all(all.vars(formula(theirs)) %in% c(shared, "w", "known")))
    for (name in shared) expect_equal(frame[[name]], model.frame(theirs)[[name]], ignore_attr = TRUE)
  }
  expect_equal(deparse1(formula(fit_sleep(), fixed.only = TRUE)), "Reaction ~ Days")
  expect_equal(deparse1(formula(fit_penicillin(), random.only = TRUE)), "~(1 | plate) + (1 | sample)")
  expect_error(formula(fit_sleep(), fixed.only = TRUE, random.only = TRUE), class = "hlm_error_formula")
})

test_that("the model frame holds the within and between columns", {
  frame <- model.frame(fit_therapy())
  expect_true(all(c("distress", "alliance_within", "alliance_between", "patient", "therapist") %in% names(frame)))
  d <- stats::na.omit(therapy_data())
  mean <- stats::ave(d$alliance, d$patient)
  expect_equal(unname(frame$alliance_within), d$alliance - mean)
  expect_equal(unname(frame$alliance_between), mean - mean(tapply(d$alliance, d$patient, mean)))
})

test_that("no method changes the fit", {
  skip_without_lme4()
  for (fit in every_fit()) {
    # Bytes, not a second name for the same memory: compiled code could write into that.
    before <- serialize(fit, NULL)
    summary(fit)
    ranef(fit)
    coef(fit)
    anova(fit)
    if (length(attr(terms(fit), "term.labels"))) drop1(fit)
    confint(fit)
    icc(fit)
    predict(fit, se.fit = TRUE)
    y <- simulate(fit, seed = 1)[[1L]]
    refit(fit, y)
    update(fit, REML = FALSE)
    getME(fit, "ALL")
    tidy(fit, effects = c("fixed", "ran_pars", "ran_vals", "ran_coefs"))
    augment(fit)
    model.frame(fit)
    utils::capture.output(print(fit), print(summary(fit)))
    expect_identical(serialize(fit, NULL), before)
  }
})

test_that("a fit survives saveRDS() into a fresh process", {
  skip_on_cran()
  skip_without_lme4()
  skip_if_not_installed("wbhlm")
  fit <- fit_therapy()
  file <- withr::local_tempfile(fileext = ".rds")
  out <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, file)
  script <- withr::local_tempfile(fileext = ".R", lines = c(
    "arguments <- commandArgs(TRUE)",
    "library(wbhlm)",
    "fit <- readRDS(arguments[[1]])",
    "result <- list(fit = fit, coefficients = summary(fit)$coefficients, se = predict(fit, se.fit = TRUE)$se.fit,",
    "  update = fixef(update(fit, . ~ . - session)), refit = fixef(refit(fit, fit$design$y + 1)))",
    "saveRDS(result, arguments[[2]])"
  ))
  status <- system2(
    file.path(R.home("bin"), "Rscript"), shQuote(c(script, file, out)), stdout = FALSE, stderr = FALSE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep))
  )
  expect_equal(status, 0)
  there <- readRDS(out)
  # The tests run in a copy of the namespace, which the other process does not have.
  expect_equal(there$fit, fit, ignore_formula_env = TRUE)
  expect_equal(there$coefficients, summary(fit)$coefficients)
  expect_equal(there$se, predict(fit, se.fit = TRUE)$se.fit)
  expect_equal(there$update, fixef(update(fit, . ~ . - session)))
})

test_that("printing does no heavy work", {
  # df need core_satterthwaite, the caterpillar needs core_condvar; print() must reach neither.
  fit <- fit_therapy()
  fit$design$columns <- NULL
  expect_output(print(fit), "Fixed effects")
})

test_that("a misspelt argument is reported", {
  fit <- fit_therapy()
  expect_warning(predict(fit, allow_new = TRUE), "allow_new", class = "hlm_warning_arguments")
  expect_warning(confint(fit, 1, method = "Wald", conf.level = 0.9), "conf.level", class = "hlm_warning_arguments")
  expect_silent(predict(fit))
})

test_that("getData() gives the stored variables", {
  data <- nlme::getData(fit_therapy())
  expect_equal(nrow(data), 240)
  expect_true(all(c("distress", "alliance", "patient", "therapist", "session", "female") %in% names(data)))
})
