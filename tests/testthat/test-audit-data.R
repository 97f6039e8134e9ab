test_that("codes for missing values are those far from everything else", {
  x <- c(1, 2, 3, 4, 5)
  expect_identical(missing_codes(c(x, 999)), 999)
  expect_identical(missing_codes(c(x, -9, 99)), c(-9, 99))
  # 99 on a scale from 0 to 100 is a value
  expect_identical(missing_codes(c(0, 50, 98, 99, 100)), numeric())
  # beyond the scale it is none, however near
  expect_identical(missing_codes(c(x, 8, -8, 77), c(1, 7)), c(-8, 77))
  expect_identical(missing_codes(c(NA, 99)), numeric())
})

test_that("times: numbers, dates, words", {
  expect_identical(audit_time(c(3, NA, 1)), list(values = c(3, NA, 1), kind = "number"))
  dates <- audit_time(as.Date("2020-01-01") + c(0, 7))
  expect_identical(dates$kind, "date")
  expect_equal(diff(dates$values), 7)
  # mostly numbers: the words are set aside; otherwise in their order
  expect_identical(audit_time(c("0", "12", "post")), list(values = c(0, 12, NA), kind = "text"))
  expect_identical(audit_time(factor(c("pre", "post", "pre"), c("pre", "post"))), list(values = c(1, 2, 1), kind = "text"))
})

test_that("the grid: the most frequent interval, and whether the others are multiples", {
  grid <- audit_grid(c(1, 1, 1, 2, 2), c(0, 7, 21, 0, 7))
  expect_true(grid$regular)
  expect_identical(grid$step, 7)
  expect_identical(grid$first, c(0, 0))
  expect_identical(grid$last, c(21, 7))
  expect_equal(grid$occupied, 5 / 6)
  expect_false(audit_grid(rep(1, 5), c(0, 1, 2.3, 4.1, 5))$regular)
  expect_true(is.na(audit_grid(c(1, 2), c(0, 0))$step))
})

test_that("a session counts once, also when it has several rows, and not when all its values are missing", {
  d <- data.frame(id = c(1, 1, 1, 1, 2, 2), t = c(1, 1, 2, 3, 1, 2), y = c(1, 2, NA, 4, 5, 7))
  a <- audit(d, y = y, id = id, time = t)
  expect_identical(a$read$sessions, 4L)
  expect_identical(a$read$per_person, c(2L, 2L))
})

test_that("the earlier value goes by time and stays within the person", {
  d <- data.frame(id = c(1, 1, 1, 2, 2), t = c(1, 2, 4, 1, 2), y = c(10, 20, 40, 1, 2))
  a <- audit(d, y = y, id = id, time = t)$data
  expect_identical(audit_lag(a, a$columns$y), c(NA, 10, NA, NA, 1))
})

test_that("persons by a combination of columns", {
  d <- changed(audit_data_cases()$reused_ids$change)
  expect_identical(audit(d, y = y, x = x, id = therapist:patient, time = session)$read$persons, 60L)
})
