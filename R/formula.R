# From the formula as typed to the pieces of the model: response, fixed part, random-effect bars. Nothing here looks at
# the values of the data, only at the names of its columns (for `.`).

# Returns list(response, fixed, bars); `bars` holds list(lhs, group, double) with grouping factors already expanded
# (`a/b`, `a*b`, `a + b`) in the order in which lme4 lists them.
split_formula <- function(formula, data_names = NULL) {
  check_formula(formula)
  parts <- split_bars(formula[[3L]])
  fixed <- if (is.null(parts$fixed)) 1 else parts$fixed
  check_no_bar(fixed)
  if (length(parts$bars) == 0L) {
    abort_hlm("formula", c(
      "The formula has no random-effects term.",
      i = "Say who the repeated measures belong to, for example {.code (1 | patient)}.",
      i = "For a model without random effects use {.fn lm}."
    ))
  }
  bars <- list()
  for (i in seq_along(parts$bars)) bars <- c(bars, expand_bar(parts$bars[[i]], i))
  if ("." %in% all.names(fixed)) {
    fixed <- expand_dot(fixed, formula[[2L]], bars, data_names)
  }
  list(response = formula[[2L]], fixed = fixed, bars = bars)
}

check_formula <- function(formula) {
  if (!inherits(formula, "formula")) {
    abort_hlm("formula", c(
      "{.arg formula} must be a formula.",
      i = "For example {.code outcome ~ session + wb(alliance) + (1 | patient)}."
    ))
  }
  if (length(formula) != 3L) {
    abort_hlm("formula", c(
      "The formula has no outcome on its left-hand side.",
      i = "Write {.code outcome ~ predictors + (1 | patient)}."
    ))
  }
}

# Walks the sum on the right-hand side and takes the bars out of it.
split_bars <- function(expr) {
  if (is.symbol(expr)) {
    return(list(fixed = expr, bars = list()))
  }
  head <- call_head(expr)
  if (head == "(") {
    inner <- expr[[2L]]
    if (is_bar(call_head(inner))) {
      return(list(fixed = NULL, bars = list(inner)))
    }
    parts <- split_bars(inner)
    if (length(parts$bars) == 0L) {
      return(list(fixed = expr, bars = list()))
    }
    return(parts)
  }
  if (head == "|" || head == "||") {
    abort_hlm("formula", c(
      "Random-effects terms need parentheses.",
      i = "Write {.code ({expr_text(expr)})}, or rather {.code predictors + (1 | patient)}."
    ))
  }
  if (head != "+" && head != "-" || length(expr) == 2L) {
    return(list(fixed = expr, bars = list()))
  }
  left <- split_bars(expr[[2L]])
  right <- split_bars(expr[[3L]])
  if (head == "-" && length(right$bars) > 0L) {
    abort_hlm("formula", "A random-effects term cannot be subtracted: {.code {expr_text(expr[[3L]])}}.")
  }
  list(fixed = join_sum(head, left$fixed, right$fixed), bars = c(left$bars, right$bars))
}

is_bar <- function(head) {
  head == "|" || head == "||"
}

join_sum <- function(head, left, right) {
  if (is.null(right)) {
    return(left)
  }
  if (is.null(left)) {
    return(if (head == "-") call("-", right) else right)
  }
  call(head, left, right)
}

# deparse1() with short cuts: every call of hlm() meets several names and often a lone 1, and most of the time of
# deparse1() goes into finding out that a call is a call.
expr_text <- function(expr) {
  if (is.symbol(expr)) {
    return(as.character(expr))
  }
  if (identical(expr, 1)) {
    return("1")
  }
  if (!is.call(expr)) {
    return(deparse1(expr))
  }
  paste(deparse(expr, 500L, backtick = TRUE), collapse = " ")
}

call_head <- function(expr) {
  if (is.call(expr) && is.symbol(expr[[1L]])) as.character(expr[[1L]]) else ""
}

check_no_bar <- function(fixed) {
  if (!mentions(fixed, c("|", "||"))) {
    return(invisible())
  }
  found <- find_calls(fixed, c("|", "||"), stop_at = c("I", "within", "between", "wb", "cx", "lagged"))
  if (length(found) > 0L) {
    abort_hlm("formula", c(
      "A random-effects term must stand alone in the sum: {.code ({expr_text(found[[1L]])})}.",
      i = "It cannot be part of an interaction or of a function."
    ))
  }
}

# A quick look before a careful one: does any of `names` occur in the expression, in whatever role?
mentions <- function(expr, names) {
  is.call(expr) && !is.na(match(TRUE, all.names(expr) %in% names))
}

