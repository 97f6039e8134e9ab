codes_of <- function(f) list(codes = as.integer(f), levels = levels(f))

test_that("codes and levels are factor()'s", {
  for (x in list(
    c(3L, 1L, 2L, 1L), c(10, 9, 9, 100), c(2.5, -1, 0), c("b", "a", "B", "10", "9"), factor(c("z", "a", "z"), c("z", "a", "m")),
    c(TRUE, FALSE, TRUE), as.Date("2024-01-01") + c(3, 1, 3), c(1e15, 123456.7)
  )) {
    expect_equal(group_factor(x, "g"), codes_of(droplevels(factor(x))))
  }
})

test_that("missing values have code 0", {
  expect_equal(group_factor(c(5, NA, 2), "g")$codes, c(2L, 0L, 1L))
  expect_equal(group_factor(factor(c(NA, "a")), "g")$codes, c(0L, 1L))
  expect_equal(group_factor(c(NA, "b", "a"), "g")$codes, c(0L, 2L, 1L))
})

test_that("combinations are ordered as factor:factor", {
  a <- c(1, 1, 2, 2, 2, 10)
  b <- c("y", "x", "x", "y", "x", "x")
  ours <- combine_factors(group_factor(b, "b"), group_factor(a, "a"))
  expect_equal(ours, codes_of(droplevels(factor(b):factor(a))))
  missing <- combine_factors(group_factor(replace(b, 2, NA), "b"), group_factor(a, "a"))
  expect_equal(missing$codes[2], 0L)
  nested <- combine_factors(group_factor(1:6, "b"), group_factor(a, "a"))
  expect_equal(nested, codes_of(droplevels(factor(1:6):factor(a))))
})

test_that("nesting is found", {
  outer <- group_factor(c(1, 1, 2, 2), "o")
  expect_true(is_nested(group_factor(1:4, "i"), outer))
  expect_false(is_nested(group_factor(c(1, 2, 1, 2), "i"), outer))
  expect_false(is_nested(outer, group_factor(1:4, "i")))
})

test_that("new data are matched by label", {
  found <- match_group(quote(b:a), list(a = c(1, 1), b = c("x", "q")), globalenv(), c("x:1", "y:1"))
  expect_equal(found$codes, c(1L, NA))
  expect_equal(found$labels, c("x:1", "q:1"))
})

test_that("columns that cannot be groups are errors", {
  expect_error(group_factor(list(1, 2), "g"), class = "hlm_error_data")
  expect_error(group_factor(matrix(1:4, 2), "g"), class = "hlm_error_data")
})

test_that("large whole ids have the labels that a person would write", {
  expect_equal(group_factor(c(2e5, 1e5, NA), "id")$levels, c("100000", "200000"))
  d <- synthetic_sessions()
  d$id <- d$patient * 1e5
  fit <- hlm(y ~ x + (1 | id), d)
  expect_equal(predict(fit, transform(d, id = as.integer(id))), predict(fit), ignore_attr = TRUE)
})

test_that("ids with colons that give two groups one name are an error", {
  d <- spaced_data()
  d$a <- ifelse(d$patient %% 2 == 0, "2:3", "3")
  d$b <- ifelse(d$patient == 1, "1:2", ifelse(d$patient == 2, "1", paste0("p", d$patient)))
  err <- expect_error(hlm(y ~ x + (1 | a / b), d), "1:2:3", class = "hlm_error_data")
  expect_match(conditionMessage(err), "`b` and `a`")
  expect_error(hlm(y ~ x + (1 | b:a), d), "separator", class = "hlm_error_data")
  d$b <- sub(":", "_", d$b)
  expect_no_error(hlm(y ~ x + (1 | a / b), d))
})
