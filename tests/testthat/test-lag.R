test_that("a lag goes by time, not by row", {
  x <- c(10, 11, 13, 20, 21)
  person <- c(1L, 1L, 1L, 2L, 2L)
  time <- c(1, 2, 4, 1, 2)
  expect_equal(lagged_values(x, person, time, 1L), c(NA, 10, NA, NA, 20))
  expect_equal(lagged_values(x, person, time, 2L), c(NA, NA, 11, NA, NA))
  expect_equal(lagged_values(x, person, time, -1L), c(11, NA, NA, 21, NA))
  shuffle <- c(5, 3, 1, 4, 2)
  expect_equal(
    lagged_values(x[shuffle], person[shuffle], time[shuffle], 1L), c(NA, 10, NA, NA, 20)[shuffle]
  )
})

test_that("times that are equal but for rounding are matched", {
  time <- c(0.1, 0.2, 0.3) * 10 + c(0, 1e-12, -1e-12)
  expect_equal(lagged_values(c(5, 6, 7), c(1L, 1L, 1L), time, 1L), c(NA, 5, 6))
})

test_that("peers: lags do not skip over missing sessions", {
  d <- data.frame(patient = rep(1:4, each = 5), session = rep(1:5, 4), y = sin(1:20), x = cos(1:20))
  gap <- d[-c(3, 9), ]
  fit <- front(y ~ lagged(x) + (1 | patient), gap, time = "session")
  expected <- merge(gap, transform(d[-c(3, 9), c("patient", "session", "x")], session = session + 1, before = x)[-3],
    by = c("patient", "session"), all.x = TRUE
  )
  expected <- expected[order(expected$patient, expected$session), ]
  expect_equal(fit$design$columns[[1]], expected$before[!is.na(expected$before)])
  expect_equal(fit$dropped, c("lagged(x)" = sum(is.na(expected$before))))
})

test_that("a row that is not analysed itself still serves as the session before", {
  d <- data.frame(patient = rep(1:4, each = 5), session = rep(1:5, 4), y = sin(1:20), x = cos(1:20))
  d$y[2] <- NA
  fit <- front(y ~ lagged(x) + (1 | patient), d, time = "session")
  third <- which(fit$rows == 3)
  expect_equal(fit$design$columns[[1]][third], d$x[2])
})

test_that("within(lagged(x)) centres the lagged values of the analysed rows", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(lagged(x)) + (1 | patient), d, time = "session")
  rows <- d[fit$rows, ]
  lag <- vapply(seq_len(nrow(rows)), function(i) {
    d$x[d$patient == rows$patient[i] & d$session == rows$session[i] - 1]
  }, 0)
  expect_equal(design_matrix_x(fit)[, "x_lag1_within"], lag - ave(lag, rows$patient), ignore_attr = TRUE)
})

test_that("dates, date-times, time differences, factors and text are understood", {
  numbers <- c(3, 1, 2)
  day <- as.Date("2024-03-01") + numbers
  expect_equal(time_values(day, "t")$values, numbers - 1)
  expect_equal(time_values(as.POSIXct(day), "t")$values, numbers - 1)
  expect_equal(time_values(as.difftime(numbers, units = "weeks"), "t")$values, numbers * 7)
  expect_equal(time_values(factor(numbers), "t")$values, numbers)
  expect_equal(time_values(as.character(numbers), "t")$values, numbers)
  expect_equal(time_values(ordered(c("mid", "pre"), levels = c("pre", "mid")), "t")$values, c(2, 1))
  expect_error(time_values(factor(c("pre", "post")), "t"), "ordered factor", class = "hlm_error_data")
  expect_error(time_values(c("1", "Post-Rx"), "month"), "month", class = "hlm_error_data")
})

test_that("new dates are counted from the first date of the fit", {
  origin <- time_values(as.Date("2024-03-01") + 0:2, "t")$origin
  expect_equal(time_values(as.Date("2024-03-11"), "t", origin)$values, 10)
})

test_that("a lag in days of weekly dates says what to do", {
  d <- data.frame(patient = rep(1:4, each = 4), y = sin(1:16), x = cos(1:16))
  d$date <- as.Date("2024-03-01") + 7 * rep(0:3, 4)
  expect_error(front(y ~ lagged(x) + (1 | patient), d, time = "date"), "in days", class = "hlm_error_data")
  weekly <- front(y ~ lagged(x, 7) + (1 | patient), d, time = "date")
  expect_equal(weekly$design$columns[[1]], d$x[-c(4, 8, 12, 16)])
})

test_that("two rows of one person at one time are an error that names the persons", {
  d <- synthetic_sessions()
  twice <- rbind(d, d[d$patient == 7 & d$session == 2, ])
  expect_error(front(y ~ lagged(x) + (1 | patient), twice, time = "session"), "7 at session 2", class = "hlm_error_data")
  expect_error(
    front(y ~ within(x, detrend = TRUE) + (1 | patient), twice, time = "session"),
    class = "hlm_error_data"
  )
  # a model that needs no order of the sessions is fitted, with a warning
  expect_warning(
    fit <- front(y ~ within(x) + (1 | patient), twice, time = "session"), "1 row too many in all: 7",
    class = "hlm_warning_data"
  )
  expect_s3_class(fit, "hlm")
})

test_that("the duplicated visits of a real data set are found", {
  path <- file.path("..", "..", "..", "shared", "data", "BDIdata.csv.gz")
  skip_if_not(file.exists(path))
  d <- utils::read.csv(gzfile(path))
  names(d) <- tolower(names(d))
  expect_error(
    front(bdi ~ lagged(bdi) + (1 | id), d, time = "time"), "more than one row for the same",
    class = "hlm_error_data"
  )
})

test_that("the usual distance of sessions is the most frequent one between neighbouring times of a person", {
  person <- rep(c("a", "b"), each = 4)
  expect_identical(session_step(person, c(9, 13, 17, 33, 33, 9, 17, 13)), 4L)
  expect_identical(session_step(person, rep(7 * (0:3), 2)), 7L)
  expect_identical(session_step(person, rep(1:4, 2)), 1L)
  # neither fractions nor single times say how far back a session is
  expect_identical(session_step(person, rep(0.5 * (0:3), 2)), 1L)
  expect_identical(session_step(1:3, c(1, 5, 9)), 1L)
  expect_identical(session_step(c(1, 1, NA, 1), c(NA, 2, 3, 5)), 3L)
})
