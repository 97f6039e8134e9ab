# The rows of the analysis. They are fixed here, once and before any person's mean is computed: subset first (as if the
# data had been given without the other rows), then missing values.

# inputs: list(subset, weights, offset), values or NULL. Returns a list:
# raw        columns of the data as used, after `subset`
# n, rows    rows of raw; the integer rows analysed
# variables  evaluated variables of the terms (labels as in terms()), analysed rows; those made of derived columns are not
#            there yet
# y, weights, offset, time
# values     quantities to disaggregate (analysed rows);   all = list(values, time) over all rows when needed
# factors    grouping factors (codes over the analysed rows) by name;   id = the one that is the person
build_frame <- function(spec, data, inputs, na_action, env, means = "analysis") {
  frame <- collect_columns(spec, data, env)
  frame <- apply_subset(frame, inputs)
  if (frame$n == 0L) {
    abort_hlm("data", c("There are no rows to analyse.", i = "The data are empty, or {.arg subset} keeps no row."))
  }
  frame$variables <- evaluate_variables(spec, frame, env)
  frame$atoms <- evaluate_atoms(spec, frame, env)
  frame <- add_persons(frame, spec)
  frame <- add_values(frame, spec, env)
  if (!is.null(spec$residual)) frame <- add_residual_values(frame, spec, env)
  frame <- drop_missing(frame, spec, na_action, means)
  frame$y <- frame$variables[[1L]]
  frame
}

# Every name that the model needs, taken from the data or, failing that, from where the formula was written.
collect_columns <- function(spec, data, env) {
  needed <- spec$variables
  if (!is.null(spec$residual)) needed <- unique(c(needed, setdiff(residual_variables(spec), spec$derived)))
  from_data <- match(needed, names(data), 0L) > 0L
  raw <- if (is.null(data)) list() else .subset(data, needed[from_data])
  for (name in names(raw)) {
    x <- raw[[name]]
    if (is.object(x) || !(is.double(x) || is.integer(x))) {
      x <- plain_column(x)
      check_column_type(x, name)
      raw[[name]] <- x
    }
  }
  n <- if (is.null(data)) NULL else .row_names_info(data, 2L)
  constants <- list()
  for (name in needed[!from_data]) {
    value <- find_outside(name, env, data)
    if (is.null(n) && length(raw) == 0L) n <- NROW(value)
    if (NROW(value) == n && (n != 1L || name %in% plain_names(spec))) {
      raw[[name]] <- plain_column(value)
      check_column_type(raw[[name]], name)
    } else if (name %in% plain_names(spec)) {
      abort_hlm("data", c(
        "{.var {name}} is not in the data; an object of that name has {NROW(value)} values, the data have {n} rows."
      ))
    } else {
      constants[[name]] <- value
    }
  }
  # automatic row names (a negative count) are not kept
  own_names <- is.data.frame(data) && .row_names_info(data) > 0L
  list(
    raw = raw, n = if (is.null(n)) 0L else n, constants = constants,
    row_names = if (own_names) attr(data, "row.names")
  )
}

# Variables that must be columns: those that stand by themselves, not as arguments of a function.
plain_names <- function(spec) {
  symbols <- Filter(is.symbol, c(spec$terms$variables, unlist(lapply(spec$bars, function(b) group_atoms(b$group)))))
  c(vapply(symbols, as.character, ""), if (is.symbol(spec$id)) as.character(spec$id), spec$time)
}

model_variables <- function(spec) {
  names <- variable_names(spec$terms$variables)
  for (bar in spec$bars) {
    if (length(bar$terms$variables)) names <- c(names, variable_names(bar$terms$variables))
    names <- c(names, expr_vars(bar$group))
  }
  for (value in spec$values) names <- c(names, expr_vars(value$expr))
  if (!is.null(spec$id)) names <- c(names, expr_vars(spec$id))
  names <- unique(c(names, spec$levels, spec$time))
  names[match(names, spec$derived, 0L) == 0L]
}

variable_names <- function(expressions) {
  if (all(vapply(expressions, is.symbol, NA))) {
    return(vapply(expressions, as.character, ""))
  }
  names <- character()
  for (expr in expressions) names <- c(names, expr_vars(expr))
  names
}

# Names of the higher levels at which a person's mean is split further.
spec_levels <- function(spec) {
  if (length(spec$columns) == 0L) {
    return(character())
  }
  chains <- character()
  for (column in spec$columns) chains <- c(chains, column$chain)
  unique(chains)
}

