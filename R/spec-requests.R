# within(), between(), wb(), cx(), lagged(): recognised by name inside the formula, never evaluated as functions, so that
# base::within() and dplyr::between() keep working everywhere else.

request_heads <- c("within", "between", "wb", "cx", "lagged")

request_arguments <- list(
  within = function(x, detrend = FALSE, at = 0) NULL,
  between = function(x, detrend = FALSE, at = 0, level = NULL) NULL,
  wb = function(x, detrend = FALSE, at = 0, level = NULL) NULL,
  cx = function(x, level = NULL) NULL,
  lagged = function(x, n = 1) NULL
)

# Returns list(values, sources, columns, contextual, replacements):
# values        the quantities to disaggregate: expression and lag
# sources       a value together with the way it is disaggregated (degree of the person's own trend; 0 = mean)
# columns       the columns to make
# replacements  calls as typed and, for each, the columns (keys) and expressions that stand for it
collect_requests <- function(parts, env) {
  check_no_request(parts$response, "the outcome")
  for (bar in parts$bars) check_no_request(bar$group, "a grouping factor")
  calls <- if (has_request(parts$fixed)) find_calls(parts$fixed, request_heads)
  for (bar in parts$bars) {
    if (has_request(bar$lhs)) calls <- c(calls, find_calls(bar$lhs, request_heads))
  }
  book <- empty_book()
  if (length(calls) == 0L) {
    return(book)
  }
  for (call in calls) {
    if (find_call(call, book$replacements$calls) == 0L) book <- add_request(book, call, parse_request(call, env))
  }
  name_columns(book)
}

empty_book <- function() {
  list(
    values = list(), sources = list(), columns = list(), contextual = character(),
    replacements = list(calls = list(), parts = list())
  )
}

# Position of a call among others, 0 if it is not there. Comparing calls is much cheaper than deparsing them.
find_call <- function(call, calls) {
  for (i in seq_along(calls)) {
    if (identical(calls[[i]], call)) {
      return(i)
    }
  }
  0L
}

has_request <- function(expr) {
  is.call(expr) && mentions(expr, request_heads)
}

check_no_request <- function(expr, where) {
  if (!has_request(expr)) {
    return(invisible())
  }
  found <- find_calls(expr, request_heads)
  if (length(found) > 0L) {
    abort_hlm("formula", c(
      "{.code {expr_text(found[[1L]])}} cannot stand in {where}.",
      i = "It belongs among the predictors."
    ))
  }
}

# One call -> list(head, expr, lag, degree, at, chain).
parse_request <- function(call, env) {
  head <- call_head(call)
  if (length(call) == 2L && is.null(names(call)) && is.symbol(call[[2L]])) {
    # within(x): nothing to evaluate
    return(list(
      head = head, expr = call[[2L]], lag = if (head == "lagged") 1L else 0L, degree = 0L, at = 0, chain = character()
    ))
  }
  # only messages need the text
  delayedAssign("text", expr_text(call))
  args <- tryCatch(
    as.list(match.call(request_arguments[[head]], call))[-1L],
    error = function(e) {
      abort_hlm("formula", c(
        "{.code {text}} is not understood: {conditionMessage(e)}.",
        i = "Its arguments are {.arg {names(formals(request_arguments[[head]]))}}."
      ))
    }
  )
  if (is.null(args$x)) {
    abort_hlm("formula", "{.code {text}} does not say of which variable.")
  }
  inner <- parse_inner(head, args, text, env)
  list(
    head = head,
    expr = inner$expr,
    lag = inner$lag,
    degree = parse_degree(args$detrend, text, env),
    at = parse_at(args$at, text, env),
    chain = parse_level(args$level, text, env)
  )
}

