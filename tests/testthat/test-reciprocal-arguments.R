test_that("detrend takes words, flags, degrees and names", {
  expect_identical(parse_detrend(c("none", "x", "y", "both")), c(x = 0L, y = 0L))
  expect_identical(parse_detrend("x"), c(x = 1L, y = 0L))
  expect_identical(parse_detrend("both"), c(x = 1L, y = 1L))
  expect_identical(parse_detrend(TRUE), c(x = 1L, y = 1L))
  expect_identical(parse_detrend(FALSE), c(x = 0L, y = 0L))
  expect_identical(parse_detrend(2), c(x = 2L, y = 2L))
  expect_identical(parse_detrend(c(y = 2)), c(x = 0L, y = 2L))
  for (bad in list("z", 1.5, 7, c(1, 2), NA, NULL)) expect_error(parse_detrend(bad), class = "hlm_error")
})

test_that("lags take one number, two, or names in any order", {
  expect_identical(parse_lags(2), c(xy = 2L, yx = 2L))
  expect_identical(parse_lags(c(1, 0)), c(xy = 1L, yx = 0L))
  expect_identical(parse_lags(c(yx = 0, xy = 1)), c(xy = 1L, yx = 0L))
  for (bad in list("a", 1.5, c(1, NA), 1:3, c(xy = 1, xy = 1), 0)) expect_error(parse_lags(bad), class = "hlm_error_formula")
})

test_that("terms are names, formulas, lists for each direction, or variables that hold these", {
  expect_terms <- function(expr, xy, yx = xy) {
    caller <- rlang::env(held = ~ b * c, words = c("b", "c"), none = NULL, each = list(xy = ~b))
    expect_equal(capture_terms(expr, c("a", "b", "c"), caller, "moderators"), list(xy = xy, yx = yx), ignore_attr = "names")
  }
  expect_terms(NULL, NULL)
  expect_terms(quote(a), quote(a))
  expect_terms("a", quote(a))
  expect_terms(quote(c(a, b)), quote(a + b))
  expect_terms(quote(~ a:b), quote(a:b))
  expect_terms(quote(held), quote(b * c))
  expect_terms(quote(words), quote(b + c))
  expect_terms(quote(none), NULL)
  expect_terms(quote(list(xy = a, yx = ~ b + c)), quote(a), quote(b + c))
  expect_terms(quote(each), quote(b), NULL)
  expect_error(capture_terms(quote(d), "a", environment(), "moderators"), class = "hlm_error_data")
  expect_error(capture_terms(quote(a:b), c("a", "b"), environment(), "moderators"), class = "hlm_error_formula")
})

test_that("random takes words, formulas and text with a bar", {
  expect_identical(capture_random("slope", environment())$xy, "slope")
  expect_identical(capture_random("int", environment())$yx, "intercept")
  expect_identical(capture_random(quote(~ 1 | a / b), environment())$xy, quote(1 | a / b))
  expect_identical(capture_random("~ 1 | a", environment())$xy, quote(1 | a))
  expect_identical(capture_random(quote(list(xy = "intercept")), environment()), list(xy = "intercept", yx = "slope"))
  expect_error(capture_random(3, environment()), class = "hlm_error_formula")
})

test_that("autoregression follows the outcome unless it is given", {
  expect_identical(parse_autoregression(NULL, "level"), "raw")
  expect_identical(parse_autoregression(NULL, "change"), "none")
  expect_identical(parse_autoregression(TRUE, "change"), "raw")
  expect_identical(parse_autoregression("within", "level"), "within")
  expect_error(parse_autoregression("other", "level"), class = "hlm_error_design")
  expect_identical(parse_outcome("residualized"), "residualised")
})

test_that("an argument that neither reciprocal() nor hlm() knows is named", {
  expect_error(reciprocal(implement, wai, bai, id, session, foo = 1), "foo", class = "hlm_error_formula")
  expect_silent(check_passed_on(alist(weights = w)))
})
