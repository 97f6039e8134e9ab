# Generalised least squares without some rows, theta held, in dense algebra.
dense_without <- function(fit, rows) {
  parts <- dense_parts(fit)
  keep <- setdiff(seq_along(parts$y), rows)
  x <- parts$x[keep, , drop = FALSE]
  w <- solve(parts$v[keep, keep])
  m <- solve(t(x) %*% w %*% x)
  beta <- drop(m %*% t(x) %*% w %*% parts$y[keep])
  e <- parts$y[keep] - x %*% beta
  nu <- length(keep) - if (isTRUE(fit$REML)) ncol(x) else 0
  sigma <- sqrt(drop(t(e) %*% w %*% e) / nu)
  list(beta = beta, vcov = sigma^2 * m, sigma = sigma)
}

test_that("with theta held, leaving a group out is exact generalised least squares", {
  cases <- list(
    list(fit_clinic(), "patient"), list(fit_clinic(), "therapist"), list(fit_clinic_ml(), "patient"), list(fit_clinic_ml(), "therapist"),
    list(fit_clinic(), "row"), list(fit_gaps(), "Subject"), list(fit_pastes(), "batch"), list(fit_penicillin(), "plate")
  )
  for (case in cases) {
    fit <- case[[1L]]
    found <- influence(fit, level = case[[2L]], method = "fixed")
    unit <- wbhlm:::resolve_unit(fit, case[[2L]])
    full <- vcov(fit)
    p <- ncol(full)
    for (j in c(1L, 2L, length(unit$labels))) {
      expected <- dense_without(fit, which(unit$codes == j))
      expect_equal(found$fixef[j, ], expected$beta, tolerance = 1e-10, ignore_attr = TRUE)
      expect_equal(found$se[j, ], sqrt(diag(expected$vcov)), tolerance = 1e-10, ignore_attr = TRUE)
      expect_equal(found$sigma[[j]], expected$sigma, tolerance = 1e-10)
      change <- fixef(fit) - expected$beta
      expect_equal(found$groups$cooks.distance[[j]], drop(change %*% solve(full) %*% change) / p, tolerance = 1e-8)
      expect_equal(found$groups$covratio[[j]], det(expected$vcov) / det(full), tolerance = 1e-8)
      expect_equal(found$groups$covtrace[[j]], abs(sum(diag(solve(full) %*% expected$vcov)) - p), tolerance = 1e-6)
    }
    expect_equal(found$theta[1L, ], fit$core$theta, ignore_attr = TRUE)
  }
})

test_that("the gradient of the remaining criterion is the core's", {
  for (fit in list(fit_clinic(), fit_clinic_ml(), fit_gaps())) {
    unit <- wbhlm:::resolve_unit(fit, NULL)
    found <- wbhlm:::delete_by_tree(fit, unit, wbhlm:::tree_of(fit, unit), TRUE)
    for (j in c(1L, 5L)) {
      reduced <- wbhlm:::design_without(fit$design, which(unit$codes == j))
      expected <- wbhlm:::engine_evaluate(reduced, isTRUE(fit$REML), fit$core$theta, 1L)$gradient
      expect_equal(found$gradient[j, ], expected, tolerance = 1e-8)
    }
  }
})

test_that("the exact method is a fit without the group", {
  found <- influence(fit_sleep(), method = "exact")
  without <- hlm(Reaction ~ Days + (Days | Subject), subset(lme4::sleepstudy, Subject != "332"))
  expect_equal(found$fixef["332", ], fixef(without), tolerance = 1e-7)
  expect_equal(found$se["332", ], sqrt(diag(vcov(without))), tolerance = 1e-6)
  expect_equal(found$varcomp["332", c(1, 3, 2, 4)], as.data.frame(VarCorr(without))$vcov, tolerance = 1e-5, ignore_attr = TRUE)
  expect_equal(found$sigma[["332"]], sigma(without), tolerance = 1e-6)
})

test_that("one step comes much closer to the exact deletion than theta held", {
  for (level in c("patient", "therapist")) {
    exact <- influence(fit_clinic(), level = level, method = "exact")
    step <- influence(fit_clinic(), level = level)
    fixed <- influence(fit_clinic(), level = level, method = "fixed")
    off <- function(x, part) sqrt(mean((x[[part]] - exact[[part]])^2))
    for (part in c("fixef", "se", "theta", "sigma", "varcomp")) expect_lt(off(step, part), 0.5 * off(fixed, part))
    expect_equal(step$groups$cooks.distance, exact$groups$cooks.distance, tolerance = 0.1)
    expect_gt(stats::cor(step$groups$covratio, exact$groups$covratio), 0.95)
  }
})

test_that("nested and one-by-one deletion agree", {
  fit <- fit_clinic()
  unit <- wbhlm:::resolve_unit(fit, "patient")
  one_by_one <- wbhlm:::new_influence(fit, unit, "fixed", wbhlm:::delete_by_engine(fit, unit, "fixed"))
  at_once <- influence(fit, level = patient, method = "fixed")
  expect_equal(at_once, one_by_one, tolerance = 1e-8)
  # therapists are independent: their shares add up to the number of coefficients
  expect_equal(sum(influence(fit, level = therapist)$groups$leverage), 4, tolerance = 1e-10)
})

test_that("a level that cuts across the nesting is left out group by group", {
  d <- therapy_data()
  fit <- hlm(distress ~ session + alliance + (1 | patient), d)
  found <- influence(fit, level = "session", method = "fixed")
  expected <- dense_without(fit, which(fit$data$session[fit$rows] == 2))
  expect_equal(found$fixef["2", ], expected$beta, tolerance = 1e-9, ignore_attr = TRUE)
})

test_that("where a coefficient cannot be estimated without a group, that is said", {
  d <- synthetic_sessions()
  d$z <- as.numeric(d$patient == 3)
  fit <- hlm(y ~ x + z + (1 | patient), d)
  for (method in c("fixed", "exact")) {
    found <- influence(fit, method = method)
    expect_identical(found$groups$group[!found$groups$estimable], "3")
    expect_true(is.na(cooks.distance(found)[["3"]]))
    expect_true(all(is.finite(cooks.distance(found)[setdiff(found$groups$group, "3")])))
  }
  expect_output(print(influence(fit)), "Without 3 some coefficients")
})

test_that("boundary fits keep their zero, one step does not make variances negative", {
  d <- if (requireNamespace("lme4", quietly = TRUE)) lme4::Dyestuff2 else skip("lme4")
  found <- influence(hlm(Yield ~ 1 + (1 | Batch), d))
  expect_identical(unname(found$theta[, 1L]), rep(0, 6))
  expect_true(all(is.finite(found$groups$cooks.distance)))
})

test_that("unknown levels are refused", {
  expect_error(influence(fit_sleep(), level = "clinic"), class = "hlm_error_data")
  expect_error(influence(fit_sleep(), level = 3), class = "hlm_error_data")
  expect_error(influence(hlm(y ~ 0 + (1 | patient), clinic_data())), class = "hlm_error_design")
})

test_that("10,000 persons take seconds", {
  skip_on_cran()
  n <- 10000L
  d <- data.frame(p = rep(seq_len(n), each = 10L))
  i <- seq_len(nrow(d))
  d$x <- sin(i * 1.7) + cos(d$p)
  d$y <- d$x + sin(i * 12.9898) * 2 + cos(d$p * 7.3) * (1 + d$x)
  fit <- hlm(y ~ x + (x | p), d)
  expect_lt(system.time(influence(fit))[["elapsed"]], 15)
})
