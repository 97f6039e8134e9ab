# The contract of a check: named, explained, triggered by a data set of its own and silent on the clean one.

expect_finding <- function(finding, id) {
  label <- paste("finding", id)
  expect_true(finding$severity %in% audit_severities(), label = label)
  for (part in c("title", "evidence", "what_to_do", "reference")) {
    expect_true(is.character(finding[[part]]) && length(finding[[part]]) == 1L && nzchar(finding[[part]]), label = paste(label, part))
    expect_no_match(finding[[part]], "NaN|\\bNA\\b.*\\bNA\\b|NULL|  |character\\(0\\)| \\.( |$)", label = paste(label, part))
  }
  # a year in every reference, sentences that end
  expect_match(finding$reference, "[12][0-9]{3}", label = label)
  expect_match(finding$evidence, "[.)]$", label = label)
  expect_match(finding$what_to_do, "[.)]$", label = label)
  expect_true(is.null(finding$who) || is.data.frame(finding$who) && nrow(finding$who) > 0L, label = label)
}

test_that("every check has its own id, words and needs, and a case that triggers it", {
  checks <- audit_checks()
  ids <- vapply(checks, `[[`, "", "id")
  expect_false(anyDuplicated(ids) > 0L)
  expect_false(anyDuplicated(vapply(checks, `[[`, "", "label")) > 0L)
  known <- c("outcome", "predictor", "time", "regular", "panel", "level", "covariate", "fit", "independent", "uncorrelated")
  expect_length(setdiff(unlist(lapply(checks, `[[`, "needs")), known), 0L)
  about_fit <- vapply(checks, function(check) "fit" %in% check$needs, NA)
  expect_setequal(names(audit_data_cases()), ids[!about_fit])
  expect_length(setdiff(ids[about_fit], names(audit_fit_cases())), 0L)
  # what the issue names
  named <- c(
    "gaps", "dropout", "single_sessions", "too_few_for_trend", "mean_reliability", "trend_reliability", "trend_predictor", "little_within",
    "floor_ceiling", "level_collapse", "singletons", "singular_level", "nickell", "unequal_spacing", "reused_ids"
  )
  expect_length(setdiff(named, ids), 0L)
})

test_that("nothing is raised about the clean data or a fit to them", {
  clean <- audit_call(audit_clean())
  expect_length(clean$findings, 0L)
  expect_identical(nrow(clean$skipped), 0L)
  expect_setequal(names(clean$passed), names(Filter(function(check) !"fit" %in% check$needs, audit_checks())))
  fit <- audit_fit_of(fit_case())
  expect_length(fit$findings, 0L)
  expect_setequal(c(names(fit$passed), fit$skipped$id), names(audit_checks()))
})

test_that("each change of the data triggers its finding and no other", {
  cases <- audit_data_cases()
  for (id in names(cases)) {
    case <- cases[[id]]
    a <- do.call(audit_call, c(list(changed(case$change)), case$call))
    expect_setequal(names(a$findings), c(id, case$also))
    expect_finding(a$findings[[id]], id)
  }
})

test_that("each change of the model or its data triggers its finding and no other", {
  cases <- audit_fit_cases()
  for (id in names(cases)) {
    a <- audit_fit_of(cases[[id]])
    expect_setequal(names(a$findings), c(id, cases[[id]]$also))
    expect_finding(a$findings[[id]], id)
  }
})

test_that("findings are ranked by severity, within it in the order of the registry", {
  a <- audit(implement, y = bai, x = wai, id = id, time = session, level = therapist)
  rank <- match(vapply(a$findings, `[[`, "", "severity"), audit_severities())
  expect_false(is.unsorted(rank))
  place <- match(names(a$findings), names(audit_checks()))
  for (part in split(place, rank)) expect_false(is.unsorted(part))
})

test_that("a check that could not be made is not counted as passed, and says what it needs", {
  d <- audit_clean()
  a <- audit(d, y = y, id = patient)
  expect_identical(a$skipped$reason[a$skipped$id == "trend_predictor"], "needs a predictor (x = ) and the session (time = )")
  expect_identical(a$skipped$reason[a$skipped$id == "singletons"], "needs the therapist or another level (level = )")
  expect_length(intersect(a$skipped$id, names(a$passed)), 0L)
  # sessions twice: nothing that needs their order
  twice <- audit_call(rbind(d, d))
  expect_identical(twice$skipped$reason[twice$skipped$id == "gaps"], "several rows per person and session")
  # sessions at odd times
  odd <- withr::with_seed(3, audit_call(transform(d, session = session + stats::runif(720, 0, 0.9))))
  expect_identical(odd$skipped$reason[odd$skipped$id == "gaps"], "no common spacing of the sessions")
  expect_identical(odd$skipped$reason[odd$skipped$id == "nickell"], "no common spacing of the sessions")
  # check_fit() does not apply to a model with a residual structure, the autocorrelation of independent residuals not to correlated ones
  ar1 <- audit_fit_of(fit_case(residual = "ar1(session)"))
  why <- stats::setNames(ar1$skipped$reason, ar1$skipped$id)
  expect_identical(why[["fit_problems"]], "the model has a residual structure of its own")
  expect_identical(why[["residual_autocorrelation"]], "the model has correlated residuals")
  expect_length(ar1$findings, 0L)
})

test_that("numbers in sentences", {
  expect_identical(audit_percent(c(0, 0.004, 0.126, 0.996, 1)), c("0 %", "under 1 %", "13 %", "over 99 %", "100 %"))
  expect_identical(audit_number(c(0, 0.00123, -1.234)), c("0.00", "0.001", "-1.23"))
  expect_identical(audit_list(c("a", "b", "c")), "a, b and c")
  expect_identical(audit_list("a"), "a")
  expect_identical(audit_p(c(0.00001, 0.0123)), c("p <0.001", "p = 0.012"))
})