# All calls to one of `heads` inside `expr`, not looking inside calls to `stop_at`.
find_calls <- function(expr, heads, stop_at = character()) {
  if (!is.call(expr)) {
    return(list())
  }
  head <- call_head(expr)
  if (match(head, heads, 0L) > 0L) {
    return(list(expr))
  }
  if (match(head, stop_at, 0L) > 0L) {
    return(list())
  }
  found <- list()
  for (i in seq_along(expr)[-1L]) {
    if (is.call(expr[[i]])) found <- c(found, find_calls(expr[[i]], heads, stop_at))
  }
  found
}

# One bar as typed -> one or several list(lhs, group, double, origin): the bars with one origin were typed as one.
expand_bar <- function(bar, origin) {
  double <- identical(bar[[1L]], quote(`||`))
  if (is.symbol(bar[[3L]])) {
    return(list(list(lhs = bar[[2L]], group = bar[[3L]], double = double, origin = origin)))
  }
  groups <- expand_group(bar[[3L]])
  lapply(groups, function(group) list(lhs = bar[[2L]], group = group, double = double, origin = origin))
}

# `a/b/c` gives c:(b:a), b:a, a, in lme4's order and spelling; `a*b` gives a, b, a:b.
expand_group <- function(expr) {
  head <- call_head(expr)
  if (head == "(") {
    return(expand_group(expr[[2L]]))
  }
  if (head == "/") {
    outer <- expand_group(expr[[2L]])
    # the first of the outer groups is the finest one, in which the new factor is nested
    inner <- lapply(expand_group(expr[[3L]]), function(b) call(":", b, add_parens(outer[[1L]])))
    return(c(inner, outer))
  }
  if (head == "*") {
    left <- expand_group(expr[[2L]])
    right <- expand_group(expr[[3L]])
    return(c(left, right, list(call(":", left[[1L]], right[[1L]]))))
  }
  if (head == "+") {
    return(c(expand_group(expr[[2L]]), expand_group(expr[[3L]])))
  }
  list(expr)
}

add_parens <- function(expr) {
  if (call_head(expr) == ":") call("(", expr) else expr
}

# `.` stands for every column that the formula does not use otherwise (as the outcome, inside a random-effects term, or
# inside within(), between(), ...).
expand_dot <- function(fixed, response, bars, data_names) {
  if (is.null(data_names)) {
    abort_hlm("formula", "{.code .} in the formula needs {.arg data}.")
  }
  used <- c(
    all.vars(response), all.vars(fixed),
    unlist(lapply(bars, function(bar) c(all.vars(bar$lhs), all.vars(bar$group))))
  )
  rest <- setdiff(data_names, used)
  if (length(rest) == 0L) {
    abort_hlm("formula", "{.code .} stands for no column: all columns of the data are used elsewhere in the formula.")
  }
  sum <- Reduce(function(a, b) call("+", a, b), lapply(rest, as.name))
  replace_dot(fixed, call("(", sum))
}

replace_dot <- function(expr, value) {
  if (identical(expr, quote(.))) {
    return(value)
  }
  if (is.call(expr)) {
    for (i in seq_along(expr)[-1L]) {
      if (!is.null(expr[[i]])) expr[[i]] <- replace_dot(expr[[i]], value)
    }
  }
  expr
}

# Names of the variables of an expression; unlike all.vars() it does not take `splines` in `splines::ns(x)` for one.
expr_vars <- function(expr) {
  if (is.symbol(expr)) {
    return(as.character(expr))
  }
  if (!mentions(expr, c("::", ":::"))) {
    return(all.vars(expr))
  }
  unique(unlist(lapply(strip_namespaces(expr), all.vars)))
}

strip_namespaces <- function(expr) {
  if (!is.call(expr)) {
    return(list(expr))
  }
  if (call_head(expr) %in% c("::", ":::")) {
    return(list())
  }
  parts <- as.list(expr)
  if (is.symbol(parts[[1L]])) parts <- parts[-1L]
  unlist(lapply(parts, strip_namespaces), recursive = FALSE)
}

# The formula is kept with the fit, but not the frame of the function it was typed in: that could hold anything.
clean_env <- function(env) {
  while (!is.null(env) && !identical(env, emptyenv())) {
    if (identical(env, globalenv()) || isNamespace(env) || startsWith(environmentName(env), "package:")) {
      return(env)
    }
    env <- parent.env(env)
  }
  globalenv()
}
