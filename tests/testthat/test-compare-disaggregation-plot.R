test_that("the curve shows every distinct model once, sorted, and its choices", {
  skip_if_not_installed("ggplot2")
  comparison <- compare_disaggregation(comparison_fits[["slope-ml"]]())
  curve <- specification_table(comparison, "wai", NULL, TRUE)
  within <- curve[curve$effect == "Within", ]
  expect_false(is.unsorted(within$estimate[order(within$place)]))
  expect_identical(sort(within$place), seq_len(sum(is.na(comparison$specifications$same_as))))
  # each model stands in one column in all panels
  expect_true(all(tapply(curve$place, curve$variant, function(p) length(unique(p))) == 1L))
  choices <- choice_table(comparison, curve)
  per_panel <- tapply(choices$chosen, list(choices$panel, choices$place), sum)
  expect_true(all(per_panel == 1L))
  detrended <- choices$place[choices$choice == "own trends" & choices$chosen]
  expect_setequal(detrended, within$place[within$variant %in% c("detrend_x", "detrend_x_time", "detrend_xy")])
  sorted <- specification_table(comparison, "wai", "between", FALSE)
  between <- sorted[sorted$effect == "Between", ]
  expect_false(is.unsorted(between$estimate[order(between$place)]))
  expect_false("raw" %in% sorted$variant)
  expect_error(plot(comparison, "core"), class = "hlm_error_data")
  expect_error(plot(comparison, sort = "contextual"), class = "hlm_error_data")
})

test_that("axis labels are in the units of the effects", {
  skip_if_not_installed("ggplot2")
  comparison <- compare_disaggregation(comparison_fits[["slope-ml"]]())
  curve <- specification_table(comparison, "wai", NULL, TRUE)
  panels <- ggplot2::ggplot_build(plot(comparison))$layout$panel_params
  for (k in 1:2) {
    y <- panels[[k]]$y
    labels <- as.numeric(y$get_labels()[!is.na(y$get_breaks())])
    inside <- range(curve[curve$effect == c("Within", "Between")[[k]], c("conf.low", "conf.high")])
    expect_true(0 %in% labels)
    step <- diff(labels)[[1L]]
    expect_gte(min(labels), inside[[1L]] - step)
    expect_lte(max(labels), max(inside[[2L]], 0) + step)
  }
  expect_identical(stats::na.omit(panels[[3L]]$y$get_labels()), c("not split", "x and mean", "own trends", "person means"), ignore_attr = TRUE)
})

test_that("the specification curves look as they did", {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger("specification curve of implement", plot(compare_disaggregation(comparison_fits[["slope-ml"]]())))
  three <- compare_disaggregation(comparison_fits[["three-levels"]]())
  vdiffr::expect_doppelganger("specification curve with therapists", plot(three, sort = "between", raw = FALSE))
})
