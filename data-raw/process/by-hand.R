# Lags, person means and own lines by plain loops, and the models by lme4: the judgement on the synthetic sets owes nothing to wbhlm.

# The value at the person's occasion one unit of time before; missing where there is no such row.
lag_by_hand <- function(x, person, time) {
  vapply(seq_along(x), function(i) {
    before <- which(person == person[i] & time == time[i] - 1)
    if (length(before) == 1L) x[before] else NA_real_
  }, 0)
}

# The rows of a model: `split` is a list of list(x, lag, detrend, at), `use` the other variables. Columns are named as hlm() names
# them (wai_lag1_within). Persons with one row have no line of their own and are left out where lines are asked for.
rows_by_hand <- function(d, id, time, split, use) {
  for (s in split) if (s$lag > 0L && is.null(d[[name_of(s)]])) d[[name_of(s)]] <- lag_by_hand(d[[s$x]], d[[id]], d[[time]])
  names <- vapply(split, name_of, "")
  d <- d[stats::complete.cases(d[unique(c(use, names, id, time))]), ]
  if (any(vapply(split, `[[`, NA, "detrend"))) d <- d[d[[id]] %in% names(which(table(d[[id]]) > 1L)), ]
  for (s in split) {
    x <- d[[name_of(s)]]
    within <- between <- numeric(nrow(d))
    for (rows in base::split(seq_len(nrow(d)), d[[id]])) {
      at <- d[[time]][rows] - s$at
      line <- stats::lm.fit(cbind(rep(1, length(rows)), if (s$detrend) at), x[rows])
      within[rows] <- line$residuals
      between[rows] <- line$coefficients[[1L]]
    }
    d[[paste0(name_of(s), "_within")]] <- within
    d[[paste0(name_of(s), "_between")]] <- between - mean(between[!duplicated(d[[id]])])
  }
  d
}

name_of <- function(s) if (s$lag > 0L) paste0(s$x, "_lag", s$lag) else s$x

# A variable to split, by default its value one occasion before.
lagged_value <- function(x, detrend = TRUE, at = 0, lag = 1L) list(x = x, lag = lag, detrend = detrend, at = at)

# The best of the fits by these optimizers: each of them can stop short of the optimum.
fit_by_hand <- function(model, d, id, time, optimizers = c("bobyqa", "nloptwrap", "Nelder_Mead")) {
  formula <- stats::as.formula(model$lme4)
  rows <- rows_by_hand(d, id, time, model$split, intersect(all.vars(formula), names(d)))
  fits <- lapply(optimizers, function(optimizer) {
    control <- lme4::lmerControl(optimizer = optimizer, calc.derivs = FALSE)
    suppressMessages(lmerTest::lmer(formula, rows, control = control))
  })
  fits[[which.max(vapply(fits, function(f) as.numeric(stats::logLik(f)), 0))]]
}

# One row of a coefficient table.
coefficient <- function(fit, term) {
  row <- stats::coef(summary(fit))[term, ]
  c(estimate = row[["Estimate"]], se = row[["Std. Error"]], df = row[["df"]], t = row[["t value"]], p = row[["Pr(>|t|)"]])
}

# Is the variance of a random slope zero? REML likelihood ratio of the fit and the same without the slope.
slope_test <- function(fit, without) {
  chisq <- as.numeric(2 * (stats::logLik(fit) - stats::logLik(without)))
  df <- attr(stats::logLik(fit), "df") - attr(stats::logLik(without), "df")
  # Half of the time the chi-square has one parameter less (Stram & Lee 1994).
  p <- (stats::pchisq(chisq, df, lower.tail = FALSE) + stats::pchisq(chisq, df - 1, lower.tail = FALSE)) / 2
  c(chisq = chisq, df = df, p = p)
}

software_used <- function() {
  version <- function(p) as.character(utils::packageVersion(p))
  list(R = as.character(getRversion()), lme4 = version("lme4"), lmerTest = version("lmerTest"))
}

is_found <- function(estimate, p, expected) {
  ifelse(expected == "none", p > 0.05, p < 0.05 & sign(estimate) == ifelse(expected == "negative", -1, 1))
}

write_findings <- function(about, seed, models, findings, assumed, path) {
  named <- function(x) if (is.null(names(x))) x else as.list(x)
  out <- list(
    about = about, seed = seed, software = software_used(), models = lapply(models, `[`, c("hlm", "lme4")), findings = findings,
    assumed = lapply(assumed, named)
  )
  jsonlite::write_json(out, path, pretty = TRUE, auto_unbox = TRUE, digits = 8, dataframe = "rows")
}
