# The design for new rows, from the blueprint and the frozen means of a fit.

# `newdata = NULL`: the analysed rows (useful with `shift`). `shift` moves the named variables at one level: `at` is
# "within", "between" (the person's level) or the name of a higher level.
# Returns list(x, z, codes, labels, offset, names, na.action): x with the columns of the fit (dropped ones included); z one
# matrix per random-effect term and codes one vector per group (NA = a group that the fit does not know), NULL with
# `random = FALSE`.
design_newdata <- function(fit, newdata = NULL, random = TRUE, shift = NULL, at = "within", na.action = stats::na.pass) {
  rows <- newdata_columns(fit, newdata)
  rows <- newdata_derived(fit, rows, shift, at)
  x <- newdata_x(fit, rows)
  offset <- newdata_offset(fit, rows)
  z <- if (random) newdata_z(fit, rows)
  groups <- if (random) newdata_groups(fit, rows)
  out <- list(
    x = x, z = z, codes = groups$codes, labels = groups$labels, offset = offset, names = rows$names,
    na.action = rows$na_action
  )
  if (is.null(newdata)) out else drop_newdata_missing(out, na_kind(na.action))
}

newdata_columns <- function(fit, newdata) {
  na_action <- NULL
  if (is.null(newdata)) {
    newdata <- as.list(fit$data)
    columns <- lapply(newdata, take_rows, rows = fit$rows)
    row_names <- attr(fit$data, "row.names")[fit$rows]
    n <- length(fit$rows)
    na_action <- fit$na.action
  } else {
    if (!is.data.frame(newdata)) {
      abort_hlm("data", "{.arg newdata} must be a data frame, not {.cls {class(newdata)}}.")
    }
    columns <- lapply(as.list(newdata), plain_column)
    row_names <- attr(newdata, "row.names")
    n <- .row_names_info(newdata, 2L)
  }
  list(
    columns = columns, given = names(columns), n = n, names = as.character(row_names), na_action = na_action,
    constants = fit$blueprint$constants, env = environment(fit$formula)
  )
}

eval_new <- function(expr, rows) {
  if (is.symbol(expr) && !is.null(rows$columns[[as.character(expr)]])) {
    return(rows$columns[[as.character(expr)]])
  }
  value <- eval_variable_in(expr, c(rows$columns, rows$constants), rows$env)
  if (length(value) == 1L && is.null(dim(value))) rep_len(value, rows$n) else value
}

eval_variable_in <- function(expr, columns, env) {
  tryCatch(eval(expr, columns, env), error = function(e) {
    abort_hlm("data", c("{.code {expr_text(expr)}} could not be computed for {.arg newdata}: {conditionMessage(e)}"))
  })
}

lacks <- function(expr, rows) {
  setdiff(expr_vars(expr), c(names(rows$columns), names(rows$constants)))
}

require_columns <- function(expr, rows) {
  missing <- lacks(expr, rows)
  missing <- missing[!vapply(missing, function(name) is_outside_constant(name, rows$env), NA)]
  if (length(missing) > 0L) {
    abort_hlm("data", c(
      "{.arg newdata} lacks {.var {missing}}.",
      i = "The model needs this variable; {.arg newdata} has the columns {.var {rows$given}}."
    ))
  }
}

# pi, T and the like
is_outside_constant <- function(name, env) {
  value <- get0(name, envir = env)
  !is.null(value) && !is.function(value) && length(value) == 1L && environmentName(environment_of(name, env)) == "base"
}

environment_of <- function(name, env) {
  while (!identical(env, emptyenv())) {
    if (exists(name, envir = env, inherits = FALSE)) {
      return(env)
    }
    env <- parent.env(env)
  }
  env
}

# The values of a number of the model; a factor or text would count as its codes.
newdata_number <- function(value, label) {
  value <- drop_column(plain_column(value))
  if (!is.numeric(value) && !is.logical(value)) abort_not_number(value, label)
  as.double(value)
}

abort_not_number <- function(value, label) {
  kind <- if (is.factor(value) || is.character(value)) variable_type(value) else paste("of class", class(value)[[1L]])
  abort_hlm("data", "{.var {label}} is a number in the model, but {kind} in {.arg newdata}.")
}

# Variables of a terms object for the new rows, coded as in the fit.
newdata_variables <- function(fit, rows, terms, predvars) {
  variables <- list()
  for (i in seq_along(terms$labels)) {
    if (i == terms$response) next
    label <- terms$labels[[i]]
    require_columns(predvars[[i]], rows)
    value <- plain_column(eval_new(predvars[[i]], rows))
    fitted_type <- fit$blueprint$types[[label]]
    if (fitted_type == "numeric") value <- on_clock(value, fit$blueprint$clocks[[label]], label)
    if (fitted_type == "numeric" && !is.numeric(value) && !is.logical(value) && !is.object(value) || is.factor(value) &&
      fitted_type == "numeric") {
      abort_hlm("data", c("{.var {label}} is a number in the model, but {variable_type(value)} in {.arg newdata}."))
    }
    if (fitted_type != "numeric" && !is.factor(value)) value <- as.character(value)
    # a column of nothing but NA is logical in R
    if (fitted_type == "numeric" && is.logical(value)) storage.mode(value) <- "double"
    variables[[label]] <- value
  }
  code_factors(variables, known = fit$blueprint)$variables
}