find_outside <- function(name, env, data) {
  value <- get0(name, envir = env, inherits = TRUE)
  if (!is.null(value) && !is.function(value)) {
    return(value)
  }
  if (is.null(data)) {
    abort_hlm("data", c(
      "The variable {.var {name}} of the formula was not found.",
      i = "Say which data frame it is in: {.code hlm(formula, data = my_data)}."
    ))
  }
  close <- names(data)[utils::adist(name, names(data), ignore.case = TRUE)[1L, ] <= nchar(name) %/% 3L]
  abort_hlm("data", c(
    "The variable {.var {name}} of the formula is not in the data.",
    i = if (length(close)) "Did you mean {.var {close}}?" else "The data have the columns {.var {names(data)}}."
  ))
}

apply_subset <- function(frame, inputs) {
  for (name in c("weights", "offset")) {
    value <- inputs[[name]]
    if (is.null(value)) next
    if (!is.numeric(value)) {
      abort_hlm("data", "{.arg {name}} must be numbers, one per row of the data, not of class {.cls {class(value)}}.")
    }
    if (!length(value) %in% c(1L, frame$n)) {
      abort_hlm("data", "{.arg {name}} must be one number per row of the data ({frame$n}); it has {length(value)} values.")
    }
    frame$raw[[paste0("(", name, ")")]] <- rep_len(as.double(value), frame$n)
  }
  if (is.null(inputs$subset)) {
    return(frame)
  }
  keep <- subset_rows(inputs$subset, frame$n)
  frame$raw <- lapply(frame$raw, take_rows, rows = keep)
  frame$row_names <- if (is.null(frame$row_names)) keep else frame$row_names[keep]
  frame$n <- length(keep)
  frame
}

# The numbers of the rows that `subset` keeps, of n.
subset_rows <- function(subset, n) {
  if (is.logical(subset)) {
    if (length(subset) != n) {
      abort_hlm("data", "{.arg subset} has {length(subset)} values, but the data have {n} rows.")
    }
    subset <- which(subset)
  }
  if (!is.numeric(subset)) {
    abort_hlm("data", "{.arg subset} must be a condition such as {.code session <= 10}, or row numbers.")
  }
  check_row_numbers(subset)
  keep <- seq_len(n)[subset]
  if (anyNA(keep)) {
    abort_hlm("data", "{.arg subset} names rows that the data do not have.")
  }
  keep
}

check_row_numbers <- function(rows) {
  if (any(rows != round(rows) | is.infinite(rows), na.rm = TRUE)) {
    abort_hlm("data", c(
      "{.arg subset} has numbers that are not whole.",
      i = "Give row numbers, or a condition such as {.code session <= 10}."
    ))
  }
  if (any(rows < 0, na.rm = TRUE) && (anyNA(rows) || any(rows > 0))) {
    abort_hlm("data", "{.arg subset} mixes rows to keep (positive numbers) with rows to leave out (negative numbers).")
  }
}

take_rows <- function(x, rows) {
  if (is.null(dim(x))) x[rows] else x[rows, , drop = FALSE]
}

eval_variable <- function(expr, columns, env) {
  if (is.symbol(expr)) return(columns[[as.character(expr)]])
  tryCatch(eval(expr, columns, env), error = function(e) {
    abort_hlm("data", c("{.code {expr_text(expr)}} could not be computed: {conditionMessage(e)}"))
  })
}

# Variables of the fixed part and of the bars, by label. Those made of derived columns come later (R/design.R).
evaluate_variables <- function(spec, frame, env) {
  out <- list()
  for (label in names(spec$given)) {
    expr <- spec$given[[label]]
    value <- eval_variable(expr, frame$raw, env)
    if (is.call(expr)) {
      value <- plain_column(value)
      check_column_type(value, label)
    }
    if (n_values(value) != frame$n) {
      abort_hlm("data", "{.var {label}} has {NROW(value)} values, but the data have {frame$n} rows.")
    }
    out[[label]] <- value
  }
  check_outcome(out[[1L]], names(out)[1L])
  out
}

# NROW() without its dispatch for plain vectors
n_values <- function(x) {
  if (is.object(x) || !is.null(dim(x))) NROW(x) else length(x)
}

