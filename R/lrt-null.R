# The distribution of a likelihood ratio test of two nested models, from where the smaller model lies in the parameter space of
# the larger one.

# What the random effects of the smaller model are in the terms of the larger one: relative covariance matrices, one per term of
# `large`, or NULL when a term of `small` is not in `large`.
null_covariances <- function(small, large) {
  psi <- lapply(large$design$terms, function(term) matrix(0, length(term$columns), length(term$columns)))
  for (t in seq_along(small$design$terms)) {
    hosts <- random_term_hosts(small, large, t)
    if (!length(hosts)) return(NULL)
    own <- tcrossprod(term_lambda(small, t))
    # The smallest host: the term itself, where both models have it.
    host <- hosts[[which.min(vapply(large$design$terms[hosts], function(term) length(term$columns), 1L))]]
    change <- express_columns(large$design, large$design$terms[[host]], small$design, small$design$terms[[t]])
    psi[[host]] <- psi[[host]] + change %*% own %*% t(change)
  }
  psi
}

# Coefficients of the small term's columns in those of the large one.
express_columns <- function(large_design, large, small_design, small) {
  n <- length(large_design$y)
  columns <- function(design, term) {
    matrix(unlist(lapply(term$columns, function(i) rep_len(as.double(design_column(design, i)), n))), n)
  }
  change <- qr.coef(qr(columns(large_design, large)), columns(small_design, small))
  change[is.na(change) | abs(change) < 1e-10] <- 0
  change
}

# One entry per term of `large`: rank and null space of the null covariance matrix, in units that make effects comparable.
null_spaces <- function(large, psi) {
  lapply(seq_along(psi), function(t) {
    block <- psi[[t]]
    term <- large$design$terms[[t]]
    size <- sqrt(diag(block))
    for (j in which(size == 0)) size[[j]] <- 1 / sqrt(mean(design_column(large$design, term$columns[[j]])^2))
    spectrum <- eigen(block / outer(size, size), symmetric = TRUE)
    rank <- sum(spectrum$values > 1e-9)
    list(size = size, rank = rank, vectors = spectrum$vectors, diagonal = identical(term$structure, "diagonal"))
  })
}

# Weights and p value of the test of `small` (null) against `large`: list(weights, p, note).
chibar_test <- function(small, large, statistic, reml, nsim = 2000L, seed = 1L) {
  none <- function(note) list(weights = NA_character_, p = NA_real_, note = note)
  psi <- null_covariances(small, large)
  if (is.null(psi)) return(none("the random effects of the smaller model are not in the larger one"))
  if (identical(small$core$status, "failed") || identical(large$core$status, "failed")) {
    return(none("a model did not converge"))
  }
  if (length(small$core$boundary)) {
    return(none(paste(
      "in the smaller model a variance is zero or a correlation is +1 or -1: the mixture holds only when the other variances are",
      "inside their range; use a parametric bootstrap"
    )))
  }
  spaces <- null_spaces(large, psi)
  size <- vapply(spaces, function(space) length(space$size), 1L)
  null <- size - vapply(spaces, `[[`, 1L, "rank")
  diagonal <- vapply(spaces, `[[`, TRUE, "diagonal")
  free <- ifelse(diagonal, size - null, (size * (size + 1) - null * (null + 1)) / 2)
  base <- length(kept_columns(large)) - length(kept_columns(small)) + sum(free) - length(small$core$theta)
  blocks <- unlist(lapply(which(null > 0L), function(t) if (diagonal[[t]]) rep(1L, null[[t]]) else null[[t]]))
  if (base < 0) return(none("the smaller model is not a regular point of the larger one"))
  if (!length(blocks)) return(list(weights = chibar_text(base, 1), p = chibar_p(statistic, base, 1), note = NA_character_))
  information <- if (sum(blocks) > 1L) cone_information(large, psi, spaces, reml)
  if (sum(blocks) > 1L && (is.null(information) || is.null(positive_root(information)))) {
    return(none("the data cannot tell the tested variances apart, so that the weights of the mixture do not exist"))
  }
  found <- chibar_weights(information, blocks, nsim, seed)
  list(
    weights = chibar_text(base, found$weights), p = chibar_p(statistic, base, found$weights),
    note = if (found$exact) NA_character_ else paste0("weights by simulation (", nsim, " draws)")
  )
}

# Information about the entries of the cones at the null hypothesis, everything else profiled out (Schur complement); NULL when nuisance parameters
# cannot be told apart. The core differentiates
# in Lambda, which says nothing at Psi = 0; so the information is taken a little inside, at two distances, and extrapolated.
cone_information <- function(large, psi, spaces, reml) {
  x <- kept_x(large)
  rows <- length(large$design$y) / max(vapply(large$design$groups, function(group) length(group$levels), 1L))
  at <- function(eps) {
    inside <- lapply(seq_along(psi), function(t) {
      space <- spaces[[t]]
      empty <- space$vectors[, seq_along(space$size) > space$rank, drop = FALSE]
      psi[[t]] + eps * outer(space$size, space$size) * tcrossprod(empty)
    })
    psi_information(large$design, reml, inside, x)
  }
  step <- 1e-4 / rows
  information <- 2 * at(step / 2) - at(step)
  rotated <- lapply(spaces, cone_rotation)
  m <- nrow(information)
  turn <- matrix(0, m, m)
  turn[m, m] <- 1
  tested <- logical(m)
  at <- 0L
  for (piece in rotated) {
    place <- at + seq_len(nrow(piece$turn))
    turn[place, place] <- piece$turn
    tested[place] <- piece$tested
    at <- at + length(place)
  }
  information <- crossprod(turn, information %*% turn)
  nuisance <- information[!tested, !tested, drop = FALSE]
  cross <- information[!tested, tested, drop = FALSE]
  scale <- 1 / sqrt(pmax(diag(nuisance), .Machine$double.xmin))
  scaled <- nuisance * outer(scale, scale)
  if (!all(is.finite(information)) || rcond(scaled) < 1e-10) return(NULL)
  value <- information[tested, tested, drop = FALSE] - crossprod(scale * cross, solve(scaled, scale * cross))
  (value + t(value)) / 2
}

# Entries of W E W' from those of E, W the basis of range and null space: the tested entries are those of the null block.
cone_rotation <- function(space) {
  q <- length(space$size)
  if (space$diagonal) {
    return(list(turn = diag(space$size^2, q), tested = seq_len(q) %in% diagonal_null(space)))
  }
  basis <- space$size * space$vectors
  place <- which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)
  turn <- vapply(seq_len(nrow(place)), function(k) {
    half <- tcrossprod(basis[, place[k, 1L]], basis[, place[k, 2L]])
    whole <- if (place[k, 1L] == place[k, 2L]) half else half + t(half)
    whole[place]
  }, numeric(nrow(place)))
  list(turn = matrix(turn, nrow(place)), tested = place[, 1L] > space$rank & place[, 2L] > space$rank)
}

diagonal_null <- function(space) {
  empty <- space$vectors[, seq_along(space$size) > space$rank, drop = FALSE]
  which(rowSums(abs(empty)) > 0.5)
}
