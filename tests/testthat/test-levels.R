test_that("the parts of a column add up, are uncorrelated and live at their level", {
  d <- synthetic_sessions()
  fit <- suppressMessages(hlm(y ~ x + (1 | therapist / patient), d))
  groups <- fit$design$groups
  parts <- level_parts(d$x, groups)
  expect_equal(Reduce(`+`, parts), d$x, tolerance = 1e-14)
  expect_equal(sum(vapply(parts, stats::var, 0)), stats::var(d$x), tolerance = 1e-12)
  expect_lt(max(abs(tapply(parts[[1]], d$patient, sum))), 1e-12)
  expect_lt(max(abs(tapply(parts[[2]], d$therapist, sum))), 1e-12)
  expect_equal(parts[[3]], ave(d$x, d$therapist))
})

test_that("crossed groups have no chain", {
  skip_if_not_installed("lme4")
  expect_error(nested_groups(fit_penicillin(), "It", "Do that."), "crossed", class = "hlm_error_design")
})

test_that("kinds and levels come from the formula", {
  facts <- variable_facts(fit_therapy())
  row.names(facts) <- facts$label
  expect_equal(facts[c("session", "female", "alliance_within", "alliance_between"), "kind"], c("raw", "raw", "within", "between"))
  expect_equal(facts[c("session", "female", "alliance_within", "alliance_between"), "level"], c("1", "patient", "1", "patient"))
  expect_equal(facts["alliance_within", "source"], "alliance")
})

test_that("the variable of cx() is known by its source, a lag by its own name", {
  d <- therapy_data()
  facts <- variable_facts(hlm(distress ~ cx(alliance) + lagged(alliance) + (1 | patient), d, time = session))
  expect_equal(facts$source[facts$label == "alliance"], "alliance")
  expect_equal(facts$kind[facts$label == "alliance_lag1"], "lag")
})

test_that("person-mean centring is read from the formula, not from sums", {
  d <- therapy_data()
  # Centred at the grand mean: the sum over all rows is zero, those of the persons are not (peers' fault 8).
  d$centred <- d$alliance - mean(d$alliance)
  fit <- hlm(distress ~ centred + within(alliance) + within(alliance):female + within(alliance):session + (1 | patient), d)
  facts <- variable_facts(fit)
  known <- vapply(fit$spec$coefs$name[-1], function(name) {
    is_person_centred(fit, fit$spec$coefs$term[fit$spec$coefs$name == name], name, facts)
  }, NA)
  expect_equal(
    known, c(centred = FALSE, alliance_within = TRUE, `alliance_within:female` = TRUE, `alliance_within:session` = FALSE)
  )
})

test_that("the double-demeaned product is centred; with means over other rows nothing is", {
  d <- synthetic_sessions()
  fit <- suppressWarnings(hlm(y ~ within(x) * within(w) + (1 | patient), d))
  expect_true(is_person_centred(fit, "x_within:w_within", "x_within:w_within", variable_facts(fit)))
  d$y[5] <- NA
  fit <- suppressWarnings(hlm(y ~ within(x) + (1 | patient), d, control = hlm_control(means = "available")))
  expect_false(is_person_centred(fit, "x_within", "x_within", variable_facts(fit)))
})

test_that("the person is known without a random effect of its own", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance) + (1 | therapist), d, id = patient)
  expect_equal(person_factor(fit)$levels[person_factor(fit)$codes], as.character(d$patient[fit$rows]))
})

test_that("columns are labelled as coefficients are", {
  expect_identical(column_label(c("x_within", "my x_within")), c("x_within", "`my x_within`"))
  expect_identical(column_label(character()), character())
})
