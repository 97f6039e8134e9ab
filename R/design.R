# From the frame to the design that the compiled core reads: see design/0001-contract.md.

# Returns list(design, blueprint, means, coefs).
build_design <- function(spec, frame, contrasts = NULL, control = hlm_control(), env = globalenv()) {
  made <- disaggregate_frame(spec, frame, control)
  variables <- plain_doubles(add_derived_variables(spec, frame, made$columns, env))
  coding <- code_factors(variables, contrasts)
  blueprint <- new_blueprint(spec, frame, variables, coding, env)
  products <- new_products(spec, frame)
  x <- term_columns(spec$terms, coding$variables, coding$contrasts, products$recentre)
  z <- bar_columns(spec, coding, products)
  blueprint$products <- products$frozen()
  pool <- pool_columns(x, z)
  groups <- design_groups(spec, frame, z)
  blueprint$random <- lapply(z[groups$order], function(bar) list(bar = bar$bar, columns = bar$columns))
  design <- list(
    y = as.double(frame$y),
    offset = frame_offset(spec, frame, coding$variables),
    weights = frame_weights(frame),
    columns = pool$columns,
    x = pool$x,
    x_names = x$names,
    x_assign = x$assign,
    groups = groups$groups,
    terms = groups$terms
  )
  for (i in seq_along(design$terms)) design$terms[[i]]$columns <- pool$z[[groups$order[[i]]]]
  check_terms_differ(design)
  if (!is.null(spec$residual)) design$residual <- residual_design(spec, frame, design)
  check_groups(design, length(design$y))
  class(design) <- "hlm_design"
  warn_ids(spec, frame)
  warn_blank_labels(coding$xlevels, frame)
  list(
    design = design, blueprint = blueprint, means = made$means,
    coefs = classify_coefs(spec, frame, coding, x)
  )
}

# Whole numbers become double once, not once for X and once for Z; a double vector stays as it is.
plain_doubles <- function(variables) {
  for (i in seq_along(variables)) {
    x <- variables[[i]]
    if (is.integer(x) && !is.object(x) && is.null(dim(x))) variables[[i]] <- as.double(x)
  }
  variables
}

# Derived columns and variables computed from them, such as I(within(x)^2), over the analysed rows.
add_derived_variables <- function(spec, frame, columns, env) {
  variables <- frame$variables
  if (length(columns) == 0L) {
    return(variables)
  }
  all <- NULL
  for (terms in spec_terms(spec)) {
    for (i in seq_along(terms$variables)) {
      label <- terms$labels[[i]]
      if (!is.null(variables[[label]])) next
      expr <- terms$variables[[i]]
      if (is.symbol(expr)) {
        variables[[label]] <- columns[[as.character(expr)]]
        next
      }
      if (is.null(all)) all <- c(lapply(frame$raw, take_rows, rows = frame$rows), columns)
      value <- eval_variable(expr, all, env)
      check_late_variable(value, label, frame)
      variables[[label]] <- value
    }
  }
  variables
}

check_late_variable <- function(value, label, frame) {
  check_column_type(value, label)
  if (is_clean(value)) {
    return(invisible())
  }
  check_finite(value, label, frame$rows)
  abort_hlm("data", c(
    "{.var {label}} is missing in {cli::qty(sum(is.na(value)))} row{?s} {show_some(frame$rows[which(is.na(value))])}.",
    i = "The rows of the analysis are fixed before persons' means are taken; this variable is computed from them."
  ))
}

# The double-demeaned product (Giesselmann & Schmidt-Catran 2022, Sociol Methods Res 51:1100): in a term with two or more
# within variables, their product is centred at the person's mean once more. Its person means are frozen as well.
new_products <- function(spec, frame) {
  within <- character()
  for (column in spec$columns) {
    if (column$kind == "within") within <- c(within, column$name)
  }
  if (length(within) < 2L) {
    return(list(recentre = NULL, frozen = function() list()))
  }
  person <- frame$factors[[frame$id]]
  n <- length(person$levels)
  frozen <- list()
  list(
    within = within,
    recentre = function(labels, made, term) {
      if (sum(labels %in% within) < 2L) {
        return(made$columns)
      }
      lapply(seq_along(made$columns), function(k) {
        sums <- engine_group_sums(made$columns[[k]], person$codes, n)
        mean <- sums$sum / sums$count
        frozen[[made$names[[k]]]] <<- list(persons = person$levels, mean = mean)
        made$columns[[k]] - mean[person$codes]
      })
    },
    frozen = function() frozen
  )
}

