varcomp_key <- function(rows) paste(rows$group, rows$var1, rows$var2)

test_that("standard errors agree with numerical Hessians of lme4's deviance, nlme's apVar and glmmTMB's sdreport", {
  # nlme and glmmTMB: their own scales, by the delta method; the values of one model are distinct, so sorting pairs them.
  files <- fixture_files("^varcomp-.*[.]json$")
  expect_gt(length(files), 20L)
  for (file in files) {
    fixture <- read_fixture(file)
    data <- fixture_data(fixture)
    if (is.null(data)) next
    fit <- fixture_fit(fixture, data)
    numeric <- fixture$numeric
    for (scale in c("variance", "sd")) {
      ours <- varcomp(fit, scale = scale)
      place <- match(varcomp_key(ours), varcomp_key(numeric))
      expect_false(anyNA(place))
      se <- numeric[[paste0("se_", scale)]][place]
      inside <- !is.na(ours$std.error)
      # Where we have no standard error the variance is zero: lme4's is below 1e-6 of the residual one there.
      expect_true(all(numeric$estimate[place][!inside] < 1e-6 * stats::sigma(fit)^2))
      expect_within(ours$std.error[inside], se[inside], 1e-4 * se[inside], paste(fixture$name, scale))
    }
    lone <- is.na(ours$var2)
    if (!is.null(fixture$nlme)) {
      own <- sort(c((ours$std.error / ours$estimate)[lone], (2 * ours$std.error / (1 - ours$estimate^2))[!lone]))
      expect_within(own, sort(fixture$nlme$se), 1e-4 * own, paste(fixture$name, "nlme"))
    }
    if (!is.null(fixture$glmmTMB)) {
      double <- ifelse(ours$group == "Residual", 2, 1)
      own <- sort(c((double * ours$std.error / ours$estimate)[lone], (ours$std.error / (1 - ours$estimate^2)^1.5)[!lone]))
      expect_within(own, sort(fixture$glmmTMB$se), 1e-4 * own, paste(fixture$name, "glmmTMB"))
    }
  }
})

test_that("rows are those of VarCorr(), on both scales", {
  skip_if_not_installed("lme4")
  for (fit in every_fit()) {
    reference <- as.data.frame(VarCorr(fit))
    for (scale in c("variance", "sd")) {
      table <- varcomp(fit, scale = scale)
      expect_equal(table$estimate, reference[[if (scale == "sd") "sdcor" else "vcov"]])
      expect_equal(varcomp_key(table), paste(reference$grp, reference$var1, reference$var2))
      expect_true(all(table$lower < table$estimate & table$estimate < table$upper))
      expect_true(all(is.na(table$note)))
    }
  }
})

test_that("limits: logarithm for variances, Fisher's z for correlations, and the two scales agree", {
  skip_if_not_installed("lme4")
  variance <- varcomp(fit_sleep(), level = 0.9)
  sd <- varcomp(fit_sleep(), scale = "sd", level = 0.9)
  lone <- is.na(variance$var2)
  expect_equal(sd$lower[lone], sqrt(variance$lower[lone]))
  expect_equal(sd$upper[lone], sqrt(variance$upper[lone]))
  z <- stats::qnorm(0.95)
  expect_equal(log(variance$upper / variance$estimate)[lone], (z * variance$std.error / variance$estimate)[lone])
  expect_equal(atanh(sd$upper[!lone]) - atanh(sd$estimate[!lone]), z * sd$std.error[!lone] / (1 - sd$estimate[!lone]^2))
})

test_that("balanced one-way data: the textbook variances (Searle, Casella & McCulloch 1992, section 3.6)", {
  skip_if_not_installed("lme4")
  # REML with an interior optimum, J groups of n: var(s2) = 2 s2^2 / (J (n - 1)), var(tau) = 2 / n^2 ((s2 + n tau)^2 / (J - 1) + s2^2 / (J (n - 1)))
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff)
  v <- as.data.frame(VarCorr(fit))$vcov
  expected <- sqrt(c(2 / 25 * ((v[2] + 5 * v[1])^2 / 5 + v[2]^2 / 24), 2 * v[2]^2 / 24))
  expect_equal(varcomp(fit)$std.error, expected, tolerance = 1e-6)
  expect_equal(varcomp(fit, information = "expected")$std.error, expected, tolerance = 1e-6)
})

