test_that("every way of writing a structure is the same structure", {
  d <- serial_data()
  base <- hlm(y ~ x + (1 | person), d, time = session, residual = hetero(phase) + ar1(session))
  same <- function(fit) expect_identical(fit$core, base$core)
  same(hlm(y ~ x + (1 | person), d, time = session, residual = "ar1 + hetero(phase)"))
  same(hlm(y ~ x + (1 | person), d, residual = ~ ar1(session) + hetero(phase)))
  same(hlm(y ~ x + (1 | person), d, residual = "~ ar1(session) + hetero(phase)"))
  same(hlm(y ~ x + (1 | person), d, time = "session", residual = ar1() + hetero(phase)))
  kept <- quote(ar1(session) + hetero(phase))
  same(hlm(y ~ x + (1 | person), d, residual = kept))
  pass_on <- function(data, residual = NULL) hlm(y ~ x + (1 | person), data, time = session, residual = residual)
  same(pass_on(d, ar1 + hetero(phase)))
  same(pass_on(d, ~ ar1 + hetero(phase)))
  expect_null(pass_on(d)$core$residual)
  expect_equal(deparse1(base$residual), "~hetero(phase) + ar1(session)")
  expect_named(base$core$residual$natural, c("late", "phi"))
  # the occasion is the default of hetero(), too; strata may be computed and combined
  d$half <- factor(d$session %% 2)
  expect_named(suppressWarnings(hlm(y ~ x + (1 | person), d, time = half, residual = hetero), classes = "hlm_warning")$core$residual$natural, "1")
  expect_named(hlm(y ~ x + (1 | person), d, residual = hetero(session > 4))$core$residual$natural, "TRUE")
  expect_length(hlm(y ~ x + (1 | person), d, residual = hetero(half, phase))$core$residual$natural, 3L)
})

test_that("structures that do not exist or do not fit are refused with what to do", {
  d <- serial_data()
  refused <- function(code, words) expect_error(code, words, class = "hlm_error_covariance")
  refused(hlm(y ~ x + (1 | person), d, residual = "ar2"), "There are ar1\\(\\)")
  refused(hlm(y ~ x + (1 | person), d, residual = toeplitz2(session)), "no structure of that name")
  refused(hlm(y ~ x + (1 | person), d, residual = 1), "class numeric")
  refused(hlm(y ~ x + (1 | person), d, residual = y ~ ar1(session)), "one-sided")
  refused(hlm(y ~ x + (1 | person), d, residual = "ar1("), "not understood")
  refused(hlm(y ~ x + (1 | person), d, residual = ar1), "by which variable")
  refused(hlm(y ~ x + (1 | person), d, residual = hetero), "by which variable")
  refused(hlm(y ~ x + (1 | person), d, residual = ar1(session) + car1(session)), "same kind")
  refused(hlm(y ~ x + (1 | person), d, residual = ar1(session, 2)), "one variable")
  expect_error(hlm(y ~ x + (1 | person), d, residual = ar1(day)), "not in the data", class = "hlm_error_data")
})

test_that("update() keeps, changes and removes the structure, from the stored data", {
  d <- serial_data()
  fit <- hlm(y ~ x + (1 | person), d, time = session, residual = ar1)
  rm(d)
  expect_identical(update(fit, . ~ .)$core, fit$core)
  expect_null(update(fit, residual = NULL)$core$residual)
  expect_equal(update(fit, residual = "car1")$core$criterion, fit$core$criterion, tolerance = 1e-9)
  ml <- update(fit, REML = FALSE)
  expect_false(isTRUE(all.equal(ml$core$residual$free, fit$core$residual$free)))
  expect_identical(as_ml(fit)$core, ml$core)
  d <- serial_data()
  expect_named(update(fit, residual = hetero(phase))$core$residual$natural, "late")
})

test_that("whitened rows make the model one of independent rows", {
  for (fit in list(fit_serial(), fit_both(), fit_hetero())) {
    white <- whitened_fit(fit)
    r <- structured_r(fit)
    x <- kept_x(fit)
    expect_equal(unname(crossprod(kept_x(white))), unname(crossprod(x, solve(r, x))), tolerance = 1e-11)
    noise <- cos(seq_len(n_rows(fit)))
    expect_equal(sum(whiten_rows(fit, noise)^2), sum(noise * solve(r, noise)), tolerance = 1e-11)
    expect_equal(whiten_rows(fit, whiten_rows(fit, noise), forward = FALSE), noise, tolerance = 1e-12)
    root <- whiten_rows(fit, diag(n_rows(fit)), forward = FALSE)
    expect_equal(unname(tcrossprod(root)), unname(r), tolerance = 1e-11)
    expect_equal(engine_at(white$design, TRUE, fit$core$theta)$beta, fit$core$beta, tolerance = 1e-9)
    expect_equal(residual_root(fit)^-2, diag(r), tolerance = 1e-12)
  }
  plain <- fit_sleep()
  expect_identical(whitened_fit(plain), plain)
})

test_that("the core refuses a design whose residual parameters are not known", {
  fit <- fit_serial()
  expect_error(engine_at(fit$design, TRUE, fit$core$theta), "not available", class = "hlm_error_covariance")
  expect_error(engine_evaluate(fit$design, TRUE, fit$core$theta), "not available", class = "hlm_error_covariance")
  expect_error(tree_basis(fit), "not available", class = "hlm_error_covariance")
  other <- known_design(fit)
  other$residual$parts[[1L]]$time <- other$residual$parts[[1L]]$time[-1L]
  expect_error(engine_at(other, TRUE, fit$core$theta), "number of rows", class = "hlm_error_design")
  expect_error(engine_fit(other, TRUE, fit$control), "number of rows", class = "hlm_error_design")
  expect_silent(engine_at(known_design(fit), TRUE, fit$core$theta))
})

