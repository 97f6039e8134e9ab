test_that("correlated residuals need persons who are the finest factor, in a chain of nested ones", {
  d <- serial_data()
  d$clinic <- d$person %% 4
  d$rater <- seq_len(nrow(d)) %% 3
  refused <- function(code, words) expect_error(code, words, class = "hlm_error_covariance")
  refused(hlm(y ~ x + (1 | clinic), d, id = person, residual = ar1(session)), "random intercept of the person")
  refused(suppressWarnings(hlm(y ~ x + (1 | person), d, id = clinic, residual = ar1(session))), "finest grouping factor")
  refused(suppressWarnings(hlm(y ~ x + (1 | person) + (1 | rater), d, residual = ar1(session))), "crossed")
  nested <- hlm(y ~ x + (1 | clinic / person), d, residual = ar1(session))
  expect_true(is.finite(nested$core$residual$natural))
  # variances that differ need no persons
  crossed <- suppressWarnings(hlm(y ~ x + (1 | person) + (1 | rater), d, residual = hetero(phase)))
  expect_named(crossed$core$residual$natural, "late")
})

test_that("times are whole numbers apart for ar1(), anything for car1(), and once per person", {
  d <- serial_data()
  fit <- hlm(y ~ x + (1 | person), d, residual = ar1(session))
  # only distances count: half sessions are whole numbers apart, each person may start where it wants, dates are days
  d$half <- d$session + 0.5
  d$own <- d$session + 100 * as.integer(d$person)
  d$date <- as.Date("2024-01-01") + d$session
  for (time in c("half", "own", "date")) {
    again <- hlm(y ~ x + (1 | person), d, time = time, residual = "ar1")
    expect_equal(again$core$criterion, fit$core$criterion, tolerance = 1e-12)
  }
  d$uneven <- d$session * 1.3
  expect_error(hlm(y ~ x + (1 | person), d, residual = ar1(uneven)), "car1", class = "hlm_error_covariance")
  d$seconds <- as.POSIXct("2024-01-01", tz = "UTC") + 86400 * d$session
  slow <- hlm(y ~ x + (1 | person), d, residual = car1(uneven))
  expect_equal(slow$core$residual$natural[["phi"]]^1.3, fit$core$residual$natural[["phi"]], tolerance = 1e-5)
  expect_equal(hlm(y ~ x + (1 | person), d, residual = car1(seconds))$core$criterion, fit$core$criterion, tolerance = 1e-9)
  d$seconds <- d$session * 1e6
  expect_equal(hlm(y ~ x + (1 | person), d, residual = car1(seconds))$core$criterion, fit$core$criterion, tolerance = 1e-9)
  twice <- rbind(d, d[1L, ])
  expect_error(suppressWarnings(hlm(y ~ x + (1 | person), twice, residual = ar1(session))), "more than one row", class = "hlm_error_data")
  expect_error(hlm(y ~ x + (1 | person), d, residual = ar1(phase)), "not numbers", class = "hlm_error_data")
})

test_that("car1() ends at independence, not in failure, when some rows are much closer in time than others", {
  d <- serial_data()
  d <- d[order(d$person, d$session), ]
  # neighbours 1.8 and 0.2 days apart in turn, their residuals of opposite sign: no positive correlation can help, so that the best is none
  d$day <- d$session + 0.8 * (d$session %% 2)
  d$y <- 10 + 0.5 * d$x + (-1)^d$session * d$w + 0.3 * d$person
  plain <- hlm(y ~ x + (1 | person), d)
  expect_no_warning(fit <- hlm(y ~ x + (1 | person), d, residual = car1(day)), class = "hlm_warning_convergence")
  expect_identical(fit$core$status, "boundary")
  expect_equal(fit$core$criterion, plain$core$criterion, tolerance = 1e-9)
  expect_equal(fixef(fit), fixef(plain), tolerance = 1e-7)
})

test_that("strata have rows enough, and are not too many", {
  d <- serial_data()
  refused <- function(code, words) expect_error(code, words, class = "hlm_error_covariance")
  refused(hlm(y ~ x + (1 | person), d, residual = hetero(session > 0)), "one value only")
  refused(hlm(y ~ x + (1 | person), d, residual = hetero(x)), "50|different values")
  d$rare <- ifelse(seq_len(nrow(d)) < 3L, "rare", "usual")
  refused(hlm(y ~ x + (1 | person), d, residual = hetero(rare)), "rare")
})

test_that("a missing time or stratum takes its row out, counted; subset and na.exclude go with it", {
  d <- serial_data()
  d$phase[c(3, 8)] <- NA
  d$session[5] <- NA
  fit <- hlm(y ~ x + (1 | person), d, subset = x < 2, na.action = na.exclude, residual = ar1(session) + hetero(phase))
  expect_equal(fit$dropped[c("session", "phase")], c(session = 1L, phase = 2L))
  whole <- d[d$x < 2 & !is.na(d$phase) & !is.na(d$session), ]
  expect_equal(hlm(y ~ x + (1 | person), whole, residual = ar1(session) + hetero(phase))$core$criterion, fit$core$criterion, tolerance = 1e-12)
  expect_length(residuals(fit, "normalized"), sum(d$x < 2))
  expect_equal(sum(is.na(residuals(fit, "normalized"))), 3L)
})

test_that("the order of rows, ids and units do not matter", {
  d <- serial_data()
  fit <- hlm(y ~ x + (1 | person), d, residual = ar1(session) + hetero(phase))
  other <- d[order(d$x), ]
  other$person <- paste("person", other$person)
  other$y <- 1e3 * other$y
  other$x <- other$x / 1e6 + 5
  again <- hlm(y ~ x + (1 | person), other, residual = ar1(session) + hetero(phase))
  expect_equal(again$core$residual$free, fit$core$residual$free, tolerance = 1e-6)
  expect_equal(again$core$theta, fit$core$theta, tolerance = 1e-6)
  names(other) <- sub("session", "session number", names(other))
  blank <- hlm(y ~ x + (1 | person), other, residual = ~ ar1(`session number`) + hetero(phase))
  expect_equal(blank$core$criterion, again$core$criterion)
  expect_output(print(summary(blank)), "from one session number to the\\s+next")
  # columns that are combinations of others
  d$twice <- 2 * d$x
  expect_message(aliased <- hlm(y ~ x + twice + (1 | person), d, residual = ar1(session) + hetero(phase)), class = "hlm_message_rank")
  expect_equal(aliased$core$criterion, fit$core$criterion, tolerance = 1e-9)
  expect_equal(aliased$core$residual$free, fit$core$residual$free, tolerance = 1e-6)
})
