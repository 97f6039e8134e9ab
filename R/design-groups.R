# Grouping factors: integer codes in 1..J and the J levels, in factor()'s order (numbers by size, text in the order of
# the locale), because the rows of ranef() follow it. Strings are made per level, never per row.

# A column -> list(codes, levels); a missing value has code 0.
group_factor <- function(x, name) {
  if (is.integer(x) && is.null(attributes(x))) {
    return(sorted_codes(x, as.character))
  }
  if (is.factor(x)) {
    codes <- as.integer(x)
    if (anyNA(codes)) codes[is.na(codes)] <- 0L
    return(compact_factor(list(codes = codes, levels = levels(x))))
  }
  if (is.object(x) || is.logical(x)) {
    x <- if (is.logical(x)) as.integer(x) else factor(x)
    return(if (is.factor(x)) group_factor(x, name) else sorted_codes(x, function(u) as.character(u == 1L)))
  }
  if (!(is.numeric(x) || is.character(x)) || !is.null(dim(x))) {
    abort_hlm("data", c(
      "The grouping variable {.var {name}} must be a vector of numbers, text or a factor.",
      x = "It is of class {.cls {class(x)}}."
    ))
  }
  sorted_codes(x, plain_labels)
}

# Whole numbers as a person writes them: as.character() makes 100000 "1e+05", and the same id stored as an integer would be another one.
plain_labels <- function(x) {
  labels <- as.character(x)
  if (is.double(x)) {
    long <- which(abs(x) >= 1e5 & abs(x) < 1e15 & x == round(x))
    if (length(long)) labels[long] <- format(x[long], scientific = FALSE, trim = TRUE, digits = 15L)
  }
  labels
}

sorted_codes <- function(x, label) {
  found <- engine_group_codes(x)
  distinct <- x[found$first]
  codes <- found$codes
  if (is.unsorted(distinct)) {
    order <- order(distinct)
    rank <- integer(length(order))
    rank[order] <- seq_along(order)
    distinct <- distinct[order]
    codes <- recode(codes, rank)
  }
  list(codes = codes, levels = label(distinct))
}

# Codes 0 stay 0 (R drops zero indices, so they need care).
recode <- function(codes, map) {
  out <- map[codes]
  if (length(out) == length(codes)) {
    return(out)
  }
  full <- integer(length(codes))
  full[codes > 0L] <- out
  full
}

# Drops levels that do not occur; with `rows`, after keeping only these rows.
compact_factor <- function(factor, rows = NULL) {
  if (!is.null(rows)) factor$codes <- factor$codes[rows]
  used <- tabulate(factor$codes, length(factor$levels)) > 0L
  if (!all(used)) {
    factor$codes <- recode(factor$codes, cumsum(used))
    factor$levels <- factor$levels[used]
  }
  factor
}

# The combination b:a, levels ordered by b, then by a, as factor(b):factor(a) has them.
combine_factors <- function(b, a) {
  n_a <- length(a$levels)
  n_b <- length(b$levels)
  parent <- nested_parent(b, a)
  if (!is.null(parent)) {
    # ids that are not used again: every b already lies in one a, and b's order is the order of the combinations
    return(list(codes = b$codes, levels = paste_levels(b$levels, a$levels, parent)))
  }
  if (as.double(n_a) * n_b < .Machine$integer.max) {
    key <- (b$codes - 1L) * n_a + a$codes
  } else {
    key <- (b$codes - 1) * n_a + a$codes
  }
  missing <- b$codes == 0L | a$codes == 0L
  if (any(missing)) key[missing] <- NA
  sorted_codes(key, function(u) {
    first <- (u - 1) %/% n_a + 1
    paste_levels(b$levels[first], a$levels, u - (first - 1) * n_a)
  })
}

# "b:a": the colon is put before each a once, not once per combination, which halves the time for 100,000 of them.
paste_levels <- function(b, a, parent) {
  paste0(b, paste0(":", a)[parent])
}

# The variables (or expressions) that a grouping expression combines: c:(b:a) -> c, b, a.
group_atoms <- function(expr) {
  head <- call_head(expr)
  if (head == "(") {
    return(group_atoms(expr[[2L]]))
  }
  if (head == ":") {
    return(c(group_atoms(expr[[2L]]), group_atoms(expr[[3L]])))
  }
  list(expr)
}

# Evaluates a grouping expression; `atoms` are the factors of its parts by name.
eval_group <- function(expr, atoms) {
  if (is.symbol(expr)) {
    return(atoms[[as.character(expr)]])
  }
  head <- call_head(expr)
  if (head == "(") {
    return(eval_group(expr[[2L]], atoms))
  }
  if (head == ":") {
    both <- combine_factors(eval_group(expr[[2L]], atoms), eval_group(expr[[3L]], atoms))
    check_combined(both$levels, expr)
    return(both)
  }
  atoms[[expr_text(expr)]]
}

# The same, each part read by `value_of` from its expression.
read_group <- function(expr, value_of) {
  atoms <- list()
  for (atom in group_atoms(expr)) {
    name <- expr_text(atom)
    atoms[[name]] <- group_factor(plain_column(value_of(atom)), name)
  }
  eval_group(expr, atoms)
}

# 1 of 2:3 and 1:2 of 3 would both be called 1:2:3, and results and new data go by these names.
check_combined <- function(labels, expr) {
  if (!anyDuplicated(labels)) {
    return(invisible())
  }
  twice <- unique(labels[duplicated(labels)])
  variables <- c(expr_text(expr[[2L]]), expr_text(expr[[3L]]))
  abort_hlm("data", c(
    "Different groups of {.var {variables}} have the same name when joined with a colon: {show_some(twice)}.",
    i = "The ids contain {.val :}. Use another separator in them, for example {.code gsub(\":\", \"_\", id)}."
  ))
}

# Codes of new data in the levels of a fit: NA for levels that the fit does not know.
match_group <- function(expr, columns, env, levels) {
  labels <- group_labels(expr, columns, env)
  list(codes = match(labels, levels), labels = labels)
}

group_labels <- function(expr, columns, env) {
  head <- call_head(expr)
  if (head == "(") {
    return(group_labels(expr[[2L]], columns, env))
  }
  if (head == ":") {
    left <- group_labels(expr[[2L]], columns, env)
    right <- group_labels(expr[[3L]], columns, env)
    both <- paste(left, right, sep = ":")
    both[is.na(left) | is.na(right)] <- NA
    return(both)
  }
  x <- eval(expr, columns, env)
  if (is.logical(x)) x <- as.character(x)
  plain_labels(plain_column(x))
}

# For each level of `inner` the level of `outer` it lies in, or NULL when one lies in several or a row lacks either.
nested_parent <- function(inner, outer) {
  n <- length(inner$levels)
  if (n < length(outer$levels) || any_zero(inner$codes) || any_zero(outer$codes)) {
    return(NULL)
  }
  # the last row of each level decides; any other row must agree with it
  parent <- integer(n)
  parent[inner$codes] <- outer$codes
  if (identical(parent[inner$codes], outer$codes)) parent else NULL
}

is_nested <- function(inner, outer) {
  !is.null(nested_parent(inner, outer))
}
