test_that("values are car's", {
  tested <- 0L
  for (case in robust_cases()) {
    if (is.null(case$fixture$vif)) next
    tested <- tested + 1L
    found <- vif(case$fit)
    expected <- case$fixture$vif
    expect_identical(found$term, as.character(expected$term))
    expect_equal(found$gvif, as.numeric(expected$gvif), tolerance = 1e-6)
    expect_equal(found$gvif_scaled, found$gvif^(1 / (2 * found$df)))
  }
  expect_gt(tested, 3L)
})

test_that("within a level: as if the predictors of other levels were not there", {
  d <- therapy_data()
  withr::with_seed(3, {
    d$motivation <- d$alliance + stats::rnorm(240, sd = 0.3)
    d$age <- stats::rnorm(40)[d$patient]
  })
  fit <- hlm(distress ~ wb(alliance) + wb(motivation) + age + (1 | patient), d, id = patient)
  found <- vif(fit)
  expect_identical(found$level, c("1", "patient", "1", "patient", "patient"))
  # theta held, the other level's columns left out
  alone <- function(columns) {
    design <- fit$design
    keep <- c(1L, match(columns, design$x_names))
    design$x <- design$x[keep]
    design$x_names <- design$x_names[keep]
    design$x_assign <- seq_along(keep) - 1L
    v <- wbhlm:::engine_at(design, TRUE, fit$core$theta)$vcov
    diag(solve(stats::cov2cor(v[-1, -1])))
  }
  expect_equal(found$gvif_level[c(1, 3)], alone(found$term[c(1, 3)]), tolerance = 1e-8)
  expect_equal(found$gvif_level[c(2, 4, 5)], alone(found$term[c(2, 4, 5)]), tolerance = 1e-8)
  expect_gt(attr(found, "condition")[["1"]], 3)
  expect_output(print(found), "Between groups of patient, condition number")
})

test_that("other models go to car; no predictors is an error", {
  expect_error(vif(fit_pastes()), class = "hlm_error_data")
  skip_if_not_installed("car")
  model <- stats::lm(mpg ~ wt + hp, datasets::mtcars)
  expect_identical(vif(model), car::vif(model))
  expect_s3_class(car::vif(fit_clinic()), "hlm_vif")
})

test_that("one predictor alone has no inflation; the unit does not matter", {
  expect_equal(vif(fit_sleep())$gvif, 1)
  d <- lme4::sleepstudy
  d$seconds <- d$Days * 1e9
  d$square <- (d$Days - 4.5)^2 + d$Days
  first <- vif(hlm(Reaction ~ Days + square + (1 | Subject), d))
  expect_equal(vif(hlm(Reaction ~ seconds + square + (1 | Subject), d))$gvif, first$gvif, tolerance = 1e-8)
})
