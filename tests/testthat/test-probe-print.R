test_that("printed output", {
  fit <- fit_moderated()
  local_reproducible_output(width = 90)
  expect_snapshot(simple_slopes(fit, alliance_within, severity, group))
  expect_snapshot(simple_slopes(fit, group, severity, at = c(15, 40)))
  expect_snapshot(johnson_neyman(fit, alliance_within, severity, group))
  expect_snapshot(johnson_neyman(fit_simple_moderated(), alliance_within, severity, adjust = "fdr", ddf = "none"))
  expect_snapshot(johnson_neyman(fit_simple_moderated(), alliance_within, severity, adjust = "simultaneous", ddf = "none"))
})

test_that("printing returns its argument", {
  found <- simple_slopes(fit_simple_moderated(), alliance_within, severity)
  capture.output(expect_identical(print(found), found))
  regions <- johnson_neyman(fit_simple_moderated(), alliance_within, severity)
  capture.output(expect_identical(print(regions), regions))
})

test_that("many differences are cut off", {
  d <- probe_therapies()
  d$site <- factor(d$patient %% 9)
  found <- simple_slopes(hlm(distress ~ mood * site + (1 | patient), d), mood, site)
  expect_equal(nrow(found$differences), 36L)
  expect_output(print(found), "16 more")
})

test_that("whole values of a moderator are printed whole", {
  expect_identical(format_moderator(c(0, 1), 4L), c("0", "1"))
  expect_identical(format_moderator(c(-20, 123456), 4L), c("-20", "123456"))
  expect_identical(format_moderator(c(0.5, 1), 3L), format_column(c(0.5, 1), 3L))
})
