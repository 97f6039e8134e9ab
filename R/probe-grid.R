# Rows of X, and their derivatives, at chosen values of the variables of the fixed part.
#
# X is linear in each variable of a term when the others are held (poly() or a factor: in each of its columns). So the derivative of a row by a predictor is
# the sum, over the variables of the terms that change with it, of the same row with that variable replaced by its own derivative; and the average
# over the categories of a factor is the row with the average of its indicators. Nothing is expanded to a grid.

# Values to evaluate at: `focals` by key, `held` other variables fixed by the user. `table`: one column per key. Returns the variables of the terms
# as term_columns() takes them, plus `averaged`, the labels that stand for an average over categories.
grid_variables <- function(probe, table, labels_given = character()) {
  fit <- probe$fit
  n <- nrow(table)
  given <- names(table)
  rows <- grid_rows(probe, table)
  variables <- list()
  averaged <- character()
  computed <- integer()
  for (i in seq_len(nrow(probe$labels))) {
    label <- probe$labels$label[[i]]
    atoms <- probe$labels$atoms[[i]]
    open <- setdiff(atoms, given)
    loose <- open[vapply(open, function(name) is_category(probe$values[[name]]) || NCOL(probe$values[[name]]) > 1L, NA)]
    if (label %in% labels_given || any(atoms %in% given)) {
      if (length(loose) && !label %in% labels_given) abort_open_category(label, loose, intersect(atoms, given))
      computed <- c(computed, i)
    } else if (probe$labels$type[[i]] != "numeric") {
      averaged <- c(averaged, label)
      levels <- fit$blueprint$xlevels[[label]]
      variables[[label]] <- factor(rep(levels[[1L]], n), levels = levels)
    } else if (length(loose)) {
      variables[[label]] <- mean_columns(fit, probe, i, n)
    } else {
      computed <- c(computed, i)
    }
  }
  list(variables = c(variables, compute_labels(probe, rows, computed, labels_given)), averaged = averaged, rows = rows, n = n)
}

# The plain variables: those of the table, the other numbers at their mean.
grid_rows <- function(probe, table) {
  n <- nrow(table)
  columns <- lapply(probe$values, function(x) NULL)
  for (name in names(probe$values)) {
    x <- probe$values[[name]]
    if (name %in% names(table) || is_category(x) || NCOL(x) > 1L) next
    columns[[name]] <- restore_clock(rep(probe$means[[name]], n), name, probe$values)
  }
  for (name in names(table)) {
    value <- table[[name]]
    original <- probe$values[[name]] %||% probe$overridden[[name]]
    columns[[name]] <- if (is.factor(original)) {
      factor(value, levels = levels(original), ordered = is.ordered(original))
    } else if (is.logical(original)) {
      as.logical(value)
    } else {
      restore_clock(value, name, c(probe$values, probe$overridden))
    }
  }
  fit <- probe$fit
  list(
    columns = columns, given = names(columns), n = n, constants = fit$blueprint$constants, env = environment(fit$formula),
    person = rep(NA_character_, n), own_rows = FALSE
  )
}

compute_labels <- function(probe, rows, places, labels_given) {
  fit <- probe$fit
  at <- probe$labels$place[places]
  labels <- probe$labels$label[places]
  predvars <- fit$blueprint$predvars[at]
  whole <- labels %in% labels_given
  predvars[whole] <- lapply(labels[whole], as.name)
  for (k in which(!whole & probe$labels$type[places] != "numeric")) {
    recoded <- recoded_categories(probe, rows, places[[k]])
    if (is.null(recoded)) next
    rows$columns[[labels[[k]]]] <- recoded
    predvars[[k]] <- as.name(labels[[k]])
  }
  suppressWarnings(newdata_variables(fit, rows, list(labels = labels, response = 0L), predvars))
}

# A category computed from one other, relevel(factor(f), "b") say: looked up in the data, since such functions may need all categories at once.
recoded_categories <- function(probe, rows, i) {
  atom <- probe$labels$atoms[[i]]
  if (length(atom) != 1L || !is_category(probe$values[[atom]])) return(NULL)
  place <- match(as.character(rows$columns[[atom]]), as.character(probe$values[[atom]]))
  as.character(focal_values(probe, probe$labels$label[[i]], TRUE))[place]
}

# A number that is computed from categories: its average over the analysed rows.
mean_columns <- function(fit, probe, i, n) {
  value <- eval_new(fit$blueprint$predvars[[probe$labels$place[[i]]]], probe$rows)
  value <- matrix(as.double(unlist(value)), NROW(value), NCOL(value), dimnames = list(NULL, colnames(value)))
  matrix(colMeans(value), n, ncol(value), byrow = TRUE, dimnames = list(NULL, colnames(value)))
}

abort_open_category <- function(label, open, given) {
  abort_hlm("data", c(
    "{.code {label}} depends on {.var {open}}, which has no average.",
    i = "Give its category: {.code at = list({open[[1L]]} = ...)}; or write the interaction as {.code {given[[1L]]}:{open[[1L]]}}."
  ))
}

