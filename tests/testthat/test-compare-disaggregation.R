same_numbers <- function(comparison, variant, effect, fit, name) {
  ours <- comparison$effects[comparison$effects$variant == variant & comparison$effects$effect == effect, ]
  theirs <- coef(summary(fit))[name, ]
  expect_equal(ours$estimate, theirs[["Estimate"]], tolerance = 1e-10)
  expect_equal(ours$std.error, theirs[["Std. Error"]], tolerance = 1e-8)
  expect_equal(ours$p.value, theirs[["Pr(>|t|)"]], tolerance = 1e-7)
}

for (case in names(comparison_fits)) {
  test_that(paste0("every variant is the model made by hand: ", case), {
    reference <- disaggregation_fixture()$cases[[case]]
    comparison <- compare_disaggregation(comparison_fits[[case]]())
    # mean_time is what all these models are already
    expect_false("mean_time" %in% comparison$specifications$variant)
    for (name in names(reference)) expect_variant(comparison, if (name == "mean_time") "fitted" else name, reference[[name]])
  })
}

test_that("peers: detrending the wage data is not the contextual model", {
  # panelr's wbm(detrend = TRUE) returns 0.00101, the person-mean effect without time; the detrended one is 0.00057.
  comparison <- compare_disaggregation(comparison_fits[["wages-extract"]]())
  within <- comparison$effects[comparison$effects$effect == "within", ]
  value <- stats::setNames(within$estimate, within$variant)
  expect_gt(abs(value[["detrend_x"]] - value[["mean"]]), 1e-4)
  # with every person's line taken off x, a straight line in y, common or own, is orthogonal to it when all have all years
  expect_equal(value[["detrend_x"]], value[["detrend_xy"]], tolerance = 1e-8)
  expect_equal(value[["detrend_x"]], value[["detrend_x_time"]], tolerance = 1e-8)
  d <- wage_data()
  skip_if(is.null(d), "the whole data set is not here")
  whole <- compare_disaggregation(wage_fit(d))
  for (name in names(disaggregation_fixture()$cases$wages)) {
    expect_variant(whole, if (name == "mean_time") "fitted" else name, disaggregation_fixture()$cases$wages[[name]])
  }
  within <- whole$effects[whole$effects$effect == "within", ]
  expect_equal(round(within$estimate[within$variant == "mean"], 5), 0.00101)
  expect_equal(round(within$estimate[within$variant == "detrend_x"], 5), 0.00057)
})

test_that("the within effect of a detrended outcome alone is that of the detrended x times the share of x that is no trend", {
  # With a random intercept only and the same number of sessions for all, x'My / x'x = (x'Mx / x'x) (x'My / x'Mx), M the residuals from each person's line.
  d <- expand.grid(session = 1:5, patient = 1:30)
  set.seed(4)
  d$x <- rnorm(150) + 0.3 * d$session
  d$y <- d$x + rnorm(30)[d$patient] + rnorm(150)
  comparison <- compare_disaggregation(hlm(y ~ within(x) + (1 | patient), d, time = session))
  value <- stats::setNames(comparison$effects$estimate, comparison$effects$variant)
  rest <- ave(seq_len(150), d$patient, FUN = function(i) stats::resid(stats::lm(x ~ session, d[i, ])))
  share <- sum(rest^2) / sum((d$x - ave(d$x, d$patient))^2)
  expect_equal(value[["detrend_y"]], value[["detrend_x"]] * share, tolerance = 1e-9)
})

