test_that("zeta plots show every curve, through the estimates", {
  skip_if_not_installed("ggplot2")
  p <- profile(fit_therapy())
  drawn <- ggplot2::ggplot_build(plot(p))$data[[2L]]
  expect_equal(length(unique(drawn$PANEL)), length(held_parameters(p)))
  expect_true(all(tapply(drawn$y, drawn$PANEL, function(z) min(abs(z))) < 0.1))
  expect_true(all(ggplot2::ggplot_build(plot(p, absolute = TRUE))$data[[2L]]$y >= 0))
})

test_that("contours of a pair are the likelihood's", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(distress ~ session + (1 | patient), therapy_data(), REML = FALSE)
  p <- profile(fit, level.max = 0.999)
  contour <- pair_contours(p, c("(Intercept)", "session"), 0.8)
  # at points of the contour the deviance, both effects held there, has risen by the chi-squared quantile of two parameters
  d <- therapy_data()[fit$rows, ]
  for (i in c(1, 30, 60, 90)) {
    held <- hlm(distress ~ 0 + (1 | patient), d, offset = contour$x[[i]] + contour$y[[i]] * session, REML = FALSE)
    expect_equal(held$core$criterion - fit$core$criterion, stats::qchisq(0.8, 2), tolerance = 0.02)
  }
  expect_error(plot(profile(fit, "session"), "pairs"), class = "hlm_error_data")
  expect_s3_class(plot(p, "pairs"), "ggplot")
})
