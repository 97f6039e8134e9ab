test_that("tidy() has broom.mixed's rows, names and values", {
  skip_without_lme4()
  skip_if_not_installed("broom.mixed")
  for (pair in every_pair()) {
    for (effects in c("fixed", "ran_pars", "ran_vals", "ran_coefs")) {
      ours <- as.data.frame(tidy(pair[[1L]], effects = effects))
      theirs <- suppressWarnings(as.data.frame(tidy(pair[[2L]], effects = effects)))
      shared <- intersect(names(ours), names(theirs))
      expect_true(all(c("effect", "term", "estimate") %in% shared))
      order <- function(x) do.call(base::order, x[intersect(c("group", "level", "term"), names(x))])
      ours <- ours[order(ours), shared]
      theirs <- theirs[order(theirs), shared]
      expect_equal(ours, theirs, tolerance = 1e-3, ignore_attr = TRUE)
    }
    both <- tidy(pair[[1L]])
    theirs <- suppressWarnings(tidy(pair[[2L]]))
    expect_equal(names(both), names(theirs))
    expect_equal(both$term, theirs$term)
  }
})

test_that("confidence limits are those of confint()", {
  fit <- fit_therapy()
  table <- tidy(fit, effects = "fixed", conf.int = TRUE, conf.level = 0.9)
  expect_equal(unname(cbind(table$conf.low, table$conf.high)), unname(confint(fit, level = 0.9, method = "Wald")))
  values <- tidy(fit, effects = "ran_vals", conf.int = TRUE)
  expect_equal(values$conf.high - values$estimate, stats::qnorm(0.975) * values$std.error)
})

test_that("variances can be asked for instead of standard deviations", {
  fit <- fit_therapy()
  table <- tidy(fit, effects = "ran_pars", scales = "vcov")
  expect_equal(table$estimate[table$term == "var__Observation"], sigma(fit)^2)
  expect_true("cov__(Intercept).alliance_within" %in% table$term)
  expect_error(tidy(fit, effects = "everything"), class = "hlm_error_data")
  expect_error(tidy(fit, conf.method = "exact"), class = "hlm_error_data")
})

test_that("standard errors of the random-effect parameters come with conf.int, from varcomp()", {
  fit <- fit_therapy()
  expect_false("std.error" %in% names(tidy(fit, effects = "ran_pars")))
  table <- tidy(fit, effects = "ran_pars", conf.int = TRUE, conf.level = 0.9)
  components <- varcomp(fit, scale = "sd", level = 0.9)
  # broom.mixed's order is column by column, varcomp()'s has correlations last
  place <- c(1, 3, 2, 4, 5)
  expect_equal(table$std.error, components$std.error[place])
  expect_equal(table$conf.low, components$lower[place])
  variances <- tidy(fit, effects = "ran_pars", conf.int = TRUE, scales = "vcov")
  expect_equal(variances$conf.high, varcomp(fit)$upper[place])
  both <- tidy(fit, conf.int = TRUE)
  expect_false(anyNA(both$std.error))
})

test_that("glance() is broom.mixed's row", {
  skip_without_lme4()
  skip_if_not_installed("broom.mixed")
  expect_equal(as.data.frame(glance(fit_sleep())), as.data.frame(glance(ref_sleep())), tolerance = 1e-6)
  ml <- glance(update(fit_sleep(), REML = FALSE))
  expect_true("deviance" %in% names(ml))
})

test_that("augment() adds fitted values and residuals to the data", {
  skip_without_lme4()
  skip_if_not_installed("broom.mixed")
  ours <- augment(fit_sleep())
  theirs <- augment(ref_sleep())
  for (name in c("Reaction", "Days", ".fitted", ".resid", ".fixed")) {
    expect_equal(unname(ours[[name]]), unname(theirs[[name]]), tolerance = 1e-5)
  }
  padded <- augment(fit_gaps())
  expect_equal(nrow(padded), 180)
  expect_true(is.na(padded$.fitted[[4]]))
  expect_equal(padded$.weights[[1]], 1)
  new <- data.frame(Days = 1:2, Subject = "308")
  expect_equal(augment(fit_sleep(), newdata = new)$.fitted, unname(predict(fit_sleep(), new)))
  expect_equal(nrow(augment(fit_sleep(), data = lme4::sleepstudy)), 180)
  expect_error(augment(fit_sleep(), data = lme4::sleepstudy[1:3, ]), class = "hlm_error_data")
})

test_that("limits come from the method asked for", {
  fit <- fit_therapy()
  profiled <- tidy(fit, conf.int = TRUE, conf.method = "profile", conf.level = 0.9)
  exact <- confint(fit, level = 0.9, method = "profile")
  fixed <- profiled[profiled$effect == "fixed", ]
  expect_equal(unname(cbind(fixed$conf.low, fixed$conf.high)), unname(exact[fixed$term, ]))
  random <- profiled[profiled$effect == "ran_pars", ]
  theta <- confint(fit, "theta_", level = 0.9, method = "profile")
  expect_equal(random$conf.low[random$term == "sd__Observation"], theta[["sigma", 1L]])
  expect_true(all(random$conf.low <= random$estimate & random$estimate <= random$conf.high))
  variances <- tidy(fit, "ran_pars", conf.int = TRUE, conf.method = "profile", scales = "vcov")
  expect_equal(is.na(variances$conf.low), startsWith(variances$term, "cov__"))
  booted <- tidy(fit, "fixed", conf.int = TRUE, conf.method = "boot", nsim = 100, seed = 3)
  expect_equal(booted$conf.low, unname(confint(fit, "beta_", method = "boot", nsim = 100, seed = 3)[, 1L]))
})

test_that("a model without fixed effects is printed and tidied", {
  fit <- hlm(distress ~ 0 + (1 | patient), therapy_data())
  expect_output(print(fit), "none")
  expect_output(print(summary(fit)), "none")
  expect_equal(nrow(tidy(fit, "fixed")), 0L)
})
