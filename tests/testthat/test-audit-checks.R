# The numbers in the findings, counted by hand on data small enough for it or computed by other means.

evidence_of <- function(id, ...) {
  case <- audit_data_cases()[[id]]
  do.call(audit_call, c(list(changed(case$change)), case$call, list(...)))$findings[[id]]
}

test_that("rows: who and where", {
  expect_match(evidence_of("missing_ids")$evidence, "1 row without patient (rows 3)", fixed = TRUE)
  duplicate <- evidence_of("duplicate_rows")
  expect_match(duplicate$evidence, "1 row too many (1 person: 101); it repeats the row before", fixed = TRUE)
  expect_identical(duplicate$who$row, 6L)
  expect_true(duplicate$who$copy)
  expect_match(evidence_of("similar_ids")$evidence, "\"(p101|P101 )\" and \"(p101|P101 )\"")
  reused <- evidence_of("reused_ids")
  expect_match(reused$evidence, "3 persons (1, 2, 3) have rows of the same session in more than one therapist", fixed = TRUE)
  expect_match(reused$what_to_do, "(1 | therapist/patient)", fixed = TRUE)
  # 59 first rows that hold another person's value
  lag <- evidence_of("hand_lag")
  expect_match(lag$evidence, "In 59 first rows", fixed = TRUE)
  expect_identical(nrow(lag$who), 59L)
})

test_that("a diary counted by day and beep gets the advice to number the occasions", {
  found <- audit(hoebeke2022, y = negativity, x = brooding, id = id, time = day)$findings$duplicate_rows
  expect_match(found$what_to_do, "Together with beep the rows are unique", fixed = TRUE)
})

test_that("missing: shares, gaps and dropout are counts of the data", {
  d <- changed(audit_data_cases()$gaps$change)
  gaps <- evidence_of("gaps")
  expect_match(gaps$evidence, "60 sessions between", fixed = TRUE)
  expect_identical(sum(gaps$who$missed), 60L)
  by_person <- tapply(d$session, d$patient, function(s) diff(range(s)) + 1 - length(s))
  expect_identical(gaps$who$missed, as.integer(by_person[by_person > 0]))
  expect_match(evidence_of("missing_values")$evidence, "x is missing in 10 % of the 720 sessions", fixed = TRUE)
  dropout <- evidence_of("dropout")
  expect_match(dropout$evidence, "For 15 of 60 persons (25 %)", fixed = TRUE)
  d <- changed(audit_data_cases()$dropout$change)
  last <- tapply(d$session, d$patient, max)
  expect_equal(dropout$who$last, as.vector(last[last < 12]))
})

test_that("the discrete-time hazard is the logistic model's", {
  d <- withr::with_seed(9, {
    d <- audit_clean()
    leave <- stats::runif(720) < stats::plogis(-3 + 0.8 * (d$y - mean(d$y)))
    end <- tapply(ifelse(leave, d$session, 12), d$patient, min)
    d[d$session <= end[person(d)], ]
  })
  found <- audit_call(d)$findings$dropout_related$who
  last <- stats::ave(d$session, d$patient, FUN = max) == d$session
  risk <- data.frame(last, d)[!(last & d$session == 12), ]
  risk$z <- as.vector(scale(risk$y))
  small <- stats::glm(last ~ stats::poly(session, 2), stats::binomial(), risk, epsilon = 1e-14)
  large <- stats::update(small, . ~ . + z)
  expect_identical(found$feature[[1L]], "y at the session")
  expect_equal(found$odds_ratio[[1L]], exp(stats::coef(large)[["z"]]), tolerance = 1e-5)
  expect_equal(found$p[[1L]], stats::anova(small, large, test = "Rao")[["Pr(>Chi)"]][[2L]], tolerance = 1e-4)
  # whoever has a bad session leaves for certain
  certain <- evidence_of("dropout_related")
  expect_match(certain$evidence, "by a factor of more than 100", fixed = TRUE)
  # the mean so far of each person
  x <- c(1, NA, 3, NA, 5)
  expect_identical(running_mean(x, c(1, 1, 1, 2, 2)), c(1, 1, 2, NA, 5))
})

test_that("courses of open length are not called dropout of nearly everybody", {
  d <- withr::with_seed(5, {
    end <- sample(3:12, 60, TRUE)
    subset(audit_clean(), session <= end[person(audit_clean())])
  })
  found <- audit_call(d)$findings$dropout
  expect_identical(found$severity, "medium")
  expect_match(found$evidence, "no fixed length", fixed = TRUE)
})

test_that("levels: units and persons", {
  expect_identical(evidence_of("few_groups")$who$persons, rep(10L, 6))
  expect_identical(evidence_of("singletons")$who$unit, "T21")
  expect_match(evidence_of("placeholder")$evidence, "\"unknown\" has 3 persons (5 %)", fixed = TRUE)
  expect_match(evidence_of("few_persons")$evidence, "There are 24 persons.", fixed = TRUE)
  expect_identical(as.character(evidence_of("moved")$who$person), "101")
  # a fit with few persons, too
  few <- hlm(y ~ wb(lagged(x)) + (1 | patient), subset(audit_clean(), patient < 120), time = session)
  expect_true("few_persons" %in% names(audit(few)$findings))
})

test_that("amount: persons without a trend, reliability by Spearman-Brown", {
  expect_identical(as.character(evidence_of("single_sessions")$who$person), c("101", "102"))
  expect_identical(evidence_of("too_few_for_trend")$who$sessions, c(2L, 2L))
  d <- changed(audit_data_cases()$mean_reliability$change)
  table <- stats::anova(stats::lm(x ~ factor(patient), d))
  # balanced data: REML equals the ANOVA estimates
  expect_equal(evidence_of("mean_reliability")$who$reliability, 1 - table[["Mean Sq"]][[2L]] / table[["Mean Sq"]][[1L]], tolerance = 1e-5)
  # only what a model splits has a between effect
  fit <- hlm(y ~ x + (1 | therapist / patient), d, time = session)
  expect_false("mean_reliability" %in% names(audit(fit)$findings))
})