test_that("a fit that is lagged, detrended or contextual has the others as variants", {
  lagged <- hlm(bai ~ session + wb(lagged(wai)) + (1 | id), implement, time = session)
  comparison <- compare_disaggregation(lagged)
  expect_setequal(setdiff(names(disaggregation_variants()), comparison$specifications$variant), c("mean_time", "analysis", "lagged", "rows", "persons"))
  same_numbers(comparison, "concurrent", "within", comparison_fits$intercept(), "wai_within")
  same_numbers(comparison, "fitted", "between", lagged, "wai_lag1_between")
  expect_output(print(comparison), "'x' is the value 1 session before", fixed = TRUE)
  detrended <- hlm(bai ~ wb(wai, detrend = TRUE, at = 3) + (1 + within(wai, detrend = TRUE) | id), implement, time = session)
  comparison <- compare_disaggregation(detrended)
  expect_identical(comparison$specifications$label[[1L]], "Detrended x")
  expect_identical(comparison$at, 3)
  by_hand <- hlm(bai ~ wb(wai) + (1 + within(wai) | id), implement)
  same_numbers(comparison, "mean", "within", by_hand, "wai_within")
  same_numbers(comparison, "mean", "between", by_hand, "wai_between")
  contextual <- hlm(bai ~ session + cx(wai) + (1 + wai | id), implement, time = session)
  comparison <- compare_disaggregation(contextual)
  same_numbers(comparison, "fitted", "contextual", contextual, "wai_between")
  same_numbers(comparison, "fitted", "within", contextual, "wai")
  by_hand <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement)
  same_numbers(comparison, "mean_time", "between", by_hand, "wai_between")
  available <- hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, control = hlm_control(means = "available"))
  comparison <- compare_disaggregation(available)
  same_numbers(comparison, "analysis", "within", comparison_fits$intercept(), "wai_within")
})

test_that("the reliability-corrected row is between_correction()'s, and its refusals are rows with the reason", {
  fit <- comparison_fits$intercept()
  comparison <- compare_disaggregation(fit, variants = "corrected")
  corrected <- between_correction(fit)
  ours <- comparison$effects[comparison$effects$variant == "corrected", ]
  theirs <- corrected$coefficients[match(c("wai_within", "wai_between"), corrected$coefficients$term), ]
  expect_equal(ours$estimate[1:2], theirs$estimate)
  expect_equal(ours$std.error[1:2], theirs$std.error)
  expect_equal(ours$p.value[1:2], theirs$p.value)
  expect_equal(ours$estimate[[3L]], corrected$contextual$estimate)
  expect_equal(ours$std.error[[3L]], corrected$contextual$std.error)
  three <- compare_disaggregation(comparison_fits[["three-levels"]](), variants = "corrected")
  row <- three$specifications[2L, ]
  expect_identical(row$status, "not possible")
  expect_match(row$reason, "persons as the highest level")
  expect_true(all(is.na(three$effects$estimate[three$effects$variant == "corrected"])))
})

test_that("interactions, products, names with blanks and factors in the model are rewritten whole", {
  d <- weighted_implement()
  names(d)[names(d) == "wai"] <- "the alliance"
  names(d)[names(d) == "session"] <- "session no"
  fit <- hlm(
    log(bai + 2) ~ `session no` * female + wb(`the alliance`) * female + within(`the alliance`):between(`the alliance`) +
      (1 + within(`the alliance`) || id), d, time = "session no"
  )
  comparison <- compare_disaggregation(fit)
  expect_true(all(comparison$specifications$status != "not possible"))
  expect_setequal(comparison$moderators, c("female", "the other part of x"))
  formulas <- stats::setNames(comparison$specifications$formula, comparison$specifications$variant)
  # without time its interaction goes, and what does not hold time stays
  by_hand <- hlm(
    log(bai + 2) ~ female * wb(`the alliance`) + within(`the alliance`):between(`the alliance`) + (1 + within(`the alliance`) || id), d
  )
  same_numbers(comparison, "mean", "within", by_hand, "`the alliance_within`")
  by_hand <- hlm(log(bai + 2) ~ `session no` * female + `the alliance` * female + (1 + `the alliance` || id), d)
  same_numbers(comparison, "raw", "not split", by_hand, "`the alliance`")
  expect_match(formulas[["detrend_y"]], "log_bai_2_detrended ~", fixed = TRUE)
  expect_match(formulas[["lagged"]], "wb(lagged(`the alliance`)) * female", fixed = TRUE)
})

test_that("random slopes of time go with time, offsets and groups stay", {
  d <- weighted_implement()
  fit <- hlm(bai ~ poly(session, 2) + offset(known) + wb(wai) + (1 | id) + (0 + session | id), d, time = session)
  comparison <- compare_disaggregation(fit, variants = c("mean", "detrend_xy"))
  expect_identical(comparison$specifications$formula[[2L]], "bai ~ within(wai) + between(wai) + offset(known) + (1 | id)")
  same_numbers(comparison, "mean", "within", hlm(bai ~ wb(wai) + (1 | id), d, offset = known), "wai_within")
  only <- hlm(bai ~ session + wb(wai) + (0 + session | id), d, time = session)
  row <- compare_disaggregation(only, variants = "mean")$specifications[2L, ]
  expect_identical(row$status, "not possible")
  expect_match(row$reason, "No random effect is left")
})

