test_that("every entry of the registry is fitted or says why not, whatever the model", {
  models <- list(
    comparison_fits$intercept(), hlm(bai ~ within(lagged(wai)) + (1 | id), implement, time = session),
    hlm(bai ~ session + cx(wai, level = "therapist") + (1 | therapist / id), implement, time = session, control = hlm_control(weighting = "rows"))
  )
  for (fit in models) {
    comparison <- compare_disaggregation(fit)
    table <- comparison$specifications
    expect_true(all(nzchar(table$reason[table$status == "not possible"])))
    # an entry is a row, another name for the fit as it is, or said to change nothing
    base <- as.list(table[1L, names(disaggregation_settings)])
    for (name in names(disaggregation_variants())) {
      entry <- disaggregation_variants()[[name]]
      same <- identical(utils::modifyList(base, entry$changes(base, 1L)), base)
      expect_true(same || name %in% table$variant || entry$label %in% comparison$unchanged, info = name)
    }
    fitted <- table$status != "not possible" & table$variant != "fitted"
    for (i in which(fitted)) {
      settings <- utils::modifyList(base, disaggregation_variants()[[table$variant[[i]]]]$changes(base, 1L))
      expect_identical(as.list(table[i, names(disaggregation_settings)]), settings)
    }
  }
})

test_that("variants of one's own are settings, checked", {
  fit <- comparison_fits$intercept()
  own <- compare_disaggregation(fit, variants = list(
    "Two before" = list(lag = 2), "All" = list(x = "detrend", y = "detrend", time = TRUE, lag = 1L, means = "available", weighting = "rows"),
    "The fit" = list(time = TRUE)
  ))
  expect_identical(own$specifications$variant, c("fitted", "Two before", "All"))
  by_hand <- hlm(bai ~ session + wb(lagged(wai, 2)) + (1 | id), implement, time = session)
  expect_equal(own$effects$estimate[own$effects$variant == "Two before"][1:2], unname(fixef(by_hand)[c("wai_lag2_within", "wai_lag2_between")]))
  expect_identical(own$specifications$rows[[2L]], nobs(by_hand))
  wrong <- list(
    list(list(lag = 2)), list(a = 2), list(a = list()), list(a = list(x = "line")), list(a = list(lag = 0.5)), list(a = list(time = 1)),
    list(a = list(lags = 1)), list(fitted = list(lag = 1)), list(a = list(time = NA)), list(a = list(lag = 1), a = list(lag = 2))
  )
  for (variants in wrong) expect_error(compare_disaggregation(fit, variants = variants), class = "hlm_error_design")
})

test_that("formulas are taken apart and put together", {
  formula_of <- function(formula, settings) {
    # the therapist is both fixed and random in one of them
    fit <- suppressWarnings(hlm(formula, implement, time = session), classes = "hlm_warning_design")
    focal <- focal_variables(fit, focal_names(fit, NULL, environment()))
    problem <- comparison_problem(fit, focal, "session", NULL, NULL, NULL)
    expr_text(variant_formula(problem, utils::modifyList(problem$base, settings)))
  }
  expect_identical(
    formula_of(bai ~ session * wb(wai) + (1 + within(wai) + session | id), list(time = FALSE)),
    "bai ~ within(wai) + between(wai) + (1 + within(wai) | id)"
  )
  expect_identical(
    formula_of(bai ~ 0 + factor(therapist) + wb(wai, level = "therapist") + (1 | therapist / id), list(x = "detrend", time = TRUE)),
    "bai ~ 0 + factor(therapist) + wb(wai, detrend = TRUE, at = 1, level = \"therapist\") + session + (1 | therapist/id)"
  )
  expect_identical(formula_of(bai ~ I(within(wai)^2) + wb(wai) + (1 | id), list(x = "raw")), "bai ~ I(wai^2) + wai + (1 | id)")
  expect_identical(
    formula_of(bai ~ within(wai) * between(wai) + (1 + within(wai) | id), list(x = "contextual", lag = 1L)),
    "bai ~ lagged(wai) * between(lagged(wai)) + cx(lagged(wai)) + (1 + lagged(wai) | id)"
  )
  expect_identical(formula_of(bai ~ cx(wai) + (1 + wai | id), list(x = "mean")), "bai ~ wb(wai) + (1 + within(wai) | id)")
  expect_identical(formula_of(bai ~ cx(lagged(wai)) + (1 + lagged(wai) | id), list(x = "mean", lag = 0L)), "bai ~ wb(wai) + (1 + within(wai) | id)")
  expect_identical(formula_of(bai ~ wb(log(wai + 3)) + (1 | id), list(lag = 3L)), "bai ~ wb(lagged(log(wai + 3), 3)) + (1 | id)")
})
