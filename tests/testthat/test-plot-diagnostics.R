draw <- function(name, plot) {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
layer <- function(plot, k) ggplot2::ggplot_build(plot)$data[[k]]

test_that("quantile plots of rows and of random effects", {
  skip_if_not_installed("ggplot2")
  fit <- fit_clinic()
  draw("qq of rows", plot(fit, "qq"))
  draw("qq of rows, pointwise", plot(fit, "qq", band = "pointwise", level = 0.9))
  draw("qq of random effects", plot(fit, "ranef-qq", group = "patient"))
  points <- layer(plot(fit, "ranef-qq", group = "therapist"), 3L)
  expect_equal(sort(points$y), sort(level_residuals(fit, "therapist")$standardized))
  expect_equal(layer(plot(fit, "qq"), 1L)$ymax, wbhlm:::qq_band(nobs(fit))$high)
})

test_that("scale-location of rows and of groups", {
  skip_if_not_installed("ggplot2")
  fit <- fit_clinic()
  draw("scale-location of rows", plot(fit, "scale-location"))
  draw("scale-location of patients", plot(fit, "scale-location", group = "patient"))
  expect_equal(layer(plot(fit, "scale-location"), 1L)$y, sqrt(abs(unname(residuals(fit, "scaled")))))
  # the reference line is the mean of sqrt|Z|
  expected <- stats::integrate(function(z) sqrt(abs(z)) * stats::dnorm(z), -Inf, Inf)$value
  expect_equal(layer(plot(fit, "scale-location"), 3L)$yintercept, expected, tolerance = 1e-4)
})

test_that("residuals against the predictors of their level", {
  skip_if_not_installed("ggplot2")
  fit <- fit_therapy()
  draw("residuals against level-1 predictors", plot(fit, "predictors"))
  draw("random effects against person predictors", plot(fit, "predictors", group = "patient"))
  expect_identical(wbhlm:::predictor_columns(fit, "1"), c("session", "alliance_within"))
  expect_identical(wbhlm:::predictor_columns(fit, "patient"), c("female", "alliance_between"))
  expect_error(plot(fit, "predictors", group = "therapist"), class = "hlm_error_data")
})

test_that("Mahalanobis distances", {
  skip_if_not_installed("ggplot2")
  fit <- fit_clinic()
  draw("mahalanobis", plot(fit, "mahalanobis"))
  points <- layer(plot(fit, "mahalanobis"), 3L)
  values <- level_residuals(fit, "patient")
  expect_equal(sort(points$y), sort(values$mahalanobis[!duplicated(values$group)]))
  expect_equal(points$x, stats::qchisq(stats::ppoints(60), 2))
})

test_that("influence", {
  skip_if_not_installed("ggplot2")
  found <- influence(fit_clinic(), method = "fixed")
  draw("cooks distance", plot(found))
  draw("covariance ratio", plot(found, "covratio"))
  draw("leverage", plot(found, "leverage", n_label = 2L))
  draw("dfbetas", plot(found, "dfbetas"))
  expect_equal(layer(plot(found), 4L)$y, found$groups$cooks.distance)
  expect_identical(layer(plot(found), 5L)$label, utils::head(found$groups$group[order(-found$groups$cooks.distance)], 5L))
  expect_equal(layer(plot(fit_sleep(), "influence"), 4L)$y, unname(cooks.distance(fit_sleep(), level = "Subject")))
})

test_that("a variance of zero has nothing to plot", {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  for (which in c("ranef-qq", "mahalanobis")) expect_error(plot(fit, which), class = "hlm_error_data")
})
