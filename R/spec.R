# The spec: what the formula says, with within(), between(), ... rewritten to the names of the columns they stand for, so
# that what remains are ordinary terms objects. The columns themselves are filled in by R/disaggregate.R.

parse_formula <- function(formula, data_names = NULL, id = NULL, time = NULL) {
  check_formula(formula)
  text <- formula
  attributes(text) <- NULL
  home <- clean_env(environment(formula))
  key <- list(text, id, time, home)
  known <- recall_spec(key)
  if (!is.null(known)) {
    if (!identical(known$formula, formula)) known$formula <- formula_in(formula, home)
    return(known)
  }
  spec <- read_formula(formula, data_names, id, time)
  if (is_text_alone(spec, formula)) keep_spec(key, spec)
  spec
}

# Specs read lately. Reading a formula takes as long as fitting a small model, and those who simulate or refit read the same one again and again.
# Kept is what the text of the formula settles alone: neither the data's names nor values of the caller, and no environment but a package's or the
# global one. The oldest is overwritten.
recent_specs <- new.env(parent = emptyenv())
recent_specs$keys <- recent_specs$specs <- list()
recent_specs$last <- 0L

recall_spec <- function(key) {
  keys <- recent_specs$keys
  for (i in seq_along(keys)) {
    if (identical(keys[[i]], key)) {
      return(recent_specs$specs[[i]])
    }
  }
  NULL
}

keep_spec <- function(key, spec) {
  place <- recent_specs$last %% 8L + 1L
  recent_specs$keys[[place]] <- key
  recent_specs$specs[[place]] <- spec
  recent_specs$last <- place
}

# `.` depends on the columns of the data; arguments of within(), ... other than the variable may be values of the caller.
is_text_alone <- function(spec, formula) {
  if (any(all.names(formula) == ".")) {
    return(FALSE)
  }
  for (call in spec$calls) {
    if (length(call) != 2L || has_request(call[[2L]])) {
      return(FALSE)
    }
  }
  TRUE
}

read_formula <- function(formula, data_names, id, time) {
  # `id` is not a predictor: `.` must not pick it up
  parts <- split_formula(formula, if (is.null(id)) data_names else setdiff(data_names, expr_vars(id)))
  env <- environment(formula)
  requests <- collect_requests(parts, env)
  check_derived_names(parts, requests)
  home <- clean_env(env)
  fixed <- rewrite_requests(parts$fixed, requests)
  bars <- lapply(parts$bars, function(bar) {
    bar$lhs <- rewrite_requests(bar$lhs, requests)
    bar$terms <- parse_terms(call("~", bar$lhs), home)
    bar$name <- expr_text(bar$group)
    bar$text <- expr_text(bar$lhs)
    bar$label <- paste(bar$text, "|", bar$name)
    bar
  })
  spec <- list(
    formula = formula_in(formula, home),
    response = parts$response,
    fixed = fixed,
    terms = parse_terms(call("~", parts$response, fixed), home),
    bars = bars,
    values = requests$values,
    sources = requests$sources,
    columns = requests$columns,
    contextual = requests$contextual,
    calls = requests$replacements$calls,
    id = id,
    time = time
  )
  check_outcome_alone(spec)
  check_time_given(spec)
  # what every step of a fit asks for
  spec$derived <- derived_names(spec)
  spec$levels <- spec_levels(spec)
  spec$variables <- model_variables(spec)
  spec$functions <- formula_calls(spec$formula)
  spec$kinds <- variable_kinds(spec)
  spec$atoms <- grouping_atoms(spec)
  expressions <- term_expressions(spec)
  late <- vapply(expressions, function(expr) any(match(expr_vars(expr), spec$derived, 0L) > 0L), NA)
  spec$given <- expressions[!late]
  spec$late <- expressions[late]
  spec$layout <- numeric_layout(spec)
  class(spec) <- "hlm_spec"
  spec
}

# The variables that grouping factors, the person and higher levels are made of, by label.
grouping_atoms <- function(spec) {
  atoms <- list()
  for (bar in spec$bars) atoms <- c(atoms, group_atoms(bar$group))
  if (!is.null(spec$id)) atoms <- c(atoms, group_atoms(spec$id))
  atoms <- c(atoms, lapply(spec$levels, as.name))
  names(atoms) <- vapply(atoms, expr_text, "")
  atoms[!duplicated(names(atoms))]
}