parse_inner <- function(head, args, text, env) {
  if (head == "lagged") {
    nested <- find_calls(args$x, request_heads)
    if (length(nested) > 0L) {
      abort_hlm("formula", c(
        "{.code {text}} is not defined.",
        i = "Take the lag first and split it afterwards, for example {.code within(lagged(x))}: the person's earlier value
             as a deviation from the mean of the person's earlier values."
      ))
    }
    return(list(expr = args$x, lag = parse_lag(args$n, text, env)))
  }
  x <- args$x
  if (call_head(x) == "lagged") {
    inner <- parse_request(x, env)
    return(list(expr = inner$expr, lag = inner$lag))
  }
  nested <- find_calls(x, request_heads)
  if (length(nested) > 0L) {
    abort_hlm("formula", c(
      "{.code {text}} is not defined: {.code {expr_text(nested[[1L]])}} stands inside {.fn {head}}.",
      i = "Only {.fn lagged} may stand directly inside {.fn {head}}."
    ))
  }
  list(expr = x, lag = 0L)
}

eval_argument <- function(value, text, env) {
  tryCatch(eval(value, env), error = function(e) {
    abort_hlm("formula", "In {.code {text}}: {conditionMessage(e)}.")
  })
}

parse_lag <- function(value, text, env) {
  n <- if (is.null(value)) 1 else eval_argument(value, text, env)
  if (!is_number(n) || n == 0 || n != round(n)) {
    abort_hlm("formula", c(
      "{.code {text}}: {.arg n} must be a whole number other than 0.",
      i = "{.code n = 1} is the value one session before."
    ))
  }
  if (abs(n) > .Machine$integer.max) abort_hlm("formula", "{.code {text}}: {.arg n} must not be larger than 2147483647.")
  as.integer(n)
}

parse_degree <- function(value, text, env) {
  degree <- if (is.null(value)) FALSE else eval_argument(value, text, env)
  if (length(degree) != 1L || is.na(degree) || !(is.logical(degree) || is.numeric(degree)) ||
    degree < 0 || degree != round(degree) || degree > 5) {
    abort_hlm("formula", c(
      "{.code {text}}: {.arg detrend} must be TRUE (each person's own straight line), FALSE or a degree from 1 to 5."
    ))
  }
  as.integer(degree)
}

parse_at <- function(value, text, env) {
  at <- if (is.null(value)) 0 else eval_argument(value, text, env)
  if (!is_number(at)) {
    abort_hlm("formula", "{.code {text}}: {.arg at} must be one number, the time at which the person's level is taken.")
  }
  as.double(at)
}

# `level = "therapist"`, `level = therapist`, `level = c("therapist", "clinic")` (from the inside out).
parse_level <- function(value, text, env) {
  if (is.null(value)) {
    return(character())
  }
  if (is.symbol(value)) {
    found <- get0(as.character(value), envir = env, mode = "character")
    return(if (is.null(found)) as.character(value) else found)
  }
  level <- eval_argument(value, text, env)
  if (!is.character(level) || anyNA(level) || anyDuplicated(level)) {
    abort_hlm("formula", c(
      "{.code {text}}: {.arg level} must name a variable, for example {.code level = \"therapist\"}."
    ))
  }
  level
}

add_request <- function(book, call, request) {
  value_key <- paste(expr_text(request$expr), request$lag)
  source_key <- paste(value_key, request$degree)
  label <- request_label(request$expr, request$lag)
  book$values[[value_key]] <- list(label = label, expr = request$expr, lag = request$lag)
  kinds <- switch(request$head,
    within = "within", between = "between", wb = c("within", "between"), cx = c("raw", "between"), lagged = "raw"
  )
  if (request$head != "lagged") {
    book$sources[[source_key]] <- list(label = label, value = value_key, degree = request$degree)
  }
  parts <- list()
  for (kind in kinds) {
    if (kind == "raw" && request$lag == 0L) {
      parts <- c(parts, list(request$expr))
      next
    }
    for (column in request_columns(request, kind, label, value_key, source_key)) {
      book$columns[[column$key]] <- column
      parts[[length(parts) + 1L]] <- column$key
    }
  }
  if (request$head == "cx") {
    book$contextual <- c(book$contextual, source_key)
  }
  known <- length(book$replacements$calls) + 1L
  book$replacements$calls[[known]] <- call
  book$replacements$parts[[known]] <- parts
  book
}

