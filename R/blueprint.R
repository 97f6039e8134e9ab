# What new data need to become columns of the same meaning: how each variable is computed (predvars: knots of ns(),
# coefficients of poly(), centre of scale() fixed at the values of the fit), levels and contrasts of factors, constants of
# the formula that are not in the data. Plain data, no environments of functions.

# Safe prediction: the call of a variable with the parameters of its basis filled in.
prediction_variables <- function(terms, variables) {
  Map(function(expr, label) {
    value <- variables[[label]]
    if (is.call(expr) && !is.null(value)) stats::makepredictcall(value, expr) else expr
  }, terms$variables, terms$labels)
}

new_blueprint <- function(spec, frame, variables, coding, env) {
  bars <- lapply(spec$bars, function(bar) {
    list(terms = bar$terms, predvars = prediction_variables(bar$terms, variables))
  })
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
  heads <- setdiff(all.names(spec$formula, unique = TRUE), all.vars(spec$formula))
  heads <- setdiff(heads, c(request_heads, "~", "+", "-", ":", "*", "/", "^", "|", "||", "(", "%in%", "::", "I"))
  lost <- Filter(function(name) is.null(get0(name, envir = home, mode = "function")), heads)
  found <- lapply(lost, function(name) get0(name, envir = env, mode = "function"))
  names(found) <- lost
  Filter(Negate(is.null), found)
}
