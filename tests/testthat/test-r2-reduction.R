test_that("Nakagawa's R squared is performance's", {
  skip_if_not_installed("lme4")
  reference <- r2_reference()$nakagawa
  fits <- list(sleep = fit_sleep(), two = fit_implement_two(), pastes = fit_pastes(), penicillin = fit_penicillin(), cake = fit_cake())
  for (name in names(fits)) {
    r <- r2(fits[[name]], "nakagawa")
    expect_within(r$measures$estimate, unlist(reference[[name]]), 1e-5, name)
  }
})

test_that("at a boundary both are defined ('performance' gives up there)", {
  skip_if_not_installed("lme4")
  r <- r2(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2), "nakagawa")
  expect_equal(r$measures$estimate, c(0, 0))
})

test_that("Snijders & Bosker's with random intercepts: formulas by hand", {
  r <- r2(fit_implement_ml(), "snijders-bosker")
  expect_within(r$measures$estimate, unlist(r2_reference()$snijders_bosker), 1e-5, "Snijders-Bosker")
})

test_that("the error of a unit's mean is its variance by dense algebra, slopes and three levels included", {
  fit <- fit_implement_three()
  z <- as.matrix(stats::model.matrix(fit, "random"))
  v <- stats::sigma(fit)^2 * (tcrossprod(z %*% as.matrix(getME(fit, "Lambda"))) + diag(nrow(z)))
  averages <- lapply(fit$design$groups, function(group) outer(seq_along(group$levels), group$codes, `==`) / tabulate(group$codes))
  expected <- vapply(c(list(diag(nrow(z))), averages), function(average) mean(diag(average %*% v %*% t(average))), 0)
  expect_equal(drop(prediction_error(fit, error_moments(fit, fit$design$groups), estimates_row(fit))), expected)
})

test_that("reduction against the model without predictors, and against a given one", {
  reference <- r2_reference()$reduction
  for (name in c("ml", "two")) {
    fit <- switch(name, ml = fit_implement_ml(), two = fit_implement_two())
    r <- r2(fit, "reduction")
    expect_within(r$measures$estimate, unlist(reference[[name]]), 1e-4, name)
  }
  null <- hlm(bai ~ 1 + (1 | id), implement_rows(), REML = FALSE)
  expect_equal(r2(fit_implement_ml(), "reduction", baseline = null)$measures$estimate, r2(fit_implement_ml(), "reduction")$measures$estimate,
    tolerance = 1e-6)
  expect_output(print(r2(fit_implement_ml(), "reduction")), "A negative value is no error")
})

test_that("slope variances are compared where both models have them", {
  base <- hlm(bai ~ within(wai) + (1 + within(wai) | id), wbhlm::implement)
  full <- hlm(bai ~ within(wai) * between(wai) + (1 + within(wai) | id), wbhlm::implement)
  r <- r2(full, "reduction", baseline = base)
  expect_equal(r$measures$measure, c("id (Intercept)", "id wai_within", "Residual"))
  expect_equal(r$measures$estimate[[2]], 1 - VarCorr(full)$id[2, 2] / VarCorr(base)$id[2, 2])
})

test_that("a baseline must be comparable", {
  fit <- fit_implement_ml()
  expect_error(r2(fit, "reduction", baseline = 1), class = "hlm_error_data")
  expect_error(r2(fit, "reduction", baseline = fit_implement_two()), "REML", class = "hlm_error_data")
  expect_error(
    r2(fit, "reduction", baseline = hlm(bai ~ 1 + (1 | id), wbhlm::implement, REML = FALSE)), "different rows", class = "hlm_error_data"
  )
  other <- hlm(bai ~ 1 + (1 | therapist), implement_rows(), REML = FALSE)
  expect_error(r2(fit, "reduction", baseline = other), "no variance component", class = "hlm_error_design")
})

test_that("a variance of zero before is said, not divided by", {
  d <- wbhlm::implement
  fit <- hlm(bai ~ wb(wai, level = "therapist") + (1 | therapist / id), d, id = id)
  expect_output(print(r2(fit, "reduction")), "not defined: the variance was zero before")
})
