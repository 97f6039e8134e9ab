# The analyses of processes in models with a residual structure.

ar_reciprocal <- function() fit_once("ar_reciprocal", function() {
  suppressMessages(suppressWarnings(reciprocal(
    implement, wai, bai, id, session, lags = c(xy = 1, yx = 0), covariates = session, residual = "ar1"
  )))
})

test_that("reciprocal() hands the structure to both models", {
  both <- ar_reciprocal()
  hand <- list(
    xy = suppressWarnings(hlm(
      bai ~ wb(lagged(wai)) + lagged(bai) + session + (1 + within(lagged(wai)) | id), implement, time = session, residual = "ar1"
    )),
    yx = suppressWarnings(hlm(wai ~ wb(bai) + lagged(wai) + session + (1 + within(bai) | id), implement, time = session, residual = "ar1"))
  )
  for (way in names(hand)) {
    fit <- both$fits[[way]]
    expect_equal(fit$core$criterion, hand[[way]]$core$criterion, tolerance = 1e-10)
    expect_equal(fixef(fit)[names(fixef(hand[[way]]))], fixef(hand[[way]]), tolerance = 1e-5)
    expect_equal(fit$core$residual$free, hand[[way]]$core$residual$free, tolerance = 1e-4)
  }
  # formulas for independent residuals are not shown
  expect_true(all(vapply(both$nickell, is.null, NA)))
  expect_error(nickell_bias(both$fits$xy), "not available", class = "hlm_error_covariance")
})

test_that("the test of the difference takes each person's correlated rows together", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, residual = "ar1"))
  made <- list(fit = fit, roles = list(within = "wai_within"))
  psi <- cross_influence(made, default_cluster(fit))
  # s e'M X_j'V_j^-1 e_j by dense algebra; the weights s are one number here
  x <- as.matrix(getME(fit, "X"))
  z <- as.matrix(getME(fit, "Z")) %*% as.matrix(getME(fit, "Lambda"))
  root <- whiten_rows(fit, diag(n_rows(fit)), forward = FALSE)
  inverse <- solve(tcrossprod(z) + tcrossprod(root))
  m <- solve(crossprod(x, inverse %*% x))
  e <- drop(fit$design$y - x %*% fixef(fit))
  pull <- drop(inverse %*% e)
  code <- fit$design$groups[[1L]]$codes
  dense <- drop(rowsum(x * pull, code) %*% m[, colnames(x) == "wai_within"])
  expect_equal(unname(psi), unname(dense * sum(cross_weights(fit, "wai_within"))), tolerance = 1e-6)
})

test_that("a bootstrap of persons is refused, the scores are not", {
  expect_error(
    suppressWarnings(reciprocal(implement, wai, bai, id, session, residual = "ar1", test = "bootstrap", nsim = 10, seed = 1)), "not available",
    class = "hlm_error_covariance"
  )
  expect_true(all(is.finite(ar_reciprocal()$difference$std.error)))
})

test_that("variants of the split keep the structure", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, residual = "ar1"))
  table <- as.data.frame(compare_disaggregation(fit, variants = "detrend_x_time"))
  hand <- suppressWarnings(hlm(bai ~ session + wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session, residual = "ar1"))
  row <- table[table$effect == "within" & table$x == "detrend" & table$time, ]
  expect_equal(row$estimate, fixef(hand)[["wai_within"]], tolerance = 1e-5)
  expect_equal(row$std.error, sqrt(vcov(hand)["wai_within", "wai_within"]), tolerance = 1e-5)
})

test_that("slopes of persons have the standard errors of the correlated rows", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (0 + within(wai) | id), implement, time = session, residual = "ar1"))
  slopes <- as.data.frame(person_slopes(fit))
  white <- whitened_fit(fit)
  x <- as.matrix(getME(white, "X"))
  z <- as.matrix(getME(white, "Z"))
  g <- sigma(fit)^2 * fit$core$theta^2
  c_inv <- rbind(cbind(crossprod(x), crossprod(x, z)), cbind(crossprod(z, x), crossprod(z) + diag(sigma(fit)^2 / g, ncol(z))))
  c_matrix <- sigma(fit)^2 * solve(c_inv)
  place <- which(colnames(x) == "wai_within")
  l <- cbind(matrix(as.double(seq_len(ncol(x)) == place), ncol(z), ncol(x), byrow = TRUE), diag(ncol(z)))
  expect_equal(slopes$se, sqrt(diag(l %*% c_matrix %*% t(l))), tolerance = 1e-6)
})
