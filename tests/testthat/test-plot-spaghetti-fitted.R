drawn <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
fit_spaghetti <- function() {
  fit_once("spaghetti", function() {
    hlm(y ~ session + wb(x) + arm + (1 + session | therapist:patient), three_levels(), time = session)
  })
}

test_that("fitted lines are the fitted values, the thick line is the mean prediction with its interval", {
  skip_if_not_installed("ggplot2")
  fit <- fit_spaghetti()
  plot <- plot_spaghetti(fit, fitted = TRUE)
  layers <- ggplot2::ggplot_build(plot)$data
  frame <- model.frame(fit)
  expect_equal(sort(layers[[2]]$y), sort(unname(fitted(fit))))
  mean_x <- rowsum(model.matrix(fit), frame$session) / as.vector(table(frame$session))
  tests <- contest(fit, mean_x, joint = FALSE)
  expect_equal(layers[[4]]$y, tests$Estimate)
  expect_equal(layers[[3]]$ymin, tests$lower)
  expect_equal(layers[[5]]$y, as.vector(tapply(frame$y, frame$session, mean)))
  drawn("spaghetti with fitted lines", plot)
})

test_that("panels by a category have their own mean course", {
  skip_if_not_installed("ggplot2")
  fit <- fit_spaghetti()
  plot <- plot_spaghetti(fit, fitted = TRUE, group = arm, mean = FALSE)
  frame <- model.frame(fit)
  fixed <- predict(fit, re.form = NA)
  expect_equal(ggplot2::ggplot_build(plot)$data[[4]]$y, as.vector(tapply(fixed, list(frame$session, frame$arm), mean)))
  drawn("spaghetti with fitted lines by arm", plot)
})

test_that("a panel per person: a number of them spread over their means, or those named", {
  skip_if_not_installed("ggplot2")
  fit <- fit_spaghetti()
  plot <- plot_spaghetti(fit, fitted = TRUE, persons = 12)
  expect_length(unique(plot$data$panel), 12)
  means <- tapply(fit$design$y, fit$design$groups[[1]]$codes, mean)
  lowest <- fit$design$groups[[1]]$levels[which.min(means)]
  expect_true(lowest %in% plot$data$id)
  shown <- plot$data[plot$data$id == lowest, ]
  expect_equal(sort(shown$fitted), sort(unname(fitted(fit)[fit$design$groups[[1]]$codes == which.min(means)])))
  drawn("a panel for each of twelve persons", plot)
  two <- plot_spaghetti(implement, bai, id, session, persons = c(3, 1))
  expect_equal(levels(two$data$panel), c("3", "1"))
  expect_length(two$layers, 2)
  coloured <- plot_spaghetti(implement, bai, id, session, group = therapist, persons = 4)
  expect_s3_class(ggplot2::ggplot_build(coloured)$plot, "ggplot")
})

test_that("scattered times have a course in intervals", {
  skip_if_not_installed("ggplot2")
  d <- three_levels()
  d$day <- d$session * 7 + sin(seq_len(nrow(d)))
  fit <- hlm(y ~ day + (1 | therapist:patient), d, time = day)
  expect_equal(nrow(ggplot2::ggplot_build(plot_spaghetti(fit, fitted = TRUE))$data[[4]]), length(unique(time_cells(d$day))))
})

test_that("fitted lines need a fit and its own outcome; persons must exist", {
  skip_if_not_installed("ggplot2")
  fit <- fit_spaghetti()
  bad <- expression(
    plot_spaghetti(three_levels(), y, patient, session, fitted = TRUE), plot_spaghetti(fit, outcome = x, fitted = TRUE),
    plot_spaghetti(fit, persons = c("a", "b")), plot_spaghetti(fit, persons = 0), plot_spaghetti(fit, persons = NA), plot_spaghetti(fit, fitted = NA)
  )
  for (call in as.list(bad)) expect_error(eval(call), class = "hlm_error", label = deparse1(call))
})
