drawn <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
fit_courses <- function() {
  fit_once("courses", function() {
    hlm(y ~ session * within(x) + between(x) + within(x):arm + within(x):between(x) + arm + (1 + within(x) | therapist:patient), three_levels(), time = session)
  })
}
by_course <- function(plot, course, panel = 1L) {
  data <- plot$data
  data <- data[data$course == course & as.integer(data$panel) == panel, ]
  data[order(data$time), ]
}

test_that("mean courses are averages of predict() at each time, and so is the difference", {
  skip_if_not_installed("ggplot2")
  fit <- fit_courses()
  session <- model.frame(fit)$session
  plot <- plot_trajectories(fit, c(x = 1))
  base <- predict(fit, re.form = NA)
  moved <- predict(fit, re.form = NA, shift = c(x = 1))
  expect_equal(by_course(plot, "as observed")$estimate, as.vector(tapply(base, session, mean)))
  expect_equal(by_course(plot, "shifted")$estimate, as.vector(tapply(moved, session, mean)))
  expect_equal(by_course(plot, "difference")$estimate, as.vector(tapply(moved - base, session, mean)))
  # the interval of the difference is that of the combination of coefficients, by contest()
  change <- design_newdata(fit, shift = c(x = 1))$x - design_newdata(fit)$x
  l <- rowsum(change, session) / as.vector(table(session))
  tests <- contest(fit, l, joint = FALSE)
  expect_equal(by_course(plot, "difference")$lower, tests$lower)
  expect_equal(by_course(plot, "difference")$upper, tests$upper)
  expect_match(plot$labels$subtitle, paste0("Average difference ", formatC(mean(moved - base), format = "f", digits = 3)), fixed = TRUE)
  drawn("courses with alliance one point up", plot)
})

test_that("panels: a category splits the rows, a number is set to values", {
  skip_if_not_installed("ggplot2")
  fit <- fit_courses()
  frame <- model.frame(fit)
  plot <- plot_trajectories(fit, c(x = 1), by = arm)
  change <- predict(fit, re.form = NA, shift = c(x = 1)) - predict(fit, re.form = NA)
  usual <- frame$arm == "usual"
  expect_equal(by_course(plot, "difference", 2)$estimate, as.vector(tapply(change[usual], frame$session[usual], mean)))
  drawn("courses by arm", plot)
  # a number: the persons' mean plus and minus one SD, set in every row
  plot <- plot_trajectories(fit, c(x = 1), by = "x_between")
  once <- frame$x_between[!duplicated(paste(frame$therapist, frame$patient))]
  slope <- function(value) {
    b <- fixef(fit)
    b[["x_within"]] + b[["session:x_within"]] * frame$session + b[["x_within:armusual"]] * usual + b[["x_within:x_between"]] * value
  }
  for (k in 1:3) {
    expect_equal(by_course(plot, "difference", k)$estimate, as.vector(tapply(slope(mean(once) + (k - 2) * sd(once)), frame$session, mean)))
  }
  drawn("courses by the person's mean", plot)
})

test_that("persons: their own predictions, standard errors of predict(), the error of the difference by dense algebra", {
  skip_if_not_installed("ggplot2")
  fit <- fit_courses()
  ids <- fit$design$groups[[1]]$levels[c(2, 5)]
  plot <- plot_trajectories(fit, c(x = 1), persons = ids)
  codes <- fit$design$groups[[1]]$codes
  mine <- which(codes == 2)
  mine <- mine[order(model.frame(fit)$session[mine])]
  base <- predict(fit, se.fit = TRUE)
  expect_equal(by_course(plot, "as observed")$estimate, unname(base$fit[mine]))
  expect_equal(by_course(plot, "as observed")$upper, unname(base$fit[mine] + qnorm(0.975) * base$se.fit[mine]))
  expect_equal(by_course(plot, "difference")$estimate, unname(predict(fit, shift = c(x = 1)) - base$fit)[mine])
  change <- design_newdata(fit, shift = c(x = 1))$x - design_newdata(fit)$x
  dense <- dense_slopes(fit, change[mine, ], dense_slope_z(fit, "x_within", list(rep(2L, length(mine)))))
  expect_equal(by_course(plot, "difference")$upper - by_course(plot, "difference")$estimate, qnorm(0.975) * sqrt(dense$variance))
  expect_match(levels(plot$data$panel)[[1]], "\\[")
  drawn("courses of six persons", plot_trajectories(fit, c(x = 1), persons = 6))
})

test_that("levels above, lagged, detrended and contextual variables", {
  skip_if_not_installed("ggplot2")
  three <- fit_therapists()
  expect_equal(
    by_course(plot_trajectories(three, c(wai = 1), "therapist"), "difference")$estimate, rep(fixef(three)[["wai_between_therapist"]], 15)
  )
  lagged <- hlm(bai ~ session + wb(lagged(wai)) + lagged(bai) + (1 | id), implement, time = session)
  difference <- by_course(plot_trajectories(lagged, c(wai_lag1 = -2)), "difference")
  expect_equal(difference$estimate, rep(-2 * fixef(lagged)[["wai_lag1_within"]], 14))
  expect_equal(difference$time, 2:15)
  detrended <- hlm(bai ~ session + wb(wai, detrend = TRUE) + (1 | id), implement, time = session)
  expect_equal(by_course(plot_trajectories(detrended, c(wai = 1)), "difference")$estimate, rep(fixef(detrended)[["wai_within"]], 15))
  contextual <- hlm(bai ~ session + cx(wai) + (1 | id), implement, time = session)
  expect_equal(
    by_course(plot_trajectories(contextual, c(wai = 1), "between"), "difference")$estimate, rep(sum(fixef(contextual)[c("wai", "wai_between")]), 15)
  )
})

test_that("dates, an offset and rows without a time", {
  skip_if_not_installed("ggplot2")
  d <- implement
  d$day <- as.Date("2020-01-01") + 7 * d$session
  d$known <- d$session / 10
  d$day[d$session == 3] <- NA
  fit <- hlm(bai ~ session + wb(wai) + (1 | id), d, time = day, offset = known)
  plot <- plot_trajectories(fit, c(wai = 1))
  data <- by_course(plot, "as observed")
  expect_s3_class(data$time, "Date")
  frame <- model.frame(fit)
  use <- frame$session != 3
  expect_equal(data$estimate, as.vector(tapply(predict(fit, re.form = NA)[use], frame$session[use], mean)))
  expect_s3_class(ggplot2::ggplot_build(plot)$plot, "ggplot")
})

test_that("what cannot be asked is a classed error", {
  skip_if_not_installed("ggplot2")
  fit <- fit_courses()
  expect_error(plot_trajectories(fit), "shift", class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(nothere = 1)), class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(x = 1), "clinic"), class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(x = 1), by = "nothere"), class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(x = 1), by = x), "split", class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(x = 1), by = arm, persons = 2), "not both", class = "hlm_error_data")
  expect_error(plot_trajectories(fit, c(x = 1), persons = "nobody"), "nobody", class = "hlm_error_data")
  no_time <- hlm(y ~ session + wb(x) + (1 | therapist:patient), three_levels())
  expect_error(plot_trajectories(no_time, c(x = 1)), "time", class = "hlm_error_data")
  expect_s3_class(plot_trajectories(no_time, c(x = 1), time = session), "ggplot")
})
