# A random intercept whose groups the fixed effects tell apart completely: factor(therapist) + (1 | therapist), or dept * service + (1 | dept:service). Every
# difference between the groups is then taken by the fixed effects, and no data are left to estimate its variance from (the restricted likelihood is flat).
# Possible only with as many fixed effects as groups.

check_groups_left <- function(design, term, group) {
  if (all(term$columns > 0L) || !is_saturated(design, group)) {
    return(invisible())
  }
  warn_hlm("design", c(
    "The fixed effects tell all {length(group$levels)} groups of {.var {group$name}} apart: nothing is left to estimate the variance of
     {.code ({term$label})} from. Do not interpret it, nor tests of effects at that level.",
    i = "Take this term out, or the predictors that stand for the groups."
  ))
}

# Whether the indicators of the groups are combinations of the fixed effects: what is left of them beside these is nothing. From sums by group,
# on columns of unit length.
is_saturated <- function(design, group) {
  n_levels <- length(group$levels)
  columns <- lapply(design$x, function(place) if (place == 0L) rep(1, length(design$y)) else design$columns[[place]])
  columns <- lapply(columns, function(x) x / sqrt(max(sum(x^2), .Machine$double.xmin)))
  x <- do.call(cbind, columns)
  counts <- tabulate(group$codes, n_levels)
  sums <- vapply(columns, function(x) engine_group_sums(x, group$codes, n_levels)$sum, numeric(n_levels)) / sqrt(counts)
  spectrum <- eigen(crossprod(x), symmetric = TRUE)
  keep <- spectrum$values > 1e-12
  scores <- sums %*% spectrum$vectors[, keep, drop = FALSE]
  explained <- rowSums(scores^2 / rep(spectrum$values[keep], each = n_levels))
  all(explained > 1 - 1e-8)
}
