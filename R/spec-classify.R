# What each fixed-effect coefficient is about, read from the terms. Only the level of a variable that the formula does not
# split is looked up in the data: the highest grouping factor within whose groups it is exactly constant.

# Data frame: name, term, type, level, variables (one row per fixed-effect column).
classify_coefs <- function(spec, frame, coding, layout) {
  tt <- spec$terms
  kinds <- spec$kinds
  groups <- order_groups(frame)
  type <- kinds$type
  level <- kinds$level
  # by name: derived columns stand at the end of the list, wherever the formula has them
  for (i in kinds$open) level[[i]] <- variable_level(coding$variables[[tt$labels[[i]]]], groups)
  level[kinds$person] <- frame$id
  if (kinds$single) {
    type <- type[kinds$first]
    level <- level[kinds$first]
  } else {
    terms <- vapply(tt$members, function(members) term_kind(type[members], level[members], groups), character(2L))
    type <- terms[1L, ]
    level <- terms[2L, ]
  }
  # the intercept first
  place <- layout$x_assign + 1L
  out <- list(
    name = layout$x_names, term = layout$x_term, type = c("other", type)[place], level = c("1", level)[place], variables = layout$x_variables
  )
  attr(out, "row.names") <- .set_row_names(length(place))
  class(out) <- "data.frame"
  out
}

# What the formula alone says of its variables: vectors `type` and `level`; which levels are to be looked up in the data (`open`) and which are the
# person; whether every term is a single variable, and the first variable of every term.
variable_kinds <- function(spec) {
  kinds <- lapply(seq_along(spec$terms$labels), variable_kind, spec = spec)
  level <- vapply(kinds, `[[`, "", "level")
  members <- spec$terms$members
  list(
    type = vapply(kinds, `[[`, "", "type"), level = level, open = which(level == ""), person = which(is.na(level)),
    single = all(lengths(members) == 1L), first = vapply(members, `[[`, 0L, 1L)
  )
}

# Grouping factors from the finest to the coarsest.
order_groups <- function(frame) {
  factors <- frame$factors
  for (name in names(frame$parents)) {
    if (is.null(factors[[name]])) factors[[name]] <- c(frame$parents[[name]], list(name = name))
  }
  if (length(factors) == 1L) {
    return(factors)
  }
  factors[order(-vapply(factors, function(f) length(f$levels), 0L))]
}

# list(type, level) of one variable of the fixed part, as far as the formula says it: the level is NA where it is the person, and "" where
# the data have to be looked at. The outcome and offsets are no predictors.
variable_kind <- function(i, spec) {
  if (i == spec$terms$response || any(i == spec$terms$offset)) {
    return(list(type = "other", level = "1"))
  }
  expr <- spec$terms$variables[[i]]
  vars <- expr_vars(expr)
  derived <- list()
  for (column in spec$columns) {
    if (any(column$name == vars)) derived <- c(derived, list(column))
  }
  if (length(derived) > 0L) {
    return(derived_kind(derived, spec, list(id = NA_character_)))
  }
  for (key in spec$contextual) {
    if (identical(spec$values[[spec$sources[[key]]$value]]$expr, expr)) {
      return(list(type = "within", level = "1"))
    }
  }
  list(type = if (length(vars) > 0L && identical(vars, spec$time)) "time" else "other", level = "")
}

derived_kind <- function(derived, spec, frame) {
  if (length(derived) == 1L && derived[[1L]]$kind == "between") {
    return(between_kind(derived[[1L]], spec, frame))
  }
  kinds <- vapply(derived, `[[`, "", "kind")
  if ("within" %in% kinds) {
    return(list(type = "within", level = "1"))
  }
  if ("lag" %in% kinds) {
    contextual <- derived[[which(kinds == "lag")[1L]]]$source %in% spec$contextual
    return(list(type = if (contextual) "within" else "other", level = "1"))
  }
  between_kind(derived[[1L]], spec, frame)
}

between_kind <- function(column, spec, frame) {
  list(
    type = if (column$source %in% spec$contextual) "contextual" else "between",
    level = if (column$level == "") frame$id else column$level
  )
}

# "1", or the name of the coarsest group within which the variable never changes.
variable_level <- function(x, groups) {
  k <- length(groups)
  while (k > 0L && !constant_within(x, groups[[k]])) k <- k - 1L
  if (k > 0L) groups[[k]]$name else "1"
}

constant_within <- function(x, group) {
  if (is.matrix(x)) {
    return(all(vapply(seq_len(ncol(x)), function(k) constant_within(x[, k], group), NA)))
  }
  if (is.factor(x)) x <- as.integer(x)
  # most variables that vary show it in the first rows, if not in the first two
  codes <- group$codes
  if (length(x) > 1L && isTRUE(codes[[1L]] == codes[[2L]] && x[[1L]] != x[[2L]])) {
    return(FALSE)
  }
  some <- seq_len(min(length(x), 25L))
  if (!same_in_first(x[some], codes[some])) {
    return(FALSE)
  }
  length(some) == length(x) || same_in_groups(x, codes, length(group$levels))
}

# The same for a few rows, without a table of all groups.
same_in_first <- function(x, codes) {
  all(x[match(codes, codes)] == x)
}

same_in_groups <- function(x, codes, n) {
  value <- x[rep(1L, n)]
  value[codes] <- x
  all(value[codes] == x)
}

# Type and level of a product: the type from those of its factors, the finest of their levels.
term_kind <- function(type, level, groups) {
  if (length(type) == 1L) {
    return(c(type, level))
  }
  rank <- match(level, c("1", vapply(groups, `[[`, "", "name")))
  c(product_type(type, level), level[which.min(rank)])
}

product_type <- function(type, level) {
  if (length(type) == 1L || length(unique(type)) == 1L && type[1L] %in% c("within", "between", "contextual", "time")) {
    return(type[1L])
  }
  varies <- level == "1"
  if (any(varies) && !all(varies)) {
    return("cross-level")
  }
  if (all(varies)) {
    return(if ("within" %in% type) "within" else "other")
  }
  if ("contextual" %in% type) "contextual" else if ("between" %in% type) "between" else "other"
}
