built <- function(plot) ggplot2::ggplot_build(plot)$data

test_that("the lines are those of the model", {
  skip_if_not_installed("ggplot2")
  found <- simple_slopes(fit_moderated(), alliance_within, severity, group)
  layers <- built(plot(found))
  expect_equal(sort(layers[[2]]$y), sort(found$lines$estimate))
  expect_equal(sort(layers[[1]]$ymax), sort(found$lines$upper))
  expect_equal(length(unique(layers[[2]]$PANEL)), 2L)
  # rise over run of each line is the slope in the table
  one <- by(layers[[2]], paste(layers[[2]]$PANEL, layers[[2]]$group), function(line) diff(range(line$y)) / diff(range(line$x)))
  expect_equal(sort(as.vector(one)), sort(abs(found$slopes$Estimate)))
  expect_equal(nrow(layers[[3]]) / 2, 360)
  expect_length(built(plot(found, band = FALSE, rug = FALSE)), 1L)
})

test_that("the curve changes colour at the bounds", {
  skip_if_not_installed("ggplot2")
  found <- johnson_neyman(fit_moderated(), alliance_within, severity, group)
  curve <- curve_pieces(found, neyman_panels(found, found$curve))
  for (panel in unique(curve$panel)) {
    one <- curve[curve$panel == panel, ]
    bounds <- found$bounds$bound[paste("group =", found$bounds$mod2) == panel & found$bounds$bound > min(one$modx) & found$bounds$bound < max(one$modx)]
    ends <- tapply(one$modx, one$piece, max)
    expect_equal(sort(as.vector(ends))[seq_along(bounds)], bounds)
    expect_true(all((one$lower > 1e-3 | one$upper < -1e-3) <= one$significant))
  }
  layers <- built(plot(found))
  lines <- Filter(function(layer) "xintercept" %in% names(layer), layers)[[1]]
  expect_equal(sort(lines$xintercept), sort(found$bounds$bound[found$bounds$inside]))
})

test_that("pictures", {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("vdiffr")
  fit <- fit_moderated()
  vdiffr::expect_doppelganger("simple slopes", plot(simple_slopes(fit_simple_moderated(), alliance_within, severity)))
  vdiffr::expect_doppelganger("simple slopes in two panels", plot(simple_slopes(fit, alliance_within, severity, group)))
  vdiffr::expect_doppelganger("differences between categories", plot(simple_slopes(fit, group, severity)))
  curved <- hlm(distress ~ poly(session, 2) * group + (1 | patient), probe_therapies())
  vdiffr::expect_doppelganger("slope of a curve", plot(simple_slopes(curved, session, session, group)))
  vdiffr::expect_doppelganger("regions", plot(johnson_neyman(fit_simple_moderated(), alliance_within, severity)))
  vdiffr::expect_doppelganger("regions in two panels", plot(johnson_neyman(fit, alliance_within, severity, group, adjust = "fdr")))
  vdiffr::expect_doppelganger("regions of a curve", plot(johnson_neyman(curved, session, session, group)))
})

test_that("many values make a rug of at most 500 ticks", {
  skip_if_not_installed("ggplot2")
  expect_equal(nrow(value_rug(stats::rnorm(5000))$data), 500L)
  expect_equal(length(unique(probe_colours(7))), 7L)
})
