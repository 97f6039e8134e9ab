# Slopes by small differences of predict(re.form = NA), which reads the blueprint on its own way.
by_differences <- function(fit, rows, pred, h = 1e-4) {
  moved <- function(shift) {
    rows[[pred]] <- rows[[pred]] + shift
    suppressWarnings(stats::predict(fit, rows, re.form = NA))
  }
  unname((8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h))
}

apply_df <- function(fit, rows) {
  x <- stats::model.matrix(~ alliance_within * severity * group + alliance_between, transform(rows, group = factor(group, c("CBT", "PDT"))))
  x <- x[, names(fixef(fit))]
  apply(x, 1, resolve_inference(fit)$df)
}

test_that("slopes are derivatives of the predictions, whatever the terms", {
  d <- probe_therapies()
  d$positive <- exp(d$mood / 3)
  models <- list(
    distress ~ splines::ns(mood, 3) * severity + (1 | patient), distress ~ poly(mood, 3) * poly(severity, 2) + (1 | patient),
    distress ~ mood * log(severity) + I(mood^2) + (1 | patient), distress ~ sin(mood) * I(severity^2) + exp(mood / 4) + (1 | patient),
    distress ~ scale(mood) * scale(severity) + (1 | patient), distress ~ I(mood * severity) + mood + (1 | patient),
    distress ~ splines::bs(mood, df = 5) * severity + (1 | patient), distress ~ (mood + I(mood^2)) %in% severity + mood + (1 | patient)
  )
  at <- c(12, 20, 27)
  for (formula in models) {
    fit <- hlm(formula, d)
    found <- simple_slopes(fit, mood, severity, at = list(severity = at, mood = 0.3))$slopes
    rows <- data.frame(mood = 0.3, severity = at, patient = 1)
    expect_equal(found$Estimate, by_differences(fit, rows, "mood"), tolerance = 1e-6, label = deparse1(formula))
  }
})

test_that("derivatives on a spline's own knot and of a function that D() does not know", {
  d <- probe_therapies()
  fit <- hlm(distress ~ splines::ns(mood, knots = c(-0.5, 0.5)) * severity + (1 | patient), d)
  found <- simple_slopes(fit, mood, severity, at = list(severity = 20, mood = 0.5))$slopes
  b <- fixef(fit)
  basis <- function(x) stats::predict(splines::ns(d$mood, knots = c(-0.5, 0.5)), x)
  step <- 1e-6
  slope <- (basis(0.5 + step) - basis(0.5 - step)) / (2 * step)
  expect_equal(found$Estimate, sum(slope * (b[2:4] + 20 * b[6:8])), tolerance = 1e-7)
  d$half <- abs(d$mood)
  folded <- hlm(distress ~ abs(mood) * severity + (1 | patient), d)
  plain <- hlm(distress ~ half * severity + (1 | patient), d)
  mirrored <- -simple_slopes(plain, half, severity, at = c(15, 20))$slopes$Estimate
  expect_equal(simple_slopes(folded, mood, severity, at = list(severity = c(15, 20), mood = -1))$slopes$Estimate, mirrored, tolerance = 1e-6)
})

test_that("averages over categories are those over a grid of all of them, each counting the same", {
  d <- probe_therapies()
  d$site <- factor(rep(c("x", "y", "y", "z"), each = 90))
  fit <- hlm(distress ~ mood * severity * site * group + (1 | patient), d, contrasts = list(site = "contr.helmert", group = "contr.sum"))
  found <- simple_slopes(fit, mood, severity, at = c(15, 25))$slopes$Estimate
  grid <- expand.grid(severity = c(15, 25), site = levels(d$site), group = c("CBT", "PDT"))
  one <- vapply(seq_len(nrow(grid)), function(i) {
    row <- data.frame(mood = 0, grid[i, ], patient = 1)
    by_differences(fit, row, "mood", 1)
  }, 0)
  expect_equal(found, as.vector(tapply(one, grid$severity, mean)))
  held <- simple_slopes(fit, mood, severity, at = list(severity = 15, site = "y", group = "PDT"))
  expect_equal(held$slopes$Estimate, one[grid$severity == 15 & grid$site == "y" & grid$group == "PDT"])
  expect_match(paste(held$notes, collapse = " "), "site = y")
  # without an intercept the first factor has all its indicators
  cells <- hlm(distress ~ 0 + site + site:mood + mood:severity + severity + (1 | patient), d)
  b <- fixef(cells)
  expect_equal(
    simple_slopes(cells, mood, severity, at = c(0, 10))$slopes$Estimate,
    unname(mean(b[paste0("site", c("x", "y", "z"), ":mood")]) + c(0, 10) * b[["mood:severity"]]), tolerance = 1e-8
  )
})

