drawn <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
fit_wai_slopes <- function() {
  fit_once("wai_slopes", function() hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement, time = session))
}
built_slopes <- function(plot) ggplot2::ggplot_build(plot)$data

test_that("the caterpillar holds every slope, sorted, with its interval and the average's band", {
  skip_if_not_installed("ggplot2")
  x <- person_slopes(fit_wai_slopes())
  plot <- plot_slopes(x)
  layers <- built_slopes(plot)
  expect_equal(layers[[5]]$x, sort(x$slopes$slope))
  expect_equal(layers[[4]]$xmin, x$slopes$lower[order(x$slopes$slope)])
  expect_equal(unlist(layers[[1]][c("xmin", "xmax")], use.names = FALSE), c(x$average$lower, x$average$upper))
  counts <- c(sum(x$slopes$slope < 0), sum(x$slopes$upper < 0), sum(x$slopes$slope > 0), sum(x$slopes$lower > 0))
  expect_equal(
    plot$labels$subtitle, sprintf("%d of 57 below zero (%d clearly), %d of 57 above zero (%d clearly)", counts[1], counts[2], counts[3], counts[4])
  )
  colours <- slope_colours[as.character(slope_classes(x$slopes[order(x$slopes$slope), ]))]
  expect_equal(layers[[5]]$colour, unname(colours))
  drawn("caterpillar of alliance slopes", plot)
})

test_that("plot() of a fit knows the slopes by two names; therapists have theirs", {
  skip_if_not_installed("ggplot2")
  fit <- fit_wai_slopes()
  expect_equal(plot(fit, "slopes", term = "wai")$data, plot_slopes(fit)$data)
  expect_equal(plot(fit, "caterpillar")$data, plot_slopes(fit)$data)
  expect_equal(nrow(plot(fit_three_levels(), "slopes", term = "x_within", group = "therapist")$data), 12)
  drawn("caterpillar of therapists' slopes", plot(fit_three_levels(), "slopes", group = "therapist"))
})

test_that("many persons have no labels; some of them can be chosen", {
  skip_if_not_installed("ggplot2")
  table <- person_slopes(fit_wai_slopes())
  table$slopes <- do.call(rbind, lapply(1:9, function(i) {
    transform(table$slopes, slope = slope + i / 10, person = paste0("clinic-number-", i, "-patient-number-", person))
  }))
  expect_length(built_slopes(plot_slopes(table))[[5]]$x, 513)
  chosen <- built_slopes(plot_slopes(table, max_persons = 20))[[5]]$x
  expect_length(chosen, 20)
  expect_equal(range(chosen), range(table$slopes$slope))
  expect_error(plot_slopes(table, max_persons = 0), class = "hlm_error_data")
  expect_equal(nchar(short_labels("clinic-number-1-patient-number-11")), 23)
  expect_match(short_labels("clinic-number-1-patient-number-11"), "number-11$")
  drawn("caterpillar of 513 persons", plot_slopes(table))
})

test_that("the forest has the own lines, the model's slopes, the diamond and the range for a new person", {
  skip_if_not_installed("ggplot2")
  x <- person_slopes(fit_wai_slopes())
  plot <- plot_forest(x, max_persons = 100, limits = c(-5, 5))
  layers <- plot$layers
  data <- lapply(layers, function(layer) layer$data)
  table <- forest_table(x, 100, "slope")
  expect_equal(table$own_upper, table$ols + qt(0.975, table$ols_df) * table$ols_se)
  polygon <- Filter(function(layer) inherits(layer$geom, "GeomPolygon"), layers)[[1]]$data
  expect_equal(polygon$x[c(1, 2, 3)], c(x$average$lower, x$average$Estimate, x$average$upper))
  points <- Filter(function(layer) inherits(layer$geom, "GeomPoint"), layers)
  expect_equal(points[[2]]$data$value, sort(x$slopes$slope))
  # own lines outside the limits are not drawn at the edge as if they were there
  expect_setequal(points[[1]]$data$value, x$slopes$ols[is.finite(x$slopes$ols) & abs(x$slopes$ols) <= 5])
  drawn("forest of alliance slopes", plot_forest(x, max_persons = 25))
  drawn("forest of therapists' slopes, adjusted own lines", plot_forest(fit_three_levels(), "x", "therapist", own = "adjusted", sort = "n"))
})

test_that("intervals beyond the limits are cut and carry an arrow", {
  skip_if_not_installed("ggplot2")
  table <- data.frame(lower = c(-3, -0.5, 0.2), upper = c(0.5, 0.5, 4), place = 1:3)
  segments <- Filter(Negate(is.null), forest_bars(table, "lower", "upper", "place", c(-1, 1), "model", 1))
  arrows <- vapply(segments, function(layer) !is.null(layer$geom_params$arrow), NA)
  expect_equal(arrows, c(FALSE, TRUE, TRUE))
  ends <- lapply(segments, function(layer) c(layer$data$low, layer$data$high))
  expect_equal(ends, list(c(-0.5, 0.5), c(0.2, 1), c(-1, 0.5)))
})

test_that("a forest without own lines or fixed effect can be drawn", {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy[c(1:20, 21, 31, 32), ]
  fit <- suppressWarnings(hlm(Reaction ~ 1 + (1 | Subject) + (0 + Days | Subject), d))
  plot <- plot_forest(fit, "Days", max_persons = 3)
  expect_s3_class(ggplot2::ggplot_build(plot)$plot, "ggplot")
  expect_null(person_slopes(fit, "Days")$average)
  expect_error(plot_forest(fit, "Days", limits = c(1, 0)), class = "hlm_error_data")
})
