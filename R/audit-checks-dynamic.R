# Checks of audit(): spacing of sessions, the origin of time, and lagged outcomes.

audit_checks_dynamic <- function() {
  list(
    audit_check("unequal_spacing", "sessions are equally spaced", "time", check_unequal_spacing),
    audit_check("time_origin", "time zero lies within the data", "time", check_time_origin),
    audit_check("nickell", "no Nickell bias to expect", c("outcome", "regular"), check_nickell)
  )
}

check_unequal_spacing <- function(a) {
  grid <- a$grid
  if (is.na(grid$step)) return(NULL)
  if (grid$regular) {
    # a gap that everybody has is not a missed session: the plan has unequal intervals
    used <- grid$times[grid$times <= stats::median(grid$last) + 1e-8]
    if (length(used) < 3L || all(abs(diff(used) - grid$step) < 1e-6)) return(NULL)
    words <- paste0("No one was measured at ", a$names$time, " ", show_some(missing_times(used, grid$step), 4L), ".")
  } else {
    spread <- stats::quantile(grid$steps, c(0, 0.1, 0.5, 0.9, 1), names = FALSE)
    words <- paste0("The interval from one session of a person to the next is ", audit_value(spread[[3L]]),
      " in the middle, ", audit_value(spread[[2L]]), " to ",
                    audit_value(spread[[4L]]), " for four in five, at most ", audit_value(spread[[5L]]), ".")
  }
  audit_finding(
    if (isTRUE(a$names$lagged)) "high" else "medium", "Sessions are unequally spaced",
    c(words, "\"One session earlier\" does not mean the same span everywhere, and effects fade with time."),
    paste("Take the real time (days, weeks) for trends. For lags number the sessions and say that the lag is a session, not a week; add the interval (and its",
          "product with the lagged value) as a check, or use a continuous-time model."),
    "Voelkle et al. 2012; de Haan-Rietdijk et al. 2017"
  )
}

missing_times <- function(times, step) {
  full <- seq(min(times), max(times), by = step)
  audit_value(full[!time_key(full) %in% times])
}

# A level "at time 0" far outside the data: years 1976 to 1982, age 12 to 16.
check_time_origin <- function(a) {
  if (!identical(a$time_kind, "number")) return(NULL)
  span <- range(a$sessions$time)
  reach <- max(a$grid$step %|na|% 0, 0.25 * diff(span))
  if (diff(span) == 0 || span[[1L]] - reach <= 0 && span[[2L]] + reach >= 0) return(NULL)
  audit_finding(
    "low", "Time does not start near zero",
    paste0(a$names$time, " goes from ", audit_value(span[[1L]]), " to ", audit_value(span[[2L]]),
      ". Intercepts, their variance and levels of trends refer to time 0, ",
           "which nobody was measured at."),
    paste0("Count from a point that means something: ", a$names$time, " - ", audit_value(span[[1L]]), ", or centred at the middle."),
    "Singer & Willett 2003, ch. 5"
  )
}

# In data: the outcome depends on its own past and persons have few sessions. In a fit: the lagged outcome is a predictor.
check_nickell <- function(a) {
  fitted <- !is.null(a$fit)
  lagged <- fitted && isTRUE(a$names$outcome_lagged)
  if (fitted && !lagged) return(NULL)
  name <- outcomes_of(a)[[1L]]
  ar <- audit_autoregression(a, name)
  if (is.null(ar) || ar$pairs < 2) return(NULL)
  bias <- nickell_formula(ar$rho, ar$pairs)
  if (!lagged && (ar$z < stats::qnorm(0.995) || ar$rho < 0.1) || abs(bias) < 0.03) return(NULL)
  extreme <- ar$rho > 0.9
  words <- paste0(
    name, " depends on its value one session before (autoregression ", audit_number(ar$estimate), " within persons, ",
    if (extreme) "0.9 or more" else paste("about", audit_number(ar$rho)), " when corrected; persons' own trends included), and persons have ",
    audit_number(ar$pairs, 1L),
      " pairs of sessions on average."
  )
  audit_finding(
    if (!lagged) "low" else if (abs(bias) > 0.1) "high" else "medium",
    if (lagged) "The lagged outcome makes the model endogenous (Nickell bias)" else "A lagged outcome would be biased (Nickell bias)",
    c(words, if (lagged && !a$names$outcome_split) {
      paste0(
        "Beside a random intercept the unsplit lagged ", name,
        " also carries differences between persons: its coefficient is a mixture and tends to be too high."
      )
    }, paste0("With person means taken out, the autoregression is estimated too low by ", if (extreme) "at least " else "about ",
                    audit_number(abs(if (extreme) nickell_formula(0.9, ar$pairs) else bias)),
                    "; effects of predictors that depend on earlier values of the outcome are off, too.")),
    paste("If the lagged outcome is in the model, report the expected bias and check with a dynamic panel model (maximum likelihood in lavaan, RI-CLPM, DSEM),",
          "or leave it out and give the residuals an AR(1) structure."),
    "Nickell 1981; Allison et al. 2017; Hamaker et al. 2015"
  )
}
