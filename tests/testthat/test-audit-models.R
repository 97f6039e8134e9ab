test_that("shares and reliability are those of icc()", {
  d <- audit_clean()
  a <- audit_call(d)$data
  a$cache <- new.env()
  reference <- icc(hlm(x ~ 1 + (1 | patient), d))
  found <- audit_icc(a, "x")
  expect_equal(found$icc, reference$icc[[1L]])
  expect_equal(found$reliability, reference$icc2[[1L]])
  a$columns$x <- stats::ave(a$columns$x, a$person)
  a$cache <- new.env()
  expect_identical(audit_icc(a, "x")$within, 0)
})

test_that("the average trend and persons' own trends are those of the growth model", {
  d <- changed(audit_data_cases()$own_trends$change)
  a <- audit_call(d)$data
  a$cache <- new.env()
  # no common spacing: the plain model, without AR(1)
  a$grid$regular <- FALSE
  found <- audit_trend(a, "x")
  fit <- hlm(x ~ session + (session | patient), transform(d, session = session - 6.5))
  expect_equal(found$change, 11 * fixef(fit)[["session"]], tolerance = 1e-6)
  expect_equal(found$sd_change, 11 * attr(VarCorr(fit)$patient, "stddev")[["session"]], tolerance = 1e-4)
  flat <- hlm(x ~ session + (1 | patient), transform(d, session = session - 6.5))
  lrt <- flat$core$criterion - fit$core$criterion
  expect_equal(found$p_slopes, mean(stats::pchisq(lrt, 1:2, lower.tail = FALSE)), tolerance = 1e-4)
})

test_that("autocorrelation is not taken for trends of one's own", {
  d <- changed(audit_data_cases()$nickell$change)
  a <- audit_call(d)$data
  a$cache <- new.env()
  expect_gt(audit_trend(a, "y")$p_slopes, 0.01)
  a$cache <- new.env()
  a$grid$regular <- FALSE
  expect_lt(audit_trend(a, "y")$p_slopes, 0.01)
})

test_that("each person's line is taken out as lm() does", {
  a <- audit_call(audit_clean())$data
  by_hand <- unsplit(lapply(split(data.frame(x = a$columns$x, t = a$time), a$person), function(part) residuals(stats::lm(x ~ t, part))), a$person)
  expect_equal(audit_detrended(a, a$columns$x), unname(by_hand))
})

test_that("the autoregression is solved with nickell_bias()'s own formula", {
  a <- audit_call(changed(audit_data_cases()$nickell$change))$data
  a$cache <- new.env()
  found <- audit_autoregression(a, "y")
  # 12 sessions without gaps: 11 pairs, Nickell's closed form
  expect_identical(found$pairs, 11)
  expect_equal(found$rho + nickell_formula(found$rho, 11), found$estimate, tolerance = 1e-6)
  expect_lt(abs(found$rho - 0.4), 0.15)
  # by hand: the pairs' regression within persons, the sessions' means taken out
  y <- a$columns$y - stats::ave(a$columns$y, a$time)
  before <- ifelse(a$time == 1, NA, c(NA, y[-720]))
  use <- !is.na(before)
  centred <- function(x) x - stats::ave(x, a$person[use])
  expect_equal(found$estimate, sum(centred(before[use]) * centred(y[use])) / sum(centred(before[use])^2))
})
