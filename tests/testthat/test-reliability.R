test_that("two levels: Raudenbush & Bryk's formula over persons' own regressions", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  v <- sigma(fit)^2 * diag(solve(crossprod(cbind(1, 0:9))))
  tau <- diag(VarCorr(fit)$Subject)
  table <- reliability(fit)
  expect_equal(table$reliability, unname(tau / (tau + v)))
  expect_equal(table$used, c(18L, 18L))
  expect_equal(table$variance, unname(tau))
})

test_that("own estimates are each person's regression", {
  skip_if_not_installed("lme4")
  table <- ranef_compare(fit_sleep())
  lists <- lme4::lmList(Reaction ~ Days | Subject, lme4::sleepstudy)
  expect_equal(table$ols, as.vector(as.matrix(coef(lists))) - rep(unname(fixef(fit_sleep())), each = 18), tolerance = 1e-8)
  long <- as.data.frame(ranef(fit_sleep()))
  expect_equal(table$eb, long$condval)
  expect_equal(table$eb_se, long$condsd)
  expect_identical(table$level, as.character(long$grp))
  expect_identical(table$n, rep(10L, 36))
  # Balanced, one effect: empirical Bayes is the own estimate times the reliability.
  fit <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  one <- ranef_compare(fit)
  expect_equal(one$eb, one$ols * reliability(fit)$reliability, tolerance = 1e-8)
})

test_that("three levels, balanced: the textbook reliabilities (Raudenbush & Bryk 2002, eqs. 8.11 and 8.12)", {
  skip_if_not_installed("lme4")
  fit <- fit_pastes()
  v <- as.data.frame(VarCorr(fit))$vcov
  # 10 batches of 3 casks of 2 assays
  expect_equal(reliability(fit)$reliability, c(v[1] / (v[1] + v[3] / 2), v[2] / (v[2] + v[1] / 3 + v[3] / 6)), tolerance = 1e-8)
  means <- tapply(lme4::Pastes$strength, lme4::Pastes$batch, mean) - fixef(fit)
  table <- ranef_compare(fit, "batch")
  expect_equal(table$ols, as.vector(means), tolerance = 1e-8)
  expect_equal(table$eb, table$ols * reliability(fit)$reliability[[2]], tolerance = 1e-7)
})

test_that("unbalanced nested levels with slopes, weights and crossed factors agree with dense matrices", {
  skip_if_not_installed("lme4")
  d <- therapy_data()[-c(1:4, 90, 150:152), ]
  d$w <- rep(c(1, 0.5, 2), length.out = nrow(d))
  nested <- hlm(
    distress ~ session + wb(alliance) + (1 + within(alliance) | patient) + (1 + session | therapist), d, id = patient, weights = w
  )
  cases <- list(
    list(fit = nested, g = 1L, inside = integer()), list(fit = nested, g = 2L, inside = 1L), list(fit = fit_penicillin(), g = 1L, inside = integer()),
    list(fit = fit_penicillin(), g = 2L, inside = integer()), list(fit = fit_gaps(), g = 1L, inside = integer())
  )
  for (case in cases) {
    ours <- own_estimates(case$fit, case$g)
    expect_identical(inner_factors(case$fit$design, case$g), case$inside)
    for (j in sample_levels(nrow(ours$estimate))) {
      if (anyNA(ours$estimate[j, ])) next
      dense <- dense_own_level(case$fit, case$g, case$inside, j)
      expect_equal(ours$estimate[j, ], unname(dense$estimate), tolerance = 1e-6)
      expect_equal(ours$variance[j, ], unname(dense$variance), tolerance = 1e-6)
    }
  }
})

test_that("persons without an estimate of their own get NA and are counted", {
  d <- therapy_data()
  d <- d[!(d$patient == 3 & d$session > 1) & !(d$patient == 7 & d$session != 2), ]
  fit <- hlm(distress ~ session + (session | patient), d)
  # patients 3 and 7 have one session: no slope
  table <- ranef_compare(fit)
  expect_equal(attr(table, "without_ols"), 2L)
  lost <- table$level %in% c("3", "7")
  expect_true(all(is.na(table$ols[lost]) & is.na(table$ols_se[lost])))
  expect_false(anyNA(table$ols[!lost]))
  expect_false(anyNA(table$eb))
  expect_equal(reliability(fit)$used, c(38L, 38L))
  expect_output(print(table), "2 of 40 have too few rows")
})

test_that("a variance of zero has reliability zero", {
  skip_if_not_installed("lme4")
  expect_equal(reliability(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))$reliability, 0)
})

test_that("ten thousand persons take seconds", {
  d <- withr::with_seed(1, data.frame(g = rep(1:10000, each = 10), x = rep(1:10, 10000)))
  d$y <- withr::with_seed(2, stats::rnorm(1e4)[d$g] + stats::rnorm(1e4, sd = 0.2)[d$g] * d$x + stats::rnorm(1e5))
  fit <- hlm(y ~ x + (x | g), d)
  seconds <- system.time({
    table <- ranef_compare(fit)
    reliability(fit)
    varcomp(fit, information = "expected")
  })[["elapsed"]]
  expect_equal(nrow(table), 20000L)
  expect_lt(seconds, 20)
})

test_that("unknown groups are refused, printing is readable", {
  expect_error(ranef_compare(fit_therapy(), "clinic"), class = "hlm_error_data")
  expect_error(ranef_compare(stats::lm(dist ~ speed, cars)), class = "hlm_error_data")
  expect_output(print(reliability(fit_therapy())), "patient +\\(Intercept\\) +0[.][0-9]+ +40 of 40")
  expect_output(print(ranef_compare(fit_therapy()), n = 3), "77 more rows")
})