test_that("predicted lines are emmeans' and predict()'s", {
  d <- probe_therapies()
  fit <- fit_moderated()
  lines <- simple_slopes(fit, alliance_within, severity, group, at = 20)$lines
  rows <- data.frame(alliance_within = lines$x, alliance_between = 0, severity = 20, group = lines$mod2, patient = 1)
  expect_equal(lines$estimate, unname(stats::predict(fit, rows, re.form = NA)))
  se <- stats::predict(fit, rows, re.form = NA, se.fit = TRUE)$se.fit
  expect_equal((lines$upper - lines$lower) / 2, unname(se * stats::qt(0.975, apply_df(fit, rows))), tolerance = 1e-6)
  shifted <- hlm(distress ~ within(alliance) * severity + offset(2 * mood) + (1 | patient), d)
  expect_equal(mean(simple_slopes(shifted, alliance_within, severity, at = mean(d$severity))$lines$estimate[13]), mean(d$distress), tolerance = 0.05)
})

test_that("dates are counted in days", {
  d <- probe_therapies()
  d$day <- as.Date("2024-01-01") + d$session * 7
  fit <- hlm(distress ~ alliance * day + (1 | patient), d)
  weeks <- hlm(distress ~ alliance * session + (1 | patient), d)
  day <- simple_slopes(fit, alliance, day, at = as.Date("2024-01-01") + c(7, 21))$slopes
  expect_equal(day$Estimate, simple_slopes(weeks, alliance, session, at = c(1, 3))$slopes$Estimate, tolerance = 1e-6)
  expect_equal(simple_slopes(fit, day, alliance, at = 0)$slopes$Estimate * 7, simple_slopes(weeks, session, alliance, at = 0)$slopes$Estimate, tolerance = 1e-6)
})

test_that("a variable made of a number and a category needs the category", {
  d <- probe_therapies()
  fit <- hlm(distress ~ mood + I(mood * (group == "CBT")) + severity:mood + severity + (1 | patient), d)
  expect_error(simple_slopes(fit, mood, severity), "at = list\\(group", class = "hlm_error_data")
  found <- simple_slopes(fit, mood, group, at = list(severity = 0))$slopes
  b <- fixef(fit)
  expect_equal(found$Estimate, unname(c(b["mood"] + b[3], b["mood"])))
})

test_that("categories computed from another variable, and functions that need all of them at once", {
  d <- probe_therapies()
  fit <- hlm(distress ~ mood * relevel(factor(group), "PDT") + (1 | patient), d)
  plain <- hlm(distress ~ mood * group + (1 | patient), d)
  expect_equal(simple_slopes(fit, mood, group)$slopes$Estimate, simple_slopes(plain, mood, group)$slopes$Estimate, tolerance = 1e-6)
  expect_equal(abs(simple_slopes(fit, group, mood, at = 1)$slopes$Estimate), abs(simple_slopes(plain, group, mood, at = 1)$slopes$Estimate), tolerance = 1e-6)
  late <- hlm(distress ~ mood * I(session > 3) + (1 | patient), d)
  expect_equal(simple_slopes(late, mood, session)$slopes$modx, c("FALSE", "TRUE"))
})

test_that("a fit read back from a file is probed like the fit itself", {
  fit <- hlm(distress ~ within(alliance) * splines::ns(severity, 2) + (1 | patient), probe_therapies())
  again <- unserialize(serialize(fit, NULL))
  expect_identical(simple_slopes(again, alliance_within, severity)$slopes, simple_slopes(fit, alliance_within, severity)$slopes)
})
