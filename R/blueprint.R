# What new data need to become columns of the same meaning: how each variable is computed (predvars: knots of ns(),
# coefficients of poly(), centre of scale() fixed at the values of the fit), levels and contrasts of factors, constants of
# the formula that are not in the data. Plain data, no environments of functions.

# Safe prediction: the call of a variable with the parameters of its basis filled in.
prediction_variables <- function(terms, variables) {
  out <- terms$variables
  for (i in seq_along(out)) {
    if (!is.call(out[[i]])) next
    value <- variables[[terms$labels[[i]]]]
    if (!is.null(value)) out[[i]] <- stats::makepredictcall(value, out[[i]])
  }
  out
}

new_blueprint <- function(spec, frame, variables, coding, env) {
  bars <- list()
  for (bar in spec$bars) {
    bars[[length(bars) + 1L]] <- list(terms = bar$terms, predvars = prediction_variables(bar$terms, variables))
  }
  list(
    terms = spec$terms,
    predvars = prediction_variables(spec$terms, variables),
    bars = bars,
    xlevels = coding$xlevels,
    contrasts = coding$contrasts,
    types = vapply(variables, variable_type, ""),
    clocks = clocks_of(variables),
    constants = blueprint_constants(spec, frame, env),
    products = NULL,
    values = frame$value_calls
  )
}

# Objects of the formula that are not in the data, and its functions where they must be kept.
blueprint_constants <- function(spec, frame, env) {
  if (length(spec$functions)) c(frame$constants, local_functions(spec, env)) else c(list(), frame$constants)
}

variable_type <- function(x) {
  if (is.double(x) && !is.object(x)) return("numeric")
  if (is.factor(x)) "factor" else if (is.character(x)) "character" else if (is.logical(x)) "logical" else "numeric"
}

clocks_of <- function(variables) {
  clocks <- list()
  for (label in names(variables)) {
    if (is.object(variables[[label]])) clocks[[label]] <- clock_of(variables[[label]])
  }
  clocks
}

# What the number of a date, a time or a duration counts (days, seconds or the units); NULL for any other variable.
clock_of <- function(x) {
  if (inherits(x, "Date")) return(list(class = "Date"))
  if (inherits(x, "POSIXt")) return(list(class = "POSIXct", zone = attr(x, "tzone")[1L] %||% ""))
  if (inherits(x, "difftime")) list(class = "difftime", units = units(x))
}

# Values of new data counted as in the fit: dates and times stand for each other (a date is the midnight of the fit's time zone),
# durations in any units.
on_clock <- function(value, clock, label) {
  now <- clock_of(value)
  if (is.null(clock) && is.null(now)) return(value)
  if (is.null(now) && is.logical(value) && all(is.na(value))) return(as.double(value))
  from_to <- paste(now$class, clock$class)
  if (length(from_to) != 1L || !from_to %in% c("Date Date", "POSIXct POSIXct", "POSIXct Date", "Date POSIXct", "difftime difftime")) {
    abort_clock(value, now, clock, label)
  }
  switch(from_to,
    `POSIXct Date` = days_of_time(value), `Date POSIXct` = as.double(as.POSIXct(format(value), tz = clock$zone, format = "%Y-%m-%d")),
    `difftime difftime` = as.double(value, units = clock$units), `POSIXct POSIXct` = as.double(as.POSIXct(value)), as.double(value)
  )
}

# The calendar date of the time's own zone, and the share of the day that has passed.
days_of_time <- function(value) {
  parts <- as.POSIXlt(value)
  as.double(as.Date(parts)) + (parts$hour * 3600 + parts$min * 60 + parts$sec) / 86400
}

abort_clock <- function(value, now, clock, label) {
  words <- c(Date = "a date", POSIXct = "a date with time", difftime = "a duration (difftime)")
  in_model <- if (is.null(clock)) "a number" else words[[clock$class]]
  kind <- variable_type(value)
  given <- if (!is.null(now)) words[[now$class]] else if (kind == "numeric") "a number" else kind
  abort_hlm("data", c(
    "{.var {label}} is {in_model} in the model, but {given} in {.arg newdata}.",
    i = "Give it as the data of the model have it."
  ))
}

formula_functions <- c("within", "between", "wb", "cx", "lagged", "~", "+", "-", ":", "*", "/", "^", "|", "||", "(", "%in%", "::", "I")

# Names of functions in a formula that are not part of its grammar.
formula_calls <- function(formula) {
  names <- all.names(formula, unique = TRUE)
  names <- names[match(names, formula_functions, 0L) == 0L]
  names[match(names, all.vars(formula), 0L) == 0L]
}

# Functions of the formula that cannot be found from the environment kept with the fit (written inside another function,
# say): kept by value, since prediction needs them.
local_functions <- function(spec, env) {
  home <- environment(spec$formula)
  found <- list()
  for (name in spec$functions) {
    if (is.null(get0(name, envir = home, mode = "function"))) {
      found[[name]] <- get0(name, envir = env, mode = "function")
    }
  }
  found
}
