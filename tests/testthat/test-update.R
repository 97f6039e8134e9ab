test_that("update() changes formula and arguments as a fresh fit would", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  smaller <- update(fit, . ~ . - Days, REML = FALSE)
  fresh <- hlm(Reaction ~ (Days | Subject), lme4::sleepstudy, REML = FALSE)
  expect_equal(smaller$core, fresh$core)
  expect_false(isREML(smaller))
  expect_equal(deparse1(formula(smaller)), "Reaction ~ (Days | Subject)")
  expect_true(is.call(update(fit, . ~ 1 + (1 | Subject), evaluate = FALSE)))
})

test_that("peers: update() works after the data were removed (panelr, lme4)", {
  make <- function() {
    local_data <- therapy_data()
    hlm(distress ~ session + wb(alliance) + (1 | patient), local_data, time = session)
  }
  fit <- make()
  expect_false(exists("local_data"))
  expect_equal(fixef(update(fit, . ~ . - session)), fixef(hlm(distress ~ wb(alliance) + (1 | patient), therapy_data())))
  expect_equal(names(fixef(update(fit, . ~ . - wb(alliance) + within(alliance)))), c("(Intercept)", "session", "alliance_within"))
  expect_error(update(fit, . ~ . + female), class = "hlm_error_data")
  expect_true("female" %in% names(fixef(update(fit, . ~ . + female, data = therapy_data()))))
})

test_that("a new variable is taken from the original data when its rows are unchanged", {
  d <- therapy_data()
  fit <- hlm(distress ~ session + (1 | patient), d, subset = session > 1)
  bigger <- update(fit, . ~ . + female)
  fresh <- hlm(distress ~ session + female + (1 | patient), d, subset = session > 1)
  expect_equal(bigger$core, fresh$core)
  d$session <- rev(d$session)
  expect_error(update(fit, . ~ . + female), "no longer", class = "hlm_error_data")
})

test_that("subset, weights, offset and na.action are kept", {
  skip_if_not_installed("lme4")
  fit <- fit_gaps()
  same <- update(fit, . ~ .)
  expect_equal(same$core, fit$core)
  expect_equal(weights(same), weights(fit))
  expect_length(fitted(same), 180)
  fresh <- hlm(Reaction ~ 1 + (Days || Subject), sleep_gaps(), weights = w, offset = known)
  expect_equal(update(fit, . ~ . - Days)$core$criterion, fresh$core$criterion)
  d <- therapy_data()
  part <- hlm(distress ~ session + (1 | patient), d, subset = therapist < 5)
  expect_equal(nobs(update(part, REML = FALSE)), nobs(part))
  expect_equal(nobs(update(part, subset = session > 2)), nobs(hlm(distress ~ 1 + (1 | patient), d, subset = therapist < 5 & session > 2)))
  # In new data the subset is taken anew.
  expect_equal(nobs(update(part, data = rbind(d, d))), 2 * nobs(part))
})

test_that("the call of an updated fit can be read, and updated again", {
  skip_if_not_installed("lme4")
  fit <- update(update(fit_sleep(), REML = FALSE), . ~ . - Days)
  expect_false(isREML(fit))
  expect_lt(nchar(deparse1(fit$call)), 200)
})

test_that("constants of the formula and NULL arguments survive an update", {
  d <- synthetic_sessions()
  made <- function() {
    scale_by <- 2
    hlm(y ~ wb(x) + I(w * scale_by) + (1 | patient), d)
  }
  fit <- made()
  expect_equal(fixef(update(fit, REML = FALSE)), fixef(as_ml(fit)))
  expect_equal(fixef(update(fit, weights = NULL)), fixef(fit))
})
