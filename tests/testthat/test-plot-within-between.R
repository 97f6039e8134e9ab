built <- function(plot) ggplot2::ggplot_build(plot)$data

test_that("the lines have the slopes of the model", {
  skip_if_not_installed("ggplot2")
  fit <- fit_therapy()
  layers <- built(plot_within_between(fit, alliance))
  persons <- layers[[1L]]
  slope <- (persons$yend - persons$y) / (persons$xend - persons$x)
  frame <- model.frame(fit)
  between <- frame$alliance_between[match(rownames(ranef(fit)$patient), frame$patient)]
  expected <- fixef(fit)[["alliance_within"]] + ranef(fit)$patient$alliance_within +
    fixef(fit)[["alliance_within:alliance_between"]] * between
  expect_equal(slope, expected)
  line <- layers[[2L]]
  expect_equal(diff(line$y) / diff(line$x), fixef(fit)[["alliance_between"]])
})

test_that("each person's line spans its own values and its point is its mean", {
  skip_if_not_installed("ggplot2")
  d <- stats::na.omit(therapy_data())
  layers <- built(plot_within_between(fit_therapy(), "alliance"))
  expect_equal(layers[[1L]]$x, as.vector(tapply(d$alliance, d$patient, min)))
  expect_equal(layers[[1L]]$xend, as.vector(tapply(d$alliance, d$patient, max)))
  expect_equal(layers[[3L]]$x, as.vector(tapply(d$alliance, d$patient, mean)))
})

test_that("a person's own course over time is taken at the mean time", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(distress ~ session + wb(alliance) + (1 + session | patient), therapy_data())
  frame <- model.frame(fit)
  first <- match(rownames(ranef(fit)$patient), frame$patient)
  effects <- ranef(fit)$patient
  expected <- fixef(fit)[["(Intercept)"]] + effects$`(Intercept)` + (fixef(fit)[["session"]] + effects$session) * mean(frame$session) +
    fixef(fit)[["alliance_between"]] * frame$alliance_between[first]
  expect_equal(built(plot_within_between(fit))[[3L]]$y, expected)
})

test_that("with three levels the person's mean is whole again", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(distress ~ wb(alliance, level = "therapist") + (1 | therapist / patient), therapy_data())
  d <- stats::na.omit(therapy_data())
  layers <- built(plot_within_between(fit))
  expect_equal(sort(layers[[3L]]$x), sort(as.vector(tapply(d$alliance, d$patient, mean))))
})

test_that("only so many persons are drawn, spread over their means", {
  skip_if_not_installed("ggplot2")
  expect_equal(nrow(built(plot_within_between(fit_therapy(), max_persons = 10))[[1L]]), 10)
})

test_that("a model without within and between terms is refused", {
  skip_if_not_installed("ggplot2")
  skip_if_not_installed("lme4")
  expect_error(plot_within_between(fit_sleep()), class = "hlm_error_data")
  expect_error(plot_within_between(fit_therapy(), session), class = "hlm_error_data")
})

test_that("bad max_persons and points are classed errors", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(y ~ wb(x) + (1 | patient), synthetic_sessions())
  for (value in list(0, -1, "a", NA, 1:2)) expect_error(plot_within_between(fit, x, max_persons = value), "max_persons", class = "hlm_error_data")
  expect_error(plot_within_between(fit, x, points = NA), class = "hlm_error")
  expect_s3_class(ggplot2::ggplot_build(plot_within_between(fit, x, max_persons = 1))$plot, "ggplot")
})

test_that("a variable whose name needs backticks is drawn like any other", {
  skip_if_not_installed("ggplot2")
  d <- spaced_data()
  plain <- hlm(y ~ wb(x) + (1 + within(x) | patient), d)
  spaced <- hlm(y ~ wb(`my x`) + (1 + within(`my x`) | patient), d)
  expect_equal(person_lines(spaced, "my x"), person_lines(plain, "x"))
  expect_s3_class(plot_within_between(spaced), "ggplot")
})
