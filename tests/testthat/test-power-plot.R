grid_for_plot <- function() {
  fit_once("power_grid", function() {
    design <- hlm_design(40, 4, within = 0.2, between = 0.3, interaction = 0, dropout = "mcar 20% by session 4")
    power_hlm(design, nsim = 200, seed = 1, variance_tests = FALSE, vary = list(n_patients = c(20, 40, 80), n_sessions = c(3, 6)))
  })
}

test_that("plots show the shares, their intervals and the target", {
  skip_if_not_installed("ggplot2")
  grid <- grid_for_plot()
  curve <- plot(grid, type = "curve", effects = c("within", "between"))
  drawn <- ggplot2::ggplot_build(curve)$data
  expect_setequal(round(drawn[[3L]]$y, 6), round(grid$table$power[grid$table$effect %in% c("within", "between")], 6))
  expect_equal(unique(drawn[[1L]]$yintercept), 0.8)
  heat <- plot(grid)
  labels <- ggplot2::ggplot_build(heat)$data[[3L]]$label
  # without the interaction, whose true effect is zero
  expect_equal(sort(labels), sort(round(100 * grid$table$power[grid$table$effect %in% c("within", "between", "contextual")])))
  expect_error(plot(grid, effects = "age"), "age", class = "hlm_error_data")
  expect_error(plot(grid, target = 80), "target", class = "hlm_error_data")
  design <- hlm_design(30, 4, within = 0.3, between = 0.3, interaction = 0)
  one <- power_hlm(design, nsim = 100, seed = 1, variance_tests = FALSE, vary = list(n_patients = c(20, 40, 60)))
  expect_error(plot(one, type = "heatmap"), "two things", class = "hlm_error_data")
  single <- power_hlm(design, nsim = 100, seed = 1)
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger("power curves by sessions", curve)
  vdiffr::expect_doppelganger("power heat-map", heat)
  vdiffr::expect_doppelganger("power curve", plot(one))
  vdiffr::expect_doppelganger("power of one design", plot(single))
  words <- power_hlm(design, nsim = 100, seed = 1, variance_tests = FALSE, vary = list(dropout = list("none", "mcar 40% by session 4"), n_patients = c(20, 40)))
  vdiffr::expect_doppelganger("power by dropout", plot(words, effects = c("within", "between")))
})