newdata_x <- function(fit, rows) {
  blueprint <- fit$blueprint
  variables <- newdata_variables(fit, rows, blueprint$terms, blueprint$predvars)
  made <- term_columns(blueprint$terms, variables, blueprint$contrasts, newdata_recentre(fit, rows))
  columns_matrix(made$columns, made$names, rows$n)
}

columns_matrix <- function(columns, names, n) {
  x <- matrix(1, n, length(columns), dimnames = list(NULL, names))
  for (k in seq_along(columns)) {
    if (!is.null(columns[[k]])) x[, k] <- columns[[k]]
  }
  x
}

newdata_z <- function(fit, rows) {
  blueprint <- fit$blueprint
  recentre <- newdata_recentre(fit, rows)
  bars <- list()
  lapply(blueprint$random, function(term) {
    key <- as.character(term$bar)
    if (is.null(bars[[key]])) {
      bar <- blueprint$bars[[term$bar]]
      variables <- newdata_variables(fit, rows, bar$terms, bar$predvars)
      bars[[key]] <<- term_columns(bar$terms, variables, blueprint$contrasts, recentre)
    }
    made <- bars[[key]]
    columns_matrix(made$columns[term$columns], made$names[term$columns], rows$n)
  })
}

newdata_groups <- function(fit, rows) {
  matched <- lapply(fit$design$groups, function(group) {
    expr <- str2lang_group(fit, group$name)
    require_columns(expr, rows)
    match_group(expr, c(rows$columns, rows$constants), rows$env, group$levels)
  })
  list(codes = lapply(matched, `[[`, "codes"), labels = lapply(matched, `[[`, "labels"))
}

str2lang_group <- function(fit, name) {
  for (bar in fit$spec$bars) {
    if (bar$name == name) {
      return(bar$group)
    }
  }
}

newdata_offset <- function(fit, rows) {
  terms <- fit$blueprint$terms
  offset <- NULL
  for (i in terms$offset) {
    require_columns(terms$variables[[i]], rows)
    label <- terms$labels[[i]]
    value <- newdata_number(on_clock(eval_new(terms$variables[[i]], rows), fit$blueprint$clocks[[label]], label), label)
    offset <- if (is.null(offset)) value else offset + value
  }
  if (!is.null(fit$offset_expr)) {
    own <- rows$columns[["(offset)"]]
    if (is.null(own)) {
      require_columns(fit$offset_expr, rows)
      own <- eval_new(fit$offset_expr, rows)
    }
    own <- newdata_number(own, "offset")
    offset <- if (is.null(offset)) own else offset + own
  }
  offset
}

# Double-demeaned products: minus the person's frozen mean of the product. Persons that the fit does not know: minus the
# mean over their own rows when they are given by rows, else minus the average over the persons of the fit.
newdata_recentre <- function(fit, rows) {
  if (length(fit$blueprint$products) == 0L) {
    return(NULL)
  }
  products <- fit$blueprint$products
  function(labels, made, term) {
    lapply(seq_along(made$columns), function(k) {
      frozen <- products[[made$names[[k]]]]
      if (is.null(frozen)) {
        return(made$columns[[k]])
      }
      mean <- frozen$mean[match(rows$person, frozen$persons)]
      new <- is.na(mean)
      mean[new] <- mean(frozen$mean)
      own <- new & rows$own_rows & !is.na(rows$person)
      if (any(own)) mean[own] <- stats::ave(made$columns[[k]][own], rows$person[own], FUN = mean_known)
      made$columns[[k]] - mean
    })
  }
}

mean_known <- function(x) mean(x, na.rm = TRUE)

drop_newdata_missing <- function(out, kind) {
  if (kind == "pass") {
    return(out)
  }
  bad <- rowSums(is.na(out$x)) > 0
  for (z in out$z) bad <- bad | rowSums(is.na(z)) > 0
  if (!is.null(out$offset)) bad <- bad | is.na(out$offset)
  if (!any(bad)) {
    return(out)
  }
  if (kind == "fail") {
    abort_hlm("data", "{.arg newdata} has missing values in row{?s} {show_some(which(bad))}.")
  }
  lost <- which(bad)
  names(lost) <- out$names[lost]
  keep <- !bad
  out$x <- out$x[keep, , drop = FALSE]
  out$z <- if (!is.null(out$z)) lapply(out$z, function(z) z[keep, , drop = FALSE])
  out$codes <- if (!is.null(out$codes)) lapply(out$codes, `[`, keep)
  out$labels <- if (!is.null(out$labels)) lapply(out$labels, `[`, keep)
  out$offset <- out$offset[keep]
  out$names <- out$names[keep]
  out$na.action <- structure(lost, class = kind)
  out
}
