codes_of <- function(x) engine_call(group_codes(x))
sums_of <- function(x, codes, n) engine_call(group_sums(x, codes, n))

# what group_codes() promises, in plain R
expect_codes <- function(x, keys = x) {
  got <- codes_of(x)
  seen <- unique(keys[!is.na(keys)])
  expected <- match(keys, seen)
  expected[is.na(keys)] <- 0L
  expect_identical(got$codes, expected)
  expect_identical(got$first, match(seen, keys))
}

test_that("codes number the groups by first appearance, whatever the type", {
  expect_codes(c(7L, 7L, 3L, NA, 3L, 7L, NA, 12L))
  expect_codes(c(2.5, -1, 2.5, NA, NaN, 1e300, -Inf, Inf, -1))
  expect_codes(c("b", "a", NA, "b", "", "NA", "a"))
  expect_codes(factor(c("u", "v", NA, "u")), c("u", "v", NA, "u"))
  expect_codes(1:10)
  expect_codes(integer())
  expect_codes(double())
  expect_codes(character())
  expect_codes(c(NA_integer_, NA_integer_), c(NA_character_, NA))
})

test_that("sorted, clumped and shuffled ids agree with match() at a size where tables grow", {
  set.seed(1)
  id <- rep(1:3000, each = 5)
  expect_codes(id)
  expect_codes(sample(id))
  expect_codes(rev(id))
  # too wide a range for a table of slots
  expect_codes(sample(id) * 700000L)
  expect_codes(sample(id) * 0.1)
  expect_codes(as.character(sample(id)))
  expect_codes(c(-.Machine$integer.max, .Machine$integer.max, -.Machine$integer.max))
})

test_that("the two zeros are one person", {
  expect_identical(codes_of(c(0, -0, 0))$codes, c(1L, 1L, 1L))
})

test_that("one text in two encodings is one person", {
  utf8 <- "Jos\u00e9"
  latin1 <- iconv(utf8, "UTF-8", "latin1")
  expect_identical(Encoding(latin1), "latin1")
  expect_identical(codes_of(c("Ana", utf8, latin1, "Bo", utf8)), list(codes = c(1L, 2L, 2L, 3L, 2L), first = c(1L, 2L, 4L)))
})

test_that("other types are refused with a classed error", {
  expect_error(codes_of(list(1, 2)), class = "hlm_error_data")
  expect_error(codes_of(TRUE), class = "hlm_error_data")
  expect_error(sums_of("a", 1L, 1L), class = "hlm_error_data")
})

test_that("sums skip missing values and rows without a group", {
  x <- c(1, 2, NA, 4, NaN, 6)
  codes <- c(1L, 2L, 2L, 0L, 1L, NA)
  expect_identical(sums_of(x, codes, 3L), list(sum = c(1, 2, 0), count = c(1L, 1L, 0L)))
  expect_identical(sums_of(c(3L, NA, -5L), c(1L, 1L, 1L), 1L), list(sum = -2, count = 2L))
  expect_identical(sums_of(double(), integer(), 0L), list(sum = double(), count = integer()))
})

test_that("sums agree with rowsum() and keep infinities", {
  set.seed(2)
  codes <- sample(40L, 2000, TRUE)
  x <- rnorm(2000, 50)
  expect_equal(sums_of(x, codes, 40L)$sum, as.vector(rowsum(x, codes)), tolerance = 1e-14)
  expect_identical(sums_of(x, codes, 40L)$count, tabulate(codes, 40L))
  expect_identical(sums_of(c(1, Inf, 2, -Inf), c(1L, 1L, 2L, 2L), 2L)$sum, c(Inf, -Inf))
  expect_identical(sums_of(c(Inf, -Inf), c(1L, 1L), 1L)$sum, NaN)
})

test_that("sums of values that plain addition loses are exact", {
  x <- rep(c(1e16, 1, -1e16), 1000)
  expect_identical(sums_of(x, rep(1L, 3000), 1L)$sum, 1000)
  # a tenth has no exact double: the rounding of 10^6 additions must not add up
  expect_identical(sums_of(rep(0.1, 1e6), rep(1L, 1e6), 1L)$sum, 1e6 * 0.1)
})

test_that("codes that do not fit are refused, not read out of bounds", {
  expect_error(sums_of(c(1, 2), c(1L, 3L), 2L), class = "hlm_error_design")
  expect_error(sums_of(c(1, 2), c(1L, -1L), 2L), class = "hlm_error_design")
  expect_error(sums_of(c(1, 2), 1L, 2L), class = "hlm_error_design")
  expect_error(sums_of(c(1, 2), c(1, 2), 2L), class = "hlm_error_design")
  expect_error(sums_of(1, 1L, NA_integer_), class = "hlm_error_design")
})

test_that("arguments are not modified", {
  x <- c(3, 1, 3)
  alias <- x
  codes_of(x)
  sums_of(x, c(1L, 2L, 1L), 2L)
  expect_identical(alias, c(3, 1, 3))
})

test_that("whole numbers stored as doubles are coded like integers", {
  set.seed(3)
  id <- sample(5:400, 1000, TRUE)
  expect_identical(codes_of(as.double(id)), codes_of(id))
  expect_codes(c(-3, 0, NaN, 7, -3, NA))
  expect_codes(c(NaN, NA))
  expect_codes(c(4e9, 1, 4e9, 1e15))
})