test_that("a random slope of time ends at the boundary when the outcome is detrended, and the row says that it is expected", {
  fit <- hlm(bai ~ session + wb(wai) + (1 + session | id), implement, time = session)
  comparison <- compare_disaggregation(fit, variants = list("y, with time" = list(y = "detrend")))
  row <- comparison$specifications[2L, ]
  expect_identical(row$status, "boundary")
  expect_match(row$reason, "expected: no trend is left")
})

test_that("persons with too few sessions for a trend are left out, counted, and the means are those of the rest", {
  d <- implement[!(implement$id %in% 1:3 & implement$session > 1), ]
  fit <- hlm(bai ~ wb(wai) + (1 | id), d, time = session)
  expect_no_warning(comparison <- compare_disaggregation(fit, variants = c("detrend_x", "detrend_y", "detrend_xy")))
  table <- comparison$specifications
  there <- !is.na(d$wai) & !is.na(d$bai)
  single <- names(which(table(d$id[there]) == 1L))
  expect_gt(length(single), 0L)
  expect_identical(table$rows, sum(there) - c(0L, rep(length(single), 3L)))
  expect_match(table$reason[[2L]], paste(length(single), "rows of persons with too few sessions for a trend left out"))
  expect_match(table$reason[[3L]], "trend of the outcome left out")
  rest <- d[there & !d$id %in% single, ]
  rest$y <- ave(seq_len(nrow(rest)), rest$id, FUN = function(i) stats::resid(stats::lm(bai ~ session, rest[i, ])) + mean(rest$bai[i]))
  same_numbers(comparison, "detrend_y", "within", hlm(y ~ wb(wai) + (1 | id), rest), "wai_within")
})

test_that("time may come with the call, from the fit or from the data", {
  fit <- hlm(bai ~ wb(wai) + (1 | id), implement)
  error <- expect_error(compare_disaggregation(fit), class = "hlm_error_data")
  expect_match(conditionMessage(error), "time = session")
  expect_match(conditionMessage(error), "contextual")
  expect_error(compare_disaggregation(fit, time = session), class = "hlm_error_data")
  given <- compare_disaggregation(fit, time = session, data = implement)
  same_numbers(given, "detrend_x", "within", hlm(bai ~ wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session), "wai_within")
  expect_error(compare_disaggregation(fit, time = session, data = implement[-1L, ][855:1, ]), class = "hlm_error_data")
  without <- compare_disaggregation(fit, variants = c("contextual", "available", "corrected", "raw"))
  expect_false("not possible" %in% without$specifications$status)
  with_time <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  same_numbers(compare_disaggregation(with_time, time = session), "fitted", "within", comparison_fits$intercept(), "wai_within")
})

test_that("dates and ordered factors serve as time, as a straight line in days or steps", {
  d <- implement
  d$date <- as.Date("2020-01-01") + 7 * d$session
  d$step <- factor(d$session, ordered = TRUE)
  weekly <- compare_disaggregation(hlm(bai ~ wb(wai) + (1 | id), d, time = date), variants = c("mean_time", "detrend_xy"))
  steps <- compare_disaggregation(hlm(bai ~ wb(wai) + (1 | id), d, time = step), variants = c("mean_time", "detrend_xy"))
  numbers <- compare_disaggregation(hlm(bai ~ wb(wai) + (1 | id), d, time = session), variants = c("mean_time", "detrend_xy"))
  expect_equal(weekly$effects$estimate, numbers$effects$estimate, tolerance = 1e-8)
  expect_equal(steps$effects$estimate, numbers$effects$estimate, tolerance = 1e-8)
})

