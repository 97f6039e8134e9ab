pilot_fit <- function() fit_once("pilot_fit", function() hlm(oq ~ wb(ans) + (1 + within(ans) | patient), manubens2023))

test_that("replicates of a pilot fit have its rows and its estimates as truth", {
  fit <- pilot_fit()
  result <- power_hlm(fit, nsim = 1000, seed = 1)
  table <- result$table
  coefficients <- table[table$kind == "coefficient", ]
  expect_identical(coefficients$effect, names(fixef(fit)))
  expect_equal(coefficients$truth, unname(fixef(fit)))
  expect_true(all(abs(coefficients$bias) < 4 * coefficients$se_empirical / sqrt(1000)))
  se <- summary(fit)$coefficients[, "Std. Error"]
  expect_equal(coefficients$se_model, unname(se), tolerance = 0.03)
  expect_equal(unlist(result$cells[c("rows", "persons")]), c(rows = 331, persons = 96))
  expect_identical(table$effect[table$kind == "contrast"], "ans: between-patient minus within-patient")
  expect_equal(table$truth[table$kind == "variance"], as.data.frame(VarCorr(fit))$sdcor[[2L]])
})

test_that("effects are replaced: zero gives the type-I error, and estimates follow", {
  result <- power_hlm(pilot_fit(), nsim = 1500, effects = c(ans_within = 0, ans_between = 0.4), seed = 2, variance_tests = FALSE)
  table <- result$table
  within <- table[table$effect == "ans_within", ]
  expect_identical(within$quantity, "type-I error")
  expect_lt(abs(within$power - 0.05), 4 * sqrt(0.05 * 0.95 / 1500))
  between <- table[table$effect == "ans_between", ]
  expect_lt(abs(between$estimate - 0.4), 4 * between$se_empirical / sqrt(1500))
})

test_that("power of a balanced pilot is that of the noncentral t", {
  d <- withr::with_seed(4, r_study_data(study_core(hlm_design(30, 4, within = NULL, between = NULL, moderator = "binary", moderator_effect = 0.8, icc = 0.6))))
  fit <- hlm(y ~ moderator + (1 | patient), d)
  result <- power_hlm(fit, nsim = 3000, effects = c(moderator = 0.8), seed = 3)
  sd <- sqrt(sum(as.data.frame(VarCorr(fit))$vcov / c(1, 4)))
  truth <- stats::power.t.test(15, 0.8, sd, strict = TRUE)$power
  expect_lt(abs(result$table$power[[2L]] - truth), 4 * sqrt(truth * (1 - truth) / 3000))
})

test_that("the rows of a pilot are repeated along patients, sessions and therapists", {
  fit <- pilot_fit()
  sizes <- function(...) {
    made <- extended_fit(fit, list(...))
    c(persons = unname(ngrps(made)), rows = nobs(made), most = max(table(made$design$groups[[1L]]$codes)))
  }
  expect_equal(sizes(n_patients = 192), c(persons = 192, rows = 662, most = 4))
  expect_equal(sizes(n_sessions = 8)[["most"]], 8)
  expect_equal(sizes(n_sessions = 8)[["rows"]], 662)
  expect_equal(sizes(n_patients = 40)[["persons"]], 40)
  # within columns sum to zero for every patient again
  made <- extended_fit(fit, list(n_patients = 150, n_sessions = 6))
  within <- made$design$columns[[made$design$x[[2L]]]]
  expect_lt(max(abs(rowsum(within, made$design$groups[[1L]]$codes))), 1e-10)
  three <- hlm(bai ~ session + wb(wai) + (1 | therapist / id), implement, time = session)
  made <- extended_fit(three, list(n_therapists = 26))
  expect_equal(unname(ngrps(made)), c(114, 26))
  expect_equal(nobs(made), 2 * nobs(three))
  fewer <- extended_fit(three, list(n_patients = 26))
  expect_equal(unname(ngrps(fewer)), c(26, 13))
  # time goes on where sessions are repeated
  longer <- extended_fit(three, list(n_sessions = 30))
  expect_identical(max(longer$data$session), 30)
})

test_that("more patients, more power", {
  result <- power_hlm(pilot_fit(), nsim = 400, vary = list(n_patients = c(30, 96, 200)), variance_tests = FALSE, seed = 3)
  within <- result$table[result$table$effect == "ans_within", ]
  expect_true(all(diff(within$power) > 0))
  expect_equal(result$cells$persons, c(30, 96, 200))
})

test_that("weights and offsets, crossed factors and residual structures", {
  skip_without_lme4()
  gaps <- power_hlm(fit_gaps(), nsim = 300, seed = 1)
  row <- gaps$table[gaps$table$effect == "Days", ]
  expect_lt(abs(row$bias), 4 * row$se_empirical / sqrt(300))
  crossed <- power_hlm(fit_penicillin(), nsim = 100, seed = 1)
  expect_true(all(c("sd_(Intercept)|plate", "sd_(Intercept)|sample") %in% crossed$table$effect))
  expect_error(power_hlm(fit_penicillin(), nsim = 10, vary = list(n_patients = 10)), "crossed", class = "hlm_error_design")
  ar <- hlm(oq ~ session + (1 | patient), manubens2023, time = session, residual = "ar1")
  expect_error(power_hlm(ar), "not available", class = "hlm_error_covariance")
})

test_that("bad arguments are errors that name them", {
  fit <- pilot_fit()
  expect_error(power_hlm(fit, effects = c(within = 0.2)), "ans_within", class = "hlm_error_data")
  expect_error(power_hlm(fit, vary = list(n_therapists = c(5, 10))), "n_therapists", class = "hlm_error_data")
  expect_error(power_hlm(fit, vary = list(icc = 0.5)), "icc", class = "hlm_error_data")
  expect_error(power_hlm(update(fit, REML = FALSE), ddf = "kr"), "REML", class = "hlm_error_data")
})
