column_names <- function(formula) {
  unname(vapply(parse_formula(formula, time = "t")$columns, `[[`, "", "name"))
}

test_that("names of columns made from expressions are cleaned", {
  expect_equal(column_names(y ~ within(log(x)) + (1 | g)), "log_x_within")
  expect_equal(column_names(y ~ within(I(x^2)) + (1 | g)), "I_x_2_within")
  expect_equal(column_names(y ~ within(`my x`) + (1 | g)), "my x_within")
  expect_equal(column_names(y ~ lagged(x, n = -1) + (1 | g)), "x_lead1")
})

test_that("mean-centred and detrended parts of one variable have different names", {
  expect_equal(column_names(y ~ within(x, detrend = TRUE) + between(x) + (1 | g)), c("x_within", "x_between"))
  expect_setequal(
    column_names(y ~ within(x) + within(x, detrend = TRUE) + (1 | g)), c("x_within", "x_within_detrend")
  )
  expect_setequal(
    column_names(y ~ between(x, detrend = TRUE, at = 0) + between(x, detrend = TRUE, at = 4) + (1 | g)),
    c("x_between_detrend_at0", "x_between_detrend_at4")
  )
})

test_that("two meanings of one name are refused", {
  expect_error(
    parse_formula(y ~ between(x) + between(x, level = "th") + (1 | g)), "two different columns",
    class = "hlm_error_formula"
  )
})

test_that("the same call twice makes one column", {
  expect_equal(column_names(y ~ within(x) + within(x):w + (within(x) | g)), "x_within")
})

test_that("arguments may be variables", {
  degree <- 2
  spec <- parse_formula(y ~ within(x, detrend = degree) + (1 | g), time = "t")
  expect_equal(spec$columns[[1]]$degree, 2L)
  where <- "therapist"
  expect_equal(parse_formula(y ~ between(x, level = where) + (1 | g))$columns[[2]]$name, "x_between_therapist")
})

test_that("terms that are not defined say so", {
  refused <- function(formula, text) {
    expect_error(parse_formula(formula, time = "t"), text, class = "hlm_error_formula")
  }
  refused(y ~ lagged(within(x)) + (1 | g), "within\\(lagged\\(x\\)\\)")
  refused(y ~ within(between(x)) + (1 | g), "not defined")
  refused(y ~ within(2 * lagged(x)) + (1 | g), "not defined")
  refused(y ~ within(x, degree = 2) + (1 | g), "not understood")
  refused(y ~ within() + (1 | g), "of which variable")
  refused(y ~ within(x, detrend = "yes") + (1 | g), "detrend")
  refused(y ~ within(x, detrend = 9) + (1 | g), "detrend")
  refused(y ~ lagged(x, n = 0) + (1 | g), "whole number")
  refused(y ~ lagged(x, n = 1.5) + (1 | g), "whole number")
  refused(y ~ between(x, level = 3) + (1 | g), "level")
  refused(y ~ between(x, detrend = TRUE, at = "start") + (1 | g), "at")
  refused(y ~ log(wb(x)) + (1 | g), "several columns")
  refused(within(y) ~ x + (1 | g), "the outcome")
  refused(y ~ x + (1 | within(g)), "grouping factor")
})