# One entry per random-effect term of the model, in lme4's order before sorting by number of levels.
bar_columns <- function(spec, coding, products) {
  out <- list()
  done <- list()
  for (i in seq_along(spec$bars)) {
    bar <- spec$bars[[i]]
    made <- done[[bar$text]]
    if (is.null(made)) {
      made <- done[[bar$text]] <- term_columns(bar$terms, coding$variables, coding$contrasts, products$recentre)
    }
    check_bar(made, bar)
    out[[i]] <- list(bar = i, made = made, group = bar$name, double = bar$double, label = bar$label)
  }
  order_double_bars(out, spec)
}

check_bar <- function(made, bar) {
  if (length(made$names) == 0L) {
    abort_hlm("formula", "The random-effects term {.code ({expr_text(bar$lhs)} | {bar$name})} has no effect in it.")
  }
}

# `(1 + x || g)` becomes (1 | g) and (0 + x | g). With several groups (`|| a/b`) the columns go first and the groups
# within each column, as lme4 writes it.
order_double_bars <- function(bars, spec) {
  out <- list()
  i <- 1L
  while (i <= length(bars)) {
    if (!bars[[i]]$double) {
      bar <- bars[[i]]
      bar$columns <- seq_along(bar$made$names)
      out[[length(out) + 1L]] <- bar
      i <- i + 1L
      next
    }
    same <- i
    while (same < length(bars) && bars[[same + 1L]]$double &&
      identical(spec$bars[[same + 1L]]$origin, spec$bars[[i]]$origin)) {
      same <- same + 1L
    }
    for (k in seq_along(bars[[i]]$made$names)) {
      for (bar in bars[i:same]) {
        bar$columns <- k
        name <- bar$made$names[[k]]
        bar$label <- paste(if (bar$made$keys[[k]] == "1") "1" else paste("0 +", name), "|", bar$group)
        out <- c(out, list(bar))
      }
    }
    i <- same + 1L
  }
  out
}

# The pool of distinct columns, the constant excluded (index 0).
pool_columns <- function(x, z) {
  keys <- x$keys
  columns <- x$columns
  for (bar in z) {
    keys <- c(keys, bar$made$keys)
    columns <- c(columns, bar$made$columns)
  }
  first <- which(match(keys, keys) == seq_along(keys) & keys != "1")
  pool <- keys[first]
  list(
    columns = columns[first],
    x = match(x$keys, pool, nomatch = 0L),
    z = lapply(z, function(bar) match(bar$made$keys[bar$columns], pool, nomatch = 0L))
  )
}

# Groups in order of first use by the sorted terms; terms sorted as lme4's mkReTrms() does.
design_groups <- function(spec, frame, z) {
  n_levels <- vapply(z, function(bar) length(frame$factors[[bar$group]]$levels), 0L)
  order <- if (length(z) > 1L && is.unsorted(rev(n_levels))) rev(order(n_levels)) else seq_along(z)
  groups <- list()
  terms <- list()
  names <- character()
  for (bar in z[order]) {
    group <- match(bar$group, names, 0L)
    if (group == 0L) {
      factor <- frame$factors[[bar$group]]
      names <- c(names, bar$group)
      group <- length(names)
      groups[[group]] <- list(name = bar$group, codes = factor$codes, levels = factor$levels)
    }
    terms[[length(terms) + 1L]] <- list(
      group = group, columns = integer(), names = bar$made$names[bar$columns],
      structure = "unstructured", label = bar$label
    )
  }
  list(groups = groups, terms = terms, order = order)
}

frame_offset <- function(spec, frame, variables) {
  own <- if (!is.null(frame[["(offset)"]])) frame[["(offset)"]] else frame$raw[["(offset)"]]
  for (i in rev(spec$terms$offset)) {
    part <- offset_values(variables[[spec$terms$labels[[i]]]], spec$terms$labels[[i]])
    own <- if (is.null(own)) part else part + own
  }
  own
}

offset_values <- function(x, label) {
  if (is.factor(x) || !is.numeric(x) || NCOL(x) != 1L) {
    abort_hlm("data", "{.code {label}} must be a number for every row, not {.cls {class(x)[1L]}}.")
  }
  as.double(x)
}

frame_weights <- function(frame) {
  weights <- if (!is.null(frame[["(weights)"]])) frame[["(weights)"]] else frame$raw[["(weights)"]]
  if (is.null(weights)) {
    return(NULL)
  }
  bad <- which(weights <= 0)
  if (length(bad) > 0L) {
    abort_hlm("data", c(
      "{.arg weights} must be greater than 0; they are not in {cli::qty(length(bad))}row{?s} {show_some(frame$rows[bad])}.",
      i = "To leave rows out, use {.arg subset}."
    ))
  }
  weights
}
