test_that("the blueprint is plain data", {
  d <- synthetic_sessions()
  fit <- front(y ~ poly(session, 2) + treatment + wb(x) + (within(x) | patient), d)
  blueprint <- fit$blueprint
  expect_equal(blueprint$xlevels, list(treatment = c("CBT", "control")))
  expect_equal(blueprint$contrasts$treatment$given, "contr.treatment")
  expect_match(deparse1(blueprint$predvars[[2]]), "coefs")
  expect_length(blueprint$constants, 0)
  expect_equal(blueprint$random, list(list(bar = 1L, columns = 1:2)))
})

test_that("dates, times and durations are counted as in the fit", {
  expect_null(clock_of(1))
  zone <- "America/New_York"
  days <- as.Date("2024-07-01") + c(0:1, NA)
  times <- as.POSIXct(format(days), tz = zone)
  expect_equal(on_clock(times, clock_of(days), "t"), as.double(days))
  expect_equal(on_clock(times + 43200, clock_of(days), "t"), as.double(days) + 0.5)
  expect_equal(on_clock(days, clock_of(times), "t"), as.double(times))
  expect_equal(on_clock(as.POSIXlt(times), clock_of(times), "t"), as.double(times))
  expect_equal(on_clock(as.difftime(c(60, 90), units = "mins"), clock_of(as.difftime(1, units = "hours")), "t"), c(1, 1.5))
})