test_that("scale: shares at the ends", {
  d <- changed(audit_data_cases()$floor_ceiling$change)
  found <- evidence_of("floor_ceiling")$who
  expect_identical(found$end, "floor")
  expect_equal(found$share, mean(d$y == min(d$y)))
  # 15 % at the end of a given scale; the other end is not reached
  given <- audit_call(d, scale = list(y = c(0, 40)))
  expect_false("floor_ceiling" %in% names(given$findings))
  expect_identical(evidence_of("missing_codes")$who$row, c(5L, 300L))
  expect_identical(evidence_of("infinite")$who$row, 5L)
  outlier <- evidence_of("outliers")$who
  d <- changed(audit_data_cases()$outliers$change)
  expect_identical(outlier$row, 100L)
  expect_equal(outlier$value, d$x[[100L]])
})

test_that("trends: a common trend is what correlation within persons loses without it", {
  d <- changed(audit_data_cases()$common_trend$change)
  found <- evidence_of("common_trend")$who
  within <- function(x) x - stats::ave(x, d$patient)
  line <- function(name) unsplit(lapply(split(d, d$patient), function(part) residuals(stats::lm(part[[name]] ~ part$session))), d$patient)
  expect_equal(found$within, stats::cor(within(d$x), within(d$y)))
  expect_equal(found$detrended, stats::cor(line("x"), line("y")))
})

test_that("dynamics: the spacing, and Nickell's bias from nickell_bias()", {
  expect_match(evidence_of("unequal_spacing")$evidence, "is 3 in the middle, 1 to 13 for four in five, at most 13", fixed = TRUE)
  # a plan with a pause: on the grid, but unequal
  pause <- audit_call(transform(audit_clean(), session = session + ifelse(session > 8, 3, 0)))
  expect_match(pause$findings$unequal_spacing$evidence, "No one was measured at session 9, 10, 11.", fixed = TRUE)
  expect_false("gaps" %in% names(pause$findings))
  expect_match(evidence_of("time_origin")$evidence, "session goes from 1976 to 1987", fixed = TRUE)
  fit <- hlm(bai ~ session + within(lagged(bai)) + within(lagged(wai)) + (1 | id), implement, time = session)
  found <- audit(fit)$findings$nickell
  bias <- nickell_bias(fit)
  expect_identical(found$who, bias$table)
  expect_match(found$evidence, paste0("is about ", audit_number(abs(bias$table$bias)), " too small with ", audit_number(bias$table$sessions, 1L)), fixed = TRUE)
  expect_identical(found$severity, if (abs(bias$table$bias) > 0.1) "high" else "medium")
  raw <- hlm(bai ~ session + lagged(bai) + (1 | id), implement, time = session)
  expect_match(audit(raw)$findings$nickell$evidence, "too large", fixed = TRUE)
})

test_that("fits: residual autocorrelation is free of the bias of few sessions", {
  d <- withr::with_seed(2, {
    d <- data.frame(id = rep(1:800, each = 4), t = rep(1:4, 800))
    d$x <- stats::rnorm(3200)
    d$y <- stats::rnorm(800)[d$id] + stats::rnorm(800, 0.5, 0.3)[d$id] * d$x + stats::rnorm(3200)
    d
  })
  fit <- hlm(y ~ x + (1 + x | id), d, time = t)
  a <- new_audit_data(audit_source_fit(fit, list(columns = list(), others = list())))
  found <- residual_autocorrelation(a)
  plain <- matrix(residuals(fit), 4)
  expect_lt(stats::cor(as.vector(plain[-4, ]), as.vector(plain[-1, ])), -0.1)
  expect_lt(abs(found$r), 0.05)
  expect_identical(found$pairs, 2400L)
})

test_that("fits: the random slope is tested by the likelihood ratio with half a degree of freedom", {
  case <- audit_fit_cases()$random_slope
  d <- changed(case$change)
  found <- audit_fit_of(case)$findings$random_slope$who
  small <- hlm(case$formula, d, time = session)
  # an own term without correlation, as the audit adds it
  large <- hlm(y ~ wb(lagged(x)) + (1 | therapist / patient) + (0 + within(lagged(x)) | therapist:patient), d, time = session)
  lrt <- small$core$criterion - large$core$criterion
  expect_equal(found$p, stats::pchisq(lrt, 1, lower.tail = FALSE) / 2, tolerance = 1e-4)
  expect_equal(found$average, fixef(large)[["x_lag1_within"]], tolerance = 1e-4)
})

test_that("fits: problems of check_fit() that the audit raises itself are not raised twice", {
  few <- hlm(y ~ wb(lagged(x)) + (1 | patient), subset(audit_clean(), patient < 106), time = session)
  expect_true("Number of groups" %in% check_fit(few)$check[check_fit(few)$verdict == "problem"])
  found <- audit(few)$findings
  expect_true("few_persons" %in% names(found))
  expect_false("Number of groups" %in% found$fit_problems$who$check)
})

test_that("fits with a residual structure: what applies to them is found all the same", {
  cases <- audit_fit_cases()
  for (id in c("random_slope", "contextual_differs", "concurrent", "nickell")) {
    case <- cases[[id]]
    case$residual <- "ar1(session)"
    expect_identical(names(audit_fit_of(case)$findings), id)
  }
  # the last one's bias has no formula there
  expect_match(audit_fit_of(case)$findings$nickell$evidence, "size of the bias is not known", fixed = TRUE)
})
