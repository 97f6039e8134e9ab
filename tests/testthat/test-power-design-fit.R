pilot <- function() {
  fit_once("power_pilot", function() {
    hlm(oq ~ session + wb(ans) + within(ans):between(ans) + (1 + within(ans) | patient), manubens2023, time = session)
  })
}

test_that("a design read from a fit has its sizes, estimates and dropout", {
  fit <- pilot()
  design <- hlm_design(fit)
  truth <- design$truth
  expect_identical(c(truth$n_patients, truth$n_sessions), c(96L, 4L))
  coefficients <- fixef(fit)
  expect_equal(truth$effects$within, coefficients[["ans_within"]])
  expect_equal(truth$effects$between, coefficients[["ans_between"]])
  expect_equal(truth$effects$interaction, coefficients[["ans_within:ans_between"]])
  expect_equal(truth$trend_y[["mean"]], coefficients[["session"]])
  variances <- as.data.frame(VarCorr(fit))
  expect_equal(truth$y$sd_patient, variances$sdcor[[1L]])
  expect_equal(truth$slope_sd, variances$sdcor[[2L]])
  expect_equal(truth$slope_cor, variances$sdcor[[3L]])
  expect_equal(truth$y$sd_residual, sigma(fit))
  # everybody's last session
  last <- tapply(manubens2023$session, manubens2023$patient, max)
  expect_equal(design$implied$retention, vapply(0:3, function(k) mean(last >= k), 0))
  expect_equal(round(design$implied$rows), nrow(manubens2023))
  own <- hlm(ans ~ session + (1 | patient), manubens2023)
  expect_equal(design$arguments$sd_x^2 * design$arguments$icc_x, as.data.frame(VarCorr(own))$vcov[[1L]])
  expect_identical(design$analysis$formula, "y ~ session + within(x) + between(x) + within(x):between(x) + (1 + within(x) | patient)")
})

test_that("what is given beside a fit replaces what was read", {
  design <- hlm_design(pilot(), n_patients = 200, n_sessions = 6, within = -0.2, reliability = 0.9)
  expect_identical(c(design$truth$n_patients, design$truth$n_sessions), c(200L, 6L))
  expect_equal(design$truth$effects$within, -0.2)
  expect_length(study_core(design)$dropout, 6L)
})

test_that("three levels, contextual form, and what has no place in a design", {
  fit <- hlm(bai ~ session + wb(wai, level = "therapist") + (1 | therapist / id), implement, time = session)
  design <- suppressMessages(hlm_design(fit))
  expect_identical(design$truth$n_therapists, 13L)
  expect_equal(design$truth$effects$therapist, fixef(fit)[["wai_between_therapist"]])
  cx <- hlm_design(hlm(oq ~ cx(ans) + (1 | patient), manubens2023))
  wb <- hlm_design(hlm(oq ~ wb(ans) + (1 | patient), manubens2023))
  expect_equal(cx$effects$truth, wb$effects$truth, tolerance = 1e-6)
  expect_message(hlm_design(hlm(oq ~ wb(ans) + age + (1 | patient), manubens2023)), "age", class = "hlm_message_design")
  expect_error(hlm_design(hlm(oq ~ session + (1 | patient), manubens2023)), "one variable", class = "hlm_error_data")
})
