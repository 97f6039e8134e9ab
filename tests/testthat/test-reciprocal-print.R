implement_both <- function() {
  fit_once("implement_both", function() {
    reciprocal(implement, wai, bai, id, session, covariates = session, lags = c(xy = 1, yx = 0), labels = c(x = "alliance", y = "anxiety"))
  })
}

printed <- function(x) paste(utils::capture.output(print(x)), collapse = "\n")

test_that("print() has both directions, the differences between persons, the comparison, the words and the bias", {
  withr::local_options(width = 150)
  out <- printed(implement_both())
  for (part in c(
    "xy: alliance -> anxiety, the next session \\(633 rows of 57 persons\\)", "yx: anxiety -> alliance, the same session", "SD of slopes",
    "Other sign: expected", "xy minus yx", "In words", "Nickell", "Satterthwaite"
  )) {
    expect_match(out, part)
  }
  # covariates only in summary()
  expect_no_match(out, "covariate")
  full <- printed(summary(implement_both()))
  expect_match(full, "covariate")
  expect_match(full, "Random effects of yx")
})

test_that("the words say which session, which sign and whether it is clear", {
  words <- direction_words(implement_both(), "xy")
  expect_match(words, "^After a session with higher alliance than usual for this person, anxiety was neither clearly higher nor clearly lower")
  expect_match(direction_words(implement_both(), "yx"), "^In a session with higher anxiety than usual for this person, alliance was")
  r <- both_panel()
  clear <- direction_words(r, "xy")
  row <- r$effects[r$effects$role == "within" & r$effects$direction == "xy", ]
  expect_lt(row$p.value, 0.05)
  expect_match(clear, paste("y was", formatC(abs(row$estimate), digits = 2L, format = "fg", flag = "#"), "points lower for each point more"))
  changed <- suppressWarnings(reciprocal(reciprocal_panel(), x, y, person, session, outcome = "change", detrend = "x", random = "intercept"))
  expect_match(direction_words(changed, "xy"), "higher x than expected from the own course of this person, the change in y since then was")
})

test_that("a factor moderator, a boundary fit and other widths print without trouble", {
  for (width in c(60L, 150L)) {
    withr::local_options(width = width)
    r <- suppressMessages(reciprocal(reciprocal_panel(), x, y, person, session, moderators = group, lags = c(xy = 2, yx = 0)))
    out <- printed(r)
    expect_match(out, "changes \\*")
    expect_match(out, "2\\s+sessions\\s+after\\s+one")
    expect_match(out, "where\\s+the\\s+moderators\\s+are")
    boundary <- reciprocal(implement, wai, bai, id, session, outcome = "change", autoregression = FALSE)
    expect_match(printed(boundary), "boundary of what is possible")
  }
})

test_that("the printed account of the real trial stays as it is", {
  skip_on_cran()
  withr::local_options(width = 130)
  expect_snapshot(print(implement_both()))
})
