# One direction of a reciprocal model: its outcome column, its formula, its fit.

# Predictor and outcome of a direction, their lags and degrees of trend.
direction_of <- function(way, settings) {
  predictor <- substr(way, 1L, 1L)
  outcome <- substr(way, 2L, 2L)
  lag <- settings$lags[[way]]
  list(
    way = way, predictor = settings[[predictor]], outcome = settings[[outcome]], lag = lag, before = if (lag == 0L) settings$step else lag,
    predictor_degree = settings$detrend[[predictor]], outcome_degree = settings$detrend[[outcome]],
    concurrent = concurrent_lag(way, settings), labels = c(predictor = settings$labels[[predictor]], outcome = settings$labels[[outcome]])
  )
}

# The other lag at which the predictor enters: the same session, or, for a predictor of the same session, the one before. NA: none. If the
# opposite direction has lag 0, the same-session value of this one's predictor is measured after the outcome.
concurrent_lag <- function(way, settings) {
  if (!settings$concurrent) return(NA_integer_)
  if (settings$lags[[way]] == 0L) return(settings$step)
  if (settings$lags[[setdiff(c("xy", "yx"), way)]] > 0L) return(0L)
  who <- settings[[substr(way, 1L, 1L)]]
  what <- settings[[substr(way, 2L, 2L)]]
  inform_hlm("reciprocal", c(
    "{.code concurrent = TRUE}: {.var {who}} of the same session is no predictor of {.var {what}}: by {.arg lags} it is measured later."
  ))
  NA_integer_
}

# list(fit, direction, columns, roles: the names of its coefficients by role, data: what it was fitted to).
fit_direction <- function(way, data, settings, passed) {
  direction <- direction_of(way, settings)
  columns <- outcome_columns(direction, data, settings, passed$caller)
  for (name in names(columns$added)) data[[name]] <- columns$added[[name]]
  formula <- direction_formula(direction, settings, columns)
  environment(formula) <- passed$caller
  args <- list(formula = formula, data = data, id = settings$id, time = as.name(settings$time), REML = passed$REML, control = passed$control)
  args$residual <- settings$residual[[way]]
  fit <- eval(as.call(c(list(hlm), args, passed$dots)), passed$caller)
  shown <- args[setdiff(names(args), "control")]
  shown$data <- passed$data_name
  fit$call <- as.call(c(list(quote(hlm)), shown, passed$dots))
  columns$added <- NULL
  list(fit = fit, direction = direction, columns = columns, roles = coefficient_roles(fit, direction, columns), data = data)
}

# The outcome and its earlier value --------------------------------------------------------------------------------------------------

# list(outcome, lagged: names of the outcome and of the variable whose earlier value is controlled; kind: how the outcome is handled; added: computed
# columns).
outcome_columns <- function(direction, data, settings, env) {
  name <- direction$outcome
  values <- plain_column(data[[name]])
  check_outcome(values, name)
  out <- list(outcome = name, lagged = name, kind = settings$outcome, added = list())
  if (direction$outcome_degree == 0L && settings$outcome == "level") return(out)
  panel <- panel_of(direction, data, settings, env)
  values <- as.double(values)
  if (direction$outcome_degree > 0L) {
    values <- detrended_outcome(values, panel, direction$outcome_degree, name)
    out$outcome <- out$lagged <- free_name(paste0(name, "_detrended"), names(data))
    out$added[[out$outcome]] <- values
  }
  if (settings$outcome == "level") return(out)
  earlier <- lagged_values(values, panel$codes, panel$time, direction$before)
  out$outcome <- free_name(paste0(out$lagged, if (settings$outcome == "change") "_change" else "_residual"), names(data))
  out$added[[out$outcome]] <- if (settings$outcome == "change") values - earlier else residual_change(values, earlier, name)
  out
}

free_name <- function(name, taken) utils::tail(make.unique(c(taken, name)), 1L)

# Persons and times exactly as hlm() takes them, read from a model with the same random effects.
panel_of <- function(direction, data, settings, env) {
  bars <- direction_bars(direction, settings, quote(1))
  formula <- stats::as.formula(call("~", as.name(direction$outcome), Reduce(function(a, b) call("+", a, b), c(list(1), bars))), env = env)
  spec <- parse_formula(formula, names(data), settings$id, settings$time)
  frame <- collect_columns(spec, data, env)
  frame$atoms <- evaluate_atoms(spec, frame, env)
  frame <- add_persons(frame, spec)
  person <- frame$factors[[frame$id]]
  time <- time_column(data, settings$time)
  check_duplicate_times(person$codes, time, person$levels, list(id = frame$id, time = settings$time))
  list(codes = person$codes, levels = person$levels, id = frame$id, time = time)
}

