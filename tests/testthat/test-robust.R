test_that("every type equals clubSandwich's", {
  expect_gte(length(robust_cases()), 8L)
  for (case in robust_cases()) {
    for (type in names(case$fixture$robust)) {
      expected <- as.matrix(case$fixture$robust[[type]]$vcov)
      ours <- vcov(case$fit, type = type, cluster = case$cluster)
      expect_identical(rownames(ours), case$fixture$coefficients)
      se <- sqrt(diag(expected))
      expect_within(ours, expected, 1e-6 * outer(se, se), paste(case$fixture$name, type))
    }
  }
})

# Straight from the definition (Pustejovsky & Tipton 2018, eqs. 4-8), n x n: with weights, an offset and clusters that hold several therapists,
# which clubSandwich cannot do for lmer() fits.
dense_robust <- function(fit, type, cluster) {
  parts <- dense_parts(fit)
  m <- solve(t(parts$x) %*% parts$w %*% parts$x)
  e <- parts$y - parts$x %*% (m %*% t(parts$x) %*% parts$w %*% parts$y)
  meat <- 0
  for (rows in split(seq_along(cluster), cluster)) {
    x <- parts$x[rows, , drop = FALSE]
    v <- parts$v[rows, rows]
    b <- v - x %*% m %*% t(x)
    if (type == "CR2") {
      root <- chol(v)
      s <- eigen(root %*% b %*% t(root), symmetric = TRUE)
      a <- t(root) %*% s$vectors %*% (t(s$vectors) / sqrt(s$values)) %*% root
      # the defining property
      expect_equal(a %*% b %*% a, v, tolerance = 1e-8, ignore_attr = TRUE)
    } else {
      a <- solve(diag(length(rows)) - x %*% m %*% t(x) %*% solve(v))
    }
    meat <- meat + tcrossprod(t(x) %*% solve(v) %*% a %*% e[rows])
  }
  m %*% meat %*% m
}

test_that("weights, offset, three levels and clusters above the top factor: the definition in dense algebra", {
  for (fit in list(fit_clinic(), fit_clinic_ml())) {
    for (cluster in c("therapist", "clinic")) {
      values <- clinic_data()[[cluster]]
      for (type in c("CR2", "CR3")) {
        expect_equal(vcov(fit, type = type, cluster = values), dense_robust(fit, type, values), tolerance = 1e-8, ignore_attr = TRUE)
      }
    }
  }
})

test_that("the cluster may be a bare name, a string, a formula or values; the default is the coarsest factor", {
  fit <- fit_clinic()
  expected <- vcov(fit, type = "CR2")
  expect_identical(vcov(fit, type = "CR2", cluster = therapist), expected)
  expect_identical(vcov(fit, type = "CR2", cluster = "therapist"), expected)
  expect_identical(vcov(fit, type = "cr2", cluster = ~therapist), expected)
  values <- clinic_data()$therapist
  expect_equal(vcov(fit, type = "CR2", cluster = values), expected)
  expect_equal(vcov(fit, type = "CR2", cluster = letters[values]), expected)
  expect_equal(vcov(fit, correlation = TRUE, type = "CR2"), stats::cov2cor(expected))
})

test_that("values for all rows of the data serve a fit that left some out", {
  fit <- fit_gaps()
  subjects <- sleep_gaps()$Subject
  expect_equal(vcov(fit, type = "CR2", cluster = subjects), vcov(fit, type = "CR2"))
})

test_that("clusters that cut across random effects are refused, and these are named", {
  expect_error(vcov(fit_pastes(), type = "CR2", cluster = cask), class = "hlm_error_covariance")
  expect_error(vcov(fit_clinic(), type = "CR2", cluster = "patient"), "therapist", class = "hlm_error_covariance")
  expect_error(vcov(fit_penicillin(), type = "CR1"), class = "hlm_error_covariance")
})

test_that("what cannot be clusters is refused", {
  fit <- fit_clinic()
  n <- nobs(fit)
  expect_error(vcov(fit, type = "CR9"), class = "hlm_error_data")
  expect_error(vcov(fit, type = "CR2", cluster = "ward"), "ward", class = "hlm_error_data")
  expect_error(vcov(fit, type = "CR2", cluster = 1:3), class = "hlm_error_data")
  expect_error(vcov(fit, type = "CR2", cluster = c(NA, rep(1, n - 1))), class = "hlm_error_data")
  expect_error(vcov(fit, type = "CR2", cluster = rep(1, n)), class = "hlm_error_data")
  expect_error(vcov(fit, type = "CR1p", cluster = rep(1:2, length.out = n)[order(order(clinic_data()$therapist))]), class = "hlm_error")
})

test_that("CR3 that does not exist says so; CR2 is defined there", {
  # Synthetic: only patient 1 ever has z = 1.
  d <- synthetic_sessions()
  d$z <- as.numeric(d$patient == 1)
  fit <- hlm(y ~ z + (1 | patient), d)
  expect_error(vcov(fit, type = "CR3"), "1", class = "hlm_error_numerical")
  v <- vcov(fit, type = "CR2")
  expect_true(all(is.finite(v)))
})

test_that("units do not matter", {
  d <- lme4::sleepstudy
  d$seconds <- 1.6e9 + 86400 * d$Days
  d$small <- d$Reaction * 1e-6
  plain <- robust_inference(hlm(Reaction ~ Days + (Days | Subject), d))
  scaled <- robust_inference(hlm(small ~ seconds + (seconds | Subject), d))
  expect_equal(scaled$vcov[2, 2] * (86400 / 1e-6)^2, plain$vcov[2, 2], tolerance = 1e-6)
  expect_equal(scaled$df(c(0, 1)), plain$df(c(0, 1)), tolerance = 1e-6)
})

test_that("clubSandwich's generic gives the same matrix", {
  skip_if_not_installed("clubSandwich")
  fit <- fit_sleep()
  v <- clubSandwich::vcovCR(fit, type = "CR2")
  expect_equal(as.matrix(v), vcov(fit, type = "CR2"), ignore_attr = TRUE)
  expect_s3_class(v, "vcovCR")
  clinics <- clinic_data()$clinic
  above <- clubSandwich::vcovCR(fit_clinic(), cluster = clinics, type = "CR1")
  expect_equal(as.matrix(above), vcov(fit_clinic(), type = "CR1", cluster = clinics), ignore_attr = TRUE)
  expect_error(clubSandwich::vcovCR(fit, type = "CR2", target = diag(180)), class = "hlm_error_data")
})
