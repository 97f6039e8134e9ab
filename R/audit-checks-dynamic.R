# Checks of audit(): spacing of sessions, the origin of time, and lagged outcomes.

audit_checks_dynamic <- function() {
  list(
    audit_check("unequal_spacing", "sessions are equally spaced", "time", check_unequal_spacing),
    audit_check("time_origin", "time zero lies within the data", "time", check_time_origin),
    audit_check("nickell", "no Nickell bias to expect", c("outcome", "panel"), check_nickell)
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
    words <- paste0("The interval from one session of a person to the next is ", audit_value(spread[[3L]]), " in the middle, ",
                    audit_value(spread[[2L]]), " to ",
                    audit_value(spread[[4L]]), " for four in five, at most ", audit_value(spread[[5L]]), ".")
  }
  if (isTRUE(a$names$lagged) && identical(a$fit$time, a$names$time)) return(uneven_lags(a, words))
  audit_finding(
    if (isTRUE(a$names$lagged)) "high" else "medium", "Sessions are unequally spaced",
    c(words, "\"One session earlier\" does not mean the same span everywhere, and effects fade with time."),
    paste("Take the real time (days, weeks) for trends. For lags number the sessions and say that the lag is a session, not a week; add the interval (and its",
          "product with the lagged value) as a check, or use a continuous-time model."),
    "Voelkle et al. 2012; de Haan-Rietdijk et al. 2017"
  )
}

# lagged() goes by the same clock: every lag of the model spans the same time, whatever the intervals, at the price of pairs.
uneven_lags <- function(a, words) {
  audit_finding(
    "low", "Sessions are unequally spaced",
    c(words, paste0(
      "The model's lags go by ", a$names$time, ", so that each spans the same time; sessions without another one exactly that long before are not analysed."
    )),
    "Report the number of pairs analysed, and compare with lags that count sessions (number them) or with a continuous-time model, which use all pairs.",
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
    paste0(a$names$time, " goes from ", audit_value(span[[1L]]), " to ", audit_value(span[[2L]]), ". Intercepts, their variance and levels of trends ",
           "refer to time 0, which nobody was measured at."),
    paste0("Count from a point that means something: ", a$names$time, " - ", audit_value(span[[1L]]), ", or centred at the middle."),
    "Singer & Willett 2003, ch. 5"
  )
}

# In data: the outcome depends on its own past and persons have few sessions. In a fit: the lagged outcome is a predictor.
check_nickell <- function(a) if (is.null(a$fit)) check_nickell_data(a) else check_nickell_fit(a)

nickell_reference <- "Nickell 1981; Allison et al. 2017; Hamaker et al. 2015"

check_nickell_data <- function(a) {
  name <- outcomes_of(a)[[1L]]
  ar <- audit_autoregression(a, name)
  if (is.null(ar) || ar$pairs < 2 || ar$z < stats::qnorm(0.995)) return(NULL)
  known <- !is.na(ar$rho)
  if (known && (ar$rho < 0.1 || abs(ar$bias) < 0.03)) return(NULL)
  audit_finding(
    "low", "A lagged outcome would be biased (Nickell bias)",
    c(
      paste0(name, " depends on its value one session before: autoregression ", audit_number(ar$estimate), " with person means taken out, ",
             if (known) paste0("which is what a true ", audit_number(ar$rho), " is expected to give") else "more than any stable course is expected to give",
             " with ", audit_number(ar$pairs, 1L), " pairs of sessions per person."),
      if (known) paste0("In a model with the earlier value its effect would come out about ", audit_number(abs(ar$bias)), " too small."),
      "Effects of predictors that go with earlier values of the outcome would be off, too. Persons with trends of their own give the same picture."
    ),
    paste("If the earlier value of the outcome enters the model, report the expected bias, nickell_bias(fit), and check the result with a dynamic panel model",
          "(maximum likelihood in lavaan, RI-CLPM, DSEM); or leave it out and give the residuals an AR(1) structure."),
    nickell_reference
  )
}

check_nickell_fit <- function(a) {
  found <- nickell_of(a$fit)
  if (is.null(found)) return(nickell_unsized(lagged_outcome(a$fit)))
  row <- found$table[which.max(abs(found$table$bias) %|nas|% 0), ]
  passed <- found$effects[found$effects$source == row$term & abs(found$effects$ratio) > 0.5 & !is.na(found$effects$ratio), , drop = FALSE]
  passed <- passed[order(-abs(passed$ratio)), , drop = FALSE]
  size <- abs(row$bias)
  audit_finding(
    if (is.na(size) || size > 0.1) "high" else if (size > 0.03) "medium" else "low", "The outcome's earlier value is among the predictors (Nickell bias)",
    c(
      paste0("Beside a random intercept ", row$term, " is related to the error, however many persons there are."),
      if (is.na(size)) {
        paste0("Its estimate is ", audit_number(row$estimate), " with ", audit_number(row$sessions, 1L), " analysed sessions per person. ", row$note)
      } else {
        paste0("Its estimate ", audit_number(row$estimate), " is about ", audit_number(size), " too ", if (row$bias < 0) "small" else "large",
               " with ", audit_number(row$sessions, 1L), " analysed sessions per person.")
      },
      if (nrow(passed)) {
        sizes <- paste0(" (bias ", audit_number(passed$bias), ", ", audit_number(abs(passed$ratio), 1L), " standard errors)")
        paste0("Passed on to the effect of ", audit_list(paste0(passed$term, sizes)), ".")
      }
    ),
    paste("Report nickell_bias(fit), and check the result with a dynamic panel model (maximum likelihood in lavaan, RI-CLPM, DSEM), or leave the earlier value",
          "out and give the residuals an AR(1) structure."),
    nickell_reference, found$table
  )
}

# The problem is there with correlated residuals, too; how large it is then, the formulas do not say.
nickell_unsized <- function(lagged) {
  if (is.null(lagged)) return(NULL)
  audit_finding(
    "medium", "The outcome's earlier value is among the predictors (Nickell bias)",
    c(
      paste0("Beside a random intercept ", audit_list(lagged$term), " is related to the error, however many persons there are."),
      "With a residual structure the size of the bias is not known; autocorrelated residuals add to it,",
      "because the earlier value contains the earlier residual."
    ),
    paste("Have one of the two, the earlier value or autocorrelated residuals, and check the result with a dynamic panel model (maximum likelihood in lavaan,",
          "RI-CLPM, DSEM)."),
    nickell_reference, lagged
  )
}

`%|nas|%` <- function(x, y) ifelse(is.na(x), y, x)
