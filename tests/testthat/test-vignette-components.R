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

# The article's own code, its figures drawn to nowhere; `shown` has the rows of its tables "told beside found".
article <- function(name) {
  skip_if_not_installed("knitr")
  skip_if_not_installed("jsonlite")
  skip_if_not_installed("ggplot2")
  folder <- test_path("..", "..", "vignettes")
  skip_if_not(dir.exists(folder))
  code <- withr::local_tempfile(fileext = ".R")
  withr::with_dir(folder, suppressMessages(knitr::purl(paste0(name, ".Rmd"), code, quiet = TRUE, documentation = 0L)))
  grDevices::pdf(NULL)
  withr::defer(grDevices::dev.off())
  withr::local_options(width = 90)
  env <- new.env(parent = globalenv())
  shown <- list()
  for (line in as.list(parse(code, keep.source = FALSE))) {
    text <- paste(deparse(line), collapse = " ")
    if (grepl("^knitr::(opts_chunk|read_chunk)", text)) next
    if (grepl("^show_findings\\(", text)) {
      shown <- c(shown, list(eval(line[[2L]], env)[c("Finding", "Told", "Agrees")]))
      next
    }
    utils::capture.output({
      result <- withVisible(eval(line, env))
      if (result$visible) print(result$value)
    })
  }
  env$shown <- do.call(rbind, shown)
  env
}

test_that("the article shows every finding, and its sentences are true of what it computes", {
  a <- article("alliance-components")
  told <- jsonlite::fromJSON(system.file("published", "hoffart2013.json", package = "wbhlm"))$findings
  # every finding that is told of has its row, those of the moderators their own section
  coefficients <- told[told$quantity == "coefficient" & !told$analysis %in% c("treatment", "initial task"), ]
  expect_setequal(a$shown$Finding, coefficients$statement)
  expect_identical(unique(a$shown$Agrees), "yes")
  expect_identical(sprintf("%.0f", 100 * a$share), "4")

  # "remains clear", "a rule for patients on average, not for each one"
  expect_lt(a$slopes$average$upper, 0)
  expect_true(a$slopes$new[[1L]] < 0 && a$slopes$new[[2L]] > 0)
  expect_lt(sum(a$slopes$slopes$clear), 0.25 * 65)

  # the moderators, with the random slope that the audit asks for
  slopes <- a$by_treatment$slopes
  expect_true(slopes$upper[slopes$modx == "IE"] < 0 && slopes$lower[slopes$modx == "IR"] < 0 && slopes$upper[slopes$modx == "IR"] > 0)
  expect_lt(a$by_treatment$differences$upper, 0)
  for (region in list(a$region, a$fdr)) {
    bound <- region$bounds$bound[region$bounds$inside]
    expect_length(bound, 1L)
    expect_true(bound < -0.4 && bound > -0.8)
  }
  expect_identical(a$negative$from, a$inside$bound)
  expect_gt(a$negative$share, 0.65)
  expect_lt(fixef(a$initial)[["task_lag1_within:task_lag1_between"]], 0)
  expect_lt(summary(a$initial)$coefficients["task_lag1_within:task_lag1_between", "Pr(>|t|)"], 0.05)

  # the better the start, the steeper the decline, in everyone within one SD
  expect_true(all(diff(a$speed$slopes$Estimate) < 0) && all(a$speed$slopes$upper < 0))
  expect_true(confint(a$goal, parm = "goal_lag1_within")[1L] < 0 && confint(a$goal, parm = "goal_lag1_within")[2L] > 0)

  # one direction; larger in size than the other
  for (both in list(a$both_task, a$both_bond)) {
    expect_gt(both$effects$p.value[both$effects$direction == "yx" & both$effects$role == "within"], 0.05)
  }
  expect_lt(a$both_task$effects$conf.high[a$both_task$effects$direction == "xy" & a$both_task$effects$role == "within"], 0)
  expect_true(a$both_task$difference$p.value[2L] < 0.05 && a$both_task$difference$estimate[2L] > 0)
  bias <- a$both_task$nickell$xy$effects
  expect_lt(abs(bias$ratio[bias$term == "task_lag1_within"]), 0.25)

  # every split of last week's agreement; the same week's; larger where the common change is left in
  ways <- as.data.frame(a$choices)
  within <- ways[ways$effect == "within" & ways$x != "raw", ]
  expect_true(all(within$estimate[within$lag == 1] < 0 & within$p.value[within$lag == 1] < 0.05))
  expect_gt(within$p.value[within$lag == 0], 0.05)
  expect_identical(within$variant[which.min(within$estimate)], "mean")
  between <- ways[ways$effect == "between", ]
  expect_setequal(sign(between$estimate), c(-1, 1))
  # "nothing serious: no gaps, no dropout", "everything changes over time, and patients at different speeds"
  expect_false("high" %in% as.data.frame(a$a)$severity)
  expect_true(all(c("trend_predictor", "trend_outcome", "own_trends") %in% names(a$a$findings)))
  expect_false(any(c("gaps", "dropout") %in% names(a$a$findings)))
  # the audit of the model asks for the random slope
  expect_true("random_slope" %in% names(audit(a$task)$findings))
})
