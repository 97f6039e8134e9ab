left_by <- function(dropout, n) 1 - cumprod(1 - dropout_hazards(parse_dropout(dropout), n))

test_that("words, numbers and functions say who has left by when", {
  expect_equal(left_by("mcar 22% by session 4", 4L)[[4L]], 0.22)
  expect_equal(left_by("22 percent by session 4", 4L), left_by(0.22, 4L))
  # the same chance at every session, none before the first; the rate goes on
  expect_equal(left_by("mcar 22% by session 4", 7L), 1 - 0.78^((0:6) / 3))
  expect_equal(left_by("MCAR 15% by session 4, 30% by session 10", 10L)[c(4, 10)], c(0.15, 0.30))
  # a point beyond the last session: its chance per session holds
  expect_equal(left_by("mar 30% by session 10", 4L)[[4L]], 1 - 0.7^(3 / 9))
  expect_equal(left_by(c(0, 0.1, 0.2), 3L), c(0, 0.1, 1 - 0.9 * 0.8))
  expect_equal(left_by(function(session) ifelse(session > 2, 0.1, 0), 4L), c(0, 0, 0.1, 0.19))
  # a function that takes one session at a time
  expect_equal(left_by(function(session) if (session > 2) 0.1 else 0, 3L), c(0, 0, 0.1))
  expect_equal(left_by("none", 3L), numeric(3))
  expect_equal(left_by(NULL, 1L), 0)
})

test_that("dropout that depends on the outcome has odds", {
  expect_equal(parse_dropout("mar 30% by session 10")$odds, 2)
  expect_equal(parse_dropout("mar 30% by session 10, odds 1.5 per SD")$odds, 1.5)
  expect_equal(parse_dropout("mcar 30% by session 10")$odds, 1)
})

test_that("what is not understood is an error that shows how to say it", {
  for (bad in list("some", "mcar", "22% by session 1", "mnar 10% by session 4", "20% by session 4, 10% by session 8", "mcar 20% by session 4, odds 2",
    "mar 20% by session 4, odds x", "120% by session 4", -0.1, 1, c(0, NA), TRUE, list("a", 1))) {
    expect_error(parse_dropout(bad), "dropout", class = "hlm_error_data")
  }
  expect_error(left_by(c(0, 0.1), 3L), "2 hazards", class = "hlm_error_data")
  expect_error(left_by(function(session) 2, 3L), "chances", class = "hlm_error_data")
  expect_error(left_by(function(session) stop("no"), 3L), "no", class = "hlm_error_data")
})
