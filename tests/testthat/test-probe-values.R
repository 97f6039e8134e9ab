test_that("default values: every category, both of two values, mean and SD over units, percentiles, the range", {
  d <- probe_therapies()
  d$female <- (d$patient %/% 2) %% 2
  fit <- hlm(distress ~ within(alliance) * (group + female + severity) + (1 | patient), d)
  expect_equal(simple_slopes(fit, alliance_within, group)$slopes$modx, c("CBT", "PDT"))
  expect_equal(simple_slopes(fit, alliance_within, female)$slopes$modx, c(0, 1))
  person <- d$severity[!duplicated(d$patient)]
  default <- simple_slopes(fit, alliance_within, severity)$slopes
  expect_equal(default$modx, mean(person) + c(-1, 0, 1) * stats::sd(person))
  expect_equal(default$modx_label, c("mean - 1 SD", "mean", "mean + 1 SD"))
  quantiles <- simple_slopes(fit, alliance_within, severity, at = "quantiles")$slopes
  expect_equal(quantiles$modx, unname(stats::quantile(person, c(0.16, 0.5, 0.84))))
  expect_equal(simple_slopes(fit, alliance_within, severity, at = "range")$slopes$modx, range(person))
})

test_that("a skewed moderator: mean minus SD may lie outside the data, and is marked", {
  d <- probe_therapies()
  d$events <- c(rep(0, 50), 1:10)[d$patient]
  fit <- hlm(distress ~ within(alliance) * events + (1 | patient), d)
  found <- simple_slopes(fit, alliance_within, events)
  expect_equal(found$slopes$outside, c(TRUE, FALSE, FALSE))
  expect_output(print(found), "outside the observed values")
  expect_equal(simple_slopes(fit, alliance_within, events, at = c(0, 10, 11, 1e9))$slopes$outside, c(FALSE, FALSE, TRUE, TRUE))
})

test_that("the mean of a centred moderator is zero, not 1e-17", {
  fit <- hlm(distress ~ within(alliance) * between(alliance) + (1 | patient), probe_therapies())
  expect_identical(simple_slopes(fit, alliance_within, alliance_between)$slopes$modx[[2]], 0)
})

test_that("a named list sets moderators and other variables", {
  fit <- fit_moderated()
  listed <- simple_slopes(fit, alliance_within, severity, group, at = list(severity = c(10, 20), group = "PDT"))
  expect_identical(listed$slopes, simple_slopes(fit, alliance_within, severity, group, at = c(10, 20), at2 = "PDT")$slopes)
  expect_equal(nrow(listed$slopes), 2L)
  expect_error(simple_slopes(fit, alliance_within, severity, group, at = list(group = "PDT"), at2 = "CBT"), "not in both", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = list(group = c("PDT", "CBT"))), "mod2", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = list(1)), "must name", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = list(mood = 1)), "not a variable", class = "hlm_error_data")
})

test_that("values that make no sense are refused", {
  fit <- fit_moderated()
  expect_error(simple_slopes(fit, alliance_within, severity, at = c(1, NA)), "missing", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = Inf), "infinite", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = "high"), class = "hlm_error_design")
  expect_error(simple_slopes(fit, alliance_within, severity, at = c(2, 2)), "twice", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = numeric()), class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = as.Date("2024-01-01")), class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, group, at = "CAT"), "no category .*CAT.*CBT", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at2 = 2), "mod2", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, at = list(group = NA)), class = "hlm_error_data")
  expect_warning(simple_slopes(fit, alliance_within, severity, values = 2), class = "hlm_warning_arguments")
})
