audit_drawn <- function() fit_once("audit_drawn", function() {
  audit(implement, y = bai, x = wai, id = id, time = session, level = therapist)
})

test_that("the map has a cell for every person and session", {
  skip_if_not_installed("ggplot2")
  drawn <- ggplot2::ggplot_build(plot(audit_drawn(), "map"))$data
  expect_gte(max(vapply(drawn, nrow, 0L)), 57L * 15L)
})

test_that("the curve of staying counts persons", {
  skip_if_not_installed("ggplot2")
  plot <- plot(audit_drawn(), "dropout")
  last <- with(implement[!is.na(implement$bai) | !is.na(implement$wai), ], tapply(session, id, max))
  share <- vapply(1:15, function(t) mean(last >= t), 0)
  values <- unlist(lapply(ggplot2::ggplot_build(plot)$data, `[[`, "y"))
  for (value in share) expect_true(any(abs(values - value) < 1e-9))
})

test_that("the pictures of an audit", {
  skip_if_not_installed("vdiffr")
  for (which in c("map", "dropout", "trend", "bounds")) vdiffr::expect_doppelganger(paste("audit", which), plot(audit_drawn(), which))
})

test_that("what cannot be drawn is said", {
  skip_if_not_installed("ggplot2")
  expect_error(plot(audit_drawn(), "zzz"), class = "hlm_error")
  expect_error(plot(audit_drawn(), variable = "nope"), "nope|wai", class = "hlm_error_data")
  expect_error(plot(audit(implement, y = bai, x = wai, id = id)), "time", class = "hlm_error_data")
})