# The variables of the fixed part and of the bars, by label.
term_expressions <- function(spec) {
  out <- list()
  for (terms in c(list(spec$terms), lapply(spec$bars, `[[`, "terms"))) {
    new <- terms$variables
    names(new) <- terms$labels
    out <- c(out, new[match(terms$labels, names(out), 0L) == 0L])
  }
  out
}

formula_in <- function(formula, env) {
  environment(formula) <- env
  formula
}

parse_terms <- function(expr, env) {
  if (identical(expr, intercept_formula)) {
    attr(intercept_only$object, ".Environment") <- env
    return(intercept_only)
  }
  read_terms(expr, env)
}

read_terms <- function(expr, env) {
  class(expr) <- "formula"
  attr(expr, ".Environment") <- env
  tt <- stats::terms(expr)
  variables <- as.list(attr(tt, "variables"))[-1L]
  factors <- attr(tt, "factors")
  # rownames(factors) are the variables deparsed already; an intercept-only formula has no such matrix
  labels <- if (is.matrix(factors)) rownames(factors) else vapply(variables, deparse1, "")
  members <- member_places(factors)
  list(
    object = tt,
    variables = variables,
    labels = labels,
    factors = factors,
    members = members,
    term_labels = attr(tt, "term.labels"),
    term_variables = vapply(members, function(places) paste(labels[places], collapse = ", "), ""),
    intercept = attr(tt, "intercept"),
    response = attr(tt, "response"),
    offset = attr(tt, "offset")
  )
}

# Per term the places of its variables.
member_places <- function(factors) {
  if (!is.matrix(factors)) {
    return(list())
  }
  used <- factors > 0L
  dimnames(used) <- NULL
  lapply(seq_len(ncol(used)), function(j) which(used[, j]))
}

# The commonest random part, `(1 | patient)`, is read once.
intercept_formula <- call("~", 1)
intercept_only <- read_terms(intercept_formula, globalenv())

# A column that within(x) makes may not have the name of a column that the formula uses as it is.
check_derived_names <- function(parts, requests) {
  if (length(requests$columns) == 0L) {
    return(invisible())
  }
  raw <- c(expr_vars(parts$response), expr_vars(parts$fixed))
  for (bar in parts$bars) {
    if (is.language(bar$lhs)) raw <- c(raw, expr_vars(bar$lhs))
  }
  derived <- derived_names(requests)
  both <- derived[derived %in% raw]
  if (length(both) > 0L) {
    abort_hlm("formula", c(
      "The formula uses {.var {both}} as a column of the data and also makes a column of that name.",
      i = "Use the column of the data or the term in the formula, not both; or rename the column."
    ))
  }
}

check_outcome_alone <- function(spec) {
  factors <- spec$terms$factors
  if (is.matrix(factors) && any(factors[spec$terms$response, ] > 0L)) {
    abort_hlm("formula", "The outcome {.var {spec$terms$labels[[spec$terms$response]]}} is also a predictor.")
  }
}

needs_time <- function(spec) {
  for (source in spec$sources) {
    if (source$degree > 0L) {
      return(TRUE)
    }
  }
  for (value in spec$values) {
    if (value$lag != 0L) {
      return(TRUE)
    }
  }
  FALSE
}

check_time_given <- function(spec) {
  if (is.null(spec$time) && length(spec$values) > 0L && needs_time(spec)) {
    abort_hlm("formula", c(
      "{.fn lagged} and {.code detrend} need to know which variable holds the session or time.",
      i = "Add {.code time = session} (the name of your variable) to the call."
    ))
  }
}

# Names of the derived columns, in the order in which they are made.
derived_names <- function(spec) {
  if (length(spec$columns) == 0L) character() else vapply(spec$columns, `[[`, "", "name")
}

#' @export
print.hlm_spec <- function(x, ...) {
  cat("Model: ", expr_text(x$formula), "\n", sep = "")
  if (length(x$columns) > 0L) {
    cat("Terms made from the data:\n")
    for (column in x$columns) {
      cat("  ", column$name, ": ", describe_column(column), "\n", sep = "")
    }
  }
  invisible(x)
}

describe_column <- function(column) {
  what <- switch(column$kind,
    within = "deviation from the person's own mean of",
    between = if (column$level == "") "the person's mean of" else paste("the mean per", column$level, "of"),
    lag = "earlier value of"
  )
  if (column$kind != "lag" && column$degree > 0L) {
    what <- sub("mean", "trend", what)
  }
  paste(what, expr_text(column$expr))
}
