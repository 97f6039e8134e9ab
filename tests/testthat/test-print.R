test_that("print() shows the sections a reader looks for", {
  out <- utils::capture.output(print(fit_therapy()))
  for (part in c("Formula:", "Data", "Fixed effects", "Within-patient effects", "Random effects", "summary\\(fit\\)")) {
    expect_match(paste(out, collapse = "\n"), part)
  }
})

test_that("columns are aligned and keep small coefficients readable", {
  shown <- format_column(c(251.4, 0.0341, -10.5), 4L)
  expect_equal(shown, c("251.400", "0.034", "-10.500"))
  expect_equal(format_column(c(1.5, NA), 3L), c("1.50", ""))
  expect_equal(format_column(c(0, 0), 3L), c("0", "0"))
  expect_match(format_column(1.2e9, 4L), "e\\+09")
  expect_match(format_column(3.4e-8, 4L), "e-08")
})

test_that("estimates and standard errors share their decimals", {
  expect_equal(unname(format_effects(c(251.405, 10.467), c(6.825, 1.546), 4L)[, 1]), c("251.41", "10.47"))
  expect_equal(unname(format_effects(c(-0.04606, 0.001), c(0.0588, 0.00301), 4L)[, 2]), c("0.0588", "0.0030"))
  expect_equal(unname(format_effects(123456, 5000, 4L)[1, ]), c("123456", "5000"))
  expect_match(format_effects(c(250, 3e-9), c(6, 2e-10), 4L)[2, 1], "e-09")
})

test_that("p values are printed as clinicians' journals do", {
  expect_equal(format_p(c(0.0004, 0.04, 1, NA)), c("<0.001", "0.040", "1.000", ""))
})

test_that("nested groups are told as such, cross-classified ones are not", {
  expect_equal(plain_group(c("patient:therapist", "therapist")), c("patient in therapist", "therapist"))
  expect_equal(
    plain_group(c("session:(patient:therapist)", "patient:therapist", "therapist")),
    c("session in patient in therapist", "patient in therapist", "therapist")
  )
  expect_equal(plain_group(c("s", "dept:service")), c("s", "dept and service"))
})

test_that("an aliased predictor is named as left out", {
  d <- therapy_data()
  d$twice <- 2 * d$session
  fit <- suppressMessages(suppressWarnings(hlm(distress ~ session + twice + (1 | patient), d)))
  expect_output(print(fit), "left out of the model: twice")
  expect_named(fixef(fit), c("(Intercept)", "session"))
  expect_true(is.na(fixef(fit, add.dropped = TRUE)[["twice"]]))
})

test_that("the printed output keeps its layout", {
  # Numbers are tested elsewhere; here only what stands around them.
  blank <- function(lines) gsub("<?-?[0-9]+\\.?[0-9]*", "#", gsub(" {2,}", "  ", lines))
  expect_snapshot(print(fit_therapy()), transform = blank)
  expect_snapshot(print(summary(fit_therapy())), transform = blank)
})

test_that("blank lines separate the sections one at a time, at the boundary too", {
  d <- data.frame(person = rep(1:10, each = 4), x = rep(c(-1, 0, 0, 1), 10))
  d$y <- rep(1:10, each = 4) + 0.1 * rep(c(1, -1, -1, 1), 10)
  fit <- hlm(y ~ x + (x | person), d)
  expect_identical(fit$core$status, "boundary")
  for (show in list(fit, summary(fit))) {
    lines <- utils::capture.output(print(show))
    expect_match(lines, "boundary of what is possible", all = FALSE)
    blank <- lines == ""
    expect_false(any(blank[-1L] & blank[-length(blank)]))
  }
})

test_that("a table wider than the line is folded into blocks that repeat its first columns; headings take no room", {
  table <- rbind(
    c("a heading longer than all the names below", "", "", ""), c("one", "within", "1.25", "[0.10, 2.40]"), c("two", "between", "-3.00", "[-4, -2]")
  )
  colnames(table) <- c("", " ", "Estimate", "Interval")
  lines <- function(width, fold) {
    withr::local_options(width = width)
    utils::capture.output(print_table(table, right = 3:4, fold = fold))
  }
  whole <- lines(80, 2L)
  expect_length(whole, 4L)
  expect_identical(whole[[3L]], " one  within       1.25  [0.10, 2.40]")
  expect_identical(lines(nchar(whole[[3L]]), 2L), whole)
  folded <- lines(nchar(whole[[3L]]) - 1L, 2L)
  expect_length(folded, 8L)
  expect_identical(folded[c(3L, 7L)], c(" one  within       1.25", " one  within   [0.10, 2.40]"))
  expect_identical(folded[c(2L, 6L)], rep(paste0(" ", table[1L, 1L]), 2L))
  expect_length(lines(20, 0L), 4L)
  expect_length(lines(10, 2L), 8L)
})
