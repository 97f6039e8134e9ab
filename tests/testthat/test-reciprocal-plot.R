path_data <- function(r) {
  boxes <- path_boxes(r)
  list(boxes = boxes, arrows = path_arrows(r, boxes))
}

test_that("the arrows start and end at the sessions that the lags say", {
  r <- reciprocal(implement, wai, bai, id, session, lags = c(xy = 1, yx = 0))
  drawn <- path_data(r)
  expect_setequal(drawn$boxes$name, c("x_before", "y_before", "x_now", "y_now"))
  cross <- drawn$arrows[drawn$arrows$role == "within", ]
  # alliance before -> anxiety now: from left to right, downwards
  expect_lt(cross$x[[1L]], cross$xend[[1L]])
  expect_gt(cross$y[[1L]], cross$yend[[1L]])
  # anxiety now -> alliance now: upwards within the later session
  expect_equal(cross$x[[2L]], cross$xend[[2L]])
  expect_lt(cross$y[[2L]], cross$yend[[2L]])
})

test_that("labels are the coefficients, dashes what includes zero", {
  r <- both_panel()
  drawn <- path_data(r)$arrows
  row <- r$effects[r$effects$role == "within" & r$effects$direction == "xy", ]
  mine <- drawn[drawn$role == "within", ][1L, ]
  expect_match(mine$label, formatC(row$estimate, digits = 2L, format = "fg", flag = "#"), fixed = TRUE)
  expect_match(mine$label, paste0("(", formatC(row$std.estimate, format = "f", digits = 2L), ")"), fixed = TRUE)
  expect_identical(mine$linetype, "solid")
  expect_identical(lengths(regmatches(mine$label, gregexpr("*", mine$label, fixed = TRUE))), sum(row$p.value < c(0.05, 0.01, 0.001)))
  trial <- reciprocal(implement, wai, bai, id, session)
  expect_identical(path_data(trial)$arrows$linetype[path_data(trial)$arrows$role == "within"][[1L]], "22")
})

test_that("boxes without an arrow are left out", {
  r <- suppressWarnings(reciprocal(reciprocal_panel(), x, y, person, session, lags = c(xy = 1, yx = 0), autoregression = FALSE))
  expect_setequal(path_boxes(r)$name, c("x_before", "x_now", "y_now"))
})

test_that("the pictures", {
  skip_if_not_installed("vdiffr")
  skip_if_not_installed("ggplot2")
  trial <- reciprocal(implement, wai, bai, id, session, covariates = session, lags = c(xy = 1, yx = 0), labels = c(x = "alliance", y = "anxiety"))
  vdiffr::expect_doppelganger("alliance and anxiety, before and after", plot(trial))
  vdiffr::expect_doppelganger("panel, both lagged", plot(both_panel()))
  concurrent <- suppressWarnings(reciprocal(reciprocal_panel(), x, y, person, session, concurrent = TRUE, outcome = "change"))
  vdiffr::expect_doppelganger("panel, concurrent, change", plot(concurrent))
})