test_that("several split variables are varied together, or the one named", {
  fit <- hlm(bai ~ session + wb(bond) + within(goal) + (1 | id), implement, time = session)
  both <- compare_disaggregation(fit)
  expect_identical(both$variables, c("bond", "goal"))
  by_hand <- hlm(bai ~ session + wb(bond, detrend = TRUE, at = 1) + within(goal, detrend = TRUE) + (1 | id), implement, time = session)
  detrended <- both$effects[both$effects$variant == "detrend_x_time" & both$effects$effect == "within", ]
  expect_equal(detrended$estimate, unname(fixef(by_hand)[c("bond_within", "goal_within")]), tolerance = 1e-9)
  one <- compare_disaggregation(fit, goal, variants = c("detrend_x_time", "raw"))
  expect_identical(one$variables, "goal")
  by_hand <- hlm(bai ~ session + wb(bond) + within(goal, detrend = TRUE) + (1 | id), implement, time = session)
  same_numbers(one, "detrend_x_time", "within", by_hand, "goal_within")
  which <- "goal"
  expect_identical(compare_disaggregation(fit, which, variants = "raw")$effects, compare_disaggregation(fit, "goal", variants = "raw")$effects)
  expect_identical(compare_disaggregation(fit, c(goal, bond), variants = "raw")$variables, c("goal", "bond"))
  expect_error(compare_disaggregation(fit, session), class = "hlm_error_data")
  # without a between part there is nothing to correct and no contextual form
  within <- compare_disaggregation(hlm(bai ~ session + within(wai) + (1 | id), implement, time = session))$specifications
  expect_identical(within$variant[within$status == "not possible"], c("contextual", "corrected"))
})

test_that("methods for degrees of freedom and robust covariances reach every model", {
  fit <- comparison_fits$intercept()
  detrended <- hlm(bai ~ wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session)
  robust <- compare_disaggregation(fit, variants = "detrend_x", vcov = "CR2", cluster = "id", level = 0.9)
  expected <- contest(detrended, c(wai_within = 1), joint = FALSE, vcov = "CR2", cluster = "id", level = 0.9)
  ours <- robust$effects[robust$effects$variant == "detrend_x" & robust$effects$effect == "within", ]
  expect_equal(unlist(ours[c("std.error", "df", "conf.low", "conf.high")]), unlist(expected[c("Std. Error", "df", "lower", "upper")]), ignore_attr = TRUE)
  kr <- compare_disaggregation(fit, variants = "detrend_x", ddf = "KR")
  expected <- contest(detrended, c(wai_between = 1), joint = FALSE, ddf = "KR")
  ours <- kr$effects[kr$effects$variant == "detrend_x" & kr$effects$effect == "between", ]
  expect_equal(unlist(ours[c("std.error", "df", "p.value")]), unlist(expected[c("Std. Error", "df", "Pr(>|t|)")]), ignore_attr = TRUE)
  expect_equal(
    compare_disaggregation(fit, variants = "raw", vcov = function(m) 4 * vcov(m))$effects$std.error,
    2 * compare_disaggregation(fit, variants = "raw")$effects$std.error
  )
  expect_error(compare_disaggregation(fit, vcov = diag(4)), class = "hlm_error_data")
  expect_error(compare_disaggregation(fit, vcov = "CR2", cluster = implement$id), class = "hlm_error_data")
  expect_error(compare_disaggregation(fit, vcov = "CR2", cluster = "therapist"), class = "hlm_error_data")
})

test_that("standardised effects are those of standardize()", {
  fit <- comparison_fits[["slope-ml"]]()
  comparison <- compare_disaggregation(fit, variants = c("detrend_x", "contextual", "raw"), standardize = TRUE)
  expect_false("contextual" %in% comparison$effects$effect)
  detrended <- hlm(bai ~ wb(wai, detrend = TRUE, at = 1) + (1 + within(wai, detrend = TRUE) | id), implement, time = session, REML = FALSE)
  columns <- c("estimate", "std.error", "df", "conf.low", "conf.high")
  for (pair in list(list("fitted", fit), list("detrend_x", detrended))) {
    theirs <- as.data.frame(standardize(pair[[2L]]))
    theirs <- theirs[match(c("wai_within", "wai_between"), theirs$term), ]
    ours <- comparison$effects[comparison$effects$variant == pair[[1L]], ]
    expect_equal(ours[columns], theirs[columns], tolerance = 1e-8, ignore_attr = TRUE)
  }
  # with random intercepts only the contextual form is the same model
  same <- compare_disaggregation(comparison_fits$intercept(), variants = "contextual", standardize = TRUE)
  expect_identical(same$specifications$same_as, c(NA, "fitted"))
})