test_that("a zero variance has no standard error, the others those of the model without it", {
  fit <- fit_slope_boundary()
  smaller <- hlm(y ~ x + (1 | g), fit$data)
  for (information in c("observed", "expected")) {
    table <- varcomp(fit, information = information)
    expect_identical(table$estimate[[2]], 0)
    expect_true(all(is.na(table[2, c("std.error", "lower", "upper")])))
    expect_match(table$note[[2]], "estimated as zero")
    expect_equal(table$std.error[-2], varcomp(smaller, information = information)$std.error, tolerance = 1e-5)
  }
  expect_true(is.na(varcomp(fit, scale = "sd")$std.error[[2]]))
})

test_that("with every variance zero the residual one is that of a regression", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  table <- varcomp(fit)
  expect_true(is.na(table$std.error[[1]]))
  # var(s2) = 2 s2^2 / (n - p)
  expect_equal(table$std.error[[2]], sqrt(2 * sigma(fit)^4 / 29), tolerance = 1e-8)
})

test_that("a correlation of +-1: standard errors along the face, none for the correlation", {
  fit <- fit_correlation_boundary()
  expect_identical(fit$core$theta[[3]], 0)
  # On the face Sigma = s (a, b)(a, b)': parameters a, b, sigma. Observed: the Hessian without the third element of theta.
  hessian <- dense_satterthwaite_hessian(fit)[c(1, 2, 4), c(1, 2, 4)]
  a <- fit$core$theta[[1]]
  b <- fit$core$theta[[2]]
  s <- sigma(fit)
  jacobian <- rbind(c(2 * s^2 * a, 0, 2 * s * a^2), c(0, 2 * s^2 * b, 2 * s * b^2), c(s^2 * b, s^2 * a, 2 * s * a * b), c(0, 0, 2 * s))
  expected <- sqrt(diag(jacobian %*% (2 * solve(hessian)) %*% t(jacobian)))
  table <- varcomp(fit)
  expect_equal(table$std.error, expected, tolerance = 1e-6)
  expect_match(table$note[1:3], "boundary")
  expect_true(is.na(table$note[[4]]))
  # Expected: information about (Sigma, sigma^2) along the same directions.
  frame <- jacobian[c(1, 3, 2, 4), ]
  information <- crossprod(frame, dense_information_of(fit) %*% frame)
  along <- sqrt(diag(frame %*% solve(information) %*% t(frame)))[c(1, 3, 2, 4)]
  expect_equal(varcomp(fit, information = "expected")$std.error, along, tolerance = 1e-6)
  sd <- varcomp(fit, scale = "sd")
  expect_equal(abs(sd$estimate[[3]]), 1)
  expect_true(is.na(sd$std.error[[3]]))
  expect_match(sd$note[[3]], "[+]1 or -1")
  expect_equal(sd$std.error[1:2], expected[1:2] / (2 * sd$estimate[1:2]), tolerance = 1e-6)
})

test_that("a fit that did not converge has no standard errors and says why", {
  fit <- fit_therapy()
  fit$core$status <- "failed"
  table <- varcomp(fit)
  expect_true(all(is.na(table$std.error)))
  expect_match(table$note, "did not converge")
})

test_that("the covariance matrix of the components comes along", {
  skip_if_not_installed("lme4")
  table <- varcomp(fit_sleep())
  expect_equal(sqrt(diag(attr(table, "vcov")))[c(1, 3, 2, 4)], table$std.error)
})

test_that("arguments are checked", {
  expect_error(varcomp(fit_therapy(), level = 95), class = "hlm_error_data")
  expect_error(varcomp(fit_therapy(), information = "none"))
})

test_that("printing is readable", {
  skip_if_not_installed("lme4")
  expect_output(print(varcomp(fit_sleep(), scale = "sd")), "cor\\(\\(Intercept\\), Days\\) +0[.]06555")
  expect_output(print(varcomp(fit_slope_boundary())), "\\[1\\] estimated as zero")
})

test_that("predictors that were left out and models without predictors change nothing", {
  skip_if_not_installed("lme4")
  d <- transform(lme4::sleepstudy, twice = 2 * Days)
  aliased <- suppressMessages(hlm(Reaction ~ Days + twice + (Days | Subject), d))
  for (information in c("observed", "expected")) {
    expect_equal(varcomp(aliased, information = information)$std.error, varcomp(fit_sleep(), information = information)$std.error, tolerance = 1e-6)
  }
  none <- hlm(Reaction ~ 0 + (1 | Subject), d)
  expect_equal(attr(varcomp(none, information = "expected"), "vcov"), solve(dense_information_none(none)), tolerance = 1e-7)
})