evaluate_atoms <- function(spec, frame, env) {
  out <- list()
  for (label in names(spec$atoms)) {
    value <- plain_column(eval_variable(spec$atoms[[label]], frame$raw, env))
    if (n_values(value) != frame$n) {
      abort_hlm("data", "The grouping variable {.var {label}} has {NROW(value)} values for {frame$n} rows.")
    }
    out[[label]] <- group_factor(value, label)
  }
  out
}

# Grouping factors by name, over all rows for now; and which of them is the person.
add_persons <- function(frame, spec) {
  factors <- list()
  for (bar in spec$bars) {
    if (is.null(factors[[bar$name]])) factors[[bar$name]] <- named_factor(bar$group, bar$name, frame$atoms)
  }
  expr <- person_expr(spec, factors)
  if (!is.null(expr)) {
    frame$id <- id <- expr_text(expr)
    if (is.null(factors[[id]])) factors[[id]] <- named_factor(expr, id, frame$atoms)
  }
  frame$factors <- factors
  frame
}

named_factor <- function(expr, name, atoms) {
  factor <- eval_group(expr, atoms)
  list(codes = factor$codes, levels = factor$levels, name = name, expr = expr)
}

# The person: `id`, or the innermost grouping factor. When the formula nests `id` in a higher level (therapist/patient),
# a person is a combination of the two, whether or not the ids are used again.
person_expr <- function(spec, factors) {
  if (is.null(spec$id)) {
    if (length(factors) == 1L) {
      return(factors[[1L]]$expr)
    }
    n_levels <- vapply(factors, function(f) length(f$levels), 0L)
    return(factors[[which.max(n_levels)]]$expr)
  }
  own <- expr_text(spec$id)
  nested <- Filter(function(f) {
    call_head(f$expr) == ":" && expr_text(group_atoms(f$expr)[[1L]]) == own
  }, factors)
  if (is.symbol(spec$id) && length(nested) > 0L) nested[[1L]]$expr else spec$id
}

# What is to be disaggregated, over all rows: lags look at rows that the analysis will not use.
add_values <- function(frame, spec, env) {
  if (length(spec$values) == 0L) {
    return(frame)
  }
  if (needs_time(spec)) {
    converted <- time_values(frame$raw[[spec$time]], spec$time)
    frame$time <- converted$values
    frame$origin <- converted$origin
    person <- frame$factors[[frame$id]]
    check_duplicate_times(person$codes, frame$time, person$levels, list(id = frame$id, time = spec$time))
  }
  calls <- values <- list()
  for (key in names(spec$values)) {
    value <- spec$values[[key]]
    x <- eval_variable(value$expr, frame$raw, env)
    # scale(x) and the like: for new data with the centre and scale of these rows
    calls[[key]] <- if (is.call(value$expr)) stats::makepredictcall(x, value$expr) else value$expr
    if (!is.double(x) || !is.null(attributes(x))) {
      x <- drop_column(plain_column(x))
      check_predictor(x, value$expr, frame)
      x <- as.double(x)
    }
    if (value$lag != 0L) {
      x <- lagged_values(x, frame$factors[[frame$id]]$codes, frame$time, value$lag)
      check_lag(x, value, spec, frame)
    }
    values[[key]] <- x
  }
  frame$value_calls <- calls
  frame$values <- values
  frame
}

# scale(x) is a matrix of one column
drop_column <- function(x) {
  if (is.matrix(x) && ncol(x) == 1L) x[, 1L] else x
}

check_predictor <- function(x, expr, frame) {
  if ((is.numeric(x) || is.logical(x)) && is.null(dim(x)) && length(x) == frame$n) {
    return(invisible())
  }
  label <- expr_text(expr)
  kind <- if (is.factor(x)) "a factor" else if (is.character(x)) "text" else paste("of class", class(x)[1L])
  abort_hlm("data", c(
    "{.var {label}} cannot be split into within and between: it is {kind}, not a number.",
    i = "Means need numbers. For a yes/no variable give 0 and 1; a category that is fixed for a person (such as the
         treatment) needs no {.fn within}."
  ))
}

check_lag <- function(found, value, spec, frame) {
  if (!all(is.na(found))) {
    return(invisible())
  }
  unit <- if (inherits(frame$raw[[spec$time]], c("Date", "POSIXt", "difftime"))) " (counted in days)" else ""
  abort_hlm("data", c(
    "No row has a value of {.var {expr_text(value$expr)}} at {.var {spec$time}} - {value$lag}{unit} for the same person.",
    i = "Lags go by time, not by row. Use session numbers as {.arg time}, or the {.arg n} that is one step of your time."
  ))
}
