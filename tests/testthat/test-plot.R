built <- function(plot) ggplot2::ggplot_build(plot)$data

test_that("the residual plots show every row", {
  skip_if_not_installed("ggplot2")
  fit <- fit_therapy()
  points <- built(plot(fit))[[2L]]
  expect_equal(points$x, unname(fitted(fit)))
  expect_equal(points$y, unname(residuals(fit, "scaled")))
  expect_equal(sort(built(plot(fit, "qq"))[[3L]]$y), sort(unname(residuals(fit, "scaled"))))
})

test_that("the caterpillar plot shows each group's deviation and its limits", {
  skip_if_not_installed("ggplot2")
  fit <- fit_therapy()
  drawn <- built(plot(fit, "ranef", group = "therapist"))
  values <- tidy(fit, effects = "ran_vals", conf.int = TRUE)
  values <- values[values$group == "therapist", ]
  expect_equal(sort(drawn[[3L]]$x), sort(values$estimate))
  expect_equal(sort(drawn[[2L]]$xmin), sort(values$conf.low))
  expect_error(plot(fit, "ranef", group = "clinic"), class = "hlm_error_data")
})

test_that("a nested factor answers to its own name; what is no grouping factor is named", {
  fit <- hlm(bai ~ session + (1 | therapist / id), implement)
  expect_identical(check_group(fit, "id"), "id:therapist")
  expect_identical(check_group(fit, "therapist"), "therapist")
  for (bad in list("session", c("id", "therapist"), 1, NA, NA_character_)) expect_error(check_group(fit, bad), "therapist", class = "hlm_error_data")
})
