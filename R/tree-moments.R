# Sums of squares and products of the rows of every group, freed of the random effects by elimination up the nesting tree, for all
# groups at once: [X e]'V^-1[X e] of each group, log|V| of each, and their exact derivatives in theta. Influence measures and robust
# covariances need nothing else of the rows; no V and no Z is formed.
#
# Elimination of Z_g of a group (Bates et al. 2015, J Stat Softw 67(1), eq. 18; Demidenko 2013, Mixed Models, section 2.2.3): with the moments T
# of [Z Lambda, rest], add I to the first block and sweep it out (one Gaussian elimination step a column, vectorised over the groups).
# Derivatives go along by the product rule (forward mode). Elsewhere the core does the same in Rust; it hands back sums only, not groups.
#
# A tree is list(levels, parents): levels from the finest to the coarsest, each list(name, codes, labels, terms), `terms` the random-effect terms
# of that level (possibly none: a unit to delete or a cluster may be any level of the nesting); parents[[l]] the node of level l + 1 for each node
# of level l.

as_unit <- function(name, codes, labels) list(name = name, codes = codes, labels = labels, terms = integer())

# The tree of the model's grouping factors with `unit` among them (or NULL where factors cross). `unit` is marked by its place.
tree_of <- function(fit, unit = NULL) {
  levels <- lapply(used_groups(fit$design), function(g) {
    group <- fit$design$groups[[g]]
    list(name = group$name, codes = as.integer(group$codes), labels = group$levels, terms = which(term_group(fit) == g))
  })
  place <- 0L
  if (!is.null(unit)) {
    same <- which(vapply(levels, function(level) same_groups(level$codes, unit$codes), TRUE))
    place <- if (length(same)) same[[1L]] else length(levels) + 1L
    # the unit's own order of labels counts
    unit$terms <- if (length(same)) levels[[place]]$terms else integer()
    levels[[place]] <- unit
  }
  order <- order(-vapply(levels, function(level) length(level$labels), 1L))
  levels <- levels[order]
  parents <- vector("list", length(levels) - 1L)
  for (l in seq_along(parents)) {
    parent <- parent_nodes(levels[[l]]$codes, levels[[l + 1L]]$codes, length(levels[[l]]$labels))
    if (is.null(parent)) return(NULL)
    parents[[l]] <- parent
  }
  list(levels = levels, parents = parents, unit = match(place, order))
}

same_groups <- function(a, b) max(a) == max(b) && !is.null(parent_nodes(a, b, max(a)))

# NULL when some node of `fine` has rows in two nodes of `coarse`.
parent_nodes <- function(fine, coarse, n) {
  parent <- integer(n)
  parent[fine] <- coarse
  if (all(parent[fine] == coarse)) parent
}

# A well-conditioned basis --------------------------------------------------------------------------------------------------------

# X = Q R with e = (y - offset - X beta)/sigma beside it; each term's Z = Q R, Lambda -> R Lambda. Estimates in this basis are
# deviations from beta in units of sigma, whatever the units of the predictors.
tree_basis <- function(fit) {
  check_independent_residuals(fit, "What was asked for is")
  n <- n_rows(fit)
  x <- unname(kept_x(fit))
  attributes(x) <- list(dim = dim(x))
  root <- sqrt(n)
  if (ncol(x)) {
    decomposition <- qr(x, tol = 0)
    r <- qr.R(decomposition)[, order(decomposition$pivot), drop = FALSE] / root
    x <- qr.Q(decomposition) * root
  } else {
    r <- matrix(0, 0L, 0L)
  }
  e <- (fit$design$y - fixed_predictor(fit)) / fit$core$sigma
  terms <- lapply(fit$design$terms, function(term) term_basis(unname(term_matrix(fit, term)), root))
  list(x = x, r = r, e = e, terms = terms)
}

term_basis <- function(z, root) {
  decomposition <- qr(z, tol = 1e-10)
  if (decomposition$rank < ncol(z)) {
    scale <- sqrt(colMeans(z^2))
    scale[scale == 0] <- 1
    return(list(z = sweep(z, 2L, scale, "/"), r = diag(scale, length(scale))))
  }
  list(z = qr.Q(decomposition) * root, r = qr.R(decomposition)[, order(decomposition$pivot), drop = FALSE] / root)
}