# What every exported function and every method does with a residual structure. Right: its numbers are tested (here, in test-residual-inference.R, or it
# reads nothing that the structure changes). Refused: hlm_error_covariance. A function that is not listed fails the last test: list it.
residual_right <- c(
  "VarCorr", "anova", "as.data.frame", "augment", "bootstrap", "coef", "compare", "confint", "contest", "contextual", "deviance", "df.residual", "drop1",
  "emm_basis", "extractAIC", "family", "fitted", "fixef", "formula", "getData", "getME", "glance", "icc", "isREML", "isSingular", "level_residuals",
  "logLik", "model.frame", "model.matrix", "ngrps", "nobs", "plot", "plot_spaghetti", "plot_within_between", "predict", "print", "r2", "ranef",
  "audit", "compare_disaggregation", "johnson_neyman", "person_slopes", "plot_forest", "plot_slopes", "plot_trajectories", "reciprocal", "simple_slopes",
  "recover_data", "refit", "refit_many", "residuals",
  "sigma", "simulate", "standardize", "summary", "terms", "tidy", "update", "varcomp", "vcov", "vif", "weights",
  # no fit
  "disaggregate", "find_design", "hlm", "hlm_control", "hlm_threads", "check"
)
residual_refused <- list(
  between_correction = function(fit) between_correction(fit), check_fit = function(fit) check_fit(fit),
  cooks.distance = function(fit) cooks.distance(fit), dfbeta = function(fit) dfbeta(fit), dfbetas = function(fit) dfbetas(fit),
  hatvalues = function(fit) hatvalues(fit), influence = function(fit) influence(fit), nickell_bias = function(fit) nickell_bias(fit),
  hlm_design = function(fit) hlm_design(fit), power_hlm = function(fit) power_hlm(fit, nsim = 10),
  therapist_effects = function(fit) therapist_effects(fit), profile = function(fit) profile(fit),
  ranef_compare = function(fit) ranef_compare(fit), ranova = function(fit) ranova(fit), reliability = function(fit) reliability(fit),
  rlrt = function(fit) rlrt(fit, 1L), robust_inference = function(fit) robust_inference(fit), rstandard = function(fit) rstandard(fit),
  rstudent = function(fit) rstudent(fit), vcovCR = function(fit) vcovCR.hlm(fit),
  # methods of functions that are right otherwise
  `anova KR` = function(fit) anova(fit, ddf = "KR"), `summary KR` = function(fit) summary(fit, ddf = "Kenward-Roger"),
  `summary CR` = function(fit) summary(fit, vcov = "CR2"), `vcov CR` = function(fit) vcov(fit, type = "CR0"),
  `confint profile` = function(fit) confint(fit, method = "profile"), `varcomp expected` = function(fit) varcomp(fit, information = "expected"),
  `bootstrap cases` = function(fit) bootstrap(fit, 10, type = "cases"), `bootstrap residual` = function(fit) bootstrap(fit, 10, type = "residual"),
  `bootstrap bca` = function(fit) confint(fit, method = "boot", boot.type = "bca", nsim = 30, seed = 1),
  `plot influence` = function(fit) plot(fit, "influence"), `cooks.distance rows` = function(fit) cooks.distance(fit, level = "person"),
  `refit_many KR` = function(fit) refit_many(fit, nsim = 2, ddf = "KR"),
  `refit_many reduced` = function(fit) refit_many(fit, nsim = 2, reduced = TRUE),
  `icc exact` = function(fit) icc(fit, conf.int = TRUE, method = "exact"), check = function(fit) check(fit)
)

test_that("what is not available for a residual structure says so, and names what is", {
  for (fit in list(fit_serial(), fit_both(), fit_hetero())) {
    for (name in names(residual_refused)) {
      expect_error(suppressWarnings(residual_refused[[name]](fit)), "not available", class = "hlm_error_covariance", info = name)
    }
  }
  # what depends on which structure it is
  expect_error(r2(fit_hetero()), "not available", class = "hlm_error_covariance")
  expect_error(icc(fit_both()), "not available", class = "hlm_error_covariance")
  expect_error(r2(fit_serial(), "snijders-bosker"), "not available", class = "hlm_error_covariance")
  expect_error(icc(fit_serial(), size = 5), "not available", class = "hlm_error_covariance")
})

test_that("every export and every method has been looked at", {
  registered <- getNamespaceInfo("wbhlm", "S3methods")
  methods <- registered[registered[, 2L] == "hlm", 1L]
  known <- c(residual_right, names(residual_refused))
  exports <- grep("^[.]", getNamespaceExports("wbhlm"), value = TRUE, invert = TRUE)
  expect_setequal(setdiff(c(methods, exports), known), character())
})

test_that("without a structure a fit has nothing of it", {
  fit <- fit_sleep()
  expect_false("residual" %in% names(fit$design))
  expect_null(fit$core$residual)
  expect_null(fit$residual)
  expect_identical(known_design(fit), fit$design)
  expect_null(attr(VarCorr(fit), "residual"))
  expect_false("residual" %in% names(glance(fit)))
})
