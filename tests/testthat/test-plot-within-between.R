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

draw_wb <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}

# Predictions of the fitted model at given values: rows of the fit with the parts set, averaged, for one person and its random effects.
predicted_at <- function(fit, person_row, values) {
  new <- fit$data[fit$rows, , drop = FALSE]
  for (name in names(values)) new[[name]] <- values[[name]]
  for (name in intersect(c("id", "patient", "therapist"), names(new))) new[[name]] <- new[[name]][person_row]
  mean(predict(fit, new))
}

test_that("points and slopes are averages of predictions: three levels, a category and a person-level number as moderators", {
  skip_if_not_installed("ggplot2")
  d <- three_levels()
  fit <- hlm(
    y ~ session + wb(x, level = "therapist") * arm + within(x):severity + within(x):session + (1 + within(x) + session | therapist / patient), d,
    time = session
  )
  lines <- person_lines(fit, "x")
  frame <- model.frame(fit)
  data <- fit$data[fit$rows, ]
  for (i in c(1, 20, 50)) {
    key <- strsplit(lines$person[[i]], ":")[[1]]
    row <- which(data$patient == key[[1]] & data$therapist == key[[2]])[[1]]
    set <- list(
      x_between = frame$x_between[row], x_between_therapist = frame$x_between_therapist[row], x_within = 0, arm = as.character(data$arm[row]),
      severity = data$severity[row]
    )
    at_mean <- predicted_at(fit, row, set)
    set$x_within <- 1
    expect_equal(lines$y_mean[[i]], at_mean)
    expect_equal(lines$slope[[i]], predicted_at(fit, row, set) - at_mean)
  }
  expect_equal(levels(lines$facet), c("arm: priming", "arm: usual"))
  draw_wb("within-between of three levels with panels", plot_within_between(fit, x, max_persons = 30))
})

test_that("one line for persons and one for therapists, with their own slopes", {
  skip_if_not_installed("ggplot2")
  fit <- fit_therapists()
  plot <- plot(fit, "within-between")
  line <- ggplot2::ggplot_build(plot)$data[[2L]]
  slopes <- vapply(split(line, line$colour), function(part) diff(part$y) / diff(part$x), 0)
  expect_setequal(round(slopes, 10), round(unname(fixef(fit)[c("wai_between", "wai_between_therapist")]), 10))
  expect_equal(levels(plot$layers[[2]]$data$kind), c("within each person", "between persons", "between therapists"))
  draw_wb("within-between of therapists", plot)
})

test_that("the contextual form draws the same as the split form", {
  skip_if_not_installed("ggplot2")
  split <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  contextual <- hlm(bai ~ session + cx(wai) + (1 | id), implement)
  expect_equal(person_lines(contextual, "wai"), person_lines(split, "wai"), tolerance = 1e-6)
  layers <- function(fit) ggplot2::ggplot_build(plot_within_between(fit))$data[[2L]]
  expect_equal(layers(contextual)$y, layers(split)$y, tolerance = 1e-6)
})

test_that("detrended and lagged variables are drawn about the person's level", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(bai ~ session + wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session)
  plot <- plot_within_between(fit)
  expect_match(plot$labels$x, "own trend")
  lines <- person_lines(fit, "wai")
  means <- fit$means[[1]]
  expect_equal(lines$mean, as.vector(means$coef[, 1] + means$coef[, 2] * (1 - means$centre))[match(lines$person, means$persons)])
  lagged <- hlm(bai ~ session + wb(lagged(wai)) + (1 | id), implement, time = session)
  frame <- model.frame(lagged)
  expect_equal(person_lines(lagged, "wai_lag1")$slope, rep(fixef(lagged)[["wai_lag1_within"]], length(unique(frame$id))))
  expect_equal(plot_within_between(lagged, wai_lag1)$labels$x, "wai_lag1")
})

test_that("names with a colon or blanks split nothing", {
  skip_if_not_installed("ggplot2")
  d <- three_levels()
  names(d)[names(d) == "x"] <- "x: score"
  names(d)[names(d) == "severity"] <- "sev:erity"
  colon <- hlm(y ~ wb(`x: score`) + `sev:erity` + within(`x: score`):`sev:erity` + (1 + within(`x: score`) | therapist:patient), d)
  plain <- hlm(y ~ wb(x) + severity + within(x):severity + (1 + within(x) | therapist:patient), three_levels())
  expect_equal(person_lines(colon, "x: score"), person_lines(plain, "x"))
  expect_s3_class(ggplot2::ggplot_build(plot_within_between(colon, `x: score`))$plot, "ggplot")
})

test_that("a curve in the variable is refused", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(y ~ wb(x) + I(within(x)^2) + (1 | patient), synthetic_sessions())
  expect_error(plot_within_between(fit), "curve", class = "hlm_error_design")
})
