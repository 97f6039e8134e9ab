test_that("bars are stacked to one, in total and at each level", {
  skip_if_not_installed("ggplot2")
  r <- r2(fit_implement_three())
  table <- bars_rights_sterba(r)
  expect_equal(as.numeric(tapply(table$share, table$bar, sum)), rep(1, 4))
  expect_equal(levels(table$bar), c("total", "within-id", "between-id", "between-therapist"))
  built <- ggplot2::ggplot_build(plot(r))$data[[1L]]
  expect_equal(max(built$ymax), 1)
  expect_equal(nrow(built), nrow(table))
  expect_false(anyDuplicated(source_colours(table)) > 0L)
})

test_that("the residual lies on top", {
  skip_if_not_installed("ggplot2")
  expect_match(levels(bars_rights_sterba(r2(fit_implement_two()))$source)[[1L]], "residual")
})

test_that("Nakagawa's two values make one bar; other methods none", {
  skip_if_not_installed("ggplot2")
  table <- bars_nakagawa(r2(fit_implement_two(), "nakagawa"))
  expect_equal(sum(table$share), 1)
  expect_error(plot(r2(fit_implement_ml(), "reduction")), class = "hlm_error_data")
})
