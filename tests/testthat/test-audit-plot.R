drawn <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
audited <- function() audit(implement, y = bai, x = wai, id = id, time = session)

test_that("the map: one cell per person and session, in its state", {
  skip_if_not_installed("ggplot2")
  d <- data.frame(id = rep(c("a", "b", "c"), c(3, 2, 4)), t = c(1, 2, 4, 3, 4, 1:4), y = c(1:3, 4, NA, 6:9), x = c(1, NA, 3, 4, NA, 6:9))
  a <- audit(d, y = y, x = x, id = id, time = t)
  plot <- plot(a)
  state <- with(plot$data, tapply(as.character(state), list(person, time), identity))
  # longest first: a (row 2 or 1) and c end at 4, c has more; b ends at 3
  expect_identical(unname(state["1", ]), rep("measured", 4))
  expect_identical(unname(state["2", ]), c("measured", "in part", "missed in between", "measured"))
  expect_identical(unname(state["3", ]), c("before the first", "before the first", "measured", "after the last"))
  # one variable alone
  one <- plot(a, "map", variable = "x")
  state <- with(one$data, tapply(as.character(state), list(person, time), identity))
  expect_identical(unname(state["2", ]), c("measured", "missed in between", "missed in between", "measured"))
  drawn("audit map of implement", plot(audited()))
  drawn("audit map of a few persons", plot(audit(implement[implement$id <= 12, ], y = bai, x = wai, id = id, time = session)))
})

test_that("the map without a common spacing", {
  skip_if_not_installed("ggplot2")
  odd <- withr::with_seed(3, transform(audit_clean(), session = session + round(stats::runif(720, 0, 0.9), 2)))
  plot <- plot(audit_call(odd))
  expect_false("missed in between" %in% levels(plot$data$state))
  # 40 intervals
  expect_identical(length(unique(plot$data$time)), 40L)
  drawn("audit map without a common spacing", plot)
})

test_that("who stays: shares by session and Wilson's limits", {
  skip_if_not_installed("ggplot2")
  plot <- plot(audited(), "dropout")
  known <- implement[!is.na(implement$bai) | !is.na(implement$wai), ]
  last <- tapply(known$session, known$id, max)
  stay <- plot$data[plot$data$kind == levels(plot$data$kind)[[1L]], ]
  here <- plot$data[plot$data$kind == levels(plot$data$kind)[[2L]], ]
  expect_equal(stay$share, vapply(1:15, function(t) mean(last >= t), 0))
  expect_equal(here$share, as.vector(table(known$session)) / 57)
  limits <- stats::prop.test(sum(last >= 15), 57, correct = FALSE)$conf.int
  expect_equal(c(stay$low[[15L]], stay$high[[15L]]), as.vector(limits))
  drawn("audit dropout of implement", plot)
  drawn("audit dropout of one variable", plot(audited(), "dropout", variable = "wai"))
})

test_that("means by session with t limits", {
  skip_if_not_installed("ggplot2")
  plot <- plot(audited(), "trend")
  row <- plot$data[plot$data$variable == "wai" & plot$data$time == 5, ]
  test <- stats::t.test(implement$wai[implement$session == 5])
  expect_equal(row$mean, test$estimate[[1L]])
  expect_equal(c(row$low, row$high), as.vector(test$conf.int))
  expect_equal(row$n, sum(!is.na(implement$wai[implement$session == 5])))
  drawn("audit trend of implement", plot)
})

test_that("the ends of the scale", {
  skip_if_not_installed("ggplot2")
  d <- changed(audit_data_cases()$floor_ceiling$change)
  a <- audit(transform(d, arm2 = rep(1:4, 180)), y = y, x = c(x, arm2), id = patient, time = session, scale = list(arm2 = c(1, 4)))
  plot <- plot(a, "bounds")
  shares <- tapply(plot$data$share, plot$data$variable, sum)
  expect_equal(as.vector(shares), c(1, 1, 1))
  expect_match(levels(plot$data$variable)[[1L]], "25 % at", fixed = TRUE)
  # in colour: the bar that holds the floor of y, both ends of arm2
  expect_identical(as.vector(tapply(plot$data$end, plot$data$variable, sum)), c(1L, 0L, 2L))
  drawn("audit bounds", plot)
})

test_that("what cannot be drawn is an error", {
  skip_if_not_installed("ggplot2")
  a <- audit(implement, y = bai, id = id)
  expect_error(plot(a, "map"), "without", class = "hlm_error_data")
  expect_error(plot(a, "bounds", variable = "wai"), "audited variables", class = "hlm_error_data")
  expect_error(plot(a, "heat"), class = "hlm_error")
  expect_s3_class(plot(a, "bounds"), "ggplot")
})

test_that("a fit is drawn like its data", {
  skip_if_not_installed("ggplot2")
  fit <- hlm(bai ~ wb(lagged(wai)) + (1 | id), implement, time = session)
  expect_equal(plot(audit(fit), "dropout")$data, plot(audited(), "dropout")$data)
})
