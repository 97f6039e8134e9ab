test_that("the core is told the design in its own terms", {
  design <- hlm_design(
    40, 5, 8, within = 0.2, between = 0.3, interaction = 0.1, icc_x_therapist = 0.1, icc_therapist = 0.1, slope_sd = 0.2, slope_cor = 0.5,
    trend_y = c(mean = 0.1, sd = 0.3, cor = -0.2), dropout = "mar 20% by session 5, odds 3 per SD", lag = 1
  )
  study <- study_core(design)
  expect_identical(study$times, as.double(0:4))
  expect_equal(study$dropout_y, log(3))
  part <- function(name) Filter(function(term) identical(paste(term$parts, collapse = ":"), name), study$fixed)[[1L]]$value
  expect_equal(part("within"), 0.2)
  # the therapist's mean has the effect of the patient's when nothing else is said, and the slope depends on both
  expect_equal(part("therapist"), 0.3)
  expect_equal(part("within:therapist"), 0.1)
  covariance <- tcrossprod(study$random[[1L]]$root)
  sd <- sqrt(diag(covariance))
  expect_equal(sd, c(design$truth$y$sd_patient, 0.2, 0.3))
  expect_equal(stats::cov2cor(covariance)[1L, 2:3], c(0.5, -0.2))
  expect_identical(study$random[[1L]]$columns, list(character(), "within", "time"))
  expect_equal(tcrossprod(study$random[[2L]]$root)[1L], design$truth$y$sd_therapist^2)
  expect_identical(analysis_core(design)$fixed[[which(design$analysis$fixed$effect == "interaction_therapist")]], c("within", "therapist"))
})

test_that("variances are taken out one column at a time, as ranova() does", {
  design <- hlm_design(60, 6, 6, within = 0.2, slope_sd = 0.2, trend_y = c(mean = 0, sd = 0.1), icc_therapist = 0.1)
  analysis <- analysis_core(design)
  expect_identical(design$effects$effect[design$effects$kind == "variance"], c("slope_sd", "trend_sd", "sd_therapist"))
  expect_length(analysis$reduced, 3L)
  expect_identical(analysis$reduced[[1L]][[1L]]$columns, list(character(), "time"))
  expect_identical(analysis$reduced[[3L]], analysis$random[1L])
  places <- reducible_columns(analysis$random)
  expect_identical(vapply(places, covariances_dropped, 0L, random = analysis$random), c(2L, 2L, 0L))
  # an intercept alone in the only term stays
  expect_length(analysis_core(hlm_design(60, 6))$reduced, 0L)
})

test_that("the contextual difference is a contrast of the two coefficients", {
  design <- hlm_design(60, 6, within = 0.2, between = 0.5, trend_y = 0.1)
  l <- study_contrasts(design)
  expect_equal(drop(l %*% design$effects$truth[design$effects$kind == "coefficient"]), 0.3)
  expect_null(study_contrasts(hlm_design(60, 6, between = NULL)))
})

test_that("when dropout depends on the outcome as many leave as the words say", {
  design <- hlm_design(50, 8, icc = 0.6, dropout = "mar 40% by session 8, odds 3 per SD")
  hazards <- study_core(design)$dropout
  left <- withr::with_seed(5, {
    n <- 50000
    y <- sqrt(0.6) * stats::rnorm(n) + sqrt(0.4) * matrix(stats::rnorm(8 * n), n)
    there <- rep(TRUE, n)
    for (k in 2:8) there <- there & stats::runif(n) >= stats::plogis(stats::qlogis(hazards[[k]]) + log(3) * y[, k - 1L])
    mean(!there)
  })
  # 4,000 weighted and 50,000 simulated patients
  expect_lt(abs(left - 0.4), 4 * sqrt(0.24 * (1 / 4000 + 1 / 50000)))
  expect_identical(study_core(update(design, dropout = "mcar 40% by session 8"))$dropout, dropout_hazards(parse_dropout("mcar 40% by session 8"), 8L))
})