# Batched algebra: arrays node x row x column ---------------------------------------------------------------------------------

# left' A right for every node.
batch_congruence <- function(a, left, right) {
  n <- dim(a)[[1L]]
  step <- array(matrix(a, ncol = dim(a)[[3L]]) %*% right, c(n, dim(a)[[2L]], ncol(right)))
  step <- aperm(step, c(1L, 3L, 2L))
  step <- array(matrix(step, ncol = dim(step)[[3L]]) %*% left, c(n, ncol(right), ncol(left)))
  aperm(step, c(1L, 3L, 2L))
}

batch_sum <- function(a, parent) {
  d <- dim(a)[-1L]
  total <- rowsum(matrix(a, nrow = dim(a)[[1L]]), parent, reorder = TRUE)
  array(total, c(nrow(total), d))
}

# Sweep the first q columns out of I + T; with derivatives `dt` (a list of arrays).
batch_eliminate <- function(t, q, dt = list()) {
  n <- dim(t)[[1L]]
  d <- dim(t)[[2L]]
  log_det <- numeric(n)
  d_log_det <- matrix(0, n, length(dt))
  for (k in seq_len(q)) {
    pivot <- t[, k, k] + 1
    rest <- seq_len(d)[-seq_len(k)]
    column <- matrix(t[, rest, k], n)
    scaled <- column / pivot
    log_det <- log_det + log(pivot)
    for (m in seq_along(dt)) {
      d_column <- matrix(dt[[m]][, rest, k], n)
      d_scaled <- (d_column - scaled * dt[[m]][, k, k]) / pivot
      d_log_det[, m] <- d_log_det[, m] + dt[[m]][, k, k] / pivot
      for (j in seq_along(rest)) {
        dt[[m]][, rest, rest[[j]]] <- dt[[m]][, rest, rest[[j]]] - d_column * scaled[, j] - column * d_scaled[, j]
      }
    }
    for (j in seq_along(rest)) t[, rest, rest[[j]]] <- t[, rest, rest[[j]]] - column * scaled[, j]
  }
  keep <- seq_len(d)[seq_len(d) > q]
  list(
    t = t[, keep, keep, drop = FALSE], dt = lapply(dt, function(a) a[, keep, keep, drop = FALSE]), log_det = log_det,
    d_log_det = d_log_det
  )
}

# Inverses of symmetric positive definite matrices near the identity; NA where one is singular.
batch_inverse <- function(a, tol = 1e-9) {
  n <- dim(a)[[1L]]
  p <- dim(a)[[2L]]
  log_det <- numeric(n)
  singular <- logical(n)
  for (k in seq_len(p)) {
    pivot <- a[, k, k]
    singular <- singular | is.na(pivot) | pivot <= tol
    pivot[singular] <- NA
    log_det <- log_det + log(pivot)
    column <- matrix(a[, , k], n)
    row <- matrix(a[, k, ], n) / pivot
    column[, k] <- 0
    for (j in seq_len(p)[-k]) a[, , j] <- matrix(a[, , j], n) - column * row[, j]
    a[, , k] <- -column / pivot
    a[, k, ] <- row
    a[, k, k] <- 1 / pivot
  }
  list(inverse = a, log_det = log_det, singular = singular)
}

# A v for every node: array node x i x j, matrix node x j.
batch_apply <- function(a, v) {
  out <- matrix(0, dim(a)[[1L]], dim(a)[[2L]])
  for (j in seq_len(dim(a)[[3L]])) out <- out + matrix(a[, , j], nrow(out)) * v[, j]
  out
}

# The pass up the tree ----------------------------------------------------------------------------------------------------------

# Moments of [Z of all levels, X, e] per node of the finest level.
tree_rows <- function(fit, tree, basis) {
  z <- lapply(unlist(lapply(tree$levels, `[[`, "terms")), function(t) basis$terms[[t]]$z)
  columns <- do.call(cbind, c(z, list(basis$x, basis$e)))
  d <- ncol(columns)
  codes <- tree$levels[[1L]]$codes
  weights <- design_weights(fit$design)
  moments <- array(0, c(length(tree$levels[[1L]]$labels), d, d))
  for (a in seq_len(d)) {
    b <- a:d
    sums <- rowsum(columns[, b, drop = FALSE] * (weights * columns[, a]), codes, reorder = TRUE)
    moments[, a, b] <- sums
    moments[, b, a] <- sums
  }
  moments
}