# The person's own least-squares polynomial over time taken off, the person's own mean put back, over all rows with a value and a time.
detrended_outcome <- function(values, panel, degree, name) {
  used <- !is.na(values) & !is.na(panel$time) & panel$codes > 0L
  n <- length(panel$levels)
  counts <- tabulate(panel$codes[used], n)
  short <- which(counts > 0L & counts <= degree + 1L)
  if (length(short)) {
    shown <- show_some(panel$levels[short])
    warn_hlm("data", c(
      "{length(short)} {.var {panel$id}} {cli::qty(length(short))}{?has/have} too few values of {.var {name}} for a trend and {?is/are} left out: {shown}.",
      i = "A trend of degree {degree} with something left over needs at least {degree + 2} sessions."
    ))
  }
  rows <- which(used & !panel$codes %in% short)
  out <- rep(NA_real_, length(values))
  if (!length(rows)) abort_hlm("data", "No person has enough values of {.var {name}} for a trend.")
  codes <- match(panel$codes[rows], unique(panel$codes[rows]))
  out[rows] <- trend_removed(values[rows], codes, max(codes), panel$time[rows], degree)
  out
}

# Residual of one least-squares regression of all values on the earlier ones.
residual_change <- function(values, earlier, name) {
  pairs <- which(!is.na(values) & !is.na(earlier))
  if (length(pairs) < 3L) abort_hlm("data", "Too few pairs of sessions with {.var {name}} for a residualised change.")
  out <- rep(NA_real_, length(values))
  out[pairs] <- stats::lm.fit(cbind(1, earlier[pairs]), values[pairs])$residuals
  out
}

# The formula ---------------------------------------------------------------------------------------------------------------------------

lag_call <- function(name, lag) {
  name <- as.name(name)
  if (lag == 0L) name else if (lag == 1L) call("lagged", name) else call("lagged", name, as.double(lag))
}

trend_arguments <- function(degree) if (degree == 0L) list() else list(detrend = if (degree == 1L) TRUE else as.double(degree))

within_call <- function(name, lag, degree) as.call(c(list(quote(within), lag_call(name, lag)), trend_arguments(degree)))

# `at` is a time of the predictor's own session, `lag` sessions before the row of the outcome.
between_call <- function(direction, settings) {
  trend <- trend_arguments(direction$predictor_degree)
  if (length(trend)) trend$at <- as.double(settings$at + direction$lag)
  if (length(settings$level)) trend$level <- settings$level
  as.call(c(list(quote(between), lag_call(direction$predictor, direction$lag)), trend))
}

direction_formula <- function(direction, settings, columns) {
  within <- within_call(direction$predictor, direction$lag, direction$predictor_degree)
  moderators <- settings$moderators[[direction$way]]
  terms <- list(
    settings$covariates[[direction$way]],
    switch(settings$autoregression,
      raw = lag_call(columns$lagged, direction$before), within = within_call(columns$lagged, direction$before, 0L)
    ),
    within,
    if (!is.na(direction$concurrent)) within_call(direction$predictor, direction$concurrent, direction$predictor_degree),
    between_call(direction, settings),
    if (!is.null(moderators)) moderators,
    if (!is.null(moderators)) call(":", within, call("(", moderators))
  )
  terms <- c(Filter(Negate(is.null), terms), direction_bars(direction, settings, within))
  stats::as.formula(call("~", as.name(columns$outcome), Reduce(function(a, b) call("+", a, b), terms)))
}

# The random part: a list of calls in parentheses.
direction_bars <- function(direction, settings, within) {
  random <- settings$random[[direction$way]]
  if (is.character(random)) {
    bar <- if (random == "uncorrelated") "||" else "|"
    effects <- if (random == "intercept" || identical(within, 1)) quote(1) else call("+", 1, within)
    own <- list(call("(", call(bar, effects, settings$id)))
    higher <- lapply(settings$level, function(level) call("(", call("|", 1, as.name(level))))
    return(c(own, higher))
  }
  bars <- list()
  collect <- function(expr) {
    head <- call_head(expr)
    if (head == "+") {
      collect(expr[[2L]])
      collect(expr[[3L]])
    } else if (head == "(") {
      collect(expr[[2L]])
    } else if (is_bar(head)) {
      expr[[2L]] <- replace_symbol(expr[[2L]], "slope", within)
      bars <<- c(bars, list(call("(", expr)))
    } else {
      abort_hlm("formula", c(
        "{.arg random} is not understood: {.code {expr_text(expr)}} has no grouping factor.", i = "For example {.code ~ 1 + slope | id}."
      ))
    }
  }
  collect(random)
  bars
}

replace_symbol <- function(expr, name, by) {
  if (is.symbol(expr)) return(if (as.character(expr) == name) by else expr)
  if (is.call(expr)) for (i in seq_along(expr)[-1L]) expr[[i]] <- replace_symbol(expr[[i]], name, by)
  expr
}