# X at the rows of the table, all columns of the formula.
grid_x <- function(probe, table, labels_given = character()) {
  made <- grid_variables(probe, table, labels_given)
  grid_product(probe, made, newdata_recentre(probe$fit, made$rows))
}

# d X / d key at the rows of the table. What a double-demeaned product is centred at belongs to the person, not to the row: it does not move.
grid_gradient <- function(probe, table, key, is_label, labels_given = character()) {
  made <- grid_variables(probe, table, labels_given)
  terms <- probe$fit$blueprint$terms
  total <- matrix(0, made$n, length(probe$fit$design$x))
  for (label in labels_of(probe, key, is_label)) {
    moved <- made
    moved$variables[[label]] <- label_derivative(probe, made, label, key, is_label)
    uses <- terms$factors[match(label, terms$labels), ] > 0L
    x <- grid_product(probe, moved, NULL)
    x[, !c(FALSE, uses)[probe$fit$design$x_assign + 1L]] <- 0
    total <- total + x
  }
  total
}

# As term_columns(), with averages of indicators where no category is given.
grid_product <- function(probe, made, recentre) {
  fit <- probe$fit
  terms <- fit$blueprint$terms
  coding <- factor_coding(terms, made$variables)
  columns <- if (terms$intercept == 1L) list(NULL) else list()
  for (j in seq_along(terms$term_labels)) {
    members <- which(coding[, j] > 0L, useNames = FALSE)
    product <- NULL
    for (i in members) {
      label <- terms$labels[[i]]
      one <- variable_columns(made$variables[[label]], label, coding[i, j], fit$blueprint$contrasts[[label]])
      if (label %in% made$averaged) one$columns <- average_columns(fit$blueprint$contrasts[[label]], coding[i, j], made$n)
      product <- if (is.null(product)) one else cross_columns(product, one)
    }
    if (!is.null(recentre)) product$columns <- recentre(terms$labels[members], product, terms$term_labels[[j]])
    columns <- c(columns, product$columns)
  }
  columns_matrix(columns, fit$design$x_names, made$n)
}

# Every category counts the same.
average_columns <- function(contrasts, coding, n) {
  mean <- colMeans(if (coding == 1L) contrasts$matrix else contrasts$full)
  lapply(mean, rep, times = n)
}

# The derivative of one variable of the terms by the predictor, in the shape of the variable.
label_derivative <- function(probe, made, label, key, is_label) {
  value <- made$variables[[label]]
  if (is.factor(value)) {
    abort_hlm("data", c(
      "{.var {key}} stands in the model as categories ({.code {label}}): it has no slope.",
      i = "Use {.code pred = \"{label}\"} for the differences between its categories."
    ))
  }
  expr <- probe$fit$blueprint$predvars[[probe$labels$place[[label_place(probe, label)]]]]
  if (is_label || is.symbol(expr)) return(value * 0 + 1)
  exact <- symbolic_derivative(expr, key, made$rows)
  if (!is.null(exact)) return(exact)
  numeric_derivative(probe, expr, label, key, made)
}

symbolic_derivative <- function(expr, key, rows) {
  formula <- tryCatch(stats::D(plain_arithmetic(expr), key), error = function(e) NULL)
  if (is.null(formula)) return(NULL)
  columns <- lapply(rows$columns, function(x) if (is.numeric(x) && is.object(x)) as.double(x) else x)
  value <- tryCatch(eval(formula, c(columns, rows$constants), rows$env), error = function(e) NULL)
  if (!is.numeric(value) || !length(value) %in% c(1L, rows$n) || !all(is.finite(value))) return(NULL)
  rep_len(as.double(value), rows$n)
}

# D() does not know I().
plain_arithmetic <- function(expr) {
  if (!is.call(expr)) return(expr)
  if (call_head(expr) %in% c("I", "(") && length(expr) == 2L) return(plain_arithmetic(expr[[2L]]))
  for (i in seq_along(expr)[-1L]) if (is.call(expr[[i]])) expr[[i]] <- plain_arithmetic(expr[[i]])
  expr
}

# Central differences with the error term of order h^2 removed (Richardson): exact but for rounding for lines, parabolas and cubics, and so for
# poly(x, 3) and splines between their knots. h is a small part of the predictor's spread.
numeric_derivative <- function(probe, expr, label, key, made) {
  h <- 1e-4 * spread(probe$values[[key]])
  at <- function(shift) {
    rows <- made$rows
    rows$columns[[key]] <- rows$columns[[key]] + shift
    value <- suppressWarnings(eval_new(expr, rows))
    matrix(as.double(value), rows$n, dimnames = list(NULL, colnames(value)))
  }
  wide <- (at(2 * h) - at(-2 * h)) / (4 * h)
  near <- (at(h) - at(-h)) / (2 * h)
  slope <- (4 * near - wide) / 3
  if (!all(is.finite(slope))) {
    abort_hlm("numerical", c(
      "The slope of {.code {label}} by {.var {key}} is not defined at some of the values.",
      i = "Choose values inside the range where {.code {label}} is defined."
    ))
  }
  if (NCOL(made$variables[[label]]) == 1L) drop(slope) else slope
}

spread <- function(x) {
  s <- stats::sd(as.double(x))
  if (is.finite(s) && s > 0) s else 1
}