request_columns <- function(request, kind, label, value_key, source_key) {
  column <- list(
    kind = if (kind == "raw") "lag" else kind,
    expr = request$expr, lag = request$lag, degree = request$degree, label = label,
    value = value_key, source = source_key,
    at = request$at, level = "", chain = character()
  )
  if (kind == "raw") {
    column$key <- column$name <- label
    return(list(column))
  }
  if (kind == "within") {
    column$name <- paste0(label, "_within")
    column$key <- paste("within", source_key)
    return(list(column))
  }
  column$chain <- request$chain
  if (length(request$chain) == 0L && request$degree == 0L) {
    # the usual case, without building its key from parts
    column$name <- paste0(label, "_between")
    column$key <- paste("between", source_key, 0, "", "in")
    return(list(column))
  }
  # the level of a mean does not depend on `at`, that of a trend does
  at <- if (request$degree > 0L) request$at else 0
  lapply(c("", request$chain), function(level) {
    column$level <- level
    column$name <- paste(c(label, "between", if (level != "") clean_name(level)), collapse = "_")
    column$key <- paste(c("between", column$source, at, level, "in", request$chain), collapse = " ")
    column
  })
}

# Plain names stay as they are, whatever their alphabet; of an expression only letters, digits, `_` and `.` remain:
# within(log(x)) is called log_x_within.
request_label <- function(expr, lag) {
  label <- if (is.symbol(expr)) as.character(expr) else clean_name(expr_text(expr))
  if (lag == 0L) {
    return(label)
  }
  if (lag > 0L) paste0(label, "_lag", lag) else paste0(label, "_lead", -lag)
}

clean_name <- function(text) {
  gsub("^_+|_+$", "", gsub("[^[:alnum:]_.]+", "_", text))
}

# Two ways of splitting the same variable in one formula: the detrended one says so in its name.
name_columns <- function(book) {
  names <- derived_names(book)
  if (!anyDuplicated(names)) {
    return(book)
  }
  degree <- vapply(book$columns, `[[`, 0L, "degree")
  at <- vapply(book$columns, `[[`, 0, "at")
  twice <- names %in% names[duplicated(names)] & degree > 0L
  names[twice] <- paste0(names[twice], "_detrend", ifelse(degree[twice] > 1L, degree[twice], ""))
  twice <- names %in% names[duplicated(names)] & degree > 0L
  names[twice] <- paste0(names[twice], "_at", format_at(at[twice]))
  if (anyDuplicated(names)) {
    clash <- unique(names[duplicated(names)])
    abort_hlm("formula", c(
      "The formula asks for two different columns of the name {.var {clash}}.",
      i = "Use one definition of the person's mean throughout, with the same {.arg level} in all terms."
    ))
  }
  for (i in seq_along(book$columns)) {
    book$columns[[i]]$name <- names[[i]]
  }
  book
}

format_at <- function(at) {
  clean_name(sub("^-", "minus", format(at, trim = TRUE)))
}

# Replaces each call by the sum of the columns that stand for it.
rewrite_requests <- function(expr, requests) {
  if (length(requests$replacements$calls) == 0L || !has_request(expr)) {
    return(expr)
  }
  rewrite_calls(expr, requests, inside_function = FALSE)
}

rewrite_calls <- function(expr, requests, inside_function) {
  head <- call_head(expr)
  if (match(head, request_heads, 0L) > 0L) {
    return(request_sum(expr, requests, inside_function))
  }
  inside <- inside_function || match(head, c("+", "-", "*", ":", "/", "^", "(", "%in%", "~"), 0L) == 0L
  for (i in seq_along(expr)[-1L]) {
    if (is.call(expr[[i]])) expr[[i]] <- rewrite_calls(expr[[i]], requests, inside)
  }
  expr
}

request_sum <- function(call, requests, inside_function) {
  parts <- requests$replacements$parts[[find_call(call, requests$replacements$calls)]]
  sum <- NULL
  for (part in parts) {
    if (is.character(part)) part <- as.name(requests$columns[[part]]$name)
    sum <- if (is.null(sum)) part else call("+", sum, part)
  }
  if (length(parts) == 1L) {
    return(sum)
  }
  if (inside_function) {
    abort_hlm("formula", c(
      "{.code {expr_text(call)}} stands for several columns and cannot be an argument of a function.",
      i = "Use {.fn within} or {.fn between} there."
    ))
  }
  call("(", sum)
}
