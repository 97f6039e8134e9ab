test_that("the plot shows the replicates, the estimate and the limits", {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 400, seed = 1)
  plot <- plot(boot)
  drawn <- ggplot2::ggplot_build(plot)$data
  expect_equal(sum(drawn[[1L]]$count), 400 * 6)
  expect_equal(sort(drawn[[2L]]$xintercept), sort(unname(boot$t0[1:6])))
  expect_equal(sort(drawn[[3L]]$xintercept), sort(as.double(confint(boot))))
  expect_equal(sum(ggplot2::ggplot_build(plot(boot, "Days"))$data[[1L]]$count), 400)
  expect_error(plot(boot, "age"), class = "hlm_error_data")
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger("bootstrap of sleepstudy", plot)
})
