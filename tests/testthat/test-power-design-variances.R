test_that("variances of x as measured add up", {
  truth <- hlm_design(50, 6, 10, sd_x = 2, icc_x = 0.4, icc_x_therapist = 0.1, reliability = 0.8)$truth
  expect_equal(unlist(truth$x[c("sd_therapist", "sd_between", "sd_within", "error_sd")])^2, 4 * c(0.1, 0.4, 0.3, 0.2), ignore_attr = TRUE)
  two <- hlm_design(50, 6, sd_x = c(within = 0.3, between = 0.4))$truth$x
  expect_equal(c(two$sd_within, two$sd_between), c(0.3, 0.4))
})

test_that("effects take their share of the outcome's variance", {
  truth <- hlm_design(
    50, 6, within = 0.5, between = 0.3, interaction = 0.2, moderator = "binary 30%", moderator_effect = 0.4, moderation = 0.1, slope_sd = 0.2, sd_y = 2,
    icc = 0.5, sd_x = 1, icc_x = 0.4
  )$truth
  m <- 0.3 * 0.7
  expect_equal(truth$y$sd_patient^2, 4 * 0.5 - 0.3^2 * 0.4 - 0.4^2 * m)
  expect_equal(truth$y$sd_residual^2, 4 * 0.5 - 0.6 * (0.5^2 + 0.2^2 * 0.4 + 0.1^2 * m + 0.2^2))
  left <- hlm_design(50, 6, within = 0.5, between = 0.3, sd_y = 2, icc = 0.5, variances = "residual")$truth
  expect_equal(c(left$y$sd_patient, left$y$sd_residual), sqrt(c(2, 2)))
})

test_that("effects standardised at their own level are correlations there", {
  truth <- hlm_design(50, 6, within = -0.3, between = 0.4, interaction = 0.1, units = "level", sd_y = 3, icc = 0.4, sd_x = 2, icc_x = 0.5, slope_sd = 0.1)$truth
  within <- truth$effects$within * truth$x$sd_within / (3 * sqrt(0.6))
  between <- truth$effects$between * truth$x$sd_between / (3 * sqrt(0.4))
  expect_equal(c(within, between), c(-0.3, 0.4))
  expect_equal(truth$effects$interaction * truth$x$sd_within * truth$x$sd_between, 0.1 * 3 * sqrt(0.6))
  expect_equal(truth$slope_sd * truth$x$sd_within, 0.1 * 3 * sqrt(0.6))
})

test_that("a large study drawn from a design has the design's variances", {
  design <- hlm_design(4000, 6, within = 0.5, between = 0.6, interaction = 0.2, slope_sd = 0.2, icc = 0.5, icc_x = 0.5, reliability = 0.9)
  d <- withr::with_seed(1, r_study_data(study_core(design)))
  null <- hlm(y ~ 1 + (1 | patient), d)
  expect_equal(stats::sd(d$y), 1, tolerance = 0.03)
  # the standard error of an ICC in n groups of m (Donner 1986, Int Stat Rev 54:67)
  se <- 0.5 * (1 + 5 * 0.5) * sqrt(2 / (6 * 5 * 4000))
  expect_lt(abs(icc(null)$icc[[1L]] - 0.5), 4 * se)
  expect_lt(abs(icc(hlm(x ~ 1 + (1 | patient), d))$icc[[1L]] - 0.5), 4 * se)
})
