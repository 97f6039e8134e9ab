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
    constants = c(frame$constants, local_functions(spec, env)),
    products = NULL,
    values = frame$value_calls
  )
}

variable_type <- function(x) {
  if (is.factor(x)) "factor" else if (is.character(x)) "character" else if (is.logical(x)) "logical" else "numeric"
}

# Functions of the formula that cannot be found from the environment kept with the fit (written inside another function,
# say): kept by value, since prediction needs them.
local_functions <- function(spec, env) {
  home <- environment(spec$formula)
  names <- all.names(spec$formula, unique = TRUE)
  known <- c(all.vars(spec$formula), request_heads, "~", "+", "-", ":", "*", "/", "^", "|", "||", "(", "%in%", "::", "I")
  found <- list()
  for (name in names[match(names, known, 0L) == 0L]) {
    if (is.null(get0(name, envir = home, mode = "function"))) {
      found[[name]] <- get0(name, envir = env, mode = "function")
    }
  }
  found
}
