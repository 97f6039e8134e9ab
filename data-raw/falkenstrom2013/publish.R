# The findings of the abstract as estimates on the synthetic data: each in both centrings, with and without the outcome's own past.

falkenstrom_models <- function() {
  one <- function(outcome, x, detrend, past = NULL, moderator = NULL) {
    within <- function(v) paste0("within(lagged(", v, ")", if (detrend) ", detrend = TRUE", ")")
    column <- function(v) paste0(v, "_lag1_within")
    formula <- function(part) {
      fixed <- c("session", if (!is.null(past)) part(past), paste(c(part(x), moderator), collapse = " * "))
      paste0(outcome, " ~ ", paste(fixed, collapse = " + "), " + (1 + session + ", part(x), " | patient)")
    }
    list(
      hlm = formula(within), lme4 = formula(column), slope = column(x),
      split = lapply(c(x, past), lagged_value, detrend = detrend)
    )
  }
  list(
    mean = one("core", "wai", FALSE), line = one("core", "wai", TRUE),
    `mean, past` = one("core", "wai", FALSE, past = "core"), `line, past` = one("core", "wai", TRUE, past = "core"),
    `mean, moderator` = one("core", "wai", FALSE, moderator = "personality"),
    `line, moderator` = one("core", "wai", TRUE, moderator = "personality"),
    `reverse, mean` = one("wai", "core", FALSE), `reverse, line` = one("wai", "core", TRUE),
    `reverse, mean, past` = one("wai", "core", FALSE, past = "wai"), `reverse, line, past` = one("wai", "core", TRUE, past = "wai")
  )
}

without_slope <- function(model) {
  model$lme4 <- sub(paste0(" + ", model$slope, " | patient"), " | patient", model$lme4, fixed = TRUE)
  model
}

publish_falkenstrom <- function(d, seed, path) {
  models <- falkenstrom_models()
  # The lags once, not once a model.
  d$wai_lag1 <- lag_by_hand(d$wai, d$patient, d$session)
  d$core_lag1 <- lag_by_hand(d$core, d$patient, d$session)
  fits <- lapply(models, fit_by_hand, d = d, id = "patient", time = "session")
  finding <- function(id, statement, analysis, term) {
    data.frame(
      id = id, statement = statement, analysis = analysis, term = term, quantity = "coefficient", expected = "negative",
      t(coefficient(fits[[analysis]], term))
    )
  }
  slope <- function(id, analysis) {
    model <- models[[analysis]]
    test <- slope_test(fits[[analysis]], fit_by_hand(without_slope(model), d, "patient", "session"))
    sd <- attr(lme4::VarCorr(fits[[analysis]])$patient, "stddev")[[model$slope]]
    data.frame(
      id = id, statement = "The within-patient effect varies considerably between patients", analysis = analysis, term = model$slope,
      quantity = "SD of the slopes", expected = "positive", estimate = sd, se = NA, df = test[["df"]], t = NA, p = test[["p"]]
    )
  }
  wai <- "wai_lag1_within"
  forward <- "Better alliance than usual goes with fewer symptoms at the next session"
  backward <- "More symptoms than usual go with a poorer alliance at the next session"
  stronger <- "The alliance effect is stronger in patients with personality problems"
  findings <- rbind(
    finding("within.mean", forward, "mean", wai), finding("within.line", forward, "line", wai),
    finding("within.mean.past", forward, "mean, past", wai), finding("within.line.past", forward, "line, past", wai),
    slope("slope.mean", "mean"), slope("slope.line", "line"),
    finding("moderator.mean", stronger, "mean, moderator", paste0(wai, ":personality")),
    finding("moderator.line", stronger, "line, moderator", paste0(wai, ":personality")),
    finding("reverse.mean", backward, "reverse, mean", "core_lag1_within"),
    finding("reverse.line", backward, "reverse, line", "core_lag1_within"),
    finding("reverse.mean.past", backward, "reverse, mean, past", "core_lag1_within"),
    finding("reverse.line.past", backward, "reverse, line, past", "core_lag1_within")
  )
  findings$met <- is_found(findings$estimate, findings$p, findings$expected)
  about <- paste(
    "Findings of Falkenström, Granström & Holmqvist (2013, J Couns Psychol 60:317-328) as far as its abstract tells them (signs, no",
    "sizes), and what the SYNTHETIC data set falkenstrom2013 gives, computed with lme4 and lmerTest. The sizes are assumptions of the",
    "wbhlm project, not results of the study. df and p: Satterthwaite; for the SD of the slopes the REML likelihood-ratio test with the",
    "chi-square mixture, df being that of its larger part."
  )
  write_findings(about, seed, models, findings, assumed, path)
  findings
}
