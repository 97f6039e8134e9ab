# Models with unequal or correlated residuals. lme4 has none of these: the peers are nlme, glmmTMB (unequal variances) and fit-plain.R.

# residual: as hlm() takes it; nlme_correlation and nlme_weights: nlme's arguments; phi and strata: what fit-plain.R needs; block: rows of
# different values of this factor are independent.
residual_builders <- list(
  hetero_residuals = function(n, rep) {
    frame <- phase_frame(max(n, 90))
    frame$therapist <- factor((as.integer(frame$patient) - 1) %/% 3)
    noise <- c(a = 1, b = variant(rep, 0.5, 2, 1), c = variant(rep, 1.5, 4))[as.character(frame$phase)]
    frame$y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.2), effect("therapist", "1", 0.4)), sigma = 0) +
      noise * rnorm(nrow(frame))
    v <- c(list(c("(1 | patient)", "list(patient = ~ 1)", "patient")), list(c("(1 + x | patient)", "list(patient = ~ 1 + x)", "patient")),
      list(c("(1 | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1)", "therapist")))[[rep %% 3 + 1]]
    list(data = frame, formula = paste("y ~ x + time +", v[1]), nlme = v[2], block = v[3], strata = "phase", residual = "hetero(phase)",
      nlme_weights = "varIdent(form = ~ 1 | phase)", dispersion = "~ phase")
  },
  ar1_residuals = function(n, rep) {
    frame <- serial_frame(n, rep, function(person) person$time)
    hetero <- rep %% 4 == 3
    v <- serial_random(rep)
    list(data = frame, formula = paste("y ~ x + time +", v[1]), nlme = v[2], block = v[3], serial = "time", strata = if (hetero) "phase",
      residual = if (hetero) "ar1(time) + hetero(phase)" else "ar1(time)", nlme_correlation = serial_nlme("corAR1", "time", v[3]),
      nlme_weights = if (hetero) "varIdent(form = ~ 1 | phase)")
  },
  car1_residuals = function(n, rep) {
    frame <- serial_frame(n, rep, function(person) sort(round(cumsum(runif(nrow(person), 0.3, 2)), 2)))
    hetero <- rep %% 4 == 3
    v <- serial_random(rep)
    list(data = frame, formula = paste("y ~ x + time +", v[1]), nlme = v[2], block = v[3], serial = "day", strata = if (hetero) "phase",
      residual = if (hetero) "car1(day) + hetero(phase)" else "car1(day)", nlme_correlation = serial_nlme("corCAR1", "day", v[3]),
      nlme_weights = if (hetero) "varIdent(form = ~ 1 | phase)", continuous = TRUE)
  }
)

serial_random <- function(rep) {
  list(c("(1 | patient)", "list(patient = ~ 1)", "patient"), c("(1 + x | patient)", "list(patient = ~ 1 + x)", "patient"),
    c("(1 | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1)", "therapist"))[[rep %% 3 + 1]]
}

serial_nlme <- function(class, time, block) sprintf("%s(form = ~ %s | %s)", class, time, if (block == "therapist") "therapist/patient" else "patient")

# Sessions with gaps, a time of measurement `day` made by `clock`, and residuals with correlation phi^distance within persons.
serial_frame <- function(n, rep, clock) {
  frame <- nested_frame(sample(5:12, max(8, round(n / 8)), replace = TRUE))
  if (rep %% 2 == 0) frame <- frame[runif(nrow(frame)) > 0.12, ]
  frame$patient <- droplevels(frame$patient)
  frame$therapist <- factor((as.integer(frame$patient) - 1) %/% 3)
  frame$phase <- factor(ifelse(frame$time > 3, "late", "early"))
  people <- split(seq_len(nrow(frame)), frame$patient)
  frame$day <- 0
  phi <- variant(rep, 0.6, 0.3, 0.85, 0)
  noise <- numeric(nrow(frame))
  for (rows in people) {
    frame$day[rows] <- clock(frame[rows, ])
    root <- chol(phi^abs(outer(frame$day[rows], frame$day[rows], "-")))
    noise[rows] <- drop(rnorm(length(rows)) %*% root)
  }
  frame$y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.2), effect("therapist", "1", 0.4)), c(x = 0.5, time = -0.1), 0) +
    ifelse(frame$phase == "late", variant(rep, 1, 2), 1) * noise
  frame
}
