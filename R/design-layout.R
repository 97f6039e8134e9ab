# What stands where in a design: the columns of X and of the random-effects terms by name, and their places in the pool of distinct columns.
# Where all variables are plain numbers this follows from the formula alone and is worked out when the formula is read.

# Returns a list:
# x_names, x_assign, x   per fixed-effect column its name, its term and its place in the pool (0: the constant)
# x_term, x_variables    the term in words and its variables
# terms                  per random-effects term, in lme4's order before sorting by number of levels: list(group = its name, columns, names, structure,
#                        label) as in the design
# random                 per term list(bar, columns): the bar of the formula and which of its columns
# columns                the pool
lay_out <- function(spec, coding, recentre = NULL) {
  x <- term_columns(spec$terms, coding$variables, coding$contrasts, recentre)
  z <- bar_columns(spec, coding, recentre)
  pool <- pool_columns(x, z)
  terms <- lapply(seq_along(z), function(i) {
    bar <- z[[i]]
    list(group = bar$group, columns = pool$z[[i]], names = bar$made$names[bar$columns], structure = "unstructured", label = bar$label)
  })
  list(
    x_names = x$names, x_assign = x$assign, x = pool$x, terms = terms,
    x_term = c("(Intercept)", spec$terms$term_labels)[x$assign + 1L], x_variables = c("", spec$terms$term_variables)[x$assign + 1L],
    random = lapply(z, function(bar) list(bar = bar$bar, columns = bar$columns)), columns = pool$columns
  )
}

# The layout when all variables are plain numbers, found with columns of no rows; NULL where the columns need more than their variables (products of
# within columns are centred once more). `columns` are then the labels of the variables whose product each is; `blueprint` is complete but for what
# depends on the data.
numeric_layout <- function(spec) {
  if (length(within_columns(spec)) > 1L) {
    return(NULL)
  }
  labels <- c(names(spec$given), names(spec$late))
  variables <- rep(list(double()), length(labels))
  names(variables) <- labels
  coding <- list(variables = variables, xlevels = list(), contrasts = list())
  layout <- lay_out(spec, coding)
  layout$columns <- pool_members(spec, layout)
  layout$blueprint <- new_blueprint(spec, list(), variables, coding, emptyenv())
  layout$blueprint$products <- list()
  layout
}

# Of every column of the pool the labels of the variables it is the product of.
pool_members <- function(spec, layout) {
  members <- vector("list", length(layout$columns))
  note <- function(terms, places, assign) {
    for (k in which(places > 0L)) members[[places[[k]]]] <<- terms$labels[terms$members[[assign[[k]]]]]
  }
  note(spec$terms, layout$x, layout$x_assign)
  for (i in seq_along(layout$terms)) {
    random <- layout$random[[i]]
    terms <- spec$bars[[random$bar]]$terms
    # one column per term, the constant first
    note(terms, layout$terms[[i]]$columns, random$columns - terms$intercept)
  }
  members
}

layout_columns <- function(layout, variables) {
  columns <- vector("list", length(layout$columns))
  for (k in seq_along(columns)) {
    members <- layout$columns[[k]]
    columns[[k]] <- if (length(members) == 1L) variables[[members]] else Reduce(`*`, variables[members])
  }
  columns
}

# One entry per random-effect term of the model, in lme4's order before sorting by number of levels.
bar_columns <- function(spec, coding, recentre) {
  out <- list()
  done <- list()
  for (i in seq_along(spec$bars)) {
    bar <- spec$bars[[i]]
    made <- done[[bar$text]]
    if (is.null(made)) {
      made <- done[[bar$text]] <- term_columns(bar$terms, coding$variables, coding$contrasts, recentre)
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
design_groups <- function(frame, terms) {
  order <- seq_along(terms)
  if (length(terms) > 1L) {
    n_levels <- vapply(terms, function(term) length(frame$factors[[term$group]]$levels), 0L)
    if (is.unsorted(rev(n_levels))) order <- rev(order(n_levels))
  }
  groups <- list()
  names <- character()
  terms <- terms[order]
  for (i in seq_along(terms)) {
    name <- terms[[i]]$group
    group <- match(name, names, 0L)
    if (group == 0L) {
      factor <- frame$factors[[name]]
      names <- c(names, name)
      group <- length(names)
      groups[[group]] <- list(name = name, codes = factor$codes, levels = factor$levels)
    }
    terms[[i]]$group <- group
  }
  list(groups = groups, terms = terms, order = order)
}
