keys <- function(fit, pred, modx, ...) {
  found <- simple_slopes(fit, pred, modx, ...)
  c(found$pred$name, found$modx$name, found$mod2$name)
}

test_that("variables are named bare, as strings, as typed, by a variable that holds the name, or computed", {
  fit <- fit_moderated()
  reference <- simple_slopes(fit, alliance_within, severity)$slopes
  name <- "alliance_within"
  names <- list(modx = "severity")
  expect_identical(simple_slopes(fit, "alliance_within", "severity")$slopes, reference)
  expect_identical(simple_slopes(fit, within(alliance), severity)$slopes, reference)
  expect_identical(simple_slopes(fit, "within(alliance)", severity)$slopes, reference)
  expect_identical(simple_slopes(fit, name, names$modx)$slopes, reference)
  second <- NULL
  expect_identical(simple_slopes(fit, alliance_within, severity, mod2 = second)$slopes, reference)
})

test_that("the name of a split variable: taken when only one part meets the moderator, else the error names the parts", {
  d <- probe_therapies()
  fit <- fit_moderated()
  expect_equal(simple_slopes(fit, alliance, severity)$pred$name, "alliance_within")
  both <- hlm(distress ~ wb(alliance) * severity + (1 | patient), d)
  expect_error(
    simple_slopes(both, alliance, severity), "alliance_within \\(within-patient\\), alliance_between \\(between-patient\\)", class = "hlm_error_ambiguous"
  )
  expect_error(simple_slopes(both, wb(alliance), severity), "pred = alliance_within", class = "hlm_error_data")
  none <- hlm(distress ~ wb(alliance) + severity + (1 | patient), d)
  expect_error(simple_slopes(none, alliance, severity), class = "hlm_error_ambiguous")
  cross <- hlm(distress ~ wb(alliance) + within(alliance):between(alliance) + (1 | patient), d)
  expect_equal(simple_slopes(cross, within(alliance), alliance)$modx$name, "alliance_between")
  expect_error(simple_slopes(cross, alliance, alliance), class = "hlm_error_ambiguous")
  contextual <- hlm(distress ~ cx(alliance) * severity + (1 | patient), d)
  expect_equal(simple_slopes(contextual, alliance, severity)$pred$name, "alliance")
  expect_error(simple_slopes(contextual, cx(alliance), severity), "alliance \\(as it is\\)", class = "hlm_error_ambiguous")
})

test_that("lags, trends and three levels are found as typed", {
  d <- probe_therapies()
  d$therapist <- (d$patient - 1) %/% 6
  fit <- hlm(distress ~ within(lagged(alliance)) * severity + (1 | patient), d, time = session)
  expect_equal(simple_slopes(fit, within(lagged(alliance)), severity)$pred$name, "alliance_lag1_within")
  trend <- hlm(distress ~ within(alliance, detrend = TRUE) * severity + (1 | patient), d, time = session)
  expect_equal(simple_slopes(trend, within(alliance), severity)$pred$name, "alliance_within")
  three <- hlm(distress ~ wb(alliance, level = "therapist") * session + (1 | therapist / patient), d, id = patient)
  expect_error(simple_slopes(three, between(alliance), session), "alliance_between_therapist", class = "hlm_error_ambiguous")
  found <- simple_slopes(three, session, alliance_between_therapist)
  expect_equal(found$modx$n, 10L)
  expect_equal(found$modx$unit, "therapist")
  expect_equal(simple_slopes(three, session, alliance_between)$modx$n, 60L)
})

test_that("a name that is no variable gives an error that lists those there are", {
  fit <- fit_moderated()
  expect_error(simple_slopes(fit, mood, severity), "Variables: .*alliance_within", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, groupPDT), "modx = group", class = "hlm_error_data")
  expect_error(simple_slopes(fit, `alliance_within:severity`, group), "coefficient", class = "hlm_error_data")
  expect_error(simple_slopes(fit, modx = severity), "Name the predictor", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within), "Name the predictor", class = "hlm_error_data")
  expect_error(simple_slopes(fit, alliance_within, severity, alliance_within), "already", class = "hlm_error_data")
  expect_error(simple_slopes(fit, group, group), "cannot moderate itself", class = "hlm_error_data")
  expect_error(simple_slopes(fit, c("a", "b"), group), class = "hlm_error_data")
  expect_error(simple_slopes(lm(distress ~ mood, probe_therapies()), mood, mood), class = "hlm_error_data")
  d <- probe_therapies()
  bent <- hlm(distress ~ mood + I(mood^2) + severity + (1 | patient), d)
  expect_error(simple_slopes(bent, "I(mood^2)", severity), "cannot change alone", class = "hlm_error_data")
  poly <- hlm(distress ~ poly(mood, 2) * severity + (1 | patient), d)
  expect_error(simple_slopes(poly, "poly(mood, 2)", severity), "several columns", class = "hlm_error_data")
  expect_error(simple_slopes(poly, `poly(mood, 2)1`, severity), "pred = mood", class = "hlm_error_data")
})

test_that("units of a moderator are those of its level, read from the specification", {
  d <- probe_therapies()
  fit <- hlm(distress ~ within(alliance) * between(alliance) * session + severity + (1 | patient), d)
  person <- tapply(d$alliance, d$patient, mean)
  found <- simple_slopes(fit, alliance_within, alliance_between)
  expect_equal(found$modx$sd, stats::sd(person))
  expect_equal(found$slopes$modx, c(-1, 0, 1) * stats::sd(person))
  rows <- simple_slopes(fit, alliance_between, within(alliance))
  expect_equal(rows$modx$n, 360L)
  expect_equal(rows$slopes$modx[[3]], stats::sd(d$alliance - person[d$patient]))
  expect_equal(simple_slopes(fit, alliance_between, session)$modx$sd, stats::sd(d$session))
})

test_that("a variable that is only split lagged answers to its own name", {
  fit <- hlm(ptsd ~ week * between(lagged(task)) + within(lagged(task)) * treatment + (1 + within(lagged(task)) | patient), hoffart2013, time = week)
  short <- simple_slopes(fit, pred = task, modx = treatment)
  expect_identical(short$pred$name, "task_lag1_within")
  expect_equal(short$slopes, simple_slopes(fit, pred = task_lag1_within, modx = treatment)$slopes)
  expect_identical(simple_slopes(fit, pred = week, modx = task)$modx$name, "task_lag1_between")
  expect_identical(person_slopes(fit, "task")$term, "task_lag1_within")
  # beside the unlagged variable the name is that one's
  both <- hlm(ptsd ~ within(lagged(task)) * treatment + within(task) * treatment + (1 | patient), hoffart2013, time = week)
  expect_identical(simple_slopes(both, pred = task, modx = treatment)$pred$name, "task_within")
})
