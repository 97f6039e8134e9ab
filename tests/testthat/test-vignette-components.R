# The conclusions of "Alliance components in exposure therapy": what Hoffart (2014) tells of Hoffart et al. (2013), in the synthetic data, by every tool that
# the article uses. (The models of the findings themselves are tested in test-data-published.R.)

test_that("task agreement counts in imaginal exposure, and more than in imagery rescripting", {
  fit <- hlm(ptsd ~ week + within(lagged(task), detrend = TRUE) * treatment + (1 + week | patient), hoffart2013, time = week)
  slopes <- as.data.frame(simple_slopes(fit, task_lag1_within, treatment))
  ie <- slopes[slopes$modx == "IE", ]
  ir <- slopes[slopes$modx == "IR", ]
  expect_lt(ie$upper, 0)
  expect_lt(ie$Estimate, ir$Estimate)
})

test_that("task agreement counts where it was higher at the start", {
  fit <- hlm(
    ptsd ~ week + within(lagged(task), detrend = TRUE) * between(lagged(task), detrend = TRUE, at = 1) + (1 + week | patient), hoffart2013, time = week
  )
  regions <- as.data.frame(johnson_neyman(fit, task_lag1_within, task_lag1_between))
  high <- simple_slopes(fit, task_lag1_within, task_lag1_between, at = c(-1.5, 1))
  expect_lt(as.data.frame(high)$upper[2L], 0)
  expect_gt(as.data.frame(high)$upper[1L], 0)
  negative <- subset(regions, significant & data != "none")
  expect_identical(negative$sign, "negative")
  expect_identical(negative$to, Inf)
})

test_that("a higher initial bond goes with a steeper decline", {
  fit <- hlm(ptsd ~ week * between(lagged(bond), detrend = TRUE, at = 1) + (1 + week | patient), hoffart2013, time = week)
  slopes <- as.data.frame(simple_slopes(fit, week, bond_lag1_between))$Estimate
  expect_identical(sum(slopes < 0), 3L)
  expect_false(is.unsorted(rev(slopes)))
})

test_that("task predicts symptoms and not the reverse, whatever the split", {
  both <- reciprocal(
    hoffart2013, x = task, y = ptsd, id = patient, time = week, covariates = week, detrend = "both", autoregression = FALSE, random = "intercept"
  )
  cross <- subset(both$effects, role == "within")
  expect_lt(cross$conf.high[cross$direction == "xy"], 0)
  expect_gt(cross$p.value[cross$direction == "yx"], 0.05)
  expect_lt(both$difference$p.value[1L], 0.05)
  fit <- hlm(
    ptsd ~ week + within(lagged(task), detrend = TRUE) + between(lagged(task), detrend = TRUE, at = 1) + (1 + week | patient), hoffart2013, time = week
  )
  ways <- subset(as.data.frame(compare_disaggregation(fit)), effect == "within" & x != "raw" & lag == 1)
  expect_true(all(ways$estimate < 0 & ways$p.value < 0.05))
})
