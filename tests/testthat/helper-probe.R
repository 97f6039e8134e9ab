# The fixture of data-raw/fixtures/probe.R and models that several test files probe.

probe_fixture <- function() fit_once("probe_fixture", function() read_core_fixture(test_path("fixtures", "probe.json")))

probe_data <- function() {
  fit_once("probe_data", function() {
    d <- wbhlm::implement
    eval(parse(text = probe_fixture()$preprocess))
    d
  })
}

probe_case_fit <- function(formula, contrasts = NULL) {
  fit_once(paste("probe", formula), function() {
    d <- probe_data()
    hlm(stats::as.formula(formula, env = globalenv()), d, contrasts = contrasts)
  })
}

# Synthetic: 60 patients, 6 sessions; the within effect of alliance falls with severity, in one group more than in the other.
probe_therapies <- function() {
  fit_once("probe_therapies", function() {
    withr::with_seed(2, {
      d <- data.frame(patient = rep(1:60, each = 6), session = rep(1:6, 60))
      d$severity <- round(stats::rnorm(60, 20, 4), 1)[d$patient]
      d$group <- c("CBT", "PDT")[1 + d$patient %% 2]
      d$alliance <- stats::rnorm(60)[d$patient] + stats::rnorm(360)
      d$mood <- stats::rnorm(360)
      d$distress <- 20 - d$alliance * (d$severity - 16) / 8 * ifelse(d$group == "CBT", 1, 0.7) + stats::rnorm(60)[d$patient] + stats::rnorm(360)
      d
    })
  })
}

fit_moderated <- function() {
  fit_once("moderated", function() {
    hlm(distress ~ within(alliance) * severity * group + between(alliance) + (1 + within(alliance) | patient), probe_therapies())
  })
}

fit_simple_moderated <- function() {
  fit_once("simple_moderated", function() {
    hlm(distress ~ within(alliance) * severity + between(alliance) + (1 + within(alliance) | patient), probe_therapies())
  })
}

# Slopes, standard errors and df as in the fixtures: 1e-5, 1e-4, 1e-3 relative (helper-fixtures.R).
expect_slopes <- function(found, reference, label) {
  estimate <- as.numeric(unlist(reference$estimate))
  se <- as.numeric(unlist(reference$se))
  expect_within(found$Estimate, estimate, 1e-5 * pmax(abs(estimate), se), paste("slopes,", label))
  expect_within(found$`Std. Error`, se, 1e-4 * se, paste("standard errors,", label))
  expect_within(found$df, unlist(reference$df), 1e-3 * as.numeric(unlist(reference$df)), paste("df,", label))
}

# The band of a result at given values of the moderator, whatever they are: with the level that its rule found.
johnson_neyman_at <- function(fit, case, at, found) {
  ddf <- if (all(is.infinite(found$curve$df))) "none" else "residual"
  slopes <- simple_slopes(fit, case$pred, case$modx, at = at, ddf = ddf, level = 1 - found$rules$alpha)$slopes
  list(estimate = slopes$Estimate, lower = slopes$lower)
}