test_that("a comparison needs nothing but the fit, leaves it as it is and keeps fits when asked", {
  make <- function() {
    local_data <- implement[sample(nrow(implement)), ]
    hlm(bai ~ session + wb(wai) + (1 | id), local_data, time = session)
  }
  set.seed(8)
  fit <- make()
  before <- rlang::hash(fit)
  comparison <- compare_disaggregation(unserialize(serialize(fit, NULL)), fits = TRUE)
  expect_identical(rlang::hash(fit), before)
  reference <- disaggregation_fixture()$cases$intercept
  expect_variant(comparison, "detrend_xy", reference$detrend_xy)
  expect_variant(comparison, "lagged", reference$lagged)
  expect_identical(names(comparison$fits), comparison$specifications$variant)
  expect_s3_class(comparison$fits$detrend_y, "hlm")
  expect_equal(unname(fixef(comparison$fits$detrend_y)["wai_within"]), reference$detrend_y$within$estimate, tolerance = 1e-7)
  expect_equal(unname(fixef(update(comparison$fits$detrend_y, . ~ . - between(wai)))["wai_within"]), reference$detrend_y$within$estimate, tolerance = 1e-2)
  expect_null(compare_disaggregation(fit, variants = "raw")$fits)
})

test_that("missing values are left out whatever the fit's own na.action", {
  complete <- implement[!is.na(implement$wai) & !is.na(implement$bai), ]
  strict <- hlm(bai ~ session + wb(wai) + (1 | id), complete, time = session, na.action = na.fail)
  padded <- hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, na.action = na.exclude)
  lost <- compare_disaggregation(strict, variants = "lagged")
  expect_identical(lost$specifications$status, c("converged", "converged"))
  expect_variant(compare_disaggregation(padded), "lagged", disaggregation_fixture()$cases$intercept$lagged)
})

test_that("two rows of a person at the same time stop the variants that need an order, with the reason", {
  d <- implement
  d$session[2L] <- 1L
  expect_warning(fit <- hlm(bai ~ wb(wai) + (1 | id), d, time = session), "more than one row")
  table <- compare_disaggregation(fit)$specifications
  expect_setequal(table$variant[table$status == "not possible"], c("detrend_x", "detrend_x_time", "detrend_y", "detrend_xy", "lagged"))
  expect_match(table$reason[table$variant == "detrend_y"], "more than one row for the same")
})

test_that("wrong arguments are errors that say what to do", {
  fit <- comparison_fits$intercept()
  expect_error(compare_disaggregation(lm(dist ~ speed, cars)), class = "hlm_error_data")
  expect_error(compare_disaggregation(hlm(bai ~ wai + (1 | id), implement)), class = "hlm_error_data")
  expect_error(compare_disaggregation(fit, variants = "detrended"), class = "hlm_error_design")
  expect_error(compare_disaggregation(fit, degree = 0), class = "hlm_error_design")
  expect_error(compare_disaggregation(fit, at = "start"), class = "hlm_error_data")
  expect_error(compare_disaggregation(fit, level = 95), class = "hlm_error_data")
  expect_error(compare_disaggregation(fit, fits = NA), class = "hlm_error_design")
  expect_error(compare_disaggregation(fit, data = as.matrix(implement)), class = "hlm_error_data")
  expect_warning(compare_disaggregation(fit, variants = "raw", varients = "raw"), class = "hlm_warning_arguments")
  detrended <- hlm(bai ~ wb(wai, detrend = TRUE) + (1 | id), implement, time = session)
  expect_error(compare_disaggregation(detrended, at = 2), class = "hlm_error_data")
  expect_error(compare_disaggregation(detrended, degree = 2), class = "hlm_error_data")
})

test_that("a variable in the brackets of a function is rewritten, empty arguments are left alone", {
  d <- implement
  d$both <- cbind(d$session, d$session^2)
  fit <- hlm(bai ~ both[, 1] + wb(wai) + (1 | id), d, time = session)
  comparison <- compare_disaggregation(fit, variants = "mean_time")
  same_numbers(comparison, "mean_time", "within", hlm(bai ~ both[, 1] + wb(wai) + session + (1 | id), d), "wai_within")
})

test_that("the degree and the time of the level are those asked for", {
  comparison <- compare_disaggregation(comparison_fits$intercept(), variants = c("detrend_x", "detrend_xy"), degree = 2, at = 8)
  expect_warning(by_hand <- hlm(bai ~ wb(wai, detrend = 2, at = 8) + (1 | id), implement, time = session), "too few sessions")
  same_numbers(comparison, "detrend_x", "between", by_hand, "wai_between")
})
