# What varies at which level: the chain of nested groups, columns split into their parts by level, and what the
# specification says about each variable of the fixed part. R/r2-decompose.R, R/standardize.R and R/between-correction.R read it.

# The grouping factors from the finest to the coarsest, each nested in the next.
nested_groups <- function(fit, what, instead) {
  if (!levels_are_nested(fit)) {
    abort_hlm("design", c(
      "{what} needs nested levels, but {.val {group_names(fit)}} are crossed in these data.",
      i = "With crossed groups a row has no single chain of levels above it. {instead}",
      i = "If they should be nested, check whether ids are used again: write {.code (1 | therapist/patient)}."
    ))
  }
  fit$design$groups
}

group_mean <- function(x, group) {
  sums <- engine_group_sums(as.double(x), group$codes, length(group$levels))
  (sums$sum / sums$count)[group$codes]
}

# x as the sum of its parts at levels 1 (within the finest groups), 2, ..., L + 1 (the groups of the coarsest factor, grand mean
# included). Means are taken over the analysed rows, so that the parts are uncorrelated over the rows whatever the group sizes: their
# variances add up to that of x exactly.
level_parts <- function(x, groups) {
  parts <- vector("list", length(groups) + 1L)
  rest <- rep_len(as.double(x), length(groups[[1L]]$codes))
  for (l in seq_along(groups)) {
    mean <- group_mean(rest, groups[[l]])
    parts[[l]] <- rest - mean
    rest <- mean
  }
  parts[[length(parts)]] <- rest
  parts
}

# Data frame columns as coefficients and terms name them: `my x_within` in backticks.
column_label <- function(names) {
  vapply(names, function(name) deparse1(as.name(name), backtick = TRUE), "", USE.NAMES = FALSE)
}

# Level number (1 = rows, 2 = finest groups, ...) of a level as spec$coefs names it.
level_number <- function(fit, level) {
  place <- match(level, group_names(fit), nomatch = 0L)
  ifelse(level == "1" | is.na(level), 1L, place + 1L)
}

# What the formula says about each variable of the fixed part: data frame label, kind ("within", "between", "lag", "computed", "raw"),
# level ("1" or the name of a group), source (label of the split variable in fit$means). Only a variable that the formula does not split
# is looked up in the data.
variable_facts <- function(fit) {
  tt <- fit$spec$terms
  wanted <- setdiff(seq_along(tt$labels), c(tt$response, tt$offset))
  frame <- if (length(wanted)) model.frame.hlm(fit)
  facts <- lapply(wanted, function(i) variable_fact(fit, tt$variables[[i]], tt$labels[[i]], frame))
  if (!length(facts)) facts <- list(fact_row("none", "raw", "1", NA_character_)[0L, ])
  do.call(rbind, facts)
}

fact_row <- function(label, kind, level, source) {
  data.frame(label = label, kind = kind, level = level, source = source, stringsAsFactors = FALSE)
}

variable_fact <- function(fit, expr, label, frame) {
  derived <- Filter(function(column) column$name %in% expr_vars(expr), fit$spec$columns)
  if (!length(derived)) return(fact_row(label, "raw", raw_level(fit, frame[[label]]), raw_source(fit, expr)))
  kind <- derived_kind(derived, fit$spec, list(id = fit$id))
  if (!is.symbol(expr)) return(fact_row(label, "computed", kind$level, NA_character_))
  column <- unname(derived)[[1L]]
  source <- if (column$kind == "lag") NA_character_ else source_labels(fit$spec$sources)[[column$source]]
  fact_row(label, column$kind, kind$level, source)
}

# With cx(x) the variable stands in the formula as it is.
raw_source <- function(fit, expr) {
  for (key in fit$spec$contextual) {
    value <- fit$spec$values[[fit$spec$sources[[key]]$value]]
    if (value$lag == 0L && identical(value$expr, expr)) return(source_labels(fit$spec$sources)[[key]])
  }
  NA_character_
}

raw_level <- function(fit, x) variable_level(x, c(person_only(fit), fit$design$groups))

# The person's factor, when no random effect is by person.
person_only <- function(fit) {
  if (is.null(fit$id) || fit$id %in% group_names(fit)) return(list())
  person <- person_factor(fit)
  if (is.null(person)) list() else list(person)
}

# list(name, codes, levels) of the person over the analysed rows; NULL when it is not known.
person_factor <- function(fit) {
  if (is.null(fit$id)) return(NULL)
  place <- match(fit$id, group_names(fit))
  if (!is.na(place)) return(fit$design$groups[[place]])
  expr <- if (length(fit$means)) fit$means[[1L]]$id else fit$spec$id
  if (is.null(expr)) return(NULL)
  labels <- group_labels(expr, lapply(as.list(fit$data), take_rows, rows = fit$rows), environment(fit$formula))
  levels <- unique(labels)
  list(name = fit$id, codes = match(labels, levels), levels = levels)
}

# The variables of each term of the fixed part, by the term's label.
term_members <- function(fit) {
  tt <- fit$spec$terms
  members <- lapply(seq_along(tt$term_labels), function(j) tt$labels[tt$factors[, j] > 0L])
  stats::setNames(members, tt$term_labels)
}

# Does the specification make a column sum to zero within every person? The within part of a variable whose means are those of the analysed
# rows, alone or times what is constant within persons; and the double-demeaned product of two within parts. A numeric check
# could not tell this from a column that is centred at the grand mean (design: peers' fault 8).
is_person_centred <- function(fit, term, name, facts) {
  if ((fit$control$means %||% "analysis") != "analysis") return(FALSE)
  mine <- facts[match(term_members(fit)[[term]], facts$label), ]
  within <- mine$kind == "within"
  if (sum(within) > 1L) return(name %in% names(fit$blueprint$products) && all(mine$level[!within] != "1"))
  any(within) && all(mine$level[!within] != "1")
}
