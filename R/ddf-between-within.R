# Between-within degrees of freedom: groups and predictors counted level by level (the rule is in ?`hlm-ddf`).
#
# Pinheiro & Bates (2000, Mixed-Effects Models in S and S-PLUS, p. 91): denDF_i = m_i - (m_{i-1} + p_i), m_0 = 1 with an
# intercept and 0 without, m_{Q+1} = N. For crossed factors m_i - m_{i-1} becomes the number of dimensions that a factor adds to
# those of the factors containing it (Tjur 1984, Int Stat Rev 52:33, eq. 3.3), which for connected designs is the rank
# contribution of SAS's containment rule. For disconnected ones it is too small, never too large, for the rows.

ddf_between_within <- function(fit, intercept = "largest") {
  df <- between_within_df(fit, intercept)
  scale <- sqrt(diag(as.matrix(fit$core$vcov)))
  smallest <- function(used) if (any(used)) min(df[used]) else NA_real_
  row_df <- function(l) smallest(has_weight(l, scale))
  rows_df <- function(l) smallest(colSums(matrix(apply(l, 1L, has_weight, scale = scale), nrow(l), byrow = TRUE)) > 0)
  label <- "between-within degrees of freedom"
  if (attr(df, "crossed")) label <- paste(label, "(crossed groups)")
  new_inference(
    row_df, label, fit$core$vcov, joint_df = rows_df, term_df = function(columns) smallest(seq_along(df) %in% columns)
  )
}

# Weights that are zero but for rounding, whatever the units of the predictors, do not count.
has_weight <- function(l, scale) {
  size <- abs(l) * scale
  size > 1e-8 * max(size, 0)
}

# One number per estimated coefficient. `intercept`: "largest" of all levels (nlme), or the "highest" groups minus one, which
# 'emmeans' takes for estimated means.
between_within_df <- function(fit, intercept = "largest") {
  strata <- bw_strata(fit)
  place <- bw_places(fit, strata)
  constant <- constant_term(fit)
  is_constant <- place == 0L
  counts <- tabulate(place[!is_constant], length(strata$size))
  if (constant$term > 0L) {
    # Indicators of all categories hold the intercept: one of their columns is its.
    own <- which(fit$design$x_assign[kept_columns(fit)] == constant$term)
    if (length(own)) counts[[place[own[[1L]]]]] <- counts[[place[own[[1L]]]]] - 1L
  }
  df <- strata_dimensions(strata, constant$present) - counts
  value <- c(if (intercept == "largest") max(df) else strata$size[[1L]] - 1, df)[place + 1L]
  structure(usable_df(fit, value, strata, place), crossed = strata$crossed)
}

# The grouping factors of the random effects from the coarsest to the finest, then the rows; factors that form the same groups
# count once. above[i, j]: does factor j contain factor i?
bw_strata <- function(fit) {
  groups <- fit$design$groups[used_groups(fit$design)]
  groups <- groups[order(vapply(groups, function(g) length(g$levels), 0L))]
  same <- vapply(seq_along(groups), function(i) {
    any(vapply(groups[seq_len(i - 1L)], function(g) same_partition(g$codes, groups[[i]]$codes), NA))
  }, NA)
  distinct <- groups[!same]
  size <- c(vapply(distinct, function(g) length(g$levels), 0L), n_rows(fit))
  q <- length(distinct)
  above <- matrix(FALSE, q + 1L, q + 1L)
  for (i in seq_len(q)) {
    for (j in seq_len(i - 1L)) above[i, j] <- constant_within(distinct[[j]]$codes, distinct[[i]])
  }
  above[q + 1L, seq_len(q)] <- TRUE
  list(groups = distinct, size = size, above = above, crossed = !all(above[lower.tri(above)]))
}

# Dimensions of each stratum before its predictors are taken off.
strata_dimensions <- function(strata, constant) {
  dimensions <- numeric(length(strata$size))
  for (i in seq_along(dimensions)) {
    dimensions[[i]] <- strata$size[[i]] - constant - sum(dimensions[strata$above[i, ]])
  }
  dimensions
}

# Stratum of each estimated coefficient, from the level that the specification gives its term; 0 for the intercept.
bw_places <- function(fit, strata) {
  kept <- kept_columns(fit)
  level <- fit$spec$coefs$level[kept]
  by_level <- vapply(unique(level), level_stratum, 0L, fit = fit, strata = strata)
  place <- unname(by_level[level])
  assign <- fit$design$x_assign[kept]
  place[assign == 0L] <- 0L
  if (!strata$crossed) return(place)
  # A product of a patient's and a rater's variable varies within both. The specification names the finer of the two levels,
  # which the columns of the product refute.
  order <- attr(stats::terms(fit), "order")
  products <- which(assign > 0L & c(0L, order)[assign + 1L] > 1L & place <= length(strata$groups))
  for (k in products) {
    column <- rep_len(as.double(design_column(fit$design, fit$design$x[[kept[[k]]]])), n_rows(fit))
    fits <- vapply(strata$groups, function(group) constant_within(column, group), NA)
    if (!fits[[place[[k]]]]) place[[k]] <- c(which(fits), length(strata$size))[[1L]]
  }
  # One term, one level: the finest among its columns.
  if (length(products)) place[products] <- stats::ave(place[products], assign[products], FUN = max)
  place
}

level_stratum <- function(level, fit, strata) {
  rows <- length(strata$size)
  if (identical(level, "1")) return(rows)
  codes <- level_codes(fit, level)
  for (i in seq_along(strata$groups)) {
    if (constant_within(codes, strata$groups[[i]])) return(i)
  }
  rows
}

# Group of each row at a level that may be without a random effect.
level_codes <- function(fit, level) {
  known <- match(level, group_names(fit))
  if (!is.na(known)) return(fit$design$groups[[known]]$codes)
  rows <- newdata_columns(fit, NULL)
  labels <- group_labels(str2lang(level), c(rows$columns, rows$constants), rows$env)
  match(labels, unique(labels))
}

# Is the constant among the fixed effects, and by which term if not as the intercept? Without an intercept the first term with
# a factor has an indicator of every category (factor_coding()); when it has factors only, these add up to the constant.
constant_term <- function(fit) {
  if (0L %in% fit$design$x_assign) return(list(present = TRUE, term = 0L))
  terms <- fit$blueprint$terms
  factors <- names(fit$blueprint$xlevels)
  for (j in seq_along(terms$term_labels)) {
    members <- terms$labels[terms$factors[, j] > 0L]
    if (!any(members %in% factors)) next
    whole <- all(members %in% factors)
    return(list(present = whole, term = if (whole) j else 0L))
  }
  list(present = FALSE, term = 0L)
}

usable_df <- function(fit, df, strata, place) {
  none <- df <= 0
  if (any(none)) {
    terms <- unique(fit$spec$coefs$term[kept_columns(fit)][none])
    at <- unique(pmax(place[none], 1L))
    units <- vapply(at, function(i) {
      if (i > length(strata$groups)) paste(strata$size[[i]], "rows") else paste(strata$size[[i]], "groups of", strata$groups[[i]]$name)
    }, "")
    warn_hlm("ddf", c(
      "No degrees of freedom are left for {.val {terms}}: {units} are too few for the predictors at that level.",
      i = "Its test is given as {.code NA}; take fewer predictors, or another {.arg ddf}."
    ))
    df[none] <- NA_real_
  }
  df
}
