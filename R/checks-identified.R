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
  x <- design_x(design)
  x <- x / rep(sqrt(pmax(colSums(x^2), .Machine$double.xmin)), each = nrow(x))
  counts <- tabulate(group$codes, n_levels)
  sums <- apply(x, 2L, function(column) engine_group_sums(column, group$codes, n_levels)$sum) / sqrt(counts)
  spectrum <- eigen(crossprod(x), symmetric = TRUE)
  keep <- spectrum$values > 1e-12
  scores <- sums %*% spectrum$vectors[, keep, drop = FALSE]
  explained <- rowSums(scores^2 / rep(spectrum$values[keep], each = n_levels))
  all(explained > 1 - 1e-8)
}
