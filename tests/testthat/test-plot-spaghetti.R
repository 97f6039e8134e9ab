built <- function(plot) ggplot2::ggplot_build(plot)$data

test_that("one line per person and the mean of those observed", {
  skip_if_not_installed("ggplot2")
  d <- therapy_data()
  layers <- built(plot_spaghetti(d, distress, id = patient, time = "session"))
  expect_length(unique(layers[[1L]]$group), 40)
  expect_equal(nrow(layers[[1L]]), 238)
  expect_equal(layers[[2L]]$y, as.vector(tapply(d$distress, d$session, mean, na.rm = TRUE)))
})

test_that("a fit knows outcome, person and time", {
  skip_if_not_installed("ggplot2")
  plot <- plot_spaghetti(fit_therapy(), highlight = c(1, 2))
  expect_equal(plot$labels$y, "distress")
  expect_equal(plot$labels$x, "session")
  expect_length(unique(built(plot)[[2L]]$group), 2)
})

test_that("panels split by a variable, means per panel", {
  skip_if_not_installed("ggplot2")
  layers <- built(plot_spaghetti(therapy_data(), distress, patient, session, group = female))
  expect_equal(length(unique(layers[[1L]]$PANEL)), 2)
  expect_equal(nrow(layers[[2L]]), 12)
})

test_that("what is missing is asked for", {
  skip_if_not_installed("ggplot2")
  expect_error(plot_spaghetti(therapy_data(), distress, patient), "time", class = "hlm_error_data")
  expect_error(plot_spaghetti(therapy_data(), anger, patient, session), "anger", class = "hlm_error_data")
})

test_that("scattered times are gathered into intervals for the mean", {
  table <- data.frame(time = seq(0, 10, length.out = 400), outcome = 1, id = rep(1:20, 20))
  expect_equal(nrow(mean_course(table)), 12)
})

test_that("nothing to draw, or an outcome that is no number, is a classed error", {
  skip_if_not_installed("ggplot2")
  d <- synthetic_sessions()
  none <- transform(d, y = NA_real_)
  bad <- expression(
    plot_spaghetti(none, y, patient, session), plot_spaghetti(d[0, ], y, patient, session), plot_spaghetti(d, treatment, patient, session),
    plot_spaghetti(d, y, patient, session, mean = NA), plot_spaghetti(mean, y, patient, session), plot_spaghetti(1, y, patient, session)
  )
  for (call in as.list(bad)) expect_error(eval(call), class = "hlm_error", label = deparse1(call))
})