# Block diagonal of R Lambda over the levels' terms and I over [X e]; its derivatives in theta.
tree_scaling <- function(fit, tree, basis, derivatives) {
  terms <- unlist(lapply(tree$levels, `[[`, "terms"))
  sizes <- vapply(fit$design$terms[terms], function(term) length(term$columns), 1L)
  last <- cumsum(sizes)
  d <- sum(sizes) + ncol(basis$x) + 1L
  place <- lapply(seq_along(terms), function(i) seq_len(sizes[[i]]) + last[[i]] - sizes[[i]])
  value <- diag(d)
  for (i in seq_along(terms)) value[place[[i]], place[[i]]] <- basis$terms[[terms[[i]]]]$r %*% term_lambda(fit, terms[[i]])
  map <- theta_map(fit$design)
  slopes <- lapply(if (derivatives) seq_len(nrow(map)) else integer(), function(k) {
    i <- match(map$term[[k]], terms)
    unit <- matrix(0, sizes[[i]], sizes[[i]])
    unit[map$row[[k]], map$col[[k]]] <- 1
    slope <- matrix(0, d, d)
    slope[place[[i]], place[[i]]] <- basis$terms[[terms[[i]]]]$r %*% unit
    slope
  })
  list(value = value, slopes = slopes)
}

# Per level: `before` and `after` the elimination of the level's own effects (moments, derivatives), own and whole-subtree log-determinants.
# `total` sums the last level over its nodes.
tree_pass <- function(fit, tree, basis = tree_basis(fit), derivatives = FALSE) {
  scaling <- tree_scaling(fit, tree, basis, derivatives)
  rows <- tree_rows(fit, tree, basis)
  node <- list(
    t = batch_congruence(rows, scaling$value, scaling$value),
    dt = lapply(scaling$slopes, function(slope) {
      half <- batch_congruence(rows, slope, scaling$value)
      half + aperm(half, c(1L, 3L, 2L))
    })
  )
  below <- list(log_det = 0, d_log_det = 0)
  levels <- vector("list", length(tree$levels))
  for (l in seq_along(levels)) {
    q <- sum(vapply(fit$design$terms[tree$levels[[l]]$terms], function(term) length(term$columns), 1L))
    after <- batch_eliminate(node$t, q, node$dt)
    subtree <- list(log_det = below$log_det + after$log_det, d_log_det = below$d_log_det + after$d_log_det)
    levels[[l]] <- list(q = q, before = node, after = after, subtree = subtree)
    parent <- if (l < length(levels)) tree$parents[[l]] else rep(1L, length(after$log_det))
    node <- list(t = batch_sum(after$t, parent), dt = lapply(after$dt, batch_sum, parent))
    below <- list(
      log_det = as.double(rowsum(subtree$log_det, parent, reorder = TRUE)), d_log_det = unname(rowsum(subtree$d_log_det, parent, reorder = TRUE))
    )
  }
  list(levels = levels, total = c(node, below), basis = basis)
}

# The total without each node of the unit's level: the path from the node to the top is eliminated anew.
tree_without <- function(tree, pass) {
  l <- tree$unit
  level <- pass$levels[[l]]
  node <- seq_along(level$after$log_det)
  change <- list(t = -level$after$t, dt = lapply(level$after$dt, function(a) -a))
  change$log_det <- -level$subtree$log_det
  change$d_log_det <- -level$subtree$d_log_det
  while (l < length(tree$levels)) {
    node <- tree$parents[[l]][node]
    l <- l + 1L
    level <- pass$levels[[l]]
    pick <- function(a) a[node, , , drop = FALSE]
    if (level$q > 0L) {
      new <- batch_eliminate(
        pick(level$before$t) + change$t, level$q, Map(function(a, b) pick(a) + b, level$before$dt, change$dt)
      )
      change <- list(
        t = new$t - pick(level$after$t), dt = Map(function(a, b) a - pick(b), new$dt, level$after$dt),
        log_det = change$log_det + new$log_det - level$after$log_det[node],
        d_log_det = change$d_log_det + new$d_log_det - level$after$d_log_det[node, , drop = FALSE]
      )
    }
  }
  change
}
